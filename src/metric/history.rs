//! What a metric would have measured in the past: what is asked, and the samples in the answers. No I/O.
//!
//! The values of a query of one moment are asked for all at once: a range query has at each of its steps what an instant
//! query would have brought then. What looks back at every sample, a range or a comparison, is asked for as the operator
//! asks, sample by sample, with the time of the sample as now.

use std::time::Duration;

use jiff::Timestamp;

use super::Sample;
use super::provider::{self, Credentials, Window, prometheus};
use crate::analysis::api::Metric;
use crate::analysis::api::provider::{PrometheusQuery, Source};
use crate::model::action::{Reply, Request};

/// Most samples of a metric.
pub const MOST_SAMPLES: usize = 20_000;
/// Most samples of a metric that is asked for sample by sample.
pub const MOST_QUESTIONS: usize = 1_000;
/// Values in one answer, which may have 1 MiB.
const PER_ANSWER: usize = 1_000;
/// How long an answer about many samples may take at least.
const PATIENCE: Duration = Duration::from_secs(30);

/// One request, and the times of the samples that its reply has.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What is sent.
    pub request: Request,
    /// When the samples would have been taken; the last is the time as of which it is asked.
    pub times: Vec<Timestamp>,
}

/// How the past of a metric is asked for.
enum Past<'a> {
    AtOnce(&'a PrometheusQuery),
    OneByOne,
}

/// When the samples of a metric would have been taken, and what they are about.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// When the time begins that they are about.
    pub begin: Timestamp,
    /// Time between two of them.
    pub interval: Duration,
    /// Their times.
    pub times: Vec<Timestamp>,
}

/// How a metric's past is asked for; else why it cannot be.
fn past(metric: &Metric) -> Result<Past<'_>, String> {
    let not_yet = |who: &str| Err(format!("values of the past are not asked of {who} yet"));
    match metric.provider.source() {
        Some(Source::Prometheus(query)) if query.range.is_none() => Ok(Past::AtOnce(query)),
        Some(Source::Prometheus(_) | Source::Compare(_)) => Ok(Past::OneByOne),
        Some(Source::Web(_)) => Err(
            "a server that answers with JSON says how things are now, and has no past to ask for"
                .to_owned(),
        ),
        Some(Source::Job(_)) => {
            Err("a Job checks how things are when it runs, and has no past to ask for".to_owned())
        }
        Some(Source::Datadog(_)) => not_yet("Datadog"),
        Some(Source::CloudWatch(_)) => not_yet("CloudWatch"),
        Some(Source::NewRelic(_)) => not_yet("New Relic"),
        Some(Source::Graphite(_)) => not_yet("Graphite"),
        Some(Source::InfluxDb(_)) => not_yet("InfluxDB"),
        None => Err("it does not name exactly one source".to_owned()),
    }
}

/// Whether the metric has a past that can be asked for.
///
/// # Errors
/// Why it has none.
pub fn check(metric: &Metric) -> Result<(), String> {
    past(metric).map(|_| ())
}

/// Everything that is asked about a metric.
///
/// # Errors
/// Why nothing can be asked.
pub fn questions(
    metric: &Metric,
    credentials: &Credentials,
    schedule: &Schedule,
) -> Result<Vec<Question>, String> {
    let Schedule { times, .. } = schedule;
    let past = past(metric)?;
    let most = match past {
        Past::AtOnce(_) => MOST_SAMPLES,
        Past::OneByOne => MOST_QUESTIONS,
    };
    if times.len() > most {
        return Err(format!(
            "more than {most} samples would have been taken, and no more are replayed: take a shorter time"
        ));
    }
    let question = |times: &[Timestamp]| {
        let (first, last) = (times.first()?, times.last()?);
        let mut request = match past {
            Past::AtOnce(query) => {
                let times = prometheus::Times {
                    start: seconds(*first),
                    end: seconds(*last),
                    step: schedule.interval,
                };
                let timeout = metric.provider.timeout().max(PATIENCE);
                prometheus::asked(query, credentials, timeout, Some(&times))
            }
            Past::OneByOne => {
                let window = Window {
                    since: schedule.begin,
                    interval: schedule.interval,
                    now: *last,
                };
                provider::request(metric, credentials, &window)?
            }
        };
        request.timeout = request.timeout.max(PATIENCE);
        let times = times.to_vec();
        Some(Question { request, times })
    };
    let together = match past {
        Past::AtOnce(_) => PER_ANSWER,
        Past::OneByOne => 1,
    };
    Ok(times.chunks(together).filter_map(question).collect())
}

