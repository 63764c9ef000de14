//! What a run of anybody's code is given: the Pipeline's spec without everything that is secret, and without what would leave the
//! run. One place, so that nothing downstream has to ask. No I/O.

use super::api::TriggerKind;
use crate::pipeline::api::{CacheExport, CacheSave, EnvVar, PipelineSpec};

/// The spec for a run of code that comes from elsewhere. Where somebody has approved the commit its images go where people want those.
///
/// What is left of Secrets is what fetches the commit, pulls images and takes caches: none of them is seen by a script.
pub fn without_secrets(mut spec: PipelineSpec, is_approved: bool) -> PipelineSpec {
    let is_plain =
        |variable: &EnvVar| variable.secret_ref.is_none() && variable.secret_file.is_none();
    spec.defaults.env.retain(is_plain);
    // Clouds give an identity to pods by the name of their account.
    spec.service_account_name = None;
    let stages = spec.stages.iter_mut().map(|stage| &mut stage.pod);
    for pod in stages.chain([&mut spec.defaults.pod]).flatten() {
        pod.service_account_name = None;
    }
    for cache in &mut spec.caches {
        cache.save = Some(CacheSave::Never);
    }
    let storage = spec.cache_storage.as_mut();
    if let Some(registry) = storage.and_then(|storage| storage.registry.as_mut()) {
        registry.push_secret_ref = None;
    }
    for stage in &mut spec.stages {
        stage.env.retain(is_plain);
        stage.packages.clear();
        if let Some(build) = &mut stage.build {
            build.secrets.clear();
            build.push_secret_ref = None;
            build.push_on = Some(Vec::new());
            build.mirrors.clear();
            if let Some(image) = build.fork_image.take().filter(|_| is_approved) {
                build.image = image;
                build.push_on = Some(vec![TriggerKind::PullRequest]);
            }
            if let Some(cache) = &mut build.cache {
                cache.export = Some(CacheExport::Never);
            }
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline::secret;

    #[test]
    fn nothing_that_is_secret_and_nothing_that_leaves_is_left() {
        let key = json!({"name": "index", "key": "token"});
        let spec = json!({
            "source": {"git": {"url": "https://git.example/a", "credentials": {"secretName": "git"}}},
            "serviceAccountName": "deployer",
            "defaults": {"pod": {"serviceAccountName": "deployer"}, "env": [{"name": "A", "value": "1"}, {"name": "B", "secretRef": key}]},
            "cacheStorage": {"registry": {
                "repository": "r.example/caches", "pullSecretRef": {"name": "read"}, "pushSecretRef": {"name": "push"}}},
            "caches": [{"name": "pip", "paths": ["/p"], "save": "Always"}],
            "stages": [
                {"name": "unit", "type": "Test", "image": "i", "run": "true", "caches": ["pip"],
                 "env": [{"name": "C", "secretFile": key}, {"name": "D", "value": "2"}],
                 "pod": {"imagePullSecrets": ["pull"], "serviceAccountName": "deployer"},
                 "packages": [{"name": "p", "files": ["dist/*"], "repository": "r.example/p", "pushSecretRef": {"name": "push"}}]},
                {"name": "image", "type": "Build", "build": {
                    "image": "r.example/a", "forkImage": "forks.example/a", "mirrors": ["m.example/a"], "pushSecretRef": {"name": "push"}, "pushOn": ["PullRequest"],
                    "secrets": [{"id": "npm", "secretRef": key}], "cache": {"export": "EveryBranch"}}},
            ],
        });
        let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
        let approved = without_secrets(spec.clone(), true);
        let build = approved.stages[1].build.as_ref().unwrap();
        assert_eq!(
            (build.image.as_str(), build.mirrors.len()),
            ("forks.example/a", 0)
        );
        assert!(build.pushes_on(TriggerKind::PullRequest) && build.push_secret_ref.is_none());
        assert_eq!(secret::named(&approved).into_keys().count(), 3);
        let spec = without_secrets(spec, false);
        let left: Vec<String> = secret::named(&spec).into_keys().collect();
        assert_eq!(left, ["git", "pull", "read"]);
        assert_eq!((spec.defaults.env.len(), spec.stages[0].env.len()), (1, 1));
        assert!(spec.stages[0].packages.is_empty());
        let text = serde_json::to_string(&spec).unwrap();
        assert!(!text.contains("deployer"), "{text}");
        let build = spec.stages[1].build.as_ref().unwrap();
        for kind in TriggerKind::ALL {
            assert!(!build.pushes_on(*kind));
        }
        assert_eq!(spec.caches[0].save(), CacheSave::Never);
        assert_eq!(build.cache.as_ref().unwrap().export(), CacheExport::Never);
    }
}
