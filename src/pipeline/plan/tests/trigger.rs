//! Stories of triggers: what is delivered, what the clock says, and whose turn it is.

use serde_json::{Value, json};

use super::*;
use crate::model::action::Errand;
use crate::pipeline::api::PipelineSpec;
use crate::pipeline::trigger::event::Event;
use crate::pipeline::trigger::{mark, poll};

fn with(rest: &Value) -> Observed {
    let mut seen = a_pipeline()
        .at('a', 0)
        .with_run('a', RunPhase::Succeeded, 900);
    let mut spec = serde_json::to_value(&seen.spec).unwrap();
    json_patch::merge(&mut spec, rest);
    seen.spec = serde_json::from_value::<PipelineSpec>(spec).unwrap();
    seen
}

fn hooked() -> Observed {
    with(&json!({
        "webhook": {"secretRef": {"name": "hook", "key": "token"}},
        "triggers": [{"name": "all", "push": {"branches": ["**"]}}, {"name": "pr", "pullRequest": {}}],
    }))
}

fn event(git_ref: &str, digit: char) -> Event {
    poll::event_of(git_ref, &sha(digit)).unwrap()
}

fn made(plan: &Plan<Memory>) -> Vec<&Value> {
    let made = plan.actions.iter().filter_map(|action| match action {
        Action::Create(run) => Some(&run.body["spec"]),
        _ => None,
    });
    made.collect()
}

/// What the API server and the cache do with a plan.
fn settled(mut seen: Observed, plan: &Plan<Memory>) -> Observed {
    seen.status = status(&seen, plan, &Outcome::default(), NOW);
    for action in &plan.actions {
        let Action::Create(run) = action else {
            continue;
        };
        let spec = &run.body["spec"];
        seen.runs.insert(
            0,
            Run {
                target: Target {
                    kind: ObjectKind::PipelineRun,
                    key: run.key.clone(),
                    uid: "uid".into(),
                    resource_version: "1".into(),
                },
                created_at: NOW,
                sha: spec["sha"].as_str().map(str::to_owned),
                phase: RunPhase::Queued,
                finished_at: None,
                release: None,
                is_publishing: false,
                revision: None,
                git_ref: spec["ref"].as_str().unwrap().into(),
                is_whole: spec["stages"].is_null(),
                started_by: serde_json::from_value(spec["trigger"]["at"].clone()).unwrap(),
                has_started: false,
                awaits_approval: spec["trigger"]["needsApproval"] == true,
                has_leftovers: false,
            },
        );
    }
    seen
}

#[test]
fn a_tag_of_its_own_starts_no_run_and_one_of_people_does() {
    let release = json!({"name": "version", "type": "Release", "release": {"credentials": {"secretName": "push"}}});
    let mut seen = with(&json!({
        "triggers": [{"name": "tags", "tag": {"pattern": "v*"}}], "release": {"version": {}},
    }));
    seen.spec
        .stages
        .push(serde_json::from_value(release).unwrap());
    seen.versions = ["1.3.0".to_owned()].into();
    let starts = |seen: &Observed, tag: &str| {
        let mut seen = seen.clone();
        seen.events = vec![event(&format!("refs/tags/{tag}"), 'b')];
        let plan = plan(&seen, NOW);
        let is_noted = !plan.progress.seen.is_empty();
        assert_ne!(made(&plan).len() == 1, is_noted, "{tag}");
        !is_noted
    };
    assert!(!starts(&seen, "v1.3.0"));
    assert!(starts(&seen, "v1.3.1") && starts(&seen, "vv1.3.0"));
    // A Pipeline that gives no versions builds what is tagged.
    seen.spec.stages.pop();
    assert!(starts(&seen, "v1.3.0"));
}

#[test]
fn a_delivery_makes_a_run_once_and_is_noted_when_the_run_is_there() {
    let mut seen = hooked();
    seen.events = vec![event("refs/heads/next", 'b'), event("refs/heads/next", 'b')];
    let first = plan(&seen, NOW);
    assert_eq!(made(&first).len(), 1);
    assert_eq!(first.progress.seen, [""; 0], "a crash now loses nothing");
    let seen = settled(seen, &first);
    let second = plan(&seen, NOW);
    assert_eq!(made(&second).len(), 0);
    let known = mark("refs/heads/next", &sha('b'));
    assert_eq!(second.progress.seen, [known]);
    // The run is gone, and the delivery comes once more.
    let mut seen = settled(seen, &second);
    seen.runs.clear();
    assert_eq!(made(&plan(&seen, NOW)).len(), 0, "played again");
}

