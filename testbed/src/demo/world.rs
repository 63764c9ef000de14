//! Everything that happens to the objects of one namespace, as a watch tells it, with the time at which it came.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use futures::StreamExt;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::teller::Teller;

/// How often a wait is told anew although nothing happened.
const TICK: Duration = Duration::from_millis(500);

/// One state of an object.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub(crate) at: Instant,
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Nothing when the object went.
    pub(crate) object: Option<Arc<Value>>,
}

/// The objects of a namespace, and all that happened to them.
#[derive(Debug)]
pub(crate) struct World {
    film: Arc<Mutex<Film>>,
    changed: watch::Receiver<usize>,
    tasks: Vec<AbortHandle>,
}

#[derive(Debug, Default)]
struct Film {
    frames: Vec<Frame>,
    now: BTreeMap<(&'static str, String), Arc<Value>>,
}

/// What a look at the world says of what is awaited.
#[derive(Debug)]
pub(crate) enum Look<T> {
    /// It is so.
    So(T),
    /// Not yet, and why.
    NotYet(String),
    /// It will never be so, and why.
    Never(String),
}

impl World {
    /// Begins to watch these kinds: `(group, version, kind)`.
    pub(crate) fn watch(
        client: &Client,
        namespace: &str,
        kinds: &[(&str, &str, &'static str)],
    ) -> Self {
        let film = Arc::new(Mutex::new(Film::default()));
        let (sender, changed) = watch::channel(0);
        let sender = Arc::new(sender);
        let tasks = kinds.iter().map(|(group, version, kind)| {
            let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
            let api = Api::namespaced_with(client.clone(), namespace, &resource);
            let task = record(api, kind, Arc::clone(&film), Arc::clone(&sender));
            tokio::spawn(task).abort_handle()
        });
        Self {
            tasks: tasks.collect(),
            film,
            changed,
        }
    }

    /// An object as it is.
    pub(crate) fn object(&self, kind: &'static str, name: &str) -> Option<Arc<Value>> {
        self.film().now.get(&(kind, name.to_owned())).cloned()
    }

    /// The objects of a kind as they are.
    pub(crate) fn objects(&self, kind: &'static str) -> Vec<Arc<Value>> {
        let film = self.film();
        let of_kind = film.now.iter().filter(|((of, _), _)| *of == kind);
        of_kind.map(|(_, object)| Arc::clone(object)).collect()
    }

    /// All that happened to an object since then.
    pub(crate) fn frames(&self, kind: &'static str, name: &str, since: Instant) -> Vec<Frame> {
        let film = self.film();
        let frames = film.frames.iter();
        let meant = |frame: &&Frame| frame.kind == kind && frame.name == name && frame.at >= since;
        frames.filter(meant).cloned().collect()
    }

    /// Looks at the world, and again whenever something changes, until what is awaited is so.
    ///
    /// # Errors
    ///
    /// It is not within that time, or never will be: what was awaited, and why it is not so.
    pub(crate) async fn until<T>(
        &self,
        teller: &Teller,
        (what, within): (&str, Duration),
        mut look: impl FnMut(&Self) -> Look<T>,
    ) -> Result<T> {
        let mut changed = self.changed.clone();
        let (started, until) = (Instant::now(), teller.elapsed() + within);
        loop {
            changed.mark_unchanged();
            let why = match look(self) {
                Look::So(found) => {
                    teller.waited();
                    return Ok(found);
                }
                Look::Never(why) => bail!("{what}: {why}"),
                Look::NotYet(why) => why,
            };
            if started.elapsed() >= within {
                teller.waited();
                let reason = if why.is_empty() {
                    String::new()
                } else {
                    format!(": {why}")
                };
                return Err(anyhow!("waited {} s for {what}{reason}", within.as_secs()));
            }
            teller.waiting(what, until, &why);
            if let Ok(Err(_)) = timeout(TICK, changed.changed()).await {
                bail!("the watches ended");
            }
        }
    }

    fn film(&self) -> MutexGuard<'_, Film> {
        self.film.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

async fn record(
    api: Api<DynamicObject>,
    kind: &'static str,
    film: Arc<Mutex<Film>>,
    changed: Arc<watch::Sender<usize>>,
) {
    let mut events = Box::pin(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let (object, is_there) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, true),
            Ok(watcher::Event::Delete(object)) => (object, false),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let name = object.name_any();
        let value = serde_json::to_value(&object)
            .ok()
            .filter(|_| is_there)
            .map(Arc::new);
        let frame = Frame {
            at: Instant::now(),
            kind,
            name: name.clone(),
            object: value.clone(),
        };
        {
            let mut film = film.lock().unwrap_or_else(PoisonError::into_inner);
            film.frames.push(frame);
            match value {
                Some(value) => film.now.insert((kind, name), value),
                None => film.now.remove(&(kind, name)),
            };
        }
        changed.send_modify(|count| *count += 1);
    }
}

/// A text in an object; empty when it is not there.
pub(crate) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// A list in an object; empty when it is not there.
pub(crate) fn list<'a>(object: &'a Value, pointer: &str) -> &'a [Value] {
    object
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// A number in an object; nothing when it is not there.
pub(crate) fn number(object: &Value, pointer: &str) -> Option<u64> {
    object.pointer(pointer).and_then(Value::as_u64)
}
