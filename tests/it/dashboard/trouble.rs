//! A night to look at: a stage in the middle of its work, a budget that burns, migrations that nobody knows the end of, and a
//! Release that was taken back for an alert. What happens next, stories ask for while they are told.

use std::sync::Mutex;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};
use slipway::environment::api::{EnvironmentStatus, SloState};
use slipway::runner::task::AUDIENCE;
use testbed::proxy::{Fault, Match, Proxy, What};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use super::access::Person;
use super::server::Local;
use super::world::Figures;
use crate::cluster::{SOON, Space, config, kubeconfig_path, wait_for};
use crate::environment::Shop;
use crate::environment::incident::{TOKEN, deliver, delivery};
use crate::operator::{Operator, nodes};
use crate::pipeline::{self, tested};
use crate::policy::{DEVELOPER, VIEWER, bind, bind_to};
use crate::receiver::{call, pod_of, token};

/// What a story asks for: a word, a text with it, and who hears that it is done.
type Cue = (String, String, oneshot::Sender<()>);

/// Everything that is there; dropping it ends what runs.
pub(super) struct Trouble {
    /// What stories in the browser know of it.
    pub(super) facts: Value,
    space: Space,
    pipeline: pipeline::Subject,
    operator: Operator,
    cues: mpsc::Receiver<Cue>,
    /// The pod of the stage, the commit of its run, and all that it has said.
    stage: (Pod, String, String),
    /// Since when the alert fires.
    alarmed_at: Timestamp,
    _local: Local,
    _proxy: Proxy,
    _folder: tempfile::TempDir,
}

impl Trouble {
    pub(super) async fn build(space: &Space) -> Self {
        let space = Space {
            client: space.client.clone(),
            name: space.name.clone(),
        };
        let folder = tempfile::tempdir().unwrap();
        let pipeline = pipeline::Subject::new(&space).await;
        let logs = folder.path().join("logs").display().to_string();
        let listen = ["--alert-listen", "--stage-listen"].map(|flag| [flag, "127.0.0.1:0"]);
        let more = ["--metric-hosts", "127.0.0.0/8", "--log-folder", &logs];
        let args = [&listen.concat()[..], &more].concat();
        let operator = pipeline.operator_with(&kubeconfig_path(), &args);
        let ([developer, watcher], (pod, sha), alarmed_at) = tokio::join!(
            people(&space),
            running(&space, &pipeline),
            environments(&space, &operator),
        );
        let (proxy, kubeconfig) = behind_a_service(&space, &operator, &developer).await;
        let local = Local::start(&kubeconfig, &["-n", &space.name]).await;
        let (scene, cues) = listen_to_stories().await;
        let facts = json!({
            "namespace": space.name, "scene": scene, "run": pod.labels()["slipway.dev/pipeline-run"],
            "local": local.address, "watcher": {"user": watcher.user, "token": watcher.token},
        });
        let mut trouble = Self {
            facts,
            space,
            pipeline,
            operator,
            cues,
            stage: (pod, sha, String::new()),
            alarmed_at,
            _local: local,
            _proxy: proxy,
            _folder: folder,
        };
        trouble.say("collected 12 items\n");
        trouble
    }

    /// Does what stories ask for, for as long as they are told.
    pub(super) async fn play(&mut self) {
        while let Some((word, text, done)) = self.cues.recv().await {
            match word.as_str() {
                "say" => self.say(&text),
                "end" => self.end().await,
                "clear" => self.clear().await,
                "calm" => self.calm().await,
                other => panic!("nobody knows how to {other}"),
            }
            // A story that has failed meanwhile does not listen.
            let _ = done.send(());
        }
    }

    /// The stage says something.
    fn say(&mut self, text: &str) {
        nodes().say(&self.pipeline.image("python"), text);
        self.stage.2.push_str(text);
    }

    /// The stage is done, and all that it has said was sent, as the container `logs` of its pod does on a real node.
    async fn end(&self) {
        let (pod, _, said) = &self.stage;
        let token = token(&self.space, Some(pod), AUDIENCE).await;
        let address = Mutex::new(self.operator.stage_address().await);
        let sent = call(&address, &token, "/v1/log?offset=0&last=true", said).await;
        assert_eq!(sent.0, 200, "{sent:?}");
        self.pipeline.tests(&tested(12, 0));
    }

    /// The run is over, and its pods are gone.
    async fn clear(&self) {
        let (pod, sha, _) = &self.stage;
        let (run, _) = self.pipeline.ended(sha).await;
        let of_run = ListParams::default().labels(&format!("slipway.dev/pipeline-run={run}"));
        let jobs = &self.pipeline.jobs;
        jobs.delete_collection(&DeleteParams::background(), &of_run)
            .await
            .unwrap();
        let pods: Api<Pod> = Api::namespaced(self.space.client.clone(), &self.space.name);
        wait_for(
            &format!("{} and its like are gone", pod.name_any()),
            SOON,
            async || {
                let left = pods.list(&of_run).await.ok()?;
                left.items.is_empty().then_some(())
            },
        )
        .await;
    }

