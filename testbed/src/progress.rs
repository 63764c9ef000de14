//! What a person sees while a cluster comes up: one line per step, with its time. Goes to standard error.

use std::future::Future;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::wait::human;

/// Whether steps are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// One line per step.
    Told,
    /// Nothing but builds that take long, as in tests.
    Quiet,
}

impl Progress {
    /// Runs one step, then prints its name and how long it took.
    pub async fn step<T>(self, name: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let started = Instant::now();
        let outcome = work.await.with_context(|| format!("{name} failed"))?;
        if self == Self::Told {
            eprintln!("  {name:<34} {:>7}", human(started.elapsed()));
        }
        Ok(outcome)
    }

    /// A line of its own.
    pub fn say(self, line: &str) {
        if self == Self::Told {
            eprintln!("{line}");
        }
    }
}

/// Tells how long something has been going on: on a terminal once a second in one line, else every half minute.
#[derive(Debug)]
pub(crate) struct Ticker {
    what: String,
    started: Instant,
    last: Option<Instant>,
    terminal: bool,
}

impl Ticker {
    pub(crate) fn new(what: String) -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self {
            what,
            started: Instant::now(),
            last: None,
            terminal,
        }
    }

    /// Call often; prints only when it is time to.
    pub(crate) fn tick(&mut self) {
        let pause = Duration::from_secs(if self.terminal { 1 } else { 30 });
        if self.last.is_some_and(|last| last.elapsed() < pause) {
            return;
        }
        let first = self.last.replace(Instant::now()).is_none();
        match (self.terminal, first) {
            (true, _) => eprint!("\r  {} … {} ", self.what, human(self.started.elapsed())),
            (false, true) => eprintln!("  {} …", self.what),
            (false, false) => eprintln!("  {} … {}", self.what, human(self.started.elapsed())),
        }
    }

    /// The last word, with the whole time.
    pub(crate) fn done(self) {
        let from_start = if self.terminal { "\r" } else { "" };
        eprintln!(
            "{from_start}  {} … done in {}",
            self.what,
            human(self.started.elapsed())
        );
    }
}
