//! What the Services select, and the routers' own subsets with them. No I/O.

use serde_json::json;

use super::super::render;
use super::Draft;
use super::object::patch;
use crate::model::label;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::model::span::time_of_day;
use crate::traffic::foreign::title;
use crate::traffic::{Arrangement, Side};

impl Draft<'_> {
    /// A Service whose selector somebody changed gets it back at once, with or without weight: whatever it
    /// reaches now is not what anybody wanted.
    pub(super) fn put_right(&mut self, side: Side, live: &Arrangement) {
        if let Some(need) = self.need_to_claim(side) {
            return self.claim(side, need);
        }
        let change = self.change().filter(|_| side == Side::Canary);
        let revision = change
            .map_or(&self.stable, |change| &change.revision)
            .clone();
        // But for a subset that never was ours: what is in it serves until our pods do.
        let [stable, canary] = self.live.is_unclaimed;
        let is_unclaimed = if side == Side::Stable { stable } else { canary };
        let need = live.share(side).need(self.spec.replicas);
        let answering = self.seen.answering(side, &revision);
        if is_unclaimed && self.change().is_none() && answering < need {
            let words =
                format!("{answering} of {need} pods of {revision} answer behind their Service");
            return self.wait_for_pods(words);
        }
        self.write_selector(side, &revision);
    }

    /// The pods of stable that have to answer behind a Service of people's before it is narrowed to them; `None` where it
    /// is not people's, or narrowed. Once it was, and somebody took that back, what it reaches besides is not wanted, and
    /// one pod is enough.
    fn need_to_claim(&self, side: Side) -> Option<i32> {
        let service = self.seen.service(side)?;
        let is_wide = service.foreign.is_some() && service.revision.is_none();
        let title = title(ObjectKind::Service, &service.target.key.name);
        let was_narrowed = self.memory.progress.driven.contains_key(&title);
        let total = self.spec.replicas;
        let need = if was_narrowed { total.min(1) } else { total };
        is_wide.then_some(need)
    }

    /// Narrows a Service of people's to the revision that serves: whatever else it selects serves until those pods do.
    fn claim(&mut self, side: Side, need: i32) {
        let revision = self.claimant().clone();
        let answering = self.seen.answering(side, &revision);
        if answering < need {
            self.wait_for_pods(format!(
                "{answering} of {need} pods of {revision} answer behind their Service"
            ));
            // No other revision makes room for them: it selects those as well.
            self.short_of = Some((revision, need));
            return;
        }
        self.write_selector(side, &revision);
    }

    /// The revision that serves: stable, or what takes its place while nothing of it does.
    fn claimant(&self) -> &Revision {
        let change = self.change().filter(|change| self.is_emergency(change));
        change.map_or(&self.stable, |change| &change.revision)
    }

    pub(super) fn select(&mut self, side: Side, revision: &Revision) {
        if !self.live.acknowledged && self.rules.selector_swaps_idle {
            return self.wait_for_data_plane();
        }
        if let Some(until) = self.silent_until() {
            self.wake_at(until);
            return self.wait_for(format!(
                "no router reports what the data plane knows, so that has until {} (spec.traffic.drain) to take in the weight",
                time_of_day(until)
            ));
        }
        self.write_selector(side, revision);
    }

    pub(super) fn write_selector(&mut self, side: Side, revision: &Revision) {
        let seen = self.seen;
        if let Some(service) = seen.service(side) {
            let selector = match &service.foreign {
                Some(foreign) if !self.may_narrow(service, foreign) => return,
                Some(_) => json!({label::REVISION: revision.as_str()}),
                None if !self.may_select(side, service) => return,
                None => render::selector_patch(self.spec, revision, &service.foreign_keys),
            };
            let change = json!({"spec": {"selector": selector}});
            self.moves.push(patch(&service.target, change));
        }
        let Some(routing) = &self.spec.routing else {
            return;
        };
        let scene = self.seen.scene(self.backends, routing.port);
        let routers = routing.routers.iter();
        for (target, change) in routers.filter_map(|router| router.select(&scene, side, revision)) {
            let select = patch(&target, change);
            // Several routers may share their subsets.
            if !self.moves.contains(&select) {
                self.moves.push(select);
            }
        }
    }
}
