//! What can be measured: each provider renders the request for a measurement and reads the reply. No I/O.

pub mod prometheus;

use super::Sample;
use crate::analysis::api::Metric;
use crate::analysis::api::provider::Source;
use crate::model::action::{Reply, Request};

/// What the placeholders of a query stand for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    /// A regular expression that matches the canary's pods and no others.
    pub canary_pods: String,
    /// The same for the stable revision's.
    pub stable_pods: String,
}

impl Subjects {
    /// The text with its placeholders filled in.
    pub fn fill(&self, text: &str) -> String {
        text.replace("{{canary.pods}}", &self.canary_pods)
            .replace("{{stable.pods}}", &self.stable_pods)
    }
}

/// The request for one measurement; nothing for a metric that is not measured by asking a server.
pub fn request(metric: &Metric, subjects: &Subjects) -> Option<Request> {
    match metric.provider.source()? {
        Source::Prometheus(query) => Some(prometheus::request(query, subjects)),
    }
}

/// What the reply says.
pub fn read(metric: &Metric, reply: &Result<Reply, String>) -> Sample {
    let reply = match reply {
        Ok(reply) => reply,
        Err(error) => return Sample::Error(error.clone()),
    };
    match metric.provider.source() {
        Some(Source::Prometheus(_)) => prometheus::read(reply),
        None => Sample::Error("the metric does not name exactly one source".to_owned()),
    }
}
