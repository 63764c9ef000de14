//! Testbed.

pub mod load;
