//! Stories of previews, and what holds whatever is seen.

use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::api::PreviewPhase::{
    Closing, Failed, Idle, Queued, Ready, Refused, Skipped, Updating,
};
use super::super::api::{Environment, PreviewForks, Previews, PrometheusServer};
use super::super::observed::Check;
use super::super::slo::Answers;
use super::orphan::sweep;
use super::*;
use crate::check::Outcome;
use crate::model::action::{Answer, Errand, Reply};
use crate::model::key::Key;
use crate::model::label;
use crate::model::manifest::{Manifest, Target};
use crate::model::object::ObjectKind;
use crate::pipeline::secret::{Facts, Secrets};
use crate::release::api::ImageRef;

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fn environment() -> Key {
    Key::new("shop", "review")
}

fn at(minutes: i64) -> Timestamp {
    NOW + SignedDuration::from_mins(minutes)
}

fn spec(extra: &Value) -> Previews {
    let mut spec = json!({
        "pipeline": "api", "copy": ["Rollout", "Service", "ConfigMap", "HTTPRoute"], "selector": {"preview": "shop"},
        "url": "https://pr-{{pr.number}}.preview.example.com/",
        "replace": [{"from": "shop.example.com", "to": "{{host}}"}],
    });
    let fields = spec.as_object_mut().unwrap();
    fields.extend(extra.as_object().unwrap().clone());
    serde_json::from_value(spec).unwrap()
}

fn run(number: u64, sha: char, minutes: i64) -> Run {
    Run {
        name: format!("api-{number}-{sha}"),
        number,
        sha: sha.to_string().repeat(40),
        author: "github:alice".to_owned(),
        is_fork: false,
        is_approved: false,
        started_at: at(minutes),
        finished_at: Some(at(minutes)),
        images: vec![ImageRef {
            name: "api".to_owned(),
            reference: format!("registry.example/api@sha256:{}", sha.to_string().repeat(64)),
        }],
        packages: Vec::new(),
    }
}

fn templates() -> Vec<Value> {
    let object = |kind: &str, name: &str, spec: Value| {
        json!({
            "kind": kind,
            "metadata": {"name": name, "namespace": "shop", "labels": {
                "preview": "shop", "app.kubernetes.io/instance": "argo", "slipway.dev/x": "y",
            }},
            "spec": spec,
        })
    };
    let rollout = json!({
        "replicas": 2, "strategy": {"type": "Canary"},
        "release": {"environment": {"name": "review"}, "images": {"web": "api"}},
        "selector": {"matchLabels": {"app": "api"}},
        "template": {"spec": {
            "containers": [{"name": "web", "env": [{"name": "HOST", "value": "https://shop.example.com"}]}, {"name": "proxy", "image": "p:1"}],
            "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["db"]}],
        }},
        "traffic": {"gatewayAPI": {"generate": {"hostnames": ["shop.example.com"], "parentRefs": [{"name": "gate"}]}}},
    });
    let mut config = object("ConfigMap", "settings", Value::Null);
    config["data"] = json!({"url": "http://shop.example.com/x"});
    let route = json!({
        "hostnames": ["shop.example.com"], "parentRefs": [{"name": "gate"}, {"name": "other", "namespace": "infra"}],
        "rules": [{"backendRefs": [{"name": "api", "namespace": "shop", "port": 80}]}],
    });
    let service = json!({
        "clusterIP": "10.1.1.1", "clusterIPs": ["10.1.1.1"], "selector": {"app": "api", "slipway.dev/revision": "abc"},
        "ports": [{"port": 80, "nodePort": 30000}],
    });
    let mut owned = object("Service", "api-stable", json!({}));
    owned["metadata"]["ownerReferences"] = json!([{"kind": "Rollout"}]);
    vec![
        object("Rollout", "api", rollout),
        object("HTTPRoute", "api", route),
        object("Service", "api", service),
        config,
        owned,
    ]
}

/// A cluster that does what it is told.
#[derive(Clone)]
struct World {
    spec: Previews,
    seen: Seen,
    now: Timestamp,
    version: u64,
    applied: Vec<Manifest>,
    before: Vec<PreviewStatus>,
    prometheus: PrometheusServer,
    /// What Prometheus tells of requests, and whether it tells anything.
    requests: Option<f64>,
    answers: Answers,
    /// How Jobs end.
    verdict: Outcome,
    /// What the registry has of every package, or why it does not answer.
    package: Result<String, String>,
    /// Whether it has none of them.
    is_gone: bool,
    /// What the API server would refuse of what was rendered, or why it does not say.
    refuses: Result<Option<String>, String>,
    jobs: Vec<Manifest>,
    checks: BTreeMap<String, Check>,
}

impl World {
    fn new(extra: &Value) -> Self {
        Self {
            spec: spec(extra),
            seen: Seen {
                templates: templates(),
                ..Seen::default()
            },
            now: NOW,
            version: 0,
            applied: Vec::new(),
            before: Vec::new(),
            prometheus: serde_json::from_value(json!({"address": "http://prometheus:9090"}))
                .unwrap(),
            requests: None,
            answers: Answers::new(),
            verdict: Outcome::Passed,
            package: Err("the registry does not answer".to_owned()),
            is_gone: false,
            refuses: Ok(None),
            jobs: Vec::new(),
            checks: BTreeMap::new(),
        }
    }

    fn look(&self) -> Outlook {
        let key = environment();
        let of = Subject {
            key: &key,
            spec: &self.spec,
            seen: &self.seen,
            before: &self.before,
            prometheus: Some(&self.prometheus),
            answers: &self.answers,
            checks: &self.checks,
        };
        plan(of, self.now)
    }

    fn make_job(&mut self, made: &Manifest) {
        let name = made.key.name.clone();
        assert_eq!(made.key.namespace, "shop", "where the Secrets are");
        assert!(!self.checks.contains_key(&name), "made twice");
        let check = Check {
            target: Target {
                kind: ObjectKind::Job,
                key: made.key.clone(),
                uid: "job".to_owned(),
                resource_version: "1".to_owned(),
            },
            promotion: String::new(),
            is_suspended: false,
            outcome: self.verdict.clone(),
            finished_at: None,
            ending: None,
        };
        self.checks.insert(name, check);
        self.jobs.push(made.clone());
    }

    fn answer(&mut self, question: &str) {
        let values: Vec<Value> = self
            .requests
            .iter()
            .map(|count| json!({"metric": {}, "value": [0, count.to_string()]}))
            .collect();
        let body = json!({"status": "success", "data": {"resultType": "vector", "result": values}});
        let reply = Reply {
            status: 200,
            body: body.to_string().into_bytes(),
        };
        let answer = Answer {
            at: self.now,
            reply: Ok(reply),
        };
        self.answers.insert(question.to_owned(), Arc::new(answer));
    }

    fn hand_out(&mut self, question: &str) {
        let status = if self.is_gone { 404 } else { 200 };
        let reply = self.package.clone().map(|text| Reply {
            status,
            body: text.into_bytes(),
        });
        let at = self.now;
        let answer = Arc::new(Answer { at, reply });
        self.answers.insert(question.to_owned(), answer);
    }

