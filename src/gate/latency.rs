//! The gate on load tests: fast enough, for enough requests, with few enough failures. No I/O.

use std::time::Duration;

use super::{Check, Finding, Scope};
use crate::pipeline::api::LatencyGate;
use crate::pipeline_run::api::Latency;

/// Holds every load test against the limits.
pub fn check(limits: &LatencyGate, scope: &Scope<'_>) -> Check {
    let threshold = words(limits);
    let tests = &scope.now.latency;
    if tests.is_empty() {
        return Check::no_data(
            threshold,
            "no stage left a report of a load test; set reports.k6",
        );
    }
    let (mut measured, mut bad, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for test in tests {
        let (said, finding) = check_one(limits, test, before(scope, test));
        measured.push(format!("{}: {said}", test.name));
        match finding {
            Finding::Good => {}
            Finding::Bad(message) => bad.push(format!("{}: {message}", test.name)),
            Finding::NoData(message) => missing.push(format!("{}: {message}", test.name)),
        }
    }
    Check {
        measured: Some(measured.join("; ")),
        threshold,
        finding: if !bad.is_empty() {
            Finding::Bad(bad.join("; "))
        } else if !missing.is_empty() {
            Finding::NoData(missing.join("; "))
        } else {
            Finding::Good
        },
    }
}

/// A percentile: its name, its limit in milliseconds, and where a load test has it.
type Percentile = (&'static str, Option<f64>, fn(&Latency) -> Option<f64>);

fn percentiles(limits: &LatencyGate) -> [Percentile; 4] {
    let ms = |limit: Option<kube::core::Duration>| {
        limit.map(|limit| Duration::from(limit).as_secs_f64() * 1000.0)
    };
    [
        ("p50", ms(limits.p50), |test| test.p50),
        ("p90", ms(limits.p90), |test| test.p90),
        ("p95", ms(limits.p95), |test| test.p95),
        ("p99", ms(limits.p99), |test| test.p99),
    ]
}

fn words(limits: &LatencyGate) -> String {
    let percentiles = percentiles(limits);
    let percentiles = percentiles
        .iter()
        .filter_map(|(name, limit, _)| limit.map(|limit| format!("{name} at most {limit} ms")));
    let failed = limits.max_failed_percent;
    let failed = failed.map(|failed| format!("at most {failed} % failed"));
    let slower = limits.max_regression_percent;
    let slower = slower.map(|limit| format!("p95 at most {limit} % slower than before"));
    let all = percentiles.chain(failed).chain(slower);
    all.collect::<Vec<_>>().join(", ")
}

/// What the same load test said before.
fn before<'s>(scope: &'s Scope<'_>, test: &Latency) -> Option<&'s Latency> {
    let mut before = scope.before.iter().flat_map(|before| &before.latency);
    before.find(|old| old.name == test.name)
}

fn check_one(limits: &LatencyGate, test: &Latency, before: Option<&Latency>) -> (String, Finding) {
    let (mut said, mut bad, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    for (name, limit, of) in percentiles(limits) {
        let Some(limit) = limit else { continue };
        match of(test) {
            Some(value) => {
                said.push(format!("{name} {value:.1} ms"));
                if value > limit {
                    bad.push(format!("{name} is {value:.1} ms, accepted: {limit} ms"));
                }
            }
            None => missing.push(format!(
                "the report does not tell {name}; have k6 summarise it (--summary-trend-stats)"
            )),
        }
    }
    if let Some(limit) = limits.max_failed_percent {
        match test.failed_percent {
            Some(value) => {
                said.push(format!("{value:.2} % failed"));
                if value > limit {
                    bad.push(format!(
                        "{value:.2} % of requests failed, accepted: {limit} %"
                    ));
                }
            }
            None => missing.push("the report does not tell how many requests failed".to_owned()),
        }
    }
    if let Some(limit) = limits.max_regression_percent {
        match (test.p95, before.and_then(|before| before.p95)) {
            (Some(now), Some(then)) if now > then * (1.0 + limit / 100.0) => bad.push(format!(
                "p95 is {now:.1} ms and was {then:.1} ms, accepted: {limit} % slower"
            )),
            (Some(_), _) => {}
            (None, _) => missing.push("the report does not tell p95".to_owned()),
        }
    }
    let needed = limits.min_requests.unwrap_or(1);
    match test.requests {
        Some(requests) if requests < needed => {
            missing.push(format!("{requests} requests were sent, needed: {needed}"));
        }
        None if limits.min_requests.is_some() => {
            missing.push("the report does not tell how many requests were sent".to_owned());
        }
        Some(_) | None => {}
    }
    let finding = if !bad.is_empty() {
        Finding::Bad(bad.join(", "))
    } else if !missing.is_empty() {
        Finding::NoData(missing.join(", "))
    } else {
        Finding::Good
    };
    (said.join(", "), finding)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(limits: &serde_json::Value, test: Latency) -> Finding {
        let limits: LatencyGate = serde_json::from_value(limits.clone()).unwrap();
        let mut scope = Scope::default();
        scope.now.latency = vec![test];
        check(&limits, &scope).finding
    }

    fn test() -> Latency {
        Latency {
            name: "load".into(),
            requests: Some(1000),
            failed_percent: Some(0.5),
            p95: Some(250.0),
            ..Latency::default()
        }
    }

    #[test]
    fn a_load_test_is_compared_with_the_one_before() {
        let limits = serde_json::json!({"maxRegressionPercent": 10});
        let limits: LatencyGate = serde_json::from_value(limits).unwrap();
        let mut scope = Scope::default();
        scope.now.latency = vec![test()];
        assert_eq!(check(&limits, &scope).finding, Finding::Good, "the first");
        let with = |p95: f64| {
            let mut scope = scope.clone();
            let old = Latency {
                p95: Some(p95),
                ..test()
            };
            scope.before = Some(crate::pipeline_run::api::ReportSummary {
                latency: vec![old],
                ..Default::default()
            });
            check(&limits, &scope).finding
        };
        assert_eq!(with(230.0), Finding::Good);
        let told = "load: p95 is 250.0 ms and was 200.0 ms, accepted: 10 % slower";
        assert_eq!(with(200.0), Finding::Bad(told.to_owned()));
    }

    #[test]
    fn what_is_not_told_is_not_fast() {
        let limits = serde_json::json!({"p95": "250ms", "maxFailedPercent": 0.5});
        assert_eq!(found(&limits, test()), Finding::Good);
        let slow = serde_json::json!({"p95": "249ms"});
        assert!(matches!(found(&slow, test()), Finding::Bad(_)));
        let untold = serde_json::json!({"p99": "1s"});
        assert!(matches!(found(&untold, test()), Finding::NoData(_)));
        let few = serde_json::json!({"p95": "1s", "minRequests": 1001});
        assert!(matches!(found(&few, test()), Finding::NoData(_)));
        let failing = serde_json::json!({"maxFailedPercent": 0.4});
        assert!(matches!(found(&failing, test()), Finding::Bad(_)));
    }
}
