//! Who calls: the API server says whose token it is, the caches say what that pod is. Talks to the API server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::{Resource, ResourceExt};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;
use tracing::warn;

use super::{Refusal, TOKEN_HEADER};
use crate::archive::{About, RunId};
use crate::cluster::Cluster;
use crate::cluster::review::Account;
use crate::error::chain;
use crate::model::key::Key;
use crate::model::label;
use crate::model::meta::{Meta, Owner};
use crate::model::workload::Pod;

/// How long it is believed what the API server said of a token that it knows.
const KNOWN_FOR: Duration = Duration::from_mins(1);
/// How long it is believed that it does not know one. An API server may say so that has just begun, and whoever is refused for
/// good has what it may do only once: so that is believed for less long than a stage asks for its claim, which is half a minute.
const REFUSED_FOR: Duration = Duration::from_secs(5);
/// Longest token that is asked about.
const MAX_TOKEN: usize = 16 << 10;
/// Tokens that are remembered.
const MANY: usize = 4096;
/// Questions to the API server at the same time, so that whoever has no token cannot make it ask at will.
const AT_ONCE: usize = 8;

/// The pod of a stage.
#[derive(Clone, Debug)]
pub(super) struct StagePod {
    /// Its run.
    pub(super) run: RunId,
    /// The reference of what belongs to the run.
    pub(super) owner: OwnerReference,
    /// Name of its Job.
    pub(super) job: String,
    /// Its uid.
    pub(super) uid: String,
    /// What its log is about.
    pub(super) about: About,
}

/// Pods that have called, by their uid. The Job of a stage that is stopped goes before its pod, which then has its last words
/// to say.
#[derive(Clone, Debug, Default)]
pub(super) struct Callers(Arc<Mutex<HashMap<String, StagePod>>>);

impl Callers {
    /// What pod of what run it is.
    pub(super) fn find(&self, cluster: &Cluster, account: &Account) -> Result<StagePod, Refusal> {
        let found = stage_pod(cluster, account);
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match found {
            Ok(pod) => {
                if known.len() >= MANY {
                    known.retain(|_, pod| is_there(cluster, pod));
                }
                if known.len() < MANY {
                    known.insert(pod.uid.clone(), pod.clone());
                }
                Ok(pod)
            }
            Err(refusal @ Refusal::Later(_)) => {
                let uid = account.pod.as_ref().map(|(_, uid)| uid);
                uid.and_then(|uid| known.get(uid)).cloned().ok_or(refusal)
            }
            Err(refusal) => Err(refusal),
        }
    }
}

fn is_there(cluster: &Cluster, pod: &StagePod) -> bool {
    let key = Key::new(pod.run.namespace.clone(), pod.about.pod.clone());
    cluster.caches.pods.get(&key).is_some()
}

type Answers = HashMap<[u8; 32], (Instant, Option<Account>)>;

/// Tokens that were asked about lately; of each only a hash is kept.
#[derive(Clone, Debug)]
pub(super) struct Identities {
    known: Arc<Mutex<Answers>>,
    free: Arc<Semaphore>,
}

