//! The operator as a process whose CPU time and memory are read.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::process::{Child, Command};

use super::calls::as_f64;

/// Ticks per second of the times in `/proc` (`sysconf(_SC_CLK_TCK)` on every Linux this runs on).
const TICKS: f64 = 100.0;

/// A running operator. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Subject {
    child: Child,
    pid: u32,
}

impl Subject {
    /// Starts it for one namespace, with its default flags but for the election and `more`.
    pub(super) fn start(
        program: &Path,
        kubeconfig: &Path,
        namespace: &str,
        (log, more): (&Path, &[&str]),
    ) -> Result<Self> {
        let log = std::fs::File::create(log)?;
        let child = Command::new(program)
            .args(["--no-leader-election", "--listen", "127.0.0.1:0"])
            .args(["--metric-hosts", "*,127.0.0.0/8"])
            .args(["--watch-namespace", namespace, "--namespace", namespace])
            .args(more)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot run {}", program.display()))?;
        let pid = child.id().context("it has ended already")?;
        Ok(Self { child, pid })
    }

    /// Kills it as a power cut would.
    pub(super) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// CPU seconds so far, of user and system.
    pub(super) fn cpu(&self) -> Result<f64> {
        let text = std::fs::read_to_string(self.proc("stat"))?;
        // The name in parentheses may hold anything; what counts comes after it.
        let (_, rest) = text.rsplit_once(')').context("no stat")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |index: usize| -> Result<u64> {
            Ok(fields.get(index).context("a short stat")?.parse()?)
        };
        Ok(as_f64(ticks(11)? + ticks(12)?) / TICKS)
    }

    /// The most memory that it had so far, in MiB.
    pub(super) fn peak(&self) -> Result<f64> {
        self.memory("VmHWM:")
    }

    /// How much of the memory that it has now is pages of the program itself, in MiB.
    pub(super) fn program(&self) -> Result<f64> {
        self.memory("RssFile:")
    }

    fn memory(&self, what: &str) -> Result<f64> {
        let text = std::fs::read_to_string(self.proc("status"))?;
        let line = text.lines().find_map(|line| line.strip_prefix(what));
        let kib: u64 = line
            .and_then(|line| line.split_whitespace().next())
            .with_context(|| format!("no {what}"))?
            .parse()?;
        Ok(as_f64(kib) / 1024.0)
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.pid))
    }
}
