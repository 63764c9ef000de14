//! Weights through the Gateway API: renders and reads HTTPRoutes and GRPCRoutes. No I/O.
//!
//! Of a route, the rules that lead to both Services are driven, and the others are left alone. What `route` and `mirror`
//! add is told from the rest by leading to the canary Service alone.

use kube::ResourceExt;
use kube::api::DynamicObject;
use kube::core::Duration;
use serde_json::{Value, json};

use super::division::Division;
use super::router::{Backends, Reading, Route, Router, Scene};
use crate::model::json::{at, object, set};
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::rollout::api;
use rule::{backend, is_driven, mirrored, route_of, rules, weight};

mod rule;

/// A route that is created, with the Rollout's name.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// HTTPRoute or GRPCRoute.
    pub kind: ObjectKind,
    /// Its Gateways.
    pub parent_refs: Vec<Value>,
    /// Its hosts.
    pub hostnames: Vec<String>,
    /// Its requests.
    pub matches: Vec<Value>,
    /// The field `sessionPersistence` of its rule.
    pub persistence: Option<Value>,
}

/// A route of people's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// HTTPRoute or GRPCRoute.
    pub kind: ObjectKind,
    /// Its name.
    pub name: String,
}

/// The routers of `spec.traffic.gatewayAPI`.
pub(super) fn routers(
    raw: &api::GatewayApi,
    affinity: Option<&api::SessionAffinity>,
) -> Vec<Router> {
    let generated = raw.generate.iter().map(|route| {
        Router::Generated(Generated {
            kind: match route.kind.unwrap_or_default() {
                api::RouteKind::HTTPRoute => ObjectKind::HttpRoute,
                api::RouteKind::GRPCRoute => ObjectKind::GrpcRoute,
            },
            parent_refs: route.parent_refs.clone(),
            hostnames: route.hostnames.clone(),
            matches: route.matches.clone(),
            persistence: affinity.map(persistence),
        })
    });
    let named = |kind| {
        move |route: &api::RouteReference| {
            Router::Named(Named {
                kind,
                name: route.name.clone(),
            })
        }
    };
    generated
        .chain(raw.http_routes.iter().map(named(ObjectKind::HttpRoute)))
        .chain(raw.grpc_routes.iter().map(named(ObjectKind::GrpcRoute)))
        .collect()
}

/// A cookie that outlives the browser where it has an age, and ends with the session where it has none.
fn persistence(affinity: &api::SessionAffinity) -> Value {
    let mut field = json!({"type": "Cookie", "sessionName": affinity.cookie});
    if let Some(age) = affinity.max_age {
        let age = duration(age);
        set(&mut field, &["absoluteTimeout"], age);
        set(&mut field, &["cookieConfig", "lifetimeType"], "Permanent");
    }
    field
}

/// A duration as the Gateway API writes it: whole seconds are enough for people's sessions.
fn duration(of: Duration) -> String {
    let seconds = std::time::Duration::from(of).as_secs().max(1);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let part = |count: u64, unit: &str| {
        if count > 0 {
            format!("{count}{unit}")
        } else {
            String::new()
        }
    };
    [part(hours, "h"), part(minutes, "m"), part(seconds, "s")].concat()
}

impl Generated {
    /// What the route says besides its metadata.
    pub(super) fn rendered(&self, scene: &Scene, division: &Division) -> Value {
        // What the server would fill in is said here, so that taking it out of the spec takes it out of the route.
        let is_open = self.matches.is_empty() && self.kind == ObjectKind::HttpRoute;
        let matches = if is_open {
            json!([{"path": {"type": "PathPrefix", "value": "/"}}])
        } else {
            self.matches.clone().into()
        };
        let Backends { stable, canary } = scene.backends;
        let both = [stable, canary].map(|name| backend(name, scene.port));
        let mut rule = object([
            ("backendRefs", Vec::from(both).into()),
            ("matches", matches),
        ]);
        if let Some(persistence) = &self.persistence {
            set(&mut rule, &["sessionPersistence"], persistence.clone());
        }
        let mut spec = object([
            ("hostnames", self.hostnames.clone().into()),
            ("parentRefs", self.parent_refs.clone().into()),
            ("rules", rules(vec![rule], scene, division).into()),
        ]);
        drop_nulls(&mut spec);
        let note = self.persistence.as_ref().map(Value::to_string);
        let metadata = json!({"annotations": {label::SESSION: note}});
        object([("metadata", metadata), ("spec", spec)])
    }

    pub(super) fn read(&self, scene: &Scene) -> Result<Reading, String> {
        let Some(route) = scene.find(self.kind, scene.rollout) else {
            return Err("the route is not there yet".to_owned());
        };
        reading(route, scene.backends)
    }

    /// A server that does not know sessions drops the field without a word, so its absence is what tells.
    pub(super) fn acknowledged(&self, route: &Route) -> Result<bool, String> {
        let mut rules = route.items("/spec/rules").iter();
        let is_kept = rules.any(|rule| rule.get("sessionPersistence").is_some());
        if self.persistence.is_some() && !is_kept {
            let kind = self.kind.kind();
            return Err(format!(
                "the {kind}s of this cluster have no sessionPersistence, which spec.traffic.sessionAffinity needs; \
                 install the experimental channel of the Gateway API, or leave it out"
            ));
        }
        acknowledged(&route.live)
    }
}

impl Named {
    pub(super) fn read(&self, scene: &Scene) -> Result<Reading, String> {
        let route = scene.need(self.kind, &self.name)?;
        reading(route, scene.backends)
    }
}

