//! Asks registries what still needs what a run has left there, and deletes the rest; `pipeline_run::leftover` decides what that is.
//! Talks to the network, and to the API server for the login.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;

use crate::cluster::Cluster;
use crate::cluster::cache::Cache;
use crate::model::action::Reply;
use crate::model::key::Key;
use crate::model::label;
use crate::model::leftover::LeftoverQuestion;
use crate::model::meta::Identified;
use crate::model::secret::SecretKey;
use crate::oci::client::Registry;
use crate::oci::manifest::{ArtifactManifest, Descriptor, is_single, listed};
use crate::oci::{Problem, RegistryError};
use crate::pipeline::api::PipelineSpec;
use crate::pipeline_run::api::PipelineRun;
use crate::pipeline_run::leftover::{self, Cleared, Left, Named, Place, Refusal, There};
use crate::pipeline_run::render::SNAPSHOT;

/// Tags of a repository that are looked at; where there are more, nothing is deleted.
const MAX_TAGS: usize = 1000;
/// Manifests that are looked at, for what they list.
const MAX_MANIFESTS: usize = 5000;
/// Questions to a registry at the same time.
const AT_ONCE: usize = 16;
/// How long it may take to look at one repository.
const LOOK: Duration = Duration::from_secs(45);

impl Cluster {
    /// Has go what a run has left, and tells what became of it.
    pub(super) async fn leftovers(&self, question: &LeftoverQuestion) -> Result<Reply, String> {
        let mut cleared = Cleared::default();
        if let Some((run, spec)) = self.run_and_spec(question) {
            for left in leftover::left(&run, &spec) {
                let mut places = left.places.iter();
                let is_spared = places.any(|place| {
                    let mut spared = question.spared.iter();
                    spared.any(|registry| registry == place.registry())
                });
                if is_spared || !self.is_tagged_there(&left) {
                    continue;
                }
                if let Err(refusal) = self.clear(&question.run, &left, &mut cleared).await {
                    cleared.kept.push(refusal);
                }
            }
        }
        Ok(cleared.reply())
    }

    /// The run, and what it followed.
    fn run_and_spec(
        &self,
        question: &LeftoverQuestion,
    ) -> Option<(Arc<PipelineRun>, PipelineSpec)> {
        let run = self.caches.pipeline_runs.get(&question.run)?;
        let name = run.status.as_ref()?.revision.as_ref()?;
        let key = Key::new(question.run.namespace.clone(), name);
        let revision = self.caches.controller_revisions.get(&key)?;
        let spec = spec_of(&revision)?;
        (run.uid().as_ref() == Some(&question.uid)).then_some((run, spec))
    }

    /// Whether every Pipeline that pushes to one of the places, as it is and as its runs follow it, tags there what it releases.
    fn is_tagged_there(&self, left: &Left) -> bool {
        let is_tagged = |spec: &PipelineSpec| {
            let mut places = left.places.iter();
            places.all(|place| leftover::is_tagged_there(spec, &place.repository))
        };
        let is_about = |revision: &ControllerRevision| {
            let component = revision.labels().get(label::COMPONENT);
            let mut places = left.places.iter();
            component.is_some_and(|component| component == SNAPSHOT)
                && places.any(|place| leftover::mentions(&revision.data.0, &place.repository))
        };
        all(&self.caches.pipelines).all(|pipeline| is_tagged(&pipeline.spec))
            && all(&self.caches.controller_revisions)
                .filter(|revision| is_about(revision))
                .all(|revision| spec_of(&revision).is_some_and(|spec| is_tagged(&spec)))
    }

    /// What objects name, but for the run.
    fn named(&self, run: &Key) -> Named {
        let caches = &self.caches;
        let mut named = Named::default();
        let others = all(&caches.pipeline_runs);
        others
            .filter(|other| Key::of(other.as_ref()) != *run)
            .for_each(|other| named.add_run(&other));
        all(&caches.releases).for_each(|release| named.add_release(&release));
        all(&caches.promotions).for_each(|promotion| named.add_promotion(&promotion));
        all(&caches.environments).for_each(|environment| named.add_object(environment.as_ref()));
        all(&caches.rollouts).for_each(|rollout| named.add_object(rollout.as_ref()));
        all(&caches.pipelines).for_each(|pipeline| named.add_object(pipeline.as_ref()));
        for set in all(&caches.replica_sets) {
            let template = set.spec.template.spec.iter();
            let containers = template.flat_map(|spec| &spec.containers);
            let images = containers.filter_map(|container| container.image.as_ref());
            images.for_each(|image| named.add_text(image));
        }
        named
    }

