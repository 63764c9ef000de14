//! What was delivered to this process, until it is on record: alerts, and what git providers tell. A receiver hands it over,
//! and the next plan of the object that it is for takes it in. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::model::key::Key;

/// What was delivered, by the object that it is for. Cloning clones handles.
#[derive(Debug)]
pub struct Deliveries<T>(Arc<Mutex<Waiting<T>>>);

impl<T> Clone for Deliveries<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Deliveries<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Waiting {
            count: 0,
            by_key: HashMap::new(),
        })))
    }
}

#[derive(Debug)]
struct Waiting<T> {
    count: u64,
    by_key: HashMap<Key, Vec<(u64, Vec<T>)>>,
}

/// Something that was handed over. It is taken away again when this goes.
#[derive(Debug)]
pub struct Handed<T> {
    deliveries: Deliveries<T>,
    key: Key,
    number: u64,
}

impl<T> Deliveries<T> {
    /// Hands it over.
    pub fn hand_over(&self, key: &Key, all: Vec<T>) -> Handed<T> {
        let mut waiting = self.waiting();
        waiting.count += 1;
        let number = waiting.count;
        let of = waiting.by_key.entry(key.clone()).or_default();
        of.push((number, all));
        Handed {
            deliveries: self.clone(),
            key: key.clone(),
            number,
        }
    }

    /// Everything that was handed over for an object, in the order in which it came.
    pub fn of(&self, key: &Key) -> Vec<T>
    where
        T: Clone,
    {
        let waiting = self.waiting();
        let all = waiting.by_key.get(key).into_iter().flatten();
        all.flat_map(|(_, some)| some.iter().cloned()).collect()
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn waiting(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Handed<T> {
    fn drop(&mut self) {
        let mut waiting = self.deliveries.waiting();
        if let Some(of) = waiting.by_key.get_mut(&self.key) {
            of.retain(|(number, _)| *number != self.number);
            if of.is_empty() {
                waiting.by_key.remove(&self.key);
            }
        }
    }
}
