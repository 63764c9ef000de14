//! What every signal says, by hand.

use jiff::Timestamp;

use super::*;
use EndingResult::{Promoted, RolledBack, Superseded};
use RiskLevel::{High, Low, Medium};

/// All that the house's rules ask about, and nothing of it speaks against the change.
fn harmless() -> RiskSignals {
    RiskSignals {
        lines: Some(12),
        paths: Some(vec!["src/lib.rs".into()]),
        has_migrations: Some(false),
        bump: Some(Bump::Patch),
        is_configuration: Some(false),
        budget_left: Some(0.9),
        failure_rate: Some(0.0),
    }
}

fn with_paths() -> AutoRules {
    AutoRules {
        paths: vec![
            (vec!["db/**".into()], High),
            (vec!["*.md".into()], Low),
            (vec!["api/**".into(), "proto/*.proto".into()], Medium),
        ],
        ..AutoRules::default()
    }
}

/// A change of which all is harmless but for this.
fn but_for(change: impl Fn(&mut RiskSignals)) -> (RiskLevel, String) {
    let mut signals = harmless();
    change(&mut signals);
    let risk = assess(&signals, &with_paths());
    (risk.level, risk.because.join(", "))
}

#[test]
fn every_signal_says_what_the_rules_make_of_it() {
    type Case = (fn(&mut RiskSignals), RiskLevel, &'static str);
    let cases: &[Case] = &[
        (|s| s.lines = Some(199), Low, ""),
        (|s| s.lines = Some(200), Medium, "changedLines 200"),
        (|s| s.lines = Some(412), Medium, "changedLines 412"),
        (|s| s.lines = Some(2000), High, "changedLines 2000"),
        (|s| s.has_migrations = Some(true), High, "migrations"),
        (|s| s.bump = Some(Bump::Minor), Low, ""),
        (|s| s.bump = Some(Bump::Major), High, "major version"),
        (
            |s| s.is_configuration = Some(true),
            Medium,
            "configuration only",
        ),
        (|s| s.budget_left = Some(0.25), Low, ""),
        (|s| s.budget_left = Some(0.2), High, "errorBudget 0.2"),
        (|s| s.failure_rate = Some(0.29), Low, ""),
        (
            |s| s.failure_rate = Some(1.0 / 3.0),
            High,
            "recentFailureRate 0.33",
        ),
    ];
    for (change, level, because) in cases {
        let (found, why) = but_for(change);
        assert_eq!(found, *level, "{because}: {why}");
        assert!(found == Low || why == *because, "{because}: {why}");
    }
}

#[test]
fn the_worst_of_the_changed_files_counts_and_the_first_of_these_is_named() {
    let of = |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        but_for(|signals| signals.paths = Some(paths.clone()))
    };
    assert_eq!(of(&[]).0, Low);
    assert_eq!(of(&["README.md"]).0, Low);
    let medium = of(&["README.md", "proto/v1.proto", "api/v1.rs"]);
    assert_eq!(medium, (Medium, "changedPaths proto/v1.proto".to_owned()));
    let high = of(&["api/v1.rs", "db/1/up.sql", "db/2/up.sql"]);
    assert_eq!(high, (High, "changedPaths db/1/up.sql".to_owned()));
}

#[test]
fn the_highest_level_wins_and_all_that_say_it_are_named() {
    let highest = but_for(|signals| {
        signals.lines = Some(412);
        signals.failure_rate = Some(0.5);
    });
    assert_eq!(highest, (High, "recentFailureRate 0.5".to_owned()));
    let both = but_for(|signals| {
        signals.bump = Some(Bump::Major);
        signals.has_migrations = Some(true);
    });
    assert_eq!(both, (High, "migrations, major version".to_owned()));
}

#[test]
fn a_low_risk_is_earned_by_everything_that_counts() {
    let risk = assess(&harmless(), &with_paths());
    assert_eq!(risk.level, Low);
    assert_eq!(
        risk.because,
        [
            "no migrations",
            "patch version",
            "not only configuration",
            "changedLines 12",
            "no changed path that counts",
            "errorBudget 0.9",
            "recentFailureRate 0",
        ]
    );
}

