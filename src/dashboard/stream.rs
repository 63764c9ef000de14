//! Streams: watches in the name of whoever looks, put together and told as they come. Talks to the API server.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use kube::api::{DynamicObject, ListParams, TypeMeta, WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::streamed;
use super::problem::Problem;
use super::told::{Batch, Heard, Position, Trouble};
use super::topic::{Topic, Wish};
use super::{Caller, Dashboard, cut, text};
use crate::error::{backoff, chain};

/// For how long what is told of an object is put together.
const PACE: Duration = Duration::from_millis(200);
/// Time between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);
/// Longest wait for a page of a list.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a watch lasts before it is begun anew, in seconds, and how long it may be silent.
const LASTS: u32 = 290;
const SILENCE: Duration = Duration::from_secs(295);
/// How long what is too old right away is left alone.
const LATER: Duration = Duration::from_secs(1);
/// What the API server says of a version that is too old.
const GONE: u16 = 410;
/// Objects in a page of a list.
const PAGE: u32 = 500;
/// Time between two looks whether what was not allowed is.
const REFUSED: Duration = Duration::from_secs(30);
/// Parts of a stream that wait for whoever reads it.
const PARTS: usize = 8;
/// What watches say that waits to be put together.
const HEARD: usize = 256;

/// Answers with a stream.
pub(super) async fn stream(
    State(dashboard): State<Dashboard>,
    Caller(server): Caller,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let fields = query.iter().map(|(key, of)| (key.as_str(), of.as_str()));
    let wish = Wish::read(fields).map_err(|message| Problem::new(400, message))?;
    let free = Arc::clone(&dashboard.0.streams).try_acquire_owned();
    let free = free.map_err(|_| {
        let words = "too many pages are open at the same time; this one is tried again";
        Problem::new(503, words)
    })?;
    // Whoever is not known is told so before anything else. Any other trouble is told by the stream.
    if let Err(message) = server.whoami().await
        && server.failed_with() == Some(401)
    {
        return Err(dashboard.problem(&server, message, 401));
    }
    let told = text(&headers, HeaderName::from_static("last-event-id"));
    let told = told.filter(|id| !id.is_empty());
    let position = told.and_then(|id| Position::read(id, &wish.topics));
    let telling = Telling {
        client: server.patient_client(),
        is_lost: told.is_some() && position.is_none(),
        position: position.unwrap_or_default(),
        wish,
        stop: dashboard.0.stop.clone(),
    };
    let (sender, parts) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        telling.run(sender).await;
        drop(free);
    });
    let fields = [
        (header::CONTENT_TYPE, "text/event-stream"),
        // Whoever stands in between passes on what comes as it comes.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((fields, streamed(parts)).into_response())
}

/// A stream that is being told.
struct Telling {
    client: Client,
    wish: Wish,
    /// Where it goes on from, if it was told before.
    position: Position,
    /// It was told before, and where it was cannot be known.
    is_lost: bool,
    stop: CancellationToken,
}

/// How it ended.
#[derive(PartialEq, Eq)]
enum End {
    /// What was told cannot be gone on from.
    Lost,
    /// Nobody listens, or nobody is to.
    Over,
}

impl Telling {
    async fn run(self, sender: Sender<String>) {
        let mut position = self.position.clone();
        let mut batch = Batch::new(self.wish.topics.len(), position.clone());
        if self.is_lost {
            batch.take(Heard::Lost);
        }
        while self.tell(&mut batch, &position, &sender).await == End::Lost {
            position = Position::default();
        }
    }

