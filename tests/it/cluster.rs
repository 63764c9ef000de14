//! The cluster that tests run against: clients, namespaces, waiting, and a dump when a test fails.
//!
//! The definitions of this tree are installed once per run, and so are the chart's roles and admission
//! policies. The policies hold only in namespaces made by `with_guarded_namespace`: everywhere else a test
//! may play the operator and write records by hand.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures::{FutureExt, StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{Event, Namespace, Secret};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams,
};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::runtime::wait::{await_condition, conditions};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, Config, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway::kinds::{KINDS, KindInfo};
use tokio::sync::OnceCell;

/// The user that the chart's policies know as the operator.
pub(crate) const OPERATOR: &str = "system:serviceaccount:slipway-system:slipway";

/// A user that the policies know as the operator of another cluster.
pub(crate) const HUB: &str = "system:serviceaccount:shop:slipway-hub";

/// Label of namespaces in which the admission policies hold.
const GUARDED: &str = "slipway.dev/test-guarded";

/// Annotation that the policies of a test run refuse when it names their version.
const PROBE: &str = "slipway.dev/test-probe";

/// Longest wait for what is a few steps away: of the API server, or of the operator.
pub(crate) const SOON: Duration = Duration::from_mins(1);

/// A namespace for one test.
pub(crate) struct Space {
    pub(crate) client: Client,
    pub(crate) name: String,
}

impl Space {
    /// Reasons of Events of the operator that are not on the list of them.
    async fn unknown_reasons(&self) -> Vec<String> {
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        let events = events.list(&ListParams::default()).await;
        let of_ours = |event: &Event| event.reporting_component.as_deref() == Some("slipway");
        let named = |event: Event| {
            let kind = event.involved_object.kind.unwrap_or_default();
            let reason = event.reason.unwrap_or_default();
            let is_known = slipway::model::reason::is_known(&kind, &reason);
            (!is_known).then(|| format!("{kind} {reason}"))
        };
        let events = events.map_or_else(|_| Vec::new(), |list| list.items);
        events
            .into_iter()
            .filter(of_ours)
            .filter_map(named)
            .collect()
    }
}

/// Client with all rights.
pub(crate) async fn client() -> Client {
    static INSTALLED: OnceCell<()> = OnceCell::const_new();
    let client = connect(|_| ()).await;
    INSTALLED.get_or_init(|| install(&client)).await;
    client
}

/// Client of another user, who is in `groups` and may do what RBAC says.
pub(crate) async fn client_of(user: &str, groups: &[&str]) -> Client {
    connect(|config| {
        config.auth_info.impersonate = Some(user.to_owned());
        // Naming any group replaces the one that every user is in.
        let groups = groups.iter().chain(&["system:authenticated"]);
        config.auth_info.impersonate_groups = Some(groups.map(ToString::to_string).collect());
    })
    .await
}

async fn connect(adjust: impl FnOnce(&mut Config)) -> Client {
    let mut config = config().await;
    adjust(&mut config);
    Client::try_from(config).unwrap()
}

/// The kubeconfig of the cluster that the tests run against.
pub(crate) fn kubeconfig_path() -> PathBuf {
    let path = std::env::var("SLIPWAY_TEST_KUBECONFIG")
        .expect("SLIPWAY_TEST_KUBECONFIG names the kubeconfig of a cluster; run make test");
    PathBuf::from(path)
}

/// A kubeconfig of somebody else, for one test: `change` makes of the user with all rights who it is.
pub(crate) fn kubeconfig_of(who: &str, space: &Space, change: impl FnOnce(&mut Value)) -> PathBuf {
    let text = std::fs::read_to_string(kubeconfig_path()).unwrap();
    let mut kubeconfig: Value = serde_saphyr::from_str(&text).unwrap();
    change(&mut kubeconfig["users"][0]["user"]);
    let path = std::env::temp_dir().join(format!("{who}-{}.yaml", space.name));
    // It has the credentials of the cluster of the tests, as the one that it is made from.
    std::fs::write(&path, kubeconfig.to_string()).unwrap();
    path
}

/// How to reach the cluster that the tests run against, with all rights.
pub(crate) async fn config() -> Config {
    let kubeconfig = Kubeconfig::read_from(kubeconfig_path()).unwrap();
    let options = KubeConfigOptions::default();
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .unwrap()
}

/// Runs a test in a namespace of its own, which is deleted afterwards and dumped first when it fails.
pub(crate) async fn with_namespace(test: impl AsyncFnOnce(&Space)) {
    in_namespace(json!({}), test).await;
}

