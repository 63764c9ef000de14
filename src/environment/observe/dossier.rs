//! What quality reports are read off, while a gate asks for them. Reads the caches.

use std::collections::BTreeMap;

use kube::ResourceExt;

use super::super::observed::{Dossier, Observed, Record};
use crate::cluster::caches::Caches;
use crate::model::key::Key;
use crate::promotion::api::{Promotion, PromotionPhase};
use crate::release::api::Release;
use crate::release::report::TREND;

/// The records of what waits; nothing where nothing does, or no gate asks for them.
pub(super) fn dossier(seen: &Observed, caches: &Caches) -> Option<Dossier> {
    let mut gates = seen.spec.protection.gates.iter();
    if !gates.any(|gate| gate.evidence == Some(true)) {
        return None;
    }
    let is_open = |record: &&Record| !record.status.phase.is_some_and(PromotionPhase::is_finished);
    let open = seen.promotions.iter().filter(is_open);
    let waiting: Vec<String> = open.flat_map(names).collect();
    if waiting.is_empty() {
        return None;
    }
    let namespace = &seen.key.namespace;
    let key = |name: &str| Key::new(namespace.clone(), name);
    let mut releases: BTreeMap<String, Release> = BTreeMap::new();
    for name in &waiting {
        let mut at = Some(name.clone());
        for _ in 0..TREND {
            let found = at.take().and_then(|name| caches.releases.get(&key(&name)));
            let Some(found) = found else { break };
            at.clone_from(&found.spec.previous);
            releases.insert(found.name_any(), found.as_ref().clone());
        }
    }
    let runs = waiting.iter().filter_map(|name| {
        let run = &releases.get(name)?.spec.evidence.run;
        Some(caches.pipeline_runs.get(&key(run))?.as_ref().clone())
    });
    let runs = runs.collect();
    let own = |key: &Key| key.namespace == *namespace;
    let is_of_them = |promotion: &Promotion| {
        let spec = &promotion.spec;
        let mut members = spec.members.iter();
        waiting.contains(&spec.release) || members.any(|member| waiting.contains(&member.release))
    };
    let promotions = caches.promotions.keys().into_iter().filter(own);
    let promotions = promotions.filter_map(|key| caches.promotions.get(&key));
    let promotions = promotions.filter(|promotion| is_of_them(promotion));
    let environments = caches.environments.keys().into_iter().filter(own);
    let environments = environments.filter_map(|key| {
        let mut environment = caches.environments.get(&key)?.as_ref().clone();
        environment.status = None;
        Some(environment)
    });
    Some(Dossier {
        promotions: promotions.map(|one| one.as_ref().clone()).collect(),
        environments: environments.collect(),
        releases: releases.into_values().collect(),
        runs,
    })
}

/// The Releases that a Promotion brings.
fn names(record: &Record) -> Vec<String> {
    let members = &record.spec.members;
    if members.is_empty() {
        return vec![record.spec.release.clone()];
    }
    members.iter().map(|one| one.release.clone()).collect()
}