    fn rehearse(&mut self, question: &str, objects: &[Manifest]) {
        let is_ours =
            |made: &Manifest| matches!(made.kind, ObjectKind::Rollout | ObjectKind::ConfigMap);
        assert!(!objects.is_empty() && objects.iter().all(is_ours));
        let reply = self.refuses.clone().map(|refusal| Reply {
            status: if refusal.is_some() { 422 } else { 200 },
            body: refusal.unwrap_or_default().into_bytes(),
        });
        let at = self.now;
        let answer = Arc::new(Answer { at, reply });
        self.answers.insert(question.to_owned(), answer);
    }

    /// Does up to `most` actions, one after the other, as a process that is killed then.
    fn act(&mut self, actions: &[Action], most: usize) -> usize {
        let done = actions.len().min(most);
        for action in actions.iter().take(done) {
            self.version += 1;
            self.do_one(action);
        }
        done
    }

    fn do_one(&mut self, action: &Action) {
        match action {
            Action::Create(made) if made.kind == ObjectKind::Job => self.make_job(made),
            Action::Fetch { key, request } => {
                if let Some(Errand::Package(_)) = request.errand.as_deref() {
                    self.hand_out(key);
                } else if let Some(Errand::Rehearsal(objects)) = request.errand.as_deref() {
                    self.rehearse(key, objects);
                } else {
                    self.answer(key);
                }
            }
            Action::Create(made) => {
                let mut object: kube::api::DynamicObject =
                    serde_json::from_value(made.body.clone()).unwrap();
                object.metadata.uid = Some(format!("uid-{}", self.version));
                object.metadata.resource_version = Some(self.version.to_string());
                object.metadata.creation_timestamp = Some(Time(self.now));
                let space = Space::read(&object).expect("a namespace that says whose it is");
                let mut known = self.seen.spaces.iter();
                if !known.any(|one| one.target.key == space.target.key) {
                    self.seen.spaces.push(space);
                }
            }
            Action::Apply(made) => {
                let name = &made.key.namespace;
                let mut spaces = self.seen.spaces.iter();
                assert!(spaces.any(|space| space.target.key.name == *name && !space.is_going()));
                if made.kind == ObjectKind::Rollout {
                    let run = &made.body["metadata"]["annotations"][label::PREVIEW_RUN];
                    let live = Live {
                        name: made.key.name.clone(),
                        run: run.as_str().unwrap().to_owned(),
                        is_current: true,
                        phase: Phase::Healthy,
                        message: "serves".to_owned(),
                    };
                    self.seen.rollouts.insert(name.clone(), vec![live]);
                }
                self.applied.push(made.clone());
            }
            Action::Patch { target, change } => {
                let text = &change["metadata"]["annotations"][label::PREVIEW_RECORD];
                let mut spaces = self.seen.spaces.iter_mut();
                let space = spaces.find(|space| space.target == *target).unwrap();
                space.record = serde_json::from_str(text.as_str().unwrap()).unwrap();
                let labels = change["metadata"]["labels"].as_object();
                for (name, value) in labels.into_iter().flatten() {
                    let value = value.as_str().unwrap().to_owned();
                    space.pod_security.insert(name.clone(), value);
                }
                space.target.resource_version = self.version.to_string();
            }
            Action::Delete { target, .. } => {
                let mut spaces = self.seen.spaces.iter_mut();
                let space = spaces.find(|space| space.target == *target).unwrap();
                assert_eq!(target.kind, ObjectKind::Namespace);
                space.going_since = Some(self.now);
            }
            Action::PatchEach(_)
            | Action::Status { .. }
            | Action::Evict { .. }
            | Action::Mirror { .. } => panic!("{action:?}"),
        }
    }

    /// Plans until nothing is left to do; namespaces that go are gone then.
    fn settle(&mut self) -> Outlook {
        for _ in 0..200 {
            let mut outlook = self.look();
            self.before.clone_from(&outlook.shown.items);
            if outlook.actions.is_empty() {
                self.seen.spaces.retain(|space| !space.is_going());
                outlook = self.look();
                self.before.clone_from(&outlook.shown.items);
                if outlook.actions.is_empty() {
                    return outlook;
                }
            }
            self.act(&outlook.actions, usize::MAX);
        }
        panic!("no rest: {:?}", self.look());
    }

    fn phases(&mut self) -> Vec<(u64, PreviewPhase)> {
        let outlook = self.settle();
        let items = outlook.shown.items.iter();
        items.map(|item| (item.number, item.phase)).collect()
    }
}

#[test]
fn a_pull_request_that_passed_has_a_preview_that_follows_it_and_goes_with_it() {
    let mut world = World::new(
        &json!({"resources": {"quota": {"pods": "5"}}, "network": {"allowFrom": ["gateways"]}}),
    );
    world.seen.runs.push(run(7, 'a', 0));
    let outlook = world.settle();
    let item = &outlook.shown.items[0];
    assert_eq!((item.number, item.phase), (7, Ready));
    assert_eq!(item.url, "https://pr-7.preview.example.com/");
    assert_eq!(item.namespace, "shop-review-pr-7");
    assert_eq!(item.sha, Some("a".repeat(40)));
    let kinds: Vec<ObjectKind> = world.applied.iter().map(|made| made.kind).collect();
    assert_eq!(
        kinds,
        [
            ObjectKind::ResourceQuota,
            ObjectKind::LimitRange,
            ObjectKind::NetworkPolicy,
            ObjectKind::ConfigMap,
            ObjectKind::Service,
            ObjectKind::Rollout,
            ObjectKind::HttpRoute,
        ]
    );
    let uid = world.seen.spaces[0].target.uid.clone();

    world.now = at(60);
    world.seen.runs.push(run(7, 'b', 60));
    let item = world.settle().shown.items[0].clone();
    assert_eq!((item.phase, item.sha), (Ready, Some("b".repeat(40))));
    assert_eq!(world.seen.spaces[0].target.uid, uid, "updated in place");

    world.seen.closed.insert(7, at(61));
    world.now = at(62);
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.look().wake, Some(at(71)));
    world.now = at(71);
    assert_eq!(world.look().shown.items[0].phase, Closing);
    assert_eq!(world.phases(), []);
    assert!(world.seen.spaces.is_empty());
}

