//! The `logs` container of a stage pod: follows what the stage says and posts it to the operator's receiver. No code of
//! people's runs here, and the token is nowhere else. Talks to the operating system and the network.
//!
//! The receiver tells how much it has, so nothing is in the log twice, whatever answer was lost. What it cannot take now
//! waits in the files of the pod. It ends when it is asked to, after the stage has, with code 0 whatever happened: how a
//! log fared is no verdict.

mod reports;

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::time::Duration;

use rustix::fs::OFlags;
use tokio::time::{interval, timeout};

use super::call::Receiver;
use super::process::Stop;
use super::task::LogTask;
use super::{log, say};
use reports::Reports;

/// Time between two looks at what the stage has said: a log is no more than this, and one call, behind.
const LOOK: Duration = Duration::from_secs(2);
/// Longest time for what is left when the stage is over. The pod lasts that much longer where nobody takes it.
const LAST_WORDS: Duration = Duration::from_secs(15);
/// Largest part that is posted at once.
const PART: usize = 256 << 10;
/// How much of the end is sent of a log that is too long.
const END: usize = 256 << 10;

/// Follows the log of a stage until it is asked to end.
pub async fn run(task: &LogTask, stop: &mut Stop) {
    let receiver = match Receiver::new(&task.url, &task.token_file) {
        Ok(receiver) => receiver,
        Err(error) => {
            say(&format!("slipway: no log can be sent: {error}"));
            return stop.asked().await;
        }
    };
    let mut shipper = Shipper::new(receiver, task);
    let mut tick = interval(LOOK);
    let mut trouble = String::new();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            () = stop.asked() => break,
        }
        let now = match shipper.ship().await {
            Ok(()) => String::new(),
            Err(error) => error.to_string(),
        };
        if now != trouble && !now.is_empty() {
            say(&format!(
                "slipway: the log waits in the pod: {now}; tried again"
            ));
        }
        trouble = now;
    }
    if timeout(LAST_WORDS, shipper.finish()).await.is_err() {
        say("slipway: the end of the log was not taken in time");
    }
}

/// What is sent, and how far it is.
struct Shipper<'a> {
    receiver: Receiver<'a>,
    follower: Follower,
    cut: Cut,
    /// How many bytes the receiver has.
    sent: u64,
    /// How much of what comes it has already.
    skip: u64,
    /// What it has to take next.
    part: Vec<u8>,
    /// It knows the pod.
    is_known: bool,
    /// It takes no more.
    is_refused: bool,
    /// It has all of the log.
    is_over: bool,
    reports: Reports,
}

impl<'a> Shipper<'a> {
    fn new(receiver: Receiver<'a>, task: &LogTask) -> Self {
        Self {
            receiver,
            follower: Follower::new(task.folder.clone()),
            cut: Cut::new(task.max_bytes),
            sent: 0,
            skip: 0,
            part: Vec::new(),
            is_known: false,
            is_refused: false,
            is_over: false,
            reports: Reports::new(&task.folder),
        }
    }

    /// Sends all that is there. The first call has nothing to say: from then on the receiver knows the pod, whose Job may be
    /// gone when it has.
    async fn ship(&mut self) -> io::Result<()> {
        if !self.is_known {
            let answer = self
                .receiver
                .post("/v1/log?offset=0&last=false", &[])
                .await?;
            match (answer.status, answer.text.parse()) {
                (200, _) => {}
                // This container was started again: what the one before has sent is not sent anew.
                (409, Ok(has)) => (self.sent, self.skip) = (has, has),
                _ => return Err(io::Error::other(answer.text)),
            }
            self.is_known = true;
        }
        while !self.is_refused {
            if self.part.is_empty() {
                let Some(read) = self.follower.read(PART)? else {
                    return Ok(());
                };
                self.part = self.cut.take(&read);
                let known = usize::try_from(self.skip).unwrap_or(usize::MAX);
                let known = known.min(self.part.len());
                self.part.drain(..known);
                self.skip -= known as u64;
                continue;
            }
            self.post(false).await?;
        }
        Ok(())
    }

    /// Sends what is left, as often as it takes.
    async fn finish(&mut self) {
        let mut tick = interval(Duration::from_millis(500));
        loop {
            tick.tick().await;
            if let Err(error) = self.try_finish().await {
                say(&format!("slipway: the end of the log waits: {error}"));
                continue;
            }
            return;
        }
    }

    async fn try_finish(&mut self) -> io::Result<()> {
        if !self.is_over {
            self.finish_log().await?;
            self.is_over = true;
        }
        self.reports.send(&self.receiver).await
    }

