//! What is wrong with what a Pipeline wants in its pods: parameters, variables, services, caches. No I/O.

use crate::model::invalid::Invalid;
use crate::pipeline::api::{
    EnvVar, OUR_CONTAINERS, Param, PipelineSpec, Service, Stage, StageType,
};
use crate::pipeline_run::param;

pub(super) fn check(spec: &PipelineSpec, problems: &mut Vec<Invalid>) {
    for (index, param) in spec.params.iter().enumerate() {
        check_param(param, &format!("spec.params[{index}]"), problems);
    }
    check_variables(&spec.defaults.env, "spec.defaults", problems);
    let storage = spec.cache_storage.as_ref();
    if storage.is_none() && !spec.caches.is_empty() {
        let problem = "caches need a place: set it to a PersistentVolumeClaim or a registry";
        problems.push(Invalid::new("spec.cacheStorage", problem));
    }
    if storage.is_some_and(|place| place.claim_name.is_some() == place.registry.is_some()) {
        let problem = "caches are in one place: set claimName or registry";
        problems.push(Invalid::new("spec.cacheStorage", problem));
    }
    for (index, stage) in spec.stages.iter().enumerate() {
        check_stage(spec, stage, &format!("spec.stages[{index}]"), problems);
    }
}

fn check_stage(spec: &PipelineSpec, stage: &Stage, path: &str, problems: &mut Vec<Invalid>) {
    check_variables(&stage.env, path, problems);
    for name in &stage.caches {
        if !spec.caches.iter().any(|cache| cache.name == *name) {
            let problem = format!("no cache is called {name}; add it to spec.caches");
            problems.push(Invalid::new(format!("{path}.caches"), problem));
        }
    }
    for (index, service) in stage.services.iter().enumerate() {
        let path = format!("{path}.services[{index}]");
        let before = stage.services.get(..index).unwrap_or_default();
        check_service(service, before, &path, problems);
    }
    if stage.type_ == StageType::Build {
        if stage.env.iter().any(is_secret) {
            let problem = "a Build stage takes no secrets as variables: a build does not see them";
            problems.push(Invalid::new(format!("{path}.env"), problem));
        }
        let own = stage.pod.as_ref();
        if own.is_some_and(|pod| pod.security_profile.is_some() || pod.run_as_user.is_some()) {
            let problem =
                "a Build stage has rights of its own; take securityProfile and runAsUser out";
            problems.push(Invalid::new(format!("{path}.pod"), problem));
        }
    }
}

/// Whether the value of a variable, or what it names, is in a Secret.
fn is_secret(variable: &EnvVar) -> bool {
    variable.secret_ref.is_some() || variable.secret_file.is_some()
}

fn check_variables(env: &[EnvVar], path: &str, problems: &mut Vec<Invalid>) {
    for variable in env {
        let values = [
            variable.value.is_some(),
            variable.secret_ref.is_some(),
            variable.secret_file.is_some(),
        ];
        if values.iter().filter(|given| **given).count() > 1 {
            let problem = "a variable has one value: set value, secretRef or secretFile";
            problems.push(Invalid::new(
                format!("{path}.env[{}]", variable.name),
                problem,
            ));
        }
    }
}

fn check_param(param: &Param, path: &str, problems: &mut Vec<Invalid>) {
    if param.name.starts_with("SLIPWAY_") {
        let problem = "names that begin with SLIPWAY_ are the operator's own; call it otherwise";
        problems.push(Invalid::new(format!("{path}.name"), problem));
    }
    if let Some(Err(error)) = param.pattern.as_deref().map(param::pattern) {
        problems.push(Invalid::new(format!("{path}.pattern"), error));
    } else if let Some(default) = &param.default
        && let Err(problem) = param::check(param, default)
    {
        problems.push(Invalid::new(format!("{path}.default"), problem));
    }
}