impl Default for Identities {
    fn default() -> Self {
        Self {
            known: Arc::default(),
            free: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Identities {
    /// Whose token it is.
    pub(super) async fn account(
        &self,
        cluster: &Cluster,
        headers: &HeaderMap,
        audience: &str,
    ) -> Result<Account, Refusal> {
        let token = token_of(headers).ok_or(Refusal::Unknown)?;
        let hash: [u8; 32] = Sha256::new()
            .chain_update(audience)
            .chain_update([0])
            .chain_update(token)
            .finalize()
            .into();
        if let Some((at, known)) = self.known().get(&hash)
            && at.elapsed() < lasts(known.as_ref())
        {
            return known.clone().ok_or(Refusal::Unknown);
        }
        let Ok(_free) = self.free.try_acquire() else {
            return Err(Refusal::Later("too many new callers at once"));
        };
        let answer = cluster.review(token, audience).await.map_err(|error| {
            warn!(error = chain(&*error), "a token cannot be checked");
            Refusal::Later("the token cannot be checked now; the operator's log says why")
        })?;
        let mut known = self.known();
        if known.len() >= MANY {
            known.retain(|_, (at, answer)| at.elapsed() < lasts(answer.as_ref()));
        }
        if known.len() < MANY {
            known.insert(hash, (Instant::now(), answer.clone()));
        }
        answer.ok_or(Refusal::Unknown)
    }

    fn known(&self) -> MutexGuard<'_, Answers> {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long an answer of the API server is believed.
const fn lasts(answer: Option<&Account>) -> Duration {
    match answer {
        Some(_) => KNOWN_FOR,
        None => REFUSED_FOR,
    }
}

fn token_of(headers: &HeaderMap) -> Option<&str> {
    let text = |name| headers.get(name).map(HeaderValue::to_str)?.ok();
    let bearer =
        text(header::AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let token = text(TOKEN_HEADER).or(bearer)?.trim();
    (!token.is_empty() && token.len() <= MAX_TOKEN).then_some(token)
}

/// What pod of what run it is. Its labels say so, and its owners up to the run prove it: each by its uid, so that
/// nothing that somebody made under the same name counts.
fn stage_pod(cluster: &Cluster, account: &Account) -> Result<StagePod, Refusal> {
    let (name, uid) = account.pod.as_ref().ok_or(Refusal::Unknown)?;
    let caches = &cluster.caches;
    let key = |name: &str| Key::new(account.namespace.clone(), name);
    // A pod is as old as its first call: the watch may not have told of it yet.
    let unseen = || Refusal::Later("this pod is not known yet; try again");
    let pod = caches.pods.get(&key(name)).ok_or_else(unseen)?;
    if *pod.metadata.uid != **uid {
        return Err(unseen());
    }
    let job_name = controller(&pod.metadata, "Job").ok_or(Refusal::Unknown)?;
    let job = caches.jobs.get(&key(job_name.name)).ok_or_else(unseen)?;
    if *job.metadata.uid != *job_name.uid {
        return Err(unseen());
    }
    let run_name = controller(&job.metadata, "PipelineRun").ok_or(Refusal::Unknown)?;
    let run = caches
        .pipeline_runs
        .get(&key(run_name.name))
        .filter(|run| run.uid().as_deref() == Some(run_name.uid))
        .ok_or(Refusal::Unknown)?;
    Ok(StagePod {
        run: RunId {
            namespace: account.namespace.clone(),
            name: run_name.name.to_owned(),
            uid: run_name.uid.to_owned(),
        },
        owner: run.controller_owner_ref(&()).unwrap_or_default(),
        job: job_name.name.to_owned(),
        uid: uid.clone(),
        about: about(&pod).ok_or(Refusal::Unknown)?,
    })
}

fn about(pod: &Pod) -> Option<About> {
    let Meta {
        labels,
        creation_timestamp,
        ..
    } = &pod.metadata;
    Some(About {
        pod: pod.metadata.name().to_owned(),
        stage: labels.get(label::STAGE)?.to_owned(),
        cell: labels.get(label::CELL).map(str::to_owned),
        attempt: labels
            .get(label::ATTEMPT)
            .and_then(|attempt| attempt.parse().ok())
            .unwrap_or(1),
        started_at: creation_timestamp.as_ref()?.0,
        is_complete: false,
    })
}

fn controller<'m>(object: &'m Meta, kind: &str) -> Option<Owner<'m>> {
    object.controller().filter(|owner| owner.kind == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runner::claim::ASKS_FOR;

    #[test]
    fn a_stage_asks_for_its_claim_for_longer_than_its_token_is_refused_unasked() {
        assert!(lasts(None) * 2 < ASKS_FOR);
        let account = Account {
            namespace: "shop".into(),
            pod: None,
        };
        assert!(lasts(Some(&account)) > lasts(None));
    }
}
