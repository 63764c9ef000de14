//! Stories of single rules, and every combination of settings against a judge that is written differently.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn metric(extra: &Value) -> Metric {
    let mut metric = json!({
        "name": "success-rate", "pass": "value >= 0.99", "fail": "value < 0.95",
        "prometheus": {"address": "http://prom", "query": "up"},
    });
    json_patch::merge(&mut metric, extra);
    serde_json::from_value(metric).unwrap()
}

fn after(metric: &Metric, samples: &[Sample]) -> (Tally, Verdict) {
    let tally = samples
        .iter()
        .fold(Tally::default(), |tally, s| count(metric, &tally, s, NOW));
    let verdict = verdict(metric, &tally);
    (tally, verdict)
}

fn error() -> Sample {
    Sample::Error("refused".into())
}

const GOOD: Sample = Sample::Value(1.0);
const BAD: Sample = Sample::Value(0.5);
const BETWEEN: Sample = Sample::Value(0.97);

/// Whether it is good, or bad.
fn ends(extra: &Value, samples: &[Sample]) -> (bool, bool) {
    let (_, verdict) = after(&metric(extra), samples);
    let is_bad = matches!(verdict, Verdict::Bad(_));
    (verdict == Verdict::Good, is_bad)
}

#[test]
fn verdicts() {
    let (strict, forgiving) = (json!({}), json!({"failureLimit": 1}));
    let patient = json!({"minSamples": 3});
    let only_pass = json!({"fail": null});
    let only_fail = json!({"pass": null});
    let in_a_row = json!({"successLimit": 2, "failureLimit": 5});
    let five = json!({"count": 5, "minSamples": 4, "failureLimit": 5});
    let (undecided, good, bad) = ((false, false), (true, false), (false, true));
    let infinity = Sample::Value(f64::INFINITY);
    let table = [
        (
            "nothing measured decides nothing",
            &strict,
            vec![],
            undecided,
        ),
        (
            "one good sample is enough by default",
            &strict,
            vec![GOOD],
            good,
        ),
        (
            "one bad sample is too much by default",
            &strict,
            vec![BAD],
            bad,
        ),
        (
            "a forgiven sample is no success",
            &forgiving,
            vec![BAD],
            undecided,
        ),
        ("nor is it a failure", &forgiving, vec![BAD, GOOD], good),
        ("one more is", &forgiving, vec![BAD, GOOD, BAD], bad),
        (
            "min samples are waited for",
            &patient,
            vec![GOOD, GOOD],
            undecided,
        ),
        (
            "no data is not success",
            &patient,
            vec![Sample::Empty; 50],
            undecided,
        ),
        (
            "in between is neither",
            &strict,
            vec![BETWEEN; 3],
            undecided,
        ),
        ("but not for ever", &strict, vec![BETWEEN; 4], bad),
        (
            "with pass alone there is no between",
            &only_pass,
            vec![BETWEEN],
            bad,
        ),
        ("nor with fail alone", &only_fail, vec![BETWEEN], good),
        (
            "errors are forgiven",
            &strict,
            vec![error(), error(), GOOD],
            good,
        ),
        ("but not in a row for ever", &strict, vec![error(); 5], bad),
        ("infinity is a value", &strict, vec![infinity], good),
        (
            "a row is waited for",
            &in_a_row,
            vec![GOOD, BAD, GOOD],
            undecided,
        ),
        (
            "a row settles it",
            &in_a_row,
            vec![GOOD, BAD, GOOD, GOOD],
            good,
        ),
        (
            "no data ends a row",
            &in_a_row,
            vec![GOOD, Sample::Empty, GOOD],
            undecided,
        ),
        (
            "an error does, too",
            &in_a_row,
            vec![GOOD, error(), GOOD],
            undecided,
        ),
        (
            "what can still be good is waited for",
            &five,
            vec![BAD, GOOD, GOOD],
            undecided,
        ),
        ("what cannot be is not", &five, vec![BAD, GOOD, BAD], bad),
    ];
    for (claim, extra, samples, expected) in table {
        assert_eq!(ends(extra, &samples), expected, "{claim}");
    }
}

#[test]
fn a_verdict_that_is_bad_says_which_metric_and_how_many_of_how_many() {
    let bad = |extra: &Value, samples: &[Sample]| match after(&metric(extra), samples).1 {
        Verdict::Bad(words) => words,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        bad(&json!({"failureLimit": 1}), &[BAD, GOOD, BAD]),
        "success-rate: 2 of 3 samples are bad, 1 forgiven; last value 0.5"
    );
    assert_eq!(
        bad(&json!({"errorLimit": 1}), &[error(), error()]),
        "success-rate: 2 errors in a row, 1 forgiven; last: refused"
    );
    assert_eq!(
        bad(&json!({"inconclusiveLimit": 0}), &[GOOD, BETWEEN]),
        "success-rate: 1 of 2 samples are neither good nor bad, 0 forgiven; last value 0.97"
    );
    assert_eq!(
        bad(
            &json!({"count": 2, "minSamples": 2, "failureLimit": 1}),
            &[BAD]
        ),
        "success-rate: 1 of 2 samples are taken, and the others cannot make it good any more (0/2 passed); last value 0.5"
    );
}

