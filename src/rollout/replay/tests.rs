//! What would have been, for short histories; and that it is what the planner says of the same samples.

use std::sync::Arc;

use serde_json::{Value, json};

use super::super::testing;
use super::subject::{Known, KnownSides, Subject};
use super::*;
use crate::analysis::api::AnalysisTemplate;
use crate::analysis::template::Templates;
use crate::metric::Sample;
use crate::model::object::ObjectKind;
use crate::rollout::api::Rollout;

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn time(seconds: i64) -> Time {
    Time {
        from: at(0),
        to: at(seconds),
    }
}

fn metric(name: &str, extra: &Value) -> Value {
    let mut metric = json!({
        "name": name, "pass": "value >= 0.99", "fail": "value < 0.95",
        "prometheus": {"address": "http://prom:9090", "query": "up"},
    });
    json_patch::merge(&mut metric, extra);
    metric
}

fn rollout(extra: &Value) -> Rollout {
    let mut rollout = Rollout::new("api", testing::raw("1", extra));
    rollout.metadata.namespace = Some("shop".into());
    rollout
}

fn subject(metrics: &[Value]) -> Subject {
    let analysis = json!({"analysis": {"interval": "30s", "metrics": metrics}});
    Subject::of_rollout(&rollout(&analysis), &Templates::new()).unwrap()
}

const GOOD: Sample = Sample::Value(1.0);
const BAD: Sample = Sample::Value(0.5);
const BETWEEN: Sample = Sample::Value(0.97);
const NONE: Sample = Sample::Empty;

/// A claim, settings of the metric, samples; what becomes of the change, why, and after how many seconds.
type Case<'a> = (
    &'a str,
    Value,
    &'a [Sample],
    Outcome,
    Option<FailureReason>,
    i64,
);

/// Half a minute apart, as the schedule has it.
fn sampled(subject: &Subject, samples: &[(&str, &[Sample])]) -> BTreeMap<String, Samples> {
    let intervals: BTreeMap<&str, Duration> = subject
        .analysis
        .metrics
        .iter()
        .map(|(metric, interval)| (metric.name.as_str(), *interval))
        .collect();
    let with_times = samples.iter().map(|(name, samples)| {
        let times = schedule(&subject.analysis, intervals[name], time(86_400)).times;
        let samples = times.into_iter().zip(samples.iter().cloned()).collect();
        ((*name).to_owned(), samples)
    });
    with_times.collect()
}

fn replayed(subject: &Subject, samples: &[(&str, &[Sample])], to: i64) -> (End, Vec<Replayed>) {
    let samples = sampled(subject, samples);
    replay(&subject.analysis, &samples, time(to), &subject.consequences)
}

