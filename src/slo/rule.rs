//! The rules that Prometheus evaluates by itself: what it records, and when it alerts. No I/O.
//!
//! Names and labels of what is recorded are an interface: dashboards are made of them.

use serde_json::{Value, json};

use super::query::{ERRORS, Labels, STEP, STEP_TEXT, TOTAL, named};
use super::spec::{Row, Slo};
use super::window::Window;
use crate::environment::api::Severity;
use crate::model::json::set;

/// How long requests may be missing before that is an alert.
const ABSENT_FOR: &str = "10m";

/// Where requests fail as they must not.
pub const BREACH: &str = "breach";
/// Where none fails.
pub const CALM: &str = "calm";

/// Names of the groups of rules of an SLO.
pub fn names(slo: &Slo, labels: &Labels) -> Vec<String> {
    let name = format!("{}-{}-{}", labels.namespace, labels.environment, slo.name);
    vec![format!("{name}-burn"), format!("{name}-budget")]
}

/// Severities of which an SLO has an alert, as labels have them.
pub fn severities(slo: &Slo) -> Vec<&'static str> {
    let all = [Severity::Page, Severity::Ticket].into_iter();
    let has = |severity: &Severity| slo.rows.iter().any(|row| row.severity == *severity);
    all.filter(has).map(word).collect()
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Page => "page",
        Severity::Ticket => "ticket",
    }
}

/// The conditions of its alerts as they are evaluated in a breach and on a calm day: with numbers in the place of series.
/// Nothing, where it has no alerts.
pub fn rehearsal(slo: &Slo) -> String {
    let severities = [Severity::Page, Severity::Ticket].into_iter();
    let parts = severities.flat_map(|severity| {
        [(BREACH, "1"), (CALM, "0")]
            .into_iter()
            .filter_map(move |(what, share)| {
                let rows = slo.rows.iter().filter(|row| row.severity == severity);
                let rows: Vec<String> = rows
                    .map(|row| {
                        let requests = format!("vector({})", row.least + 1.0);
                        burns(slo, row, |_| format!("vector({share})"), &requests)
                    })
                    .collect();
                let condition = format!("count({})", rows.join(" or "));
                (!rows.is_empty()).then(|| named(&condition, &format!("{what}/{}", word(severity))))
            })
    });
    parts.collect::<Vec<_>>().join(" or ")
}

/// A row, as `formula::burns` has it, on some error ratios and a number of requests.
fn burns(slo: &Slo, row: &Row, ratio: impl Fn(Window) -> String, requests: &str) -> String {
    let limit = format!("({} * {})", row.factor, slo.budget);
    let above = |window| format!("{} > {limit}", ratio(window));
    format!(
        "({} and {} and on() ({requests} > {}))",
        above(row.long),
        above(row.short),
        row.least
    )
}

/// The groups of rules of some SLOs: two for each, of which the second is evaluated once in five minutes.
pub fn groups(slos: &[Slo], labels: &Labels) -> Value {
    let groups = slos.iter().flat_map(|slo| {
        let of = Of { slo, labels };
        let mut names = names(slo, labels).into_iter();
        [
            json!({"name": names.next(), "rules": of.quick()}),
            json!({"name": names.next(), "interval": STEP_TEXT, "rules": of.slow()}),
        ]
    });
    groups.collect()
}

/// One SLO of an Environment.
struct Of<'a> {
    slo: &'a Slo,
    labels: &'a Labels<'a>,
}

