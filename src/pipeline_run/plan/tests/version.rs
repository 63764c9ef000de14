//! Versions: settled once, by one run after the other, and used by what comes after the gates.

use super::super::super::observed::{Peer, Versioned};
use super::super::super::testing::commit;
use super::*;
use crate::pipeline_run::api::{Bump, Commit, Difference, SkipReason};
use crate::provider::api::ProviderType;
use crate::release::api::Release;
use crate::runner::report::{SourceReport, StageReport};
use crate::runner::task::{ReleaseTask, TagTask};

const BUILD: &str = "api-1-image-1";
const TAGS: &str = "api-1-tags-1";
const VERSION: &str = "api-1-version-1";
const UPLOAD: &str = "api-1-upload-1";

/// A run with everything that has to do with versions.
fn versioned() -> Observed {
    let seen = running(&json!([
        {"name": "image", "type": "Build", "build": {"image": "registry.example/shop/api"}},
        {"name": "tags", "type": "Tag", "tag": {"names": ["{{version}}", "{{branch}}"]}},
    ]));
    let Snapshot::Taken(spec) = &seen.snapshot else {
        panic!("no spec");
    };
    let mut spec = serde_json::to_value(spec).unwrap();
    spec["release"] = json!({"version": {"initial": "1.0.0"}});
    let more = [
        json!({"name": "version", "type": "Release", "needs": ["upload"],
               "release": {"credentials": {"secretName": "push"}, "changelog": "CHANGELOG.md"}}),
        json!({"name": "upload", "type": "Publish", "image": "twine", "run": "twine upload dist/*"}),
    ];
    spec["stages"].as_array_mut().unwrap().extend(more);
    let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
    assert_eq!(spec::problems(&spec), []);
    Observed {
        snapshot: Snapshot::Taken(Box::new(spec)),
        ..seen
    }
}

/// The image is built; its commits ask for that.
fn built_for(seen: Observed, bump: Bump) -> Observed {
    let seen = then(seen);
    with_job(seen, BUILD, |job| {
        job.over(NOW, 0, built('9')).with_pod(|pod| {
            let mut report = SourceReport {
                commit: Some(commit('a')),
                bump: Some(bump),
                difference: Some(differs()),
                ..SourceReport::default()
            };
            report.push_change(&Commit {
                subject: "feat: a".into(),
                ..commit('a')
            });
            let source = pod.ended.get_mut("source").unwrap();
            source.message = report.encode();
        })
    })
}

fn differs() -> Difference {
    Difference {
        lines: 12,
        files: Some(vec!["src/cart.py".into()]),
    }
}

fn number(seen: &Observed) -> Option<&str> {
    seen.status.version.as_ref()?.number.as_deref()
}

fn task_of<T: serde::de::DeserializeOwned>(plan: &Plan<PipelineRunStatus>) -> T {
    serde_json::from_value(told(main_of(plan))).unwrap()
}

fn rival(name: &str, seconds: i64, has_begun: bool) -> Versioned {
    Versioned {
        name: name.into(),
        created_at: NOW + SignedDuration::from_secs(seconds),
        has_begun,
    }
}

#[test]
fn a_version_is_on_record_before_anything_is_made_with_it() {
    let seen = built_for(versioned(), Bump::Minor);
    let first = plan(&seen, NOW);
    assert_eq!(names(&first), [""; 0], "nothing but the record");
    assert_eq!(first.wake, Some(NOW));
    let seen = then(seen);
    assert_eq!(number(&seen), Some("1.0.0"));
    let tags = plan(&seen, NOW);
    assert_eq!(names(&tags), [TAGS]);
    assert_eq!(task_of::<TagTask>(&tags).names, ["1.0.0", "main"]);
}