    /// Tells what watches say, until one of them has lost its place.
    async fn tell(&self, batch: &mut Batch, from: &Position, sender: &Sender<String>) -> End {
        let (speak, mut hear) = mpsc::channel(HEARD);
        // They end with this.
        let mut watches = JoinSet::new();
        for topic in self.wish.topics.iter().copied() {
            let watch = Watch::new(self, topic, speak.clone());
            watches.spawn(watch.run(from.of(topic).map(str::to_owned)));
        }
        drop(speak);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut alive = interval_at(Instant::now() + ALIVE, ALIVE);
        loop {
            let part = tokio::select! {
                heard = hear.recv() => {
                    let Some(heard) = heard else {
                        return End::Over;
                    };
                    let (is_lost, is_end) = (heard == Heard::Lost, heard.is_end());
                    batch.take(heard);
                    if is_lost {
                        return End::Lost;
                    }
                    if is_end {
                        let _ = sender.send(batch.flush()).await;
                        return End::Over;
                    }
                    continue;
                }
                _ = pace.tick(), if !batch.is_empty() => batch.flush(),
                _ = alive.tick() => batch.sign_of_life(),
                () = sender.closed() => return End::Over,
                () = self.stop.cancelled() => return End::Over,
            };
            if sender.send(part).await.is_err() {
                return End::Over;
            }
        }
    }
}

/// The watch of a kind.
struct Watch {
    api: Api<DynamicObject>,
    topic: Topic,
    types: TypeMeta,
    /// Which of them.
    fields: Option<String>,
    is_whole: bool,
    speak: Sender<Heard>,
}

/// How a watch fares.
struct Fare {
    /// How far it has told; nothing, where it has to list first.
    version: Option<String>,
    /// What it has complained about.
    trouble: Option<Trouble>,
    /// How often it has failed in a row.
    attempt: u32,
}

/// Why a watch does not go on.
enum Failure {
    /// Nobody listens.
    Unheard,
    /// The API server has said so, or does not answer.
    Kube(Box<kube::Error>),
    /// It was silent for too long.
    Late,
    /// A list broke off, and what of it was told may be gone when it is told again.
    Half,
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        Self::Kube(Box::new(error))
    }
}

