//! How requests are divided between the two Services. No I/O.

use std::fmt;

use crate::model::weight::Weight;

/// What routers carry: a share, and what comes on top of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Division {
    /// Share of the canary Service.
    pub weight: Weight,
    /// Requests that go to the canary Service whatever the weight: those that have all of these. None where empty.
    pub route: Vec<Match>,
    /// Share of the requests of which the canary Service gets a copy, whose answers nobody sees.
    pub mirror: Weight,
}

/// Something that a request has. Lists of them are in order, because some routers keep none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Match {
    /// A header with exactly this value.
    Header {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A cookie with exactly this value.
    Cookie {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// As people read it in a list of steps.
impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, value } => write!(f, "header {name}={value}"),
            Self::Cookie { name, value } => write!(f, "cookie {name}={value}"),
        }
    }
}

impl Division {
    /// Everything to the stable Service.
    pub const NONE: Self = Self {
        weight: Weight::ZERO,
        route: Vec::new(),
        mirror: Weight::ZERO,
    };

    /// A share, and nothing on top of it.
    pub fn of(weight: Weight) -> Self {
        Self {
            weight,
            ..Self::NONE
        }
    }

    /// Whether any request reaches the canary Service.
    pub fn reaches_canary(&self) -> bool {
        *self != Self::NONE
    }

    /// Whether it has something on top of the share that `other` has not.
    pub fn adds_to(&self, other: &Self) -> bool {
        self.mirror > other.mirror || (!self.route.is_empty() && self.route != other.route)
    }

    /// Pods out of `replicas` that the canary needs for it. Whatever is routed by what it has is taken to be little.
    pub fn need(&self, replicas: i32) -> i32 {
        let routed = i32::from(!self.route.is_empty());
        let share = self.weight.need(replicas).max(self.mirror.need(replicas));
        share.max(routed.min(replicas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weight(percent: i64) -> Weight {
        Weight::new(percent).unwrap()
    }

    fn route() -> Vec<Match> {
        vec![Match::Header {
            name: "x-canary".into(),
            value: "yes".into(),
        }]
    }

    #[test]
    fn a_copy_needs_as_many_pods_as_a_share_and_a_route_needs_one() {
        let mirror = Division {
            mirror: weight(50),
            ..Division::of(weight(10))
        };
        assert_eq!(mirror.need(4), 2);
        let routed = Division {
            route: route(),
            ..Division::NONE
        };
        assert_eq!(routed.need(4), 1);
        assert_eq!(routed.need(0), 0);
        assert_eq!(Division::of(weight(100)).need(4), 4);
    }

    #[test]
    fn what_comes_on_top_counts_as_reaching_the_canary() {
        assert!(!Division::NONE.reaches_canary());
        let routed = Division {
            route: route(),
            ..Division::NONE
        };
        assert!(routed.reaches_canary());
        assert!(routed.adds_to(&Division::of(weight(20))));
        assert!(!Division::of(weight(20)).adds_to(&routed));
    }
}
