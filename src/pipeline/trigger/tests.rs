//! Payloads as git providers document them, and what becomes of them.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::event::{Provider, Told, read};
use super::*;
use crate::pipeline::api::{PipelineStatus, ScheduleTrigger};
use crate::pipeline::testing::{NOW, sha, spec_json};

mod described;

fn spec(triggers: &Value) -> PipelineSpec {
    let mut spec = spec_json();
    spec["triggers"] = triggers.clone();
    serde_json::from_value(spec).unwrap()
}

fn told(provider: Provider, kind: &str, body: &Value) -> Event {
    let body = body.to_string();
    match read(provider, kind, body.as_bytes(), &spec(&json!([]))).unwrap() {
        Told::Event(event) => *event,
        Told::Nothing(what) => panic!("{what}"),
    }
}

fn nothing(provider: Provider, kind: &str, body: &Value) -> String {
    let body = body.to_string();
    match read(provider, kind, body.as_bytes(), &spec(&json!([]))).unwrap() {
        Told::Event(event) => panic!("{event:?}"),
        Told::Nothing(what) => what,
    }
}

fn github_push(git_ref: &str, files: &[&str]) -> Value {
    let commit = json!({
        "id": sha('b'), "message": "Sell more\n\nMuch more", "added": [], "modified": files, "removed": [],
    });
    json!({
        "ref": git_ref, "before": sha('a'), "after": sha('b'), "created": false, "deleted": false, "forced": false,
        "head_commit": commit, "commits": [commit], "sender": {"login": "alice"},
        "repository": {"full_name": "shop/api", "clone_url": "https://git.example/shop/api.git", "pushed_at": 1_800_000_000},
    })
}

fn github_pull_request(action: &str, from: &str) -> Value {
    json!({
        "action": action, "number": 12, "sender": {"login": "mallory"}, "repository": {"full_name": "shop/api"},
        "pull_request": {
            "number": 12, "draft": false, "updated_at": "2027-01-15T08:00:00Z",
            "head": {"sha": sha('c'), "ref": "x; rm -rf /", "repo": {"full_name": from}},
            "base": {"ref": "main", "repo": {"full_name": "shop/api"}},
        },
    })
}

fn start(verdict: Verdict) -> Start {
    match verdict {
        Verdict::Start(start) => *start,
        Verdict::Skip(why) | Verdict::Irrelevant(why) => panic!("{why}"),
    }
}

#[test]
fn a_push_says_the_same_whoever_tells_of_it() {
    let github = told(
        Provider::GitHub,
        "push",
        &github_push("refs/heads/main", &["a.rs"]),
    );
    assert_eq!(github.at, Some(NOW));
    let mut body = github_push("refs/heads/main", &["a.rs"]);
    body["total_commits"] = json!(1);
    let gitea = told(Provider::Gitea, "push", &body);
    let gitlab = told(
        Provider::GitLab,
        "Push Hook",
        &json!({
            "ref": "refs/heads/main", "before": sha('a'), "after": sha('b'), "checkout_sha": sha('b'),
            "user_username": "alice", "project": {"path_with_namespace": "shop/api"}, "total_commits_count": 1,
            "commits": [{"id": sha('b'), "message": "Sell more\n\nMuch more", "added": [], "modified": ["a.rs"], "removed": []}],
        }),
    );
    for (event, actor) in [
        (github, "github:alice"),
        (gitea, "gitea:alice"),
        (gitlab, "gitlab:alice"),
    ] {
        assert_eq!(
            event.what,
            What::Push {
                files: Some(vec!["a.rs".into()]),
                before: Some(sha('a')),
            },
            "{actor}"
        );
        assert_eq!(
            (event.git_ref.as_str(), event.sha.clone()),
            ("refs/heads/main", Some(sha('b')))
        );
        assert_eq!(event.actor, actor);
        assert_eq!(event.message.as_deref(), Some("Sell more\n\nMuch more"));
        let start = start(judge(&spec(&json!([])), &event));
        assert_eq!((start.kind, start.identity), (TriggerKind::Push, sha('b')));
    }
}

