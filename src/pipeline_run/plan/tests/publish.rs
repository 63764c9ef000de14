//! Images for several platforms, and tags.

use super::*;
use crate::runner::report::StageReport;
use crate::runner::task::{IndexTask, TagTask};

/// A build for two platforms, and its tags.
fn both() -> Observed {
    running(&json!([
        {"name": "image", "type": "Build",
         "build": {"image": "registry.example/shop/api", "mirrors": ["backup.example/shop/api"],
                   "platforms": ["linux/amd64", "linux/arm64"], "pushSecretRef": {"name": "registry"}}},
        {"name": "tags", "type": "Tag", "tag": {"names": ["{{branch}}", "v-{{shortSha}}"]}},
    ]))
}

fn cell(number: u32) -> String {
    format!("api-1-image-{number}-1")
}

/// Both platforms are built.
fn built_both() -> Observed {
    let seen = then(both());
    let seen = with_job(seen, &cell(1), |job| job.over(NOW, 0, built('1')));
    with_job(seen, &cell(2), |job| job.over(NOW, 0, built('2')))
}

#[test]
fn each_platform_is_built_by_a_job_on_a_node_of_its_own() {
    let plan = plan(&both(), NOW);
    assert_eq!(names(&plan), [cell(1), cell(2)], "the index has to wait");
    for (number, processor) in [(1, "amd64"), (2, "arm64")] {
        let pod = pod_of(&plan, &cell(number));
        assert_eq!(pod["nodeSelector"]["kubernetes.io/arch"], processor);
        assert_eq!(
            told(&pod["containers"][0])["platform"],
            format!("linux/{processor}")
        );
    }
}

#[test]
fn the_index_is_made_of_what_all_platforms_have_pushed_and_is_the_artifact() {
    let seen = with_job(then(both()), &cell(1), |job| job.over(NOW, 0, built('1')));
    let seen = with_job(seen, &cell(2), Job::running);
    assert_eq!(names(&plan(&seen, NOW)), [""; 0], "one is still missing");

    let seen = built_both();
    let joining = plan(&seen, NOW);
    assert_eq!(names(&joining), [cell(3)]);
    let pod = pod_of(&joining, &cell(3));
    assert_eq!(
        pod["containers"][0]["image"],
        "registry.example/slipway/runner"
    );
    assert_eq!(
        pod["containers"][0]["securityContext"]["runAsNonRoot"],
        true
    );
    let task: IndexTask = serde_json::from_value(told(&pod["containers"][0])).unwrap();
    let parts: Vec<(&str, &str)> = task
        .parts
        .iter()
        .map(|part| (part.platform.as_str(), part.digest.as_str()))
        .collect();
    let (one, two) = (digest('1'), digest('2'));
    assert_eq!(
        parts,
        [("linux/amd64", one.as_str()), ("linux/arm64", two.as_str())]
    );
    assert_eq!(task.repositories.len(), 2);
    assert!(
        task.repositories
            .iter()
            .all(|repository| repository.login.is_some())
    );

    let seen = then(seen);
    assert_eq!(
        seen.status.artifacts.len(),
        0,
        "a part is no image of the Release"
    );
    let seen = with_job(seen, &cell(3), |job| job.over(NOW, 0, built('3')));
    let seen = then(seen);
    assert_eq!(seen.status.artifacts.len(), 1);
    assert_eq!(seen.status.artifacts[0].digest, digest('3'));
    assert_eq!(stage(&seen.status, "image").phase, StagePhase::Succeeded);
}

#[test]
fn an_index_whose_job_was_not_made_is_told_the_same_again() {
    let seen = then(built_both());
    let first = plan(&built_both(), NOW);
    let again = plan(&seen, NOW);
    assert_eq!(names(&again), [cell(3)]);
    assert_eq!(
        told(&pod_of(&first, &cell(3))["containers"][0]),
        told(&pod_of(&again, &cell(3))["containers"][0])
    );
}

#[test]
fn a_platform_that_fails_stops_the_others_and_there_is_no_index() {
    let seen = then(both());
    let failed = StageReport {
        failure: Some(FailureKind::Platform),
        message: Some("the node cannot run it".into()),
        ..StageReport::default()
    };
    let seen = with_job(seen, &cell(1), Job::running);
    let seen = with_job(seen, &cell(2), |job| job.over(NOW, 1, failed));
    let seen = then(seen);
    let status = stage(&seen.status, "image");
    assert_eq!(status.phase, StagePhase::Failed);
    assert_eq!(status.cells[0].phase, StagePhase::Cancelled);
    assert_eq!(status.cells[2].phase, StagePhase::Skipped);
    assert_eq!(seen.status.failure.unwrap().kind, FailureKind::Platform);
}

#[test]
fn tags_are_written_once_everything_has_passed_in_every_repository() {
    let seen = then(built_both());
    let seen = with_job(seen, &cell(3), |job| job.over(NOW, 0, built('3')));
    let plan = plan(&seen, NOW);
    assert_eq!(names(&plan), ["api-1-tags-1"]);
    let pod = pod_of(&plan, "api-1-tags-1");
    let task: TagTask = serde_json::from_value(told(&pod["containers"][0])).unwrap();
    assert_eq!(task.names, ["main", "v-aaaaaaa"]);
    let repositories: Vec<&str> = task
        .images
        .iter()
        .map(|image| image.repository.as_str())
        .collect();
    assert_eq!(
        repositories,
        ["registry.example/shop/api", "backup.example/shop/api"]
    );
    assert!(task.images.iter().all(|image| image.digest == digest('3')));
    assert_eq!(pod["containers"][0]["command"][1], "tag");
}

#[test]
fn a_gate_that_does_not_pass_leaves_images_without_tags() {
    let mut seen = then(built_both());
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.gates = super::spec().gates;
    }
    let seen = with_job(seen, &cell(3), |job| job.over(NOW, 0, built('3')));
    let seen = then(seen);
    assert_eq!(stage(&seen.status, "tags").phase, StagePhase::Skipped);
    assert_eq!(seen.status.phase, Some(RunPhase::Failed));
}

#[test]
fn a_verdict_stands_once_something_has_come_of_it() {
    let late: Timestamp = "2027-01-15T23:59:50Z".parse().unwrap();
    let next_day = late + SignedDuration::from_secs(20);
    let waiver =
        json!([{"gate": "tests", "reason": "none yet", "owner": "alice", "until": "2027-01-15"}]);
    let mut seen = then(built_both());
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.gates = super::spec().gates;
        spec.waivers = serde_json::from_value(waiver).unwrap();
    }
    seen.status.started_at = Some(Time(late));
    let seen = with_job(seen, &cell(3), |job| job.over(NOW, 0, built('3')));
    let begun = then_at(seen.clone(), late);
    assert_eq!(begun.status.gates[0].result, GateResult::Waived);
    assert_eq!(stage(&begun.status, "tags").phase, StagePhase::Running);
    let begun = with_job(begun, "api-1-tags-1", Job::running);
    let after = then_at(begun, next_day);
    assert_eq!(after.status.gates[0].result, GateResult::Waived);
    assert_eq!(after.status.phase, Some(RunPhase::Running));
    assert_eq!(after.status.failure, None);
    // What nothing has come of is judged on the day.
    let late = then_at(seen, next_day);
    assert_eq!(late.status.gates[0].result, GateResult::NoData);
    assert_eq!(stage(&late.status, "tags").phase, StagePhase::Skipped);
    assert_eq!(late.status.phase, Some(RunPhase::Failed));
}