#[test]
fn what_is_copied_is_cut_loose_from_where_it_comes_from() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    let find = |kind| {
        let mut all = world.applied.iter().filter(|made| made.kind == kind);
        let found = all.next().unwrap().body.clone();
        assert!(
            all.next().is_none(),
            "{kind:?}: what others own is not copied"
        );
        found
    };
    let rollout = find(ObjectKind::Rollout);
    let image = format!("registry.example/api@sha256:{}", "a".repeat(64));
    assert_eq!(
        rollout["spec"]["template"]["spec"]["containers"][0]["image"],
        image
    );
    assert_eq!(
        rollout["spec"]["template"]["spec"]["containers"][1]["image"],
        "p:1"
    );
    let env = &rollout["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"];
    assert_eq!(env, "https://pr-7.preview.example.com");
    let aliases = &rollout["spec"]["template"]["spec"]["hostAliases"][0]["hostnames"];
    assert_eq!(*aliases, json!(["db"]));
    assert_eq!(rollout["spec"].get("release"), None);
    assert_eq!(rollout["spec"].get("strategy"), None);
    let generated = &rollout["spec"]["traffic"]["gatewayAPI"]["generate"];
    let parents = json!([{"name": "gate", "namespace": "shop"}]);
    assert_eq!(
        *generated,
        json!({"hostnames": ["pr-7.preview.example.com"], "parentRefs": parents})
    );
    assert_eq!(
        rollout["metadata"]["labels"],
        json!({"app.kubernetes.io/managed-by": "slipway", "preview": "shop", "slipway.dev/preview": "7"})
    );
    let route = find(ObjectKind::HttpRoute);
    assert_eq!(
        route["spec"]["hostnames"],
        json!(["pr-7.preview.example.com"])
    );
    assert_eq!(route["spec"]["parentRefs"][1]["namespace"], "infra");
    let backend = json!({"name": "api", "port": 80});
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0], backend);
    let service = find(ObjectKind::Service);
    assert_eq!(
        service["spec"],
        json!({"selector": {"app": "api"}, "ports": [{"port": 80}]})
    );
    let config = find(ObjectKind::ConfigMap);
    assert_eq!(config["data"]["url"], "http://pr-7.preview.example.com/x");
}

#[test]
fn those_beyond_the_limits_wait_in_the_order_in_which_they_came() {
    let mut world = World::new(&json!({"limits": {"max": 2, "perAuthor": 1}}));
    world.seen.runs = vec![run(9, 'a', 0), run(3, 'b', 1), run(5, 'c', 2)];
    world.seen.runs[2].author = "github:bob".to_owned();
    assert_eq!(world.phases(), [(3, Queued), (5, Ready), (9, Ready)]);
    world.seen.closed.insert(5, NOW);
    world.now = at(10);
    assert_eq!(world.phases(), [(3, Queued), (9, Ready)]);
    world.seen.closed.insert(9, NOW);
    assert_eq!(world.phases(), [(3, Ready)]);
}

#[test]
fn what_polling_alone_has_found_is_not_of_one_author() {
    let mut world = World::new(&json!({"limits": {"perAuthor": 1}}));
    world.seen.runs = vec![run(1, 'a', 0), run(2, 'b', 1)];
    for run in &mut world.seen.runs {
        run.author = label::SLIPWAY.to_owned();
    }
    assert_eq!(world.phases(), [(1, Ready), (2, Ready)]);
}

#[test]
fn nothing_goes_because_a_list_is_empty() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Ready)]);
    world.seen.runs.clear();
    world.seen.templates.clear();
    assert_eq!(world.phases(), [(7, Ready)]);
    world.seen.rollouts.clear();
    world.seen.blocked = Some(("PreviewsOff", "off".to_owned()));
    assert_eq!(world.look().actions, []);
    assert_eq!(world.seen.spaces.len(), 1);
}

#[test]
fn a_pull_request_that_is_opened_again_keeps_its_preview_or_gets_another() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    let uid = world.seen.spaces[0].target.uid.clone();
    world.seen.closed.insert(7, at(1));
    world.now = at(2);
    assert_eq!(world.phases(), [(7, Ready)]);
    // In time.
    world.seen.closed.remove(&7);
    world.now = at(30);
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.seen.spaces[0].target.uid, uid);
    world.seen.closed.insert(7, at(31));
    world.now = at(60);
    assert_eq!(world.phases(), []);
    // Too late for that.
    world.seen.closed.remove(&7);
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_ne!(world.seen.spaces[0].target.uid, uid);
}

#[test]
fn a_preview_that_is_too_old_goes_and_stays_away_until_there_is_a_new_commit() {
    let mut world = World::new(&json!({"ttl": {"max": "2h"}}));
    world.seen.runs.push(run(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Ready)]);
    world.now = at(119);
    assert_eq!(world.phases(), [(7, Ready)]);
    world.now = at(120);
    assert_eq!(world.phases(), []);
    world.seen.runs.push(run(7, 'b', 121));
    world.now = at(121);
    assert_eq!(world.phases(), [(7, Ready)]);
    // What people alone remove is not touched.
    world.spec = spec(&json!({"ttl": {"max": "2h"}, "destroy": "Never"}));
    world.seen.closed.insert(7, at(122));
    world.now = at(10_000);
    assert_eq!(world.phases(), [(7, Ready)]);
    assert!(world.seen.spaces[0].record.keep);
}

#[test]
fn when_many_are_closed_at_once_none_goes_before_its_time_is_over() {
    let mut world = World::new(&json!({"limits": {"closedAtOnce": 2}, "ttl": {"max": "5h"}}));
    for number in 1..=3 {
        world.seen.runs.push(run(number, 'a', 0));
    }
    world.settle();
    world.seen.closed = (1..=3).map(|number| (number, NOW)).collect();
    world.now = at(60);
    let outlook = world.settle();
    assert_eq!(world.seen.spaces.len(), 3);
    assert!(matches!(
        outlook.shown.said,
        Some((false, "TooManyClosed", _))
    ));
    let mut raised = world.clone();
    raised.spec.limits.closed_at_once = 3;
    assert_eq!(raised.phases(), []);
    world.now = at(300);
    assert_eq!(world.phases(), []);
}

#[test]
fn a_pull_request_from_another_repository_has_no_preview() {
    let mut world = World::new(&json!({}));
    let mut fork = run(7, 'a', 0);
    fork.is_fork = true;
    world.seen.runs.push(fork);
    assert_eq!(world.phases(), [(7, Refused)]);
    assert_eq!(world.seen.spaces, []);
    // Nor does one that has a preview show what is from elsewhere.
    world.seen.runs[0] = run(7, 'a', 0);
    assert_eq!(world.phases(), [(7, Ready)]);
    let mut pushed = run(7, 'b', 1);
    pushed.is_fork = true;
    world.seen.runs.push(pushed);
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.sha, Some("a".repeat(40)));
}

#[test]
fn pods_may_do_in_a_preview_what_they_may_where_they_are_copied_from() {
    const ENFORCE: &str = "pod-security.kubernetes.io/enforce";
    let object = |labels: Value| -> kube::api::DynamicObject {
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": labels}});
        serde_json::from_value(object).unwrap()
    };
    let mut world = World::new(&json!({}));
    let home = object(json!({(ENFORCE): "restricted", "team": "shop"}));
    world.seen.pod_security = pod_security_of(&home);
    world.seen.runs.push(run(7, 'a', 0));
    let outlook = world.look();
    let Action::Create(made) = &outlook.actions[0] else {
        panic!("{outlook:?}");
    };
    assert_eq!(made.body["metadata"]["labels"][ENFORCE], "restricted");
    assert_eq!(made.body["metadata"]["labels"].get("team"), None);
    assert_eq!(world.phases(), [(7, Ready)]);

    // One that is there is put right before anything else is done to it, with or without its run.
    let warn = "pod-security.kubernetes.io/warn";
    world.seen.pod_security = pod_security_of(&object(json!({(warn): "baseline"})));
    world.seen.runs.clear();
    let outlook = world.look();
    let [Action::Patch { change, .. }] = &outlook.actions[..] else {
        panic!("{outlook:?}");
    };
    assert_eq!(change["metadata"]["labels"], json!({(warn): "baseline"}));
    assert_eq!(world.phases(), [(7, Ready)]);
    let both = object(json!({(ENFORCE): "restricted", (warn): "baseline"}));
    assert_eq!(
        world.seen.spaces[0].pod_security,
        pod_security_of(&both),
        "none is taken off"
    );
    assert_eq!(world.look().actions, []);
}