/// The same, in a namespace in which the admission policies hold.
pub(crate) async fn with_guarded_namespace(test: impl AsyncFnOnce(&Space)) {
    in_namespace(json!({ (GUARDED): "true" }), test).await;
}

/// The same, in a namespace that people will see the name of.
pub(crate) async fn with_guarded_namespace_called(name: &str, test: impl AsyncFnOnce(&Space)) {
    in_namespace_called(name, json!({ (GUARDED): "true" }), test).await;
}

/// The same, in a namespace with labels.
pub(crate) async fn in_namespace(labels: Value, test: impl AsyncFnOnce(&Space)) {
    in_namespace_called("test", labels, test).await;
}

/// Makes a namespace, whose name begins so; its name.
async fn made_namespace(namespaces: &Api<Namespace>, name: &str, labels: &Value) -> String {
    let wanted = json!({ "metadata": { "generateName": format!("{name}-"), "labels": labels } });
    let wanted = serde_json::from_value(wanted).unwrap();
    let made = namespaces.create(&PostParams::default(), &wanted).await;
    made.unwrap().name_any()
}

async fn in_namespace_called(name: &str, labels: Value, test: impl AsyncFnOnce(&Space)) {
    let client = client().await;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let name = made_namespace(&namespaces, name, &labels).await;
    let space = Space { client, name };
    let result = AssertUnwindSafe(test(&space)).catch_unwind().await;
    let unknown = space.unknown_reasons().await;
    if result.is_err() {
        space.dump().await;
    }
    let deleted = namespaces
        .delete(&space.name, &DeleteParams::background())
        .await;
    match result {
        Ok(()) => {
            assert!(
                !matches!(deleted, Err(error) if !is_gone(&error)),
                "namespace not deleted"
            );
            assert!(
                unknown.is_empty(),
                "Events with reasons that are not in model/reason.rs: {unknown:?}"
            );
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn is_gone(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.is_not_found())
}

/// Waits until `check` yields something; panics with `what` and the time it took when it does not.
pub(crate) async fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let start = Instant::now();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    loop {
        tick.tick().await;
        // A request that hangs must not outlive the deadline.
        let left = deadline.saturating_sub(start.elapsed());
        if let Ok(Some(found)) = tokio::time::timeout(left, check()).await {
            return found;
        }
        assert!(
            start.elapsed() < deadline,
            "{what}: not within {deadline:?}"
        );
    }
}

/// Waits until `check` yields something for the object of this name. It is watched: what is so for a moment only is not
/// missed, however busy the machine is.
pub(crate) async fn watch_for<K, T>(
    api: &Api<K>,
    name: &str,
    what: &str,
    check: impl Fn(K) -> Option<T>,
) -> T
where
    K: Resource + Clone + std::fmt::Debug + DeserializeOwned + Send + 'static,
{
    let mut versions = watcher::watch_object(api.clone(), name)
        .default_backoff()
        .boxed();
    // On the heap, as the stream: stories have many of these, and the stack of a thread holds all of them at once.
    let found = Box::pin(async move {
        loop {
            // What the watch stumbles over is mended by the next attempt, after its pause.
            match versions.try_next().await {
                Ok(Some(Some(object))) => {
                    if let Some(found) = check(object) {
                        return found;
                    }
                }
                Ok(Some(None)) | Err(_) => {}
                Ok(None) => panic!("{what}: the watch has ended"),
            }
        }
    });
    let found = tokio::time::timeout(SOON, found).await;
    found.unwrap_or_else(|_| panic!("{what}: not within {SOON:?}"))
}

impl Space {
    /// Objects of one of our kinds, in this namespace.
    pub(crate) fn api(&self, kind: &str) -> Api<DynamicObject> {
        api_of(&self.client, &self.name, kind)
    }

    /// Objects of one of our kinds, in this namespace, as another user sees them.
    pub(crate) async fn api_as(
        &self,
        user: &str,
        groups: &[&str],
        kind: &str,
    ) -> Api<DynamicObject> {
        api_of(&client_of(user, groups).await, &self.name, kind)
    }

    /// Decides something about an object, as somebody with all rights.
    pub(crate) async fn decide(&self, (kind, name): (&str, &str), action: &str) {
        let decision = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Decision", "metadata": {"generateName": "d-"},
            "spec": {"target": {"kind": kind, "name": name}, "action": action, "user": "alice"},
        });
        let decision = serde_json::from_value(decision).unwrap();
        let decisions = self.api("Decision");
        decisions
            .create(&PostParams::default(), &decision)
            .await
            .unwrap();
    }

    /// Makes a Secret that may be used.
    pub(crate) async fn make_secret(&self, name: &str, values: Value) {
        self.make_secret_with(name, json!({"slipway.dev/use": "tests"}), values)
            .await;
    }

    /// Makes a Secret with these labels.
    pub(crate) async fn make_secret_with(&self, name: &str, labels: Value, values: Value) {
        let secret = json!({"metadata": {"name": name, "labels": labels}, "stringData": values});
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &self.name);
        let secret = serde_json::from_value(secret).unwrap();
        secrets
            .create(&PostParams::default(), &secret)
            .await
            .unwrap();
    }

    /// Prints what is in the namespace, for the log of a failed test.
    async fn dump(&self) {
        eprintln!("---- namespace {} ----", self.name);
        for (group, version, kind, plural) in WORTH_DUMPING {
            let resource = GroupVersionKind::gvk(group, version, kind);
            self.dump_kind(&ApiResource::from_gvk_with_plural(&resource, plural))
                .await;
        }
        for info in KINDS {
            self.dump_kind(&resource_of(info)).await;
        }
        let events: Api<Event> = Api::namespaced(self.client.clone(), &self.name);
        for event in events
            .list(&ListParams::default())
            .await
            .into_iter()
            .flatten()
        {
            let object = event.involved_object;
            eprintln!(
                "event {} {}/{}: {}",
                event.reason.unwrap_or_default(),
                object.kind.unwrap_or_default(),
                object.name.unwrap_or_default(),
                event.message.unwrap_or_default()
            );
        }
    }

    async fn dump_kind(&self, resource: &ApiResource) {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.name, resource);
        for mut object in api.list(&ListParams::default()).await.into_iter().flatten() {
            object.metadata.managed_fields = None;
            let name = object.name_any();
            let text = serde_json::to_string_pretty(&object).unwrap_or_default();
            eprintln!("{} {name}: {text}", resource.kind);
        }
    }
}

