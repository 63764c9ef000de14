//! A Rollout whose operator is killed, or whose API server fails, at every write. It ends as if nothing had been.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus};
use testbed::proxy::{Fault, Injected, Match, Proxy, What};
use testbed::scripted::{ScriptedGateway, routes};
use tokio::task::AbortHandle;

use crate::cluster::{SOON, Space, config, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::{Subject, manifest, routed, stable};

/// Of so many of the last writes of a change it depends on the moment whether they come together or apart.
const UNSTEADY: u64 = 4;

/// How many writes lie between faults. `make test` stays quick with `quick`; `make e2e-full` takes every write.
pub(crate) fn stride(quick: usize) -> usize {
    let is_full = std::env::var_os("SLIPWAY_TEST_FULL").is_some();
    if is_full { 1 } else { quick }
}

/// A proxy in front of the API server, and a kubeconfig that leads through it.
pub(crate) async fn proxied(space: &Space) -> (Proxy, PathBuf) {
    let proxy = Proxy::start(config().await).await.unwrap();
    let path = std::env::temp_dir().join(format!("proxy-{}.yaml", space.name));
    proxy.write_kubeconfig(&path).unwrap();
    (proxy, path)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_finishes_what_it_began() {
    let canary = routed();
    tokio::join!(killed(&canary, 4, (0, 2)), killed(&canary, 4, (1, 2)));
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_of_a_switch_finishes_it() {
    let switch = json!({"spec": {
        "traffic": {"drain": "1s"}, "strategy": {"type": "BlueGreen", "steps": null}}});
    killed(&switch, 6, (0, 1)).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_by_numbers_of_pods_finishes_what_it_began() {
    killed(&json!({}), 6, (0, 1)).await;
}

/// Changes a Rollout undisturbed, which tells how many writes that takes, and then once for each of this part of them, with
/// the operator killed after it: everything is to come about as it did undisturbed.
async fn killed(extra: &Value, quick: usize, (part, parts): (usize, usize)) {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let trail = Trail::start(space);
        let mut whole = extra.clone();
        json_patch::merge(&mut whole, &json!({"spec": {"revisionHistoryLimit": 1}}));
        let api = Subject::create(space, &manifest("greeter:1", &whole)).await;
        let victim = Victim {
            space,
            api,
            proxy,
            kubeconfig,
            trail,
        };
        let first = victim.operator();
        victim.api.until_phase(Phase::Healthy).await;
        first.kill().await;
        let (undisturbed, count) = victim.change(2, u64::MAX).await;
        let writes = count.matched();
        let kills = (1..=writes).step_by(stride(quick));
        let kills = kills.skip(part).step_by(parts).zip(3..);
        for (kill_after, version) in kills {
            let (course, injected) = victim.change(version, kill_after).await;
            let is_late = kill_after + UNSTEADY >= writes;
            let is_killed = injected.hits() > 0;
            assert!(
                is_killed || is_late,
                "not killed after write {kill_after} of {writes}"
            );
            assert_eq!(
                course, undisturbed,
                "killed after write {kill_after} of {writes}"
            );
        }
        assert!(writes > 2 * UNSTEADY, "{writes} writes");
        let _ = std::fs::remove_file(&victim.kubeconfig);
    })
    .await;
}

/// A Rollout whose operator is killed.
struct Victim<'a> {
    space: &'a Space,
    api: Subject,
    proxy: Proxy,
    kubeconfig: PathBuf,
    trail: Trail,
}

impl Victim<'_> {
    fn operator(&self) -> Operator {
        let args = ["--no-leader-election"];
        Operator::start_with(&self.space.name, &self.kubeconfig, &args)
    }

    /// Changes to this version, with the operator killed after this write: how that came about, and what was counted.
    async fn change(&self, version: u64, kill_after: u64) -> (Course, Injected) {
        let (space, api) = (self.space, &self.api);
        let mut operator = self.operator();
        let before = api.status().await;
        let stable_before = stable(&before);
        let there = self.trail.begin(space).await;
        let fault = Fault::new(Match::writes(), What::KillPid(operator.pid())).nth(kill_after);
        let injected = self.proxy.inject(fault);
        api.set_image(&format!("greeter:{version}")).await;
        let ended = async {
            let after = api.until_promoted(&stable_before).await;
            api.until_alone(&stable(&after)).await;
            after
        };
        tokio::select! {
            _ = operator.ended() => {}
            _ = ended => {}
        }
        injected.remove();
        if injected.hits() > 0 {
            operator = self.operator();
        }
        let after = api.until_promoted(&stable_before).await;
        api.until_alone(&stable(&after)).await;
        let known = |status: &RolloutStatus, at: usize| {
            let ending = status.history.get(at);
            ending.map(|it| (it.revision.clone(), it.result.as_str().to_owned()))
        };
        let promoted = Some((stable(&after), "Promoted".to_owned()));
        assert_eq!(
            known(&after, 0),
            promoted,
            "killed after write {kill_after}"
        );
        assert_eq!(
            known(&after, 1),
            known(&before, 0),
            "killed after write {kill_after}"
        );
        let course = self.trail.course(space, &stable(&after), &there).await;
        operator.kill().await;
        (course, injected)
    }
}

