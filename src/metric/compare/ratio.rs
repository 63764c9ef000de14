//! The sequential test of two ratios: bad events of all events, on both sides. No I/O.
//!
//! Given how many bad events an interval had on both sides together, how many of them are the canary's is binomial, whatever
//! the rate of errors was then: noise that both sides share cancels. A mixture of likelihood ratios against the
//! tolerated share is an e-process: by Ville's inequality it passes 1/α with a probability of at most α however often one
//! looks. Noise that the sides do not share makes the counts vary more than binomial ones; the likelihood is
//! tempered by how much more (the design effect).

use std::time::Duration;

use super::claim::{Claim, Evidence, Found, Worse};

/// Events of one side in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Events {
    /// Bad events.
    pub bad: f64,
    /// All events, bad ones too.
    pub all: f64,
}

/// One interval, on both sides.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Interval {
    /// The canary's events.
    pub canary: Events,
    /// The stable revision's.
    pub stable: Events,
}

impl Interval {
    /// Whether there is something to compare: both sides had events.
    pub fn is_usable(&self) -> bool {
        self.canary.all > 0.0 && self.stable.all > 0.0
    }
}

/// What the canary's ratio is taken to be, in multiples of what is tolerated. The mixture has equal weights.
const MULTIPLES: [f64; 8] = [1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0];

/// Noise of one side's own that is always assumed: the standard deviation of the logarithm of the quotient of both ratios,
/// beyond what counting explains.
const OWN_NOISE: f64 = 0.10;
/// How many intervals that assumption is worth when the data say otherwise.
const PRIOR: f64 = 4.0;
/// So often intervals are weighted anew when the noise is estimated.
const ROUNDS: usize = 4;
/// How long such noise lasts: after that time its correlation is 1/e.
const MEMORY: Duration = Duration::from_mins(1);
/// So many intervals never decide: those that speak most for a difference count as much as the next.
const CUT: usize = 2;

/// One interval as the test sees it.
struct Piece {
    /// Bad events of the canary, and of both.
    bad: f64,
    both: f64,
    /// Odds that a bad event is the canary's, if the canary's ratio is what is tolerated.
    odds: f64,
}

impl Piece {
    /// The share of the canary when its ratio is `multiple` of what is tolerated.
    fn share(&self, multiple: f64) -> f64 {
        let odds = self.odds * multiple;
        odds / (1.0 + odds)
    }

    /// The logarithm of the likelihood of `multiple`, beside that of 1.
    fn gain(&self, multiple: f64) -> f64 {
        let more = (1.0 + self.odds) / (1.0 + self.odds * multiple);
        self.bad * multiple.ln() + self.both * more.ln()
    }
}

/// What these intervals say, each of which lasted `step`.
pub fn test(intervals: &[Interval], step: Duration, claim: &Claim) -> Evidence {
    let tolerated = claim.tolerated();
    let usable = intervals.iter().filter(|interval| interval.is_usable());
    let pieces: Vec<Piece> = usable
        .map(|Interval { canary, stable }| Piece {
            bad: canary.bad,
            both: canary.bad + stable.bad,
            odds: tolerated * canary.all / stable.all,
        })
        .collect();
    // Half an event on each side, so that there is a number without any.
    let multiple = quotient(&pieces, 0.5);
    let effect = design_effect(&pieces, multiple, step);
    let higher = MULTIPLES.map(|multiple| weight_of(&pieces, multiple, effect));
    let lower = MULTIPLES.map(|multiple| weight_of(&pieces, 1.0 / multiple, effect));
    let (worse, better) = match claim.worse {
        Worse::Higher => (mean_exp(&higher), mean_exp(&lower)),
        Worse::Lower => (mean_exp(&lower), mean_exp(&higher)),
    };
    let limit = -claim.alpha.ln();
    let found = if worse >= limit {
        Found::Worse
    } else if better >= limit {
        Found::NotWorse
    } else {
        Found::Undecided
    };
    Evidence {
        found,
        shift: tolerated * quotient(&pieces, 0.0) - 1.0,
        p: (-worse).exp().min(1.0),
    }
}

