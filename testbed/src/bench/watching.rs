//! The last state of every object of a kind, and since when the part of it that counts has been as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use futures::StreamExt;
use kube::ResourceExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// Objects by name, and when the part of each that counts was last seen to change.
type States = BTreeMap<String, (Instant, DynamicObject)>;

/// The part of an object that counts: what else changes in it makes nothing newer.
type Part = fn(&DynamicObject) -> Value;

/// A watch of all objects of a kind.
#[derive(Debug)]
pub(super) struct Watching {
    states: Arc<Mutex<States>>,
    changed: watch::Receiver<u64>,
    task: AbortHandle,
}

impl Watching {
    pub(super) fn start(api: Api<DynamicObject>, part: Part) -> Self {
        let states = Arc::new(Mutex::new(States::new()));
        let (sender, changed) = watch::channel(0_u64);
        let seen = Arc::clone(&states);
        let task = tokio::spawn(async move {
            let objects = watcher(api, watcher::Config::default()).default_backoff();
            let mut objects = std::pin::pin!(objects.applied_objects());
            while let Some(object) = objects.next().await {
                let Ok(object) = object else { continue };
                let mut states = seen.lock().unwrap_or_else(PoisonError::into_inner);
                let name = object.name_any();
                let known = states.get(&name);
                let known = known.filter(|(_, known)| part(known) == part(&object));
                let since = known.map_or_else(Instant::now, |(since, _)| *since);
                states.insert(name, (since, object));
                drop(states);
                sender.send_modify(|count| *count += 1);
            }
        });
        Self {
            states,
            changed,
            task: task.abort_handle(),
        }
    }

    /// Waits until `count` objects are as `is_so` says; when the last of them became so.
    pub(super) async fn until(
        &mut self,
        (what, within): (&str, Duration),
        count: u32,
        is_so: impl Fn(&DynamicObject) -> bool,
    ) -> Result<Instant> {
        let end = tokio::time::Instant::now() + within;
        loop {
            let (found, last) = self.count(&is_so);
            if found >= usize::try_from(count)? {
                return Ok(last);
            }
            if tokio::time::timeout_at(end, self.changed.changed())
                .await
                .is_err()
            {
                bail!("{what}: {found} of {count} within {} s", within.as_secs());
            }
        }
    }

    fn count(&self, is_so: &impl Fn(&DynamicObject) -> bool) -> (usize, Instant) {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let so = states.values().filter(|(_, object)| is_so(object));
        so.fold((0, Instant::now()), |(count, last), (at, _)| {
            (count + 1, if count == 0 { *at } else { last.max(*at) })
        })
    }

    /// When the state of an object came that is so now.
    pub(super) fn at(&self, name: &str, is_so: impl Fn(&DynamicObject) -> bool) -> Option<Instant> {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let (at, object) = states.get(name)?;
        is_so(object).then_some(*at)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}
