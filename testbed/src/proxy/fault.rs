//! Which requests a fault hits, and what it does to them. No I/O.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use http::Method;
use regex::Regex;

/// A fault: what happens to the `nth` matching request and to those after it, `times` in all.
#[derive(Debug, Clone)]
pub struct Fault {
    /// The requests that count.
    pub when: Match,
    /// The first matching request that is hit, counted from 1.
    pub nth: u64,
    /// How many matching requests are hit.
    pub times: u64,
    /// What happens to them.
    pub what: What,
}

/// What happens to a request that is hit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The proxy answers with this status and a Kubernetes `Status`; the server sees nothing.
    Status(u16),
    /// 429 with `Retry-After`; the server sees nothing.
    RetryAfter(Duration),
    /// A watch is told, as by the API server, that its version is too old: the client has to list
    /// again. The server sees nothing. (Not [`What::Status`] 410, which no API server answers to a
    /// watch; kube then asks for the same version forever.)
    Expired,
    /// No answer, the connection stays open; the server sees nothing.
    Hang,
    /// The connection is closed before an answer; the server sees nothing.
    Cut,
    /// The server gets the request and answers, then the connection is closed: a write that
    /// happened, whose answer is lost.
    CutAfter,
    /// The request is passed on after this time.
    Delay(Duration),
    /// The request goes to this address, over plain HTTP, as the API server's own proxy to Services has it: the path
    /// begins behind `/proxy`, and the credentials stay behind. The server sees nothing.
    PassTo(SocketAddr),
    /// The process gets SIGKILL when the server has answered with success, and before it can see
    /// the answer, or learn of it from a watch: it stands still meanwhile. Only requests that succeed
    /// count as matching.
    KillPid(u32),
}

/// Which requests: all conditions must hold.
#[derive(Debug, Clone, Default)]
pub struct Match {
    methods: Vec<Method>,
    has_to_write: bool,
    path: Option<Path>,
    user_agent: Option<String>,
}

#[derive(Debug, Clone)]
enum Path {
    Substring(String),
    Regex(Regex),
}

/// What a match looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) method: &'a Method,
    pub(super) path_and_query: &'a str,
    pub(super) user_agent: &'a str,
}

impl Fault {
    /// Hits the first matching request, once.
    pub fn new(when: Match, what: What) -> Self {
        Self {
            when,
            nth: 1,
            times: 1,
            what,
        }
    }

    /// The first matching request that is hit, counted from 1.
    pub fn nth(self, nth: u64) -> Self {
        Self { nth, ..self }
    }

    /// How many matching requests are hit.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Every matching request from the first on is hit.
    pub fn always(self) -> Self {
        self.times(u64::MAX)
    }

    /// Whether it hits the matching request of this number.
    fn hits(&self, number: u64) -> bool {
        number >= self.nth && number - self.nth < self.times
    }
}

impl What {
    /// Whether the server's answer decides if the request counts.
    fn needs_success(&self) -> bool {
        matches!(self, Self::KillPid(_))
    }
}

impl Match {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// Every write: POST, PUT, PATCH and DELETE, but for leases, events, reviews, tokens and dry
    /// runs. To hit a lease, match by method and path.
    pub fn writes() -> Self {
        Self {
            has_to_write: true,
            ..Self::default()
        }
    }

    /// Requests of this method; more calls allow more methods.
    pub fn method(mut self, method: Method) -> Self {
        self.methods.push(method);
        self
    }

    /// Requests whose path and query contain `part`.
    pub fn path(self, part: impl Into<String>) -> Self {
        Self {
            path: Some(Path::Substring(part.into())),
            ..self
        }
    }

    /// Requests whose path and query match the regular expression.
    ///
    /// # Errors
    ///
    /// Not a regular expression.
    pub fn path_regex(self, regex: &str) -> Result<Self> {
        let regex = Regex::new(regex).with_context(|| format!("not a regex: {regex}"))?;
        Ok(Self {
            path: Some(Path::Regex(regex)),
            ..self
        })
    }

    /// Requests whose user agent contains `part`.
    pub fn user_agent(self, part: impl Into<String>) -> Self {
        Self {
            user_agent: Some(part.into()),
            ..self
        }
    }

