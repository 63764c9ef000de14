//! Which script a pod plays. No I/O.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::ResourceExt;

use super::script::{Behaviour, DEFAULT_AFTER, Exit, Script};

/// The annotation that gives a pod its script; it wins over every rule.
pub const SCRIPT_ANNOTATION: &str = "testbed.slipway.dev/script";
/// kubectl's annotation for the container that counts.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Scripts by image, for pods without an annotation; the latest rule that fits wins.
#[derive(Debug, Clone, Default)]
pub struct Rules(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    image: String,
    script: Script,
}

/// What one pod is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Role {
    pub(super) behaviour: Behaviour,
    /// The index of the container that does it; the others just run.
    pub(super) main: usize,
    pub(super) terminate_after: Duration,
    /// What gets a line when it begins.
    pub(super) appends: Option<PathBuf>,
}

impl Rules {
    /// Adds a rule for pods with a container whose image contains `image`, or replaces the one for
    /// the same text. An empty text fits every pod.
    ///
    /// # Errors
    ///
    /// The script cannot be read.
    pub fn set(&mut self, image: &str, script: &str) -> Result<()> {
        let script = script.parse()?;
        self.remove(image);
        self.0.push(Rule {
            image: image.to_owned(),
            script,
        });
        Ok(())
    }

    /// As [`Rules::set`], for building a list.
    ///
    /// # Errors
    ///
    /// The script cannot be read.
    pub fn with(mut self, image: &str, script: &str) -> Result<Self> {
        self.set(image, script)?;
        Ok(self)
    }

    /// Takes a rule back.
    pub fn remove(&mut self, image: &str) {
        self.0.retain(|rule| rule.image != image);
    }

    pub(super) fn role(&self, pod: &Pod) -> Role {
        let (script, main) = self.script(pod);
        Role {
            behaviour: script.behaviour.unwrap_or_else(|| default_behaviour(pod)),
            main,
            terminate_after: script.terminate_after.unwrap_or(DEFAULT_AFTER),
            appends: script.appends,
        }
    }

    /// What the init containers leave as termination message, by name: that of the latest rule for their
    /// image which ends by itself.
    pub(super) fn init_messages(&self, pod: &Pod) -> BTreeMap<String, String> {
        let containers = pod
            .spec
            .iter()
            .flat_map(|spec| spec.init_containers.iter().flatten());
        let message = |container: &Container| {
            let image = container.image.as_deref()?;
            let mut rules = self.0.iter().rev();
            let rule = rules.find(|rule| !rule.image.is_empty() && image.contains(&rule.image))?;
            match &rule.script.behaviour {
                Some(Behaviour::Exits { exit, .. }) => {
                    Some((container.name.clone(), exit.message.clone()?))
                }
                _ => None,
            }
        };
        containers.filter_map(message).collect()
    }

    fn script(&self, pod: &Pod) -> (Script, usize) {
        if let Some(text) = pod.annotations().get(SCRIPT_ANNOTATION) {
            let script = text.parse().unwrap_or_else(|error| Script {
                behaviour: Some(Behaviour::Invalid(format!("{error:#}"))),
                ..Script::default()
            });
            return (script, main_container(pod));
        }
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let images: Vec<&str> = containers
            .map(|container| container.image.as_deref().unwrap_or_default())
            .collect();
        let fitting = self.0.iter().rev().find_map(|rule| {
            let main = images
                .iter()
                .position(|image| image.contains(&rule.image))?;
            let main = if rule.image.is_empty() {
                main_container(pod)
            } else {
                main
            };
            Some((rule.script.clone(), main))
        });
        fitting.unwrap_or_else(|| (Script::default(), main_container(pod)))
    }
}

fn default_behaviour(pod: &Pod) -> Behaviour {
    match super::status::restart_policy(pod) {
        "Always" => Behaviour::Ready {
            after: DEFAULT_AFTER,
        },
        _ => Behaviour::Exits {
            after: DEFAULT_AFTER,
            exit: Exit::with_code(0),
        },
    }
}

fn main_container(pod: &Pod) -> usize {
    let Some(name) = pod.annotations().get(DEFAULT_CONTAINER) else {
        return 0;
    };
    let mut containers = pod.spec.iter().flat_map(|spec| &spec.containers);
    containers
        .position(|container| &container.name == name)
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn a_pod(annotations: &Value, restart_policy: &str) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"annotations": annotations},
            "spec": {"restartPolicy": restart_policy, "containers": [
                {"name": "app", "image": "registry/shop/api:v1"},
                {"name": "proxy", "image": "registry/proxy:v2"},
            ]},
        }))
        .unwrap()
    }

    fn server() -> Pod {
        a_pod(&json!({}), "Always")
    }

    #[test]
    fn servers_become_ready_and_jobs_succeed() {
        let ready = Behaviour::Ready {
            after: DEFAULT_AFTER,
        };
        let exits = Behaviour::Exits {
            after: DEFAULT_AFTER,
            exit: Exit::with_code(0),
        };
        assert_eq!(Rules::default().role(&server()).behaviour, ready);
        for policy in ["Never", "OnFailure"] {
            let role = Rules::default().role(&a_pod(&json!({}), policy));
            assert_eq!(role.behaviour, exits, "{policy}");
        }
    }

    #[test]
    fn the_latest_fitting_rule_wins_and_names_the_container() {
        let mut rules = Rules::default().with("proxy", "never-ready").unwrap();
        assert_eq!(
            (rules.role(&server()).behaviour, rules.role(&server()).main),
            (Behaviour::NeverReady, 1)
        );
        rules.set("shop/api", "image-missing").unwrap();
        let role = rules.role(&server());
        assert_eq!((role.behaviour, role.main), (Behaviour::ImageMissing, 0));
        rules.set("proxy", "config-error").unwrap();
        assert_eq!(rules.role(&server()).behaviour, Behaviour::ConfigError);
        rules.remove("proxy");
        assert_eq!(rules.role(&server()).behaviour, Behaviour::ImageMissing);
        rules.set("other", "evicted").unwrap();
        assert_eq!(rules.role(&server()).behaviour, Behaviour::ImageMissing);
    }

    #[test]
    fn the_annotation_wins_over_every_rule() {
        let rules = Rules::default().with("", "never-ready").unwrap();
        let pod = a_pod(
            &json!({SCRIPT_ANNOTATION: "evicted", DEFAULT_CONTAINER: "proxy"}),
            "Always",
        );
        let role = rules.role(&pod);
        assert_eq!((role.behaviour, role.main), (Behaviour::Evicted, 1));
        assert_eq!(rules.role(&server()).behaviour, Behaviour::NeverReady);
    }

    #[test]
    fn a_script_that_cannot_be_read_shows_on_the_pod() {
        let pod = a_pod(&json!({SCRIPT_ANNOTATION: "redy"}), "Always");
        let behaviour = Rules::default().role(&pod).behaviour;
        assert!(matches!(behaviour, Behaviour::Invalid(reason) if reason.contains("redy")));
    }
}
