//! The sample application's repository: a clone on this machine, pushed to the git provider in the cluster.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::process::Command;

use crate::settings::{Settings, program};
use crate::wait;

/// Who writes the code.
const AUTHOR: [&str; 2] = ["user.name=Dana", "user.email=dana@greeter.test"];
/// How long the git provider may take to take a commit.
const PATIENCE: Duration = Duration::from_mins(1);

/// A clone, gone with the value.
#[derive(Debug)]
pub(crate) struct Repository {
    folder: PathBuf,
    /// Where it is pushed to, and what git has to be told to find that.
    remote: [String; 2],
}

impl Repository {
    /// A repository with the sample's sources, not committed yet.
    pub(crate) async fn create(remote: [String; 2]) -> Result<Self> {
        let name = crate::control_plane::unique("greeter");
        let repository = Self {
            folder: Settings::from_env().root.join(name),
            remote,
        };
        let sources = crate::repository_root().join("examples/greeter");
        copy(&sources, &repository.folder)
            .with_context(|| format!("cannot copy {}", sources.display()))?;
        repository.git(&["init", "-q", "-b", "main", "."]).await?;
        Ok(repository)
    }

    /// Writes a file.
    pub(crate) fn write(&self, file: &str, content: &str) -> Result<()> {
        fs::write(self.folder.join(file), content).with_context(|| format!("cannot write {file}"))
    }

    /// Commits everything and pushes it; gives the commit.
    pub(crate) async fn push(&self, message: &str) -> Result<String> {
        self.push_to("main", message).await
    }

    /// The same on a new branch; what comes after it is on `main` again, without it.
    pub(crate) async fn push_aside(&self, branch: &str, message: &str) -> Result<String> {
        self.git(&["switch", "-q", "-c", branch]).await?;
        let commit = self.push_to(branch, message).await?;
        self.git(&["switch", "-q", "main"]).await?;
        Ok(commit)
    }

    async fn push_to(&self, branch: &str, message: &str) -> Result<String> {
        self.git(&["add", "-A"]).await?;
        self.git(&["commit", "-q", "-m", message]).await?;
        let [url, resolve] = &self.remote;
        wait::until("Gitea takes the commit", PATIENCE, || async {
            self.git(&["-c", resolve, "push", "-q", url, branch])
                .await
                .map(Some)
        })
        .await?;
        Ok(self.git(&["rev-parse", "HEAD"]).await?.trim().to_owned())
    }

    async fn git(&self, args: &[&str]) -> Result<String> {
        let [name, email] = AUTHOR;
        let output = Command::new(program("git")?)
            .args(["-C", &self.folder.display().to_string()])
            .args([
                "-c",
                name,
                "-c",
                email,
                "-c",
                "commit.gpgsign=false",
                "-c",
                "http.proxy=",
            ])
            .args(args)
            // Only what stands here counts, whatever this machine's user has set.
            .envs([
                ("GIT_CONFIG_GLOBAL", "/dev/null"),
                ("GIT_CONFIG_SYSTEM", "/dev/null"),
            ])
            .env("GIT_TERMINAL_PROMPT", "0")
            .kill_on_drop(true)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "git {}: {}",
            args.join(" "),
            said.trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Copies the files of a folder; what Python leaves there is none of the sources.
fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
