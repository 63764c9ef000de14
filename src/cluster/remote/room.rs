//! A namespace of another cluster: one watch of its Rollouts, and a question now and then how mirrors are there and whether the cluster
//! answers at all. Talks to the API server of that cluster.
//!
//! ```text
//! asked and well ──► Known, once the watch has listed everything since
//! asked in vain  ──► Away; what was listed before counts for nothing any more
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::{Stream, StreamExt};
use kube::api::{DynamicObject, ListParams};
use kube::runtime::watcher::{self, Event};
use kube::{Api, ResourceExt};
use serde_json::Value;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::CALL;
use crate::clock::Clock;
use crate::cluster::Cluster;
use crate::cluster::caches::Caches;
use crate::cluster::client;
use crate::cluster::watch::Watchable;
use crate::environment::api::Environment;
use crate::environment::mirror::kubeconfig::Reach;
use crate::environment::mirror::{Live, State, Trouble};
use crate::error::chain;
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::Target;
use crate::model::object::ObjectKind;
use crate::model::place::Place;
use crate::model::raw::Raw;
use crate::rollout::api::{Rollout, RolloutSpec};

/// How often a cluster that answers is asked.
const WELL: Duration = Duration::from_secs(20);
/// How soon one that does not is asked again, and how seldom in the end.
const AWAY: Duration = Duration::from_secs(1);
const AWAY_AT_MOST: Duration = Duration::from_secs(15);
/// How long to connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// A namespace of another cluster.
pub(super) struct Room {
    place: Place,
    /// Tells kubeconfigs apart.
    mark: String,
    /// The handle on that cluster; its caches have what is known of this namespace.
    there: Cluster,
    /// Who is woken.
    hub: Caches,
    inside: Mutex<Inside>,
    /// Has the cluster asked now.
    asked: Notify,
    /// Has the watch begin anew.
    renewed: Notify,
    stop: CancellationToken,
}

/// What changes.
#[derive(Default)]
struct Inside {
    /// The Environments that have their mirror here, each with the Rollouts that it lists.
    named: BTreeMap<Key, BTreeSet<String>>,
    health: Health,
    /// Names of the mirrors that were asked for when it was last well.
    known: BTreeSet<String>,
    /// How often a list was wanted, and the last of these that there was.
    wanted: u64,
    listed: Option<u64>,
    failures: u32,
    /// What was merged into mirrors without effect, by their names, and at which version.
    vain: BTreeMap<String, (String, Value)>,
}

#[derive(Clone, Default, PartialEq)]
enum Health {
    #[default]
    Unknown,
    Well,
    Away(Trouble, String),
}

impl Room {
    /// A room that nothing is done in yet.
    pub(super) fn new(
        hub: &Cluster,
        place: Place,
        mark: String,
        reach: Reach,
    ) -> Result<Self, String> {
        let config = config(reach, &place);
        let metrics = hub.metrics().clone();
        let http = hub.http.clone();
        let client = client::connect_guarded(config, metrics.clone(), http.egress());
        let client = client
            .map_err(|_| "its certificates, its key or its token cannot be used".to_owned())?;
        Ok(Self {
            there: Cluster::new(client, http, metrics, Clock::default()),
            hub: hub.caches.clone(),
            place,
            mark,
            inside: Mutex::default(),
            asked: Notify::new(),
            renewed: Notify::new(),
            stop: CancellationToken::new(),
        })
    }

    pub(super) fn is_of(&self, mark: &str) -> bool {
        self.mark == mark
    }

    /// The handle on that cluster.
    pub(super) fn there(&self) -> &Cluster {
        &self.there
    }

    /// Has the cluster asked how it is, now.
    pub(super) fn ask(&self) {
        self.asked.notify_one();
    }

