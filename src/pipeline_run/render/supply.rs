//! The containers that list what is in images, and sign what a run has made. No I/O.
//!
//! Neither has anything of the repository in its pod, and the private key is mounted into the one that signs only. Where
//! cosign signs, `pod/cosign.rs` has the container.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::At;
use super::build::mount_login;
use super::pod::{MAIN, confined, task_variable};
use crate::pipeline::api::{Build, Package, PipelineSpec, RegistryLogin, Sign, Stage, StageType};
use crate::pipeline_run::api::{
    Artifact, ArtifactKind, Attestation, AttestationKind, PipelineRunStatus,
};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::provenance;
use crate::runner::task::{
    self, KEY_FILE, KEY_FOLDER, PASSWORD_FILE, SbomTask, SignTask, Signed, SignsWith, Subject,
};

/// Where the logins for registries are, each in a folder of its own.
const LOGIN_FOLDER: &str = "/slipway-login";
/// As whom our own programs run: nobody.
pub(super) const NOBODY: u32 = 65532;

/// The images that a stage is about: those that were built in this run, of the Build stages that it names, or of all.
pub(super) fn subjects<'a>(
    spec: &'a PipelineSpec,
    status: &'a PipelineRunStatus,
    names: &[String],
) -> Vec<(&'a Artifact, &'a Build)> {
    let is_meant = |stage: &&Stage| names.is_empty() || names.contains(&stage.name);
    let stages = spec.stages.iter().filter(is_meant);
    let built = stages.filter_map(|stage| {
        let build = stage.build.as_ref()?;
        let mut artifacts = status.artifacts.iter();
        let artifact = artifacts
            .find(|artifact| artifact.kind == ArtifactKind::Image && artifact.name == stage.name)?;
        Some((artifact, build))
    });
    built.collect()
}

/// Where something is that a run has made, and how its registry is reached.
#[derive(Clone, Copy)]
pub(super) struct Home<'a> {
    is_insecure: bool,
    login: Option<&'a RegistryLogin>,
    /// Other repositories that have it.
    mirrors: &'a [String],
}

impl<'a> From<&'a Build> for Home<'a> {
    fn from(build: &'a Build) -> Self {
        Self {
            is_insecure: build.insecure_registry(),
            login: build.push_secret_ref.as_ref(),
            mirrors: &build.mirrors,
        }
    }
}

impl<'a> From<&'a Package> for Home<'a> {
    fn from(package: &'a Package) -> Self {
        Self {
            is_insecure: package.insecure_registry(),
            login: package.push_secret_ref.as_ref(),
            mirrors: &[],
        }
    }
}

/// What a stage signs: what was made in this run, of the images and packages that it names, or all of it.
fn signed<'a>(
    spec: &'a PipelineSpec,
    status: &'a PipelineRunStatus,
    names: &[String],
) -> Vec<(&'a Artifact, Home<'a>)> {
    let images = subjects(spec, status, names).into_iter();
    let images = images.map(|(artifact, build)| (artifact, Home::from(build)));
    let packages = made(spec, status, names).into_iter();
    let packages = packages.map(|(artifact, package)| (artifact, Home::from(package)));
    images.chain(packages).collect()
}

/// The packages that a run has made, of these names, or all.
pub(super) fn made<'a>(
    spec: &'a PipelineSpec,
    status: &'a PipelineRunStatus,
    names: &[String],
) -> Vec<(&'a Artifact, &'a Package)> {
    let packages = spec.stages.iter().flat_map(|stage| &stage.packages);
    let packages = packages.filter(|package| names.is_empty() || names.contains(&package.name));
    let packages = packages.filter_map(|package| {
        let mut artifacts = status.artifacts.iter();
        let artifact = artifacts.find(|artifact| {
            artifact.kind == ArtifactKind::Package && artifact.name == package.name
        })?;
        Some((artifact, package))
    });
    packages.collect()
}

/// Whether the run has made anything that a stage is about.
pub fn has_subjects(spec: &PipelineSpec, status: &PipelineRunStatus, stage: &Stage) -> bool {
    if stage.type_ == StageType::Sign {
        return !signed(spec, status, stage.images()).is_empty();
    }
    !subjects(spec, status, stage.images()).is_empty()
}

/// The container of a stage that lists, and the volumes that only it needs.
pub(super) fn sbom(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> Option<(Value, Vec<Value>)> {
    if stage.type_ != StageType::SBOM {
        return None;
    }
    let mut logins = Logins::default();
    let images = subjects(spec, at.run, stage.images()).into_iter();
    let task = SbomTask {
        images: images
            .map(|(artifact, build)| logins.subject(artifact, build.into()))
            .collect(),
        program: None,
        timeout_seconds: stage.timeout().as_secs(),
    };
    let mut container = json!({
        "name": MAIN,
        "image": seen.images.syft,
        "command": [task::RUNNER, "sbom"],
        "env": [task_variable(&task), {"name": "HOME", "value": task::WORKSPACE}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "slipway", "mountPath": "/slipway", "readOnly": true},
            {"name": "workspace", "mountPath": task::WORKSPACE},
            {"name": "workspace", "mountPath": "/tmp", "subPath": "tmp"},
        ],
        "securityContext": confined(),
    });
    let volumes = logins.mount(&mut container);
    Some((container, volumes))
}

