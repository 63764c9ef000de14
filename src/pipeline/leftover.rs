//! Before a run is deleted, what it has left in registries: one run after the other is asked about, once. A registry that keeps it is
//! on record, and is left alone for a while; the run goes whatever became of it. No I/O.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::Value;

use super::api::{KeptLeftovers, LeftoverReason};
use super::observed::{Observed, Run};
use crate::model::action::{Action, Outcome, Request};
use crate::model::leftover::LeftoverQuestion;
use crate::model::plan::Why;
use crate::model::text::truncate;
use crate::pipeline_run::leftover::Cleared;

/// What every question of these begins with.
const PREFIX: &str = "leftovers of ";
/// How long all of it may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How long a registry is left alone that has kept something.
const PAUSE: SignedDuration = SignedDuration::from_hours(1);
/// Longest message.
const MAX_MESSAGE: usize = 512;
/// Registries that are on record at most.
const MOST: usize = 8;

fn question(run: &Run) -> String {
    format!("{PREFIX}{}", run.target.uid)
}

/// What is asked before a run is deleted; nothing where it has left nothing, or registries have answered.
pub fn ask(seen: &Observed, run: &Run, now: Timestamp) -> Option<Action> {
    let key = question(run);
    let is_wanted = run.has_leftovers && seen.spec.retention.deletes_untagged();
    if !is_wanted || seen.asked.contains_key(&key) {
        return None;
    }
    let kept = seen.status.leftovers.iter();
    let spared = kept.filter(|kept| now.duration_since(kept.at.0) < PAUSE);
    let question = LeftoverQuestion {
        run: run.target.key.clone(),
        uid: run.target.uid.clone(),
        spared: spared.map(|kept| kept.registry.clone()).collect(),
    };
    let request = Request::for_leftovers(question, LIMIT);
    Some(Action::Fetch { key, request })
}

/// Which registries keep what runs have left, with what they answered.
pub fn status(seen: &Observed, outcome: &Outcome, now: Timestamp) -> Vec<KeptLeftovers> {
    if !seen.spec.retention.deletes_untagged() {
        return Vec::new();
    }
    let mut known = seen.status.leftovers.clone();
    let answers = outcome.replies.iter();
    let answers = answers.filter(|(question, _)| question.starts_with(PREFIX));
    for cleared in answers.filter_map(|(_, reply)| Cleared::read(reply)) {
        known.retain(|kept| {
            let is_over = match kept.reason {
                LeftoverReason::DeletionRefused => &cleared.deleted,
                LeftoverReason::LeftoversUnclear => &cleared.told,
            };
            !is_over.contains(&kept.registry)
        });
        for refusal in cleared.kept {
            known.retain(|kept| kept.registry != refusal.registry);
            known.push(KeptLeftovers {
                registry: refusal.registry,
                reason: refusal.reason,
                message: truncate(&refusal.message, MAX_MESSAGE).to_owned(),
                at: Time(now),
            });
        }
    }
    let oldest = known.len().saturating_sub(MOST);
    known.split_off(oldest)
}

