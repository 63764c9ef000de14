//! Stories.

use super::super::api::{SourceError, SourceErrorKind};
use super::super::observed::{Authorities, Pause};
use super::super::status::{essence, status};
use super::super::testing::{NOW, a_pipeline, sha};
use super::*;
use crate::model::action::{Outcome, Reply};
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline::trigger::event::What;
use crate::pipeline::trigger::poll;
use proptest::prelude::*;

mod trigger;

fn verbs(plan: &Plan<Memory>) -> Vec<&'static str> {
    plan.actions.iter().map(Action::verb).collect()
}

fn answer(seen: &Observed, digit: char) -> Outcome {
    let line = format!("{} refs/heads/main\0caps\n", sha(digit));
    let body = format!(
        "001e# service=git-upload-pack\n0000{:04x}{line}0000",
        line.len() + 4
    );
    let reply = Reply {
        status: 200,
        body: body.into_bytes(),
    };
    let mut outcome = Outcome::default();
    outcome.replies.insert(seen.question(), Ok(reply));
    outcome
}

/// What the driver does with a poll: the new status goes in, and the time is noted.
fn polled(mut seen: Observed, outcome: &Outcome) -> Observed {
    let plan = plan(&seen, NOW);
    seen.status = status(&seen, &plan, outcome, NOW);
    seen.polled_at = Some(NOW);
    seen
}

#[test]
fn which_run_is_the_last_one_may_wait_and_what_polling_finds_may_not() {
    let base = serde_json::json!({
        "message": "a", "lastRun": {"name": "api-1"}, "lastSuccessful": "api-1", "latestRelease": "api-3f9c",
        "lastObservedSha": sha('a'), "admitted": ["api-1"],
        "conditions": [{"type": "Ready", "status": "True", "reason": "Watching", "message": "a"}],
    });
    let with = |path: &str| {
        let mut status = base.clone();
        *status.pointer_mut(path).unwrap() = "other".into();
        essence(&status) == essence(&base)
    };
    let may_wait = [
        "/message",
        "/lastRun/name",
        "/lastSuccessful",
        "/latestRelease",
    ];
    assert!(may_wait.into_iter().all(with) && with("/conditions/0/message"));
    let at_once = ["/lastObservedSha", "/admitted/0", "/conditions/0/reason"];
    assert!(!at_once.into_iter().any(with));
}

#[test]
fn a_new_pipeline_asks_for_the_head_of_its_branch() {
    let seen = a_pipeline();
    let plan = plan(&seen, NOW);
    assert_eq!(verbs(&plan), ["fetch"]);
    assert_eq!(plan.why.reason, "Resolving");
}

#[test]
fn a_new_commit_becomes_a_run() {
    let seen = a_pipeline();
    let outcome = answer(&seen, 'a');
    let seen = polled(seen, &outcome);
    assert_eq!(seen.status.last_observed_sha, Some(sha('a')));
    let plan = plan(&seen, NOW);
    let [Action::Create(run)] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions);
    };
    assert_eq!(run.body["spec"]["sha"], sha('a'));
    assert_eq!(run.body["spec"]["ref"], "refs/heads/main");
    assert_eq!(run.body["spec"]["trigger"]["kind"], "Push");
    assert_eq!(run.body["metadata"]["ownerReferences"][0]["uid"], "uid-api");
    assert!(run.key.name.starts_with("api-"));
}

#[test]
fn the_same_commit_makes_the_same_run_and_another_one_another() {
    let seen = a_pipeline();
    let name = |seen: &Observed, digit| render::run_key(seen, &sha(digit)).name;
    assert_eq!(name(&seen, 'a'), name(&a_pipeline(), 'a'));
    assert_ne!(name(&seen, 'a'), name(&seen, 'b'));
    let mut other = a_pipeline();
    other.spec.source.git.branch = "release".into();
    assert_ne!(name(&seen, 'a'), name(&other, 'a'));
}

