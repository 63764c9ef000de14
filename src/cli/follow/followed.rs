//! Objects that a watch keeps up to date, so that nobody has to look again and again. Talks to the API server.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::core::NamespaceResourceScope;
use kube::runtime::utils::Backoff;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use super::{LOOK, Losses};
use crate::cli::cluster::Server;

/// What is too old to go on from, in HTTP: the watcher lists again by itself.
const GONE: u16 = 410;

/// Objects of a kind, as a watch tells of them.
pub struct Followed<'a, K> {
    server: &'a Server,
    /// What is asked for, in words.
    what: String,
    events: BoxStream<'static, watcher::Result<Event<K>>>,
    known: Known<K>,
    losses: Losses,
    lost_at: Option<Instant>,
    trouble: Option<String>,
}

impl<'a, K> Followed<'a, K>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// One, by its name.
    pub fn one(server: &'a Server, name: &str) -> Self {
        let what = format!("{} {}/{name}", K::kind(&()), server.namespace());
        let fields = format!("metadata.name={name}");
        Self::new(server, what, watcher::Config::default().fields(&fields))
    }

    /// Those with these labels.
    pub fn labelled(server: &'a Server, labels: &str) -> Self {
        let what = format!("{} of {}", K::plural(&()), server.namespace());
        Self::new(server, what, watcher::Config::default().labels(labels))
    }

    fn new(server: &'a Server, what: String, config: watcher::Config) -> Self {
        let api: Api<K> = Api::namespaced(server.client(), server.namespace());
        let config = config.timeout(lasts(server.patience()));
        Self {
            server,
            what,
            events: watcher(api, config).backoff(Evenly).boxed(),
            known: Known::default(),
            losses: Losses::default(),
            lost_at: None,
            trouble: None,
        }
    }

    /// Waits for the next change; also for a trouble that is borne. Who stops waiting misses nothing.
    ///
    /// # Errors
    /// One clear sentence, where it cannot be gone on.
    pub async fn change(&mut self) -> Result<(), String> {
        loop {
            match self.events.next().await {
                Some(Ok(event)) => {
                    // That a list begins says nothing of the server.
                    if !matches!(event, Event::Init) {
                        self.trouble = None;
                        self.losses = Losses::default();
                    }
                    if self.known.take(event) {
                        return Ok(());
                    }
                }
                Some(Err(watcher::Error::WatchError(status))) if status.code == GONE => {}
                Some(Err(error)) => return self.bear(error),
                None => return Err(format!("the watch of {} has ended", self.what)),
            }
        }
    }

    /// What there is, by name; nothing before all of it is known.
    pub fn known(&self) -> Option<&BTreeMap<String, K>> {
        self.known.whole.as_ref()
    }

    /// The object that is followed by its name; nothing before it is known.
    ///
    /// # Errors
    /// It is not there.
    pub fn only(&self, name: &str) -> Result<Option<&K>, String> {
        let Some(known) = self.known() else {
            return Ok(None);
        };
        let gone = || format!("there is no {}", self.what);
        known.get(name).map(Some).ok_or_else(gone)
    }

    /// Why nothing is heard for now.
    pub fn trouble(&self) -> Option<&str> {
        self.trouble.as_deref()
    }

    fn bear(&mut self, error: watcher::Error) -> Result<(), String> {
        let error = match error {
            watcher::Error::InitialListFailed(error)
            | watcher::Error::WatchStartFailed(error)
            | watcher::Error::WatchFailed(error) => error,
            watcher::Error::WatchError(status) => kube::Error::Api(status),
            watcher::Error::NoResourceVersion => {
                return Err(format!("{} cannot be watched", self.what));
            }
        };
        let words = self.server.told(&error, &self.what, &K::plural(&()));
        // A watch that goes on says nothing of it. What follows that late is not the same trouble.
        let now = Instant::now();
        let last = self.lost_at.replace(now);
        if last.is_some_and(|last| now.duration_since(last) > self.server.patience() * 2) {
            self.losses = Losses::default();
        }
        let answer: Result<(), String> = Err(words.clone());
        self.losses.bear(answer, self.server.may_pass())?;
        self.trouble = Some(words);
        Ok(())
    }
}

/// How long a watch lasts before it is begun anew, in seconds: shorter than a connection may be silent.
fn lasts(patience: Duration) -> u32 {
    let seconds = u32::try_from(patience.as_secs()).unwrap_or(u32::MAX);
    (seconds / 3 * 2).clamp(1, 60)
}

/// What is lost is asked for again as often as somebody would look.
struct Evenly;

impl Iterator for Evenly {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(LOOK)
    }
}

impl Backoff for Evenly {
    fn reset(&mut self) {}
}

