//! Takes what git providers tell of repositories over HTTP: `POST /hooks/git/<namespace>/<pipeline>`.
//!
//! It decides nothing. What is told is handed to the Pipeline's next plan, and 200 is said only once what follows from it is on the
//! API server: the run, or that there is to be none. Not every provider tries again what was not taken; polling finds what is
//! lost.
//!
//! A delivery has to be signed with the token of the Pipeline (GitHub, Gitea, Forgejo) or to bring it (GitLab). One that comes
//! again starts nothing: its commit is marked, and one that is older than a day by its own word is refused.
//!
//! Nobody learns which Pipelines there are without a token of one. Reads Secrets from the API server.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use jiff::SignedDuration;
use tokio::sync::Semaphore;
use tracing::{debug, warn};

use super::limit::Limits;
use super::token::{Token, Tokens};
use super::{Refusal, is_json, leads, read_body, until_on_record};
use crate::cluster::Cluster;
use crate::model::key::Key;
use crate::model::object::ObjectKind;
use crate::pipeline::api::Pipeline;
use crate::pipeline::observe::{released, wanted_labels};
use crate::pipeline::render;
use crate::pipeline::trigger::event::{self, Event, Provider, Told};
use crate::pipeline::trigger::{Verdict, beneath, closed, judge, labelled, mark};

/// Where git providers deliver.
pub const PATH: &str = "/hooks/git/{namespace}/{pipeline}";
/// Longest body.
const MAX_BODY: usize = 2 << 20;
/// Deliveries that are worked on at the same time; others wait.
const AT_ONCE: usize = 8;
/// Deliveries whose bodies are read or held at the same time, 64 MiB of them at most; others wait. More than are worked on, so
/// that who sends slowly keeps nobody back.
const BODIES: usize = 32;
/// Longest time for one, from its first byte to its answer: GitHub waits for ten seconds.
const PATIENCE: Duration = Duration::from_secs(9);
/// Deliveries of a Pipeline at once.
const BURST: f64 = 100.0;
/// Deliveries a second after that.
const RATE: f64 = 10.0;
/// How old a delivery may be by its own word.
const OLDEST: SignedDuration = SignedDuration::from_hours(24);
/// What becomes of a push that changes nothing of interest, on top of one that nobody has told of.
const LEFT_TO_POLLING: &str = "it changes none of the files of the trigger, and what was there before it was not told: polling \
                               looks at both";
/// What those hear who have not shown that they may deliver.
const UNKNOWN: &str = "there is no such Pipeline that takes deliveries signed with this token\n";

/// What the receiver needs to know. Cloning clones handles.
#[derive(Clone)]
pub struct Receiver {
    cluster: Cluster,
    leads: Arc<AtomicBool>,
    tokens: Tokens,
    limits: Limits<Key>,
    free: Arc<Semaphore>,
    bodies: Arc<Semaphore>,
}

/// What became of a delivery that was taken.
enum Taken {
    /// A run follows from it, and is there.
    Started(String),
    /// It was there before.
    Known(String),
    /// Nothing follows from it: why.
    Ignored(String),
}

/// How a delivery shows that it may be one.
enum Proof {
    /// It is signed; the digits.
    Signature(Vec<u8>),
    /// It brings the token.
    Token(Vec<u8>),
}

/// Who delivers, what they call it, and how they show that they may.
struct Sender {
    provider: Provider,
    kind: String,
    proof: Proof,
}

impl Receiver {
    /// One that takes nothing until `leads` says that this process does.
    pub fn new(cluster: Cluster, leads: Arc<AtomicBool>) -> Self {
        Self {
            tokens: Tokens::default(),
            limits: Limits::new(BURST, RATE),
            free: Arc::new(Semaphore::new(AT_ONCE)),
            bodies: Arc::new(Semaphore::new(BODIES)),
            cluster,
            leads,
        }
    }

    /// What it serves.
    pub fn routes(self) -> Router {
        Router::new().route(PATH, post(deliver)).with_state(self)
    }

