//! The test of Mann and Whitney: whether values of the canary are beyond those of stable. No I/O.
//!
//! Ranks ask nothing of the shape of a distribution, so one outlier is one outlier. Values of one side that follow one another are
//! alike, which makes U vary more than the formula says; z is divided by how much more (the design effect), and
//! compared with the limit of this look, see [`super::spending`].

use super::claim::{Claim, Evidence, Found, Worse, upper_point, upper_tail};
use super::spending;

/// Up to so many values per side the distribution of U is counted, if there are no ties.
const COUNTED: usize = 20;

/// Correlation of neighbouring intervals that is always assumed: less cannot be told from none by so few values.
const LEAST_MEMORY: f64 = 0.3;

/// What was measured in one interval, on both sides.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pair {
    /// The canary's value.
    pub canary: f64,
    /// The stable revision's.
    pub stable: f64,
}

/// What these pairs say at the look at which the last of them was new, of `planned` looks.
pub fn test(pairs: &[Pair], planned: u32, claim: &Claim) -> Evidence {
    let limits = spending::limits(claim.alpha, planned);
    test_by(pairs, &limits, claim)
}

/// The same with the limits of all looks, for those who compare often.
pub fn test_by(pairs: &[Pair], limits: &[f64], claim: &Claim) -> Evidence {
    let tolerated = claim.tolerated();
    let canary: Vec<f64> = pairs.iter().map(|pair| pair.canary).collect();
    let stable: Vec<f64> = pairs.iter().map(|pair| pair.stable).collect();
    let shifted: Vec<f64> = stable.iter().map(|value| value * tolerated).collect();
    let ranks = Ranks::of(&canary, &shifted);
    let scale = ranks.design_effect().sqrt();
    let (worse, better) = match claim.worse {
        Worse::Higher => (ranks.z_above() / scale, ranks.z_below() / scale),
        Worse::Lower => (ranks.z_below() / scale, ranks.z_above() / scale),
    };
    // After the last planned look nothing is left to spend.
    let limit = pairs
        .len()
        .checked_sub(1)
        .and_then(|index| limits.get(index));
    let found = match limit {
        Some(limit) if worse >= *limit => Found::Worse,
        Some(limit) if better >= *limit => Found::NotWorse,
        _ => Found::Undecided,
    };
    Evidence {
        found,
        shift: median(canary) / median(stable) - 1.0,
        p: upper_tail(worse),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle).copied().unwrap_or(f64::NAN);
    if values.len() % 2 == 1 {
        return upper;
    }
    let lower = middle.checked_sub(1).and_then(|index| values.get(index));
    lower.map_or(f64::NAN, |lower| f64::midpoint(*lower, upper))
}

/// The ranks of both sides in what they are together.
struct Ranks {
    canary: Vec<f64>,
    stable: Vec<f64>,
    /// The sum of t³ − t over groups of t equal values.
    ties: f64,
}

#[expect(clippy::cast_precision_loss, reason = "numbers of values")]
impl Ranks {
    fn of(canary: &[f64], stable: &[f64]) -> Self {
        let sides = canary.iter().map(|value| (*value, true));
        let mut all: Vec<(usize, (f64, bool))> = sides
            .chain(stable.iter().map(|value| (*value, false)))
            .enumerate()
            .collect();
        all.sort_by(|(_, (one, _)), (_, (other, _))| one.total_cmp(other));
        let mut ranked = Vec::with_capacity(all.len());
        let mut ties = 0.0;
        let mut below = 0.0;
        for group in all.chunk_by(|(_, (one, _)), (_, (other, _))| one.total_cmp(other).is_eq()) {
            let size = group.len() as f64;
            ties += size * size * size - size;
            let rank = below + f64::midpoint(size, 1.0);
            below += size;
            ranked.extend(group.iter().map(|(place, (_, side))| (*place, *side, rank)));
        }
        ranked.sort_by_key(|(place, ..)| *place);
        let of = |wanted: bool| {
            let these = ranked.iter().filter(|(_, side, _)| *side == wanted);
            these.map(|(.., rank)| *rank).collect()
        };
        Self {
            canary: of(true),
            stable: of(false),
            ties,
        }
    }

    /// Of all pairs of a canary's and a stable value, those in which the canary's is higher; equal ones count half.
    fn u(&self) -> f64 {
        let size = self.canary.len() as f64;
        self.canary.iter().sum::<f64>() - size * (size + 1.0) / 2.0
    }

    /// How far above stable the canary is, in standard deviations.
    fn z_above(&self) -> f64 {
        self.z(self.u())
    }