#[test]
fn what_polling_finds_waits_for_its_delivery_and_is_the_same_run() {
    let mut seen = hooked();
    let found = |digit: char| PendingRef {
        git_ref: "refs/pull/12/head".into(),
        sha: sha(digit),
        at: k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW),
        pull_request: None,
        draft: None,
        looked_into: None,
    };
    seen.status.pending = vec![found('b')];
    let early = plan(&seen, NOW);
    assert_eq!(
        (made(&early).len(), early.wake),
        (0, Some(NOW + SignedDuration::from_secs(10)))
    );
    let late = plan(&seen, NOW + SignedDuration::from_secs(10));
    let [run] = made(&late)[..] else { panic!() };
    assert_eq!(
        run["trigger"]["needsApproval"], true,
        "where it is from is not known"
    );
    let seen = settled(seen, &late);
    let rest = plan(&seen, NOW + SignedDuration::from_secs(10));
    assert_eq!((made(&rest).len(), rest.progress.pending.len()), (0, 0));
}

#[test]
fn the_head_of_the_branch_waits_for_its_delivery_too() {
    let mut seen = hooked();
    seen.runs.clear();
    seen.status.last_polled_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW));
    assert_eq!(made(&plan(&seen, NOW)).len(), 0);
    assert_eq!(
        made(&plan(&seen, NOW + SignedDuration::from_secs(10))).len(),
        1
    );
    seen.status.seen = vec![mark("refs/heads/main", &sha('a'))];
    assert_eq!(
        made(&plan(&seen, NOW + SignedDuration::from_secs(10))).len(),
        0,
        "skipped"
    );
}

#[test]
fn a_skipped_commit_is_noted_or_polling_would_start_it() {
    let mut seen = hooked();
    seen.events = vec![Event {
        message: Some("Bump [skip ci]".into()),
        ..event("refs/heads/next", 'b')
    }];
    let skipped = plan(&seen, NOW);
    assert_eq!(made(&skipped).len(), 0);
    assert_eq!(skipped.progress.seen, [mark("refs/heads/next", &sha('b'))]);
}

#[test]
fn without_a_trigger_for_pushes_none_is_run() {
    let mut seen = with(&json!({"triggers": [{"name": "tag", "tag": {}}]}));
    seen.runs.clear();
    assert_eq!(made(&plan(&seen, NOW)).len(), 0);
}

#[test]
fn a_schedule_starts_the_head_at_its_time_once_across_restarts() {
    let seen = with(&json!({"triggers": [{"name": "nightly", "schedule": {"cron": "0 * * * *"}}]}));
    // NOW is 08:00:00 sharp; what was before the trigger was seen starts nothing.
    let first = plan(&seen, NOW);
    assert_eq!(made(&first).len(), 0);
    let next = NOW + SignedDuration::from_hours(1);
    assert_eq!(
        first.progress.schedules[0].next_at.as_ref().unwrap().0,
        next
    );
    let seen = settled(seen, &first);
    let due = plan(&seen, next);
    let [run] = made(&due)[..] else { panic!() };
    assert_eq!(
        (run["trigger"]["kind"].as_str(), run.get("sha")),
        (Some("Schedule"), None)
    );
    // Killed before it was made, and after.
    assert_eq!(made(&plan(&settled(seen.clone(), &first), next)).len(), 1);
    let seen = settled(seen, &due);
    let noted = plan(&seen, next);
    assert_eq!(
        (made(&noted).len(), noted.progress.schedules[0].last_at.0),
        (0, next)
    );
    let mut seen = settled(seen, &noted);
    seen.runs.clear();
    assert_eq!(
        made(&plan(&seen, next + SignedDuration::from_secs(1))).len(),
        0
    );
}

#[test]
fn of_a_burst_each_has_its_turn_or_only_the_newest() {
    for (policy, expected) in [("Queue", '0'), ("CancelInProgress", '9')] {
        let mut seen = hooked();
        seen.spec.concurrency = serde_json::from_value(json!({"policy": policy})).unwrap();
        seen.events = "0123456789"
            .chars()
            .map(|digit| event("refs/heads/next", digit))
            .collect();
        let burst = plan(&seen, NOW);
        assert_eq!(made(&burst).len(), 10);
        let mut seen = settled(seen, &burst);
        let turn = plan(&seen, NOW).progress.admitted;
        let name = |seen: &Observed, digit: char| {
            let is_it = |run: &&Run| run.sha == Some(sha(digit)) && run.git_ref.ends_with("next");
            seen.runs
                .iter()
                .find(is_it)
                .unwrap()
                .target
                .key
                .name
                .clone()
        };
        assert_eq!(turn, [name(&seen, expected)], "{policy}");
        // Whoever is in stays in until it is over, whatever comes.
        seen.status.admitted = vec![name(&seen, '5')];
        assert_eq!(
            plan(&seen, NOW).progress.admitted,
            [name(&seen, '5')],
            "{policy}"
        );
        let five = name(&seen, '5');
        let run = seen
            .runs
            .iter_mut()
            .find(|run| run.target.key.name == five)
            .unwrap();
        run.phase = RunPhase::Failed;
        assert_eq!(
            plan(&seen, NOW).progress.admitted,
            [name(&seen, expected)],
            "{policy}"
        );
    }
}

