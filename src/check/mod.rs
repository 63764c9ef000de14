//! A check: a Job that passes when its container ends with exit code 0. Environments run smoke tests, Rollouts hooks and
//! Jobs that measure. No I/O.

pub mod api;
mod ending;
pub mod report;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};
use std::time::Duration;

use crate::model::json::set;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::trouble;
use crate::model::workload::{Job, Pod, PodStatus};
use api::CheckJob;
pub use ending::{Ending, ending, finished_at};

/// Value of the component label on Jobs of checks and on their pods.
const CHECK: &str = "check";
/// Time for which a finished Job is kept for those who want to read its output, in seconds.
const KEEP_JOB: u32 = 86_400;
/// The same for one that took a sample, of which there are many.
const KEEP_SAMPLE: u32 = 3600;
/// Reasons of pods that were taken away.
const TAKEN_AWAY: [&str; 5] = [
    "Evicted",
    "Preempting",
    "NodeLost",
    "NodeShutdown",
    "Terminated",
];
/// Reason of a Job whose pod was taken away, and may be gone since.
const DISRUPTED: &str = "PodFailurePolicy";
/// Reason of a Job that took too long.
const LATE: &str = "DeadlineExceeded";
/// What a Job gets beyond its own deadline until it is given up as lost.
pub const GRACE: Duration = Duration::from_mins(1);

/// How a check is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Not over.
    Running,
    /// Good.
    Passed,
    /// Bad, and what Kubernetes says about it.
    Failed(String),
    /// Not over, but its container will never run, and why: nobody has to wait for the Job's deadline.
    Stuck(String),
    /// It came to no verdict, and why: its pod was taken away, whatever it would have said.
    Lost(String),
}

/// How the check of a Job is, by the Job and those of these pods that are its own.
pub fn outcome<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>) -> Outcome {
    let conditions = job
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    let is = |type_: &str| {
        let mut conditions = conditions.into_iter().flatten();
        conditions.find(|condition| condition.type_ == type_ && condition.status == "True")
    };
    if is("Complete").is_some() {
        return Outcome::Passed;
    }
    let Some(failed) = is("Failed") else {
        return stuck(job, pods).map_or(Outcome::Running, Outcome::Stuck);
    };
    let reason = failed.reason.as_deref().unwrap_or("Failed");
    // What was late was late wherever its pod is.
    let taken = own(job, pods).find_map(taken_away);
    if let Some(why) = taken.filter(|_| reason != LATE) {
        return Outcome::Lost(why);
    }
    let message = failed.message.as_deref().unwrap_or("no message");
    if reason == DISRUPTED {
        return Outcome::Lost(format!("{reason}: {message}"));
    }
    let name = job.metadata.name();
    Outcome::Failed(format!("{reason}: {message} (see the log of Job {name})"))
}

fn stuck<'a>(job: &Job, pods: impl IntoIterator<Item = &'a Pod>) -> Option<String> {
    let trouble = own(job, pods).find_map(trouble::of_pod)?;
    let name = job.metadata.name();
    Some(format!(
        "{}: {} (of Job {name})",
        trouble.reason, trouble.message
    ))
}

/// The statuses of those pods that are the Job's own.
fn own<'a>(
    job: &Job,
    pods: impl IntoIterator<Item = &'a Pod>,
) -> impl Iterator<Item = &'a PodStatus> {
    let uid = &*job.metadata.uid;
    let is_own = move |pod: &&Pod| {
        let mut owners = pod.metadata.owners.iter();
        owners.any(|owner| owner.uid == uid)
    };
    let own = pods.into_iter().filter(is_own);
    own.filter_map(|pod| pod.status.as_ref())
}

fn taken_away(pod: &PodStatus) -> Option<String> {
    let mut conditions = pod.conditions.iter().flatten();
    let disrupted = conditions
        .find(|condition| condition.type_ == "DisruptionTarget" && condition.status == "True");
    if let Some(disrupted) = disrupted {
        let reason = disrupted.reason.as_deref().unwrap_or("DisruptionTarget");
        let message = disrupted.message.as_deref().unwrap_or("its pod had to go");
        return Some(format!("{reason}: {message}"));
    }
    let reason = pod.reason.as_deref()?;
    let message = pod.message.as_deref().unwrap_or("its pod is gone");
    TAKEN_AWAY
        .contains(&reason)
        .then(|| format!("{reason}: {message}"))
}

/// What a check is called, and who has it run.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Namespace and name of the Job.
    pub key: &'a Key,
    /// Label and name of the object that hears of it.
    pub parent: (&'a str, &'a str),
    /// The object that it goes with.
    pub owner: &'a OwnerReference,
    /// The metric that it takes a sample of, if it does.
    pub metric: Option<&'a str>,
}

