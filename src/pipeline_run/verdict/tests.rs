//! What Kubernetes and the runner say, and what is made of it.

use serde_json::json;

use super::super::observed::{Ended, Service, Trouble};
use super::super::testing::{a_job, built, tested};
use super::*;
use crate::pipeline::api::{SourceError, SourceErrorKind};
use crate::pipeline::testing::NOW;

fn a_stage(type_: StageType) -> Stage {
    let stage = json!({"name": "s", "type": type_});
    serde_json::from_value(stage).unwrap()
}

fn over(type_: StageType, job: &Job) -> Ending {
    match judge(&a_stage(type_), job, NOW) {
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
        judge(&a_stage(StageType::Test), &job, NOW),
        Verdict::Wait(
            "its Job is over, reading what the pod left".into(),
            Some(NOW + LATE_POD)
        )
    );
    let late = judge(&a_stage(StageType::Test), &job, NOW + LATE_POD);
    assert!(matches!(late, Verdict::Over(ending) if ending.phase == StagePhase::Succeeded));
}

#[test]
fn a_pod_that_has_succeeded_is_the_verdict_before_its_job_is_counted() {
    let done = a_job("j").over(NOW, 0, tested(5, 0));
    let uncounted = Job {
        state: JobState::Active,
        ..done.clone()
    };
    assert_eq!(
        over(StageType::Test, &uncounted),
        over(StageType::Test, &done)
    );
    // Its deadline has passed before the pod was counted.
    let state = JobState::Failed(
        NOW,
        "DeadlineExceeded".into(),
        "it was active too long".into(),
    );
    let late = Job {
        state,
        ..done.clone()
    };
    assert_eq!(over(StageType::Test, &late), over(StageType::Test, &done));
    // One that has failed may be replaced: that is for the Job to say.
    let failed = Job {
        state: JobState::Active,
        ..a_job("j").over(NOW, 1, tested(5, 1))
    };
    assert!(matches!(
        judge(&a_stage(StageType::Test), &failed, NOW),
        Verdict::Wait(..)
    ));
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
        let job = failed_job().with_pod(|pod| {
            pod.reason = reason.into();
            pod.has_main = true;
        });
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
fn a_pod_that_uses_more_disk_than_it_may_is_not_run_again_and_one_whose_node_is_full_is() {
    for (words, is_transient) in [
        ("The node was low on resource: ephemeral-storage. ", true),
        (
            "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. ",
            false,
        ),
        (
            "Container main exceeded its local ephemeral storage limit \"10Mi\". ",
            false,
        ),
        (
            "Usage of EmptyDir volume \"build\" exceeds the limit \"1Gi\". ",
            false,
        ),
    ] {
        let job = failed_job().with_pod(|pod| {
            pod.reason = "Evicted".into();
            pod.message = words.into();
        });
        let ending = over(StageType::Test, &job);
        assert_eq!(ending.failure, Some(FailureKind::Evicted));
        assert_eq!(ending.is_transient, is_transient, "{words}");
        assert!(ending.message.unwrap().contains(words.trim()));
    }
}

#[test]
fn a_first_process_that_is_killed_from_outside_gave_no_verdict() {
    let killed = |reason: &str, message: &str| {
        let ended = Ended {
            exit_code: 137,
            reason: reason.into(),
            message: message.into(),
        };
        let job = failed_job().with_pod(|pod| {
            pod.ended.insert(MAIN.into(), ended);
        });
        over(StageType::Test, &job)
    };
    let ending = killed("Error", "the end of the log");
    assert_eq!(ending.failure, Some(FailureKind::Infra));
    assert!(ending.is_transient);
    assert_eq!(ending.log_tail.as_deref(), Some("the end of the log"));
    // A script that was killed is told by the runner, which was not.
    let own = StageReport {
        failure: Some(FailureKind::Test),
        exit_code: Some(137),
        ..StageReport::default()
    };
    let ending = killed("Error", &own.encode());
    assert_eq!(ending.failure, Some(FailureKind::Test));
    assert!(!ending.is_transient);
    assert!(!killed("OOMKilled", "").is_transient);
}

#[test]
fn a_pod_whose_node_does_not_tell_of_its_end_is_lost_in_the_end() {
    let job = a_job("j")
        .running()
        .with_pod(|pod| pod.leaving_at = Some(NOW));
    let stage = a_stage(StageType::Test);
    let until = NOW + LATE_END;
    assert!(matches!(judge(&stage, &job, NOW), Verdict::Wait(_, Some(at)) if at == until));
    let Verdict::Over(ending) = judge(&stage, &job, until) else {
        panic!("it waits");
    };
    assert_eq!(ending.failure, Some(FailureKind::Infra));
    assert!(ending.is_transient);
    // Where it does tell, its Job is soon over.
    let told = job.with_pod(|pod| pod.is_over = true);
    assert!(matches!(judge(&stage, &told, until), Verdict::Wait(..)));
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
    let late = judge(&a_stage(StageType::Test), &job, NOW + LATE_POD);
    assert!(matches!(late, Verdict::Over(ending) if ending.failure == Some(FailureKind::Infra)));
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_at_once() {
    let job = a_job("j").running().with_pod(|pod| {
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
        pod.has_node = true;
        pod.ended.entry(SOURCE.into()).or_default();
        pod.services.insert("db".into(), service);
    })
}

#[test]
fn a_service_is_waited_for_and_one_that_ends_before_is_told_with_its_log() {
    let starting = with_service(a_job("j"), Service::default());
    let waits = Verdict::Wait("waiting for service db to be ready".into(), None);
    assert_eq!(judge(&a_stage(StageType::Test), &starting, NOW), waits);
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
        judge(&a_stage(StageType::Test), &running, NOW),
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

#[test]
fn a_failure_is_called_by_what_the_stage_is_for() {
    for (type_, kind) in [
        (StageType::Lint, FailureKind::Lint),
        (StageType::Scan, FailureKind::Scan),
        (StageType::Smoke, FailureKind::Smoke),
        (StageType::Benchmark, FailureKind::Benchmark),
        (StageType::Migrate, FailureKind::Migrate),
        (StageType::Custom, FailureKind::Script),
    ] {
        let ending = over(type_, &a_job("j").over(NOW, 1, tested(5, 1)));
        assert_eq!((ending.failure, ending.is_transient), (Some(kind), false));
    }
}

#[test]
fn what_gave_no_verdict_is_told_from_a_verdict() {
    let with = |exit_code: i32, container: &str| {
        let ended = Ended {
            exit_code,
            ..Ended::default()
        };
        failed_job().with_pod(|pod| drop(pod.ended.insert(container.into(), ended)))
    };
    for (job, is_transient) in [
        (with(75, MAIN), true),
        (with(1, MAIN), false),
        (with(75, SOURCE), true),
        (with(1, SOURCE), false),
        (failed_job(), true),
        (
            failed_job().with_pod(|pod| pod.reason = "Evicted".into()),
            true,
        ),
        (
            failed_job().with_pod(|pod| pod.reason = "NodeLost".into()),
            true,
        ),
        (
            failed_job().with_pod(|pod| {
                pod.reason = "DeadlineExceeded".into();
                pod.has_main = true;
            }),
            false,
        ),
    ] {
        assert_eq!(
            over(StageType::Test, &job).is_transient,
            is_transient,
            "{job:?}"
        );
    }
    let stopped = StageReport {
        failure: Some(FailureKind::Evicted),
        ..StageReport::default()
    };
    assert!(over(StageType::Test, &a_job("j").over(NOW, 1, stopped)).is_transient);
    let mut gone = failed_job();
    gone.pod = None;
    let gone = judge(&a_stage(StageType::Test), &gone, NOW + LATE_POD);
    assert!(matches!(gone, Verdict::Over(ending) if ending.is_transient));
}

#[test]
fn a_node_is_waited_for_as_long_as_the_stage_says() {
    let job = a_job("j").with_pod(|pod| pod.unschedulable = Some("0/3 nodes".into()));
    let mut stage = a_stage(StageType::Test);
    stage.pending_timeout = Some(std::time::Duration::from_mins(2).into());
    let until = NOW + SignedDuration::from_mins(2);
    let early = judge(&stage, &job, NOW);
    assert!(matches!(early, Verdict::Wait(what, Some(at)) if at == until && what.contains("0/3")));
    let Verdict::Over(late) = judge(&stage, &job, until) else {
        panic!("waits");
    };
    assert_eq!(
        (late.failure, late.is_transient),
        (Some(FailureKind::Infra), false)
    );
    assert!(late.message.unwrap().contains("pendingTimeout"));
    assert!(matches!(
        judge(&stage, &a_job("j").running(), until),
        Verdict::Wait(_, None)
    ));
}

fn with_trouble(message: &str) -> Ending {
    let job = a_job("j").running().with_pod(|pod| {
        pod.trouble = Some(Trouble {
            container: "main".into(),
            message: message.into(),
        });
    });
    over(StageType::Test, &job)
}

#[test]
fn a_registry_that_does_not_answer_is_no_verdict() {
    for words in [
        "unexpected status from HEAD request: 503 Service Unavailable",
        "dial tcp 10.0.0.1:443: connect: connection refused",
        "dial tcp: lookup registry.example: no such host",
        "dial tcp: lookup registry.example on 10.96.0.10:53: server misbehaving",
        "dial tcp 10.0.0.1:443: connect: no route to host",
        "Get \"https://registry.example/v2/\": EOF",
        "rpc error: code = Unknown desc = something that nobody has heard of",
    ] {
        // As Kubernetes 1.32 says it, and as the one before does in the moment of the pull.
        for before in [
            "ImagePullBackOff: Back-off pulling image \"r/a\": ",
            "ErrImagePull: ",
        ] {
            let ending = with_trouble(&format!("{before}{words}"));
            let is = (ending.failure, ending.is_transient);
            assert_eq!(is, (Some(FailureKind::Infra), true), "{words}");
        }
    }
}

#[test]
fn a_node_that_does_not_say_why_it_has_no_image_gives_no_verdict() {
    let ending = with_trouble("ImagePullBackOff: Back-off pulling image \"r/a\"");
    assert_eq!(
        (ending.failure, ending.is_transient),
        (Some(FailureKind::Infra), true)
    );
    let message = ending.message.unwrap();
    assert!(
        message.ends_with("does not say why: see the Events of the pod"),
        "{message}"
    );
}

#[test]
fn what_takes_an_edit_is_told_at_once_whatever_the_node_calls_it() {
    for words in [
        "ImagePullBackOff: Back-off pulling image \"r/a\": ErrImagePull: r/a: not found",
        "ErrImagePull: manifest unknown",
        "ErrImagePull: pull access denied, repository does not exist or may require authorization",
        "ErrImagePull: failed to authorize: 401 Unauthorized",
        "ErrImagePull: no match for platform in manifest",
        "ErrImagePull: tls: failed to verify certificate: x509: certificate signed by unknown authority",
        "InvalidImageName: Failed to apply default image tag",
        "ErrImageNeverPull: Container image \"r/a\" is not present with pull policy of Never",
        "CreateContainerConfigError: secret \"push\" not found",
        "CreateContainerError: no command specified",
        "RunContainerError: exec: \"/bin/sh\": stat /bin/sh: no such file or directory",
    ] {
        let ending = with_trouble(words);
        assert_eq!(
            (ending.failure, ending.is_transient),
            (Some(FailureKind::Config), false),
            "{words}"
        );
        assert!(ending.message.unwrap().contains(words), "{words}");
    }
    for words in [
        "CreateContainerConfigError: failed to sync secret cache: timed out waiting for the condition",
        "CreateContainerError: context deadline exceeded",
        "RunContainerError: context deadline exceeded",
    ] {
        let ending = with_trouble(words);
        assert_eq!(
            (ending.failure, ending.is_transient),
            (Some(FailureKind::Infra), true),
            "{words}"
        );
    }
}

#[test]
fn time_that_is_over_before_the_stage_has_begun_is_no_verdict() {
    let late = |has_main: bool| {
        let job = failed_job().with_pod(|pod| {
            pod.reason = "DeadlineExceeded".into();
            pod.message = "Pod was active on the node longer than the specified deadline".into();
            pod.has_main = has_main;
        });
        over(StageType::Test, &job)
    };
    let pulled = late(false);
    assert_eq!(
        (pulled.failure, pulled.phase),
        (Some(FailureKind::Infra), StagePhase::Failed)
    );
    assert!(pulled.is_transient && pulled.message.unwrap().contains("before it was begun"));
    let ran = late(true);
    assert_eq!(
        (ran.failure, ran.phase),
        (Some(FailureKind::Timeout), StagePhase::TimedOut)
    );
    assert!(!ran.is_transient);
}