#[test]
fn who_waits_for_approval_keeps_nobody_back() {
    let mut seen = hooked();
    seen.spec.concurrency = serde_json::from_value(json!({"group": "Pipeline"})).unwrap();
    seen.events = vec![
        event("refs/pull/1/head", 'b'),
        event("refs/heads/next", 'c'),
    ];
    let plan_ = plan(&seen, NOW);
    let seen = settled(seen, &plan_);
    let own = seen
        .runs
        .iter()
        .find(|run| !run.awaits_approval && run.phase == RunPhase::Queued);
    let own = own.unwrap().target.key.name.clone();
    assert_eq!(plan(&seen, NOW).progress.admitted, [own]);
}

/// The digest that a registry tells of the image of the first trigger, and what follows.
fn tagged(mut seen: Observed, answer: Result<char, &str>) -> (Observed, Plan<Memory>) {
    seen.asked.clear();
    let asking = plan(&seen, NOW);
    let [Action::Fetch { key, request }] = asking.actions.as_slice() else {
        panic!("{:?}", asking.actions);
    };
    let Some(Errand::Tagged(question)) = request.errand.as_deref() else {
        panic!("{request:?}");
    };
    assert_eq!(
        (question.repository.as_str(), question.tag.as_str()),
        ("registry.example:5000/base", "3")
    );
    let reply = answer.map(|digit| Reply {
        status: if digit == '-' { 404 } else { 200 },
        body: digest(digit).into_bytes(),
    });
    let mut outcome = Outcome::default();
    let reply = reply.map_err(str::to_owned);
    outcome.replies.insert(key.clone(), reply);
    seen.status = status(&seen, &asking, &outcome, NOW);
    seen.asked.insert(key.clone(), NOW);
    let next = plan(&seen, NOW);
    (seen, next)
}