/// The Job of a check; never run again by itself. `told` are environment variables, before the check's own, which win.
pub fn job(
    place: Place<'_>,
    check: &CheckJob,
    told: Vec<(String, String)>,
    timeout: Duration,
) -> Manifest {
    let own = check.env.iter();
    let own = own.map(|own| (own.name.clone(), own.value.clone().unwrap_or_default()));
    let env = told.into_iter().chain(own);
    let env: Vec<Value> = env
        .map(|(name, value)| json!({"name": name, "value": value}))
        .collect();
    let mut container = json!({
        "name": CHECK,
        "image": check.image,
        "env": env,
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    if !check.command.is_empty() {
        set(&mut container, &["command"], json!(check.command));
    }
    let mut labels = vec![(label::COMPONENT, CHECK), place.parent];
    labels.extend(place.metric.map(|metric| (label::METRIC, metric)));
    let kept = place.metric.map_or(KEEP_JOB, |_| KEEP_SAMPLE);
    let pod_labels: Value = labels.iter().map(|(key, value)| (*key, *value)).collect();
    let rest = json!({"spec": {
        "backoffLimit": 0,
        "activeDeadlineSeconds": timeout.as_secs().max(1),
        "ttlSecondsAfterFinished": kept,
        // Only the Job tells what became of a pod that is gone.
        "podFailurePolicy": {"rules": [{
            "action": "FailJob",
            "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
        }]},
        "template": {
            "metadata": {"labels": pod_labels},
            "spec": {
                "restartPolicy": "Never",
                "automountServiceAccountToken": false,
                "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
                "containers": [container],
            },
        },
    }});
    Manifest::new(
        ObjectKind::Job,
        place.key.clone(),
        &labels,
        Some(place.owner),
        rest,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(status: &Value) -> Job {
        let job = json!({"metadata": {"name": "smoke", "uid": "j"}, "status": status});
        serde_json::from_value(job).unwrap()
    }

    fn pod(owner: &str, reason: &str) -> Pod {
        let waiting = json!({"waiting": {"reason": reason, "message": "smoke:9: not found"}});
        let container = json!({
            "name": "check", "image": "smoke:9", "imageID": "", "ready": false, "restartCount": 0,
            "state": waiting,
        });
        let owner = json!({"apiVersion": "batch/v1", "kind": "Job", "name": "smoke", "uid": owner});
        let pod = json!({
            "metadata": {"ownerReferences": [owner]}, "status": {"containerStatuses": [container]},
        });
        serde_json::from_value(pod).unwrap()
    }

    #[test]
    fn a_job_whose_image_is_not_there_is_stuck_and_says_so() {
        let running = job(&json!({"active": 1}));
        let told = outcome(&running, &[pod("j", "ImagePullBackOff")]);
        let Outcome::Stuck(why) = told else {
            panic!("{told:?}");
        };
        assert_eq!(
            why,
            "ImagePull: container check: ImagePullBackOff: smoke:9: not found (of Job smoke)"
        );
        let others = [
            pod("another", "ImagePullBackOff"),
            pod("j", "PodInitializing"),
        ];
        assert_eq!(outcome(&running, &others), Outcome::Running);
    }

    #[test]
    fn a_check_whose_pod_was_taken_away_came_to_no_verdict() {
        let failed = |reason: &str| {
            let condition =
                json!({"type": "Failed", "status": "True", "reason": reason, "message": "m"});
            job(&json!({"conditions": [condition]}))
        };
        let ended = failed("BackoffLimitExceeded");
        let mut evicted = pod("j", "PodInitializing");
        evicted.status.as_mut().unwrap().reason = Some("Evicted".into());
        let lost = |why: &str| Outcome::Lost(why.to_owned());
        assert_eq!(
            outcome(&ended, [&evicted]),
            lost("Evicted: its pod is gone")
        );
        let is_failed = |outcome| matches!(outcome, Outcome::Failed(_));
        assert!(is_failed(outcome(&ended, [])), "nobody says so");
        let told = outcome(&failed("PodFailurePolicy"), []);
        assert_eq!(told, lost("PodFailurePolicy: m"), "the Job says so");
        assert!(is_failed(outcome(&failed("DeadlineExceeded"), [&evicted])));
        let running = job(&json!({"active": 1}));
        assert_eq!(outcome(&running, [&evicted]), Outcome::Running);
        let condition = json!({"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "node gone", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let mut disrupted = pod("j", "PodInitializing");
        let conditions = serde_json::from_value(json!([condition])).unwrap();
        disrupted.status.as_mut().unwrap().conditions = Some(conditions);
        assert_eq!(
            outcome(&ended, [&disrupted]),
            lost("DeletionByTaintManager: node gone")
        );
    }

    #[test]
    fn what_the_job_says_about_its_end_counts_more_than_its_pods() {
        let of = |type_: &str| {
            let condition = json!({"type": type_, "status": "True", "reason": "R", "message": "m"});
            let ended = job(&json!({"conditions": [condition]}));
            outcome(&ended, &[pod("j", "ImagePullBackOff")])
        };
        assert_eq!(of("Complete"), Outcome::Passed);
        assert_eq!(
            of("Failed"),
            Outcome::Failed("R: m (see the log of Job smoke)".into())
        );
    }
}
