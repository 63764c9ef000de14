//! What an Environment reads off the Rollouts that it lists. Pure.

use std::sync::Arc;
use std::time::Duration;

use super::api::EnvironmentSpec;
use super::observed::{Bound, Failed, Followed};
use crate::model::condition;
use crate::model::key::Key;
use crate::rollout::api::{RevisionStatus, Rollout};

/// Time without readiness after which a Rollout counts as failed, where it says nothing, in seconds.
const PROGRESS_DEADLINE: i32 = 600;

/// The Rollouts that an Environment lists, as `find` knows them.
pub(in crate::environment) fn bound(
    of: &Key,
    spec: &EnvironmentSpec,
    find: impl Fn(&str) -> Option<Arc<Rollout>>,
) -> Vec<Bound> {
    let rollouts = spec.rollouts.iter().map(|rollout| Bound {
        name: rollout.name.clone(),
        state: find(&rollout.name).map(|rollout| read_rollout(&rollout, &of.name)),
    });
    rollouts.collect()
}

fn read_rollout(rollout: &Rollout, environment: &str) -> Followed {
    let release = rollout.spec.release.as_ref();
    let release = release.filter(|release| release.environment.name == environment);
    let status = rollout.status.clone().unwrap_or_default();
    let ready = condition::find(&status.conditions, "Ready");
    let deadline = rollout
        .spec
        .progress_deadline_seconds
        .unwrap_or(PROGRESS_DEADLINE);
    let images = |revision: Option<RevisionStatus>| revision.map(|r| r.images).unwrap_or_default();
    let stable = status.stable.as_ref();
    let worn = stable.and_then(|stable| stable.template.clone());
    let canary = status.canary.as_ref();
    let tried = canary.and_then(|canary| canary.template.clone());
    Followed {
        tried,
        template: status.template,
        worn,
        images: release.map(|release| release.images.clone()),
        is_current: Some(status.observed_generation) == rollout.metadata.generation,
        phase: status.phase.unwrap_or_default(),
        message: status
            .message
            .unwrap_or_else(|| "not looked at yet".to_owned()),
        is_healthy: condition::is_true(&status.conditions, "Healthy"),
        not_ready_since: ready
            .filter(|ready| ready.status != "True")
            .map(|ready| ready.last_transition_time.0),
        deadline: Duration::from_secs(u64::try_from(deadline).unwrap_or(0)),
        stable: images(status.stable),
        canary: images(status.canary),
        failure: status
            .progress
            .and_then(|progress| progress.failed)
            .map(|failed| Failed {
                promotion: failed.promotion,
                message: format!("{}: {}", failed.reason, failed.message),
            }),
    }
}