fn digest(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

#[test]
fn a_new_digest_of_an_image_is_one_run_however_often_it_is_seen() {
    let trigger = json!({"reference": "registry.example:5000/base:3", "interval": "1h", "pullSecretRef": {"name": "pull"}});
    let seen = with(&json!({"triggers": [{"name": "base", "image": trigger}]}));
    let (seen, was_there) = tagged(seen, Ok('1'));
    assert_eq!(made(&was_there).len(), 0);
    assert_eq!(seen.status.images[0].digest, Some(digest('1')));
    assert_eq!(
        was_there.wake,
        Some(NOW + SignedDuration::from_mins(2)),
        "the next poll of refs"
    );
    let (seen, same) = tagged(seen, Ok('1'));
    assert_eq!(made(&same).len(), 0);

    let (seen, begun) = tagged(seen, Ok('2'));
    let [run] = made(&begun)[..] else {
        panic!("{begun:?}")
    };
    let expected = json!("registry.example:5000/base:3@".to_owned() + &digest('2'));
    assert_eq!(
        (&run["trigger"]["image"], run.get("sha")),
        (&expected, None)
    );
    assert_eq!(
        (&run["trigger"]["kind"], &run["ref"]),
        (&json!("Image"), &json!("refs/heads/main"))
    );
    // Killed before it was made, and after.
    assert_eq!(made(&plan(&seen, NOW)).len(), 1);
    let seen = settled(seen, &begun);
    let noted = plan(&seen, NOW);
    assert_eq!(made(&noted).len(), 0);
    assert_eq!(noted.progress.images[0].digest, Some(digest('2')));
    // Back to what was there is news too; and what had its run has had it, even if that is gone.
    let (seen, back) = tagged(settled(seen, &noted), Ok('1'));
    assert_eq!(made(&back).len(), 1);
    let seen = settled(seen, &back);
    let rest = plan(&seen, NOW);
    let mut seen = settled(seen, &rest);
    seen.runs.retain(|run| run.sha.is_some());
    let (_, again) = tagged(seen, Ok('2'));
    assert_eq!(
        (made(&again).len(), &again.progress.images[0].digest),
        (0, &Some(digest('2')))
    );
}

#[test]
fn a_registry_that_does_not_tell_starts_nothing_and_says_why() {
    let trigger = json!({"reference": "registry.example:5000/base:3", "interval": "1h"});
    let seen = with(&json!({"triggers": [{"name": "base", "image": trigger}]}));
    let (seen, _) = tagged(seen, Ok('1'));
    let (seen, down) = tagged(seen, Err("registry.example answers 503"));
    let record = &seen.status.images[0];
    assert_eq!(
        (made(&down).len(), record.digest.clone()),
        (0, Some(digest('1')))
    );
    assert_eq!(
        record.message.as_deref(),
        Some("registry.example answers 503")
    );
    let (seen, _) = tagged(seen, Ok('-'));
    let said = seen.status.images[0].message.clone();
    assert!(said.unwrap().contains("no such tag"));
    let (mut seen, _) = tagged(seen, Ok('1'));
    assert_eq!(seen.status.images[0].message, None);
    // Another branch is another rule: what is there starts nothing.
    let image = seen.spec.triggers[0].image.as_mut().unwrap();
    image.branch = Some("next".into());
    let (seen, other) = tagged(seen, Ok('2'));
    assert_eq!(
        (made(&other).len(), seen.status.images[0].digest.clone()),
        (0, Some(digest('2')))
    );
}

/// A pull request that polling found in a repository whose provider is known.
fn polled() -> Observed {
    let mut seen = a_pipeline()
        .at('a', 500)
        .with_run('a', RunPhase::Succeeded, 60);
    seen.polled_at = Some(NOW);
    let git = json!({"url": "https://git.example/shop/api.git",
        "provider": {"type": "Gitea", "tokenSecretRef": {"name": "gitea", "key": "token"}}});
    seen.spec.source.git = serde_json::from_value(git).unwrap();
    let triggers = json!([{"name": "pr", "pullRequest": {"branches": ["main"], "forks": "Never"}}]);
    seen.spec.triggers = serde_json::from_value(triggers).unwrap();
    let found = json!({"ref": "refs/pull/12/head", "sha": sha('b'), "at": NOW});
    seen.status.pending = vec![serde_json::from_value(found).unwrap()];
    seen
}

/// Answers what is asked about the pull request.
fn told(mut seen: Observed, code: u16, body: &Value) -> Observed {
    let asking = plan(&seen, NOW);
    let [Action::Fetch { key, request }] = asking.actions.as_slice() else {
        panic!("{:?}", asking.actions);
    };
    assert!(
        request.url.ends_with("/repos/shop/api/pulls/12"),
        "{}",
        request.url
    );
    let mut outcome = Outcome::default();
    let body = body.to_string().into_bytes();
    outcome
        .replies
        .insert(key.clone(), Ok(Reply { status: code, body }));
    seen.status = status(&seen, &asking, &outcome, NOW);
    seen.asked.insert(key.clone(), NOW);
    seen
}

fn pull(head: &str, from: &str, base: &str) -> Value {
    json!({
        "number": 12, "title": "More", "state": "open", "html_url": "https://git.example/shop/api/pulls/12",
        "head": {"ref": head, "sha": sha('b'), "repo": {"full_name": from}},
        "base": {"ref": base, "sha": sha('a'), "repo": {"full_name": "shop/api"}},
    })
}

#[test]
fn whose_a_pull_request_is_that_polling_finds_the_provider_tells() {
    let own = told(polled(), 200, &pull("more", "shop/api", "main"));
    let begun = plan(&own, NOW);
    let [run] = made(&begun)[..] else {
        panic!("{begun:?}")
    };
    assert_eq!(
        run["trigger"]["pullRequest"],
        json!({"number": 12, "base": "main", "fork": false})
    );
    assert!(run["trigger"].get("needsApproval").is_none());

    for (head, from, base) in [
        ("more", "mallory/api", "main"),
        // Whoever may read may push one like this (AGit).
        ("refs/pull/12/head", "shop/api", "main"),
        ("more", "shop/api", "release"),
    ] {
        let other = told(polled(), 200, &pull(head, from, base));
        let rest = plan(&other, NOW);
        assert_eq!(
            (made(&rest).len(), rest.progress.pending.len()),
            (0, 0),
            "{head} {from} {base}"
        );
    }
}

#[test]
fn a_provider_that_does_not_tell_is_asked_again_and_then_it_counts_as_from_elsewhere() {
    let down = told(polled(), 502, &json!({}));
    let waiting = plan(&down, NOW);
    assert_eq!(
        (made(&waiting).len(), waiting.wake),
        (0, Some(NOW + SignedDuration::from_secs(10)))
    );
    let mut down = down;
    let rule = json!([{"name": "pr", "pullRequest": {}}]);
    down.spec.triggers = serde_json::from_value(rule).unwrap();
    let later = plan(&down, NOW + SignedDuration::from_mins(2));
    let [run] = made(&later)[..] else {
        panic!("{later:?}")
    };
    assert_eq!(run["trigger"]["needsApproval"], true);
    let gone = told(polled(), 404, &json!({}));
    assert!(gone.status.pending[0].pull_request.as_ref().unwrap().fork);
}

#[test]
fn a_pull_request_that_polling_finds_open_is_not_over_any_more() {
    let closed_at = |seconds: i64| {
        let mut seen = polled();
        let at = NOW - SignedDuration::from_secs(seconds);
        let closed = json!([{"number": 7, "at": at}, {"number": 12, "at": at}]);
        seen.status.closed = serde_json::from_value(closed).unwrap();
        seen
    };
    let left = |seen: Observed, state: &str| -> Vec<u64> {
        let mut pull = pull("more", "shop/api", "main");
        pull["state"] = state.into();
        let seen = told(seen, 200, &pull);
        seen.status.closed.iter().map(|one| one.number).collect()
    };
    assert_eq!(left(closed_at(60), "open"), [7]);
    assert_eq!(left(closed_at(60), "closed"), [7, 12]);
    assert_eq!(
        left(closed_at(0), "open"),
        [7, 12],
        "closed since it was found"
    );
}

#[test]
fn a_draft_that_polling_finds_waits_until_it_is_ready() {
    let draft = |state: &str, is_draft: bool| {
        let mut pull = pull("more", "shop/api", "main");
        pull["draft"] = is_draft.into();
        pull["state"] = state.into();
        pull
    };
    let waiting = told(polled(), 200, &draft("open", true));
    assert_eq!(waiting.status.pending[0].draft, Some(true));
    let later = NOW + SignedDuration::from_mins(2);
    let idle = plan(&waiting, NOW);
    assert_eq!((idle.actions.len(), idle.progress.pending.len()), (0, 1));
    assert_eq!(idle.wake, Some(later), "with the next poll");
    let mut due = waiting.clone();
    due.asked.clear();

    let ready = told(due.clone(), 200, &draft("open", false));
    let begun = plan(&ready, NOW);
    assert_eq!(made(&begun).len(), 1);
    let closed = told(due, 200, &draft("closed", true));
    assert!(closed.status.pending.is_empty());
    assert_eq!(closed.status.seen, [mark("refs/pull/12/head", &sha('b'))]);

    let mut drafts = waiting;
    let rule = json!([{"name": "pr", "pullRequest": {"drafts": true}}]);
    drafts.spec.triggers = serde_json::from_value(rule).unwrap();
    assert_eq!(made(&plan(&drafts, NOW)).len(), 1);
}

/// The branch is at another commit than that of its last run, and files matter.
fn moved(triggers: &Value) -> Observed {
    let mut seen = with(&json!({"triggers": triggers})).at('b', 0);
    seen.status.looked_into = None;
    seen.status.last_polled_at = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(NOW));
    seen
}

