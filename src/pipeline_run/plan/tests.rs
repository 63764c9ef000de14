//! Stories.

mod definition;
mod ending;
mod evidence;
mod matrix;
mod notify;
mod package;
mod preview;
mod publish;
mod retry;
mod sample;
mod supply;
mod tell;
mod turn;
mod version;

use super::super::api::{GateResult, RunParam, StageStatus};
use super::super::observed::Trouble;
use super::super::status::status;
use super::super::testing::{a_job, a_run, built, digest, receiver, tested};
use super::*;
use crate::model::action::{Outcome, Reply};
use crate::model::manifest::Manifest;
use crate::model::object::ObjectKind;
use crate::pipeline::api::{Isolation, SourceError, SourceErrorKind};
use crate::pipeline::secret::{Facts, Secrets};
use crate::pipeline::testing::{NOW, sha, spec};
use crate::runner::task::VARIABLE;
use jiff::SignedDuration;
use serde_json::{Value, json};

const UNIT: &str = "api-1-unit-1";
const IMAGE: &str = "api-1-image-1";

fn created(plan: &Plan<PipelineRunStatus>) -> Vec<&Manifest> {
    let created = plan.actions.iter().filter_map(|action| match action {
        Action::Create(manifest) => Some(manifest),
        _ => None,
    });
    created.collect()
}

fn names(plan: &Plan<PipelineRunStatus>) -> Vec<&str> {
    created(plan)
        .iter()
        .map(|manifest| manifest.key.name.as_str())
        .collect()
}

/// What is in the pod of a Job that a plan makes.
fn pod_of<'a>(plan: &'a Plan<PipelineRunStatus>, name: &str) -> &'a Value {
    let created = created(plan);
    let job = created.iter().find(|job| job.key.name == name).unwrap();
    &job.body["spec"]["template"]["spec"]
}

/// The main container of the first Job that a plan makes.
fn main_of(plan: &Plan<PipelineRunStatus>) -> &Value {
    &created(plan)[0].body["spec"]["template"]["spec"]["containers"][0]
}

/// What a container is told to do.
fn told(container: &Value) -> Value {
    let env = container["env"].as_array().unwrap();
    let task = env.iter().find(|env| env["name"] == VARIABLE).unwrap();
    serde_json::from_str(&task["value"].as_str().unwrap().replace("$$", "$")).unwrap()
}

/// The snapshot is there.
fn begun() -> Observed {
    let mut seen = a_run();
    seen.images.receiver = Some(receiver());
    seen.status.revision = Some("api-snapshot".into());
    seen.snapshot = Snapshot::Taken(Box::new(spec()));
    seen
}

/// Takes the status of a plan in, as the driver does.
fn then(seen: Observed) -> Observed {
    then_at(seen, NOW)
}

fn then_at(mut seen: Observed, now: Timestamp) -> Observed {
    let plan = plan(&seen, now);
    seen.status = status(&seen, &plan, &Outcome::default(), now);
    seen
}

/// A run of a Pipeline with these stages and without gates; the snapshot is there.
fn running(stages: &Value) -> Observed {
    let mut whole = serde_json::to_value(spec()).unwrap();
    whole["stages"] = stages.clone();
    whole["gates"] = json!([]);
    let spec: PipelineSpec = serde_json::from_value(whole).unwrap();
    assert_eq!(spec::problems(&spec), []);
    let mut seen = begun();
    seen.snapshot = Snapshot::Taken(Box::new(spec));
    seen
}

fn with_job(mut seen: Observed, name: &str, change: impl FnOnce(Job) -> Job) -> Observed {
    let job = seen.jobs.remove(name).unwrap_or_else(|| a_job(name));
    seen.jobs.insert(name.to_owned(), change(job));
    seen
}

/// Up to the build, whose Job is not there yet.
fn tested_well() -> Observed {
    let seen = then(begun());
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 0, tested(12, 0)));
    then(seen)
}