#[test]
fn what_cannot_be_taken_back_comes_last_and_the_release_has_it_all() {
    let seen = then(then(built_for(versioned(), Bump::Minor)));
    let seen = with_job(seen, TAGS, |job| job.over(NOW, 0, StageReport::default()));
    let uploads = plan(&seen, NOW);
    assert_eq!(names(&uploads), [UPLOAD]);
    let mut env = main_of(&uploads)["env"].as_array().unwrap().iter();
    assert!(env.any(|env| env["name"] == "SLIPWAY_VERSION" && env["value"] == "1.0.0"));
    let seen = with_job(then(seen), UPLOAD, |job| {
        job.over(NOW, 0, StageReport::default())
    });
    let versions = plan(&seen, NOW);
    assert_eq!(names(&versions), [VERSION]);
    let task: ReleaseTask = task_of(&versions);
    assert_eq!(
        (task.tag.as_str(), task.version.as_str()),
        ("v1.0.0", "1.0.0")
    );
    assert_eq!(task.branch.as_deref(), Some("refs/heads/main"));
    assert!(
        task.notes.starts_with("### Features\n\n- a ("),
        "{}",
        task.notes
    );
    let pod = &created(&versions)[0].body["spec"]["template"]["spec"];
    let text = pod.to_string();
    assert!(
        text.contains("\"claim\"") && !text.contains("\"source\","),
        "{text}"
    );

    let pushed = StageReport {
        published: vec![sha('e')],
        ..StageReport::default()
    };
    let seen = with_job(then(seen), VERSION, |job| job.over(NOW, 0, pushed));
    let made = plan(&seen, NOW);
    let release = created(&made)[0];
    assert_eq!(release.kind, ObjectKind::Release);
    let spec = &release.body["spec"];
    assert_eq!(spec["version"], "1.0.0");
    assert_eq!(spec["published"], json!([sha('e')]));
    assert!(spec["changelog"].as_str().unwrap().contains("### Features"));
    assert_eq!(spec.get("difference"), None, "the first differs from none");
}

#[test]
fn a_tag_that_was_left_gets_its_release_at_the_provider_once() {
    let hosted = |mut seen: Observed| {
        if let Snapshot::Taken(spec) = &mut seen.snapshot {
            let provider = crate::provider::testing::provider(ProviderType::Gitea);
            spec.source.git.provider = serde_json::from_value(provider).unwrap();
            let mut stages = spec.stages.iter_mut();
            let release = stages.find_map(|stage| stage.release.as_mut()).unwrap();
            release.provider_release = Some(true);
        }
        seen
    };
    let request = |plan: &Plan<PipelineRunStatus>| {
        plan.actions.iter().find_map(|action| match action {
            Action::Fetch { key, request } if key == "release" => Some(request.clone()),
            _ => None,
        })
    };
    let done = || StageReport::default();
    let seen = then(then(built_for(hosted(versioned()), Bump::Minor)));
    let seen = with_job(seen, TAGS, |job| job.over(NOW, 0, done()));
    let seen = with_job(then(seen), UPLOAD, |job| job.over(NOW, 0, done()));
    let mut seen = with_job(then(seen), VERSION, |job| job.over(NOW, 0, done()));
    let made = plan(&seen, NOW);
    assert_eq!(request(&made), None, "not before the Release is there");
    let record = created(&made)[0];
    let record = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": record.key.name},
        "spec": record.body["spec"],
    });
    seen = then(seen);
    seen.releases = vec![std::sync::Arc::new(serde_json::from_value(record).unwrap())];
    let over = plan(&seen, NOW);
    assert_eq!(over.progress.phase, Some(RunPhase::Succeeded));
    let request = request(&over).unwrap();
    let body: Value = serde_json::from_str(request.body.as_deref().unwrap()).unwrap();
    assert_eq!(
        (&body["tag_name"], &body["name"]),
        (&json!("v1.0.0"), &json!("1.0.0"))
    );
    assert_eq!(
        (&body["prerelease"], &body["target_commitish"]),
        (&json!(false), &json!(sha('a')))
    );
    assert!(body["body"].as_str().unwrap().starts_with("### Features"));
    // One that is there is left as it is.
    let body = b"{\"message\": \"Release is already there\"}".to_vec();
    let mut outcome = Outcome::default();
    let there = Reply { status: 409, body };
    outcome.replies.insert("release".into(), Ok(there));
    let told = status(&seen, &over, &outcome, NOW);
    let mut outbox = told.outbox.iter();
    let entry = outbox.find(|entry| entry.key == "release").unwrap();
    assert_eq!(entry.state, crate::outbox::api::OutboxState::Sent);
}

