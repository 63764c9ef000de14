//! An Environment whose Rollouts are in another cluster: what is done there, and what is known of it. Pure. No I/O.
//!
//! ```text
//! this cluster, the hub                          the other cluster
//! Environment ── plan: gates, Promotions ──┐
//!      │                                   │
//!      └─ status.desired ─────────────────►│ mirror Environment, labelled: nobody plans for it there
//!                                          │      │ status.desired
//!      ┌─ statuses of Rollouts ◄───────────│ Rollouts, which the operator there runs
//! ```
//! A mirror has the name of its Environment and as much of its spec as Rollouts read. Where it is stands in `status.mirror`, before
//! it is made; so it is found again when the spec names another place, or the Environment goes.

pub mod kubeconfig;
mod seen;

#[cfg(test)]
mod tests;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::api::{
    Deployed, EnvironmentPhase, EnvironmentSpec, EnvironmentStatus, History, MirrorStatus,
    PromotionMode, PromotionOrder, PromotionRule, PromotionSource, Protection, Retries,
    RollbackRule, SloStatus,
};
use super::status::essence;
use crate::model::action::Action;
use crate::model::condition::Conditions;
use crate::model::key::{Key, MAX_LABEL, short_hash};
use crate::model::label;
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::model::place::Mirroring;
use crate::model::span::{after, exact};
use crate::promotion::api::TemplateRef;
pub use seen::{Hidden, Live, Seen, Sight, State, Trouble};

/// How long a mirror that is to go is tried to be reached.
const GIVE_UP: Duration = Duration::from_mins(5);
/// How long another way to the same namespace may take to answer before the mirror is taken away where it was.
const RECOGNISE: Duration = Duration::from_mins(2);
/// How often the Secret is read, and the mirror looked at, when nothing else calls for it.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// The same while the cluster is away.
const LOOK_AGAIN_SOON: Duration = Duration::from_secs(15);
/// What a mirror takes Releases from: nothing, but its spec has to name something.
const NOWHERE: &str = "mirror";

/// What a mirror is of.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The Environment.
    pub key: &'a Key,
    /// What people want.
    pub spec: &'a EnvironmentSpec,
    /// What is there.
    pub seen: &'a Seen,
    /// Where the mirror is, by the Environment's status.
    pub record: Option<&'a MirrorStatus>,
    /// Whether the Environment is being deleted.
    pub is_deleted: bool,
}

/// What Rollouts are told through it.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// What should run.
    pub desired: &'a [Deployed],
    /// The templates that they are to wear.
    pub templates: &'a [TemplateRef],
    /// How SLOs are.
    pub slos: &'a [SloStatus],
    /// Where the Environment is.
    pub phase: EnvironmentPhase,
}

/// What is to be done, and what is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outlook {
    /// In order.
    pub actions: Vec<Action>,
    /// When to look again.
    pub wake: Option<Timestamp>,
    /// What is shown.
    pub shown: Shown,
    /// What else people should know.
    pub notice: Option<String>,
}

/// What is shown of a mirror.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Shown {
    /// Where it is.
    pub record: Option<MirrorStatus>,
    /// Whether all is well with its cluster: a word and a sentence. Nothing where there is none to be.
    pub said: Option<(bool, &'static str, String)>,
}

/// The label of the mirror of an Environment.
pub fn label_of(key: &Key) -> String {
    let whole = format!("{}.{}", key.namespace, key.name);
    if whole.len() <= MAX_LABEL {
        return whole;
    }
    let mark = short_hash(whole.as_bytes(), 12);
    let cut: String = whole.chars().take(MAX_LABEL - mark.len() - 1).collect();
    format!("{}-{mark}", cut.trim_end_matches(['-', '.']))
}

/// Decides what to do about the mirror: first it leaves where it is not to be, then it is kept where it is to be.
pub fn plan(of: Subject<'_>, told: &Told<'_>, now: Timestamp) -> Outlook {
    if let (Some(left), Some(record)) = (&of.seen.left, of.record)
        && !is_where_it_was(of, left, record)
    {
        if may_be_where_it_was(of, left, record, now) {
            return await_target(of, record, now);
        }
        let outlook = leave(of, left, record, now);
        if outlook.shown.record.is_some() || of.seen.target.is_none() {
            return outlook;
        }
    }
    match &of.seen.target {
        Some(target) => enter(of, target, told, now),
        None => Outlook::default(),
    }
}

/// The uid of the mirror that is left, as far as it is known.
fn uid_left<'a>(of: Subject<'a>, left: &'a Sight, record: &'a MirrorStatus) -> Option<&'a str> {
    let seen = match &left.state {
        State::Known(Some(live)) if live.is_of(of.key) => Some(live.target.uid.as_str()),
        State::Known(_) | State::Unknown | State::Away(..) => None,
    };
    seen.or(record.uid.as_deref())
}

