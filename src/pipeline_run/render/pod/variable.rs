//! The environment variables of a script. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::{Parts, push};
use crate::git::refs::tag_of;
use crate::model::secret::SecretKey;
use crate::pipeline::api::{EnvVar, PipelineSpec, Stage};
use crate::pipeline::spec::before;
use crate::pipeline_run::api::{ArtifactKind, PipelineRunStatus, TriggerKind};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::render::At;
use crate::pipeline_run::{param, version};
use crate::runner::task::{self, SecretSource};

/// One environment variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) content: Content,
}

/// What is in a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// This text.
    Plain(String),
    /// The value of a key of a Secret.
    Secret(SecretKey),
    /// The path of a file with such a value.
    File(SecretKey),
}

impl Variable {
    /// One with this text.
    pub(super) fn plain(name: &str, value: String) -> Self {
        Self {
            name: name.to_owned(),
            content: Content::Plain(value),
        }
    }

    /// One of people's.
    pub(super) fn of(variable: &EnvVar) -> Self {
        let value = || variable.value.clone().unwrap_or_default();
        let content = match (&variable.secret_ref, &variable.secret_file) {
            (Some(secret), _) => Content::Secret(secret.clone()),
            (None, Some(secret)) => Content::File(secret.clone()),
            (None, None) => Content::Plain(value()),
        };
        Self {
            name: variable.name.clone(),
            content,
        }
    }

    fn file(&self) -> String {
        format!("{}/{}", task::SECRETS, self.name)
    }

    /// As it stands in a container.
    pub(super) fn render(&self) -> Value {
        let name = &self.name;
        match &self.content {
            Content::Plain(value) => json!({"name": name, "value": task::env_value(value)}),
            Content::Secret(secret) => json!({"name": name, "valueFrom": {"secretKeyRef": secret}}),
            Content::File(_) => json!({"name": name, "value": self.file()}),
        }
    }

    /// Where the runner finds what must not be said.
    pub(super) fn secret_source(&self) -> Option<SecretSource> {
        match &self.content {
            Content::Plain(_) => None,
            Content::Secret(_) => Some(SecretSource::Variable(self.name.clone())),
            Content::File(_) => Some(SecretSource::File(self.file())),
        }
    }
}

/// What scripts can read: those of all stages, of the stage, parameters of the run, and ours. The later one wins.
pub(super) fn all(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> Vec<Variable> {
    let theirs = spec.defaults.env.iter().chain(&stage.env).map(Variable::of);
    let by_hand = seen.spec.trigger.kind == TriggerKind::Manual;
    // A run whose parameters are wrong has no stages.
    let params = param::settle(&spec.params, &seen.spec.params, by_hand).unwrap_or_default();
    let params = params
        .into_iter()
        .map(|(name, value)| Variable::plain(&name, value));
    let git_ref = seen.spec.git_ref.as_str();
    let attempt = at.attempt.to_string();
    // Of a pull request there is none.
    let branch = git_ref.strip_prefix("refs/heads/").unwrap_or_default();
    let ours = [
        ("CI", "true"),
        ("SLIPWAY_PIPELINE", &seen.spec.pipeline_ref.name),
        ("SLIPWAY_RUN", &seen.key.name),
        ("SLIPWAY_STAGE", &stage.name),
        ("SLIPWAY_REF", git_ref),
        ("SLIPWAY_BRANCH", branch),
        ("SLIPWAY_SHA", at.sha),
        ("SLIPWAY_ATTEMPT", &attempt),
    ];
    let ours = ours.map(|(name, value)| (name, value.to_owned()));
    let ours = ours.into_iter().chain(some(seen, spec, at));
    let ours = ours.map(|(name, value)| Variable::plain(name, value));
    let axes = at.cell.iter().flat_map(|cell| &cell.values);
    let axes = axes.map(|(axis, value)| {
        let name = format!("SLIPWAY_MATRIX_{}", axis.to_uppercase());
        Variable::plain(&name, value.clone())
    });
    let images = images(spec, stage, at.run);
    let mut all: Vec<Variable> = Vec::new();
    for variable in theirs.chain(params).chain(ours).chain(axes).chain(images) {
        all.retain(|known| known.name != variable.name);
        all.push(variable);
    }
    all
}

/// Ours that only some runs and stages have.
fn some(
    seen: &Observed,
    spec: &PipelineSpec,
    at: At<'_>,
) -> impl Iterator<Item = (&'static str, String)> {
    let git_ref = seen.spec.git_ref.as_str();
    let trigger = seen.trigger();
    let pull_request = trigger.pull_request.as_ref();
    let version = version::of_run(spec, git_ref, at.run);
    let all = [
        ("SLIPWAY_TAG", tag_of(git_ref).map(str::to_owned)),
        (
            "SLIPWAY_VERSION",
            version.map(|version| version.to_string()),
        ),
        (
            "SLIPWAY_PULL_REQUEST",
            pull_request.map(|pull_request| pull_request.number.to_string()),
        ),
        (
            "SLIPWAY_BASE_BRANCH",
            pull_request.and_then(|pull_request| pull_request.base.clone()),
        ),
        ("SLIPWAY_TRIGGER", trigger.name.clone()),
        ("SLIPWAY_ENVIRONMENT", seen.spec.environment.clone()),
        (
            "SLIPWAY_PREVIEW_URL",
            at.run
                .preview
                .as_ref()
                .and_then(|preview| preview.url.clone()),
        ),
        ("SLIPWAY_CELL", at.cell.map(|cell| cell.name.clone())),
        (
            "SLIPWAY_RUN_RESULT",
            at.result.map(|result| result.as_str().to_owned()),
        ),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
}

/// The images that were built before the stage, by digest: of the Build stages that it needs, directly or over others.
fn images<'a>(
    spec: &'a PipelineSpec,
    stage: &'a Stage,
    run: &'a PipelineRunStatus,
) -> impl Iterator<Item = Variable> + 'a {
    let needed = before(spec, stage);
    let artifacts = run.artifacts.iter();
    let built = artifacts.filter(move |artifact| {
        artifact.kind == ArtifactKind::Image && needed.contains(artifact.name.as_str())
    });
    built.map(|artifact| {
        let name = artifact.name.to_uppercase().replace('-', "_");
        let image = format!("{}@{}", artifact.reference, artifact.digest);
        Variable::plain(&format!("SLIPWAY_IMAGE_{name}"), image)
    })
}

/// Brings the files of Secrets into the container that does the work.
pub(super) fn mount_files(parts: &mut Parts, variables: &[Variable]) {
    let sources: Vec<Value> = variables
        .iter()
        .filter_map(|variable| match &variable.content {
            Content::File(SecretKey { name, key }) => {
                let items = json!([{"key": key, "path": variable.name}]);
                Some(json!({"secret": {"name": name, "items": items}}))
            }
            Content::Plain(_) | Content::Secret(_) => None,
        })
        .collect();
    if sources.is_empty() {
        return;
    }
    let projected = json!({"defaultMode": 0o444, "sources": sources});
    parts
        .volumes
        .push(json!({"name": "secrets", "projected": projected}));
    let mount = json!({"name": "secrets", "mountPath": task::SECRETS, "readOnly": true});
    push(&mut parts.main["volumeMounts"], mount);
}
