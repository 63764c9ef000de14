//! Whether a Release has run well for long enough where it came from, and how long what runs here has. No I/O.
//!
//! Only healthy time counts. Each Environment keeps that clock for what runs in it, as the moment since when it has been well and
//! the seconds before; so the clock goes on without a write, and a restart loses nothing.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{CandidateGate, Deployed, Severity, SloState, SoakLoss};
use super::Draft;
use super::gate::gate;
use super::history::Entry;
use crate::model::span::{later, moment};

/// Name of the gate.
pub(super) const SOAK: &str = "soak";

impl<'a> Draft<'a> {
    /// How long the Release has run well in every Environment before this one; nothing where it need not have.
    pub(super) fn soak_gate(&self, entry: &Entry<'a>) -> Option<CandidateGate> {
        // Templates of Rollouts here have run nowhere else.
        let rule = self.seen.spec.protection.soak.as_ref();
        let rule = rule.filter(|_| !entry.is_config())?;
        let needed = SignedDuration::try_from(std::time::Duration::from(rule.duration));
        let needed = needed.unwrap_or(SignedDuration::MAX);
        let release = entry.release();
        let mut problems = Vec::new();
        let mut until: Option<Timestamp> = None;
        let mut may_come = true;
        for source in &self.seen.sources {
            let good = source.good.as_ref();
            let Some(clock) = good.and_then(|good| good.health.get(release)) else {
                may_come = false;
                problems.push(format!("{release} does not run in {}", source.name));
                continue;
            };
            let before = match rule.on_unhealthy() {
                SoakLoss::Reset => SignedDuration::ZERO,
                SoakLoss::Pause => clock.before,
            };
            let left = needed.saturating_sub(before);
            let end = clock.since.map(|since| later(since, left));
            match end {
                Some(end) if end <= self.now => {}
                Some(end) => {
                    until = Some(until.map_or(end, |known| known.max(end)));
                    problems.push(format!(
                        "{release} must run well in {} until {}",
                        source.name,
                        moment(end, self.now)
                    ));
                }
                None => {
                    may_come = false;
                    problems.push(format!(
                        "{} is not well, so the time of {release} there stands still",
                        source.name
                    ));
                }
            }
        }
        if self.seen.sources.is_empty() {
            let text = "protection.soak needs Environments before this one: set promotion.from.environments";
            problems.push(text.to_owned());
            may_come = false;
        }
        let text = (!problems.is_empty()).then(|| problems.join("; "));
        Some(gate(SOAK, text, until.filter(|_| may_come)))
    }

    /// What runs, with how long it has run well.
    pub(super) fn with_clocks(&self, current: Vec<Deployed>) -> Vec<Deployed> {
        let is_well = self.is_well();
        let known: BTreeMap<&str, &Deployed> = self
            .seen
            .status
            .current
            .iter()
            .map(|known| (known.promotion.as_str(), known))
            .collect();
        let tick = |deployed: Deployed| {
            let known = known.get(deployed.promotion.as_str());
            let since = known.and_then(|known| known.healthy_since.as_ref());
            let before = known.and_then(|known| known.healthy_seconds);
            let (healthy_since, healthy_seconds) = match (is_well, since) {
                (true, Some(since)) => (Some(since.clone()), before),
                (true, None) => (Some(Time(self.now)), before),
                (false, Some(since)) => {
                    let more = self.now.duration_since(since.0).as_secs();
                    let more = u64::try_from(more).unwrap_or(0);
                    (None, Some(before.unwrap_or(0).saturating_add(more)))
                }
                (false, None) => (None, before),
            };
            Deployed {
                healthy_since,
                healthy_seconds,
                ..deployed
            }
        };
        current.into_iter().map(tick).collect()
    }

    /// Whether every Rollout serves, and no SLO burns so fast that somebody is paged. Of what is out of sight nobody knows.
    fn is_well(&self) -> bool {
        let serves = self.health().is_none_or(|(is_well, _)| is_well);
        let burns = self.seen.status.slos.iter().any(|slo| {
            let burn = slo.burn.as_ref();
            slo.state == SloState::Burning
                && burn.is_some_and(|burn| burn.severity == Severity::Page)
        });
        let is_seen = self.hidden().is_none() || self.seen.mirror.is_unknown();
        serves && !burns && is_seen
    }
}
