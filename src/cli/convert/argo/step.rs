//! Steps of a canary. No I/O.

use serde_json::{Value, json};

use super::super::written::{Written, duration, list_at, text_at};
use super::Analysis;

/// The same steps, but for those that there are none of.
pub(super) fn convert(
    steps: &[Value],
    path: &str,
    analysis: &mut Analysis,
    written: &mut Written,
) -> Vec<Value> {
    let mut converted = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let path = format!("{path}.steps[{index}]");
        converted.extend(one(step, &path, analysis, written));
    }
    converted
}

/// The weight that the canary has once so many steps are done.
pub(super) fn weight_before(steps: &[Value], count: u64) -> u64 {
    let done = steps
        .iter()
        .take(usize::try_from(count).unwrap_or(usize::MAX));
    let mut weights = done.filter_map(|step| step.get("setWeight")?.as_u64());
    weights.next_back().unwrap_or(0)
}

fn one(there: &Value, path: &str, analysis: &mut Analysis, written: &mut Written) -> Option<Value> {
    let (kind, step) = there.as_object()?.iter().next()?;
    match kind.as_str() {
        "setWeight" => Some(json!({"setWeight": {"weight": step}})),
        "pause" => Some(match step.get("duration").and_then(duration) {
            Some(span) => json!({"pause": {"for": span}}),
            None => json!({"pause": {}}),
        }),
        "setCanaryScale" => scale(step, path, written),
        "analysis" => {
            let metrics = analysis.refer(step, path, written);
            (!metrics.is_empty()).then(|| json!({"analyse": {"metrics": metrics}}))
        }
        "setHeaderRoute" => route(step, path, written),
        "setMirrorRoute" => {
            let percent = step["percentage"].as_u64();
            if step.get("match").is_some() {
                written.tell(format!(
                    "{path}.setMirrorRoute.match: copies are of all requests"
                ));
            }
            // Without a match there is no route any more.
            let ends = step.get("match").is_none() && percent.is_none();
            let percent = percent.unwrap_or(if ends { 0 } else { 100 });
            Some(json!({"mirror": {"percent": percent}}))
        }
        "experiment" => {
            written.tell(format!(
                "{path}.experiment: there are none; compare the canary with stable (docs/comparison.md), or use a run step"
            ));
            None
        }
        other => {
            written.tell(format!(
                "{path}.{other}: there is no such step; a run step is a Job"
            ));
            None
        }
    }
}

fn scale(step: &Value, path: &str, written: &mut Written) -> Option<Value> {
    if let Some(count) = step.get("replicas") {
        return Some(json!({"scale": {"canary": count}}));
    }
    if let Some(weight) = step.get("weight").and_then(Value::as_u64) {
        return Some(json!({"scale": {"canary": format!("{weight}%")}}));
    }
    written.tell(format!(
        "{path}.setCanaryScale: the canary has the pods that its weight needs anyway, so it was left out"
    ));
    None
}

fn route(step: &Value, path: &str, written: &mut Written) -> Option<Value> {
    let mut headers = Vec::new();
    for matched in list_at(step, "/match") {
        let name = text_at(matched, "/headerName").unwrap_or_default();
        match text_at(matched, "/headerValue/exact") {
            Some(value) => headers.push(json!({"name": name, "value": value})),
            None => written.tell(format!(
                "{path}.setHeaderRoute: header {name} is matched by a pattern; a route step has whole values"
            )),
        }
    }
    if headers.is_empty() && !list_at(step, "/match").is_empty() {
        return None;
    }
    if headers.is_empty() {
        return Some(json!({"route": {}}));
    }
    Some(json!({"route": {"headers": headers}}))
}
