//! Rollouts of Argo Rollouts. No I/O.

mod analysis;
mod condition;
mod step;
mod traffic;

use serde_json::{Map, Value, json};

use super::workflow::name as named;
use super::written::{Written, copy, duration, list_at, metadata, text_at};
use crate::model::json::set;
pub(super) use analysis::convert as template;

/// The Rollout that does the same, as far as there is one. Templates come before it: its steps name their metrics.
pub(super) fn rollout(there: &Value, written: &mut Written) {
    let name = named(text_at(there, "/metadata/name").unwrap_or("rollout"));
    let (spec, path) = (&there["spec"], format!("Rollout {name}"));
    let mut here = json!({});
    let same = [
        "replicas",
        "minReadySeconds",
        "progressDeadlineSeconds",
        "revisionHistoryLimit",
        "paused",
    ];
    copy(spec, &mut here, &same.map(|field| (field, field)));
    if let Some(window) = spec.get("rollbackWindow") {
        set(
            &mut here,
            &["rollback"],
            json!({"window": {"revisions": window["revisions"]}}),
        );
    }
    pods(spec, &mut here, &path, written);
    let known = [
        "selector",
        "template",
        "workloadRef",
        "strategy",
        "rollbackWindow",
    ];
    let known: Vec<&str> = known.into_iter().chain(same).collect();
    written.tell_rest((spec, &path), &known, |field| match field {
        "analysis" => Some("samples stand in status, and need no limit"),
        "restartAt" => Some("make a Decision Restart"),
        _ => None,
    });
    let strategy = &spec["strategy"];
    if let Some(canary) = strategy.get("canary") {
        canary_of(canary, &mut here, &path, written);
    } else if let Some(blue_green) = strategy.get("blueGreen") {
        blue_green_of(blue_green, &mut here, &path, written);
    }
    written.objects.push(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": metadata(there, &name), "spec": here,
    }));
}

/// Pods of its own, or those of a Deployment.
fn pods(spec: &Value, here: &mut Value, path: &str, written: &mut Written) {
    let reference = spec.get("workloadRef");
    if let Some(reference) = reference.filter(|it| it["kind"] == "Deployment") {
        set(
            here,
            &["workloadRef"],
            json!({"kind": "Deployment", "name": reference["name"]}),
        );
        written.tell(format!(
            "{path}.workloadRef: the Deployment's own pods are taken over, so it needs pods again and spec.paused: true \
             (docs/strategies/adoption.md); scaleDown has no equivalent"
        ));
        return;
    }
    if reference.is_some() {
        written.tell(format!(
            "{path}.workloadRef: only a Deployment can be named; give selector and template"
        ));
    }
    copy(spec, here, &[("template", "template")]);
    let selector = &spec["selector"];
    set(
        here,
        &["selector"],
        json!({"matchLabels": selector["matchLabels"]}),
    );
    written.tell_rest(
        (selector, &format!("{path}.selector")),
        &["matchLabels"],
        |_| None,
    );
}

fn canary_of(canary: &Value, here: &mut Value, path: &str, written: &mut Written) {
    let path = format!("{path}.canary");
    let mut analysis = Analysis::default();
    let mut strategy = json!({"type": "Canary"});
    copy(
        canary,
        &mut strategy,
        &[
            ("maxSurge", "maxSurge"),
            ("maxUnavailable", "maxUnavailable"),
        ],
    );
    keep_stable(canary, &mut strategy, &path, written);
    let steps = step::convert(list_at(canary, "/steps"), &path, &mut analysis, written);
    if !steps.is_empty() {
        set(&mut strategy, &["steps"], steps);
    }
    set(here, &["strategy"], strategy);
    if let Some(background) = canary.get("analysis") {
        let begins = background["startingStep"].as_u64().unwrap_or(0);
        analysis.refer(background, &path, written);
        let weight = step::weight_before(list_at(canary, "/steps"), begins);
        if weight > 0 {
            analysis.start_at = Some(weight);
        }
    }
    analysis.write(here);
    traffic::convert(canary, here, &path, written);
    if here.get("traffic").is_none()
        && let Some(strategy) = here["strategy"].as_object_mut()
        && strategy.remove("keepOldFor").is_some()
    {
        written.tell(format!(
            "{path}.scaleDownDelaySeconds: without `traffic` pods of the old revision go as those of the new one come"
        ));
    }
    let known = [
        "maxSurge",
        "maxUnavailable",
        "dynamicStableScale",
        "scaleDownDelaySeconds",
        "steps",
        "analysis",
        "canaryService",
        "stableService",
        "trafficRouting",
    ];
    written.tell_rest((canary, &path), &known, |field| match field {
        "abortScaleDownDelaySeconds" => Some("what is given up drains for traffic.drain, and goes"),
        "pingPong" => Some("needs nothing: a Service is switched only while it carries no weight"),
        "scaleDownDelayRevisionLimit" => Some("one revision is kept, for keepOldFor"),
        _ => None,
    });
}

/// How many pods stable keeps during a change, and for how long after it.
fn keep_stable(canary: &Value, strategy: &mut Value, path: &str, written: &mut Written) {
    let delay = canary.get("scaleDownDelaySeconds").and_then(duration);
    if canary["dynamicStableScale"] != true {
        if let Some(delay) = delay {
            set(strategy, &["keepOldFor"], delay);
        }
        return;
    }
    set(strategy, &["stableScale"], "WithWeight");
    if delay.is_some() {
        written.tell(format!(
            "{path}.scaleDownDelaySeconds: with `stableScale: WithWeight` the old revision goes down with the weight, so none \
             is kept"
        ));
    }
}

