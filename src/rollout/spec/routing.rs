//! How requests reach the pods, and what of a strategy that takes. No I/O.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::super::api::{ServiceNames, StableScale, Strategy, StrategyType, Traffic};
use super::{Invalid, stable_scale};
use crate::traffic::router::Router;

/// How requests reach the pods.
#[derive(Clone, Debug, PartialEq)]
pub struct Routing {
    /// Names of the Services, where people chose them.
    pub services: ServiceNames,
    /// Whether these may be people's.
    pub allows_foreign: bool,
    /// Port of the Services.
    pub port: i32,
    /// Port of the pods.
    pub target_port: IntOrString,
    /// What divides between the Services; nothing: the stable Service is switched.
    pub routers: Vec<Router>,
}

impl Routing {
    /// Whether nothing divides between the Services, so that all requests go to one revision or the other.
    pub fn is_switch(&self) -> bool {
        self.routers.is_empty()
    }

    /// Whether a Service of this name may be people's: one that they chose, and said so.
    pub fn may_be_foreign(&self, name: &str) -> bool {
        let chosen = [&self.services.stable, &self.services.canary];
        let mut chosen = chosen.into_iter().flatten();
        self.allows_foreign && chosen.any(|chosen| chosen == name)
    }

    /// What a spec says of it.
    pub(super) fn of(traffic: &Traffic) -> Self {
        let port = traffic.port.unwrap_or(80);
        Self {
            services: traffic.services.clone().unwrap_or_default(),
            allows_foreign: traffic.allow_foreign.unwrap_or(false),
            port,
            target_port: traffic
                .target_port
                .clone()
                .unwrap_or(IntOrString::Int(port)),
            routers: Router::read_all(traffic),
        }
    }
}

/// What of a strategy takes two Services to tell revisions apart, or something that divides between them.
pub(super) fn check_strategy(
    strategy: &Strategy,
    routing: Option<&Routing>,
    problems: &mut Vec<Invalid>,
) {
    if let Some(routing) = routing {
        if routing.is_switch() && stable_scale(strategy) == StableScale::WithWeight {
            problems.push(Invalid::new(
                "spec.strategy",
                "Rolling and stableScale WithWeight need a router in spec.traffic, or no spec.traffic at all: a Service \
                 that is switched has all of the requests or none",
            ));
        }
        return;
    }
    let needs = |what: &str| {
        format!("{what} needs spec.traffic: without it every pod has its share of the requests")
    };
    if strategy.type_ == Some(StrategyType::BlueGreen) {
        problems.push(Invalid::new("spec.strategy.type", needs("BlueGreen")));
    }
    if strategy.keep_old_for.is_some() {
        problems.push(Invalid::new(
            "spec.strategy.keepOldFor",
            needs("keepOldFor"),
        ));
    }
}
