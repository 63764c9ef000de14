//! Packages, images of a run's own, versions, and stages that are left out for what has changed.

use super::super::super::observed::{Ended, Pod};
use super::super::super::render::{PACKAGES, SOURCE};
use super::*;
use crate::pipeline_run::api::{Artifact, ArtifactKind, FailureKind, SkipReason};
use crate::runner::report::{PackageReport, SourceReport, StageReport};
use crate::runner::task::{PackagesTask, TRANSIENT, TagTask};

const WHEEL: &str = "api-1-wheel-1";

/// A library: a wheel, and who stands for it.
fn library() -> Observed {
    running(&json!([
        {"name": "wheel", "type": "Custom", "image": "python", "run": "python3 -m build", "packages": [{
            "name": "parcels", "type": "Wheel", "files": ["dist/*.whl"],
            "repository": "registry.example/shop/parcels", "pushSecretRef": {"name": "registry"},
        }]},
        {"name": "sign", "type": "Sign", "sign": {"keyRef": {"name": "cosign"}}},
    ]))
}

fn pushed(name: &str) -> StageReport {
    let version = Some("1.2.0".to_owned());
    StageReport {
        packages: vec![PackageReport(name.into(), digest('7'), 1234, version)],
        ..StageReport::default()
    }
}

/// The script went well, and the container beside it has left this.
fn left(job: Job, exit_code: i32, report: StageReport) -> Job {
    job.over(NOW, 0, StageReport::default()).with_pod(|pod| {
        let ended = Ended {
            exit_code,
            message: report.encode(),
            ..Ended::default()
        };
        pod.images.insert(PACKAGES.into(), "runner".into());
        pod.ended.insert(PACKAGES.into(), ended);
    })
}

fn container<'a>(pod: &'a Value, list: &str, name: &str) -> &'a Value {
    let mut containers = pod[list].as_array().unwrap().iter();
    containers.find(|one| one["name"] == name).unwrap()
}

#[test]
fn what_pushes_packages_has_the_login_and_the_script_has_not() {
    let plan = plan(&library(), NOW);
    let pod = pod_of(&plan, WHEEL);
    let packages = container(pod, "initContainers", PACKAGES);
    let task: PackagesTask = serde_json::from_value(told(packages)).unwrap();
    assert_eq!(
        task.packages[0].subject.repository,
        "registry.example/shop/parcels"
    );
    assert!(packages.to_string().contains("slipway-login"));
    assert_eq!(packages["restartPolicy"], "Always");
    let main = container(pod, "containers", "main");
    assert!(!main.to_string().contains("slipway-login"));
    assert_eq!(told(main)["pushesPackages"], true);
    insta::assert_yaml_snapshot!(packages);
}

#[test]
fn a_package_is_signed_and_released() {
    let seen = then(library());
    let seen = then(with_job(seen, WHEEL, |job| left(job, 0, pushed("parcels"))));
    let made = &seen.status.artifacts[0];
    assert_eq!((made.kind, made.size), (ArtifactKind::Package, Some(1234)));
    let signs = plan(&seen, NOW);
    let sign = pod_of(&signs, "api-1-sign-1");
    let subject = &told(&sign["containers"][0])["images"][0];
    assert_eq!(subject["digest"], json!(digest('7')));
    let parameters = &subject["provenance"]["buildDefinition"]["externalParameters"];
    assert_eq!(
        (&parameters["stage"], &parameters["package"]["name"]),
        (&json!("wheel"), &json!("parcels"))
    );

    let said = crate::runner::report::AttestationReport(
        "parcels".into(),
        crate::pipeline_run::api::AttestationKind::Signature,
        digest('8'),
    );
    let signed = StageReport {
        attestations: vec![said],
        ..StageReport::default()
    };
    let seen = then(seen);
    let seen = with_job(seen, "api-1-sign-1", |job| job.over(NOW, 0, signed));
    let released = plan(&seen, NOW);
    let spec = &created(&released)[0].body["spec"];
    assert_eq!(spec.get("images"), None);
    let package = json!([{
        "name": "parcels", "type": "Wheel", "repository": "registry.example/shop/parcels",
        "digest": digest('7'), "version": "1.2.0",
    }]);
    assert_eq!(spec["packages"], package);
    assert_eq!(spec["evidence"]["attestations"][0]["image"], "parcels");
}

