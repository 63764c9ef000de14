//! The machine alone: what it does with Jobs that are there, suspended, gone, ended in every way.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::check::Ending;
use crate::model::key::Key;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn rules() -> Migrations {
    let command = |word: &str| json!({"command": ["db", word]});
    let rules = json!({
        "database": "shop-db", "image": "i",
        "validate": command("validate"), "run": command("run"), "verify": command("verify"),
        "backup": {"command": ["db", "backup"], "restoreTest": command("restore-test")},
        "rollback": {"onFailure": "Down", "down": command("down")},
        "contract": {"command": ["db", "contract"]},
    });
    serde_json::from_value(rules).unwrap()
}

fn check(outcome: Outcome, ending: Option<(i32, &str)>) -> Check {
    let is_over = outcome != Outcome::Running;
    Check {
        target: Target {
            kind: ObjectKind::Job,
            key: Key::new("shop", "job"),
            uid: "u".to_owned(),
            resource_version: "1".to_owned(),
        },
        promotion: "p".to_owned(),
        is_suspended: false,
        outcome,
        finished_at: is_over.then_some(NOW),
        ending: ending.map(|(exit_code, text)| Ending {
            exit_code,
            text: text.to_owned(),
        }),
    }
}

fn suspended() -> Check {
    Check {
        is_suspended: true,
        ..check(Outcome::Running, None)
    }
}

/// One step of a machine whose record is this, with the Job of its phase as it is.
fn step(known: &MigrationStatus, job: Option<&Check>) -> (Next, MigrationStatus) {
    let rules = rules();
    let mut machine = Machine::new(Course::Forward, &rules, Some(known), NOW);
    let next = machine.advance(|phase| format!("job-{phase}"), |_| job);
    (next, machine.status)
}

#[test]
fn a_phase_is_made_put_on_record_and_only_then_let_go() {
    let first = MigrationPhase::Validate;
    let (next, made) = step(&MigrationStatus::default(), None);
    assert_eq!(next, Next::Make(first));
    // It never ran: it may be made again.
    let (next, _) = step(&made, None);
    assert_eq!(next, Next::Make(first));
    let (next, begun) = step(&made, Some(&suspended()));
    assert_eq!(next, Next::Release(first));
    assert_eq!(begun.phases[0].state, StepState::Running);
    // Whoever died in between lets it go.
    let (next, same) = step(&begun, Some(&suspended()));
    assert_eq!((next, &same), (Next::Release(first), &begun));
    let (next, _) = step(&begun, Some(&check(Outcome::Running, None)));
    assert!(matches!(next, Next::Await(..)), "{next:?}");
}

#[test]
fn a_job_that_runs_and_is_not_on_record_is_what_tells() {
    let (next, begun) = step(
        &MigrationStatus::default(),
        Some(&check(Outcome::Running, None)),
    );
    assert_eq!(next, Next::Again);
    assert_eq!(begun.phases[0].state, StepState::Running);
}

#[test]
fn what_a_pod_tells_is_waited_for_and_not_taken_for_nothing() {
    let (_, made) = step(&MigrationStatus::default(), None);
    let (_, begun) = step(&made, Some(&suspended()));
    let ended = check(Outcome::Passed, None);
    let (next, _) = step(&begun, Some(&ended));
    assert!(matches!(next, Next::Await(..)), "{next:?}");
    let late = Check {
        finished_at: Some(NOW - jiff::SignedDuration::from_mins(1)),
        ..ended
    };
    let (next, over) = step(&begun, Some(&late));
    assert_eq!((next, over.state), (Next::Over, MigrationState::Refused));
}

/// What became of a Job.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Well,
    Fails,
    Killed,
    Gone,
    Runs,
}

fn fates() -> impl Strategy<Value = Fate> {
    prop_oneof![
        6 => Just(Fate::Well),
        1 => Just(Fate::Fails),
        1 => Just(Fate::Killed),
        1 => Just(Fate::Gone),
        1 => Just(Fate::Runs),
    ]
}

fn told(phase: MigrationPhase) -> &'static str {
    match phase {
        MigrationPhase::Validate => "version 1\npending a",
        MigrationPhase::Backup => "backup b\nbytes 9",
        _ => "version 2",
    }
}

proptest! {
    /// No phase is let go twice, nothing is changed before a backup was proven, and an end is an end.
    #[test]
    fn nothing_is_let_go_twice(
        fates in proptest::collection::vec(fates(), 60),
        course in prop::sample::select(vec![Course::Forward, Course::Back, Course::Contract]),
    ) {
        let rules = rules();
        let mut status = MigrationStatus::default();
        let mut jobs: BTreeMap<String, Check> = BTreeMap::new();
        let mut begun: Vec<MigrationPhase> = Vec::new();
        for fate in fates {
            let before = status.clone();
            let mut machine = Machine::new(course, &rules, Some(&status), NOW);
            let next = machine.advance(|phase| phase.to_string(), |name| jobs.get(name));
            status = machine.status;
            if before.state.is_over() {
                prop_assert_eq!(&before, &status);
            }
            match next {
                Next::Make(phase) => {
                    prop_assert!(!begun.contains(&phase));
                    jobs.insert(phase.to_string(), suspended());
                }
                Next::Release(phase) => {
                    prop_assert!(!begun.contains(&phase), "{:?}", begun);
                    prop_assert!(!phase.changes() || status.has_passed(MigrationPhase::RestoreTest));
                    begun.push(phase);
                    jobs.insert(phase.to_string(), check(Outcome::Running, None));
                }
                Next::Await(phase, _) => {
                    let failed = Outcome::Failed("BackoffLimitExceeded".to_owned());
                    let job = match fate {
                        Fate::Well => Some(check(Outcome::Passed, Some((0, told(phase))))),
                        Fate::Fails => Some(check(failed, Some((1, "no")))),
                        Fate::Killed => Some(check(failed, Some((137, "")))),
                        Fate::Runs => Some(check(Outcome::Running, None)),
                        Fate::Gone => None,
                    };
                    match job {
                        Some(job) => jobs.insert(phase.to_string(), job),
                        None => jobs.remove(&phase.to_string()),
                    };
                }
                Next::Again | Next::Over => {}
            }
            if status.state == MigrationState::Done {
                prop_assert!(begun.iter().all(|phase| status.has_passed(*phase)));
            }
            if status.state == MigrationState::Refused {
                prop_assert!(!begun.iter().any(|phase| phase.changes()));
            }
        }
    }
}