#[test]
fn one_that_is_refused_keeps_no_other_back() {
    let mut world = World::new(&json!({}));
    world.seen.runs = vec![run(1, 'a', 0), run(2, 'b', 0)];
    let outlook = world.look();
    world.act(&outlook.actions, usize::MAX);
    // A third is made before any of the two is filled.
    world.seen.runs.push(run(3, 'c', 0));
    let mut filled = BTreeSet::new();
    for seconds in [0, 10] {
        world.now = NOW + SignedDuration::from_secs(seconds);
        let outlook = world.look();
        assert!(matches!(outlook.actions[0], Action::Create(_)));
        let applied = outlook.actions.iter().find_map(|action| match action {
            Action::Apply(made) => Some(made.key.namespace.clone()),
            Action::Create(_)
            | Action::Patch { .. }
            | Action::PatchEach(_)
            | Action::Status { .. }
            | Action::Delete { .. }
            | Action::Evict { .. }
            | Action::Mirror { .. }
            | Action::Fetch { .. } => None,
        });
        filled.extend(applied);
    }
    assert_eq!(filled.len(), 2, "{filled:?}");
}

#[test]
fn that_people_alone_remove_it_is_put_on_record_without_its_run() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Ready)]);
    world.seen.runs.clear();
    world.spec = spec(&json!({"destroy": "Never"}));
    assert_eq!(world.phases(), [(7, Ready)]);
    assert!(world.seen.spaces[0].record.keep);
    world.spec = spec(&json!({}));
    assert_eq!(world.phases(), [(7, Ready)]);
    assert!(!world.seen.spaces[0].record.keep);
}

#[test]
fn texts_that_are_replaced_leave_the_images_of_the_run_and_the_host_alone() {
    let rules = json!([
        {"from": "registry.example", "to": "elsewhere"},
        {"from": "preview.example.com", "to": "nowhere"},
        {"from": "api", "to": "gone"},
    ]);
    let mut world = World::new(&json!({"replace": rules}));
    world.seen.runs.push(run(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Ready)]);
    let of = |kind| {
        let mut all = world.applied.iter().filter(|made| made.kind == kind);
        all.next().unwrap().body["spec"].clone()
    };
    let image = format!("registry.example/api@sha256:{}", "a".repeat(64));
    let rollout = of(ObjectKind::Rollout);
    assert_eq!(rollout["template"]["spec"]["containers"][0]["image"], image);
    let route = of(ObjectKind::HttpRoute);
    assert_eq!(route["hostnames"], json!(["pr-7.preview.example.com"]));
}

#[test]
fn a_namespace_that_hangs_is_looked_at_less_and_less() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    world.seen.spaces[0].going_since = Some(NOW);
    for (now, wake) in [(0, 5), (60, 90), (6_000, 6_300)] {
        world.now = NOW + SignedDuration::from_secs(now);
        let wanted = NOW + SignedDuration::from_secs(wake);
        assert_eq!(world.look().wake, Some(wanted));
    }
    world.now = NOW;
    world.seen.blocked = Some(("PreviewsUnknown", "no answer".to_owned()));
    assert_eq!(world.look().wake, Some(NOW + SignedDuration::from_secs(30)));
}

#[test]
fn it_never_goes_back_to_an_older_run() {
    let mut world = World::new(&json!({}));
    world.seen.runs = vec![run(7, 'a', 0), run(7, 'b', 1)];
    world.settle();
    world.seen.runs.pop();
    let item = world.settle().shown.items[0].clone();
    assert_eq!((item.phase, item.sha), (Ready, Some("b".repeat(40))));
}

#[test]
fn what_cannot_be_is_told() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.seen.taken.insert("shop-review-pr-7".to_owned());
    assert_eq!(world.phases(), [(7, Failed)]);
    world.seen.taken.clear();
    world.seen.runs[0].images.clear();
    let outlook = world.settle();
    let message = outlook.shown.items[0].message.clone().unwrap();
    assert!(message.contains("made no image api"), "{message}");
    assert!(matches!(
        outlook.shown.said,
        Some((false, "PreviewFailed", _))
    ));
    world.seen.runs[0] = run(7, 'a', 0);
    world.settle();
    let live = world.seen.rollouts.values_mut().next().unwrap();
    live[0].phase = Phase::RolledBack;
    assert_eq!(world.phases(), [(7, Failed)]);
    live_of(&mut world).is_current = false;
    assert_eq!(world.phases(), [(7, Updating)]);
}

fn live_of(world: &mut World) -> &mut Live {
    &mut world.seen.rollouts.values_mut().next().unwrap()[0]
}

fn namespace(labels: &Value, environment: &str) -> Option<Space> {
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": "shop-review-pr-7", "uid": "u", "labels": labels,
            "annotations": {(label::PREVIEW_ENVIRONMENT): environment},
        },
    });
    let object: kube::api::DynamicObject = serde_json::from_value(object).unwrap();
    Space::read(&object)
}

#[test]
fn a_namespace_is_a_preview_only_if_everything_about_it_says_so() {
    let of = selector_of(&environment());
    let labels = json!({
        (label::MANAGED_BY): "slipway", (label::PREVIEW): "7", (label::PREVIEW_OF): of,
    });
    assert!(namespace(&labels, "shop/review").is_some());
    assert_eq!(namespace(&labels, "shop/other"), None);
    for label in [label::MANAGED_BY, label::PREVIEW, label::PREVIEW_OF] {
        let mut wrong = labels.clone();
        wrong[label] = json!("8");
        assert_eq!(namespace(&wrong, "shop/review"), None, "{label}");
    }
}

#[test]
fn orphans_go_a_few_at_a_time_and_only_where_environments_could_be_listed() {
    let mut world = World::new(&json!({}));
    for number in 1..=8 {
        world.seen.runs.push(run(number, 'a', 0));
    }
    world.settle();
    let mut spaces = world.seen.spaces.clone();
    let other = Key::new("shop", "staging");
    let mut environments = BTreeMap::new();
    assert_eq!(sweep(&spaces, &environments), []);
    environments.insert(other, true);
    assert_eq!(sweep(&spaces, &environments).len(), 5);
    environments.insert(environment(), false);
    assert_eq!(sweep(&spaces, &environments).len(), 5);
    for space in &mut spaces {
        space.record.keep = true;
    }
    assert_eq!(sweep(&spaces, &environments), []);
    for space in &mut spaces {
        space.record.keep = false;
    }
    environments.insert(environment(), true);
    assert_eq!(sweep(&spaces, &environments), []);
}

/// What happens to pull requests.
#[derive(Clone, Debug)]
enum Turn {
    Pass(u64, char),
    Close(u64),
    Reopen(u64),
    Forget,
    Wait(i64),
    /// The process is killed after so many actions.
    Act(usize),
}

