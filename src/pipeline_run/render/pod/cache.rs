//! The caches of a stage. No I/O.
//!
//! Scripts see folders, and never the archives: those are in a volume that only two containers of ours mount. One unpacks
//! them before the script starts, one packs what is there when the script went well. So a script can spoil what is kept
//! under its own key, where it may keep anything at all, and nothing else.

#![expect(
    clippy::indexing_slicing,
    reason = "naming a field of a JSON object never fails: it adds the field"
)]

use serde_json::{Value, json};

use super::variable::{Content, Variable};
use super::{Parts, confined, push, read_files_of_scripts, runner, task_variable};
use crate::pipeline::api::{Cache, CacheFallback, CacheSave, PipelineSpec, Stage};
use crate::pipeline_run::observed::Observed;
use crate::runner::task::{self, CacheItem, FoldersTask};

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
    let task = FoldersTask {
        caches: items.collect(),
    };
    let saves = task.caches.iter().any(|item| item.saves);
    parts.volumes.push(json!({"name": CACHES, "emptyDir": {}}));
    let claim = json!({"claimName": storage.claim_name});
    parts
        .volumes
        .push(json!({"name": STORAGE, "persistentVolumeClaim": claim}));
    parts.init.push(container(seen, RESTORE, &task));
    if saves {
        let mut container = container(seen, CACHES, &task);
        container["restartPolicy"] = "Always".into();
        read_files_of_scripts(&mut container, spec, stage);
        parts.init.push(container);
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

/// A container of ours with archives and folders.
fn container(seen: &Observed, name: &str, task: &FoldersTask) -> Value {
    let folder = &seen.spec.pipeline_ref.name;
    json!({
        "name": name, "image": runner(seen),
        "command": [task::RUNNER_IN_IMAGE, name],
        "env": [task_variable(task)],
        "volumeMounts": [
            {"name": "workspace", "mountPath": task::WORKSPACE},
            {"name": CACHES, "mountPath": task::CACHES},
            {"name": STORAGE, "mountPath": task::STORAGE, "subPath": folder},
        ],
        "securityContext": confined(),
    })
}
