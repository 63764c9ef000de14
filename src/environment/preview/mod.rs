//! Previews of pull requests: what is there, what is to be there, and the next thing to do about it. Pure. No I/O.
//!
//! ```text
//! runs of pull requests ──┐                       ┌── namespaces that are made, filled, brought to another commit
//! pull requests closed ───┼── plan(Subject, now) ─┤
//! namespaces of ours ─────┘                       └── namespaces that go: closed, or too old, and nothing else
//! ```
//!
//! The truth stands in three places, each of which somebody else keeps: PipelineRuns say what passed, the Pipeline's status says
//! which pull requests a provider has called closed, and a namespace says in an annotation what it shows. The name of a
//! namespace follows from the pull request, so there are no two for one. That something is not on a list is never a reason to
//! delete: a preview goes because it is told that its pull request is over, or because its time is.

pub mod copy;
pub mod orphan;
mod seen;
mod space;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::api::{PreviewDestroy, PreviewPhase, PreviewStatus};
use crate::model::action::Action;
use crate::model::condition::truncate;
use crate::model::label;
use crate::model::span::after;
use crate::rollout::api::Phase;
pub use seen::{Live, Outlook, Run, Seen, Shown, Subject};
pub use space::{Record, Space, name_of, owner_of, pod_security_of, selector_of, space};

/// Why there are none where the operator makes none, which stays so for as long as it runs.
pub const OFF: &str = "PreviewsOff";
/// Previews that a status lists.
const SHOWN: usize = 50;
/// How soon a namespace that is going, or was changed, is looked at again.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// How long a namespace that hangs is left alone at most.
const LOOK_AGAIN_AT_MOST: SignedDuration = SignedDuration::from_mins(5);
/// How soon it is looked again where there can be none.
const BLOCKED: SignedDuration = SignedDuration::from_secs(30);
/// Seconds after which another preview is the first to be filled.
const TURN: i64 = 10;
/// Longest sentence about a preview.
const MAX_MESSAGE: usize = 256;

