//! A scripted month, counted by hand; and what may happen to lines without changing a figure.

use jiff::SignedDuration;
use proptest::prelude::*;

use super::Window;
use super::api::{Band, DoraShare, DoraSpan, DoraWindow};
use super::figures::{figures, status};
use super::record::{Ledger, Line, MAX_LINES, PAGE, Upkeep, upkeep};
use super::tally::Tally;
use super::testing::{at, promoted};
use crate::promotion::api::PromotionPhase::{Failed, RolledBack};

/// When the Environment was made.
const MADE: &str = "2026-11-01T00:00:00Z";
/// When it is counted.
const NOW: &str = "2026-12-01T06:00:00Z";

/// | # | what | why it matters |
/// |---|---|---|
/// | 0 | a record that is older than the Environment | only the longest window has it, and begins with it |
/// | 3, 4 | an analysis fails, and the Environment goes back | one failure, one rollback, 40 minutes |
/// | 5 | brings also the commit of what was taken back, on its first clock | 80 hours |
/// | 6 | a hotfix | not planned |
/// | 7 | templates alone | a change without commits |
/// | 8 | an alert fires afterwards | a failure, 3 hours |
/// | 9, 10 | a person goes back | a failure, 20 minutes, and its commit is not counted |
/// | 11 | the same Release again, which stays | its commit is counted now, the change is not counted twice |
/// | 12, 13 | an attempt fails, the next one succeeds | one change that failed, 6 hours |
/// | 14 | an incident that is not over | a failure without an end |
fn month() -> Vec<Line> {
    vec![
        promoted(0, "r0", "2026-09-12T00:00:00Z").hours(&[200]),
        promoted(1, "r1", "2026-11-02T12:00:00Z").hours(&[4, 6]),
        promoted(2, "r2", "2026-11-04T12:00:00Z").hours(&[10]),
        promoted(3, "r3", "2026-11-06T12:00:00Z")
            .ended(RolledBack)
            .incident("2026-11-06T11:30:00Z", Some("2026-11-06T12:10:00Z")),
        promoted(4, "r2", "2026-11-06T12:10:00Z").back_from("r3", "2026-11-06T12:00:00Z"),
        promoted(5, "r4", "2026-11-09T10:00:00Z").hours(&[80, 20]),
        promoted(6, "r5", "2026-11-10T10:00:00Z")
            .hours(&[1])
            .hotfix(),
        promoted(7, "r5", "2026-11-12T10:00:00Z").config(),
        promoted(8, "r6", "2026-11-15T10:00:00Z")
            .hours(&[30])
            .incident("2026-11-15T10:30:00Z", Some("2026-11-15T13:30:00Z")),
        promoted(9, "r7", "2026-11-18T10:00:00Z").hours(&[50]),
        promoted(10, "r6", "2026-11-18T12:20:00Z").back_from("r7", "2026-11-18T12:00:00Z"),
        promoted(11, "r7", "2026-11-20T10:00:00Z").hours(&[98]),
        promoted(12, "r8", "2026-11-25T09:00:00Z").ended(Failed),
        promoted(13, "r8", "2026-11-25T15:00:00Z").hours(&[26, 28]),
        promoted(14, "r9", "2026-11-30T23:00:00Z")
            .hours(&[3])
            .incident("2026-11-30T23:30:00Z", None),
    ]
}

fn span(median_seconds: u64, mean_seconds: u64, count: u32, band: Band) -> DoraSpan {
    DoraSpan {
        median_seconds,
        mean_seconds,
        count,
        band,
    }
}

fn share(ratio: &str, count: u32, of: u32, band: Option<Band>) -> DoraShare {
    DoraShare {
        ratio: ratio.to_owned(),
        count,
        of,
        band,
    }
}

/// What people get over a window: frequency, lead time, failures, recovery, what is not over, rework.
fn shown(window: &DoraWindow) -> impl PartialEq + std::fmt::Debug + use<> {
    let frequency = &window.frequency;
    (
        (
            frequency.deployments,
            frequency.per_day.clone(),
            frequency.band,
        ),
        window.lead_time.clone(),
        window.change_failures.clone(),
        window.recovery_time.clone(),
        window.unrecovered,
        window.rework.clone(),
    )
}