#[test]
fn how_one_metric_ends() {
    let table: &[Case] = &[
        (
            "good samples are promoted at the end",
            json!({}),
            &[GOOD, GOOD],
            Outcome::Promoted,
            None,
            90,
        ),
        (
            "a bad one goes back when it is taken",
            json!({}),
            &[GOOD, BAD, GOOD],
            Outcome::RolledBack,
            Some(FailureReason::AnalysisFailed),
            60,
        ),
        (
            "forgiven ones do not",
            json!({"failureLimit": 1}),
            &[GOOD, BAD, GOOD],
            Outcome::Promoted,
            None,
            90,
        ),
        (
            "one more does",
            json!({"failureLimit": 1}),
            &[BAD, GOOD, BAD],
            Outcome::RolledBack,
            Some(FailureReason::AnalysisFailed),
            90,
        ),
        (
            "inconclusive ones have a limit too",
            json!({"inconclusiveLimit": 1}),
            &[BETWEEN, BETWEEN],
            Outcome::RolledBack,
            Some(FailureReason::AnalysisFailed),
            60,
        ),
        (
            "no data is no success, and is waited for",
            json!({}),
            &[NONE, NONE, NONE],
            Outcome::RolledBack,
            Some(FailureReason::NoVerdict),
            690,
        ),
        (
            "no data may be bad",
            json!({"noData": "Fail"}),
            &[NONE],
            Outcome::RolledBack,
            Some(FailureReason::AnalysisFailed),
            30,
        ),
        (
            "no data may be good",
            json!({"noData": "Pass"}),
            &[NONE],
            Outcome::Promoted,
            None,
            90,
        ),
        (
            "too few good ones are no verdict",
            json!({"minSamples": 4}),
            &[GOOD, GOOD, GOOD],
            Outcome::RolledBack,
            Some(FailureReason::NoVerdict),
            690,
        ),
        (
            "what cannot be good any more is bad",
            json!({"count": 2, "minSamples": 2, "failureLimit": 2}),
            &[GOOD, BAD],
            Outcome::RolledBack,
            Some(FailureReason::AnalysisFailed),
            60,
        ),
        (
            "what is settled is measured no more",
            json!({"successLimit": 2}),
            &[GOOD, GOOD, BAD],
            Outcome::Promoted,
            None,
            90,
        ),
        (
            "what only watches decides nothing",
            json!({"dryRun": true}),
            &[BAD, BAD, BAD],
            Outcome::Promoted,
            None,
            90,
        ),
        (
            "nothing taken is no verdict",
            json!({}),
            &[],
            Outcome::RolledBack,
            Some(FailureReason::NoVerdict),
            690,
        ),
    ];
    for (claim, extra, samples, outcome, reason, seconds) in table {
        let subject = subject(&[metric("success-rate", extra)]);
        let (end, metrics) = replayed(&subject, &[("success-rate", samples)], 90);
        assert_eq!(
            (end.outcome, end.reason, end.at),
            (*outcome, *reason, at(*seconds)),
            "{claim}: {end:?}"
        );
        let all = metrics[0].samples.len() + metrics[0].not_taken.len();
        assert_eq!(all, samples.len(), "{claim}");
    }
}

#[test]
fn the_time_of_a_verdict_and_the_counts_with_each_sample_are_known() {
    let subject = subject(&[metric(
        "success-rate",
        &json!({"minSamples": 2, "failureLimit": 1}),
    )]);
    let samples = [GOOD, NONE, GOOD, BAD, BETWEEN, BAD, GOOD];
    let (end, metrics) = replayed(&subject, &[("success-rate", &samples)], 300);
    let of = &metrics[0];
    assert_eq!((of.verdict, of.verdict_at), (Judgement::Bad, Some(at(180))));
    assert_eq!(
        end.message,
        "success-rate: 2 of 5 samples are bad, 1 forgiven; last value 0.5"
    );
    let counts: Vec<_> = of
        .samples
        .iter()
        .map(|sample| {
            (
                sample.passed,
                sample.failed,
                sample.inconclusive,
                sample.no_data,
            )
        })
        .collect();
    assert_eq!(
        counts,
        [
            (1, 0, 0, 0),
            (1, 0, 0, 1),
            (2, 0, 0, 0),
            (2, 1, 0, 0),
            (2, 1, 1, 0),
            (2, 2, 1, 0)
        ]
    );
    let verdicts: Vec<_> = of.samples.iter().map(|sample| sample.verdict).collect();
    let (none, good, bad) = (Judgement::Undecided, Judgement::Good, Judgement::Bad);
    assert_eq!(verdicts, [none, none, good, good, good, bad]);
    assert_eq!(
        of.not_taken,
        [NotTaken {
            at: at(210),
            value: Some(1.0)
        }]
    );
    assert_eq!(of.thresholds, [0.95, 0.99]);
}

#[test]
fn the_first_bad_metric_ends_all_of_them() {
    let slow = metric("latency", &json!({"interval": "1m"}));
    let subject = subject(&[metric("success-rate", &json!({})), slow]);
    let samples: &[(&str, &[Sample])] = &[
        ("success-rate", &[GOOD, GOOD, GOOD]),
        ("latency", &[BAD, GOOD]),
    ];
    let (end, metrics) = replayed(&subject, samples, 90);
    assert_eq!((end.outcome, end.at), (Outcome::RolledBack, at(60)));
    assert!(
        end.message.starts_with("latency: 1 of 1"),
        "{}",
        end.message
    );
    // What was due at the same time was taken.
    let counts: Vec<_> = metrics
        .iter()
        .map(|of| (of.samples.len(), of.not_taken.len()))
        .collect();
    assert_eq!(counts, [(2, 1), (1, 1)]);
}