    /// Has go what one stage of a run has left.
    async fn clear(&self, run: &Key, left: &Left, cleared: &mut Cleared) -> Result<(), Refusal> {
        let named = self.named(run);
        // Most of what stays is known here, and then no registry has to be asked.
        let may_go = leftover::going(left, &named, &[There::default()]);
        if may_go.iter().all(Vec::is_empty) {
            return Ok(());
        }
        let (mut rooms, mut there) = (Vec::new(), Vec::new());
        for place in &left.places {
            let entered = self.enter(&run.namespace, place).await;
            let registry = entered.map_err(|message| Refusal::refused(place, message))?;
            let look = tokio::time::timeout(LOOK, look(&registry, left, &named)).await;
            let late = || format!("it has not told within {} s", LOOK.as_secs());
            let seen = look.unwrap_or_else(|_| Err(late()));
            there.push(seen.map_err(|message| Refusal::unclear(place, message))?);
            cleared.told.insert(place.registry().to_owned());
            rooms.push((place, registry));
        }
        let going = leftover::going(left, &named, &there);
        for ((place, registry), digests) in rooms.iter().zip(&going) {
            for digest in digests {
                let free = self
                    .is_free(run, left, (registry, digests.as_slice()))
                    .await;
                if !free.map_err(|error| Refusal::unclear(place, error.message))? {
                    return Ok(());
                }
                let deleted = delete(registry, digest).await;
                if deleted.map_err(|error| of_deletion(place, error))? {
                    cleared.deleted.insert(place.registry().to_owned());
                }
            }
        }
        Ok(())
    }

    /// A repository, with the login that the build had.
    async fn enter(&self, namespace: &str, place: &Place) -> Result<Registry, String> {
        if let Some(name) = &place.login
            && !self.reads_stage_secrets()
        {
            return Err(format!(
                "the login is in Secret {name}, and this operator may not read Secrets for Pipelines; set \
                 stages.secrets.enabled: true in the values of its chart"
            ));
        }
        let login = place.login.as_ref();
        let login = login.map(|name| (namespace.to_owned(), SecretKey::registry_login(name)));
        let name = (place.repository.as_str(), place.is_insecure);
        self.registry(name, login.as_ref()).await
    }

    /// Whether still nothing needs it: a run of the same commit may have come to its tags meanwhile, here or elsewhere.
    async fn is_free(
        &self,
        run: &Key,
        left: &Left,
        (registry, going): (&Registry, &[String]),
    ) -> Result<bool, RegistryError> {
        for tag in &left.tags {
            if let Some(digest) = registry.digest(tag).await?
                && going.contains(&digest)
            {
                return Ok(false);
            }
        }
        Ok(!self.named(run).needs(&left.sha, going.iter()))
    }
}

/// All objects of a cache.
fn all<K: Identified + Clone>(cache: &Cache<K>) -> impl Iterator<Item = Arc<K>> {
    let keys = cache.keys().into_iter();
    keys.filter_map(|key| cache.get(&key))
}

fn spec_of(revision: &ControllerRevision) -> Option<PipelineSpec> {
    serde_json::from_value(revision.data.0.clone()).ok()
}

/// Deletes what a digest names. Tells whether there was anything.
async fn delete(registry: &Registry, digest: &str) -> Result<bool, RegistryError> {
    if registry.delete(digest).await? {
        return Ok(true);
    }
    // That nothing is there says a registry too that does not know what deleting is.
    if registry.named(digest).await?.is_none() {
        return Ok(false);
    }
    let name = registry.repository().name();
    let message = format!("{name} has {digest}, and does not find it to delete it");
    Err(RegistryError::new(Problem::Protocol, message))
}

