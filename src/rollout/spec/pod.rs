//! The pod template as it will be created: images, labels, and time to end in. No I/O.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::super::adopt::Workload;
use super::super::api::{GracefulShutdown, RolloutSpec};
use super::{Images, Invalid};
use crate::model::json::set;
use crate::model::label;

/// What Kubernetes gives a pod to end, where the template says nothing.
const GRACE_SECONDS: u64 = 30;

/// Fills in images, labels and the preStop sleep; returns the images by container. Of a Deployment's pods nothing changes.
pub(super) fn complete(
    workload: &mut Workload,
    raw: &RolloutSpec,
    images: &Images,
    drain: Duration,
    problems: &mut Vec<Invalid>,
) -> BTreeMap<String, String> {
    let is_adopted = raw.workload_ref.is_some();
    if is_adopted && workload.template.is_null() {
        // That there is no Deployment has been said.
        return BTreeMap::new();
    }
    check_labels(workload, problems);
    let template = &mut workload.template;
    let wanted = raw.graceful_shutdown.unwrap_or_default();
    let inject = wanted == GracefulShutdown::Inject && !is_adopted;
    let path = "/spec/containers";
    let Some(containers) = template.pointer_mut(path).and_then(Value::as_array_mut) else {
        problems.push(Invalid::new(
            "spec.template.spec.containers",
            "at least one is needed",
        ));
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    let mut injected = false;
    for (index, container) in containers.iter_mut().enumerate() {
        let path = format!("spec.template.spec.containers[{index}]");
        if !container.is_object() {
            let problem = "must be a container, with a name and an image";
            problems.push(Invalid::new(path, problem));
            continue;
        }
        let text = |key: &str| container.get(key)?.as_str().map(str::to_owned);
        let name = text("name").unwrap_or_default();
        match (images.get(&name), text("image")) {
            (Some(_), Some(_)) => problems.push(Invalid::new(
                format!("{path}.image"),
                format!("{name} takes its image from the Release; leave `image` out"),
            )),
            (Some(image), None) => {
                set(container, &["image"], image.as_str());
            }
            (None, Some(_)) => {}
            (None, None) => problems.push(Invalid::new(
                format!("{path}.image"),
                "give an image, or name this container in spec.release.images",
            )),
        }
        if let Some(image) = container.get("image").and_then(Value::as_str) {
            found.insert(name, image.to_owned());
        }
        if inject && container.pointer("/lifecycle/preStop").is_none() {
            let sleep = json!({"seconds": drain.as_secs().max(1)});
            if set(container, &["lifecycle", "preStop", "sleep"], sleep) {
                injected = true;
            } else {
                problems.push(Invalid::new(
                    format!("{path}.lifecycle"),
                    "must be an object",
                ));
            }
        }
    }
    if injected {
        lengthen(template, drain);
    }
    found
}

/// A pod has as much longer to end as it goes on serving.
fn lengthen(template: &mut Value, drain: Duration) {
    let grace = template.pointer("/spec/terminationGracePeriodSeconds");
    let grace = grace.and_then(Value::as_u64).unwrap_or(GRACE_SECONDS);
    let grace = grace + drain.as_secs().max(1);
    set(template, &["spec", "terminationGracePeriodSeconds"], grace);
}

fn check_labels(workload: &Workload, problems: &mut Vec<Invalid>) {
    let path = "spec.template.metadata.labels";
    let template = &workload.template;
    for (key, value) in &workload.selector {
        let label = template
            .pointer("/metadata/labels")
            .and_then(|labels| labels.get(key));
        if label.and_then(Value::as_str) != Some(value) {
            problems.push(Invalid::new(
                path,
                format!("must have {key}: {value}, because spec.selector.matchLabels selects it"),
            ));
        }
    }
    for ours in [label::REVISION, label::ROLLOUT, label::COMPONENT] {
        if template
            .pointer("/metadata/labels")
            .is_some_and(|labels| labels.get(ours).is_some())
        {
            problems.push(Invalid::new(
                path,
                format!("{ours} is set by Slipway; leave it out"),
            ));
        }
    }
}
