//! Which Release is newer: by commits, never by which run finished first. No I/O.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::api::{Release, ReleaseRef};

/// Releases of one namespace, by name.
#[derive(Clone, Debug, Default)]
pub struct Order<'a> {
    by_name: BTreeMap<String, &'a Release>,
    /// How many Releases come before one, as far as the records tell.
    depths: HashMap<&'a str, usize>,
    /// The Releases that have a commit among their changes, by its SHA.
    with_change: HashMap<&'a str, Vec<&'a str>>,
    /// The Releases that say of another one that it is the one before.
    after: HashMap<&'a str, Vec<&'a str>>,
    /// Releases that stand for several that are promoted as one, each with those, and the order that these are in.
    sets: BTreeMap<String, &'a [ReleaseRef]>,
    members: Option<Box<Order<'a>>>,
}

impl<'a> Order<'a> {
    /// The order of these Releases.
    pub fn of(releases: &'a [Arc<Release>]) -> Self {
        let mut order = Self::default();
        for release in releases {
            let release = release.as_ref();
            order.by_name.insert(release.name_any(), release);
            let name = name_of(release);
            for change in &release.spec.changes {
                let known = order.with_change.entry(change.sha.as_str());
                known.or_default().push(name);
            }
            if let Some(previous) = release.spec.previous.as_deref() {
                order.after.entry(previous).or_default().push(name);
            }
        }
        for release in releases {
            order.count(name_of(release));
        }
        order
    }

    /// The same, where some of the Releases stand for several that are promoted as one. A set is newer than another one by its
    /// members.
    pub fn with_sets(
        self,
        members: &'a [Arc<Release>],
        sets: impl Iterator<Item = (&'a String, &'a [ReleaseRef])>,
    ) -> Self {
        Self {
            sets: sets.map(|(name, of)| (name.clone(), of)).collect(),
            members: Some(Box::new(Self::of(members))),
            ..self
        }
    }