fn blue_green_of(there: &Value, here: &mut Value, path: &str, written: &mut Written) {
    let path = format!("{path}.blueGreen");
    let mut analysis = Analysis::default();
    let mut blue_green = json!({});
    if let Some(count) = there.get("previewReplicaCount") {
        set(&mut blue_green, &["previewReplicas"], count.clone());
    }
    set_promotion(there, &mut blue_green);
    for (field, step) in [
        ("prePromotionAnalysis", "prePromotion"),
        ("postPromotionAnalysis", "postPromotion"),
    ] {
        let Some(found) = there.get(field) else {
            continue;
        };
        let metrics = analysis.refer(found, &format!("{path}.{field}"), written);
        if !metrics.is_empty() {
            set(
                &mut blue_green,
                &[step],
                json!([{"analyse": {"metrics": metrics}}]),
            );
        }
    }
    let mut strategy = json!({"type": "BlueGreen", "blueGreen": blue_green});
    copy(
        there,
        &mut strategy,
        &[("maxUnavailable", "maxUnavailable")],
    );
    let delay = there.get("scaleDownDelaySeconds").and_then(duration);
    set(
        &mut strategy,
        &["keepOldFor"],
        delay.unwrap_or_else(|| "30s".to_owned()),
    );
    set(here, &["strategy"], strategy);
    analysis.write(here);
    let mut services = json!({"stable": there["activeService"]});
    copy(there, &mut services, &[("previewService", "canary")]);
    set(
        here,
        &["traffic"],
        json!({"services": services, "allowForeign": true}),
    );
    written.tell(traffic::PORT);
    let known = [
        "previewReplicaCount",
        "autoPromotionEnabled",
        "autoPromotionSeconds",
        "prePromotionAnalysis",
        "postPromotionAnalysis",
        "maxUnavailable",
        "scaleDownDelaySeconds",
        "activeService",
        "previewService",
    ];
    written.tell_rest((there, &path), &known, |field| {
        (field == "scaleDownDelayRevisionLimit").then_some("one revision is kept, for keepOldFor")
    });
}

/// Who says when it takes over.
fn set_promotion(there: &Value, blue_green: &mut Value) {
    let after = there.get("autoPromotionSeconds").and_then(duration);
    let promote = match after {
        _ if there["autoPromotionEnabled"] == false => json!({"mode": "Manual"}),
        Some(after) => json!({"mode": "Auto", "after": after}),
        None => return,
    };
    set(blue_green, &["promote"], promote);
}

/// What is measured, in steps and in the background.
#[derive(Debug, Default)]
struct Analysis {
    templates: Vec<Value>,
    start_at: Option<u64>,
}

impl Analysis {
    /// Names the templates of a step; their metrics, as far as they are known.
    fn refer(&mut self, there: &Value, path: &str, written: &mut Written) -> Vec<String> {
        written.tell_rest(
            (there, path),
            &["templates", "args", "startingStep"],
            |field| {
                (field == "dryRun").then_some("set dryRun of those metrics in the AnalysisTemplate")
            },
        );
        let args: Value = list_at(there, "/args")
            .iter()
            .filter_map(|arg| {
                let name = text_at(arg, "/name")?;
                let value = super::workflow::text(arg.get("value").unwrap_or(&Value::Null));
                if value.is_none() {
                    written.tell(format!(
                        "{path}: argument {name} comes from a field; {{{{canary.revision}}}} and the like may stand in metrics"
                    ));
                }
                Some((named(name), Value::from(value?)))
            })
            .collect::<Map<_, _>>()
            .into();
        let mut metrics = Vec::new();
        for template in list_at(there, "/templates") {
            let Some(name) = text_at(template, "/templateName").map(named) else {
                continue;
            };
            let known = analysis::metrics_of(&name, written);
            if known.is_empty() {
                written.tell(format!(
                    "{path}: metrics of AnalysisTemplate {name} are not known here, so no step names them; they are measured in the \
                     background. Convert it in the same file, before the Rollout"
                ));
            }
            metrics.extend(known);
            self.name(&name, &args, path, written);
        }
        metrics
    }

    /// Each template is measured once.
    fn name(&mut self, name: &str, args: &Value, path: &str, written: &mut Written) {
        let mut known = self.templates.iter_mut();
        let Some(known) = known.find(|known| known["name"] == name) else {
            let mut reference = json!({"name": name});
            if args.as_object().is_some_and(|args| !args.is_empty()) {
                set(&mut reference, &["args"], args.clone());
            }
            self.templates.push(reference);
            return;
        };
        if args.as_object().is_none_or(Map::is_empty) || known["args"] == *args {
            return;
        }
        if known.get("args").is_some() {
            written.tell(format!(
                "{path}: AnalysisTemplate {name} is named with other arguments before, and is measured once, with those"
            ));
        } else {
            set(known, &["args"], args.clone());
        }
    }

    fn write(self, here: &mut Value) {
        if self.templates.is_empty() {
            return;
        }
        let mut analysis = json!({"templates": self.templates});
        if let Some(weight) = self.start_at {
            set(&mut analysis, &["startAt"], json!({"weight": weight}));
        }
        set(here, &["analysis"], analysis);
    }
}
