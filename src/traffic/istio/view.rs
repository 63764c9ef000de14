//! The HTTP routes of a VirtualService: which are driven, and how. No I/O.

use serde_json::{Value, json};

use super::super::Side;
use super::super::cookie;
use super::super::division::{Division, Match};
use super::super::pair::Pair;
use super::super::router::{Backends, Reading, Route, Scene};
use super::VirtualService;
use super::subset::Subsets;
use crate::model::json::set;
use crate::model::weight::Weight;

/// A VirtualService as a Rollout sees it.
pub(super) struct View<'a> {
    /// All of its HTTP routes.
    all: &'a [Value],
    /// Names of those that are driven, where people chose some.
    chosen: &'a [String],
    namespace: &'a str,
    backends: &'a Backends,
    subsets: Option<(&'a Subsets, Option<&'a str>)>,
    /// The name of the routes that are added. Istio wants no name twice in its statistics, but takes it.
    mark: String,
}

/// The header that a match is about.
pub(super) fn header_of(of: &Match) -> &str {
    match of {
        Match::Header { name, .. } => name,
        Match::Cookie { .. } => cookie::HEADER,
    }
}

/// As a VirtualService matches a header: a regular expression stands for all of it.
fn condition(of: &Match) -> Value {
    match of {
        Match::Header { value, .. } => json!({"exact": value}),
        Match::Cookie { name, value } => json!({"regex": cookie::pattern(name, value)}),
    }
}

fn match_of(name: &str, condition: &Value) -> Option<Match> {
    if let Some(pattern) = condition.get("regex").and_then(Value::as_str) {
        return cookie::parse(pattern).filter(|_| name == cookie::HEADER);
    }
    let value = condition.get("exact")?.as_str()?.to_owned();
    let name = name.to_owned();
    Some(Match::Header { name, value })
}

/// A host in one form, of the forms that Istio takes for a Service of `namespace`.
fn full(host: &str, namespace: &str) -> String {
    let service = host.strip_suffix(".svc.cluster.local");
    match service.or_else(|| host.strip_suffix(".svc")) {
        Some(service) => service.to_owned(),
        None if host.contains('.') => host.to_owned(),
        None => format!("{host}.{namespace}"),
    }
}

impl<'a> View<'a> {
    pub(super) fn of(of: &'a VirtualService, live: &'a Route, scene: &Scene<'a>) -> Self {
        let subsets = of.subsets.as_ref();
        Self {
            all: live.items("/spec/http"),
            chosen: &of.routes,
            namespace: &live.target.key.namespace,
            backends: scene.backends,
            subsets: subsets.map(|subsets| (subsets, subsets.host(scene))),
            mark: format!("slipway-{}", scene.rollout),
        }
    }

    /// Both sides, for people.
    pub(super) fn sides(&self) -> String {
        if let Some((Subsets { stable, canary, .. }, _)) = self.subsets {
            return format!("subset {stable} and subset {canary}");
        }
        let Backends { stable, canary } = self.backends;
        format!("{stable} and {canary}")
    }

    /// The side that a destination is.
    fn side_of(&self, destination: &Value) -> Option<Side> {
        let text = |key: &str| destination.get(key).and_then(Value::as_str);
        let host = full(text("host")?, self.namespace);
        let is = |name: &str| full(name, self.namespace) == host;
        if let Some((subsets, whole)) = self.subsets {
            let side = subsets.side_of(text("subset")?);
            return side.filter(|_| whole.is_none_or(is));
        }
        let mut sides = [Side::Stable, Side::Canary].into_iter();
        sides.find(|side| is(self.backends.name(*side)))
    }

