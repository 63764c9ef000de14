//! A small version of `make bench-analysis`: simulated rollouts from one seed, judged by the real tests.

use std::time::Duration;

use testbed::bench::traces::{self, Counted, Noise, Service, USUAL};

use super::super::claim::{Claim, Found, Worse};
use super::super::rank::{self, Pair};
use super::super::ratio::{self, Events, Interval};
use super::super::spending;

const SEED: u64 = 5;
const LOOKS: usize = 40;
const CLAIM: Claim = Claim {
    worse: Worse::Higher,
    tolerance: 0.05,
    alpha: 0.01,
};

fn even() -> Service {
    Service::new(50.0, 50.0, 0.01)
}

fn interval(counted: &Counted) -> Interval {
    let side = |(bad, all)| Events { bad, all };
    Interval {
        canary: side(counted.canary),
        stable: side(counted.stable),
    }
}

/// The share of rollouts in which some look among the first so many found the canary worse.
fn share_found(
    service: &Service,
    factor: f64,
    (runs, looks): (u64, usize),
    is_worse: impl Fn(&[Interval]) -> bool,
) -> f64 {
    let is_found = |run: &u64| {
        let trace = traces::errors(service, &USUAL, factor, looks, (SEED, *run));
        let intervals: Vec<Interval> = trace.iter().map(interval).collect();
        (1..=looks).any(|look| is_worse(&intervals[..look]))
    };
    let found = u32::try_from((0..runs).filter(is_found).count()).unwrap();
    f64::from(found) / f64::from(u32::try_from(runs).unwrap())
}

fn is_worse(intervals: &[Interval]) -> bool {
    ratio::test(intervals, Duration::from_secs(15), &CLAIM).found == Found::Worse
}

/// What many do: a test of two proportions at 99 %, made at every look as if it were the only one.
fn peeking(intervals: &[Interval]) -> bool {
    let sum = |of: fn(&Interval) -> f64| intervals.iter().map(of).sum::<f64>();
    let (bad, all) = (sum(|i| i.canary.bad), sum(|i| i.canary.all));
    let (other_bad, other_all) = (sum(|i| i.stable.bad), sum(|i| i.stable.all));
    let both = (bad + other_bad) / (all + other_all);
    let deviation = (both * (1.0 - both) * (1.0 / all + 1.0 / other_all)).sqrt();
    (bad / all - 1.05 * other_bad / other_all) / deviation > 2.3263
}

#[test]
fn healthy_canaries_are_left_alone() {
    for (name, service) in [
        ("even", even()),
        ("small", Service::new(5.0, 495.0, 0.01)),
        ("busy", Service::new(500.0, 500.0, 0.02)),
    ] {
        let share = share_found(&service, 1.0, (200, LOOKS), is_worse);
        assert!(share <= 0.01, "{name}: {share}");
    }
}

#[test]
fn a_test_that_does_not_know_that_it_looks_often_would_not_pass() {
    let share = share_found(&even(), 1.0, (200, LOOKS), peeking);
    assert!(share > 0.05, "{share}");
}

#[test]
fn three_times_the_errors_are_found_within_two_minutes() {
    let share = share_found(&even(), 3.0, (200, 8), is_worse);
    assert!(share >= 0.95, "{share}");
}

fn slower(factor: f64, runs: u64, limits: &[f64], claim: &Claim) -> f64 {
    let noise = Noise {
        common: 0.1,
        own: 0.04,
        height: 2.0,
        ..USUAL
    };
    let is_found = |run: &u64| {
        let trace = traces::latencies(&even(), &noise, factor, limits.len(), (SEED, *run));
        let pair = |(canary, stable): &(f64, f64)| Pair {
            canary: *canary,
            stable: *stable,
        };
        let pairs: Vec<Pair> = trace.iter().map(pair).collect();
        (1..=pairs.len())
            .any(|look| rank::test_by(&pairs[..look], limits, claim).found == Found::Worse)
    };
    let found = u32::try_from((0..runs).filter(is_found).count()).unwrap();
    f64::from(found) / f64::from(u32::try_from(runs).unwrap())
}

#[test]
fn latencies_are_compared_as_surely() {
    let limits = spending::limits(0.01, 20);
    assert!(slower(1.0, 100, &limits, &CLAIM) <= 0.01);
    assert!(slower(1.5, 50, &limits, &CLAIM) >= 0.95);
    // Without spending, the same looks find something in what is nothing.
    let at_each = [1.6449; 20];
    let exactly = Claim {
        tolerance: 0.0,
        ..CLAIM
    };
    assert!(slower(1.0, 100, &at_each, &exactly) > 0.05);
}
