//! Another cluster: the mirrors in it, and whether it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::super::api::{Environment, EnvironmentSpec};
use super::super::followed;
use super::super::mirror::{Live, Sight, State, Trouble};
use super::super::observed::Observed;
use super::{NS, World};
use crate::model::action::Action;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;
use crate::model::place::{Mirroring, Place};

/// Another cluster, whose Rollouts are those of the world that follow an Environment which is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Elsewhere {
    /// Why nothing is known of it.
    pub(crate) trouble: Option<Trouble>,
    /// Whether it has not been asked yet.
    pub(crate) is_unknown: bool,
    /// The Environments in it.
    pub(crate) live: BTreeMap<String, Live>,
    /// A field that the definitions there do not have: where it would be, and its name.
    pub(crate) lacks: Option<(&'static str, &'static str)>,
    /// Plans that do something about promotions and about a mirror.
    pub(crate) together: usize,
    /// What was done to mirrors.
    pub(crate) writes: usize,
}

impl Elsewhere {
    /// The first action that is refused ends a pass: so what promotions need comes before the other cluster, and what only informs
    /// after it.
    pub(super) fn note_order(&mut self, actions: &[Action]) {
        let is_mirror = |action: &Action| matches!(action, Action::Mirror { .. });
        let Some(at) = actions.iter().position(is_mirror) else {
            return;
        };
        let is_record = |action: &Action| matches!(action, Action::Status { .. });
        let last = actions.iter().rposition(is_record);
        assert!(last.is_none_or(|last| last < at), "{actions:?}");
        self.together += usize::from(last.is_some());
        let only_informs = |action: &Action| matches!(action, Action::Apply(made) if made.kind == ObjectKind::PrometheusRule);
        let first = actions.iter().position(only_informs);
        assert!(first.is_none_or(|first| first > at), "{actions:?}");
    }
}

impl World {
    /// What the shell adds to what an Environment sees.
    pub(super) fn look_elsewhere(&self, seen: &mut Observed) {
        let wanted = seen.spec.cluster.as_ref();
        let wanted = wanted.map(|target| target.place(NS));
        let known = seen.status.mirror.as_ref().map(|known| known.place(NS));
        let left = known.filter(|known| wanted.as_ref() != Some(known));
        let sight = |place: Place| Sight {
            state: self.state_of(&place, &seen.key.name),
            place,
        };
        let (left, target) = (left.map(sight), wanted.map(sight));
        let is_known = |sight: &Sight| matches!(sight.state, State::Known(_));
        if target.as_ref().is_some_and(is_known) {
            let find = |name: &str| self.caches.rollouts.get(&Key::new(NS, name));
            seen.rollouts = followed::bound(&seen.key, &seen.spec, find);
        }
        (seen.mirror.left, seen.mirror.target) = (left, target);
    }

    fn state_of(&self, place: &Place, name: &str) -> State {
        if self.elsewhere.is_unknown {
            return State::Unknown;
        }
        if let Some(trouble) = self.elsewhere.trouble {
            return State::Away(trouble, "nobody answers".to_owned());
        }
        let found = self.elsewhere.live.get(name);
        let found = found.filter(|live| live.target.key.namespace == place.namespace);
        State::Known(found.cloned().map(Box::new))
    }

    /// The Environment that a Rollout follows: where that is in the other cluster, its mirror.
    pub(super) fn followed(&self, key: &Key) -> Option<Arc<Environment>> {
        let here = self.caches.environments.get(key)?;
        if here.spec.cluster.is_none() {
            return Some(here);
        }
        let live = self.elsewhere.live.get(&key.name)?;
        let mut mirror = Environment::new(&key.name, live.spec.clone());
        mirror.status = Some(live.status.clone());
        Some(Arc::new(mirror))
    }

    pub(super) fn mirror(&mut self, what: &Mirroring) {
        assert_eq!(self.elsewhere.trouble, None, "out of reach: {what:?}");
        self.elsewhere.writes += 1;
        match what {
            Mirroring::Make(manifest) => {
                let name = &manifest.key.name;
                assert!(!self.elsewhere.live.contains_key(name), "{name} is there");
                self.mirror_as(manifest);
            }
            Mirroring::Keep { target, change } => {
                let live = self.elsewhere.live.get_mut(&target.key.name).unwrap();
                assert_eq!(live.target, *target, "put right on an old version");
                let mut whole = json!({"spec": live.spec});
                json_patch::merge(&mut whole, change);
                if let Some((parent, field)) = self.elsewhere.lacks {
                    let parent = whole["spec"].pointer_mut(parent).unwrap();
                    parent.as_object_mut().unwrap().remove(field);
                }
                let spec: EnvironmentSpec = serde_json::from_value(whole["spec"].take()).unwrap();
                if spec == live.spec {
                    live.vain = Some(change.clone());
                    return;
                }
                live.spec = spec;
                live.vain = None;
                live.generation += 1;
                live.target.resource_version = self.elsewhere.writes.to_string();
            }
            Mirroring::Tell { target, status } => {
                let live = self.elsewhere.live.get_mut(&target.key.name).unwrap();
                assert_eq!(live.target, *target, "told on an old version");
                live.status = serde_json::from_value(status.clone()).unwrap();
                live.vain = None;
                live.target.resource_version = self.elsewhere.writes.to_string();
            }
            Mirroring::Remove(target) => {
                let gone = self.elsewhere.live.remove(&target.key.name).unwrap();
                assert_eq!(gone.target.uid, target.uid);
            }
        }
    }

    fn mirror_as(&mut self, manifest: &Manifest) {
        let name = manifest.key.name.clone();
        let known = self.elsewhere.live.remove(&name);
        let labels = &manifest.body["metadata"]["labels"];
        let live = Live {
            target: Target {
                kind: ObjectKind::Environment,
                key: manifest.key.clone(),
                uid: format!("there-{name}"),
                resource_version: self.elsewhere.writes.to_string(),
            },
            generation: known.as_ref().map_or(1, |known| known.generation + 1),
            of: labels[label::MIRROR_OF].as_str().map(str::to_owned),
            is_going: false,
            vain: None,
            spec: serde_json::from_value(manifest.body["spec"].clone()).unwrap(),
            status: known.map(|known| known.status).unwrap_or_default(),
        };
        self.elsewhere.live.insert(name, live);
    }
}