/// Answers the question what a commit says and changes.
fn looked(mut seen: Observed, from: Option<&str>, answer: Result<Value, &str>) -> Observed {
    let asking = plan(&seen, NOW);
    let [Action::Fetch { key, request }] = asking.actions.as_slice() else {
        panic!("{:?}", asking.actions);
    };
    let Some(Errand::Changed(question)) = request.errand.as_deref() else {
        panic!("{request:?}");
    };
    assert_eq!(
        (question.from.as_deref(), question.to.clone()),
        (from, sha('b'))
    );
    let reply = answer.map(|told| Reply {
        status: 200,
        body: json!({"Told": told}).to_string().into_bytes(),
    });
    let mut outcome = Outcome::default();
    let reply = reply.map_err(str::to_owned);
    outcome.replies.insert(key.clone(), reply);
    seen.status = status(&seen, &asking, &outcome, NOW);
    seen.asked.insert(key.clone(), NOW);
    seen
}

#[test]
fn what_polling_finds_is_left_out_for_its_message_or_its_files() {
    let api = json!([{"name": "api", "push": {"paths": ["api/**"]}}]);
    let all = json!([{"name": "all", "push": {}}]);
    let before = sha('a');
    let since = Some(before.as_str());
    for (triggers, since, message, files, expected) in [
        (&api, since, "More", json!(["api/main.rs", "README.md"]), 1),
        (&api, since, "More", json!(["README.md"]), 0),
        (&api, since, "More [skip ci]", json!(["api/main.rs"]), 0),
        // More than can be told, or the same files once more.
        (&api, since, "More", Value::Null, 1),
        (&api, since, "More", json!([]), 1),
        (&all, None, "More", Value::Null, 1),
        (&all, None, "More [ci skip]", Value::Null, 0),
    ] {
        let answer = json!({"message": message, "files": files});
        let seen = looked(moved(triggers), since, Ok(answer));
        let next = plan(&seen, NOW);
        assert_eq!(made(&next).len(), expected, "{message} {files}");
        let is_noted = next.progress.seen == [mark("refs/heads/main", &sha('b'))];
        assert_eq!(is_noted, expected == 0, "{message} {files}");
        assert_eq!(next.why.message.contains("left out"), is_noted);
    }
}

