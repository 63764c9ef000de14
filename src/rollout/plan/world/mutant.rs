//! Each traffic rule has a mutant: with the rule taken out, some world loses a request, or breaks what the rule promises.
//! A rule whose mutant survives is not tested.

use std::any::Any;

use super::super::Rules;
use super::any::anything;
use super::stories::STORIES;
use super::story::{Story, restarted};
use super::{GOOD, Habits, REPLICAS};

/// Worlds of each story in which a mutant is looked for.
const SEEDS: u64 = 40;

/// Whether some world shows that these habits are wrong: something is lost, or does not come to the end that its story
/// tells of. A planner that cannot go on at all shows nothing.
fn is_killed(habits: Habits) -> bool {
    let mut stories = STORIES.iter();
    stories.any(|(_, story)| (0..SEEDS).any(|seed| is_shown_by(*story, seed, habits)))
}

/// Whether this world shows it.
fn is_shown_by(story: Story, seed: u64, habits: Habits) -> bool {
    let run = std::panic::catch_unwind(|| story(seed, habits));
    match run {
        Ok(world) => !(world.lost.is_empty() && world.wrong.is_empty()),
        Err(panic) => is_of_a_story(panic.as_ref(), seed),
    }
}

/// Whether it is a story that found its end wrong: those say which world it is.
fn is_of_a_story(panic: &(dyn Any + Send), seed: u64) -> bool {
    let text = panic.downcast_ref::<String>();
    text.is_some_and(|text| text.contains(&format!("seed {seed}")))
}

#[test]
fn a_planner_that_breaks_kills_no_mutant() {
    let run = |what: fn()| std::panic::catch_unwind(what).unwrap_err();
    let broken = run(|| panic!("attempt to subtract with {}", "overflow"));
    assert!(!is_of_a_story(broken.as_ref(), 3));
    let wrong = run(|| assert_eq!(1, 2, "seed {}: v2 gets stuck", 3));
    assert!(is_of_a_story(wrong.as_ref(), 3) && !is_of_a_story(wrong.as_ref(), 4));
}

macro_rules! mutants {
    ($($name:ident: $rule:ident;)*) => {
        $(#[test]
        fn $name() {
            let rules = Rules { $rule: false, ..Rules::ALL };
            assert!(is_killed(Habits { rules, ..GOOD }), "the mutant survives");
        })*
    };
}

mutants! {
    rule_1_ready_before_weight_is_needed: ready_before_weight;
    rule_2_drain_before_scale_down_is_needed: drain_before_scale_down;
    rule_3_referenced_revisions_must_keep_their_pods: referenced_is_never_scaled_away;
    rule_4_the_way_back_must_not_need_health: abort_needs_no_health;
    rule_5_selectors_must_change_only_when_idle: selector_swaps_idle;
    rule_8_counts_must_be_bounded: counts_are_bounded;
    rule_9_superseded_revisions_must_drain: superseded_drain;
    rule_10_no_data_must_not_be_success: no_data_is_not_success;
    rule_12_shares_must_have_their_pods: shares_need_their_pods;
    rule_13_silence_must_take_its_time: silence_takes_its_time;
}

#[test]
fn rule_6_intent_must_come_first() {
    assert!(
        is_killed(Habits {
            intent_first: false,
            ..GOOD
        }),
        "the mutant survives"
    );
}

#[test]
fn rule_7_old_reads_must_not_write() {
    assert!(
        is_killed(Habits {
            reads_own_writes: false,
            ..GOOD
        }),
        "the mutant survives"
    );
}

/// Told apart from the others because it is about restarts only.
#[test]
fn rule_11_a_restart_must_leave_enough() {
    let rules = Rules {
        restart_leaves_enough: false,
        ..Rules::ALL
    };
    let is_lossy = |replicas| {
        let world = restarted(0, Habits { rules, ..GOOD }, replicas);
        !world.lost.is_empty()
    };
    assert!(is_lossy(1) && is_lossy(REPLICAS), "the mutant survives");
}

/// What takes a rule out.
type Mutation = fn(&mut Rules);

/// What is judged of each write is enough to tell these.
#[test]
fn worlds_that_begin_anywhere_kill_mutants_by_themselves() {
    let takes_out: &[(&str, Mutation)] = &[
        ("1", |rules| rules.ready_before_weight = false),
        ("3", |rules| rules.referenced_is_never_scaled_away = false),
        ("5", |rules| rules.selector_swaps_idle = false),
        ("8", |rules| rules.counts_are_bounded = false),
        ("12", |rules| rules.shares_need_their_pods = false),
    ];
    for (name, take_out) in takes_out {
        let mut rules = Rules::ALL;
        take_out(&mut rules);
        let habits = Habits { rules, ..GOOD };
        let is_killed = (0..10 * SEEDS).any(|seed| is_shown_by(anything, seed, habits));
        assert!(is_killed, "the mutant of rule {name} survives");
    }
}