#[test]
fn a_pull_request_from_elsewhere_needs_approval_and_one_of_the_repository_does_not() {
    let own = told(
        Provider::GitHub,
        "pull_request",
        &github_pull_request("opened", "shop/api"),
    );
    let fork = told(
        Provider::Gitea,
        "pull_request",
        &github_pull_request("synchronized", "mallory/api"),
    );
    let mut gone = github_pull_request("synchronize", "x");
    gone["pull_request"]["head"]["repo"] = Value::Null;
    let gone = told(Provider::GitHub, "pull_request", &gone);
    // As Gitea and Forgejo tell of AGit: whoever may read may make one, and its head is in the repository itself.
    let without_branch = |head: Value| {
        let mut body = github_pull_request("opened", "shop/api");
        body["pull_request"]["head"]["ref"] = head;
        told(Provider::Gitea, "pull_request", &body)
    };
    let agit = without_branch(json!("refs/pull/12/head"));
    let (empty, none) = (without_branch(json!("")), without_branch(Value::Null));
    let gitlab = |source: u64| {
        told(
            Provider::GitLab,
            "Merge Request Hook",
            &json!({
                "user": {"username": "mallory"}, "project": {"path_with_namespace": "shop/api"},
                "object_attributes": {"iid": 12, "action": "update", "oldrev": sha('b'), "last_commit": {"id": sha('c'), "message": "m"},
                    "target_branch": "main", "source_project_id": source, "target_project_id": 1},
            }),
        )
    };
    let pr = spec(&json!([{"name": "pr", "pullRequest": {"branches": ["main"]}}]));
    for (event, needs_approval) in [
        (own, false),
        (fork.clone(), true),
        (gone, true),
        (agit, true),
        (empty, true),
        (none, true),
        (gitlab(1), false),
        (gitlab(2), true),
    ] {
        let start = start(judge(&pr, &event));
        assert_eq!(start.needs_approval, needs_approval, "{event:?}");
        assert_eq!(start.pull_request.unwrap().fork, needs_approval);
        assert_eq!(
            (start.kind, start.sha),
            (TriggerKind::PullRequest, Some(sha('c')))
        );
    }
    let never = spec(&json!([{"name": "pr", "pullRequest": {"forks": "Never"}}]));
    assert!(matches!(judge(&never, &fork), Verdict::Skip(_)));
    let other = spec(&json!([{"name": "pr", "pullRequest": {"branches": ["release/*"]}}]));
    assert!(matches!(judge(&other, &fork), Verdict::Irrelevant(_)));
}

#[test]
fn a_draft_starts_when_it_is_ready() {
    let mut body = github_pull_request("opened", "shop/api");
    body["pull_request"]["draft"] = json!(true);
    let pr = spec(&json!([{"name": "pr", "pullRequest": {}}]));
    let draft = told(Provider::GitHub, "pull_request", &body);
    assert_eq!(judge(&pr, &draft), Verdict::Skip("it is a draft".into()));
    let ready = told(
        Provider::GitHub,
        "pull_request",
        &github_pull_request("ready_for_review", "shop/api"),
    );
    assert!(ready.renews && !draft.renews);
    start(judge(&pr, &ready));
    let drafts = spec(&json!([{"name": "pr", "pullRequest": {"drafts": true}}]));
    start(judge(&drafts, &draft));
}

