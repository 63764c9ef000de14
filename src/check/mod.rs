//! A check: a Job that passes when its container ends with exit code 0. Environments run smoke tests, Rollouts hooks. No I/O.

pub mod api;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;
use serde_json::{Value, json};
use std::time::Duration;

use crate::model::json::set;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use api::CheckJob;

/// Value of the component label on Jobs of checks and on their pods.
const CHECK: &str = "check";
/// Time for which a finished Job is kept for those who want to read its output, in seconds.
const KEEP_JOB: u32 = 86_400;
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
}

/// How the check of a Job is.
pub fn outcome(job: &Job) -> Outcome {
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
        return Outcome::Running;
    };
    let reason = failed.reason.as_deref().unwrap_or("Failed");
    let message = failed.message.as_deref().unwrap_or("no message");
    let name = job.name_any();
    Outcome::Failed(format!("{reason}: {message} (see the log of Job {name})"))
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
    let labels = [(label::COMPONENT, CHECK), place.parent];
    let pod_labels: Value = labels.iter().map(|(key, value)| (*key, *value)).collect();
    let rest = json!({"spec": {
        "backoffLimit": 0,
        "activeDeadlineSeconds": timeout.as_secs().max(1),
        "ttlSecondsAfterFinished": KEEP_JOB,
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