    fn pair<'b>(
        &'b self,
        route: &'b Value,
    ) -> Pair<'b, impl Fn(&Value) -> Option<Side> + use<'a, 'b>> {
        let list = route.get("route").and_then(Value::as_array);
        Pair {
            list: list.map(Vec::as_slice).unwrap_or_default(),
            side_of: |one: &Value| self.side_of(one.get("destination")?),
            default: 0,
        }
    }

    fn is_added(&self, route: &Value) -> bool {
        route["name"] == self.mark.as_str()
    }

    fn is_driven(&self, route: &Value) -> bool {
        let name = route.get("name").and_then(Value::as_str);
        let is_chosen =
            self.chosen.is_empty() || self.chosen.iter().any(|one| Some(one.as_str()) == name);
        is_chosen && !self.is_added(route) && self.pair(route).is_whole()
    }

    /// The routes that are driven.
    pub(super) fn driven(&self) -> impl Iterator<Item = &'a Value> {
        self.all.iter().filter(|route| self.is_driven(route))
    }

    /// How each of them divides.
    pub(super) fn readings(&self) -> impl Iterator<Item = Reading> {
        let routes = self.all.iter().enumerate();
        let driven = routes.filter(|(_, route)| self.is_driven(route));
        driven.filter_map(|(index, route)| {
            let before = index.checked_sub(1).and_then(|before| self.all.get(before));
            let added = before.filter(|before| self.is_added(before));
            Some(Reading {
                division: Division {
                    weight: self.pair(route).share()?,
                    route: added.map_or_else(Vec::new, |added| matches(added, route)),
                    mirror: self.mirrored(route),
                },
                is_even: true,
            })
        })
    }

    /// All routes with another division, and nothing else changed.
    pub(super) fn divided(&self, division: &Division) -> Vec<Value> {
        let kept = self.all.iter().filter(|route| !self.is_added(route));
        let divided = kept.flat_map(|route| {
            if !self.is_driven(route) {
                return vec![route.clone()];
            }
            let mut driven = route.clone();
            set(
                &mut driven,
                &["route"],
                self.pair(route).reweighted(division.weight),
            );
            self.mirror(&mut driven, division.mirror);
            let added = self.added(route, &division.route);
            let added = added.filter(|_| !division.route.is_empty());
            added.into_iter().chain([driven]).collect()
        });
        divided.collect()
    }

    /// A route before `route` that takes those of its requests that have all of `wanted` to the canary; `None` where it
    /// matches one of their headers itself.
    pub(super) fn added(&self, route: &Value, wanted: &[Match]) -> Option<Value> {
        let mut added = route.clone();
        self.mirror(&mut added, Weight::ZERO);
        let own = route.get("match").and_then(Value::as_array);
        let mut all = own.filter(|own| !own.is_empty()).cloned();
        for one in all.get_or_insert_with(|| vec![json!({})]) {
            for wanted in wanted {
                let header = header_of(wanted);
                let is_taken = one
                    .get("headers")
                    .is_some_and(|own| own.get(header).is_some());
                if is_taken || !set(one, &["headers", header], condition(wanted)) {
                    return None;
                }
            }
        }
        let mut canary = self.pair(route).find(Side::Canary)?.clone();
        set(&mut canary, &["weight"], Weight::FULL.percent());
        set(&mut added, &["name"], self.mark.as_str());
        set(&mut added, &["match"], json!(all));
        set(&mut added, &["route"], json!([canary]));
        Some(added)
    }

    /// Whether a route sends copies elsewhere than to the canary.
    pub(super) fn has_other_mirror(&self, route: &Value) -> bool {
        let is_ours = |to: &Value| self.side_of(to) == Some(Side::Canary);
        route.get("mirrors").is_some() || route.get("mirror").is_some_and(|to| !is_ours(to))
    }

    /// The share of which a route sends copies to the canary.
    fn mirrored(&self, route: &Value) -> Weight {
        if route.get("mirror").is_none() || self.has_other_mirror(route) {
            return Weight::ZERO;
        }
        let percent = route
            .pointer("/mirrorPercentage/value")
            .and_then(Value::as_i64);
        percent.and_then(Weight::new).unwrap_or(Weight::FULL)
    }

    fn mirror(&self, route: &mut Value, share: Weight) {
        if self.has_other_mirror(route) {
            return;
        }
        let canary = self.pair(route).find(Side::Canary).cloned();
        let canary = canary.and_then(|canary| canary.get("destination").cloned());
        let canary = canary.filter(|_| share > Weight::ZERO);
        if let Some(fields) = route.as_object_mut() {
            if fields.remove("mirror").is_some() {
                fields.remove("mirrorPercentage");
                fields.remove("mirrorPercent");
            }
            if let Some(canary) = canary {
                fields.insert("mirror".to_owned(), canary);
                fields.insert(
                    "mirrorPercentage".to_owned(),
                    json!({"value": share.percent()}),
                );
            }
        }
    }
}

/// What an added route matches besides what the driven one does.
fn matches(added: &Value, driven: &Value) -> Vec<Match> {
    let headers = |route: &'_ Value| {
        let headers = route.pointer("/match/0/headers");
        headers
            .and_then(Value::as_object)
            .cloned()
            .unwrap_or_default()
    };
    let own = headers(driven);
    let added = headers(added);
    let added = added.iter().filter(|(name, _)| !own.contains_key(*name));
    let mut matches: Vec<Match> = added.filter_map(|(name, it)| match_of(name, it)).collect();
    matches.sort();
    matches
}