    async fn take(
        &self,
        key: &Key,
        sender: Option<&Sender>,
        (headers, body): (&HeaderMap, Body),
    ) -> Result<Taken, Refusal> {
        leads(&self.leads)?;
        // Before the Pipeline is looked up, so that these answers do not tell whether it is there.
        let sender = sender.ok_or(Refusal::Unknown)?;
        is_json(headers)?;
        let Ok(_held) = self.bodies.acquire().await else {
            return Err(Refusal::Later("ending"));
        };
        let body = read_body(body, MAX_BODY, "").await?;
        let Ok(_free) = self.free.acquire().await else {
            return Err(Refusal::Later("ending"));
        };
        leads(&self.leads)?;
        let pipeline = self.pipeline(key)?;
        let token = self.token(key, &pipeline).await?;
        let may = match &sender.proof {
            Proof::Signature(digits) => token.has_signed(&body, digits),
            Proof::Token(sent) => token.is_same(sent),
        };
        if !may {
            return Err(Refusal::Unknown);
        }
        if !self.limits.allow(key) {
            return Err(Refusal::Later("too many deliveries; try again in a moment"));
        }
        let told = event::read(sender.provider, &sender.kind, &body, &pipeline.spec);
        match told.map_err(|problem| Refusal::Never(StatusCode::BAD_REQUEST, problem))? {
            Told::Nothing(what) => Ok(Taken::Ignored(what)),
            Told::Event(event) => self.put_on_record(key, *event).await,
        }
    }

    fn pipeline(&self, key: &Key) -> Result<Arc<Pipeline>, Refusal> {
        let pipeline = self.cluster.caches.pipelines.get(key);
        pipeline.ok_or(Refusal::Unknown)
    }

    async fn token(&self, key: &Key, pipeline: &Pipeline) -> Result<Token, Refusal> {
        let webhook = pipeline.spec.webhook.as_ref().ok_or(Refusal::Unknown)?;
        let read = self
            .tokens
            .read(&self.cluster, &key.namespace, &webhook.secret_ref)
            .await;
        read.map_err(|problem| {
            warn!(pipeline = %key, problem, "the token of the webhook cannot be read");
            // Some providers deliver again what is not taken now; a token that is gone for a moment must lose nothing.
            Refusal::Later("the token cannot be checked now; the operator's log says why")
        })
    }

    /// Hands an event over, and waits until what follows from it is on record.
    async fn put_on_record(&self, key: &Key, event: Event) -> Result<Taken, Refusal> {
        let now = self.cluster.clock().now();
        if event.at.is_some_and(|at| now.duration_since(at) > OLDEST) {
            let problem =
                "it is older than a day: what is there now is found by polling".to_owned();
            return Err(Refusal::Never(StatusCode::GONE, problem));
        }
        let pipeline = self.pipeline(key)?;
        if let Some(why) = rests(&pipeline, &event) {
            return Ok(Taken::Ignored(why.to_owned()));
        }
        let was_known = match judge(&pipeline.spec, &event) {
            Verdict::Irrelevant(_) if event.is_noted_only() => self.is_on_record(key, &event)?,
            Verdict::Irrelevant(why) => return Ok(Taken::Ignored(why)),
            Verdict::Skip(_) | Verdict::Start(_) => self.is_on_record(key, &event)?,
        };
        if let Some(taken) = was_known {
            return Ok(match taken {
                Taken::Started(what) => Taken::Known(what),
                taken @ (Taken::Known(_) | Taken::Ignored(_)) => taken,
            });
        }
        let _handed = self.cluster.told.hand_over(key, vec![event.clone()]);
        self.cluster.caches.look_at(ObjectKind::Pipeline, key);
        until_on_record(&self.leads, || self.is_on_record(key, &event)).await
    }

