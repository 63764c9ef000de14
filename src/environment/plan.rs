//! Decides what an Environment does next. Pure: everything it knows is in `Observed` and `now`.
//!
//! The parts, in the order in which they are asked:
//! - `history`: what the Promotions say: which one is active, what runs, what is good;
//! - `ruling`: which Releases are held, by people or because they failed;
//! - `candidate`: which Release comes next, because a person asked; `source`: by the spec, and whether it may still come;
//! - `gate`: what must hold before it starts, each in a room of its own (`signed`, `evidence`, `freeze`, `budget`, `soak`, `external` (`dossier` is what it may show), `commit`,
//!   `approval`); `git_ref`: what the Release was built from; `policy`: since when that has been asked for; `overrule`: who lets a Release pass all the same;
//! - `member`: what a promotion consists of, where it is of a set;
//! - `template`: what of it are the templates of Rollouts;
//! - `rollout`: whether it runs; `hidden`: whether that can be told, where they are in another cluster;
//! - `advance`: how the active promotion goes on, or ends; `before`: what ends it before it has started; `migrate` and `migrated`: its
//!   database; `smoke`: its smoke tests, `validate`: their reports;
//! - `contract`: migrations that are asked for alone; `alone`: how they go;
//! - `burn`: what is asked about SLOs, and what follows from the answers;
//! - `incident`: what went wrong because of a promotion, and alerts that tell of it;
//! - `ledger`: what counts of promotions that have ended, for the figures of deliveries;
//! - `keep`: records that were lost, or that are too many; messages that are due;
//! - `report`: the phase and the sentence that people read.
//!
//! A plan does one thing about one Promotion; the driver plans again until there is nothing left.

mod advance;
mod alone;
mod approval;
mod before;
mod budget;
mod burn;
mod candidate;
mod commit;
mod contract;
mod dossier;
mod evidence;
mod external;
mod freeze;
mod gate;
mod git_ref;
mod hidden;
mod history;
mod incident;
mod keep;
mod ledger;
mod member;
mod migrate;
mod migrated;
mod overrule;
mod policy;
mod report;
mod rollout;
mod ruling;
mod signed;
mod smoke;
mod soak;
mod source;
mod template;
mod validate;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod world;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use super::api::{
    AlertStatus, Candidate, Deployed, EnvironmentPhase, Hold, NotificationEvent, Policy,
    WriteBackStatus,
};
use super::observed::Observed;
use super::slo::Watch;
use super::{alert, mirror, preview, render, tag, write_back};
use crate::dora::api::DoraStatus;
use crate::dora::record::Ledger;
use crate::model::action::Action;
use crate::model::plan::{Plan, Why};
use crate::model::span::{after, earliest, whole_second};
use crate::outbox::Outbox;
use crate::promotion::api::{PromotionSpec, TemplateRef};
use crate::release::order::Order;
use candidate::Wish;
use gate::Gates;
use history::History;
pub(super) use report::{MISSING, WAITING};
use ruling::Rulings;

/// What is remembered, all of it visible in the status.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Memory {
    /// What should run.
    pub desired: Vec<Deployed>,
    /// What runs and passed everything.
    pub current: Vec<Deployed>,
    /// The templates that Rollouts are to wear.
    pub templates: Vec<TemplateRef>,
    /// What comes next, and what it waits for.
    pub candidate: Option<Candidate>,
    /// Releases that are held.
    pub holds: Vec<Hold>,
    /// Releases at which it stays.
    pub pins: Vec<Hold>,
    /// The protection that approvals are bound to; nothing where nothing is known of it yet.
    pub policy: Option<Policy>,
    /// Alerts that were delivered.
    pub alerts: Vec<AlertStatus>,
    /// Messages.
    pub outbox: Outbox,
    /// The promotions whose effect on the SLOs is watched, the last one first.
    pub watches: Vec<Watch>,
    /// How well deliveries go.
    pub dora: Option<DoraStatus>,
    /// What is shown.
    pub shown: Shown,
    /// What is shown of previews.
    pub previews: preview::Shown,
    /// What is shown of its mirror.
    pub mirror: mirror::Shown,
    /// How far what runs is written back.
    pub write_back: Option<WriteBackStatus>,
}