    /// What ends its work.
    pub(super) fn end(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Ends it. Those who are still in it look for the next one.
    pub(super) fn close(&self) {
        self.stop.cancel();
        let all: Vec<Key> = self.inside().named.keys().cloned().collect();
        self.wake(&all);
    }

    /// Takes an Environment out; whether nobody is left.
    pub(super) fn is_empty_without(&self, of: &Key) -> bool {
        let mut inside = self.inside();
        inside.named.remove(of);
        inside.named.is_empty()
    }

    /// What is known here, for an Environment that lists these Rollouts.
    pub(super) fn look(&self, of: &Key, rollouts: &BTreeSet<String>) -> State {
        let mut inside = self.inside();
        let before = inside.named.insert(of.clone(), rollouts.clone());
        if before.is_none() {
            self.asked.notify_one();
        }
        // What nobody named before was not kept.
        let is_new = |name: &String| before.as_ref().is_none_or(|known| !known.contains(name));
        if rollouts.iter().any(is_new) {
            inside.wanted += 1;
            self.renewed.notify_one();
        }
        let is_listed = inside.listed == Some(inside.wanted);
        match &inside.health {
            Health::Away(trouble, text) => State::Away(*trouble, text.clone()),
            Health::Well if is_listed && inside.known.contains(&of.name) => {
                let key = Key::new(self.place.namespace.as_str(), of.name.as_str());
                let found = self.there.caches.environments.get(&key);
                let vain = inside.vain.get(&of.name);
                State::Known(found.map(|found| Box::new(live(&found, vain))))
            }
            Health::Well | Health::Unknown => State::Unknown,
        }
    }

    pub(super) fn rollout(&self, name: &str) -> Option<Arc<Rollout>> {
        let key = Key::new(self.place.namespace.as_str(), name);
        self.there.caches.rollouts.get(&key)
    }

    /// Its work, without an end.
    pub(super) async fn run(self: Arc<Self>) {
        tokio::join!(self.keep_asking(), self.keep_watching());
    }

    async fn keep_asking(&self) {
        loop {
            let names: BTreeSet<String> = {
                let inside = self.inside();
                inside.named.keys().map(|key| key.name.clone()).collect()
            };
            let answer = tokio::time::timeout(CALL, self.probe(&names)).await;
            let answer = answer.unwrap_or_else(|_| {
                let text = format!("no answer within {} s", CALL.as_secs());
                Err((Trouble::Unreachable, text))
            });
            let pause = self.note(answer.map(|()| names));
            let _ = tokio::time::timeout(pause, self.asked.notified()).await;
        }
    }

    /// Asks for the mirrors, and whether Rollouts may be listed.
    async fn probe(&self, names: &BTreeSet<String>) -> Result<(), (Trouble, String)> {
        let (kind, namespace) = (ObjectKind::Environment, self.place.namespace.as_str());
        let mirrors = self.there.list(kind, namespace, label::MIRROR_OF).await;
        let mirrors = mirrors.map_err(|error| trouble(&error))?;
        let mut missing = names.clone();
        let mirrors = mirrors.into_iter();
        for mirror in mirrors.filter(|one| names.contains(&one.name_any())) {
            missing.remove(&mirror.name_any());
            self.notice(&mirror);
            self.there.remember(kind, mirror);
        }
        // What is no mirror may have the name of one.
        for name in missing {
            let key = Key::new(namespace, name);
            let found = self.there.peek(kind, &key).await;
            match found.map_err(|error| trouble(&error))? {
                Some(found) => self.there.remember(kind, found),
                None => self.there.caches.environments.leave_out(&key),
            }
        }
        let resource = ObjectKind::Rollout.api_resource();
        let client = self.there.client().clone();
        let rollouts: Api<DynamicObject> = Api::namespaced_with(client, namespace, &resource);
        let one = rollouts.list(&ListParams::default().limit(1)).await;
        one.map(|_| ()).map_err(|error| trouble(&error))
    }

    /// Has the Environment of a mirror looked at that somebody has changed since it was seen last.
    fn notice(&self, mirror: &DynamicObject) {
        let key = Key::new(self.place.namespace.as_str(), mirror.name_any());
        let known = self.there.caches.environments.get(&key);
        let version = known.and_then(|known| known.resource_version());
        if version.is_some() && version != mirror.resource_version() {
            let inside = self.inside();
            let named = inside.named.keys().filter(|of| of.name == key.name);
            let all: Vec<Key> = named.cloned().collect();
            drop(inside);
            self.wake(&all);
        }
    }

    /// Notes what was merged into a mirror, if nothing came of it: the definition there does not have what it is about. Until the
    /// mirror changes, it would be in vain again.
    pub(super) fn merged(&self, target: &Target, change: &Value) {
        let found = self.there.caches.environments.get(&target.key);
        let version = found.and_then(|found| found.resource_version());
        let mut inside = self.inside();
        inside.vain.remove(&target.key.name);
        if version.as_ref() == Some(&target.resource_version) {
            let vain = (target.resource_version.clone(), change.clone());
            inside.vain.insert(target.key.name.clone(), vain);
        }
    }

    /// Takes in how the cluster is, and tells how long to wait before it is asked again.
    fn note(&self, answer: Result<BTreeSet<String>, (Trouble, String)>) -> Duration {
        let mut inside = self.inside();
        let before = inside.health.clone();
        let was_known = inside.known.clone();
        let pause = match answer {
            Ok(names) => {
                inside.failures = 0;
                inside.known = names;
                inside.health = Health::Well;
                if matches!(before, Health::Away(..)) {
                    info!(place = %self.place, "cluster answers again");
                    self.renewed.notify_one();
                }
                WELL
            }
            Err((trouble, text)) => {
                let doubled = AWAY.saturating_mul(1 << inside.failures.min(4));
                inside.failures = inside.failures.saturating_add(1);
                // What was seen before says nothing of what is now.
                inside.wanted += 1;
                let is_same = matches!(&before, Health::Away(known, _) if *known == trouble);
                if !is_same {
                    warn!(place = %self.place, reason = trouble.as_str(), "cluster out of reach: {text}");
                    inside.health = Health::Away(trouble, text);
                }
                doubled.min(AWAY_AT_MOST)
            }
        };
        let is_news = before != inside.health || was_known != inside.known;
        let all: Vec<Key> = inside.named.keys().cloned().collect();
        drop(inside);
        if is_news {
            self.wake(&all);
        }
        pause
    }

    async fn keep_watching(&self) {
        loop {
            let number = self.inside().wanted;
            let (client, namespace) = (self.there.client(), &self.place.namespace);
            let config = watcher::Config::default();
            let events = Rollout::stream(client, ObjectKind::Rollout, namespace, config);
            tokio::select! {
                () = self.feed(events, number) => {}
                () = self.renewed.notified() => continue,
            }
            // A watch has no end; should it have one, it is not begun again at once.
            let _ = tokio::time::timeout(AWAY, self.renewed.notified()).await;
        }
    }

    async fn feed(
        &self,
        mut events: impl Stream<Item = watcher::Result<Event<Rollout>>> + Unpin,
        number: u64,
    ) {
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.take(event, number),
                Err(error) => {
                    debug!(place = %self.place, error = chain(&error), "watch interrupted");
                    let mut inside = self.inside();
                    // What was listed before it broke says nothing of what is now.
                    let was_listed = inside.listed == Some(inside.wanted);
                    let was_well = inside.health == Health::Well;
                    inside.wanted += u64::from(was_listed);
                    drop(inside);
                    if was_well {
                        self.ask();
                    }
                    // It is begun anew, in a while. One that has listed nothing yet tries again by itself.
                    if was_listed {
                        return;
                    }
                }
            }
        }
    }

    fn take(&self, event: Event<Rollout>, number: u64) {
        let rollouts = &self.there.caches.rollouts;
        let (is_end, event) = match event {
            Event::Apply(rollout) if !self.is_named(&rollout) => {
                rollouts.leave_out(&Key::of(&rollout));
                return;
            }
            Event::InitApply(rollout) if !self.is_named(&rollout) => return,
            Event::Apply(rollout) => (false, Event::Apply(slim(rollout))),
            Event::InitApply(rollout) => (false, Event::InitApply(slim(rollout))),
            Event::Delete(rollout) => (false, Event::Delete(rollout)),
            Event::Init => (false, Event::Init),
            Event::InitDone => (true, Event::InitDone),
        };
        let news = rollouts.observe(&self.place.namespace, event);
        let mut inside = self.inside();
        if is_end {
            inside.listed = Some(number);
        }
        let hears = |names: &BTreeSet<String>| {
            let mut changed = news.changed.iter();
            is_end || changed.any(|key| names.contains(&key.name))
        };
        let named = inside.named.iter().filter(|(_, names)| hears(names));
        let all: Vec<Key> = named.map(|(key, _)| key.clone()).collect();
        drop(inside);
        self.wake(&all);
    }

    fn is_named(&self, rollout: &Rollout) -> bool {
        let name = rollout.name_any();
        let inside = self.inside();
        inside.named.values().any(|names| names.contains(&name))
    }

    fn wake(&self, all: &[Key]) {
        for key in all {
            self.hub.look_at(ObjectKind::Environment, key);
        }
    }

    // A poisoned lock means that a thread panicked between two complete updates; the data is sound.
    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's configuration: what the kubeconfig says, and nothing from the environment of this process.
