//! How risky the change is, and which steps it gets for that. It is assessed once, when a change begins, so that what is
//! found out meanwhile does not change the steps under it. No I/O.

use std::cell::OnceCell;

use super::super::api::{Risk, RiskLevel};
use super::super::risk::{RiskSignals, assess};
use super::super::spec::{ByRisk, Spec};
use super::Draft;

/// The spec as it is worked on: with strategy `Auto` one for every level of risk, each with one list of steps. It is made
/// when it is asked for, as a plan asks for one of them at most.
pub(super) struct Levels<'a> {
    /// What people wrote, with the steps of a medium risk.
    pub(super) written: &'a Spec,
    low: OnceCell<Spec>,
    high: OnceCell<Spec>,
}

impl<'a> Levels<'a> {
    pub(super) fn of(spec: &'a Spec) -> Self {
        Self {
            written: spec,
            low: OnceCell::new(),
            high: OnceCell::new(),
        }
    }

    fn at(&self, level: RiskLevel) -> &Spec {
        let made = match level {
            RiskLevel::Medium => return self.written,
            RiskLevel::Low => &self.low,
            RiskLevel::High => &self.high,
        };
        made.get_or_init(|| self.written.at_risk(level))
    }

    fn by_risk(&self) -> Option<&ByRisk> {
        self.written.by_risk.as_ref()
    }
}

impl Draft<'_> {
    /// Works on the steps of the change that is under way, or was given up and is on its way back. Where nothing is
    /// remembered of its risk, what is seen now has to do.
    pub(super) fn take_up_risk(&mut self) {
        let Some(by_risk) = self.levels.by_risk() else {
            self.memory.risk = None;
            return;
        };
        let known = self.memory.risk.as_ref().map(|risk| risk.level);
        let level = known.unwrap_or_else(|| assess(&self.signals(), &by_risk.rules).level);
        self.spec = self.levels.at(level);
    }

    /// Assesses the risk of a change that begins, or of one of which it is not known any more.
    pub(super) fn assess_risk(&mut self) {
        let Some(by_risk) = self.levels.by_risk() else {
            return;
        };
        let risk: Risk = assess(&self.signals(), &by_risk.rules);
        self.spec = self.levels.at(risk.level);
        self.memory.risk = Some(risk);
    }

    /// What is known of the change from stable to the wanted revision.
    fn signals(&self) -> RiskSignals {
        let is_asked_for = self.wanted == self.spec.revision;
        let images_of = |revision| self.seen.set(revision).map(|set| &set.images);
        // What was observed is of what the spec asks for. Who goes back from that goes somewhere else.
        let (signals, wanted) = if is_asked_for {
            (self.seen.risk.clone(), Some(&self.spec.images))
        } else {
            (RiskSignals::default(), images_of(&self.wanted))
        };
        signals
            .with_images(images_of(&self.stable), wanted)
            .with_history(&self.memory.history)
    }
}
