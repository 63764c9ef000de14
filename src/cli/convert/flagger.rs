//! Canaries of Flagger. No I/O.

mod metric;
mod traffic;

use serde_json::{Value, json};

use super::workflow::name as named;
use super::written::{Written, copy, duration, list_at, metadata, text_at};
use crate::model::json::set;
pub(super) use metric::told_alone;

/// The Rollout that does the same, as far as there is one. `templates` are the MetricTemplates of the file.
pub(super) fn canary(there: &Value, templates: &[Value], written: &mut Written) {
    let name = named(text_at(there, "/metadata/name").unwrap_or("canary"));
    let (spec, path) = (&there["spec"], format!("Canary {name}"));
    let mut here = json!({});
    target(spec, &mut here, &path, written);
    copy(
        spec,
        &mut here,
        &[
            ("progressDeadlineSeconds", "progressDeadlineSeconds"),
            ("suspend", "paused"),
        ],
    );
    if let Some(scaler) = text_at(spec, "/autoscalerRef/name") {
        written.tell(format!(
            "{path}.autoscalerRef: let the scaleTargetRef of {scaler} name the Rollout, and give spec.replicas; its copy for the \
             primary goes with the Canary"
        ));
    }
    let old = spec.get("canaryAnalysis");
    let analysis = spec.get("analysis").or(old).unwrap_or(&Value::Null);
    let has_router = traffic::convert(spec, &mut here, &path, written);
    let iterates = analysis["iterations"]
        .as_u64()
        .is_some_and(|count| count > 0);
    if let (false, false, Some(here)) = (has_router, iterates, here.as_object_mut()) {
        // Without a router a Service is switched, and has no weights.
        here.remove("traffic");
    }
    let steps = strategy(analysis, has_router, &format!("{path}.analysis"), written);
    set(&mut here, &["strategy"], steps);
    let metrics = metric::convert(analysis, (spec, templates), &path, written);
    if !metrics.is_empty() {
        let mut measured = json!({"metrics": metrics});
        if let Some(interval) = analysis.get("interval").and_then(duration) {
            set(&mut measured, &["interval"], interval);
        }
        set(&mut here, &["analysis"], measured);
    }
    webhooks(analysis, &path, written);
    let known = [
        "targetRef",
        "autoscalerRef",
        "progressDeadlineSeconds",
        "suspend",
        "service",
        "analysis",
        "canaryAnalysis",
        "provider",
        "ingressRef",
    ];
    written.tell_rest((spec, &path), &known, |field| match field {
        "skipAnalysis" => Some("a Decision Promote leaves the steps of one change out"),
        "revertOnDeletion" => Some("deletionPolicy is GiveBack by default"),
        "metricsServer" => Some("stands in each metric, as prometheus.address"),
        _ => None,
    });
    written.objects.push(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": metadata(there, &name), "spec": here,
    }));
}

/// Pods are those of the Deployment, and no copy of it.
fn target(spec: &Value, here: &mut Value, path: &str, written: &mut Written) {
    let reference = &spec["targetRef"];
    let (kind, target) = (
        text_at(reference, "/kind").unwrap_or_default(),
        text_at(reference, "/name").unwrap_or_default(),
    );
    set(
        here,
        &["workloadRef"],
        json!({"kind": "Deployment", "name": target}),
    );
    if kind == "Deployment" {
        written.tell(format!(
            "{path}.targetRef: pods of Deployment {target} are taken over as they are, without {target}-primary: delete the Canary \
             with revertOnDeletion: true first, so that the Deployment has its pods again, and pause it (docs/strategies/adoption.md)"
        ));
    } else {
        written.tell(format!(
            "{path}.targetRef: a {kind} cannot be taken over; to be repaired"
        ));
    }
}

