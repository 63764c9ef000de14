//! The caches of a stage. No I/O.
//!
//! Scripts see folders, and never the archives: those are in a volume that only two containers of ours mount, or in a
//! registry whose logins only these have. One unpacks them before the script starts, one packs what is there when the script
//! went well. So a script can spoil what is kept under its own key, where it may keep anything at all, and nothing else.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::variable::{Content, Variable};
use super::{Parts, confined, push, read_files_of_scripts, runner, task_variable};
use crate::pipeline::api::{
    Cache, CacheFallback, CacheRegistry, CacheSave, CacheStorage, PipelineSpec, RegistryLogin,
    Stage,
};
use crate::pipeline_run::observed::Observed;
use crate::pipeline_run::render::build::mount_login;
use crate::runner::task::{self, CacheItem, FoldersTask, Subject};

/// Name of the container that fills the folders of caches.
const RESTORE: &str = "restore";
/// Name of the container that keeps what is in them.
const CACHES: &str = "caches";
/// Name of the volume with the archives.
const STORAGE: &str = "storage";

/// Adds the caches of a stage to its pod. Tells whether any of them is kept.
pub(super) fn add(
    parts: &mut Parts,
    seen: &Observed,
    spec: &PipelineSpec,
    stage: &Stage,
    variables: &[Variable],
) -> bool {
    let is_used = |cache: &&Cache| stage.caches.contains(&cache.name);
    let caches: Vec<&Cache> = spec.caches.iter().filter(is_used).collect();
    let (Some(storage), false) = (&spec.cache_storage, caches.is_empty()) else {
        return false;
    };
    let is_branch = seen.spec.git_ref == format!("refs/heads/{}", spec.source.git.branch);
    let items = caches.iter().map(|cache| item(cache, variables, is_branch));
    let registry = storage.registry.as_ref();
    let task = FoldersTask {
        caches: items.collect(),
        registry: registry.map(|registry| place(seen, registry)),
    };
    let saves = task.caches.iter().any(|item| item.saves);
    parts.volumes.push(json!({"name": CACHES, "emptyDir": {}}));
    parts.volumes.push(volume(storage));
    let login = registry.and_then(CacheRegistry::pull_login);
    let restore = container(seen, (RESTORE, storage), task.clone(), login);
    parts.init.push(restore.0);
    parts.volumes.extend(restore.1);
    if saves {
        let login = registry.and_then(|registry| registry.push_secret_ref.as_ref());
        let (mut container, login) = container(seen, (CACHES, storage), task, login);
        container["restartPolicy"] = "Always".into();
        read_files_of_scripts(&mut container, spec, stage);
        parts.init.push(container);
        parts.volumes.extend(login);
    }
    for cache in caches {
        for (index, path) in cache.paths.iter().enumerate() {
            let path = if path.starts_with('/') {
                path.clone()
            } else {
                format!("{}/{path}", task::CHECKOUT)
            };
            let folder = format!("{}/{index}", cache.name);
            let mount = json!({"name": CACHES, "mountPath": path, "subPath": folder});
            push(&mut parts.main["volumeMounts"], mount);
        }
    }
    saves
}

fn item(cache: &Cache, variables: &[Variable], is_branch: bool) -> CacheItem {
    let value = |name: &String| {
        let variable = variables.iter().find(|variable| variable.name == *name);
        let value = match variable.map(|variable| &variable.content) {
            Some(Content::Plain(value)) => value.clone(),
            Some(Content::Secret(_) | Content::File(_)) | None => String::new(),
        };
        (name.clone(), value)
    };
    let key = cache.key.clone().unwrap_or_default();
    CacheItem {
        name: cache.name.clone(),
        files: key.files,
        values: key.env.iter().map(value).collect(),
        folders: cache.paths.len(),
        newest: cache.fallback() == CacheFallback::Newest,
        saves: match cache.save() {
            CacheSave::Branch => is_branch,
            CacheSave::Always => true,
            CacheSave::Never => false,
        },
        max_bytes: cache.max_bytes(),
    }
}

/// The repository with the archives of a Pipeline.
fn place(seen: &Observed, registry: &CacheRegistry) -> Subject {
    let pipeline = &seen.spec.pipeline_ref.name;
    Subject {
        image: format!("{}/{pipeline}", seen.key.namespace),
        repository: registry.repository.clone(),
        digest: String::new(),
        insecure: registry.insecure_registry(),
        login: None,
    }
}

/// The volume with the archives, or, where those are in a registry, what they pass through.
fn volume(storage: &CacheStorage) -> Value {
    match &storage.claim_name {
        Some(claim) => {
            let claim = json!({"claimName": claim});
            json!({"name": STORAGE, "persistentVolumeClaim": claim})
        }
        None => json!({"name": STORAGE, "emptyDir": {}}),
    }
}

/// A container of ours with archives and folders, and the volume of its login.
fn container(
    seen: &Observed,
    (name, storage): (&str, &CacheStorage),
    mut task: FoldersTask,
    login: Option<&RegistryLogin>,
) -> (Value, Option<Value>) {
    if let Some(place) = &mut task.registry {
        place.login = login.map(|_| task::LOGIN.to_owned());
    }
    let mut archives = json!({"name": STORAGE, "mountPath": task::STORAGE});
    if storage.claim_name.is_some() {
        archives["subPath"] = seen.spec.pipeline_ref.name.as_str().into();
    }
    let mut container = json!({
        "name": name, "image": runner(seen),
        "command": [task::RUNNER_IN_IMAGE, name],
        "env": [task_variable(&task)],
        "volumeMounts": [
            {"name": "workspace", "mountPath": task::WORKSPACE},
            {"name": CACHES, "mountPath": task::CACHES},
            archives,
        ],
        "securityContext": confined(),
    });
    let login = login.map(|login| {
        let volume = (format!("{name}-login"), login.name.as_str());
        mount_login(&mut container, volume, task::LOGIN)
    });
    (container, login)
}
