//! Leader election by Lease: one process works, the others keep their caches warm. Talks to the API server.
//!
//! The rules are those of Kubernetes' own components, a little quicker: a lease of 10 s, renewed every 2 s;
//! who has not renewed for 7 s, counted from the request that last succeeded, stops at once (fail-stop) and so
//! before anybody else may start. A lease counts as expired when *we* have not seen it change for its duration, on a monotonic clock; clocks of different
//! machines are never compared. A leader that ends hands over by clearing the holder.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info, warn};

use crate::clock::Clock;
use crate::error::chain;

/// How long a lease holds without renewal. With two retries on top, after a crash the next one leads within 15 s.
pub const LEASE: Duration = Duration::from_secs(10);
/// A leader that could not renew for this long stops.
pub const RENEW_DEADLINE: Duration = Duration::from_secs(7);
/// Time between two tries. Short enough that a hand-over takes less than 3 s.
pub const RETRY: Duration = Duration::from_secs(2);
/// Longest wait for one answer. Short enough that a leader one of whose requests hangs has time for another, which takes
/// another connection.
pub const CALL: Duration = Duration::from_secs(3);

/// What we last saw in the Lease, and when on our own clock it last changed.
#[derive(Clone, Debug)]
struct Sighting {
    spec: LeaseSpec,
    changed: Instant,
}

/// What to do about a Lease. Pure, see [`decide`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Move {
    /// It is ours, or free, or expired: write our name.
    Take,
    /// Somebody else has it.
    Wait,
}

fn decide(spec: &LeaseSpec, identity: &str, unchanged_for: Duration) -> Move {
    match spec.holder_identity.as_deref() {
        None | Some("") => Move::Take,
        Some(holder) if holder == identity => Move::Take,
        Some(_) => {
            let seconds = spec.lease_duration_seconds.unwrap_or_default().max(0);
            let duration = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
            if unchanged_for > duration {
                Move::Take
            } else {
                Move::Wait
            }
        }
    }
}

/// A candidate for one Lease.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: Clock,
    seen: Option<Sighting>,
    /// The lease as we wrote it last, while it is ours.
    written: Option<Lease>,
    /// When the last request began that made or kept the lease ours.
    renewed: Instant,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the Lease is no object of a plan; both writes are guarded"
)]
impl Candidate {
    /// A candidate with a name that no other process has.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: String,
        clock: Clock,
    ) -> Self {
        let api = Api::namespaced(client, namespace);
        Self {
            api,
            name: name.to_owned(),
            identity,
            clock,
            seen: None,
            written: None,
            renewed: Instant::now(),
        }
    }

    /// Waits until this process leads.
    pub async fn win(&mut self) {
        let mut tick = tokio::time::interval(RETRY);
        loop {
            tick.tick().await;
            match timeout(CALL, self.attempt()).await {
                Ok(Ok(true)) => {
                    info!(lease = self.name, identity = self.identity, "leading");
                    return;
                }
                Ok(Ok(false)) => debug!(lease = self.name, "somebody else leads"),
                Ok(Err(error)) => warn!(lease = self.name, error = chain(&error), "lease not read"),
                Err(_) => warn!(lease = self.name, "no answer about the lease"),
            }
        }
    }

    /// Keeps the lead; returns when it is lost.
    ///
    /// # Guarantees
    /// It returns within `RENEW_DEADLINE` after the last request that renewed the lease was *sent*, whether the
    /// server refuses, is slow or says nothing at all.
    pub async fn keep(&mut self) {
        let mut tick = tokio::time::interval(RETRY);
        loop {
            let end = self.renewed + RENEW_DEADLINE;
            if timeout_at(end, tick.tick()).await.is_err() || Instant::now() >= end {
                return;
            }
            let patience = end.min(Instant::now() + CALL);
            match timeout_at(patience, self.attempt()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => {
                    warn!(lease = self.name, "somebody else took the lead");
                    return;
                }
                Ok(Err(error)) => warn!(
                    lease = self.name,
                    error = chain(&error),
                    "lease not renewed"
                ),
                Err(_) => warn!(lease = self.name, "no answer about the lease"),
            }
        }
    }

    /// Hands over: the next candidate need not wait for the lease to run out.
    pub async fn release(&mut self) {
        let cleared = async {
            let mut lease = self.api.get(&self.name).await?;
            let spec = lease.spec.get_or_insert_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
            self.api
                .replace(&self.name, &PostParams::default(), &lease)
                .await
                .map(|_| ())
        };
        match timeout(CALL, cleared).await {
            Ok(Ok(())) => info!(lease = self.name, "lead handed over"),
            Ok(Err(error)) => warn!(
                lease = self.name,
                error = chain(&error),
                "lead not handed over"
            ),
            Err(_) => warn!(lease = self.name, "lead not handed over: no answer"),
        }
    }

    /// One try. True: the lease is ours, renewed now.
    async fn attempt(&mut self) -> Result<bool, kube::Error> {
        let start = Instant::now();
        let is_ours = self.try_to_take().await?;
        if is_ours {
            self.renewed = start;
        }
        Ok(is_ours)
    }

    async fn try_to_take(&mut self) -> Result<bool, kube::Error> {
        // Nobody else writes a lease that is ours: most often one request is enough. Taken, not borrowed: after one that
        // was not answered nobody knows what the server has.
        if let Some(ours) = self.written.take()
            && self.write(ours).await?
        {
            return Ok(true);
        }
        let Some(lease) = self.api.get_opt(&self.name).await? else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                ..ObjectMeta::default()
            };
            let lease = Lease {
                metadata,
                spec: Some(self.renewed(&LeaseSpec::default())),
            };
            let created = self.api.create(&PostParams::default(), &lease).await;
            self.written = unless_too_late(created)?;
            return Ok(self.written.is_some());
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let unchanged_for = self.sight(&spec);
        if decide(&spec, &self.identity, unchanged_for) == Move::Wait {
            return Ok(false);
        }
        self.write(lease).await
    }

    /// Writes our name, unless somebody else wrote since. Whether it did.
    async fn write(&mut self, mut lease: Lease) -> Result<bool, kube::Error> {
        let before = lease.spec.take().unwrap_or_default();
        lease.spec = Some(self.renewed(&before));
        let params = PostParams::default();
        let replaced = self.api.replace(&self.name, &params, &lease).await;
        self.written = unless_too_late(replaced)?;
        Ok(self.written.is_some())
    }

    /// Notes what the lease says and tells for how long it has said so.
    fn sight(&mut self, spec: &LeaseSpec) -> Duration {
        let now = Instant::now();
        match &self.seen {
            Some(seen) if seen.spec == *spec => now.duration_since(seen.changed),
            _ => {
                self.seen = Some(Sighting {
                    spec: spec.clone(),
                    changed: now,
                });
                Duration::ZERO
            }
        }
    }

    fn renewed(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = self.clock.now();
        let is_ours = before.holder_identity.as_deref() == Some(self.identity.as_str());
        let since = before.acquire_time.clone().filter(|_| is_ours);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: Some(since.unwrap_or_else(|| micro(now))),
            renew_time: Some(micro(now)),
            lease_transitions: Some(if is_ours {
                transitions
            } else {
                transitions + 1
            }),
            ..before.clone()
        }
    }
}