/// Steps that do the same at the same pace.
fn strategy(analysis: &Value, has_router: bool, path: &str, written: &mut Written) -> Value {
    let interval = analysis.get("interval").and_then(duration);
    let interval = interval.unwrap_or_else(|| "1m".to_owned());
    let known = [
        "interval",
        "threshold",
        "maxWeight",
        "stepWeight",
        "stepWeights",
        "iterations",
        "match",
        "mirror",
        "mirrorWeight",
        "metrics",
        "webhooks",
        "sessionAffinity",
    ];
    written.tell_rest((analysis, path), &known, |field| match field {
        "alerts" => Some("an Environment tells people: docs/notifications.md"),
        "stepWeightPromotion" => {
            Some("stable takes the weight back in one move, once its pods answer")
        }
        "primaryReadyThreshold" | "canaryReadyThreshold" => {
            Some("a weight takes the pods that it needs, all of them ready")
        }
        _ => None,
    });
    let iterations = analysis.get("iterations").and_then(Value::as_u64);
    let pause = json!({"pause": {"for": interval}});
    let Some(iterations) = iterations.filter(|count| *count > 0) else {
        let mut steps = mirrored(analysis, has_router, &pause);
        if !has_router {
            written.tell(format!(
                "{path}: nothing divides requests, so weights are numbers of pods behind a Service of yours that selects all of them"
            ));
        }
        for weight in weights(analysis) {
            steps.push(json!({"setWeight": {"weight": weight}}));
            steps.push(pause.clone());
        }
        return json!({"type": "Canary", "steps": steps});
    };
    let pauses = usize::try_from(iterations.min(10)).unwrap_or(10);
    if iterations > 10 {
        written.tell(format!(
            "{path}.iterations: {iterations} are more than 10 pauses; make each longer"
        ));
    }
    let pauses = std::iter::repeat_n(pause, pauses);
    let matches = list_at(analysis, "/match");
    if matches.is_empty() || !has_router {
        let before: Vec<Value> = pauses.collect();
        return json!({"type": "BlueGreen", "blueGreen": {"prePromotion": before}});
    }
    let mut steps = vec![route(matches, path, written)];
    steps.extend(pauses);
    json!({"type": "Canary", "steps": steps})
}

fn weights(analysis: &Value) -> Vec<u64> {
    let listed: Vec<u64> = list_at(analysis, "/stepWeights")
        .iter()
        .filter_map(Value::as_u64)
        .collect();
    if !listed.is_empty() {
        return listed;
    }
    let number = |field: &str| analysis.get(field).and_then(Value::as_u64);
    let most = number("maxWeight").unwrap_or(100).min(100);
    let step = number("stepWeight").unwrap_or(most).clamp(1, 100);
    // A list of steps has an end.
    let step = step.max(most.div_ceil(20));
    let (mut weights, mut weight) = (Vec::new(), 0);
    while weight < most {
        weight = (weight + step).min(most);
        weights.push(weight);
    }
    weights
}

/// Copies of requests come before the first weight.
fn mirrored(analysis: &Value, has_router: bool, pause: &Value) -> Vec<Value> {
    if analysis["mirror"] != true || !has_router {
        return Vec::new();
    }
    let percent = analysis["mirrorWeight"].as_u64().unwrap_or(100);
    let mirror = |percent: u64| json!({"mirror": {"percent": percent}});
    vec![mirror(percent), pause.clone(), mirror(0)]
}

/// Requests that reach the canary whatever its weight: by whole values of header fields.
fn route(matches: &[Value], path: &str, written: &mut Written) -> Value {
    if matches.len() > 1 {
        written.tell(format!(
            "{path}.match: a route step has one set of header fields; the first was taken"
        ));
    }
    let headers = matches
        .first()
        .and_then(|it| it.get("headers")?.as_object());
    let mut wanted = Vec::new();
    for (name, value) in headers.into_iter().flatten() {
        match text_at(value, "/exact") {
            Some(value) => wanted.push(json!({"name": name, "value": value})),
            None => written.tell(format!(
                "{path}.match: header {name} is matched by a pattern; a route step has whole values, and cookies"
            )),
        }
    }
    if wanted.is_empty() {
        return json!({"route": {}});
    }
    json!({"route": {"headers": wanted}})
}

/// Calls of other servers, which Jobs and people do here.
fn webhooks(analysis: &Value, path: &str, written: &mut Written) {
    for hook in list_at(analysis, "/webhooks") {
        let name = text_at(hook, "/name").unwrap_or("hook");
        let kind = text_at(hook, "/type").unwrap_or("rollout");
        let instead = match kind {
            "confirm-rollout" | "confirm-promotion" | "confirm-traffic-increase" => {
                "an approve step, or a pause without a time, waits for people"
            }
            "rollback" => "a Decision Abort takes a change back; so does a metric",
            "event" => "an Environment tells people: docs/notifications.md",
            "pre-rollout" | "post-rollout" => "a run step is a Job that does it",
            _ => "a run step is a Job that does it; load for a test has to come from elsewhere",
        };
        written.tell(format!(
            "{path}.analysis.webhooks: {name} ({kind}): {instead}"
        ));
    }
}
