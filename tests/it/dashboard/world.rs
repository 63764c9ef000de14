//! A world to look at: a promotion chain of two Environments with a Release on its way, a Rollout that pauses and one that went
//! back, runs of each kind, a thousand Rollouts more, and people who may do more or less.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use futures::StreamExt;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use slipway::environment::api::EnvironmentStatus;
use slipway::rollout::api::{Phase, Rollout, RolloutStatus};
use testbed::scripted::ScriptedGateway;
use tokio::net::TcpListener;

use super::access::{Person, in_cluster};
use super::server::Local;
use crate::cluster::{OPERATOR, SOON, Space, client_of, wait_for};
use crate::environment::shop::condition;
use crate::environment::{Shop, after};
use crate::operator::Operator;
use crate::pipeline::{self, tested};
use crate::policy::count::operate;
use crate::policy::{APPROVER, VIEWER, bind, bind_to, grant, object, permitted};
use crate::rollout::{Subject, manifest, routed};

/// How many Rollouts a crowd is.
const CROWD: usize = 1000;
/// Requests that make it at a time.
const AT_ONCE: usize = 16;

/// A server of metrics: a share of failures that the test sets, and requests of which few fail.
#[derive(Clone)]
pub(super) struct Figures {
    address: String,
    errors: Arc<Mutex<f64>>,
}

impl Figures {
    pub(super) async fn start() -> Self {
        let errors = Arc::new(Mutex::new(0.004));
        let app = Router::new()
            .route("/api/v1/query", post(answer))
            .with_state(Arc::clone(&errors));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, errors }
    }

    /// The share of failures of Rollout `checkout` from now on.
    fn fail(&self, share: f64) {
        *self.errors.lock().unwrap_or_else(PoisonError::into_inner) = share;
    }

    fn metric(&self, word: &str) -> Value {
        json!({
            "name": "errors", "interval": "1s", "pass": "value < 0.1", "minSamples": 2,
            "prometheus": {"address": self.address, "query": format!("{word}{{pod=~\"{{{{canary.pods}}}}\"}}")},
        })
    }

    pub(super) fn slo(&self, metric: &str) -> Value {
        json!({
            "name": "availability", "objective": "99.9", "prometheus": {"address": self.address},
            "availability": {"metric": metric, "matchers": "job=\"api\"", "errorMatchers": "code=~\"5..\""},
        })
    }
}

async fn answer(State(errors): State<Arc<Mutex<f64>>>, body: String) -> String {
    let url = reqwest::Url::parse(&format!("http://metrics/?{body}")).unwrap();
    let query = url.query_pairs().find(|(key, _)| key == "query");
    let query = query
        .map(|(_, query)| query.into_owned())
        .unwrap_or_default();
    let share = *errors.lock().unwrap_or_else(PoisonError::into_inner);
    // What is asked of an SLO names each number that it wants.
    let names = query.split("\"of\", \"").skip(1);
    let names = names.filter_map(|rest| rest.split('"').next());
    let burns = query.contains("burning");
    let number = |name| if burns { burning(name) } else { number(name) };
    let mut series: Vec<Value> = names.map(|name| one_of(name, number(name))).collect();
    if series.is_empty() {
        let value = if query.contains("checkout") {
            share
        } else {
            0.004
        };
        series.push(json!({"metric": {}, "value": [0, value.to_string()]}));
    }
    json!({"status": "success", "data": {"resultType": "vector", "result": series}}).to_string()
}

fn one_of(name: &str, number: f64) -> Value {
    json!({"metric": {"of": name}, "value": [0, number.to_string()]})
}

/// Four of ten thousand requests fail, and have for as long as anybody knows.
fn number(name: &str) -> f64 {
    match name.split_once('/') {
        Some(("total", _)) => 1_000_000.0,
        Some(("records", _)) => 8640.0,
        _ => 400.0,
    }
}

/// Twice as many as may fail do, more than over the last three days; six tenths of the budget of the period are gone.
fn burning(name: &str) -> f64 {
    match name.split_once('/') {
        Some(("total", _)) => 1_000_000.0,
        Some(("records", _)) => 8640.0,
        Some((_, "period")) => 600.0,
        Some((_, "3d")) => 1200.0,
        _ => 2000.0,
    }
}

/// Everything that is there; dropping it ends what runs.
pub(super) struct World {
    /// What stories in the browser know of it.
    pub(super) facts: Value,
    pub(super) lead: Person,
    pub(super) approver: Person,
    pub(super) waiting_run: String,
    pub(super) doubtful_run: String,
    _operator: Operator,
    _gateway: ScriptedGateway,
    _local: Local,
    _pipeline: pipeline::Subject,
}

