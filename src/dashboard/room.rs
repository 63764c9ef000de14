//! Room for what lasts: so much for everybody together, and so much of it for each. No I/O.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much there is, and who has how much of it.
pub(super) struct Room {
    all: usize,
    each: usize,
    taken: Mutex<HashMap<String, usize>>,
}

/// A place in a room, which is free again when this is dropped.
pub(super) struct Place {
    room: Arc<Room>,
    who: String,
}

impl Room {
    /// So many places, and so many for each.
    pub(super) fn new(all: usize, each: usize) -> Arc<Self> {
        Arc::new(Self {
            all,
            each,
            taken: Mutex::default(),
        })
    }

    /// Whether nobody gets in.
    pub(super) fn is_full(&self) -> bool {
        self.taken().values().sum::<usize>() >= self.all
    }

    /// A place, if there is one for whoever asks.
    pub(super) fn enter(self: &Arc<Self>, who: &str) -> Option<Place> {
        let mut taken = self.taken();
        let own = taken.get(who).copied().unwrap_or_default();
        if own >= self.each || taken.values().sum::<usize>() >= self.all {
            return None;
        }
        taken.insert(who.to_owned(), own + 1);
        Some(Place {
            room: Arc::clone(self),
            who: who.to_owned(),
        })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.room.taken();
        let own = taken.remove(&self.who).unwrap_or_default();
        if own > 1 {
            taken.insert(self.who.clone(), own - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_alone_does_not_take_it_all() {
        let room = Room::new(3, 2);
        let first = room.enter("alice").unwrap();
        let second = room.enter("alice").unwrap();
        assert!(room.enter("alice").is_none());
        assert!(!room.is_full());
        let bob = room.enter("bob").unwrap();
        assert!(room.is_full());
        assert!(room.enter("carol").is_none());

        drop(second);
        let again = room.enter("alice").unwrap();
        assert!(room.enter("alice").is_none());
        drop((first, again, bob));
        assert!(room.taken().is_empty());
    }
}
