//! Kubernetes Events: one each time an object's reason changes. Talks to the API server.
//!
//! They are words, and nobody waits for them: they are sent in the order in which they were said, one after the other, beside
//! the work.

use std::sync::{Arc, OnceLock};

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
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

/// Events that wait to be sent at most; what is said beyond them is lost.
const WAITING: usize = 1024;

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    said: Arc<OnceLock<mpsc::Sender<Said>>>,
}

/// An event, and what it is about.
struct Said {
    event: Event,
    about: ObjectReference,
}

impl Events {
    /// Events that are reported by us.
    pub fn new(client: Client) -> Self {
        Self {
            client,
            said: Arc::default(),
        }
    }

    /// Has a reason published as an event about an object. A lost event is not worth a retry.
    pub fn publish(&self, about: ObjectReference, why: &Why) {
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
        // The first one has the others sent.
        let said = self.said.get_or_init(|| {
            let (sender, said) = mpsc::channel(WAITING);
            tokio::spawn(send(self.client.clone(), said));
            sender
        });
        if said.try_send(Said { event, about }).is_err() {
            debug!(reason = why.reason, "event not published: too many wait");
        }
    }
}

/// Sends what is said, until nobody can say anything any more.
async fn send(client: Client, mut said: mpsc::Receiver<Said>) {
    let (mut recorder, mut count) = (a_recorder(&client), 0);
    while let Some(Said { event, about }) = said.recv().await {
        if count == REMEMBERED {
            (recorder, count) = (a_recorder(&client), 0);
        }
        count += 1;
        if let Err(error) = recorder.publish(&event, &about).await {
            let (error, reason) = (chain(&error), &event.reason);
            debug!(error, reason, "event not published");
        }
    }
}

fn a_recorder(client: &Client) -> Recorder {
    Recorder::new(client.clone(), Reporter::from("slipway"))
}