#[test]
fn a_tag_is_at_the_commit_that_it_is_about() {
    // `after` is the tag itself.
    let mut body = github_push("refs/tags/v1.2.3", &[]);
    body["after"] = json!(sha('f'));
    let event = told(Provider::GitHub, "push", &body);
    assert_eq!(
        (event.what.clone(), event.sha.clone()),
        (What::Tag, Some(sha('b')))
    );
    let tags = spec(&json!([{"name": "tag", "tag": {"pattern": "v*"}}]));
    assert_eq!(start(judge(&tags, &event)).kind, TriggerKind::Tag);
    // And is the same run as the one that polling would make.
    let polled = poll::event_of("refs/tags/v1.2.3", &sha('b')).unwrap();
    assert_eq!(
        start(judge(&tags, &polled)).identity,
        start(judge(&tags, &event)).identity
    );
    body["head_commit"] = Value::Null;
    assert!(nothing(Provider::GitHub, "push", &body).contains("not told"));
}

#[test]
fn a_release_starts_when_it_is_published() {
    let body = |action: &str, prerelease: bool| {
        json!({
            "action": action, "sender": {"login": "alice"}, "repository": {"full_name": "shop/api"},
            "release": {"id": 7, "tag_name": "v2", "draft": false, "prerelease": prerelease, "published_at": "2027-01-15T08:00:00Z"},
        })
    };
    let spec = spec(&json!([{"name": "out", "release": {}}]));
    let event = told(Provider::GitHub, "release", &body("published", false));
    let start = start(judge(&spec, &event));
    assert_eq!(
        (start.kind, start.sha, start.identity.as_str()),
        (TriggerKind::Release, None, "release 7")
    );
    let early = told(Provider::Gitea, "release", &body("published", true));
    assert_eq!(
        judge(&spec, &early),
        Verdict::Skip("it is a prerelease".into())
    );
    nothing(Provider::GitHub, "release", &body("edited", false));
    let gitlab = told(
        Provider::GitLab,
        "Release Hook",
        &json!({
            "action": "create", "id": 3, "tag": "v2", "commit": {"id": sha('d')}, "project": {"path_with_namespace": "shop/api"},
        }),
    );
    assert_eq!(gitlab.sha, Some(sha('d')));
}

#[test]
fn a_pull_request_that_is_over_starts_nothing_and_is_told() {
    let closed = told(
        Provider::GitHub,
        "pull_request",
        &github_pull_request("closed", "shop/api"),
    );
    assert_eq!(closed.what, What::Closed { number: 12 });
    let spec = spec(&json!([{"name": "pr", "pullRequest": {}}]));
    assert!(matches!(judge(&spec, &closed), Verdict::Irrelevant(_)));
    for action in ["close", "merge"] {
        let merged = told(
            Provider::GitLab,
            "Merge Request Hook",
            &json!({
                "user": {"username": "mallory"}, "project": {"path_with_namespace": "shop/api"},
                "object_attributes": {"action": action, "iid": 7, "last_commit": {"id": sha('c')}},
            }),
        );
        assert_eq!(merged.what, What::Closed { number: 7 });
    }
}

