//! Previews of pull requests: what is there, what is to be there, and the next thing to do about it. Pure. No I/O.
//!
//! ```text
//! runs of pull requests ──┐                       ┌── namespaces that are made, filled, brought to another commit
//! what providers tell ────┼── plan(Subject, now) ─┤
//! namespaces of ours ─────┘                       └── namespaces that go: closed, unlabelled, idle, or too old, and nothing else
//! ```
//!
//! The truth stands in three places, each of which somebody else keeps: PipelineRuns say what passed, the Pipeline's status says
//! which pull requests a provider has called closed and which labels they have, and a namespace says in an annotation what it
//! shows. The name of a namespace follows from the pull request, so there are no two for one. That something is not on a list is
//! never a reason to delete: a preview goes because it is told that its pull request is over or not to be shown, that nobody asks
//! for it, or because its time is over.

pub mod copy;
mod going;
pub mod idle;
pub mod orphan;
pub mod rendered;
mod report;
mod run;
pub mod seed;
mod seen;
mod space;
mod which;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{PreviewDestroy, PreviewPhase, PreviewStatus};
use crate::model::action::Action;
use crate::model::label;
use crate::model::span::{earliest, later, whole_second};
use crate::rollout::api::Phase;
pub use seen::{Live, Outlook, Run, Seen, Shown, Subject};
use space::{BASELINE, ENFORCE, RESTRICTED};
pub use space::{Record, Space, name_of, owner_of, pod_security_of, selector_of, space};

/// Why there are none where the operator makes none, which stays so for as long as it runs.
pub const OFF: &str = "PreviewsOff";
/// How soon a namespace that was changed is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How soon it is looked again where there can be none.
const BLOCKED: SignedDuration = SignedDuration::from_secs(30);
/// Seconds after which another preview is the first to be filled.
const TURN: i64 = 10;

/// Decides what to do about previews.
pub fn plan(of: Subject<'_>, now: Timestamp) -> Outlook {
    let now = whole_second(now);
    let mut draft = Draft {
        of,
        now,
        actions: Vec::new(),
        questions: Vec::new(),
        fill: Vec::new(),
        wake: None,
        items: BTreeMap::new(),
        said: None,
    };
    if let Some((reason, message)) = &of.seen.blocked {
        draft.said = Some((false, reason, message.clone()));
        if *reason != OFF {
            draft.wake_at(later(draft.now, BLOCKED));
        }
    } else {
        draft.close();
        draft.keep();
        draft.open();
    }
    draft.finish()
}

/// A plan in the making.
struct Draft<'a> {
    of: Subject<'a>,
    now: Timestamp,
    actions: Vec<Action>,
    /// What is asked, after everything else.
    questions: Vec<Action>,
    /// What fills one of them: the last of all, so that one that is refused keeps nothing else back.
    fill: Vec<Action>,
    wake: Option<Timestamp>,
    items: BTreeMap<u64, PreviewStatus>,
    said: Option<(bool, &'static str, String)>,
}

