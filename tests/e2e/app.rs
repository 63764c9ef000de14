//! The sample application as a Rollout in a namespace of its own, and requests to it through the gateway.

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroU64};
use std::panic::AssertUnwindSafe;
use std::time::{Duration, Instant};

use futures::FutureExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use kube::config::KubeConfigOptions;
use kube::{Client, Config, ResourceExt};
use serde_json::{Value, json};
use slipway::model::label;
use slipway::model::object::ObjectKind;
use testbed::load::{Connections, Load, LoadSpec, Stats, Summary};

use crate::cluster::{Cluster, NAMESPACE, RELEASE, Version, cluster};
use crate::film::Film;

/// Name of every Rollout; namespaces tell them apart.
pub(crate) const NAME: &str = "greeter";
/// Requests a second of every load: as many as two cores can send, answer and count for all the stories that are told at
/// once. Fewer stories, and more requests, in the long versions.
pub(crate) fn rate() -> u32 {
    if is_full() { 200 } else { 60 }
}

/// Whether the long versions are played.
pub(crate) fn is_full() -> bool {
    std::env::var_os("SLIPWAY_TEST_FULL").is_some()
}

/// Pods of a Rollout.
pub(crate) const REPLICAS: usize = 3;
/// Time for which pods without traffic go on serving.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);
/// Longest wait for pods to start, on a machine that is busy.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A Rollout of the sample.
pub(crate) struct App {
    pub(crate) cluster: &'static Cluster,
    pub(crate) client: Client,
    pub(crate) namespace: String,
}

