//! kubectl, as people use it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Result, ensure};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::programs;

/// kubectl as one user.
#[derive(Debug, Clone)]
pub(crate) struct Kubectl {
    kubeconfig: PathBuf,
}

impl Kubectl {
    pub(crate) fn new(kubeconfig: &Path) -> Self {
        Self {
            kubeconfig: kubeconfig.to_owned(),
        }
    }

    /// Runs it; what it says on success.
    ///
    /// # Errors
    ///
    /// What it says on failure.
    pub(crate) async fn run(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = Command::new(programs::path_of("kubectl")?)
            .env("KUBECONFIG", &self.kubeconfig)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(input.as_bytes()).await?;
        }
        let output = child.wait_with_output().await?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "kubectl {}: {}",
            args.join(" "),
            said.trim()
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Applies manifests.
    pub(crate) async fn apply(&self, manifests: &str) -> Result<String> {
        self.run(&["apply", "-f", "-"], manifests).await
    }

    /// Makes objects whose names the server chooses; says what it made.
    pub(crate) async fn create(&self, manifests: &str) -> Result<String> {
        self.run(&["create", "-f", "-", "-o", "name"], manifests)
            .await
    }
}
