//! The work queue of one kind: a key is in it at most once, is never worked on twice at the same time,
//! and can be asked for later. No I/O; the clock is the runtime's monotonic one.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::model::key::Key;

/// A queue of keys.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Notify,
    added: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they came, with since when.
    ready: VecDeque<(Key, Instant)>,
    queued: HashSet<Key>,
    working: HashSet<Key>,
    later: BTreeSet<(Instant, Key)>,
    due: HashMap<Key, Instant>,
}

impl State {
    fn add(&mut self, key: Key) {
        if !self.queued.insert(key.clone()) {
            return;
        }
        // A key that is being worked on is queued again when it is done.
        if !self.working.contains(&key) {
            self.ready.push_back((key, Instant::now()));
        }
    }

    fn add_at(&mut self, key: Key, at: Instant) {
        match self.due.get(&key) {
            Some(due) if *due <= at => return,
            Some(due) => {
                self.later.remove(&(*due, key.clone()));
            }
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    /// Moves what is due to the queue and tells when the next one is.
    fn promote(&mut self, now: Instant) -> Option<Instant> {
        while let Some((at, key)) = self.later.pop_first() {
            if at > now {
                self.later.insert((at, key));
                return Some(at);
            }
            self.due.remove(&key);
            self.add(key);
        }
        None
    }

    fn take(&mut self) -> Option<Key> {
        let (key, _) = self.ready.pop_front()?;
        self.queued.remove(&key);
        self.working.insert(key.clone());
        // It is looked at now; whatever wants to look later says so again.
        if let Some(due) = self.due.remove(&key) {
            self.later.remove(&(due, key.clone()));
        }
        Some(key)
    }

    fn done(&mut self, key: &Key) {
        if self.working.remove(key) && self.queued.contains(key) {
            self.ready.push_back((key.clone(), Instant::now()));
        }
    }
}

impl Queue {
    /// Asks for a look at `key` as soon as possible.
    pub fn add(&self, key: Key) {
        self.state().add(key);
        self.changed.notify_one();
        self.added.notify_waiters();
    }

    /// Waits until somebody asks for another look at `key`, while it is being worked on.
    pub async fn news(&self, key: &Key) {
        loop {
            let mut added = std::pin::pin!(self.added.notified());
            // From here on nothing is missed.
            added.as_mut().enable();
            if self.state().queued.contains(key) {
                return;
            }
            added.await;
        }
    }

    /// Asks for a look at `key` at `at`; the earliest of several wishes counts.
    pub fn add_at(&self, key: Key, at: Instant) {
        self.state().add_at(key, at);
        self.changed.notify_one();
    }

    /// The next key to work on, once there is one. Give it back with [`Queue::done`].
    pub async fn next(&self) -> Key {
        loop {
            let changed = self.changed.notified();
            let next_due = {
                let mut state = self.state();
                let next_due = state.promote(Instant::now());
                if let Some(key) = state.take() {
                    if !state.ready.is_empty() || next_due.is_some() {
                        self.changed.notify_one();
                    }
                    return key;
                }
                next_due
            };
            match next_due {
                Some(at) => {
                    let _ = tokio::time::timeout_at(at, changed).await;
                }
                None => changed.await,
            }
        }
    }

    /// The work on `key` is over.
    pub fn done(&self, key: &Key) {
        self.state().done(key);
        self.changed.notify_one();
    }

    /// Keys that are ready to be worked on.
    pub fn len(&self) -> usize {
        self.state().ready.len()
    }

    /// Keys that are ready to be worked on, and how long the first of them has been so.
    pub fn waiting(&self) -> (usize, Duration) {
        let state = self.state();
        let oldest = state.ready.front().map(|(_, since)| since.elapsed());
        (state.ready.len(), oldest.unwrap_or_default())
    }

    /// Whether nothing is ready.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    use super::*;

    fn key(name: &str) -> Key {
        Key::new("ns", name)
    }

    #[test]
    fn a_key_is_queued_once() {
        let mut state = State::default();
        state.add(key("a"));
        state.add(key("a"));
        assert_eq!(state.take(), Some(key("a")));
        assert_eq!(state.take(), None);
    }

    #[test]
    fn a_key_is_never_worked_on_twice_and_no_wish_is_lost() {
        let mut state = State::default();
        state.add(key("a"));
        assert_eq!(state.take(), Some(key("a")));
        state.add(key("a"));
        assert_eq!(state.take(), None);
        state.done(&key("a"));
        assert_eq!(state.take(), Some(key("a")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_waits_is_known_with_since_when() {
        let queue = Queue::default();
        assert_eq!(queue.waiting(), (0, Duration::ZERO));
        queue.add(key("a"));
        tokio::time::advance(Duration::from_secs(3)).await;
        queue.add(key("b"));
        assert_eq!(queue.waiting(), (2, Duration::from_secs(3)));
        assert_eq!(queue.next().await, key("a"));
        assert_eq!(queue.waiting(), (1, Duration::ZERO));
        queue.add(key("a"));
        assert_eq!(queue.waiting().0, 1, "what is worked on waits for nobody");
    }

    #[test]
    fn the_earliest_of_several_wishes_counts() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut state = State::default();
        state.add_at(key("a"), now + second * 2);
        state.add_at(key("a"), now + second);
        state.add_at(key("a"), now + second * 3);
        assert_eq!(state.promote(now), Some(now + second));
        assert_eq!(state.take(), None);
        assert_eq!(state.promote(now + second), None);
        assert_eq!(state.take(), Some(key("a")));
    }

    #[test]
    fn a_look_now_cancels_the_look_later() {
        let now = Instant::now();
        let mut state = State::default();
        state.add_at(key("a"), now + Duration::from_secs(1));
        state.add(key("a"));
        assert_eq!(state.take(), Some(key("a")));
        state.done(&key("a"));
        assert_eq!(state.promote(now + Duration::from_secs(2)), None);
        assert_eq!(state.take(), None);
    }

    /// Workers look up what is wanted when they take a key: nothing that was wanted before stays unseen.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_wish_is_lost_among_many_workers() {
        const KEYS: usize = 7;
        let queue = Arc::new(Queue::default());
        let counts = || Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect::<Vec<_>>());
        let (wanted, seen) = (counts(), counts());
        for _ in 0..3 {
            let (queue, wanted, seen) = (queue.clone(), wanted.clone(), seen.clone());
            tokio::spawn(async move {
                loop {
                    let key = queue.next().await;
                    let index: usize = key.name.parse().unwrap();
                    let now = wanted[index].load(SeqCst);
                    tokio::task::yield_now().await;
                    seen[index].fetch_max(now, SeqCst);
                    queue.done(&key);
                }
            });
        }
        for round in 0..3000usize {
            let index = round * 31 % KEYS;
            wanted[index].fetch_add(1, SeqCst);
            if round % 3 == 0 {
                let soon = Instant::now() + Duration::from_micros(300);
                queue.add_at(key(&index.to_string()), soon);
            } else {
                queue.add(key(&index.to_string()));
            }
            if round % 5 == 0 {
                tokio::task::yield_now().await;
            }
        }
        let load =
            |counts: &[AtomicUsize]| counts.iter().map(|c| c.load(SeqCst)).collect::<Vec<_>>();
        let all_seen = async {
            while load(&seen) != load(&wanted) {
                tokio::task::yield_now().await;
            }
        };
        let end = tokio::time::timeout(Duration::from_secs(10), all_seen).await;
        assert!(end.is_ok(), "{:?} of {:?}", load(&seen), load(&wanted));
    }

    #[tokio::test(start_paused = true)]
    async fn next_waits_until_something_is_due() {
        let queue = Queue::default();
        let at = Instant::now() + Duration::from_secs(5);
        queue.add_at(key("a"), at);
        assert_eq!(queue.next().await, key("a"));
        assert!(Instant::now() >= at);
    }
}