/// What a plan shows in conditions: each a word and a sentence.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    /// Where the Environment is.
    pub phase: EnvironmentPhase,
    /// A candidate waits.
    pub pending: Option<Said>,
    /// A promotion changes what runs.
    pub promoting: Option<Said>,
    /// Promotions are held.
    pub held: Option<Said>,
    /// How the last promotion ended, and whether that is good.
    pub last: Option<(bool, Said)>,
    /// Whether everything that runs serves.
    pub health: Option<(bool, Said)>,
    /// How the database was left, and whether that is good.
    pub migrations: Option<(bool, Said)>,
    /// How many incidents are open.
    pub incidents: Option<(u32, Said)>,
    /// References that lead nowhere.
    pub missing: Vec<String>,
    /// It waits for its cluster.
    pub is_hidden: bool,
}

/// A word and a sentence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Said {
    /// In CamelCase.
    pub reason: String,
    /// For people.
    pub message: String,
}

impl Said {
    fn new(reason: &str, message: impl Into<String>) -> Self {
        Self {
            reason: reason.to_owned(),
            message: message.into(),
        }
    }
}

/// Decides what an Environment does next.
pub fn plan(seen: &Observed, now: Timestamp) -> Plan<Memory> {
    // Records keep whole seconds; a plan that counted finer would not recognise its own.
    let now = whole_second(now);
    if seen.is_mirror {
        let why = Why::normal("Mirror", "another cluster decides what runs here");
        let mut plan = Plan::idle(Memory::default(), why);
        // A finalizer from before it was one holds it up no longer.
        plan.finished = seen.is_deleted;
        return plan;
    }
    let mut draft = Draft::new(seen, now);
    if seen.is_deleted {
        let why = Why::normal("Deleting", "being deleted; what runs goes on running");
        let plan = Plan::idle(draft.memory(Shown::default()), why);
        return with_mirror(seen, now, plan);
    }
    if !seen.mirror.is_unknown() {
        draft.decide();
    }
    let (may_ask, late) = (draft.is_quiet, std::mem::take(&mut draft.late));
    let plan = draft.finish();
    // Nothing that comes of it would be kept: the status stays as it is.
    if seen.mirror.is_unknown() && seen.status.observed_generation == Some(seen.generation) {
        return with_mirror(seen, now, plan);
    }
    // The first action that is refused ends a pass. So what promotions need comes first, and what only informs last; questions
    // are never refused.
    let plan = with_tags(seen, now, with_write_back(seen, now, may_ask, plan));
    let mut plan = with_mirror(seen, now, plan);
    plan.actions.extend(late);
    with_previews(seen, now, plan)
}

/// Tags follow what it has, after everything else.
fn with_tags(seen: &Observed, now: Timestamp, mut plan: Plan<Memory>) -> Plan<Memory> {
    let outlook = tag::plan(seen, &plan.progress.current, now);
    plan.add(outlook.actions, outlook.wake);
    plan
}

/// What runs is written back when nothing is left to do about promotions.
fn with_write_back(
    seen: &Observed,
    now: Timestamp,
    may_ask: bool,
    mut plan: Plan<Memory>,
) -> Plan<Memory> {
    let outlook = write_back::plan(seen, &plan.progress.current, may_ask, now);
    plan.add(outlook.action, outlook.wake);
    plan.progress.write_back = outlook.status;
    plan
}

