//! Counts requests: each ends exactly once. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::spec::LoadSpec;

/// Losses that are kept in detail.
const LOSS_RECORDS: usize = 200;
/// The revision of answers that carry none.
const UNKNOWN: &str = "unknown";

/// Why a request counts as lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Loss {
    /// Nobody listened.
    Refused,
    /// No connection for another reason.
    Unreachable,
    /// The connection ended before the answer did.
    Reset,
    /// The whole answer did not come in time.
    Timeout,
    /// 4xx, for example a gateway's 404 because it has no route.
    ClientError,
    /// 5xx without the sample's mark.
    ServerError,
    /// The answer carries the sequence number of another request.
    WrongAnswer,
    /// The request ended without any result: a fault of the generator.
    Missing,
}

/// The numbers at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// Requests that were started.
    pub sent: u64,
    /// Requests that got an answer, injected errors among them.
    pub answered: u64,
    /// Requests that were lost, all reasons together.
    pub lost: u64,
    /// The same by reason.
    pub lost_by_reason: BTreeMap<Loss, u64>,
    /// Requests without a result yet.
    pub in_flight: u64,
    /// Answers that are errors the sample made on purpose.
    pub injected: u64,
    /// Requests that ended more than once: a fault of the generator.
    pub duplicated: u64,
    /// Answers by revision.
    pub revisions: BTreeMap<String, u64>,
}

/// What became of the requests that were due in one second of the schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Second {
    /// Counted from the start of the load.
    pub second: u64,
    /// Requests that were started.
    pub sent: u64,
    /// Requests that got an answer.
    pub answered: u64,
    /// Requests that were lost.
    pub lost: u64,
    /// Answers that are errors the sample made on purpose.
    pub injected: u64,
    /// Answers by revision.
    pub revisions: BTreeMap<String, u64>,
}

/// Quantiles in milliseconds.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Latency {
    /// Half were faster.
    pub p50: f64,
    /// 95 % were faster.
    pub p95: f64,
    /// 99 % were faster.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

/// One lost request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LossRecord {
    /// Its sequence number.
    pub seq: u64,
    /// The second of the schedule in which it was due.
    pub second: u64,
    /// Why.
    pub reason: Loss,
    /// The error in words.
    pub detail: String,
}

/// The result of a load.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Where the load went.
    pub url: String,
    /// Requests per second.
    pub rate: u32,
    /// How long the load took, in seconds.
    pub ran_for: f64,
    /// The totals.
    #[serde(flatten)]
    pub stats: Stats,
    /// Answers by HTTP status.
    pub statuses: BTreeMap<u16, u64>,
    /// Of the answered requests, from the time they were due.
    pub latency: Latency,
    /// How late requests were started: the generator's own lag, to judge the run by.
    pub late_start: Latency,
    /// The first lost requests, in detail.
    pub losses: Vec<LossRecord>,
    /// The series.
    pub seconds: Vec<Second>,
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) revision: Option<String>,
    pub(super) is_injected: bool,
}

/// The end of one request.
#[derive(Debug)]
pub(super) struct Settled {
    result: Result<Answer, (Loss, String)>,
    took: Duration,
}

impl Settled {
    pub(super) fn answered(answer: Answer) -> Self {
        Self {
            result: Ok(answer),
            took: Duration::ZERO,
        }
    }

    pub(super) fn lost(reason: Loss, detail: String) -> Self {
        Self {
            result: Err((reason, detail)),
            took: Duration::ZERO,
        }
    }

    pub(super) fn after(self, took: Duration) -> Self {
        Self { took, ..self }
    }
}

#[derive(Debug)]
pub(super) struct Tally {
    spec: LoadSpec,
    stats: Stats,
    open: BTreeSet<u64>,
    statuses: BTreeMap<u16, u64>,
    seconds: BTreeMap<u64, Second>,
    latencies: Vec<Duration>,
    late_starts: Vec<Duration>,
    losses: Vec<LossRecord>,
    ran_for: Duration,
}

impl Tally {
    pub(super) fn new(spec: &LoadSpec) -> Self {
        Self {
            spec: spec.clone(),
            stats: Stats::default(),
            open: BTreeSet::new(),
            statuses: BTreeMap::new(),
            seconds: BTreeMap::new(),
            latencies: Vec::new(),
            late_starts: Vec::new(),
            losses: Vec::new(),
            ran_for: Duration::ZERO,
        }
    }

    pub(super) fn sent(&mut self, seq: u64, late_by: Duration) {
        self.stats.sent += 1;
        self.open.insert(seq);
        self.late_starts.push(late_by);
        self.second(seq).sent += 1;
    }

    pub(super) fn settle(&mut self, seq: u64, settled: Settled) {
        if !self.open.remove(&seq) {
            self.stats.duplicated += 1;
            return;
        }
        match settled.result {
            Ok(answer) => self.answered(seq, answer, settled.took),
            Err((reason, detail)) => self.lost(seq, reason, detail),
        }
    }