/// Decides what to do about previews.
pub fn plan(of: Subject<'_>, now: Timestamp) -> Outlook {
    let now = whole(now);
    let mut draft = Draft {
        of,
        now,
        actions: Vec::new(),
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
    /// What fills one of them: the last of all, so that one that is refused keeps nothing else back.
    fill: Vec<Action>,
    wake: Option<Timestamp>,
    items: BTreeMap<u64, PreviewStatus>,
    said: Option<(bool, &'static str, String)>,
}

impl<'a> Draft<'a> {
    /// Lets go what is over. What was closed goes with care: a provider, or somebody who speaks for it, may be wrong about many.
    fn close(&mut self) {
        let seen = self.of.seen;
        let may_go = self.of.spec.destroy() == PreviewDestroy::Always;
        let staying = seen
            .spaces
            .iter()
            .filter(|space| !space.is_going() && may_go);
        let (mut closed, mut expired) = (Vec::new(), Vec::new());
        for space in staying {
            let expires_at = self.expires_at(space);
            let closes_at = self.closes_at(space.number);
            if expires_at <= self.now {
                expired.push((space, "too old: a new commit makes it again"));
            } else if closes_at.is_some_and(|at| at <= self.now) {
                closed.push((space, "its pull request is over"));
            } else {
                self.wake_at(closes_at.map_or(expires_at, |at| at.min(expires_at)));
            }
        }
        let most = usize::try_from(self.of.spec.limits.closed_at_once).unwrap_or(usize::MAX);
        if closed.len() > most {
            let text = format!(
                "{} pull requests with previews were closed at the same time, more than limits.closedAtOnce ({most}); their \
                 previews stay until ttl.max is over: raise closedAtOnce if they are to go",
                closed.len()
            );
            self.say(false, "TooManyClosed", text);
            for (space, _) in closed.drain(..) {
                self.wake_at(self.expires_at(space));
            }
        }
        for (space, why) in expired.into_iter().chain(closed) {
            self.actions.push(Action::Delete {
                target: space.target.clone(),
                orphan: false,
            });
            self.show(self.item_of(space, PreviewPhase::Closing, why));
        }
        for space in &seen.spaces {
            let Some(since) = space.going_since else {
                continue;
            };
            let half = self.now.duration_since(since) / 2;
            let pause = half.clamp(LOOK_AGAIN, LOOK_AGAIN_AT_MOST);
            self.wake_at(later(self.now, pause));
            let text = "its namespace is being deleted";
            self.show(self.item_of(space, PreviewPhase::Closing, text));
        }
    }

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
            // Before anything is put into it, and whether or not its run is there.
            if let Some(change) = space.put_right(&self.of.seen.pod_security, never) {
                let target = space.target.clone();
                self.actions.push(Action::Patch { target, change });
                self.wake_at(later(self.now, LOOK_AGAIN));
                let text = "its namespace is put right";
                self.show(self.item_of(space, PreviewPhase::Updating, text));
                continue;
            }
            let item = match self.run_for(space) {
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
                Some(run) => waiting.push(run),
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
            let labels = &self.of.seen.pod_security;
            let made = space(self.of.key, run.number, &record, labels);
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
            copy::copies(self.of, run).err()
        };
        problem.map(|problem| (PreviewPhase::Failed, problem))
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

    fn refuse(&mut self, run: &Run) {
        let text = "its commits are from another repository, or may be: such pull requests have no previews";
        self.show(self.item(run, PreviewPhase::Refused, text));
    }

    /// One step of a preview towards a run: everything is applied, and then noted. At most one preview is filled by one plan.
    fn advance(&mut self, space: &Space, run: &Run) -> PreviewStatus {
        let copies = match copy::copies(self.of, run) {
            Ok(copies) => copies,
            Err(problem) => return self.item(run, PreviewPhase::Failed, &problem),
        };
        let mut record = self.record(run, Some(copy::hash(&copies)));
        record.author.clone_from(&space.record.author);
        if record.run == space.record.run {
            record.at.clone_from(&space.record.at);
        }
        if record == space.record {
            return self.state_of(space, &run.name);
        }
        if self.fill.is_empty() {
            self.fill.extend(copies.into_iter().map(Action::Apply));
            self.fill.push(Action::Patch {
                target: space.target.clone(),
                change: record.patch(),
            });
        }
        let expires_at = self.shown_expiry(space);
        PreviewStatus {
            expires_at,
            author: Some(space.record.author.clone()),
            ..self.item(run, PreviewPhase::Updating, "its objects are applied")
        }
    }

    /// How a preview is that has everything.
    fn state_of(&self, space: &Space, run: &str) -> PreviewStatus {
        let none = Vec::new();
        let rollouts = self.of.seen.rollouts.get(&space.target.key.name);
        let rollouts = rollouts.unwrap_or(&none);
        let of_templates = copy::rollouts(&self.of.seen.templates);
        let mut missing = of_templates
            .iter()
            .filter(|name| !rollouts.iter().any(|live| live.name == **name));
        for live in rollouts {
            let is_followed = live.run == run && live.is_current;
            match live.phase {
                Phase::Healthy if is_followed => {}
                Phase::RolledBack | Phase::Degraded if is_followed => {
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
        let text = match self.closes_at(space.number) {
            Some(_) => "its pull request is over: it goes soon",
            None => "answers",
        };
        self.item_of(space, PreviewPhase::Ready, text)
    }

    /// The run that a preview is to show: the newest, but none from before the one that it shows.
    fn run_for(&self, space: &Space) -> Option<&'a Run> {
        let newest = self.newest(space.number, true);
        let is_newer = |run: &&Run| {
            let started = space.record.started_at.as_ref();
            started.is_none_or(|started| run.started_at >= started.0)
        };
        newest.filter(is_newer).or_else(|| {
            let mut runs = self.of.seen.runs.iter();
            runs.find(|run| run.name == space.record.run)
        })
    }

    /// The newest run of a pull request, of those that may be shown or of all.
    fn newest(&self, number: u64, must_be_allowed: bool) -> Option<&'a Run> {
        let runs = self.of.seen.runs.iter();
        let of_it = runs.filter(|run| run.number == number);
        let allowed = of_it.filter(|run| !must_be_allowed || !run.is_fork);
        allowed.max_by_key(|run| (run.started_at, &run.name))
    }

    /// Until when there is a preview of a run that is not there yet.
    fn stays_until(&self, run: &Run) -> Timestamp {
        after(
            run.finished_at.unwrap_or(self.now),
            self.of.spec.ttl.max.into(),
        )
    }

    fn expires_at(&self, space: &Space) -> Timestamp {
        let at = space.record.at.as_ref().map_or(space.created_at, |at| at.0);
        after(at, self.of.spec.ttl.max.into())
    }

    fn closes_at(&self, number: u64) -> Option<Timestamp> {
        let closed = self.of.seen.closed.get(&number)?;
        Some(after(*closed, self.of.spec.ttl.after_close.into()))
    }

    fn shown_expiry(&self, space: &Space) -> Option<Time> {
        let expires_at = self.expires_at(space);
        let closes_at = self.closes_at(space.number).unwrap_or(expires_at);
        let stays = self.of.spec.destroy() == PreviewDestroy::Never;
        (!stays).then(|| Time(expires_at.min(closes_at)))
    }

    fn record(&self, run: &Run, applied: Option<String>) -> Record {
        Record {
            run: run.name.clone(),
            sha: run.sha.clone(),
            author: run.author.clone(),
            applied,
            at: Some(Time(self.now)),
            started_at: Some(Time(whole(run.started_at))),
            keep: self.of.spec.destroy() == PreviewDestroy::Never,
        }
    }

    /// A preview that shows a run, or is to.
    fn item(&self, run: &Run, phase: PreviewPhase, message: &str) -> PreviewStatus {
        PreviewStatus {
            number: run.number,
            phase,
            namespace: name_of(self.of.key, run.number),
            url: copy::url(self.of.spec, run.number),
            sha: Some(run.sha.clone()),
            run: Some(run.name.clone()),
            author: Some(run.author.clone()),
            expires_at: None,
            message: Some(truncate(message, MAX_MESSAGE).to_owned()),
        }
    }

    /// A preview as its namespace tells.
    fn item_of(&self, space: &Space, phase: PreviewPhase, message: &str) -> PreviewStatus {
        let record = &space.record;
        let some = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
        PreviewStatus {
            number: space.number,
            phase,
            namespace: space.target.key.name.clone(),
            url: copy::url(self.of.spec, space.number),
            sha: some(&record.sha),
            run: some(&record.run),
            author: some(&record.author),
            expires_at: self.shown_expiry(space),
            message: Some(truncate(message, MAX_MESSAGE).to_owned()),
        }
    }

    fn show(&mut self, item: PreviewStatus) {
        self.items.insert(item.number, item);
    }

    fn say(&mut self, is_good: bool, reason: &'static str, message: String) {
        self.said.get_or_insert((is_good, reason, message));
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = Some(self.wake.map_or(at, |known| known.min(at)));
    }

    fn finish(mut self) -> Outlook {
        let count = |phase| {
            self.items
                .values()
                .filter(|item| item.phase == phase)
                .count()
        };
        let (ready, failed) = (count(PreviewPhase::Ready), count(PreviewPhase::Failed));
        let (queued, all) = (count(PreviewPhase::Queued), self.items.len());
        if failed > 0 && self.said.is_none() {
            let text = format!(
                "{failed} of {all} previews cannot be as they should; status.previews says why"
            );
            self.say(false, "PreviewFailed", text);
        }
        self.say(
            true,
            "Previewed",
            format!("{ready} of {all} previews answer, {queued} wait"),
        );
        // Those that take room come first, then the newest pull requests.
        let mut items: Vec<PreviewStatus> = self.items.into_values().collect();
        items.sort_by_key(|item| {
            let waits = matches!(item.phase, PreviewPhase::Queued | PreviewPhase::Refused);
            (waits, std::cmp::Reverse(item.number))
        });
        items.truncate(SHOWN);
        items.sort_by_key(|item| item.number);
        self.actions.extend(self.fill);
        Outlook {
            actions: self.actions,
            wake: self.wake,
            shown: Shown {
                items,
                said: self.said,
            },
        }
    }
}

/// Records keep whole seconds.
fn whole(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}

fn later(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}
