//! Receivers of every type, all of them real servers: each hears once of what it is to hear of, and takes nothing that its
//! published rules do not have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use k8s_openapi::api::core::v1::{Event, Secret};
use kube::ResourceExt;
use kube::api::{Api, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::crd::validation;
use slipway::model::invalid::Invalid;
use testbed::mail::MailServer;
use testbed::proxy::{Fault, Match, What};

use super::shop::Shop;
use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::fault::proxied;
use crate::operator::Operator;
use crate::server::serve;

const CA: &str = include_str!("../../data/tls/ca.crt");
const SERVER: &str = include_str!("../../data/tls/server.crt");
const KEY: &str = include_str!("../../data/tls/server.key");
const PASSWORD: &str = "a-password-of-mail";
const ROUTING_KEY: &str = "a-routing-key-of-pagerduty";
const ARGS: &[&str] = &[
    "--no-leader-election",
    "--metric-secrets",
    "--metric-hosts",
    "localhost,127.0.0.0/8,::1",
];

/// What receivers take, by the path that they are asked at.
const RULES: [(&str, &str); 5] = [
    ("/slack", include_str!("../../data/notification/slack.json")),
    ("/teams", include_str!("../../data/notification/teams.json")),
    (
        "/pagerduty",
        include_str!("../../data/notification/pager_duty.json"),
    ),
    (
        "/am/api/v2/alerts",
        include_str!("../../data/notification/alertmanager.json"),
    ),
    (
        "/structured",
        include_str!("../../data/notification/cloud_events.json"),
    ),
];

/// Attributes of an event of CloudEvents.
type Attributes = BTreeMap<String, String>;

/// Someone who takes whatever is posted: path and body of each request, and its header fields that begin with `ce-`.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<(String, Value, Attributes)>>>);

impl Heard {
    async fn listen() -> (Self, String) {
        let heard = Self::default();
        let app = Router::new().fallback(hear).with_state(heard.clone());
        let (url, _) = serve(app).await;
        (heard, url)
    }

    /// The different bodies that came to a path.
    fn at(&self, path: &str) -> Vec<Value> {
        let mut different: Vec<Value> = Vec::new();
        for (to, body, _) in self.0.lock().unwrap().iter() {
            if to == path && !different.contains(body) {
                different.push(body.clone());
            }
        }
        different
    }

    /// The different events in binary mode that came to a path: their attributes and data.
    fn events_at(&self, path: &str) -> BTreeSet<(Attributes, String)> {
        let all = self.0.lock().unwrap();
        let here = all.iter().filter(|(to, ..)| to == path);
        here.map(|(_, data, attributes)| (attributes.clone(), data.to_string()))
            .collect()
    }
}

/// What is wrong with a body by the rules of whoever is asked at a path; slack has two, since its URL changes.
fn problems(path: &str, body: &Value) -> Vec<Invalid> {
    let mut rules = RULES.iter();
    let Some((_, rules)) = rules.find(|(known, _)| path.starts_with(known)) else {
        return Vec::new();
    };
    let rules: Value = serde_json::from_str(rules).unwrap();
    let schema = json!({"type": "object", "properties": {"spec": rules}});
    validation::problems(&json!({"spec": body}), &schema)
}

/// As the services do, it refuses what it does not understand; that never counts as heard.
async fn hear(State(heard): State<Heard>, request: Request) -> StatusCode {
    let path = request.uri().path().to_owned();
    let fields = request.headers().iter().filter_map(|(name, value)| {
        let name = name.as_str().strip_prefix("ce-")?;
        Some((name.to_owned(), value.to_str().unwrap().to_owned()))
    });
    let fields = fields.collect();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20).await;
    let body = serde_json::from_slice(&body.unwrap()).unwrap();
    let problems = problems(&path, &body);
    if !problems.is_empty() {
        eprintln!("{path} takes no such thing: {problems:?} {body}");
        return StatusCode::BAD_REQUEST;
    }
    heard.0.lock().unwrap().push((path, body, fields));
    StatusCode::OK
}