/// What becomes of everything that says where requests go, value after value, as watches tell of it.
pub(crate) struct Trail {
    seen: Arc<Mutex<Vec<(String, String)>>>,
    tasks: Vec<AbortHandle>,
}

/// How a change came about, and how things stood in the end.
#[derive(Clone, Debug, PartialEq)]
struct Course {
    /// The canary's weights in the route.
    weights: Vec<String>,
    /// What the Services selected, by their names; the new revision is `new`.
    selected: BTreeMap<String, Vec<String>>,
    /// ReplicaSets that were made.
    made: usize,
    /// Whether pods of the new revision went once they were wanted.
    has_fallen: bool,
    /// How many pods each ReplicaSet has, the new one last.
    pods: Vec<i32>,
}

fn weight_of(route: &DynamicObject) -> String {
    let weight = route.data.pointer("/spec/rules/0/backendRefs/1/weight");
    weight.map(Value::to_string).unwrap_or_default()
}

fn selected_by(service: &Service) -> String {
    let selector = service
        .spec
        .as_ref()
        .and_then(|spec| spec.selector.as_ref());
    let revision = selector.and_then(|selector| selector.get("slipway.dev/revision"));
    revision.cloned().unwrap_or_default()
}

fn wanted_of(set: &ReplicaSet) -> String {
    set.spec.replicas.unwrap_or(1).to_string()
}

impl Trail {
    pub(crate) fn start(space: &Space) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (client, namespace) = (&space.client, &space.name);
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        let tasks = vec![
            follow(routes(client, namespace), "route ", weight_of, &seen),
            follow(services, "", selected_by, &seen),
            follow(sets, "set ", wanted_of, &seen),
        ];
        Self { seen, tasks }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(String, String)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The values of an object, without repetitions: `route <name>`, the name of a Service, or `set <name>`.
    pub(crate) fn of(&self, name: &str) -> Vec<String> {
        let seen = self.seen();
        let own = seen.iter().filter(|(of, _)| of == name);
        let mut values: Vec<String> = own.map(|(_, value)| value.clone()).collect();
        values.dedup();
        values
    }

    /// How things are now, by name.
    async fn live(space: &Space) -> BTreeMap<String, String> {
        let (client, namespace) = (&space.client, &space.name);
        let all = ListParams::default();
        let services: Api<Service> = Api::namespaced(client.clone(), namespace);
        let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), namespace);
        let routes = routes(client, namespace).list(&all).await.unwrap();
        let (services, sets) = (
            services.list(&all).await.unwrap(),
            sets.list(&all).await.unwrap(),
        );
        let routes = routes
            .iter()
            .map(|it| (format!("route {}", it.name_any()), weight_of(it)));
        let services = services.iter().map(|it| (it.name_any(), selected_by(it)));
        let sets = sets
            .iter()
            .map(|it| (format!("set {}", it.name_any()), wanted_of(it)));
        routes.chain(services).chain(sets).collect()
    }

    /// Waits until the watches have told of everything that is there.
    pub(crate) async fn catch_up(&self, space: &Space) -> BTreeMap<String, String> {
        wait_for("the watches to catch up", SOON, async || {
            let live = Self::live(space).await;
            let is_told = live
                .iter()
                .all(|(name, value)| self.of(name).last() == Some(value));
            is_told.then_some(live)
        })
        .await
    }

    /// A change begins: what was told before is forgotten. Names of what is there.
    pub(crate) async fn begin(&self, space: &Space) -> BTreeSet<String> {
        let live = self.catch_up(space).await;
        let names = live.keys().cloned().collect();
        *self.seen() = live.into_iter().collect();
        names
    }

    /// How the change to this revision came about.
    async fn course(&self, space: &Space, revision: &str, there: &BTreeSet<String>) -> Course {
        wait_for("no more than one earlier revision", SOON, async || {
            let live = Self::live(space).await;
            let sets = live.keys().filter(|name| name.starts_with("set "));
            (sets.count() == 2).then_some(())
        })
        .await;
        let live = self.catch_up(space).await;
        let is_set = |name: &&String| name.starts_with("set ");
        let is_new = |name: &&String| name.ends_with(revision);
        let pods = |name: &String| live[name].parse::<i32>().unwrap();
        let (new, old): (Vec<_>, Vec<_>) = live.keys().filter(is_set).partition(is_new);
        let counts = self.of(new[0]);
        let counts: Vec<i32> = counts.iter().map(|count| count.parse().unwrap()).collect();
        let services = live.keys().filter(|name| !name.contains(' '));
        let as_word = |value: String| -> String {
            if value == revision {
                "new".into()
            } else {
                "old".into()
            }
        };
        let selected = services.map(|name| {
            let values = self.of(name).into_iter().map(as_word);
            (name.clone(), values.collect())
        });
        let told: BTreeSet<String> = self.seen().iter().map(|(name, _)| name.clone()).collect();
        Course {
            weights: self.of("route api"),
            selected: selected.collect(),
            made: told.difference(there).filter(is_set).count(),
            has_fallen: !counts.is_sorted(),
            pods: old.into_iter().chain(new).map(pods).collect(),
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Notes a value of every version of every object of a kind.
fn follow<K>(
    api: Api<K>,
    prefix: &'static str,
    value: fn(&K) -> String,
    seen: &Arc<Mutex<Vec<(String, String)>>>,
) -> AbortHandle
where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let versions = watcher(api, watcher::Config::default()).applied_objects();
    let seen = Arc::clone(seen);
    let task = tokio::spawn(versions.for_each(move |version| {
        if let Ok(object) = version {
            let told = (format!("{prefix}{}", object.name_any()), value(&object));
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push(told);
        }
        std::future::ready(())
    }));
    task.abort_handle()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn services_that_somebody_deletes_are_made_again_and_cost_no_pods() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let _operator = Operator::start(&space.name);
        let mut extra = routed();
        extra["spec"]["strategy"] = json!({"steps": [
            {"setWeight": {"weight": 50}}, {"pause": {}}, {"setWeight": {"weight": 75}}]});
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let paused = api.until_phase(Phase::Paused).await;
        let pods = pods(space).await;
        let services: Api<Service> = Api::namespaced(space.client.clone(), &space.name);
        for (name, status) in [
            ("api-canary", &paused.canary),
            ("api-stable", &paused.stable),
        ] {
            let gone = services.get(name).await.unwrap().uid();
            let params = DeleteParams::default();
            services.delete(name, &params).await.unwrap();
            let again = wait_for(&format!("{name} again"), SOON, async || {
                let service = services.get_opt(name).await.ok()??;
                (service.uid() != gone).then_some(service)
            })
            .await;
            let selector = again.spec.unwrap().selector.unwrap();
            let revision = &status.as_ref().unwrap().revision;
            assert_eq!(&selector["slipway.dev/revision"], revision, "{name}");
        }
        api.until("half and half, as before", |status| {
            let weights = status.weights.as_ref();
            weights.is_some_and(|weights| weights.canary == 50 && weights.observed)
        })
        .await;
        api.patch(json!({"spec": {"strategy": {"steps": [
            {"setWeight": {"weight": 50}}, {"setWeight": {"weight": 75}}]}}}))
            .await;
        let done = api.until_promoted(&stable(&first)).await;
        assert_eq!(done.history.len(), 1, "{:?}", done.history);
        assert_eq!(done.history[0].result.as_str(), "Promoted");
        let left = self::pods(space).await;
        let stays = pods.iter().filter(|pod| left.contains(pod)).count();
        assert!(
            stays >= 2,
            "{stays} of the canary's two pods are still there"
        );
    })
    .await;
}

