//! SLOs: what is counted (`events`), over which times (`window`), what follows from the counts (`formula`), what is asked of
//! Prometheus (`query`, `reading`), the rules that Prometheus evaluates by itself (`rule`), and whether their alerts would be heard (`rehearsal`). No I/O.
//!
//! Queries and rules are made of the same expressions, so what a status says is what the rules say. Everything is counted
//! in requests: a bad one at night weighs as much as a bad one by day, and no more. `docs/slos.md` has it in words.

pub mod events;
pub mod formula;
pub mod query;
pub mod reading;
pub mod rehearsal;
pub mod rule;
pub mod spec;
pub mod window;

#[cfg(test)]
pub mod testing;

pub use spec::{Row, Slo};
pub use window::Window;
