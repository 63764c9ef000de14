//! Whether the alerts of an Environment's SLOs would be heard, by what its Prometheus answers. No I/O.

use jiff::{SignedDuration, Timestamp};

use super::{Answers, Slos, fresh};
use crate::model::action::Request;
use crate::slo::query::Labels;
use crate::slo::rehearsal::{self, Problem};
use crate::slo::{Slo, rule};

const LOADED: &str = "loaded";
const REHEARSAL: &str = "rehearsal";

impl Slos<'_> {
    /// What is asked about its alerts: often until all is well, then seldom.
    pub(super) fn questions_of_alerts(
        &self,
        slo: &Slo,
        (every, slow): (SignedDuration, SignedDuration),
        ask: impl Fn(&str) -> Request,
    ) -> Vec<(String, SignedDuration, Request)> {
        let is_well = self.checked(slo, &self.seen.answers) == Some(Ok(()));
        let every = if is_well { slow } else { every };
        let groups = rule::names(slo, &Labels::of(&self.seen.key));
        let loaded = rehearsal::which_are_loaded(ask(""), &groups);
        let mut all = vec![(self.key(slo, LOADED), every, loaded)];
        let breach = rule::rehearsal(slo);
        if !breach.is_empty() {
            all.push((self.key(slo, REHEARSAL), every, ask(&breach)));
        }
        all
    }

    /// What the answers say of the alerts of an SLO; nothing, where there are none.
    fn checked(&self, slo: &Slo, answers: &Answers) -> Option<Result<(), Problem>> {
        let reply = |what| Some(&answers.get(&self.key(slo, what))?.reply);
        let groups = rule::names(slo, &Labels::of(&self.seen.key));
        let loaded = rehearsal::loaded(reply(LOADED)?, &groups);
        if rule::rehearsal(slo).is_empty() {
            return Some(loaded);
        }
        let fires = rehearsal::fires(reply(REHEARSAL)?, slo);
        Some(loaded.and(fires))
    }

    /// Whether the alerts of every SLO would be heard: the reason and what is said. Nothing, where that was not asked yet.
    pub fn alerts(
        &self,
        answers: &Answers,
        now: Timestamp,
    ) -> Option<(bool, &'static str, String)> {
        let is_fresh = |slo: &Slo| fresh(answers, &self.key(slo, LOADED), now).is_some();
        let all: Vec<Slo> = Self::read(self.seen).into_iter().flatten().collect();
        if all.is_empty() || !all.iter().all(is_fresh) {
            return None;
        }
        for slo in &all {
            if let Err(Problem { reason, message }) = self.checked(slo, answers)? {
                return Some((false, reason, format!("SLO {}: {message}", slo.name)));
            }
        }
        let text = "Prometheus has loaded the rules of every SLO, and their alerts fire on a synthetic breach";
        Some((true, "Rehearsed", text.to_owned()))
    }
}
