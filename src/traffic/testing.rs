//! Builders for tests of routers: the two Services, and objects of people's.

use serde_json::{Value, json};

use super::division::{Division, Match};
use super::router::{Backends, Route, Scene};
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::weight::Weight;

pub(crate) fn backends() -> Backends {
    Backends {
        stable: "api-stable".into(),
        canary: "api-canary".into(),
    }
}

/// What the Rollout `api` divides.
pub(crate) fn scene<'a>(backends: &'a Backends, routes: &'a [Route]) -> Scene<'a> {
    Scene {
        rollout: "api",
        backends,
        port: 80,
        routes,
    }
}

pub(crate) fn weight(percent: i64) -> Weight {
    Weight::new(percent).unwrap()
}

/// An object in generation 3.
pub(crate) fn object(kind: ObjectKind, name: &str, value: &Value) -> Route {
    let mut whole = json!({
        "apiVersion": kind.api_version(), "kind": kind.kind(),
        "metadata": {"namespace": "shop", "name": name, "generation": 3},
    });
    json_patch::merge(&mut whole, value);
    let live = serde_json::from_value(whole).unwrap();
    Route {
        target: Target {
            kind,
            key: Key::new("shop", name),
            uid: String::new(),
            resource_version: "1".into(),
        },
        live: std::sync::Arc::new(live),
    }
}

/// The same with a merge patch applied.
pub(crate) fn apply(value: &Value, patch: &Value) -> Value {
    let mut value = value.clone();
    json_patch::merge(&mut value, patch);
    value
}

/// A weight, and all that can come on top of it.
pub(crate) fn everything() -> Division {
    Division {
        weight: weight(10),
        route: vec![
            Match::Header {
                name: "x-canary".into(),
                value: "yes".into(),
            },
            Match::Cookie {
                name: "group".into(),
                value: "a.b".into(),
            },
        ],
        mirror: weight(20),
    }
}
