//! The place where one cluster lives: its folder, what is recorded there, and the processes it runs.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use serde::{Deserialize, Serialize};

use crate::process::{self, Lifetime, Record};
use crate::{node, ports, wait};

/// What the folder's `state.json` says. Everything `down` needs, also in another process.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct State {
    /// Whether there is a node, whose traces go beyond the folder.
    #[serde(default)]
    pub(crate) node: bool,
    /// Whether it belongs to one process and is to go with it.
    #[serde(default)]
    pub(crate) ephemeral: bool,
    /// The administrator's token.
    #[serde(default)]
    pub(crate) token: String,
    /// Who listens where.
    #[serde(default)]
    pub(crate) addresses: BTreeMap<String, String>,
    /// Kernel settings as they were before.
    #[serde(default)]
    pub(crate) sysctls: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) processes: Vec<Record>,
}

/// A cluster's place.
///
/// # Guarantees
/// Held by one process at a time, through a lock file beside the folder. An ephemeral site is wiped when dropped.
#[derive(Debug)]
pub(crate) struct Site {
    dir: PathBuf,
    pub(crate) state: State,
    children: Vec<Child>,
    lock: PathBuf,
    _held: File,
}

impl Site {
    /// Opens the place of that name, waiting while another process works on it.
    pub(crate) async fn open(root: &Path, name: &str) -> Result<Self> {
        let mut site = None;
        let what = format!("the other process that works on cluster {name} finishes");
        wait::until(&what, Duration::from_mins(30), || {
            let opened = Self::try_open(root, name).map(|found| site = found);
            let done = site.is_some();
            async move { opened.map(|()| done.then_some(())) }
        })
        .await?;
        site.context("the site was not opened")
    }

    /// The same, or `None` when another process holds it.
    pub(crate) fn try_open(root: &Path, name: &str) -> Result<Option<Self>> {
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        ensure!(
            !name.is_empty() && name.len() <= 40 && name.chars().all(fits),
            "a cluster's name is 1 to 40 lower-case letters, digits and dashes, not {name:?}"
        );
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let lock = root.join(format!("{name}.lock"));
        let held = File::create(&lock)?;
        match held.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        let dir = root.join(name);
        let state = read_state(&dir)?.unwrap_or_default();
        Ok(Some(Self {
            dir,
            state,
            children: vec![],
            lock,
            _held: held,
        }))
    }

    /// A new place that goes with this value.
    pub(crate) fn ephemeral(root: &Path, name: &str) -> Result<Self> {
        sweep(root);
        let taken = || format!("cluster name {name} is taken by another process");
        let mut site = Self::try_open(root, name)?.with_context(taken)?;
        site.state.ephemeral = true;
        site.save()?;
        Ok(site)
    }

    pub(crate) fn exists(&self) -> bool {
        self.dir.is_dir()
    }

    /// A path in the folder.
    pub(crate) fn path(&self, inside: &str) -> PathBuf {
        self.dir.join(inside)
    }

    /// The same as text, for command lines.
    pub(crate) fn arg(&self, inside: &str) -> String {
        self.path(inside).display().to_string()
    }

