//! The operator as a process of this machine, in place of its pods: it is killed right after one write, and is back at once.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;

use futures::FutureExt;
use http::Method;
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::proxy::{Fault, Match, Proxy, What};
use tokio::process::{Child, Command};

use super::{nothing_rolled_back, ready};
use crate::app::{
    App, NAME, REPLICAS, SOON, is_full, is_phase, is_true, nothing_lost, wait_for, weight_of,
    with_app,
};
use crate::cluster::{NAMESPACE, RELEASE, Version};

/// Writes of a change: a few more than there are.
const WRITES: u64 = 45;

/// Short pauses: an operator is back within a second.
fn steps() -> Value {
    json!({"strategy": {"maxSurge": "100%", "steps": [
        {"setWeight": {"weight": 20}}, {"pause": {"for": "2s"}},
        {"setWeight": {"weight": 50}}, {"pause": {"for": "1s"}},
    ]}})
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn killed_at_five_moments_of_a_canary_it_ends_as_if_nothing_had_been() {
    with_app(async |app| {
        app.start(Version::One, &steps()).await;
        without_pods(app, async || {
            let proxy = Proxy::start(app.as_operator().await).await.unwrap();
            let mut operator = Operator::start(app, &proxy);
            let film = app.film().await;
            let route = app.film_route().await;
            let load = app.load().await;
            let before = set_of_stable(&app.now().await);
            let in_path = |method, part: &str| Match::writes().method(method).path(part);

            let first_set = in_path(Method::POST, "/replicasets");
            let killed = operator.kill_after(&proxy, first_set);
            let asked = Instant::now();
            app.ask_for(Version::Two, &steps()).await;
            killed.await;
            operator = Operator::start(app, &proxy);
            let first_weight = in_path(Method::PATCH, "/httproutes/");
            operator.kill_after(&proxy, first_weight).await;
            assert_eq!(weight_now(app).await, Some(20));
            operator = Operator::start(app, &proxy);
            app.until_paused_at(20).await;
            operator.kill().await;
            operator = Operator::start(app, &proxy);
            let takes_over = in_path(Method::PATCH, &format!("/services/{NAME}-stable"));
            operator.kill_after(&proxy, takes_over).await;
            assert_eq!(weight_now(app).await, Some(100));
            operator = Operator::start(app, &proxy);
            let scaled_down = in_path(Method::PATCH, &format!("/replicasets/{before}"));
            operator.kill_after(&proxy, scaled_down).await;
            operator = Operator::start(app, &proxy);
            ended_well(app, &before).await;
            operator.kill().await;
            nothing_rolled_back(&film);
            assert_eq!(route.changes_since(asked, weight_of), [20, 50, 100, 0]);
            nothing_lost("an operator killed five times", load).await;
            killed_after_other_writes(app, &proxy).await;
        })
        .await;
    })
    .await;
}

/// After any write, where there is time for it: `make e2e-full`.
async fn killed_after_other_writes(app: &App, proxy: &Proxy) {
    if !is_full() {
        return;
    }
    let mut versions = [Version::One, Version::Two].into_iter().cycle();
    for kill_after in (1..=WRITES).step_by(2) {
        let (route, load) = (app.film_route().await, app.load().await);
        let before = set_of_stable(&app.now().await);
        let mut operator = Operator::start(app, proxy);
        let fault = Fault::new(Match::writes(), What::KillPid(operator.pid())).nth(kill_after);
        let injected = proxy.inject(fault);
        let asked = Instant::now();
        app.ask_for(versions.next().unwrap(), &steps()).await;
        tokio::select! {
            () = operator.ended() => {}
            () = ended_well(app, &before) => {}
        }
        injected.remove();
        if injected.hits() > 0 {
            operator = Operator::start(app, proxy);
        }
        ended_well(app, &before).await;
        assert_eq!(route.changes_since(asked, weight_of), [20, 50, 100, 0]);
        nothing_lost(
            &format!("an operator killed after write {kill_after}"),
            load,
        )
        .await;
        operator.kill().await;
    }
}

/// Waits until a change is over, and everything is as without a single kill.
async fn ended_well(app: &App, before: &str) {
    let rollout = app
        .until("Healthy on another revision", |rollout| {
            is_phase(rollout, "Healthy") && set_of_stable(rollout) != before
        })
        .await;
    app.until_pods(REPLICAS).await;
    assert_eq!(rollout["status"]["history"][0]["result"], "Promoted");
    assert!(
        !is_true(&rollout, "ActionFailed"),
        "{:#}",
        rollout["status"]
    );
    let revision = &rollout["status"]["stable"]["revision"];
    for side in ["stable", "canary"] {
        let name = format!("{NAME}-{side}");
        let service = app.api(ObjectKind::Service).get(&name).await.unwrap();
        let selected = &service.data["spec"]["selector"]["slipway.dev/revision"];
        assert_eq!(selected, revision, "{name}");
    }
    let sets = app.api(ObjectKind::ReplicaSet);
    let sets = sets.list(&ListParams::default()).await.unwrap();
    let sizes = sets.iter().map(|set| &set.data["spec"]["replicas"]);
    let sizes: Vec<&Value> = sizes.collect();
    assert_eq!(sizes.len(), 2, "one ReplicaSet per version");
    assert!(
        sizes.contains(&&json!(REPLICAS)) && sizes.contains(&&json!(0)),
        "{sizes:?}"
    );
}

/// The name of the stable revision's ReplicaSet.
fn set_of_stable(rollout: &Value) -> String {
    let revision = rollout["status"]["stable"]["revision"]
        .as_str()
        .unwrap_or_default();
    format!("{NAME}-{revision}")
}

async fn weight_now(app: &App) -> Option<u64> {
    let route = app.api(ObjectKind::HttpRoute).get(NAME).await.unwrap();
    weight_of(&serde_json::to_value(route).unwrap())
}

/// Tells a story while none of the operator's pods is there.
pub(super) async fn without_pods(app: &App, story: impl AsyncFnOnce()) {
    scale(app, 0).await;
    let result = AssertUnwindSafe(story()).catch_unwind().await;
    scale(app, 2).await;
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
    ready(app).await;
}

async fn scale(app: &App, replicas: usize) {
    let deployments: Api<Deployment> = Api::namespaced(app.client.clone(), NAMESPACE);
    let change = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    deployments
        .patch_scale(RELEASE, &PatchParams::default(), &change)
        .await
        .unwrap();
    let operators = ListParams::default().labels("app.kubernetes.io/component=operator");
    wait_for(
        "another number of operators",
        SOON,
        async || match super::pods(app).list(&operators).await.unwrap().items.len() {
            count if count == replicas => Ok(()),
            count => Err(format!("{count} of {replicas}")),
        },
    )
    .await;
}

/// The operator, for the namespace of one story. Dropping it kills it.
pub(super) struct Operator {
    child: Child,
    log: PathBuf,
}

impl Operator {
    pub(super) fn start(app: &App, proxy: &Proxy) -> Self {
        let folder = std::env::temp_dir();
        let kubeconfig = folder.join(format!("{}.kubeconfig", app.namespace));
        proxy.write_kubeconfig(&kubeconfig).unwrap();
        let log = folder.join(format!("{}.log", app.namespace));
        let child = Self::command(&app.namespace, &kubeconfig, &log).spawn();
        Self {
            child: child.unwrap(),
            log,
        }
    }

    fn command(namespace: &str, kubeconfig: &Path, log: &Path) -> Command {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(log)
            .unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command
            // Where its ServiceAccount may hold Leases of databases.
            .args(["--watch-namespace", namespace, "--namespace", NAMESPACE])
            .args(["--no-leader-election", "--listen", "127.0.0.1:0"])
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .kill_on_drop(true);
        command
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id().expect("a running operator")
    }

    pub(super) async fn ended(&mut self) {
        self.child.wait().await.unwrap();
    }

    /// Kills it as a power cut would.
    pub(super) async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sees to it that it is killed right after the first of these writes, before it hears of it; returns when it was.
    fn kill_after(mut self, proxy: &Proxy, write: Match) -> impl Future<Output = ()> {
        let killed = proxy.inject(Fault::new(write, What::KillPid(self.pid())));
        async move {
            let ended = tokio::time::timeout(SOON, self.ended()).await;
            ended.expect("killed in time");
            killed.remove();
            assert_eq!(killed.hits(), 1, "it ended by itself");
        }
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("---- operator ----\n{log}");
        }
    }
}
