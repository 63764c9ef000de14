//! Objects of people's that are written into: which a router has, and what puts one back. No I/O.
//!
//! What is remembered of one is enough to put it back when neither the spec nor the Rollout is there any more to say
//! how it leads to both sides.

use std::collections::BTreeMap;

use kube::ResourceExt;
use serde_json::{Value, json};

use super::division::Division;
use super::gateway_api::Named;
use super::istio;
use super::router::{Backends, Reading, Route, Router, Scene};
use super::traefik::Weighted;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::rollout::api::{Foreign, Rollout};

/// Kinds of people's objects that are written into.
const KINDS: &[ObjectKind] = &[
    ObjectKind::HttpRoute,
    ObjectKind::GrpcRoute,
    ObjectKind::VirtualService,
    ObjectKind::DestinationRule,
    ObjectKind::TraefikService,
    ObjectKind::Service,
];

/// Kind and name, as people read them and as they are remembered. Example: `HTTPRoute shop`.
pub fn title(kind: ObjectKind, name: &str) -> String {
    format!("{} {name}", kind.kind())
}

/// What a title is of.
pub fn entitled(title: &str) -> Option<(ObjectKind, &str)> {
    let (kind, name) = title.split_once(' ')?;
    let kind = KINDS.iter().find(|candidate| candidate.kind() == kind)?;
    Some((*kind, name))
}

/// What a Rollout divides requests with: what its routers read and write, and what is remembered of people's.
pub fn objects_of(rollout: &Rollout) -> Vec<(ObjectKind, String)> {
    let name = rollout.name_any();
    let routers = rollout.spec.traffic.iter().flat_map(Router::read_all);
    let named = routers.flat_map(|router| router.objects(&name));
    let traffic = rollout.spec.traffic.as_ref();
    let traffic = traffic.filter(|traffic| traffic.allow_foreign == Some(true));
    let services = traffic.and_then(|traffic| traffic.services.clone());
    let services = services.into_iter().flat_map(|it| [it.stable, it.canary]);
    let services = services.flatten().map(|name| (ObjectKind::Service, name));
    let progress = rollout.status.as_ref().and_then(|it| it.progress.as_ref());
    let titles = progress.iter().flat_map(|progress| progress.foreign.keys());
    let remembered = titles.filter_map(|title| entitled(title));
    let remembered = remembered.map(|(kind, name)| (kind, name.to_owned()));
    named.chain(services).chain(remembered).collect()
}

/// The objects of people's that routers write into, by their titles.
pub fn written_by(routers: &[Router], backends: &Backends) -> BTreeMap<String, Foreign> {
    let mut all = BTreeMap::new();
    for router in routers.iter().filter(|router| !router.is_created()) {
        let mut how = Foreign {
            stable: Some(backends.stable.clone()),
            canary: Some(backends.canary.clone()),
            ..Foreign::default()
        };
        if let Router::Istio(service) = router {
            how.routes.clone_from(&service.routes);
            how.destination_rule = service.subsets.as_ref().map(istio::Subsets::reference);
        }
        if let Some(rule) = &how.destination_rule {
            let title = title(ObjectKind::DestinationRule, &rule.name);
            let how = Foreign {
                destination_rule: Some(rule.clone()),
                ..Foreign::default()
            };
            all.insert(title, how);
        }
        // Its carrier is people's, so the name of the Rollout is not part of it.
        let (kind, name) = router.carried_by("");
        all.insert(title(kind, &name), how);
    }
    all
}

/// What puts an object back to all of the traffic for the stable side, and to selecting what it did; `None` where it is
/// as it should be, or gone.
pub fn put_back(
    (kind, name): (ObjectKind, &str),
    how: &Foreign,
    objects: &[Route],
) -> Option<(Target, Value)> {
    let backends = Backends {
        stable: how.stable.clone().unwrap_or_default(),
        canary: how.canary.clone().unwrap_or_default(),
    };
    let scene = Scene {
        rollout: "",
        backends: &backends,
        port: 0,
        routes: objects,
    };
    let name = name.to_owned();
    let subsets = how.destination_rule.as_ref().map(istio::Subsets::of);
    let router = match kind {
        ObjectKind::HttpRoute | ObjectKind::GrpcRoute => Router::Named(Named { kind, name }),
        ObjectKind::TraefikService => Router::Traefik(Weighted { name }),
        ObjectKind::VirtualService => Router::Istio(istio::VirtualService {
            name,
            routes: how.routes.clone(),
            subsets,
        }),
        ObjectKind::DestinationRule => return subsets?.released(&scene),
        ObjectKind::Service => return widened(scene.find(kind, &name)?),
        ObjectKind::Pipeline
        | ObjectKind::Environment
        | ObjectKind::Rollout
        | ObjectKind::AnalysisTemplate
        | ObjectKind::PipelineRun
        | ObjectKind::Release
        | ObjectKind::Promotion
        | ObjectKind::Decision
        | ObjectKind::ReplicaSet
        | ObjectKind::Deployment
        | ObjectKind::HorizontalPodAutoscaler
        | ObjectKind::ControllerRevision
        | ObjectKind::Pod
        | ObjectKind::EndpointSlice
        | ObjectKind::Ingress
        | ObjectKind::PrometheusRule
        | ObjectKind::Job
        | ObjectKind::ConfigMap
        | ObjectKind::Secret
        | ObjectKind::Lease
        | ObjectKind::Namespace
        | ObjectKind::ResourceQuota
        | ObjectKind::LimitRange
        | ObjectKind::NetworkPolicy
        | ObjectKind::TokenReview => return None,
    };
    let nothing = Reading::even(Division::NONE);
    let is_driven = router.read(&scene).is_ok_and(|now| now != nothing);
    let change = router.divided(&scene, &Division::NONE);
    let target = router.carrier(&scene)?.target.clone();
    Some((target, change.filter(|_| is_driven)?))
}

