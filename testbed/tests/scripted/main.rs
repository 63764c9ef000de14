//! Scripted nodes and the fault-injecting proxy on a real control plane. One control plane for all
//! tests, with three scripted nodes that reach it through a proxy; each test has a namespace.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests may fail at once, and set their scene themselves"
)]

mod cluster;
mod jobs;
mod lifecycle;
mod proxy;
mod servers;
