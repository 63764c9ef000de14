//! The container that builds an image. No I/O.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::pod::{push, task_variable};
use crate::git::refs::branch_of;
use crate::model::key::{short_hash, suffixed};
use crate::model::secret::REGISTRY_LOGIN;
use crate::oci::manifest::MAX_TAG;
use crate::pipeline::api::{
    Build, Builder, CacheExport, Isolation, PipelineSpec, PlatformStrategy,
};
use crate::pipeline::matrix::Cell;
use crate::pipeline_run::builder;
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{self, BuildTask, CacheTask};

/// Number of the user that moby/buildkit's images without root have.
const ROOTLESS_USER: u32 = 1000;
/// What Buildah needs in order to unpack layers: no more than containers have by themselves.
const CAPABILITIES: [&str; 11] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Makes a container one that builds an image; the volumes that it needs.
pub(super) fn fill(
    container: &mut Value,
    env: &mut Vec<Value>,
    (seen, spec): (&Observed, &PipelineSpec),
    (build, platform): (&Build, Option<&str>),
    (sha, timeout_seconds): (&str, u64),
) -> Vec<Value> {
    let isolation = isolation(seen, build);
    env.push(task_variable(&BuildTask {
        builder: build.builder(),
        isolation,
        dockerfile: build.dockerfile().to_owned(),
        context: build.context_dir().to_owned(),
        target: build.target.clone(),
        args: build.args.clone(),
        secrets: build
            .secrets
            .iter()
            .map(|secret| secret.id.clone())
            .collect(),
        labels: labels(spec, build, sha),
        images: std::iter::once(&build.image)
            .chain(&build.mirrors)
            .cloned()
            .collect(),
        pushes: build.pushes_on(seen.trigger().kind),
        insecure: build.insecure_registry(),
        reproducible: build.is_reproducible(),
        cache: cache(seen, spec, (build, platform)),
        platform: platform.map(str::to_owned),
        timeout_seconds,
    }));
    let (_, image) = seen.images.of_builder(build.builder());
    container["image"] = image.into();
    container["command"] = json!([task::RUNNER, "build"]);
    container["securityContext"] = rights(isolation);
    let folder = match build.builder() {
        Builder::BuildKit => "/var/lib/buildkit",
        Builder::Buildah => "/var/lib/containers",
    };
    let mut volumes = vec![json!({"name": "build", "emptyDir": {}})];
    let mount = json!({"name": "build", "mountPath": folder});
    push(&mut container["volumeMounts"], mount);
    if let Some(volume) = secrets(build) {
        let mount = json!({"name": "secrets", "mountPath": task::SECRETS, "readOnly": true});
        push(&mut container["volumeMounts"], mount);
        volumes.push(volume);
    }
    if let Some(login) = &build.push_secret_ref {
        let of = ("registry".to_owned(), login.name.as_str());
        volumes.push(mount_login(container, of, task::LOGIN));
    }
    volumes
}

/// The platform of a build: that of its cell, or the only one.
pub(super) fn platform<'a>(build: &'a Build, cell: Option<&'a Cell>) -> Option<&'a str> {
    match (cell, build.platforms.as_slice()) {
        (Some(cell), _) => cell.platform(),
        (None, [platform]) => Some(platform),
        (None, _) => None,
    }
}

/// What a pod is that its build container alone does not say.
pub(super) fn shape(pod: &mut Value, seen: &Observed, build: &Build, platform: Option<&str>) {
    if isolation(seen, build) == Isolation::UserNamespace {
        pod["hostUsers"] = false.into();
    }
    let mut parts = platform
        .into_iter()
        .flat_map(|platform| platform.split('/'));
    if let (PlatformStrategy::Native, Some(os), Some(processor)) =
        (build.platform_strategy(), parts.next(), parts.next())
    {
        pod["nodeSelector"]["kubernetes.io/os"] = os.into();
        pod["nodeSelector"]["kubernetes.io/arch"] = processor.into();
    }
}

