//! What to send, where and how long. No I/O.

use std::num::{NonZeroU32, NonZeroU64};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use http::{HeaderMap, Uri};

/// A load: every field has a default but the URL.
#[derive(Debug, Clone)]
pub struct LoadSpec {
    /// Where to; plain `http` only.
    pub url: Uri,
    /// The `Host` header, when it is not the URL's authority.
    pub host: Option<String>,
    /// More headers, sent with every request.
    pub headers: HeaderMap,
    /// Requests per second. Default 100.
    pub rate: NonZeroU32,
    /// How long to send. Default 60 s; there is no load without an end.
    pub duration: Duration,
    /// How many requests to send, when that comes before the end of `duration`.
    pub count: Option<u64>,
    /// From the time a request was due to the last byte of its answer. Default 5 s.
    pub timeout: Duration,
    /// Which connection a request takes.
    pub connections: Connections,
}

/// Which connection a request takes. A request never waits for one: that would close the loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// This many are kept and used in turn; when all are busy, one more is opened for one request.
    Reuse(usize),
    /// The same, but each request whose number is a multiple of `fresh_every` takes a new one.
    Mixed {
        /// How many are kept.
        kept: usize,
        /// One in how many takes a new one.
        fresh_every: NonZeroU64,
    },
    /// A new one each time, closed after the answer.
    Fresh,
}

impl Connections {
    /// How many are kept.
    pub(super) fn kept(self) -> usize {
        match self {
            Self::Reuse(kept) | Self::Mixed { kept, .. } => kept,
            Self::Fresh => 0,
        }
    }

    /// Whether request `seq` takes a new one, which is closed after the answer.
    pub(super) fn is_fresh(self, seq: u64) -> bool {
        match self {
            Self::Reuse(_) => false,
            Self::Mixed { fresh_every, .. } => seq.is_multiple_of(fresh_every.get()),
            Self::Fresh => true,
        }
    }
}

impl LoadSpec {
    const DEFAULT_RATE: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

    /// The default load on `url`.
    ///
    /// # Errors
    ///
    /// Not an `http` URL with a host.
    pub fn new(url: &str) -> Result<Self> {
        let url: Uri = url.parse().with_context(|| format!("not a URL: {url}"))?;
        ensure!(
            url.scheme_str() == Some("http"),
            "only http URLs can be loaded, not {url}"
        );
        ensure!(url.host().is_some(), "no host in {url}");
        Ok(Self {
            url,
            host: None,
            headers: HeaderMap::new(),
            rate: Self::DEFAULT_RATE,
            duration: Duration::from_mins(1),
            count: None,
            timeout: Duration::from_secs(5),
            connections: Connections::Reuse(10),
        })
    }

    /// Requests per second.
    pub fn rate(self, rate: NonZeroU32) -> Self {
        Self { rate, ..self }
    }

    /// How long to send.
    pub fn duration(self, duration: Duration) -> Self {
        Self { duration, ..self }
    }

    /// How many requests to send.
    pub fn count(self, count: u64) -> Self {
        Self {
            count: Some(count),
            ..self
        }
    }

    /// How long an answer may take.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Which connection a request takes.
    pub fn connections(self, connections: Connections) -> Self {
        Self {
            connections,
            ..self
        }
    }

    /// The `Host` header.
    pub fn host(self, host: impl Into<String>) -> Self {
        Self {
            host: Some(host.into()),
            ..self
        }
    }

    /// When request `seq` starts, counted from the first.
    pub(super) fn offset(&self, seq: u64) -> Duration {
        let rate = u64::from(self.rate.get());
        let nanos = (seq % rate) * 1_000_000_000 / rate;
        Duration::from_secs(seq / rate) + Duration::from_nanos(nanos)
    }

    /// The second of the schedule in which request `seq` starts.
    pub(super) fn second(&self, seq: u64) -> u64 {
        seq / u64::from(self.rate.get())
    }

    /// How many requests the schedule has.
    pub(super) fn requests(&self) -> u64 {
        let in_time = self.duration.as_nanos() * u128::from(self.rate.get());
        let in_time = u64::try_from(in_time.div_ceil(1_000_000_000)).unwrap_or(u64::MAX);
        self.count.map_or(in_time, |count| count.min(in_time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_rate(rate: u32) -> LoadSpec {
        LoadSpec::new("http://127.0.0.1:1/")
            .unwrap()
            .rate(NonZeroU32::new(rate).unwrap())
    }

    #[test]
    fn requests_are_evenly_spaced_and_do_not_drift() {
        let spec = at_rate(30);
        assert_eq!(spec.offset(0), Duration::ZERO);
        assert_eq!(spec.offset(1), Duration::from_nanos(33_333_333));
        assert_eq!(spec.offset(30 * 3600), Duration::from_hours(1));
        assert_eq!((spec.second(29), spec.second(30)), (0, 1));
    }

    #[test]
    fn the_schedule_ends_at_the_duration_or_the_count_whichever_comes_first() {
        let spec = at_rate(100).duration(Duration::from_millis(1_500));
        assert_eq!(spec.requests(), 150);
        assert_eq!(spec.clone().count(20).requests(), 20);
        assert_eq!(spec.count(1_000).requests(), 150);
    }

    #[test]
    fn only_http_urls_are_taken() {
        for url in ["https://127.0.0.1/", "127.0.0.1", "/path", "ftp://x/"] {
            assert!(LoadSpec::new(url).is_err(), "{url}");
        }
    }
}