#[test]
fn a_scripted_month_gives_the_figures_that_were_counted_by_hand() {
    let ledger = Ledger::of(&month());
    let status = status(&ledger, at(MADE), at(NOW)).unwrap();
    assert_eq!(status.at.unwrap().0, at("2026-12-01T00:00:00Z"));
    let [week, month, quarter] = &status.windows[..] else {
        panic!("{:?}", status.windows);
    };
    let hour = 3600;
    // 12 failed, 13 and 14 succeeded: 26, 28 and 3 hours.
    let expected = (
        (2, "0.2857".to_owned(), Band::High),
        Some(span(26 * hour, 19 * hour, 3, Band::High)),
        Some(share("1.0000", 2, 2, Some(Band::Low))),
        Some(span(6 * hour, 6 * hour, 1, Band::High)),
        Some(1),
        Some(share("0.0000", 0, 2, None)),
    );
    assert_eq!(format!("{:?}", shown(week)), format!("{expected:?}"));
    // 1, 3, 4, 6, 10, 20, 26, 28, 30, 80 and 98 hours, 306 together; 20, 40, 180 and 360 minutes.
    let expected = (
        (10, "0.3333".to_owned(), Band::High),
        Some(span(20 * hour, 100_145, 11, Band::Elite)),
        Some(share("0.5000", 5, 10, Some(Band::Low))),
        Some(span(6600, 9000, 4, Band::High)),
        Some(1),
        Some(share("0.2500", 3, 12, None)),
    );
    assert_eq!(format!("{:?}", shown(month)), format!("{expected:?}"));
    // The same and 200 hours, in the 80 days since the oldest record.
    let expected = (
        (11, "0.1375".to_owned(), Band::Medium),
        Some(span(23 * hour, 151_800, 12, Band::Elite)),
        Some(share("0.4545", 5, 11, Some(Band::Low))),
        Some(span(6600, 9000, 4, Band::High)),
        Some(1),
        Some(share("0.2308", 3, 13, None)),
    );
    assert_eq!(format!("{:?}", shown(quarter)), format!("{expected:?}"));
}

#[test]
fn what_is_not_known_is_absent_and_never_zero() {
    assert_eq!(status(&Ledger::default(), at(MADE), at(NOW)), None);
    let ledger = Ledger::of(&[promoted(1, "r1", "2026-11-02T12:00:00Z")]);
    let shown = status(&ledger, at(MADE), at(NOW)).unwrap();
    let week = &shown.windows[0];
    assert_eq!(
        week.frequency.deployments, 0,
        "nothing was deployed: that is known"
    );
    assert_eq!(week.frequency.band, Band::Low);
    assert_eq!(week.lead_time, None);
    assert_eq!(week.change_failures, None);
    assert_eq!(week.recovery_time, None);
    assert_eq!(week.rework, None);
    let month = &shown.windows[1];
    assert_eq!(month.lead_time, None, "no commit is known");
    assert_eq!(
        month.change_failures,
        Some(share("0.0000", 0, 1, Some(Band::Elite)))
    );
}

#[test]
fn a_window_that_begins_before_what_is_known_is_left_out() {
    // So many in 24 days that nothing before is known any more.
    let lines = (0..u32::try_from(MAX_LINES).unwrap()).map(|number| {
        let line = promoted(number, &format!("r{number}"), "2026-11-06T00:00:00Z");
        let later = SignedDuration::from_mins(17 * i64::from(number));
        Line {
            finished_at: line.finished_at + later,
            ..line
        }
    });
    let lines: Vec<Line> = lines.collect();
    let shown = status(&Ledger::of(&lines), at("2026-01-01T00:00:00Z"), at(NOW)).unwrap();
    let windows: Vec<&str> = shown
        .windows
        .iter()
        .map(|one| one.window.as_str())
        .collect();
    assert_eq!(windows, ["7d"]);
    let older = promoted(9999, "r", "2026-11-05T00:00:00Z");
    assert!(
        !Ledger::of(&lines).takes(&older, at(NOW)),
        "there is no room for it"
    );
}

