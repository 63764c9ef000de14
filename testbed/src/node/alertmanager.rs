//! Alertmanager on this machine, on request: where Prometheus sends its alerts.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::process::{Child, Command};

use super::{PATIENCE, http_ok};
use crate::{process, programs, wait};

/// A running Alertmanager. Dropping it ends it.
#[derive(Debug)]
pub struct Alertmanager {
    child: Child,
    folder: PathBuf,
}

impl Alertmanager {
    pub(super) async fn start(prometheus: &str, config: &str) -> Result<Self> {
        programs::ensure(&["alertmanager"]).await?;
        let address = address(prometheus).await?;
        let folder =
            std::env::temp_dir().join(format!("slipway-alertmanager-{}", std::process::id()));
        std::fs::create_dir_all(&folder).context("cannot make a folder for Alertmanager")?;
        let (file, log) = (folder.join("config.yaml"), folder.join("log"));
        std::fs::write(&file, config)?;
        let output = std::fs::File::create(&log)?;
        let child = Command::new(programs::path_of("alertmanager")?)
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // It is alone.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start Alertmanager")?;
        let mut started = Self { child, folder };
        let url = format!("http://{address}/-/ready");
        let ready = wait::until("Alertmanager is ready", PATIENCE, || {
            let has_ended = started.child.try_wait();
            let url = url.clone();
            async move {
                ensure!(has_ended?.is_none(), "Alertmanager has ended");
                Ok(http_ok(&url).await.ok())
            }
        });
        let ready = ready.await;
        ready.with_context(|| process::last_lines(&log, 5))?;
        Ok(started)
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.start_kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Where Prometheus sends its alerts.
async fn address(prometheus: &str) -> Result<String> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{prometheus}/api/v1/alertmanagers");
    let answer: Value = http.get(url).send().await?.json().await?;
    let url = answer.pointer("/data/activeAlertmanagers/0/url");
    let url = url.and_then(Value::as_str);
    let url = url.context("the given cluster's Prometheus sends its alerts nowhere")?;
    let rest = url
        .strip_prefix("http://")
        .context("an address without http")?;
    let address = rest.split('/').next().unwrap_or(rest);
    Ok(address.to_owned())
}
