use proptest::prelude::*;
use serde_json::json;

use super::*;

fn sha(number: usize) -> String {
    format!("{number:040x}")
}

fn commit(number: usize, subject: &str) -> Commit {
    let commit = json!({
        "sha": sha(number), "author": "a", "email": "a@b", "subject": subject,
        "committedAt": jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(number).unwrap()).unwrap(),
    });
    serde_json::from_value(commit).unwrap()
}

/// The Release of a commit, with those that are new in it, newest first.
fn release(
    at: usize,
    version: Option<&str>,
    changes: &[Commit],
    previous: Option<usize>,
) -> Arc<Release> {
    let release = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
        "metadata": {"name": format!("r{at}"), "namespace": "ns"},
        "spec": {
            "pipeline": "shop", "commit": commit(at, "x"), "changes": changes, "version": version,
            "previous": previous.map(|previous| format!("r{previous}")),
            "images": [], "ref": "refs/heads/main", "evidence": {"run": "run"},
        },
    });
    Arc::new(serde_json::from_value(release).unwrap())
}

/// What commits of these subjects become, each released on its own.
fn history(rule: &VersionRule, subjects: &[&str]) -> Vec<Option<String>> {
    let steps: Vec<_> = subjects.iter().map(|subject| (*subject, rule)).collect();
    history_after(Vec::new(), &steps)
}

/// The same after Releases that there are, each by a rule of its own.
fn history_after(
    mut releases: Vec<Arc<Release>>,
    steps: &[(&str, &VersionRule)],
) -> Vec<Option<String>> {
    let mut versions = Vec::new();
    for (at, (subject, rule)) in (releases.len()..).zip(steps) {
        let changes = [commit(at, subject)];
        let own = Own {
            sha: &sha(at),
            changes: &changes,
            breaking: &[],
            bump: Subject::read(subject).asks(rule),
        };
        let version = next(&releases, own, rule)
            .ok()
            .map(|version| version.to_string());
        releases.push(release(at, version.as_deref(), &changes, at.checked_sub(1)));
        versions.push(version);
    }
    versions
}

fn rule() -> VersionRule {
    VersionRule::default()
}

fn texts(versions: &[&str]) -> Vec<Option<String>> {
    let text = |version: &&str| (!version.is_empty()).then(|| (*version).to_owned());
    versions.iter().map(text).collect()
}

#[test]
fn versions_follow_from_the_commits() {
    let mut rule = rule();
    rule.initial = Some("1.0.0".into());
    let subjects = [
        "anything", "feat: a", "fix: b", "docs: c", "chore: d", "perf: e", "feat!: f",
    ];
    let expected = texts(&["1.0.0", "1.1.0", "1.1.1", "", "", "1.1.2", "2.0.0"]);
    assert_eq!(history(&rule, &subjects), expected);
}

#[test]
fn before_the_first_major_version_what_breaks_raises_the_second_number() {
    let subjects = ["chore: first", "feat!: a", "fix: b", "feat: c"];
    let expected = texts(&["0.1.0", "0.2.0", "0.2.1", "0.3.0"]);
    assert_eq!(history(&rule(), &subjects), expected);
}

#[test]
fn a_person_raises_the_version_by_hand() {
    let changes = [commit(2, "docs: d")];
    let own = Own {
        sha: &sha(2),
        changes: &changes,
        breaking: &[],
        bump: Bump::None,
    };
    let known = [release(1, Some("0.9.3"), &[], None)];
    let mut rule = rule();
    rule.initial = Some("1.0.0".into());
    assert_eq!(next(&known, own, &rule).unwrap().to_string(), "1.0.0");
    rule.initial = Some("0.9.0".into());
    assert_eq!(
        next(&known, own, &rule).unwrap_err(),
        "no commit since 0.9.3 asks for a new version"
    );
}

