//! Pods, Jobs, ReplicaSets and Deployments as far as anybody reads them here. No I/O.
//!
//! There are thousands of them in the caches, and most of each is a template that nobody reads: what is left out here takes
//! neither memory nor the code that would read it. Whoever writes such an object names what changes in it, so nothing is lost.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::apps::v1::{self as apps, ReplicaSetStatus};
use k8s_openapi::api::batch::v1 as batch;
use k8s_openapi::api::core::v1::{self as core, ContainerStateTerminated, ContainerStateWaiting};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::Resource;
use serde::Deserialize;
use serde_json::Value;

use super::key::Key;
use super::meta::{Identified, Meta, Owner, Pairs};

/// A pod: how it and its containers fare.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Pod {
    /// Who it is.
    pub metadata: Meta,
    /// How it fares.
    pub status: Option<PodStatus>,
}

/// How a pod fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PodStatus {
    /// `Pending`, `Running`, `Succeeded`, `Failed` or `Unknown`.
    pub phase: Option<String>,
    /// Why it is so.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// When a node took it.
    pub start_time: Option<Time>,
    /// What holds of it.
    pub conditions: Option<Vec<Condition>>,
    /// Those that come first, and sidecars.
    pub init_container_statuses: Option<Vec<ContainerStatus>>,
    /// The others.
    pub container_statuses: Option<Vec<ContainerStatus>>,
}

/// How a container fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// The image that it runs, with its digest; empty before the node knows.
    #[serde(default, rename = "imageID")]
    pub image_id: String,
    /// How often it was started again.
    #[serde(default)]
    pub restart_count: i32,
    /// Whether it is up.
    pub started: Option<bool>,
    /// What it does.
    pub state: Option<ContainerState>,
    /// What it did before it was started again.
    pub last_state: Option<Box<ContainerState>>,
}

/// What a container does. It does one thing, and most of them the one that nothing is read of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ContainerState {
    /// It waits, and for what.
    pub waiting: Option<Box<ContainerStateWaiting>>,
    /// It runs.
    pub running: Option<Running>,
    /// It has ended, and how.
    pub terminated: Option<Box<ContainerStateTerminated>>,
}

/// That a container runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Running {}

/// What of a pod's conditions is read.
const READ: [&str; 3] = ["Ready", "DisruptionTarget", SCHEDULED];
/// Of a pod that a node has it is not read any more.
const SCHEDULED: &str = "PodScheduled";

impl Pod {
    /// Drops what nobody reads, and the room that lists were given to grow. In a crowd pods are most of what is cached, and
    /// this is half of them.
    pub fn slim(&mut self) {
        self.metadata.annotations = Pairs::default();
        let Some(status) = &mut self.status else {
            return;
        };
        let has_node = status.start_time.is_some();
        if let Some(conditions) = &mut status.conditions {
            conditions.retain(|Condition { type_, .. }| {
                READ.contains(&type_.as_str()) && !(has_node && type_ == SCHEDULED)
            });
        }
        fit(&mut status.conditions);
        for containers in [
            &mut status.init_container_statuses,
            &mut status.container_statuses,
        ] {
            for container in containers.iter_mut().flatten() {
                let last = container.last_state.take();
                container.last_state = last.filter(|state| state.terminated.is_some());
            }
            fit(containers);
        }
    }
}

fn fit<T>(list: &mut Option<Vec<T>>) {
    if let Some(list) = list {
        list.shrink_to_fit();
    }
}

/// What holds of an object.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Why.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Since when.
    pub last_transition_time: Option<Time>,
}

/// A Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Job {
    /// Who it is.
    pub metadata: Meta,
    /// What is asked of it.
    pub spec: Option<JobSpec>,
    /// How it fares.
    pub status: Option<JobStatus>,
}

/// What is asked of a Job.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct JobSpec {
    /// Whether it has to wait.
    pub suspend: Option<bool>,
}

/// How a Job fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct JobStatus {
    /// What holds of it.
    pub conditions: Option<Vec<Condition>>,
}

/// A ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ReplicaSet {
    /// Who it is.
    pub metadata: Meta,
    /// What is asked of it.
    #[serde(default)]
    pub spec: ReplicaSetSpec,
    /// How it fares.
    pub status: Option<ReplicaSetStatus>,
}

