//! Kubernetes Events: one each time an object's reason changes. Talks to the API server.

use std::sync::{Arc, Mutex, PoisonError};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::{debug, warn};

use crate::error::chain;
use crate::model::condition::truncate;
use crate::model::plan::{Severity, Why};
use crate::model::reason;

/// Longest note that the API server takes.
const MAX_NOTE: usize = 1024;

/// Events after which the recorder forgets what it has said: it keeps each of them for minutes, to count what is said again, and
/// in a crowd that is a tenth of all the memory that there is.
const REMEMBERED: usize = 256;

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    /// The recorder, and how much it has said.
    recorder: Arc<Mutex<(Recorder, usize)>>,
}

impl Events {
    /// Events that are reported by us.
    pub fn new(client: Client) -> Self {
        let recorder = Arc::new(Mutex::new((recorder(&client), 0)));
        Self { client, recorder }
    }

    fn recorder(&self) -> Recorder {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        let mut known = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        known.1 += 1;
        if known.1 > REMEMBERED {
            *known = (recorder(&self.client), 0);
        }
        known.0.clone()
    }

    /// Publishes a reason as an event about an object. A lost event is not worth a retry.
    pub async fn publish(&self, about: &ObjectReference, why: &Why) {
        let kind = about.kind.as_deref().unwrap_or_default();
        if !reason::is_known(kind, why.reason) {
            warn!(
                kind,
                reason = why.reason,
                "an event whose reason is not on the list of reasons; this is a bug"
            );
        }
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
        if let Err(error) = self.recorder().publish(&event, about).await {
            debug!(
                error = chain(&error),
                reason = why.reason,
                "event not published"
            );
        }
    }
}

fn recorder(client: &Client) -> Recorder {
    Recorder::new(client.clone(), Reporter::from("slipway"))
}
