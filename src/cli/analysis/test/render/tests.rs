//! What people see, wide and narrow.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::analysis::template::Templates;
use crate::cli::Output;
use crate::metric::Sample;
use crate::rollout::api::Rollout;
use crate::rollout::replay::subject::{LeftOut, Subject};
use crate::rollout::replay::{Samples, Time, replay, schedule};
use crate::rollout::testing;

const GOOD: Sample = Sample::Value(0.998);
const BAD: Sample = Sample::Value(0.9);
const BETWEEN: Sample = Sample::Value(0.97);

fn subject() -> Subject {
    let query = |query: &str| json!({"address": "http://prom:9090", "query": query});
    let analysis = json!({"interval": "30s", "metrics": [
        {
            "name": "success-rate", "pass": "value >= 0.99", "fail": "value < 0.95",
            "minSamples": 5, "failureLimit": 1, "prometheus": query("up"),
        },
        {"name": "latency", "interval": "2m", "fail": "value > 0.5", "dryRun": true, "prometheus": query("up")},
    ]});
    let mut rollout = Rollout::new("api", testing::raw("1", &json!({"analysis": analysis})));
    rollout.metadata.namespace = Some("shop".into());
    Subject::of_rollout(&rollout, &Templates::new()).unwrap()
}

fn replayed(rate: impl Fn(usize) -> Sample, minutes: i64) -> Replay {
    let subject = subject();
    let from = Timestamp::from_second(1_800_000_000).unwrap();
    let to = Timestamp::from_second(1_800_000_000 + 60 * minutes).unwrap();
    let time = Time { from, to };
    let latency = |n: usize| Sample::Value(if n.is_multiple_of(2) { 0.25 } else { 0.75 });
    let taken = |interval: Duration, of: &dyn Fn(usize) -> Sample| -> Samples {
        let times = schedule(&subject.analysis, interval, time).times;
        times
            .into_iter()
            .enumerate()
            .map(|(n, at)| (at, of(n)))
            .collect()
    };
    let samples = BTreeMap::from([
        (
            "success-rate".to_owned(),
            taken(Duration::from_secs(30), &rate),
        ),
        (
            "latency".to_owned(),
            taken(Duration::from_mins(2), &latency),
        ),
    ]);
    let (end, metrics) = replay(&subject.analysis, &samples, time, &subject.consequences);
    Replay {
        kind: "Rollout",
        namespace: "shop".to_owned(),
        name: "api".to_owned(),
        from,
        to,
        end,
        metrics,
        left_out: Vec::new(),
    }
}

/// All is well, then nothing is known, then it is not well.
fn bad() -> Replay {
    replayed(
        |n| match n {
            8..10 => Sample::Empty,
            10 => Sample::Error("2 series".to_owned()),
            11..13 => BETWEEN,
            13 | 17..20 => BAD,
            _ => GOOD,
        },
        20,
    )
}

fn shown(replay: &Replay, width: usize) -> String {
    let text = page(replay, width, Palette::new(false));
    assert!(!text.contains('\u{1b}'), "colours");
    text
}

#[test]
fn what_would_have_gone_back() {
    insta::assert_snapshot!(shown(&bad(), 100));
}

#[test]
fn what_would_have_gone_back_on_a_narrow_terminal() {
    let text = shown(&bad(), 64);
    let of_plot = text.lines().filter(|line| line.contains(['│', '┤', '└']));
    assert!(of_plot.clone().count() > 9);
    for line in of_plot {
        assert!(line.chars().count() <= 64, "{line}");
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_would_have_been_promoted() {
    let mut replay = replayed(|_| GOOD, 4);
    insta::assert_snapshot!(shown(&replay, 80));
    replay.left_out = vec![LeftOut {
        name: "smoke".to_owned(),
        because: "a Job checks how things are when it runs, and has no past to ask for".to_owned(),
    }];
    let text = shown(&replay, 80);
    assert!(
        text.contains("promoted, as far as it was replayed"),
        "{text}"
    );
    assert!(text.ends_with("Not replayed\n  smoke: a Job checks how things are when it runs, and has no past to ask for\n"));
}

#[test]
fn what_had_no_data() {
    insta::assert_snapshot!(shown(&replayed(|_| Sample::Empty, 4), 80));
    let (end, metrics) = replay(
        &subject().analysis,
        &BTreeMap::new(),
        Time {
            from: Timestamp::UNIX_EPOCH,
            to: Timestamp::UNIX_EPOCH,
        },
        &subject().consequences,
    );
    assert_eq!(end.reason, Some(FailureReason::NoVerdict));
    let empty = Replay {
        end,
        metrics,
        ..replayed(|_| GOOD, 4)
    };
    assert!(shown(&empty, 80).contains("no sample would have been taken"));
}

#[test]
fn hours_are_folded_and_the_bad_are_seen() {
    let long = replayed(|n| if n == 700 || n == 1900 { BAD } else { GOOD }, 26 * 60);
    let text = shown(&long, 80);
    insta::assert_snapshot!(text);
}

#[test]
fn colours_are_added_and_nothing_else() {
    let coloured = page(&bad(), 100, Palette::new(true));
    assert!(coloured.contains("\u{1b}[31m×\u{1b}[0m"));
    let mut plain = String::new();
    for (index, part) in coloured.split('\u{1b}').enumerate() {
        let rest = if index == 0 {
            part
        } else {
            part.split_once('m').unwrap().1
        };
        plain.push_str(rest);
    }
    assert_eq!(plain, shown(&bad(), 100));
}

#[test]
fn programs_get_every_sample() {
    let replay = replayed(|n| if n == 1 { BAD } else { GOOD }, 2);
    insta::assert_snapshot!(Output::Json.document(&replay).unwrap());
    let yaml = Output::Yaml.document(&replay).unwrap();
    let read: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
    assert_eq!(read["metrics"][0]["samples"][1]["result"], "Bad");
}