impl World {
    pub(super) async fn build(space: &Space, elsewhere: &Space, crowd: &Space) -> Self {
        let figures = Figures::start().await;
        let pipeline = pipeline::Subject::new(space).await;
        let (runner, buildkit) = (pipeline.image("runner"), pipeline.image("buildkit"));
        let images = ["--runner-image", &runner, "--buildkit-image", &buildkit];
        let more = [
            "--metric-hosts",
            "127.0.0.0/8",
            "--dashboard-listen",
            "127.0.0.1:0",
        ];
        let operator = operate(space, &[&images[..], &more].concat()).await;
        let gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let extra = json!({"metadata": {"name": "hidden"}});
        Subject::create(elsewhere, &manifest("greeter:hidden", &extra)).await;
        let (people, runs, ..) = tokio::join!(
            people(space),
            runs(space, &pipeline),
            chain(space, &figures),
            pausing(space, &figures),
            going_back(space, &figures),
            gather(crowd),
        );
        let [lead, approver, viewer] = people;
        let [run, failed_run, waiting_run, doubtful_run] = runs;
        let local = Local::start(&viewer.kubeconfig(space), &["-n", &space.name]).await;
        let told = |person: &Person| json!({"user": person.user, "token": person.token});
        let facts = json!({
            "cluster": in_cluster(&operator).await, "local": local.address, "namespace": space.name,
            "elsewhere": elsewhere.name, "crowd": crowd.name, "crowdSize": CROWD,
            "lead": told(&lead), "approver": told(&approver), "viewer": told(&viewer),
            "run": run, "failedRun": failed_run, "waitingRun": waiting_run, "doubtfulRun": doubtful_run,
        });
        Self {
            facts,
            lead,
            approver,
            waiting_run,
            doubtful_run,
            _operator: operator,
            _gateway: gateway,
            _local: local,
            _pipeline: pipeline,
        }
    }
}

/// A lead who may do everything everywhere, somebody who may look into this namespace and approve, and a viewer.
async fn people(space: &Space) -> [Person; 3] {
    let (lead, approver, viewer) = tokio::join!(
        Person::new(space, "lead"),
        Person::new(space, "approver"),
        Person::new(space, "viewer"),
    );
    everywhere(space, &lead.user, &["view", "slipway-admin"]).await;
    let view = json!({"kind": "ClusterRole", "name": "view"});
    bind_to(space, &approver.user, "approver-view", &view).await;
    grant(space, &approver.user, &["create"], &["decisions"]).await;
    grant(
        space,
        &approver.user,
        &["approve", "reject"],
        &["environments"],
    )
    .await;
    bind(space, &viewer.user, VIEWER).await;
    permitted(space, &lead.user, "override", "environments").await;
    [lead, approver, viewer]
}

/// Binds roles in all namespaces, until this one is gone.
async fn everywhere(space: &Space, user: &str, roles: &[&str]) {
    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    let uid = namespaces.get(&space.name).await.unwrap().uid();
    let bindings: Api<ClusterRoleBinding> = Api::all(space.client.clone());
    for role in roles {
        let binding = json!({
            "metadata": {"name": format!("{}-{role}", space.name), "ownerReferences": [
                {"apiVersion": "v1", "kind": "Namespace", "name": space.name, "uid": uid}]},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
        });
        let binding = serde_json::from_value(binding).unwrap();
        bindings
            .create(&PostParams::default(), &binding)
            .await
            .unwrap();
    }
}

/// `shop-1` is in staging and production, `shop-2` in staging, and waits for an approval.
async fn chain(space: &Space, figures: &Figures) {
    let shop = Shop::new(space);
    shop.environment("staging", &json!({})).await;
    // Who has a token here is a service account.
    let approver = format!("system:serviceaccount:{}:approver", space.name);
    let guarded = json!({
        "tier": "Production", "promotion": after("staging"), "slos": [figures.slo("requests_total")],
        "protection": {"approvals": {"required": 1, "allowServiceAccounts": [approver]}},
    });
    shop.environment("production", &guarded).await;
    bind(space, "olga", APPROVER).await;
    let seen_by = async |user: &str| {
        let client = client_of(user, &[]).await;
        let name = space.name.clone();
        Shop::new(&Space { client, name })
    };
    let (operator, olga) = tokio::join!(seen_by(OPERATOR), seen_by("olga"));
    operator
        .release_of("shop", 1, &["api"], &evidence("1.0.0", None))
        .await;
    olga.decide("olga", "Approve", "production", 1).await;
    shop.until_runs("production", 1).await;
    operator
        .release_of("shop", 2, &["api"], &evidence("1.1.0", Some("shop-1")))
        .await;
    shop.until_runs("staging", 2).await;
    let asks = |status: &EnvironmentStatus| {
        condition(status, "PromotionPending") == Some(("True", "AwaitingApproval"))
    };
    shop.until("production", "asks people", asks).await;
}

fn evidence(version: &str, previous: Option<&str>) -> Value {
    json!({
        "version": version, "previous": previous, "changelog": "### Features\n\n- greet in the language of the request\n",
        "evidence": {
            "run": "shop-run", "tests": {"total": 23, "passed": 23, "failed": 0, "skipped": 0},
            "gates": [{"name": "tests", "result": "Passed", "measured": "0 of 23 tests failed"}],
        },
    })
}

