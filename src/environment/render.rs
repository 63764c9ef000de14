//! The objects an Environment creates: Promotions and the ledger of them, the Jobs of smoke tests and migrations, and the rules of SLOs.
//! No I/O.

mod gate;
mod ledger;
mod migration;

pub use gate::{gate_job, gate_job_name};
pub use ledger::{LEDGER, ledger};

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::json;

use super::api::{DeletionPolicy, SmokeTest};
use super::observed::{Observed, Record};
use super::slo::Slos;
use crate::check::api::CheckJob;
use crate::check::{self, Place};
use crate::model::key::{Key, MAX_LABEL, short_hash, suffixed};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::promotion::api::PromotionSpec;
use crate::release::api::ImageRef;
use crate::runner::task::ScriptTask;
use crate::slo::query::Labels;
use crate::slo::{Slo, rule};

pub use migration::*;

/// Value of the component label on Promotions.
const PROMOTION: &str = "promotion";
/// Value of the component label on what has rules.
const RULES: &str = "slo-rules";
/// Name of the file in a ConfigMap that has rules.
const RULES_FILE: &str = "slos.rules.yaml";
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

/// Name of the object that has the rules of an Environment's SLOs.
pub fn rules_name(environment: &str) -> String {
    format!("{environment}-slos")
}

/// The object that has the rules of its SLOs, owned by it; nothing, where there are no SLOs that can be counted with. In a
/// ConfigMap they are a file as Prometheus loads it.
pub fn rules(seen: &Observed, kind: ObjectKind) -> Option<Manifest> {
    let slos: Vec<Slo> = Slos::read(seen).into_iter().flatten().collect();
    if slos.is_empty() {
        return None;
    }
    let labels = Labels::of(&seen.key);
    let groups = json!({"groups": rule::groups(&slos, &labels)});
    let rest = if kind == ObjectKind::PrometheusRule {
        json!({"spec": groups})
    } else {
        // JSON is YAML as well, should it ever not be written.
        let text = serde_saphyr::to_string(&groups).unwrap_or_else(|_| groups.to_string());
        json!({"data": {RULES_FILE: text}})
    };
    let mut labels = vec![
        (label::COMPONENT, RULES),
        (label::ENVIRONMENT, seen.key.name.as_str()),
    ];
    if let Some(metrics) = &seen.spec.metrics {
        let own = metrics.rule_labels.iter();
        labels.extend(own.map(|(key, value)| (key.as_str(), value.as_str())));
    }
    let key = Key::new(seen.key.namespace.clone(), rules_name(&seen.key.name));
    let manifest = Manifest::new(kind, key, &labels, Some(&seen.owner), rest);
    // A server that fills something in changes nothing in the hash, and what is not wanted any more does.
    let applied = short_hash(manifest.body.to_string().as_bytes(), DIGITS);
    Some(manifest.annotated(&[(label::APPLIED, applied)]))
}

/// Name of the step of a smoke test.
pub fn step_name(test: &str) -> String {
    format!("smoke-{test}")
}

/// Name of the Job of an attempt at a smoke test. A Promotion that is made again under its name has Jobs of its own.
pub fn job_name(record: &Record, test: &str, attempt: u32) -> String {
    let mark = short_hash(record.target.uid.as_bytes(), 5);
    let mark = match attempt {
        0 | 1 => mark,
        again => format!("{mark}-{again}"),
    };
    suffixed(&format!("{}-{test}", record.name()), &mark, MAX_LABEL)
}

/// The Job of an attempt at a smoke test. It belongs to its Promotion, and is never run again by itself.
pub fn job(
    seen: &Observed,
    record: &Record,
    (test, check, attempt): (&SmokeTest, &CheckJob, u32),
    commit: Option<&str>,
) -> Manifest {
    let name = job_name(record, &test.name, attempt);
    let told = told(seen, record, commit);
    let mut manifest = job_of(seen, record, name, (check, told, test.timeout()));
    if let (Some(reports), Some(runner)) = (&test.reports, &seen.runner) {
        let reports = reports.reports();
        let globs = reports.by_format();
        let task = ScriptTask {
            command: check.command.clone(),
            timeout_seconds: test.timeout().as_secs().max(1),
            reports: globs
                .map(|(format, globs)| (format, globs.to_vec()))
                .collect(),
            ..ScriptTask::default()
        };
        check::report::add(&mut manifest, runner, &task);
    }
    manifest
}

/// A Job of a Promotion by its name: what it runs, what it is told, and how long it may take.
fn job_of(
    seen: &Observed,
    record: &Record,
    name: String,
    (check, told, timeout): (&CheckJob, Vec<(String, String)>, Duration),
) -> Manifest {
    let key = Key::new(seen.key.namespace.clone(), name);
    let owner = owner_of(record);
    let place = Place {
        key: &key,
        parent: (label::ENVIRONMENT, &seen.key.name),
        owner: &owner,
        metric: None,
    };
    check::job(place, check, told, timeout)
}

/// What a Promotion's Jobs refer to it by.
fn owner_of(record: &Record) -> OwnerReference {
    OwnerReference {
        api_version: ObjectKind::Promotion.api_version(),
        kind: ObjectKind::Promotion.kind().to_owned(),
        name: record.name().to_owned(),
        uid: record.target.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(false),
    }
}

/// What a smoke test is told, and a gate.
fn told(seen: &Observed, record: &Record, commit: Option<&str>) -> Vec<(String, String)> {
    let spec = &record.spec;
    let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
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
    all
}