fn built_well() -> Observed {
    with_job(tested_well(), IMAGE, |job| job.over(NOW, 0, built('9')))
}

fn stage<'a>(status: &'a PipelineRunStatus, name: &str) -> &'a StageStatus {
    status
        .stages
        .iter()
        .find(|stage| stage.name == name)
        .unwrap()
}

#[test]
fn a_run_takes_a_snapshot_of_its_pipeline_first() {
    let seen = a_run();
    let plan = plan(&seen, NOW);
    let created = created(&plan);
    assert_eq!(created[0].kind, ObjectKind::ControllerRevision);
    assert_eq!(plan.progress.revision.as_ref(), Some(&created[0].key.name));
    assert_eq!(
        created[0].body["metadata"]["ownerReferences"][0]["kind"],
        "Pipeline"
    );
    assert_eq!(plan.progress.phase, Some(RunPhase::Queued));
}

/// What that costs an object, a record and an event is not spent twice for the same spec.
#[test]
fn a_snapshot_that_another_run_has_taken_is_followed_at_once() {
    let mut seen = a_run();
    seen.images.receiver = Some(receiver());
    seen.snapshot = Snapshot::Taken(Box::new(spec()));
    let plan = plan(&seen, NOW);
    assert_eq!(names(&plan), [UNIT]);
    let name = render::snapshot_name("api", &seen.pipeline.as_ref().unwrap().spec);
    assert_eq!(plan.progress.revision, Some(name));
    assert_eq!(plan.progress.phase, Some(RunPhase::Running));
}

#[test]
fn a_run_follows_its_snapshot_and_not_a_later_edit() {
    let mut seen = begun();
    if let Some(pipeline) = &mut seen.pipeline {
        pipeline.spec.stages.clear();
    }
    assert_eq!(names(&plan(&seen, NOW)), [UNIT]);
}

#[test]
fn stages_start_when_what_they_need_has_succeeded() {
    let seen = then(begun());
    assert_eq!(stage(&seen.status, "unit").phase, StagePhase::Running);
    assert_eq!(stage(&seen.status, "image").phase, StagePhase::Pending);
    let seen = with_job(seen, UNIT, Job::running);
    assert_eq!(names(&plan(&seen, NOW)), Vec::<&str>::new());
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 0, tested(3, 0)));
    assert_eq!(names(&plan(&seen, NOW)), [IMAGE]);
}

#[test]
fn the_order_in_the_list_does_not_matter() {
    let mut reversed = spec();
    reversed.stages.reverse();
    let mut seen = begun();
    seen.snapshot = Snapshot::Taken(Box::new(reversed));
    let seen = then(seen);
    let seen = with_job(seen, UNIT, |job| job.over(NOW, 0, tested(3, 0)));
    assert_eq!(names(&plan(&seen, NOW)), [IMAGE]);
}

#[test]
fn a_run_that_passes_makes_a_release_and_then_succeeds() {
    let seen = then(built_well());
    let plan = plan(&seen, NOW);
    let release = created(&plan)[0];
    assert_eq!(release.kind, ObjectKind::Release);
    assert_eq!(release.body["metadata"].get("ownerReferences"), None);
    assert_eq!(release.body["spec"]["images"][0]["digest"], digest('9'));
    assert_eq!(release.body["spec"]["commit"]["sha"], sha('a'));
    assert_eq!(release.body["spec"]["evidence"]["tests"]["total"], 12);
    assert_eq!(plan.progress.phase, Some(RunPhase::Running));

    let mut seen = seen;
    let body = serde_json::from_value(release.body.clone()).unwrap();
    seen.releases.push(std::sync::Arc::new(body));
    let done = super::plan(&seen, NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Succeeded));
    assert_eq!(done.progress.release.as_ref(), Some(&release.key.name));
    assert!(done.actions.is_empty());
}