#[test]
fn a_poll_that_finds_nothing_new_changes_no_byte_of_the_status() {
    let mut seen = a_pipeline().at('a', 0).with_run('a', RunPhase::Running, 60);
    let rested = plan(&seen, NOW);
    seen.status = status(&seen, &rested, &Outcome::default(), NOW);
    let later = NOW + SignedDuration::from_mins(3);
    let due = plan(&seen, later);
    assert_eq!(verbs(&due), ["fetch"]);
    let intended = status(&seen, &due, &Outcome::default(), later);
    assert_eq!(intended, seen.status);
    let learned = status(&seen, &due, &answer(&seen, 'a'), later);
    assert_eq!(learned, seen.status);
}

#[test]
fn the_next_poll_comes_after_the_interval() {
    let seen = a_pipeline()
        .at('a', 20)
        .with_run('a', RunPhase::Running, 60);
    let plan = plan(&seen, NOW);
    assert_eq!(verbs(&plan), Vec::<&str>::new());
    assert_eq!(plan.wake, Some(NOW + SignedDuration::from_secs(100)));
}

#[test]
fn after_a_restart_the_branch_is_asked_at_once_and_nothing_is_run_twice() {
    let mut seen = a_pipeline()
        .at('a', 20)
        .with_run('a', RunPhase::Running, 60);
    seen.polled_at = None;
    assert_eq!(verbs(&plan(&seen, NOW)), ["fetch"]);
}

#[test]
fn a_commit_that_has_a_release_is_not_run_again() {
    let mut seen = a_pipeline().at('a', 20);
    seen.released = vec![sha('a')];
    assert_eq!(verbs(&plan(&seen, NOW)), Vec::<&str>::new());
}

#[test]
fn another_branch_does_not_take_over_the_head_of_the_old_one() {
    let mut seen = a_pipeline().at('a', 20);
    seen.spec.source.git.branch = "release".into();
    seen.polled_at = None;
    assert_eq!(verbs(&plan(&seen, NOW)), ["fetch"]);
}

#[test]
fn a_suspended_pipeline_neither_asks_nor_starts() {
    let mut seen = a_pipeline().at('a', 500);
    seen.spec.suspend = true;
    let plan = plan(&seen, NOW);
    assert_eq!(verbs(&plan), Vec::<&str>::new());
    assert_eq!(plan.why.reason, "Suspended");
}

#[test]
fn a_paused_pipeline_neither_asks_nor_starts_until_its_time() {
    let mut seen = a_pipeline().at('a', 500);
    seen.pause = Some(Pause {
        by: "alice".into(),
        until: Some(NOW + SignedDuration::from_mins(5)),
    });
    let paused = plan(&seen, NOW);
    assert_eq!(verbs(&paused), Vec::<&str>::new());
    assert_eq!(
        (paused.why.reason, paused.wake),
        ("Paused", Some(NOW + SignedDuration::from_mins(5)))
    );
    let shown = status(&seen, &paused, &Outcome::default(), NOW);
    assert_eq!(shown.paused_by.as_deref(), Some("alice"));
    seen.status = shown;
    let later = plan(&seen, NOW + SignedDuration::from_mins(5));
    assert!(!verbs(&later).is_empty());
    assert_eq!(later.progress.paused_by, None);
}

#[test]
fn a_pipeline_that_starts_nothing_still_notes_which_pull_requests_are_over() {
    let mut seen = a_pipeline().at('a', 500);
    let mut over = poll::event_of("refs/heads/main", &sha('b')).unwrap();
    over.what = What::Closed { number: 7 };
    let pushed = poll::event_of("refs/heads/main", &sha('c')).unwrap();
    seen.events = vec![over, pushed];
    let mut suspended = seen.clone();
    suspended.spec.suspend = true;
    seen.pause = Some(Pause {
        by: "alice".into(),
        until: None,
    });
    for seen in [suspended, seen] {
        let plan = plan(&seen, NOW);
        let closed: Vec<u64> = plan.progress.closed.iter().map(|one| one.number).collect();
        assert_eq!(closed, [7], "{}", plan.why.reason);
        assert_eq!(verbs(&plan), Vec::<&str>::new());
    }
}