#[test]
fn what_counts_and_is_not_known_is_a_medium_risk() {
    let unknown = RiskSignals {
        has_migrations: None,
        budget_left: None,
        ..harmless()
    };
    let risk = assess(&unknown, &AutoRules::default());
    assert_eq!(risk.level, Medium);
    assert_eq!(risk.because, ["unknown: migrations, errorBudget"]);
    let also = RiskSignals {
        lines: Some(300),
        ..unknown.clone()
    };
    let also = assess(&also, &AutoRules::default());
    assert_eq!(
        also.because,
        ["changedLines 300", "unknown: migrations, errorBudget"]
    );
    let worse = RiskSignals {
        lines: Some(3000),
        ..unknown
    };
    let worse = assess(&worse, &AutoRules::default());
    assert_eq!(
        (worse.level, worse.because),
        (High, vec!["changedLines 3000".to_owned()])
    );
}

#[test]
fn of_a_change_of_which_nothing_is_known_the_risk_is_medium() {
    let risk = assess(&RiskSignals::default(), &AutoRules::default());
    assert_eq!(risk.level, Medium);
    assert_eq!(risk.because, ["nothing is known of the change"]);
}

#[test]
fn what_does_not_count_is_not_asked_about() {
    let nothing = AutoRules {
        migrations: None,
        major_version: None,
        configuration: None,
        lines: Vec::new(),
        paths: Vec::new(),
        budget_below: Vec::new(),
        failure_rate: Vec::new(),
    };
    let only_versions = AutoRules {
        major_version: Some(High),
        ..nothing.clone()
    };
    let signals = RiskSignals {
        bump: Some(Bump::Minor),
        has_migrations: Some(true),
        ..RiskSignals::default()
    };
    let risk = assess(&signals, &only_versions);
    assert_eq!(
        (risk.level, risk.because),
        (Low, vec!["minor version".to_owned()])
    );
    // Where nothing counts, nothing can be known.
    assert_eq!(assess(&harmless(), &nothing).level, Medium);
    // What could say nothing but low need not be known.
    let harmless_migrations = AutoRules {
        migrations: Some(Low),
        ..only_versions
    };
    let unknown = RiskSignals {
        has_migrations: None,
        ..signals
    };
    assert_eq!(assess(&unknown, &harmless_migrations).level, Low);
}

fn images(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pair = |(name, image): &(&str, &str)| ((*name).to_owned(), (*image).to_owned());
    of.iter().map(pair).collect()
}

#[test]
fn versions_are_read_off_the_tags_of_images() {
    let digest = format!("r/api@sha256:{}", "a".repeat(64));
    let cases: &[(&str, &str, Option<Bump>)] = &[
        ("r/api:1.2.3", "r/api:1.2.3", Some(Bump::Same)),
        ("r/api:1.2.3", "r/api:1.2.4", Some(Bump::Patch)),
        ("r/api:v1.2.3", "r/api:v1.3.0", Some(Bump::Minor)),
        ("r/api:1.9.9", "r/api:2.0.0", Some(Bump::Major)),
        ("r/api:2.0.0", "r/api:1.9.9", Some(Bump::Major)),
        ("r/api:0.4.0", "r/api:0.5.0", Some(Bump::Major)),
        ("r/api:0.4.0", "r/api:0.4.1", Some(Bump::Patch)),
        ("r/api:1.2", "r/api:1.2.1", Some(Bump::Patch)),
        ("r/api:1.2.3-rc.1", "r/api:1.2.3", Some(Bump::Patch)),
        (
            "localhost:5000/api:1.0.0",
            "localhost:5000/api:1.1.0@sha256:00",
            Some(Bump::Minor),
        ),
        ("r/api:1.0.0", "other/api:1.0.1", None),
        ("r/api:41", "r/api:42", None),
        ("r/api:latest", "r/api:1.0.0", None),
        ("localhost:5000/api", "localhost:5000/api:1.0.0", None),
        (&digest, "r/api:1.0.0", None),
    ];
    for (before, wanted, bump) in cases {
        let (before_images, wanted_images) =
            (images(&[("web", before)]), images(&[("web", wanted)]));
        let signals =
            RiskSignals::default().with_images(Some(&before_images), Some(&wanted_images));
        assert_eq!(signals.bump, *bump, "{before} → {wanted}");
        assert_eq!(signals.is_configuration, Some(before == wanted));
    }
}