#[test]
fn identical_content_of_one_commit_is_one_release() {
    let seen = then(built_well());
    let name = |seen: &Observed| names(&plan(seen, NOW))[0].to_owned();
    let mut other = seen.clone();
    other.key.name = "api-2".into();
    other.owner.name = "api-2".into();
    assert_eq!(name(&seen), name(&other));
    other.status.artifacts[0].digest = digest('8');
    assert_ne!(name(&seen), name(&other));
}

#[test]
fn a_failed_test_fails_the_run_and_skips_the_build() {
    let seen = with_job(then(begun()), UNIT, |job| job.over(NOW, 1, tested(12, 2)));
    let plan = plan(&seen, NOW);
    let status = &plan.progress;
    assert_eq!(status.phase, Some(RunPhase::Failed));
    assert_eq!(stage(status, "unit").phase, StagePhase::Failed);
    assert_eq!(stage(status, "image").phase, StagePhase::Skipped);
    assert_eq!(status.failure.as_ref().unwrap().kind, FailureKind::Test);
    assert_eq!(status.tests.unwrap().failed, 2);
    assert_eq!(plan.why.reason, "TestFailed");
    assert!(created(&plan).is_empty());
}

#[test]
fn an_enforced_gate_fails_the_run_and_a_warning_does_not() {
    let good_exit = || {
        let mut report = tested(12, 2);
        report.failure = None;
        report
    };
    let run = |warn: bool| {
        let mut seen = begun();
        let mut spec = spec();
        spec.gates[0].mode = warn.then_some(crate::pipeline::api::GateMode::Warn);
        seen.snapshot = Snapshot::Taken(Box::new(spec));
        let seen = with_job(then(seen), UNIT, |job| job.over(NOW, 0, good_exit()));
        let seen = with_job(then(seen), IMAGE, |job| job.over(NOW, 0, built('9')));
        plan(&seen, NOW)
    };
    let enforced = run(false);
    assert_eq!(enforced.progress.phase, Some(RunPhase::Failed));
    assert_eq!(enforced.progress.gates[0].result, GateResult::Failed);
    assert_eq!(enforced.why.reason, "GateFailed");
    assert_eq!(enforced.progress.release, None);
    let warned = run(true);
    assert_eq!(warned.progress.gates[0].result, GateResult::Warned);
    assert_eq!(created(&warned)[0].kind, ObjectKind::Release);
}

#[test]
fn a_gate_without_a_report_fails_the_run() {
    let mut silent = tested(1, 0);
    silent.tests = None;
    let seen = with_job(then(begun()), UNIT, |job| job.over(NOW, 0, silent));
    let seen = with_job(then(seen), IMAGE, |job| job.over(NOW, 0, built('9')));
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.gates[0].result, GateResult::NoData);
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
}

#[test]
fn another_branch_and_a_pipeline_that_releases_nothing_make_no_release() {
    let mut seen = built_well();
    seen.spec.git_ref = "refs/heads/feature".into();
    let done = plan(&seen, NOW);
    assert_eq!(done.progress.phase, Some(RunPhase::Succeeded));
    assert!(created(&done).is_empty());

    let mut seen = built_well();
    let mut silent = spec();
    silent.release.enabled = false;
    seen.snapshot = Snapshot::Taken(Box::new(silent));
    assert_eq!(plan(&seen, NOW).progress.phase, Some(RunPhase::Succeeded));
}

#[test]
fn a_job_that_is_deleted_by_hand_is_never_run_again() {
    let seen = with_job(then(begun()), UNIT, Job::running);
    let mut seen = then(seen);
    assert!(stage(&seen.status, "unit").started_at.is_some());
    seen.jobs.clear();
    // A moment after it was made, its absence may be the cache's fault.
    let early = plan(&seen, NOW);
    assert_eq!(early.progress.phase, Some(RunPhase::Running));
    assert!(created(&early).is_empty());
    assert_eq!(early.wake, Some(NOW + CACHE_LAG));
    let plan = plan(&seen, NOW + CACHE_LAG);
    assert!(created(&plan).is_empty());
    assert_eq!(
        plan.progress.failure.as_ref().unwrap().kind,
        FailureKind::Infra
    );
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
}

