//! From what people wrote to what can be counted with. No I/O.

use super::events::Events;
use super::formula;
use super::window::Window;
use crate::environment::api::{self, BurnAlert, MetricSources, PrometheusServer, Severity};
use crate::model::invalid::Invalid;

/// The period, where nothing is said: 30 days, in seconds.
const PERIOD: u64 = 2_592_000;
/// The rows, where nothing is said (Site Reliability Workbook, table 5-8, and the row of a day from its rules).
const ROWS: [(&str, Severity, &str); 4] = [
    ("1h", Severity::Page, "2"),
    ("6h", Severity::Page, "5"),
    ("1d", Severity::Ticket, "10"),
    ("3d", Severity::Ticket, "10"),
];

/// An SLO that can be counted with.
#[derive(Clone, Debug, PartialEq)]
pub struct Slo {
    /// Its name.
    pub name: String,
    /// Where Prometheus is, and how it is reached.
    pub server: PrometheusServer,
    /// The share of requests that may fail: 1 − T.
    pub budget: f64,
    /// The objective in percent, as it was written.
    pub objective: String,
    /// The period, in seconds.
    pub period: u64,
    /// What is counted.
    pub events: Events,
    /// How fast the budget may burn.
    pub rows: Vec<Row>,
}

/// How fast the budget may burn in a window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row {
    /// The window over which a share of the budget burns.
    pub long: Window,
    /// The one that tells that it still does.
    pub short: Window,
    /// Who hears of it.
    pub severity: Severity,
    /// The burn rate at which that share is gone at the end of the long window.
    pub factor: f64,
    /// The number of requests in the short window that it takes to be judged: more than this.
    pub least: f64,
}

impl Row {
    /// The error ratio above which it burns.
    pub fn threshold(&self, budget: f64) -> f64 {
        self.factor * budget
    }
}

impl Slo {
    /// Reads an SLO. What people can get wrong here the API server has refused already.
    ///
    /// # Errors
    /// What is wrong.
    pub fn read(raw: &api::Slo, sources: Option<&MetricSources>) -> Result<Self, Invalid> {
        let wrong = |field: &str, problem: &str| Invalid {
            path: format!("spec.slos[{}].{field}", raw.name),
            problem: problem.to_owned(),
        };
        let common = sources.and_then(|sources| sources.prometheus.as_ref());
        let server = raw.prometheus.as_ref().or(common);
        let server = server.ok_or_else(|| wrong("prometheus", "no address of a Prometheus"))?;
        let objective = decimal(&raw.objective);
        let objective = objective.ok_or_else(|| wrong("objective", "not a percentage"))?;
        let budget = budget(objective);
        if !(budget > 0.0 && budget < 1.0) {
            return Err(wrong("objective", "not above 0 and below 100"));
        }
        let period = raw
            .period
            .map_or(PERIOD, |period| std::time::Duration::from(period).as_secs());
        let events = match (&raw.availability, &raw.latency) {
            (Some(availability), None) => Events::of_availability(availability),
            (None, Some(latency)) => Some(Events::of_latency(latency)),
            (None, None) | (Some(_), Some(_)) => None,
        };
        let events = events.ok_or_else(|| wrong("availability", "nothing that can be counted"))?;
        let rows: Option<Vec<Row>> = match &raw.alerts {
            Some(alerts) => alerts
                .iter()
                .map(|alert| row(alert, raw, budget, period))
                .collect(),
            None => ROWS
                .iter()
                .map(|(window, severity, budget)| BurnAlert {
                    window: (*window).to_owned(),
                    severity: *severity,
                    budget: (*budget).to_owned(),
                })
                .map(|alert| row(&alert, raw, budget, period))
                .collect(),
        };
        Ok(Self {
            name: raw.name.clone(),
            server: server.clone(),
            budget,
            objective: raw.objective.clone(),
            period,
            events,
            rows: rows
                .ok_or_else(|| wrong("alerts", "an unknown window, or one that cannot fire"))?,
        })
    }

    /// The period as Prometheus writes it.
    pub fn period_text(&self) -> String {
        match self.period {
            days if days % 86_400 == 0 => format!("{}d", days / 86_400),
            hours if hours % 3_600 == 0 => format!("{}h", hours / 3_600),
            seconds => format!("{seconds}s"),
        }
    }
}

