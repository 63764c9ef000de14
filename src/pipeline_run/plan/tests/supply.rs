//! What is said about images: lists, signatures, and how they get into the Release.

use std::collections::BTreeMap;

use super::super::super::observed::{Origin, Tried};
use super::*;
use crate::pipeline_run::api::{Attestation, AttestationKind, FailureKind, RunRef, SkipReason};
use crate::runner::report::{AttestationReport, StageReport};

const BUILD: &str = "api-1-image-1";
const CONTENTS: &str = "api-1-contents-1";
const SIGN: &str = "api-1-sign-1";

fn stages() -> Value {
    json!([
        {"name": "image", "type": "Build", "build": {"image": "registry.example/shop/api"}},
        {"name": "contents", "type": "SBOM", "needs": ["image"]},
        {"name": "sign", "type": "Sign", "sign": {"keyRef": {"name": "cosign"}}},
    ])
}

fn said(kinds: &[(AttestationKind, char)]) -> StageReport {
    let said = kinds
        .iter()
        .map(|(kind, digit)| AttestationReport("image".into(), *kind, digest(*digit)));
    StageReport {
        attestations: said.collect(),
        ..StageReport::default()
    }
}

/// Up to the Job that signs.
fn listed() -> Observed {
    listed_of(&stages())
}

fn listed_of(stages: &Value) -> Observed {
    let seen = then(running(stages));
    let seen = then(with_job(seen, BUILD, |job| job.over(NOW, 0, built('9'))));
    let list = said(&[(AttestationKind::SBOM, '1')]);
    then(with_job(seen, CONTENTS, |job| job.over(NOW, 0, list)))
}

/// What a Job is asked to do.
fn task_of(plan: &Plan<PipelineRunStatus>) -> Value {
    told(main_of(plan))
}

#[test]
fn what_is_built_is_listed_signed_and_released_with_what_was_said() {
    let seen = then(running(&stages()));
    let seen = then(with_job(seen, BUILD, |job| job.over(NOW, 0, built('9'))));
    let lists = plan(&seen, NOW);
    assert_eq!(names(&lists), [CONTENTS]);
    assert_eq!(task_of(&lists)["images"][0]["digest"], json!(digest('9')));

    let signs = plan(&listed(), NOW);
    assert_eq!(names(&signs), [SIGN]);
    let image = &task_of(&signs)["images"][0];
    assert_eq!(image["sbom"], json!(digest('1')));
    let built = &image["provenance"]["buildDefinition"];
    assert_eq!(
        built["internalParameters"]["builtBy"][0]["jobs"],
        json!([{"stage": "image", "name": BUILD, "uid": "uid-api-1-image-1"}])
    );
    assert_eq!(
        built["resolvedDependencies"][0]["digest"]["gitCommit"],
        json!(sha('a'))
    );

    let signed = said(&[
        (AttestationKind::Signature, '2'),
        (AttestationKind::Provenance, '3'),
    ]);
    let seen = with_job(listed(), SIGN, |job| job.over(NOW, 0, signed));
    let released = plan(&seen, NOW);
    let evidence = &created(&released)[0].body["spec"]["evidence"]["attestations"];
    let evidence: Vec<Attestation> = serde_json::from_value(evidence.clone()).unwrap();
    let kinds: Vec<_> = evidence.iter().map(|said| said.kind).collect();
    assert_eq!(
        kinds,
        [
            AttestationKind::SBOM,
            AttestationKind::Signature,
            AttestationKind::Provenance
        ]
    );
    assert_eq!(evidence[1].digest, digest('2'));
}

/// What ran in a pod that builds.
fn in_builder(digit: char) -> BTreeMap<String, String> {
    let image = |name: &str| format!("registry.example/slipway/{name}@{}", digest(digit));
    [("tools", "runner"), ("main", "buildkit")]
        .map(|(container, name)| (container.to_owned(), image(name)))
        .into()
}

