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
    let mut rule = json!({
        "backendRefs": [
            backend(&backends.stable, weight.rest()),
            backend(&backends.canary, weight),
        ],
    });
    if !router.matches.is_empty() {
        set(&mut rule, &["matches"], json!(router.matches));
    }
    let mut spec = json!({"parentRefs": router.parent_refs, "rules": [rule]});
    if !router.hostnames.is_empty() {
        set(&mut spec, &["hostnames"], json!(router.hostnames));
    }
    spec
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
        .is_some_and(|live| includes(live, wanted))
}

fn includes(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(key, wanted)| live.get(key).is_some_and(|live| includes(live, wanted))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len()
                && live
                    .iter()
                    .zip(wanted)
                    .all(|(live, wanted)| includes(live, wanted))
        }
        _ => live == wanted,
    }
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
    let Some(parents) = parents.filter(|parents| !parents.is_empty()) else {
        return Ok(false);
    };
    for parent in parents {
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