#[test]
fn prereleases_are_counted_and_then_become_the_version() {
    let mut pre = rule();
    pre.prerelease = Some("rc".into());
    let rule = rule();
    let steps = [
        ("fix: a", &pre),
        ("fix: b", &pre),
        ("feat: c", &pre),
        ("docs: d", &pre),
        ("fix: e", &pre),
        ("docs: f", &rule),
        ("docs: g", &rule),
    ];
    let made = history_after(vec![release(0, Some("1.2.0"), &[], None)], &steps);
    let expected = texts(&[
        "1.2.1-rc.1",
        "1.2.1-rc.2",
        "1.3.0-rc.1",
        "",
        "1.3.0-rc.2",
        "1.3.0",
        "",
    ]);
    assert_eq!(made, expected);
}

#[test]
fn an_older_commit_that_comes_late_gets_no_version() {
    let both = [commit(2, "fix: b"), commit(1, "feat: a")];
    let known = [release(2, Some("1.3.0"), &both, None)];
    let own = Own {
        sha: &sha(1),
        changes: &both[1..],
        breaking: &[],
        bump: Bump::Minor,
    };
    let said = next(&known, own, &rule()).unwrap_err();
    assert_eq!(
        said,
        "a newer commit of the branch has been released already, as r2"
    );
}

#[test]
fn what_was_released_meanwhile_counts_once() {
    let all = [
        commit(3, "fix: c"),
        commit(2, "feat!: b"),
        commit(1, "fix: a"),
    ];
    let known = [
        release(0, Some("1.2.0"), &[], None),
        release(2, Some("2.0.0"), &all[1..], Some(0)),
    ];
    let own = Own {
        sha: &sha(3),
        changes: &all,
        breaking: &[],
        bump: Bump::Major,
    };
    assert_eq!(next(&known, own, &rule()).unwrap().to_string(), "2.0.1");
    let breaking = [Breaking {
        sha: sha(3),
        text: "x".into(),
    }];
    let own = Own {
        breaking: &breaking,
        ..own
    };
    assert_eq!(next(&known, own, &rule()).unwrap().to_string(), "3.0.0");
}

#[test]
fn the_same_commit_again_is_no_new_version() {
    let changes = [commit(1, "feat: a")];
    let known = [release(1, Some("1.3.0"), &changes, None)];
    let own = Own {
        sha: &sha(1),
        changes: &changes,
        breaking: &[],
        bump: Bump::Minor,
    };
    assert!(next(&known, own, &rule()).is_err());
}

#[test]
fn tags_name_versions() {
    let of = |tag, prefix| of_tag(tag, prefix).map(|version| version.to_string());
    assert_eq!(of("v1.2.3", None).as_deref(), Some("1.2.3"));
    assert_eq!(of("1.2.3-rc.1", None).as_deref(), Some("1.2.3-rc.1"));
    assert_eq!(of("api/v1.2.3", Some("api/v")).as_deref(), Some("1.2.3"));
    assert_eq!(of("v1.2.3", Some("api/v")), None);
    for other in ["nightly", "v1.2", "v1.2.3+5"] {
        assert_eq!(of(other, None), None, "{other}");
    }
}

proptest! {
    #[test]
    fn every_version_is_new_and_higher_than_all_that_people_have(
        kinds in proptest::collection::vec((0..5usize, 0..3usize), 1..14),
    ) {
        let subjects = ["feat: a", "fix: a", "docs: a", "feat!: a", "just so"];
        let ids = [None, Some("rc"), Some("beta")];
        let mut releases: Vec<Arc<Release>> = Vec::new();
        let mut known: Vec<Version> = Vec::new();
        for (at, (subject, id)) in kinds.into_iter().enumerate() {
            let rule = VersionRule { prerelease: ids[id].map(str::to_owned), ..rule() };
            let changes = [commit(at, subjects[subject])];
            let bump = Subject::read(subjects[subject]).asks(&rule);
            let own = Own { sha: &sha(at), changes: &changes, breaking: &[], bump };
            let version = next(&releases, own, &rule).ok();
            if let Some(version) = &version {
                prop_assert!(!known.contains(version), "{version} twice");
                for other in known.iter().filter(|other| other.pre.is_empty() || version.pre.is_empty()) {
                    prop_assert!(version > other, "{version} after {other}");
                }
                known.push(version.clone());
            }
            let text = version.map(|version| version.to_string());
            releases.push(release(at, text.as_deref(), &changes, at.checked_sub(1)));
        }
    }
}