    fn answered(&mut self, seq: u64, answer: Answer, took: Duration) {
        let revision = answer.revision.unwrap_or_else(|| UNKNOWN.to_owned());
        let injected = u64::from(answer.is_injected);
        self.stats.answered += 1;
        self.stats.injected += injected;
        *self.stats.revisions.entry(revision.clone()).or_default() += 1;
        *self.statuses.entry(answer.status).or_default() += 1;
        self.latencies.push(took);
        let second = self.second(seq);
        second.answered += 1;
        second.injected += injected;
        *second.revisions.entry(revision).or_default() += 1;
    }

    fn lost(&mut self, seq: u64, reason: Loss, detail: String) {
        self.stats.lost += 1;
        *self.stats.lost_by_reason.entry(reason).or_default() += 1;
        self.second(seq).lost += 1;
        if self.losses.len() < LOSS_RECORDS {
            let second = self.spec.second(seq);
            self.losses.push(LossRecord {
                seq,
                second,
                reason,
                detail,
            });
        }
    }

    fn second(&mut self, seq: u64) -> &mut Second {
        let second = self.spec.second(seq);
        self.seconds.entry(second).or_insert_with(|| Second {
            second,
            ..Second::default()
        })
    }

    /// The load is over: what is open now never ended.
    pub(super) fn end(&mut self, ran_for: Duration) {
        self.ran_for = ran_for;
        for seq in std::mem::take(&mut self.open) {
            self.lost(
                seq,
                Loss::Missing,
                "the request ended without a result".to_owned(),
            );
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let in_flight = u64::try_from(self.open.len()).unwrap_or(u64::MAX);
        Stats {
            in_flight,
            ..self.stats.clone()
        }
    }

    pub(super) fn seconds(&self) -> Vec<Second> {
        self.seconds.values().cloned().collect()
    }

    pub(super) fn summary(&self) -> Summary {
        Summary {
            url: self.spec.url.to_string(),
            rate: self.spec.rate.get(),
            ran_for: self.ran_for.as_secs_f64(),
            stats: self.stats(),
            statuses: self.statuses.clone(),
            latency: Latency::of(self.latencies.clone()),
            late_start: Latency::of(self.late_starts.clone()),
            losses: self.losses.clone(),
            seconds: self.seconds(),
        }
    }
}

impl Latency {
    fn of(mut values: Vec<Duration>) -> Self {
        values.sort_unstable();
        // The nearest-rank quantile: the smallest value that is not below `percent` of all.
        let quantile = |percent: usize| {
            let rank = (values.len() * percent).div_ceil(100).saturating_sub(1);
            values
                .get(rank)
                .map_or(0.0, |value| value.as_secs_f64() * 1_000.0)
        };
        Self {
            p50: quantile(50),
            p95: quantile(95),
            p99: quantile(99),
            max: quantile(100),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_tally() -> Tally {
        Tally::new(&LoadSpec::new("http://127.0.0.1:1/").unwrap())
    }

    fn ok(revision: &str) -> Settled {
        let revision = Some(revision.to_owned());
        Settled::answered(Answer {
            status: 200,
            revision,
            is_injected: false,
        })
    }

    #[test]
    fn every_request_ends_answered_or_lost() {
        let mut tally = a_tally();
        for seq in 0..4 {
            tally.sent(seq, Duration::ZERO);
        }
        tally.settle(0, ok("v1"));
        tally.settle(1, Settled::lost(Loss::Reset, "gone".to_owned()));
        tally.settle(2, ok("v2"));
        assert_eq!(tally.stats().in_flight, 1);

        tally.end(Duration::from_secs(1));

        let stats = tally.stats();
        assert_eq!(
            (stats.sent, stats.answered, stats.lost, stats.in_flight),
            (4, 2, 2, 0)
        );
        assert_eq!(
            stats.lost_by_reason,
            BTreeMap::from([(Loss::Reset, 1), (Loss::Missing, 1)])
        );
        assert_eq!(
            tally
                .summary()
                .losses
                .iter()
                .map(|loss| loss.seq)
                .collect::<Vec<_>>(),
            [1, 3]
        );
    }

    #[test]
    fn a_request_that_ends_twice_counts_once_and_is_told() {
        let mut tally = a_tally();
        tally.sent(0, Duration::ZERO);
        tally.settle(0, ok("v1"));
        tally.settle(0, ok("v1"));
        assert_eq!((tally.stats().answered, tally.stats().duplicated), (1, 1));
    }

    #[test]
    fn revisions_are_counted_in_the_second_the_request_was_due() {
        let mut tally = a_tally();
        for seq in [0, 99, 100] {
            tally.sent(seq, Duration::ZERO);
        }
        tally.settle(100, ok("v2"));
        tally.settle(99, ok("v2"));
        tally.settle(0, ok("v1"));

        let seconds = tally.seconds();
        let revisions: Vec<_> = seconds
            .iter()
            .map(|second| second.revisions.clone())
            .collect();
        let expected = [
            BTreeMap::from([("v1".to_owned(), 1), ("v2".to_owned(), 1)]),
            BTreeMap::from([("v2".to_owned(), 1)]),
        ];
        assert_eq!(revisions, expected);
    }

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let latency = Latency::of((1..=200).map(Duration::from_millis).collect());
        assert_eq!(
            (latency.p50, latency.p95, latency.p99, latency.max),
            (100., 190., 198., 200.)
        );
        assert_eq!(Latency::of(Vec::new()), Latency::default());
    }
}