const WORTH_DUMPING: &[(&str, &str, &str, &str)] = &[
    ("", "v1", "Pod", "pods"),
    ("", "v1", "Service", "services"),
    ("batch", "v1", "Job", "jobs"),
    ("apps", "v1", "ReplicaSet", "replicasets"),
];

/// What kube needs to know about one of our kinds.
pub(crate) fn resource_of(info: &KindInfo) -> ApiResource {
    let kind = GroupVersionKind::gvk(info.group, info.version, info.kind);
    ApiResource::from_gvk_with_plural(&kind, info.plural)
}

pub(crate) fn api_of(client: &Client, namespace: &str, kind: &str) -> Api<DynamicObject> {
    let info = KINDS
        .iter()
        .find(|info| info.kind == kind)
        .expect("one of our kinds");
    Api::namespaced_with(client.clone(), namespace, &resource_of(info))
}

async fn install(client: &Client) {
    for crd in slipway::crd::all().unwrap() {
        apply(client, &serde_json::to_value(&crd).unwrap()).await;
    }
    let kinds = router_kinds().await;
    for crd in &kinds {
        apply(client, crd).await;
    }
    let own = slipway::crd::all().unwrap();
    let names = own.iter().map(ResourceExt::name_any);
    let others = kinds
        .iter()
        .filter_map(|crd| crd["metadata"]["name"].as_str());
    for name in names.chain(others.map(str::to_owned)) {
        until_established(client, &name).await;
    }
    let manifests: Vec<Value> = rendered_chart()
        .into_iter()
        .filter(is_policy_or_role)
        .map(|manifest| with_hub(&manifest))
        .collect();
    let version = format!("version-{:016x}", hash(&manifests));
    for manifest in manifests {
        apply(client, &with_probe(guarded_only(manifest), &version)).await;
    }
    policies_hold(client, &version).await;
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Definitions of everything that carries weights.
pub(crate) async fn router_kinds() -> Vec<Value> {
    let routers = testbed::router_crds().await.unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&routers).unwrap();
    let is_definition = |document: &Value| document["kind"] == "CustomResourceDefinition";
    documents.into_iter().filter(is_definition).collect()
}