    /// The same below.
    fn z_below(&self) -> f64 {
        let pairs = (self.canary.len() * self.stable.len()) as f64;
        self.z(pairs - self.u())
    }

    fn z(&self, u: f64) -> f64 {
        let (one, other) = (self.canary.len(), self.stable.len());
        if one == 0 || other == 0 {
            return 0.0;
        }
        if self.ties == 0.0 && one <= COUNTED && other <= COUNTED {
            return upper_point(at_least(u, one, other));
        }
        let (n, m) = (one as f64, other as f64);
        let all = n + m;
        let variance = n * m / 12.0 * ((all + 1.0) - self.ties / (all * (all - 1.0)));
        // With correction for continuity: U moves by steps of a half or one.
        let beyond = u - n * m / 2.0;
        let corrected = (beyond.abs() - 0.5).max(0.0).copysign(beyond);
        if variance > 0.0 {
            corrected / variance.sqrt()
        } else {
            0.0
        }
    }

    /// By how much more U varies than of independent values, from how differences within an interval vary and how alike those are
    /// that follow one another. Noise that both sides share makes U vary less; that is not made use of.
    fn design_effect(&self) -> f64 {
        let sides = self.canary.iter().zip(&self.stable);
        let gaps: Vec<f64> = sides.map(|(one, other)| one - other).collect();
        let size = gaps.len() as f64;
        if size < 3.0 {
            return 1.0;
        }
        let mean = gaps.iter().sum::<f64>() / size;
        let square: f64 = gaps.iter().map(|gap| (gap - mean).powi(2)).sum();
        if square == 0.0 {
            return 1.0;
        }
        let next = gaps.iter().zip(gaps.iter().skip(1));
        let lagged: f64 = next.map(|(one, two)| (one - mean) * (two - mean)).sum();
        let raw = lagged / square;
        // What is estimated around a mean of the same values comes out too small.
        let memory = (raw + (1.0 + 3.0 * raw) / size).clamp(LEAST_MEMORY, 0.9);
        let (mut sum, mut power) = (0.0, 1.0);
        for lag in 1..gaps.len() {
            power *= memory;
            sum += (1.0 - lag as f64 / size) * power;
        }
        let variance = square / (size - 1.0) * (1.0 + 2.0 * sum);
        // The same of independent values: the mean of gaps is 2 U / n, but for a constant.
        let independent = size * (2.0 * size + 1.0) / 3.0;
        (variance / independent).max(1.0)
    }
}