#[test]
fn what_could_not_be_pushed_fails_the_stage_whatever_the_script_says() {
    let refused = |kind| StageReport {
        failure: Some(kind),
        message: Some("registry.example does not accept the login".into()),
        ..StageReport::default()
    };
    let seen = then(library());
    let seen = with_job(seen, WHEEL, |job| {
        left(job, 1, refused(FailureKind::Registry))
    });
    let over = plan(&seen, NOW);
    assert_eq!(
        over.progress.failure.as_ref().unwrap().kind,
        FailureKind::Registry
    );
    assert_eq!(over.progress.phase, Some(RunPhase::Failed));

    let seen = then(library());
    let later = refused(FailureKind::Registry);
    let seen = with_job(seen, WHEEL, |job| left(job, i32::from(TRANSIENT), later));
    let next = plan(&seen, NOW);
    assert_eq!(
        stage(&next.progress, "wheel").infra_retries,
        1,
        "a registry that is down is no verdict"
    );

    let seen = then(library());
    let seen = with_job(seen, WHEEL, |job| {
        let job = left(job, 137, StageReport::default());
        job.with_pod(|pod| pod.ended.get_mut(PACKAGES).unwrap().message.clear())
    });
    let lost = plan(&seen, NOW);
    assert_eq!(lost.progress.artifacts, []);
    assert_eq!(lost.progress.phase, Some(RunPhase::Failed));
}

#[test]
fn a_report_makes_nothing_that_the_pipeline_does_not_name() {
    let seen = then(library());
    let seen = then(with_job(seen, WHEEL, |job| {
        left(job, 0, pushed("elsewhere"))
    }));
    assert_eq!(seen.status.artifacts, []);
}

#[test]
fn a_run_that_does_not_push_has_no_package() {
    let mut seen = library();
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.stages[0].packages[0].push_on = Some(Vec::new());
    }
    let begun = plan(&seen, NOW);
    assert!(!pod_of(&begun, WHEEL).to_string().contains("slipway-login"));
    let seen = then(seen);
    let seen = then(with_job(seen, WHEEL, |job| {
        job.over(NOW, 0, StageReport::default())
    }));
    assert_eq!(
        stage(&seen.status, "sign").skipped_because,
        Some(SkipReason::Nothing)
    );
    assert_eq!(seen.status.phase, Some(RunPhase::Succeeded));
}

/// An image, and a stage that runs it.
fn tried_out() -> Observed {
    running(&json!([
        {"name": "image", "type": "Build", "build": {"image": "registry.example/shop/api"}},
        {"name": "smoke", "type": "Smoke", "needs": ["image"], "run": "./smoke.sh", "imageFrom": "image",
         "services": [{"name": "app", "imageFrom": "image", "ready": {"tcp": 8080}}]},
    ]))
}

#[test]
fn a_stage_runs_the_image_of_its_run_by_digest() {
    let seen = then(tried_out());
    let seen = with_job(seen, IMAGE, |job| job.over(NOW, 0, built('9')));
    let next = plan(&seen, NOW);
    let pod = pod_of(&next, "api-1-smoke-1");
    let image = format!("registry.example/shop/api@{}", digest('9'));
    assert_eq!(container(pod, "containers", "main")["image"], json!(image));
    assert_eq!(
        container(pod, "initContainers", "app")["image"],
        json!(image)
    );
}

#[test]
fn without_an_image_there_is_nothing_to_try_out() {
    let seen = then(tried_out());
    let seen = then(with_job(seen, IMAGE, |job| {
        job.over(
            NOW,
            0,
            StageReport {
                message: Some("built, and not pushed".into()),
                ..StageReport::default()
            },
        )
    }));
    let smoke = stage(&seen.status, "smoke");
    assert_eq!(smoke.skipped_because, Some(SkipReason::Nothing));
    assert!(
        smoke
            .message
            .as_ref()
            .unwrap()
            .contains("image has pushed no image")
    );
}

#[test]
fn the_size_of_what_was_pushed_is_judged() {
    let mut seen = tried_out();
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.stages.truncate(1);
        let gate = json!([{"name": "size", "size": {"max": "1Mi"}}]);
        spec.gates = serde_json::from_value(gate).unwrap();
    }
    for (size, expected) in [
        (Some(1 << 20), GateResult::Passed),
        (Some(2 << 20), GateResult::Failed),
        (None, GateResult::NoData),
    ] {
        let report = StageReport { size, ..built('9') };
        let seen = with_job(then(seen.clone()), IMAGE, |job| job.over(NOW, 0, report));
        let over = plan(&seen, NOW);
        assert_eq!(over.progress.gates[0].result, expected, "{size:?}");
    }
}

/// Two stages: the second is about services only.
fn partly() -> Observed {
    let mut seen = running(&json!([
        {"name": "web", "type": "Test", "image": "i", "run": "true", "changes": ["web/**"]},
        {"name": "all", "type": "Test", "image": "i", "run": "true", "needs": ["web"]},
    ]));
    let previous = json!({
        "metadata": {"name": "api-0"},
        "spec": {
            "pipeline": "api", "ref": "refs/heads/main", "evidence": {"run": "api-0"},
            "images": [{"name": "image", "repository": "registry.example/shop/api", "digest": digest('0')}],
            "commit": super::super::super::testing::commit('0'),
        },
    });
    let previous = serde_json::from_value(previous).unwrap();
    seen.releases.push(std::sync::Arc::new(previous));
    seen
}

