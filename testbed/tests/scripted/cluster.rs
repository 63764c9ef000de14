//! The control plane that all tests share.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use testbed::ControlPlane;
use testbed::proxy::Proxy;
use testbed::scripted::{Rules, SCRIPT_ANNOTATION, ScriptedNodes};
use testbed::wait::until;
use tokio::runtime::Runtime;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// How long a state may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Cluster {
    runtime: Runtime,
    pub(crate) control_plane: ControlPlane,
    /// Between the scripted nodes and the API server.
    pub(crate) proxy: Proxy,
    pub(crate) nodes: ScriptedNodes,
}

/// A test's namespace.
pub(crate) struct Space {
    pub(crate) cluster: &'static Cluster,
    pub(crate) name: String,
    client: Client,
}

/// Runs a test in a namespace of its own.
pub(crate) fn in_cluster(test: impl AsyncFnOnce(&Space) -> Result<()>) {
    let cluster = cluster();
    let outcome = cluster.runtime.block_on(async {
        let space = Space::create(cluster).await?;
        let outcome = test(&space).await;
        if outcome.is_err() {
            space.dump().await;
        }
        space.delete().await?;
        outcome
    });
    if let Err(error) = outcome {
        panic!("{error:?}");
    }
}

fn cluster() -> &'static Cluster {
    static CLUSTER: OnceLock<Cluster> = OnceLock::new();
    CLUSTER.get_or_init(|| {
        // Cut connections and refused writes are what the tests are about: say nothing unless asked.
        let filter = EnvFilter::builder().with_default_directive(LevelFilter::OFF.into());
        let log = tracing_subscriber::fmt().with_env_filter(filter.from_env_lossy());
        let _ = log.try_init();
        let runtime = Runtime::new().unwrap();
        let started = runtime.block_on(async {
            let control_plane = ControlPlane::start("scripted").await?;
            let proxy = in_front_of(&control_plane).await?;
            let nodes = ScriptedNodes::start(proxy.client().await?, 3, Rules::default()).await?;
            anyhow::Ok((control_plane, proxy, nodes))
        });
        let (control_plane, proxy, nodes) = started.unwrap();
        Cluster {
            runtime,
            control_plane,
            proxy,
            nodes,
        }
    })
}

pub(crate) async fn in_front_of(control_plane: &ControlPlane) -> Result<Proxy> {
    let options = kube::config::KubeConfigOptions::default();
    let kubeconfig = control_plane.kubeconfig();
    Proxy::start(kube::Config::from_custom_kubeconfig(kubeconfig, &options).await?).await
}

impl Space {
    async fn create(cluster: &'static Cluster) -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let client = cluster.control_plane.client()?;
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("scripted-{}-{number}", std::process::id());
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": name}}))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), &name);
        until("a service account", PATIENCE, || async {
            Ok(accounts.get_opt("default").await?)
        })
        .await?;
        Ok(Self {
            cluster,
            name,
            client,
        })
    }

    /// The rest of its pods goes at once: with this process, their nodes end.
    async fn delete(&self) -> Result<()> {
        let namespaces = Api::<Namespace>::all(self.client.clone());
        namespaces
            .delete(&self.name, &DeleteParams::background())
            .await?;
        let now = DeleteParams::default().grace_period(0);
        self.api::<Pod>()
            .delete_collection(&now, &ListParams::default())
            .await?;
        Ok(())
    }

    async fn dump(&self) {
        let pods = self
            .api::<Pod>()
            .list(&ListParams::default())
            .await
            .unwrap();
        for pod in pods {
            eprintln!(
                "{}: {}",
                pod.name_any(),
                serde_json::to_string_pretty(&pod.status).unwrap()
            );
        }
    }

    pub(crate) fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }

    pub(crate) async fn create_one<K>(&self, object: Value) -> Result<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Serialize,
    {
        let object = serde_json::from_value(object)?;
        Ok(self
            .api::<K>()
            .create(&PostParams::default(), &object)
            .await?)
    }

    /// A pod that plays `script`, or the default.
    pub(crate) async fn pod(&self, name: &str, script: &str) -> Result<Pod> {
        self.create_one(json!({
            "metadata": {"name": name, "annotations": {SCRIPT_ANNOTATION: script}},
            "spec": pod_spec(name),
        }))
        .await
    }

    /// Waits until the pod fulfils `condition`.
    pub(crate) async fn until_pod(
        &self,
        name: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> Result<Pod> {
        let pods = self.api::<Pod>();
        let wait = until(name, PATIENCE, || async {
            let pod = pods.get(name).await?;
            let status = serde_json::to_value(&pod.status)?;
            Ok(condition(&status).then_some(pod))
        });
        wait.await.with_context(|| format!("pod {name}"))
    }

    /// A deployment of pods with the image `<name>:v1` and the default script.
    pub(crate) async fn deployment(&self, name: &str, replicas: u32) -> Result<()> {
        let labels = json!({"app": name});
        let _: k8s_openapi::api::apps::v1::Deployment = self
            .create_one(json!({
                "metadata": {"name": name},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": pod_spec(name)},
                },
            }))
            .await?;
        Ok(())
    }

    /// Waits until this many pods of the deployment are ready.
    pub(crate) async fn until_ready(&self, name: &str, ready: i32) -> Result<()> {
        let deployments = self.api::<k8s_openapi::api::apps::v1::Deployment>();
        until(&format!("{ready} ready of {name}"), PATIENCE, || async {
            let status = deployments.get(name).await?.status.unwrap_or_default();
            Ok((status.ready_replicas.unwrap_or(0) == ready).then_some(()))
        })
        .await
    }

    /// The pods' addresses by name.
    pub(crate) async fn addresses(&self, app: &str) -> Result<BTreeMap<String, String>> {
        let labelled = ListParams::default().labels(&format!("app={app}"));
        let pods = self.api::<Pod>().list(&labelled).await?;
        let address = |pod: &Pod| pod.status.as_ref().and_then(|status| status.pod_ip.clone());
        Ok(pods
            .iter()
            .map(|pod| (pod.name_any(), address(pod).unwrap_or_default()))
            .collect())
    }
}

pub(crate) fn pod_spec(name: &str) -> Value {
    json!({
        "terminationGracePeriodSeconds": 5,
        "containers": [{"name": "app", "image": format!("registry.local/{name}:v1")}],
    })
}

/// The state of the first container: `running`, `terminated`, or the reason to wait.
pub(crate) fn state(status: &Value) -> String {
    let state = &status["containerStatuses"][0]["state"];
    match state["waiting"]["reason"].as_str() {
        Some(reason) => reason.to_owned(),
        None if state["terminated"].is_object() => "terminated".to_owned(),
        None => "running".to_owned(),
    }
}

pub(crate) fn is_true(status: &Value, condition: &str) -> bool {
    let mut conditions = status["conditions"].as_array().into_iter().flatten();
    conditions.any(|found| found["type"] == condition && found["status"] == "True")
}
