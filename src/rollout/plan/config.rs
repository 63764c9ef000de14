//! Copies of ConfigMaps and Secrets: there before the pods that read them, and gone with the last revision that does. No I/O.

use std::collections::BTreeSet;

use super::super::config::Named;
use super::super::observed::Owned;
use super::super::render;
use super::Draft;
use crate::model::action::Action;

impl Draft<'_> {
    /// Plans the copies that the wanted revision needs, and the end of those that no revision needs.
    pub(super) fn keep_snapshots(&mut self) {
        if self.seen.deletion.is_some() {
            return;
        }
        let seen = self.seen;
        // A template that is kept has its copies kept with it.
        let is_there = seen.set(&self.spec.revision).is_some()
            || !self.new_sets.is_empty()
            || seen.offer.is_some();
        let needed = self.spec.snapshots.iter().filter(|_| is_there);
        for snapshot in needed {
            let copy = |known: &&Owned| known.named() == snapshot.of;
            match seen.snapshots.iter().find(copy) {
                None => {
                    let manifest = render::snapshot(seen, snapshot);
                    self.creations.push(Action::Create(manifest));
                }
                Some(known) if !known.is_owned => {
                    let target = known.target.clone();
                    let change = self.own();
                    self.corrections.push(Action::Patch { target, change });
                }
                Some(_) => {}
            }
        }
        let of_sets = seen.sets.iter().flat_map(|set| &set.configs);
        let of_spec = self.spec.snapshots.iter().map(|snapshot| &snapshot.of);
        let of_kept = seen.templates.iter().flat_map(|kept| &kept.offer.copies);
        let of_spec = of_spec.chain(&self.spec.copies);
        let used: BTreeSet<&Named> = of_sets.chain(of_spec).chain(of_kept).collect();
        let idle = seen
            .snapshots
            .iter()
            .filter(|known| !used.contains(&known.named()));
        self.deletions.extend(idle.map(|known| Action::Delete {
            target: known.target.clone(),
            orphan: false,
        }));
    }
}