    /// The Releases that one stands for, as far as they are there: itself, or the members of a set.
    pub fn parts(&self, name: &str) -> Vec<&'a Release> {
        let Some(of) = self.sets.get(name) else {
            return self.get(name).into_iter().collect();
        };
        of.iter()
            .filter_map(|member| self.part(&member.release))
            .collect()
    }

    /// The Release of that name, be it alone or a member of a set.
    pub fn part(&self, name: &str) -> Option<&'a Release> {
        let members = self.members.as_ref();
        let member = members.and_then(|members| members.get(name));
        member.or_else(|| self.get(name))
    }

    /// Whether one set is newer than another: some of its members are, or it has more, and none is older. Where they contradict
    /// each other the younger is.
    fn is_newer_set(
        &self,
        (one, own): (&str, &[ReleaseRef]),
        (other, theirs): (&str, &[ReleaseRef]),
    ) -> bool {
        let Some(order) = &self.members else {
            return false;
        };
        let pairs = || {
            own.iter().filter_map(|member| {
                let mut theirs = theirs.iter();
                let same = theirs.find(|same| same.pipeline == member.pipeline)?;
                Some((member.release.as_str(), same.release.as_str()))
            })
        };
        let has_newer = pairs().any(|(of_one, of_other)| order.is_newer(of_one, of_other));
        let has_older = pairs().any(|(of_one, of_other)| order.is_newer(of_other, of_one));
        match (has_newer, has_older) {
            (true, false) => true,
            (false, true) => false,
            (false, false) => own.len() > theirs.len(),
            (true, true) => self.is_younger(one, other),
        }
    }

    fn is_younger(&self, one: &str, other: &str) -> bool {
        match (self.get(one), self.get(other)) {
            (Some(one), Some(other)) => age(one) > age(other),
            _ => false,
        }
    }

    /// Counts what comes before a Release, and before all that come before it.
    fn count(&mut self, name: &'a str) {
        let mut way = Vec::new();
        let mut at = Some(name);
        // A ring that somebody closed has an end where it would begin again.
        while let Some(name) = at.filter(|name| !self.depths.contains_key(name)) {
            self.depths.insert(name, 0);
            way.push(name);
            let release = self.get(name);
            at = release.and_then(|release| release.spec.previous.as_deref());
        }
        let mut depth = at.and_then(|name| self.depths.get(name)).copied();
        for name in way.into_iter().rev() {
            let own = depth.map_or(0, |depth| depth + 1);
            self.depths.insert(name, own);
            depth = Some(own);
        }
    }

    /// The Release of that name.
    pub fn get(&self, name: &str) -> Option<&'a Release> {
        self.by_name.get(name).copied()
    }

    /// Whether `one` was built from a later commit than `other`.
    ///
    /// What the commits say counts first: one Release's commit among the changes of another. Then the
    /// chain of predecessors, then the time of the commit. Of Releases that nobody knows neither is newer.
    pub fn is_newer(&self, one: &str, other: &str) -> bool {
        if one == other {
            return false;
        }
        if let (Some(own), Some(theirs)) = (self.sets.get(one), self.sets.get(other)) {
            return self.is_newer_set((one, own), (other, theirs));
        }
        let is_younger = || self.is_younger(one, other);
        // What the records say the wrong way round as well says nothing.
        if self.contains(one, other) {
            return !self.contains(other, one) || is_younger();
        }
        is_younger() && !self.contains(other, one)
    }

    /// The same of Releases that are members of sets, or may be.
    pub fn is_newer_part(&self, one: &str, other: &str) -> bool {
        let members = self.members.as_ref();
        members.map_or_else(
            || self.is_newer(one, other),
            |members| members.is_newer(one, other),
        )
    }

    /// The newest of some Releases of one Pipeline.
    pub fn newest<'b>(&self, names: impl IntoIterator<Item = &'b str>) -> Option<&'b str> {
        let mut names = names.into_iter();
        let first = names.next()?;
        Some(names.fold(first, |newest, name| {
            if self.is_newer(name, newest) {
                name
            } else {
                newest
            }
        }))
    }

    /// The oldest of some Releases of one Pipeline.
    pub fn oldest<'b>(&self, names: impl IntoIterator<Item = &'b str>) -> Option<&'b str> {
        let mut names = names.into_iter();
        let first = names.next()?;
        Some(names.fold(first, |oldest, name| {
            if self.is_newer(oldest, name) {
                name
            } else {
                oldest
            }
        }))
    }

    /// The newest of all of them.
    pub fn latest(&self) -> Option<&str> {
        self.newest(self.by_name.keys().map(String::as_str))
    }

    /// Whether the commit of `other` is part of `one`, as far as the records tell.
    fn contains(&self, one: &str, other: &str) -> bool {
        let sha = self.get(other).map(|other| other.spec.commit.sha.as_str());
        // The Releases that say so themselves. Where none of them can be on the way there is none to go.
        let with_change = sha.and_then(|sha| self.with_change.get(sha));
        let said = with_change.into_iter().chain(self.after.get(other));
        let depths = said.flatten().filter_map(|name| self.depths.get(name));
        let (Some(least), Some(from)) = (depths.min(), self.depths.get(one)) else {
            return false;
        };
        let mut at = self.get(one);
        for _ in *least..=*from {
            let Some(release) = at else { return false };
            let changes = &release.spec.changes;
            if sha.is_some_and(|sha| changes.iter().any(|change| change.sha == sha)) {
                return true;
            }
            let previous = release.spec.previous.as_deref();
            if previous == Some(other) {
                // A run that finished late may name a later commit's Release as the one before it.
                let own = release.spec.commit.sha.as_str();
                let later = self.get(other).map(|other| &other.spec.changes);
                return !later.is_some_and(|later| later.iter().any(|change| change.sha == own));
            }
            at = previous.and_then(|previous| self.get(previous));
        }
        false
    }
}

fn name_of(release: &Release) -> &str {
    release.metadata.name.as_deref().unwrap_or_default()
}