/// Micro seconds, which is what a Lease holds.
fn micro(now: Timestamp) -> MicroTime {
    let rounded = Timestamp::from_microsecond(now.as_microsecond());
    MicroTime(rounded.unwrap_or(now))
}

/// What was written. A conflict, or a lease that appeared or went meanwhile, means that somebody else was faster.
fn unless_too_late(written: Result<Lease, kube::Error>) -> Result<Option<Lease>, kube::Error> {
    match written {
        Ok(lease) => Ok(Some(lease)),
        Err(kube::Error::Api(status))
            if status.is_conflict() || status.is_already_exists() || status.is_not_found() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(holder: &str) -> LeaseSpec {
        LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(15),
            ..LeaseSpec::default()
        }
    }

    #[test]
    fn a_free_lease_is_taken() {
        assert_eq!(
            decide(&LeaseSpec::default(), "me", Duration::ZERO),
            Move::Take
        );
        assert_eq!(decide(&held_by(""), "me", Duration::ZERO), Move::Take);
    }

    #[test]
    fn our_own_lease_is_renewed() {
        assert_eq!(decide(&held_by("me"), "me", Duration::ZERO), Move::Take);
    }

    #[test]
    fn anothers_lease_is_respected_until_it_has_not_changed_for_its_duration() {
        assert_eq!(
            decide(&held_by("other"), "me", Duration::from_secs(15)),
            Move::Wait
        );
        assert_eq!(
            decide(&held_by("other"), "me", Duration::from_secs(16)),
            Move::Take
        );
    }

    #[test]
    fn a_leader_stops_before_anybody_else_may_start() {
        assert!(RENEW_DEADLINE + RETRY < LEASE);
    }

    #[test]
    fn after_a_crash_the_next_one_leads_within_fifteen_seconds() {
        // It may have looked just before the last renewal, and just before the lease ran out.
        assert!(LEASE + RETRY + RETRY < Duration::from_secs(15));
    }

    /// A server that refuses until `refuses_for` is over, and then says nothing any more.
    fn failing_server(refuses_for: Duration) -> Client {
        let start = Instant::now();
        let service = tower::service_fn(move |_: http::Request<kube::client::Body>| async move {
            if start.elapsed() >= refuses_for {
                std::future::pending::<()>().await;
            }
            Err::<http::Response<kube::client::Body>, _>(std::io::Error::other("refused"))
        });
        Client::new(service, "default")
    }

    #[test]
    fn a_leader_whose_request_hangs_has_time_for_another() {
        assert!(RETRY + CALL + CALL / 2 < RENEW_DEADLINE);
    }

    #[tokio::test(start_paused = true)]
    async fn however_the_server_fails_a_leader_stops_in_time() {
        for refuses_for in [0, 1, 5, 6, 7, 60].map(Duration::from_secs) {
            let client = failing_server(refuses_for);
            let identity = "me".to_owned();
            let mut leader = Candidate::new(client, "ns", "lease", identity, Clock::default());
            let start = Instant::now();
            leader.keep().await;
            let took = start.elapsed();
            let limit = RENEW_DEADLINE + Duration::from_millis(10);
            assert!(took <= limit, "{took:?} after refusing for {refuses_for:?}");
        }
    }
}