#[test]
fn labels_of_pull_requests_are_told_and_start_nothing() {
    let pr = spec(&json!([{"name": "pr", "pullRequest": {}}]));
    let wanted = vec!["preview".to_owned(), "bug".to_owned()];
    let labels = json!([{"name": "preview"}, {"name": "bug"}]);
    for (provider, action) in [
        (Provider::GitHub, "labeled"),
        (Provider::GitHub, "unlabeled"),
        (Provider::Gitea, "label_updated"),
        (Provider::Gitea, "label_cleared"),
    ] {
        let mut body = github_pull_request(action, "shop/api");
        body["pull_request"]["labels"] = labels.clone();
        let event = told(provider, "pull_request", &body);
        assert_eq!(event.what, What::Labels { number: 12 }, "{action}");
        assert_eq!(event.labels, Some(wanted.clone()));
        assert!(matches!(judge(&pr, &event), Verdict::Irrelevant(_)));
        assert!(event.is_noted_only());
    }
    // New commits tell of them, too.
    let mut body = github_pull_request("opened", "shop/api");
    body["pull_request"]["labels"] = json!([]);
    let opened = told(Provider::GitHub, "pull_request", &body);
    assert_eq!(opened.labels, Some(Vec::new()));
    body["pull_request"]["labels"] = Value::Null;
    let none = told(Provider::Gitea, "pull_request", &body);
    assert_eq!(none.labels, Some(Vec::new()));
    start(judge(&pr, &opened));

    let gitlab = |changes: Value, oldrev: Value| {
        json!({
            "user": {"username": "mallory"}, "project": {"path_with_namespace": "shop/api"},
            "labels": [{"title": "preview"}, {"title": "bug"}], "changes": changes,
            "object_attributes": {
                "action": "update", "iid": 12, "last_commit": {"id": sha('c')}, "oldrev": oldrev,
                "source_project_id": 3, "target_project_id": 3, "target_branch": "main",
            },
        })
    };
    let changed = json!({"labels": {"previous": [], "current": [{"title": "preview"}]}});
    let body = gitlab(changed.clone(), Value::Null);
    let event = told(Provider::GitLab, "Merge Request Hook", &body);
    assert_eq!(
        (event.what, event.labels),
        (What::Labels { number: 12 }, Some(wanted.clone()))
    );
    let pushed = told(
        Provider::GitLab,
        "Merge Request Hook",
        &gitlab(changed, json!(sha('b'))),
    );
    assert_eq!(pushed.labels, Some(wanted));
    start(judge(&pr, &pushed));
    nothing(
        Provider::GitLab,
        "Merge Request Hook",
        &gitlab(json!({}), Value::Null),
    );
}

#[test]
fn what_is_gone_or_of_another_repository_starts_nothing() {
    let mut gone = github_push("refs/heads/main", &[]);
    gone["after"] = json!("0".repeat(40));
    gone["deleted"] = json!(true);
    nothing(Provider::GitHub, "push", &gone);
    nothing(Provider::GitHub, "ping", &json!({"zen": "Keep it simple"}));
    nothing(
        Provider::GitHub,
        "pull_request",
        &github_pull_request("labeled", "shop/api"),
    );
    nothing(Provider::GitHub, "issues", &json!({}));
    for name in ["shop/other", "evilshop/api", "", "api.git"] {
        let mut other = github_push("refs/heads/main", &[]);
        other["repository"]["full_name"] = json!(name);
        assert!(
            nothing(Provider::GitHub, "push", &other).contains("not about the repository"),
            "{name}"
        );
    }
}

#[test]
fn files_count_by_the_trigger_where_all_of_them_are_known() {
    let spec = spec(
        &json!([{"name": "api", "push": {"paths": ["services/api/**"], "ignorePaths": ["**/*.md"]}}]),
    );
    let judged = |body: &Value| judge(&spec, &told(Provider::GitHub, "push", body));
    let push = |files: &[&str]| github_push("refs/heads/main", files);
    start(judged(&push(&["docs/a.md", "services/api/main.rs"])));
    for files in [&["services/web/main.rs"][..], &["services/api/README.md"]] {
        assert!(
            matches!(judged(&push(files)), Verdict::Skip(_)),
            "{files:?}"
        );
    }
    // A forced push, a new branch, and more commits than are told.
    for (field, value) in [
        ("forced", json!(true)),
        ("created", json!(true)),
        ("before", json!("0".repeat(40))),
        ("total_commits", json!(30)),
    ] {
        let mut unknown = push(&["services/web/main.rs"]);
        unknown[field] = value;
        start(judged(&unknown));
    }
    start(judged(&push(&[])));
}

#[test]
fn a_message_can_say_that_a_commit_is_not_run() {
    let mut body = github_push("refs/heads/main", &[]);
    body["head_commit"]["message"] = json!("Bump the version [skip ci]");
    let event = told(Provider::GitHub, "push", &body);
    assert!(matches!(judge(&spec(&json!([])), &event), Verdict::Skip(_)));
    let mut heedless = spec(&json!([]));
    heedless.skip_commands = Some(Vec::new());
    start(judge(&heedless, &event));
}

