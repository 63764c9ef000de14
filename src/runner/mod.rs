//! `slipway-runner`: the program inside stage pods.
//!
//! `install` copies itself into the pod's volume, `source` fetches the commit, `restore` and `caches` fill and keep
//! caches, `stage` runs a script, `packages` pushes what it has left, `fetch` brings what was pushed, `build` builds an image, `sbom` lists what is in it, `sign` signs it, `logs` sends
//! what they say to the operator, `claim` lets a stage begin that runs at most once. What to do comes as one JSON value
//! in the environment (`task`), how it went goes back as the container's termination message (`report`). Nothing from
//! outside is ever spliced into a command line.

pub mod build;
pub mod cache;
pub mod call;
pub mod changed;
pub mod claim;
pub mod fetch;
pub mod git;
pub mod glob;
pub mod handover;
pub mod index;
pub mod keep;
mod left;
pub mod log;
pub mod mask;
pub mod memory;
mod older;
pub mod package;
pub mod process;
pub mod registry;
pub mod release;
pub mod report;
pub mod sbom;
pub mod ship;
pub mod sign;
pub mod source;
pub mod stage;
pub mod tag;
pub mod task;

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use serde::de::DeserializeOwned;

use crate::error::chain;
use handover::Handover;
use process::Stop;
use report::StageReport;

/// Runs what a stage pod does.
#[derive(Debug, Parser)]
#[command(name = "slipway-runner", version, about)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// The task, as JSON.
    #[arg(long, env = task::VARIABLE, default_value = "", hide_env_values = true, global = true)]
    pub task: String,
    /// File that becomes the container's termination message.
    #[arg(long, default_value = "/dev/termination-log", global = true)]
    pub report: PathBuf,
    /// Longest report, in bytes: the more containers a pod has, the less each of them may say.
    #[arg(long, default_value_t = report::LIMIT, global = true)]
    pub report_limit: usize,
    /// Folder that the containers of a pod share.
    #[arg(long, default_value = task::WORKSPACE, global = true)]
    pub workspace: PathBuf,
    /// Folder that the log is kept in, if it is there.
    #[arg(long, default_value = task::LOGS, global = true)]
    pub logs: PathBuf,
    /// Folder with the archives of caches.
    #[arg(long, default_value = task::STORAGE, global = true)]
    pub storage: PathBuf,
    /// Folder into which caches are unpacked.
    #[arg(long, default_value = task::CACHES, global = true)]
    pub caches: PathBuf,
}

impl Args {
    fn places(&self) -> cache::Places {
        cache::Places {
            storage: self.storage.clone(),
            caches: self.caches.clone(),
        }
    }
}

/// What the runner does.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Copy the runner to a path.
    Install {
        /// Where to.
        path: PathBuf,
    },
    /// Fetch a commit.
    Source,
    /// Fill the folders of caches.
    Restore,
    /// Keep what is in the folders of caches, once the script went well.
    Caches,
    /// Push what the script has left, once it went well.
    Packages,
    /// Fetch the packages that a run has made.
    Fetch,
    /// Run a script.
    Stage,
    /// Build an image and push it.
    Build,
    /// Join the images of several platforms.
    Index,
    /// Give images their tags.
    Tag,
    /// Give a commit its version in the repository.
    Release,
    /// List what is in images, and put the lists beside them.
    Sbom,
    /// Sign images and what is known about them.
    Sign,
    /// Send what the stage says to the operator.
    Logs,
    /// Claim the attempt of a stage that runs at most once.
    Claim,
}

/// Where things are in a pod. The names of `task` are those of a real one.
#[derive(Clone, Debug)]
pub struct Folders {
    /// What the containers share.
    pub workspace: PathBuf,
}

impl Folders {
    /// Where the repository is checked out.
    pub fn checkout(&self) -> PathBuf {
        self.workspace.join("source")
    }

    /// How the container with the script has caches kept.
    pub fn caches(&self) -> Handover {
        Handover::new(&self.workspace, "caches")
    }

