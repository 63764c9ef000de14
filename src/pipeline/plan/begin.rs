//! Starts runs: of the head of the branch, of what was delivered, of what polling found, of the clock, and of new images. No I/O.
//!
//! A run is made first, and noted once it is there: a crash in between makes it again, under the same name.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::super::api::{PendingRef, ScheduleStatus, StageType};
use super::super::observed::Observed;
use super::super::render;
use super::super::trigger::event::{Event, What};
use super::super::trigger::{
    Start, Verdict, beneath, closed, image, judge, labelled, mark, poll, schedule,
};
use super::Memory;
use crate::git::changes;
use crate::git::refs::tag_of;
use crate::model::action::{Action, Request};
use crate::model::key::Key;
use crate::model::label;
use crate::model::span::{due_again, earliest, later};
use crate::pipeline_run::api::TriggerKind;
use crate::provider::Provider;

/// How long a delivery may still come for what polling has found: it tells more.
const GRACE: SignedDuration = SignedDuration::from_secs(10);

/// Time between two questions about a pull request.
const ASK_AGAIN: SignedDuration = SignedDuration::from_secs(10);
/// Time between two questions to a registry that has not told what it was asked.
const ASK_IN_VAIN: SignedDuration = SignedDuration::from_mins(1);
/// How long a provider is asked about one. Then it counts as from another repository.
const GIVE_UP_ASKING: SignedDuration = SignedDuration::from_mins(2);
/// Time between two questions about one that has a preview, or waits for it.
const LOOK_AGAIN: SignedDuration = SignedDuration::from_mins(5);

/// What is begun.
pub(super) struct Begin<'a> {
    seen: &'a Observed,
    now: Timestamp,
    pub(super) memory: Memory,
    pub(super) actions: Vec<Action>,
    pub(super) wake: Option<Timestamp>,
    provider: Option<Provider>,
    is_looking: bool,
}

impl<'a> Begin<'a> {
    pub(super) fn new(seen: &'a Observed, memory: Memory, now: Timestamp) -> Self {
        Self {
            seen,
            now,
            memory,
            actions: Vec::new(),
            wake: None,
            provider: None,
            is_looking: false,
        }
    }

    /// What waits is looked at from now on, if it was not: the time until that is given up must not pass while no run is
    /// started, or this process was not there.
    pub(super) fn look(&mut self) {
        let seen = self.seen;
        if self.is_publishing() || !seen.has_waiting() {
            return;
        }
        let since = seen.status.head_found_at.as_ref();
        let since = since.filter(|_| seen.polled_at.is_some());
        if since.is_none() {
            for found in &mut self.memory.pending {
                found.at = Time(self.now);
            }
        }
        self.memory.head_found_at = Some(since.cloned().unwrap_or(Time(self.now)));
    }

    /// The run of the head of the branch, unless it is there or its work is done.
    pub(super) fn head(&mut self) {
        let seen = self.seen;
        if self.is_publishing() {
            return;
        }
        let Some(sha) = seen.head() else { return };
        let git_ref = seen.git_ref();
        let Some(event) = poll::event_of(&git_ref, sha) else {
            return;
        };
        let Verdict::Start(start) = judge(&seen.spec, &event) else {
            return;
        };
        let key = self.key(&start);
        if self.exists(&key) || self.is_done(&event) {
            return;
        }
        let time = |at: Option<&Time>| at.map(|Time(at)| *at);
        let found_at = time(self.memory.head_found_at.as_ref()).unwrap_or(self.now);
        // A delivery has its time from this head on, however long others have waited before it; but what else is found does not
        // put it off for ever.
        let latest = later(found_at, GIVE_UP_ASKING);
        let polled_at = time(seen.status.last_polled_at.as_ref()).unwrap_or(found_at);
        let told_from = polled_at.min(latest);
        // The first head of a branch always has a run.
        let is_known =
            seen.last_run_of(&git_ref).is_none() || seen.status.looked_into.as_deref() == Some(sha);
        if self.is_late(told_from) && (is_known || !self.looks_into(&event, &start, found_at)) {
            self.create(&start, 0);
        }
    }

    /// Whether a run pushes commits of its own: what polling finds may be one of those, and they need no run.
    fn is_publishing(&self) -> bool {
        self.seen.runs.iter().any(|run| run.is_publishing)
    }

    /// What was delivered.
    pub(super) fn told(&mut self) {
        let seen = self.seen;
        for (index, event) in seen.events.iter().enumerate() {
            let mark = mark(&event.git_ref, event.identity());
            self.memory.closed = closed::taken_in(&self.memory.closed, event, self.now);
            let wanted = &seen.wanted_labels;
            let known = &self.memory.labelled;
            self.memory.labelled = labelled::taken_in(known, event, wanted, self.now);
            match judge(&seen.spec, event) {
                Verdict::Irrelevant(_) => {}
                Verdict::Skip(_) if self.is_left_to_polling(event) => {}
                // Else polling would start it.
                Verdict::Skip(_) => poll::note(&mut self.memory.seen, mark),
                Verdict::Start(start) => {
                    let exists = self.exists(&self.key(&start));
                    if exists || (self.is_done(event) && !event.renews) {
                        poll::note(&mut self.memory.seen, mark);
                    } else {
                        self.create(&start, index);
                    }
                }
            }
        }
    }

