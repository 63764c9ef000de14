//! Lets namespaces of previews go whose Environment is gone. Talks to the API server.

use std::collections::BTreeMap;
use std::time::Duration;

use tracing::{info, warn};

use super::Cluster;
use crate::environment::api::Environment;
use crate::environment::preview::{Space, orphan};
use crate::error::chain;
use crate::model::action::Action;
use crate::model::key::Key;
use crate::model::label;
use crate::model::object::ObjectKind;

/// How often.
const EVERY: Duration = Duration::from_mins(1);

/// Sweeps for as long as this process leads.
pub async fn run(cluster: Cluster) {
    let mut tick = tokio::time::interval(EVERY);
    loop {
        tick.tick().await;
        if let Err(error) = sweep(&cluster).await {
            let error = chain(error.as_ref());
            warn!(
                error,
                "previews without Environment were not looked for; they stay"
            );
        }
    }
}

/// Both lists come from the server, and an error of either ends it. Environments come last: one that was made in between is
/// there then.
async fn sweep(cluster: &Cluster) -> Result<(), Box<kube::Error>> {
    let of_previews = label::PREVIEW_OF;
    let spaces = cluster.list(ObjectKind::Namespace, "", of_previews).await?;
    let spaces = spaces.iter().filter_map(Space::read);
    let is_watched = |space: &Space| cluster.previews_in(&space.environment.namespace);
    let spaces: Vec<Space> = spaces.filter(is_watched).collect();
    if spaces.is_empty() {
        return Ok(());
    }
    let environments = cluster.list(ObjectKind::Environment, "", "").await?;
    let has_previews = |object: &kube::api::DynamicObject| {
        // One that cannot be read may have some.
        let read = object.clone().try_parse::<Environment>();
        read.map_or(true, |environment| environment.spec.previews.is_some())
    };
    let environments: BTreeMap<Key, bool> = environments
        .iter()
        .map(|object| (Key::of(object), has_previews(object)))
        .collect();
    for action in orphan::sweep(&spaces, &environments) {
        let Action::Delete { target, orphan } = &action else {
            continue;
        };
        match cluster.delete(target, *orphan).await {
            Ok(()) => info!(
                namespace = target.key.name,
                "deleted a preview whose Environment is gone"
            ),
            Err(error) => warn!(
                namespace = target.key.name,
                error = chain(&error),
                "a preview whose Environment is gone stays"
            ),
        }
    }
    Ok(())
}