/// Why a deletion has failed: a registry that is down has refused nothing.
fn of_deletion(place: &Place, error: RegistryError) -> Refusal {
    if error.is_transient() {
        return Refusal::unclear(place, error.message);
    }
    Refusal::refused(place, error.message)
}

/// Looks at a repository: what tags name there, and what the run has left.
async fn look(registry: &Registry, left: &Left, named: &Named) -> Result<There, String> {
    let tags = registry.all_tags(MAX_TAGS).await.map_err(said)?;
    let tags = tags.ok_or_else(|| too_many(registry, &format!("{MAX_TAGS} tags")))?;
    let (lists, mut tags): (BTreeSet<String>, BTreeSet<String>) =
        tags.into_iter().partition(|tag| leftover::is_list(tag));
    tags.retain(|tag| !left.is_of_build(tag));
    // Not every registry lets everybody list them.
    tags.extend(left.tags.iter().cloned());
    let mut open = behind(registry, &tags.into_iter().collect::<Vec<_>>()).await?;
    // What is released is tagged, unless somebody has taken the tag away.
    open.extend(named.released_in(left).map(|digest| Descriptor {
        digest: digest.clone(),
        ..Descriptor::default()
    }));
    let mut there = There {
        needed: with_parts(registry, open).await?,
        ..There::default()
    };
    let mut own = left.digests.clone();
    for digest in &left.digests {
        let found = registry.manifest(digest).await.map_err(said)?;
        let parts = found.map(|found| listed(&found.bytes)).unwrap_or_default();
        let parts: BTreeSet<String> = parts.into_iter().map(|part| part.digest).collect();
        if !parts.is_empty() {
            own.extend(parts.iter().cloned());
            there.parts.insert(digest.clone(), parts);
        }
    }
    for digest in own {
        let about = about(registry, &digest, &lists).await.map_err(said)?;
        there.about.insert(digest, about);
    }
    Ok(there)
}

/// What these tags name.
async fn behind(registry: &Registry, tags: &[String]) -> Result<Vec<Descriptor>, String> {
    let mut found = Vec::new();
    for some in tags.chunks(AT_ONCE) {
        let names = some.iter().map(|tag| registry.named(tag));
        for name in join_all(names).await {
            found.extend(name.map_err(said)?);
        }
    }
    Ok(found)
}

/// These digests, and all that they list.
async fn with_parts(
    registry: &Registry,
    mut open: Vec<Descriptor>,
) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    while !open.is_empty() {
        let rest = open.split_off(open.len().min(AT_ONCE));
        let mut some = std::mem::replace(&mut open, rest);
        some.retain(|one| found.insert(one.digest.clone()) && !is_single(&one.media_type));
        let manifests = some.iter().map(|one| registry.manifest(&one.digest));
        for manifest in join_all(manifests).await {
            let manifest = manifest.map_err(said)?;
            open.extend(manifest.into_iter().flat_map(|one| listed(&one.bytes)));
        }
        if found.len() > MAX_MANIFESTS {
            return Err(too_many(registry, &format!("{MAX_MANIFESTS} manifests")));
        }
    }
    Ok(found)
}

/// What is said about a digest: what refers to it, and is no use of anything else, and the lists of that.
async fn about(
    registry: &Registry,
    digest: &str,
    lists: &BTreeSet<String>,
) -> Result<BTreeSet<String>, RegistryError> {
    let mut about = BTreeSet::new();
    for one in registry.referrers(digest).await? {
        // A list is made by whoever pushes, and may name anything.
        let found = registry.manifest(&one.digest).await?;
        let found = found.and_then(|found| serde_json::from_slice(&found.bytes).ok());
        let found: Option<ArtifactManifest> = found;
        let subject = found.and_then(|found| found.subject);
        if subject.is_some_and(|subject| subject.digest == digest) {
            about.insert(one.digest);
        }
    }
    for tag in leftover::lists_of(digest) {
        if lists.contains(&tag) {
            about.extend(registry.digest(&tag).await?);
        }
    }
    Ok(about)
}

fn said(error: RegistryError) -> String {
    error.message
}

fn too_many(registry: &Registry, what: &str) -> String {
    let name = registry.repository().name();
    format!(
        "{name} has more than {what}, and no more are looked at; have the registry clear up by a rule of its own"
    )
}
