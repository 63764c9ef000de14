//! What Kubernetes and the runner say, and what is made of it.

use super::super::observed::{Service, Trouble};
use super::super::testing::{a_job, built, tested};
use super::*;
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::pipeline::testing::NOW;

fn over(type_: StageType, job: &Job) -> Ending {
    match judge(type_, job, NOW) {
        Verdict::Over(ending) => *ending,
        Verdict::Wait(what, _) => panic!("waits: {what}"),
    }
}

fn failed_job() -> Job {
    let mut job = a_job("j");
    job.state = JobState::Failed(NOW, "PodFailurePolicy".into(), "it failed".into());
    job.with_pod(|pod| pod.is_over = true)
}

#[test]
fn a_pod_that_the_watch_has_not_shown_yet_is_waited_for() {
    let mut job = a_job("j");
    job.state = JobState::Complete(NOW);
    assert_eq!(
        judge(StageType::Test, &job, NOW),
        Verdict::Wait(
            "its Job is over, reading what the pod left".into(),
            Some(NOW + LATE_POD)
        )
    );
    let late = judge(StageType::Test, &job, NOW + LATE_POD);
    assert!(matches!(late, Verdict::Over(ending) if ending.phase == StagePhase::Succeeded));
}

#[test]
fn a_build_without_a_digest_did_not_succeed() {
    let job = a_job("j").over(NOW, 0, StageReport::default());
    assert_eq!(
        over(StageType::Build, &job).failure,
        Some(FailureKind::Infra)
    );
    let good = over(StageType::Build, &a_job("j").over(NOW, 0, built('a')));
    assert_eq!(good.phase, StagePhase::Succeeded);
    assert!(good.digest.is_some());
}

#[test]
fn tests_are_counted_whether_the_script_failed_or_not() {
    let good = over(StageType::Test, &a_job("j").over(NOW, 0, tested(5, 0)));
    assert_eq!(good.tests.unwrap().total, 5);
    let bad = over(StageType::Test, &a_job("j").over(NOW, 1, tested(5, 1)));
    assert_eq!(
        (bad.failure, bad.tests.unwrap().failed),
        (Some(FailureKind::Test), 1)
    );
    assert_eq!(bad.exit_code, Some(1));
}

#[test]
fn a_pod_that_was_taken_away_says_which_it_was() {
    let cases = [
        ("Evicted", FailureKind::Evicted, StagePhase::Failed),
        (
            "DeadlineExceeded",
            FailureKind::Timeout,
            StagePhase::TimedOut,
        ),
        ("NodeShutdown", FailureKind::Infra, StagePhase::Failed),
    ];
    for (reason, kind, phase) in cases {
        let job = failed_job().with_pod(|pod| pod.reason = reason.into());
        let ending = over(StageType::Build, &job);
        assert_eq!((ending.failure, ending.phase), (Some(kind), phase));
    }
    let drained = failed_job().with_pod(|pod| pod.is_disrupted = true);
    assert_eq!(
        over(StageType::Build, &drained).failure,
        Some(FailureKind::Evicted)
    );
}

#[test]
fn too_much_memory_is_told_from_a_failed_test() {
    let job = failed_job().with_pod(|pod| {
        let ended = Ended {
            exit_code: 137,
            reason: "OOMKilled".into(),
            message: "the end of the log".into(),
        };
        pod.ended.insert(MAIN.into(), ended);
    });
    let ending = over(StageType::Test, &job);
    assert_eq!(ending.failure, Some(FailureKind::OutOfMemory));
    assert_eq!(ending.log_tail.as_deref(), Some("the end of the log"));
}

#[test]
fn a_commit_that_cannot_be_fetched_is_a_clone_failure() {
    let report = SourceReport {
        error: Some(SourceError {
            kind: SourceErrorKind::NotFound,
            message: "the repository has no commit aaaa".into(),
        }),
        ..SourceReport::default()
    };
    let job = failed_job().with_pod(|pod| {
        let ended = Ended {
            exit_code: 1,
            message: report.encode(),
            ..Ended::default()
        };
        pod.ended.insert(SOURCE.into(), ended);
    });
    let ending = over(StageType::Test, &job);
    assert_eq!(ending.failure, Some(FailureKind::Clone));
    assert!(ending.message.unwrap().contains("no commit"));
}

#[test]
fn a_pod_that_is_gone_is_no_success() {
    let mut job = failed_job();
    job.pod = None;
    let late = judge(StageType::Test, &job, NOW + LATE_POD);
    assert!(matches!(late, Verdict::Over(ending) if ending.failure == Some(FailureKind::Infra)));
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_at_once() {
    let job = a_job("j").with_pod(|pod| {
        pod.trouble = Some(Trouble {
            container: "main".into(),
            message: "ImagePullBackOff: not found".into(),
        });
    });
    let ending = over(StageType::Test, &job);
    assert_eq!(ending.failure, Some(FailureKind::Config));
    assert!(ending.message.unwrap().contains("ImagePullBackOff"));
}

fn ended(exit_code: i32, message: &str) -> Ended {
    Ended {
        exit_code,
        message: message.into(),
        ..Ended::default()
    }
}

fn with_service(job: Job, service: Service) -> Job {
    job.with_pod(|pod| {
        pod.ended.entry(SOURCE.into()).or_default();
        pod.services.insert("db".into(), service);
    })
}

#[test]
fn a_service_is_waited_for_and_one_that_ends_before_is_told_with_its_log() {
    let starting = with_service(a_job("j"), Service::default());
    let waits = Verdict::Wait("waiting for service db to be ready".into(), None);
    assert_eq!(judge(StageType::Test, &starting, NOW), waits);
    let broken = Service {
        restarts: 1,
        last_end: Some(ended(3, "no space for the database")),
        ..Service::default()
    };
    let ending = over(StageType::Test, &with_service(a_job("j"), broken));
    assert_eq!(ending.failure, Some(FailureKind::Service));
    let message = ending.message.unwrap();
    assert!(
        message.contains("service db") && message.contains("exit code 3"),
        "{message}"
    );
    assert_eq!(
        ending.log_tail.as_deref(),
        Some("no space for the database")
    );
}

#[test]
fn a_service_that_ends_while_the_script_runs_decides_nothing_and_is_told_with_a_failure() {
    let restarted = Service {
        is_ready: true,
        restarts: 2,
        last_end: Some(ended(137, "")),
    };
    let running = with_service(a_job("j").running(), restarted.clone());
    assert_eq!(
        judge(StageType::Test, &running, NOW),
        Verdict::Wait("running".into(), None)
    );
    let good = with_service(a_job("j").over(NOW, 0, tested(5, 0)), restarted.clone());
    assert_eq!(over(StageType::Test, &good).phase, StagePhase::Succeeded);
    let bad = with_service(a_job("j").over(NOW, 1, tested(5, 1)), restarted);
    let ending = over(StageType::Test, &bad);
    assert_eq!(ending.failure, Some(FailureKind::Test));
    let message = ending.message.unwrap();
    assert!(
        message.ends_with("service db has ended meanwhile, it ended with exit code 137"),
        "{message}"
    );
}

#[test]
fn a_service_that_is_ended_with_the_pod_is_no_news() {
    let ended_last = Service {
        last_end: Some(ended(143, "")),
        ..Service::default()
    };
    let bad = with_service(a_job("j").over(NOW, 1, tested(5, 1)), ended_last);
    let message = over(StageType::Test, &bad).message.unwrap();
    assert!(!message.contains("service"), "{message}");
}