    /// How it has packages pushed.
    pub fn packages(&self) -> Handover {
        Handover::new(&self.workspace, "packages")
    }

    /// With this file, `source` says that nothing has changed that the stage is about.
    pub fn unchanged_file(&self) -> PathBuf {
        self.workspace.join("unchanged")
    }

    /// What `build` needs to know of the commit.
    pub fn commit_file(&self) -> PathBuf {
        self.workspace.join("commit.json")
    }

    /// What `stage` needs to know of the lines that changed.
    pub fn changed_file(&self) -> PathBuf {
        self.workspace.join("changed.json")
    }
}

/// Does what the command line says; the exit code.
pub async fn run(args: Args) -> u8 {
    let folders = Folders {
        workspace: args.workspace.clone(),
    };
    if !matches!(args.command, Command::Logs | Command::Install { .. }) {
        log::keep_in(&args.logs);
    }
    act(&args, &folders).await.unwrap_or_else(|error| {
        say(&format!("slipway-runner: {}", chain(&error)));
        1
    })
}

async fn act(args: &Args, folders: &Folders) -> io::Result<u8> {
    let task = args.task.as_str();
    let told = |(report, code): (StageReport, u8)| (report.encode_within(args.report_limit), code);
    let (report, code) = match &args.command {
        Command::Install { path } => return install(path).map(|()| 0),
        Command::Logs => {
            ship::run(&parse(task)?, &mut Stop::listen()?).await;
            return Ok(0);
        }
        Command::Restore => {
            cache::restore(&parse(task)?, folders, &args.places()).await;
            return Ok(0);
        }
        Command::Caches => {
            let mut stop = Stop::listen()?;
            cache::keep(parse(task)?, folders, &args.places(), &mut stop).await;
            return Ok(0);
        }
        Command::Source => {
            let (report, code) = source::run(&parse(task)?, folders).await;
            (report.encode_within(args.report_limit), code)
        }
        Command::Stage => told(stage::run(&parse(task)?, folders, &mut Stop::listen()?).await),
        Command::Packages => told(package::run(&parse(task)?, folders, &mut Stop::listen()?).await),
        Command::Fetch => told(fetch::run(&parse(task)?).await),
        Command::Build => told(build::run(&parse(task)?, folders, &mut Stop::listen()?).await),
        Command::Index => told(index::run(&parse(task)?).await),
        Command::Tag => told(tag::run(&parse(task)?).await),
        Command::Release => told(release::run(&parse(task)?, folders).await),
        Command::Sbom => told(sbom::run(&parse(task)?, folders, &mut Stop::listen()?).await),
        Command::Sign => told(sign::run(&parse(task)?, folders).await),
        Command::Claim => told(claim::run(&parse(task)?).await),
    };
    write_report(&args.report, &report);
    Ok(code)
}

fn parse<T: DeserializeOwned>(task: &str) -> io::Result<T> {
    serde_json::from_str(task).map_err(|error| {
        let message = format!("{} does not hold a task: {error}", task::VARIABLE);
        io::Error::new(io::ErrorKind::InvalidInput, message)
    })
}

/// Copies this program, whole or not at all.
fn install(path: &Path) -> io::Result<()> {
    let part = path.with_extension("part");
    std::fs::copy(std::env::current_exe()?, &part)?;
    std::fs::set_permissions(&part, PermissionsExt::from_mode(0o755))?;
    std::fs::rename(&part, path)
}

/// The script of a stage: what is older than it was there before.
fn script_file(folders: &Folders) -> PathBuf {
    folders.workspace.join("script.sh")
}

fn write_report(path: &Path, text: &str) {
    if let Err(error) = std::fs::write(path, text) {
        say(&format!(
            "slipway-runner: cannot write {}: {error}",
            path.display()
        ));
    }
}

/// A line in the log of the stage.
pub(crate) fn say(line: &str) {
    log::write(format!("{line}\n").as_bytes());
}

#[cfg(test)]
mod tests;
