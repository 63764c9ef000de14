//! Streams: watches in the name of whoever looks, put together and told as they come. Talks to the API server.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderName, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use kube::api::{DynamicObject, ListParams, TypeMeta, WatchEvent, WatchParams};
use kube::{Api, Client};
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{self, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout};
use tokio_util::sync::CancellationToken;

use super::answer::streamed;
use super::problem::Problem;
use super::told::{Batch, Heard, Position, Trouble};
use super::topic::{Topic, Wish};
use super::{Caller, Dashboard, SLOW, cut, text};
use crate::error::{backoff, chain};

/// For how long what is told of an object is put together.
const PACE: Duration = Duration::from_millis(200);
/// Time between two signs of life.
const ALIVE: Duration = Duration::from_secs(15);
/// Longest wait for a page of a list.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long a watch lasts before it is begun anew, in seconds, and how long it may be silent: the API server gives a sign of life each minute.
const LASTS: u32 = 290;
const SILENCE: Duration = Duration::from_secs(90);
/// A watch that has lasted for so long has not failed.
const STEADY: Duration = Duration::from_secs(5);
/// How long what is too old right away is left alone.
const LATER: Duration = Duration::from_secs(1);
/// What the API server says of a version that is too old.
const GONE: u16 = 410;
/// Objects in a page of a list: they are whole before they are cut.
const PAGE: u32 = 50;
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
    let streams = &dashboard.0.streams;
    let place = dashboard.place(streams, &server, &headers).await?;
    let told = text(&headers, HeaderName::from_static("last-event-id"));
    let told = told.filter(|id| !id.is_empty());
    let position = told.and_then(|id| Position::read(id, &wish.topics));
    let telling = Telling {
        client: server.patient_client(),
        is_lost: told.is_some() && position.is_none(),
        position: position.unwrap_or_default(),
        wish,
        lists: Arc::clone(&dashboard.0.lists),
        stop: dashboard.0.stop.clone(),
    };
    let (sender, parts) = mpsc::channel(PARTS);
    tokio::spawn(async move {
        telling.run(sender).await;
        drop(place);
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
    lists: Arc<Semaphore>,
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
        let mut refused = BTreeSet::new();
        loop {
            let part = tokio::select! {
                heard = hear.recv() => {
                    let Some(heard) = heard else {
                        return End::Over;
                    };
                    let (is_lost, is_end) = (heard == Heard::Lost, heard.is_end());
                    heard.note_refusal(&mut refused);
                    batch.take(heard);
                    if is_lost {
                        return End::Lost;
                    }
                    if is_end {
                        self.pass(sender, batch.flush()).await;
                        return End::Over;
                    }
                    continue;
                }
                _ = pace.tick(), if !batch.is_empty() => batch.flush(),
                // Who may see nothing leaves the place to others, and comes again.
                _ = alive.tick() => if refused.len() < self.wish.topics.len() {
                    batch.sign_of_life()
                } else {
                    self.pass(sender, batch.flush()).await;
                    return End::Over;
                },
                () = sender.closed() => return End::Over,
                () = self.stop.cancelled() => return End::Over,
            };
            if !self.pass(sender, part).await {
                return End::Over;
            }
        }
    }

    /// Passes a part on, and says whether it is read.
    async fn pass(&self, sender: &Sender<String>, part: String) -> bool {
        let sent = timeout(SLOW, sender.send(part));
        let sent = self.stop.run_until_cancelled(sent).await;
        matches!(sent, Some(Ok(Ok(()))))
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
    /// Whose turn it is to list.
    lists: Arc<Semaphore>,
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
    /// It was ended as soon as it had begun.
    Short,
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
            lists: Arc::clone(&telling.lists),
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
        let mut at = if let Some(known) = state.version.take() {
            known
        } else {
            let listed = self.list().await?;
            state.trouble = None;
            self.say(Heard::Synced(self.topic, listed.clone())).await?;
            listed
        };
        let watched = self.watch(&mut at, state).await;
        state.version = Some(at);
        watched
    }

    async fn list(&self) -> Result<String, Failure> {
        let mut params = ListParams::default().limit(PAGE);
        params.field_selector.clone_from(&self.fields);
        loop {
            let page = self.page(&params).await;
            let is_first = params.continue_token.is_none();
            let page = page.map_err(|why| if is_first { why } else { Failure::Half });
            let (objects, metadata) = page?;
            for object in objects {
                self.put(object, None).await?;
            }
            match metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(metadata.resource_version.unwrap_or_default()),
            }
        }
    }

    /// A page of a list, cut while it is its turn: few are whole at the same time.
    async fn page(&self, params: &ListParams) -> Result<(Vec<Value>, ListMeta), Failure> {
        // It is never closed.
        let _turn = self.lists.acquire().await;
        let page = timeout(PATIENCE, self.api.list(params)).await;
        let page = page.map_err(|_| Failure::Late)??;
        let objects = page.items.into_iter().map(|object| self.shown(object));
        Ok((objects.collect(), page.metadata))
    }

    async fn watch(&self, version: &mut String, state: &mut Fare) -> Result<(), Failure> {
        let mut params = WatchParams::default().timeout(LASTS);
        params.field_selector.clone_from(&self.fields);
        let begun = timeout(PATIENCE, self.api.watch(&params, version)).await;
        let events = begun.map_err(|_| Failure::Late)??;
        if state.trouble.take().is_some() {
            self.say(Heard::Synced(self.topic, version.clone())).await?;
        }
        let start = Instant::now();
        let ended = self.pass(events, version).await;
        if start.elapsed() < STEADY {
            return ended.and(Err(Failure::Short));
        }
        state.attempt = 0;
        ended
    }

    /// Passes on what a watch says, until it ends.
    async fn pass(
        &self,
        events: impl Stream<Item = kube::Result<WatchEvent<DynamicObject>>>,
        version: &mut String,
    ) -> Result<(), Failure> {
        let mut events = std::pin::pin!(events);
        loop {
            let event = timeout(SILENCE, events.next()).await;
            let Some(event) = event.map_err(|_| Failure::Late)? else {
                return Ok(());
            };
            match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    let at = object.metadata.resource_version.clone();
                    self.put(self.shown(object), at.clone()).await?;
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

    /// What pages get of an object.
    fn shown(&self, object: DynamicObject) -> Value {
        // Lists do not say of each object what it is.
        let object = DynamicObject {
            types: Some(self.types.clone()),
            ..object
        };
        let value = serde_json::to_value(object).unwrap_or_default();
        if self.is_whole {
            cut::whole(value)
        } else {
            cut::cut(self.topic, value)
        }
    }

    async fn put(&self, object: Value, version: Option<String>) -> Result<(), Failure> {
        let topic = self.topic;
        self.say(Heard::Put {
            topic,
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
            Self::Short => {
                let words = "the API server ends every watch at once";
                return (503, words.to_owned());
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

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::json;
    use tower::service_fn;

    use super::*;

    /// What the API server answers to who watches, or may not even list.
    #[derive(Clone, Copy)]
    enum Api {
        EndsWatches,
        Forbids,
    }

    /// A stream about Rollouts, and how often something was watched.
    fn telling(api: Api) -> (Telling, Arc<AtomicUsize>) {
        let watched = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&watched);
        let service = service_fn(move |request: Request<Body>| {
            let is_watch = request.uri().query().unwrap_or_default().contains("watch");
            let (code, body) = match api {
                Api::EndsWatches if is_watch => {
                    count.fetch_add(1, Ordering::Relaxed);
                    (200, Vec::new())
                }
                Api::EndsWatches => {
                    let list = json!({"metadata": {"resourceVersion": "7"}, "items": []});
                    (200, list.to_string().into_bytes())
                }
                Api::Forbids => {
                    let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 403,
                        "reason": "Forbidden", "message": "you may not"});
                    (403, status.to_string().into_bytes())
                }
            };
            let answer = Response::builder().status(code).body(Body::from(body));
            async move { Ok::<_, Infallible>(answer.unwrap()) }
        });
        let telling = Telling {
            client: Client::new(service, "default"),
            wish: Wish::read([("kinds", "rollouts")]).unwrap(),
            position: Position::default(),
            is_lost: false,
            lists: Arc::new(Semaphore::new(1)),
            stop: CancellationToken::new(),
        };
        (telling, watched)
    }

    #[tokio::test(start_paused = true)]
    async fn watches_that_end_at_once_are_begun_less_and_less() {
        let (telling, watched) = telling(Api::EndsWatches);
        let (sender, mut parts) = mpsc::channel(64);
        let running = tokio::spawn(telling.run(sender));
        let mut told = String::new();
        let soon = timeout(Duration::from_mins(1), async {
            while let Some(part) = parts.recv().await {
                told.push_str(&part);
            }
        });
        assert!(soon.await.is_err(), "it has ended: {told}");
        running.abort();
        let times = watched.load(Ordering::Relaxed);
        assert!((2..20).contains(&times), "{times} times");
        assert!(told.contains("Unavailable"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_see_nothing_leaves_the_place_to_others() {
        let (telling, _) = telling(Api::Forbids);
        let (sender, mut parts) = mpsc::channel(64);
        let running = tokio::spawn(telling.run(sender));
        let mut told = String::new();
        let all = timeout(Duration::from_mins(1), async {
            while let Some(part) = parts.recv().await {
                told.push_str(&part);
            }
        });
        assert!(all.await.is_ok(), "it goes on: {told}");
        running.await.unwrap();
        assert!(told.contains("Forbidden"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_does_not_read_is_not_waited_for() {
        let (telling, _) = telling(Api::Forbids);
        let (sender, _parts) = mpsc::channel(1);
        assert!(telling.pass(&sender, "one".to_owned()).await);
        assert!(!telling.pass(&sender, "two".to_owned()).await);
    }
}