#[test]
fn samples_are_taken_when_the_planner_takes_them() {
    let of = |extra: Value| {
        let mut analysis =
            json!({"interval": "30s", "metrics": [metric("success-rate", &json!({}))]});
        json_patch::merge(&mut analysis, &extra);
        let subject =
            Subject::of_rollout(&rollout(&json!({"analysis": analysis})), &Templates::new())
                .unwrap();
        let of = schedule(&subject.analysis, Duration::from_secs(30), time(100));
        (of.begin, of.times)
    };
    assert_eq!(of(json!({})), (at(0), vec![at(30), at(60), at(90)]));
    assert_eq!(
        of(json!({"initialDelay": "1m"})),
        (at(30), vec![at(60), at(90)])
    );
    assert_eq!(
        of(json!({"initialDelay": "10s"})),
        (at(0), vec![at(10), at(40), at(70), at(100)])
    );
}

#[test]
fn a_failure_that_is_left_to_people_holds_the_change() {
    let extra = json!({
        "rollback": {"on": ["CrashLoop"]}, "progressDeadlineSeconds": 120,
        "analysis": {"metrics": [metric("success-rate", &json!({}))]},
    });
    let subject = Subject::of_rollout(&rollout(&extra), &Templates::new()).unwrap();
    let ends = |samples: &[Sample]| {
        let (end, _) = replayed(&subject, &[("success-rate", samples)], 90);
        (end.outcome, end.reason.unwrap(), end.at)
    };
    assert_eq!(
        ends(&[BAD]),
        (Outcome::Held, FailureReason::AnalysisFailed, at(30))
    );
    assert_eq!(
        ends(&[NONE]),
        (Outcome::Held, FailureReason::NoVerdict, at(210))
    );
}

#[test]
fn what_is_known_of_then_is_filled_in_and_what_is_not_is_left_out() {
    let query = |name: &str, query: &str| metric(name, &json!({"prometheus": {"query": query}}));
    let job = json!({"name": "smoke", "job": {"image": "smoke:1"}});
    let metrics = [
        query(
            "any",
            "up{pod=~\"{{canary.pods}}\",ns=\"{{metadata.namespace}}\"}",
        ),
        query("both", "{{canary.pods}} / {{stable.pods}}"),
        query("revision", "{{canary.revision}}"),
        query("image", "{{canary.images['web']}}"),
        job,
    ];
    let of = |known: &KnownSides| {
        let mut subject = subject(&metrics);
        let left_out = subject.prepare(known);
        let queries = subject.analysis.metrics.into_iter();
        let queries: Vec<String> = queries
            .map(|(metric, _)| metric.provider.prometheus.unwrap().query)
            .collect();
        let left_out: Vec<String> = left_out
            .into_iter()
            .map(|of| format!("{}: {}", of.name, of.because))
            .collect();
        (queries, left_out)
    };
    let (queries, left_out) = of(&KnownSides::default());
    assert_eq!(
        queries,
        ["up{pod=~\"api-[a-z0-9]+-[a-z0-9]{5}\",ns=\"shop\"}"]
    );
    insta::assert_snapshot!(left_out.join("\n"));
    let known = KnownSides {
        canary: Known {
            revision: Some("22b005613e".into()),
            pods: None,
        },
        stable: Known {
            revision: None,
            pods: Some("old-.*".into()),
        },
    };
    let (queries, left_out) = of(&known);
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    assert_eq!(
        queries[1..],
        ["api-22b005613e-[a-z0-9]{5} / old-.*", "22b005613e"]
    );
}

