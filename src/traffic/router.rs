//! What divides requests between the two Services. A file for each kind; here is what all of them have to answer. No I/O.

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};
use kube::api::DynamicObject;
use serde_json::Value;

use super::division::Division;
use super::{Side, gateway_api, istio, nginx, traefik};
use crate::model::json;
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
        json::at(&self.live.data, pointer)
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
    last_of(of_spec)
}

/// The write that came last.
fn last_of<'m>(entries: impl IntoIterator<Item = &'m ManagedFieldsEntry>) -> Option<Taken> {
    let at = |entry: &ManagedFieldsEntry| entry.time.as_ref().map(|time| time.0);
    let latest = entries.into_iter().max_by_key(|entry| at(entry))?;
    Some(Taken {
        by: latest.manager.clone()?,
        at: at(latest),
    })
}

/// Who has taken a field of an object of ours that `change` writes, and when: the field manager that did so last. `None`
/// while we have all of these fields, and where nobody can be told.
pub fn taken_of(metadata: &ObjectMeta, change: &Value) -> Option<Taken> {
    let entries = metadata.managed_fields.iter().flatten();
    let (ours, others): (Vec<_>, Vec<_>) =
        entries.partition(|entry| entry.manager.as_deref() == Some(label::SLIPWAY));
    let has = |entry: &ManagedFieldsEntry, path: &Vec<&str>, is_enough: fn(&Value) -> bool| {
        let fields = entry.fields_v1.as_ref();
        fields.is_some_and(|fields| has_field(&fields.0, path, is_enough))
    };
    let mut written = fields_of(change);
    written.retain(|path| !ours.iter().any(|entry| has(entry, path, is_whole)));
    let takes = |entry: &&ManagedFieldsEntry| written.iter().any(|path| has(entry, path, |_| true));
    last_of(others.into_iter().filter(takes))
}

/// The fields that a merge patch writes, each as the way to it.
fn fields_of(change: &Value) -> Vec<Vec<&str>> {
    let Some(fields) = change.as_object().filter(|fields| !fields.is_empty()) else {
        return vec![Vec::new()];
    };
    let fields = fields.iter().flat_map(|(key, value)| {
        let below = fields_of(value).into_iter();
        below.map(|rest| std::iter::once(key.as_str()).chain(rest).collect())
    });
    fields.collect()
}

/// Whether what a manager has below a field is all that there can be: of a list by keys, others may have other parts.
fn is_whole(fields: &Value) -> bool {
    let mut below = fields.as_object().into_iter().flatten();
    !below.any(|(key, _)| key.starts_with("k:"))
}

/// Whether a field is among those of a manager, with what it has below it. What is atomic has nothing there.
fn has_field(fields: &Value, path: &[&str], is_enough: fn(&Value) -> bool) -> bool {
    let Some((key, rest)) = path.split_first() else {
        return is_enough(fields);
    };
    let below = fields.get(format!("f:{key}"));
    below.is_some_and(|below| {
        let is_atomic = below.as_object().is_some_and(serde_json::Map::is_empty);
        is_atomic || has_field(below, rest, is_enough)
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

    /// Whether it is told what the data plane has taken in. Istio says so only where it was told to.
    pub fn reports(&self, scene: &Scene) -> bool {
        match self {
            Self::Generated(_) | Self::Named(_) => true,
            Self::Istio(_) => {
                let carrier = self.carrier(scene);
                carrier.is_some_and(|route| istio::reports(&route.live))
            }
            Self::Traefik(_) | Self::Nginx(_) => false,
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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn by(manager: &str, fields: &Value, second: i64) -> Value {
        let time = Timestamp::from_second(second).unwrap().to_string();
        json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields, "time": time})
    }

    fn told(entries: &Value, change: &Value) -> Option<String> {
        let metadata: ObjectMeta =
            serde_json::from_value(json!({"managedFields": entries})).unwrap();
        taken_of(&metadata, change).map(|taken| taken.by)
    }

    #[test]
    fn who_has_taken_a_field_is_told_by_that_field_and_not_by_others() {
        let weights = json!({"spec": {"rules": [{"backendRefs": []}]}});
        let whole = json!({"f:spec": {"f:parentRefs": {}, "f:rules": {}}});
        let ours = by(label::SLIPWAY, &whole, 1);
        let left = by(label::SLIPWAY, &json!({"f:spec": {"f:parentRefs": {}}}), 1);
        let rules = json!({"f:spec": {"f:rules": {}}});
        let (flux, argo) = (by("flux", &rules, 2), by("argocd", &rules, 3));
        let names = by("kubectl", &json!({"f:spec": {"f:hostnames": {}}}), 9);
        let status = by("gateway", &json!({"f:status": {"f:parents": {}}}), 9);
        assert_eq!(told(&json!([]), &weights), None);
        assert_eq!(told(&json!([ours, names, status]), &weights), None);
        let taken = json!([left, flux, argo, names, status]);
        assert_eq!(told(&taken, &weights), Some("argocd".to_owned()));
        let hosts = json!({"spec": {"hostnames": ["shop.test"]}});
        assert_eq!(told(&taken, &hosts), Some("kubectl".to_owned()));
        // Both have it: they agree.
        assert_eq!(told(&json!([ours, flux]), &weights), None);
    }

    #[test]
    fn a_field_below_an_atomic_one_is_its_managers_and_one_of_a_list_is_of_the_list() {
        let selector = json!({"spec": {"selector": {"app": "api", "tier": null}}});
        let tool = by("tool", &json!({"f:spec": {"f:selector": {}}}), 2);
        assert_eq!(told(&json!([tool]), &selector), Some("tool".to_owned()));
        let ports = json!({"spec": {"ports": [{"port": 80}]}});
        let one = json!({"f:spec": {"f:ports": {".": {}, "k:{\"port\":80}": {"f:port": {}}}}});
        let tool = by("tool", &one, 2);
        assert_eq!(told(&json!([tool]), &ports), Some("tool".to_owned()));
        let weight = json!({"metadata": {"annotations": {"canary-weight": "10"}}});
        let other = json!({"f:metadata": {"f:annotations": {".": {}, "f:note": {}}}});
        assert_eq!(told(&json!([by("tool", &other, 2)]), &weight), None);
    }
}