/// What events make up.
struct Known<K> {
    whole: Option<BTreeMap<String, K>>,
    /// A list that is not whole yet.
    coming: BTreeMap<String, K>,
}

impl<K> Default for Known<K> {
    fn default() -> Self {
        Self {
            whole: None,
            coming: BTreeMap::new(),
        }
    }
}

impl<K> Known<K>
where
    K: Resource<DynamicType = ()>,
{
    /// Takes an event in, and says whether there is something else now.
    fn take(&mut self, event: Event<K>) -> bool {
        match event {
            Event::Init => {
                self.coming.clear();
                false
            }
            Event::InitApply(object) => {
                self.coming.insert(object.name_any(), object);
                false
            }
            Event::InitDone => {
                self.whole = Some(std::mem::take(&mut self.coming));
                true
            }
            Event::Apply(object) => {
                let whole = self.whole.get_or_insert_default();
                whole.insert(object.name_any(), object);
                true
            }
            Event::Delete(object) => {
                let whole = self.whole.get_or_insert_default();
                whole.remove(&object.name_any());
                true
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use serde_json::{Value, json};

    use super::super::until;
    use super::*;
    use crate::cli::cluster::testing::{Said, in_turn, scripted};

    fn object(version: &str, word: &str) -> Value {
        let metadata = json!({"name": "api", "namespace": "shop", "resourceVersion": version});
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"word": word}})
    }

    fn list(objects: &[Value]) -> Said {
        let metadata = json!({"resourceVersion": "1"});
        Said::whole(200, &json!({"metadata": metadata, "items": objects}))
    }

    fn event(type_: &str, object: &Value) -> Said {
        Said::whole(200, &json!({"type": type_, "object": object}))
    }

    fn word(object: &ConfigMap) -> Option<&str> {
        Some(object.data.as_ref()?.get("word")?.as_str())
    }

    #[tokio::test(start_paused = true)]
    async fn one_list_and_then_what_changes_is_all_that_is_asked_for() {
        let (server, asked) = scripted(in_turn(vec![
            list(&[object("1", "begun")]),
            event("MODIFIED", &object("2", "goes")),
            event("MODIFIED", &object("3", "done")),
        ]));
        let mut seen = Vec::new();
        let done = until(&server, "api", |object: &ConfigMap| {
            let word = word(object)?.to_owned();
            seen.push(word.clone());
            (word == "done").then_some(word)
        });
        assert_eq!(done.await.unwrap(), "done");
        assert_eq!(seen, ["begun", "goes", "done"]);
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|uri| uri.contains("metadata.name%3Dapi")));
        let is_watch = |uri: &String| uri.contains("watch=true");
        let watches: Vec<bool> = asked.iter().map(is_watch).collect();
        assert_eq!(watches, [false, true, true]);
        assert!(asked[2].contains("resourceVersion=2"), "{}", asked[2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_hangs_is_noticed_and_begun_anew() {
        let (server, asked) = scripted(in_turn(vec![
            list(&[object("1", "begun")]),
            Said::hangs(b""),
            event("MODIFIED", &object("2", "done")),
        ]));
        let done = until(&server, "api", |object: &ConfigMap| {
            (word(object) == Some("done")).then_some(())
        });
        let done = tokio::time::timeout(Duration::from_mins(1), done).await;
        assert_eq!(done, Ok(Ok(())));
        assert_eq!(asked.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_passes_is_borne_and_what_is_gone_is_said() {
        let status = |code: u16| {
            let status = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": "",
                "message": "not now"});
            Said::whole(code, &status)
        };
        let (server, _) = scripted(in_turn(vec![
            status(503),
            list(&[object("1", "begun")]),
            event("DELETED", &object("2", "begun")),
        ]));
        let mut all: Followed<'_, ConfigMap> = Followed::one(&server, "api");
        all.change().await.unwrap();
        assert!(all.trouble().unwrap().contains("not now"));
        assert_eq!(all.only("api").map(|found| found.is_some()), Ok(false));
        all.change().await.unwrap();
        assert_eq!(all.only("api").map(|found| found.is_some()), Ok(true));
        assert_eq!(all.trouble(), None);
        all.change().await.unwrap();
        let told = all.only("api").unwrap_err();
        assert_eq!(told, "there is no ConfigMap shop/api");
        let (server, asked) = scripted(move |_| Some(status(503)));
        let lost = until(&server, "api", |_: &ConfigMap| None::<()>).await;
        assert!(lost.unwrap_err().contains("not now"), "it is given up");
        assert_eq!(asked.lock().unwrap().len(), 61);
        let (server, _) = scripted(in_turn(vec![status(403)]));
        let refused = until(&server, "api", |_: &ConfigMap| None::<()>).await;
        assert_eq!(
            refused.unwrap_err(),
            "cannot read ConfigMap shop/api: not now"
        );
    }
}
