//! Comparisons from the query to the count.

mod seeded;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::claim::Found::{NotWorse, Undecided, Worse};
use super::*;
use crate::analysis::api::Metric;
use crate::metric::judge::{self, Verdict};
use crate::metric::provider;
use crate::metric::provider::testing::sides;
use crate::model::access::percent_encoded;
use crate::rollout::api::Tally;

const START: i64 = 1_764_000_000;

fn metric(extra: &Value) -> Metric {
    let mut metric = json!({
        "name": "errors",
        "compare": {
            "test": "Ratio",
            "prometheus": {
                "address": "http://prom:9090/",
                "canary": r#"bad{pod=~"{{canary.pods}}"}"#,
                "stable": r#"bad{pod=~"{{stable.pods}}"} # all of them"#,
                "canaryTotal": "all_c", "stableTotal": "all_s",
            },
        },
    });
    json_patch::merge(&mut metric, extra);
    serde_json::from_value(metric).unwrap()
}

fn latency() -> Metric {
    metric(
        &json!({"compare": {"test": "MannWhitney", "prometheus": {"canaryTotal": null, "stableTotal": null}}}),
    )
}

/// Series of the answer, each with a value per point of the grid.
fn answer(parts: &[(&str, &[f64])]) -> Sample {
    answer_of(&metric(&json!({})), parts)
}

fn answer_of(metric: &Metric, parts: &[(&str, &[f64])]) -> Sample {
    let points = parts
        .iter()
        .map(|(_, values)| values.len())
        .max()
        .unwrap_or(0);
    let grid = vec![1.0; points];
    let all = parts.iter().copied().chain([("grid", grid.as_slice())]);
    let series = all.enumerate().map(|(index, (part, values))| {
        let at = (START..).step_by(15).zip(values.iter());
        // What is not a number stands for no point.
        let points: Vec<Value> = at
            .filter(|(_, value)| !value.is_nan())
            .map(|(at, value)| json!([at, value.to_string()]))
            .collect();
        json!({"metric": {"slipway_part": part, "pod": index.to_string()}, "values": points})
    });
    let result: Vec<Value> = series.collect();
    let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
    let reply = Ok(Reply {
        status: 200,
        body: body.to_string().into_bytes(),
    });
    provider::read(metric, &reply)
}

fn looked(sample: Sample) -> Look {
    match sample {
        Sample::Compared(look) => look,
        other => panic!("not a look: {other:?}"),
    }
}

/// A counter that grows by so much each interval.
fn counter(by: f64, points: u32) -> Vec<f64> {
    (0..points)
        .map(|point| 1000.0 + by * f64::from(point))
        .collect()
}