/// A time as Prometheus reads it, to the millisecond.
fn seconds(at: Timestamp) -> String {
    format!("{}.{:03}", at.as_second(), at.subsec_millisecond())
}

/// The samples in the answer to a question.
///
/// # Errors
/// There is no answer to rely on; says why. What would have been an error then is a sample.
pub fn samples(metric: &Metric, question: &Question, reply: Reply) -> Result<Vec<Sample>, String> {
    let answer = prometheus::answer(&reply)?;
    match past(metric)? {
        Past::AtOnce(_) => prometheus::samples(&answer, &question.times),
        Past::OneByOne => Ok(vec![provider::read(metric, &Ok(reply))]),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::provider::testing::{credentials, metric, shown};
    use super::*;

    fn schedule(count: i64) -> Schedule {
        let at = |n: i64| Timestamp::from_second(1_800_000_000 + 30 * n).unwrap();
        Schedule {
            begin: at(0),
            interval: Duration::from_secs(30),
            times: (1..=count).map(at).collect(),
        }
    }

    fn asked(provider: &Value, count: i64) -> Result<Vec<Question>, String> {
        questions(&metric(provider), &credentials(), &schedule(count))
    }

    fn prometheus(extra: &Value) -> Value {
        let mut query = json!({"address": "http://prom:9090", "query": "up"});
        json_patch::merge(&mut query, extra);
        json!({"prometheus": query})
    }

    fn compare() -> Value {
        json!({"compare": {
            "test": "Ratio",
            "prometheus": {"address": "http://prom:9090", "canary": "a", "stable": "b", "canaryTotal": "c", "stableTotal": "d"},
        }})
    }

    #[test]
    fn values_of_a_moment_are_asked_for_at_once() {
        let all = asked(&prometheus(&json!({})), 1001).unwrap();
        let counts: Vec<usize> = all.iter().map(|question| question.times.len()).collect();
        assert_eq!(counts, [1000, 1]);
        insta::assert_snapshot!(shown(&all[0].request));
    }

    #[test]
    fn what_looks_back_is_asked_for_as_the_operator_asks() {
        let range = prometheus(&json!({"range": {"for": "5m", "step": "1m", "reduce": "Max"}}));
        let all = asked(&range, 3).unwrap();
        assert_eq!(all.len(), 3);
        let access = all[1].request.access.clone().unwrap();
        assert_eq!(access.window, Some(Duration::from_mins(5)));
        let looks = asked(&compare(), 3).unwrap();
        let ends: Vec<String> = looks
            .iter()
            .map(|look| look.request.body.clone().unwrap())
            .map(|body| body[body.find("&start").unwrap()..].to_owned())
            .collect();
        assert_eq!(
            ends,
            [30, 60, 90].map(|n| format!("&start=1800000000&end={}&step=30", 1_800_000_000 + n))
        );
    }

    #[test]
    fn what_has_no_past_says_so() {
        let told = |provider: Value| asked(&provider, 1).unwrap_err();
        let image = json!({"image": "smoke:1"});
        assert!(told(json!({"job": image})).contains("a Job checks how things are when it runs"));
        assert!(told(json!({"web": {"url": "https://q"}})).contains("no past to ask for"));
        let graphite = json!({"graphite": {"address": "https://g", "target": "a"}});
        assert!(told(graphite).ends_with("are not asked of Graphite yet"));
    }

    #[test]
    fn too_much_is_refused() {
        let told = asked(&prometheus(&json!({})), 20_001).unwrap_err();
        assert!(told.starts_with("more than 20000 samples"), "{told}");
        let told = asked(&compare(), 1_001).unwrap_err();
        assert!(told.starts_with("more than 1000 samples"), "{told}");
    }

    #[test]
    fn no_answer_is_no_sample() {
        let metric = metric(&prometheus(&json!({})));
        let all = questions(&metric, &credentials(), &schedule(2)).unwrap();
        let read = |status: u16, body: Value| {
            let body = body.to_string().into_bytes();
            samples(&metric, &all[0], Reply { status, body })
        };
        let refused = json!({"status": "error", "error": "parse error"});
        assert!(read(400, refused).unwrap_err().contains("parse error"));
        let partial = json!({"status": "success", "warnings": ["store down"], "data": {"resultType": "matrix", "result": []}});
        assert!(read(200, partial).unwrap_err().contains("store down"));
        let values = json!([[1_800_000_030, "1"], [1_800_000_060, "2"]]);
        let good = json!({"status": "success", "data": {"resultType": "matrix", "result": [{"values": values}]}});
        assert_eq!(
            read(200, good),
            Ok(vec![Sample::Value(1.0), Sample::Value(2.0)])
        );
    }
}
