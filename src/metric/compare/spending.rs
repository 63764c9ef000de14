//! How much of the error each look may use up, when the same data are looked at again and again. No I/O.
//!
//! Lan and DeMets spend the probability of a false alarm over the looks by a function of the share of the data that is there; the
//! limit of each look follows from those before it, by integrating over all ways to have passed none of them
//! (Armitage, McPherson and Rowe).

use super::claim::{upper_point, upper_tail};

/// Points of the grid over which is integrated.
const POINTS: usize = 400;
/// The grid ends where nothing is left of a standard normal variable.
const END: f64 = 8.0;

/// What is spent when this share of the planned data is there: the square of the share, which is little early and enough to end
/// early what is clear (Kim and DeMets).
pub fn spent(alpha: f64, share: f64) -> f64 {
    alpha * share.clamp(0.0, 1.0).powi(2)
}

/// The limits of z, look by look, of `planned` looks at equal distances; one-sided.
pub fn limits(alpha: f64, planned: u32) -> Vec<f64> {
    limits_of(planned, |share| spent(alpha, share))
}

/// The same for any function that says what is spent.
pub fn limits_of(planned: u32, spent: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut limits = Vec::new();
    let mut density: Vec<(f64, f64)> = Vec::new();
    let mut before = 0.0;
    for look in 1..=planned {
        let share = f64::from(look) / f64::from(planned);
        let now = spent(share);
        // The sum after `look` looks has variance `look`.
        let sd = f64::from(look).sqrt();
        let limit = if look == 1 {
            upper_point(now.max(f64::MIN_POSITIVE))
        } else {
            passed_at(&density, (now - before).max(f64::MIN_POSITIVE), sd)
        };
        before = now;
        density = step(&density, limit.min(END) * sd, sd);
        limits.push(limit);
    }
    limits
}

/// The limit of z that exactly this probability passes now and did not pass before.
fn passed_at(density: &[(f64, f64)], probability: f64, sd: f64) -> f64 {
    let (mut low, mut high) = (-END, END);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        let passed: f64 = density
            .iter()
            .map(|(sum, weight)| weight * upper_tail(middle * sd - sum))
            .sum();
        if passed > probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}

/// Points of the sum with their weights, of all ways that passed no limit up to now: one more increment of variance 1, cut off
/// at `limit`.
fn step(density: &[(f64, f64)], limit: f64, sd: f64) -> Vec<(f64, f64)> {
    let low = -END * sd;
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let width = (limit - low) / (POINTS - 1) as f64;
    let normal = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let points = (0..POINTS).map(|index| {
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let at = low + width * index as f64;
        let value = if density.is_empty() {
            normal(at)
        } else {
            density
                .iter()
                .map(|(sum, weight)| weight * normal(at - sum))
                .sum()
        };
        // Trapezium rule.
        let is_end = index == 0 || index == POINTS - 1;
        (at, value * if is_end { width / 2.0 } else { width })
    });
    points.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: &[f64], published: &[f64]) {
        assert_eq!(found.len(), published.len());
        for (one, other) in found.iter().zip(published) {
            assert!((one - other).abs() < 6e-4, "{found:?}, not {published:?}");
        }
    }

    #[test]
    fn limits_are_those_of_published_tables() {
        let alpha = 0.025;
        // Lan and DeMets, five looks, one-sided 0.025: like O'Brien and Fleming, and like Pocock.
        let like_obrien = |share: f64| 2.0 * upper_tail(upper_point(alpha / 2.0) / share.sqrt());
        near(
            &limits_of(5, like_obrien),
            &[4.8769, 3.3569, 2.6803, 2.2898, 2.0310],
        );
        let like_pocock = |share: f64| alpha * (1.0 + (std::f64::consts::E - 1.0) * share).ln();
        near(
            &limits_of(5, like_pocock),
            &[2.4380, 2.4268, 2.4101, 2.3966, 2.3859],
        );
        // All at the end is no sequence of looks.
        let at_the_end = |share: f64| if share < 1.0 { 0.0 } else { alpha };
        let limits = limits_of(5, at_the_end);
        near(&limits[4..], &[1.9600]);
    }

    #[test]
    fn early_looks_ask_for_more_and_one_look_for_the_usual() {
        let limits = limits(0.01, 20);
        assert!(limits.is_sorted_by(|one, next| one > next), "{limits:?}");
        assert!(limits[19] < 2.7 && limits[0] > 4.0, "{limits:?}");
        near(&super::limits(0.01, 1), &[2.3263]);
    }

    #[test]
    fn tails_are_those_of_published_tables() {
        for (z, tail) in [
            (0.0, 0.5),
            (1.6449, 0.05),
            (2.3263, 0.01),
            (3.0902, 0.001),
            (4.7534, 1e-6),
        ] {
            assert!((upper_tail(z) / tail - 1.0).abs() < 2e-4, "{z}");
            assert!((upper_point(tail) - z).abs() < 5e-5, "{tail}");
        }
        assert!(upper_point(1.0) < -30.0 && upper_point(0.0) > 30.0);
    }
}