#[test]
fn a_job_that_is_deleted_before_it_is_on_record_that_it_was_there_is_not_made_again_and_again() {
    let mut seen = then(begun());
    assert_eq!(stage(&seen.status, "unit").started_at, None);
    seen.gone.insert(UNIT.to_owned(), NOW);
    let early = plan(&seen, NOW);
    assert!(created(&early).is_empty());
    assert_eq!(early.wake, Some(NOW + CACHE_LAG));
    let late = plan(&seen, NOW + CACHE_LAG);
    assert!(created(&late).is_empty());
    assert_eq!(late.progress.phase, Some(RunPhase::Failed));
}

#[test]
fn a_job_that_was_announced_and_not_made_is_made() {
    let seen = then(begun());
    assert_eq!(stage(&seen.status, "unit").started_at, None);
    assert_eq!(names(&plan(&seen, NOW)), [UNIT]);
}

#[test]
fn an_image_that_cannot_be_pulled_fails_the_stage_and_stops_its_job() {
    let seen = with_job(then(begun()), UNIT, |job| {
        job.running().with_pod(|pod| {
            pod.trouble = Some(Trouble {
                container: "main".into(),
                message: "ImagePullBackOff: no such image".into(),
            });
        })
    });
    let stuck = plan(&seen, NOW);
    let failure = stuck.progress.failure.as_ref().unwrap();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(matches!(stuck.actions.as_slice(), [Action::Delete { .. }]));
    // The deletion is tried again when it got lost, although the run is over.
    let seen = then(seen);
    assert!(matches!(
        plan(&seen, NOW).actions.as_slice(),
        [Action::Delete { .. }]
    ));
}

#[test]
fn what_a_run_waits_for_is_said() {
    let mut seen = a_run();
    seen.pipeline = None;
    let missing = plan(&seen, NOW);
    assert_eq!(missing.why.reason, "NoPipeline");
    assert!(missing.wake.is_some());

    let mut seen = a_run();
    seen.pipeline.as_mut().unwrap().spec.suspend = true;
    assert_eq!(plan(&seen, NOW).why.reason, "Suspended");

    let mut seen = begun();
    seen.images.buildkit = None;
    let no_image = plan(&seen, NOW);
    assert_eq!(no_image.why.reason, "NoRunnerImage");
    assert!(no_image.actions.is_empty());

    let seen = with_job(then(begun()), UNIT, |job| {
        job.with_pod(|pod| pod.unschedulable = Some("0/3 nodes are available".into()))
    });
    assert!(plan(&seen, NOW).why.message.contains("0/3 nodes"));
}

#[test]
fn a_pipeline_that_cannot_be_run_fails_the_run() {
    let mut seen = a_run();
    seen.pipeline.as_mut().unwrap().spec.stages[0].needs = vec!["nothing".into()];
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
    assert_eq!(plan.progress.failure.unwrap().kind, FailureKind::Config);
}

fn manual() -> Observed {
    let mut seen = begun();
    seen.spec.sha = None;
    seen
}

fn answer(seen: &Observed, reply: Result<Reply, String>) -> Outcome {
    let Snapshot::Taken(spec) = &seen.snapshot else {
        panic!("no snapshot");
    };
    let mut outcome = Outcome::default();
    outcome.replies.insert(seen.question(spec), reply);
    outcome
}

