//! Weights through Istio: renders and reads VirtualServices, and the subsets of a DestinationRule. No I/O.
//!
//! Of a VirtualService, the HTTP routes that lead to both sides are driven, and the others are left alone. Sides are told
//! apart by host; with a DestinationRule by subset, and its two subsets are kept at what the two Services select.

use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::Side;
use super::division::Division;
use super::router::{Reading, Route, Router, Scene};
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::rollout::api;
pub use subset::Subsets;
use view::View;

mod subset;
mod view;

/// A VirtualService of people's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VirtualService {
    /// Its name.
    pub name: String,
    /// Names of the routes that are driven; none: all that lead to both sides.
    pub routes: Vec<String>,
    /// What tells the sides apart, where it is not the Services.
    pub subsets: Option<Subsets>,
}

/// The routers of `spec.traffic.istio`.
pub(super) fn routers(raw: &api::Istio) -> impl Iterator<Item = Router> {
    let subsets = raw.destination_rule.as_ref().map(Subsets::of);
    let services = raw.virtual_services.iter();
    services.map(move |service| {
        Router::Istio(VirtualService {
            name: service.name.clone(),
            routes: service.routes.clone(),
            subsets: subsets.clone(),
        })
    })
}

/// What Istio cannot do.
pub(super) fn supports(division: &Division) -> Result<(), String> {
    let headers: Vec<&str> = division.route.iter().map(view::header_of).collect();
    let mut later = headers.iter().enumerate().skip(1);
    match later.find(|(index, header)| headers.iter().take(*index).any(|one| one == *header)) {
        Some((_, header)) => Err(format!(
            "Istio matches the header {header} in one way at a time, and all cookies are one header; leave the others out"
        )),
        None => Ok(()),
    }
}

impl VirtualService {
    /// The VirtualService, and the DestinationRule where there is one.
    pub(super) fn objects(&self) -> Vec<(ObjectKind, String)> {
        let rule = self.subsets.iter().map(Subsets::object);
        let own = (ObjectKind::VirtualService, self.name.clone());
        std::iter::once(own).chain(rule).collect()
    }

    pub(super) fn read(&self, scene: &Scene) -> Result<Reading, String> {
        let service = scene.need(ObjectKind::VirtualService, &self.name)?;
        if let Some(subsets) = &self.subsets {
            subsets.check(scene)?;
        }
        let view = View::of(self, service, scene);
        let readings = view.readings();
        let is_driven = |name: &&String| view.driven().any(|route| route["name"] == name.as_str());
        let missing = self.routes.iter().find(|name| !is_driven(name));
        let reading = Reading::of_all(readings).filter(|_| missing.is_none());
        reading.ok_or_else(|| {
            let name = &self.name;
            let which = missing.map_or_else(|| "no http route".to_owned(), |it| format!("no http route {it}"));
            let sides = view.sides();
            format!(
                "{which} of VirtualService {name} leads to both {sides} with some weight; name both as its destinations, \
                 with weights 100 and 0"
            )
        })
    }

    /// The patch of a live VirtualService that makes it divide like this.
    pub(super) fn divided(&self, service: &Route, scene: &Scene, division: &Division) -> Value {
        let view = View::of(self, service, scene);
        json!({"spec": {"http": view.divided(division)}})
    }

    /// What people wrote that a division cannot go together with.
    pub(super) fn obstacle(&self, scene: &Scene, division: &Division) -> Option<String> {
        let service = scene.find(ObjectKind::VirtualService, &self.name)?;
        let view = View::of(self, service, scene);
        let name = &self.name;
        if division.mirror > Weight::ZERO && view.driven().any(|route| view.has_other_mirror(route))
        {
            return Some(format!(
                "VirtualService {name} has a mirror of its own on a route that is to send copies to the canary; take it out, \
                 or skip the step"
            ));
        }
        let mut driven = view.driven();
        let is_lost = driven.any(|route| view.added(route, &division.route).is_none());
        (!division.route.is_empty() && is_lost).then(|| {
            format!(
                "a route of VirtualService {name} already matches a header that the step wants to match; Istio matches each \
                 in one way at a time: take it out, or skip the step"
            )
        })
    }

    /// Whether Istio has passed on both objects as they are. It says so only where it was told to.
    pub(super) fn acknowledged(&self, scene: &Scene) -> bool {
        let objects = self.objects().into_iter();
        let mut there = objects.filter_map(|(kind, name)| scene.find(kind, &name));
        there.all(|object| is_passed_on(&object.live))
    }

    /// What the subsets select, stable first; `None` where there are none.
    pub(super) fn selections(&self, scene: &Scene) -> Option<[Option<Revision>; 2]> {
        self.subsets.as_ref()?.selections(scene)
    }

    /// The patch that lets the subset of a side select a revision.
    pub(super) fn select(
        &self,
        scene: &Scene,
        side: Side,
        revision: &Revision,
    ) -> Option<(Target, Value)> {
        self.subsets.as_ref()?.select(scene, side, revision)
    }
}

/// What Istio says about its proxies, where it counts them. Other parts of a status come and go without the generation
/// that they are about, so nothing can be told from them.
fn is_passed_on(object: &DynamicObject) -> bool {
    let Some(reconciled) = reconciled(object) else {
        return true;
    };
    let status = object.data.get("status").unwrap_or(&Value::Null);
    // A 64-bit number is text in the JSON of some of its versions.
    let number = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let generation = object.metadata.generation.unwrap_or_default();
    let observed = [reconciled, status].map(|of| of.get("observedGeneration").and_then(number));
    let is_latest = |observed: &Option<i64>| observed.is_none_or(|observed| observed >= generation);
    reconciled["status"] == "True" && observed.iter().all(is_latest)
}

/// Whether Istio says how far its proxies are: where it was told to count them.
pub(super) fn reports(object: &DynamicObject) -> bool {
    reconciled(object).is_some()
}

/// The condition that says so.
fn reconciled(object: &DynamicObject) -> Option<&Value> {
    let conditions = object.data.get("status")?.get("conditions")?.as_array()?;
    let mut conditions = conditions.iter();
    conditions.find(|condition| condition["type"] == "Reconciled")
}

#[cfg(test)]
mod tests;