/// A strategy with steps, and an analysis in the background.
fn watched(name: &str, steps: &Value, metric: &Value) -> Rollout {
    let mut extra = routed();
    let labels = json!({"app": name});
    let spec = json!({"metadata": {"name": name}, "spec": {
        "strategy": {"steps": steps}, "analysis": {"metrics": [metric]}, "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}},
    }});
    json_patch::merge(&mut extra, &spec);
    manifest("greeter:1", &extra)
}

/// Waits for a Rollout that is not called `api`.
async fn until(api: &Api<Rollout>, name: &str, what: &str, check: impl Fn(&RolloutStatus) -> bool) {
    wait_for(&format!("{name}: {what}"), SOON, async || {
        let status = api.get(name).await.ok()?.status?;
        check(&status).then_some(())
    })
    .await;
}

async fn set_image(api: &Api<Rollout>, name: &str, image: &str) {
    let containers = json!([{"name": "web", "image": image}]);
    let change = json!({"spec": {"template": {"spec": {"containers": containers}}}});
    let params = PatchParams::default();
    api.patch(name, &params, &Patch::Merge(change))
        .await
        .unwrap();
}

/// `api` has a quarter of its traffic on a new version, for an hour.
async fn pausing(space: &Space, figures: &Figures) {
    let steps = json!([{"setWeight": {"weight": 25}}, {"pause": {"for": "1h"}}, {"setWeight": {"weight": 50}}]);
    let rollout = watched("api", &steps, &figures.metric("errors"));
    let api = Subject::create(space, &rollout).await;
    api.until_phase(Phase::Healthy).await;
    api.set_image("greeter:2").await;
    api.until_phase(Phase::Paused).await;
}

/// `checkout` had half of it on a new version when that began to fail.
async fn going_back(space: &Space, figures: &Figures) {
    let steps = json!([
        {"setWeight": {"weight": 20}}, {"pause": {"for": "4s"}}, {"setWeight": {"weight": 50}}, {"pause": {"for": "1h"}},
    ]);
    let rollout = watched("checkout", &steps, &figures.metric("checkout_errors"));
    let api = Subject::create(space, &rollout).await.api;
    until(&api, "checkout", "healthy", |status| {
        status.phase == Some(Phase::Healthy)
    })
    .await;
    set_image(&api, "checkout", "greeter:2").await;
    let is_half = |status: &RolloutStatus| {
        status
            .weights
            .as_ref()
            .is_some_and(|weights| weights.canary == 50)
    };
    until(&api, "checkout", "half of the traffic", is_half).await;
    figures.fail(0.31);
    until(&api, "checkout", "back", |status| {
        status.phase == Some(Phase::RolledBack)
    })
    .await;
}

/// A run that made a Release, one with tests that failed, and two that wait for somebody to read their commit.
async fn runs(space: &Space, pipeline: &pipeline::Subject) -> [String; 4] {
    let slowly = json!({"spec": {"polling": {"interval": "1s"}}});
    pipeline.create(&slowly).await;
    let first = pipeline.push("Add the shop").await;
    let (run, _) = pipeline.ended(&first).await;
    pipeline.tests(&tested(12, 2));
    let second = pipeline.push("Break it").await;
    let (failed, _) = pipeline.ended(&second).await;
    let (waiting, doubtful) = tokio::join!(
        run_of_a_fork(space, pipeline, 7),
        run_of_a_fork(space, pipeline, 8)
    );
    [run, failed, waiting, doubtful]
}

/// A run of a commit of somebody else's repository, once it waits; its name.
async fn run_of_a_fork(space: &Space, pipeline: &pipeline::Subject, number: u32) -> String {
    let spec = json!({
        "pipelineRef": {"name": "api"}, "ref": format!("refs/pull/{number}/head"), "sha": number.to_string().repeat(40),
        "trigger": {"kind": "PullRequest", "actor": "github:mallory", "needsApproval": true,
                    "pullRequest": {"number": number, "fork": true}},
    });
    let name = format!("api-pull-{number}");
    let runs = space.api_as(OPERATOR, &[], "PipelineRun").await;
    runs.create(&PostParams::default(), &object("PipelineRun", &name, &spec))
        .await
        .unwrap();
    wait_for("a run that waits", SOON, async || {
        let message = pipeline.runs.get(&name).await.ok()?.status?.message?;
        message.contains("approve the run").then_some(())
    })
    .await;
    name
}

/// Rollouts that nobody follows, as a cluster has them after a year.
async fn gather(space: &Space) {
    let api: Api<Rollout> = Api::namespaced(space.client.clone(), &space.name);
    let one = async |number: usize| {
        let name = format!("crowd-{number:04}");
        let rollout = manifest("greeter:1", &json!({"metadata": {"name": name}}));
        api.create(&PostParams::default(), &rollout).await.unwrap();
        let phase = ["Healthy", "Healthy", "Healthy", "Progressing"][number % 4];
        let status = json!({"status": {"phase": phase, "message": "as people left it", "observedGeneration": 1}});
        let params = PatchParams::default();
        api.patch_status(&name, &params, &Patch::Merge(&status))
            .await
            .unwrap();
    };
    futures::stream::iter(0..CROWD)
        .for_each_concurrent(AT_ONCE, one)
        .await;
}
