//! What divides requests between the two Services. A file for each kind; here is what all of them have to answer. No I/O.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::api::DynamicObject;
use serde_json::Value;

use super::division::Division;
use super::{Side, gateway_api, istio, nginx, traefik};
use crate::model::label;
use crate::model::manifest::{Target, is_ours};
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::rollout::api::{self, Taken};

/// Names of the two Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backends {
    /// The stable Service.
    pub stable: String,
    /// The canary Service.
    pub canary: String,
}

impl Backends {
    /// The Service of a side.
    pub fn name(&self, side: Side) -> &str {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }

    /// The side that a Service is.
    pub fn side_of(&self, name: &str) -> Option<Side> {
        let mut sides = [Side::Stable, Side::Canary].into_iter();
        sides.find(|side| self.name(*side) == name)
    }
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
    /// Whether a controller owns it: us. What people name may have another.
    pub fn is_owned(&self) -> bool {
        is_ours(self.live.as_ref())
    }

    /// A field of it.
    pub fn field(&self, pointer: &str) -> Option<&Value> {
        self.live.data.pointer(pointer)
    }

    /// A list in it; empty where it is not there.
    pub fn items(&self, pointer: &str) -> &[Value] {
        let items = self.field(pointer).and_then(Value::as_array);
        items.map(Vec::as_slice).unwrap_or_default()
    }
}

/// Who has written the spec of an object of people's since we last did, and when: the field manager that did so last.
/// `None` while our own write stands, and where nobody can be told.
pub fn taken(metadata: &ObjectMeta) -> Option<Taken> {
    let entries = metadata.managed_fields.iter().flatten();
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
    let latest = latest?;
    Some(Taken {
        by: name(latest)?,
        at: latest.time.as_ref().map(|time| time.0),
    })
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
    /// What all rules say.
    pub fn even(division: Division) -> Self {
        Self {
            division,
            is_even: true,
        }
    }

    /// Whether some request would reach the canary by `division` that does not do so now. Of rules that differ, some give
    /// the canary less than the division that is read.
    pub fn is_raised_by(&self, division: &Division) -> bool {
        let is_more = division.weight > self.division.weight || division.adds_to(&self.division);
        is_more || (!self.is_even && division.reaches_canary())
    }

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
    /// An HTTPRoute or GRPCRoute that is created.
    Generated(gateway_api::Generated),
    /// An HTTPRoute or GRPCRoute of people's.
    Named(gateway_api::Named),
    /// A VirtualService of people's.
    Istio(istio::VirtualService),
    /// A TraefikService of people's.
    Traefik(traefik::Weighted),
    /// A second Ingress, beside one of people's.
    Nginx(nginx::Doubled),
}

impl Router {
    /// The routers that a spec names; none: the stable Service is switched.
    pub fn read_all(traffic: &api::Traffic) -> Vec<Self> {
        let affinity = traffic.session_affinity.as_ref();
        let gateway_api = traffic.gateway_api.iter();
        gateway_api
            .flat_map(|raw| gateway_api::routers(raw, affinity))
            .chain(traffic.istio.iter().flat_map(istio::routers))
            .chain(traffic.traefik.iter().flat_map(traefik::routers))
            .chain(traffic.nginx.iter().flat_map(nginx::routers))
            .collect()
    }

    /// Every object that is read or written.
    pub fn objects(&self, rollout: &str) -> Vec<(ObjectKind, String)> {
        let carrier = self.carried_by(rollout);
        match self {
            Self::Generated(_) | Self::Named(_) | Self::Traefik(_) => vec![carrier],
            Self::Istio(service) => service.objects(),
            Self::Nginx(ingress) => vec![(ObjectKind::Ingress, ingress.name.clone()), carrier],
        }
    }

    /// The object that carries the division.
    pub fn carried_by(&self, rollout: &str) -> (ObjectKind, String) {
        match self {
            Self::Generated(generated) => (generated.kind, rollout.to_owned()),
            Self::Named(named) => (named.kind, named.name.clone()),
            Self::Istio(service) => (ObjectKind::VirtualService, service.name.clone()),
            Self::Traefik(service) => (ObjectKind::TraefikService, service.name.clone()),
            Self::Nginx(ingress) => (ObjectKind::Ingress, ingress.canary(rollout)),
        }
    }

