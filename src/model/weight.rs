//! Traffic weights: the share of requests that a revision gets. No I/O.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Percent of the traffic, 0 to 100.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Weight(u8);

impl Weight {
    /// No traffic.
    pub const ZERO: Self = Self(0);
    /// All traffic.
    pub const FULL: Self = Self(100);

    /// A weight, or `None` above 100 or below 0.
    pub fn new(percent: i64) -> Option<Self> {
        u8::try_from(percent)
            .ok()
            .filter(|percent| *percent <= 100)
            .map(Self)
    }

    /// What a part is of itself and the rest, to the nearest percent; `None` where both are nothing.
    pub fn share(part: i64, rest: i64) -> Option<Self> {
        let total = part.checked_add(rest).filter(|total| *total > 0)?;
        Self::new(part.checked_mul(100)?.checked_add(total / 2)? / total)
    }

    /// Percent, 0 to 100.
    pub fn percent(self) -> u8 {
        self.0
    }

    /// What is left for the other side.
    #[must_use]
    pub fn rest(self) -> Self {
        Self(100 - self.0)
    }

    /// Pods out of `replicas` that carry this share, rounded up: no pod gets more than its part.
    pub fn need(self, replicas: i32) -> i32 {
        let part = i64::from(replicas.max(0)) * i64::from(self.0);
        i32::try_from(part.div_euclid(100) + i64::from(part % 100 != 0)).unwrap_or(i32::MAX)
    }

    /// The most pods out of `replicas` that have this share in whole percent: one of three has 33 %.
    pub fn most(self, replicas: i32) -> i32 {
        let next = i64::from(replicas.max(0)) * (i64::from(self.0) + 1);
        let most = next.div_euclid(100) + i64::from(next % 100 != 0) - 1;
        i32::try_from(most)
            .unwrap_or(i32::MAX)
            .clamp(0, replicas.max(0))
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", self.0)
    }
}

/// How traffic is divided between the stable revision and the canary. Always sums to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    canary: Weight,
}

impl Split {
    /// The split that gives the canary this weight and stable the rest.
    pub fn to_canary(canary: Weight) -> Self {
        Self { canary }
    }

    /// The canary's share.
    pub fn canary(self) -> Weight {
        self.canary
    }

    /// The stable revision's share.
    pub fn stable(self) -> Weight {
        self.canary.rest()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_pods_is_rounded_up() {
        let weight = |percent| Weight::new(percent).unwrap();
        assert_eq!(weight(0).need(10), 0);
        assert_eq!(weight(1).need(10), 1);
        assert_eq!(weight(25).need(4), 1);
        assert_eq!(weight(26).need(4), 2);
        assert_eq!(weight(100).need(7), 7);
        assert_eq!(weight(50).need(-3), 0);
    }

    #[test]
    fn a_share_in_whole_percent_stands_for_whole_pods() {
        for replicas in 1..=300 {
            for pods in 0..=replicas {
                let share = Weight::new(i64::from(pods) * 100 / i64::from(replicas)).unwrap();
                assert!(share.most(replicas) >= pods, "{pods} of {replicas}");
                let is_exact = replicas <= 100;
                assert!(
                    !is_exact || share.most(replicas) == pods,
                    "{pods} of {replicas}"
                );
            }
        }
        assert_eq!(Weight::FULL.most(0), 0);
    }

    #[test]
    fn a_part_of_anything_is_a_share() {
        let share = |part, rest| Weight::share(part, rest).map(Weight::percent);
        assert_eq!(share(1, 2), Some(33));
        assert_eq!(share(2, 1), Some(67));
        assert_eq!(share(0, 5), Some(0));
        assert_eq!(share(0, 0), None);
        assert_eq!(share(i64::MAX, 1), None);
    }

    #[test]
    fn weights_outside_of_a_percentage_do_not_exist() {
        assert_eq!(Weight::new(101), None);
        assert_eq!(Weight::new(-1), None);
        assert_eq!(Weight::new(100), Some(Weight::FULL));
    }
}