/// Names of the pods.
async fn pods(space: &Space) -> Vec<String> {
    let pods: Api<Pod> = Api::namespaced(space.client.clone(), &space.name);
    let pods = pods.list(&ListParams::default()).await.unwrap();
    pods.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_api_server_that_refuses_hangs_and_cuts_only_delays() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let _operator = Operator::start_with(&space.name, &kubeconfig, &["--no-leader-election"]);
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let first = api.until_phase(Phase::Healthy).await;
        for (nth, what) in [
            (1, What::Status(409)),
            (2, What::Status(500)),
            (4, What::Status(503)),
            (6, What::Cut),
            (8, What::CutAfter),
        ] {
            proxy.inject(Fault::new(Match::writes(), what).nth(nth));
        }
        api.set_image("greeter:2").await;
        let second = api.until_promoted(&stable(&first)).await;
        api.until_alone(&stable(&second)).await;
        // Watches that end in the middle lose nothing.
        proxy.drop_connections();
        api.patch(json!({"spec": {"replicas": 5}})).await;
        api.until("five pods", |s| s.ready_replicas.as_deref() == Some("5/5"))
            .await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_refused_for_long_is_tried_less_and_less_often() {
    with_namespace(async |space| {
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (proxy, kubeconfig) = proxied(space).await;
        let _operator = Operator::start_with(&space.name, &kubeconfig, &["--no-leader-election"]);
        let services = Match::writes().path("/services");
        let refused = proxy.inject(Fault::new(services, What::Status(403)).always());
        let api = Subject::create(space, &manifest("greeter:1", &routed())).await;
        let start = Instant::now();
        wait_for("six tries", SOON, async || {
            (refused.hits() >= 6).then_some(())
        })
        .await;
        // The waits in between double from 100 ms on.
        let took = start.elapsed();
        assert!(
            took > Duration::from_millis(2500),
            "six tries within {took:?}"
        );
        let told = api.until("told", |s| {
            s.message
                .as_deref()
                .is_some_and(|m| m.contains("failed to create Service"))
        });
        told.await;
        refused.remove();
        let healthy = api.until_phase(Phase::Healthy).await;
        assert!(
            !healthy.conditions.iter().any(|c| c.type_ == "ActionFailed"),
            "{healthy:#?}"
        );
    })
    .await;
}