    /// The alert is over.
    async fn calm(&self) {
        let over = delivery(self.alarmed_at, true);
        let answer = deliver(&self.space, &self.operator, &over).await;
        assert_eq!(answer, Some(200));
    }
}

/// Somebody who develops here and may read what is kept, and somebody who may only look, here and nowhere else.
async fn people(space: &Space) -> [Person; 2] {
    let (developer, watcher) = tokio::join!(
        Person::new(space, "developer"),
        Person::new(space, "watcher")
    );
    let edit = json!({"kind": "ClusterRole", "name": "edit"});
    bind_to(space, &developer.user, "developer-edit", &edit).await;
    bind(space, &developer.user, DEVELOPER).await;
    bind(space, &watcher.user, VIEWER).await;
    [developer, watcher]
}

/// A stage that goes on until it is told to end: its pod, and the commit of its run.
async fn running(space: &Space, pipeline: &pipeline::Subject) -> (Pod, String) {
    pipeline.plays("python", "ready-after=50ms");
    let sha = pipeline.push("Test in the open").await;
    let slowly = json!({"spec": {"polling": {"interval": "1s"}}});
    pipeline.create(&slowly).await;
    (pod_of(space, &[]).await, sha)
}

/// Three Environments of the same Releases: `staging`, which an alert has taken back, `books`, whose database nobody knows, and
/// `web`, whose budget burns. Since when the alert fires.
async fn environments(space: &Space, operator: &Operator) -> Timestamp {
    let shop = Shop::new(space);
    let figures = Figures::start().await;
    space.make_secret("hook", json!({"token": TOKEN})).await;
    let alerts = json!({
        "incidents": {"alertmanager": {"secretRef": {"name": "hook", "key": "token"}, "match": {"team": "shop"}}},
        "rollback": {"on": ["AlertFiring"]},
    });
    let slos = json!({"slos": [figures.slo("burning_requests_total")]});
    shop.environment("staging", &alerts).await;
    shop.environment("books", &json!({})).await;
    shop.environment("web", &slos).await;
    for number in 1..=2 {
        shop.release(number).await;
        tokio::join!(
            shop.until_runs("staging", number),
            shop.until_runs("books", number),
        );
    }
    let burns = |status: &EnvironmentStatus| {
        let slo = status.slos.first();
        slo.is_some_and(|slo| slo.state == SloState::Burning && slo.remaining_budget.is_some())
    };
    let (alarmed_at, ..) = tokio::join!(
        taken_back(space, &shop, operator),
        stuck(&shop),
        shop.until("web", "its budget burns", burns),
    );
    alarmed_at
}

/// `shop-2` has left `staging` for an alert, which fires on.
async fn taken_back(space: &Space, shop: &Shop, operator: &Operator) -> Timestamp {
    let start = Timestamp::now();
    let answer = deliver(space, operator, &delivery(start, false)).await;
    assert_eq!(answer, Some(200));
    shop.until_left("staging", 2).await;
    start
}

/// The migrations of `books` have failed in the middle, and somebody has mended the image since.
async fn stuck(shop: &Shop) {
    let good = shop.get_stuck("books", &json!({})).await;
    let mended = json!({"migrations": {"image": good}, "protection": null});
    shop.edit("books", &mended).await;
}

/// What leads somebody to the operator's receiver: nothing is behind a Service here, so the testbed's proxy stands in for that of
/// the API server. All else is asked of the API server, with their token.
async fn behind_a_service(
    space: &Space,
    operator: &Operator,
    who: &Person,
) -> (Proxy, std::path::PathBuf) {
    let proxy = Proxy::start(config().await).await.unwrap();
    let receiver = operator.stage_address().await.parse().unwrap();
    let kept = Match::any().path("/services/slipway-receiver:receiver/proxy/");
    proxy.inject(Fault::new(kept, What::PassTo(receiver)).always());
    let mut kubeconfig = serde_json::to_value(proxy.kubeconfig()).unwrap();
    kubeconfig["users"][0]["user"] = json!({"token": who.token});
    let path = std::env::temp_dir().join(format!("kept-{}.yaml", space.name));
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    (proxy, path)
}

/// Where stories ask for what happens next, and what they ask for.
async fn listen_to_stories() -> (String, mpsc::Receiver<Cue>) {
    let (send, cues) = mpsc::channel(1);
    let app = Router::new().route("/{word}", post(cue)).with_state(send);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    (address, cues)
}

async fn cue(
    State(cues): State<mpsc::Sender<Cue>>,
    Path(word): Path<String>,
    text: String,
) -> StatusCode {
    let (done, is_done) = oneshot::channel();
    if cues.send((word, text, done)).await.is_err() || is_done.await.is_err() {
        return StatusCode::INTERNAL_SERVER_ERROR;
    }
    StatusCode::NO_CONTENT
}