    pub(super) fn matches(&self, seen: Seen<'_>) -> bool {
        let is_path = self.path.as_ref().is_none_or(|path| match path {
            Path::Substring(part) => seen.path_and_query.contains(part),
            Path::Regex(regex) => regex.is_match(seen.path_and_query),
        });
        let is_agent = self
            .user_agent
            .as_ref()
            .is_none_or(|part| seen.user_agent.contains(part));
        (self.methods.is_empty() || self.methods.contains(seen.method))
            && (!self.has_to_write || is_write(seen.method, seen.path_and_query))
            && is_path
            && is_agent
    }
}

/// Whether a request changes the state of the cluster as a test sees it.
pub(super) fn is_write(method: &Method, path_and_query: &str) -> bool {
    let (path, query) = path_and_query
        .split_once('?')
        .unwrap_or((path_and_query, ""));
    let is_changing = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    let is_dry_run = query.split('&').any(|pair| pair.starts_with("dryRun="));
    let resource = resource(path);
    let is_noise = ["leases", "events"].contains(&resource) || resource.ends_with("reviews");
    is_changing && !is_dry_run && !is_noise && !path.ends_with("/token")
}

/// The plural in `/api/v1/[namespaces/x/]PLURAL/…` and `/apis/group/version/[namespaces/x/]PLURAL/…`.
fn resource(path: &str) -> &str {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let to_skip = if segments.next() == Some("apis") {
        2
    } else {
        1
    };
    let mut segments = segments.skip(to_skip);
    let first = segments.next().unwrap_or_default();
    let (_name, within) = (segments.next(), segments.next());
    match within {
        Some(within) if first == "namespaces" => within,
        Some(_) | None => first,
    }
}

/// A fault in place. Dropping this leaves it there.
#[derive(Debug, Clone)]
pub struct Injected(Arc<State>);

#[derive(Debug)]
struct State {
    fault: Fault,
    matched: AtomicU64,
    hits: AtomicU64,
    is_over: AtomicBool,
}

impl Injected {
    /// How many requests were hit.
    pub fn hits(&self) -> u64 {
        self.0.hits.load(Ordering::SeqCst)
    }

    /// How many requests matched, hit or not.
    pub fn matched(&self) -> u64 {
        self.0.matched.load(Ordering::SeqCst)
    }

    /// Takes the fault back.
    pub fn remove(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }
}

/// The faults in place, in the order of their injection.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<Vec<Arc<State>>>);

impl Faults {
    pub(super) fn add(&self, fault: Fault) -> Injected {
        let state = Arc::new(State {
            fault,
            matched: AtomicU64::new(0),
            hits: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
        });
        self.lock().push(Arc::clone(&state));
        Injected(state)
    }

    pub(super) fn clear(&self) {
        self.lock().clear();
    }

    /// What happens to a request that has just come in.
    pub(super) fn before(&self, seen: Seen<'_>) -> Option<What> {
        self.hit(seen, |what| !what.needs_success())
    }

    /// The process that dies if the server answers this request with success.
    pub(super) fn before_success(&self, seen: Seen<'_>) -> Option<u32> {
        let faults = self.lock();
        faults.iter().find_map(|state| {
            let What::KillPid(pid) = state.fault.what else {
                return None;
            };
            let is_over = state.is_over.load(Ordering::SeqCst);
            let number = state.matched.load(Ordering::SeqCst) + 1;
            let fault = &state.fault;
            (!is_over && fault.when.matches(seen) && fault.hits(number)).then_some(pid)
        })
    }

    /// What happens to a request that the server has just answered with success.
    pub(super) fn after_success(&self, seen: Seen<'_>) -> Option<What> {
        self.hit(seen, What::needs_success)
    }