/// Whether the mirror that is where it is to be is the one that was left: only the way there has another name, a Secret, a context or
/// a ServiceAccount.
fn is_where_it_was(of: Subject<'_>, left: &Sight, record: &MirrorStatus) -> bool {
    let target = of.seen.target.as_ref().map(|target| &target.state);
    let Some(State::Known(Some(live))) = target else {
        return false;
    };
    live.is_of(of.key) && uid_left(of, left, record) == Some(live.target.uid.as_str())
}

/// Whether that may turn out yet: the same namespace is to be asked, and has not answered.
fn may_be_where_it_was(
    of: Subject<'_>,
    left: &Sight,
    record: &MirrorStatus,
    now: Timestamp,
) -> bool {
    let Some(target) = &of.seen.target else {
        return false;
    };
    let is_open = match &target.state {
        State::Unknown | State::Away(..) => true,
        State::Known(_) => false,
    };
    let since = record.leaving_since.as_ref().map_or(now, |since| since.0);
    is_open
        && target.place.namespace == left.place.namespace
        && uid_left(of, left, record).is_some()
        && now < after(since, RECOGNISE)
}

/// Leaves the mirror alone until its place has answered.
fn await_target(of: Subject<'_>, record: &MirrorStatus, now: Timestamp) -> Outlook {
    let since = record.leaving_since.clone().unwrap_or(Time(now));
    let until = after(since.0, RECOGNISE);
    let hidden = of.seen.hidden(of.key);
    Outlook {
        actions: Vec::new(),
        wake: Some(until.min(after(now, LOOK_AGAIN_SOON))),
        shown: Shown {
            record: Some(MirrorStatus {
                leaving_since: Some(since),
                ..record.clone()
            }),
            said: hidden.map(|hidden| (false, hidden.reason, hidden.message)),
        },
        notice: None,
    }
}

/// Takes the mirror away where it is not to be any more. Who cannot be reached for long is left alone: what runs there goes on.
fn leave(of: Subject<'_>, left: &Sight, record: &MirrorStatus, now: Timestamp) -> Outlook {
    let since = record.leaving_since.clone().unwrap_or(Time(now));
    let until = after(since.0, GIVE_UP);
    let (action, why, is_hopeless) = match &left.state {
        State::Known(Some(live)) if live.is_of(of.key) && !live.is_going => {
            let action = Action::Mirror {
                place: left.place.clone(),
                what: Mirroring::Remove(live.target.clone()),
            };
            (Some(action), "it is deleted", false)
        }
        State::Known(_) => return Outlook::default(),
        State::Unknown => (None, "its cluster is asked", false),
        // With the namespace of an Environment its Secrets go too: nobody will bring them back.
        State::Away(trouble, text) => {
            let is_hopeless = of.is_deleted && trouble.takes_edit();
            (None, text.as_str(), is_hopeless)
        }
    };
    if is_hopeless || until <= now {
        return Outlook {
            notice: Some(format!("its mirror is left in {}: {why}", left.place)),
            ..Outlook::default()
        };
    }
    let end = exact(until);
    let text = format!(
        "its mirror in {} is to go: {why}; at {end} it is left there",
        left.place
    );
    Outlook {
        actions: action.into_iter().collect(),
        wake: Some(until.min(after(now, LOOK_AGAIN_SOON))),
        shown: Shown {
            record: Some(MirrorStatus {
                leaving_since: Some(since),
                ..record.clone()
            }),
            said: Some((false, "Leaving", text)),
        },
        notice: None,
    }
}

/// Brings the mirror to what it is to be.
fn enter(of: Subject<'_>, target: &Sight, told: &Told<'_>, now: Timestamp) -> Outlook {
    let hidden = of.seen.hidden(of.key);
    let pause = if hidden.is_some() {
        LOOK_AGAIN_SOON
    } else {
        LOOK_AGAIN
    };
    let mirroring = match &target.state {
        State::Known(live) if hidden.is_none() => {
            kept(of, live.as_deref(), told, now).map(|what| Action::Mirror {
                place: target.place.clone(),
                what,
            })
        }
        State::Known(_) | State::Unknown | State::Away(..) => None,
    };
    let live = match &target.state {
        State::Known(Some(live)) if hidden.is_none() => Some(&**live),
        State::Known(_) | State::Unknown | State::Away(..) => None,
    };
    let lacks = live
        .and_then(|live| live.vain.as_ref())
        .map_or_else(String::new, |vain| {
            let fields = vain.pointer("/spec").and_then(Value::as_object);
            let fields: Vec<&str> = fields
                .into_iter()
                .flat_map(Map::keys)
                .map(String::as_str)
                .collect();
            format!(
                "; the definitions there are older and do not take all of {}",
                fields.join(", ")
            )
        });
    let good = || {
        (
            true,
            "Mirrored",
            format!("mirrored in {}{lacks}", target.place),
        )
    };
    let said = hidden.map_or_else(good, |hidden| (false, hidden.reason, hidden.message));
    // One that is out of sight is the one that was seen there.
    let known = of.record.filter(|known| known.is_at(&target.place));
    let uid = live.map(|live| live.target.uid.clone());
    let uid = uid.or_else(|| known.and_then(|known| known.uid.clone()));
    Outlook {
        actions: mirroring.into_iter().collect(),
        wake: Some(after(now, pause)),
        shown: Shown {
            record: Some(MirrorStatus {
                uid,
                ..MirrorStatus::at(&target.place)
            }),
            said: Some(said),
        },
        notice: None,
    }
}