fn turn() -> impl Strategy<Value = Turn> {
    prop_oneof![
        4 => (1..8_u64, prop::sample::select(vec!['a', 'b', 'c'])).prop_map(|(n, sha)| Turn::Pass(n, sha)),
        2 => (1..8_u64).prop_map(Turn::Close),
        1 => (1..8_u64).prop_map(Turn::Reopen),
        1 => Just(Turn::Forget),
        2 => (1..100_i64).prop_map(Turn::Wait),
        6 => (0..9_usize).prop_map(Turn::Act),
    ]
}

/// What holds of every plan, whatever is seen.
fn check(world: &World) {
    let outlook = world.look();
    for action in &outlook.actions {
        let Action::Delete { target, .. } = action else {
            continue;
        };
        let space = world
            .seen
            .spaces
            .iter()
            .find(|space| space.target == *target);
        let space = space.expect("only what is there, by its uid");
        let is_closed = world
            .seen
            .closed
            .get(&space.number)
            .is_some_and(|closed| *closed <= world.now);
        let is_old = space.record.at.as_ref().map_or(space.created_at, |at| at.0)
            + SignedDuration::from_hours(2)
            <= world.now;
        assert!(is_closed || is_old, "deleted for no reason: {space:?}");
    }
    let numbers: BTreeSet<u64> = world.seen.spaces.iter().map(|space| space.number).collect();
    assert_eq!(numbers.len(), world.seen.spaces.len(), "two for one");
    assert!(world.seen.spaces.len() <= 3, "more than limits.max");
}

proptest! {
    #[test]
    fn nothing_goes_without_a_reason_and_there_are_never_too_many(turns in prop::collection::vec(turn(), 1..60)) {
        let mut world = World::new(&json!({"limits": {"max": 3}, "ttl": {"max": "2h", "afterClose": "5m"}}));
        for turn in turns {
            match turn {
                Turn::Pass(number, sha) => {
                    let minutes = world.now.duration_since(NOW).as_mins();
                    world.seen.runs.retain(|known| known.name != format!("api-{number}-{sha}"));
                    world.seen.runs.push(run(number, sha, minutes));
                }
                Turn::Close(number) => drop(world.seen.closed.insert(number, world.now)),
                Turn::Reopen(number) => drop(world.seen.closed.remove(&number)),
                Turn::Forget => world.seen.runs.clear(),
                Turn::Wait(minutes) => {
                    world.now += SignedDuration::from_mins(minutes);
                    world.seen.spaces.retain(|space| !space.is_going());
                }
                Turn::Act(most) => {
                    let outlook = world.look();
                    world.act(&outlook.actions, most);
                }
            }
            check(&world);
        }
        // In the end all of them are closed, and nothing is left.
        world.seen.closed = (1..8).map(|number| (number, world.now)).collect();
        world.now += SignedDuration::from_hours(2);
        prop_assert_eq!(world.phases(), []);
        prop_assert!(world.seen.spaces.is_empty());
    }

    #[test]
    fn killed_after_any_action_it_comes_to_the_same_end(kill_after in 0..12_usize) {
        let mut whole = World::new(&json!({}));
        whole.seen.runs = vec![run(1, 'a', 0), run(2, 'b', 0)];
        let mut killed = whole.clone();
        let outlook = whole.settle();
        let mut left = kill_after;
        while left > 0 {
            let next = killed.look();
            let done = killed.act(&next.actions, left);
            left = if done == 0 { 0 } else { left - done };
        }
        let after = killed.settle();
        prop_assert_eq!(outlook.shown, after.shown);
        let names = |world: &World| -> Vec<String> {
            world.seen.spaces.iter().map(|space| space.target.key.name.clone()).collect()
        };
        prop_assert_eq!(names(&whole), names(&killed));
    }
}

#[test]
fn a_copy_has_an_owner_only_where_its_preview_is() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    let mut made = world.applied.iter();
    let made = made.find(|made| made.kind == ObjectKind::Rollout).unwrap();
    let mut copy: kube::api::DynamicObject = serde_json::from_value(made.body.clone()).unwrap();
    assert_eq!(owner_of(&copy), Some(environment()));
    copy.metadata.namespace = Some("mallory".to_owned());
    assert_eq!(owner_of(&copy), None);
    copy.metadata.namespace = Some("shop-review-pr-8".to_owned());
    assert_eq!(owner_of(&copy), None);
}

#[test]
fn the_runs_that_previews_need_are_told() {
    let mut world = World::new(&json!({"limits": {"max": 1}}));
    world.seen.runs = vec![run(1, 'a', 0), run(2, 'b', 1), run(3, 'c', 2)];
    world.seen.runs[2].is_fork = true;
    let previews = world.settle().shown.items;
    let mut environment: Environment = serde_json::from_value(json!({
        "metadata": {"name": "review"},
        "spec": {"tier": "Development", "rollouts": [{"name": "api"}], "promotion": {"from": {"pipelines": ["api"]}}},
    }))
    .unwrap();
    environment.spec.previews = Some(world.spec.clone());
    environment.status.get_or_insert_default().previews = previews;
    assert_eq!(environment.previewed_runs("api"), ["api-1-a", "api-2-b"]);
    assert_eq!(environment.previewed_runs("other"), [""; 0]);
}

#[test]
fn a_namespace_is_made_without_one() {
    let made = space(&environment(), 7, &Record::default(), &BTreeMap::new());
    assert_eq!(made.body["metadata"].get("namespace"), None);
    assert_eq!(made.key, Key::new("", "shop-review-pr-7"));
}

fn labels(world: &mut World, number: u64, has: bool, minutes: i64) {
    let label = json!(["preview"]);
    let told = if has {
        json!({"number": number, "labels": label, "at": at(minutes)})
    } else {
        json!({"number": number, "without": label, "at": at(minutes)})
    };
    let told = serde_json::from_value(told).unwrap();
    world.seen.labels.insert(number, told);
}

#[test]
fn only_pull_requests_with_the_label_have_one_and_it_goes_with_the_label() {
    let mut world = World::new(&json!({"match": {"labels": ["preview"]}}));
    world.seen.runs = vec![run(7, 'a', 0), run(8, 'b', 0)];
    // Nobody has told.
    assert_eq!(world.phases(), [(7, Queued), (8, Queued)]);
    labels(&mut world, 7, true, 0);
    labels(&mut world, 8, false, 0);
    assert_eq!(world.phases(), [(7, Ready), (8, Skipped)]);
    let message = world.look().shown.items[1].message.clone().unwrap();
    assert!(message.contains("no label preview"), "{message}");

    labels(&mut world, 7, false, 5);
    world.now = at(6);
    let outlook = world.settle();
    let item = &outlook.shown.items[0];
    assert_eq!((item.phase, outlook.wake), (Ready, Some(at(15))));
    assert!(item.message.as_ref().unwrap().contains("lost a label"));
    assert_eq!(item.expires_at.as_ref().unwrap().0, at(15));
    world.now = at(15);
    assert_eq!(world.look().shown.items[0].phase, Closing);
    assert_eq!(world.phases(), [(7, Skipped), (8, Skipped)]);
    labels(&mut world, 7, true, 16);
    assert_eq!(world.phases(), [(7, Ready), (8, Skipped)]);
    // That nobody tells any more is no reason.
    world.seen.labels.clear();
    world.now = at(60);
    assert_eq!(world.phases(), [(7, Ready), (8, Queued)]);
}

