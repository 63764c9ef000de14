//! What there is of an Environment in another cluster, and how its Rollouts are there. From memory: a cluster that hangs holds up
//! nobody. Only the Secret is read from the API server.

use std::collections::BTreeSet;

use super::super::mirror::{Sight, State};
use super::super::observed::Observed;
use super::bound;
use crate::cluster::Cluster;
use crate::controller::ReconcileError;
use crate::model::place::Place;

/// Adds what is known of its mirror, and of its Rollouts where they are not here.
pub(super) async fn mirror(seen: &mut Observed, cluster: &Cluster) -> Result<(), ReconcileError> {
    let home = &seen.key.namespace;
    let wanted = seen.spec.cluster.as_ref().filter(|_| !seen.is_deleted);
    let wanted = wanted.map(|target| target.place(home));
    let known = seen.status.mirror.as_ref().map(|known| known.place(home));
    let left = known.filter(|known| wanted.as_ref() != Some(known));
    let places: BTreeSet<&Place> = left.iter().chain(&wanted).collect();
    cluster.remotes.keep_only(&seen.key, &places);
    if let Some(place) = left {
        let state = cluster.sight(&seen.key, &place, BTreeSet::new()).await;
        let state = state.map_err(ReconcileError::Observe)?;
        seen.mirror.left = Some(Sight { place, state });
    }
    if let Some(place) = wanted {
        let names = seen.spec.rollouts.iter().map(|one| one.name.clone());
        let state = cluster.sight(&seen.key, &place, names.collect()).await;
        let state = state.map_err(ReconcileError::Observe)?;
        if matches!(state, State::Known(_)) {
            let find = |name: &str| cluster.remotes.rollout(&place, name);
            seen.rollouts = bound(&seen.key, &seen.spec, find);
        }
        seen.mirror.target = Some(Sight { place, state });
    }
    Ok(())
}
