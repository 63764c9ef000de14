//! How the container with a script hands its work over to one beside it, which runs no code of people's: a file that asks,
//! and one that answers. Reads and writes files; waits.
//!
//! Scripts can write both files. What is done for whoever asks early, or never waits, is done with the same files of
//! theirs, so a script gains nothing by it; and nothing that counts is read from an answer.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{interval, timeout};

use super::process::Stop;

/// How often it is looked whether the other side has done its part.
const TICK: Duration = Duration::from_millis(200);
/// Longest answer that is read.
const MAX_SAID: u64 = 4096;

/// Two files that the containers of a pod share.
#[derive(Clone, Debug)]
pub struct Handover {
    asked: PathBuf,
    done: PathBuf,
}

impl Handover {
    /// The files for one kind of work.
    pub fn new(workspace: &Path, what: &str) -> Self {
        Self {
            asked: workspace.join(format!("{what}.asked")),
            done: workspace.join(format!("{what}.done")),
        }
    }

    /// Asks for the work, and waits until it is done, for so long: what is said about it, or nothing where it is not done.
    ///
    /// # Errors
    /// If nobody can be asked.
    pub async fn ask(&self, patience: Duration) -> io::Result<Option<String>> {
        fs::write(&self.asked, "")?;
        if timeout(patience, appears(&self.done)).await.is_err() {
            return Ok(None);
        }
        let mut said = String::new();
        let file = File::open(&self.done)?;
        file.take(MAX_SAID).read_to_string(&mut said)?;
        Ok(Some(said))
    }

    /// Waits until somebody asks. Tells whether that was so; else the pod is to end.
    pub async fn is_asked(&self, stop: &mut Stop) -> bool {
        tokio::select! {
            () = appears(&self.asked) => true,
            () = stop.asked() => false,
        }
    }

    /// Answers whoever has asked, whole or not at all.
    ///
    /// # Errors
    /// If the answer cannot be written.
    pub fn answer(&self, said: &str) -> io::Result<()> {
        let part = self.done.with_extension("part");
        fs::write(&part, said)?;
        fs::rename(&part, &self.done)
    }
}

async fn appears(file: &Path) {
    let mut tick = interval(TICK);
    while !file.exists() {
        tick.tick().await;
    }
}
