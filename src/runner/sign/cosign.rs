//! The program `cosign`, in the image that a stage names. Talks to the operating system.
//!
//! It signs texts of ours and is told of no registry: files go in, and files come out.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::pipeline_run::api::FailureKind;
use crate::retry;
use crate::runner::mask::Mask;
use crate::runner::registry::Trouble;
use crate::runner::report::clean;
use crate::runner::say;
use crate::runner::task;

/// Longest part of what cosign says that a message repeats.
const MAX_WORDS: usize = 300;

/// Times between the tries of what may pass.
pub(super) const PAUSES: &[Duration] = &[
    Duration::from_secs(2),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(20),
];
/// What programs in Go say when nobody answers, in time or at all.
const PASSING: &[&str] = &[
    "connection refused",
    "connection reset",
    "broken pipe",
    "timeout",
    "timed out",
    "deadline exceeded",
    "temporary failure",
    "server misbehaving",
    "service unavailable",
    "bad gateway",
    "code = unavailable",
];

/// The program.
pub(super) struct Cosign {
    /// Its name or path.
    pub(super) program: String,
    /// Where files are exchanged with it.
    pub(super) folder: PathBuf,
    /// The field whose image has it.
    pub(super) field: &'static str,
    /// Times between its tries.
    pub(super) pauses: &'static [Duration],
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

    /// Has it do something, again where what it talks to is in trouble that passes: it writes to no registry, so what it
    /// does may be done twice. `with` is what that takes, for people.
    pub(super) async fn call(
        &self,
        verb: &str,
        with: &str,
        args: &[&OsStr],
        mask: &Mask,
    ) -> Result<(), Trouble> {
        let tries = self.pauses.len() + 1;
        let is_passing = |trouble: &Trouble, number, pause: Duration| {
            if trouble.is_transient {
                say(&format!(
                    "slipway: try {number} of {tries}: {}; tried again in {} s",
                    trouble.message,
                    pause.as_secs()
                ));
            }
            trouble.is_transient
        };
        let once = || self.try_once(verb, with, args, mask);
        let result = retry::tried(self.pauses, is_passing, once).await;
        result.map_err(|trouble| {
            if trouble.is_transient {
                infra(format!("{}; tried {tries} times", trouble.message))
            } else {
                trouble
            }
        })
    }

    /// Has it do something. What will pass is transient.
    async fn try_once(
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
        let reason = reason(&said);
        let message = format!(
            "cosign {verb} with {with} failed ({}): {reason}",
            output.status
        );
        Err(Trouble {
            is_transient: will_pass(&reason),
            ..infra(message)
        })
    }
}

/// Whether what cosign says is of a server that is in trouble for the moment. It says nothing by its exit code.
fn will_pass(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    let mut words = reason.split(|c: char| !c.is_ascii_alphanumeric());
    words.any(|word| matches!(word, "429" | "500" | "502" | "503" | "504" | "eof"))
        || PASSING.iter().any(|words| reason.contains(words))
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
    use tempfile::TempDir;

    use super::*;

    /// How often a program was run that fails so often with these words, and what came of it.
    async fn tried(failures: usize, words: &str) -> (usize, Result<(), Trouble>) {
        let folder = TempDir::new().unwrap();
        let script = format!(
            "echo once >> runs; [ $(grep -c once runs) -gt {failures} ] || {{ echo \"{words}\" >&2; exit 1; }}"
        );
        std::fs::write(folder.path().join("sign-blob"), script).unwrap();
        let cosign = Cosign {
            program: "/bin/sh".into(),
            folder: folder.path().to_owned(),
            field: "sign.kms",
            pauses: &[Duration::ZERO; 3],
        };
        let mask = Mask::read(&[]).unwrap();
        let done = cosign.call("sign-blob", "a key", &[], &mask).await;
        let runs = fs::read_to_string(folder.path().join("runs")).unwrap();
        (runs.lines().count(), done)
    }

    #[tokio::test]
    async fn trouble_that_passes_is_waited_out_so_often_and_a_refusal_is_not() {
        let busy = "main.go:74: error during command execution: signing: POST http://fulcio: 503 Service Unavailable";
        for (words, failures) in [(busy, 2), ("dial tcp: connect: connection refused", 3)] {
            assert_eq!(tried(failures, words).await, (failures + 1, Ok(())));
        }
        let (runs, done) = tried(9, busy).await;
        let trouble = done.unwrap_err();
        assert_eq!((runs, trouble.kind), (4, FailureKind::Infra));
        assert!(
            trouble
                .message
                .ends_with("503 Service Unavailable; tried 4 times")
        );
        // By another pod it is not tried.
        assert_eq!(trouble.exit_code(), 1);
        for words in ["Error: 403, permission denied", "the token is of nobody"] {
            let (runs, done) = tried(9, words).await;
            assert_eq!((runs, done.unwrap_err().exit_code()), (1, 1), "{words}");
        }
    }

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
