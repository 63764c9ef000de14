//! Builders for tests: a Rollout's spec through the real parser, and what can be seen of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DynamicObject, TypeMeta};
use serde_json::{Value, json};

use super::api::{FailureReason, RolloutSpec, RolloutStatus};
use super::observed::{Observed, Pod, Service, Set, Trouble, Wanted};
use super::render;
use super::spec::{Images, Routing, Spec};
use crate::model::json::object;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::weight::Weight;
use crate::traffic::Side;
use crate::traffic::division::Division;
use crate::traffic::router::Route;

/// The time of every story.
pub(crate) const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

/// `NOW` and some seconds.
pub(crate) fn later(seconds: i64) -> Timestamp {
    NOW + SignedDuration::from_secs(seconds)
}

/// A spec with four replicas of image `api:<version>`, and whatever `extra` says.
pub(crate) fn spec(version: &str, extra: &Value) -> Spec {
    Spec::parse(&raw(version, extra), &Images::new()).unwrap()
}

/// The same as people write it.
pub(crate) fn raw(version: &str, extra: &Value) -> RolloutSpec {
    let mut raw = json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "api"}},
        "template": {
            "metadata": {"labels": {"app": "api"}},
            "spec": {"containers": [{"name": "web", "image": format!("api:{version}")}]},
        },
    });
    json_patch::merge(&mut raw, extra);
    serde_json::from_value(raw).unwrap()
}