fn receivers(url: &str, mail: u16) -> Value {
    let key = |key: &str| json!({"secretRef": {"name": "told", "key": key}});
    let all = [
        "PromotionSucceeded",
        "RolledBack",
        "IncidentOpened",
        "IncidentResolved",
    ];
    let both = ["IncidentOpened", "IncidentResolved"];
    let server = json!({
        "host": "localhost", "port": mail, "from": "slipway@example.com", "to": ["team@example.com"],
        "auth": {"username": "slipway", "password": {"name": "told", "key": "password"}},
        "ca": {"name": "told", "key": "ca.crt"},
    });
    json!([
        {"name": "hook", "webhook": {"url": format!("{url}/hook")}, "on": all},
        {"name": "slack", "slack": key("slack"), "on": all},
        {"name": "teams", "teams": key("teams"), "on": all},
        {"name": "mail", "email": server, "on": all},
        {"name": "oncall", "on": both, "pagerDuty": {
            "secretRef": {"name": "told", "key": "routing-key"}, "url": format!("{url}/pagerduty"),
        }},
        {"name": "alerts", "alertmanager": {"address": format!("{url}/am")}, "on": both},
        {"name": "bus", "cloudEvents": {"url": format!("{url}/bus")}, "on": all},
        {"name": "structured", "on": all, "cloudEvents": {
            "secretRef": {"name": "told", "key": "bus"}, "mode": "Structured",
            "source": "https://cluster-a.example",
        }},
        {"name": "lost", "slack": {"secretRef": {"name": "unlabelled", "key": "slack"}}, "on": all},
    ])
}

async fn secrets(space: &Space, url: &str) {
    let values = json!({
        "slack": format!("{url}/slack"), "teams": format!("{url}/teams"), "password": PASSWORD, "ca.crt": CA,
        "routing-key": ROUTING_KEY, "bus": format!("{url}/structured"),
    });
    space.make_secret("told", values).await;
    let nobodys = json!({"slack": format!("{url}/nobodys")});
    space
        .make_secret_with("unlabelled", json!({}), nobodys)
        .await;
}