    /// What follows from an event, if that is on the API server.
    fn is_on_record(&self, key: &Key, event: &Event) -> Result<Option<Taken>, Refusal> {
        let pipeline = self.pipeline(key)?;
        let status = pipeline.status.as_ref();
        let closed = status.map_or(&[][..], |status| status.closed.as_slice());
        let known = status.map_or(&[][..], |status| status.labelled.as_slice());
        let now = self.cluster.clock().now();
        let wanted = wanted_labels(key, &self.cluster);
        if !closed::is_taken_in(closed, event, now)
            || !labelled::is_taken_in(known, event, &wanted, now)
        {
            return Ok(None);
        }
        if event.is_noted_only() {
            let what = "noted that the pull request is over, or its labels".to_owned();
            return Ok(Some(Taken::Ignored(what)));
        }
        let is_noted = |event: &Event| {
            let mark = mark(&event.git_ref, event.identity());
            status.is_some_and(|status| status.seen.contains(&mark))
        };
        let runs = &self.cluster.caches.pipeline_runs;
        if !is_noted(event) {
            let below = beneath(&pipeline.spec, event).filter(|(before, start)| {
                let run = render::started_key(key, &pipeline.spec, start);
                !is_noted(before) && runs.get(&run).is_none() && !self.is_released(key, before)
            });
            return Ok(below.map(|_| Taken::Ignored(LEFT_TO_POLLING.to_owned())));
        }
        Ok(match judge(&pipeline.spec, event) {
            Verdict::Skip(why) | Verdict::Irrelevant(why) => Some(Taken::Ignored(why)),
            Verdict::Start(start) => {
                let run = render::started_key(key, &pipeline.spec, &start);
                let exists = runs.get(&run).is_some();
                (exists || !event.renews).then_some(Taken::Started(run.name))
            }
        })
    }

    /// Whether a commit has a Release, or was pushed for one: the plan takes such a one as dealt with, too.
    fn is_released(&self, key: &Key, event: &Event) -> bool {
        let caches = &self.cluster.caches;
        let releases = caches.releases.children_of(ObjectKind::Pipeline, key);
        let runs = caches.pipeline_runs.children_of(ObjectKind::Pipeline, key);
        let mut commits = released(&releases, &runs).into_iter();
        commits.any(|sha| Some(&sha) == event.sha.as_ref())
    }
}

/// Why nothing follows from an event now. That a pull request is over, and its labels, count all the same: its preview is to go, or
/// to come.
fn rests(pipeline: &Pipeline, event: &Event) -> Option<&'static str> {
    if event.is_noted_only() {
        return None;
    }
    if pipeline.spec.suspend {
        return Some("the Pipeline is suspended");
    }
    let status = pipeline.status.as_ref();
    let is_paused = status.is_some_and(|status| status.paused_by.is_some());
    is_paused.then_some("the Pipeline is paused")
}

/// Who delivers. Gitea sends GitHub's fields as well, and Forgejo Gitea's.
fn sender_of(headers: &HeaderMap) -> Option<Sender> {
    let field = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let text = |name: &str| {
        let value = field(name).and_then(|value| std::str::from_utf8(value).ok());
        value.map(str::to_owned)
    };
    let kind = text("x-forgejo-event").or_else(|| text("x-gitea-event"));
    if let Some(kind) = kind {
        let signature = field("x-forgejo-signature").or_else(|| field("x-gitea-signature"));
        return Some(Sender {
            provider: Provider::Gitea,
            kind,
            proof: Proof::Signature(signature?.to_vec()),
        });
    }
    if let Some(kind) = text("x-github-event") {
        let signature = field("x-hub-signature-256")?.strip_prefix(b"sha256=")?;
        return Some(Sender {
            provider: Provider::GitHub,
            kind,
            proof: Proof::Signature(signature.to_vec()),
        });
    }
    Some(Sender {
        provider: Provider::GitLab,
        kind: text("x-gitlab-event")?,
        proof: Proof::Token(field("x-gitlab-token")?.to_vec()),
    })
}

async fn deliver(
    State(receiver): State<Receiver>,
    Path((namespace, pipeline)): Path<(String, String)>,
    request: Request,
) -> Response {
    let key = Key::new(namespace, pipeline);
    let (parts, body) = request.into_parts();
    let sender = sender_of(&parts.headers);
    let taken = receiver.take(&key, sender.as_ref(), (&parts.headers, body));
    let taken = tokio::time::timeout(PATIENCE, taken).await;
    let late = Refusal::Later("not on record in time; try again");
    let provider = sender.map_or("unknown", |sender| sender.provider.as_str());
    answer(&receiver, &key, provider, taken.unwrap_or(Err(late)))
}

