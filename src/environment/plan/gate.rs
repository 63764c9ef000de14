//! What must hold before a promotion starts, in the order in which it is asked; people come last. No I/O.
//!
//! Gates fail closed: what is not known has not passed. A rollback passes none, because going back must
//! not wait for anybody. Each gate has a room of its own; here is their order, from what costs nothing to find out to people.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{CandidateGate, CandidateGateState, HotfixExemption};
use super::super::observed::Act;
use super::Draft;
use super::history::Entry;
use super::overrule::Override;
use crate::decision::api::{DecisionAction, TargetKind};
use crate::model::action::Action;
use crate::model::span::earliest;
use crate::promotion::api::Approval;

/// What the gates say of a promotion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gates {
    pub(super) all: Vec<CandidateGate>,
    /// Approvals that count.
    pub(super) approvals: Vec<Approval>,
    /// Who lets it pass which gate, and why.
    pub(super) overrides: Vec<Override>,
    /// What does not count because it is a hotfix.
    pub(super) spared: Vec<String>,
    /// What is asked to know more.
    pub(super) questions: Vec<Action>,
    /// When it is asked again.
    pub(super) again_at: Option<Timestamp>,
}

impl Gates {
    pub(super) fn have_passed(&self) -> bool {
        self.all.iter().all(|gate| gate.state.lets_pass())
    }

    /// The gates that have not passed.
    pub(super) fn open(&self) -> impl Iterator<Item = &CandidateGate> {
        let open = |gate: &&CandidateGate| !gate.state.lets_pass();
        self.all.iter().filter(open)
    }

    /// The first gate that has not passed.
    pub(super) fn first_open(&self) -> Option<&CandidateGate> {
        self.all.iter().find(|gate| !gate.state.lets_pass())
    }

    pub(super) fn add(&mut self, gate: CandidateGate) {
        self.all.push(gate);
    }

    /// That something is asked again at that time.
    pub(super) fn ask_again(&mut self, at: Timestamp) {
        self.again_at = earliest(self.again_at, at);
    }
}

/// Name of the gate that holds close.
pub(super) const HOLD: &str = "hold";
/// Name of the gate that asks people.
pub(super) const APPROVALS: &str = "approvals";

pub(super) fn gate(name: &str, problem: Option<String>, until: Option<Timestamp>) -> CandidateGate {
    CandidateGate {
        name: name.to_owned(),
        state: if problem.is_some() {
            CandidateGateState::Waiting
        } else {
            CandidateGateState::Passed
        },
        message: problem,
        until: until.map(Time),
    }
}

impl<'a> Draft<'a> {
    pub(super) fn gates(&self, entry: &Entry<'a>) -> Gates {
        let overruled = self.overruled(entry);
        let mut gates = Gates::default();
        gates.add(self.hold_gate(entry));
        let source = self.source_gate(entry);
        let branch = (source.state == CandidateGateState::Passed)
            .then(|| self.ref_gate(entry))
            .flatten();
        gates.add(branch.unwrap_or(source));
        if let Some(signed) = self.signed_gate(entry) {
            gates.add(signed.gate);
            gates.questions = signed.questions;
            gates.again_at = signed.again_at;
        }
        let evidence = self.evidence_gate(entry);
        gates.all.extend(evidence.map(|gate| overruled.over(gate)));
        // That of the operator is above what an Environment says of hotfixes.
        let stop = self.stop_gate();
        let windows = self.windows_gate().filter(|_| stop.is_none());
        gates.all.extend(stop.map(|gate| overruled.over(gate)));
        let cheap = [
            (HotfixExemption::Freeze, windows),
            (HotfixExemption::ErrorBudget, self.budget_gate()),
            (HotfixExemption::Soak, self.soak_gate(entry)),
        ];
        for (from, gate) in cheap {
            if let Some(gate) = gate {
                self.add_spared(entry, (from, overruled.over(gate)), &mut gates);
            }
        }
        self.ask_others(entry, &overruled, &mut gates);
        if let Some((gate, approvals)) = self.approval_gate(entry) {
            gates.add(gate);
            gates.approvals = approvals;
        }
        gates.overrides = overruled.used(&gates.all);
        gates
    }