/// A push that was delivered, what it came on top of, and the file that it changes.
fn delivered(before: char, digit: char, file: &str) -> Event {
    Event {
        what: What::Push {
            files: Some(vec![file.to_owned()]),
            before: Some(sha(before)),
        },
        ..event("refs/heads/main", digit)
    }
}

#[test]
fn a_push_that_changes_nothing_of_interest_hides_none_that_was_lost() {
    let triggers = json!([{"name": "api", "push": {"paths": ["api/**"]}}]);
    let mut seen = moved(&triggers);
    // On top of what has its run, and of what was left out itself.
    seen.events = vec![
        delivered('a', 'c', "README.md"),
        delivered('c', 'b', "README.md"),
    ];
    let told = plan(&seen, NOW);
    let main = |digit: char| mark("refs/heads/main", &sha(digit));
    assert_eq!(told.progress.seen, [main('c'), main('b')]);
    // On top of one that nobody has told of: polling looks at both.
    seen.events = vec![delivered('c', 'b', "README.md")];
    let since = sha('a');
    let both = json!({"message": "More", "files": ["README.md", "api/main.rs"]});
    let found = looked(seen.clone(), Some(&since), Ok(both));
    let next = plan(&found, NOW);
    assert_eq!((made(&next).len(), next.progress.seen.len()), (1, 0));
    assert_eq!(made(&next)[0]["sha"], sha('b'));
    let words = json!({"message": "More", "files": ["README.md", "LICENSE"]});
    let neither = looked(seen.clone(), Some(&since), Ok(words));
    assert_eq!(neither.status.seen, [main('b')]);
    assert_eq!(made(&plan(&neither, NOW)).len(), 0);
    // What counts by itself, or says that it does not, needs nobody to look.
    seen.events = vec![delivered('c', 'b', "api/main.rs")];
    assert_eq!(made(&plan(&seen, NOW)).len(), 1);
    seen.events = vec![Event {
        message: Some("Bump [skip ci]".into()),
        ..delivered('c', 'b', "api/main.rs")
    }];
    assert_eq!(plan(&seen, NOW).progress.seen, [main('b')]);
}

#[test]
fn a_branch_that_is_pushed_to_again_and_again_does_not_wait_forever_for_who_cannot_tell() {
    let triggers = json!([{"name": "api", "push": {"paths": ["api/**"]}}]);
    let polled_at = |mut seen: Observed, digit: char, seconds: i64| {
        let now = NOW + SignedDuration::from_secs(seconds);
        let outcome = answer(&seen, digit);
        seen.status = status(&seen, &plan(&seen, now), &outcome, now);
        seen.polled_at = Some(now);
        let next = plan(&seen, now);
        (seen, next)
    };
    let mut seen = with(&json!({ "triggers": triggers }));
    for (digit, seconds) in [('b', 0), ('c', 100), ('d', 119)] {
        let next;
        (seen, next) = polled_at(seen, digit, seconds);
        assert_eq!(made(&next).len(), 0, "{digit}");
        assert_eq!(seen.status.head_found_at.as_ref().unwrap().0, NOW);
    }
    let (seen, next) = polled_at(seen, 'e', 120);
    assert_eq!(made(&next).len(), 1, "nobody could tell for two minutes");
    // And the next one has a time of its own.
    let (seen, next) = polled_at(settled(seen, &next), 'f', 121);
    let found_at = seen.status.head_found_at.unwrap().0;
    assert_eq!(found_at, NOW + SignedDuration::from_secs(121));
    assert_eq!(made(&next).len(), 0);
}

