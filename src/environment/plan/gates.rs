//! What must hold before a promotion starts, in the order in which it is asked; people come last. No I/O.
//!
//! Gates fail closed: what is not known has not passed. A rollback passes none, because going back must
//! not wait for anybody.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{CandidateGate, CandidateGateState};
use super::super::observed::Act;
use super::Draft;
use super::history::Entry;
use crate::decision::api::{DecisionAction, TargetKind};
use crate::model::action::Action;
use crate::promotion::api::Approval;

/// What the gates say of a promotion.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Gates {
    pub(super) all: Vec<CandidateGate>,
    /// Approvals that count.
    pub(super) approvals: Vec<Approval>,
    /// What is asked to know more.
    pub(super) questions: Vec<Action>,
    /// When it is asked again.
    pub(super) again_at: Option<Timestamp>,
}

impl Gates {
    pub(super) fn have_passed(&self) -> bool {
        self.all
            .iter()
            .all(|gate| gate.state == CandidateGateState::Passed)
    }

    /// The gates that have not passed.
    pub(super) fn open(&self) -> impl Iterator<Item = &CandidateGate> {
        let open = |gate: &&CandidateGate| gate.state != CandidateGateState::Passed;
        self.all.iter().filter(open)
    }

    /// The first gate that has not passed.
    pub(super) fn first_open(&self) -> Option<&CandidateGate> {
        self.all
            .iter()
            .find(|gate| gate.state != CandidateGateState::Passed)
    }
}