    fn hold_gate(&self, entry: &Entry) -> CandidateGate {
        let of_all = self.rulings.of_all().map(|hold| {
            format!(
                "{}; a Decision Resume on the Environment lifts it",
                hold.reason
            )
        });
        let of_this = self
            .rulings
            .of(entry.release())
            .filter(|ruling| !ruling.is_silent);
        let of_this = of_this.map(|ruling| {
            let reason = &ruling.hold.reason;
            let member = ruling.hold.release.as_deref();
            let member = member.filter(|member| *member != entry.release());
            let named = member.map_or_else(
                || "the Release".to_owned(),
                |name| format!("Release {name}"),
            );
            format!("{reason}; a Decision Resume that names {named} lifts it")
        });
        let pipeline = &entry.record.spec.pipeline;
        let pinned = self.rulings.pinned_against(entry.release(), pipeline);
        let pinned = pinned.map(|pin| {
            format!(
                "{}; a Decision Resume on the Environment lifts it",
                pin.reason
            )
        });
        gate(HOLD, of_all.or(of_this).or(pinned), self.rulings.until)
    }

    fn source_gate(&self, entry: &Entry) -> CandidateGate {
        gate("source", self.source_problem(entry), None)
    }

    /// The Decision that refuses a promotion.
    pub(super) fn rejection(&self, entry: &Entry<'a>) -> Option<&'a Act> {
        let is_valid = |act: &&Act| {
            let until = act.spec.expires_at.as_ref();
            has_digest(entry, act) && until.is_none_or(|until| until.0 > self.now)
        };
        self.about(entry, DecisionAction::Reject).find(is_valid)
    }

    /// The Decision that stops a promotion: one about it, or about the Environment since it was made.
    pub(super) fn abortion(&self, entry: &Entry<'a>) -> Option<&'a Act> {
        let created = entry.record.created_at;
        let is_valid = |act: &&Act| {
            let until = act.spec.expires_at.as_ref();
            let is_since = act.at > created || act.spec.target.kind == TargetKind::Promotion;
            is_since && until.is_none_or(|until| until.0 > self.now)
        };
        self.about(entry, DecisionAction::Abort).find(is_valid)
    }

    /// What a person could do about what runs, who does not want what comes.
    pub(super) fn said_of_way_back(&self, entry: &Entry<'a>) -> String {
        let started = self.history.started(&entry.record.spec.pipeline);
        let Some(running) = started else {
            return "nothing runs here".to_owned();
        };
        let runs = running.release();
        match self.history.way_back(running) {
            Some(back) => format!(
                "{runs} goes on running, and a Decision Rollback would go back from it to {}",
                back.release()
            ),
            None => format!("{runs} goes on running, and there is nothing to go back to"),
        }
    }

    /// Whether a Decision was made while a person's migrations of that Release were under way: it was about those.
    fn was_of_database(&self, release: &str, act: &Act) -> bool {
        self.history.migrations.iter().any(|other| {
            let is_since = other.release() == release && other.record.created_at <= act.at;
            is_since && other.ended().is_none_or(|end| act.moment() <= end)
        })
    }

    /// Decisions about a promotion, made since the Release last failed here or was to come with other templates: what was said
    /// about an earlier attempt does not count for this one.
    pub(super) fn about(
        &self,
        entry: &Entry<'a>,
        action: DecisionAction,
    ) -> impl Iterator<Item = &'a Act> {
        let number = entry.record.spec.number;
        let (release, name, created) = (entry.release(), entry.name(), entry.record.created_at);
        let entry = *entry;
        let earlier = self.history.entries.iter().filter(move |other| {
            let is_over = other.is_bad() || entry.has_other_templates(other);
            other.release() == release && is_over && other.record.spec.number < number
        });
        let since = earlier.filter_map(Entry::ended).max();
        self.seen.decisions.iter().filter(move |act| {
            let is_meant = match act.spec.target.kind {
                // One of that name may have been there before.
                TargetKind::Promotion => act.spec.target.name == name && act.at >= created,
                // What was said before about a Release is not about what a person asks of its database. Stopping is about
                // what is under way, whatever it is, unless it names something.
                TargetKind::Environment => {
                    let is_of_database = entry.record.spec.kind.is_of_database();
                    let is_new = if is_of_database {
                        act.at >= created
                    } else {
                        !self.was_of_database(release, act)
                    };
                    let named = act.spec.release.as_deref();
                    is_new
                        && named.map_or(action == DecisionAction::Abort, |named| named == release)
                }
                TargetKind::Rollout | TargetKind::Pipeline | TargetKind::PipelineRun => false,
            };
            act.spec.action == action && is_meant && since.is_none_or(|since| act.moment() > since)
        })
    }
}

/// A Decision that names a digest counts for that one only.
pub(super) fn has_digest(entry: &Entry, act: &Act) -> bool {
    let ends = |digest: &String| {
        let mut images = entry.images().iter();
        images.any(|image| image.reference.ends_with(&format!("@{digest}")))
    };
    act.spec.digest.as_ref().is_none_or(ends)
}
