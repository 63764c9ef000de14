//! Alerts that were delivered to this process, until they are on record: what a receiver hands over, and the next plan of
//! their Environment takes in. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::environment::alert::Delivered;
use crate::model::key::Key;

/// What was delivered, by the Environment that it is for. Cloning clones handles.
#[derive(Clone, Debug, Default)]
pub struct Deliveries(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    count: u64,
    by_environment: HashMap<Key, Vec<(u64, Vec<Delivered>)>>,
}

/// Something that was handed over. It is taken away again when this goes.
#[derive(Debug)]
pub struct Handed {
    deliveries: Deliveries,
    key: Key,
    number: u64,
}

impl Deliveries {
    /// Hands alerts over.
    pub fn hand_over(&self, key: &Key, alerts: Vec<Delivered>) -> Handed {
        let mut waiting = self.waiting();
        waiting.count += 1;
        let number = waiting.count;
        let of = waiting.by_environment.entry(key.clone()).or_default();
        of.push((number, alerts));
        Handed {
            deliveries: self.clone(),
            key: key.clone(),
            number,
        }
    }

    /// Everything that was handed over for an Environment, in the order in which it came.
    pub fn of(&self, key: &Key) -> Vec<Delivered> {
        let waiting = self.waiting();
        let all = waiting.by_environment.get(key).into_iter().flatten();
        all.flat_map(|(_, alerts)| alerts.iter().cloned()).collect()
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        let mut waiting = self.deliveries.waiting();
        if let Some(of) = waiting.by_environment.get_mut(&self.key) {
            of.retain(|(number, _)| *number != self.number);
            if of.is_empty() {
                waiting.by_environment.remove(&self.key);
            }
        }
    }
}