/// Runs a test with a namespace of its own, which is deleted afterwards and dumped first when it fails.
pub(crate) async fn with_app(test: impl AsyncFnOnce(&App)) {
    let cluster = cluster().await;
    let client = cluster.client();
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let wanted = serde_json::from_value(json!({"metadata": {"generateName": "e2e-"}})).unwrap();
    let made = namespaces
        .create(&PostParams::default(), &wanted)
        .await
        .unwrap();
    let app = App {
        cluster,
        client,
        namespace: made.name_any(),
    };
    let result = AssertUnwindSafe(test(&app)).catch_unwind().await;
    if result.is_err() {
        app.dump().await;
    }
    namespaces
        .delete(&app.namespace, &DeleteParams::background())
        .await
        .unwrap();
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

impl App {
    /// How the operator reaches the cluster: the admission policies let nobody else write statuses and records.
    pub(crate) async fn as_operator(&self) -> Config {
        let kubeconfig = self.cluster.node.control_plane().kubeconfig();
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        let mut config = config.unwrap();
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{NAMESPACE}:{RELEASE}"));
        config
    }

    /// The host by which the gateway knows it.
    pub(crate) fn host(&self) -> String {
        format!("{}.test", self.namespace)
    }

    /// Objects of a kind, in its namespace.
    pub(crate) fn api(&self, kind: ObjectKind) -> Api<DynamicObject> {
        self.objects(&kind.api_resource())
    }

    /// The same for any kind.
    pub(crate) fn objects(&self, resource: &ApiResource) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, resource)
    }

    /// The Rollout with a version of the sample; `extra` is merged into its spec.
    pub(crate) fn rollout(&self, version: Version, extra: &Value) -> Value {
        let labels = json!({"app": NAME});
        let scrape = json!({"prometheus.io/scrape": "true", "prometheus.io/port": "8080"});
        let container = json!({
            "name": "web",
            "image": self.cluster.image(version),
            "env": [{"name": "LINGER_SECONDS", "value": "1"}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": 8080}, "periodSeconds": 1, "timeoutSeconds": 5},
            "resources": {"requests": {"cpu": "10m", "memory": "24Mi"}},
        });
        let mut spec = json!({
            "replicas": REPLICAS,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels, "annotations": scrape},
                "spec": {"containers": [container]},
            },
            "traffic": {
                "port": 80, "targetPort": 8080, "drain": format!("{}s", DRAIN.as_secs()),
                "gatewayAPI": {"generate": {
                    "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
                    "hostnames": [self.host()],
                }},
            },
        });
        json_patch::merge(&mut spec, extra);
        json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": spec,
        })
    }

    /// A Service that selects the pods of every revision, and a route to it.
    pub(crate) fn own_way_in(&self) -> [(ObjectKind, Value); 2] {
        let service = json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {"selector": {"app": NAME}, "ports": [{"port": 80, "targetPort": 8080}]},
        });
        let route = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "parentRefs": [{"name": "slipway", "namespace": "gateway-system"}],
                "hostnames": [self.host()],
                "rules": [{"backendRefs": [{"name": NAME, "port": 80}]}],
            },
        });
        [
            (ObjectKind::Service, service),
            (ObjectKind::HttpRoute, route),
        ]
    }

    /// Applies a manifest as people do.
    pub(crate) async fn apply(&self, kind: ObjectKind, manifest: &Value) {
        let name = manifest["metadata"]["name"].as_str().unwrap();
        let params = PatchParams::apply("people").force();
        self.api(kind)
            .patch(name, &params, &Patch::Apply(manifest))
            .await
            .unwrap();
    }

    /// Asks for a version of the sample.
    pub(crate) async fn ask_for(&self, version: Version, extra: &Value) {
        self.apply(ObjectKind::Rollout, &self.rollout(version, extra))
            .await;
    }

    /// Asks for a version and waits until it serves.
    pub(crate) async fn start(&self, version: Version, extra: &Value) {
        self.ask_for(version, extra).await;
        self.until_healthy().await;
    }

    /// Decides something about the Rollout, as the administrator.
    pub(crate) async fn decide(&self, action: &str) {
        let decision = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Decision", "metadata": {"generateName": "d-"},
            "spec": {"target": {"kind": "Rollout", "name": NAME}, "action": action, "user": "admin"},
        });
        let decision = serde_json::from_value(decision).unwrap();
        self.api(ObjectKind::Decision)
            .create(&PostParams::default(), &decision)
            .await
            .unwrap();
    }

    /// Has a Pipeline run, as a person; `more` of the spec says of what ref or commit, and with what.
    pub(crate) async fn run_by_hand(&self, name: &str, pipeline: &str, more: &Value) {
        let mut run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
            "spec": {"pipelineRef": {"name": pipeline}, "trigger": {"kind": "Manual", "actor": "admin"}},
        });
        json_patch::merge(&mut run["spec"], more);
        self.apply(ObjectKind::PipelineRun, &run).await;
    }

    /// An autoscaler of an object with the name of the app, which has this many pods at least and at most.
    pub(crate) fn autoscaler(&self, of: &ApiResource, (least, most): (usize, usize)) -> Value {
        json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": NAME, "namespace": self.namespace},
            "spec": {
                "scaleTargetRef": {"apiVersion": of.api_version, "kind": of.kind, "name": NAME},
                "minReplicas": least, "maxReplicas": most,
                "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
            },
        })
    }

    /// Waits until it pauses with this share on the canary, in percent.
    pub(crate) async fn until_paused_at(&self, percent: u64) -> Value {
        let what = format!("{percent} % to canary, pausing");
        self.until(&what, |rollout| pauses_at(rollout, percent))
            .await
    }

    /// Waits until the spec of now is what serves.
    pub(crate) async fn until_healthy(&self) {
        self.until("Healthy", |rollout| is_phase(rollout, "Healthy"))
            .await;
    }

    /// Waits until the change has been given up, and yields the Rollout.
    pub(crate) async fn until_rolled_back(&self) -> Value {
        self.until("RolledBack", |rollout| is_phase(rollout, "RolledBack"))
            .await
    }

    /// Waits until the Rollout is as `check` says; its status has to be about the spec of now.
    pub(crate) async fn until(&self, what: &str, check: impl Fn(&Value) -> bool) -> Value {
        wait_for(what, SOON, async || {
            let rollout = self.now().await;
            let status = &rollout["status"];
            let (seen, generation) = (
                &status["observedGeneration"],
                &rollout["metadata"]["generation"],
            );
            if seen == generation && check(&rollout) {
                return Ok(rollout);
            }
            Err(format!(
                "{}: {} (generation {seen} of {generation})",
                status["phase"], status["message"]
            ))
        })
        .await
    }

    /// The Rollout as it is.
    pub(crate) async fn now(&self) -> Value {
        let rollout = self.api(ObjectKind::Rollout).get(NAME).await.unwrap();
        serde_json::to_value(rollout).unwrap()
    }

    /// How its changes have ended, the last one first.
    pub(crate) async fn ends(&self) -> Vec<String> {
        let history = self.now().await["status"]["history"].clone();
        let ends = history.as_array().into_iter().flatten();
        ends.map(|end| end["result"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Records every state of the Rollout.
    pub(crate) async fn film(&self) -> Film {
        Film::of(&self.api(ObjectKind::Rollout), NAME).await
    }

    /// Records every state of the route.
    pub(crate) async fn film_route(&self) -> Film {
        Film::of(&self.api(ObjectKind::HttpRoute), NAME).await
    }

    /// The version that answers a request with these headers, through the gateway.
    pub(crate) async fn answer(&self, headers: &[(&str, &str)]) -> Result<String, String> {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("http://{}/", self.cluster.node.gateway());
        let mut request = http.get(url).header("host", self.host());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.map_err(|error| error.to_string())?;
        let body: Value = answer.json().await.map_err(|error| error.to_string())?;
        Ok(body["revision"].as_str().unwrap_or_default().to_owned())
    }

    /// Begins a constant load, which has to be answered from its first request on.
    pub(crate) async fn load(&self) -> Load {
        self.load_on(self.cluster.node.gateway()).await
    }

    /// The same through another gateway. One request in four comes on a connection of its own.
    pub(crate) async fn load_on(&self, gateway: &str) -> Load {
        let url = format!("http://{gateway}/");
        self.answers(&url).await;
        let rate = NonZeroU32::new(rate()).unwrap();
        let connections = Connections::Mixed {
            kept: 10,
            fresh_every: NonZeroU64::new(4).unwrap(),
        };
        let spec = LoadSpec::new(&url).unwrap().host(self.host()).rate(rate);
        let spec = spec
            .connections(connections)
            .duration(Duration::from_mins(5));
        Load::start(spec).await.unwrap()
    }

    /// The gateway takes a moment to hear of a new host.
    async fn answers(&self, url: &str) {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        wait_for("the gateway has the route", SOON, async || {
            let answer = http.get(url).header("host", self.host()).send().await;
            let status = answer.map_err(|error| error.to_string())?.status();
            if status.is_success() {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
    }

    /// Pods by the label of their revision; those that are ending do not count.
    pub(crate) async fn pods(&self) -> BTreeMap<String, Vec<String>> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut by_revision: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pod in pods.list(&ListParams::default()).await.unwrap() {
            if pod.metadata.deletion_timestamp.is_none() {
                let revision = pod
                    .labels()
                    .get(label::REVISION)
                    .cloned()
                    .unwrap_or_default();
                by_revision
                    .entry(revision)
                    .or_default()
                    .push(pod.name_any());
            }
        }
        by_revision
    }

    /// Waits until every pod is of one revision, and their number is this.
    pub(crate) async fn until_pods(&self, count: usize) {
        wait_for("only pods of the stable revision", SOON, async || {
            let pods = self.pods().await;
            let counts: Vec<usize> = pods.values().map(Vec::len).collect();
            if counts == [count] {
                Ok(())
            } else {
                Err(format!("{counts:?}"))
            }
        })
        .await;
    }

    /// A Rollout whose image is what the Environment `live` wants of the Pipeline.
    pub(crate) async fn bind(&self, extra: &Value) {
        let mut bound =
            json!({"release": {"environment": {"name": "live"}, "images": {"web": "api"}}});
        json_patch::merge(&mut bound, extra);
        let mut rollout = self.rollout(Version::One, &bound);
        let container = &mut rollout["spec"]["template"]["spec"]["containers"][0];
        container.as_object_mut().unwrap().remove("image");
        self.apply(ObjectKind::Rollout, &rollout).await;
    }

    /// Prints what is in the namespace, for the log of a failed test.
    async fn dump(&self) {
        eprintln!("---- namespace {} ----", self.namespace);
        let kinds = [
            ObjectKind::Rollout,
            ObjectKind::HttpRoute,
            ObjectKind::Service,
            ObjectKind::Environment,
            ObjectKind::Promotion,
            ObjectKind::Decision,
        ];
        for kind in kinds {
            for mut object in self.api(kind).list(&ListParams::default()).await.unwrap() {
                object.metadata.managed_fields = None;
                let text = serde_json::to_string_pretty(&object).unwrap();
                eprintln!("{} {}: {text}", kind.kind(), object.name_any());
            }
        }
        let sets: Api<ReplicaSet> = Api::namespaced(self.client.clone(), &self.namespace);
        for set in sets.list(&ListParams::default()).await.unwrap() {
            let wanted = set.spec.replicas;
            let status = serde_json::to_string(&set.status).unwrap();
            eprintln!("ReplicaSet {}: {wanted:?} wanted; {status}", set.name_any());
        }
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut events = events.list(&ListParams::default()).await.unwrap().items;
        events.sort_by_key(|event| event.last_timestamp.as_ref().map(|time| time.0));
        for event in events {
            let (reason, message) = (event.reason.unwrap_or_default(), event.message);
            let about = event.involved_object.name.unwrap_or_default();
            eprintln!("event {reason} {about}: {}", message.unwrap_or_default());
        }
        let selector = ["logs", "--namespace", NAMESPACE, "--tail=150"];
        let which = [
            "--selector",
            "app.kubernetes.io/component=operator",
            "--prefix",
        ];
        let logs = self
            .cluster
            .run("kubectl", &[&selector[..], &which].concat())
            .await;
        eprintln!("{}", logs.unwrap_or_else(|error| error));
    }
}

/// A fifth, half, all, with time in between to do something.
pub(crate) fn in_steps() -> Value {
    json!({"strategy": {"steps": [
        {"setWeight": {"weight": 20}}, {"pause": {"for": "4s"}},
        {"setWeight": {"weight": 50}}, {"pause": {"for": "3s"}},
    ]}})
}

/// Waits until `check` yields something; panics with the last reason why not.
pub(crate) async fn wait_for<T>(
    what: &str,
    within: Duration,
    mut check: impl AsyncFnMut() -> Result<T, String>,
) -> T {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        match check().await {
            Ok(found) => return found,
            Err(why) => assert!(
                start.elapsed() < within,
                "{what}: not within {within:?}: {why}"
            ),
        }
    }
}

/// Whether a Rollout says that it is in a phase.
pub(crate) fn is_phase(rollout: &Value, phase: &str) -> bool {
    rollout["status"]["phase"] == phase
}

/// Whether a Rollout pauses with this share on the canary, in percent.
pub(crate) fn pauses_at(rollout: &Value, percent: u64) -> bool {
    is_phase(rollout, "Paused") && rollout["status"]["weights"]["canary"] == percent
}

/// Whether a condition holds.
pub(crate) fn is_true(rollout: &Value, condition: &str) -> bool {
    has_condition(rollout, condition, |known| known["status"] == "True")
}

/// Whether a condition is there, and as `check` says.
pub(crate) fn has_condition(
    rollout: &Value,
    condition: &str,
    check: impl Fn(&Value) -> bool,
) -> bool {
    let conditions = rollout["status"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    conditions.any(|known| known["type"] == condition && check(known))
}

/// The canary's share that a route asks for, in percent.
pub(crate) fn weight_of(route: &Value) -> Option<u64> {
    let refs = route.pointer("/spec/rules/0/backendRefs")?.as_array()?;
    let canary = refs
        .iter()
        .find(|backend| backend["name"] == format!("{NAME}-canary"))?;
    canary["weight"].as_u64()
}

/// Ends a load. Every request has to have been answered exactly once.
pub(crate) async fn nothing_lost(what: &str, load: Load) -> Summary {
    let summary = load.stop().await;
    let Stats {
        sent,
        answered,
        lost,
        injected,
        duplicated,
        ..
    } = summary.stats;
    let latency = &summary.latency;
    eprintln!(
        "{what}: {sent} requests in {:.0} s, {lost} lost, {injected} injected errors, \
         p99 {:.0} ms, max {:.0} ms, by revision {:?}",
        summary.ran_for, latency.p99, latency.max, summary.stats.revisions
    );
    draw(what, &summary);
    // What tells most stands in the first line: summaries of a run show no more than that.
    let first = summary.losses.first().map(|loss| {
        format!(
            "the first, {}, in second {} of {:.0}: {:?}, {}",
            loss.seq, loss.second, summary.ran_for, loss.reason, loss.detail
        )
    });
    assert!(
        lost == 0,
        "{lost} lost; {}; losses: {:#?}\n{:#?}",
        first.unwrap_or_default(),
        summary.losses,
        summary.seconds
    );
    assert_eq!(
        (answered, duplicated),
        (sent, 0),
        "every request ends exactly once"
    );
    summary
}

/// Leaves a picture of a load in the folder that `SLIPWAY_PICTURES` names, where it does.
fn draw(what: &str, summary: &Summary) {
    let Ok(folder) = std::env::var("SLIPWAY_PICTURES") else {
        return;
    };
    let words = what.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let file = format!("{folder}/{}.svg", words.join("-").to_ascii_lowercase());
    let svg = testbed::picture::draw(what, &summary.stats, &summary.seconds);
    std::fs::write(file, svg).unwrap();
}

/// The share of a version's answers, in percent, between two looks at a load.
pub(crate) fn share(before: &Stats, after: &Stats, version: Version) -> f64 {
    let count = |stats: &Stats| stats.revisions.get(version.name()).copied().unwrap_or(0);
    let of = u32::try_from(after.answered - before.answered).unwrap();
    let own = u32::try_from(count(after) - count(before)).unwrap();
    f64::from(own) * 100.0 / f64::from(of.max(1))
}
