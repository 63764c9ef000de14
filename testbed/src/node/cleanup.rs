//! Removing what a node leaves on the machine. Works on a node whose processes were killed, and again on what it missed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::mount::{UnmountFlags, unmount};
use rustix::process::{Pid, Signal, kill_process};

use super::containerd::{NETWORK, socket};
use super::network::{self, BRIDGE, TABLE};
use crate::process::start_time;
use crate::site::State;
use crate::wait;

/// Stops the kubelet, so that it starts nothing again, then has containerd end what runs: the tidy half.
pub(crate) fn stop_pods(dir: &Path, state: &State) {
    for record in state
        .processes
        .iter()
        .filter(|record| record.name == "kubelet")
    {
        record.stop(Duration::from_secs(2));
    }
    let runs = |name: &str| {
        state
            .processes
            .iter()
            .any(|r| r.name == name && r.is_alive())
    };
    if !runs("containerd") {
        return;
    }
    let tasks = ctr(dir, &["tasks", "ls", "--quiet"]);
    let tasks: Vec<&str> = tasks.lines().collect();
    if !tasks.is_empty() {
        ctr(dir, &[&["tasks", "rm", "--force"][..], &tasks].concat());
    }
}

fn ctr(dir: &Path, args: &[&str]) -> String {
    let socket = socket(dir);
    let limits = [
        "--timeout",
        "10s",
        "--address",
        &socket,
        "--namespace",
        "k8s.io",
    ];
    let output = Command::new("ctr")
        .args(limits)
        .args(args)
        .stdin(Stdio::null())
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}

/// Removes every trace outside of the folder, and every mount inside of it.
pub(crate) fn remove_traces(dir: &Path, state: &State) -> Result<()> {
    kill_containers(dir);
    unmount_below(dir)?;
    let _ = tool("ip", &["link", "delete", BRIDGE]);
    let _ = tool("nft", &["delete", "table", "ip", TABLE]);
    for family in ["ip", "ip6"] {
        let _ = tool("nft", &["delete", "table", family, "kube-proxy"]);
    }
    remove_files(dir);
    remove_cgroups();
    for (name, value) in &state.sysctls {
        let _ = network::set(name, value);
    }
    Ok(())
}

/// Runs a helper quietly; what is gone already is fine, and what is not shows in the checks.
fn tool(program: &str, args: &[&str]) -> std::io::Result<String> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A container's shim outlives containerd. Ours are told from others' by the socket in their command line.
fn kill_containers(dir: &Path) {
    let socket = socket(dir);
    let is_ours = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = line.split(|byte| *byte == 0);
        words
            .next()
            .is_some_and(|program| program.ends_with(b"/containerd-shim-runc-v2"))
            && words.any(|word| word == socket.as_bytes())
    };
    let parents = parents();
    let shims: Vec<i32> = parents.keys().copied().filter(is_ours).collect();
    let mut family: BTreeSet<i32> = shims.iter().copied().collect();
    // Children follow their parents, so that after as many rounds as there are generations nothing is added.
    while let Some(child) = parents
        .iter()
        .find(|(pid, parent)| family.contains(parent) && !family.contains(pid))
        .map(|(pid, _)| *pid)
    {
        family.insert(child);
    }
    for pid in &family {
        if let Some(pid) = Pid::from_raw(*pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let gone = || family.iter().all(|pid| start_time(*pid).is_none());
    wait::until_blocking(Duration::from_secs(10), gone);
}

/// Every process and its parent.
fn parents() -> BTreeMap<i32, i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
        Some((pid, parent))
    })
    .collect()
}

/// Unmounts everything below the folder: volumes, layers, network namespaces.
fn unmount_below(dir: &Path) -> Result<()> {
    let mounts = mounts_below(dir);
    // The last mounted first, as one may lie on another.
    for mount in mounts.iter().rev() {
        let _ = unmount(mount, UnmountFlags::DETACH);
    }
    let left = mounts_below(dir);
    ensure!(
        left.is_empty(),
        "cannot unmount {}",
        left.iter()
            .map(|m| m.display().to_string())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

fn mounts_below(dir: &Path) -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    points
        .map(unescaped)
        .filter(|point| point.starts_with(dir))
        .collect()
}

/// The table writes a blank as `\040`.
fn unescaped(point: &str) -> PathBuf {
    PathBuf::from(
        point
            .replace(r"\040", " ")
            .replace(r"\011", "\t")
            .replace(r"\134", r"\"),
    )
}

/// What network plugins, kubelet and shims keep in places that cannot be chosen: our files, then the empty folders.
fn remove_files(dir: &Path) {
    // Sandboxes that were not ended by way of the kubelet still have their results.
    let sandboxes = dir.join("containerd/io.containerd.grpc.v1.cri/sandboxes");
    let sandboxes: Vec<String> = entries(&sandboxes).map(|path| name_of(&path)).collect();
    for result in entries("/var/lib/cni/results") {
        let name = name_of(&result);
        if name.starts_with(NETWORK) || sandboxes.iter().any(|id| name.contains(id)) {
            let _ = fs::remove_file(result);
        }
    }
    for link in entries("/var/log/containers") {
        if fs::read_link(&link).is_ok_and(|target| target.starts_with(dir)) {
            let _ = fs::remove_file(link);
        }
    }
    // Containers that were killed rather than ended leave what their shim would have removed.
    for container in entries(dir.join("run/io.containerd.runtime.v2.task/k8s.io")) {
        let _ =
            fs::remove_dir_all(Path::new("/run/containerd/runc/k8s.io").join(name_of(&container)));
    }
    let kubelet = PathBuf::from("/var/lib/kubelet/device-plugins/kubelet.sock");
    let sockets = entries("/run/containerd/s").chain([kubelet]);
    for dead in sockets.filter(|socket| UnixStream::connect(socket).is_err()) {
        let _ = fs::remove_file(dead);
    }
    for folder in [
        "/var/lib/cni",
        "/var/log/containers",
        "/var/lib/kubelet",
        "/run/containerd",
    ] {
        remove_empty(Path::new(folder));
    }
}

fn entries(folder: impl AsRef<Path>) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Empty cgroups, the deepest first: the kernel refuses those that somebody is in.
fn remove_cgroups() {
    let root = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_dir(root)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    for place in controllers.chain([root.to_owned()]) {
        remove_empty(&place.join("kubepods"));
    }
}

/// Removes a folder and those below that hold nothing but folders.
fn remove_empty(dir: &Path) {
    let below = fs::read_dir(dir).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        remove_empty(&entry.path());
    }
    let _ = fs::remove_dir(dir);
}