#[test]
fn the_first_trigger_that_fits_counts() {
    let spec = spec(&json!([
        {"name": "releases", "push": {"branches": ["release/*"]}}, {"name": "all", "push": {"branches": ["**"]}},
    ]));
    let name =
        |git_ref: &str| start(judge(&spec, &poll::event_of(git_ref, &sha('a')).unwrap())).trigger;
    assert_eq!(name("refs/heads/release/1.4"), "releases");
    assert_eq!(name("refs/heads/release/1.4/fix"), "all");
    for nasty in [
        "refs/heads/$(id)",
        "refs/heads/a b",
        "refs/heads/-x",
        "refs/pull/0/head",
        "refs/pull/12/merge",
        "refs/notes/x",
    ] {
        let event = Event {
            git_ref: nasty.into(),
            ..poll::event_of("refs/heads/a", &sha('a')).unwrap()
        };
        assert!(
            matches!(judge(&spec, &event), Verdict::Irrelevant(_)),
            "{nasty}"
        );
    }
}

/// What git allows and a run cannot be about starts none, and a run of anything else has no more in its ref than its schema allows.
#[test]
fn a_branch_whose_name_is_a_command_starts_nothing() {
    let all = spec(&json!([{"name": "all", "push": {"branches": ["**"]}}]));
    let names = [
        "a;reboot",
        "$(reboot)",
        "a&b|c",
        "it's",
        "a`id`",
        "-x",
        "--upload-pack=x",
        "a\nb",
        "a\"b",
        "",
    ];
    for name in names {
        let event = poll::event_of(&format!("refs/heads/{name}"), &sha('a')).unwrap();
        let verdict = judge(&all, &event);
        assert!(
            matches!(verdict, Verdict::Irrelevant(_)),
            "{name}: {verdict:?}"
        );
    }
    let event = poll::event_of("refs/heads/team/-x/--help+1", &sha('a')).unwrap();
    assert!(matches!(judge(&all, &event), Verdict::Start(_)));
}

fn refs(all: &[(&str, char)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(name, digit)| ((*name).to_owned(), sha(*digit)))
        .collect()
}

#[test]
fn polling_starts_what_is_new_and_nothing_that_was_there() {
    let spec = spec(&json!([
        {"name": "main", "push": {"branches": ["**"]}}, {"name": "pr", "pullRequest": {}}, {"name": "tag", "tag": {"pattern": "v*"}},
    ]));
    let mut status = PipelineStatus::default();
    let poll = |status: &mut PipelineStatus, spec: &PipelineSpec, all: &[(&str, char)]| {
        poll::take_in(status, spec, &refs(all), NOW).unwrap();
        status
            .pending
            .iter()
            .map(|known| known.git_ref.clone())
            .collect::<Vec<_>>()
    };
    let before = [
        ("refs/heads/main", 'a'),
        ("refs/heads/next", 'b'),
        ("refs/tags/v1", 'c'),
        ("refs/pull/1/head", 'd'),
    ];
    assert_eq!(poll(&mut status, &spec, &before), [""; 0], "what was there");
    let mut after = before.to_vec();
    after[0].1 = 'e';
    after[1].1 = 'e';
    after.extend([
        ("refs/tags/v2", 'e'),
        ("refs/tags/nightly", 'e'),
        ("refs/pull/2/head", 'e'),
        ("refs/pull/2/merge", 'e'),
    ]);
    let found = ["refs/heads/next", "refs/tags/v2", "refs/pull/2/head"];
    assert_eq!(
        poll(&mut status, &spec, &after),
        found,
        "the branch of the source has its own way"
    );
    assert_eq!(poll(&mut status, &spec, &after), found, "once");
    // What has been dealt with is not found again, and what has moved on is not waited for.
    poll::note(&mut status.seen, mark("refs/tags/v2", &sha('e')));
    status
        .pending
        .retain(|known| known.git_ref != "refs/tags/v2");
    after[1].1 = 'f';
    assert_eq!(
        poll(&mut status, &spec, &after),
        ["refs/pull/2/head", "refs/heads/next"]
    );
    assert_eq!(status.pending[1].sha, sha('f'));
    // Who pushes again and again does not put off the end of waiting for what nobody tells.
    let later = NOW + SignedDuration::from_mins(1);
    after[1].1 = 'a';
    after[6].1 = 'a';
    poll::take_in(&mut status, &spec, &refs(&after), later).unwrap();
    let since = |git_ref: &str| {
        let mut pending = status.pending.iter();
        pending.find(|known| known.git_ref == git_ref).unwrap().at.0
    };
    assert_eq!(since("refs/heads/next"), NOW);
    assert_eq!(
        since("refs/pull/2/head"),
        later,
        "its provider is asked anew"
    );
    // Other triggers begin anew.
    let mut other = spec.clone();
    other.triggers.truncate(2);
    after.push(("refs/heads/more", 'a'));
    assert_eq!(poll(&mut status, &other, &after), [""; 0]);
}

