//! The programs of a cluster as processes: started with a log each, remembered so that another process can stop them.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};

use crate::wait;

/// A process that was started, in words that hold after a restart of whoever started it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) name: String,
    pub(crate) pid: i32,
    /// In clock ticks since boot: tells this process from a later one with the same id.
    started: u64,
    pub(crate) log: PathBuf,
}

impl Record {
    pub(crate) fn of(name: &str, pid: i32, log: PathBuf) -> Result<Self> {
        let started = start_time(pid)
            .with_context(|| format!("{name} stopped at once: {}", last_lines(&log, 5)))?;
        Ok(Self {
            name: name.to_owned(),
            pid,
            started,
            log,
        })
    }

    pub(crate) fn is_alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }

    /// Ends the process and all of its group, politely first when there is time for that.
    pub(crate) fn stop(&self, grace: Duration) {
        if !grace.is_zero() && self.signal(Signal::TERM) {
            wait::until_blocking(grace, || !self.is_alive());
        }
        if self.signal(Signal::KILL) {
            wait::until_blocking(Duration::from_secs(5), || !self.is_alive());
        }
    }

    /// Whether there still was a process to signal.
    fn signal(&self, signal: Signal) -> bool {
        match Pid::from_raw(self.pid) {
            Some(group) if self.is_alive() => kill_process_group(group, signal).is_ok(),
            _ => false,
        }
    }
}

/// Field 22 of `/proc/<pid>/stat`, unless the process is gone or a zombie.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself contain spaces and parentheses.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?;
    (!matches!(state, "Z" | "X"))
        .then(|| fields.nth(18)?.parse().ok())
        .flatten()
}

/// How long a process should live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifetime {
    /// Until it is stopped, also beyond the process that started it.
    Detached,
    /// At most as long as the process that started it, however that one ends.
    Tied,
}

/// How much the heap of a program written in Go may grow before it is collected, in per cent of what is in use. With Go's
/// own 100, the API server of a busy test spends a quarter of its time on that, and cores are scarcer here than memory.
const GOGC: (&str, &str) = ("GOGC", "300");

/// Starts a program with its output in `log`, as leader of a process group of its own.
pub(crate) fn spawn(
    program: &Path,
    args: &[String],
    log: &Path,
    lifetime: Lifetime,
) -> Result<Child> {
    let output = File::options().create(true).append(true).open(log)?;
    let mut command = match lifetime {
        Lifetime::Detached => Command::new(program),
        Lifetime::Tied => {
            let mut command = Command::new("setpriv");
            command.args(["--pdeathsig", "KILL", "--"]).arg(program);
            command
        }
    };
    if std::env::var_os(GOGC.0).is_none() {
        command.env(GOGC.0, GOGC.1);
    }
    command
        .args(args)
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let child = match lifetime {
        Lifetime::Detached => command.spawn(),
        Lifetime::Tied => spawn_from_lasting_thread(command),
    };
    child.with_context(|| format!("cannot start {}", program.display()))
}

/// The kernel's parent-death signal comes when the starting *thread* ends, and a test's thread ends with that test:
/// so one thread that lives as long as the process starts them all.
fn spawn_from_lasting_thread(command: Command) -> io::Result<Child> {
    type Job = (Command, mpsc::Sender<io::Result<Child>>);
    static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (jobs, inbox) = mpsc::channel::<Job>();
        std::thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The one who asked may have given up; its cluster's destructor finds nothing to stop then.
                let _ = reply.send(command.spawn());
            }
        });
        jobs
    });
    let (reply, answer) = mpsc::channel();
    spawner.send((command, reply)).map_err(io::Error::other)?;
    answer.recv().map_err(io::Error::other)?
}

/// The end of a log, for error messages.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let tail = lines
        .get(lines.len().saturating_sub(count)..)
        .unwrap_or_default();
    format!("{} (all of it: {})", tail.join(" | "), log.display())
}

/// Runs a helper program to its end, and fails with what it said.
pub(crate) async fn run(program: &str, args: &[&str]) -> Result<String> {
    let output = tokio::process::Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("cannot run {program}: is it installed?"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let command = args.join(" ");
        anyhow::bail!(
            "`{program} {command}` failed ({}): {}",
            output.status,
            said.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_does_not_fit_a_later_process_with_the_same_id() {
        let me = i32::try_from(std::process::id()).unwrap();
        let record = Record::of("test", me, PathBuf::new()).unwrap();
        let earlier = Record {
            started: record.started - 1,
            ..record.clone()
        };

        assert!(record.is_alive());
        assert!(!earlier.is_alive());
    }

    #[test]
    fn a_tied_process_outlives_the_thread_that_asked_for_it_and_can_be_stopped() {
        let log = std::env::temp_dir().join(format!("slipway-process-{}", std::process::id()));
        let path = log.clone();
        let asking = std::thread::spawn(move || {
            spawn(
                Path::new("sleep"),
                &["60".to_owned()],
                &path,
                Lifetime::Tied,
            )
            .unwrap()
        });
        let mut child = asking.join().unwrap();
        let record = Record::of("sleep", i32::try_from(child.id()).unwrap(), log.clone()).unwrap();
        assert!(record.is_alive());

        record.stop(Duration::ZERO);

        assert!(!record.is_alive());
        child.wait().unwrap();
        fs::remove_file(log).unwrap();
    }
}