#[test]
fn what_has_waited_while_nobody_looked_is_looked_at_before_it_is_run() {
    let mut seen =
        moved(&json!([{"name": "all", "push": {"branches": ["**"], "paths": ["api/**"]}}]));
    let found = json!([{"ref": "refs/heads/next", "sha": sha('b'), "at": NOW}]);
    seen.status.pending = serde_json::from_value(found).unwrap();
    assert_eq!(made(&plan(&seen, NOW)).len(), 0);
    let mut paused = seen.clone();
    paused.pause = Some(Pause {
        by: "alice".into(),
        until: None,
    });
    let mut suspended = seen.clone();
    suspended.spec.suspend = true;
    let mut publishing = seen.clone();
    publishing.runs[0].is_publishing = true;
    // Another process has begun to look, and this one was not there.
    let mut restarted = seen.clone();
    restarted.polled_at = None;
    for (index, mut after) in [paused, suspended, publishing, restarted]
        .into_iter()
        .enumerate()
    {
        if index < 3 {
            let rest = plan(&after, NOW);
            after.status = status(&after, &rest, &Outcome::default(), NOW);
            assert_eq!(after.status.head_found_at, None, "{index}");
            after.polled_at = Some(NOW);
        }
        (after.pause, after.spec.suspend) = (None, false);
        after.runs[0].is_publishing = false;
        let later = NOW + SignedDuration::from_hours(1);
        let next = plan(&after, later);
        assert_eq!(made(&next).len(), 0, "{index}");
        after.status = status(&after, &next, &Outcome::default(), later);
        after.polled_at = Some(later);
        let since = after.status.head_found_at.as_ref().unwrap().0;
        assert_eq!((since, after.status.pending[0].at.0), (later, later));
        let end = later + SignedDuration::from_mins(2);
        assert_eq!(made(&plan(&after, end)).len(), 2, "{index}");
    }
}

#[test]
fn a_delivery_has_its_time_however_long_others_have_waited_before_it() {
    let time = |seconds: i64| Some(Time(NOW + SignedDuration::from_secs(seconds)));
    let mut seen = hooked().at('b', 0);
    seen.status.head_found_at = time(-60);
    seen.status.last_polled_at = time(0);
    let soon = NOW + SignedDuration::from_secs(10);
    let early = plan(&seen, NOW);
    assert_eq!((made(&early).len(), early.wake), (0, Some(soon)));
    assert_eq!(made(&plan(&seen, soon)).len(), 1);
    // What is found beside it does not put it off for ever.
    seen.status.head_found_at = time(-130);
    assert_eq!(made(&plan(&seen, NOW)).len(), 1);
}

#[test]
fn without_anything_that_could_leave_it_out_nobody_looks() {
    let mut seen = moved(&json!([{"name": "all", "push": {}}]));
    seen.spec.skip_commands = Some(Vec::new());
    assert_eq!(made(&plan(&seen, NOW)).len(), 1);
    let mut first = moved(&json!([{"name": "api", "push": {"paths": ["api/**"]}}]));
    first.runs.clear();
    assert_eq!(made(&plan(&first, NOW)).len(), 1, "the first one");
}

#[test]
fn who_cannot_tell_is_asked_again_and_then_the_commit_is_run() {
    let triggers = json!([{"name": "api", "push": {"paths": ["api/**"]}}]);
    let since = sha('a');
    let down = looked(
        moved(&triggers),
        Some(&since),
        Err("no answer from git.example"),
    );
    let waiting = plan(&down, NOW);
    let soon = NOW + SignedDuration::from_secs(10);
    assert_eq!((made(&waiting).len(), waiting.wake), (0, Some(soon)));
    assert!(
        plan(&down, soon)
            .actions
            .iter()
            .any(|action| action.verb() == "fetch")
    );
    assert_eq!(
        made(&plan(&down, NOW + SignedDuration::from_mins(2))).len(),
        1
    );

    // A server that does not hand out single objects will not do so in a moment either.
    let mut seen = moved(&triggers);
    let asking = plan(&seen, NOW);
    let [Action::Fetch { key, .. }] = asking.actions.as_slice() else {
        panic!("{:?}", asking.actions);
    };
    let error = json!({"Error": {"kind": "Protocol", "message": "no"}});
    let body = error.to_string().into_bytes();
    let mut outcome = Outcome::default();
    outcome
        .replies
        .insert(key.clone(), Ok(Reply { status: 200, body }));
    seen.status = status(&seen, &asking, &outcome, NOW);
    assert_eq!(made(&plan(&seen, NOW)).len(), 1);
}

#[test]
fn other_branches_and_tags_are_looked_into_one_after_the_other() {
    let mut seen = with(&json!({"triggers": [
        {"name": "all", "push": {"branches": ["**"], "paths": ["api/**"]}}, {"name": "tag", "tag": {}},
    ]}));
    let found = |git_ref: &str| json!({"ref": git_ref, "sha": sha('b'), "at": NOW});
    let pending = json!([found("refs/heads/next"), found("refs/tags/v1")]);
    seen.status.pending = serde_json::from_value(pending).unwrap();
    let noted = |seen: &Observed| {
        let left = seen.status.pending.iter();
        let left = left.filter(|found| found.looked_into != Some(true));
        (left.count(), seen.status.seen.clone())
    };
    // Of a new branch nobody knows what it changes.
    let seen = looked(seen, None, Ok(json!({"message": "x", "files": null})));
    assert_eq!(noted(&seen), (1, Vec::new()));
    let next = plan(&seen, NOW);
    assert_eq!(made(&next).len(), 1);
    let seen = settled(seen, &next);
    let seen = looked(
        seen,
        None,
        Ok(json!({"message": "[skip ci]", "files": null})),
    );
    assert_eq!(
        noted(&seen).1.last(),
        Some(&mark("refs/tags/v1", &sha('b')))
    );
    assert_eq!(made(&plan(&seen, NOW)).len(), 0);
}