/// The container of a stage that signs with a private key, and all volumes that its pod has.
pub(super) fn sign(
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    at: At<'_>,
) -> Option<(Value, Vec<Value>)> {
    let sign = stage.sign.as_ref()?;
    let private = sign.key_ref.as_ref()?;
    let with = SignsWith::Key(KEY_FOLDER.to_owned());
    let (task, logins) = sign_task(seen, (spec, stage), sign, at, with);
    let key = json!([{"name": "key", "mountPath": KEY_FOLDER, "readOnly": true}]);
    let (container, mut volumes) = own(seen, ("sign", task_variable(&task)), &key, logins);
    let of = |key: &str, path: &str, optional: bool| {
        let items = json!([{"key": key, "path": path}]);
        json!({"secret": {"name": private.name, "items": items, "optional": optional}})
    };
    let sources = [
        of(&private.private_key().key, KEY_FILE, false),
        of(private.password_key(), PASSWORD_FILE, true),
    ];
    volumes.push(json!({"name": "key", "projected": {"sources": sources}}));
    Some((container, volumes))
}

/// What a stage signs, with what; and the logins for the registries.
pub(super) fn sign_task(
    seen: &Observed,
    (spec, stage): (&PipelineSpec, &Stage),
    sign: &Sign,
    at: At<'_>,
    with: SignsWith,
) -> (SignTask, Logins) {
    let mut logins = Logins::default();
    let subjects = signed(spec, at.run, stage.images());
    let signed = subjects.into_iter().map(|(artifact, home)| Signed {
        subject: logins.subject(artifact, home),
        mirrors: logins.mirrors(artifact, home),
        provenance: sign
            .provenance()
            .then(|| provenance::predicate(seen, spec, at.run, artifact)),
        sbom: sbom_of(at.run, artifact),
    });
    let task = SignTask {
        images: signed.collect(),
        with,
        signature_tag: sign.signature_tag(),
        timeout_seconds: stage.timeout().as_secs(),
    };
    (task, logins)
}

/// A container that runs a verb of the runner's as nobody, from the runner's own image, with these mounts and the logins.
pub(super) fn own(
    seen: &Observed,
    (verb, task): (&str, Value),
    mounts: &Value,
    logins: Logins,
) -> (Value, Vec<Value>) {
    let mut container = json!({
        "name": MAIN,
        "image": seen.images.runner,
        "command": [task::RUNNER_IN_IMAGE, verb],
        "env": [task],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": mounts,
        "securityContext": of_nobody(),
    });
    let volumes = logins.mount(&mut container);
    (container, volumes)
}

/// What a container may do that runs as nobody, and leaves its image as it is.
pub(super) fn of_nobody() -> Value {
    let mut security = confined();
    security["readOnlyRootFilesystem"] = true.into();
    security["runAsNonRoot"] = true.into();
    security["runAsUser"] = NOBODY.into();
    security
}

/// Digest of the list of what is in an image, if a stage has made one.
fn sbom_of(status: &PipelineRunStatus, artifact: &Artifact) -> Option<String> {
    let mut all = status.attestations.iter();
    let is_it =
        |known: &&Attestation| known.image == artifact.name && known.kind == AttestationKind::SBOM;
    all.find(is_it).map(|known| known.digest.clone())
}

/// The logins that a pod needs: Secrets, each once.
#[derive(Default)]
pub(super) struct Logins(Vec<String>);

impl Logins {
    /// An image or a package for a task, with the login for its registry.
    pub(super) fn subject(&mut self, artifact: &Artifact, home: Home<'_>) -> Subject {
        let login = home.login.map(|login| {
            let known = self.0.iter().position(|name| *name == login.name);
            let index = known.unwrap_or_else(|| {
                self.0.push(login.name.clone());
                self.0.len() - 1
            });
            format!("{LOGIN_FOLDER}/{index}")
        });
        Subject {
            image: artifact.name.clone(),
            repository: artifact.reference.clone(),
            digest: artifact.digest.clone(),
            insecure: home.is_insecure,
            login,
        }
    }

    /// The same in the other repositories that have it.
    pub(super) fn mirrors(&mut self, artifact: &Artifact, home: Home<'_>) -> Vec<Subject> {
        let subject = |repository: &String| {
            let there = Artifact {
                reference: repository.clone(),
                ..artifact.clone()
            };
            self.subject(&there, home)
        };
        home.mirrors.iter().map(subject).collect()
    }

    /// Mounts them; the volumes.
    pub(super) fn mount(self, container: &mut Value) -> Vec<Value> {
        let mut volumes = Vec::new();
        for (index, name) in self.0.iter().enumerate() {
            let place = format!("{LOGIN_FOLDER}/{index}");
            let of = (format!("login-{index}"), name.as_str());
            volumes.push(mount_login(container, of, &place));
        }
        volumes
    }
}
