//! End to end: the operator in pods of a real node, installed from its chart, with a real gateway, a real Prometheus
//! and a constant load. A lost request is a failed test.
//!
//! `make test` runs these three at a time on one node. Each has a namespace and a host name of its own.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test may fail loudly, and plays people and other controllers"
)]

mod app; // the sample application as a Rollout, and requests to it
mod cluster; // the node, the operator on it, and the images of the sample
mod film; // what a watch saw, and when

mod acceptance; // the whole of it, from commits to production; the longest, and first by its name
mod adopt; // a Deployment that is taken over, and given back
mod analysis; // slow answers, no answers, no requests, a value that flaps
mod back; // ways back: aborts at each step, and the version before
mod build; // images, built in pods: the same twice, and from a cache; and packages
mod canary; // a change under load, good and bad
mod change; // what comes in between: other versions, other sizes, versions that do not start
mod check; // what the operator asks itself once a Release runs
mod compare; // a canary beside a stable that is ill, and one beside a stable that is well
mod config; // ConfigMaps and Secrets that go with a revision, and an autoscaler
mod deletion; // a Rollout that goes in the middle of a change
mod envoy; // copies and sessions, with Envoy
mod fault; // what is taken from stages: pods, processes, repositories, registries
mod gitops; // Argo CD and Flux, which take back what is written into objects of people's
mod grpc; // calls of gRPC, and their route
mod hostile; // names that are commands, on their way into pods
mod incident; // alerts of a real Alertmanager, and the way back from them
mod keep; // what gets too old, and what is stopped
mod library; // a Python library with its tools, on three releases of Python
mod logs; // what stages say, and that it is kept
mod migrate; // a database that is migrated before the traffic moves
mod operator; // an operator that dies or hands over in the middle of a change
mod pod; // services, secrets, parameters and caches of stages
mod preview; // previews of pull requests
mod ratio; // weights without a router
mod record; // a status that is lost, a spec that cannot be
mod router; // what divides requests
mod sick; // a stable version that is unwell, and the one that cures it
mod slo; // error budgets, and promotions that burn them

mod rights; // what the operator may do, and does; has to run after all others
mod strategy; // blue-green, rolling and the rest, and people who step in
mod supply; // what is signed, and who asks for it
mod workflow; // the samples of whole workflows, with their scripts