fn done(
    seen: Observed,
    job: &str,
    report: StageReport,
    images: &BTreeMap<String, String>,
) -> Observed {
    with_job(seen, job, |job| {
        let over = job.over(NOW, 0, report);
        over.with_pod(|pod| pod.images.clone_from(images))
    })
}

/// A run that has signed an image for two platforms, whose nodes have pulled another image each, up to the Job that signs.
fn two_platforms() -> Observed {
    let platforms = json!(["linux/amd64", "linux/arm64"]);
    let mut stages = stages();
    stages[0]["build"]["platforms"] = platforms;
    stages.as_array_mut().unwrap().remove(1);
    let seen = then(running(&stages));
    let seen = done(seen, "api-1-image-1-1", built('1'), &in_builder('a'));
    let seen = then(done(seen, "api-1-image-2-1", built('2'), &in_builder('b')));
    then(done(seen, "api-1-image-3-1", built('9'), &in_builder('a')))
}

/// Who has built, as the provenance says that is signed.
fn builders(plan: &Plan<PipelineRunStatus>) -> Value {
    let image = &task_of(plan)["images"][0];
    image["provenance"]["buildDefinition"]["internalParameters"]["builtBy"].clone()
}

#[test]
fn the_provenance_of_an_image_for_several_platforms_names_the_job_of_each_and_what_ran_in_it() {
    let mut seen = two_platforms();
    // What is signed does not hang on Jobs that anybody may delete.
    seen.jobs.clear();
    let signs = plan(&seen, NOW);
    assert_eq!(names(&signs), [SIGN]);
    let job = |cell: &str, number: u32| {
        let name = format!("api-1-image-{number}-1");
        json!({"stage": "image", "cell": cell, "name": name, "uid": format!("uid-{name}")})
    };
    let expected = json!([
        {"images": in_builder('a'), "jobs": [job("linux-amd64", 1), job("index", 3)]},
        {"images": in_builder('b'), "jobs": [job("linux-arm64", 2)]},
    ]);
    assert_eq!(builders(&signs), expected);
}

#[test]
fn a_run_that_takes_an_image_over_names_the_jobs_and_the_run_that_have_built_it() {
    let failed = StageReport {
        failure: Some(FailureKind::Registry),
        ..StageReport::default()
    };
    let first = then(two_platforms());
    let first = then(with_job(first, SIGN, |job| job.over(NOW, 1, failed)));
    assert_eq!(first.status.phase, Some(RunPhase::Failed));
    let again = |name: &str, of: &str, before: &Observed| {
        let mut next = before.clone();
        next.key.name = name.into();
        next.spec.retry_of = Some(RunRef { name: of.into() });
        next.jobs.clear();
        next.origin = Origin::Found(Box::new(Tried {
            name: of.into(),
            spec: before.spec.clone(),
            status: before.status.clone(),
        }));
        next.status = PipelineRunStatus::default();
        next
    };
    let second = again("api-2", "api-1", &first);
    let signs = plan(&second, NOW);
    assert_eq!(names(&signs), ["api-2-sign-1"]);
    let built_by = builders(&signs);
    let first_job = &built_by[0]["jobs"][0];
    assert_eq!(
        (&first_job["run"], &first_job["name"]),
        (&json!("api-1"), &json!("api-1-image-1-1"))
    );
    assert_eq!(built_by[1]["images"], json!(in_builder('b')));
    let taken = stage(&signs.progress, "image");
    assert_eq!(taken.taken_from.as_deref(), Some("api-1"));

    // And so does one that tries this one again.
    let mut second = then(second);
    second.status.phase = Some(RunPhase::Failed);
    let third = plan(&again("api-3", "api-2", &second), NOW);
    assert_eq!(builders(&third), built_by);
    assert_eq!(
        stage(&third.progress, "image").taken_from.as_deref(),
        Some("api-1")
    );
}