#[test]
fn a_spec_that_cannot_be_run_is_stalled_and_says_why() {
    let mut seen = a_pipeline().at('a', 500);
    seen.spec.stages[0].needs = vec!["image".into()];
    let stuck = plan(&seen, NOW);
    assert_eq!(verbs(&stuck), Vec::<&str>::new());
    let status = status(&seen, &stuck, &Outcome::default(), NOW);
    let stalled = status.conditions.iter().find(|c| c.type_ == "Stalled");
    assert!(stalled.unwrap().message.contains("circle"));
}

#[test]
fn an_unreachable_repository_is_shown_and_asked_again() {
    let seen = a_pipeline();
    let mut outcome = Outcome::default();
    outcome
        .replies
        .insert(seen.question(), Err("connection refused".into()));
    let seen = polled(seen, &outcome);
    let plan = plan(&seen, NOW);
    assert_eq!(plan.why.reason, "SourceUnavailable");
    assert_eq!(plan.wake, Some(NOW + SignedDuration::from_mins(2)));
    // And the next success takes it back.
    let outcome = answer(&seen, 'b');
    let seen = polled(seen, &outcome);
    assert_eq!(seen.status.source_error, None);
    assert_eq!(seen.status.last_observed_sha, Some(sha('b')));
}

#[test]
fn a_repository_that_refuses_us_is_stalled() {
    let error = SourceError {
        kind: SourceErrorKind::Auth,
        message: "login".into(),
    };
    let seen = a_pipeline().failing(error);
    let stuck = plan(&seen, NOW);
    let status = status(&seen, &stuck, &Outcome::default(), NOW);
    assert!(status.conditions.iter().any(|c| c.type_ == "Stalled"));
}

#[test]
fn a_missing_ca_bundle_is_named() {
    let mut seen = a_pipeline();
    seen.authorities = Authorities::Missing("there is no ConfigMap ca".into());
    let plan = plan(&seen, NOW);
    assert_eq!(plan.why.reason, "NoCaBundle");
    assert!(plan.wake.is_some());
}