fn row(alert: &BurnAlert, raw: &api::Slo, budget: f64, period: u64) -> Option<Row> {
    let (long, short) = Window::row(&alert.window)?;
    let factor = formula::factor(decimal(&alert.budget)?, period, long.seconds());
    let least = formula::least_requests(factor, budget);
    // A number that people give counts as "at least", and only where it is the larger one.
    let asked = raw.minimum_requests.unwrap_or(0).saturating_sub(1);
    let asked = i32::try_from(asked).map_or(f64::from(i32::MAX), f64::from);
    formula::can_fire(factor, budget).then_some(Row {
        long,
        short,
        severity: alert.severity,
        factor,
        least: least.max(asked),
    })
}

/// 1 − T, as the fraction that it is: 100 − 99.9 is no 0.1 in numbers of a computer.
fn budget((digits, places): (u64, u32)) -> f64 {
    let scale = 10_u64.saturating_pow(places).saturating_mul(100);
    let left = scale.saturating_sub(digits);
    let number = |count: u64| u32::try_from(count).map_or(f64::MAX, f64::from);
    number(left) / number(scale)
}

/// A decimal number: its digits, and how many of them stand behind the point.
fn decimal(text: &str) -> Option<(u64, u32)> {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{rest}");
    let is_number = !whole.is_empty() && digits.len() <= 8;
    let places = u32::try_from(rest.len()).ok()?;
    is_number
        .then(|| digits.parse().ok())
        .flatten()
        .map(|digits| (digits, places))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::float_cmp, reason = "exactly these are meant")]

    use serde_json::json;

    use super::super::testing::{availability, slo};
    use super::*;

    #[test]
    fn budgets_are_the_fractions_that_people_mean() {
        let cases = [
            ("99.9", 0.001),
            ("99", 0.01),
            ("99.95", 0.0005),
            ("99.999", 0.00001),
            ("50", 0.5),
            ("0.5", 0.995),
        ];
        for (objective, expected) in cases {
            let found = budget(decimal(objective).unwrap());
            assert_eq!(found, expected, "{objective}");
        }
        for text in ["", ".5", "a", "99,9", "-1", "123456789"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }

    #[test]
    fn without_alerts_there_are_the_four_rows_of_the_workbook() {
        let slo = slo(&json!({}));
        let rows: Vec<_> = slo
            .rows
            .iter()
            .map(|row| (row.long.as_str(), row.short.as_str(), row.factor))
            .collect();
        let expected = [
            ("1h", "5m", 14.4),
            ("6h", "30m", 6.0),
            ("1d", "2h", 3.0),
            ("3d", "6h", 1.0),
        ];
        assert_eq!(rows, expected);
        assert_eq!(slo.period_text(), "30d");
    }

    #[test]
    fn a_minimum_is_never_below_what_one_error_alone_would_be() {
        let least = |extra| slo(&extra).rows[0].least;
        let own = least(json!({}));
        assert!((69.0..70.0).contains(&own), "{own}");
        assert_eq!(least(json!({"minimumRequests": 10})), own);
        assert_eq!(least(json!({"minimumRequests": 500})), 499.0);
    }

    #[test]
    fn what_cannot_be_counted_with_is_named() {
        let read = |extra| {
            let raw = availability(&extra);
            Slo::read(&raw, None)
        };
        let path = |extra| read(extra).unwrap_err().path;
        assert_eq!(path(json!({})), "spec.slos[api].prometheus");
        let server = json!({"address": "http://p"});
        let with = |mut extra: serde_json::Value| {
            extra["prometheus"] = server.clone();
            extra
        };
        assert!(read(with(json!({}))).is_ok());
        let cases = [
            (json!({"objective": "100"}), "spec.slos[api].objective"),
            (json!({"objective": "0"}), "spec.slos[api].objective"),
            // The first row would need 14.4 × 10 %.
            (json!({"objective": "90"}), "spec.slos[api].alerts"),
            (
                json!({"latency": {"histogram": "h", "threshold": "1"}}),
                "spec.slos[api].availability",
            ),
        ];
        for (extra, expected) in cases {
            assert_eq!(path(with(extra.clone())), expected, "{extra}");
        }
    }
}