fn answer(
    receiver: &Receiver,
    key: &Key,
    provider: &'static str,
    taken: Result<Taken, Refusal>,
) -> Response {
    let count = |outcome| receiver.cluster.metrics().told(provider, outcome);
    let refusal = match taken {
        Ok(Taken::Started(run)) => {
            count("started");
            return format!("started {run}\n").into_response();
        }
        Ok(Taken::Known(run)) => {
            count("known");
            return format!("known before as {run}\n").into_response();
        }
        Ok(Taken::Ignored(why)) => {
            count("ignored");
            return format!("nothing follows from it: {why}\n").into_response();
        }
        Err(refusal) => refusal,
    };
    match &refusal {
        Refusal::Later(why) => {
            count("later");
            debug!(pipeline = %key, why, "a delivery has to come again");
        }
        Refusal::Unknown => count("unauthenticated"),
        Refusal::Never(StatusCode::GONE, why) => {
            count("stale");
            warn!(pipeline = %key, why, "a delivery was refused");
        }
        Refusal::Never(_, why) => {
            count("refused");
            warn!(pipeline = %key, why, "a delivery was refused");
        }
    }
    refusal.answer(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;

    use super::*;
    use crate::pipeline::testing::{sha, spec};
    use crate::pipeline::trigger::event::What;
    use crate::pipeline::trigger::poll;

    fn sender(fields: &[(&'static str, &'static str)]) -> Option<(Provider, String)> {
        let fields = fields.iter().map(|(name, value)| {
            let (name, value) = (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
            (name, value)
        });
        let sender = sender_of(&fields.collect())?;
        Some((sender.provider, sender.kind))
    }

    #[test]
    fn who_delivers_is_told_by_the_fields_and_has_to_show_that_they_may() {
        let github = [
            ("x-github-event", "push"),
            ("x-hub-signature-256", "sha256=ab"),
        ];
        assert_eq!(sender(&github), Some((Provider::GitHub, "push".into())));
        // Forgejo sends the fields of all the others.
        let forgejo = [
            ("x-forgejo-event", "release"),
            ("x-gitea-event", "release"),
            ("x-github-event", "release"),
            ("x-forgejo-signature", "ab"),
            ("x-gitea-signature", "ab"),
            ("x-hub-signature-256", "sha256=ab"),
        ];
        assert_eq!(sender(&forgejo), Some((Provider::Gitea, "release".into())));
        let gitlab = [("x-gitlab-event", "Push Hook"), ("x-gitlab-token", "t")];
        assert_eq!(
            sender(&gitlab),
            Some((Provider::GitLab, "Push Hook".into()))
        );
        for without in [&github[..1], &forgejo[..3], &gitlab[..1], &gitlab[1..], &[]] {
            assert_eq!(sender(without), None, "{without:?}");
        }
        let old = [
            ("x-github-event", "push"),
            ("x-hub-signature-256", "sha1=ab"),
        ];
        assert_eq!(sender(&old), None);
    }

    #[test]
    fn where_no_run_is_started_it_is_still_told_which_pull_requests_are_over() {
        let pushed = poll::event_of("refs/heads/main", &sha('a')).unwrap();
        let mut over = pushed.clone();
        over.what = What::Closed { number: 7 };
        let mut pipeline = Pipeline::new("api", spec());
        assert_eq!(rests(&pipeline, &pushed), None);
        pipeline.status.get_or_insert_default().paused_by = Some("alice".to_owned());
        assert_eq!(rests(&pipeline, &pushed), Some("the Pipeline is paused"));
        assert_eq!(rests(&pipeline, &over), None);
        pipeline.status = None;
        pipeline.spec.suspend = true;
        assert_eq!(rests(&pipeline, &pushed), Some("the Pipeline is suspended"));
        assert_eq!(rests(&pipeline, &over), None);
    }
}
