//! Git over HTTP, as far as the operator speaks it: which commit a branch is at. No I/O.

pub mod refs;