#[test]
fn a_label_that_is_not_looked_for_is_said_and_not_waited_for() {
    let mut world = World::new(&json!({"match": {"labels": ["zebra"]}}));
    world.seen.runs.push(run(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Queued)]);
    world.seen.unasked.insert("zebra".to_owned());
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.phase, Failed);
    assert!(item.message.unwrap().contains("more than 8"));
    assert!(world.seen.spaces.is_empty());
}

#[test]
fn when_many_lose_their_label_at_once_none_goes_before_its_time_is_over() {
    let mut world = World::new(&json!({
        "match": {"labels": ["preview"]}, "limits": {"closedAtOnce": 1}, "ttl": {"max": "5h"},
    }));
    for number in 1..=2 {
        world.seen.runs.push(run(number, 'a', 0));
        labels(&mut world, number, true, 0);
    }
    world.settle();
    labels(&mut world, 1, false, 0);
    world.seen.closed.insert(2, NOW);
    world.now = at(60);
    let outlook = world.settle();
    assert_eq!(world.seen.spaces.len(), 2);
    assert!(matches!(
        outlook.shown.said,
        Some((false, "TooManyClosed", _))
    ));
}

#[test]
fn what_is_from_elsewhere_is_shown_once_somebody_approved_exactly_that_commit() {
    let mut world = World::new(&json!({"match": {"forks": "RequireApproval"}}));
    let mut fork = run(7, 'a', 0);
    fork.is_fork = true;
    world.seen.runs.push(fork);
    // Its Pipeline lets everybody's runs begin.
    assert_eq!(world.phases(), [(7, Refused)]);
    world.seen.runs[0].is_approved = true;
    assert_eq!(world.phases(), [(7, Ready)]);
    let enforce = "pod-security.kubernetes.io/enforce";
    assert_eq!(world.seen.spaces[0].pod_security[enforce], "restricted");
    let mut made = world.applied.iter();
    let made = made.find(|made| made.kind == ObjectKind::Rollout).unwrap();
    let pod = &made.body["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);

    let mut pushed = run(7, 'b', 1);
    pushed.is_fork = true;
    world.seen.runs.push(pushed);
    let item = world.settle().shown.items[0].clone();
    assert_eq!(
        item.sha,
        Some("a".repeat(40)),
        "nobody approved the next one"
    );
    world.seen.runs[1].is_approved = true;
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.sha, Some("b".repeat(40)));
}

#[test]
fn what_shows_a_fork_is_restricted_though_its_template_is_not() {
    let mut world = World::new(&json!({"match": {"forks": "RequireApproval"}}));
    world.seen.runs.push(run(7, 'a', 0));
    let enforce = "pod-security.kubernetes.io/enforce";
    let privileged = BTreeMap::from([(enforce.to_owned(), "privileged".to_owned())]);
    world.seen.pod_security = privileged;
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.seen.spaces[0].pod_security[enforce], "privileged");
    let mut fork = run(7, 'b', 1);
    (fork.is_fork, fork.is_approved) = (true, true);
    world.seen.runs.push(fork);
    let outlook = world.look();
    let [Action::Patch { change, .. }] = &outlook.actions[..] else {
        panic!("before anything of it is there: {outlook:?}");
    };
    assert_eq!(change["metadata"]["labels"][enforce], "restricted");
    assert_eq!(world.phases(), [(7, Ready)]);
    assert!(world.seen.spaces[0].record.fork);
    assert_eq!(world.seen.spaces[0].pod_security[enforce], "restricted");
}

#[test]
fn one_that_nobody_asks_for_goes_and_stays_away_until_there_is_a_new_commit() {
    let query = "sum(increase(requests{namespace=\"{{namespace}}\"}[{{after}}]))";
    let mut world = World::new(&json!({"idle": {"after": "2h", "query": query}}));
    world.seen.runs.push(run(7, 'a', 0));
    world.requests = Some(0.0);
    let outlook = world.settle();
    assert_eq!(
        (outlook.shown.items[0].phase, outlook.wake),
        (Ready, Some(at(120)))
    );
    assert!(world.answers.is_empty(), "it is young");

    // Somebody asks, then Prometheus tells nothing, then nobody asks.
    for (minutes, requests, phase) in [
        (120, Some(3.0), Ready),
        (126, None, Ready),
        (132, Some(0.0), Idle),
    ] {
        world.now = at(minutes);
        world.requests = requests;
        assert_eq!(world.phases(), [(7, phase)], "{minutes}");
    }
    let asked = world.answers.keys().next().unwrap();
    let expected = "requests{namespace=\"shop-review-pr-7\"}[7200s]";
    assert!(asked.contains(expected), "{asked}");
    assert_eq!(world.seen.spaces, []);
    world.now = at(200);
    assert_eq!(world.phases(), [(7, Idle)]);
    let mut commit = world.clone();
    commit.seen.runs.push(run(7, 'b', 201));
    let mut again = run(7, 'a', 201);
    again.name = "api-7-a-again".to_owned();
    world.seen.runs.push(again);
    for mut world in [world, commit] {
        world.now = at(201);
        assert_eq!(world.phases(), [(7, Ready)]);
    }
}

#[test]
fn an_answer_from_before_its_last_update_says_nothing() {
    let mut world = World::new(&json!({"idle": {"after": "1h", "query": "requests"}}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    world.requests = Some(0.0);
    world.answer("preview/7/requests");
    // Asked at the beginning, and the update came after it.
    let answer = world.answers.get_mut("preview/7/requests").unwrap();
    Arc::make_mut(answer).at = at(59);
    world.now = at(60);
    assert!(
        world.look().actions.is_empty(),
        "not older than it may be, and not asked again"
    );
    assert_eq!(world.look().shown.items[0].phase, Ready);
    world.now = at(64);
    assert_eq!(world.phases(), [(7, Idle)]);
}

fn seeded(extra: &Value) -> World {
    let mut seed = json!({
        "image": "registry.example/seed:1", "command": ["seed"],
        "env": [{"name": "HOST", "value": "db.{{namespace}}"}, {"name": "PASSWORD", "secretRef": {"name": "db", "key": "password"}}],
    });
    let fields = seed.as_object_mut().unwrap();
    fields.extend(extra.as_object().unwrap().clone());
    fields.retain(|_, value| !value.is_null());
    let mut world = World::new(&json!({"seed": seed}));
    let facts = Facts {
        is_labelled: true,
        keys: ["password".to_owned()].into(),
    };
    world.seen.secrets = Some(Secrets::Known([("db".to_owned(), Some(facts))].into()));
    world.seen.runs.push(run(7, 'a', 0));
    world
}

#[test]
fn its_database_is_filled_once_before_anything_of_the_run_is_there() {
    let mut world = seeded(&json!({}));
    world.verdict = Outcome::Running;
    assert_eq!(world.phases(), [(7, Updating)]);
    let kinds: Vec<ObjectKind> = world.applied.iter().map(|made| made.kind).collect();
    assert!(!kinds.contains(&ObjectKind::Rollout) && !kinds.contains(&ObjectKind::HttpRoute));
    assert!(kinds.contains(&ObjectKind::Service));
    let job = world.jobs[0].clone();
    let container = &job.body["spec"]["template"]["spec"]["containers"][0];
    let env = container["env"].as_array().unwrap();
    let value = |name: &str| {
        let mut named = env.iter().filter(|variable| variable["name"] == name);
        named.next().unwrap().clone()
    };
    assert_eq!(value("HOST")["value"], "db.shop-review-pr-7");
    assert_eq!(value("SLIPWAY_PULL_REQUEST")["value"], "7");
    assert_eq!(value("PASSWORD")["valueFrom"]["secretKeyRef"]["name"], "db");
    let owner = &job.body["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["name"]),
        (&json!("Namespace"), &json!("shop-review-pr-7"))
    );

    world.checks.values_mut().next().unwrap().outcome = Outcome::Passed;
    assert_eq!(world.phases(), [(7, Ready)]);
    world.seen.runs.push(run(7, 'b', 1));
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.jobs.len(), 1);
}

#[test]
fn a_database_that_was_not_filled_fails_the_preview_until_its_job_is_gone() {
    let mut world = seeded(&json!({"every": "Commit"}));
    world.verdict = Outcome::Failed("it is full".to_owned());
    let outlook = world.settle();
    let item = &outlook.shown.items[0];
    assert_eq!(item.phase, Failed);
    let message = item.message.clone().unwrap();
    let name = world.jobs[0].key.name.clone();
    assert!(
        message.contains("it is full") && message.contains(&name),
        "{message}"
    );
    assert_eq!(world.phases(), [(7, Failed)], "not tried again by itself");
    assert_eq!(world.jobs.len(), 1);
    world.checks.clear();
    world.verdict = Outcome::Passed;
    assert_eq!(world.phases(), [(7, Ready)]);
    // Each commit fills it again.
    world.seen.runs.push(run(7, 'b', 1));
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.jobs.len(), 3);
}