impl Draft<'_> {
    /// Brings what stays to the commit that it is to show. Which of them is the first changes with time, so that one that the
    /// server refuses keeps no other back for good.
    fn keep(&mut self) {
        let spaces = &self.of.seen.spaces;
        let turn = usize::try_from(self.now.as_second() / TURN).unwrap_or_default();
        let first = turn.checked_rem(spaces.len()).unwrap_or_default();
        let never = self.of.spec.destroy() == PreviewDestroy::Never;
        for space in spaces.iter().cycle().skip(first).take(spaces.len()) {
            if self.items.contains_key(&space.number) {
                continue;
            }
            let run = self.run_for(space);
            // Before anything is put into it, and whether or not its run is there.
            let is_fork = space.record.fork || run.is_some_and(|run| run.is_fork);
            if let Some(change) = space.put_right(&self.pod_security(is_fork), never) {
                let target = space.target.clone();
                self.actions.push(Action::Patch { target, change });
                self.wake_at(later(self.now, LOOK_AGAIN));
                let text = "its namespace is put right";
                self.show(self.item_of(space, PreviewPhase::Updating, text));
                continue;
            }
            let item = match run {
                Some(run) => self.advance(space, run),
                // Its run is gone. What it shows, it goes on showing.
                None => self.state_of(space, &space.record.run),
            };
            self.show(item);
        }
    }

    /// Makes those that are not there yet, as far as limits allow.
    fn open(&mut self) {
        let mut waiting: Vec<&Run> = Vec::new();
        let numbers: BTreeSet<u64> = self.of.seen.runs.iter().map(|run| run.number).collect();
        for number in numbers {
            let is_there = self.items.contains_key(&number);
            if is_there || self.of.seen.closed.contains_key(&number) {
                continue;
            }
            let fresh = |run: &&Run| self.stays_until(run) > self.now;
            match self.newest(number, true).filter(fresh) {
                Some(run) if self.went_idle(run) => {
                    let text = "nobody asked for it: a new commit, or another try of its run, makes it again";
                    self.show(self.item(run, PreviewPhase::Idle, text));
                }
                Some(run) => match self.left_out(number) {
                    Some((phase, text)) => self.show(self.item(run, phase, &text)),
                    None => waiting.push(run),
                },
                None => {
                    if let Some(run) = self.newest(number, false).filter(fresh) {
                        self.refuse(run);
                    }
                }
            }
        }
        waiting.sort_by_key(|run| (run.started_at, run.number));
        for (place, run) in waiting.into_iter().enumerate() {
            self.admit(run, place);
        }
    }

    fn admit(&mut self, run: &Run, place: usize) {
        let (phase, text) = self.hindrance(run, place).unwrap_or_else(|| {
            let record = self.record(run, None);
            let labels = self.pod_security(run.is_fork);
            let made = space(self.of.key, run.number, &record, &labels);
            self.actions.push(Action::Create(made));
            let text = "its namespace is made".to_owned();
            (PreviewPhase::Updating, text)
        });
        if phase == PreviewPhase::Queued {
            self.wake_at(self.stays_until(run));
        }
        self.show(self.item(run, phase, &text));
    }

    /// Why a preview is not made now.
    fn hindrance(&self, run: &Run, place: usize) -> Option<(PreviewPhase, String)> {
        let limits = &self.of.spec.limits;
        let holders = self.holders();
        let own = holders.iter().filter(|author| **author == run.author);
        let own = own.count();
        // What polling has found is of nobody that is known.
        let is_known = run.author != label::SLIPWAY;
        let is_full =
            |count: usize, most: u32| count >= usize::try_from(most).unwrap_or(usize::MAX);
        if is_full(holders.len(), limits.max) {
            let text = format!(
                "waits until one of {} previews goes (limits.max); number {} in the queue",
                limits.max,
                place + 1
            );
            return Some((PreviewPhase::Queued, text));
        }
        let most = limits.per_author.filter(|_| is_known);
        if most.is_some_and(|most| is_full(own, most)) {
            let text = format!(
                "waits until another preview of {} goes (limits.perAuthor)",
                run.author
            );
            return Some((PreviewPhase::Queued, text));
        }
        let namespace = name_of(self.of.key, run.number);
        let problem = if self.of.seen.unwatched.contains(&namespace) {
            Some(format!(
                "this operator does not watch namespace {namespace}; let it watch all of them (no watchNamespaces)"
            ))
        } else if self.of.seen.taken.contains(&namespace) {
            Some(format!(
                "there is a namespace {namespace} that belongs to somebody else; delete it, or rename the Environment"
            ))
        } else {
            self.obstacle(run)
        };
        problem.map(|problem| (PreviewPhase::Failed, problem))
    }

    /// What keeps a run from being shown that is known before there is a namespace.
    fn obstacle(&self, run: &Run) -> Option<String> {
        match &self.of.spec.rendered {
            Some(wanted) => rendered::package(run, wanted).err(),
            None => copy::copies(self.of, run, &self.of.seen.templates).err(),
        }
    }

    /// Authors of the previews that take room: of every namespace that is there, also one that goes, and of those that this plan
    /// makes.
    fn holders(&self) -> Vec<&str> {
        let spaces = self.of.seen.spaces.iter();
        let there = spaces.map(|space| space.record.author.as_str());
        let is_new = |item: &&PreviewStatus| {
            let mut spaces = self.of.seen.spaces.iter();
            item.phase == PreviewPhase::Updating && !spaces.any(|one| one.number == item.number)
        };
        let new = self.items.values().filter(is_new);
        let new = new.map(|item| item.author.as_deref().unwrap_or_default());
        there.chain(new).collect()
    }

    /// One step of a preview towards a run: everything is applied, and then noted. At most one preview is filled by one plan.
    fn advance(&mut self, space: &Space, run: &Run) -> PreviewStatus {
        let mark = match rendered::mark(self.of, run) {
            Ok(mark) => mark,
            Err(problem) => return self.item(run, PreviewPhase::Failed, &problem),
        };
        // What was rendered is the same for ever: it is not read again.
        if mark.is_some() && self.record_of(space, run, mark.clone()) == space.record {
            return self.state_of(space, &run.name);
        }
        let templates = match self.templates(run) {
            Ok(templates) => templates,
            Err((phase, text)) => return self.item_towards(space, run, (phase, &text)),
        };
        let copies = match copy::copies(self.of, run, &templates) {
            Ok(copies) => copies,
            Err(problem) => return self.item(run, PreviewPhase::Failed, &problem),
        };
        if self.of.spec.rendered.is_some()
            && let Err(problem) = rendered::would_be_taken(&copies)
        {
            return self.item_towards(space, run, (PreviewPhase::Failed, &problem));
        }
        let is_rendered = mark.is_some();
        let applied = mark.unwrap_or_else(|| copy::hash(&copies));
        let mut record = self.record_of(space, run, Some(applied));
        if record == space.record {
            return self.state_of(space, &run.name);
        }
        if is_rendered && let Some((phase, text)) = self.rehearse(run, &copies) {
            return self.item_towards(space, run, (phase, &text));
        }
        if let Some(item) = self.seed(space, run, (&templates, &copies)) {
            return item;
        }
        record.seeded = self.seeded(space, run);
        if self.fill.is_empty() {
            self.fill.extend(copies.into_iter().map(Action::Apply));
            self.fill.push(Action::Patch {
                target: space.target.clone(),
                change: record.patch(),
            });
        }
        let text = "its objects are applied";
        self.item_towards(space, run, (PreviewPhase::Updating, text))
    }

    /// How a preview is that has everything.
    fn state_of(&self, space: &Space, run: &str) -> PreviewStatus {
        let there = self.of.seen.rollouts.get(&space.target.key.name);
        // Others have left the template, or what was rendered, since.
        let of_run = there.into_iter().flatten().filter(|live| live.run == run);
        let rollouts: Vec<&Live> = of_run.collect();
        let of_templates = copy::rollouts(&self.of.seen.templates);
        let mut missing = of_templates
            .iter()
            .filter(|name| !rollouts.iter().any(|live| live.name == **name));
        for live in &rollouts {
            match live.phase {
                Phase::Healthy if live.is_current => {}
                Phase::RolledBack | Phase::Degraded if live.is_current => {
                    let text = format!("Rollout {}: {}", live.name, live.message);
                    return self.item_of(space, PreviewPhase::Failed, &text);
                }
                Phase::Healthy
                | Phase::RolledBack
                | Phase::Degraded
                | Phase::Pending
                | Phase::Progressing
                | Phase::Paused
                | Phase::Analysing
                | Phase::Promoting
                | Phase::RollingBack => {
                    let text = format!("waits for Rollout {}: {}", live.name, live.message);
                    return self.item_of(space, PreviewPhase::Updating, &text);
                }
            }
        }
        if let Some(name) = missing.next() {
            let text = format!("waits for Rollout {name}");
            return self.item_of(space, PreviewPhase::Updating, &text);
        }
        let text = self.told_end(space.number).map_or_else(
            || "answers".to_owned(),
            |(_, why)| format!("{why}: it goes soon"),
        );
        self.item_of(space, PreviewPhase::Ready, &text)
    }

    fn shown_expiry(&self, space: &Space) -> Option<Time> {
        let expires_at = self.expires_at(space);
        let told = self.told_end(space.number);
        let closes_at = told.map_or(expires_at, |(at, _)| at);
        let stays = self.of.spec.destroy() == PreviewDestroy::Never;
        (!stays).then(|| Time(expires_at.min(closes_at)))
    }

    /// What a namespace is to say of itself that shows a run, with this applied.
    fn record_of(&self, space: &Space, run: &Run, applied: Option<String>) -> Record {
        let mut record = self.record(run, applied);
        record.author.clone_from(&space.record.author);
        record.seeded.clone_from(&space.record.seeded);
        if record.run == space.record.run {
            record.at.clone_from(&space.record.at);
        }
        record
    }

    fn record(&self, run: &Run, applied: Option<String>) -> Record {
        Record {
            run: run.name.clone(),
            sha: run.sha.clone(),
            author: run.author.clone(),
            applied,
            at: Some(Time(self.now)),
            started_at: Some(Time(whole_second(run.started_at))),
            keep: self.of.spec.destroy() == PreviewDestroy::Never,
            fork: run.is_fork,
            seeded: None,
        }
    }

    /// What pods may do in a preview: what they may where it is copied from; where the commit itself says what they are, not what
    /// takes a node over; and of another repository's commits no more than is safe with anybody's.
    fn pod_security(&self, is_fork: bool) -> BTreeMap<String, String> {
        let mut labels = self.of.seen.pod_security.clone();
        let is_bounded = labels.get(ENFORCE).is_some_and(|level| level == RESTRICTED);
        if self.of.spec.rendered.is_some() && !is_bounded {
            labels.insert(ENFORCE.to_owned(), BASELINE.to_owned());
        }
        if is_fork {
            labels.insert(ENFORCE.to_owned(), RESTRICTED.to_owned());
        }
        labels
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = earliest(self.wake, at);
    }
}
