//! Which of two Releases is the newer one: the one whose commit came later, never the one whose run ended later. No I/O.

use super::api::Release;

/// The newest of several Releases of one Pipeline.
pub fn newest<'a>(releases: impl Iterator<Item = &'a Release>) -> Option<&'a Release> {
    releases.reduce(|known, candidate| {
        if is_newer(candidate, known) {
            candidate
        } else {
            known
        }
    })
}

/// Whether `a` is newer than `b`: its changes contain `b`'s commit, or else its commit was made later.
/// Two builds of one commit are in the order in which they were released.
pub fn is_newer(a: &Release, b: &Release) -> bool {
    let (spec_a, spec_b) = (&a.spec, &b.spec);
    let contains = |changes: &[crate::pipeline_run::api::Commit], sha: &str| {
        changes.iter().any(|commit| commit.sha == sha)
    };
    if spec_a.commit.sha != spec_b.commit.sha {
        if contains(&spec_a.changes, &spec_b.commit.sha) {
            return true;
        }
        if contains(&spec_b.changes, &spec_a.commit.sha) {
            return false;
        }
    }
    let order = |release: &Release| {
        let created = release.metadata.creation_timestamp.clone();
        (
            release.spec.commit.committed_at.0,
            created.map(|created| created.0),
            release.metadata.name.clone(),
        )
    };
    order(a) > order(b)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn commit(digit: char, hour: u8) -> serde_json::Value {
        json!({
            "sha": digit.to_string().repeat(40), "author": "A", "email": "a@example.com",
            "committedAt": format!("2026-11-21T{hour:02}:00:00Z"), "subject": "s",
        })
    }

    /// A Release of a commit made in one hour, released in another.
    fn release(digit: char, made: u8, released: u8, changes: &[char]) -> Release {
        let changes: Vec<_> = changes.iter().map(|digit| commit(*digit, 0)).collect();
        serde_json::from_value(json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
            "metadata": {
                "name": format!("p-{digit}-{released}"),
                "creationTimestamp": format!("2026-11-22T{released:02}:00:00Z"),
            },
            "spec": {
                "pipeline": "p", "commit": commit(digit, made), "images": [], "changes": changes,
                "ref": "refs/heads/main", "evidence": {"run": "r"},
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_later_commit_is_newer_however_late_the_earlier_one_was_released() {
        let (early, late) = (release('a', 1, 9, &[]), release('b', 2, 3, &[]));
        assert!(is_newer(&late, &early));
        assert!(!is_newer(&early, &late));
        assert_eq!(newest([&late, &early].into_iter()), Some(&late));
    }

    #[test]
    fn ancestry_outranks_the_clocks_of_committers() {
        let (old, new) = (release('a', 5, 1, &[]), release('b', 2, 2, &['b', 'a']));
        assert!(is_newer(&new, &old));
        assert!(!is_newer(&old, &new));
    }

    #[test]
    fn of_two_builds_of_one_commit_the_later_one_is_newer() {
        let (first, second) = (release('a', 1, 1, &[]), release('a', 1, 2, &['a']));
        assert!(is_newer(&second, &first));
        assert!(!is_newer(&first, &second));
    }
}