/// A router with ten seconds of drain.
pub(crate) fn routed() -> Value {
    json!({"traffic": {"drain": "10s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}}})
}

/// Two Services, and nothing that divides between them.
pub(crate) fn switched() -> Value {
    json!({"traffic": {"drain": "10s"}})
}

/// Steps and a router.
pub(crate) fn routed_steps(steps: &Value) -> Value {
    let mut extra = routed();
    extra["strategy"] = json!({"steps": steps});
    extra
}

/// The revision of a version under the same `extra`.
pub(crate) fn revision(version: &str, extra: &Value) -> Revision {
    spec(version, extra).revision
}

/// A Rollout that nobody has looked at yet.
pub(crate) fn untouched(spec: impl Into<Arc<Spec>>) -> Observed {
    let created_at = NOW - SignedDuration::from_hours(1);
    let mut seen = Observed::untouched(Key::new("shop", "api"), spec.into(), created_at);
    seen.owner.uid = "r".to_owned();
    seen
}

fn target(kind: ObjectKind, name: &str) -> Target {
    Target {
        kind,
        key: Key::new("shop", name),
        uid: format!("uid-{name}"),
        resource_version: "1".into(),
    }
}

impl Observed {
    /// Adds a ReplicaSet whose pods are all ready.
    pub(crate) fn with_set(mut self, revision: &Revision, replicas: i32) -> Self {
        let ordinal = self.sets.len() as u64 + 1;
        self.sets.push(Set {
            target: target(ObjectKind::ReplicaSet, &render::set_name("api", revision)),
            revision: revision.clone(),
            ordinal,
            promoted_at: None,
            failed: None,
            is_owned: true,
            images: [("web".to_owned(), "api".to_owned())].into(),
            template: None,
            source: None,
            configs: BTreeSet::new(),
            replicas,
            current: replicas,
            available: replicas,
            is_settled: true,
        });
        for index in 0..replicas {
            self.pods.push(Pod {
                name: format!("api-{revision}-{index}"),
                uid: format!("{revision}-{index}"),
                created_at: NOW - SignedDuration::from_mins(10),
                revision: revision.clone(),
                is_ready: true,
                is_ending: false,
                trouble: None,
            });
        }
        self
    }

    /// Marks a ReplicaSet as promoted.
    pub(crate) fn promoted(mut self, revision: &Revision, at: Timestamp) -> Self {
        for set in self.sets.iter_mut().filter(|set| set.revision == *revision) {
            set.promoted_at = Some(at);
        }
        self
    }

    /// Makes all pods of a revision crash.
    pub(crate) fn crashing(mut self, revision: &Revision) -> Self {
        for pod in self.pods.iter_mut().filter(|pod| pod.revision == *revision) {
            pod.is_ready = false;
            pod.trouble = Some(Trouble {
                reason: FailureReason::CrashLoop,
                message: "container web: exit 1".into(),
            });
        }
        for set in self.sets.iter_mut().filter(|set| set.revision == *revision) {
            set.available = 0;
        }
        self
    }

    /// Adds both Services, with the ready pods of what they select behind them, and an acknowledged route.
    pub(crate) fn with_traffic(mut self, stable: &Revision, canary: &Revision, weight: u8) -> Self {
        let backends = self.backends();
        let service = |name: &str, revision: &Revision| Service {
            target: target(ObjectKind::Service, name),
            revision: Some(revision.clone()),
            foreign_keys: Vec::new(),
            is_owned: true,
            is_current: true,
            taken: None,
            foreign: None,
            ready: self
                .pods
                .iter()
                .filter(|pod| pod.revision == *revision && pod.is_ready)
                .map(|pod| pod.uid.clone())
                .collect::<BTreeSet<_>>(),
        };
        let is_switch = self.wanted.spec().is_some_and(|spec| {
            let routing = spec.routing.as_ref();
            routing.is_some_and(Routing::is_switch)
        });
        let active = if is_switch && weight == 100 {
            canary
        } else {
            stable
        };
        self.services = [
            Some(service(&backends.stable, active)),
            Some(service(&backends.canary, canary)),
        ];
        if !is_switch {
            self.routes = vec![self.route_with(weight, true)];
        }
        self
    }

    /// A route as the API server has it.
    pub(crate) fn route_with(&self, weight: u8, acknowledged: bool) -> Route {
        let division = Division::of(Weight::new(i64::from(weight)).unwrap());
        self.route_dividing(&division, acknowledged)
    }

    /// A route that divides like this.
    pub(crate) fn route_dividing(&self, division: &Division, acknowledged: bool) -> Route {
        let Wanted::Spec(spec) = &self.wanted else {
            panic!("a spec is needed")
        };
        let backends = self.backends();
        let routing = spec.routing.as_ref().unwrap();
        let scene = self.scene(&backends, routing.port);
        let rendered = routing.routers[0].rendered(&scene, division);
        let mut rendered = rendered.unwrap().unwrap();
        let observed = if acknowledged { 2 } else { 1 };
        let condition =
            |type_: &str| json!({"type": type_, "status": "True", "observedGeneration": observed});
        let status = json!({"parents": [{"parentRef": {"name": "web"},
            "conditions": [condition("Accepted"), condition("ResolvedRefs")]}]});
        let (kind, text) = (ObjectKind::HttpRoute, |text: &str| Some(text.to_owned()));
        let live = DynamicObject {
            types: Some(TypeMeta {
                api_version: kind.api_version(),
                kind: kind.kind().to_owned(),
            }),
            metadata: ObjectMeta {
                name: text("api"),
                namespace: text("shop"),
                generation: Some(2),
                uid: text("uid-api"),
                resource_version: text("1"),
                owner_references: Some(vec![self.owner.clone()]),
                ..ObjectMeta::default()
            },
            data: object([("spec", rendered["spec"].take()), ("status", status)]),
        };
        Route {
            target: target(kind, "api"),
            live: live.into(),
        }
    }

    /// The spec, to be changed.
    pub(crate) fn spec_mut(&mut self) -> &mut Spec {
        let Wanted::Spec(spec) = &mut self.wanted else {
            panic!("a spec is needed")
        };
        Arc::make_mut(spec)
    }

    /// What was written last time, as a plan at `NOW` leaves it.
    pub(crate) fn remembering(mut self, status: RolloutStatus) -> Self {
        self.status = status;
        self
    }

    /// The Service of a side, to be changed.
    pub(crate) fn service_mut(&mut self, side: Side) -> &mut Service {
        let [stable, canary] = &mut self.services;
        match side {
            Side::Stable => stable.as_mut().unwrap(),
            Side::Canary => canary.as_mut().unwrap(),
        }
    }
}
