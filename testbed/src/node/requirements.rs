//! What a node needs of the machine, checked before anything is touched.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use crate::settings::search_path;

/// A file that is there when a Debian package is.
const PROGRAMS: &[(&str, &str)] = &[
    ("containerd", "containerd"),
    ("runc", "runc"),
    ("buildah", "buildah"),
    ("docker-registry", "docker-registry"),
    ("conntrack", "conntrack"),
    ("socat", "socat"),
    ("busybox", "busybox-static"),
    ("nft", "nftables"),
    ("ip", "iproute2"),
    ("openssl", "openssl"),
];

/// Where Debian puts the network plugins.
pub(super) const CNI: &str = "/usr/lib/cni";

/// One sentence saying what to do, if something is missing.
pub(super) fn check() -> Result<()> {
    ensure!(
        rustix::process::geteuid().is_root(),
        "a node needs root, for its bridge, mounts and containers: run this with sudo, \
         or use --control-plane, which does not need it"
    );
    let missing = missing(&search_path(), Path::new(CNI));
    ensure!(
        missing.is_empty(),
        "a node needs Debian packages that are not here: apt-get install -y --no-install-recommends {}",
        missing.join(" ")
    );
    ensure!(
        Path::new("/proc/sys/net").is_dir() && Path::new("/sys/fs/cgroup").is_dir(),
        "a node needs /proc/sys/net and /sys/fs/cgroup: run this outside of an unprivileged container"
    );
    Ok(())
}

fn missing(path: &[PathBuf], cni: &Path) -> Vec<&'static str> {
    let is_there = |program: &str| path.iter().any(|dir| dir.join(program).is_file());
    let programs = PROGRAMS.iter().filter(|(program, _)| !is_there(program));
    let mut missing: Vec<&str> = programs.map(|(_, package)| *package).collect();
    if !cni.join("bridge").is_file() {
        missing.push("containernetworking-plugins");
    }
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_machine_misses_every_package() {
        let nowhere = PathBuf::from("/nonexistent");

        assert_eq!(
            missing(std::slice::from_ref(&nowhere), &nowhere).len(),
            PROGRAMS.len() + 1
        );
    }
}
