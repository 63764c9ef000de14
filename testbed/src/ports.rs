//! Free ports, told to one asker each even when several clusters start at once.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener};
use std::path::Path;

use anyhow::{Context, Result};

/// Below the kernel's range for outgoing connections, so that none of those takes a port first.
const RANGE: std::ops::Range<u16> = 20_000..32_000;

pub(crate) fn is_free(ip: Ipv4Addr, port: u16) -> bool {
    TcpListener::bind(SocketAddrV4::new(ip, port)).is_ok()
}

/// The next free port after the one handed out last on this machine.
pub(crate) fn free(root: &Path, ip: Ipv4Addr) -> Result<u16> {
    let mut file = File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(root.join("ports.lock"))
        .context("cannot open the record of ports")?;
    file.lock()?;
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let last = text.trim().parse().ok().filter(|port| RANGE.contains(port));
    let first = last.map_or(RANGE.start, |port: u16| port + 1);
    let port = (first..RANGE.end)
        .chain(RANGE.start..first)
        .find(|port| is_free(ip, *port))
        .with_context(|| format!("no free port on {ip}"))?;
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{port}")?;
    Ok(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_told_twice_in_a_row() {
        let root = std::env::temp_dir().join(format!("slipway-ports-{}", std::process::id()));
        std::fs::create_dir_all(&root).unwrap();
        let ask = || free(&root, Ipv4Addr::LOCALHOST).unwrap();

        let (first, second) = (ask(), ask());

        assert_ne!(first, second);
        std::fs::remove_dir_all(root).unwrap();
    }
}
