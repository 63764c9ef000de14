//! Reads the Jobs of a run and what their pods say. Out of the caches.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::RunPhase;
use super::super::observed::{Ended, Job, JobState, Observed, Pod, Service, Trouble};
use crate::cluster::Cluster;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::workload::{self, ContainerStatus};
use crate::pipeline::api::OUR_CONTAINERS;

/// The Jobs of a run, by name.
pub(super) fn jobs(key: &Key, cluster: &Cluster) -> BTreeMap<String, Job> {
    let pods = cluster
        .caches
        .pods
        .children_of(ObjectKind::PipelineRun, key);
    let jobs = cluster
        .caches
        .jobs
        .children_of(ObjectKind::PipelineRun, key);
    jobs.iter()
        .map(|job| (job.metadata.name().to_owned(), read_job(job, &pods)))
        .collect()
}

/// Jobs of a run that this process has seen and that are gone: since when it had known them. That a Job was there may wait to be
/// put on record, and what somebody deletes in the meantime must not be taken for something that was never made.
pub(super) fn gone(seen: &Observed, cluster: &Cluster) -> BTreeMap<String, Timestamp> {
    let (asked, kind) = (&cluster.asked, ObjectKind::PipelineRun);
    if seen.status.phase.is_some_and(RunPhase::is_finished) {
        asked.forget(kind, &seen.key);
        return BTreeMap::new();
    }
    // Another run may have had its name.
    let prefix = format!("Job of {}: ", seen.owner.uid);
    let known = asked.times(kind, &seen.key);
    let new = seen.jobs.keys().map(|name| format!("{prefix}{name}"));
    let new = new.filter(|name| !known.contains_key(name));
    let new = new.map(|name| (name, None));
    asked.note(kind, &seen.key, new, cluster.clock().now());
    let of_it = known.into_iter().filter_map(|(name, at)| {
        let name = name.strip_prefix(&prefix)?;
        Some((name.to_owned(), at))
    });
    of_it
        .filter(|(name, _)| !seen.jobs.contains_key(name))
        .collect()
}

/// What a Job and its pods say.
fn read_job(job: &workload::Job, pods: &[Arc<workload::Pod>]) -> Job {
    // By its uid: those of another one of that name, which was deleted, may still be there.
    let of_job = pods.iter().filter(|pod| {
        let owner = pod.metadata.controller();
        owner.is_some_and(|owner| *owner.uid == *job.metadata.uid)
    });
    let newest = of_job.max_by_key(|pod| (pod.metadata.created_at(), pod.metadata.name()));
    Job {
        target: Target::of(ObjectKind::Job, job),
        created_at: job.metadata.created_at(),
        is_ending: job.metadata.deletion_timestamp.is_some(),
        state: state(job),
        pod: newest.map(|pod| read_pod(pod)),
    }
}

fn state(job: &workload::Job) -> JobState {
    let status = job.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_ref());
    for condition in conditions.into_iter().flatten() {
        if condition.status != "True" {
            continue;
        }
        let at = condition.last_transition_time.as_ref();
        let at = at.map_or_else(|| job.metadata.created_at(), |Time(at)| *at);
        match condition.type_.as_str() {
            "Complete" => return JobState::Complete(at),
            "Failed" => {
                return JobState::Failed(
                    at,
                    condition.reason.clone().unwrap_or_default(),
                    condition.message.clone().unwrap_or_default(),
                );
            }
            _ => {}
        }
    }
    JobState::Active
}