/// The list of what is in the image is signed with it, and the Release names all that the pod says that it has stored.
fn is_released(stages: &Value, task: &Value) {
    assert_eq!(task["images"][0]["sbom"], json!(digest('1')));
    let signed = said(&[
        (AttestationKind::Signature, '2'),
        (AttestationKind::Provenance, '3'),
    ]);
    let seen = with_job(listed_of(stages), SIGN, |job| job.over(NOW, 0, signed));
    let released = plan(&seen, NOW);
    let evidence = &created(&released)[0].body["spec"]["evidence"]["attestations"];
    assert_eq!(evidence.as_array().map(Vec::len), Some(3), "{evidence}");
}

/// Whoever signs: the run goes on by what the pod says that it has stored.
#[test]
fn what_a_key_service_signs_is_released_as_anything_else() {
    let mut stages = stages();
    let kms = json!({"uri": "hashivault://cosign", "image": "registry.example/ci/cosign:v3"});
    stages[2]["sign"] = json!({"kms": kms});
    let token = json!({"name": "push", "key": "password"});
    stages[2]["env"] = json!([{"name": "VAULT_TOKEN", "secretRef": token}]);
    let signs = plan(&listed_of(&stages), NOW);
    assert_eq!(names(&signs), [SIGN]);
    let task = task_of(&signs);
    assert_eq!(task["kms"]["uri"], "hashivault://cosign");
    assert_eq!(task.get("key"), None);
    is_released(&stages, &task);
}

#[test]
fn what_is_signed_without_a_key_is_released_as_anything_else() {
    let mut stages = stages();
    stages[2]["sign"] = json!({"keyless": {
        "image": "registry.example/ci/cosign:v3", "fulcioUrl": "https://fulcio.example",
        "rekorUrl": "https://rekor.example", "trustedRoot": {"configMapName": "sigstore"},
    }});
    stages[2]["pod"] = json!({"serviceAccountName": "signer"});
    let signs = plan(&listed_of(&stages), NOW);
    assert_eq!(names(&signs), [SIGN]);
    let task = task_of(&signs);
    assert_eq!(task["keyless"]["rekorUrl"], "https://rekor.example");
    is_released(&stages, &task);
}

#[test]
fn nothing_is_signed_that_a_gate_stands_against() {
    let mut seen = listed();
    if let Snapshot::Taken(spec) = &mut seen.snapshot {
        spec.gates = serde_json::from_value(json!([{"name": "tests", "tests": {}}])).unwrap();
    }
    // The gate is there from the beginning: what has started so far is as it was.
    for stage in seen
        .status
        .stages
        .iter_mut()
        .filter(|stage| stage.name == "sign")
    {
        stage.phase = StagePhase::Pending;
        stage.job = None;
    }
    let over = plan(&seen, NOW);
    assert_eq!(names(&over), [""; 0]);
    assert_eq!(
        stage(&over.progress, "sign").skipped_because,
        Some(SkipReason::Gates)
    );
    assert_eq!(over.progress.phase, Some(RunPhase::Failed));
    assert_eq!(over.progress.release, None);
}

#[test]
fn there_is_no_release_of_what_could_not_be_signed() {
    let report = StageReport {
        failure: Some(FailureKind::Registry),
        message: Some("registry.example does not accept the login".into()),
        ..StageReport::default()
    };
    for (code, report) in [(1, report), (0, StageReport::default())] {
        let seen = with_job(listed(), SIGN, |job| job.over(NOW, code, report));
        let plan = plan(&seen, NOW);
        assert_eq!(names(&plan), [""; 0], "a Sign stage runs at most once");
        assert_eq!(plan.progress.phase, Some(RunPhase::Failed));
        assert_eq!(plan.progress.release, None);
    }
}

#[test]
fn a_run_without_images_has_nothing_to_sign() {
    let mut stages = stages();
    stages[0]["when"] = json!("event == 'Manual'");
    let plan = plan(&then(running(&stages)), NOW);
    for name in ["contents", "sign"] {
        let skipped = stage(&plan.progress, name);
        assert_eq!(skipped.skipped_because, Some(SkipReason::Nothing), "{name}");
    }
    assert_eq!(plan.progress.phase, Some(RunPhase::Succeeded));
}
