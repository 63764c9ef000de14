//! The rules of a route: which are driven, and how. No I/O.

use serde_json::{Value, json};

use super::super::cookie;
use super::super::division::{Division, Match};
use super::super::pair::Pair;
use super::super::router::{Backends, Scene};
use crate::model::json::{at, set};
use crate::model::weight::Weight;

pub(super) fn backend(name: &str, port: i32) -> Value {
    json!({"group": "", "kind": "Service", "name": name, "port": port})
}

/// How a rule names the canary Service.
fn canary_of(rule: &Value, scene: &Scene) -> Value {
    let refs = rule.get("backendRefs").and_then(Value::as_array);
    let mut refs = refs.into_iter().flatten();
    let canary = refs.find(|backend| backend["name"] == scene.backends.canary.as_str());
    let default = || backend(&scene.backends.canary, scene.port);
    canary.cloned().unwrap_or_else(default)
}

/// Names that a rule leads to.
fn leads_to(rule: &Value) -> Vec<&str> {
    let refs = rule.get("backendRefs").and_then(Value::as_array);
    let names = refs
        .into_iter()
        .flatten()
        .map(|backend| backend["name"].as_str());
    names.map(Option::unwrap_or_default).collect()
}

/// Whether a rule divides between the two Services.
pub(super) fn is_driven(rule: &Value, backends: &Backends) -> bool {
    let names = leads_to(rule);
    names.contains(&backends.stable.as_str()) && names.contains(&backends.canary.as_str())
}

/// Whether a rule is one that `route` has added.
fn is_added(rule: &Value, backends: &Backends) -> bool {
    let names = leads_to(rule);
    !names.is_empty() && names.iter().all(|name| *name == backends.canary)
}

/// Whether a filter sends copies to the canary Service.
fn is_mirror(filter: &Value, backends: &Backends) -> bool {
    let name = at(filter, "/requestMirror/backendRef/name");
    name.and_then(Value::as_str) == Some(backends.canary.as_str())
}

/// The same rules with another division, and nothing else changed.
pub(super) fn rules(all: Vec<Value>, scene: &Scene, division: &Division) -> Vec<Value> {
    let backends = scene.backends;
    let mut rules = Vec::with_capacity(all.len() + 1);
    let kept = all.into_iter().filter(|rule| !is_added(rule, backends));
    for mut rule in kept {
        if is_driven(&rule, backends) {
            if !division.route.is_empty() {
                rules.push(added(&rule, scene, &division.route));
            }
            reweigh(&mut rule, backends, division.weight);
            mirror(&mut rule, scene, division.mirror);
        }
        rules.push(rule);
    }
    rules
}

fn reweigh(rule: &mut Value, backends: &Backends, weight: Weight) {
    let refs = rule.get_mut("backendRefs").and_then(Value::as_array_mut);
    for backend in refs.into_iter().flatten() {
        let name = backend.get("name").and_then(Value::as_str);
        let share = if name == Some(&backends.stable) {
            weight.rest()
        } else if name == Some(&backends.canary) {
            weight
        } else {
            Weight::ZERO
        };
        set(backend, &["weight"], share.percent());
    }
}

fn mirror(rule: &mut Value, scene: &Scene, share: Weight) {
    let canary = (share > Weight::ZERO).then(|| canary_of(rule, scene));
    let Some(fields) = rule.as_object_mut() else {
        return;
    };
    let mut filters = Vec::new();
    if let Some(Value::Array(others)) = fields.remove("filters") {
        filters = others;
    }
    filters.retain(|filter| !is_mirror(filter, scene.backends));
    if let Some(mut canary) = canary {
        if let Some(fields) = canary.as_object_mut() {
            fields.remove("weight");
            fields.remove("filters");
        }
        filters.push(json!({"type": "RequestMirror", "requestMirror": {
            "backendRef": canary, "percent": share.percent(),
        }}));
    }
    if !filters.is_empty() {
        fields.insert("filters".to_owned(), filters.into());
    }
}

/// A rule before `rule` that takes those of its requests that have all of `matches` to the canary Service.
fn added(rule: &Value, scene: &Scene, matches: &[Match]) -> Value {
    let wanted: Vec<Value> = matches.iter().map(header).collect();
    let mut added = rule.clone();
    mirror(&mut added, scene, Weight::ZERO);
    if let Some(fields) = added.as_object_mut() {
        // Names of rules are unique in a route.
        fields.remove("name");
        fields.remove("sessionPersistence");
        // No match is every request.
        let matches = fields.entry("matches").or_insert_with(|| json!([]));
        if matches.as_array().is_none_or(Vec::is_empty) {
            *matches = json!([{}]);
        }
    }
    let each = added.get_mut("matches").and_then(Value::as_array_mut);
    for one in each.into_iter().flatten() {
        let own = one.get("headers").and_then(Value::as_array);
        let headers: Vec<&Value> = own.into_iter().flatten().chain(&wanted).collect();
        let headers = json!(headers);
        set(one, &["headers"], headers);
    }
    let mut only = canary_of(rule, scene);
    // As the server would fill it in.
    set(&mut only, &["weight"], 1);
    set(&mut added, &["backendRefs"], json!([only]));
    added
}

fn header(of: &Match) -> Value {
    match of {
        Match::Header { name, value } => json!({"type": "Exact", "name": name, "value": value}),
        Match::Cookie { name, value } => {
            let pattern = cookie::pattern(name, value);
            json!({"type": "RegularExpression", "name": cookie::HEADER, "value": pattern})
        }
    }
}

/// What a header of an added rule matches; `None` for one that is not ours.
fn match_of(header: &Value) -> Option<Match> {
    let text = |key: &str| header.get(key).and_then(Value::as_str);
    let (name, value) = (text("name")?, text("value")?);
    if text("type") != Some("RegularExpression") {
        let (name, value) = (name.to_owned(), value.to_owned());
        return Some(Match::Header { name, value });
    }
    cookie::parse(value)
}

/// The canary's share in a rule.
pub(super) fn weight(rule: &Value, backends: &Backends) -> Option<Weight> {
    let pair = Pair {
        list: rule["backendRefs"].as_array()?,
        side_of: |backend: &Value| backends.side_of(backend["name"].as_str()?),
        default: 1,
    };
    pair.share()
}

/// What the rule before a driven one takes to the canary, where it is one that was added.
pub(super) fn route_of(before: &Value, driven: &Value, backends: &Backends) -> Vec<Match> {
    if !is_added(before, backends) {
        return Vec::new();
    }
    let headers = |rule: &Value| {
        let headers = at(rule, "/matches/0/headers").and_then(Value::as_array);
        headers.cloned().unwrap_or_default()
    };
    let own = headers(driven);
    let added = headers(before);
    let added = added.iter().filter(|header| !own.contains(header));
    added.filter_map(match_of).collect()
}

/// The share of which a rule sends copies to the canary.
pub(super) fn mirrored(rule: &Value, backends: &Backends) -> Weight {
    let filters = rule.get("filters").and_then(Value::as_array);
    let mut filters = filters.into_iter().flatten();
    let filter = filters.find(|filter| is_mirror(filter, backends));
    filter.map_or(Weight::ZERO, |filter| {
        let percent = at(filter, "/requestMirror/percent").and_then(Value::as_i64);
        percent.and_then(Weight::new).unwrap_or(Weight::FULL)
    })
}
