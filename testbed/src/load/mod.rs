//! An open-loop load generator without retries: request `i` starts at `start + i / rate`, whatever
//! became of the requests before it.
//!
//! Each request carries its sequence number and ends exactly once: answered, or lost for a reason.
//! Talks HTTP/1.1 to loopback or private addresses only, and always stops by itself.

mod connection;
mod spec;
mod tally;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use self::spec::{Connections, LoadSpec};
pub use self::tally::{Latency, Loss, LossRecord, Second, Stats, Summary};

use self::connection::Target;
use self::tally::{Settled, Tally};

/// A running load. Dropping it stops the schedule; requests under way still end.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    changed: watch::Receiver<u64>,
    task: JoinHandle<()>,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

#[derive(Debug)]
struct Shared {
    tally: Mutex<Tally>,
    changed: watch::Sender<u64>,
}

impl Load {
    /// Resolves the address and starts sending.
    ///
    /// # Errors
    ///
    /// The URL cannot be resolved, or resolves to a public address.
    pub async fn start(spec: LoadSpec) -> Result<Self> {
        let target = Arc::new(Target::resolve(&spec).await?);
        let (sender, changed) = watch::channel(0);
        let shared = Arc::new(Shared {
            tally: Mutex::new(Tally::new(&spec)),
            changed: sender,
        });
        let stop = CancellationToken::new();
        let task = tokio::spawn(run(spec, target, Arc::clone(&shared), stop.clone()));
        let guard = stop.clone().drop_guard();
        Ok(Self {
            shared,
            changed,
            task,
            stop,
            _stop_on_drop: guard,
        })
    }

    /// The numbers so far.
    pub fn stats(&self) -> Stats {
        self.shared.with(|tally| tally.stats())
    }

    /// The series so far, one entry per second of the schedule.
    pub fn seconds(&self) -> Vec<Second> {
        self.shared.with(|tally| tally.seconds())
    }

    /// Waits until the numbers fulfil `condition`.
    ///
    /// # Errors
    ///
    /// They did not within `within`; the message carries the last numbers.
    pub async fn until(
        &self,
        within: Duration,
        condition: impl Fn(&Stats) -> bool,
    ) -> Result<Stats> {
        let deadline = Instant::now() + within;
        let mut changed = self.changed.clone();
        loop {
            changed.mark_unchanged();
            let stats = self.stats();
            if condition(&stats) {
                return Ok(stats);
            }
            let woken = timeout_at(deadline, changed.changed()).await;
            woken
                .map_err(|_| anyhow!("the load was not as awaited in {within:?}: {stats:?}"))??;
        }
    }

    /// Waits for the end of the schedule and of all requests under way.
    pub async fn finish(&mut self) -> Summary {
        if let Err(error) = (&mut self.task).await {
            tracing::error!(%error, "the load's schedule ended badly");
        }
        self.shared.with(|tally| tally.summary())
    }

    /// Stops sending, and waits for the requests under way (at most one request timeout).
    pub async fn stop(mut self) -> Summary {
        self.stop.cancel();
        self.finish().await
    }
}

impl Shared {
    fn with<T>(&self, read: impl FnOnce(&mut Tally) -> T) -> T {
        read(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change(&self, change: impl FnOnce(&mut Tally)) {
        self.with(change);
        self.changed.send_modify(|version| *version += 1);
    }
}

async fn run(spec: LoadSpec, target: Arc<Target>, shared: Arc<Shared>, stop: CancellationToken) {
    let start = Instant::now();
    let requests = TaskTracker::new();
    for seq in 0..spec.requests() {
        let due = start + spec.offset(seq);
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = sleep_until(due) => {}
        }
        shared.change(|tally| tally.sent(seq, due.elapsed()));
        let (target, shared, timeout) = (Arc::clone(&target), Arc::clone(&shared), spec.timeout);
        requests.spawn(async move {
            // Late starts count against the answer: otherwise an overloaded generator, or a server
            // that stalls it, would look fast.
            let result = timeout_at(due + timeout, target.exchange(seq)).await;
            let settled = match result {
                Ok(settled) => settled,
                Err(_) => Settled::lost(Loss::Timeout, format!("no answer within {timeout:?}")),
            };
            shared.change(|tally| tally.settle(seq, settled.after(due.elapsed())));
        });
    }
    requests.close();
    requests.wait().await;
    shared.change(|tally| tally.end(start.elapsed()));
}

#[cfg(test)]
mod tests;
