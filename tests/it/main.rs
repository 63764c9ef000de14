//! Integration tests: against a real API server, unless a test says otherwise.
//!
//! `make test` starts one and names it in `SLIPWAY_TEST_KUBECONFIG`. Each test has a namespace of its own
//! and waits for states, never for time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    clippy::too_many_lines,
    clippy::wildcard_enum_match_arm,
    reason = "a test may fail loudly, and plays people and other controllers"
)]

mod adopt; // a Deployment that is taken over, and given back
mod analysis; // what is measured of a Rollout, by each kind of analysis
mod cache; // caches of stages in real registries
mod chart; // what the chart renders, and whether a cluster takes it
mod cli; // the kubectl plugin, as a process
mod cluster; // the cluster that all of them run against: clients, namespaces, waiting
mod compare; // comparisons with stable, with a scripted Prometheus
mod config; // Secrets that go with a revision
mod crd; // what the API server accepts and refuses, kind by kind
mod dashboard; // what the dashboard answers to whom, and how it is in a browser
mod definition; // what a repository adds to its Pipeline, with a real git server
mod environment; // Environments on scripted nodes: promotion, approval, the way back
mod exchange; // GitHub and GitLab, by what they publish of their APIs
mod fault; // a Rollout whose operator is killed, or whose API server fails, at every write
mod gitea; // a real Gitea: pushes, pull requests, merges, and what it is told of them
mod gitops; // what Argo CD, Flux and Helm make of our objects, by the libraries that they are made of
mod install; // what comes with an installation: rights in one namespace, its check, and the way out
mod ledger; // a run whose operator is killed at every write; what is done at most once is done once
mod leftover; // what runs leave in registries, and what of it goes with them
mod lost; // a run whose node is gone
mod metric; // where metrics come from: Prometheus behind TLS, servers that hang, Jobs
mod mirror; // an Environment whose Rollouts are in another cluster
mod monitor; // metrics, alerts and dashboards, read by promtool
mod operator; // the operator as a process, and the nodes that its pods run on
mod pipeline; // a Pipeline, from a push to a Release, on scripted nodes
mod plugin; // the kubectl plugin, as tests run it
mod policy; // who may write what
mod preview; // previews of pull requests, on scripted nodes
mod process; // the operator as a process: election, health, start-up errors
mod prometheus; // a real Prometheus, with a past
mod provider; // what a run tells the provider of its repository
mod publish; // what is handed out, to registries of packages
mod receiver; // pods of stages that call the operator, with real tokens
mod release; // what is packed for people, from programs that were built
mod replay; // metrics of the past, read from a real Prometheus and judged
mod restart; // a Rollout whose pods somebody wants new
mod rollout; // a Rollout on scripted nodes
mod router; // routers of several kinds at once, on their real definitions
mod sample; // what is shown to people as an example
mod server; // servers on this machine, which play what is outside of a cluster
mod slo; // the rules of SLOs, evaluated by Prometheus
mod stage; // stages with a matrix, conditions, retries, and what runs always, on scripted nodes
mod supply; // what is signed, in real registries
mod trigger; // what starts runs: signed deliveries, polling, whose turn it is
mod upgrade; // definitions that are replaced under promotions, on a cluster of its own
mod version; // versions: tags, commits and notes, with a real git server