fn config(reach: Reach, place: &Place) -> kube::Config {
    let mut config = kube::Config::new(reach.server);
    config.root_cert = reach.trusted;
    config.tls_server_name = reach.server_name;
    config.connect_timeout = Some(CONNECT);
    config.auth_info = reach.user;
    if let Some(account) = &place.account {
        let user = format!("system:serviceaccount:{}:{account}", place.namespace);
        config.auth_info.impersonate = Some(user);
        config.auth_info.impersonate_groups = None;
    }
    config
}

fn live(found: &Environment, vain: Option<&(String, Value)>) -> Live {
    let is_of_now =
        |known: &&(String, Value)| found.metadata.resource_version.as_ref() == Some(&known.0);
    Live {
        vain: vain.filter(is_of_now).map(|(_, change)| change.clone()),
        target: Target::of(ObjectKind::Environment, found),
        generation: found.metadata.generation.unwrap_or_default(),
        of: found.labels().get(label::MIRROR_OF).cloned(),
        is_going: found.metadata.deletion_timestamp.is_some(),
        spec: found.spec.clone(),
        status: found.status.clone().unwrap_or_default(),
    }
}

/// A Rollout without what nobody reads here, above all its template.
fn slim(mut rollout: Rollout) -> Rollout {
    rollout.metadata.managed_fields = None;
    rollout.metadata.annotations = None;
    rollout.spec = RolloutSpec {
        template: Raw::default(),
        strategy: None,
        traffic: None,
        analysis: None,
        configs: None,
        ..rollout.spec
    };
    rollout
}

/// What an error of the API server there means.
fn trouble(error: &kube::Error) -> (Trouble, String) {
    if let kube::Error::Api(status) = error {
        let trouble = match status.code {
            401 => Trouble::Unauthorized,
            403 => Trouble::Forbidden,
            404 => Trouble::NotInstalled,
            _ => Trouble::Unreachable,
        };
        return (trouble, status.message.clone());
    }
    (Trouble::Unreachable, chain(error))
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    #[test]
    fn each_error_is_called_what_people_can_do_about_it() {
        let told = |code: u16| {
            let status = Status::failure("because", "").with_code(code);
            trouble(&kube::Error::Api(Box::new(status)))
        };
        let because = |trouble: Trouble| (trouble, "because".to_owned());
        assert_eq!(told(401), because(Trouble::Unauthorized));
        assert_eq!(told(403), because(Trouble::Forbidden));
        assert_eq!(told(404), because(Trouble::NotInstalled));
        assert_eq!(told(500), because(Trouble::Unreachable));
        let broken = kube::Error::Service("connection reset".into());
        let (trouble, text) = trouble(&broken);
        assert_eq!(trouble, Trouble::Unreachable);
        assert!(text.contains("connection reset"), "{text}");
    }
}
