//! Git over HTTP, as far as the operator speaks it: which commit a branch is at, and what a file of it says. No I/O.

pub mod object;
pub mod refs;