#[test]
fn old_runs_go_and_those_that_run_or_are_the_head_stay() {
    let mut seen = a_pipeline().at('a', 0);
    seen.spec.retention.succeeded = 1;
    seen.spec.retention.failed = 1;
    let seen = seen
        .with_run('a', RunPhase::Succeeded, 900)
        .with_run('b', RunPhase::Succeeded, 100)
        .with_run('c', RunPhase::Succeeded, 200)
        .with_run('d', RunPhase::Failed, 300)
        .with_run('e', RunPhase::Cancelled, 400)
        .with_run('f', RunPhase::Running, 500)
        .with_run('0', RunPhase::Queued, 600);
    let plan = plan(&seen, NOW);
    let deleted: Vec<&str> = plan
        .actions
        .iter()
        .filter_map(|action| match action {
            Action::Delete { target, .. } => Some(target.uid.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(deleted, ["uid-c", "uid-e"]);
    assert_eq!(plan.progress.last_run.as_ref().unwrap().sha, Some(sha('b')));
}

fn deleted(plan: &Plan<Memory>) -> Vec<&str> {
    let deleted = plan.actions.iter().filter_map(|action| match action {
        Action::Delete { target, .. } => Some(target.uid.as_str()),
        _ => None,
    });
    deleted.collect()
}

#[test]
fn a_failure_stays_until_its_end_is_told() {
    let mut seen = a_pipeline().at('a', 0);
    seen.spec.retention.failed = 1;
    seen.spec.retention.max_age = Some(std::time::Duration::from_hours(1).into());
    let mut seen = seen
        .with_run('a', RunPhase::Running, 50)
        .with_run('b', RunPhase::Failed, 100)
        .with_run('c', RunPhase::Cancelled, 200)
        .with_run('d', RunPhase::Failed, 300)
        .with_run('e', RunPhase::TimedOut, 400)
        .with_run('f', RunPhase::Failed, 500);
    // The newest says nothing of the branch, for it is of a few stages only; the last is of another branch.
    seen.runs[1].is_whole = false;
    seen.runs[5].git_ref = "refs/heads/next".into();
    for run in &mut seen.runs[1..] {
        run.finished_at = Some(NOW - SignedDuration::from_hours(2));
    }
    let all = ["uid-b", "uid-c", "uid-d", "uid-e", "uid-f"];
    assert_eq!(deleted(&plan(&seen, NOW)), all);
    let receiver = serde_json::json!({"name": "team", "webhook": {"url": "https://x"}, "on": ["RunRecovered"]});
    seen.spec.notifications = vec![serde_json::from_value(receiver).unwrap()];
    assert_eq!(deleted(&plan(&seen, NOW)), ["uid-b", "uid-c", "uid-e"]);
    seen.runs[0].phase = RunPhase::Succeeded;
    assert_eq!(
        deleted(&plan(&seen, NOW)),
        ["uid-b", "uid-c", "uid-d", "uid-e"]
    );
}

#[test]
fn runs_go_by_their_age_too() {
    let mut seen = a_pipeline().at('a', 0);
    seen.spec.retention.max_age = Some(std::time::Duration::from_hours(1).into());
    let mut seen = seen
        .with_run('a', RunPhase::Succeeded, 9000)
        .with_run('b', RunPhase::Succeeded, 8000)
        .with_run('c', RunPhase::Failed, 7000)
        .with_run('d', RunPhase::Running, 6000);
    for (run, minutes) in seen.runs.iter_mut().zip([0, 59, 61, 120]) {
        let ago = SignedDuration::from_mins(minutes);
        run.finished_at = run.phase.is_finished().then(|| NOW - ago);
    }
    assert_eq!(
        deleted(&plan(&seen, NOW)),
        ["uid-b"],
        "the last is the head"
    );
}

proptest! {
    #[test]
    fn no_run_goes_that_somebody_needs(
        runs in proptest::collection::vec((0..6usize, 0..4usize, any::<bool>()), 0..16), kept in 1..4u32, has_age in any::<bool>(),
    ) {
        let mut seen = a_pipeline().at('a', 0);
        seen.spec.retention.succeeded = kept;
        seen.spec.retention.failed = kept;
        seen.spec.retention.max_age = has_age.then(|| std::time::Duration::from_mins(1).into());
        let phases = [
            RunPhase::Queued, RunPhase::Running, RunPhase::Succeeded, RunPhase::Failed, RunPhase::Cancelled, RunPhase::TimedOut,
        ];
        for (at, (phase, release, is_old)) in runs.into_iter().enumerate() {
            let digit = char::from_digit(u32::try_from(at % 16).unwrap(), 16).unwrap();
            seen = seen.with_run(digit, phases[phase], 1000 + i64::try_from(at).unwrap());
            let run = seen.runs.last_mut().unwrap();
            run.release = (release > 0).then(|| format!("r{release}"));
            run.finished_at = run.phase.is_finished().then(|| NOW - SignedDuration::from_mins(if is_old { 5 } else { 0 }));
        }
        seen.in_use = ["r1".to_owned(), "r3".to_owned()].into();
        let shown = seen.runs.iter().step_by(3).map(|run| run.target.key.name.clone());
        seen.previewed = shown.collect();
        let plan = plan(&seen, NOW);
        let gone = deleted(&plan);
        let head = render::run_key(&seen, &sha('a'));
        for run in seen.runs.iter().filter(|run| gone.contains(&run.target.uid.as_str())) {
            prop_assert!(run.phase.is_finished());
            prop_assert!(run.target.key != head);
            prop_assert!(run.release.as_ref().is_none_or(|name| !seen.in_use.contains(name)));
            prop_assert!(!seen.previewed.contains(&run.target.key.name));
        }
        // And what nobody needs does not pile up.
        let stays = |run: &&super::super::observed::Run| run.phase == RunPhase::Succeeded && !gone.contains(&run.target.uid.as_str());
        let others = seen.runs.iter().filter(stays).filter(|run| {
            let is_needed = run.target.key == head || seen.previewed.contains(&run.target.key.name);
            !is_needed && run.release.as_ref().is_none_or(|name| !seen.in_use.contains(name))
        });
        prop_assert!(others.count() <= usize::try_from(kept).unwrap());
    }
}

#[test]
fn what_a_run_has_left_is_asked_about_before_it_goes_one_run_after_the_other() {
    let asked = |plan: &Plan<Memory>| -> Vec<String> {
        let keys = plan.actions.iter().filter_map(|action| match action {
            Action::Fetch { key, .. } => Some(key.clone()),
            _ => None,
        });
        keys.collect()
    };
    let mut seen = a_pipeline().at('a', 0);
    seen.spec.retention.failed = 1;
    let mut seen = seen
        .with_run('b', RunPhase::Failed, 100)
        .with_run('c', RunPhase::Failed, 200)
        .with_run('d', RunPhase::Failed, 300)
        .with_run('e', RunPhase::Failed, 400);
    for run in &mut seen.runs {
        run.has_leftovers = run.target.uid != "uid-e";
    }
    let first = plan(&seen, NOW);
    let question = asked(&first);
    assert_eq!((deleted(&first), question.len()), (vec!["uid-e"], 1));
    // Whatever was answered.
    seen.asked.insert(question[0].clone(), NOW);
    let second = plan(&seen, NOW);
    assert_eq!(deleted(&second), ["uid-c", "uid-e"]);
    assert_ne!(asked(&second), question);
    assert_eq!(asked(&second).len(), 1);

    seen.spec.suspend = true;
    assert_eq!(asked(&plan(&seen, NOW)).len(), 1);
    seen.spec.retention.registry =
        serde_json::from_value(serde_json::json!({"untagged": "Keep"})).unwrap();
    let plan = plan(&seen, NOW);
    assert_eq!(
        (deleted(&plan), asked(&plan).len()),
        (vec!["uid-c", "uid-d", "uid-e"], 0)
    );
}

#[test]
fn a_commit_that_a_run_pushes_starts_no_other() {
    let mut seen = a_pipeline().at('b', 0).with_run('a', RunPhase::Running, 10);
    seen.runs[0].is_publishing = true;
    assert_eq!(verbs(&plan(&seen, NOW)), [""; 0], "it may be its own");
    seen.runs[0].is_publishing = false;
    assert_eq!(verbs(&plan(&seen, NOW)), ["create"]);
    seen.released = vec![sha('b')];
    assert_eq!(verbs(&plan(&seen, NOW)), [""; 0]);
}

#[test]
fn snapshots_go_with_the_last_run_that_follows_them() {
    let mut seen = a_pipeline().at('a', 0).with_run('a', RunPhase::Running, 10);
    let revision = |name: &str| Target {
        kind: ObjectKind::ControllerRevision,
        key: crate::model::key::Key::new("shop", name),
        uid: name.into(),
        resource_version: "1".into(),
    };
    seen.revisions = vec![revision("api-snapshot"), revision("api-old")];
    let plan = plan(&seen, NOW);
    let [Action::Delete { target, .. }] = plan.actions.as_slice() else {
        panic!("{:?}", plan.actions);
    };
    assert_eq!(target.key.name, "api-old");
}

#[test]
fn the_snapshot_that_the_next_run_follows_stays() {
    let mut seen = a_pipeline().at('a', 0).with_run('a', RunPhase::Running, 10);
    let revision = |name: String| Target {
        kind: ObjectKind::ControllerRevision,
        key: crate::model::key::Key::new("shop", name),
        uid: "uid".into(),
        resource_version: "1".into(),
    };
    seen.revisions = vec![
        revision(snapshot_name("api", &seen.spec)),
        revision("api-old".into()),
    ];
    assert_eq!(plan(&seen, NOW).actions.len(), 1);
    // It may have looked when the old one was the newest.
    let mut undecided = seen.clone();
    undecided.runs[0].revision = None;
    assert_eq!(plan(&undecided, NOW).actions, []);
    undecided.runs[0].phase = RunPhase::Failed;
    assert_eq!(plan(&undecided, NOW).actions.len(), 1);
}

#[test]
fn the_last_success_is_remembered_beyond_its_run() {
    let mut seen = a_pipeline().at('a', 0).with_run('a', RunPhase::Failed, 10);
    seen.status.last_successful = Some("api-before".into());
    assert_eq!(
        plan(&seen, NOW).progress.last_successful.as_deref(),
        Some("api-before")
    );
}

#[test]
fn a_pipeline_that_goes_does_nothing() {
    let mut seen = a_pipeline().at('a', 900);
    seen.is_deleted = true;
    assert!(plan(&seen, NOW).actions.is_empty());
}
