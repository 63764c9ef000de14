//! Whether enough people agree to a promotion: those who count, and who have seen what they agree to. No I/O.
//!
//! An approval counts once per person, for one Release and one digest, and only under the protection that was there when it was
//! given. Who asked for the promotion, or wrote the change, may be left out.

use std::collections::BTreeSet;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{Approvals, CandidateGate};
use super::super::observed::Act;
use super::gate::{APPROVALS, gate, has_digest};
use super::history::Entry;
use super::{Draft, after, shown};
use crate::decision::api::DecisionAction;
use crate::pipeline_run::api::Commit;
use crate::promotion::api::{Approval, MigrationPhase};

/// Approvals that are recorded.
const MAX_APPROVALS: usize = 10;
/// Groups of an approval that are recorded.
const MAX_GROUPS: usize = 8;
/// Approvals that do not count and are told.
const MAX_REFUSED: usize = 5;
/// Releases whose authors are looked up.
const MAX_RELEASES: usize = 100;
/// What users that are service accounts are called.
const SERVICE_ACCOUNT: &str = "system:serviceaccount:";

/// Approvals, counted.
#[derive(Default)]
struct Count {
    /// Those that count, each with its end.
    good: Vec<(Approval, Timestamp)>,
    /// Why others do not.
    refused: Vec<String>,
}

impl<'a> Draft<'a> {
    /// What people say, and the approvals that count; nothing where nobody has to agree.
    pub(super) fn approval_gate(
        &self,
        entry: &Entry<'a>,
    ) -> Option<(CandidateGate, Vec<Approval>)> {
        let rule = self.seen.spec.protection.approvals.as_ref();
        let rule = rule.filter(|rule| rule.asks_people())?;
        let count = self.count_approvals(entry, rule);
        let deadline = rule.timeout.map(|span| deadline(entry, span.into()));
        let ends = count.good.iter().map(|(_, until)| *until);
        let missing = missing(rule, &count);
        let until = ends.chain(deadline.filter(|_| !missing.is_empty())).min();
        let text = (!missing.is_empty()).then(|| self.said_of_approvals(&missing, &count));
        let gate = gate(APPROVALS, text, until);
        let approvals = count.good.into_iter().map(|(approval, _)| approval);
        Some((gate, approvals.take(MAX_APPROVALS).collect()))
    }

    /// Why a promotion is refused that nobody has approved in time.
    pub(super) fn approval_timeout(&self, entry: &Entry<'a>) -> Option<String> {
        let rule = self.seen.spec.protection.approvals.as_ref();
        let rule = rule.filter(|rule| rule.asks_people())?;
        let span = std::time::Duration::from(rule.timeout?);
        let is_over = self.now >= deadline(entry, span);
        let missing = missing(rule, &self.count_approvals(entry, rule));
        let again = if entry.record.spec.kind.is_of_database() {
            "nothing was changed; make another Decision Migrate"
        } else {
            "it is not tried again until a Decision Retry"
        };
        (is_over && !missing.is_empty()).then(|| {
            format!(
                "{} was not approved within {} (protection.approvals.timeout): {}; {again}",
                entry.release(),
                shown(span),
                missing.join(", ")
            )
        })
    }

    fn said_of_approvals(&self, missing: &[String], count: &Count) -> String {
        let mut text = missing.join(", ");
        if !count.good.is_empty() {
            let users: Vec<&str> = count.good.iter().map(|(a, _)| a.user.as_str()).collect();
            text = format!("{text} ({})", users.join(", "));
        }
        let environment = &self.seen.key.name;
        text = format!(
            "{text}; a Decision Approve on Environment {environment} that names the Release adds one"
        );
        for problem in &count.refused {
            text.push_str("; ");
            text.push_str(problem);
        }
        text
    }

    fn count_approvals(&self, entry: &Entry<'a>, rule: &Approvals) -> Count {
        let mut count = Count::default();
        let authors = if rule.prevents_authors() {
            self.authors(entry)
        } else {
            BTreeSet::new()
        };
        for act in self.about(entry, DecisionAction::Approve) {
            let user = act.spec.user.as_str();
            if count.good.iter().any(|(known, _)| known.user == user) {
                continue;
            }
            let until = ends_at(act, rule);
            match self.why_not(entry, rule, act, &authors) {
                None if until > self.now => count.good.push((approval(act), until)),
                problem => {
                    let problem = problem.unwrap_or_else(|| format!("which ended at {until}"));
                    let text = format!("that of {user} does not count, {problem}");
                    if !count.refused.contains(&text) {
                        count.refused.push(text);
                    }
                }
            }
        }
        // What is said of somebody whose other approval counts is of no use.
        let is_moot = |text: &String| {
            let mut good = count.good.iter();
            good.any(|(known, _)| text.starts_with(&format!("that of {} does", known.user)))
        };
        count.refused.retain(|text| !is_moot(text));
        count.refused.truncate(MAX_REFUSED);
        count
    }