    /// Whether a push that changes nothing of interest came on top of one that nobody has told of: polling looks at all that was
    /// changed since the last run.
    fn is_left_to_polling(&self, event: &Event) -> bool {
        beneath(&self.seen.spec, event).is_some_and(|(before, start)| {
            !self.exists(&self.key(&start)) && !self.is_done(&before)
        })
    }

    /// What polling has found.
    pub(super) fn pending(&mut self) {
        let seen = self.seen;
        if self.is_publishing() {
            return;
        }
        let pending = self.memory.pending.clone();
        if pending
            .iter()
            .any(|found| poll::to_be_told(found).is_some())
        {
            self.provider = seen.provider();
        }
        let every = super::interval(seen).max(ASK_AGAIN);
        for (index, found) in pending.iter().enumerate() {
            let event = poll::event_of_found(found, self.unknown(found).is_some());
            let verdict = event.map(|event| (judge(&seen.spec, &event), event));
            let mark = mark(&found.git_ref, &found.sha);
            let is_over = match verdict {
                Some((Verdict::Start(start), event)) => {
                    if self.exists(&self.key(&start)) || self.is_done(&event) {
                        true
                    } else {
                        let is_late = self.is_late(found.at.0);
                        if is_late
                            && !self.asks_about(found)
                            && (found.looked_into == Some(true)
                                || !self.looks_into(&event, &start, found.at.0))
                        {
                            self.create(&start, index);
                        }
                        false
                    }
                }
                Some((Verdict::Skip(_), _)) if found.is_draft() => {
                    !self.asks_again_about(found, every)
                }
                Some((Verdict::Skip(_) | Verdict::Irrelevant(_), _)) | None => true,
            };
            if is_over {
                poll::note(&mut self.memory.seen, mark);
                self.memory.pending.retain(|known| known != found);
            }
        }
    }

    /// Number of the pull request that the provider is asked about, before it is known what a ref that polling found is.
    fn unknown(&self, found: &PendingRef) -> Option<u64> {
        let has_time = self.now < later(found.at.0, GIVE_UP_ASKING);
        self.provider.as_ref().filter(|_| has_time)?;
        poll::to_be_told(found)
    }

    /// Asks the provider about a pull request. Tells whether that is waited for.
    fn asks_about(&mut self, found: &PendingRef) -> bool {
        // What is known of a draft is enough where drafts start runs too.
        self.unknown(found).is_some()
            && !found.is_draft()
            && self.asks_again_about(found, ASK_AGAIN)
    }

    /// The same, every so often.
    fn asks_again_about(&mut self, found: &PendingRef, every: SignedDuration) -> bool {
        let number = poll::to_be_told(found);
        let Some(request) = number.and_then(|number| {
            let provider = self.provider.as_ref()?;
            Some(provider.pull_request(number))
        }) else {
            return false;
        };
        self.ask(self.seen.question_about(found), request, every);
        true
    }

    /// Asks the provider about pull requests that have previews, or wait for one: which labels they have, and whether they are
    /// over. Each is asked about alone, so that what is on no list is nothing.
    pub(super) fn shown(&mut self) {
        let seen = self.seen;
        if seen.shown.is_empty() {
            return;
        }
        let Some(provider) = seen.provider() else {
            return;
        };
        for number in &seen.shown {
            let request = provider.pull_request(*number);
            self.ask(seen.question_of(*number), request, LOOK_AGAIN);
        }
    }

    /// Looks into a commit that polling found, where its message or what it changes may keep it from a run. Tells whether that is
    /// waited for.
    fn looks_into(&mut self, event: &Event, start: &Start, found_at: Timestamp) -> bool {
        let seen = self.seen;
        let has_time = self.now < later(found_at, GIVE_UP_ASKING);
        let look = seen.look(event, &start.trigger).filter(|_| has_time);
        let (Some(look), Ok(bundle)) = (look, seen.authorities.bundle()) else {
            return false;
        };
        // Each may take a while, and the plan is made again right after.
        if !self.is_looking {
            let git = &seen.spec.source.git;
            let commits = (look.from.as_deref(), look.sha.as_str());
            let request = changes::request(git, &seen.key.namespace, bundle, commits);
            self.is_looking = self.ask(look.question(&git.url), request, ASK_AGAIN);
        }
        true
    }

    /// Asks a question, unless it was answered a moment ago. Tells whether it is asked now.
    fn ask(&mut self, key: String, request: Request, every: SignedDuration) -> bool {
        let due = due_again(self.seen.asked.get(&key).copied(), every, self.now);
        match due {
            Some(due) => self.wake = earliest(self.wake, due),
            None => self.actions.push(Action::Fetch { key, request }),
        }
        due.is_none()
    }