/// The canary's ratio in multiples of what is tolerated, by Mantel and Haenszel, with so many events added to both sides.
fn quotient(pieces: &[Piece], added: f64) -> f64 {
    let (mut canary, mut stable) = (added, added);
    for piece in pieces {
        let share = piece.share(1.0);
        canary += piece.bad * (1.0 - share);
        stable += (piece.both - piece.bad) * share;
    }
    canary / stable
}

/// By how much more the canary's part of bad events varies in sum than a binomial one: 1 if sides have no noise of their own.
fn design_effect(pieces: &[Piece], multiple: f64, step: Duration) -> f64 {
    // Per interval: the binomial variance of the canary's part, and the square of how far it is from what is expected.
    let spread = |piece: &Piece| {
        let share = piece.share(multiple);
        let rest = piece.bad - piece.both * share;
        (piece.both * share * (1.0 - share), rest * rest)
    };
    let spreads: Vec<(f64, f64)> = pieces
        .iter()
        .map(spread)
        .filter(|(binomial, _)| *binomial > 0.0)
        .collect();
    let memory = (-step.as_secs_f64() / MEMORY.as_secs_f64()).exp();
    let (mut variance, mut correlated, mut before) = (0.0, 0.0, 0.0);
    for (binomial, _) in &spreads {
        before *= memory;
        variance += binomial;
        correlated += binomial * (binomial + 2.0 * before);
        before += binomial;
    }
    if variance > 0.0 {
        1.0 + own_noise(&spreads) * correlated / variance
    } else {
        1.0
    }
}

/// The variance of noise of the sides' own, as it is estimated from these intervals. Each of them tells it as well as it can, which
/// depends on what it is: so it is weighted anew a few times.
fn own_noise(spreads: &[(f64, f64)]) -> f64 {
    let floor = OWN_NOISE * OWN_NOISE;
    let mut noise = floor;
    for _ in 0..ROUNDS {
        let mut weight = PRIOR / (2.0 * noise * noise);
        let mut sum = weight * floor;
        for (binomial, squared) in spreads {
            let square = binomial * binomial;
            let variance = binomial + square * noise;
            let precision = square * square / (binomial + 2.0 * variance * variance);
            weight += precision;
            sum += precision * (squared - binomial) / square;
        }
        noise = (sum / weight).max(floor);
    }
    noise
}

/// The logarithm of the tempered likelihood ratio of `multiple`; intervals that speak for it more than all others count as the next.
fn weight_of(pieces: &[Piece], multiple: f64, effect: f64) -> f64 {
    // The highest, and last the one that the others are cut to.
    let mut most = [f64::NEG_INFINITY; CUT + 1];
    let mut sum = 0.0;
    for piece in pieces {
        let mut gain = piece.gain(multiple);
        sum += gain;
        for kept in &mut most {
            if gain > *kept {
                std::mem::swap(&mut gain, kept);
            }
        }
    }
    let next = most.last().copied().filter(|next| next.is_finite());
    let next = next.unwrap_or(0.0);
    let beyond = most
        .iter()
        .filter(|gain| gain.is_finite())
        .map(|gain| (gain - next).max(0.0));
    (sum - beyond.sum::<f64>()) / effect
}

