//! The testbed's commands, for people and scripts.

mod exports;
mod run;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::{Args, Parser, Subcommand};

use self::run::With;
use crate::control_plane::components;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::site::{self, Site};
use crate::{programs, wait};

/// A real Kubernetes cluster out of package registries, for tests and the demo.
#[derive(Debug, Parser)]
#[command(name = "testbed")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Bring a cluster up, or what of it does not run; does nothing when all of it does
    Up {
        /// No node: pods are made but never run
        #[arg(long)]
        control_plane: bool,
        /// A second gateway beside Traefik, which mirrors requests and keeps sessions
        #[arg(long, conflicts_with = "control_plane")]
        envoy: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Stop a cluster and remove every trace of it
    Down {
        /// Every cluster of this machine
        #[arg(long, conflicts_with = "name")]
        all: bool,
        #[command(flatten)]
        which: Which,
    },
    /// Tell which clusters there are and which of their processes run
    Status,
    /// Print shell lines that make programs and tests use a cluster: eval "$(testbed env)"
    Env(Which),
    /// Bring a cluster of its own up, run a command against it, and take it down again
    Run {
        /// With a node that runs pods
        #[arg(long, conflicts_with = "control_plane")]
        node: bool,
        /// Without a node, which is what you get anyway
        #[arg(long)]
        control_plane: bool,
        /// On the node, Envoy as a second gateway
        #[arg(long, requires = "node")]
        envoy: bool,
        /// The command and its arguments, after --
        #[arg(required = true, last = true)]
        command: Vec<String>,
    },
    /// Build an image, push it to a cluster's registry and print its name there
    Image {
        /// One of the testbed's own (busybox, debian, gitea, buildkit, buildah, syft, scanner), or with --context any name
        image: String,
        /// The folder with the Dockerfile
        #[arg(long)]
        context: Option<PathBuf>,
        #[command(flatten)]
        which: Which,
    },
    /// Run one of the programs, built first if need be: testbed exec helm -- version
    Exec {
        /// For example helm
        program: String,
        /// Its arguments, after --
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Build programs into the cache: those named, else all
    Build {
        /// For example kube-apiserver
        names: Vec<String>,
    },
}

#[derive(Debug, Args)]
struct Which {
    /// The cluster's name
    #[arg(long, default_value = "default")]
    name: String,
}

/// Runs the command line of this process.
pub async fn main() -> ExitCode {
    let cli = Cli::parse();
    match execute(cli.command, &Settings::from_env()).await {
        Ok(code) => code,
        Err(error) => {
            eprintln!("testbed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn execute(command: Command, settings: &Settings) -> Result<ExitCode> {
    match command {
        Command::Up {
            control_plane,
            envoy,
            which,
        } => {
            let node = !control_plane;
            up(settings, &which.name, With { node, envoy }).await?;
        }
        Command::Down { all, which } => {
            let names = if all {
                site::names(&settings.root)
            } else {
                vec![which.name]
            };
            for name in names {
                down(settings, &name).await?;
            }
        }
        Command::Status => status(settings)?,
        Command::Env(which) => print(&exports::shell(settings, &which.name)?),
        Command::Exec { program, args } => return run::exec(&program, &args).await,
        Command::Run {
            node,
            envoy,
            command,
            ..
        } => return run::run(settings, With { node, envoy }, &command).await,
        Command::Image {
            image,
            context,
            which,
        } => {
            let registry = exports::registry(settings, &which.name)?;
            let reference = match context {
                Some(context) => crate::image::build(&registry, &context, &image).await?,
                None => crate::image::base::named(&registry, &image).await?,
            };
            print(&format!("{reference}\n"));
        }
        Command::Build { names } => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let all: Vec<&str> = programs::all().collect();
            programs::ensure(if names.is_empty() { &all } else { &names }).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn up(settings: &Settings, name: &str, with: With) -> Result<()> {
    let (started, progress) = (Instant::now(), Progress::Told);
    let mut site = Site::open(&settings.root, name).await?;
    progress.say(&format!("cluster {name}:"));
    if with.node {
        crate::node::up(&mut site, settings, with.envoy, progress).await?;
    } else {
        ensure!(
            !site.state.node,
            "cluster {name} has a node: take it down first, or leave out --control-plane"
        );
        components::up(&mut site, std::net::Ipv4Addr::LOCALHOST, progress).await?;
    }
    progress.say(&format!(
        "up in {}; to use it: eval \"$(testbed env --name {name})\"",
        wait::human(started.elapsed())
    ));
    Ok(())
}

/// Removes a lasting cluster, as `testbed down` does.
///
/// # Errors
///
/// Something of it is left.
pub async fn remove(name: &str) -> Result<()> {
    down(&Settings::from_env(), name).await
}

async fn down(settings: &Settings, name: &str) -> Result<()> {
    let mut site = Site::open(&settings.root, name).await?;
    if !site.exists() {
        Progress::Told.say(&format!("there is no cluster {name}"));
        return Ok(());
    }
    Progress::Told
        .step(&format!("cluster {name} removed"), async { site.wipe() })
        .await
}

fn status(settings: &Settings) -> Result<()> {
    let names = site::names(&settings.root);
    if names.is_empty() {
        print("no cluster\n");
    }
    for name in names {
        let Some(state) = site::peek(&settings.root, &name)? else {
            continue;
        };
        let kind = if state.node {
            "with a node"
        } else {
            "control plane"
        };
        let life = if state.ephemeral {
            ", of one process"
        } else {
            ""
        };
        print(&format!("{name} ({kind}{life})\n"));
        for process in &state.processes {
            let life = if process.is_alive() {
                "runs"
            } else {
                "STOPPED"
            };
            let address = state
                .addresses
                .get(&process.name)
                .map_or("", String::as_str);
            print(&format!(
                "  {:<24} {life:<8} {:>8}  {address}\n",
                process.name, process.pid
            ));
        }
        if let Some(address) = crate::node::envoy::address(&settings.root.join(&name)) {
            print(&format!(
                "  {:<24} {:<8} {:>8}  {address}\n",
                "envoy", "in pods", ""
            ));
        }
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "the command line's answer")]
fn print(text: &str) {
    print!("{text}");
}
