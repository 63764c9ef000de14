//! What an SLO counts, as PromQL. No I/O.
//!
//! Prometheus 3 writes the bound of a bucket that is a whole number as a decimal (`le="1"` becomes `le="1.0"`), so both are
//! asked for; what a rule of an older server recorded stays readable, too.

use crate::environment::api::{Availability, Latency};

/// What stands for the window in queries that people write.
const PLACEHOLDER: &str = "{{window}}";

/// What an SLO counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Events {
    /// A counter of requests, of which some are of requests that failed.
    Counter {
        /// The series of all requests.
        total: String,
        /// The series of those that failed.
        errors: String,
    },
    /// A histogram, of which one bucket has the requests that were good.
    Histogram {
        /// The series of all requests.
        total: String,
        /// The series of those that were good.
        good: String,
    },
    /// Queries of people's, with a placeholder for the window.
    Queries {
        /// The number of all requests.
        total: String,
        /// The number of those that failed.
        errors: String,
    },
}

impl Events {
    /// What an availability counts; nothing, where it is neither of its forms.
    pub fn of_availability(availability: &Availability) -> Option<Self> {
        if let (Some(errors), Some(total)) = (&availability.errors, &availability.total) {
            return Some(Self::Queries {
                total: total.clone(),
                errors: errors.clone(),
            });
        }
        let metric = availability.metric.as_ref()?;
        let failed = availability.error_matchers.as_deref()?;
        let matchers = availability.matchers.as_deref();
        Some(Self::Counter {
            total: series(metric, &[matchers]),
            errors: series(metric, &[matchers, Some(failed)]),
        })
    }

    /// What a latency counts.
    pub fn of_latency(latency: &Latency) -> Self {
        let name = &latency.histogram;
        let matchers = latency.matchers.as_deref();
        let bound = bound(&latency.threshold);
        Self::Histogram {
            total: series(&format!("{name}_count"), &[matchers]),
            good: series(&format!("{name}_bucket"), &[matchers, Some(&bound)]),
        }
    }

    /// The number of all requests in a window.
    pub fn total(&self, window: &str) -> String {
        match self {
            Self::Counter { total, .. } | Self::Histogram { total, .. } => increase(total, window),
            Self::Queries { total, .. } => format!("({})", total.replace(PLACEHOLDER, window)),
        }
    }

    /// The number of those that failed. Where there are requests and none ever failed it is 0, not nothing; a histogram
    /// without the bucket has no answer.
    pub fn errors(&self, window: &str) -> String {
        let total = self.total(window);
        match self {
            Self::Counter { errors, .. } => {
                format!("({} or 0 * {total})", increase(errors, window))
            }
            // Both are extrapolated, and so the difference may be a little below 0.
            Self::Histogram { good, .. } => {
                format!("clamp_min({total} - {}, 0)", increase(good, window))
            }
            Self::Queries { errors, .. } => {
                format!("({} or 0 * {total})", errors.replace(PLACEHOLDER, window))
            }
        }
    }

    /// What is there as long as requests are counted at all.
    pub fn presence(&self) -> String {
        match self {
            Self::Counter { total, .. } | Self::Histogram { total, .. } => total.clone(),
            Self::Queries { .. } => self.total("5m"),
        }
    }
}

fn increase(series: &str, window: &str) -> String {
    format!("sum(increase({series}[{window}]))")
}

/// A selector. People end lists of matchers with a comma or they do not.
fn series(metric: &str, matchers: &[Option<&str>]) -> String {
    let each = matchers.iter().flatten();
    let each = each.map(|some| some.trim().trim_end_matches(',').trim_end());
    let all: Vec<&str> = each.filter(|some| !some.is_empty()).collect();
    format!("{metric}{{{}}}", all.join(","))
}

/// The matcher of the bucket that ends at a threshold, however its bound is written.
fn bound(threshold: &str) -> String {
    let (whole, rest) = threshold.split_once('.').unwrap_or((threshold, ""));
    match rest.trim_end_matches('0') {
        "" => format!(r#"le=~"{whole}(\\.0)?""#),
        rest => format!(r#"le="{whole}.{rest}""#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_counted_with_its_matchers() {
        let availability = Availability {
            metric: Some("http_requests_total".into()),
            matchers: Some(r#"job="api", "#.into()),
            error_matchers: Some(r#"code=~"5..""#.into()),
            ..Availability::default()
        };
        let events = Events::of_availability(&availability).unwrap();
        assert_eq!(
            events.total("5m"),
            r#"sum(increase(http_requests_total{job="api"}[5m]))"#
        );
        assert_eq!(
            events.errors("5m"),
            r#"(sum(increase(http_requests_total{job="api",code=~"5.."}[5m])) or 0 * sum(increase(http_requests_total{job="api"}[5m])))"#
        );
        let all = Availability {
            matchers: None,
            ..availability
        };
        let events = Events::of_availability(&all).unwrap();
        assert_eq!(events.presence(), "http_requests_total{}");
    }

    #[test]
    fn queries_of_peoples_are_asked_over_the_window() {
        let availability = Availability {
            errors: Some("sum(increase(bad[{{window}}]))".into()),
            total: Some("sum(increase(all[{{window}}]))".into()),
            ..Availability::default()
        };
        let events = Events::of_availability(&availability).unwrap();
        let errors = "(sum(increase(bad[1h])) or 0 * (sum(increase(all[1h]))))";
        assert_eq!(events.errors("1h"), errors);
        assert_eq!(events.presence(), "(sum(increase(all[5m])))");
        assert_eq!(Events::of_availability(&Availability::default()), None);
    }

    #[test]
    fn a_whole_bound_of_a_bucket_is_found_in_both_forms() {
        let cases = [
            ("1", r#"le=~"1(\\.0)?""#),
            ("1.0", r#"le=~"1(\\.0)?""#),
            ("10", r#"le=~"10(\\.0)?""#),
            ("0.3", r#"le="0.3""#),
            ("0.30", r#"le="0.3""#),
            ("2.5", r#"le="2.5""#),
        ];
        for (threshold, expected) in cases {
            assert_eq!(bound(threshold), expected, "{threshold}");
        }
    }

    #[test]
    fn a_histogram_counts_what_is_not_in_the_bucket() {
        let latency = Latency {
            histogram: "h".into(),
            matchers: Some(r#"job="api""#.into()),
            threshold: "1".into(),
        };
        assert_eq!(
            Events::of_latency(&latency).errors("30m"),
            r#"clamp_min(sum(increase(h_count{job="api"}[30m])) - sum(increase(h_bucket{job="api",le=~"1(\\.0)?"}[30m])), 0)"#
        );
    }
}