#[test]
fn of_many_pull_requests_the_newest_are_looked_at_and_of_too_many_refs_people_are_told() {
    let spec = spec(&json!([{"name": "pr", "pullRequest": {}}, {"name": "tag", "tag": {}}]));
    let pulls: Vec<_> = (1..2000)
        .map(|number| (format!("refs/pull/{number}/head"), sha('a')))
        .collect();
    let found = poll::found(&spec, &pulls);
    assert_eq!((found.len(), found[0].0), (300, "refs/pull/1999/head"));
    let tags: Vec<_> = (0..1001)
        .map(|number| (format!("refs/tags/v{number}"), sha('a')))
        .collect();
    let error = poll::take_in(&mut PipelineStatus::default(), &spec, &tags, NOW).unwrap_err();
    assert!(error.message.contains("1001"), "{error:?}");
}

#[test]
fn marks_of_what_is_there_outlive_others() {
    let mut seen: Vec<String> = Vec::new();
    for number in 0..poll::KEPT + 100 {
        poll::note(&mut seen, number.to_string());
    }
    assert_eq!((seen.len(), seen[0].as_str()), (poll::KEPT, "100"));
    poll::note(&mut seen, "100".into());
    assert_eq!(seen.len(), poll::KEPT);
    // Of a branch that is there, the oldest mark of all.
    let spec = spec(&json!([{"name": "all", "push": {"branches": ["**"]}}]));
    let there = refs(&[("refs/heads/old", 'a')]);
    let mut status = PipelineStatus::default();
    poll::take_in(&mut status, &spec, &there, NOW).unwrap();
    for number in 0..poll::KEPT - 1 {
        poll::note(&mut status.seen, number.to_string());
    }
    poll::take_in(&mut status, &spec, &there, NOW).unwrap();
    let before = status.seen.clone();
    poll::take_in(&mut status, &spec, &there, NOW).unwrap();
    assert_eq!(status.seen, before, "nothing new, nothing to write");
    for number in 0..poll::KEPT - 1 {
        poll::note(&mut status.seen, format!("new {number}"));
    }
    poll::take_in(&mut status, &spec, &there, NOW).unwrap();
    assert_eq!((status.seen.len(), status.pending.len()), (poll::KEPT, 0));
    assert!(status.seen.contains(&mark("refs/heads/old", &sha('a'))));
}

fn nightly(rest: &Value) -> ScheduleTrigger {
    let mut trigger = json!({"cron": "30 2 * * *", "timeZone": "Europe/Madrid"});
    json_patch::merge(&mut trigger, rest);
    serde_json::from_value(trigger).unwrap()
}

fn times(trigger: &ScheduleTrigger, since: &str, now: &str) -> (Option<String>, Option<String>) {
    let time = |text: &str| text.parse::<Timestamp>().unwrap();
    let times = schedule::times(trigger, time(since), time(now)).unwrap();
    (
        times.due.map(|at| at.to_string()),
        times.next.map(|at| at.to_string()),
    )
}