/// Subjects of emails, each once for every id.
fn subjects(server: &MailServer) -> Vec<String> {
    let mut ids = BTreeSet::new();
    let mut subjects = Vec::new();
    for mail in server.received() {
        let field = |name: &str| {
            let mut lines = mail.data.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            line.unwrap_or_default().to_owned()
        };
        assert!(mail.is_encrypted, "{mail:?}");
        assert_eq!(mail.login, Some(("slipway".into(), PASSWORD.into())));
        if ids.insert(field("Message-ID: ")) {
            subjects.push(field("Subject: "));
        }
    }
    subjects
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_receiver_hears_once_of_a_promotion_and_the_way_back_though_the_operator_dies() {
    with_namespace(async |space| {
        let (heard, url) = Heard::listen().await;
        let wants = Some(("slipway", PASSWORD));
        let mail = MailServer::start(wants, Some((SERVER, KEY))).await.unwrap();
        secrets(space, &url).await;
        let shop = Shop::new(space);
        let (proxy, kubeconfig) = proxied(space).await;
        let mut operator = Operator::start_with(&space.name, &kubeconfig, ARGS);
        let told = json!({"notifications": receivers(&url, mail.port())});
        shop.environment("staging", &told).await;
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        // Somebody gives the channel another URL: what comes from now on goes there.
        wait_for("the first message", SOON, async || {
            (heard.at("/slack").len() == 1).then_some(())
        })
        .await;
        rotate(space, &format!("{url}/slack-new")).await;
        shop.release_plays(2, "crash-loop");
        let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
        // Somewhere between the end of the promotion, the way back and the messages about them.
        let injected = proxy.inject(kill.nth(12));
        shop.release(2).await;
        operator.ended().await;
        injected.remove();
        operator = Operator::start_with(&space.name, &kubeconfig, ARGS);
        shop.until_left("staging", 2).await;
        let events = |bodies: &[Value]| -> BTreeSet<String> {
            let events = bodies.iter().map(|body| body["event"].as_str().unwrap());
            events.map(str::to_owned).collect()
        };
        let expected = [
            "IncidentOpened",
            "IncidentResolved",
            "PromotionSucceeded",
            "RolledBack",
        ];
        let expected = BTreeSet::from(expected.map(str::to_owned));
        wait_for("everybody has heard of everything", SOON, async || {
            let counts = [
                heard.at("/slack").len() + heard.at("/slack-new").len(),
                heard.at("/teams").len(),
                subjects(&mail).len(),
            ];
            let pages = heard.at("/pagerduty").len() + heard.at("/am/api/v2/alerts").len();
            let hook = events(&heard.at("/hook"));
            let bus = [heard.events_at("/bus").len(), heard.at("/structured").len()];
            (counts == [4, 4, 4] && pages == 4 && bus == [4, 4] && hook == expected).then_some(())
        })
        .await;
        shop.until_looked_again("staging").await;
        assert_eq!(heard.at("/hook").len(), 4);
        assert_eq!(
            (heard.at("/slack").len(), heard.at("/slack-new").len()),
            (1, 3)
        );
        assert_eq!(subjects(&mail).len(), 4, "{:?}", subjects(&mail));
        let pages = heard.at("/pagerduty");
        assert_eq!(pages[0]["event_action"], "trigger");
        assert_eq!(pages[1]["event_action"], "resolve");
        assert_eq!(pages[0]["dedup_key"], pages[1]["dedup_key"]);
        assert_eq!(pages[0]["routing_key"], ROUTING_KEY);
        let alerts = heard.at("/am/api/v2/alerts");
        assert_eq!(alerts[0][0]["labels"], alerts[1][0]["labels"]);
        assert_eq!(heard.at("/nobodys"), Vec::<Value>::new());
        are_cloud_events(&heard, &space.name);
        no_secret_is_told(space, &shop, &url, &operator).await;
        let _ = std::fs::remove_file(&kubeconfig);
    })
    .await;
}

async fn rotate(space: &Space, url: &str) {
    let secrets: Api<Secret> = Api::namespaced(space.client.clone(), &space.name);
    let change = json!({"stringData": {"slack": url}});
    let change = Patch::Merge(&change);
    secrets
        .patch("told", &PatchParams::default(), &change)
        .await
        .unwrap();
}

/// What the specification asks of an event is there in both modes, and both say the same.
fn are_cloud_events(heard: &Heard, namespace: &str) {
    let path = format!("/apis/slipway.dev/v1alpha1/namespaces/{namespace}/environments/staging");
    let mut types = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (attributes, data) in heard.events_at("/bus") {
        assert_eq!(attributes["specversion"], "1.0");
        assert_eq!(attributes["source"], path);
        assert!(!attributes["id"].is_empty() && !attributes["subject"].is_empty());
        let time: Result<jiff::Timestamp, _> = attributes["time"].parse();
        assert!(time.is_ok(), "{attributes:?}");
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!(data["key"], attributes["id"]);
        types.insert(attributes["type"].clone());
        assert!(ids.insert(attributes["id"].clone()), "{attributes:?}");
    }
    let structured = heard.at("/structured");
    for event in &structured {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["datacontenttype"], "application/json");
        assert_eq!(event["source"], format!("https://cluster-a.example{path}"));
        assert_eq!(event["data"]["key"], event["id"]);
    }
    let told = structured.iter().map(|event| event["type"].as_str());
    let told: BTreeSet<String> = told.map(|type_| type_.unwrap().to_owned()).collect();
    let expected = [
        "dev.slipway.environment.rolledback",
        "dev.slipway.incident.opened",
        "dev.slipway.incident.resolved",
        "dev.slipway.promotion.succeeded",
    ];
    assert_eq!(types, BTreeSet::from(expected.map(str::to_owned)));
    assert_eq!(told, types);
}

/// Nothing secret stands in the status, in Events or in the log, and the message for the Secret that may not be used says so.
async fn no_secret_is_told(space: &Space, shop: &Shop, url: &str, operator: &Operator) {
    let environment = shop.environments.get("staging").await.unwrap();
    let status = environment.status.clone().unwrap();
    let mut lost = status.outbox.iter().filter(|entry| entry.sink == "lost");
    let why = lost.next().unwrap().last_error.clone().unwrap();
    assert!(why.contains("does not carry the label"), "{why}");
    let events: Api<Event> = Api::namespaced(space.client.clone(), &space.name);
    let events = events.list(&ListParams::default()).await.unwrap();
    let whole = format!(
        "{}{}{}",
        serde_json::to_string(&status).unwrap(),
        serde_json::to_string(&events.items).unwrap(),
        operator.log()
    );
    for secret in [PASSWORD, ROUTING_KEY, &format!("{url}/slack")] {
        assert!(!whole.contains(secret), "{}", environment.name_any());
    }
}