/// Name of the gate that holds close.
pub(super) const HOLD: &str = "hold";
/// Name of the gate that asks people.
pub(super) const APPROVALS: &str = "approvals";
/// Approvals that are recorded.
const MAX_APPROVALS: usize = 10;
/// Groups of an approval that are recorded.
const MAX_GROUPS: usize = 8;

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
        let mut gates = Gates {
            all: vec![self.hold_gate(entry), self.source_gate(entry)],
            ..Gates::default()
        };
        if let Some(signed) = self.signed_gate(entry) {
            gates.all.push(signed.gate);
            gates.questions = signed.questions;
            gates.again_at = signed.again_at;
        }
        if let Some(rule) = &self.seen.spec.protection.approvals
            && rule.required > 0
        {
            let count = self.count_approvals(entry);
            gates.all.push(self.approval_gate(rule.required, &count));
            gates.approvals = count
                .good
                .into_iter()
                .map(|(approval, _)| approval)
                .collect();
        }
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
            format!("{reason}; a Decision Resume that names the Release lifts it")
        });
        gate(HOLD, of_all.or(of_this), self.rulings.until)
    }

    fn source_gate(&self, entry: &Entry) -> CandidateGate {
        let release = entry.release();
        let problem = if self.order.get(release).is_none() {
            Some(format!("the Release {release} is gone"))
        } else if entry.record.spec.decision.is_none() {
            (!self.is_available(release)).then(|| {
                let names: Vec<&str> = self.seen.sources.iter().map(|s| s.name.as_str()).collect();
                format!("{release} does not run in {} any more", names.join(" and "))
            })
        } else {
            let missing = self.missing_in(release);
            (!missing.is_empty())
                .then(|| format!("{release} has not succeeded in {}", missing.join(" and ")))
        };
        gate("source", problem, None)
    }

    fn approval_gate(&self, required: u32, count: &Count) -> CandidateGate {
        let have = count.good.len();
        let required = usize::try_from(required).unwrap_or(usize::MAX);
        let until = count.good.iter().map(|(_, until)| *until).min();
        if have >= required {
            return gate(APPROVALS, None, until);
        }
        let environment = &self.seen.key.name;
        let mut text = format!("{have} of {required} approvals");
        if !count.good.is_empty() {
            let users: Vec<&str> = count.good.iter().map(|(a, _)| a.user.as_str()).collect();
            text = format!("{text} ({})", users.join(", "));
        }
        text = format!(
            "{text}; a Decision Approve on Environment {environment} that names the Release adds one"
        );
        for problem in &count.refused {
            text.push_str("; ");
            text.push_str(problem);
        }
        gate(APPROVALS, Some(text), until)
    }

    fn count_approvals(&self, entry: &Entry<'a>) -> Count {
        let mut count = Count::default();
        let Some(rule) = &self.seen.spec.protection.approvals else {
            return count;
        };
        let valid_for = SignedDuration::try_from(std::time::Duration::from(rule.valid_for));
        let valid_for = valid_for.unwrap_or(SignedDuration::MAX);
        for act in self.about(entry, DecisionAction::Approve) {
            let user = act.spec.user.as_str();
            if count.good.iter().any(|(known, _)| known.user == user) {
                continue;
            }
            let ends = act.at.checked_add(valid_for).unwrap_or(Timestamp::MAX);
            let asked = act.spec.expires_at.as_ref().map(|at| at.0);
            let until = asked.map_or(ends, |asked| asked.min(ends));
            let is_own = entry.record.spec.requested_by == user;
            let problem = if rule.prevent_self_approval && is_own {
                Some("who asked for the promotion".to_owned())
            } else if !has_digest(entry, act) {
                Some("which names another digest".to_owned())
            } else if until <= self.now {
                Some(format!("which ended at {until}"))
            } else {
                None
            };
            match problem {
                Some(problem) => {
                    let text = format!("that of {user} does not count, {problem}");
                    if !count.refused.contains(&text) {
                        count.refused.push(text);
                    }
                }
                None if count.good.len() < MAX_APPROVALS => count.good.push((approval(act), until)),
                None => {}
            }
        }
        count.refused.truncate(MAX_APPROVALS);
        count
    }

    /// The Decision that refuses a promotion.
    pub(super) fn rejection(&self, entry: &Entry<'a>) -> Option<&'a Act> {
        let is_valid = |act: &&Act| {
            let until = act.spec.expires_at.as_ref();
            has_digest(entry, act) && until.is_none_or(|until| until.0 > self.now)
        };
        self.about(entry, DecisionAction::Reject).find(is_valid)
    }

    /// Decisions about a promotion, made since the Release last failed here: what was said about an
    /// earlier attempt does not count for this one.
    fn about(&self, entry: &Entry<'a>, action: DecisionAction) -> impl Iterator<Item = &'a Act> {
        let number = entry.record.spec.number;
        let (release, name, created) = (entry.release(), entry.name(), entry.record.created_at);
        let earlier = self.history.entries.iter().filter(move |other| {
            other.release() == release && other.is_bad() && other.record.spec.number < number
        });
        let since = earlier.filter_map(Entry::ended).max();
        self.seen.decisions.iter().filter(move |act| {
            let is_meant = match act.spec.target.kind {
                // One of that name may have been there before.
                TargetKind::Promotion => act.spec.target.name == name && act.at >= created,
                // What was said before about a Release is not about what a person asks of its database.
                TargetKind::Environment => {
                    let is_new = !entry.record.spec.kind.is_of_database() || act.at >= created;
                    is_new && act.spec.release.as_deref() == Some(release)
                }
                TargetKind::Rollout | TargetKind::Pipeline | TargetKind::PipelineRun => false,
            };
            act.spec.action == action && is_meant && since.is_none_or(|since| act.moment() > since)
        })
    }
}

/// Approvals, counted.
#[derive(Default)]
struct Count {
    good: Vec<(Approval, Timestamp)>,
    refused: Vec<String>,
}

/// A Decision that names a digest counts for that one only.
fn has_digest(entry: &Entry, act: &Act) -> bool {
    let ends = |digest: &String| {
        let mut images = entry.images().iter();
        images.any(|image| image.reference.ends_with(&format!("@{digest}")))
    };
    act.spec.digest.as_ref().is_none_or(ends)
}

fn approval(act: &Act) -> Approval {
    Approval {
        user: act.spec.user.clone(),
        groups: act.spec.groups.iter().take(MAX_GROUPS).cloned().collect(),
        at: Time(act.at),
        decision: act.name.clone(),
    }
}