    /// Writes a file in the folder, unless it already says that.
    pub(crate) fn write(&self, inside: &str, content: &str) -> Result<PathBuf> {
        let path = self.path(inside);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        if fs::read_to_string(&path).is_ok_and(|old| old == content) {
            return Ok(path);
        }
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Where a server of this cluster listens: as recorded, else the wanted port, else any free one.
    pub(crate) fn address(
        &mut self,
        server: &str,
        ip: Ipv4Addr,
        wanted: Option<u16>,
    ) -> Result<String> {
        if let Some(address) = self.state.addresses.get(server) {
            return Ok(address.clone());
        }
        let address = self.free_address(ip, wanted)?;
        self.state
            .addresses
            .insert(server.to_owned(), address.clone());
        self.save()?;
        Ok(address)
    }

    /// The wanted port, else any free one. Recorded by nobody.
    pub(crate) fn free_address(&self, ip: Ipv4Addr, wanted: Option<u16>) -> Result<String> {
        let root = self.dir.parent().context("a site without a root")?;
        let port = match wanted.filter(|port| ports::is_free(ip, *port)) {
            Some(port) => port,
            None => ports::free(root, ip)?,
        };
        Ok(format!("{ip}:{port}"))
    }

    pub(crate) fn is_running(&self, name: &str) -> bool {
        self.state
            .processes
            .iter()
            .any(|record| record.name == name && record.is_alive())
    }

    /// Starts a program of the cluster, unless it already runs.
    pub(crate) fn start(&mut self, name: &str, program: &Path, args: &[String]) -> Result<()> {
        if self.is_running(name) {
            return Ok(());
        }
        fs::create_dir_all(self.path("logs"))?;
        let log = self.path(&format!("logs/{name}.log"));
        let lifetime = if self.state.ephemeral {
            Lifetime::Tied
        } else {
            Lifetime::Detached
        };
        let child = process::spawn(program, args, &log, lifetime)?;
        let record = Record::of(name, i32::try_from(child.id())?, log);
        self.children.push(child);
        self.state.processes.retain(|old| old.name != name);
        self.state.processes.push(record?);
        self.save()
    }

    /// Waits until `probe` says so, and gives up as soon as the program has stopped.
    pub(crate) async fn ready<F>(
        &self,
        name: &str,
        within: Duration,
        mut probe: impl FnMut() -> F,
    ) -> Result<()>
    where
        F: Future<Output = Result<()>>,
    {
        let record = self
            .state
            .processes
            .iter()
            .find(|record| record.name == name);
        let record = record.with_context(|| format!("{name} was never started"))?;
        let what = format!("{name} is ready");
        wait::until(&what, within, || {
            let probing = probe();
            async move {
                if record.is_alive() {
                    return probing.await.map(|()| Some(Ok(())));
                }
                let said = process::last_lines(&record.log, 5);
                Ok(Some(Err(anyhow!("{name} stopped: {said}"))))
            }
        })
        .await
        .with_context(|| format!("its log: {}", process::last_lines(&record.log, 3)))?
    }

    /// Records the state, whole or not at all.
    pub(crate) fn save(&self) -> Result<()> {
        fs::create_dir_all(&self.dir)?;
        let fresh = self.path("state.json.new");
        fs::write(&fresh, serde_json::to_vec_pretty(&self.state)?)?;
        fs::rename(fresh, self.path("state.json")).context("cannot record the cluster's state")
    }

    /// Stops everything and removes every trace. Can be called again when it failed half-way.
    pub(crate) fn wipe(&mut self) -> Result<()> {
        let grace = if self.state.ephemeral || !self.state.node {
            0
        } else {
            2
        };
        if self.state.node {
            node::cleanup::stop_pods(&self.dir, &self.state);
        }
        // Last started, first stopped: nobody then complains about a missing partner.
        for record in self.state.processes.iter().rev() {
            record.stop(Duration::from_secs(grace));
        }
        for mut child in self.children.drain(..) {
            let _ = child.wait();
        }
        if self.state.node {
            node::cleanup::remove_traces(&self.dir, &self.state)?;
        }
        if self.dir.exists() {
            fs::remove_dir_all(&self.dir)
                .with_context(|| format!("cannot remove {}", self.dir.display()))?;
        }
        if self.state.ephemeral {
            let _ = fs::remove_file(&self.lock);
        }
        self.state = State {
            ephemeral: self.state.ephemeral,
            ..State::default()
        };
        Ok(())
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if !self.state.ephemeral {
            return;
        }
        if let Err(error) = self.wipe() {
            tracing::warn!(error = format!("{error:#}"), "cluster not removed whole");
        }
    }
}

fn read_state(dir: &Path) -> Result<Option<State>> {
    let path = dir.join("state.json");
    match fs::read(&path) {
        Ok(text) => {
            let broken = || format!("{} is not what the testbed writes", path.display());
            Ok(Some(serde_json::from_slice(&text).with_context(broken)?))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// The names of all clusters of this machine.
pub(crate) fn names(root: &Path) -> Vec<String> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter(|entry| entry.path().join("state.json").is_file())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// Looks at a cluster's state without holding its site.
pub(crate) fn peek(root: &Path, name: &str) -> Result<Option<State>> {
    read_state(&root.join(name))
}

/// Removes ephemeral clusters whose process was killed before it could.
pub(crate) fn sweep(root: &Path) {
    for name in names(root) {
        // A site that can be locked is held by nobody; dropping it wipes it when it is ephemeral.
        match Site::try_open(root, &name) {
            Ok(site) => drop(site),
            Err(error) => tracing::debug!(name, error = format!("{error:#}"), "not swept"),
        }
    }
}
