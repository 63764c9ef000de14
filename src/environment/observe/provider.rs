//! The providers that are asked what is said of commits, and the repository that what runs is written back to. Talks to the API
//! server where a repository has certificates of its own.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::environment::observed::{Observed, Record};
use crate::model::key::Key;
use crate::pipeline::observe::authorities;
use crate::pipeline::observed::Authorities;
use crate::promotion::api::PromotionPhase;
use crate::provider::Provider;

/// Adds the providers of the Pipelines whose Releases matter, while a promotion waits and a gate asks them.
pub(super) async fn providers(
    seen: &mut Observed,
    cluster: &Cluster,
) -> Result<(), ReconcileError> {
    let gates = &seen.spec.protection.gates;
    let asks = gates.iter().any(|gate| gate.commit_status.is_some());
    let is_open = |record: &Record| {
        let phase = record.status.phase;
        !phase.is_some_and(PromotionPhase::is_finished)
    };
    let mut records = seen.promotions.iter().chain(&seen.migrations);
    if !asks || !records.any(is_open) {
        return Ok(());
    }
    let all = seen.releases.iter().chain(&seen.sets.members);
    let names: BTreeSet<String> = all.map(|release| release.spec.pipeline.clone()).collect();
    let namespace = seen.key.namespace.clone();
    for name in names {
        let key = Key::new(namespace.clone(), name.as_str());
        let Some(pipeline) = cluster.caches.pipelines.get(&key) else {
            continue;
        };
        let git = &pipeline.spec.source.git;
        if git.provider.is_none() {
            continue;
        }
        let bundle = match authorities(git, &namespace, cluster).await? {
            Authorities::System => Ok(None),
            Authorities::Bundle(pem) => Ok(Some(pem)),
            Authorities::Missing(why) => Err(why),
        };
        let provider = bundle.and_then(|bundle| {
            let provider = Provider::of(git, &namespace, bundle);
            provider.ok_or_else(|| "source.git.url is no address at a provider".to_owned())
        });
        seen.providers.insert(name, provider);
    }
    Ok(())
}

/// Adds the certificates for the repository that what runs is written back to.
pub(super) async fn write_back(
    seen: &mut Observed,
    cluster: &Cluster,
) -> Result<(), ReconcileError> {
    let Some(spec) = &seen.spec.write_back else {
        return Ok(());
    };
    let source = spec.repository.source();
    seen.write_back = match authorities(&source, &seen.key.namespace, cluster).await? {
        Authorities::System => Ok(None),
        Authorities::Bundle(pem) => Ok(Some(pem)),
        Authorities::Missing(why) => {
            Err(why.replace("source.git.caBundle", "writeBack.repository.caBundle"))
        }
    };
    Ok(())
}