/// The probability that U of so many independent values of one distribution is at least `u`: arrangements are counted.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a whole number up to 400"
)]
fn at_least(u: f64, one: usize, other: usize) -> f64 {
    // How many choices of so many of the first ranks have which sum above the smallest: the recursion of Mann and Whitney.
    let most = one * other;
    let mut ways = vec![vec![0.0_f64; most + 1]; one + 1];
    if let Some(first) = ways.first_mut().and_then(|row| row.first_mut()) {
        *first = 1.0;
    }
    for rank in 1..=(one + other) {
        for taken in (1..=one.min(rank)).rev() {
            // Taking this rank as the `taken`th adds the ranks that were passed over below it.
            let over = rank - taken;
            let (fewer, rest) = ways.split_at_mut(taken);
            let (Some(fewer), Some(these)) = (fewer.last(), rest.first_mut()) else {
                continue;
            };
            for (sum, count) in these.iter_mut().enumerate().skip(over) {
                *count += fewer.get(sum - over).copied().unwrap_or(0.0);
            }
        }
    }
    let counts = ways.last().map(Vec::as_slice).unwrap_or_default();
    let all: f64 = counts.iter().sum();
    let beyond: f64 = counts.iter().skip(u.max(0.0) as usize).sum();
    (beyond / all).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIM: Claim = Claim {
        worse: Worse::Higher,
        tolerance: 0.05,
        alpha: 0.01,
    };

    #[test]
    fn critical_values_are_those_of_published_tables() {
        // The largest U that is still significant, one-sided: Mann and Whitney (1947), Milton (1964).
        for (size, alpha, critical) in [
            (4, 0.05, 1),
            (5, 0.05, 4),
            (5, 0.01, 1),
            (8, 0.05, 15),
            (8, 0.01, 9),
            (10, 0.01, 19),
            (15, 0.01, 56),
            (20, 0.05, 138),
            (20, 0.01, 114),
        ] {
            let at_most =
                |u: u32| at_least(f64::from(size * size - u), size as usize, size as usize);
            assert!(at_most(critical) <= alpha, "{size} {alpha}");
            assert!(at_most(critical + 1) > alpha, "{size} {alpha}");
        }
        let separate = at_least(25.0, 5, 5);
        assert!((separate - 1.0 / 252.0).abs() < 1e-12);
        assert!((at_least(0.0, 3, 7) - 1.0).abs() < 1e-12);
    }

    fn side(values: &[f64], others: &[f64]) -> Ranks {
        Ranks::of(values, others)
    }

    #[test]
    fn equal_values_share_their_rank() {
        let ranks = side(&[1.0, 2.0, 2.0, 5.0], &[2.0, 3.0, 4.0, 4.0]);
        assert_eq!(ranks.canary, [1.0, 3.0, 3.0, 8.0]);
        assert_eq!(ranks.stable, [3.0, 5.0, 6.5, 6.5]);
        assert_eq!(format!("{}", ranks.ties), "30");
        assert_eq!(format!("{}", ranks.u()), "5");
        // Variance 16/12 (9 - 30/56), and half a pair for continuity: (8 - 5 - 0.5) / 3.3594.
        assert!(
            (ranks.z_below() - 0.7442).abs() < 1e-4,
            "{}",
            ranks.z_below()
        );
        assert!((ranks.z_above() + ranks.z_below()).abs() < 1e-12);
    }

    #[test]
    fn what_is_all_the_same_says_nothing() {
        let ranks = side(&[7.0; 9], &[7.0; 9]);
        assert_eq!(format!("{}", ranks.z_above()), "0");
        let none = test(&[], 20, &CLAIM);
        assert_eq!(none.found, Found::Undecided);
        assert!(none.shift.is_nan());
    }

    fn pairs(canary: f64, looks: u32) -> Vec<Pair> {
        // Some noise of both sides, and a wave that they share.
        let value = |index: u32, seed: u32| f64::from((index * 7919 + seed * 104_729) % 97) / 970.0;
        let pair = |index| {
            let wave = 1.0 + 0.2 * (f64::from(index) / 5.0).sin();
            Pair {
                canary: canary * wave * (1.0 + value(index, 1)),
                stable: wave * (1.0 + value(index, 2)),
            }
        };
        (0..looks).map(pair).collect()
    }

    #[test]
    fn clear_differences_end_it_early_both_ways_and_none_does_not() {
        for (worse, sign) in [(Worse::Higher, 1.0), (Worse::Lower, -1.0)] {
            let claim = Claim { worse, ..CLAIM };
            let first = |factor: f64| {
                (1..=20).find_map(|looks| {
                    let evidence = test(&pairs(factor, looks), 20, &claim);
                    (evidence.found != Found::Undecided).then_some((looks, evidence.found))
                })
            };
            let (looks, found) = first(1.0 + 0.6 * sign).unwrap();
            assert_eq!(found, Found::Worse);
            assert!(looks < 12, "{looks}");
            let (looks, found) = first(1.0 - 0.4 * sign).unwrap();
            assert_eq!(found, Found::NotWorse);
            assert!(looks < 12, "{looks}");
            assert!(first(1.0 + 0.05 * sign).is_none_or(|(_, found)| found == Found::NotWorse));
        }
    }

    #[test]
    fn looks_beyond_the_plan_find_nothing() {
        assert_eq!(test(&pairs(3.0, 20), 20, &CLAIM).found, Found::Worse);
        assert_eq!(test(&pairs(3.0, 21), 20, &CLAIM).found, Found::Undecided);
    }

    #[test]
    fn an_outlier_is_one_value() {
        let mut pairs = pairs(1.0, 20);
        pairs[3].canary = 1e9;
        pairs[8].canary = f64::INFINITY;
        assert_ne!(test(&pairs, 20, &CLAIM).found, Found::Worse);
    }

    #[test]
    fn values_that_stay_where_they_are_count_less() {
        let of = |gaps: &[f64]| {
            let stable: Vec<f64> = (0_u32..)
                .zip(gaps)
                .map(|(index, _)| f64::from(index))
                .collect();
            let canary: Vec<f64> = stable
                .iter()
                .zip(gaps)
                .map(|(one, gap)| one + gap)
                .collect();
            side(&canary, &stable).design_effect()
        };
        let slow = [
            9.3, 9.2, 8.1, 9.4, -9.1, -8.2, -9.3, -9.6, 9.3, 9.7, 9.1, 9.5,
        ];
        let quick = [
            9.3, -9.2, 8.1, -9.4, 9.1, -8.2, 9.3, -9.6, 9.3, -9.7, 9.1, -9.5,
        ];
        assert!(of(&slow) > 1.5 * of(&quick), "{} {}", of(&slow), of(&quick));
        assert!(of(&[0.1; 12]) < 1.001);
    }
}