/// Lets a container log in to registries with a Secret, by a folder; the volume that it needs, by its name.
pub(super) fn mount_login(
    container: &mut Value,
    (volume, secret): (String, &str),
    folder: &str,
) -> Value {
    let mount = json!({"name": volume, "mountPath": folder, "readOnly": true});
    push(&mut container["volumeMounts"], mount);
    let items = json!([{"key": REGISTRY_LOGIN, "path": "config.json"}]);
    json!({"name": volume, "secret": {"secretName": secret, "items": items}})
}

/// A run that the operator does not allow has ended before; where it did not, the builder gets no rights at all.
fn isolation(seen: &Observed, build: &Build) -> Isolation {
    builder::isolation(build, &seen.images.isolations).unwrap_or_default()
}

fn rights(isolation: Isolation) -> Value {
    let unconfined = json!({"type": "Unconfined"});
    match isolation {
        Isolation::Auto => json!({"allowPrivilegeEscalation": false}),
        Isolation::UserNamespace | Isolation::Privileged => {
            json!({"privileged": true, "runAsUser": 0})
        }
        // To map user ids takes newuidmap, which has capabilities of its own for it, and mounts that profiles refuse.
        Isolation::Rootless => json!({
            "runAsUser": ROOTLESS_USER, "runAsGroup": ROOTLESS_USER, "runAsNonRoot": true,
            "allowPrivilegeEscalation": true,
            "capabilities": {"drop": ["ALL"], "add": ["SETGID", "SETUID"]},
            "seccompProfile": unconfined, "appArmorProfile": unconfined,
        }),
        Isolation::Chroot => json!({
            "runAsUser": 0,
            "capabilities": {"drop": ["ALL"], "add": CAPABILITIES},
            "seccompProfile": unconfined, "appArmorProfile": unconfined,
        }),
    }
}

/// The labels that tell where an image is from, and theirs, which win.
fn labels(spec: &PipelineSpec, build: &Build, sha: &str) -> BTreeMap<String, String> {
    let own = [
        ("org.opencontainers.image.source", &spec.source.git.url[..]),
        ("org.opencontainers.image.revision", sha),
    ];
    let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut labels = BTreeMap::from(own);
    labels.extend(build.labels.clone());
    labels
}

fn secrets(build: &Build) -> Option<Value> {
    if build.secrets.is_empty() {
        return None;
    }
    let source = |secret: &crate::pipeline::api::BuildSecret| {
        let of = &secret.secret_ref;
        json!({"secret": {"name": of.name, "items": [{"key": of.key, "path": secret.id}]}})
    };
    let sources: Vec<Value> = build.secrets.iter().map(source).collect();
    Some(json!({"name": "secrets", "projected": {"sources": sources}}))
}

/// Builds of a branch read what that branch has written, then what the default branch has. Only the default branch
/// reads nothing of others: what is not reviewed must not get into it through the cache.
fn cache(
    seen: &Observed,
    spec: &PipelineSpec,
    (build, platform): (&Build, Option<&str>),
) -> Option<CacheTask> {
    let cache = build.cache.as_ref()?;
    let branch = branch_of(&seen.spec.git_ref);
    let default = spec.source.git.branch.as_str();
    let tag = |branch: &str| cache_tag(branch, platform);
    let mut from = vec![tag(branch)];
    if branch != default {
        from.push(tag(default));
    }
    let writes = match cache.export() {
        CacheExport::DefaultBranch => branch == default,
        CacheExport::EveryBranch => true,
        CacheExport::Never => false,
    };
    Some(CacheTask {
        repository: cache.repository.as_ref().unwrap_or(&build.image).clone(),
        from,
        to: writes.then(|| tag(branch)),
        mode: cache.mode(),
    })
}

/// The tag of a branch's cache. Tags have fewer characters than branches; the hash keeps branches apart that would
/// look the same, and a branch and its platforms.
fn cache_tag(branch: &str, platform: Option<&str>) -> String {
    let whole = match platform {
        None => branch.to_owned(),
        Some(platform) => format!("{branch} {platform}"),
    };
    let is_fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let plain = whole.replace(|c: char| !is_fine(c), "-");
    let tag = format!("cache-{plain}");
    if plain == whole && tag.len() <= MAX_TAG {
        return tag;
    }
    suffixed(&tag, &short_hash(whole.as_bytes(), 8), MAX_TAG)
}

#[cfg(test)]
mod tests;
