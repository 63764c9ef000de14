//! What divides requests between the two Services. A file for each kind; here is what all of them have to answer. No I/O.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::api::DynamicObject;
use serde_json::Value;

use super::division::Division;
use super::gateway_api;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::rollout::api;

/// Names of the two Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    /// The stable Service.
    pub stable: String,
    /// The canary Service.
    pub canary: String,
}

/// An object that routers read or write, as it is.
#[derive(Clone, Debug)]
pub struct Route {
    /// The object.
    pub target: Target,
    /// What it says.
    pub live: Arc<DynamicObject>,
}

impl Route {
    /// Whether a controller owns it: us.
    pub fn is_owned(&self) -> bool {
        let owners = self.live.metadata.owner_references.iter().flatten();
        owners
            .into_iter()
            .any(|owner| owner.controller == Some(true))
    }

    /// Who has written its spec since we last did: the field manager that did so last. `None` while our own write
    /// stands, and where nobody can be told.
    pub fn taken_by(&self) -> Option<String> {
        let entries = self.live.metadata.managed_fields.iter().flatten();
        let has_spec = |entry: &&ManagedFieldsEntry| {
            let fields = entry.fields_v1.as_ref();
            fields.is_some_and(|fields| fields.0.get("f:spec").is_some())
        };
        let of_spec: Vec<&ManagedFieldsEntry> = entries.filter(has_spec).collect();
        let name = |entry: &ManagedFieldsEntry| entry.manager.clone();
        if of_spec
            .iter()
            .any(|entry| name(entry).as_deref() == Some(label::SLIPWAY))
        {
            return None;
        }
        let latest = of_spec
            .iter()
            .max_by_key(|entry| entry.time.as_ref().map(|time| time.0));
        latest.and_then(|entry| name(entry))
    }

    /// A field of it.
    pub fn field(&self, pointer: &str) -> Option<&Value> {
        self.live.data.pointer(pointer)
    }
}

/// What a router works on.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'a> {
    /// Name of the Rollout.
    pub rollout: &'a str,
    /// Names of the Services.
    pub backends: &'a Backends,
    /// Their port.
    pub port: i32,
    /// The objects that are there.
    pub routes: &'a [Route],
}

impl<'a> Scene<'a> {
    /// An object, where it is there.
    pub fn find(&self, kind: ObjectKind, name: &str) -> Option<&'a Route> {
        let mut routes = self.routes.iter();
        routes.find(|route| route.target.kind == kind && route.target.key.name == name)
    }

    /// An object of people's.
    ///
    /// # Errors
    /// A sentence for people, where it is not there.
    pub fn need(&self, kind: ObjectKind, name: &str) -> Result<&'a Route, String> {
        self.find(kind, name).ok_or_else(|| {
            let kind = kind.kind();
            format!(
                "there is no {kind} {name} in this namespace, which spec.traffic names; create it"
            )
        })
    }
}

/// What a router says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// The division; of several rules that differ, the one that gives the canary the most.
    pub division: Division,
    /// Whether all of its rules say the same.
    pub is_even: bool,
}

impl Reading {
    /// What several rules, or several routers, say together.
    pub fn of_all(readings: impl IntoIterator<Item = Self>) -> Option<Self> {
        readings.into_iter().reduce(|one, other| Self {
            is_even: one.is_even && other.is_even && one.division == other.division,
            division: if other.division.weight > one.division.weight {
                other.division
            } else {
                one.division
            },
        })
    }
}

/// Something that divides requests between the two Services.
#[derive(Clone, Debug, PartialEq)]
pub enum Router {
    /// An HTTPRoute that is created.
    Generated(gateway_api::Generated),
    /// An HTTPRoute or GRPCRoute of people's.
    Named(gateway_api::Named),
}

impl Router {
    /// The routers that a spec names; none: the stable Service is switched.
    pub fn read_all(traffic: &api::Traffic) -> Vec<Self> {
        let gateway_api = traffic.gateway_api.iter();
        gateway_api
            .flat_map(|raw| gateway_api::routers(raw, traffic.session_affinity.as_ref()))
            .collect()
    }

    /// Every object that is read or written.
    pub fn objects(&self, rollout: &str) -> Vec<(ObjectKind, String)> {
        let carrier = self.carried_by(rollout);
        match self {
            Self::Generated(_) | Self::Named(_) => vec![carrier],
        }
    }

    /// The object that carries the division.
    pub fn carried_by(&self, rollout: &str) -> (ObjectKind, String) {
        match self {
            Self::Generated(_) => (ObjectKind::HttpRoute, rollout.to_owned()),
            Self::Named(named) => (named.kind, named.name.clone()),
        }
    }

    /// Whether its object is ours: made, put right and removed.
    pub fn is_created(&self) -> bool {
        match self {
            Self::Generated(_) => true,
            Self::Named(_) => false,
        }
    }

    /// The object that carries the division, where it is there.
    pub fn carrier<'a>(&self, scene: &Scene<'a>) -> Option<&'a Route> {
        let (kind, name) = self.carried_by(scene.rollout);
        scene.find(kind, &name)
    }

    /// What it cannot do of a division.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn supports(&self, _division: &Division) -> Result<(), String> {
        match self {
            Self::Generated(_) | Self::Named(_) => Ok(()),
        }
    }

    /// How it divides now.
    ///
    /// # Errors
    /// Why it does not, as a sentence for people: something is missing, or leads elsewhere.
    pub fn read(&self, scene: &Scene) -> Result<Reading, String> {
        match self {
            Self::Generated(generated) => generated.read(scene),
            Self::Named(named) => named.read(scene),
        }
    }

    /// Whether the data plane has taken it in as it is. Where nobody reports, it has.
    ///
    /// # Errors
    /// What the data plane has against it, in its words.
    pub fn acknowledged(&self, scene: &Scene) -> Result<bool, String> {
        let Some(carrier) = self.carrier(scene) else {
            return Ok(false);
        };
        match self {
            Self::Generated(generated) => generated.acknowledged(carrier),
            Self::Named(_) => gateway_api::acknowledged(&carrier.live),
        }
    }

    /// The merge patch of the carrier that makes it divide like this, and changes nothing else.
    pub fn divided(&self, scene: &Scene, division: &Division) -> Option<Value> {
        let carrier = self.carrier(scene)?;
        Some(match self {
            Self::Generated(_) | Self::Named(_) => gateway_api::divided(carrier, scene, division),
        })
    }

    /// Whether a carrier that is ours has all that `rendered` says.
    pub fn is_as_wanted(&self, carrier: &Route, rendered: &Value) -> bool {
        match self {
            Self::Generated(_) => gateway_api::is_as_wanted(carrier, rendered),
            Self::Named(_) => true,
        }
    }

    /// The carrier that is created: what its manifest says besides its name, its labels and its owner.
    ///
    /// # Errors
    /// Why it cannot be made yet, as a sentence for people.
    pub fn rendered(&self, scene: &Scene, division: &Division) -> Result<Option<Value>, String> {
        match self {
            Self::Generated(generated) => Ok(Some(generated.rendered(scene, division))),
            Self::Named(_) => Ok(None),
        }
    }
}