#[test]
fn a_schedule_is_by_the_clock_on_the_wall() {
    let trigger = nightly(&json!({}));
    let (due, next) = times(&trigger, "2027-01-14T12:00:00Z", "2027-01-15T01:30:00Z");
    assert_eq!(
        (due.as_deref(), next.as_deref()),
        (Some("2027-01-15T01:30:00Z"), Some("2027-01-16T01:30:00Z"))
    );
    // Clocks go forward on 28 March 2027, from 02:00 to 03:00: half past two is an hour later.
    let (due, _) = times(&trigger, "2027-03-27T12:00:00Z", "2027-03-28T01:35:00Z");
    assert_eq!(due.as_deref(), Some("2027-03-28T01:30:00Z"));
    // They go back on 31 October 2027, from 03:00 to 02:00: half past two is there twice, and counts once.
    let (due, _) = times(&trigger, "2027-10-30T12:00:00Z", "2027-10-31T00:31:00Z");
    assert_eq!(due.as_deref(), Some("2027-10-31T00:30:00Z"));
    let (due, next) = times(&trigger, "2027-10-31T00:30:00Z", "2027-10-31T01:31:00Z");
    assert_eq!((due, next.as_deref()), (None, Some("2027-11-01T01:30:00Z")));
}

#[test]
fn what_was_missed_starts_late_once_and_never_too_late() {
    let often = nightly(&json!({"cron": "*/10 * * * *", "timeZone": null}));
    let (due, _) = times(&often, "2027-01-14T12:00:00Z", "2027-01-14T13:09:00Z");
    assert_eq!(
        due.as_deref(),
        Some("2027-01-14T13:00:00Z"),
        "the last of seven"
    );
    let (due, _) = times(
        &nightly(&json!({})),
        "2027-01-14T12:00:00Z",
        "2027-01-15T01:41:00Z",
    );
    assert_eq!(due, None, "more than ten minutes");
    let patient = nightly(&json!({"startingDeadline": "1h"}));
    let (due, _) = times(&patient, "2027-01-14T12:00:00Z", "2027-01-15T01:41:00Z");
    assert_eq!(due.as_deref(), Some("2027-01-15T01:30:00Z"));
    assert!(schedule::check(&nightly(&json!({"cron": "99 2 * * *"}))).is_err());
    assert!(schedule::check(&nightly(&json!({"timeZone": "Mars/Olympus"}))).is_err());
}

proptest! {
    #[test]
    fn no_payload_makes_anything_panic(kind in "[a-z_A-Z ]{0,20}", body in proptest::collection::vec(any::<u8>(), 0..200)) {
        for provider in [Provider::GitHub, Provider::GitLab, Provider::Gitea] {
            let _ = read(provider, &kind, &body, &spec(&json!([])));
        }
    }

    /// However often and whenever one looks, also after an outage within the deadline, each time of a schedule is due once.
    #[test]
    fn every_time_is_due_once(steps in proptest::collection::vec(1..600_i64, 1..200), start in 1_804_000_000..1_840_000_000_i64) {
        let trigger = nightly(&json!({"cron": "*/30 * * * *"}));
        let mut now = Timestamp::from_second(start).unwrap();
        let mut last = now;
        let mut due = Vec::new();
        for step in steps {
            now += SignedDuration::from_secs(step);
            if let Some(at) = schedule::times(&trigger, last, now).unwrap().due {
                prop_assert!(at > last && at <= now);
                due.push(at);
                last = at;
            }
        }
        // Every half hour is there, but for those that clocks repeat.
        prop_assert!(due.windows(2).all(|pair| pair[0] < pair[1]));
        let span = now.as_second() - start;
        let missing = span / 1800 - i64::try_from(due.len()).unwrap();
        prop_assert!((-1..=3).contains(&missing), "{} of {span} s", due.len());
    }
}