#[test]
fn one_query_asks_for_all_there_is_since_the_beginning() {
    let asked = |metric: &Metric, seconds: i64| {
        let window = Window {
            since: Timestamp::from_second(START).unwrap(),
            interval: Duration::from_secs(15),
            now: Timestamp::from_second(START + seconds).unwrap(),
        };
        let request =
            provider::request(&sides().filled(metric), &Credentials::default(), &window).unwrap();
        assert_eq!(request.url, "http://prom:9090/api/v1/query_range");
        request.body.unwrap()
    };
    let ratio = metric(&json!({}));
    let body = asked(&ratio, 64);
    assert!(
        body.ends_with("&start=1764000000&end=1764000060&step=15"),
        "{body}"
    );
    for part in ["grid", "canary", "canary-total", "stable", "stable-total"] {
        assert!(body.contains(&format!("%22{part}%22%2C")), "{part}: {body}");
    }
    assert!(body.contains(&percent_encoded(r#"bad{pod=~"api-b-.*"}"#)));
    // Whatever a query ends in, the bracket after it counts.
    assert!(body.contains(&percent_encoded("# all of them\n), ")));
    assert!(asked(&ratio, 0).ends_with("&start=1764000000&end=1764000015&step=15"));
    // After an hour intervals are put together; values are not asked for after the last look.
    assert!(asked(&ratio, 3607).ends_with("&end=1764003600&step=15"));
    assert!(asked(&ratio, 3630).ends_with("&end=1764003630&step=30"));
    let body = asked(&latency(), 7200);
    assert!(body.ends_with("&end=1764003600&step=15"), "{body}");
    assert!(!body.contains("total"));
}

#[test]
fn growth_is_counted_pod_by_pod_and_restarts_are_seen() {
    let sample = answer(&[
        ("canary", &[5.0, 6.0, 8.0, 8.0]),
        // A pod that starts afresh, and one whose first error makes the series.
        ("canary", &[90.0, 91.0, 2.0, 3.0]),
        ("canary", &[f64::NAN, f64::NAN, 4.0, 4.0]),
        ("canary-total", &counter(100.0, 4)),
        ("stable", &counter(1.0, 4)),
        ("stable-total", &counter(200.0, 4)),
    ]);
    let look = looked(sample);
    assert_eq!((look.number, look.planned), (3, 20));
    assert_eq!(look.since.as_second(), START);
    // 2 + 8 + 1 of 300 beside 3 of 600.
    assert!((look.evidence.shift - (11.0 / 300.0 / (3.0 / 600.0) - 1.0)).abs() < 1e-9);
}

#[test]
fn no_bad_events_are_none_and_no_events_are_no_data() {
    let (all, still) = (counter(100.0, 5), counter(0.0, 5));
    let healthy = answer(&[("canary-total", &all), ("stable-total", &all)]);
    assert_eq!(
        looked(healthy).to_string(),
        "nothing to compare on either side, p = 1.00, look 4 of 20"
    );
    assert_eq!(answer(&[]), Sample::Empty);
    assert_eq!(answer(&[("canary-total", &all)]), Sample::Empty);
    assert_eq!(
        answer(&[("canary-total", &all), ("stable-total", &still)]),
        Sample::Empty
    );
    let mut ended = counter(100.0, 4);
    ended.extend([ended[3]; 4]);
    let long = counter(100.0, 8);
    assert_eq!(
        answer(&[("canary-total", &ended), ("stable-total", &long)]),
        Sample::Empty
    );
    assert_eq!(answer_of(&latency(), &[("canary", &all)]), Sample::Empty);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let rates = [3.0, 2.0, 4.0, 1.0, 5.0, 2.0, 3.0, 1.0];
    let sample = answer(&[("canary-total", &rates), ("stable-total", &counter(9.0, 8))]);
    assert!(
        matches!(&sample, Sample::Error(e) if e.contains("canary-total") && e.contains("without rate()")),
        "{sample:?}"
    );
    let sample = answer_of(
        &latency(),
        &[("canary", &rates), ("canary", &rates), ("stable", &rates)],
    );
    assert!(
        matches!(&sample, Sample::Error(e) if e.contains("2 series")),
        "{sample:?}"
    );
    let vector = json!({"status": "success", "data": {"resultType": "vector", "result": []}});
    let reply = Ok(Reply {
        status: 200,
        body: vector.to_string().into_bytes(),
    });
    let sample = provider::read(&metric(&json!({})), &reply);
    assert!(
        matches!(&sample, Sample::Error(e) if e.contains("no range")),
        "{sample:?}"
    );
}

fn count(metric: &Metric, samples: &[Sample]) -> (Tally, Verdict) {
    let counted =
        |tally: Tally, sample: &Sample| judge::count(metric, &tally, sample, Timestamp::UNIX_EPOCH);
    let tally = samples.iter().fold(Tally::default(), counted);
    let verdict = judge::verdict(metric, &tally);
    (tally, verdict)
}

/// The samples of looks at so many errors an interval on both sides.
fn looks(metric: &Metric, canary: f64, stable: f64, looks: u32) -> Vec<Sample> {
    let look = |points| {
        let all = counter(1000.0, points);
        let (canary, stable) = (counter(canary, points), counter(stable, points));
        answer_of(
            metric,
            &[
                ("canary", &canary),
                ("canary-total", &all),
                ("stable", &stable),
                ("stable-total", &all),
            ],
        )
    };
    (2..looks + 2).map(look).collect()
}

#[test]
fn a_worse_canary_fails_as_soon_as_it_is_clear() {
    let of = metric(&json!({}));
    let samples = looks(&of, 30.0, 10.0, 20);
    let failed = (1..=20).find(|taken| matches!(count(&of, &samples[..*taken]).1, Verdict::Bad(_)));
    assert!(failed.is_some_and(|taken| taken < 8), "{failed:?}");
    let (tally, verdict) = count(&of, &samples[..failed.unwrap()]);
    let Verdict::Bad(message) = verdict else {
        panic!()
    };
    assert!(message.contains("3.0 times stable, worse, p"), "{message}");
    assert!(
        message.contains(&format!("look {} of 20", failed.unwrap())),
        "{message}"
    );
    assert_eq!(tally.since.map(Timestamp::as_second), Some(START));
}

#[test]
fn one_that_is_as_bad_as_stable_passes_after_all_looks_and_no_sooner() {
    let of = metric(&json!({}));
    for errors in [0.0, 10.0, 700.0] {
        let samples = looks(&of, errors, errors, 20);
        assert_eq!(count(&of, &samples[..19]).1, Verdict::Undecided, "{errors}");
        assert_eq!(count(&of, &samples).1, Verdict::Good, "{errors}");
    }
    let few = metric(&json!({"count": 5}));
    let samples = looks(&few, 10.0, 10.0, 5);
    assert_eq!(count(&few, &samples[..4]).1, Verdict::Undecided);
    assert_eq!(count(&few, &samples).1, Verdict::Good);
}

#[test]
fn one_that_is_clearly_not_worse_passes_early_but_not_before_min_samples() {
    let first_good = |of: &Metric| {
        let samples = looks(of, 1.0, 60.0, 20);
        (1..=20).find(|taken| count(of, &samples[..*taken]).1 == Verdict::Good)
    };
    let eager = first_good(&metric(&json!({}))).unwrap();
    assert!(eager < 8, "{eager}");
    assert_eq!(first_good(&metric(&json!({"minSamples": 12}))), Some(12));
}

#[test]
fn looks_that_were_missed_are_no_loss() {
    // The operator was away; the next look sees everything that it would have seen.
    let of = metric(&json!({}));
    let samples = looks(&of, 10.0, 10.0, 20);
    let (tally, verdict) = count(&of, &[samples[2].clone(), samples[19].clone()]);
    assert_eq!((tally.passed, verdict), (20, Verdict::Good));
    // Nor are looks that saw nothing new a gain.
    let (tally, verdict) = count(&of, &vec![samples[2].clone(); 30]);
    assert_eq!((tally.passed, verdict), (3, Verdict::Undecided));
}

#[test]
fn no_traffic_goes_by_the_policy() {
    let waits = metric(&json!({}));
    assert_eq!(
        count(&waits, &vec![Sample::Empty; 30]).1,
        Verdict::Undecided
    );
    let fails = metric(&json!({"noData": "Fail"}));
    assert!(matches!(count(&fails, &[Sample::Empty]).1, Verdict::Bad(_)));
}

#[test]
fn people_read_what_was_found() {
    let look = |shift, p, found| Look {
        since: Timestamp::UNIX_EPOCH,
        number: 5,
        planned: 20,
        evidence: claim::Evidence { found, shift, p },
    };
    for (look, words) in [
        (
            look(0.123, 0.003, Worse),
            "12 % higher than stable, worse, p = 0.0030, look 5 of 20",
        ),
        (
            look(-0.2, 0.4, NotWorse),
            "20 % lower than stable, not worse, p = 0.40, look 5 of 20",
        ),
        (
            look(0.001, 0.2, Undecided),
            "as stable, p = 0.20, look 5 of 20",
        ),
        (
            look(2.2, 1e-7, Worse),
            "3.2 times stable, worse, p < 0.0001, look 5 of 20",
        ),
        (
            look(f64::INFINITY, 0.02, Undecided),
            "above stable, which has none, p = 0.0200, look 5 of 20",
        ),
    ] {
        assert_eq!(look.to_string(), words);
    }
}

#[test]
fn what_stands_in_the_spec_is_what_is_tested() {
    let of = |extra: &Value| metric(&json!({"compare": extra})).provider.compare.unwrap();
    let usual = of(&json!({}));
    assert!((usual.tolerance() - 0.05).abs() < 1e-12 && (usual.alpha() - 0.01).abs() < 1e-12);
    let own = of(&json!({"tolerance": "12.5%", "confidence": "0.999"}));
    assert!((own.tolerance() - 0.125).abs() < 1e-12 && (own.alpha() - 0.001).abs() < 1e-12);
}
