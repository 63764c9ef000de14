//! Weights through the Gateway API: renders and reads the HTTPRoute. No I/O.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::model::json::set;
use crate::model::weight::Weight;
use crate::rollout::spec::Router;

/// Names of the two Services behind a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    /// The stable Service.
    pub stable: String,
    /// The canary Service.
    pub canary: String,
}

/// The spec of the HTTPRoute that divides requests by `weight`.
pub fn spec(router: &Router, backends: &Backends, weight: Weight) -> Value {
    let backend = |name: &str, weight: Weight| {
        json!({
            "group": "", "kind": "Service", "name": name, "port": router.port,
            "weight": weight.percent(),
        })
    };
    // What the server would fill in is said here, so that taking it out of the spec takes it out of the route.
    let all = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
    let matches = if router.matches.is_empty() {
        all
    } else {
        json!(router.matches)
    };
    let rule = json!({
        "backendRefs": [
            backend(&backends.stable, weight.rest()),
            backend(&backends.canary, weight),
        ],
        "matches": matches,
    });
    let mut spec = json!({
        "hostnames": router.hostnames, "parentRefs": router.parent_refs, "rules": [rule],
    });
    drop_nulls(&mut spec);
    spec
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

/// The rules of a live route with other weights, and nothing else changed: whatever else may be wrong with the
/// route, or with what the spec wants of it, does not stand in the way of a shift.
pub fn reweighted(route: &DynamicObject, backends: &Backends, weight: Weight) -> Value {
    let mut rules = route
        .data
        .pointer("/spec/rules")
        .cloned()
        .unwrap_or_default();
    let refs = rules
        .pointer_mut("/0/backendRefs")
        .and_then(Value::as_array_mut);
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
    rules
}

/// The canary's share in a live route; `None` when the route does not divide between these Services.
pub fn weight(route: &DynamicObject, backends: &Backends) -> Option<Weight> {
    let backend_refs = route
        .data
        .pointer("/spec/rules/0/backendRefs")?
        .as_array()?;
    let weight_of = |name: &str| {
        let found = backend_refs
            .iter()
            .find(|backend| backend["name"] == name)?;
        found.get("weight").map_or(Some(1), Value::as_i64)
    };
    let (stable, canary) = (weight_of(&backends.stable)?, weight_of(&backends.canary)?);
    // Somebody may have written weights that do not sum to 100; what counts is the share.
    let total = stable.checked_add(canary).filter(|total| *total > 0)?;
    Weight::new(canary.checked_mul(100)?.checked_add(total / 2)? / total)
}

/// Whether the live route has the fields that `wanted` has, as the API server may have added defaults.
pub fn is_as_wanted(route: &DynamicObject, wanted: &Value) -> bool {
    route
        .data
        .get("spec")
        .is_some_and(|live| includes(live, wanted, false))
}

/// Keys that the server fills in where the spec leaves them out.
const DEFAULTED: &[&str] = &["group", "kind", "type", "path", "value"];
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
    let named = route
        .data
        .pointer("/spec/parentRefs")
        .and_then(Value::as_array);
    let field =
        |parent: &Value, key: &str| parent.get(key).and_then(Value::as_str).map(str::to_owned);
    let of = &report["parentRef"];
    named.is_none_or(|named| {
        named.iter().any(|parent| {
            let same_or_open = |key: &str| {
                let (wanted, told) = (field(parent, key), field(of, key));
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
    let parents = route
        .data
        .pointer("/status/parents")
        .and_then(Value::as_array);
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
                let gateway = parent.pointer("/parentRef/name").and_then(Value::as_str);
                let reason = condition["reason"].as_str().unwrap_or("no reason");
                let message = condition["message"].as_str().unwrap_or_default();
                return Err(format!(
                    "Gateway {} does not take the route: {reason}: {message}",
                    gateway.unwrap_or("?")
                ));
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    use super::*;

    fn router() -> Router {
        Router {
            port: 80,
            target_port: IntOrString::Int(8080),
            parent_refs: vec![json!({"name": "web"})],
            hostnames: vec!["shop.test".into()],
            matches: Vec::new(),
        }
    }

    fn backends() -> Backends {
        Backends {
            stable: "api-stable".into(),
            canary: "api-canary".into(),
        }
    }

    fn route(value: &Value) -> DynamicObject {
        let mut whole = json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "api", "generation": 3},
        });
        json_patch::merge(&mut whole, value);
        serde_json::from_value(whole).unwrap()
    }

    fn reported(generation: i64, status: &str) -> DynamicObject {
        let condition = |type_| {
            json!({"type": type_, "status": status, "observedGeneration": generation,
                   "reason": "BackendNotFound", "message": "no such Service"})
        };
        route(
            &json!({"status": {"parents": [{"parentRef": {"name": "web"},
            "conditions": [condition("Accepted"), condition("ResolvedRefs")]}]}}),
        )
    }

    #[test]
    fn a_route_divides_between_the_two_services() {
        insta::assert_json_snapshot!(spec(&router(), &backends(), Weight::new(10).unwrap()));
    }

    #[test]
    fn the_weight_is_read_back() {
        let spec = spec(&router(), &backends(), Weight::new(37).unwrap());
        assert_eq!(
            weight(&route(&json!({"spec": spec})), &backends()),
            Weight::new(37)
        );
    }

    #[test]
    fn weights_of_another_scale_are_shares_all_the_same() {
        let refs = json!([{"name": "api-stable", "weight": 3}, {"name": "api-canary"}]);
        let live = route(&json!({"spec": {"rules": [{"backendRefs": refs}]}}));
        assert_eq!(weight(&live, &backends()), Weight::new(25));
    }

    #[test]
    fn a_route_to_other_services_has_no_weight() {
        let live = route(&json!({"spec": {"rules": [{"backendRefs": [{"name": "other"}]}]}}));
        assert_eq!(weight(&live, &backends()), None);
    }

    #[test]
    fn defaults_of_the_server_are_no_difference() {
        let wanted = spec(&router(), &backends(), Weight::ZERO);
        let mut live = wanted.clone();
        live["rules"][0]["matches"] = json!([{"path": {"type": "PathPrefix", "value": "/"}}]);
        assert!(is_as_wanted(&route(&json!({"spec": live})), &wanted));
        live["rules"][0]["backendRefs"][0]["weight"] = 50.into();
        assert!(!is_as_wanted(&route(&json!({"spec": live})), &wanted));
    }

    #[test]
    fn what_is_taken_out_of_the_spec_is_taken_out_of_the_route() {
        let mut before = router();
        before.matches = vec![json!({"path": {"value": "/api"}, "method": "GET"})];
        let live = route(&json!({"spec": spec(&before, &backends(), Weight::ZERO)}));
        assert!(is_as_wanted(
            &live,
            &spec(&before, &backends(), Weight::ZERO)
        ));
        let mut other = before.clone();
        other.matches = vec![json!({"path": {"value": "/api"}})];
        assert!(!is_as_wanted(
            &live,
            &spec(&other, &backends(), Weight::ZERO)
        ));
        other.matches = Vec::new();
        assert!(!is_as_wanted(
            &live,
            &spec(&other, &backends(), Weight::ZERO)
        ));
        let mut everywhere = before;
        everywhere.hostnames = Vec::new();
        assert!(!is_as_wanted(
            &live,
            &spec(&everywhere, &backends(), Weight::ZERO)
        ));
    }

    #[test]
    fn a_null_in_the_spec_is_no_difference_for_ever() {
        let mut router = router();
        router.parent_refs = vec![json!({"name": "web", "sectionName": null})];
        router.hostnames = Vec::new();
        let wanted = spec(&router, &backends(), Weight::ZERO);
        let mut live = wanted.clone();
        live["parentRefs"] =
            json!([{"name": "web", "group": "gateway.networking.k8s.io", "kind": "Gateway"}]);
        live.as_object_mut().unwrap().remove("hostnames");
        assert!(is_as_wanted(&route(&json!({"spec": live})), &wanted));
    }

    #[test]
    fn a_shift_changes_the_weights_and_keeps_what_others_added() {
        let mut live = spec(&router(), &backends(), Weight::ZERO);
        live["rules"][0]["timeouts"] = json!({"request": "5s"});
        let rules = reweighted(&route(&json!({"spec": live})), &backends(), Weight::FULL);
        assert_eq!(rules[0]["timeouts"]["request"], "5s");
        assert_eq!(rules[0]["backendRefs"][0]["weight"], 0);
        assert_eq!(rules[0]["backendRefs"][1]["weight"], 100);
    }

    #[test]
    fn a_gateway_that_the_route_has_left_has_no_say() {
        let mut live = reported(3, "True");
        live.data["spec"] = json!({"parentRefs": [{"name": "web"}]});
        let mut old = live.data["status"]["parents"][0].clone();
        old["parentRef"]["name"] = "old".into();
        old["conditions"][0]["observedGeneration"] = 1.into();
        live.data["status"]["parents"]
            .as_array_mut()
            .unwrap()
            .push(old);
        assert_eq!(acknowledged(&live), Ok(true));
    }

    #[test]
    fn only_the_latest_generation_counts_as_acknowledged() {
        assert_eq!(acknowledged(&reported(3, "True")), Ok(true));
        assert_eq!(acknowledged(&reported(2, "True")), Ok(false));
        assert_eq!(acknowledged(&route(&json!({}))), Ok(false));
        assert!(
            acknowledged(&reported(3, "False"))
                .unwrap_err()
                .contains("BackendNotFound")
        );
    }
}
