//! The program `cosign`, in the image that a stage names. Talks to the operating system.
//!
//! It signs texts of ours and is told of no registry: files go in, and files come out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::pipeline_run::api::FailureKind;
use crate::runner::mask::Mask;
use crate::runner::registry::Trouble;
use crate::runner::report::clean;
use crate::runner::say;
use crate::runner::task;

/// Longest part of what cosign says that a message repeats.
const MAX_WORDS: usize = 300;

/// The program.
pub(super) struct Cosign {
    /// Its name or path.
    pub(super) program: String,
    /// Where files are exchanged with it.
    pub(super) folder: PathBuf,
    /// The field whose image has it.
    pub(super) field: &'static str,
}

impl Cosign {
    /// A file that is not there: what was left before is not taken for an answer.
    pub(super) fn fresh(&self, name: &str) -> PathBuf {
        let file = self.folder.join(name);
        let _ = fs::remove_file(&file);
        file
    }

    /// A file with something in it.
    pub(super) fn written(&self, name: &str, content: &[u8]) -> Result<PathBuf, Trouble> {
        let file = self.fresh(name);
        fs::write(&file, content)
            .map_err(|error| infra(format!("cannot write what is to be signed: {error}")))?;
        Ok(file)
    }

    /// Has it do something. `with` is what that takes, for people.
    pub(super) async fn call(
        &self,
        verb: &str,
        with: &str,
        args: &[&OsStr],
        mask: &Mask,
    ) -> Result<(), Trouble> {
        let mut command = Command::new(&self.program);
        command
            .arg(verb)
            .args(args)
            .env_remove(task::VARIABLE)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = command.output().await.map_err(|error| {
            let field = self.field;
            let message =
                format!("cosign cannot be run: {error}; the image of {field} needs it on its path");
            config(message)
        })?;
        let said = [output.stdout, output.stderr].concat();
        let said = mask.text(&String::from_utf8_lossy(&said));
        for line in said.lines().filter(|line| !line.trim().is_empty()) {
            say(&format!("cosign: {line}"));
        }
        if output.status.success() {
            return Ok(());
        }
        Err(infra(format!(
            "cosign {verb} with {with} failed ({}): {}",
            output.status,
            reason(&said)
        )))
    }
}

/// A mistake of people's.
pub(super) fn config(message: String) -> Trouble {
    Trouble::new(FailureKind::Config, message)
}

/// Nobody's mistake.
pub(super) fn infra(message: String) -> Trouble {
    Trouble::new(FailureKind::Infra, message)
}

/// A file that cosign has left.
pub(super) fn left(file: &Path) -> Result<Vec<u8>, Trouble> {
    fs::read(file).map_err(|error| infra(format!("cannot read what cosign left: {error}")))
}

/// Why cosign has failed: what it says last, which may be of several lines.
fn reason(said: &str) -> String {
    let last = said.trim_end().lines().next_back().unwrap_or_default();
    let last = said
        .rsplit_once("error during command execution:")
        .map_or(last, |(_, reason)| reason);
    let words: Vec<&str> = last.split_whitespace().collect();
    clean(&words.join(" "), MAX_WORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_what_was_said_last() {
        let said = "Error: reading key\nmain.go:74: error during command execution: reading key: \n\nCode: 403. Errors:\n\n* permission denied\n";
        assert_eq!(
            reason(said),
            "reading key: Code: 403. Errors: * permission denied"
        );
        assert_eq!(reason("one\ntwo\n\n"), "two");
        assert_eq!(reason(""), "");
    }
}
