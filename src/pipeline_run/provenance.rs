//! How an image was built, as the operator has observed it: the predicate of an SLSA v1 provenance. No I/O.
//!
//! Nothing in it was said by code of people's: it comes from the snapshot of the Pipeline that the run followed, from the
//! run itself, and from what Kubernetes says about the Jobs that built. docs/supply-chain.md has the build type.

use serde_json::{Value, json};

use super::api::{Artifact, BuiltBy, PipelineRunStatus, StageStatus};
use super::observed::Observed;
use crate::pipeline::api::PipelineSpec;

/// What the parameters mean.
const BUILD_TYPE: &str = "https://slipway.dev/build/v1";
/// Who has built it. Which operator it was follows from the key that signs.
const BUILDER: &str = "https://slipway.dev/operator";

/// How an image or a package of a run was made.
pub fn predicate(
    seen: &Observed,
    spec: &PipelineSpec,
    status: &PipelineRunStatus,
    artifact: &Artifact,
) -> Value {
    let git = &spec.source.git;
    let (run, key) = (&seen.spec, &seen.key);
    let sha = status.sha.as_deref().unwrap_or_default();
    let stage = spec.maker(&artifact.name);
    let package = stage.and_then(|stage| {
        let mut packages = stage.packages.iter();
        packages.find(|package| package.name == artifact.name)
    });
    let mut went = status.stages.iter();
    let went = went.find(|went| stage.is_some_and(|stage| stage.name == went.name));
    let finished = went.and_then(|stage: &StageStatus| stage.finished_at.as_ref());
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {
                "source": {"repository": git.url, "ref": run.git_ref},
                "trigger": run.trigger,
                "pipeline": {
                    "namespace": key.namespace,
                    "name": run.pipeline_ref.name,
                    "revision": status.revision,
                },
                "stage": stage.map(|stage| &stage.name),
                "build": stage.and_then(|stage| stage.build.as_ref()),
                "package": package,
            },
            "internalParameters": {
                "builtBy": stage.map(|stage| built_by(status, &stage.name)),
            },
            "resolvedDependencies": [{
                "uri": format!("git+{}@{}", git.url, run.git_ref),
                "digest": {"gitCommit": sha},
            }],
        },
        "runDetails": {
            "builder": {"id": BUILDER, "version": {"slipway": env!("CARGO_PKG_VERSION")}},
            "metadata": {
                "invocationId": format!("{}/{}/{}", key.namespace, key.name, seen.owner.uid),
                "startedOn": went.and_then(|stage| stage.started_at.as_ref()),
                "finishedOn": finished,
            },
        },
    })
}

/// The Jobs of a stage that have built, and what ran in them.
fn built_by(status: &PipelineRunStatus, stage: &str) -> Vec<BuiltBy> {
    let of_stage = |by: &BuiltBy| {
        let jobs = by.jobs.iter().filter(|job| job.stage == stage);
        BuiltBy {
            images: by.images.clone(),
            jobs: jobs.cloned().collect(),
        }
    };
    let all = status.built_by.iter().map(of_stage);
    all.filter(|by| !by.jobs.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::api::{ArtifactKind, BuildJob};
    use super::super::testing::{a_run, digest};
    use super::*;
    use crate::pipeline::testing::{sha, spec};

    #[test]
    fn it_says_what_was_built_from_what_and_by_whom() {
        let artifact = Artifact {
            name: "image".into(),
            kind: ArtifactKind::Image,
            reference: "registry.example/shop/api".into(),
            digest: digest('9'),
            size: None,
            version: None,
        };
        let job = |stage: &str, uid: &str| BuildJob {
            stage: stage.into(),
            cell: None,
            name: format!("api-1-{stage}-1"),
            uid: uid.into(),
            run: None,
        };
        let runner = format!("registry.example/slipway/runner@{}", digest('1'));
        let status = PipelineRunStatus {
            sha: Some(sha('a')),
            revision: Some("api-snapshot".into()),
            built_by: vec![BuiltBy {
                images: [("main".to_owned(), runner)].into(),
                jobs: vec![job("image", "uid-1"), job("other", "uid-2")],
            }],
            ..PipelineRunStatus::default()
        };
        let mut predicate = predicate(&a_run(), &spec(), &status, &artifact);
        let version = &mut predicate["runDetails"]["builder"]["version"]["slipway"];
        assert_eq!(version.take(), env!("CARGO_PKG_VERSION"));
        insta::assert_json_snapshot!(predicate);
    }
}
