//! What of the chart follows from the code: the definitions and the operator's rights. No I/O.
//!
//! `make generate` writes these files; a test fails when they are not as the code says.

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::crd;
use crate::permission::{
    CLUSTER_PERMISSIONS, METRIC_PERMISSIONS, PERMISSIONS, PREVIEW_PERMISSIONS, Permission,
    RECEIVER_PERMISSIONS, SECRET_PERMISSIONS,
};

/// Every generated file: path from the root of the repository, and content.
pub fn files() -> Result<Vec<(String, String)>, crd::Error> {
    let mut files = Vec::new();
    for (name, yaml) in crd::files()? {
        files.push((format!("crds/{name}"), yaml.clone()));
        files.push((format!("charts/slipway/files/crds/{name}"), yaml));
    }
    for (name, rules) in [
        ("rules", rules()),
        ("rules-secrets", secret_rules()),
        ("rules-metric-secrets", metric_rules()),
        ("rules-receiver", receiver_rules()),
        ("rules-previews", preview_rules()),
        ("rules-clusters", cluster_rules()),
    ] {
        let yaml = serde_saphyr::to_string(&rules);
        let yaml = yaml.map_err(|source| crd::Error::Yaml {
            kind: "PolicyRule",
            source,
        })?;
        files.push((format!("charts/slipway/files/{name}.yaml"), yaml));
    }
    Ok(files)
}

/// The rules of the operator's ClusterRole: what it checks at its start, and events.
pub fn rules() -> Vec<PolicyRule> {
    let events = rule("events.k8s.io", "events", &["create", "patch"]);
    PERMISSIONS.iter().map(permitted).chain([events]).collect()
}

/// The rules that copies of Secrets take on top, where people want them.
pub fn secret_rules() -> Vec<PolicyRule> {
    SECRET_PERMISSIONS.iter().map(permitted).collect()
}

/// The rules that Secrets of metrics take on top, where people want them.
pub fn metric_rules() -> Vec<PolicyRule> {
    METRIC_PERMISSIONS.iter().map(permitted).collect()
}

/// The rules that logs and claims of stage pods take on top, where they are taken: in all namespaces.
pub fn receiver_rules() -> Vec<PolicyRule> {
    RECEIVER_PERMISSIONS.iter().map(permitted).collect()
}

/// The rules that previews take on top, where people want them: in all namespaces.
pub fn preview_rules() -> Vec<PolicyRule> {
    PREVIEW_PERMISSIONS.iter().map(permitted).collect()
}

/// The rules that Environments in other clusters take on top, where people want them.
pub fn cluster_rules() -> Vec<PolicyRule> {
    CLUSTER_PERMISSIONS.iter().map(permitted).collect()
}

fn permitted((kind, subresource, verbs): &Permission) -> PolicyRule {
    let resource = match *subresource {
        "" => kind.plural().to_owned(),
        subresource => format!("{}/{subresource}", kind.plural()),
    };
    rule(kind.group(), &resource, verbs)
}

fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(ToString::to_string).collect(),
        ..PolicyRule::default()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn generated_files_are_as_the_code_says() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let stale: Vec<String> = files()
            .unwrap()
            .into_iter()
            .filter(|(path, content)| {
                std::fs::read_to_string(root.join(path)).ok().as_ref() != Some(content)
            })
            .map(|(path, _)| path)
            .collect();
        assert!(stale.is_empty(), "run make generate; stale: {stale:#?}");
    }

    #[test]
    fn no_right_is_a_wildcard() {
        for rule in rules()
            .into_iter()
            .chain(secret_rules())
            .chain(metric_rules())
            .chain(receiver_rules())
            .chain(preview_rules())
            .chain(cluster_rules())
        {
            let words = [
                rule.api_groups.unwrap(),
                rule.resources.unwrap(),
                rule.verbs,
            ]
            .concat();
            assert!(!words.iter().any(|word| word.contains('*')), "{words:?}");
        }
    }
}
