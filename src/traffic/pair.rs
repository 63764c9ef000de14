//! A list of destinations with weights, of which two are the sides. No I/O.

use serde_json::Value;

use super::Side;
use crate::model::json::set;
use crate::model::weight::Weight;

/// A list of destinations, and how to tell which of them are the sides.
pub(super) struct Pair<'a, F> {
    /// The destinations.
    pub(super) list: &'a [Value],
    /// The side that a destination is.
    pub(super) side_of: F,
    /// What a destination without a weight has.
    pub(super) default: i64,
}

impl<F: Fn(&Value) -> Option<Side>> Pair<'_, F> {
    /// The destination of a side.
    pub(super) fn find(&self, side: Side) -> Option<&Value> {
        let mut list = self.list.iter();
        list.find(|one| (self.side_of)(one) == Some(side))
    }

    /// Whether both sides are in the list.
    pub(super) fn is_whole(&self) -> bool {
        self.find(Side::Stable).is_some() && self.find(Side::Canary).is_some()
    }

    /// The canary's share of what the two have together. Somebody may have written weights that do not sum to 100.
    pub(super) fn share(&self) -> Option<Weight> {
        let weight_of = |side| {
            let found = self.find(side)?;
            found
                .get("weight")
                .map_or(Some(self.default), Value::as_i64)
        };
        Weight::share(weight_of(Side::Canary)?, weight_of(Side::Stable)?)
    }

    /// The same list with 100 divided between the sides, and nothing else changed.
    pub(super) fn reweighted(&self, canary: Weight) -> Vec<Value> {
        let reweighted = self.list.iter().map(|one| {
            let mut one = one.clone();
            let share = match (self.side_of)(&one) {
                Some(Side::Stable) => canary.rest(),
                Some(Side::Canary) => canary,
                None => return one,
            };
            set(&mut one, &["weight"], share.percent());
            one
        });
        reweighted.collect()
    }
}
