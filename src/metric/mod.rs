//! Measuring and judging: providers render a request and read its reply, `judge` counts; `history` is what would have been
//! measured in the past. No I/O.

pub mod compare;
pub mod history;
pub mod judge;
pub mod placeholder;
pub mod provider;
pub mod threshold;

/// One measurement, read.
#[derive(Clone, Debug, PartialEq)]
pub enum Sample {
    /// A number, which the metric's conditions judge.
    Value(f64),
    /// Several numbers, in the order of their times: each of them is judged, and the sample is as good as the worst.
    Values(Vec<f64>),
    /// A verdict that was reached elsewhere, and its sentence: there is no number to judge.
    Verdict {
        /// Whether it is a good one.
        is_good: bool,
        /// Why.
        message: String,
    },
    /// A comparison of the canary with stable, as it stands.
    Compared(compare::look::Look),
    /// The query matched nothing, or divided nothing by nothing. Never 0.
    Empty,
    /// There is no answer to rely on: the sentence says why.
    Error(String),
}
