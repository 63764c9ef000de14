//! What stories look at.

use serde_json::json;

use super::super::api::{Deployed, EnvironmentStatus};
use super::World;
use crate::model::object::ObjectKind;
use crate::promotion::api::Promotion;

impl World {
    pub(crate) fn promotions_of(&self, environment: &str) -> Vec<Promotion> {
        let all = self.names(ObjectKind::Promotion).into_iter().map(|name| {
            let object = self.object(ObjectKind::Promotion, &name);
            serde_json::from_value::<Promotion>(object).unwrap()
        });
        let mut own: Vec<Promotion> = all.filter(|p| p.spec.environment == environment).collect();
        own.sort_by_key(|promotion| promotion.spec.number);
        own
    }

    /// The Promotions of an Environment, told in words.
    pub(crate) fn told(&self, environment: &str) -> Vec<String> {
        let all = self.promotions_of(environment);
        all.iter()
            .map(|promotion| {
                let phase = promotion.status.as_ref().and_then(|status| status.phase);
                let phase = phase.map_or("-", |phase| phase.as_str());
                format!("{} {} {phase}", promotion.spec.kind, promotion.spec.release)
            })
            .collect()
    }

    pub(crate) fn status(&self, environment: &str) -> EnvironmentStatus {
        let object = self.object(ObjectKind::Environment, environment);
        serde_json::from_value(object.get("status").cloned().unwrap_or(json!({}))).unwrap()
    }

    pub(crate) fn message(&self, environment: &str) -> String {
        self.status(environment).message.unwrap_or_default()
    }

    /// The Release that runs and is good, and the one that should run.
    pub(crate) fn runs(&self, environment: &str) -> (String, String) {
        let status = self.status(environment);
        let name = |list: &[Deployed]| {
            list.first()
                .map(|deployed| deployed.release.clone())
                .unwrap_or_default()
        };
        (name(&status.current), name(&status.desired))
    }

    /// The number of the Release that a Rollout serves.
    pub(crate) fn serves(&self, rollout: &str) -> Option<u32> {
        let image = self.models[rollout].stable.get("web")?;
        let (_, hex) = image.split_once("sha256:")?;
        u32::from_str_radix(&hex[..2], 16).ok()
    }

    /// Whether a condition is there, and what it says.
    pub(crate) fn condition(&self, environment: &str, type_: &str) -> Option<bool> {
        let conditions = self.status(environment).conditions;
        let found = conditions.iter().find(|condition| condition.type_ == type_);
        found.map(|condition| condition.status == "True")
    }
}