fn read_pod(pod: &workload::Pod) -> Pod {
    let Some(status) = &pod.status else {
        return Pod::default();
    };
    let phase = status.phase.as_deref().unwrap_or_default();
    let conditions = || status.conditions.iter().flatten();
    let disrupted = conditions()
        .any(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    let unschedulable = conditions().find(|condition| {
        condition.type_ == "PodScheduled" && condition.reason.as_deref() == Some("Unschedulable")
    });
    let containers = || {
        let init = status.init_container_statuses.iter().flatten();
        init.chain(status.container_statuses.iter().flatten())
    };
    // The cache keeps no specs of pods.
    let is_scheduled = conditions()
        .any(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    let is_over = matches!(phase, "Succeeded" | "Failed");
    let leaving_at = pod.metadata.deletion_timestamp.as_ref();
    Pod {
        leaving_at: leaving_at.map(|Time(at)| *at),
        has_node: is_scheduled || status.start_time.is_some() || is_over,
        is_over,
        has_succeeded: phase == "Succeeded",
        reason: status.reason.clone().unwrap_or_default(),
        message: status.message.clone().unwrap_or_default(),
        is_disrupted: disrupted,
        unschedulable: unschedulable.map(|condition| condition.message.clone().unwrap_or_default()),
        trouble: containers().find_map(trouble),
        images: containers()
            .filter(|container| !container.image_id.is_empty())
            .map(|container| (container.name.clone(), container.image_id.clone()))
            .collect(),
        ended: containers().filter_map(ended).collect(),
        has_main: status.container_statuses.iter().flatten().any(has_started),
        services: status
            .init_container_statuses
            .iter()
            .flatten()
            .filter_map(service)
            .collect(),
    }
}

/// Whether it runs, or has run. Of a container that has never run the node says, when it ends its pod, that it cannot be found.
fn has_started(container: &ContainerStatus) -> bool {
    let Some(state) = &container.state else {
        return false;
    };
    let ended = state.terminated.as_ref();
    state.running.is_some()
        || ended.is_some_and(|ended| ended.started_at.is_some() || ended.container_id.is_some())
}

/// A container beside the stage that is none of ours.
fn service(container: &ContainerStatus) -> Option<(String, Service)> {
    if OUR_CONTAINERS.contains(&container.name.as_str()) {
        return None;
    }
    let ends = [container.state.as_ref(), container.last_state.as_deref()];
    let last_end = ends
        .into_iter()
        .flatten()
        .find_map(|state| state.terminated.as_deref());
    let service = Service {
        is_ready: container.started.unwrap_or_default(),
        restarts: container.restart_count,
        last_end: last_end.map(end_of),
    };
    Some((container.name.clone(), service))
}

/// What a container's state says about whether it will ever run.
fn trouble(container: &ContainerStatus) -> Option<Trouble> {
    let waiting = container.state.as_ref()?.waiting.as_ref()?;
    let reason = waiting.reason.as_deref().unwrap_or_default();
    let is_final = matches!(
        reason,
        "ErrImagePull"
            | "ImagePullBackOff"
            | "RegistryUnavailable"
            | "SignatureValidationFailed"
            | "ErrImageNeverPull"
            | "InvalidImageName"
            | "CreateContainerConfigError"
            | "CreateContainerError"
            | "RunContainerError"
    );
    let words = waiting.message.as_deref().unwrap_or_default();
    is_final.then(|| Trouble {
        container: container.name.clone(),
        message: format!("{reason}: {words}"),
    })
}

fn ended(container: &ContainerStatus) -> Option<(String, Ended)> {
    let state = container.state.as_ref()?.terminated.as_ref()?;
    Some((container.name.clone(), end_of(state)))
}

fn end_of(state: &ContainerStateTerminated) -> Ended {
    Ended {
        exit_code: state.exit_code,
        reason: state.reason.clone().unwrap_or_default(),
        message: state.message.clone().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_container_that_the_node_cannot_find_at_the_end_of_its_pod_has_never_run() {
        let main = |terminated: Value| {
            let pod = json!({
                "metadata": {"name": "api-1-unit-1-x"},
                "status": {
                    "phase": "Failed", "reason": "DeadlineExceeded",
                    "containerStatuses": [{
                        "name": "main", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
                        "state": {"terminated": terminated},
                    }],
                },
            });
            read_pod(&serde_json::from_value(pod).unwrap()).has_main
        };
        let unfound = json!({
            "exitCode": 137, "reason": "ContainerStatusUnknown", "startedAt": null, "finishedAt": null,
            "message": "The container could not be located when the pod was terminated",
        });
        assert!(!main(unfound.clone()));
        let mut ran = unfound;
        ran["startedAt"] = "2026-11-26T10:00:00Z".into();
        assert!(main(ran));
    }

    #[test]
    fn why_an_image_was_not_pulled_is_read_in_the_moment_in_which_it_is_said() {
        let said = |reason: &str, message: &str| {
            let container = json!({
                "name": "main", "image": "r/a", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"waiting": {"reason": reason, "message": message}},
            });
            trouble(&serde_json::from_value(container).unwrap()).map(|trouble| trouble.message)
        };
        let told = said("ErrImagePull", "503 Service Unavailable");
        assert_eq!(
            told.as_deref(),
            Some("ErrImagePull: 503 Service Unavailable")
        );
        assert!(said("ImagePullBackOff", "Back-off pulling image \"r/a\"").is_some());
        assert_eq!(said("ContainerCreating", ""), None);
    }

    #[test]
    fn a_pod_of_a_job_that_was_deleted_says_nothing_of_another_one_of_its_name() {
        let pod = |owner: &str, at: &str, phase: &str| -> Arc<workload::Pod> {
            let pod = json!({
                "metadata": {
                    "name": format!("api-1-unit-1-{owner}"), "creationTimestamp": at,
                    "labels": {"batch.kubernetes.io/job-name": "api-1-unit-1"},
                    "ownerReferences": [
                        {"apiVersion": "batch/v1", "kind": "Job", "name": "api-1-unit-1", "uid": owner, "controller": true},
                    ],
                },
                "status": {"phase": phase},
            });
            Arc::new(serde_json::from_value(pod).unwrap())
        };
        let job = json!({
            "metadata": {
                "name": "api-1-unit-1", "namespace": "shop", "uid": "new", "creationTimestamp": "2026-11-26T10:00:00Z",
            },
        });
        let job: workload::Job = serde_json::from_value(job).unwrap();
        let old = pod("old", "2026-11-26T10:00:01Z", "Succeeded");
        assert_eq!(read_job(&job, std::slice::from_ref(&old)).pod, None);
        let own = pod("new", "2026-11-26T10:00:00Z", "Running");
        let read = read_job(&job, &[old, own]).pod;
        assert!(read.is_some_and(|pod| !pod.has_succeeded));
    }
}