fn check_service(service: &Service, before: &[Service], path: &str, problems: &mut Vec<Invalid>) {
    let name = &service.name;
    if OUR_CONTAINERS.contains(&name.as_str()) {
        let problem =
            format!("a container of Slipway's own is called {name}; call the service otherwise");
        problems.push(Invalid::new(format!("{path}.name"), problem));
    }
    if before.iter().any(|other| other.name == *name) {
        let problem = format!("another service is called {name} already");
        problems.push(Invalid::new(format!("{path}.name"), problem));
    }
    let ways = service.ready.as_ref().map(|ready| {
        let ways = [
            ready.tcp.is_some(),
            ready.http.is_some(),
            !ready.exec.is_empty(),
        ];
        ways.iter().filter(|given| **given).count()
    });
    if ways.is_some_and(|ways| ways != 1) {
        let problem = "needs one way to ask: set tcp, http or exec";
        problems.push(Invalid::new(format!("{path}.ready"), problem));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::model::invalid::sentence;

    fn said(change: &Value) -> String {
        let mut spec = json!({
            "source": {"git": {"url": "https://git.example/a.git"}},
            "stages": [{"name": "a", "type": "Test", "image": "i", "run": "true"}],
        });
        json_patch::merge(&mut spec, change);
        let spec: PipelineSpec = serde_json::from_value(spec).unwrap();
        let mut problems = Vec::new();
        check(&spec, &mut problems);
        sentence(&problems)
    }

    fn stage(more: &Value) -> Value {
        let mut stage = json!({"name": "a", "type": "Test", "image": "i", "run": "true"});
        json_patch::merge(&mut stage, more);
        json!({"stages": [stage]})
    }

    #[test]
    fn what_fits_is_fine() {
        let spec = json!({
            "params": [{"name": "LEVEL", "pattern": "debug|info", "default": "info"}, {"name": "REASON"}],
            "caches": [{"name": "pip", "paths": ["/root/.cache/pip"]}],
            "cacheStorage": {"claimName": "caches"},
        });
        assert_eq!(said(&spec), "");
        let services = json!([{"name": "db", "image": "postgres", "ready": {"tcp": 5432}}]);
        assert_eq!(said(&stage(&json!({"services": services}))), "");
    }

    #[test]
    fn a_default_has_to_match_its_own_pattern() {
        let param = |pattern: &str, default: &str| {
            said(&json!({"params": [{"name": "A", "pattern": pattern, "default": default}]}))
        };
        assert!(param("[a-z]+", "a1").contains("spec.params[0].default"));
        assert!(param("[a-z", "a").contains("spec.params[0].pattern"));
        assert!(said(&json!({"params": [{"name": "SLIPWAY_SHA"}]})).contains("operator's own"));
    }

    #[test]
    fn services_are_told_apart_and_have_one_way_to_be_ready() {
        let of = |services: &Value| said(&stage(&json!({"services": services})));
        let db = json!({"name": "db", "image": "i"});
        assert!(of(&json!([db, db])).contains("called db already"));
        assert!(of(&json!([{"name": "main", "image": "i"}])).contains("Slipway's own"));
        let two = json!([{"name": "db", "image": "i", "ready": {"tcp": 1, "exec": ["true"]}}]);
        assert!(of(&two).contains("services[0].ready"));
        assert!(of(&json!([{"name": "db", "image": "i", "ready": {}}])).contains("one way"));
    }

    #[test]
    fn caches_have_to_be_there_and_have_a_place() {
        assert!(said(&stage(&json!({"caches": ["pip"]}))).contains("no cache is called pip"));
        let caches = json!({"caches": [{"name": "pip", "paths": ["a"]}]});
        assert!(said(&caches).contains("spec.cacheStorage"));
        let place = |storage: &Value| said(&json!({"cacheStorage": storage}));
        let registry = json!({"registry": {"repository": "registry.example/caches"}});
        assert_eq!(place(&registry), "");
        let both = json!({"claimName": "c", "registry": registry["registry"]});
        for wrong in [json!({}), both] {
            assert!(place(&wrong).contains("in one place"), "{wrong}");
        }
    }

    #[test]
    fn a_build_takes_no_secrets_as_variables_and_no_profile() {
        let build = |more: &Value| {
            let mut stage = json!({"name": "a", "type": "Build", "build": {"image": "r/a"}});
            json_patch::merge(&mut stage, more);
            said(&json!({"stages": [stage]}))
        };
        let env = json!([{"name": "T", "secretRef": {"name": "s", "key": "k"}}]);
        assert!(build(&json!({"env": env})).contains("stages[0].env"));
        assert!(build(&json!({"pod": {"runAsUser": 1}})).contains("rights of its own"));
        assert_eq!(build(&json!({"pod": {"nodeSelector": {"a": "b"}}})), "");
    }

    #[test]
    fn a_variable_has_one_value() {
        let secret = json!({"name": "s", "key": "k"});
        let env = json!([{"name": "A", "value": "1", "secretRef": secret}]);
        assert!(said(&stage(&json!({"env": env}))).contains("spec.stages[0].env[A]"));
    }
}
