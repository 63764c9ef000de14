//! What people ask to be decided, and in whose name it is. No I/O.

use k8s_openapi::api::authentication::v1::UserInfo;
use serde_json::{Map, Value};

use super::topic::is_name;
use crate::decision::api::{DecisionSpec, TargetKind};
use crate::model::object::ObjectKind;

/// Most groups that a Decision names.
const MAX_GROUPS: usize = 32;
/// How groups begin that Kubernetes puts everybody into.
const OF_EVERYBODY: &str = "system:";

/// A Decision that somebody asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    /// Where.
    pub namespace: String,
    /// What, but for who decides.
    pub spec: DecisionSpec,
    /// The API server is only to check it.
    pub is_dry: bool,
    /// Whether it names the groups in whose name it is.
    names_groups: bool,
}

impl Asked {
    /// Reads the body of a request.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(body: &[u8]) -> Result<Self, String> {
        let wrong = |error: serde_json::Error| format!("this is no Decision: {error}");
        let mut all: Map<String, Value> = serde_json::from_slice(body).map_err(wrong)?;
        let namespace = match all.remove("namespace") {
            Some(Value::String(name)) if is_name(&name) => name,
            _ => return Err("name the namespace of what you decide about".to_owned()),
        };
        let is_dry = all.remove("dryRun") == Some(Value::Bool(true));
        let names_groups = all.contains_key("groups");
        all.insert("user".to_owned(), Value::String(String::new()));
        let spec = serde_json::from_value(Value::Object(all)).map_err(wrong)?;
        Ok(Self {
            namespace,
            spec,
            is_dry,
            names_groups,
        })
    }

    /// The same, in the name of whoever asks: with their groups, if none are named.
    pub fn by(self, who: UserInfo) -> DecisionSpec {
        let groups = who.groups.unwrap_or_default();
        let groups = groups
            .into_iter()
            .filter(|group| !group.is_empty() && !group.starts_with(OF_EVERYBODY));
        let groups = if self.names_groups {
            self.spec.groups
        } else {
            groups.take(MAX_GROUPS).collect()
        };
        DecisionSpec {
            user: who.username.unwrap_or_default(),
            groups,
            ..self.spec
        }
    }
}

/// The kind with this plural, if something can be decided about it.
pub fn target(plural: &str) -> Option<TargetKind> {
    let mut all = TargetKind::ALL.iter().copied();
    all.find(|kind| ObjectKind::own(kind.as_str()).is_some_and(|own| own.plural() == plural))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::decision::api::DecisionAction;

    fn asked(more: &Value) -> Result<Asked, String> {
        let mut body = json!({"namespace": "shop", "target": {"kind": "Rollout", "name": "api"}, "action": "Promote"});
        let fields = more.as_object().unwrap().clone();
        body.as_object_mut().unwrap().extend(fields);
        Asked::read(body.to_string().as_bytes())
    }

    fn olga() -> UserInfo {
        UserInfo {
            username: Some("olga".to_owned()),
            groups: Some(vec!["leads".to_owned(), "system:authenticated".to_owned()]),
            ..UserInfo::default()
        }
    }

    #[test]
    fn a_decision_is_in_the_name_of_whoever_asks() {
        let spec = asked(&json!({"user": "root", "reason": "looks good"}))
            .unwrap()
            .by(olga());
        assert_eq!(spec.user, "olga");
        assert_eq!(spec.groups, ["leads"]);
        assert_eq!(spec.action, DecisionAction::Promote);
        assert_eq!(spec.reason.as_deref(), Some("looks good"));
    }

    #[test]
    fn groups_that_are_named_are_the_ones() {
        let none = asked(&json!({"groups": []})).unwrap().by(olga());
        assert!(none.groups.is_empty());
        let other = asked(&json!({"groups": ["owners"]})).unwrap().by(olga());
        // The admission policy refuses what is not true.
        assert_eq!(other.groups, ["owners"]);
    }

    #[test]
    fn the_other_fields_of_a_decision_are_taken() {
        let asked = asked(&json!({"action": "Undo", "revision": "5d8f", "dryRun": true})).unwrap();
        assert!(asked.is_dry);
        assert_eq!(asked.spec.revision.as_deref(), Some("5d8f"));
    }

    #[test]
    fn what_is_no_decision_is_refused() {
        assert!(Asked::read(b"").is_err());
        assert!(Asked::read(b"[]").is_err());
        for wrong in [
            json!({"namespace": "a/b"}),
            json!({"action": "Explode"}),
            json!({"target": "api"}),
        ] {
            assert!(asked(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_can_be_decided_about_has_a_plural() {
        assert_eq!(target("rollouts"), Some(TargetKind::Rollout));
        assert_eq!(target("pipelineruns"), Some(TargetKind::PipelineRun));
        assert_eq!(target("releases"), None);
        assert_eq!(target("pods"), None);
    }
}