    /// Whether its object is ours: made, put right and removed.
    pub fn is_created(&self) -> bool {
        match self {
            Self::Generated(_) | Self::Nginx(_) => true,
            Self::Named(_) | Self::Istio(_) | Self::Traefik(_) => false,
        }
    }

    /// The object that carries the division, where it is there.
    pub fn carrier<'a>(&self, scene: &Scene<'a>) -> Option<&'a Route> {
        let (kind, name) = self.carried_by(scene.rollout);
        match self {
            Self::Nginx(ingress) => ingress.find(scene),
            Self::Generated(_) | Self::Named(_) | Self::Istio(_) | Self::Traefik(_) => {
                scene.find(kind, &name)
            }
        }
    }

    /// What it cannot do of a division.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn supports(&self, division: &Division) -> Result<(), String> {
        match self {
            Self::Generated(_) | Self::Named(_) => Ok(()),
            Self::Istio(_) => istio::supports(division),
            Self::Traefik(_) => traefik::supports(division),
            Self::Nginx(_) => nginx::supports(division),
        }
    }

    /// What of people's objects as they are now is in the way of a division, as a sentence for people.
    pub fn obstacle(&self, scene: &Scene, division: &Division) -> Option<String> {
        match self {
            Self::Generated(_) | Self::Named(_) | Self::Traefik(_) | Self::Nginx(_) => None,
            Self::Istio(service) => service.obstacle(scene, division),
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
            Self::Istio(service) => service.read(scene),
            Self::Traefik(service) => service.read(scene),
            Self::Nginx(ingress) => ingress.read(scene),
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
            Self::Istio(service) => Ok(service.acknowledged(scene)),
            Self::Traefik(_) => Ok(true),
            Self::Nginx(ingress) => ingress.acknowledged(scene),
        }
    }

    /// The merge patch of the carrier that makes it divide like this, and changes nothing else.
    pub fn divided(&self, scene: &Scene, division: &Division) -> Option<Value> {
        let carrier = self.carrier(scene)?;
        Some(match self {
            Self::Generated(_) | Self::Named(_) => gateway_api::divided(carrier, scene, division),
            Self::Istio(service) => service.divided(carrier, scene, division),
            Self::Traefik(_) => traefik::divided(carrier, scene, division),
            Self::Nginx(_) => nginx::divided(division),
        })
    }

    /// The revisions that it selects itself, stable first, beside what the Services select; `None` where it does not.
    pub fn selections(&self, scene: &Scene) -> Option<[Option<Revision>; 2]> {
        match self {
            Self::Generated(_) | Self::Named(_) | Self::Traefik(_) | Self::Nginx(_) => None,
            Self::Istio(service) => service.selections(scene),
        }
    }

    /// The object, and the merge patch of it, that makes a side of it select a revision as the Service does.
    pub fn select(
        &self,
        scene: &Scene,
        side: Side,
        revision: &Revision,
    ) -> Option<(Target, Value)> {
        match self {
            Self::Generated(_) | Self::Named(_) | Self::Traefik(_) | Self::Nginx(_) => None,
            Self::Istio(service) => service.select(scene, side, revision),
        }
    }

    /// Whether a carrier that is ours has all that `rendered` says.
    pub fn is_as_wanted(&self, carrier: &Route, rendered: &Value) -> bool {
        match self {
            Self::Generated(_) => gateway_api::is_as_wanted(carrier, rendered),
            Self::Nginx(_) => nginx::is_as_wanted(carrier, rendered),
            Self::Named(_) | Self::Istio(_) | Self::Traefik(_) => true,
        }
    }

    /// The carrier that is created: what its manifest says besides its name, its labels and its owner.
    ///
    /// # Errors
    /// Why it cannot be made yet, as a sentence for people.
    pub fn rendered(&self, scene: &Scene, division: &Division) -> Result<Option<Value>, String> {
        match self {
            Self::Generated(generated) => Ok(Some(generated.rendered(scene, division))),
            Self::Nginx(ingress) => ingress.rendered(scene, division).map(Some),
            Self::Named(_) | Self::Istio(_) | Self::Traefik(_) => Ok(None),
        }
    }
}