    /// What the clock starts.
    pub(super) fn schedules(&mut self) {
        let seen = self.seen;
        let mut records = Vec::new();
        for rule in &seen.spec.triggers {
            let Some(trigger) = &rule.schedule else {
                continue;
            };
            let of = schedule::rule_of(&seen.spec, trigger);
            let known = &seen.status.schedules;
            let mut record = schedule::record(known, &rule.name, of, self.now);
            // A spec that cannot be read is told of before.
            let times = schedule::times(trigger, record.last_at.0, self.now).unwrap_or_default();
            if let Some(due) = times.due {
                let branch = schedule::branch_of(&seen.spec, trigger);
                self.tick(&rule.name, branch, due, &mut record);
            }
            record.next_at = times.next.map(Time);
            self.wake = self.wake.into_iter().chain(times.next).min();
            records.push(record);
        }
        self.memory.schedules = records;
    }

    fn tick(&mut self, trigger: &str, branch: &str, due: Timestamp, record: &mut ScheduleStatus) {
        let start = Start {
            kind: TriggerKind::Schedule,
            trigger: trigger.to_owned(),
            git_ref: format!("refs/heads/{branch}"),
            sha: None,
            identity: format!("{trigger} {due}"),
            actor: label::SLIPWAY.to_owned(),
            pull_request: None,
            needs_approval: false,
        };
        if self.exists(&self.key(&start)) {
            record.last_at = Time(due);
        } else {
            self.create(&start, 0);
        }
    }

    /// What registries have under another digest than before.
    pub(super) fn images(&mut self) {
        let seen = self.seen;
        let mut records = Vec::new();
        for rule in &seen.spec.triggers {
            let Some(trigger) = &rule.image else {
                continue;
            };
            let of = image::rule_of(&seen.spec, trigger);
            let mut record = image::record(&seen.status.images, &rule.name, of);
            if let Some(found) = record.found.clone() {
                let start = image::start(&seen.spec, &record, trigger, &found);
                let mark = mark(&start.git_ref, &start.identity);
                if self.exists(&self.key(&start)) || self.memory.seen.contains(&mark) {
                    poll::note(&mut self.memory.seen, mark);
                    record.digest = record.found.take();
                } else {
                    self.create(&start, 0);
                }
            } else {
                let request = image::request(trigger, &seen.key.namespace);
                let every = SignedDuration::try_from(trigger.interval());
                let mut every = every.unwrap_or(SignedDuration::MAX).max(ASK_AGAIN);
                if record.digest.is_none() || record.message.is_some() {
                    every = every.min(ASK_IN_VAIN);
                }
                self.ask(image::question(&seen.spec, &record), request, every);
            }
            records.push(record);
        }
        self.memory.images = records;
    }

    fn key(&self, start: &Start) -> Key {
        render::started_key(&self.seen.key, &self.seen.spec, start)
    }

    fn exists(&self, key: &Key) -> bool {
        let mut runs = self.seen.runs.iter();
        runs.any(|run| run.target.key == *key)
    }

    /// Whether nothing is to be done any more for a ref at a commit.
    fn is_done(&self, event: &Event) -> bool {
        let mark = mark(&event.git_ref, event.identity());
        let released = self.seen.released.iter();
        let is_push = event.git_ref.starts_with("refs/heads/");
        let mut released = released.filter(|_| is_push);
        self.memory.seen.contains(&mark)
            || self.is_own_tag(event)
            || released.any(|sha| Some(sha.as_str()) == event.sha.as_deref())
    }

    /// Whether it is the tag of a version that a run has pushed: what it is at was run already.
    fn is_own_tag(&self, event: &Event) -> bool {
        let spec = &self.seen.spec;
        let mut stages = spec.stages.iter();
        if event.what != What::Tag || !stages.any(|stage| stage.type_ == StageType::Release) {
            return false;
        }
        let rule = spec.release.version.as_ref();
        let version = rule.and_then(|rule| tag_of(&event.git_ref)?.strip_prefix(rule.tag_prefix()));
        version.is_some_and(|version| self.seen.versions.contains(version))
    }

    /// Whether a delivery would have come by now for what polling has found then.
    fn is_late(&mut self, found_at: Timestamp) -> bool {
        if self.seen.spec.webhook.is_none() {
            return true;
        }
        let until = later(found_at, GRACE);
        let is_late = until <= self.now;
        if !is_late {
            self.wake = earliest(self.wake, until);
        }
        is_late
    }

    /// Makes a run, the `index`-th of its kind: of those that are made at the same time the later ones are newer.
    fn create(&mut self, start: &Start, index: usize) {
        let index = i64::try_from(index).unwrap_or_default();
        let at = self.now.checked_add(SignedDuration::from_micros(index));
        let at = at.unwrap_or(self.now);
        let run = render::started(self.seen, start, at);
        let is_made = |action: &Action| {
            let Action::Create(made) = action else {
                return false;
            };
            made.key == run.key
        };
        if !self.actions.iter().any(is_made) {
            self.actions.push(Action::Create(run));
        }
    }
}