#[test]
fn a_run_waits_for_another_that_has_a_version() {
    for (seconds, has_begun) in [(-1, false), (1, false), (1, true)] {
        let mut seen = built_for(versioned(), Bump::Minor);
        seen.versioned = vec![rival("api-2", seconds, has_begun)];
        let plan = plan(&seen, NOW);
        assert_eq!(names(&plan), [""; 0]);
        assert_eq!(plan.progress.version, None);
        assert!(
            plan.why.message.contains("waiting for run api-2"),
            "{}",
            plan.why.message
        );
        assert!(plan.wake.is_some());
    }
}

#[test]
fn of_two_runs_that_have_put_down_a_version_one_goes_on() {
    let settled = || then(built_for(versioned(), Bump::Minor));
    // The older one stands, and waits for the younger to see it.
    let mut seen = settled();
    seen.versioned = vec![rival("api-2", 1, false)];
    let waits = plan(&seen, NOW);
    assert_eq!(names(&waits), [""; 0]);
    assert_eq!(waits.progress.version, seen.status.version);
    // The younger gives way; so does the older to one that has begun.
    for (seconds, has_begun) in [(-1, false), (1, true)] {
        let mut seen = settled();
        seen.versioned = vec![rival("api-2", seconds, has_begun)];
        let gives_way = plan(&seen, NOW);
        assert_eq!(names(&gives_way), [""; 0]);
        assert_eq!(gives_way.progress.version, None);
    }
    // Once it has begun, it goes on.
    let mut seen = then(settled());
    seen.versioned = vec![rival("api-2", -1, false)];
    assert_eq!(plan(&seen, NOW).progress.version, seen.status.version);
}

#[test]
fn a_newer_run_stops_none_that_has_begun_to_publish() {
    let concurrent = |mut seen: Observed| {
        let rule = serde_json::from_value(json!({"policy": "CancelInProgress"})).unwrap();
        seen.pipeline.as_mut().unwrap().spec.concurrency = Some(rule);
        seen.peers = vec![Peer {
            name: "api-2".into(),
            git_ref: "refs/heads/main".into(),
            started_by: NOW + SignedDuration::from_secs(5),
            awaits_approval: false,
        }];
        plan(&seen, NOW).progress.stopping
    };
    let before = then(versioned());
    assert!(concurrent(before).is_some());
    let seen = then(then(built_for(versioned(), Bump::Minor)));
    assert_eq!(stage(&seen.status, "tags").phase, StagePhase::Running);
    assert_eq!(concurrent(seen.clone()), None);
    let seen = with_job(seen, TAGS, |job| job.over(NOW, 0, StageReport::default()));
    let seen = with_job(then(seen), UPLOAD, |job| {
        job.over(NOW, 0, StageReport::default())
    });
    let seen = then(seen);
    assert_eq!(stage(&seen.status, "version").phase, StagePhase::Running);
    assert_eq!(concurrent(seen), None);
}

#[test]
fn a_retry_does_not_give_a_version_that_another_commit_was_given_meanwhile() {
    let released = |digit: char| {
        let release: Release = serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-2", "namespace": "shop"},
            "spec": {"pipeline": "api", "version": "1.0.0", "commit": commit(digit), "ref": "refs/heads/main",
                     "images": [], "evidence": {"run": "api-2"}},
        }))
        .unwrap();
        vec![std::sync::Arc::new(release)]
    };
    // Its images are tagged, and nothing else was done.
    let seen = then(then(built_for(versioned(), Bump::Minor)));
    let mut seen = with_job(seen, TAGS, |job| job.over(NOW, 0, StageReport::default()));
    seen.releases = released('a');
    assert_eq!(names(&plan(&seen, NOW)), [UPLOAD], "its own");
    seen.releases = released('b');
    let failed = plan(&seen, NOW);
    assert_eq!(names(&failed), [""; 0]);
    assert_eq!(failed.progress.phase, Some(RunPhase::Failed));
    let failure = failed.progress.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.hint.unwrap().contains("version 1.0.0 was given"));
}