#[test]
fn a_rollback_takes_back_the_last_deployment_of_what_it_leaves() {
    let succeeded = |lines: &[Line]| {
        let ledger = Ledger::of(lines);
        let tally = Tally::of(&ledger, Window::Month, at(NOW), at(MADE)).unwrap();
        (tally.failed, tally.changes, tally.leads.len())
    };
    let a = promoted(1, "a", "2026-11-10T10:00:00Z").hours(&[1]);
    let b = promoted(2, "b", "2026-11-11T10:00:00Z").hours(&[1]);
    let c = promoted(3, "c", "2026-11-12T10:00:00Z").ended(RolledBack);
    let to_b = promoted(4, "b", "2026-11-12T11:00:00Z").back_from("c", "2026-11-12T10:00:00Z");
    let to_a = promoted(5, "a", "2026-11-12T12:00:00Z").back_from("b", "2026-11-12T11:30:00Z");
    assert_eq!(succeeded(&[a.clone(), b.clone()]), (0, 2, 2));
    let back = [a.clone(), b.clone(), c, to_b];
    assert_eq!(succeeded(&back), (1, 3, 2), "what it went back to is good");
    let further = [&back[..], &[to_a]].concat();
    assert_eq!(
        succeeded(&further),
        (2, 3, 1),
        "and then it is not any more"
    );
    // Another Pipeline of the same Environment has nothing to do with it.
    let other = Line {
        pipeline: "web".to_owned(),
        ..promoted(3, "w", "2026-11-12T10:00:00Z").back_from("b", "2026-11-12T10:00:00Z")
    };
    assert_eq!(succeeded(&[a, b, other]), (0, 2, 2));
}

#[test]
fn bands_are_those_that_were_published() {
    let of = |deployments, seconds| {
        let tally = Tally {
            seconds,
            deployments,
            ..Tally::default()
        };
        figures(&tally, Window::Month).frequency.band
    };
    let days = |days: i64| days * super::DAY;
    assert_eq!(of(31, days(30)), Band::Elite, "more than once a day");
    assert_eq!(of(30, days(30)), Band::High, "once a day");
    assert_eq!(of(1, days(7)), Band::High, "once a week");
    assert_eq!(of(1, days(8)), Band::Medium);
    assert_eq!(of(1, days(30)), Band::Medium, "once a month");
    assert_eq!(of(2, days(90)), Band::Low);
    let failures = |failed| {
        let tally = Tally {
            failed,
            changes: 20,
            ..Tally::default()
        };
        let share = figures(&tally, Window::Month).change_failures;
        share.unwrap().band.unwrap()
    };
    let bands = [1, 2, 3, 4].map(failures);
    assert_eq!(bands, [Band::Elite, Band::High, Band::Medium, Band::Low]);
    let times = |leads: i64, recoveries: i64| {
        let tally = Tally {
            leads: vec![leads],
            recoveries: vec![recoveries],
            ..Tally::default()
        };
        let shown = figures(&tally, Window::Month);
        (
            shown.lead_time.unwrap().band,
            shown.recovery_time.unwrap().band,
        )
    };
    assert_eq!(times(days(1) - 1, 3599), (Band::Elite, Band::Elite));
    assert_eq!(times(days(1), 3600), (Band::High, Band::High));
    assert_eq!(times(days(7), days(1)), (Band::Medium, Band::Medium));
    assert_eq!(times(days(30), days(7)), (Band::Low, Band::Low));
}

#[test]
fn several_environments_are_counted_as_one() {
    let one = Ledger::of(&month());
    let other = Ledger::of(&[
        promoted(1, "s1", "2026-11-20T10:00:00Z").hours(&[20]),
        promoted(2, "s2", "2026-11-21T10:00:00Z").ended(Failed),
    ]);
    let count = |ledger| Tally::of(ledger, Window::Month, at("2026-12-01T00:00:00Z"), at(MADE));
    let mut all = count(&one).unwrap();
    all.add(&count(&other).unwrap());
    let shown = figures(&all, Window::Month);
    assert_eq!(shown.frequency.deployments, 11);
    assert_eq!(shown.frequency.per_day, "0.3667");
    assert_eq!(
        shown.change_failures,
        Some(share("0.5000", 6, 12, Some(Band::Low)))
    );
    assert_eq!(shown.lead_time.unwrap().count, 12);
    assert_eq!(shown.unrecovered, Some(2));
}

/// Lets pages be kept until nothing is left to do.
fn keep(pages: &mut Vec<Vec<Line>>, fresh: &[Line], now: jiff::Timestamp) {
    for _ in 0..100 {
        let ledger = Ledger::of(pages.iter().flatten());
        let is_new = |line: &&Line| {
            let known = ledger.line(&line.uid);
            ledger.takes(line, now) && known.is_none_or(|known| !known.says(line))
        };
        let new: Vec<Line> = fresh.iter().filter(is_new).cloned().collect();
        match upkeep(pages, &new, now) {
            Upkeep::Rest => return,
            Upkeep::Write(lines) => pages.push(lines),
            Upkeep::Drop(index) => drop(pages.remove(index)),
        }
    }
    panic!("pages do not come to rest");
}