#[test]
fn no_code_from_elsewhere_runs_beside_secrets_and_none_may_be_missing() {
    let mut world = seeded(&json!({"image": null, "imageFrom": "api"}));
    world.spec.which.forks = Some(PreviewForks::RequireApproval);
    let own = &mut world.seen.runs[0];
    (own.is_fork, own.is_approved) = (true, true);
    let outlook = world.settle();
    assert_eq!(outlook.shown.items[0].phase, Failed);
    assert!(world.jobs.is_empty());
    world.seen.runs[0].is_fork = false;
    world.seen.secrets = Some(Secrets::NotAllowed);
    assert_eq!(world.phases(), [(7, Failed)]);
    assert!(world.jobs.is_empty());
}

#[test]
fn a_namespace_that_hangs_is_told_with_what_keeps_it() {
    let mut world = World::new(&json!({}));
    world.seen.runs.push(run(7, 'a', 0));
    world.settle();
    let space = &mut world.seen.spaces[0];
    space.going_since = Some(NOW);
    space.held_by = Some("Some content has finalizers remaining: example.com/hold".to_owned());
    world.now = at(1);
    assert!(matches!(world.look().shown.said, Some((true, _, _))));
    world.now = at(2);
    let outlook = world.look();
    assert!(matches!(
        outlook.shown.said,
        Some((false, "PreviewHangs", _))
    ));
    let item = &outlook.shown.items[0];
    assert_eq!(item.phase, Closing);
    assert!(item.message.as_ref().unwrap().contains("example.com/hold"));
    assert_eq!(outlook.actions, [], "what others put on, others take off");
}

#[test]
fn what_keeps_a_namespace_is_read_from_what_kubernetes_says() {
    let of = selector_of(&environment());
    let object = json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {
            "name": "shop-review-pr-7", "uid": "u",
            "labels": {(label::MANAGED_BY): "slipway", (label::PREVIEW): "7", (label::PREVIEW_OF): of},
            "annotations": {(label::PREVIEW_ENVIRONMENT): "shop/review"},
        },
        "status": {"conditions": [
            {"type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "no"},
            {"type": "NamespaceContentRemaining", "status": "True", "message": "pods. has 1 resource instances"},
            {"type": "NamespaceFinalizersRemaining", "status": "True", "message": "a.example in 1 resource instances"},
        ]},
    });
    let object: kube::api::DynamicObject = serde_json::from_value(object).unwrap();
    let space = Space::read(&object).unwrap();
    assert_eq!(
        space.held_by.as_deref(),
        Some("a.example in 1 resource instances")
    );
}

#[test]
fn containers_that_name_no_limits_get_some_unless_that_would_keep_them_out() {
    let limit = |world: &mut World| {
        world.seen.runs = vec![run(7, 'a', 0)];
        world.settle();
        let mut made = world.applied.iter();
        let made = made.find(|made| made.kind == ObjectKind::LimitRange);
        made.map(|made| made.body["spec"]["limits"][0].clone())
    };
    let mut bare = World::new(&json!({}));
    let expected = json!({"type": "Container", "default": {"memory": "1Gi"}, "defaultRequest": {"memory": "128Mi"}});
    assert_eq!(limit(&mut bare), Some(expected));
    let mut said = World::new(&json!({"resources": {"defaultLimits": {"cpu": "1"}}}));
    let expected = json!({"type": "Container", "default": {"cpu": "1"}});
    assert_eq!(limit(&mut said), Some(expected));
    let mut large = World::new(&json!({}));
    let containers = large.seen.templates[0].pointer_mut("/spec/template/spec/containers/0");
    containers.unwrap()["resources"] = json!({"requests": {"memory": "2Gi"}});
    assert_eq!(limit(&mut large), None);
}

/// A preview of what the run has rendered with Helm or the like.
fn rendered(extra: &Value) -> World {
    let wanted = json!({"package": "manifests", "kinds": ["Rollout", "ConfigMap"], "registrySecretName": "registry"});
    let mut all = json!({"rendered": wanted});
    json_patch::merge(&mut all, extra);
    let mut world = World::new(&all);
    world.spec.copy.clear();
    world.spec.selector.clear();
    world.seen.templates.clear();
    world
}

fn with_package(number: u64, sha: char, minutes: i64) -> Run {
    let digest = sha.to_string().repeat(64);
    let package = ImageRef {
        name: "manifests".to_owned(),
        reference: format!("registry.example/manifests@sha256:{digest}"),
    };
    Run {
        packages: vec![package],
        ..run(number, sha, minutes)
    }
}

/// What Helm prints, in short, with a Rollout of this name.
fn chart(name: &str) -> String {
    let mut rollout = templates().remove(0);
    rollout["apiVersion"] = "slipway.dev/v1alpha1".into();
    rollout["metadata"] = json!({"name": name, "labels": {"helm.sh/chart": "shop-1"}});
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"url": "http://shop.example.com/x"},
    });
    format!("---\n{rollout}\n---\n{config}\n---\n")
}

