//! Every state of an object that a watch delivers, with the time at which it came.

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use futures::StreamExt;
use kube::api::{Api, DynamicObject};
use kube::runtime::{WatchStreamExt, watcher};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// One state of an object.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) at: Instant,
    pub(crate) object: Value,
}

/// The states of one object, in the order in which they came.
#[derive(Debug)]
pub(crate) struct Film {
    frames: Arc<Mutex<Vec<Frame>>>,
    task: AbortHandle,
}

impl Film {
    /// Begins to record; returns when the first state is in.
    pub(crate) async fn of(api: &Api<DynamicObject>, name: &str) -> Self {
        let config = watcher::Config::default().fields(&format!("metadata.name={name}"));
        let mut states = Box::pin(
            watcher(api.clone(), config)
                .default_backoff()
                .applied_objects(),
        );
        let frames = Arc::new(Mutex::new(Vec::new()));
        let (first, is_rolling) = oneshot::channel();
        let (film, mut first) = (Arc::clone(&frames), Some(first));
        let task = tokio::spawn(async move {
            while let Some(state) = states.next().await {
                let Ok(state) = state else { continue };
                let object = serde_json::to_value(&state).unwrap();
                film.lock().unwrap().push(Frame {
                    at: Instant::now(),
                    object,
                });
                first.take().map(|first| first.send(()));
            }
        });
        is_rolling.await.unwrap();
        Self {
            frames,
            task: task.abort_handle(),
        }
    }

    /// Everything so far.
    pub(crate) fn frames(&self) -> Vec<Frame> {
        self.frames.lock().unwrap().clone()
    }

    /// The first state for which `check` yields something.
    pub(crate) fn first<T>(&self, check: impl Fn(&Value) -> Option<T>) -> Option<(Instant, T)> {
        let frames = self.frames();
        frames
            .iter()
            .find_map(|frame| Some((frame.at, check(&frame.object)?)))
    }

    /// Every new value of something from `since` on.
    pub(crate) fn changes_since<T: PartialEq>(
        &self,
        since: Instant,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Vec<T> {
        let frames = self.frames();
        let before = frames.iter().filter(|frame| frame.at < since).count();
        // The first one is the value of then.
        let frames = frames.iter().skip(before.saturating_sub(1));
        let mut all: Vec<T> = frames.filter_map(|frame| read(&frame.object)).collect();
        all.dedup();
        all.drain(..1);
        all
    }

    /// The first such state from `since` on.
    pub(crate) fn first_since(
        &self,
        since: Instant,
        check: impl Fn(&Value) -> bool,
    ) -> Option<Instant> {
        let frames = self.frames();
        frames
            .iter()
            .find(|frame| frame.at >= since && check(&frame.object))
            .map(|frame| frame.at)
    }
}

impl Drop for Film {
    fn drop(&mut self) {
        self.task.abort();
    }
}
