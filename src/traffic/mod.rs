//! Moving traffic between two Services without ever pointing it at nothing. No I/O.
//!
//! ```text
//!              weight w ┌────────────────┐ selects ┌──────────┐
//!   route ──────────────▶ Service canary ├─────────▶ revision │
//!     │                 └────────────────┘         └──────────┘
//!     │    weight 100-w ┌────────────────┐ selects ┌──────────┐
//!     └─────────────────▶ Service stable ├─────────▶ revision │
//!                       └────────────────┘         └──────────┘
//! ```
//!
//! What is there is an [`Arrangement`], and so is what is wanted. [`next_move`] names the one change that
//! comes next: the selector of a Service that carries no weight, or the weight, never both (rule 5).
//! Whether a weight may move is for the planner to say, which knows the pods behind the Services.
//! What carries the weight is a [`router::Router`]: a file for each kind.

mod cookie;
pub mod division;
pub mod foreign;
pub mod gateway_api;
pub mod istio;
pub mod nginx;
mod pair;
pub mod replicas;
pub mod router;
#[cfg(test)]
pub(crate) mod testing;
pub mod traefik;

use crate::model::revision::Revision;
use crate::model::weight::Weight;
use division::Division;

/// One of the two Services of a Rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Side {
    /// `<name>-stable`.
    Stable,
    /// `<name>-canary`.
    Canary,
}

impl Side {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Stable => Self::Canary,
            Self::Canary => Self::Stable,
        }
    }
}

/// Which revisions the Services select, and how the route divides requests between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrangement {
    /// What the stable Service selects.
    pub stable: Revision,
    /// What the canary Service selects.
    pub canary: Revision,
    /// What the canary Service gets.
    pub division: Division,
}

impl Arrangement {
    /// Everything goes to one revision, through the stable Service.
    pub fn all_to(revision: &Revision) -> Self {
        Self {
            stable: revision.clone(),
            canary: revision.clone(),
            division: Division::NONE,
        }
    }

    /// Share of the canary Service.
    pub fn weight(&self) -> Weight {
        self.division.weight
    }

    /// What a Service selects.
    pub fn selected_by(&self, side: Side) -> &Revision {
        match side {
            Side::Stable => &self.stable,
            Side::Canary => &self.canary,
        }
    }

    /// The share of a Service.
    pub fn share(&self, side: Side) -> Weight {
        match side {
            Side::Stable => self.weight().rest(),
            Side::Canary => self.weight(),
        }
    }

    /// The share of a revision, over both Services.
    pub fn share_of(&self, revision: &Revision) -> Weight {
        let part = |side| {
            let selected = self.selected_by(side) == revision;
            if selected {
                i64::from(self.share(side).percent())
            } else {
                0
            }
        };
        Weight::new(part(Side::Stable) + part(Side::Canary)).unwrap_or(Weight::FULL)
    }

    /// Whether a Service selects the revision, with weight or without.
    pub fn references(&self, revision: &Revision) -> bool {
        self.stable == *revision || self.canary == *revision
    }
}

/// One change to what is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Move {
    /// Nothing is left to do.
    Done,
    /// Let a Service that carries no weight select this revision.
    Select(Side, Revision),
    /// Give the canary Service this.
    Shift(Division),
}

/// The change that comes next on the way from `live` to `goal`.
///
/// # Guarantees
/// - A selector changes only while no request reaches its Service, and never together with a weight.
/// - The number of moves to any goal is at most seven.
pub fn next_move(live: &Arrangement, goal: &Arrangement) -> Move {
    if live.stable != goal.stable {
        return free_stable(live, goal);
    }
    if live.canary != goal.canary {
        if live.division.reaches_canary() {
            return Move::Shift(Division::NONE);
        }
        return Move::Select(Side::Canary, goal.canary.clone());
    }
    if live.division != goal.division {
        return Move::Shift(goal.division.clone());
    }
    Move::Done
}