/// The next thing that is done to it: it is made, its status is told, its spec is put right. A spec that
/// does not become right, as where the definition there lacks a field, holds nothing up.
fn kept(
    of: Subject<'_>,
    live: Option<&Live>,
    told: &Told<'_>,
    now: Timestamp,
) -> Option<Mirroring> {
    let wanted = mirrored(of.spec);
    let Some(live) = live else {
        return Some(Mirroring::Make(manifest(of, &wanted)));
    };
    // One that somebody deletes is made again once it is gone.
    if live.is_going {
        return None;
    }
    let status = status_of(of, live, told, now);
    let before = serde_json::to_value(&live.status).unwrap_or_default();
    let after = serde_json::to_value(status).unwrap_or_default();
    if essence(&before) != essence(&after) {
        return Some(Mirroring::Tell {
            target: live.target.clone(),
            status: after,
        });
    }
    let before = serde_json::to_value(&live.spec).unwrap_or_default();
    let after = serde_json::to_value(&wanted).unwrap_or_default();
    let change = correction(&before, &after).map(|change| json!({"spec": change}));
    let change = change.filter(|change| live.vain.as_ref() != Some(change));
    change.map(|change| Mirroring::Keep {
        target: live.target.clone(),
        change,
    })
}

/// What has to be merged into one value to make it another; nothing where they are the same.
fn correction(before: &Value, after: &Value) -> Option<Value> {
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return (before != after).then(|| after.clone());
    };
    let mut change = Map::new();
    for (name, value) in new {
        let old = old.get(name).unwrap_or(&Value::Null);
        if let Some(part) = correction(old, value) {
            change.insert(name.clone(), part);
        }
    }
    let gone = old
        .iter()
        .filter(|(name, value)| !new.contains_key(*name) && !value.is_null());
    change.extend(gone.map(|(name, _)| (name.clone(), Value::Null)));
    (!change.is_empty()).then_some(Value::Object(change))
}

/// The spec of a mirror: what Rollouts read, and nothing that anything would come of.
fn mirrored(spec: &EnvironmentSpec) -> EnvironmentSpec {
    EnvironmentSpec {
        tier: spec.tier,
        promotion: PromotionRule {
            from: PromotionSource {
                pipelines: vec![NOWHERE.to_owned()],
                ..PromotionSource::default()
            },
            set: None,
            mode: PromotionMode::Manual,
            order: PromotionOrder::default(),
            max_hold: None,
            timeout: None,
            retries: Retries::default(),
            template_changes: spec.promotion.template_changes,
        },
        rollouts: spec.rollouts.clone(),
        protection: Protection::default(),
        migrations: None,
        smoke_tests: Vec::new(),
        rollback: RollbackRule::default(),
        metrics: spec.metrics.clone().filter(|_| !spec.slos.is_empty()),
        slos: spec.slos.clone(),
        incidents: None,
        notifications: Vec::new(),
        previews: None,
        image_tag: None,
        cluster: None,
        write_back: None,
        deletion_policy: None,
        history: History::default(),
    }
}

fn manifest(of: Subject<'_>, spec: &EnvironmentSpec) -> Manifest {
    let target = of.seen.target.as_ref();
    let namespace = target.map_or("", |target| &target.place.namespace);
    let key = Key::new(namespace, of.key.name.as_str());
    let label = label_of(of.key);
    let labels = [(label::MIRROR_OF, label.as_str())];
    Manifest::new(
        ObjectKind::Environment,
        key,
        &labels,
        None,
        json!({"spec": spec}),
    )
}

/// What the mirror says: what Rollouts follow, and for people whose mirror it is.
fn status_of(of: Subject<'_>, live: &Live, told: &Told<'_>, now: Timestamp) -> EnvironmentStatus {
    let text = format!(
        "mirrors Environment {} of another cluster, which decides what runs here",
        of.key
    );
    EnvironmentStatus {
        observed_generation: Some(live.generation),
        conditions: Conditions::new(&live.status.conditions, live.generation, now)
            .set("Ready", true, "Mirror", &text)
            .build(),
        phase: Some(told.phase),
        message: Some(text),
        desired: told.desired.to_vec(),
        templates: told.templates.to_vec(),
        slos: told.slos.to_vec(),
        ..EnvironmentStatus::default()
    }
}
