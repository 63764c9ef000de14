//! What the operator sees of a world.

use super::*;
use crate::traffic::testing::object;

impl World {
    /// All but the status, and what people have decided.
    pub(super) fn observed(&self, objects: &Objects) -> Observed {
        let mut seen = untouched(Arc::clone(&self.specs[self.wanted]));
        seen.hooks = self
            .jobs
            .iter()
            .map(|(name, at)| (name.clone(), self.seen_hook(name, *at)))
            .collect();
        seen.pods = self.pods.iter().map(|pod| self.seen_pod(pod)).collect();
        seen.sets = objects.sets.iter().map(|set| self.seen_set(set)).collect();
        let backends = seen.backends();
        let names = [backends.stable, backends.canary];
        for (index, service) in objects.services.iter().enumerate() {
            let Some((revision, version)) = service else {
                continue;
            };
            let is_lent = self.is_lent && index == 0;
            let is_wide = is_lent && *revision == Revision::unknown();
            seen.services[index] = Some(Service {
                target: target(ObjectKind::Service, &names[index], *version),
                revision: (!is_wide).then(|| revision.clone()),
                foreign_keys: Vec::new(),
                is_owned: !is_lent,
                is_current: true,
                taken: None,
                foreign: is_lent.then(|| ForeignService {
                    taken: is_wide.then(|| Taken {
                        by: "tool".to_owned(),
                        at: Some(later(self.widened_at)),
                    }),
                    ..ForeignService::default()
                }),
                ready: self.endpoints[index].clone(),
            });
        }
        if let Some((_, version)) = objects.route
            && !self.is_routed()
        {
            let route = target(ObjectKind::HttpRoute, "api", version);
            seen.leftovers.push(route);
        } else if let Some((weight, version)) = objects.route {
            let division = Division {
                weight: Weight::new(i64::from(weight)).unwrap(),
                ..objects.on_top.clone()
            };
            seen.routes = vec![if self.is_silent {
                edge(version, weight)
            } else {
                self.route(&seen, version, &division)
            }];
        }
        seen
    }

    /// The route as it is seen. Most often it is the one of last time.
    fn route(&self, seen: &Observed, version: u64, division: &Division) -> Route {
        let is_taken_in = self.generation >= version;
        let what = (self.wanted, version, division.clone(), is_taken_in);
        let mut last = self.last_route.borrow_mut();
        if let Some((of, route)) = last.as_ref()
            && *of == what
        {
            return route.clone();
        }
        let mut route = seen.route_dividing(division, is_taken_in);
        route.target = target(ObjectKind::HttpRoute, "api", version);
        *last = Some((what, route.clone()));
        route
    }

    fn seen_hook(&self, name: &str, ends_at: i64) -> Hook {
        Hook {
            target: target(ObjectKind::Job, name, 1),
            outcome: if ends_at > self.now {
                check::Outcome::Running
            } else if self.hooks_fail {
                check::Outcome::Failed("exit code 1".to_owned())
            } else {
                check::Outcome::Passed
            },
            is_ending: false,
        }
    }

    fn seen_pod(&self, pod: &SimPod) -> Pod {
        let crashes = pod.ready_at.is_none();
        Pod {
            name: pod.uid.clone(),
            uid: pod.uid.clone(),
            created_at: later(pod.created_at),
            revision: pod.revision.clone(),
            is_ready: self.is_ready(pod),
            is_ending: pod.ends_at.is_some(),
            trouble: crashes.then(|| Trouble {
                reason: FailureReason::CrashLoop,
                message: "exit 1".into(),
            }),
        }
    }

    fn seen_set(&self, set: &SimSet) -> Set {
        let of_set: Vec<_> = self
            .pods
            .iter()
            .filter(|pod| pod.revision == set.revision && pod.ends_at.is_none())
            .collect();
        let available = of_set.iter().filter(|pod| self.is_ready(pod)).count();
        Set {
            target: target(
                ObjectKind::ReplicaSet,
                &format!("api-{}", set.revision),
                set.version,
            ),
            revision: set.revision.clone(),
            ordinal: set.ordinal,
            promoted_at: set.promoted_at,
            failed: set.failed.clone(),
            is_owned: true,
            images: BTreeMap::new(),
            template: None,
            source: None,
            configs: BTreeSet::new(),
            replicas: set.replicas,
            current: i32::try_from(of_set.len()).unwrap(),
            available: i32::try_from(available).unwrap(),
            is_settled: true,
        }
    }
}

/// A TraefikService of people's, of which nobody reports anything.
fn edge(version: u64, weight: u8) -> Route {
    let services = json!([
        {"name": "api-stable", "port": 80, "weight": 100 - weight},
        {"name": "api-canary", "port": 80, "weight": weight},
    ]);
    let spec = json!({"spec": {"weighted": {"services": services}}});
    let kind = ObjectKind::TraefikService;
    Route {
        target: target(kind, "edge", version),
        ..object(kind, "edge", &spec)
    }
}