/// What is done in another cluster comes after what promotions need here, and before what they do not need.
fn with_mirror(seen: &Observed, now: Timestamp, mut plan: Plan<Memory>) -> Plan<Memory> {
    let record = seen.status.mirror.as_ref();
    if seen.mirror.is_local() {
        plan.finished = seen.is_deleted && seen.spec.cluster.is_some();
        return plan;
    }
    let of = mirror::Subject {
        key: &seen.key,
        spec: &seen.spec,
        seen: &seen.mirror,
        record,
        is_deleted: seen.is_deleted,
    };
    let told = mirror::Told {
        desired: &plan.progress.desired,
        templates: &plan.progress.templates,
        slos: &seen.status.slos,
        phase: plan.progress.shown.phase,
    };
    let outlook = mirror::plan(of, &told, now);
    plan.add(outlook.actions, outlook.wake);
    if let Some(notice) = outlook.notice {
        plan.why = Why::warning(plan.why.reason, format!("{}; {notice}", plan.why.message));
    }
    plan.finished = seen.is_deleted && outlook.shown.record.is_none();
    plan.progress.mirror = outlook.shown;
    plan
}

/// Previews have nothing to do with Promotions: what is done about them comes after everything else.
fn with_previews(seen: &Observed, now: Timestamp, mut plan: Plan<Memory>) -> Plan<Memory> {
    let (Some(spec), Some(previews)) = (&seen.spec.previews, &seen.previews) else {
        return plan;
    };
    let of = preview::Subject {
        key: &seen.key,
        spec,
        seen: previews,
        before: &seen.status.previews,
        prometheus: seen
            .spec
            .metrics
            .as_ref()
            .and_then(|metrics| metrics.prometheus.as_ref()),
        answers: &seen.answers,
        checks: &seen.checks,
    };
    let outlook = preview::plan(of, now);
    plan.add(outlook.actions, outlook.wake);
    plan.progress.previews = outlook.shown;
    if previews.blocked.is_some() {
        // Nothing is known of them: they are shown as they were.
        let shown = &mut plan.progress.previews.items;
        shown.clone_from(&seen.status.previews);
    }
    plan
}

/// A plan in the making.
struct Draft<'a> {
    seen: &'a Observed,
    now: Timestamp,
    order: Order<'a>,
    history: History<'a>,
    /// What counts of promotions that have ended, as far as it is written down.
    ledger: Ledger,
    rulings: Rulings,
    /// The protection, and since when it has been so.
    policy: Policy,
    /// What the promotion that waits waits for.
    gates: Gates,
    /// Alerts that are on record, or will be with this plan.
    alerts: Vec<AlertStatus>,
    actions: Vec<Action>,
    /// What may be refused without harm to promotions.
    late: Vec<Action>,
    /// Nothing is left to do about promotions.
    is_quiet: bool,
    outbox: Outbox,
    wake: Option<Timestamp>,
    /// What else people should know.
    notices: Vec<String>,
}

impl<'a> Draft<'a> {
    fn new(seen: &'a Observed, now: Timestamp) -> Self {
        let sets = seen.sets.known.iter();
        let sets = sets.map(|(name, set)| (name, set.members.as_slice()));
        let order = Order::of(&seen.releases).with_sets(&seen.sets.members, sets);
        let history = History::read(seen, &order);
        let rule = seen.spec.incidents.as_ref();
        Self {
            alerts: alert::taken_in(&seen.status.alerts, &seen.delivered, rule, now),
            seen,
            now,
            rulings: Rulings::read(seen, &history, &order, now),
            policy: Policy::read(seen, now),
            ledger: ledger::read(seen),
            order,
            history,
            gates: Gates::default(),
            actions: Vec::new(),
            late: Vec::new(),
            is_quiet: false,
            outbox: Outbox::new(seen.status.outbox.clone()),
            wake: None,
            notices: Vec::new(),
        }
    }

