//! `testbed run`: a command with a cluster of its own around it.

use std::net::Ipv4Addr;
use std::process::ExitCode;

use anyhow::{Context, Result};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::exports;
use crate::control_plane::{components, unique};
use crate::programs;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::site::Site;

/// What a cluster of a command's own has.
#[derive(Debug, Clone, Copy)]
pub(super) struct With {
    pub(super) node: bool,
    /// On the node, Envoy beside Traefik.
    pub(super) envoy: bool,
}

/// Brings the cluster up, runs the command, takes the cluster down whatever happens, and gives the command's exit code.
pub(super) async fn run(settings: &Settings, with: With, command: &[String]) -> Result<ExitCode> {
    // From here on these signals end the command or the start, not us: the site's destructor has to run.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let work = with_cluster(settings, with, command);
    tokio::select! {
        code = work => code,
        // The command is killed with its handle; a terminal has sent it the same signal already.
        _ = interrupt.recv() => Ok(ExitCode::from(130)),
        _ = terminate.recv() => Ok(ExitCode::from(143)),
    }
}

/// Runs one of the programs, built first if need be, and gives its exit code.
pub(super) async fn exec(program: &str, args: &[String]) -> Result<ExitCode> {
    programs::ensure(&[program]).await?;
    let path = programs::path_of(program)?.display().to_string();
    let command: Vec<String> = std::iter::once(path).chain(args.iter().cloned()).collect();
    execute(&command, Vec::new()).await
}

async fn with_cluster(settings: &Settings, with: With, command: &[String]) -> Result<ExitCode> {
    if let Some(given) = &settings.kubeconfig {
        let given = vec![("KUBECONFIG".to_owned(), given.display().to_string())];
        return execute(command, given).await;
    }
    let name = unique("run");
    let mut site = Site::ephemeral(&settings.root, &name)?;
    let progress = Progress::Told;
    progress.say("a cluster for this run:");
    if with.node {
        crate::node::up(&mut site, settings, with.envoy, progress).await?;
    } else {
        components::up(&mut site, Ipv4Addr::LOCALHOST, progress).await?;
    }
    let code = execute(command, exports::variables(settings, &name)?).await;
    progress
        .step("cluster removed", async { site.wipe() })
        .await?;
    code
}

async fn execute(command: &[String], variables: Vec<(String, String)>) -> Result<ExitCode> {
    let (program, args) = command.split_first().context("no command to run")?;
    let status = Command::new(program)
        .args(args)
        .envs(variables)
        .kill_on_drop(true)
        .status()
        .await
        .with_context(|| format!("cannot run {program}"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