/// Waits until the API server serves a kind.
pub(crate) async fn until_established(client: &Client, name: &str) {
    let crds: Api<CustomResourceDefinition> = Api::all(client.clone());
    let established = await_condition(crds, name, conditions::is_crd_established());
    tokio::time::timeout(SOON, established)
        .await
        .expect("established in time")
        .unwrap();
}

/// The manifests that are installed: `manifests/install.yaml`.
pub(crate) fn rendered_chart() -> Vec<Value> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("manifests/install.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    documents.into_iter().filter(Value::is_object).collect()
}

fn is_policy_or_role(manifest: &Value) -> bool {
    let kinds = [
        "ClusterRole",
        "ClusterRoleBinding",
        "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding",
    ];
    kinds.iter().any(|kind| manifest["kind"] == *kind)
}

/// Puts a user where `admissionPolicies.hubs` stands, which is empty in what is installed.
fn with_hub(manifest: &Value) -> Value {
    let hubs = format!("variables.user in ['{HUB}']");
    let text = manifest.to_string().replace("variables.user in []", &hubs);
    serde_json::from_str(&text).unwrap()
}

fn guarded_only(mut manifest: Value) -> Value {
    if manifest["kind"] == "ValidatingAdmissionPolicyBinding" {
        manifest["spec"]["matchResources"] =
            json!({ "namespaceSelector": { "matchLabels": { (GUARDED): "true" } } });
    }
    manifest
}

/// Adds a rule that refuses an object with the annotation `PROBE: <version>`, so that it can be seen when
/// this very version of the policy holds.
fn with_probe(mut manifest: Value, version: &str) -> Value {
    if manifest["kind"] == "ValidatingAdmissionPolicy" {
        let expression = format!(
            "object == null || object.metadata.?annotations[?'{PROBE}'].orValue('') != '{version}'"
        );
        let rule = json!({ "expression": expression, "message": version });
        manifest["spec"]["validations"]
            .as_array_mut()
            .unwrap()
            .insert(0, rule);
    }
    manifest
}

async fn apply(client: &Client, manifest: &Value) {
    let params = PatchParams::apply("slipway-tests").force();
    apply_with(client, manifest, &params).await.unwrap();
}

/// Applies a manifest of any kind.
pub(crate) async fn apply_with(
    client: &Client,
    manifest: &Value,
    params: &PatchParams,
) -> kube::Result<DynamicObject> {
    let object: DynamicObject = serde_json::from_value(manifest.clone()).unwrap();
    let types = object.types.clone().expect("apiVersion and kind");
    let kind = GroupVersionKind::try_from(&types).unwrap();
    let (resource, _) = kube::discovery::pinned_kind(client, &kind).await?;
    let api: Api<DynamicObject> = match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    api.patch(&object.name_any(), params, &Patch::Apply(manifest))
        .await
}

/// The API server reads new policies a moment after they are written.
async fn policies_hold(client: &Client, version: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let labels = json!({ (GUARDED): "true" });
    let name = made_namespace(&namespaces, "test", &labels).await;
    let params = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    for (kind, spec) in PROBES {
        let probe = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": kind,
            "metadata": { "name": "probe", "annotations": { (PROBE): version } },
            "spec": serde_json::from_str::<Value>(spec).unwrap(),
        });
        let probe: DynamicObject = serde_json::from_value(probe).unwrap();
        let api = api_of(client, &name, kind);
        wait_for(&format!("the policy on {kind}"), SOON, async || {
            let refused = api.create(&params, &probe).await.err()?;
            refused.to_string().contains(version).then_some(())
        })
        .await;
    }
    namespaces
        .delete(&name, &DeleteParams::default())
        .await
        .unwrap();
}

/// One object per policy that only the probe refuses.
const PROBES: &[(&str, &str)] = &[
    (
        "Decision",
        r#"{"target":{"kind":"Rollout","name":"a"},"action":"Pause","user":"admin"}"#,
    ),
    (
        "Environment",
        r#"{"tier":"Staging","promotion":{"from":{"pipelines":["a"]}}}"#,
    ),
    (
        "PipelineRun",
        r#"{"pipelineRef":{"name":"a"},"trigger":{"kind":"Manual","actor":"admin"},"ref":"refs/heads/main"}"#,
    ),
    (
        "Promotion",
        r#"{"environment":"a","release":"a","pipeline":"a","kind":"Promote","attempt":1,"requestedBy":"admin",
        "images":[{"name":"a","ref":"r/a@sha256:0000000000000000000000000000000000000000000000000000000000000000"}]}"#,
    ),
];
