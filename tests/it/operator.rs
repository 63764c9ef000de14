//! The operator as a process of its own, watching one namespace, and the nodes that its pods run on.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::OnceLock;

use testbed::scripted::{Rules, ScriptedNodes};
use tokio::process::{Child, Command};

use crate::cluster;

/// A running operator. Dropping it kills it.
pub(crate) struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    /// Starts one for a namespace, on the cluster of the tests.
    pub(crate) fn start(namespace: &str) -> Self {
        Self::start_with(
            namespace,
            &cluster::kubeconfig_path(),
            // The tests' servers of metrics are on this machine.
            &["--no-leader-election", "--metric-hosts", "127.0.0.0/8"],
        )
    }

    /// Starts one that talks to the API server that `kubeconfig` names.
    pub(crate) fn start_with(namespace: &str, kubeconfig: &Path, args: &[&str]) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_slipway"));
        Self::start_program(program, namespace, kubeconfig, args)
    }

    /// The same with a program, which may be one of another version.
    pub(crate) fn start_program(
        program: &Path,
        namespace: &str,
        kubeconfig: &Path,
        args: &[&str],
    ) -> Self {
        nodes();
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = std::env::temp_dir().join(format!(
            "slipway-{}-{namespace}-{count}.log",
            std::process::id()
        ));
        let file = std::fs::File::create(&log).unwrap();
        let child = Command::new(program)
            .args(["--watch-namespace", namespace, "--namespace", namespace])
            .args(["--listen", "127.0.0.1:0"])
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .env("RUST_LOG", "info,slipway=debug")
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a running operator")
    }

    /// Kills it as a power cut would.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to end, as Kubernetes does, and waits; the exit code.
    pub(crate) async fn end(mut self) -> Option<i32> {
        let pid = self.pid().to_string();
        Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        self.ended().await
    }

    /// Waits until it has logged some words.
    pub(crate) async fn until_logged(&self, words: &str) {
        let logged = async || self.log().contains(words).then_some(());
        cluster::wait_for(words, cluster::SOON, logged).await;
    }

    /// Where it serves health and metrics.
    pub(crate) async fn address(&self) -> String {
        self.address_of("serving health and metrics").await
    }

    /// What it serves as metrics now.
    pub(crate) async fn metrics(&self) -> String {
        let url = format!("http://{}/metrics", self.address().await);
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        http.get(url).send().await.unwrap().text().await.unwrap()
    }

    /// Where it takes alerts.
    pub(crate) async fn alert_address(&self) -> String {
        self.address_of("taking alerts").await
    }

    /// Where it takes logs and claims of stages.
    pub(crate) async fn stage_address(&self) -> String {
        self.address_of("taking logs of stages").await
    }

    /// Where it serves the dashboard.
    pub(crate) async fn dashboard_address(&self) -> String {
        self.address_of("serving the dashboard").await
    }

    async fn address_of(&self, what: &str) -> String {
        let address = async || {
            let log = self.log();
            let line = log.lines().find(|line| line.contains(what))?;
            let (_, address) = line.split_once("address=")?;
            Some(
                address
                    .chars()
                    .filter(|c| c.is_ascii_digit() || ".:".contains(*c))
                    .collect(),
            )
        };
        cluster::wait_for("its address", cluster::SOON, address).await
    }

    /// Waits until it has ended by itself; the exit code, if it was not killed.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        self.child.wait().await.unwrap().code()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("---- operator {} ----\n{}", self.log.display(), self.log());
        }
        let _ = std::fs::remove_file(&self.log);
    }
}

static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);

/// The nodes of this run, on a runtime that outlives the tests.
pub(crate) fn nodes() -> &'static ScriptedNodes {
    static NODES: OnceLock<ScriptedNodes> = OnceLock::new();
    NODES.get_or_init(|| {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let client = cluster::client().await;
                send.send(
                    ScriptedNodes::start(client, 4, Rules::default())
                        .await
                        .unwrap(),
                )
                .unwrap();
                std::future::pending::<()>().await;
            });
        });
        receive.recv().unwrap()
    })
}
