//! Git over HTTP, as far as the operator speaks it: which commit a branch is at, what a file of it says, and what a commit changes. No I/O.

pub mod changes;
pub mod object;
pub mod refs;