    /// Counts the request for every fault it matches; the first whose turn it is hits.
    fn hit(&self, seen: Seen<'_>, is_due: impl Fn(&What) -> bool) -> Option<What> {
        let mut faults = self.lock();
        faults.retain(|state| !state.is_over.load(Ordering::SeqCst));
        let mut hit = None;
        for state in faults.iter() {
            let fault = &state.fault;
            if !is_due(&fault.what) || !fault.when.matches(seen) {
                continue;
            }
            let number = state.matched.fetch_add(1, Ordering::SeqCst) + 1;
            if fault.hits(number) && hit.is_none() {
                state.hits.fetch_add(1, Ordering::SeqCst);
                hit = Some(fault.what.clone());
            }
        }
        hit
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Arc<State>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROLLOUT: &str = "/apis/slipway.dev/v1alpha1/namespaces/shop/rollouts/api";

    fn seen<'a>(method: &'a Method, path_and_query: &'a str) -> Seen<'a> {
        Seen {
            method,
            path_and_query,
            user_agent: "slipway/0.1",
        }
    }

    #[test]
    fn all_conditions_of_a_match_must_hold() {
        let status = format!("{ROLLOUT}/status?fieldManager=slipway");
        let update = seen(&Method::PATCH, &status);
        for (name, when, expected) in [
            ("any", Match::any(), true),
            ("method", Match::any().method(Method::PATCH), true),
            (
                "one of two methods",
                Match::any().method(Method::PUT).method(Method::PATCH),
                true,
            ),
            (
                "other method",
                Match::any().method(Method::GET).path("rollouts"),
                false,
            ),
            ("path", Match::any().path("/rollouts/api/"), true),
            ("query", Match::writes().path("fieldManager=slipway"), true),
            ("other path", Match::any().path("/services/"), false),
            (
                "regex",
                Match::any().path_regex("/rollouts/[^/]+/status").unwrap(),
                true,
            ),
            (
                "other regex",
                Match::any().path_regex("/rollouts/[^/]+$").unwrap(),
                false,
            ),
            ("agent", Match::any().user_agent("slipway"), true),
            ("other agent", Match::writes().user_agent("kubectl"), false),
        ] {
            assert_eq!(when.matches(update), expected, "{name}");
        }
    }

    #[test]
    fn bookkeeping_is_no_write() {
        let pod = "/api/v1/namespaces/shop/pods/a";
        for (method, path, expected) in [
            (&Method::GET, ROLLOUT, false),
            (&Method::PATCH, ROLLOUT, true),
            (&Method::DELETE, pod, true),
            (
                &Method::POST,
                "/api/v1/namespaces/shop/pods/a/eviction",
                true,
            ),
            (&Method::POST, "/api/v1/namespaces", true),
            (&Method::DELETE, "/api/v1/namespaces/events", true),
            (
                &Method::POST,
                "/api/v1/namespaces/shop/events?fieldManager=x",
                false,
            ),
            (
                &Method::PATCH,
                "/apis/events.k8s.io/v1/namespaces/shop/events/x",
                false,
            ),
            (
                &Method::PUT,
                "/apis/coordination.k8s.io/v1/namespaces/s/leases/x",
                false,
            ),
            (
                &Method::POST,
                "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
                false,
            ),
            (
                &Method::POST,
                "/api/v1/namespaces/shop/serviceaccounts/ci/token",
                false,
            ),
            (
                &Method::PATCH,
                "/api/v1/namespaces/shop/pods/a?dryRun=All",
                false,
            ),
        ] {
            assert_eq!(is_write(method, path), expected, "{method} {path}");
        }
    }

    #[test]
    fn a_fault_hits_from_the_nth_match_as_often_as_asked() {
        let faults = Faults::default();
        let injected = faults.add(Fault::new(Match::writes(), What::Cut).nth(2).times(2));
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.before(seen(&Method::PUT, ROLLOUT)).is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
        assert_eq!((injected.matched(), injected.hits()), (5, 2));
        assert_eq!(faults.before(seen(&Method::GET, ROLLOUT)), None);
        assert_eq!(injected.matched(), 5);
    }

    #[test]
    fn the_first_fault_wins_but_all_count() {
        let faults = Faults::default();
        faults.add(Fault::new(Match::any(), What::Cut));
        let second = faults.add(Fault::new(Match::any(), What::Hang).always());
        assert_eq!(faults.before(seen(&Method::GET, ROLLOUT)), Some(What::Cut));
        assert_eq!(faults.before(seen(&Method::GET, ROLLOUT)), Some(What::Hang));
        assert_eq!((second.matched(), second.hits()), (2, 1));
        second.remove();
        assert_eq!(faults.before(seen(&Method::GET, ROLLOUT)), None);
    }

    #[test]
    fn a_kill_counts_successes_only() {
        let faults = Faults::default();
        faults.add(Fault::new(Match::writes(), What::KillPid(1)).nth(2));
        let write = seen(&Method::PUT, ROLLOUT);
        assert_eq!(faults.before(write), None);
        assert_eq!(faults.after_success(write), None);
        assert_eq!(faults.before(write), None);
        assert_eq!(faults.after_success(write), Some(What::KillPid(1)));
    }
}