#[test]
fn a_manual_run_takes_the_head_of_its_branch() {
    let seen = manual();
    let asking = plan(&seen, NOW);
    assert!(matches!(asking.actions.as_slice(), [Action::Fetch { .. }]));
    let line = format!("{} refs/heads/main\0caps\n", sha('b'));
    let body = format!(
        "001e# service=git-upload-pack\n0000{:04x}{line}0000",
        line.len() + 4
    );
    let reply = Reply {
        status: 200,
        body: body.into_bytes(),
    };
    let mut next = seen.clone();
    next.status = status(&seen, &asking, &answer(&seen, Ok(reply)), NOW);
    assert_eq!(next.status.sha, Some(sha('b')));
    assert_eq!(names(&plan(&next, NOW)), [UNIT]);
}

#[test]
fn a_repository_that_is_down_is_asked_again_for_a_while() {
    let seen = manual();
    let asking = plan(&seen, NOW);
    let down = answer(&seen, Err("connection refused".into()));
    let mut next = seen.clone();
    next.status = status(&seen, &asking, &down, NOW);
    next.asked_at = Some(NOW);
    let waiting = plan(&next, NOW);
    assert_eq!(waiting.why.reason, "SourceUnavailable");
    assert_eq!(waiting.wake, Some(NOW + ASK_AGAIN));
    let given_up = plan(&next, NOW + SignedDuration::from_mins(11));
    assert_eq!(given_up.progress.phase, Some(RunPhase::Failed));
    assert_eq!(given_up.progress.failure.unwrap().kind, FailureKind::Clone);
}

#[test]
fn a_branch_that_is_not_there_fails_the_run_at_once() {
    let mut seen = manual();
    seen.status.source_error = Some(SourceError {
        kind: SourceErrorKind::NoBranch,
        message: "no branch".into(),
    });
    assert_eq!(plan(&seen, NOW).progress.phase, Some(RunPhase::Failed));
}

#[test]
fn a_run_that_is_over_stays_as_it_is() {
    let seen = with_job(then(begun()), UNIT, |job| job.over(NOW, 1, tested(12, 2)));
    let seen = then(seen);
    let later = NOW + SignedDuration::from_hours(1);
    let mut other = seen.clone();
    other.jobs.clear();
    other.snapshot = Snapshot::Missing;
    other.pipeline = None;
    let plan = plan(&other, later);
    assert_eq!(
        status(&other, &plan, &Outcome::default(), later),
        seen.status
    );
    assert!(plan.actions.is_empty());
    assert_eq!(seen.status.finished_at, Some(Time(NOW)));
}

#[test]
fn a_person_can_stop_a_run_anywhere() {
    let mut waiting = a_run();
    waiting.cancelled_by = Some("alice".into());
    let plan = super::plan(&waiting, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::Cancelled));
    assert!(plan.actions.is_empty());

    let mut seen = with_job(then(begun()), UNIT, Job::running);
    seen.cancelled_by = Some("alice".into());
    let plan = super::plan(&seen, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::Cancelled));
    assert!(matches!(plan.actions.as_slice(), [Action::Delete { .. }]));
    assert!(plan.why.message.starts_with("stopped by alice"));
    let unit = stage(&plan.progress, "unit");
    assert_eq!(unit.phase, StagePhase::Cancelled);
    assert_eq!(unit.message.as_deref(), Some("stopped by alice"));

    // A verdict that is there is not taken back.
    let over = with_job(then(begun()), UNIT, |job| job.over(NOW, 1, tested(3, 1)));
    let mut over = then(over);
    over.cancelled_by = Some("alice".into());
    assert_eq!(
        super::plan(&over, NOW).progress.phase,
        Some(RunPhase::Failed)
    );
}

#[test]
fn a_timeout_is_told_apart() {
    let report = crate::runner::report::StageReport {
        failure: Some(FailureKind::Timeout),
        message: Some("stopped after 30m".into()),
        ..Default::default()
    };
    let seen = with_job(then(begun()), UNIT, |job| job.over(NOW, 1, report));
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::TimedOut));
    assert_eq!(stage(&plan.progress, "unit").phase, StagePhase::TimedOut);
}