/// What is asked of a ReplicaSet.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct ReplicaSetSpec {
    /// How many pods.
    pub replicas: Option<i32>,
    /// Of what.
    #[serde(default)]
    pub template: Template,
}

/// What the pods of a ReplicaSet are made of.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Template {
    /// Its specification.
    pub spec: Option<TemplateSpec>,
}

/// The specification of pods.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct TemplateSpec {
    /// Their containers.
    #[serde(default)]
    pub containers: Vec<Container>,
}

/// A container of a pod.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// What it runs.
    pub image: Option<String>,
}

/// A Deployment: the only one of these whose template is read. Only those that a Rollout names are kept.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Deployment {
    /// Who it is.
    pub metadata: ObjectMeta,
    /// What is asked of it.
    #[serde(default)]
    pub spec: DeploymentSpec,
    /// How it fares.
    pub status: Option<DeploymentStatus>,
}

impl Deployment {
    /// Whether it is asked to leave its ReplicaSets as they are.
    pub fn is_asked_to_pause(&self) -> bool {
        self.spec.paused == Some(true)
    }

    /// Whether it leaves them as they are: its controller has seen that it is asked to, and is in the middle of nothing.
    pub fn is_paused(&self) -> bool {
        let status = self.status.as_ref();
        let seen = status.and_then(|status| status.observed_generation);
        self.is_asked_to_pause() && seen.unwrap_or(0) >= self.metadata.generation.unwrap_or(0)
    }
}

/// What is asked of a Deployment.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSpec {
    /// How many pods.
    pub replicas: Option<i32>,
    /// Whether it leaves its ReplicaSets as they are.
    pub paused: Option<bool>,
    /// Which pods are its own.
    #[serde(default)]
    pub selector: DeploymentSelector,
    /// What they are made of.
    #[serde(default)]
    pub template: Value,
}

/// Which pods are a Deployment's own.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentSelector {
    /// By the values of labels.
    #[serde(default)]
    pub match_labels: BTreeMap<String, String>,
    /// By anything else.
    #[serde(default)]
    pub match_expressions: Vec<Value>,
}

/// How a Deployment fares.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatus {
    /// The generation that its controller has seen last.
    pub observed_generation: Option<i64>,
    /// Pods of its ReplicaSets.
    #[serde(default)]
    pub replicas: i32,
}

/// What is kept of each object of a kind that Kubernetes has.
pub trait Part: Identified {
    /// The whole of it.
    type Whole: Resource<DynamicType = (), Scope = NamespaceResourceScope>;
}

/// Those that there are so many of that their metadata is kept in as little memory as it takes.
macro_rules! parts {
    ($($own:ty = $whole:ty;)*) => {
        $(impl Identified for $own {
            fn own_key(&self) -> Key {
                Key::clone(&self.metadata.key)
            }

            fn shared_key(&self) -> Arc<Key> {
                Arc::clone(&self.metadata.key)
            }

            fn own_uid(&self) -> &str {
                &self.metadata.uid
            }

            fn own_version(&self) -> &str {
                &self.metadata.resource_version
            }

            fn own_generation(&self) -> Option<i64> {
                self.metadata.generation
            }

            fn own_label(&self, key: &str) -> Option<&str> {
                self.metadata.labels.get(key)
            }

            fn owned_by(&self) -> impl Iterator<Item = Owner<'_>> {
                self.metadata.owners.iter()
            }
        }

        impl Part for $own {
            type Whole = $whole;
        })*
    };
}

parts! {
    Pod = core::Pod;
    Job = batch::Job;
    ReplicaSet = apps::ReplicaSet;
}

/// Each is the kind that it is a part of.
macro_rules! resources {
    ($($own:ty = $whole:ty;)*) => {
        $(impl Resource for $own {
            type DynamicType = ();
            type Scope = NamespaceResourceScope;

            fn kind((): &()) -> Cow<'_, str> {
                <$whole as Resource>::kind(&())
            }

            fn group((): &()) -> Cow<'_, str> {
                <$whole as Resource>::group(&())
            }

            fn version((): &()) -> Cow<'_, str> {
                <$whole as Resource>::version(&())
            }

            fn plural((): &()) -> Cow<'_, str> {
                <$whole as Resource>::plural(&())
            }

            fn meta(&self) -> &ObjectMeta {
                &self.metadata
            }

            fn meta_mut(&mut self) -> &mut ObjectMeta {
                &mut self.metadata
            }
        })*
    };
}

