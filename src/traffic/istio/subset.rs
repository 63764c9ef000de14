//! The two subsets of a DestinationRule: what they select, and what they are to select. No I/O.

use serde_json::{Value, json};

use super::super::Side;
use super::super::router::{Route, Scene};
use crate::model::json::set;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::revision::Revision;
use crate::rollout::api;

/// A DestinationRule of people's with a subset for each side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subsets {
    /// Its name.
    pub rule: String,
    /// The subset of the stable revision.
    pub stable: String,
    /// The subset of the canary.
    pub canary: String,
}

impl Subsets {
    pub(in super::super) fn of(raw: &api::DestinationRuleReference) -> Self {
        Self {
            rule: raw.name.clone(),
            stable: raw.stable_subset.clone(),
            canary: raw.canary_subset.clone(),
        }
    }

    /// As people name it.
    pub(in super::super) fn reference(&self) -> api::DestinationRuleReference {
        api::DestinationRuleReference {
            name: self.rule.clone(),
            stable_subset: self.stable.clone(),
            canary_subset: self.canary.clone(),
        }
    }

    pub(super) fn object(&self) -> (ObjectKind, String) {
        (ObjectKind::DestinationRule, self.rule.clone())
    }

    /// The host that the subsets are parts of, as far as it is known.
    pub(super) fn host<'a>(&self, scene: &Scene<'a>) -> Option<&'a str> {
        self.live(scene)?.field("/spec/host")?.as_str()
    }

    /// The side that a subset is.
    pub(super) fn side_of(&self, subset: &str) -> Option<Side> {
        if subset == self.stable {
            Some(Side::Stable)
        } else if subset == self.canary {
            Some(Side::Canary)
        } else {
            None
        }
    }

    /// # Errors
    /// What is missing, as a sentence for people.
    pub(super) fn check(&self, scene: &Scene) -> Result<(), String> {
        let rule = scene.need(ObjectKind::DestinationRule, &self.rule)?;
        let is_there = |name: &&String| {
            let mut subsets = rule.items("/spec/subsets").iter();
            subsets.any(|subset| subset["name"] == name.as_str())
        };
        match [&self.stable, &self.canary]
            .into_iter()
            .find(|name| !is_there(name))
        {
            Some(missing) => {
                let rule = &self.rule;
                Err(format!(
                    "DestinationRule {rule} has no subset {missing}; add it"
                ))
            }
            None => Ok(()),
        }
    }

    pub(super) fn selections(&self, scene: &Scene) -> Option<[Option<Revision>; 2]> {
        let subsets = self.live(scene)?.items("/spec/subsets");
        Some([Side::Stable, Side::Canary].map(|side| {
            let mut subsets = subsets.iter();
            let subset = subsets.find(|subset| self.is(subset, side))?;
            let revision = subset.get("labels")?.get(label::REVISION)?.as_str()?;
            Some(Revision::from_label(revision))
        }))
    }

    pub(super) fn select(
        &self,
        scene: &Scene,
        side: Side,
        revision: &Revision,
    ) -> Option<(Target, Value)> {
        let rule = self.live(scene)?;
        let mut subsets = rule.items("/spec/subsets").to_vec();
        for subset in subsets.iter_mut().filter(|subset| self.is(subset, side)) {
            set(subset, &["labels", label::REVISION], revision.as_str());
        }
        let change = json!({"spec": {"subsets": subsets}});
        Some((rule.target.clone(), change))
    }

    /// What lets both subsets select what people wrote, where they do not do so already.
    pub(in super::super) fn released(&self, scene: &Scene) -> Option<(Target, Value)> {
        let rule = self.live(scene)?;
        let mut subsets = rule.items("/spec/subsets").to_vec();
        let mut is_ours = false;
        for subset in &mut subsets {
            let is_side = [Side::Stable, Side::Canary]
                .into_iter()
                .any(|side| self.is(subset, side));
            let labels = subset.get_mut("labels").and_then(Value::as_object_mut);
            if let Some(labels) = labels.filter(|_| is_side) {
                is_ours |= labels.remove(label::REVISION).is_some();
            }
        }
        let change = json!({"spec": {"subsets": subsets}});
        is_ours.then(|| (rule.target.clone(), change))
    }

    fn live<'a>(&self, scene: &Scene<'a>) -> Option<&'a Route> {
        scene.find(ObjectKind::DestinationRule, &self.rule)
    }

    fn is(&self, subset: &Value, side: Side) -> bool {
        let name = subset.get("name").and_then(Value::as_str);
        name.and_then(|name| self.side_of(name)) == Some(side)
    }
}
