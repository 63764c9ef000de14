//! Git over HTTP, as far as the operator speaks it: which commit a branch is at, what a file of it says, what a commit changes,
//! and a new commit of a file. No I/O.

pub mod changes;
pub mod object;
pub mod push;
pub mod refs;
