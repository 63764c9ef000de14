//! `dashboard`: the pages of the dashboard, for whoever runs this. Talks to the API server, and serves on this machine.

use std::fs::{OpenOptions, remove_file};
use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use aws_lc_rs::rand;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::cluster::{self, Place, Server};
use super::run::archive::Keeper;
use super::{Answer, in_runtime};
use crate::dashboard::guard::Secret;
use crate::dashboard::{Door, serve};

/// What opens an address on this kind of machine.
const OPENER: &str = if cfg!(target_os = "macos") {
    "open"
} else {
    "xdg-open"
};

/// Where it looks, and where it is.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Begin with all namespaces.
    #[arg(short = 'A', long, conflicts_with = "namespace")]
    pub all_namespaces: bool,
    /// Port on this machine; a free one by default.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub port: u16,
    /// Print the address, and open no browser.
    #[arg(long)]
    pub no_open: bool,
    /// Where it looks.
    #[command(flatten)]
    pub place: Place,
    /// Who keeps logs.
    #[command(flatten)]
    pub keeper: Keeper,
}

/// Serves it until it is ended.
pub fn run(args: &Args) -> Answer {
    in_runtime(show(args))
}

async fn show(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let unusable = |error: io::Error| format!("cannot listen on {wanted}: {error}");
    let listener = TcpListener::bind(wanted).await.map_err(unusable)?;
    let address = listener.local_addr().map_err(unusable)?;
    let mut random = [0; 32];
    rand::fill(&mut random).map_err(|_| "cannot make a secret for the address".to_owned())?;
    let secret = Secret::of(random);
    let opened = format!("http://{address}/#token={}", secret.as_str());
    let door = Door::Local {
        secret,
        context: cluster::context(&args.place),
        namespace: (!args.all_namespaces).then(|| server.namespace().to_owned()),
    };
    let mut out = io::stdout();
    let said = writeln!(out, "{opened}").and_then(|()| out.flush());
    said.map_err(|error| format!("cannot print the address: {error}"))?;
    let mut page = None;
    if out.is_terminal() && !args.no_open {
        // Whoever has no browser has the address.
        page = Page::write(&std::env::temp_dir(), &opened).ok();
        page.iter().for_each(Page::open);
    }
    let serving = serve(
        listener,
        (server, door),
        args.keeper.clone(),
        CancellationToken::new(),
    );
    tokio::select! {
        ended = serving => ended.map_err(|error| format!("the dashboard has ended: {error}"))?,
        // Streams that are open end with the program.
        _ = tokio::signal::ctrl_c() => {}
    }
    drop(page);
    Ok(Answer::default())
}

/// A page that leads to the address, for the browser of whoever runs this alone: others see command lines. It is gone when this is dropped.
struct Page(PathBuf);

impl Page {
    fn write(folder: &Path, address: &str) -> io::Result<Self> {
        let mut random = [0; 32];
        rand::fill(&mut random).map_err(io::Error::other)?;
        let name = Secret::of(random);
        let path = folder.join(format!("slipway-dashboard-{}.html", name.as_str()));
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let page = Self(path);
        // Nothing in the address means anything in a page.
        writeln!(
            file,
            "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0; url={address}\"><a href=\"{address}\">Slipway</a>"
        )?;
        Ok(page)
    }

    /// Opens it in a browser, if there is one.
    fn open(&self) {
        let nothing = || Stdio::null();
        let _ = Command::new(OPENER)
            .arg(&self.0)
            .stdin(nothing())
            .stdout(nothing())
            .stderr(nothing())
            .spawn();
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let _ = remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use clap::Parser;

    use super::*;
    use crate::cli::Command as Verb;

    fn args(line: &str) -> Result<Args, clap::Error> {
        let line = format!("kubectl-slipway dashboard {line}");
        let args = crate::cli::Args::try_parse_from(line.split_whitespace())?;
        match args.command {
            Verb::Dashboard(args) => Ok(args),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_begins_with_a_namespace_or_with_all() {
        let shop = args("-n shop --port 8001 --no-open").unwrap();
        assert_eq!(shop.place.namespace.as_deref(), Some("shop"));
        assert_eq!((shop.port, shop.no_open), (8001, true));
        assert!(args("-A").unwrap().all_namespaces);
        assert!(args("-A -n shop").is_err());
    }

    #[test]
    fn the_page_that_leads_there_is_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let address = "http://127.0.0.1:8001/#token=abc";
        let page = Page::write(folder.path(), address).unwrap();
        let mode = page.0.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let text = std::fs::read_to_string(&page.0).unwrap();
        assert!(text.contains(&format!("url={address}\"")), "{text}");
        let path = page.0.clone();
        assert!(!path.to_string_lossy().contains("abc"));
        drop(page);
        assert!(!path.exists());
    }
}