    async fn finish_log(&mut self) -> io::Result<()> {
        self.ship().await?;
        self.part.extend(self.cut.end());
        while !self.is_refused && self.part.len() > PART {
            let rest = self.part.split_off(PART);
            let posted = self.post(false).await;
            self.part.extend(rest);
            posted?;
        }
        if self.is_refused {
            return Ok(());
        }
        self.post(true).await
    }

    /// Has the receiver take the part, unless it has it.
    async fn post(&mut self, is_last: bool) -> io::Result<()> {
        let path = format!("/v1/log?offset={}&last={is_last}", self.sent);
        let answer = self.receiver.post(&path, &self.part).await?;
        let length = self.part.len() as u64;
        match (answer.status, answer.text.parse::<u64>()) {
            (200, _) => self.taken(length),
            // An answer was lost: it has taken the part.
            (409, Ok(has)) if length > 0 && has == self.sent + length => self.taken(length),
            (409, Ok(has)) => {
                if has < self.sent {
                    let lost = self.sent - has;
                    let note = format!("\n[slipway: {lost} bytes of this log were lost]\n");
                    self.part.splice(..0, note.into_bytes());
                }
                self.sent = has;
                return Err(io::Error::other("the receiver has another length of it"));
            }
            // The pod's token is new, or the operator has not seen the pod yet.
            (401, _) => return Err(io::Error::other(answer.text)),
            (_, _) => {
                say(&format!(
                    "slipway: no more of the log is taken: {}",
                    answer.text
                ));
                self.is_refused = true;
            }
        }
        Ok(())
    }

    fn taken(&mut self, length: u64) {
        self.sent += length;
        self.part.clear();
    }
}

/// Reads the files of a log one after the other.
struct Follower {
    folder: PathBuf,
    current: Option<(u64, File)>,
}

impl Follower {
    const fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            current: None,
        }
    }

    /// More of the log, as far as it is there.
    fn read(&mut self, limit: usize) -> io::Result<Option<Vec<u8>>> {
        loop {
            // Before the end of a file is read: one that has a successor then gets no more.
            let numbers = log::numbers(&self.folder);
            let at = self.current.as_ref().map(|(number, _)| *number);
            if let Some((_, file)) = &mut self.current {
                let mut part = Vec::new();
                file.take(limit as u64).read_to_end(&mut part)?;
                if !part.is_empty() {
                    return Ok(Some(part));
                }
            }
            let next = numbers.into_iter().find(|number| Some(*number) > at);
            let Some(next) = next else { return Ok(None) };
            // Gone already, or no file: what comes behind it counts.
            let file = open(&self.folder.join(log::name(next)));
            let file = file.map_or_else(|| File::open("/dev/null"), Ok)?;
            self.current = Some((next, file));
            if at.map_or(next > 0, |at| next > at + 1) {
                let note = "\n[slipway: this log was too fast; a part of it is left out]\n";
                return Ok(Some(note.as_bytes().to_vec()));
            }
        }
    }
}

/// Opens a file of the log and nothing else: the folder is one that the code of the stage can write into, and a link there
/// could lead to what only this container has.
fn open(path: &std::path::Path) -> Option<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).ok()?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)
        .ok()?;
    let is_file = file.metadata().is_ok_and(|meta| meta.is_file());
    is_file.then_some(file)
}

/// What of a log is sent: the beginning at once, and at the end the end of one that is too long.
struct Cut {
    /// Bytes that may still go at once.
    left: u64,
    end: VecDeque<u8>,
    left_out: u64,
}

impl Cut {
    fn new(max: u64) -> Self {
        Self {
            left: max.saturating_sub(END as u64),
            end: VecDeque::new(),
            left_out: 0,
        }
    }

    /// What of a part is sent now.
    fn take(&mut self, part: &[u8]) -> Vec<u8> {
        let now = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(part.len());
        let (now, later) = part.split_at(now);
        self.left -= now.len() as u64;
        self.end.extend(later);
        let excess = self.end.len().saturating_sub(END);
        self.end.drain(..excess);
        self.left_out += excess as u64;
        now.to_vec()
    }

    /// What is sent when the log is over.
    fn end(&mut self) -> Vec<u8> {
        let mut end = Vec::new();
        if self.left_out > 0 {
            let note = format!("\n[slipway: {} bytes are left out here]\n", self.left_out);
            end.extend(note.into_bytes());
            self.left_out = 0;
        }
        end.extend(self.end.drain(..));
        end
    }
}

#[cfg(test)]
mod tests;