#[test]
fn where_a_metric_is_can_be_read() {
    let said = |extra: &Value, samples: &[Sample]| {
        let metric = metric(extra);
        words(&metric, Some(&after(&metric, samples).0))
    };
    assert_eq!(words(&metric(&json!({})), None), "success-rate 0/1 passed");
    assert_eq!(
        said(
            &json!({"minSamples": 5, "failureLimit": 2, "dryRun": true}),
            &[GOOD, BAD, BETWEEN]
        ),
        "success-rate 1/5 passed, 1 bad (2 forgiven), 1 neither (3 forgiven), dry run"
    );
    assert_eq!(
        said(&json!({"successLimit": 3}), &[GOOD, Sample::Empty, error()]),
        "success-rate 0/3 passed in a row, 1 errors in a row (4 forgiven), 1 without data"
    );
}

#[test]
fn what_is_remembered_of_a_sample_is_short() {
    let page = Sample::Error("x".repeat(1 << 20));
    let (tally, _) = after(&metric(&json!({})), &[page]);
    assert_eq!(tally.message.unwrap().len(), MAX_PROBLEM);
    for (value, text) in [
        (f64::MAX, "1.7976931348623157e308"),
        (1e-300, "1e-300"),
        (0.25, "0.25"),
    ] {
        let (tally, _) = after(&metric(&json!({})), &[Sample::Value(value)]);
        assert_eq!(tally.value.unwrap(), text);
    }
}

#[test]
fn the_last_samples_are_kept_and_no_more() {
    for (retain, kept) in [
        (None, 5),
        (Some(0), 0),
        (Some(3), 3),
        (Some(20), 12),
        (Some(99), 12),
    ] {
        let metric = metric(&json!({"retain": retain}));
        let samples: Vec<Sample> = (0..12)
            .map(|value| Sample::Value(f64::from(value)))
            .collect();
        let (tally, _) = after(&metric, &samples);
        assert_eq!((tally.taken, tally.measurements.len()), (12, kept));
        if let Some(last) = tally.measurements.last() {
            assert_eq!(last.value.as_deref(), Some("11"));
            assert_eq!(last.result, SampleResult::Good);
        }
    }
}

#[test]
fn several_numbers_are_as_good_as_the_worst_of_them() {
    let strict = metric(&json!({}));
    for (values, passed, failed, shown) in [
        (vec![1.0, 0.999], 1, 0, "0.999"),
        (vec![1.0, 0.97, 1.0], 0, 0, "0.97"),
        (vec![0.5, 0.97, 1.0], 0, 1, "0.5"),
    ] {
        let (tally, _) = after(&strict, &[Sample::Values(values)]);
        assert_eq!((tally.passed, tally.failed), (passed, failed));
        assert_eq!(tally.value.as_deref(), Some(shown));
    }
    let (tally, _) = after(&strict, &[Sample::Values(Vec::new())]);
    assert_eq!(tally.errors, 1);
}

#[test]
fn a_verdict_of_others_is_counted_as_it_is() {
    let verdict = |is_good| Sample::Verdict {
        is_good,
        message: "as the Job says".into(),
    };
    let good = after(&metric(&json!({})), &[verdict(true)]);
    assert_eq!(good.1, Verdict::Good);
    let bad = after(&metric(&json!({})), &[verdict(false)]);
    assert!(matches!(bad.1, Verdict::Bad(_)));
}

#[test]
fn an_answer_ends_a_row_of_errors_and_an_error_no_row_without_data() {
    let (tally, _) = after(&metric(&json!({})), &[error(), error(), Sample::Empty]);
    assert_eq!((tally.errors, tally.no_data), (0, 1));
    let (tally, _) = after(
        &metric(&json!({})),
        &[Sample::Empty, error(), Sample::Empty],
    );
    assert_eq!((tally.errors, tally.no_data), (0, 2));
}

/// Every value against every pair of conditions.
#[test]
fn what_a_value_is_depends_on_both_conditions() {
    use SampleResult::{Bad, Error, Good, Inconclusive};
    let (pass, fail, broken) = (
        json!("value >= 0.99"),
        json!("value < 0.95"),
        json!("value / 'x' > 1"),
    );
    let none = Value::Null;
    // For 1, 0.97, 0.5, and what is no number.
    let table = [
        (&pass, &fail, [Good, Inconclusive, Bad, Error]),
        (&pass, &none, [Good, Bad, Bad, Error]),
        (&none, &fail, [Good, Good, Bad, Error]),
        (&none, &none, [Error; 4]),
        (&fail, &fail, [Inconclusive, Inconclusive, Bad, Error]),
        (&broken, &fail, [Error, Error, Bad, Error]),
        (&pass, &broken, [Error; 4]),
    ];
    for (pass, fail, expected) in table {
        let metric = metric(&json!({"pass": pass, "fail": fail}));
        let found = [1.0, 0.97, 0.5, f64::NAN].map(|value| {
            let tally = count(&metric, &Tally::default(), &Sample::Value(value), NOW);
            tally.measurements[0].result
        });
        assert_eq!(found, expected, "{pass} {fail}");
    }
}

