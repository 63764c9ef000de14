//! One plan, carried out: observe → plan → status → apply. Talks to the API server.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kube::core::object::HasStatus;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};
use tracing::{debug, info};

use super::pace::Difference;
use super::{Kind, Next, RESYNC, ReconcileError, Worker};
use crate::cluster::write::WriteError;
use crate::model::action::{Action, Outcome, Reply, Request};
use crate::model::condition::{ACTION_FAILED, MAX_MESSAGE};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::plan::{Plan, Why};
use crate::model::text::truncate;

/// What comes after a pass.
pub(super) enum Pass {
    /// Another one at once, on our own writes.
    Again,
    /// The same, on this status, which has answers that are not on record yet.
    Answered(Value),
    /// Nothing until then.
    Rest(Next),
}

/// The status of an object as the server has it.
struct Record {
    key: Key,
    /// Names the version for the next write.
    target: Target,
    status: Value,
    /// When the plan was made.
    planned_at: Timestamp,
}

/// Longest rest while answers are awaited: they call for another look themselves.
const AWAITING: Duration = Duration::from_mins(1);

/// What became of the actions of a plan.
struct Applied {
    outcome: Outcome,
    /// Whether requests are still under way.
    is_waiting: bool,
    result: Result<(), ReconcileError>,
}

/// What of a status is not on record after a pass.
enum Unwritten {
    /// Nothing is missing.
    Nothing,
    /// What may wait until then.
    Rest(Timestamp),
    /// Answers that the next plan puts on record.
    Answers(Value),
    /// Nothing is missing but answers that are still under way.
    Awaited,
}

impl<K: Kind> Worker<K> {
    /// One plan, carried out. With `answered` it stands on that status, as if it had been written.
    pub(super) async fn pass(
        &self,
        mut object: Arc<K::Object>,
        answered: Option<Value>,
    ) -> Result<Pass, ReconcileError> {
        let target = Target::of(K::KIND, object.as_ref());
        if let Some(pass) = self.settle_finalizer(&object, &target).await? {
            return Ok(pass);
        }
        let on_record = status_of(object.as_ref());
        if let Some(Ok(status)) = answered.map(serde_json::from_value) {
            *Arc::make_mut(&mut object).status_mut() = Some(status);
        }
        let seen = K::observe(&object, &self.cluster).await?;
        let now = self.cluster.clock().now();
        let start = Instant::now();
        let plan = K::plan(&seen, now);
        self.cluster.metrics().planned(start.elapsed());
        if !plan.actions.is_empty() && self.freshen(&object).await? {
            return Ok(Pass::Again);
        }
        let mut record = Record {
            key: Key::of(object.as_ref()),
            target,
            status: on_record,
            planned_at: now,
        };
        let due = match self.carry_out(&object, &seen, &plan, &mut record).await? {
            Unwritten::Answers(status) => return Ok(Pass::Answered(status)),
            Unwritten::Awaited => {
                let wake = plan.wake.into_iter().fold(now + AWAITING, Ord::min);
                return Ok(Pass::Rest(Next::At(wake)));
            }
            Unwritten::Rest(due) => Some(due),
            Unwritten::Nothing => None,
        };
        if plan.finished {
            if has_finalizer(object.as_ref()) {
                self.set_finalizer(&object, &record.target, false).await?;
            }
            return Ok(Pass::Rest(Next::Gone));
        }
        if !plan.actions.is_empty() {
            return Ok(Pass::Again);
        }
        let wakes = [plan.wake, due].into_iter().flatten();
        let wake = wakes.fold(now + RESYNC, Ord::min);
        Ok(Pass::Rest(Next::At(wake)))
    }

