//! What follows from numbers of requests. Pure; every formula has its source.
//!
//! The letters are those of the Site Reliability Workbook, chapter 5 ("Alerting on SLOs"): T the objective, W the period, w a
//! window, B the budget, F the factor of a row.

/// Requests in a window, and how many of them failed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Those that failed.
    pub errors: f64,
    /// All.
    pub total: f64,
}

impl Counts {
    /// The share that failed: errors ÷ total. Without requests there is none, and that is not 0.
    pub fn error_ratio(self) -> Option<f64> {
        (self.total > 0.0).then(|| self.errors / self.total)
    }
}

/// How many times as fast as the budget allows it burns: error ratio ÷ B (Workbook, "Burn rate").
pub fn burn_rate(error_ratio: f64, budget: f64) -> f64 {
    error_ratio / budget
}

/// The share of the budget of the whole period that is left: (B − error ratio over W) ÷ B. By requests, as B × total are
/// the requests that may fail; below 0 where more of them did.
pub fn remaining(error_ratio: f64, budget: f64) -> f64 {
    1.0 - burn_rate(error_ratio, budget)
}

/// The share of the period over which there are data: how many records there are, one every `step` seconds.
pub fn coverage(records: f64, step: u64, period: u64) -> f64 {
    (records * seconds(step) / seconds(period)).min(1.0)
}

/// The burn rate at which a share of the budget burns within a window: share × W ÷ w (Workbook, "Alert on Burn Rate").
/// The share is in percent, as the digits of a decimal number and how many of them stand behind the point, so that 2 % in
/// one hour of 30 days is 14.4 and no number beside it.
pub fn factor((digits, places): (u64, u32), period: u64, window: u64) -> f64 {
    let hundred = 100.0 * 10_f64.powi(i32::try_from(places).unwrap_or(0));
    seconds(digits) * seconds(period) / (hundred * seconds(window))
}

/// Whether a factor can be reached at all: F × B < 1, or more than every request would have to fail.
pub fn can_fire(factor: f64, budget: f64) -> bool {
    factor * budget < 1.0
}

/// The number of requests that a short window has to exceed, so that a single one that fails is no burn: one error is a
/// ratio of 1 ÷ N, which stays below F × B as long as N > 1 ÷ (F × B).
pub fn least_requests(factor: f64, budget: f64) -> f64 {
    1.0 / (factor * budget)
}

/// What a row says: both windows burn faster than the factor (Workbook, "Multiwindow, Multi-Burn-Rate Alerts"). Nothing,
/// where the short one has too few requests to say so, or one of them none.
pub fn burns(long: Counts, short: Counts, threshold: f64, least: f64) -> Option<bool> {
    let (long, ratio) = (long.error_ratio()?, short.error_ratio()?);
    (short.total > least).then_some(long > threshold && ratio > threshold)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "seconds of years and digits of percentages are far below 2^53"
)]
fn seconds(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exactly these are meant")]

    use super::*;

    const DAY: u64 = 86_400;
    const HOUR: u64 = 3_600;

    fn counts(errors: f64, total: f64) -> Counts {
        Counts { errors, total }
    }

    #[test]
    fn an_error_ratio_needs_requests() {
        let cases = [
            (counts(0.0, 0.0), None),
            (counts(0.0, 10.0), Some(0.0)),
            (counts(1.0, 4.0), Some(0.25)),
            (counts(4.0, 4.0), Some(1.0)),
        ];
        for (counts, expected) in cases {
            assert_eq!(counts.error_ratio(), expected, "{counts:?}");
        }
    }

    #[test]
    fn factors_are_those_of_the_workbook_and_of_any_other_period() {
        let percent = |digits| (digits, 0);
        // Table 5-8 of the workbook for 30 days; the row of a day is that of its rules.
        let cases = [
            (percent(2), 30 * DAY, HOUR, 14.4),
            (percent(5), 30 * DAY, 6 * HOUR, 6.0),
            (percent(10), 30 * DAY, DAY, 3.0),
            (percent(10), 30 * DAY, 3 * DAY, 1.0),
            // For 28 days, as Sloth has them: never 14, as constants would have it.
            (percent(2), 28 * DAY, HOUR, 13.44),
            (percent(5), 28 * DAY, 6 * HOUR, 5.6),
            (percent(10), 28 * DAY, DAY, 2.8),
            (percent(10), 28 * DAY, 3 * DAY, 14.0 / 15.0),
            // 2.5 %.
            ((25, 1), 30 * DAY, HOUR, 18.0),
            (percent(100), 3 * DAY, 3 * DAY, 1.0),
        ];
        for (share, period, window, expected) in cases {
            let found = factor(share, period, window);
            assert_eq!(found, expected, "{share:?} of {period} in {window}");
        }
    }

    #[test]
    fn a_factor_fires_only_where_not_more_than_every_request_has_to_fail() {
        // 14.4 needs more than 93.05 %, 6 more than 83.3 %.
        let cases = [
            (14.4, 0.07, false),
            (14.4, 0.069, true),
            (6.0, 0.17, false),
            (6.0, 0.16, true),
            (14.4, 0.001, true),
            (1.0, 0.999, true),
        ];
        for (factor, budget, expected) in cases {
            assert_eq!(can_fire(factor, budget), expected, "{factor} × {budget}");
        }
    }

    #[test]
    fn the_least_number_of_requests_keeps_one_error_from_being_a_burn() {
        let threshold = 14.4 * 0.001;
        let least = least_requests(14.4, 0.001);
        assert!((69.0..70.0).contains(&least), "{least}");
        let one_of = |total| counts(1.0, total);
        let all = |total| burns(counts(1.0, total), one_of(total), threshold, least);
        assert_eq!(all(69.0), None);
        assert_eq!(all(70.0), Some(false));
    }

    #[test]
    fn a_row_needs_both_windows() {
        let (bad, good) = (counts(20.0, 1000.0), counts(10.0, 1000.0));
        let cases = [
            (bad, bad, Some(true)),
            (bad, good, Some(false)),
            (good, bad, Some(false)),
            (good, good, Some(false)),
            // Exactly at the threshold is not above it.
            (counts(14.0, 1000.0), bad, Some(false)),
            (counts(0.0, 0.0), bad, None),
            (bad, counts(0.0, 0.0), None),
            (bad, counts(3.0, 60.0), None),
        ];
        for (long, short, expected) in cases {
            let found = burns(long, short, 0.014, 69.0);
            assert_eq!(found, expected, "{long:?} {short:?}");
        }
    }

    #[test]
    fn what_is_left_of_the_budget_is_counted_in_requests() {
        // 1,000 of 1,000,000 may fail.
        let cases = [(0.0, 1.0), (250.0, 0.75), (1000.0, 0.0), (3000.0, -2.0)];
        for (errors, left) in cases {
            let ratio = counts(errors, 1_000_000.0).error_ratio().unwrap();
            let found = remaining(ratio, 0.001);
            assert!((found - left).abs() < 1e-12, "{errors}: {found}");
        }
    }

    #[test]
    fn coverage_is_the_share_of_the_period_that_has_records() {
        assert_eq!(coverage(0.0, 300, 30 * DAY), 0.0);
        assert_eq!(coverage(12.0, 300, 10 * HOUR), 0.1);
        assert_eq!(coverage(8641.0, 300, 30 * DAY), 1.0);
    }
}
