//! What a benchmark prints: a table for people, and one line per goal for scripts.

use std::fmt::Display;

/// Prints `RATIO <what> <value> goal <x> ok|short`; less is better.
#[expect(
    clippy::print_stdout,
    reason = "the result of a benchmark is its output"
)]
pub fn ratio(what: &str, value: f64, goal: f64) {
    let verdict = if value <= goal { "ok" } else { "short" };
    println!("RATIO {what} {value:.3} goal {goal} {verdict}");
}

/// Prints a line of a table.
#[expect(
    clippy::print_stdout,
    reason = "the result of a benchmark is its output"
)]
pub fn line(what: &str, value: impl Display) {
    println!("  {what:<44} {value}");
}

/// Prints a heading.
#[expect(
    clippy::print_stdout,
    reason = "the result of a benchmark is its output"
)]
pub fn heading(text: &str) {
    println!("\n{text}");
}

/// The value below which this share of the values is, by the nearest rank.
pub fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let rank = (values.len() * percent).div_ceil(100).max(1) - 1;
    values.get(rank).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_by_the_nearest_rank() {
        let mut values = [5.0, 1.0, 4.0, 2.0, 3.0];
        let found = [50, 99, 100, 1].map(|percent| format!("{}", percentile(&mut values, percent)));
        assert_eq!(found, ["3", "5", "5", "1"]);
        assert!(percentile(&mut [], 50).is_nan());
    }
}
