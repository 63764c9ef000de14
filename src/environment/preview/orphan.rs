//! Previews whose Environment is gone, or has none any more. No I/O.

use std::collections::BTreeMap;

use super::Space;
use crate::model::action::Action;
use crate::model::key::Key;

/// Namespaces that one sweep deletes at most.
const AT_ONCE: usize = 5;

/// The deletions of namespaces that belong to nobody. `environments` says of each whether it has previews; where there is none
/// at all, something is wrong with the list, or with the cluster, and nothing is concluded from it.
pub fn sweep(spaces: &[Space], environments: &BTreeMap<Key, bool>) -> Vec<Action> {
    if environments.is_empty() {
        return Vec::new();
    }
    let has_owner = |space: &&Space| environments.get(&space.environment) == Some(&true);
    let orphans = spaces.iter().filter(|space| !has_owner(space));
    let orphans = orphans.filter(|space| !space.is_going() && !space.record.keep);
    let deleted = orphans.take(AT_ONCE).map(|space| Action::Delete {
        target: space.target.clone(),
        orphan: false,
    });
    deleted.collect()
}