/// A Pipeline whose pull request 12 has a preview that takes a label.
fn shown() -> Observed {
    let mut seen = polled();
    seen.status.pending.clear();
    seen.wanted_labels = ["preview".to_owned()].into();
    seen.shown = [12].into();
    seen
}

fn labelled_pull(labels: &Value, state: &str) -> Value {
    let mut pull = pull("more", "shop/api", "main");
    pull["labels"] = labels.clone();
    pull["state"] = state.into();
    pull
}

#[test]
fn a_provider_is_asked_about_pull_requests_that_have_previews_and_what_it_does_not_know_is_left() {
    let asked = told(
        shown(),
        200,
        &labelled_pull(&json!([{"name": "preview"}, {"name": "bug"}]), "open"),
    );
    assert_eq!(asked.status.labelled[0].labels, ["preview"]);
    let rest = plan(&asked, NOW);
    assert!(rest.actions.is_empty());
    assert!(
        rest.wake
            .is_some_and(|wake| wake <= NOW + SignedDuration::from_mins(5))
    );

    let later = |body: &Value, code: u16| {
        let mut seen = asked.clone();
        seen.asked.clear();
        told(seen, code, body)
    };
    let off = later(&labelled_pull(&json!([]), "open"), 200);
    assert_eq!(off.status.labelled[0].without, ["preview"]);
    for code in [404, 502] {
        let gone = later(&json!({}), code);
        assert_eq!(gone.status.labelled, asked.status.labelled, "{code}");
        assert_eq!(gone.status.closed, []);
    }
    let over = later(&labelled_pull(&json!([]), "closed"), 200);
    assert_eq!(
        (over.status.closed[0].number, over.status.labelled.len()),
        (12, 0)
    );
}

#[test]
fn a_pull_request_that_polling_finds_brings_its_labels() {
    let mut seen = polled();
    seen.wanted_labels = ["preview".to_owned()].into();
    let seen = told(
        seen,
        200,
        &labelled_pull(&json!([{"name": "preview"}]), "open"),
    );
    assert_eq!(seen.status.labelled[0].labels, ["preview"]);
    assert_eq!(seen.status.labelled[0].number, 12);
}

#[test]
fn labels_that_are_delivered_are_noted_where_previews_ask_for_them() {
    let mut seen = hooked();
    let mut told = event("refs/pull/12/head", 'b');
    told.what = What::Labels { number: 12 };
    told.labels = Some(vec!["preview".to_owned()]);
    seen.events = vec![told];
    assert_eq!(plan(&seen, NOW).progress.labelled, []);
    seen.wanted_labels = ["preview".to_owned()].into();
    let noted = plan(&seen, NOW);
    assert_eq!((noted.progress.labelled.len(), made(&noted).len()), (1, 0));
    seen.spec.suspend = true;
    assert_eq!(plan(&seen, NOW).progress.labelled, noted.progress.labelled);
}

#[test]
fn another_login_for_a_registry_is_tried_at_once() {
    let trigger = json!({"reference": "registry.example:5000/base:3", "interval": "1h"});
    let seen = with(&json!({"triggers": [{"name": "base", "image": trigger}]}));
    let (mut seen, rest) = tagged(seen, Ok('1'));
    assert_eq!(rest.actions.len(), 0);
    let image = seen.spec.triggers[0].image.as_mut().unwrap();
    image.pull_secret_ref = Some(serde_json::from_value(json!({"name": "pull"})).unwrap());
    let verbs = verbs(&plan(&seen, NOW));
    assert_eq!(verbs, ["fetch"]);
}

#[test]
fn a_registry_that_fails_is_asked_again_after_a_minute() {
    let trigger = json!({"reference": "registry.example:5000/base:3", "interval": "1h"});
    let seen = with(&json!({"triggers": [{"name": "base", "image": trigger}]}));
    let is_asked = |seen: &Observed, after: i64| {
        let plan = plan(seen, NOW + SignedDuration::from_secs(after));
        let mut actions = plan.actions.iter();
        actions.any(|it| matches!(it, Action::Fetch { key, .. } if key.starts_with("image ")))
    };
    let (failed, _) = tagged(seen, Err("connection refused"));
    assert!(!is_asked(&failed, 59) && is_asked(&failed, 60));
    let (known, _) = tagged(failed, Ok('1'));
    assert!(!is_asked(&known, 3599) && is_asked(&known, 3600));
}
