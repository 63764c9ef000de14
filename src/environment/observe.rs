//! Reads the caches and makes an `Observed` of what it finds. Rules of SLOs, guards of migrations, Secrets of mirrors and namespaces
//! of previews may have to be asked for.

mod dossier;
pub mod migration;
mod mirror;
mod preview;
mod provider;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{Resource, ResourceExt};

use super::api::{ConditionKind, Environment, EnvironmentSpec};
use super::followed::bound;
use super::observed::{Act, Check, Clock, Good, Lock, Observed, Page, Record, Sets, Source};
use super::slo::Answers;
use super::{mirror as mirroring, render, set};
use crate::check;
use crate::cluster::Cluster;
use crate::cluster::caches::Caches;
use crate::controller::ReconcileError;
use crate::dora::record;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::workload::{Job, Pod};
use crate::pipeline::secret::Secrets;
use crate::promotion::api::{Promotion, PromotionPhase};
use crate::release::api::Release;
use crate::rollout::api::Rollout;

/// Reads everything a plan may need. A mirror is planned from elsewhere, so that nothing is asked for it.
pub async fn observe(
    environment: &Arc<Environment>,
    cluster: &Cluster,
) -> Result<Observed, ReconcileError> {
    let mut seen = cached(environment, &cluster.caches);
    if seen.is_mirror {
        return Ok(seen);
    }
    mirror::mirror(&mut seen, cluster).await?;
    seen.delivered = cluster.deliveries.of(&seen.key);
    seen.frozen = cluster.frozen();
    seen.runner.clone_from(&cluster.images().runner);
    seen.cluster_name = cluster.name().map(str::to_owned);
    seen.answers = cluster.asked.kept(ObjectKind::Environment, &seen.key);
    rule::rules(&mut seen, cluster).await?;
    provider::providers(&mut seen, cluster).await?;
    provider::write_back(&mut seen, cluster).await?;
    migration::guards(&mut seen, cluster).await?;
    if let Some(previews) = seen.spec.previews.as_ref().filter(|_| !seen.is_deleted) {
        seen.previews = Some(preview::previews(&seen.key, previews, cluster).await);
    }
    Ok(seen)
}

/// The part of it that is in the caches.
pub fn cached(environment: &Arc<Environment>, caches: &Caches) -> Observed {
    let key = Key::of(environment.as_ref());
    let uid = environment.uid().unwrap_or_default();
    let all = caches.promotions.children_of(ObjectKind::Environment, &key);
    let is_promotion = |record: &Record| !record.spec.kind.is_of_database();
    let records = records(&all, &uid).into_iter();
    let (promotions, migrations): (Vec<_>, Vec<_>) = records.partition(is_promotion);
    let spec = environment.spec.clone();
    let sources = spec.promotion.from.environments.iter();
    let sources = sources.map(|name| read_source(caches, &key, name));
    let sources: Vec<Source> = sources.collect();
    let (releases, alone) = releases(caches, environment, &sources, &promotions);
    let mut seen = Observed {
        owner: environment.controller_owner_ref(&()).unwrap_or_default(),
        generation: environment.metadata.generation.unwrap_or_default(),
        created_at: created_at(environment.as_ref()),
        is_deleted: environment.metadata.deletion_timestamp.is_some(),
        is_mirror: environment.labels().contains_key(label::MIRROR_OF),
        status: environment.status.clone().unwrap_or_default(),
        ledger: ledger(caches, &key, &uid),
        taken: all.iter().map(|promotion| promotion.name_any()).collect(),
        releases,
        sets: Sets::default(),
        decisions: decisions(caches, &key, promotions.iter().chain(&migrations)),
        rollouts: bound(&key, &spec, |name| here(caches, &key, &spec, name)),
        checks: checks(caches, &key),
        cluster_name: None,
        runner: None,
        answers: Answers::new(),
        delivered: Vec::new(),
        rules: None,
        providers: BTreeMap::new(),
        conditions: conditions(caches, &key, &spec),
        mirror: mirroring::Seen::default(),
        previews: None,
        dossier: None,
        write_back: Ok(None),
        frozen: None,
        lock: Lock {
            key: Key::default(),
            held: None,
        },
        secrets: Secrets::Known(BTreeMap::new()),
        sources,
        promotions,
        migrations,
        spec,
        key,
    };
    set::unite(&mut seen, &alone);
    seen.dossier = dossier::dossier(&seen, caches);
    seen
}

/// The records of an Environment, in their order. A namesake's, that are about to go with it, count for nothing but their names.
fn records(all: &[Arc<Promotion>], uid: &str) -> Vec<Record> {
    let ours = all
        .iter()
        .filter(|promotion| is_ours(promotion.as_ref(), uid));
    let mut records: Vec<Record> = ours.map(|promotion| read_promotion(promotion)).collect();
    records.sort_by_key(|record| {
        (
            record.spec.number,
            record.created_at,
            record.target.key.name.clone(),
        )
    });
    records
}