#[test]
fn a_stage_is_left_out_when_nothing_has_changed_that_it_is_about() {
    let begun = plan(&partly(), NOW);
    let source = container(pod_of(&begun, "api-1-web-1"), "initContainers", SOURCE);
    let asked = &told(source)["older"];
    assert_eq!(*asked, json!({"since": sha('0'), "globs": ["web/**"]}));
    let unchanged = |pod: &mut Pod| {
        let report = SourceReport {
            unchanged: true,
            ..SourceReport::default()
        };
        pod.ended.get_mut(SOURCE).unwrap().message = report.encode();
    };
    let seen = then(partly());
    let seen = with_job(seen, "api-1-web-1", |job| {
        job.over(NOW, 0, StageReport::default()).with_pod(unchanged)
    });
    let next = plan(&seen, NOW);
    let web = stage(&next.progress, "web");
    assert_eq!(
        (web.phase, web.skipped_because),
        (StagePhase::Skipped, Some(SkipReason::Unchanged))
    );
    assert_eq!(names(&next), ["api-1-all-1"], "it keeps nobody back");
}

#[test]
fn without_a_release_everything_has_changed() {
    let mut seen = partly();
    seen.releases.clear();
    let begun = plan(&seen, NOW);
    let source = container(pod_of(&begun, "api-1-web-1"), "initContainers", SOURCE);
    assert_eq!(told(source).get("older"), None);
}

/// An image with tags for versions.
fn tagged(git_ref: &str) -> Observed {
    let mut seen = running(&json!([
        {"name": "image", "type": "Build", "build": {"image": "registry.example/shop/api"}},
        {"name": "tags", "type": "Tag", "tag": {"names": ["{{version}}", "{{minor}}", "{{latest}}"]}},
    ]));
    seen.spec.git_ref = git_ref.into();
    seen.spec.trigger.kind = TriggerKind::Manual;
    let seen = then(seen);
    with_job(seen, IMAGE, |job| job.over(NOW, 0, built('9')))
}

#[test]
fn a_run_of_a_version_writes_its_tags_and_another_run_does_not() {
    let next = plan(&tagged("refs/tags/v1.2.3"), NOW);
    let task = told(&pod_of(&next, "api-1-tags-1")["containers"][0]);
    let task: TagTask = serde_json::from_value(task).unwrap();
    assert_eq!(task.names, ["1.2.3"]);
    let versioned = task.versioned.unwrap();
    let moving: Vec<&str> = versioned
        .names
        .iter()
        .map(|moving| moving.name.as_str())
        .collect();
    assert_eq!(
        (versioned.version.as_str(), moving),
        ("1.2.3", vec!["1.2", "latest"])
    );

    let other = plan(&tagged("refs/heads/main"), NOW);
    let tags = stage(&other.progress, "tags");
    assert_eq!(tags.skipped_because, Some(SkipReason::Nothing));
}

#[test]
fn a_run_of_a_tag_makes_a_release_where_the_pipeline_says_so() {
    let released = |tags: Option<&str>| {
        let mut seen = tagged("refs/tags/v1.2.3");
        if let Snapshot::Taken(spec) = &mut seen.snapshot {
            spec.stages.truncate(1);
            let when = json!({"when": {"tags": tags}});
            spec.release = serde_json::from_value(when).unwrap();
        }
        seen.status.stages.truncate(1);
        plan(&seen, NOW).progress.release
    };
    assert!(released(Some("v*")).is_some());
    assert_eq!(released(Some("release-*")), None);
    assert_eq!(released(None), None);
}

#[test]
fn what_is_taken_over_from_another_run_has_its_packages() {
    let done = then(with_job(then(library()), WHEEL, |job| {
        left(job, 0, pushed("parcels"))
    }));
    let mut seen = library();
    seen.spec.retry_of = Some(crate::pipeline_run::api::RunRef {
        name: "api-0".into(),
    });
    let tried = super::super::super::observed::Tried {
        name: "api-0".into(),
        spec: seen.spec.clone(),
        status: PipelineRunStatus {
            phase: Some(RunPhase::Failed),
            ..done.status
        },
    };
    seen.origin = super::super::super::observed::Origin::Found(Box::new(tried));
    let seen = then(seen);
    let names: Vec<&Artifact> = seen.status.artifacts.iter().collect();
    assert_eq!(names[0].name, "parcels");
    assert_eq!(stage(&seen.status, "wheel").phase, StagePhase::Succeeded);
}
