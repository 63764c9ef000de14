//! What a Pipeline allows the stages of its repository's file. No I/O.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::api::{
    Build, DefinitionRule, PipelineSpec, PodSettings, SecurityProfile, Stage, StageDefaults,
};
use super::super::secret;
use crate::model::glob;
use crate::model::invalid::Invalid;

/// Everything that stages of the file have and may not.
pub(super) fn problems(
    rule: &DefinitionRule,
    own: &PipelineSpec,
    whole: &PipelineSpec,
) -> Vec<Invalid> {
    let mut problems = Vec::new();
    let stages = whole.stages.iter().enumerate().skip(own.stages.len());
    for (index, stage) in stages {
        let mut found = Stranger {
            rule,
            least: least(&own.defaults),
            path: format!("spec.stages[{index}]"),
            problems: &mut problems,
        };
        found.check(stage);
    }
    check_secrets(rule, own, whole, &mut problems);
    if own.cache_storage.is_none() && whole.caches.len() > own.caches.len() {
        let problem = "the Pipeline has no place for caches: set its cacheStorage";
        let path = format!("spec.caches[{}]", own.caches.len());
        problems.push(Invalid::new(path, problem));
    }
    problems
}

/// What the pods of a Pipeline's stages are kept to, where a stage says nothing else.
fn least(defaults: &StageDefaults) -> SecurityProfile {
    let pod = defaults.pod.as_ref();
    pod.and_then(|pod| pod.security_profile).unwrap_or_default()
}

/// What is wrong with the bounds themselves.
pub(super) fn rule_problems(rule: &DefinitionRule) -> Vec<Invalid> {
    let wrong = rule.max_resources.iter();
    let wrong = wrong.filter(|(_, most)| quantity(most).is_none());
    let problem = |(name, most): (&String, &String)| {
        Invalid::new(
            format!("spec.definition.maxResources.{name}"),
            format!("{most} is no quantity; write it as in a pod, such as 500m or 2Gi"),
        )
    };
    wrong.map(problem).collect()
}

/// Secrets count with the stage that names them, and not with what the Pipeline gives to all.
fn check_secrets(
    rule: &DefinitionRule,
    own: &PipelineSpec,
    whole: &PipelineSpec,
    problems: &mut Vec<Invalid>,
) {
    let mut alone = whole.clone();
    alone.source.git.credentials = None;
    alone.defaults = StageDefaults::default();
    for (index, stage) in whole.stages.iter().enumerate().skip(own.stages.len()) {
        alone.stages = vec![stage.clone()];
        for (name, named) in secret::named(&alone) {
            if !rule.secrets.contains(&name) {
                let path = named
                    .path
                    .replacen("stages[0]", &format!("stages[{index}]"), 1);
                let problem = format!(
                    "Secret {name} is not for this file; add it to the Pipeline's definition.secrets"
                );
                problems.push(Invalid::new(path, problem));
            }
        }
    }
}

/// A stage that stands in the file.
struct Stranger<'a> {
    rule: &'a DefinitionRule,
    least: SecurityProfile,
    path: String,
    problems: &'a mut Vec<Invalid>,
}