#[test]
fn what_the_run_has_rendered_is_shown_as_what_is_copied() {
    let mut world = rendered(&json!({}));
    world.seen.runs.push(with_package(7, 'a', 0));
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.phase, Updating);
    let text = item.message.unwrap();
    assert!(
        text.contains("package manifests: the registry does not answer"),
        "{text}"
    );
    assert_eq!(world.applied, [], "nothing is guessed");
    assert_eq!(world.look().wake, Some(NOW + SignedDuration::from_secs(30)));

    world.package = Ok(chart("api"));
    world.now = at(1);
    assert_eq!(world.phases(), [(7, Ready)]);
    let labels = &world.seen.spaces[0].pod_security;
    assert_eq!(
        labels[ENFORCE], BASELINE,
        "the commit says what its pods are"
    );
    let kinds: Vec<ObjectKind> = world.applied.iter().map(|made| made.kind).collect();
    let expected = [
        ObjectKind::ResourceQuota,
        ObjectKind::LimitRange,
        ObjectKind::ConfigMap,
        ObjectKind::Rollout,
    ];
    assert_eq!(kinds, expected);
    assert_eq!(world.applied[0].body["spec"]["hard"]["pods"], "50");
    let rollout = &world.applied[3].body;
    let container = &rollout["spec"]["template"]["spec"]["containers"][0];
    let image = format!("registry.example/api@sha256:{}", "a".repeat(64));
    assert_eq!(container["image"], image);
    assert_eq!(
        container["env"][0]["value"],
        "https://pr-7.preview.example.com"
    );
    assert_eq!(rollout["metadata"]["namespace"], "shop-review-pr-7");
    assert_eq!(rollout["metadata"]["labels"].get("helm.sh/chart"), None);

    // A registry that is away, and a process that has forgotten everything, change nothing.
    world.answers.clear();
    world.package = Err("gone".to_owned());
    world.now = at(60);
    assert_eq!(world.phases(), [(7, Ready)]);
    assert_eq!(world.applied.len(), 4);

    // The next commit is another package; a Rollout that it does not have keeps nothing back.
    world.package = Ok(chart("web"));
    world.seen.runs.push(with_package(7, 'b', 61));
    world.now = at(61);
    let before = world.seen.rollouts["shop-review-pr-7"].clone();
    world.settle();
    let there = world.seen.rollouts.get_mut("shop-review-pr-7").unwrap();
    there.extend(before);
    let item = world.settle().shown.items[0].clone();
    assert_eq!((item.phase, item.sha), (Ready, Some("b".repeat(40))));
}

#[test]
fn what_was_rendered_and_may_not_be_there_is_refused_whole() {
    let mut world = rendered(&json!({}));
    let secret = "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: key}\n";
    world.package = Ok(chart("api") + secret);
    world.seen.runs.push(with_package(7, 'a', 0));
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.phase, Failed);
    let text = item.message.unwrap();
    assert!(
        text.contains("Secret key, and previews.rendered.kinds does not allow that"),
        "{text}"
    );
    assert_eq!(world.applied, []);

    world.package = Ok("\n---\n".to_owned());
    world.seen.runs.push(with_package(7, 'b', 1));
    world.now = at(1);
    let text = world.settle().shown.items[0].message.clone().unwrap();
    assert!(text.contains("has no manifests"), "{text}");

    world.seen.runs.push(run(7, 'c', 2));
    world.now = at(2);
    let text = world.settle().shown.items[0].message.clone().unwrap();
    assert!(text.contains("made no package manifests"), "{text}");
}

#[test]
fn a_database_is_filled_before_the_rollouts_that_were_rendered() {
    let seed = json!({"image": "seed:1", "command": ["seed"]});
    let mut world = rendered(&json!({"seed": seed}));
    world.package = Ok(chart("api"));
    world.verdict = Outcome::Running;
    world.seen.runs.push(with_package(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Updating)]);
    let kinds: Vec<ObjectKind> = world.applied.iter().map(|made| made.kind).collect();
    let expected = [
        ObjectKind::ResourceQuota,
        ObjectKind::LimitRange,
        ObjectKind::ConfigMap,
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn what_the_server_would_refuse_of_a_package_fails_its_preview_before_anything_is_applied() {
    for (from, to, says) in [
        (
            r#""replicas":2"#,
            r#""replicas":"two""#,
            "Rollout api: spec.replicas",
        ),
        (
            r#""data":{"#,
            r#""data":{"port":80,"#,
            "ConfigMap settings: data.port has to be a text",
        ),
    ] {
        let mut world = rendered(&json!({}));
        let chart = chart("api");
        assert!(chart.contains(from), "{chart}");
        world.package = Ok(chart.replace(from, to));
        world.seen.runs.push(with_package(7, 'a', 0));
        let item = world.settle().shown.items[0].clone();
        let text = item.message.unwrap();
        assert_eq!(item.phase, Failed, "{text}");
        assert!(text.contains(says), "{text}");
        assert_eq!(world.applied, []);
    }
}

#[test]
fn what_only_the_server_knows_is_asked_before_anything_is_applied() {
    let mut world = rendered(&json!({}));
    world.package = Ok(chart("api"));
    world.refuses = Err("no answer".to_owned());
    world.seen.runs.push(with_package(7, 'a', 0));
    world.seen.runs.push(with_package(8, 'a', 0));
    let items = world.settle().shown.items;
    for item in &items {
        assert_eq!(item.phase, Updating);
        let text = item.message.as_deref().unwrap();
        assert!(text.contains("whether it would take its objects: no answer"));
    }
    assert_eq!((world.applied.len(), items.len()), (0, 2));
    assert_eq!(world.look().wake, Some(NOW + SignedDuration::from_secs(30)));

    let refusal = "ConfigMap settings: data: Too long: may not be more than 1048576 bytes";
    world.refuses = Ok(Some(refusal.to_owned()));
    world.now = at(1);
    let outlook = world.look();
    let asked = outlook.actions.iter();
    let asked = asked.filter(|action| matches!(action, Action::Fetch { .. }));
    assert_eq!(asked.count(), 1, "one preview at a time");
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.phase, Failed);
    assert_eq!(item.message.as_deref(), Some(refusal));
    assert_eq!(world.applied, []);

    world.refuses = Ok(None);
    world.now = at(2);
    assert_eq!(world.phases(), [(7, Ready), (8, Ready)]);
}

#[test]
fn a_package_that_a_registry_does_not_have_is_asked_for_again() {
    let mut world = rendered(&json!({}));
    world.package = Ok(chart("api"));
    world.is_gone = true;
    world.seen.runs.push(with_package(7, 'a', 0));
    let item = world.settle().shown.items[0].clone();
    assert_eq!(item.phase, Failed);
    let text = item.message.unwrap();
    assert!(text.contains("the registry does not have it"), "{text}");
    assert_eq!(world.look().wake, Some(NOW + SignedDuration::from_secs(30)));
    world.is_gone = false;
    world.now = at(1);
    assert_eq!(world.phases(), [(7, Ready)]);
}

#[test]
fn what_is_rendered_is_bounded_whatever_it_asks_for() {
    let mut world = rendered(&json!({}));
    let asks = r#""name":"proxy","resources":{"requests":{"memory":"2Gi"}}"#;
    world.package = Ok(chart("api").replace(r#""name":"proxy""#, asks));
    world.seen.runs.push(with_package(7, 'a', 0));
    assert_eq!(world.phases(), [(7, Ready)]);
    let limit = &world.applied[1];
    assert_eq!(limit.kind, ObjectKind::LimitRange);
    assert_eq!(limit.body["spec"]["limits"][0]["default"]["memory"], "1Gi");
}
