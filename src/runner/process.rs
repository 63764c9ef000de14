//! Runs a program to its end, or to its timeout: its output is passed on as it comes and its last lines
//! are kept; whatever it started goes with it. Talks to the operating system.

use std::io::{self, PipeReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::Child;
use tokio::signal::unix::{self, SignalKind};
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::log;

/// Bytes of output that are kept.
const KEPT: usize = 16 * 1024;
/// How long a program has to end after it was asked to.
const GRACE: Duration = Duration::from_secs(10);
/// How long output is waited for that a process outside of the group may still hold open.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The pod is asked to end.
#[derive(Debug)]
pub struct Stop(unix::Signal);

impl Stop {
    /// Takes over SIGTERM. As process 1 of a container, a program that does not never gets it.
    pub fn listen() -> io::Result<Self> {
        unix::signal(SignalKind::terminate()).map(Self)
    }

    /// Whether the pod is asked to end within this time.
    pub async fn within(&mut self, limit: Duration) -> bool {
        timeout(limit, self.asked()).await.is_ok()
    }

    /// Waits until it is.
    pub async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that is not ours.
    Killed(i32),
    /// By us, because its time was over.
    TimedOut,
    /// By us, because the pod has to end.
    Stopped,
}

/// What a program left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// How it ended.
    pub end: End,
    /// The end of its output.
    pub tail: String,
}

/// A program that runs, with everything it starts in one process group.
pub struct Running {
    child: Child,
    group: Option<Pid>,
    tail: Arc<Mutex<Vec<u8>>>,
    drained: oneshot::Receiver<()>,
}

/// What sees the output of a program, piece by piece.
pub type Watch = Box<dyn FnMut(&[u8]) + Send>;

/// Starts a program whose output goes to ours.
pub fn start(command: Command) -> io::Result<Running> {
    spawn(command, true, Box::new(|_| ()))
}

/// Starts a program whose output goes to ours, and is watched.
pub fn start_watched(command: Command, watch: Watch) -> io::Result<Running> {
    spawn(command, true, watch)
}

/// Starts a program whose output is only kept.
pub fn start_silent(command: Command) -> io::Result<Running> {
    spawn(command, false, Box::new(|_| ()))
}

fn spawn(mut command: Command, shown: bool, watch: Watch) -> io::Result<Running> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0);
    let mut command = tokio::process::Command::from(command);
    let child = command.kill_on_drop(true).spawn()?;
    // Our copies of the pipe's other end, or the output would never end.
    drop(command);
    let group = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let tail = Arc::new(Mutex::new(Vec::new()));
    let (done, drained) = oneshot::channel();
    let kept = Arc::clone(&tail);
    std::thread::spawn(move || {
        pump(reader, shown, watch, &kept);
        let _ = done.send(());
    });
    Ok(Running {
        child,
        group,
        tail,
        drained,
    })
}

/// Passes output on until its end.
fn pump(mut reader: PipeReader, shown: bool, mut watch: Watch, tail: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 8192];
    while let Ok(count) = reader.read(&mut buffer) {
        let Some(part) = buffer.get(..count).filter(|part| !part.is_empty()) else {
            return;
        };
        if shown {
            log::write(part);
        }
        watch(part);
        let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
        tail.extend_from_slice(part);
        let excess = tail.len().saturating_sub(KEPT);
        tail.drain(..excess);
    }
}

impl Running {
    /// Waits for its end, but no longer than `limit`.
    pub async fn finish(mut self, limit: Duration, stop: &mut Stop) -> io::Result<Finished> {
        let ended = tokio::select! {
            ended = timeout(limit, self.child.wait()) => ended.ok(),
            () = stop.asked() => {
                self.end().await?;
                return Ok(self.finished(End::Stopped).await);
            }
        };
        let end = if let Some(status) = ended {
            end_of(status?)
        } else {
            self.end().await?;
            End::TimedOut
        };
        Ok(self.finished(end).await)
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Asks it to end, and ends it.
    pub async fn stop(mut self) -> io::Result<Finished> {
        self.end().await?;
        Ok(self.finished(End::Stopped).await)
    }

    async fn end(&mut self) -> io::Result<()> {
        self.signal(Signal::TERM);
        if timeout(GRACE, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            self.child.wait().await?;
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // A group that is gone already is what we want.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Takes along what it has left running, and its last words.
    async fn finished(mut self, end: End) -> Finished {
        self.signal(Signal::KILL);
        let _ = timeout(LAST_WORDS, &mut self.drained).await;
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let tail = String::from_utf8_lossy(&tail).into_owned();
        Finished { end, tail }
    }
}

fn end_of(status: ExitStatus) -> End {
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Killed(signal.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_mins(1);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-e", "-c", script]);
        command
    }

    async fn run(script: &str, limit: Duration) -> Finished {
        let mut stop = Stop::listen().unwrap();
        let running = start_silent(shell(script)).unwrap();
        running.finish(limit, &mut stop).await.unwrap()
    }

    #[tokio::test]
    async fn output_and_errors_are_kept_in_their_order() {
        let done = run("echo one; echo two >&2; echo three; exit 3", LONG).await;
        assert_eq!(done.end, End::Exited(3));
        assert_eq!(done.tail, "one\ntwo\nthree\n");
    }

    #[tokio::test]
    async fn only_the_end_of_a_long_output_is_kept() {
        let done = run("seq 1 20000", LONG).await;
        assert!(done.tail.len() <= KEPT);
        assert!(done.tail.ends_with("20000\n"));
    }

    /// Waits until a program has said something.
    async fn until_it_speaks(running: &Running) {
        let speaks = async {
            while running.tail.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, speaks).await.unwrap();
    }

    #[tokio::test]
    async fn a_timeout_ends_the_whole_group() {
        let mut stop = Stop::listen().unwrap();
        let running = start_silent(shell("sleep 300 & echo $!; sleep 300")).unwrap();
        until_it_speaks(&running).await;
        let start = Instant::now();
        let limit = Duration::from_millis(1);
        let done = running.finish(limit, &mut stop).await.unwrap();
        assert_eq!(done.end, End::TimedOut);
        assert!(start.elapsed() < Duration::from_secs(5));
        let child: u32 = done.tail.trim().parse().unwrap();
        // Gone, or a zombie that nobody has waited for yet; a machine that is busy takes a moment to carry a signal out.
        let is_over = || {
            let status = std::fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            status.is_empty() || status.contains(") Z ")
        };
        let ends = async {
            while !is_over() {
                tokio::task::yield_now().await;
            }
        };
        timeout(LONG, ends).await.unwrap();
    }

    #[tokio::test]
    async fn a_program_that_ignores_the_request_is_killed() {
        let mut stop = Stop::listen().unwrap();
        let script = "trap '' TERM; echo ready; sleep 300";
        let mut running = start_silent(shell(script)).unwrap();
        until_it_speaks(&running).await;
        running.signal(Signal::TERM);
        running.signal(Signal::KILL);
        running.child.wait().await.unwrap();
        let done = running.finish(LONG, &mut stop).await.unwrap();
        assert_eq!(done.end, End::Killed(9));
    }

    #[tokio::test]
    async fn what_is_left_in_the_background_does_not_hold_the_stage() {
        let start = Instant::now();
        let done = run("sleep 300 & exit 0", LONG).await;
        assert_eq!(done.end, End::Exited(0));
        assert!(start.elapsed() < Duration::from_secs(5));
    }

    #[tokio::test]
    async fn a_signal_from_elsewhere_is_told() {
        assert_eq!(run("kill -9 $$", LONG).await.end, End::Killed(9));
    }
}
