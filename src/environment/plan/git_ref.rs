//! The branch or tag that a Release was built from: whether it may come here from there, and whether that makes it a hotfix. No I/O.

use kube::ResourceExt;

use super::super::api::{CandidateGate, CandidateGateState, HotfixExemption};
use super::Draft;
use super::gate::{Gates, gate};
use super::history::Entry;
use crate::release::api::ReleaseKind;

impl<'a> Draft<'a> {
    /// Whether the Release comes from a branch or a tag that may come here; nothing where every one may.
    pub(super) fn ref_gate(&self, entry: &Entry<'a>) -> Option<CandidateGate> {
        let rule = self.seen.spec.protection.sources.as_ref()?;
        let parts = self.order.parts(entry.release());
        if parts.is_empty() {
            return None;
        }
        let stray = parts.iter().find(|part| !rule.takes(&part.spec.git_ref));
        let text = stray.map(|stray| {
            let (name, git_ref) = (stray.name_any(), &stray.spec.git_ref);
            format!(
                "{name} was built from {git_ref}, and protection.sources takes {}",
                rule.shown()
            )
        });
        let failed = text.is_some();
        let gate = gate("source", text, None);
        let state = if failed {
            CandidateGateState::Failed
        } else {
            gate.state
        };
        Some(CandidateGate { state, ..gate })
    }

    /// Whether a Release is a hotfix: the Environment says so of what it was built from, or it says so itself.
    pub(super) fn is_hotfix(&self, release: &str) -> bool {
        let rule = self.seen.spec.protection.hotfixes.as_ref();
        let known = self.order.part(release);
        known.is_some_and(|known| {
            let is_from = rule.is_some_and(|rule| rule.has(&known.spec.git_ref));
            is_from || known.spec.kind == ReleaseKind::Hotfix
        })
    }

    /// Whether a Release is a hotfix, and so does not wait for this.
    pub(super) fn is_spared(&self, release: &str, from: HotfixExemption) -> bool {
        let Some(rule) = self.seen.spec.protection.hotfixes.as_ref() else {
            return false;
        };
        // What runs already is no part of the repair.
        let parts = self.changed_parts(release);
        let are_hotfixes = parts.iter().all(|part| rule.has(&part.spec.git_ref));
        !parts.is_empty() && are_hotfixes && rule.exempts(from)
    }

    /// Adds a gate. One that stands against a hotfix, which does not wait for it, has passed; that is told, and goes on record.
    pub(super) fn add_spared(
        &self,
        entry: &Entry<'a>,
        (from, gate): (HotfixExemption, CandidateGate),
        gates: &mut Gates,
    ) {
        let release = entry.release();
        if gate.state.lets_pass() || !self.is_spared(release, from) {
            return gates.add(gate);
        }
        let parts = self.changed_parts(release);
        let git_ref = parts.first().map_or("", |part| part.spec.git_ref.as_str());
        let problem = gate.message.unwrap_or_default();
        gates.spared.push(format!(
            "{} does not count for a hotfix from {git_ref}",
            gate.name
        ));
        gates.add(CandidateGate {
            state: CandidateGateState::Passed,
            message: Some(format!("{release} is a hotfix from {git_ref}; {problem}")),
            until: None,
            ..gate
        });
    }
}
