//! Kubernetes Events: one each time an object's reason changes. Talks to the API server.
//!
//! They are words, and nobody waits for them: they are sent in the order in which they were said, one after the other, beside
//! the work.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::error::chain;
use crate::model::plan::{Severity, Why};
use crate::model::reason;
use crate::model::text::truncate;

/// Longest note that the API server takes.
const MAX_NOTE: usize = 1024;

/// Events after which the recorder forgets what it has said: it keeps each of them for minutes, to count what is said again, at
/// two kilobytes each, and half as much again while it makes room for more.
const REMEMBERED: usize = 64;

/// Events that wait to be sent at most; what is said beyond them is lost.
const WAITING: usize = 1024;

/// Longest time for one to be sent: a request that hangs must not keep back all the others.
const PATIENCE: Duration = Duration::from_secs(5);

/// Publishes events.
#[derive(Clone)]
pub struct Events {
    client: Client,
    said: Arc<OnceLock<mpsc::Sender<Said>>>,
    lost: Lost,
}

/// How many were lost since one was last sent.
#[derive(Clone, Default)]
struct Lost(Arc<AtomicU64>);

impl Lost {
    /// Another one. Of many in a row the log tells once, and how many there were when it is over.
    fn one(&self, reason: &str, why: &str) {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(reason, why, "an Event is lost; statuses are not");
        } else {
            debug!(reason, why, "an Event is lost");
        }
    }

    fn over(&self) {
        let count = self.0.swap(0, Ordering::Relaxed);
        if count > 0 {
            warn!(count, "Events are sent again; so many were lost");
        }
    }
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
            lost: Lost::default(),
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
            tokio::spawn(send(self.client.clone(), said, self.lost.clone()));
            sender
        });
        if said.try_send(Said { event, about }).is_err() {
            self.lost.one(why.reason, "too many wait");
        }
    }
}

/// Sends what is said, until nobody can say anything any more.
async fn send(client: Client, mut said: mpsc::Receiver<Said>, lost: Lost) {
    let (mut recorder, mut count) = (a_recorder(&client), 0);
    while let Some(Said { event, about }) = said.recv().await {
        if count == REMEMBERED {
            (recorder, count) = (a_recorder(&client), 0);
        }
        count += 1;
        let sent = recorder.publish(&event, &about);
        match tokio::time::timeout(PATIENCE, sent).await {
            Ok(Ok(())) => lost.over(),
            // In a namespace that goes, say, none is taken.
            Ok(Err(error @ kube::Error::Api(_))) => {
                let (error, reason) = (chain(&error), &event.reason);
                debug!(error, reason, "the API server does not take an Event");
            }
            Ok(Err(error)) => lost.one(&event.reason, &chain(&error)),
            Err(_) => lost.one(&event.reason, "the API server does not answer in time"),
        }
    }
}

fn a_recorder(client: &Client) -> Recorder {
    Recorder::new(client.clone(), Reporter::from("slipway"))
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use kube::client::Body;
    use serde_json::Value;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_that_hangs_keeps_no_other_back() {
        let (sender, mut asked) = mpsc::unbounded_channel();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let sender = sender.clone();
            async move {
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let event: Value = serde_json::from_slice(&body).unwrap();
                sender.send(event["note"].clone()).unwrap();
                if event["note"] == "first" {
                    std::future::pending::<()>().await;
                }
                let answer = http::Response::builder().status(201);
                Ok::<_, std::io::Error>(answer.body(Body::from(body.to_vec())).unwrap())
            }
        });
        let events = Events::new(Client::new(service, "default"));
        let about = ObjectReference {
            kind: Some("Pipeline".to_owned()),
            name: Some("api".to_owned()),
            namespace: Some("shop".to_owned()),
            ..ObjectReference::default()
        };
        for message in ["first", "second"] {
            events.publish(about.clone(), &Why::normal("Watching", message));
        }
        assert_eq!(asked.recv().await.unwrap(), "first");
        let second = tokio::time::timeout(PATIENCE * 2, asked.recv()).await;
        assert_eq!(second.unwrap().unwrap(), "second");
    }
}