#[test]
fn commits_that_ask_for_nothing_make_a_release_without_version() {
    let known: Release = serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-0", "namespace": "shop"},
        "spec": {"pipeline": "api", "version": "1.2.0", "commit": commit('b'), "ref": "refs/heads/main",
                 "images": [], "evidence": {"run": "api-0"}},
    }))
    .unwrap();
    let mut seen = versioned();
    seen.releases = vec![std::sync::Arc::new(known)];
    let seen = then(built_for(seen, Bump::None));
    let version = seen.status.version.clone().unwrap();
    assert_eq!(version.number, None);
    assert_eq!(
        version.message,
        "no commit since 1.2.0 asks for a new version"
    );
    let tags = plan(&seen, NOW);
    assert_eq!(task_of::<TagTask>(&tags).names, ["main"]);
    let seen = with_job(then(seen), TAGS, |job| {
        job.over(NOW, 0, StageReport::default())
    });
    let made = plan(&seen, NOW);
    for name in ["version", "upload"] {
        let stage = stage(&made.progress, name);
        assert_eq!(stage.skipped_because, Some(SkipReason::Nothing), "{name}");
    }
    assert_eq!(created(&made)[0].body["spec"].get("version"), None);
}

#[test]
fn a_run_of_a_tag_has_its_version() {
    let mut seen = versioned();
    seen.spec.git_ref = "refs/tags/v2.0.0".into();
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.release.when = serde_json::from_value(json!({"tags": "v*"})).unwrap();
    }
    let seen = built_for(seen, Bump::None);
    let tags = plan(&seen, NOW);
    assert_eq!(names(&tags), [TAGS]);
    assert_eq!(task_of::<TagTask>(&tags).names, ["2.0.0", "v2.0.0"]);
}

#[test]
fn a_failure_before_the_gates_settles_nothing() {
    let seen = then(versioned());
    let seen = with_job(seen, BUILD, |job| job.over(NOW, 1, StageReport::default()));
    let over = plan(&seen, NOW);
    assert_eq!(over.progress.version, None);
    assert_eq!(
        stage(&over.progress, "version").skipped_because,
        Some(SkipReason::Gates)
    );
}

#[test]
fn what_had_no_version_is_told_with_the_next_one() {
    let docs = Commit {
        subject: "docs: say it".into(),
        ..commit('b')
    };
    let known: Release = serde_json::from_value(json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release", "metadata": {"name": "api-0", "namespace": "shop"},
        "spec": {"pipeline": "api", "commit": docs, "changes": [docs], "ref": "refs/heads/main",
                 "images": [], "evidence": {"run": "api-0"}},
    }))
    .unwrap();
    let mut seen = versioned();
    seen.releases = vec![std::sync::Arc::new(known)];
    let seen = then(then(built_for(seen, Bump::Minor)));
    let seen = with_job(seen, TAGS, |job| job.over(NOW, 0, StageReport::default()));
    let seen = with_job(then(seen), UPLOAD, |job| {
        job.over(NOW, 0, StageReport::default())
    });
    let task: ReleaseTask = task_of(&plan(&seen, NOW));
    let parts = ["### Features\n\n- a (", "### Documentation\n\n- say it ("];
    assert!(
        parts.iter().all(|part| task.notes.contains(part)),
        "{}",
        task.notes
    );
    let seen = with_job(then(seen), VERSION, |job| {
        job.over(NOW, 0, StageReport::default())
    });
    let made = plan(&seen, NOW);
    let spec = &created(&made)[0].body["spec"];
    assert_eq!(spec["previous"], "api-0");
    assert_eq!(spec["difference"], json!(differs()));
}