impl Stranger<'_> {
    fn wrong(&mut self, field: &str, problem: impl Into<String>) {
        let path = format!("{}{field}", self.path);
        self.problems.push(Invalid::new(path, problem));
    }

    fn check(&mut self, stage: &Stage) {
        let allowed = self.rule.stage_types();
        if !allowed.contains(&stage.type_) {
            let names: Vec<&str> = allowed.iter().map(|type_| type_.as_str()).collect();
            let problem = format!(
                "{} is not for this file, which may have {}; add it to the Pipeline's definition.stageTypes, or move the stage \
                 to the Pipeline",
                stage.type_,
                names.join(", ")
            );
            self.wrong(".type", problem);
        }
        self.images(stage);
        self.resources(".resources", stage.resources.as_ref());
        for (index, service) in stage.services.iter().enumerate() {
            let field = format!(".services[{index}].resources");
            // It has none by default, and so no limit.
            let none = Value::Object(serde_json::Map::new());
            self.resources(&field, Some(service.resources.as_ref().unwrap_or(&none)));
        }
        for (index, package) in stage.packages.iter().enumerate() {
            let field = format!(".packages[{index}]");
            self.repository(&format!("{field}.repository"), &package.repository);
            self.encrypted(&field, package.insecure_registry());
        }
        if let Some(build) = &stage.build {
            self.build(build);
        }
        if let Some(pod) = &stage.pod {
            self.pod(pod);
        }
    }

    fn images(&mut self, stage: &Stage) {
        if self.rule.images.is_empty() {
            return;
        }
        let matrix = stage.matrix.as_ref();
        let by_value = matrix.and_then(|matrix| matrix.image.as_ref());
        let by_value = by_value.into_iter().flat_map(|image| image.images.values());
        let services = stage.services.iter().enumerate();
        let services = services.filter_map(|(index, service)| {
            Some((format!(".services[{index}].image"), service.image.as_ref()?))
        });
        let own = stage.image.iter().map(|image| (".image".to_owned(), image));
        let by_value = by_value.map(|image| (".matrix.image".to_owned(), image));
        for (field, image) in own.chain(by_value).chain(services) {
            if !fits(&self.rule.images, image) {
                let problem = format!(
                    "{image} is not for this file; take one of the Pipeline's definition.images: {}",
                    self.rule.images.join(", ")
                );
                self.wrong(&field, problem);
            }
        }
    }

    fn build(&mut self, build: &Build) {
        let cache = build.cache.as_ref();
        let cache = cache.and_then(|cache| cache.repository.as_ref());
        let all = [(".build.image", &build.image)].into_iter();
        let all = all.chain(
            build
                .mirrors
                .iter()
                .map(|mirror| (".build.mirrors", mirror)),
        );
        for (field, repository) in all.chain(cache.map(|cache| (".build.cache.repository", cache)))
        {
            self.repository(field, repository);
        }
        self.encrypted(".build", build.insecure_registry == Some(true));
        if build.isolation.is_some() {
            let problem =
                "what keeps builds apart from their node is not for this file; take it out";
            self.wrong(".build.isolation", problem);
        }
    }

    fn repository(&mut self, field: &str, repository: &str) {
        if !fits(&self.rule.repositories, repository) {
            let problem = format!(
                "{repository} is not for this file; add it to the Pipeline's definition.repositories"
            );
            self.wrong(field, problem);
        }
    }

    fn encrypted(&mut self, field: &str, is_insecure: bool) {
        if is_insecure {
            let problem = "to push without encryption is not for this file; take it out";
            self.wrong(&format!("{field}.insecureRegistry"), problem);
        }
    }

    fn pod(&mut self, pod: &PodSettings) {
        let account = pod.service_account_name.as_ref();
        if let Some(name) = account.filter(|name| !self.rule.service_accounts.contains(name)) {
            let problem = format!(
                "service account {name} is not for this file; add it to the Pipeline's definition.serviceAccounts"
            );
            self.wrong(".pod.serviceAccountName", problem);
        }
        let profile = pod.security_profile.unwrap_or(self.least);
        // Declared from the weakest to the strongest.
        if profile < self.least {
            let problem = format!(
                "{profile} is less than the {} of the Pipeline's defaults.pod.securityProfile; take it out",
                self.least
            );
            self.wrong(".pod.securityProfile", problem);
        }
        let chooses = !pod.node_selector.is_empty()
            || !pod.tolerations.is_empty()
            || pod.priority_class_name.is_some()
            || pod.runtime_class_name.is_some()
            || pod.host_users.is_some();
        if chooses && self.rule.placement != Some(true) {
            let problem = "where a stage runs is not for this file; set the Pipeline's definition.placement, or take \
                           nodeSelector, tolerations, priorityClassName, runtimeClassName and hostUsers out";
            self.wrong(".pod", problem);
        }
    }

    fn resources(&mut self, field: &str, resources: Option<&Value>) {
        let most = &self.rule.max_resources;
        let Some(resources) = resources.filter(|_| !most.is_empty()) else {
            return;
        };
        for list in ["requests", "limits"] {
            let values = resources.get(list).and_then(Value::as_object);
            for (name, value) in values.into_iter().flatten() {
                if let Some(problem) = above(most, name, value) {
                    self.wrong(&format!("{field}.{list}.{name}"), problem);
                }
            }
        }
        let limits = resources.get("limits");
        for (name, bound) in most {
            if limits.and_then(|limits| limits.get(name)).is_none() {
                let problem = format!(
                    "without a limit it may take more than the {bound} of the Pipeline's definition.maxResources; set one"
                );
                self.wrong(&format!("{field}.limits.{name}"), problem);
            }
        }
    }
}

fn fits(globs: &[String], name: &str) -> bool {
    globs.iter().any(|glob| glob::matches(glob, name))
}

/// Why a container may not have that much of a resource, if so.
fn above(most: &BTreeMap<String, String>, name: &str, value: &Value) -> Option<String> {
    let Some(bound) = most.get(name) else {
        return Some(format!(
            "{name} is not for this file; add it to the Pipeline's definition.maxResources"
        ));
    };
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    match quantity(&text).zip(quantity(bound)) {
        Some((wanted, bound)) if wanted <= bound => None,
        Some(_) => Some(format!(
            "{text} is more than the {bound} of the Pipeline's definition.maxResources"
        )),
        None => Some(format!("{text} is no quantity; write it as in a pod")),
    }
}

/// A quantity, as Kubernetes writes it.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let suffix = SUFFIXES.iter().find(|(suffix, _)| text.ends_with(suffix));
    let (number, factor) = match suffix {
        Some((suffix, factor)) => (text.strip_suffix(suffix)?, *factor),
        None => (text, 1.0),
    };
    let is_plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if !number.bytes().all(is_plain) {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    (number.is_finite() && number >= 0.0).then_some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_those_of_pods() {
        for (text, wanted) in [
            ("2", 2.0),
            ("500m", 0.5),
            ("0.5", 0.5),
            ("1Gi", 1_073_741_824.0),
            ("1e3", 1000.0),
            ("12E", 12e18),
        ] {
            assert_eq!(quantity(text), Some(wanted), "{text}");
        }
        for text in ["", "much", "-1", "inf", "NaN", "1 Gi", "Gi"] {
            assert_eq!(quantity(text), None, "{text}");
        }
    }
}