    fn decide(&mut self) {
        if let Some(until) = self.rulings.until {
            self.wake_at(until);
        }
        if let Some(notice) = &self.seen.sets.notice {
            self.notice(notice.clone());
        }
        if self.hidden().is_some() {
            // What was last seen of the Rollouts is no ground for a verdict. What is not about them goes on.
            self.is_quiet = true;
            self.send();
            self.ask();
            self.keep_rules();
            return;
        }
        if let Some(name) = self.unknown_rollout() {
            self.is_quiet = true;
            self.notice(format!("waits until it is known what Rollout {name} runs"));
            return;
        }
        if self.restore() {
            return;
        }
        if let Some(failed) = self.history.rollback_owed() {
            if let Some(wish) = self.owed_wish(&failed) {
                self.create(&wish);
            }
        } else if let Some(active) = self.history.active() {
            self.advance(&active);
        } else if let Some(alone) = self.history.active_migration() {
            self.migrate_alone(&alone);
        } else if let Some(wish) = self.way_back_wish() {
            self.take_back(&wish);
        } else if let Some(wish) = self.adopted() {
            self.create(&wish);
        } else if let Some(wish) = self.pending_wish() {
            self.create(&wish);
        } else if let Some(wish) = self.candidate() {
            self.create(&wish);
        } else if let Some(wish) = self.config_wish() {
            self.create(&wish);
        } else if let Some(wish) = self.contract_wish() {
            self.create(&wish);
        }
        self.keep_incidents();
        self.is_quiet = self.actions.iter().all(is_question);
        self.prune();
        self.send();
        // What waits for other servers comes last, and what they may refuse after that.
        self.ask();
        self.keep_rules();
        // A page that cannot be written holds nothing up.
        if self.is_quiet {
            self.keep_ledger();
        }
    }

    fn create(&mut self, wish: &Wish) {
        let templates = self.templates_for(wish);
        let spec = PromotionSpec {
            templates,
            ..wish.spec(self.seen, self.seen.next_number(), &self.policy.hash)
        };
        let promotion = render::promotion(self.seen, &spec);
        self.actions.push(Action::Create(promotion));
    }

    fn finish(mut self) -> Plan<Memory> {
        let (shown, why) = self.report();
        let memory = self.memory(shown);
        Plan {
            actions: self.actions,
            progress: memory,
            wake: self.wake,
            why,
            finished: false,
        }
    }

    fn memory(&mut self, shown: Shown) -> Memory {
        let status = &self.seen.status;
        // What cannot be known yet is not said: Rollouts would follow it.
        let is_hidden = self.hidden().is_some();
        let (desired, current, templates) = if is_hidden || self.unknown_rollout().is_some() {
            let current = if is_hidden {
                self.with_clocks(status.current.clone())
            } else {
                status.current.clone()
            };
            (status.desired.clone(), current, status.templates.clone())
        } else {
            let current = self.with_clocks(self.history.current(&self.order));
            (self.desired(), current, self.templates().to_vec())
        };
        Memory {
            desired,
            current,
            templates,
            candidate: self.shown_candidate(),
            holds: self.rulings.shown(),
            pins: self.rulings.shown_pins(),
            policy: Some(self.policy.clone()),
            watches: self.slos().watches,
            alerts: self.shown_alerts(),
            dora: self.dora(),
            outbox: std::mem::take(&mut self.outbox),
            shown,
            previews: preview::Shown::default(),
            mirror: mirror::Shown::default(),
            write_back: status.write_back.clone(),
        }
    }

    fn wake_at(&mut self, at: Timestamp) {
        self.wake = earliest(self.wake, at);
    }

    fn notice(&mut self, text: String) {
        if !self.notices.contains(&text) {
            self.notices.push(text);
        }
    }

    /// Puts a message for everybody who wants to hear of it into the outbox: about a Promotion, or, after a slash, an
    /// incident of it.
    fn announce(&mut self, event: NotificationEvent, about: &str) {
        for sink in &self.seen.spec.notifications {
            if sink.hears(event, event.severity()) {
                let key = format!("{}/{event}/{about}", sink.name);
                self.outbox.add(&key, &sink.name);
            }
        }
    }
}

/// Whether it only asks, and changes nothing.
const fn is_question(action: &Action) -> bool {
    matches!(action, Action::Fetch { .. })
}

/// A span as people write it.
fn shown(span: Duration) -> String {
    let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
    format!("{span:#}")
}