#[test]
fn pages_are_few_and_have_room() {
    let mut pages = Vec::new();
    let all = (0..250).map(|number| promoted(number, "r", "2026-11-20T10:00:00Z"));
    let all: Vec<Line> = all.collect();
    for line in &all {
        keep(&mut pages, std::slice::from_ref(line), at(NOW));
    }
    assert_eq!(pages.len(), 3);
    assert!(pages.iter().all(|page| page.len() <= PAGE));
    assert_eq!(Ledger::of(pages.iter().flatten()), Ledger::of(&all));
    // When nothing of it counts any more nothing is kept.
    keep(&mut pages, &[], at("2027-03-01T00:00:00Z"));
    assert_eq!(pages, Vec::<Vec<Line>>::new());
}

#[test]
fn many_fresh_lines_are_written_a_page_at_a_time() {
    let all = (0..250).map(|number| promoted(number, "r", "2026-11-20T10:00:00Z"));
    let all: Vec<Line> = all.collect();
    let mut pages = Vec::new();
    keep(&mut pages, &all, at(NOW));
    assert!(pages.iter().all(|page| page.len() <= PAGE));
    assert_eq!(Ledger::of(pages.iter().flatten()), Ledger::of(&all));
}

#[test]
fn all_is_known_since_the_oldest_line_that_there_is_room_for() {
    let most = u32::try_from(MAX_LINES).unwrap();
    let lines = (0..most + 2).map(|number| Line {
        finished_at: at("2026-11-06T00:00:00Z") + SignedDuration::from_secs(i64::from(number)),
        ..promoted(number, "r", "2026-11-06T00:00:00Z")
    });
    let lines: Vec<Line> = lines.collect();
    let known = Ledger::of(&lines).known_since();
    assert_eq!(known, Some(at("2026-11-06T00:00:02Z")), "two are too many");
}

#[test]
fn what_is_said_again_with_more_is_kept_once() {
    let open = promoted(1, "r1", "2026-11-20T10:00:00Z").incident("2026-11-20T10:10:00Z", None);
    let over = promoted(1, "r1", "2026-11-20T10:00:00Z")
        .incident("2026-11-20T10:10:00Z", Some("2026-11-20T11:00:00Z"));
    let mut pages = Vec::new();
    keep(&mut pages, std::slice::from_ref(&open), at(NOW));
    keep(&mut pages, std::slice::from_ref(&over), at(NOW));
    assert_eq!(pages, [vec![over.clone()]]);
    keep(&mut pages, &[open], at(NOW));
    assert_eq!(pages, [vec![over]], "what is over is over");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// In which order lines come, how often, on which page they are, and who tidies up when: no figure changes.
    #[test]
    fn no_figure_depends_on_pages(
        order in Just((0..15_usize).collect::<Vec<_>>()).prop_shuffle(),
        again in proptest::collection::vec(0..15_usize, 0..10),
        batch in 1..6_usize,
    ) {
        let lines = month();
        let expected = status(&Ledger::of(&lines), at(MADE), at(NOW));
        let mut pages = Vec::new();
        let all: Vec<Line> = order.iter().chain(&again).map(|index| lines[*index].clone()).collect();
        for batch in all.chunks(batch) {
            keep(&mut pages, batch, at(NOW));
        }
        prop_assert_eq!(pages.len(), 1);
        let mut told: Vec<&Line> = pages.iter().flatten().collect();
        prop_assert_eq!(status(&Ledger::of(told.iter().copied()), at(MADE), at(NOW)), expected.clone());
        told.reverse();
        prop_assert_eq!(status(&Ledger::of(told), at(MADE), at(NOW)), expected);
    }

    /// Whenever it is looked at on a day on which nothing happened, the figures are the same.
    #[test]
    fn figures_change_when_a_record_does_and_once_a_day(second in 0..86_400_i64) {
        let ledger = Ledger::of(&month());
        let midnight = at("2026-12-03T00:00:00Z");
        let later = midnight + SignedDuration::from_secs(second);
        prop_assert_eq!(status(&ledger, at(MADE), midnight), status(&ledger, at(MADE), later));
    }
}