#[test]
fn a_run_whose_snapshot_was_deleted_takes_another_one_or_fails() {
    let mut early = a_run();
    early.status.revision = Some("api-gone".into());
    assert_eq!(
        created(&plan(&early, NOW))[0].kind,
        ObjectKind::ControllerRevision
    );
    let mut late = then(begun());
    late.snapshot = Snapshot::Missing;
    let late = plan(&late, NOW + CACHE_LAG);
    assert_eq!(late.progress.phase, Some(RunPhase::Failed));
}

/// A spec that names a Secret.
fn with_secret(mut seen: Observed) -> Observed {
    let mut spec = spec();
    let env =
        serde_json::json!([{"name": "TOKEN", "secretRef": {"name": "index", "key": "token"}}]);
    spec.stages[0].env = serde_json::from_value(env).unwrap();
    seen.snapshot = Snapshot::Taken(Box::new(spec));
    seen
}

#[test]
fn a_run_waits_for_its_secrets_and_then_says_what_is_missing() {
    let mut seen = with_secret(begun());
    let waits = plan(&seen, NOW);
    assert_eq!((waits.why.reason, names(&waits).len()), ("NoSecret", 0));
    assert_eq!(waits.wake, Some(NOW + LOOK_AGAIN));
    let later = NOW + GIVE_UP_SECRETS + SignedDuration::from_secs(1);
    let given_up = plan(&seen, later).progress.failure.unwrap();
    assert_eq!(given_up.kind, FailureKind::Config);
    assert!(given_up.hint.unwrap().contains("Secret index"));
    seen.secrets = Secrets::NotAllowed;
    assert_eq!(plan(&seen, NOW).why.reason, "SecretsNotAllowed");
    let facts = Facts {
        is_labelled: true,
        keys: ["token".to_owned()].into(),
    };
    seen.secrets = Secrets::Known([("index".to_owned(), Some(facts))].into());
    assert_eq!(names(&plan(&seen, NOW)), [UNIT]);
}

#[test]
fn a_run_that_has_begun_does_not_look_at_secrets_any_more() {
    let seen = then(begun());
    let mut seen = with_secret(seen);
    seen.secrets = Secrets::Known([].into());
    assert_eq!(plan(&seen, NOW).progress.phase, Some(RunPhase::Running));
}

#[test]
fn a_run_that_asks_for_what_the_pipeline_does_not_offer_fails_with_all_that_is_wrong() {
    let mut seen = begun();
    seen.spec.trigger.kind = TriggerKind::Manual;
    seen.spec.params = vec![RunParam {
        name: "PATH".into(),
        value: "/tmp".into(),
    }];
    let plan = plan(&seen, NOW);
    assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
    let failure = plan.progress.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.hint.unwrap().contains("no parameter PATH"));
}

#[test]
fn an_isolation_that_the_operator_does_not_allow_fails_the_run_before_anything_is_started() {
    let mut seen = begun();
    seen.images.isolations = vec![Isolation::Rootless, Isolation::Chroot];
    let mut pipeline = spec();
    let build = pipeline.stages[1].build.as_mut().unwrap();
    build.isolation = Some(Isolation::Privileged);
    seen.snapshot = Snapshot::Taken(Box::new(pipeline));
    let plan = plan(&seen, NOW);
    assert_eq!(created(&plan).len(), 0);
    let failure = plan.progress.failure.unwrap();
    assert_eq!(failure.kind, FailureKind::Config);
    assert!(failure.hint.unwrap().contains("(Rootless, Chroot)"));
    // Auto takes the first of them.
    let auto = with_job(then(seen_with(&[Isolation::Rootless])), UNIT, |job| {
        job.over(NOW, 0, tested(12, 0))
    });
    let plan = super::plan(&auto, NOW);
    let container = main_of(&plan);
    assert_eq!(container["securityContext"]["runAsUser"], 1000);
}

fn seen_with(allowed: &[Isolation]) -> Observed {
    let mut seen = begun();
    seen.images.isolations = allowed.to_vec();
    seen
}
