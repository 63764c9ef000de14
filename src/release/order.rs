//! Which Release is newer: by commits, never by which run finished first. No I/O.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use kube::ResourceExt;

use super::api::Release;

/// Releases of one namespace, by name.
#[derive(Clone, Debug, Default)]
pub struct Order<'a> {
    by_name: BTreeMap<String, &'a Release>,
}

impl<'a> Order<'a> {
    /// The order of these Releases.
    pub fn of(releases: &'a [Arc<Release>]) -> Self {
        let by_name = releases
            .iter()
            .map(|release| (release.name_any(), &**release));
        Self {
            by_name: by_name.collect(),
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
        let (down, up) = (self.contains(one, other), self.contains(other, one));
        if down != up {
            return down;
        }
        match (self.get(one), self.get(other)) {
            (Some(one), Some(other)) => age(one) > age(other),
            _ => false,
        }
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
        let mut at = self.get(one);
        // No chain is longer than there are Releases, unless somebody closed it to a ring.
        for _ in 0..=self.by_name.len() {
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

fn age(release: &Release) -> (Timestamp, Option<Timestamp>, String) {
    let created = release.metadata.creation_timestamp.as_ref();
    (
        release.spec.commit.committed_at.0,
        created.map(|created| created.0),
        release.name_any(),
    )
}

#[cfg(test)]
mod tests {
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

    #[test]
    fn a_ring_ends() {
        let releases = [
            release(1, Some("r2"), 1, &[]),
            release(2, Some("r1"), 2, &[]),
        ];
        assert!(Order::of(&releases).is_newer("r2", "r1"));
    }
}
