//! Another cluster: the mirrors in it, and whether it answers.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;

use super::super::api::Environment;
use super::super::followed;
use super::super::mirror::{Live, Sight, State, Trouble};
use super::super::observed::Observed;
use super::{NS, World};
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
    /// What was done to mirrors.
    pub(crate) writes: usize,
}

impl World {
    /// What the shell adds to what an Environment sees.
    pub(super) fn look_elsewhere(&self, seen: &mut Observed) {
        let wanted = seen.spec.cluster.as_ref();
        let wanted = wanted.map(|target| target.place(NS));
        let known = seen.status.mirror.as_ref().map(|known| known.place(NS));
        let left = known.filter(|known| wanted.as_ref() != Some(known));
        let sight = |place: Place| Sight {
            place,
            state: self.state_of(&seen.key.name),
        };
        let (left, target) = (left.map(sight), wanted.map(sight));
        let is_known = |sight: &Sight| matches!(sight.state, State::Known(_));
        if target.as_ref().is_some_and(is_known) {
            let find = |name: &str| self.caches.rollouts.get(&Key::new(NS, name));
            seen.rollouts = followed::bound(&seen.key, &seen.spec, find);
        }
        (seen.mirror.left, seen.mirror.target) = (left, target);
    }

    fn state_of(&self, name: &str) -> State {
        if self.elsewhere.is_unknown {
            return State::Unknown;
        }
        match self.elsewhere.trouble {
            Some(trouble) => State::Away(trouble, "nobody answers".to_owned()),
            None => State::Known(self.elsewhere.live.get(name).cloned().map(Box::new)),
        }
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
                live.spec = serde_json::from_value(whole["spec"].take()).unwrap();
                live.generation += 1;
                live.target.resource_version = self.elsewhere.writes.to_string();
            }
            Mirroring::Tell { target, status } => {
                let live = self.elsewhere.live.get_mut(&target.key.name).unwrap();
                assert_eq!(live.target, *target, "told on an old version");
                live.status = serde_json::from_value(status.clone()).unwrap();
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
            spec: serde_json::from_value(manifest.body["spec"].clone()).unwrap(),
            status: known.map(|known| known.status).unwrap_or_default(),
        };
        self.elsewhere.live.insert(name, live);
    }
}