impl Of<'_> {
    /// What is to be known soon.
    fn quick(&self) -> Vec<Value> {
        let windows = Window::ALL.into_iter().filter(|window| !window.is_slow());
        let mut rules: Vec<Value> = windows.map(|window| self.ratio(window)).collect();
        let alerts = [Severity::Page, Severity::Ticket].map(|severity| self.alert(severity));
        rules.extend(alerts.into_iter().flatten());
        rules.push(self.absent());
        rules
    }

    /// What changes slowly, and takes long to count.
    fn slow(&self) -> Vec<Value> {
        let windows = Window::ALL.into_iter().filter(|window| window.is_slow());
        let mut rules: Vec<Value> = windows.map(|window| self.ratio(window)).collect();
        let events = &self.slo.events;
        let matchers = self.labels.matchers(self.slo);
        let period = self.slo.period_text();
        let over =
            |function: &str, series: &str| format!("{function}({series}{matchers}[{period}])");
        let (errors, total) = (over("sum_over_time", ERRORS), over("sum_over_time", TOTAL));
        let budget = self.slo.budget;
        let seconds = self.slo.period;
        rules.extend([
            self.record(ERRORS, &events.errors(STEP_TEXT)),
            self.record(TOTAL, &events.total(STEP_TEXT)),
            self.record(
                "slipway:error_budget:remaining_ratio",
                &format!("1 - ({errors} / ({total} > 0)) / {budget}"),
            ),
            self.record(
                "slipway:error_budget:coverage_ratio",
                &format!(
                    "clamp_max({} * {STEP} / {seconds}, 1)",
                    over("count_over_time", TOTAL)
                ),
            ),
        ]);
        rules
    }

    /// Without requests there is no ratio, and never 0 or NaN.
    fn ratio(&self, window: Window) -> Value {
        let time = window.as_str();
        let events = &self.slo.events;
        let (errors, total) = (events.errors(time), events.total(time));
        self.record(&ratio(window), &format!("{errors} / ({total} > 0)"))
    }

    fn record(&self, name: &str, expression: &str) -> Value {
        json!({"record": name, "expr": expression, "labels": self.own_labels(None)})
    }

    fn own_labels(&self, severity: Option<&str>) -> Value {
        let mut labels = json!({
            "namespace": self.labels.namespace,
            "environment": self.labels.environment,
            "slo": self.slo.name,
        });
        if let Some(severity) = severity {
            set(&mut labels, &["severity"], severity);
        }
        labels
    }

    fn alert(&self, severity: Severity) -> Option<Value> {
        let rows = self.slo.rows.iter().filter(|row| row.severity == severity);
        let rows: Vec<String> = rows.map(|row| self.burns(row)).collect();
        if rows.is_empty() {
            return None;
        }
        let name = &self.slo.name;
        let word = word(severity);
        let Labels {
            namespace,
            environment,
        } = self.labels;
        let objective = &self.slo.objective;
        Some(json!({
            "alert": "ErrorBudgetBurn",
            "expr": rows.join("\nor\n"),
            "labels": self.own_labels(Some(word)),
            "annotations": {
                "summary": format!("The error budget of {name} in {namespace}/{environment} burns too fast"),
                "description": format!(
                    "{{{{ $value | humanizePercentage }}}} of the requests fail; the objective is {objective} % over {}.",
                    self.slo.period_text()
                ),
            },
        }))
    }

    /// A row, on what is recorded.
    fn burns(&self, row: &Row) -> String {
        let matchers = self.labels.matchers(self.slo);
        let total = self.slo.events.total(row.short.as_str());
        let recorded = |window| format!("{}{matchers}", ratio(window));
        burns(self.slo, row, recorded, &total)
    }

    fn absent(&self) -> Value {
        let Labels {
            namespace,
            environment,
        } = self.labels;
        let name = &self.slo.name;
        json!({
            "alert": "SLOMetricAbsent",
            "expr": format!("absent({})", self.slo.events.presence()),
            "for": ABSENT_FOR,
            "labels": self.own_labels(Some("ticket")),
            "annotations": {
                "summary": format!("Nothing counts the requests of {name} in {namespace}/{environment}"),
                "description": "While nothing is counted no burn is seen. Look at the metric and its matchers in spec.slos.",
            },
        })
    }
}

/// Name of the series of an error ratio.
fn ratio(window: Window) -> String {
    format!("slipway:sli_error:ratio_rate{}", window.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing::slo;
    use super::*;

    const LABELS: Labels<'static> = Labels {
        namespace: "shop",
        environment: "production",
    };

    #[test]
    fn the_rules_of_an_availability() {
        insta::assert_yaml_snapshot!(groups(&[slo(&json!({}))], &LABELS));
    }

    #[test]
    fn what_is_rehearsed() {
        let slo = slo(&json!({}));
        insta::assert_snapshot!(rehearsal(&slo).replace(" or label_replace", "\nor label_replace"));
    }

    #[test]
    fn the_rules_of_a_latency_with_one_row() {
        let slo = slo(&json!({
            "name": "fast", "objective": "99", "period": "672h", "availability": null,
            "latency": {"histogram": "h", "matchers": "job=\"api\"", "threshold": "1"},
            "alerts": [{"window": "6h", "severity": "Ticket", "budget": "2.5"}],
        }));
        insta::assert_yaml_snapshot!(groups(&[slo], &LABELS));
    }
}
