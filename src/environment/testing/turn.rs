//! Who acts when.

use jiff::{SignedDuration, Timestamp};

use super::{ROUNDS, World};
use crate::model::object::ObjectKind;

impl World {
    /// Lets everybody act until nobody has anything to do, and no time that somebody waits for is near.
    pub(crate) fn settle(&mut self) {
        let mut moved_at = self.now;
        for _ in 0..ROUNDS {
            let before = self.version;
            let wakes = self.settle_once();
            if self.version != before {
                moved_at = self.now;
                continue;
            }
            // Those who look at SLOs, or for signatures that are missing, always want to look again.
            let names = self.names(ObjectKind::Environment);
            let mut specs = names
                .iter()
                .map(|name| self.object(ObjectKind::Environment, name));
            let from = if specs.any(|object| {
                let spec = &object["spec"];
                spec.get("slos").is_some()
                    || spec.get("migrations").is_some()
                    || spec.get("cluster").is_some()
                    || spec.pointer("/protection/requireSigned").is_some()
                    || spec.pointer("/protection/gates").is_some()
            }) {
                moved_at
            } else {
                self.now
            };
            let soon = from + SignedDuration::from_mins(11);
            match wakes.into_iter().min().filter(|wake| *wake <= soon) {
                Some(wake) => self.now = wake.max(self.now + SignedDuration::from_secs(1)),
                None => return self.check_at_rest(),
            }
        }
        for name in self.names(ObjectKind::Environment) {
            eprintln!("{:?} {}", self.told(&name), self.message(&name));
        }
        panic!("no rest after {ROUNDS} rounds");
    }

    /// Lets all of it happen; whenever nobody is about to die, the next fuse is lit.
    pub(crate) fn play<E>(
        &mut self,
        events: &[E],
        fuses: Vec<usize>,
        happen: impl Fn(&mut Self, &E),
    ) {
        let mut fuses = fuses.into_iter();
        for event in events {
            happen(self, event);
            if self.fuse.is_none() {
                self.fuse = fuses.next();
            }
        }
    }

    /// How often something is written when these Environments are looked at once more.
    pub(crate) fn writes_at_rest(&mut self, environments: &[&str]) -> usize {
        let before = self.writes;
        for name in environments {
            self.reconcile(name);
        }
        self.writes - before
    }

    /// Lets everybody act once. Returns when Environments want to look again.
    pub(crate) fn settle_once(&mut self) -> Vec<Timestamp> {
        let names = self.names(ObjectKind::Environment);
        let wakes = names
            .iter()
            .filter_map(|name| self.reconcile(name))
            .collect();
        self.rollouts_act();
        self.jobs_act();
        wakes
    }
}
