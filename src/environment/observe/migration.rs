//! What guards the migrations of an Environment: the Lease of the database, and the Secrets that are named. Both are read from
//! the server, and only while a migration is under way. Talks to the API server.

use std::sync::Arc;

use kube::ResourceExt;

use super::super::api::Environment;
use super::super::observed::Observed;
use super::super::{migration, render};
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::pipeline_run::observe::secrets;
use crate::promotion::api::PromotionPhase;

/// Adds what is known of the database's lock, and of the Secrets.
pub async fn guards(seen: &mut Observed, cluster: &Cluster) -> Result<(), ReconcileError> {
    seen.lock.key = render::lock_key(seen, cluster.namespace());
    let mut all = seen.promotions.iter().chain(&seen.migrations);
    let is_under_way = all.any(|record| {
        let phase = record.status.phase.unwrap_or_default();
        // A record of migrations alone has no phase of its own for what comes first.
        phase == PromotionPhase::Migrating
            || record.spec.kind.is_of_database() && !phase.is_finished()
    });
    if !is_under_way {
        return Ok(());
    }
    if let Some(rules) = &seen.spec.migrations {
        let named = migration::secrets(rules);
        seen.secrets = secrets(named, &seen.key.namespace, cluster).await?;
    }
    let lease = cluster.peek(ObjectKind::Lease, &seen.lock.key).await;
    let lease = lease.map_err(ReconcileError::Observe)?;
    seen.lock.held = lease.map(|lease| {
        let holder = lease.data.pointer("/spec/holderIdentity");
        let holder = holder.and_then(serde_json::Value::as_str);
        let holder = holder.unwrap_or("somebody without a name").to_owned();
        (holder, Target::of(ObjectKind::Lease, &lease))
    });
    Ok(())
}

/// Reads the ledger from the server; and where there is a database Promotions, Jobs and pods: a Job must not be taken for lost because a
/// watch is behind.
pub async fn refresh(
    environment: &Arc<Environment>,
    cluster: &Cluster,
) -> Result<(), ReconcileError> {
    let key = Key::of(environment.as_ref());
    let own = format!("{}={}", label::ENVIRONMENT, environment.name_any());
    let all = [
        // A page of the ledger goes once others say what it does: those have to be there.
        ObjectKind::ControllerRevision,
        ObjectKind::Promotion,
        ObjectKind::Job,
        ObjectKind::Pod,
    ];
    let previews = environment.spec.previews.as_ref();
    let has_database = environment.spec.migrations.is_some()
        || previews.is_some_and(|previews| previews.seed.is_some());
    for kind in all
        .into_iter()
        .take(if has_database { all.len() } else { 1 })
    {
        let read = cluster.refresh(kind, &key.namespace, &own).await;
        read.map_err(ReconcileError::Observe)?;
    }
    Ok(())
}
