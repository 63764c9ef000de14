//! Testbed.

pub mod load;
pub mod proxy;