#[test]
fn the_version_is_that_of_the_container_that_goes_furthest() {
    let of = |before: &[(&str, &str)], wanted: &[(&str, &str)]| {
        let (before, wanted) = (images(before), images(wanted));
        RiskSignals::default()
            .with_images(Some(&before), Some(&wanted))
            .bump
    };
    let before = [("proxy", "p:1.0.0"), ("web", "w:1.0.0")];
    assert_eq!(
        of(&before, &[("proxy", "p:1.0.0"), ("web", "w:1.1.0")]),
        Some(Bump::Minor)
    );
    assert_eq!(
        of(&before, &[("proxy", "p:next"), ("web", "w:1.1.0")]),
        None
    );
    assert_eq!(
        of(&before, &[("proxy", "p:next"), ("web", "w:2.0.0")]),
        Some(Bump::Major)
    );
    assert_eq!(of(&before, &[("new", "n:1.0.0"), ("web", "w:1.1.0")]), None);
    let nothing = RiskSignals::default().with_images(None, Some(&images(&before)));
    assert_eq!((nothing.bump, nothing.is_configuration), (None, None));
}

#[test]
fn commits_may_say_that_something_breaks_and_never_that_nothing_does() {
    let of = |subjects: &[&str]| {
        RiskSignals::default()
            .with_subjects(subjects.iter().copied())
            .bump
    };
    assert_eq!(of(&["feat: a", "fix(api)!: b"]), Some(Bump::Major));
    assert_eq!(of(&["refactor!: a"]), Some(Bump::Major));
    assert_eq!(
        of(&["feat: a", "fix: b!", "Stop! Hammer time: c", "!: d"]),
        None
    );
    let patched = RiskSignals {
        bump: Some(Bump::Patch),
        ..RiskSignals::default()
    };
    let breaks = patched.clone().with_subjects(["feat!: a"].into_iter());
    assert_eq!(breaks.bump, Some(Bump::Major));
    let silent = patched.with_subjects(["feat: a"].into_iter());
    assert_eq!(silent.bump, Some(Bump::Patch));
}

#[test]
fn the_failure_rate_is_that_of_changes_that_came_to_an_end_of_their_own() {
    let ending = |result| Ending {
        revision: "a".into(),
        result,
        reason: String::new(),
        started_at: Timestamp::UNIX_EPOCH,
        finished_at: Timestamp::UNIX_EPOCH,
        peak_weight: 0,
    };
    let rate = |of: &[EndingResult]| {
        let history: Vec<Ending> = of.iter().copied().map(ending).collect();
        RiskSignals::default().with_history(&history).failure_rate
    };
    assert_eq!(rate(&[]), None);
    assert_eq!(rate(&[Superseded]), None);
    assert_eq!(rate(&[Promoted, Superseded]), Some(0.0));
    assert_eq!(
        rate(&[RolledBack, Promoted, Superseded, Promoted, Promoted]),
        Some(0.25)
    );
}

#[test]
fn versions_of_releases_tell_what_digests_do_not() {
    let between = |versions: [&str; 2]| {
        let versions = Some(versions.map(str::to_owned));
        RiskSignals::default().with_versions(versions).bump
    };
    assert_eq!(between(["1.2.3", "1.2.4"]), Some(Bump::Patch));
    assert_eq!(between(["1.2.3", "1.3.0"]), Some(Bump::Minor));
    assert_eq!(between(["1.2.3", "2.0.0"]), Some(Bump::Major));
    assert_eq!(between(["0.2.3", "0.3.0"]), Some(Bump::Major));
    assert_eq!(between(["1.2.3", "2026-w7"]), None);
    let digests = ["a", "b"].map(|name| {
        let image = format!("r/api@sha256:{}", name.repeat(64));
        BTreeMap::from([("web".to_owned(), image)])
    });
    let known = RiskSignals::default().with_versions(Some(["1.0.0", "1.0.1"].map(str::to_owned)));
    let known = known.with_images(Some(&digests[0]), Some(&digests[1]));
    assert_eq!(known.bump, Some(Bump::Patch));
    let said = known.with_subjects(std::iter::once("feat!: sell"));
    assert_eq!(
        said.bump,
        Some(Bump::Major),
        "whichever says that it breaks"
    );
}
