//! Sends the reports that a stage has left, once it is over. Talks to the operating system and the network.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::{PART, open};
use crate::runner::call::Receiver;
use crate::runner::keep::{FILE, MAX_FILES};
use crate::runner::say;

/// The reports of a pod, and how far they are.
pub(super) struct Reports {
    file: PathBuf,
    /// How many bytes the receiver has.
    sent: usize,
    is_over: bool,
}

impl Reports {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            file: folder.join(FILE),
            sent: 0,
            is_over: false,
        }
    }

    /// Sends what the receiver does not have; where it takes none, they stay in the pod.
    pub(super) async fn send(&mut self, receiver: &Receiver<'_>) -> io::Result<()> {
        let Some(file) = open(&self.file) else {
            return Ok(());
        };
        let mut all = Vec::new();
        file.take(2 * MAX_FILES).read_to_end(&mut all)?;
        while !self.is_over {
            let rest = all.get(self.sent..).unwrap_or_default();
            let part = rest.get(..PART).unwrap_or(rest);
            let is_last = part.len() == rest.len();
            let path = format!("/v1/reports?offset={}&last={is_last}", self.sent);
            let answer = receiver.post(&path, part).await?;
            match (answer.status, answer.text.parse::<usize>()) {
                (200, _) => {
                    self.sent += part.len();
                    self.is_over = is_last;
                }
                // An answer was lost, or the container before this one has sent it.
                (409, Ok(has)) if has != self.sent && has <= all.len() => self.sent = has,
                (401, _) => return Err(io::Error::other(answer.text)),
                (_, _) => {
                    say(&format!("slipway: reports are not kept: {}", answer.text));
                    self.is_over = true;
                }
            }
        }
        Ok(())
    }
}