fn agree(metric: &Metric, tally: &Tally, history: &[SampleResult]) -> Option<bool> {
    let found = match verdict(metric, tally) {
        Verdict::Undecided => None,
        Verdict::Good => Some(true),
        Verdict::Bad(_) => Some(false),
    };
    assert_eq!(
        found,
        reference::verdict(metric, history),
        "{metric:?} {history:?}"
    );
    let is_over = reference::is_over(metric, history);
    assert_eq!(
        is_complete(metric, tally),
        is_over,
        "{metric:?} {history:?}"
    );
    found
}

/// Every history that goes on from this one, as long as the metric is measured.
fn explore(metric: &Metric, tally: &Tally, history: &mut Vec<SampleResult>, more: usize) -> usize {
    let decided = agree(metric, tally, history);
    if more == 0 || decided == Some(false) || is_complete(metric, tally) {
        return 1;
    }
    let mut seen = 1;
    for result in SampleResult::ALL {
        history.push(*result);
        seen += explore(metric, &counted(metric, tally, *result), history, more - 1);
        history.pop();
    }
    seen
}

#[test]
fn every_combination_of_settings_over_every_history_is_judged_as_by_a_judge_written_differently() {
    let mut seen = 0;
    let limits = |limits: &[u32]| -> Vec<Option<u32>> {
        let said = limits.iter().map(|limit| Some(*limit));
        std::iter::once(None).chain(said).collect()
    };
    let base = metric(&json!({}));
    for failure_limit in limits(&[1, 2]) {
        for inconclusive_limit in limits(&[0]) {
            for error_limit in limits(&[0, 1]) {
                for success_limit in limits(&[1, 2, 3]) {
                    for min_samples in limits(&[2, 3]) {
                        for count in limits(&[1, 3, 4]) {
                            for no_data in NoData::ALL {
                                let metric = Metric {
                                    failure_limit,
                                    inconclusive_limit,
                                    error_limit,
                                    success_limit,
                                    min_samples,
                                    count,
                                    no_data: Some(*no_data),
                                    ..base.clone()
                                };
                                seen += explore(&metric, &Tally::default(), &mut Vec::new(), 4);
                            }
                        }
                    }
                }
            }
        }
    }
    println!("{seen} histories");
    assert!(seen > 100_000, "{seen}");
}

fn setting(most: u32) -> impl Strategy<Value = Option<u32>> {
    prop_oneof![Just(None), (0..=most).prop_map(Some)]
}

fn any_metric() -> impl Strategy<Value = Metric> {
    let limits = (setting(4), setting(4), setting(6));
    let wants = (setting(6), setting(6), setting(12));
    let no_data = proptest::sample::select(NoData::ALL);
    (limits, wants, no_data).prop_map(|(limits, wants, no_data)| {
        let (failure_limit, inconclusive_limit, error_limit) = limits;
        let (success_limit, min_samples, count) = wants;
        Metric {
            failure_limit,
            inconclusive_limit,
            error_limit,
            success_limit,
            min_samples,
            count,
            no_data: Some(no_data),
            ..metric(&json!({}))
        }
    })
}

proptest! {
    #[test]
    fn long_histories_are_judged_as_by_a_judge_written_differently(
        metric in any_metric(),
        results in proptest::collection::vec(proptest::sample::select(SampleResult::ALL), 0..60),
    ) {
        let mut tally = Tally::default();
        for end in 0..=results.len() {
            agree(&metric, &tally, &results[..end]);
            if let Some(result) = results.get(end) {
                tally = counted(&metric, &tally, *result);
            }
        }
    }

    #[test]
    fn without_a_good_sample_no_verdict_is_good_and_what_is_bad_stays_bad(
        metric in any_metric(),
        results in proptest::collection::vec(proptest::sample::select(SampleResult::ALL), 0..60),
    ) {
        let metric = Metric { min_samples: metric.min_samples.filter(|min| *min > 0), ..metric };
        let mut tally = Tally::default();
        let mut was_bad = false;
        for result in &results {
            if is_complete(&metric, &tally) {
                break;
            }
            tally = counted(&metric, &tally, *result);
            let verdict = verdict(&metric, &tally);
            let has_good = tally.passed > 0;
            prop_assert!(verdict != Verdict::Good || has_good);
            // Only a row of errors ends; the planner has acted on it by then.
            let is_bad = matches!(verdict, Verdict::Bad(_)) && tally.errors == 0;
            prop_assert!(!was_bad || is_bad || tally.errors > 0, "{metric:?} {results:?}");
            was_bad |= is_bad;
        }
    }
}