/// Conditions of the objects that gates ask for. What is about an old generation is left out.
fn conditions(
    caches: &Caches,
    of: &Key,
    spec: &EnvironmentSpec,
) -> BTreeMap<(ConditionKind, String), Vec<Condition>> {
    let named = spec.protection.gates.iter();
    let named = named.filter_map(|gate| gate.object.as_ref());
    let found = named.filter_map(|object| {
        let key = Key::new(of.namespace.clone(), object.name.clone());
        let conditions = match object.kind {
            ConditionKind::Environment => {
                let found = caches.environments.get(&key)?;
                let status = found.status.clone()?;
                is_about(status.observed_generation, found.as_ref()).then_some(status.conditions)?
            }
            ConditionKind::Pipeline => {
                let found = caches.pipelines.get(&key)?;
                let status = found.status.clone()?;
                is_about(status.observed_generation, found.as_ref()).then_some(status.conditions)?
            }
            ConditionKind::Rollout => {
                let found = caches.rollouts.get(&key)?;
                let status = found.status.clone()?;
                is_about(Some(status.observed_generation), found.as_ref())
                    .then_some(status.conditions)?
            }
        };
        Some(((object.kind, object.name.clone()), conditions))
    });
    found.collect()
}

fn is_about<K: ResourceExt>(generation: Option<i64>, object: &K) -> bool {
    generation.is_some() && generation == object.meta().generation
}

fn created_at<K: ResourceExt>(object: &K) -> Timestamp {
    let created = object.meta().creation_timestamp.as_ref();
    created.map_or(Timestamp::MIN, |created| created.0)
}

fn is_ours<K: ResourceExt>(record: &K, uid: &str) -> bool {
    let owners = record.owner_references().iter();
    let mut environments = owners.filter(|owner| owner.kind == ObjectKind::Environment.kind());
    environments.all(|owner| owner.uid == uid) && record.meta().deletion_timestamp.is_none()
}

/// The pages of the ledger. One that cannot be read is left alone.
fn ledger(caches: &Caches, key: &Key, uid: &str) -> Vec<Page> {
    let revisions = &caches.controller_revisions;
    let all = revisions.children_of(ObjectKind::Environment, key);
    let is_page = |revision: &&Arc<ControllerRevision>| {
        let component = revision.labels().get(label::COMPONENT);
        component.is_some_and(|component| component == render::LEDGER)
            && is_ours(revision.as_ref(), uid)
    };
    let pages = all.iter().filter(is_page).filter_map(|revision| {
        Some(Page {
            target: Target::of(ObjectKind::ControllerRevision, revision.as_ref()),
            lines: record::read(&revision.data.0)?,
        })
    });
    let mut pages: Vec<Page> = pages.collect();
    pages.sort_by(|one, other| one.target.key.cmp(&other.target.key));
    pages
}

fn read_promotion(promotion: &Promotion) -> Record {
    Record {
        target: Target::of(ObjectKind::Promotion, promotion),
        generation: promotion.metadata.generation.unwrap_or(1),
        created_at: created_at(promotion),
        spec: promotion.spec.clone(),
        status: promotion.status.clone().unwrap_or_default(),
    }
}

fn read_source(caches: &Caches, of: &Key, name: &str) -> Source {
    let key = Key::new(of.namespace.clone(), name);
    let found = caches.environments.get(&key);
    let promotions = caches.promotions.children_of(ObjectKind::Environment, &key);
    let sets = promotions.iter();
    let sets = sets.filter_map(|promotion| set::of_record(&promotion.spec));
    let covered = found.as_ref().map(|environment| covered(environment));
    let good = found.map(|environment| {
        let status = environment.status.clone().unwrap_or_default();
        // Without a status its holds are not known, and nothing that may be held is good.
        if status
            .observed_generation
            .is_none_or(|generation| generation < 0)
        {
            return Good::default();
        }
        let held: BTreeMap<String, String> = status
            .holds
            .into_iter()
            .filter_map(|hold| Some((hold.release?, hold.reason)))
            .collect();
        let has_succeeded = |promotion: &&Arc<Promotion>| {
            let phase = promotion.status.as_ref().and_then(|status| status.phase);
            phase == Some(PromotionPhase::Succeeded)
        };
        let succeeded = promotions.iter().filter(has_succeeded);
        let mut succeeded: BTreeSet<String> = succeeded
            .map(|promotion| promotion.spec.release.clone())
            .collect();
        succeeded.retain(|release| !held.contains_key(release));
        let health = status.current.iter().map(|deployed| {
            let before = deployed.healthy_seconds.unwrap_or(0);
            let clock = Clock {
                since: deployed.healthy_since.as_ref().map(|since| since.0),
                before: SignedDuration::from_secs(i64::try_from(before).unwrap_or(i64::MAX)),
            };
            (deployed.release.clone(), clock)
        });
        let health = health.collect();
        let current = status.current.into_iter().map(|deployed| deployed.release);
        Good {
            current: current
                .filter(|release| succeeded.contains(release))
                .collect(),
            succeeded,
            health,
            held,
        }
    });
    Source {
        name: name.to_owned(),
        good,
        sets: sets.collect(),
        covered: covered.unwrap_or_default(),
    }
}

