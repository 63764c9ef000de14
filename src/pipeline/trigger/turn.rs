//! Whose turn it is: as many runs of a group as may be under way. Counted from the runs each time; the one record, which runs
//! were let in, is made by the Pipeline alone, so that no two can be let in for the same place. No I/O.

use std::collections::BTreeMap;

use super::super::api::{Concurrency, ConcurrencyPolicy};
use super::super::observed::Run;

/// Runs that are let in at the same time, over all groups.
const MOST: usize = 256;

/// Names of the runs that are let in: those that were and are not over, and as many more as there is room for.
pub fn admitted(rule: &Concurrency, runs: &[Run], before: &[String]) -> Vec<String> {
    let mut groups: BTreeMap<&str, Vec<&Run>> = BTreeMap::new();
    for run in runs.iter().filter(|run| !run.phase.is_finished()) {
        groups
            .entry(rule.group_of(&run.git_ref))
            .or_default()
            .push(run);
    }
    let mut all = Vec::new();
    for group in groups.into_values() {
        let name = |run: &&Run| run.target.key.name.clone();
        let is_in = |run: &Run| run.has_started || before.contains(&run.target.key.name);
        let (inside, mut outside): (Vec<&Run>, Vec<&Run>) =
            group.into_iter().partition(|run| is_in(run));
        outside.retain(|run| !run.awaits_approval);
        outside.sort_by_key(|run| (run.started_by, run.target.key.clone()));
        if rule.policy() == ConcurrencyPolicy::CancelInProgress {
            outside.reverse();
        }
        let room = rule.max().saturating_sub(inside.len());
        all.extend(inside.iter().map(name));
        all.extend(outside.iter().take(room).map(name));
    }
    all.sort();
    all.truncate(MOST);
    all
}
