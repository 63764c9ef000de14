//! Git over HTTP, as far as the operator speaks it: which commit a branch is at, what a file of it says, and a new commit of
//! such a file. No I/O.

pub mod object;
pub mod push;
pub mod refs;