    /// Why an approval does not count, whenever it ends.
    fn why_not(
        &self,
        entry: &Entry<'a>,
        rule: &Approvals,
        act: &Act,
        authors: &BTreeSet<String>,
    ) -> Option<String> {
        let user = act.spec.user.as_str();
        let is_own = entry.record.spec.requested_by == user;
        let is_listed = || {
            rule.allow_service_accounts
                .iter()
                .any(|known| known == user)
        };
        let is_approver = || {
            let mut approvers = rule.approvers.iter();
            approvers.any(|from| from.is(user, &act.spec.groups))
        };
        let because = if rule.prevent_self_approval && is_own {
            "who asked for the promotion"
        } else if is_author(user, authors) {
            "who is an author of the change"
        } else if user.starts_with(SERVICE_ACCOUNT) && !is_listed() {
            "a service account that allowServiceAccounts does not list"
        } else if !rule.approvers.is_empty() && !is_approver() {
            "who is none of the approvers (members of a group name it in spec.groups of their Decision)"
        } else if !has_digest(entry, act) {
            "which names another digest"
        } else if act.at < self.seen.created_at {
            "which is from before the Environment was created"
        } else {
            let since = self.policy.changed_after(act)?;
            return Some(format!(
                "which is from before the protection changed at {since}"
            ));
        };
        Some(because.to_owned())
    }

    /// Names and addresses of everybody who wrote what the Release would bring here.
    fn authors(&self, entry: &Entry<'a>) -> BTreeSet<String> {
        let mut authors = BTreeSet::new();
        for part in self.parts(entry.release(), &entry.record.spec.pipeline) {
            let mut next = Some(part.release);
            for _ in 0..MAX_RELEASES {
                let Some(release) = next.filter(|name| Some(*name) != part.before) else {
                    break;
                };
                let Some(release) = self.order.part(release) else {
                    break;
                };
                let commits = release.spec.changes.iter().chain([&release.spec.commit]);
                authors.extend(commits.flat_map(names_of));
                next = release.spec.previous.as_deref();
            }
        }
        authors
    }
}

/// What is still missing.
fn missing(rule: &Approvals, count: &Count) -> Vec<String> {
    let have = count.good.len();
    let required = usize::try_from(rule.required).unwrap_or(usize::MAX);
    let enough = (have < required).then(|| format!("{have} of {required} approvals"));
    let from = rule.approvers.iter().filter_map(|from| {
        let is_from =
            |(approval, _): &&(Approval, Timestamp)| from.is(&approval.user, &approval.groups);
        let have = count.good.iter().filter(is_from).count();
        let need = from.min();
        (have < need).then(|| format!("{have} of {need} from {}", from.who()))
    });
    enough.into_iter().chain(from).collect()
}

/// When an approval ends.
fn ends_at(act: &Act, rule: &Approvals) -> Timestamp {
    let ends = after(act.at, rule.valid_for.into());
    let asked = act.spec.expires_at.as_ref().map(|at| at.0);
    asked.map_or(ends, |asked| asked.min(ends))
}

fn deadline(entry: &Entry, span: std::time::Duration) -> Timestamp {
    after(asked_at(entry), span)
}

/// Since when people are asked: of migrations alone, since it is known what is pending.
fn asked_at(entry: &Entry) -> Timestamp {
    let record = entry.record;
    let known = record.status.migrations.as_ref();
    let known = known.filter(|_| record.spec.kind.is_of_database());
    let looked = known.and_then(|known| known.phase(MigrationPhase::Validate));
    let looked = looked.and_then(|looked| looked.finished_at.as_ref());
    looked.map_or(record.created_at, |at| at.0)
}

/// A commit's author, as people may be called: the name, the address, and what stands before the `@`.
fn names_of(commit: &Commit) -> Vec<String> {
    let (author, email) = (commit.author.to_lowercase(), commit.email.to_lowercase());
    let local = email.split('@').next().unwrap_or_default().to_owned();
    let names = [author.trim().to_owned(), email.trim().to_owned(), local];
    names.into_iter().filter(|name| !name.is_empty()).collect()
}

/// Whether a user is one of the authors: by the whole name, or by what follows the prefix that an identity provider puts before
/// it. Who only may be one is left out as well.
fn is_author(user: &str, authors: &BTreeSet<String>) -> bool {
    let user = user.to_lowercase();
    let bare = user.rsplit([':', '#', '/']).next().unwrap_or_default();
    let local = bare.split('@').next().unwrap_or_default();
    let is_whole = authors.contains(user.as_str()) || authors.contains(bare);
    // An address that is not known is not an author because another address begins as it does.
    is_whole || (!bare.contains('@') && authors.contains(local))
}

fn approval(act: &Act) -> Approval {
    Approval {
        user: act.spec.user.clone(),
        groups: act.spec.groups.iter().take(MAX_GROUPS).cloned().collect(),
        at: Time(act.at),
        decision: act.name.clone(),
    }
}
