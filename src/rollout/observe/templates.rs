//! Templates that are kept, and which of them is worn.

use std::sync::Arc;

use super::super::api::{ReleaseSource, Rollout};
use super::super::observed::Wanted;
use super::super::spec::{Around, Images, Invalid, Spec};
use super::super::template::{Kept, Offer};
use super::wanted::invalid;
use crate::cluster::Cluster;
use crate::environment::api::Environment;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;

/// The templates of a Rollout that are kept.
pub(super) fn kept(cluster: &Cluster, rollout: &Key) -> Vec<Kept> {
    let revisions = &cluster.caches.controller_revisions;
    let found = revisions.children_of(ObjectKind::Rollout, rollout);
    let read = found.iter().filter_map(|revision| {
        Some(Kept {
            target: Target::of(ObjectKind::ControllerRevision, revision.as_ref()),
            number: revision.revision.unwrap_or(0),
            offer: Offer::read(&revision.data.0)?,
        })
    });
    read.collect()
}

/// Ids of the templates of a Rollout that Promotions of its Environment have on record.
pub(super) fn recorded(rollout: &Rollout, cluster: &Cluster) -> Vec<String> {
    let Some(source) = &rollout.spec.release else {
        return Vec::new();
    };
    let key = Key::of(rollout);
    let environment = Key::new(key.namespace, source.environment.name.clone());
    let promotions = &cluster.caches.promotions;
    let found = promotions.children_of(ObjectKind::Environment, &environment);
    let of_all = found.iter().flat_map(|promotion| &promotion.spec.templates);
    let own = of_all.filter(|template| template.name == key.name);
    let mut ids: Vec<String> = own.map(|template| template.id.clone()).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// The template in the spec, where an Environment decides when that is worn. Where the Environment is gone it is as it was: kept
/// templates tell that one decided.
pub(super) fn offer(
    rollout: &Rollout,
    source: &ReleaseSource,
    (around, environment, kept): (&Around, Option<&Environment>, &[Kept]),
) -> Option<Offer> {
    let is_gated = environment.map_or(!kept.is_empty(), |environment| {
        environment.spec.gates_templates()
    });
    if !is_gated {
        return None;
    }
    // Which images are brought does not matter: a template is kept without them.
    let brought = source.images.keys();
    let images: Images = brought
        .map(|container| (container.clone(), "brought".to_owned()))
        .collect();
    let (spec, problems) = Spec::read_with(&rollout.spec, &images, around);
    problems.is_empty().then(|| spec.offer(&images))
}

/// Who puts the template on that is to be worn.
pub(super) struct Dresser<'a> {
    pub(super) rollout: &'a Rollout,
    pub(super) images: &'a Images,
    /// Images of what it was last asked for.
    pub(super) last: Option<&'a Images>,
    pub(super) templates: &'a [Kept],
    pub(super) offer: Option<&'a Offer>,
}

impl Dresser<'_> {
    /// What is wanted with the template of this id, and what waits because of that. Without an id it is the template in the spec.
    pub(super) fn dress(&self, wanted: Wanted, worn: Option<&str>) -> (Wanted, Option<String>) {
        let (Wanted::Spec(spec), Some(offer)) = (&wanted, self.offer) else {
            return (wanted, None);
        };
        let spec = Spec::clone(spec);
        let Some(id) = worn.filter(|id| *id != offer.id) else {
            let worn = Some(offer.id.clone());
            return (Wanted::Spec(Arc::new(Spec { worn, ..spec })), None);
        };
        let kept = self.templates.iter().find(|kept| kept.offer.id == id);
        let Some(kept) = kept else {
            let problem = Invalid::new(
                "spec.template",
                format!(
                    "the template {id}, which its Environment has taken in, is not kept any more, and the one in the spec has \
                     not been taken in yet; have it promoted"
                ),
            );
            return (invalid(vec![problem], spec, self.rollout), None);
        };
        let none = Images::new();
        let last = self.last.unwrap_or(&none);
        match spec.clone().wearing(&kept.offer, self.images, last) {
            Ok(spec) => {
                let waits = format!(
                    "the template in the spec ({}) is not worn yet: its Environment takes it in with its next Promotion",
                    offer.id
                );
                (Wanted::Spec(Arc::new(spec)), Some(waits))
            }
            Err(problem) => (invalid(vec![problem], spec, self.rollout), None),
        }
    }
}
