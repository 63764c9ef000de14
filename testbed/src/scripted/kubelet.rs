//! One watch for the pods of all scripted nodes, and a performer for each. Talks to the API server.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::Ipv4Addr;
use std::sync::Arc;

use futures::StreamExt;
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch_pods};
use kube::{Api, Client};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::log::Voices;
use super::performer::{Performer, Stage};
use super::rules::Rules;

/// Writes under way at the same time.
const WRITES: usize = 16;
/// The addresses of pods: the range for benchmarks, which no network uses.
const FIRST_IP: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
const IPS: u32 = (1 << 17) - 2;

/// Watches pods and gives each its performer.
struct Kubelet {
    nodes: BTreeMap<String, Ipv4Addr>,
    stage: Arc<Stage>,
    rules: watch::Receiver<Rules>,
    voices: Arc<Voices>,
    stop: CancellationToken,
    playing: HashMap<String, Playing>,
    /// Addresses of those that play.
    used: HashSet<Ipv4Addr>,
    /// Pods seen since the last list began.
    listed: HashSet<String>,
    last_ip: u32,
}

struct Playing {
    updates: watch::Sender<Arc<Pod>>,
    ip: Ipv4Addr,
}

/// Starts the watch. It ends with `stop`.
pub(super) fn start(
    client: Client,
    nodes: BTreeMap<String, Ipv4Addr>,
    (rules, voices): (watch::Receiver<Rules>, Arc<Voices>),
    stop: &CancellationToken,
) {
    // Sets of nodes in one cluster begin far from each other.
    let mut place = DefaultHasher::new();
    nodes.hash(&mut place);
    let last_ip = u32::try_from(place.finish() % u64::from(IPS)).unwrap_or_default();
    let kubelet = Kubelet {
        nodes,
        stage: Arc::new(Stage {
            client: client.clone(),
            writes: Semaphore::new(WRITES),
        }),
        rules,
        voices,
        stop: stop.clone(),
        playing: HashMap::new(),
        used: HashSet::new(),
        listed: HashSet::new(),
        last_ip,
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(kubelet.run(client)));
}

impl Kubelet {
    async fn run(mut self, client: Client) {
        let bound = watcher::Config::default().fields("spec.nodeName!=");
        let events = watch_pods(Api::<Pod>::all(client), bound).default_backoff();
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.see(event),
                // The watch starts again by itself, with a list that repairs what was missed.
                Err(error) => tracing::warn!(%error, "watching pods failed"),
            }
        }
    }

    fn see(&mut self, event: Event<Pod>) {
        match event {
            Event::Init => self.listed.clear(),
            Event::InitApply(pod) => {
                self.listed.extend(pod.metadata.uid.clone());
                self.update(pod);
            }
            Event::InitDone => {
                let is_left = |uid: &String, _: &mut Playing| !self.listed.contains(uid);
                for (_, left) in self.playing.extract_if(is_left) {
                    self.used.remove(&left.ip);
                }
            }
            Event::Apply(pod) => self.update(pod),
            Event::Delete(pod) => {
                self.voices.forget(&pod);
                let uid = pod.metadata.uid.unwrap_or_default();
                if let Some(left) = self.playing.remove(&uid) {
                    self.used.remove(&left.ip);
                }
            }
        }
    }

    /// A performer ends when its sender goes.
    fn update(&mut self, pod: Pod) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref());
        let Some(node_ip) = node.and_then(|node| self.nodes.get(node)).copied() else {
            return;
        };
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        let pod = Arc::new(pod);
        if let Some(playing) = self.playing.get(&uid) {
            playing.updates.send_replace(pod);
            return;
        }
        let ip = self.ip_for(&pod);
        let (updates, seen) = watch::channel(Arc::clone(&pod));
        self.voices.see(&pod, seen.clone());
        let performer = Performer {
            stage: Arc::clone(&self.stage),
            updates: seen,
            rules: self.rules.clone(),
            ip,
            node_ip,
            has_begun: false,
        };
        tokio::spawn(
            self.stop
                .clone()
                .run_until_cancelled_owned(performer.perform()),
        );
        self.used.insert(ip);
        self.playing.insert(uid, Playing { updates, ip });
    }

    /// A pod keeps the address it has; a new one gets the next that is free.
    fn ip_for(&mut self, pod: &Pod) -> Ipv4Addr {
        let given = pod
            .status
            .as_ref()
            .and_then(|status| status.pod_ip.as_ref()?.parse().ok());
        given.unwrap_or_else(|| {
            let next = |last: u32| (last + 1) % IPS;
            let mut candidate = next(self.last_ip);
            while self.used.contains(&nth_ip(candidate)) && candidate != self.last_ip {
                candidate = next(candidate);
            }
            self.last_ip = candidate;
            nth_ip(candidate)
        })
    }
}

fn nth_ip(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST_IP.to_bits() + number)
}
