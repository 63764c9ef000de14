//! Kubernetes Events: one each time an object's reason changes. Talks to the API server.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

use crate::error::chain;
use crate::model::condition::truncate;
use crate::model::plan::{Severity, Why};

/// Longest note that the API server takes.
const MAX_NOTE: usize = 1024;

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events that are reported by us.
    pub fn new(client: Client) -> Self {
        Self {
            recorder: Recorder::new(client, Reporter::from("slipway")),
        }
    }

    /// Publishes a reason as an event about an object. A lost event is not worth a retry.
    pub async fn publish(&self, about: &ObjectReference, why: &Why) {
        let event = Event {
            type_: match why.severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: why.reason.to_owned(),
            note: Some(truncate(&why.message, MAX_NOTE).to_owned()),
            action: why.reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.recorder.publish(&event, about).await {
            debug!(
                error = chain(&error),
                reason = why.reason,
                "event not published"
            );
        }
    }
}