resources! {
    Deployment = apps::Deployment;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_of_a_pod_is_there_and_the_rest_is_not() {
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns"},
            "spec": {"containers": [{"name": "main", "image": "i"}]},
            "status": {
                "phase": "Running", "podIP": "10.0.0.1",
                "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
                "containerStatuses": [{
                    "name": "main", "image": "i", "imageID": "i@sha256:a", "ready": true, "restartCount": 2,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}, "resources": {},
                }],
            },
        });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let status = pod.status.unwrap();
        let main = &status.container_statuses.unwrap()[0];
        assert_eq!(
            (main.restart_count, main.image_id.as_str()),
            (2, "i@sha256:a")
        );
        assert_eq!(status.conditions.unwrap()[0].type_, "Ready");
        assert_eq!(Deployment::plural(&()), "deployments");
        // A cached pod is a few hundred bytes, and what its containers say.
        assert!(size_of::<Pod>() < 400, "{}", size_of::<Pod>());
        let each = size_of::<ContainerStatus>();
        assert!(each < 120, "{each}");
    }

    #[test]
    fn a_slim_pod_has_what_is_read_and_no_room_to_grow() {
        let condition = |type_: &str| json!({"type": type_, "status": "True"});
        let container = |name: &str, last: Value| json!({"name": name, "lastState": last});
        let died = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
        let pod = json!({
            "metadata": {
                "name": "a-x2k4f", "namespace": "ns", "uid": "u", "generateName": "a-",
                "annotations": {"a": "b"}, "labels": {"app": "a"},
            },
            "status": {
                "startTime": "2026-01-01T00:00:00Z",
                "conditions": [
                    condition("PodReadyToStartContainers"), condition("Initialized"), condition("Ready"),
                    condition("ContainersReady"), condition("PodScheduled"), condition("DisruptionTarget"),
                ],
                "containerStatuses": [container("main", died), container("other", json!({}))],
            },
        });
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        pod.slim();
        let metadata = &pod.metadata;
        assert_eq!(metadata.annotations.get("a"), None);
        assert_eq!(metadata.labels.get("app"), Some("a"));
        let status = pod.status.as_ref().unwrap();
        let conditions = status.conditions.as_ref().unwrap();
        let types: Vec<&str> = conditions.iter().map(|one| one.type_.as_str()).collect();
        assert_eq!(types, ["Ready", "DisruptionTarget"]);
        assert_eq!(conditions.capacity(), 2);
        let containers = status.container_statuses.as_ref().unwrap();
        let last = containers[0].last_state.as_ref().unwrap();
        assert_eq!(last.terminated.as_ref().unwrap().exit_code, 137);
        assert_eq!(containers[1].last_state, None);
    }

    #[test]
    fn why_no_node_takes_a_pod_is_kept() {
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable"});
        let pod = json!({"metadata": {}, "status": {"conditions": [condition]}});
        let mut pod: Pod = serde_json::from_value(pod).unwrap();
        let whole = pod.clone();
        pod.slim();
        assert_eq!(pod, whole);
    }

    #[test]
    fn of_a_deployment_the_template_is_all_there() {
        let template =
            json!({"metadata": {"labels": {"app": "a"}}, "spec": {"fieldOfTomorrow": 1}});
        let deployment = json!({
            "metadata": {"name": "a"},
            "spec": {"paused": true, "selector": {"matchLabels": {"app": "a"}}, "template": template},
            "status": {"observedGeneration": 1},
        });
        let read: Deployment = serde_json::from_value(deployment).unwrap();
        assert_eq!(read.spec.template, template);
        assert_eq!(read.spec.selector.match_labels["app"], "a");
        assert_eq!((read.spec.paused, read.spec.replicas), (Some(true), None));
        assert_eq!(read.status.unwrap().replicas, 0);
    }

    #[test]
    fn what_is_not_there_yet_is_no_error() {
        let set = json!({"metadata": {"name": "a"}, "spec": {"selector": {}}});
        let set: ReplicaSet = serde_json::from_value(set).unwrap();
        assert_eq!((set.spec.replicas, set.status), (None, None));
        let job = json!({"metadata": {"name": "a"}, "spec": {"suspend": true, "template": {}}});
        let job: Job = serde_json::from_value(job).unwrap();
        assert_eq!(job.spec.unwrap().suspend, Some(true));
    }
}