/// The logarithm of the mean of what these are the logarithms of.
fn mean_exp(logs: &[f64]) -> f64 {
    let highest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logs.iter().map(|log| (log - highest).exp()).sum();
    #[expect(clippy::cast_precision_loss, reason = "there are eight")]
    let mean = sum / logs.len() as f64;
    highest + mean.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_secs(15);
    const CLAIM: Claim = Claim {
        worse: Worse::Higher,
        tolerance: 0.05,
        alpha: 0.01,
    };

    fn interval(canary: (f64, f64), stable: (f64, f64)) -> Interval {
        let side = |(bad, all)| Events { bad, all };
        Interval {
            canary: side(canary),
            stable: side(stable),
        }
    }

    #[test]
    fn the_mixture_is_worth_one_on_average() {
        // An e-value has the mean 1 where the canary is exactly as bad as is tolerated; here over all outcomes of 40 bad events
        // with a share of 0.3, untempered and uncut.
        let share: f64 = 0.3;
        let odds = share / (1.0 - share);
        let mut probability = (1.0 - share).powi(40);
        let (mut mean, mut all) = (0.0, 0.0);
        for bad in 0..=40 {
            let bad = f64::from(bad);
            let piece = Piece {
                bad,
                both: 40.0,
                odds,
            };
            let value: f64 = MULTIPLES
                .iter()
                .map(|multiple| piece.gain(*multiple).exp())
                .sum();
            mean += probability * value / 8.0;
            all += probability;
            probability *= (40.0 - bad) / (bad + 1.0) * odds;
        }
        assert!(
            (all - 1.0).abs() < 1e-9 && (mean - 1.0).abs() < 1e-9,
            "{mean}"
        );
    }

    #[test]
    fn a_canary_that_is_clearly_worse_is_found_soon() {
        let worse = [interval((22.0, 750.0), (7.0, 750.0)); 8];
        let looks =
            (1..=8).find(|looks| test(&worse[..*looks], STEP, &CLAIM).found == Found::Worse);
        assert!(looks.is_some_and(|looks| looks <= 6), "{looks:?}");
        let broken = [interval((750.0, 750.0), (7.0, 750.0)); 3];
        assert_eq!(test(&broken, STEP, &CLAIM).found, Found::Worse);
        assert_eq!(test(&broken[..2], STEP, &CLAIM).found, Found::Undecided);
        let evidence = test(&worse, STEP, &CLAIM);
        assert!(
            (evidence.shift - 15.0 / 7.0).abs() < 1e-9,
            "{}",
            evidence.shift
        );
        assert!(evidence.p < 0.01);
    }

    #[test]
    fn a_canary_that_is_clearly_better_is_found_too() {
        let better = [interval((3.0, 750.0), (40.0, 750.0)); 12];
        assert_eq!(test(&better, STEP, &CLAIM).found, Found::NotWorse);
    }

    #[test]
    fn what_both_suffer_is_nobodys_fault() {
        let mut both: Vec<Interval> = vec![interval((1.0, 100.0), (9.0, 900.0)); 10];
        both.extend([interval((80.0, 100.0), (720.0, 900.0)); 10]);
        let evidence = test(&both, STEP, &CLAIM);
        assert_eq!(evidence.found, Found::Undecided);
        assert!(evidence.shift.abs() < 1e-9);
    }

    #[test]
    fn two_intervals_alone_never_decide() {
        let mut calm: Vec<Interval> = vec![interval((10.0, 1000.0), (10.0, 1000.0)); 10];
        calm[4] = interval((900.0, 1000.0), (10.0, 1000.0));
        calm[5] = calm[4];
        for looks in 1..=10 {
            assert_eq!(test(&calm[..looks], STEP, &CLAIM).found, Found::Undecided);
        }
        assert_eq!(test(&calm[4..6], STEP, &CLAIM).found, Found::Undecided);
    }

    #[test]
    fn nothing_says_nothing() {
        let silent = [interval((0.0, 0.0), (4.0, 100.0)); 5];
        for intervals in [&[][..], &silent] {
            let evidence = test(intervals, STEP, &CLAIM);
            assert_eq!(evidence.found, Found::Undecided);
            assert!(evidence.shift.is_nan() && evidence.p >= 1.0);
        }
        let faultless = [interval((0.0, 100.0), (0.0, 100.0)); 5];
        assert_eq!(test(&faultless, STEP, &CLAIM).found, Found::Undecided);
    }

    #[test]
    fn noise_of_their_own_makes_counts_worth_less() {
        let steady = [interval((20.0, 1000.0), (20.0, 1000.0)); 12];
        let mut restless = steady;
        for (index, one) in restless.iter_mut().enumerate() {
            one.canary.bad = if index % 2 == 0 { 35.0 } else { 5.0 };
        }
        let effect = |intervals: &[Interval]| {
            let pieces: Vec<Piece> = intervals
                .iter()
                .map(|one| Piece {
                    bad: one.canary.bad,
                    both: one.canary.bad + one.stable.bad,
                    odds: 1.0,
                })
                .collect();
            design_effect(&pieces, quotient(&pieces, 0.5), STEP)
        };
        assert!(effect(&restless) > 3.0 * effect(&steady));
        assert!(effect(&steady) > 1.0);
    }
}