/// What lets a Service select what people wrote, and not one revision of it.
fn widened(service: &Route) -> Option<(Target, Value)> {
    let selector = service.field("/spec/selector")?;
    let change = json!({"spec": {"selector": {label::REVISION: null}}});
    let is_narrowed = selector.get(label::REVISION).is_some();
    is_narrowed.then(|| (service.target.clone(), change))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{apply, object};
    use super::*;

    const HTTP: ObjectKind = ObjectKind::HttpRoute;

    fn route(stable: u8, canary: u8) -> Value {
        json!({"spec": {"rules": [{"backendRefs": [
            {"name": "api-stable", "port": 80, "weight": stable},
            {"name": "api-canary", "port": 80, "weight": canary}]}]}})
    }

    #[test]
    fn a_title_says_which_object_it_is() {
        let title = title(HTTP, "shop");
        assert_eq!(title, "HTTPRoute shop");
        assert_eq!(entitled(&title), Some((HTTP, "shop")));
        assert_eq!(entitled("Node shop"), None);
    }

    #[test]
    fn a_route_is_put_back_by_what_is_remembered_of_it() {
        let how = Foreign {
            stable: Some("api-stable".into()),
            canary: Some("api-canary".into()),
            ..Foreign::default()
        };
        let objects = [object(HTTP, "shop", &route(75, 25))];
        let (target, change) = put_back((HTTP, "shop"), &how, &objects).unwrap();
        assert_eq!(target.key.name, "shop");
        assert_eq!(apply(&route(75, 25), &change), route(100, 0));
        let back = [object(HTTP, "shop", &route(100, 0))];
        assert_eq!(put_back((HTTP, "shop"), &how, &back), None);
        assert_eq!(put_back((HTTP, "gone"), &how, &back), None);
        let elsewhere = Foreign::default();
        assert_eq!(put_back((HTTP, "shop"), &elsewhere, &objects), None);
    }

    #[test]
    fn a_service_selects_again_what_people_wrote() {
        let kind = ObjectKind::Service;
        let theirs = json!({"spec": {"selector": {"app": "api"}}});
        let mut narrowed = theirs.clone();
        narrowed["spec"]["selector"]["slipway.dev/revision"] = "a".into();
        let objects = [object(kind, "api", &narrowed)];
        let how = Foreign::default();
        let (_, change) = put_back((kind, "api"), &how, &objects).unwrap();
        assert_eq!(apply(&narrowed, &change), theirs);
        let objects = [object(kind, "api", &theirs)];
        assert_eq!(put_back((kind, "api"), &how, &objects), None);
    }

    #[test]
    fn a_destination_rule_selects_again_what_people_wrote() {
        let kind = ObjectKind::DestinationRule;
        let subset = |name: &str, labels: Value| json!({"name": name, "labels": labels});
        let ours = json!({"app": "api", "slipway.dev/revision": "a"});
        let spec = |labels: &Value| {
            json!({"spec": {"host": "api", "subsets": [
                subset("stable", labels.clone()), subset("canary", labels.clone()),
                subset("other", json!({"slipway.dev/revision": "b"}))]}})
        };
        let how = Foreign {
            destination_rule: Some(crate::rollout::api::DestinationRuleReference {
                name: "api".into(),
                stable_subset: "stable".into(),
                canary_subset: "canary".into(),
            }),
            ..Foreign::default()
        };
        let objects = [object(kind, "api", &spec(&ours))];
        let (_, change) = put_back((kind, "api"), &how, &objects).unwrap();
        let back = apply(&spec(&ours), &change);
        assert_eq!(back, spec(&json!({"app": "api"})));
        let objects = [object(kind, "api", &back)];
        assert_eq!(put_back((kind, "api"), &how, &objects), None);
    }
}