fn age(release: &Release) -> (Timestamp, Option<Timestamp>, &str) {
    let created = release.metadata.creation_timestamp.as_ref();
    (
        release.spec.commit.committed_at.0,
        created.map(|created| created.0),
        name_of(release),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn release(number: u8, previous: Option<&str>, minute: u8, changes: &[u8]) -> Arc<Release> {
        let commit = |number: u8| {
            json!({"sha": format!("{number:040}"), "author": "a", "email": "a@b", "subject": "s",
                   "committedAt": format!("2026-01-01T00:{minute:02}:00Z")})
        };
        let changes: Vec<_> = changes.iter().map(|number| commit(*number)).collect();
        let release = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
            "metadata": {"name": format!("r{number}"), "namespace": "ns"},
            "spec": {
                "pipeline": "shop", "commit": commit(number), "changes": changes, "previous": previous,
                "images": [], "ref": "refs/heads/main", "evidence": {"run": "run"},
            },
        });
        Arc::new(serde_json::from_value(release).unwrap())
    }

    #[test]
    fn the_chain_of_predecessors_says_which_is_newer() {
        // The clock of whoever made the commits was wrong.
        let releases = [
            release(1, None, 30, &[1]),
            release(2, Some("r1"), 20, &[2]),
            release(3, Some("r2"), 10, &[3]),
        ];
        let order = Order::of(&releases);
        assert!(order.is_newer("r3", "r1") && !order.is_newer("r1", "r3"));
        assert_eq!(order.newest(["r2", "r3", "r1"]), Some("r3"));
        assert_eq!(order.oldest(["r2", "r3", "r1"]), Some("r1"));
    }

    #[test]
    fn a_run_that_finishes_late_does_not_make_its_release_newer() {
        let releases = [
            release(1, None, 1, &[1]),
            release(3, Some("r1"), 3, &[3, 2]),
            release(2, Some("r3"), 2, &[2]),
        ];
        let order = Order::of(&releases);
        assert!(order.is_newer("r3", "r2") && !order.is_newer("r2", "r3"));
    }

    #[test]
    fn a_predecessor_that_was_deleted_still_counts() {
        let releases = [release(3, Some("r2"), 3, &[])];
        let order = Order::of(&releases);
        assert!(order.is_newer("r3", "r2"));
        assert!(!order.is_newer("r2", "r3"));
        assert!(!order.is_newer("r3", "r1"), "nobody knows");
    }

    /// The same as `contains`, by going all the way.
    fn walks_to(order: &Order, one: &str, other: &str) -> bool {
        let sha = |release: &Release| release.spec.commit.sha.clone();
        let to = order.get(other);
        let mut at = order.get(one);
        while let Some(release) = at {
            let changes = &release.spec.changes;
            if to.is_some_and(|to| changes.iter().any(|change| change.sha == sha(to))) {
                return true;
            }
            let previous = release.spec.previous.as_deref();
            if previous == Some(other) {
                let own = sha(release);
                return !to.is_some_and(|to| to.spec.changes.iter().any(|c| c.sha == own));
            }
            at = previous.and_then(|previous| order.get(previous));
        }
        false
    }

    proptest! {
        /// Whatever the records say, going only as far as it may matter finds the same as going all the way.
        #[test]
        fn a_shorter_way_finds_the_same(
            records in proptest::collection::vec((any::<prop::sample::Index>(), any::<bool>(), 0..50_u8, proptest::collection::vec(0..12_u8, 0..4)), 1..12),
        ) {
            let mut releases = Vec::new();
            for (number, (before, has_previous, minute, changes)) in (0_u8..).zip(&records) {
                let previous = (*has_previous && number > 0)
                    .then(|| format!("r{}", before.index(usize::from(number))));
                releases.push(release(number, previous.as_deref(), *minute, changes));
            }
            let order = Order::of(&releases);
            let names: Vec<String> = (0..13).map(|number| format!("r{number}")).collect();
            for one in &names {
                for other in names.iter().filter(|other| *other != one) {
                    let expected = walks_to(&order, one, other);
                    prop_assert_eq!(order.contains(one, other), expected, "{} {}", one, other);
                }
            }
        }
    }

    #[test]
    fn a_ring_ends() {
        let releases = [
            release(1, Some("r2"), 1, &[]),
            release(2, Some("r1"), 2, &[]),
        ];
        assert!(Order::of(&releases).is_newer("r2", "r1"));
    }
}