    /// Status, then actions.
    async fn carry_out(
        &self,
        object: &Arc<K::Object>,
        seen: &K::Observed,
        plan: &Plan<K::Progress>,
        record: &mut Record,
    ) -> Result<Unwritten, ReconcileError> {
        // What failed last time stands until a try succeeds. Else two states of the status would take turns, each of
        // them an event, and the events would take the place of the backoff.
        let standing = Outcome {
            failure: standing_failure(&record.status).filter(|_| !plan.actions.is_empty()),
            ..Outcome::default()
        };
        let mut status = K::status(seen, plan, &standing, record.planned_at);
        let is_news = ready_reason(&record.status) != ready_reason(&status);
        if self.write(record, seen, &status).await? {
            log(&plan.why, plan.actions.len(), is_news);
        }
        K::gauge(&self.cluster, &record.key, Some(&status));
        let Applied {
            outcome,
            is_waiting,
            result,
        } = self.apply(&record.key, seen, &plan.actions).await;
        let metrics = self.cluster.metrics();
        metrics.action_failed(K::KIND, &record.key, outcome.failure.is_some());
        let now = self.cluster.clock().now();
        let mut has_answers = false;
        let mut written = Ok(true);
        if outcome != standing {
            status = K::status(seen, plan, &outcome, now);
            has_answers = K::ANSWERS_WITH_NEXT_PLAN && has_only_asked(plan, &outcome);
            if !has_answers {
                written = self.write(record, seen, &status).await;
            }
        }
        if is_news {
            // Words come last: what they are about, a way back above all, does not wait for them.
            let about = object.object_ref(&());
            self.cluster.events().publish(about, &plan.why);
        }
        written?;
        let has_no_answer = outcome.replies.is_empty();
        let keeps = |question: &str| K::keeps_answer(question);
        let answered = outcome.replies.into_iter().map(|(question, reply)| {
            let reply = keeps(&question).then_some(reply);
            (question, reply)
        });
        let asked = &self.cluster.asked;
        asked.note(K::KIND, &record.key, answered, now);
        result?;
        if has_answers {
            return Ok(Unwritten::Answers(status));
        }
        if is_waiting && has_no_answer {
            return Ok(Unwritten::Awaited);
        }
        if record.status == status {
            self.pace.settled(&record.key);
            return Ok(Unwritten::Nothing);
        }
        Ok(Unwritten::Rest(self.pace.due(&record.key, now)))
    }

    /// Writes a status, unless what is new in it may wait. Whether it did.
    async fn write(
        &self,
        record: &mut Record,
        seen: &K::Observed,
        status: &Value,
    ) -> Result<bool, ReconcileError> {
        let is_same =
            |on_record: &Value, status: &Value| K::has_same_essence(seen, on_record, status);
        let now = self.cluster.clock().now();
        match Difference::between(&record.status, status, is_same) {
            Difference::None => return Ok(false),
            Difference::Rest if self.pace.due(&record.key, now) > now => return Ok(false),
            Difference::Rest | Difference::Essence => {}
        }
        let news = K::news(seen, &record.status, status);
        record.target = self.cluster.write_status(&record.target, status).await?;
        let before = std::mem::replace(&mut record.status, status.clone());
        K::count(&self.cluster, &record.key, &before, status);
        self.pace.settled(&record.key);
        if let Some(why) = news {
            info!(about = %record.key, reason = why.reason, "{}", why.message);
            let about = record.target.reference();
            self.cluster.events().publish(about, &why);
        }
        Ok(true)
    }