/// What people are told between two statuses: that a registry keeps something, once for each reason.
pub fn news(before: &Value, after: &Value) -> Option<Why> {
    let of = |status: &Value| -> Vec<KeptLeftovers> {
        let part = status.get("leftovers").cloned().unwrap_or_default();
        serde_json::from_value(part).unwrap_or_default()
    };
    let before = of(before);
    let is_known = |kept: &KeptLeftovers| {
        let mut known = before.iter();
        known.any(|known| (&known.registry, known.reason) == (&kept.registry, kept.reason))
    };
    let kept = of(after).into_iter().find(|kept| !is_known(kept))?;
    let message = format!(
        "what runs have left in {} stays there: {}",
        kept.registry, kept.message
    );
    Some(match kept.reason {
        LeftoverReason::DeletionRefused => Why::normal("DeletionRefused", message),
        LeftoverReason::LeftoversUnclear => Why::normal("LeftoversUnclear", message),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::super::testing::{NOW, a_pipeline};
    use super::*;
    use crate::model::action::Errand;
    use crate::pipeline_run::api::RunPhase;
    use crate::pipeline_run::leftover::{Place, Refusal};

    fn a_place(registry: &str) -> Place {
        Place {
            repository: format!("{registry}/shop/api"),
            is_insecure: false,
            login: None,
        }
    }

    fn with_leftovers() -> Observed {
        let mut seen = a_pipeline().with_run('b', RunPhase::Failed, 100);
        seen.runs[0].has_leftovers = true;
        seen
    }

    /// The status after registries have answered.
    fn after(seen: &Observed, answer: &Cleared, now: Timestamp) -> Vec<KeptLeftovers> {
        let mut outcome = Outcome::default();
        let key = question(&seen.runs[0]);
        outcome.replies.insert(key, Ok(answer.reply()));
        status(seen, &outcome, now)
    }

    fn spared(seen: &Observed, now: Timestamp) -> Vec<String> {
        let Some(Action::Fetch { request, .. }) = ask(seen, &seen.runs[0], now) else {
            panic!("nothing is asked");
        };
        match request.errand.as_deref() {
            Some(Errand::Leftovers(question)) => question.spared.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_run_is_asked_about_once_and_only_where_people_want_it() {
        let mut seen = with_leftovers();
        let asks = |seen: &Observed| ask(seen, &seen.runs[0], NOW).is_some();
        assert!(asks(&seen));
        seen.spec.retention.registry = serde_json::from_value(json!({"untagged": "Keep"})).unwrap();
        assert!(!asks(&seen));
        seen.spec.retention.registry = serde_json::from_value(json!({})).unwrap();
        assert!(asks(&seen));
        seen.asked.insert(question(&seen.runs[0]), NOW);
        assert!(!asks(&seen));
        seen.asked.clear();
        seen.runs[0].has_leftovers = false;
        assert!(!asks(&seen));
    }

    #[test]
    fn a_registry_that_refuses_is_left_alone_for_an_hour_and_told_once() {
        let mut seen = with_leftovers();
        let refusal = Refusal::refused(&a_place("r.example"), "it answers 405");
        let refused = Cleared {
            kept: vec![refusal],
            ..Cleared::default()
        };
        let before = json!({});
        seen.status.leftovers = after(&seen, &refused, NOW);
        let on_record = json!({"leftovers": seen.status.leftovers});
        let why = news(&before, &on_record).unwrap();
        assert_eq!(why.reason, "DeletionRefused");
        assert!(
            why.message
                .contains("r.example stays there: it answers 405"),
            "{}",
            why.message
        );
        let minutes = |minutes| NOW + SignedDuration::from_mins(minutes);
        assert_eq!(spared(&seen, minutes(59)), ["r.example"]);
        assert_eq!(spared(&seen, minutes(60)), [""; 0]);

        let again = after(&seen, &refused, minutes(60));
        assert_eq!(again[0].at, Time(minutes(60)));
        assert_eq!(news(&on_record, &json!({"leftovers": again})), None);
        let of = |registries: &[&str]| {
            registries
                .iter()
                .map(|name| (*name).to_owned())
                .collect::<BTreeSet<_>>()
        };
        let told = Cleared {
            told: of(&["r.example"]),
            ..Cleared::default()
        };
        assert_eq!(
            after(&seen, &told, NOW).len(),
            1,
            "it has not been asked to delete anything"
        );
        let deleted = Cleared {
            deleted: of(&["r.example"]),
            ..told
        };
        assert!(after(&seen, &deleted, NOW).is_empty());
    }

    #[test]
    fn what_is_on_record_is_bounded_and_no_answer_changes_nothing() {
        let mut seen = with_leftovers();
        for number in 0..20 {
            let place = a_place(&format!("r{number}.example"));
            let kept = vec![Refusal::unclear(&place, "x".repeat(2000))];
            let answer = Cleared {
                kept,
                ..Cleared::default()
            };
            seen.status.leftovers = after(&seen, &answer, NOW);
        }
        let known = &seen.status.leftovers;
        assert_eq!(
            (known.len(), known[7].registry.as_str()),
            (8, "r19.example")
        );
        assert!(known.iter().all(|kept| kept.message.len() <= MAX_MESSAGE));
        let mut outcome = Outcome::default();
        outcome
            .replies
            .insert(question(&seen.runs[0]), Err("no answer".into()));
        assert_eq!(&status(&seen, &outcome, NOW), known);
        let told = known.iter().map(|kept| kept.registry.clone()).collect();
        let told = Cleared {
            told,
            ..Cleared::default()
        };
        assert!(after(&seen, &told, NOW).is_empty());
    }
}