impl Watch {
    fn new(telling: &Telling, topic: Topic, speak: Sender<Heard>) -> Self {
        let (resource, wish) = (topic.resource(), &telling.wish);
        let client = telling.client.clone();
        let api = match &wish.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        };
        Self {
            api,
            topic,
            types: TypeMeta {
                api_version: resource.api_version,
                kind: resource.kind,
            },
            fields: wish.name.as_ref().map(|name| topic.selector(name)),
            is_whole: wish.is_whole,
            speak,
        }
    }

    /// Says what is there and what becomes of it, from a version on where there is one.
    async fn run(self, from: Option<String>) {
        let is_resumed = from.is_some();
        let mut state = Fare {
            version: from,
            trouble: None,
            attempt: 0,
        };
        if let Some(version) = state.version.clone()
            && self.say(Heard::Synced(self.topic, version)).await.is_err()
        {
            return;
        }
        loop {
            let failure = match self.go_on(&mut state).await {
                Ok(()) => continue,
                Err(Failure::Unheard) => return,
                Err(failure) => failure,
            };
            let (code, message) = failure.told();
            if code == GONE {
                // Where even what was just listed is too old, it is better to come again later.
                if is_resumed || timeout(LATER, self.speak.closed()).await.is_err() {
                    let _ = self.say(Heard::Lost).await;
                }
                return;
            }
            if self
                .complain(&mut state, Trouble::of(code, message))
                .await
                .is_err()
            {
                return;
            }
            let delay = match code {
                403 | 404 => REFUSED,
                _ => backoff(state.attempt, 128),
            };
            state.attempt = state.attempt.saturating_add(1);
            if timeout(delay, self.speak.closed()).await.is_ok() {
                return;
            }
        }
    }

    /// Tells of a trouble once. A connection that is only lost is none yet.
    async fn complain(&self, state: &mut Fare, trouble: Trouble) -> Result<(), Failure> {
        let is_slight = trouble.may_pass() && state.attempt == 0;
        if is_slight || state.trouble.as_ref() == Some(&trouble) {
            return Ok(());
        }
        state.trouble = Some(trouble.clone());
        self.say(Heard::Trouble(self.topic, trouble)).await
    }

    /// Lists, where nothing is known yet, and watches until that ends.
    async fn go_on(&self, state: &mut Fare) -> Result<(), Failure> {
        let mut at = match state.version.take() {
            Some(known) => known,
            None => {
                let listed = self.list().await?;
                state.trouble = None;
                self.say(Heard::Synced(self.topic, listed.clone())).await?;
                listed
            }
        };
        let watched = self.watch(&mut at, state).await;
        state.version = Some(at);
        watched
    }

    async fn list(&self) -> Result<String, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector.clone_from(&self.fields);
        loop {
            let page = timeout(PATIENCE, self.api.list(&params)).await;
            let page = page.map_err(|_| Failure::Late);
            let page = page.and_then(|page| page.map_err(Failure::from));
            let is_first = params.continue_token.is_none();
            let page = page.map_err(|why| if is_first { why } else { Failure::Half })?;
            for object in page.items {
                self.put(object, None).await?;
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(page.metadata.resource_version.unwrap_or_default()),
            }
        }
    }

    async fn watch(&self, version: &mut String, state: &mut Fare) -> Result<(), Failure> {
        let mut params = WatchParams::default().timeout(LASTS);
        params.field_selector.clone_from(&self.fields);
        let begun = timeout(PATIENCE, self.api.watch(&params, version)).await;
        let mut events = std::pin::pin!(begun.map_err(|_| Failure::Late)??);
        state.attempt = 0;
        if state.trouble.take().is_some() {
            self.say(Heard::Synced(self.topic, version.clone())).await?;
        }
        loop {
            let event = timeout(SILENCE, events.next()).await;
            let Some(event) = event.map_err(|_| Failure::Late)? else {
                return Ok(());
            };
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let at = object.metadata.resource_version.clone();
                    self.put(object, at.clone()).await?;
                    if let Some(at) = at {
                        *version = at;
                    }
                }
                WatchEvent::Deleted(object) => {
                    let metadata = object.metadata;
                    if let Some(at) = metadata.resource_version {
                        *version = at;
                    }
                    let whose = [metadata.namespace, metadata.name, metadata.uid];
                    self.say(Heard::Gone {
                        topic: self.topic,
                        whose: whose.map(Option::unwrap_or_default),
                        version: version.clone(),
                    })
                    .await?;
                }
                WatchEvent::Bookmark(mark) => {
                    version.clone_from(&mark.metadata.resource_version);
                    self.say(Heard::Quiet(self.topic, version.clone())).await?;
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            }
        }
    }

    async fn put(&self, object: DynamicObject, version: Option<String>) -> Result<(), Failure> {
        // Lists do not say of each object what it is.
        let object = DynamicObject {
            types: Some(self.types.clone()),
            ..object
        };
        let value = serde_json::to_value(object).unwrap_or_default();
        let object = if self.is_whole {
            cut::whole(value)
        } else {
            cut::cut(self.topic, value)
        };
        self.say(Heard::Put {
            topic: self.topic,
            object,
            version,
        })
        .await
    }

    async fn say(&self, heard: Heard) -> Result<(), Failure> {
        let said = self.speak.send(heard).await;
        said.map_err(|_| Failure::Unheard)
    }
}

impl Failure {
    /// The status of HTTP that says the same, and the words.
    fn told(&self) -> (u16, String) {
        let error = match self {
            Self::Kube(error) => error.as_ref(),
            Self::Half => return (GONE, "a list broke off".to_owned()),
            Self::Unheard | Self::Late => {
                return (504, "the API server does not answer".to_owned());
            }
        };
        let kube::Error::Api(status) = error else {
            return (503, chain(error));
        };
        let is_old = status.reason == "Expired";
        let code = if is_old { GONE } else { status.code };
        (code, status.message.clone())
    }
}