/// The stable Service selects the wrong revision. It is swapped once everything goes through the other.
fn free_stable(live: &Arrangement, goal: &Arrangement) -> Move {
    if live.weight() == Weight::FULL {
        return Move::Select(Side::Stable, goal.stable.clone());
    }
    if live.canary == goal.stable {
        return Move::Shift(Division::of(Weight::FULL));
    }
    if !live.division.reaches_canary() {
        return Move::Select(Side::Canary, goal.stable.clone());
    }
    // Both carry weight and neither selects what is wanted: the stable one, which served so far, takes all.
    Move::Shift(Division::NONE)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn revision(name: &str) -> Revision {
        Revision::from_label(name)
    }

    fn division(percent: i64) -> Division {
        Division::of(Weight::new(percent).unwrap())
    }

    /// Requests with a header reach the canary too.
    fn routed(arrangement: Arrangement) -> Arrangement {
        let route = vec![division::Match::Header {
            name: "x-canary".into(),
            value: "yes".into(),
        }];
        let division = Division {
            route,
            ..arrangement.division
        };
        Arrangement {
            division,
            ..arrangement
        }
    }

    fn arrangement(stable: &str, canary: &str, percent: i64) -> Arrangement {
        Arrangement {
            stable: revision(stable),
            canary: revision(canary),
            division: division(percent),
        }
    }

    fn way(mut live: Arrangement, goal: &Arrangement) -> Vec<Move> {
        let mut moves = Vec::new();
        loop {
            let step = next_move(&live, goal);
            match &step {
                Move::Done => return moves,
                Move::Select(Side::Stable, revision) => live.stable = revision.clone(),
                Move::Select(Side::Canary, revision) => live.canary = revision.clone(),
                Move::Shift(division) => live.division = division.clone(),
            }
            moves.push(step);
            assert!(moves.len() <= 7, "{moves:?}");
        }
    }

    #[test]
    fn a_promotion_swaps_the_idle_service_and_gives_the_weight_back() {
        let moves = way(arrangement("a", "b", 100), &arrangement("b", "b", 0));
        assert_eq!(
            moves,
            [
                Move::Select(Side::Stable, revision("b")),
                Move::Shift(Division::NONE)
            ]
        );
    }

    #[test]
    fn an_abort_moves_the_weight_first() {
        let moves = way(arrangement("a", "b", 10), &arrangement("a", "a", 0));
        assert_eq!(
            moves,
            [
                Move::Shift(Division::NONE),
                Move::Select(Side::Canary, revision("a"))
            ]
        );
    }

    #[test]
    fn an_abort_after_the_swap_goes_back_through_the_canary_service() {
        let moves = way(arrangement("b", "b", 0), &arrangement("a", "a", 0));
        assert_eq!(
            moves,
            [
                Move::Select(Side::Canary, revision("a")),
                Move::Shift(division(100)),
                Move::Select(Side::Stable, revision("a")),
                Move::Shift(Division::NONE),
            ]
        );
    }

    proptest! {
        #[test]
        fn no_selector_changes_under_weight_and_every_goal_is_reached(
            (s, c, w, r) in (0..3usize, 0..3usize, 0..=100i64, any::<bool>()),
            (gs, gc, gw, gr) in (0..3usize, 0..3usize, 0..=100i64, any::<bool>()),
        ) {
            let names = ["a", "b", "c"];
            let plain = |arrangement| arrangement;
            let dress = |is_routed| if is_routed { routed } else { plain };
            let goal = dress(gr)(arrangement(names[gs], names[gc], gw));
            let mut live = dress(r)(arrangement(names[s], names[c], w));
            for step in way(live.clone(), &goal) {
                match step {
                    Move::Select(side, revision) => {
                        prop_assert_eq!(live.share(side), Weight::ZERO);
                        prop_assert!(side == Side::Stable || !live.division.reaches_canary());
                        match side {
                            Side::Stable => live.stable = revision,
                            Side::Canary => live.canary = revision,
                        }
                    }
                    Move::Shift(division) => live.division = division,
                    Move::Done => {}
                }
            }
            prop_assert_eq!(live, goal);
        }
    }
}
