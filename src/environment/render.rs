//! The objects an Environment creates: Promotions, and the Jobs of smoke tests. No I/O.

use serde_json::{Value, json};

use super::api::{DeletionPolicy, SmokeTest};
use super::observed::{Observed, Record};
use crate::model::json::set;
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::promotion::api::PromotionSpec;
use crate::release::api::ImageRef;

/// Value of the component label on Promotions.
const PROMOTION: &str = "promotion";
/// Value of the component label on Jobs of smoke tests and on their pods.
const CHECK: &str = "check";
/// Time for which a finished Job is kept for those who want to read its output, in seconds.
const KEEP_JOB: u32 = 86_400;
/// Digits of a digest in a name.
const DIGITS: usize = 12;

/// Name of an attempt to bring these images into an Environment: making it twice is making it once.
pub fn promotion_name(environment: &str, images: &[ImageRef], attempt: u32) -> String {
    let mark = mark_of(images);
    suffixed(environment, &format!("{mark}-{attempt}"), MAX_LABEL)
}

/// The beginning of the digest of the one image; of several, of a hash over all of them.
fn mark_of(images: &[ImageRef]) -> String {
    if let [image] = images
        && let Some((_, digest)) = image.reference.split_once("@sha256:")
    {
        return digest.chars().take(DIGITS).collect();
    }
    let mut lines: Vec<String> = images
        .iter()
        .map(|image| format!("{}={}", image.name, image.reference))
        .collect();
    lines.sort();
    short_hash(lines.join("\n").as_bytes(), DIGITS)
}

/// The record of a promotion. Where records outlive the Environment they have no owner.
pub fn promotion(seen: &Observed, spec: &PromotionSpec) -> Manifest {
    let name = promotion_name(&seen.key.name, &spec.images, spec.attempt);
    let key = Key::new(seen.key.namespace.clone(), name);
    let labels = [
        (label::COMPONENT, PROMOTION),
        (label::ENVIRONMENT, seen.key.name.as_str()),
    ];
    let owner = match seen.spec.deletion_policy() {
        DeletionPolicy::Retain => None,
        DeletionPolicy::Delete => Some(&seen.owner),
    };
    let rest = json!({"spec": spec});
    Manifest::new(ObjectKind::Promotion, key, &labels, owner, rest)
}

/// Name of the step of a smoke test.
pub fn step_name(test: &str) -> String {
    format!("smoke-{test}")
}

/// Name of the Job of a smoke test. A Promotion that is made again under its name has Jobs of its own.
pub fn job_name(record: &Record, test: &str) -> String {
    let mark = short_hash(record.target.uid.as_bytes(), 5);
    suffixed(&format!("{}-{test}", record.name()), &mark, MAX_LABEL)
}

/// The Job of a smoke test. It belongs to its Promotion, and is never run again by itself.
pub fn job(seen: &Observed, record: &Record, test: &SmokeTest, commit: Option<&str>) -> Manifest {
    let name = job_name(record, &test.name);
    let key = Key::new(seen.key.namespace.clone(), name);
    let labels = [
        (label::COMPONENT, CHECK),
        (label::ENVIRONMENT, seen.key.name.as_str()),
    ];
    let mut container = json!({
        "name": CHECK,
        "image": test.job.image,
        "env": variables(seen, record, test, commit),
        "securityContext": {
            "allowPrivilegeEscalation": false,
            "capabilities": {"drop": ["ALL"]},
        },
    });
    if !test.job.command.is_empty() {
        set(&mut container, &["command"], json!(test.job.command));
    }
    let pod_labels: Value = labels.iter().map(|(key, value)| (*key, *value)).collect();
    let rest = json!({"spec": {
        "backoffLimit": 0,
        "activeDeadlineSeconds": test.timeout().as_secs().max(1),
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
    let owner = k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference {
        api_version: ObjectKind::Promotion.api_version(),
        kind: ObjectKind::Promotion.kind().to_owned(),
        name: record.name().to_owned(),
        uid: record.target.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    };
    Manifest::new(ObjectKind::Job, key, &labels, Some(&owner), rest)
}

/// What a smoke test is told. Their own variables come last, so that they win.
fn variables(
    seen: &Observed,
    record: &Record,
    test: &SmokeTest,
    commit: Option<&str>,
) -> Vec<Value> {
    let spec = &record.spec;
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    let mut all = vec![
        variable("SLIPWAY_ENVIRONMENT", &seen.key.name),
        variable("SLIPWAY_RELEASE", &spec.release),
    ];
    all.extend(commit.map(|commit| variable("SLIPWAY_REVISION", commit)));
    all.extend(spec.images.iter().map(|image| {
        let name = image.name.to_ascii_uppercase().replace('-', "_");
        let digest = image
            .reference
            .split_once('@')
            .map_or("", |(_, digest)| digest);
        variable(&format!("SLIPWAY_DIGEST_{name}"), digest)
    }));
    let own = test.job.env.iter();
    all.extend(own.map(|own| variable(&own.name, own.value.as_deref().unwrap_or_default())));
    all
}
