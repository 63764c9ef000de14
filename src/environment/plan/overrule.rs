//! Whether people let a Release pass gates that stand against it. No I/O.
//!
//! It takes a Decision `Override` that names the gates and says why, by as many people as the protection asks for. What says that
//! the Release is not to be had or not what it seems (hold, source, signature), and people themselves, are not passed like this.

use std::collections::{BTreeMap, BTreeSet};

use super::super::api::{CandidateGate, CandidateGateState};
use super::super::observed::Act;
use super::Draft;
use super::gate::has_digest;
use super::history::Entry;
use crate::decision::api::DecisionAction;
use crate::model::text::truncate;

/// Gates that nobody is let pass.
const FIRM: &[&str] = &["hold", "source", "signature", "approvals"];
/// Longest reason that is shown, in bytes.
const MAX_REASON: usize = 200;

/// That somebody lets a Release pass gates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Override {
    pub(super) user: String,
    pub(super) decision: String,
    /// What is told of it.
    pub(super) said: String,
}

/// What people say of gates.
#[derive(Default)]
pub(super) struct Overruled<'a> {
    required: usize,
    by_gate: BTreeMap<&'a str, Vec<&'a Act>>,
}

impl<'a> Draft<'a> {
    /// The Decisions that let a promotion pass gates, and count.
    pub(super) fn overruled(&self, entry: &Entry<'a>) -> Overruled<'a> {
        let mut overruled = Overruled {
            required: self.seen.spec.protection.overrides_required(),
            by_gate: BTreeMap::new(),
        };
        for act in self.about(entry, DecisionAction::Override) {
            let until = act.spec.expires_at.as_ref();
            let is_over = until.is_some_and(|until| until.0 <= self.now);
            let is_old = act.at < self.seen.created_at || self.policy.changed_after(act).is_some();
            if is_over || is_old || !has_digest(entry, act) {
                continue;
            }
            for gate in act.spec.gates.iter().map(String::as_str) {
                let known = overruled.by_gate.entry(gate).or_default();
                if !known.iter().any(|other| other.spec.user == act.spec.user) {
                    known.push(act);
                }
            }
        }
        overruled
    }
}

impl Overruled<'_> {
    /// A gate, passed if enough people say so. What is said of it tells what it says itself.
    pub(super) fn over(&self, gate: CandidateGate) -> CandidateGate {
        if gate.state.lets_pass() || FIRM.contains(&gate.name.as_str()) {
            return gate;
        }
        let Some(acts) = self.by_gate.get(gate.name.as_str()) else {
            return gate;
        };
        let problem = gate.message.unwrap_or_default();
        let users: Vec<&str> = acts.iter().map(|act| act.spec.user.as_str()).collect();
        let users = users.join(", ");
        let (have, required) = (acts.len(), self.required);
        if have < required {
            let message = format!("{problem}; {have} of {required} people override it ({users})");
            return CandidateGate {
                message: Some(message),
                ..gate
            };
        }
        CandidateGate {
            state: CandidateGateState::Overridden,
            message: Some(format!("overridden by {users}: {}; {problem}", why(acts))),
            until: None,
            ..gate
        }
    }

    /// Who let gates pass, once for each Decision.
    pub(super) fn used(&self, gates: &[CandidateGate]) -> Vec<Override> {
        let is_used = |name: &str| {
            let mut named = gates.iter().filter(|gate| gate.name == name);
            named.any(|gate| gate.state == CandidateGateState::Overridden)
        };
        let used = self.by_gate.iter().filter(|(name, _)| is_used(name));
        let mut by_act: BTreeMap<&str, (&Act, BTreeSet<&str>)> = BTreeMap::new();
        for (name, acts) in used {
            for act in acts {
                let known = by_act.entry(act.name.as_str());
                known.or_insert((*act, BTreeSet::new())).1.insert(*name);
            }
        }
        let all = by_act.into_values().map(|(act, gates)| {
            let gates: Vec<&str> = gates.into_iter().collect();
            let (decision, gates) = (act.name.clone(), gates.join(", "));
            Override {
                user: act.spec.user.clone(),
                said: format!("overrode {gates} with Decision {decision}: {}", why(&[act])),
                decision,
            }
        });
        all.collect()
    }
}

fn why(acts: &[&Act]) -> String {
    let first = acts.first().and_then(|act| act.spec.reason.as_deref());
    truncate(first.unwrap_or("no reason given"), MAX_REASON).to_owned()
}