#[test]
fn a_template_is_replayed_by_itself() {
    let templates = |query: &str| -> Templates {
        let template = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate",
            "metadata": {"name": "house-rules"},
            "spec": {"args": [{"name": "least"}], "metrics": [
                metric("success-rate", &json!({"pass": "value >= {{args.least}}", "prometheus": {"query": query}})),
            ]},
        });
        let template: AnalysisTemplate = serde_json::from_value(template).unwrap();
        [("house-rules".to_owned(), Arc::new(template))].into()
    };
    let of = |query: &str, args: &[(&str, &str)]| {
        let args = args
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Subject::of_template("house-rules", args.collect(), &templates(query))
    };
    let least = [("least", "0.9")];
    let mut subject = of("up{pod=~\"{{canary.pods}}\"}", &least).unwrap();
    assert_eq!(subject.kind, ObjectKind::AnalysisTemplate);
    let pass = subject.analysis.metrics[0].0.pass.clone();
    assert_eq!(pass.as_deref(), Some("value >= 0.9"));
    let left_out = subject.clone().prepare(&KnownSides::default());
    assert!(
        left_out[0].because.contains("--canary-pods"),
        "{left_out:?}"
    );
    let known = KnownSides {
        canary: Known {
            revision: None,
            pods: Some("web-.*".into()),
        },
        ..KnownSides::default()
    };
    assert_eq!(subject.prepare(&known), []);
    let told = |query: &str, args: &[(&str, &str)]| {
        let wrong = of(query, args).unwrap_err();
        format!("{}: {}", wrong[0].path, wrong[0].problem)
    };
    let missing = told("up", &[]);
    assert!(
        missing.starts_with("--arg: AnalysisTemplate house-rules needs a value for least"),
        "{missing}"
    );
    let owner = told("{{metadata.name}}", &least);
    assert!(
        owner.contains("{{metadata.name}}: is said by a Rollout that names the template"),
        "{owner}"
    );
}

#[test]
fn a_comparison_is_replayed_with_its_looks() {
    use crate::metric::provider;
    use crate::model::action::Reply;

    let compare = json!({"name": "errors", "count": 10, "compare": {
        "test": "Ratio", "tolerance": "10%",
        "prometheus": {"address": "http://prom:9090", "canary": "c", "stable": "s", "canaryTotal": "ct", "stableTotal": "st"},
    }});
    let subject = subject(&[compare]);
    let metric = subject.analysis.metrics[0].0.clone();
    let times = schedule(&subject.analysis, Duration::from_secs(30), time(300)).times;
    // Three of ten fail on the canary and one of a hundred on stable, every second.
    let look = |now: &Timestamp| {
        let grid = || (at(0).as_second()..=now.as_second()).step_by(30);
        let series = |part: &str, by: i64| {
            let points =
                grid().map(|at_| json!([at_, (by * (at_ - at(0).as_second())).to_string()]));
            json!({"metric": {"slipway_part": part}, "values": points.collect::<Vec<_>>()})
        };
        let result = [
            series("grid", 1),
            series("canary", 30),
            series("canary-total", 100),
            series("stable", 1),
            series("stable-total", 100),
        ];
        let body = json!({"status": "success", "data": {"resultType": "matrix", "result": result}});
        let body = body.to_string().into_bytes();
        let sample = provider::read(&metric, &Ok(Reply { status: 200, body }));
        (*now, sample)
    };
    let samples = BTreeMap::from([("errors".to_owned(), times.iter().map(look).collect())]);
    let (end, metrics) = replay(
        &subject.analysis,
        &samples,
        time(300),
        &subject.consequences,
    );
    // With the third look it is sure.
    assert_eq!((end.outcome, end.at), (Outcome::RolledBack, at(90)));
    assert_eq!(metrics[0].thresholds, [10.0]);
    assert!(metrics[0].samples[2].value.unwrap() > 1000.0);
    let last = &metrics[0].samples[2];
    assert!(last.shown.as_deref().unwrap().contains("worse"), "{last:?}");
}