/// Pipelines whose Releases come to an Environment in sets, or run there in one.
fn covered(environment: &Environment) -> BTreeSet<String> {
    let rule = environment.spec.promotion.set.iter();
    let named = rule.flat_map(|rule| rule.pipelines.iter());
    let status = environment.status.iter();
    let run = status.flat_map(|status| status.current.iter().chain(&status.desired));
    // Where sets are not made any more, what has gone alone since is in none.
    let (in_set, alone): (Vec<_>, Vec<_>) = run.partition(|run| !run.members.is_empty());
    let alone: BTreeSet<&String> = alone.into_iter().map(|run| &run.pipeline).collect();
    let members = in_set.into_iter().flat_map(|run| &run.members);
    let run = members.map(|member| &member.pipeline);
    let run = run.filter(|pipeline| !alone.contains(pipeline));
    named.chain(run).cloned().collect()
}

/// Releases of the Pipelines that it takes from: those that it names, or those that the Environments
/// before it run; and those of sets on record. And which of the Pipelines may bring Releases alone.
fn releases(
    caches: &Caches,
    environment: &Environment,
    sources: &[Source],
    promotions: &[Record],
) -> (Vec<Arc<Release>>, BTreeSet<String>) {
    let namespace = environment.namespace().unwrap_or_default();
    let of = |name: &str| Key::new(namespace.clone(), name);
    let good = sources.iter().filter_map(|source| source.good.as_ref());
    let running = good.flat_map(|good| good.succeeded.iter().chain(good.held.keys()));
    let behind = running.filter_map(|release| {
        let release = caches.releases.get(&of(release))?;
        Some(release.spec.pipeline.clone())
    });
    let named = environment.spec.promotion.from.pipelines.iter().cloned();
    // A set is no object: its members are, as its records name them.
    let known = sources.iter().flat_map(|source| source.sets.values());
    let known = known.flat_map(|set| &set.members);
    let own = promotions.iter().flat_map(|record| &record.spec.members);
    let members = known.chain(own).map(|member| member.pipeline.clone());
    let alone: BTreeSet<String> = named.chain(behind).collect();
    let pipelines: BTreeSet<String> = alone.iter().cloned().chain(members).collect();
    let releases = pipelines.iter().flat_map(|pipeline| {
        caches
            .releases
            .children_of(ObjectKind::Pipeline, &of(pipeline))
    });
    // The label is how they are found; what they say themselves is what counts. A library, which has no images, is nothing
    // that Rollouts could run.
    let releases = releases
        .filter(|release| pipelines.contains(&release.spec.pipeline))
        .filter(|release| !release.spec.images.is_empty());
    (releases.collect(), alone)
}

fn decisions<'a>(
    caches: &Caches,
    key: &Key,
    records: impl Iterator<Item = &'a Record>,
) -> Vec<Act> {
    let own = caches.decisions.children_of(ObjectKind::Environment, key);
    let theirs = records.flat_map(|record| {
        caches
            .decisions
            .children_of(ObjectKind::Promotion, &record.target.key)
    });
    let all: Vec<_> = own.into_iter().chain(theirs).collect();
    Act::read_all(all.iter().map(AsRef::as_ref))
}

/// The Rollout of that name, where those of the Environment are in this cluster.
fn here(caches: &Caches, of: &Key, spec: &EnvironmentSpec, name: &str) -> Option<Arc<Rollout>> {
    let key = Key::new(of.namespace.clone(), name);
    caches.rollouts.get(&key).filter(|_| spec.cluster.is_none())
}

fn checks(caches: &Caches, key: &Key) -> BTreeMap<String, Check> {
    let jobs = caches.jobs.children_of(ObjectKind::Environment, key);
    if jobs.is_empty() {
        return BTreeMap::new();
    }
    let pods = caches.pods.children_of(ObjectKind::Environment, key);
    jobs.iter()
        .map(|job| (job.metadata.name().to_owned(), read_job(job, &pods)))
        .collect()
}

fn read_job(job: &Job, pods: &[Arc<Pod>]) -> Check {
    let owners = job.metadata.owners.iter();
    let mut promotions = owners.filter(|owner| owner.kind == ObjectKind::Promotion.kind());
    let pods = || pods.iter().map(AsRef::as_ref);
    Check {
        target: Target::of(ObjectKind::Job, job),
        is_suspended: job.spec.as_ref().and_then(|spec| spec.suspend) == Some(true),
        finished_at: check::finished_at(job),
        ending: check::ending(job, pods()),
        promotion: promotions
            .next()
            .map(|owner| owner.uid.to_owned())
            .unwrap_or_default(),
        outcome: check::outcome(job, pods()),
    }
}