    /// Makes sure that the first actions of a term stand on what the server has. True: look again.
    async fn freshen(&self, object: &Arc<K::Object>) -> Result<bool, ReconcileError> {
        let key = Key::of(object.as_ref());
        if self
            .fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&key)
        {
            return Ok(false);
        }
        K::refresh(object, &self.cluster).await?;
        self.fresh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
        Ok(true)
    }

    /// Sees to it that the object carries the finalizer where it is to. What comes next, where that took a write.
    async fn settle_finalizer(
        &self,
        object: &Arc<K::Object>,
        target: &Target,
    ) -> Result<Option<Pass>, ReconcileError> {
        let has_finalizer = has_finalizer(object.as_ref());
        match K::wants_finalizer(object, &self.cluster) {
            Some(true) if !has_finalizer => {
                if object.meta().deletion_timestamp.is_some() {
                    return Ok(Some(Pass::Rest(Next::Gone)));
                }
                self.set_finalizer(object, target, true).await?;
            }
            Some(false) if has_finalizer => self.set_finalizer(object, target, false).await?,
            Some(_) | None => return Ok(None),
        }
        Ok(Some(Pass::Again))
    }

    async fn set_finalizer(
        &self,
        object: &K::Object,
        target: &Target,
        wanted: bool,
    ) -> Result<(), ReconcileError> {
        let mut names: Vec<&str> = object.finalizers().iter().map(String::as_str).collect();
        names.retain(|name| *name != label::FINALIZER);
        if wanted {
            names.push(label::FINALIZER);
        }
        let change = json!({"metadata": {"finalizers": names}});
        Ok(self.cluster.patch(target, &change).await?)
    }

    /// Runs the actions in order and stops at the first that fails.
    async fn apply(&self, key: &Key, seen: &K::Observed, actions: &[Action]) -> Applied {
        let mut outcome = Outcome::default();
        let questions = actions
            .iter()
            .filter_map(|action| question(action).map(|(key, _)| key));
        let questions: Vec<&String> = questions.collect();
        self.exchanges.keep(key, questions.iter().copied());
        let mut asked = HashSet::new();
        for (index, action) in actions.iter().enumerate() {
            let done = match action {
                Action::Apply(manifest) => self.cluster.apply(manifest).await,
                Action::Create(manifest) => self.cluster.create(manifest).await,
                Action::Patch { target, change } => self.cluster.patch(target, change).await,
                Action::PatchEach(changes) => self.cluster.patch_each(changes).await,
                Action::Status { target, status } => {
                    self.cluster.write_status(target, status).await.map(|_| ())
                }
                Action::Delete { target, orphan } => self.cluster.delete(target, *orphan).await,
                Action::Evict { target } => self.cluster.evict(target, &mut outcome).await,
                Action::Mirror { place, what } => self.cluster.mirror(place, what).await,
                Action::Fetch { key: question, .. } => {
                    if !asked.contains(question) {
                        let next = questions_first(actions.get(index..).unwrap_or_default());
                        asked.extend(next.iter().map(|(question, _)| *question));
                        outcome.replies.extend(self.fetch(key, &next).await);
                    }
                    Ok(())
                }
            };
            self.cluster.metrics().action(K::KIND, action.verb());
            if let Err(error) = done {
                // A lost race is planned again; people need not hear of it.
                if !matches!(error, WriteError::Conflict { .. }) {
                    let sentence = error.sentence();
                    outcome.failure = Some(truncate(&sentence, MAX_MESSAGE).to_owned());
                }
                return Applied {
                    outcome,
                    is_waiting: false,
                    result: Err(error.into()),
                };
            }
            K::count_action(&self.cluster, seen, action);
            self.tell(seen, action);
        }
        let is_waiting = questions
            .iter()
            .any(|key| !outcome.replies.contains_key(*key));
        Applied {
            outcome,
            is_waiting,
            result: Ok(()),
        }
    }

    /// Tells what an action means that was done.
    fn tell(&self, seen: &K::Observed, action: &Action) {
        let Action::Status { target, .. } = action else {
            return;
        };
        let Some((why, is_event)) = K::told_of(seen, action) else {
            return;
        };
        info!(about = %target.key, reason = why.reason, "{}", why.message);
        if is_event {
            let about = target.reference();
            self.cluster.events().publish(about, &why);
        }
    }

    /// Sends requests, all at once, and waits for a moment: those that are not answered by then go on by themselves.
    async fn fetch(
        &self,
        key: &Key,
        requests: &[(&String, &Request)],
    ) -> Vec<(String, Result<Reply, String>)> {
        let send = |request: Request| {
            let cluster = self.cluster.clone();
            async move { cluster.fetch(&request).await }
        };
        self.exchanges.ask(&self.queue, key, requests, send).await
    }
}

fn has_finalizer<T: ResourceExt>(object: &T) -> bool {
    let mut names = object.finalizers().iter();
    names.any(|name| name == label::FINALIZER)
}

/// The questions that come next, up to another action.
fn questions_first(actions: &[Action]) -> Vec<(&String, &Request)> {
    actions.iter().map_while(question).collect()
}

fn question(action: &Action) -> Option<(&String, &Request)> {
    if let Action::Fetch { key, request } = action {
        return Some((key, request));
    }
    None
}

/// Whether all that a plan did was to ask, and answers came.
fn has_only_asked<P>(plan: &Plan<P>, outcome: &Outcome) -> bool {
    let mut actions = plan.actions.iter();
    let is_question = |action: &Action| matches!(action, Action::Fetch { .. });
    actions.all(is_question) && !outcome.replies.is_empty()
}

/// One log line per plan that changes something.
fn log(why: &Why, actions: usize, is_news: bool) {
    let Why {
        reason, message, ..
    } = why;
    if is_news {
        info!(reason, actions, "{message}");
    } else {
        debug!(reason, message, "status changed");
    }
}

/// The status of an object, as JSON, in which statuses of all kinds can be compared.
fn status_of<T: HasStatus<Status: Serialize>>(object: &T) -> Value {
    let status = object.status().map(serde_json::to_value);
    status.and_then(Result::ok).unwrap_or_default()
}

/// Why the last try of a plan's actions failed, as every kind's status tells.
fn standing_failure(status: &Value) -> Option<String> {
    let conditions = status.get("conditions")?.as_array()?;
    let failed = conditions
        .iter()
        .find(|condition| condition["type"] == ACTION_FAILED)?;
    Some(failed.get("message")?.as_str()?.to_owned())
}

fn ready_reason(status: &Value) -> Option<&str> {
    let conditions = status.get("conditions")?.as_array()?;
    let ready = conditions
        .iter()
        .find(|condition| condition["type"] == "Ready")?;
    ready.get("reason")?.as_str()
}
