//! What is tested, and what a look at the data says about it. No I/O.

pub use crate::analysis::api::compare::{Found, Worse};

/// The claim that is tested: *the canary is worse than stable by more than the tolerance*.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// Which way is worse.
    pub worse: Worse,
    /// By how much of stable the canary may be worse: `0.05` for 5 %.
    pub tolerance: f64,
    /// How often the claim may be accepted although it is false: `0.01` at confidence 0.99.
    pub alpha: f64,
}

impl Claim {
    /// What stable is multiplied with before the canary is compared with it.
    pub fn tolerated(&self) -> f64 {
        match self.worse {
            Worse::Higher => 1.0 + self.tolerance,
            Worse::Lower => 1.0 - self.tolerance,
        }
    }
}

/// What the data of all looks so far say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evidence {
    /// What was found.
    pub found: Found,
    /// By how much of stable the canary is higher (lower, if negative), as estimated: `0.12` for 12 %. Not a number when
    /// stable has nothing to compare with.
    pub shift: f64,
    /// The probability of data that speak so strongly for *worse* if the canary is not, small when it is worse. Of a
    /// ratio it holds however often one looks.
    pub p: f64,
}

/// Beyond this, nothing of a standard normal variable is left that matters.
const FAR: f64 = 37.0;

/// The probability that a standard normal variable is above `z`.
pub(super) fn upper_tail(z: f64) -> f64 {
    libm::erfc(z / std::f64::consts::SQRT_2) / 2.0
}

/// The value above which a standard normal variable is with this probability.
pub(super) fn upper_point(probability: f64) -> f64 {
    let (mut low, mut high) = (-FAR, FAR);
    // Halving the interval gives all digits there are, and is quick enough for what is asked a few times a minute.
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if upper_tail(middle) > probability {
            low = middle;
        } else {
            high = middle;
        }
    }
    f64::midpoint(low, high)
}