/// The patch of a live route that makes it divide like this: whatever else may be wrong with the route, or with what the
/// spec wants of it, does not stand in the way of a shift.
pub(super) fn divided(route: &Route, scene: &Scene, division: &Division) -> Value {
    let all = route.items("/spec/rules").to_vec();
    let rules = rules(all, scene, division).into();
    object([("spec", object([("rules", rules)]))])
}

/// How a live route divides.
fn reading(route: &Route, backends: &Backends) -> Result<Reading, String> {
    let all = route.items("/spec/rules");
    let driven = all
        .iter()
        .enumerate()
        .filter(|(_, rule)| is_driven(rule, backends));
    let readings = driven.filter_map(|(index, rule)| {
        let before = index.checked_sub(1).and_then(|before| all.get(before));
        Some(Reading {
            division: Division {
                weight: weight(rule, backends)?,
                route: before.map_or_else(Vec::new, |before| route_of(before, rule, backends)),
                mirror: mirrored(rule, backends),
            },
            is_even: true,
        })
    });
    Reading::of_all(readings).ok_or_else(|| {
        let (kind, name) = (route.target.kind.kind(), &route.target.key.name);
        let Backends { stable, canary } = backends;
        format!(
            "no rule of {kind} {name} leads to both {stable} and {canary} with some weight; \
             name both in its backendRefs, with weights 100 and 0"
        )
    })
}

/// Whether the live route has the fields that `rendered` has, as the API server may have added defaults. A server that
/// does not know sessions drops them, so the note of what was written is what is compared.
pub(super) fn is_as_wanted(route: &Route, rendered: &Value) -> bool {
    let notes = at(rendered, "/metadata/annotations");
    let note = notes.and_then(|notes| notes.get(label::SESSION)?.as_str());
    let is_noted = route
        .live
        .annotations()
        .get(label::SESSION)
        .map(String::as_str)
        == note;
    let live = route.field("/spec");
    is_noted && live.is_some_and(|live| includes(live, &rendered["spec"], false))
}

/// The server keeps no nulls, so they would be a difference for ever.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Keys that the server fills in where the spec leaves them out.
const DEFAULTED: &[&str] = &["group", "kind", "type", "path", "value"];
/// What is compared by the note of it.
const NOTED: &str = "sessionPersistence";
/// Lists that are as the spec says and no more. Elsewhere others may have added what the spec says nothing about.
const WHOLE: &[&str] = &["matches", "parentRefs"];

fn includes(live: &Value, wanted: &Value, is_whole: bool) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => {
            let is_extra =
                |key: &&String| !wanted.contains_key(*key) && !DEFAULTED.contains(&key.as_str());
            let has_extra = is_whole && live.keys().any(|key| is_extra(&key));
            !has_extra
                && wanted.iter().all(|(key, wanted)| {
                    if key == NOTED {
                        return true;
                    }
                    let is_whole = is_whole || WHOLE.contains(&key.as_str());
                    match live.get(key) {
                        Some(live) => includes(live, wanted, is_whole),
                        None => wanted.as_array().is_some_and(Vec::is_empty),
                    }
                })
        }
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| includes(live, wanted, is_whole))
        }
        _ => live == wanted,
    }
}

/// Whether a report is from a Gateway that the route names; those of one that it has left may stand for ever.
fn is_named(route: &DynamicObject, report: &Value) -> bool {
    let named = at(&route.data, "/spec/parentRefs").and_then(Value::as_array);
    let of = &report["parentRef"];
    named.is_none_or(|named| {
        named.iter().any(|parent| {
            let same_or_open = |key: &str| {
                let (wanted, told) = (parent[key].as_str(), of[key].as_str());
                wanted.is_none() || told.is_none() || wanted == told
            };
            parent["name"] == of["name"]
                && ["namespace", "sectionName"].into_iter().all(same_or_open)
        })
    })
}

/// Whether the data plane has taken in the route as it is now.
///
/// Every Gateway that reports on the route has to have accepted its latest generation; a refusal is
/// told in its own words. Nobody having reported yet is not an acknowledgement.
pub fn acknowledged(route: &DynamicObject) -> Result<bool, String> {
    let generation = route.metadata.generation.unwrap_or_default();
    let parents = at(&route.data, "/status/parents").and_then(Value::as_array);
    let reports = parents.into_iter().flatten();
    let reports: Vec<&Value> = reports.filter(|report| is_named(route, report)).collect();
    if reports.is_empty() {
        return Ok(false);
    }
    for parent in reports {
        for type_ in ["Accepted", "ResolvedRefs"] {
            let conditions = parent["conditions"].as_array();
            let condition = conditions.and_then(|all| all.iter().find(|c| c["type"] == type_));
            let Some(condition) = condition else {
                return Ok(false);
            };
            if condition["observedGeneration"].as_i64().unwrap_or_default() < generation {
                return Ok(false);
            }
            if condition["status"] != "True" {
                let told = |key: &str| {
                    parent
                        .pointer(&format!("/parentRef/{key}"))
                        .and_then(Value::as_str)
                };
                // Of a mesh it is a Service.
                let (kind, name) = (told("kind").unwrap_or("Gateway"), told("name"));
                let reason = condition["reason"].as_str().unwrap_or("no reason");
                let message = condition["message"].as_str().unwrap_or_default();
                return Err(format!(
                    "{kind} {} does not take the route: {reason}: {message}",
                    name.unwrap_or("?")
                ));
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests;
