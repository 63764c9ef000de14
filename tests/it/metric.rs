//! Where metrics come from: a real Prometheus behind TLS and passwords, servers that hang, Jobs on scripted nodes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, StatusCode, Uri};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus, Tally};
use tokio::net::TcpListener;

use crate::cluster::{SOON, Space, kubeconfig_path, wait_for, with_namespace};
use crate::operator::{Operator, nodes};
use crate::prometheus::{PASSWORD, Prometheus};
use crate::rollout::{Subject, manifest, stable};
use crate::server::serve;

/// A Rollout that measures in the background, at 25 % and until somebody says something else.
fn measuring(metrics: &Value) -> Value {
    json!({"spec": {
        "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]},
        "analysis": {"interval": "300ms", "initialDelay": "100ms", "metrics": metrics},
    }})
}

/// The same server and credentials, for a comparison.
fn compared(metric: &Value) -> Value {
    let mut prometheus = metric["prometheus"].clone();
    let asked = prometheus.as_object_mut().unwrap();
    asked.remove("query");
    asked.insert("canary".into(), "vector(1)".into());
    asked.insert("stable".into(), "vector(1)".into());
    let compare = json!({"test": "MannWhitney", "prometheus": prometheus});
    json!({"name": metric["name"], "errorLimit": 1000, "compare": compare})
}

/// And for the SLOs of an Environment: one that gets in and finds that nothing is counted, and one that does not.
async fn measures_slos(space: &Space, metrics: &Value) {
    let server = |index: usize| {
        let mut server = metrics[index]["prometheus"].clone();
        server.as_object_mut().unwrap().remove("query");
        server
    };
    let availability = json!({"metric": "requests_total", "errorMatchers": "code=\"500\""});
    let slo = |name: &str| json!({"name": name, "objective": "99", "availability": availability});
    let mut shut_out = slo("shut-out");
    shut_out["prometheus"] = server(2);
    let environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
        "spec": {
            "tier": "Development", "promotion": {"from": {"pipelines": ["shop"]}},
            "metrics": {"prometheus": server(0)}, "slos": [slo("let-in"), shut_out],
        },
    });
    let environments = space.api("Environment");
    let environment = serde_json::from_value(environment).unwrap();
    environments
        .create(&PostParams::default(), &environment)
        .await
        .unwrap();
    wait_for("both SLOs are asked about", SOON, async || {
        let environment = environments.get("live").await.ok()?;
        let slos = environment.data.pointer("/status/slos")?;
        let says = |index: usize, words: &str| {
            slos[index]["message"]
                .as_str()
                .is_some_and(|told| told.contains(words))
        };
        (says(0, "nothing is counted") && says(1, "status 401")).then_some(())
    })
    .await;
}

fn tally<'a>(status: &'a RolloutStatus, name: &str) -> Option<&'a Tally> {
    status.analysis.iter().find(|tally| tally.name == name)
}

fn words(status: &RolloutStatus, name: &str) -> String {
    let message = tally(status, name).and_then(|tally| tally.message.clone());
    message.unwrap_or_default()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn prometheus_is_asked_over_tls_with_a_password_and_a_certificate() {
    with_namespace(async |space| {
        let prometheus = Prometheus::start(None).await;
        let (ca, crt, key) = (prometheus.file("ca.crt"), prometheus.file("client.crt"), prometheus.file("client.key"));
        space.make_secret("prometheus", json!({"ca.crt": ca, "password": PASSWORD, "wrong": "close sesame"})).await;
        space.make_secret("client", json!({"tls.crt": crt, "tls.key": key})).await;
        space.make_secret_with("private", json!({}), json!({"password": PASSWORD})).await;
        let metric = |name: &str, query: &str, (secret, key): (&str, &str), extra: &Value| {
            let mut metric = json!({
                "name": name, "pass": "value == 0.5", "errorLimit": 1000,
                "prometheus": {
                    "address": prometheus.address, "query": query,
                    "auth": {"basic": {"username": "slipway", "password": {"name": secret, "key": key}}},
                    "tls": {"ca": {"name": "prometheus", "key": "ca.crt"}, "clientCertificate": "client"},
                },
            });
            json_patch::merge(&mut metric, extra);
            metric
        };
        let right = ("prometheus", "password");
        let range = json!({"prometheus": {"range": {"for": "10s", "step": "1s", "reduce": "Mean"}}});
        let bare = json!({"prometheus": {"tls": {"clientCertificate": null}}});
        let stranger = json!({"prometheus": {"tls": {"ca": null}}});
        let none = json!({});
        let metrics = json!([
            metric("now", "vector(0.5)", right, &none),
            metric("range", "vector(0.5)", right, &range),
            metric("wrong-password", "vector(0.5)", ("prometheus", "wrong"), &none),
            metric("no-certificate", "vector(0.5)", right, &bare),
            metric("unknown-authority", "vector(0.5)", right, &stranger),
            metric("unlabelled", "vector(0.5)", ("private", "password"), &none),
            metric("absent", "vector(0.5)", ("nowhere", "password"), &none),
            metric("wrong-query", "vector(", right, &none),
            compared(&metric("compared", "", right, &none)),
        ]);
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), &[
            "--no-leader-election", "--metric-secrets", "--metric-hosts", "localhost,127.0.0.0/8,::1",
        ]);
        measures_slos(space, &metrics).await;
        let api = Subject::create(space, &manifest("greeter:1", &measuring(&metrics))).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let status = api
            .until("every metric is measured", |status| {
                let measured = |tally: &Tally| tally.passed + tally.failed + tally.errors > 1;
                status.analysis.len() == 9 && status.analysis.iter().all(measured)
            })
            .await;
        for name in ["now", "range"] {
            let tally = tally(&status, name).unwrap();
            assert_eq!(tally.value.as_deref(), Some("0.5"), "{tally:?}");
        }
        let compared = tally(&status, "compared").unwrap();
        assert!(compared.passed > 0 && compared.message.is_none(), "{compared:?}");
        for (name, wanted) in [
            ("wrong-password", "status 401"),
            ("no-certificate", "error sending request"),
            ("unknown-authority", "error sending request"),
            ("unlabelled", "does not carry the label slipway.dev/use"),
            ("absent", "there is no Secret nowhere"),
            ("wrong-query", "parse error"),
        ] {
            let told = words(&status, name);
            println!("{name}: {told}");
            assert!(told.contains(wanted), "{name}: {told}");
        }
        let shown = format!("{}{}", serde_json::to_string(&status).unwrap(), operator.log());
        for secret in [PASSWORD, "close sesame", "b3BlbiBzZXNhbWU", "PRIVATE KEY"] {
            assert!(!shown.contains(secret), "{secret} is shown");
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_metrics_may_not_use_is_named_with_what_to_set() {
    with_namespace(async |space| {
        space
            .make_secret("quality", json!({"token": "a-long-token"}))
            .await;
        let secret = json!([{"name": "X-Token", "secretRef": {"name": "quality", "key": "token"}}]);
        let web = |name: &str, url: &str, headers: &Value| {
            json!({
                "name": name, "pass": "value == 1", "errorLimit": 1000,
                "web": {"url": url, "plainHttp": true, "headers": headers},
            })
        };
        let metrics = json!([
            web("secret", "http://quality.shop", &secret),
            web("near", "http://127.0.0.1:1", &json!([])),
            web("near-by-name", "http://localhost:1", &json!([])),
        ]);
        // One that goes where operators go by default.
        let _operator =
            Operator::start_with(&space.name, &kubeconfig_path(), &["--no-leader-election"]);
        let api = Subject::create(space, &manifest("greeter:1", &measuring(&metrics))).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let status = api
            .until("every metric is measured", |status| {
                status.analysis.len() == 3 && status.analysis.iter().all(|tally| tally.errors > 0)
            })
            .await;
        assert!(words(&status, "secret").contains("analysis.secrets.enabled: true"));
        for name in ["near", "near-by-name"] {
            assert!(
                words(&status, name).contains("analysis.allowedHosts"),
                "{}",
                words(&status, name)
            );
        }
    })
    .await;
}

/// A server that takes down what it is asked, and answers with it and a 1; its address, and what it was asked.
async fn scribe() -> (String, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&asked);
    let answer = async move |uri: Uri, headers: HeaderMap, body: String| {
        let header = headers.get("x-token").map(|value| value.to_str().unwrap());
        let asked = format!("{uri} {} {body}", header.unwrap_or_default());
        taken.lock().unwrap().push(asked.clone());
        let is_query = uri.path() == "/api/v1/query";
        let status = if is_query {
            StatusCode::BAD_REQUEST
        } else {
            StatusCode::OK
        };
        (status, json!({"value": 1, "error": asked}).to_string())
    };
    let (url, _) = serve(axum::Router::new().fallback(answer)).await;
    (url.replace("http://", ""), asked)
}

/// A template with an argument from a Secret, in a header field and a body, and in a query that is refused.
fn with_a_secret_argument(address: &str) -> Value {
    let web = json!({
        "url": format!("http://{address}/score"), "plainHttp": true, "path": "$.value", "method": "POST",
        "headers": [{"name": "X-Token", "value": "Token {{args.token}}"}],
        "body": "{\"token\": \"{{args.token}}\"}",
    });
    let query =
        json!({"address": format!("http://{address}"), "query": "up{tenant=\"{{args.token}}\"}"});
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "rules"},
        "spec": {
            "args": [{"name": "token", "valueFrom": {"secretKeyRef": {"name": "quality", "key": "token"}}}],
            "metrics": [
                {"name": "score", "pass": "value == 1", "web": web},
                {"name": "refused", "pass": "value == 1", "errorLimit": 1000, "prometheus": query},
            ],
        },
    })
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_argument_from_a_secret_reaches_the_server_and_nobody_else() {
    const TOKEN: &str = "grapefruit \"and\" salt";
    with_namespace(async |space| {
        space.make_secret("quality", json!({"token": TOKEN})).await;
        let (address, asked) = scribe().await;
        let operator = Operator::start_with(
            &space.name,
            &kubeconfig_path(),
            &[
                "--no-leader-election",
                "--metric-secrets",
                "--metric-hosts",
                "127.0.0.0/8",
            ],
        );
        let template = serde_json::from_value(with_a_secret_argument(&address)).unwrap();
        let templates = space.api("AnalysisTemplate");
        templates
            .create(&PostParams::default(), &template)
            .await
            .unwrap();
        let mut extra = measuring(&json!([]));
        extra["spec"]["analysis"]["templates"] = json!([{"name": "rules"}]);
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let status = api
            .until("both are measured", |status| {
                let score = tally(status, "score").is_some_and(|tally| tally.passed > 0);
                score && tally(status, "refused").is_some_and(|tally| tally.errors > 0)
            })
            .await;
        let asked = asked.lock().unwrap().join("\n");
        assert!(asked.contains(&format!("/score Token {TOKEN}")), "{asked}");
        assert!(
            asked.contains(r#"{"token": "grapefruit \"and\" salt"}"#),
            "{asked}"
        );
        assert!(asked.contains("grapefruit%20%22and%22%20salt"), "{asked}");
        let refused = words(&status, "refused");
        assert!(
            refused.starts_with("status 400, and no usable answer"),
            "{refused}"
        );
        let events: Api<Event> = Api::namespaced(space.client.clone(), &space.name);
        let events = events.list(&ListParams::default()).await.unwrap();
        let events = serde_json::to_string(&events.items).unwrap();
        let shown = format!(
            "{}{events}{}",
            serde_json::to_string(&status).unwrap(),
            operator.log()
        );
        for part in ["grapefruit", "salt"] {
            assert!(!shown.contains(part), "{part} is shown");
        }
    })
    .await;
}

/// A server that takes every request and never answers; its address, and how many it has taken.
async fn black_hole() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let taken = Arc::clone(&count);
    tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(listener.accept().await.unwrap());
            taken.fetch_add(1, Ordering::SeqCst);
        }
    });
    (address, count)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_server_that_hangs_does_not_hold_up_a_change() {
    with_namespace(async |space| {
        let (address, count) = black_hole().await;
        let metric = |name: &str| {
            json!({
                "name": name, "pass": "value == 1", "timeout": "30s",
                "web": {"url": format!("http://{address}"), "plainHttp": true},
            })
        };
        let metrics = json!([metric("one"), metric("two")]);
        let _operator = Operator::start_with(
            &space.name,
            &kubeconfig_path(),
            &["--no-leader-election", "--metric-hosts", "127.0.0.0/8"],
        );
        let api = Subject::create(space, &manifest("greeter:1", &measuring(&metrics))).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        wait_for("both are asked", SOON, async || {
            (count.load(Ordering::SeqCst) == 2).then_some(())
        })
        .await;
        let canary =
            |status: &RolloutStatus| status.canary.as_ref().map(|canary| canary.images.clone());
        let start = Instant::now();
        api.set_image("greeter:3").await;
        api.until("the newer revision is on its way", |status| {
            canary(status).is_some_and(|images| format!("{images:?}").contains("greeter:3"))
        })
        .await;
        let took = start.elapsed();
        println!("with two servers that hang, a change is taken up within {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(stable(&api.status().await), stable(&first));
    })
    .await;
}

fn jobs(space: &Space) -> Api<Job> {
    Api::namespaced(space.client.clone(), &space.name)
}

fn sampled(image: &str, extra: &Value) -> Value {
    let mut metric = json!({"name": "smoke", "job": {"image": image}, "interval": "200ms"});
    json_patch::merge(&mut metric, extra);
    metric
}

/// Two good samples, then on.
fn analysed(metric: &Value) -> Value {
    let mut extra = measuring(&json!([metric]));
    extra["spec"]["strategy"]["steps"][1] = json!({"analyse": {"metrics": ["smoke"]}});
    extra
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn jobs_say_whether_a_revision_is_good() {
    with_namespace(async |space| {
        let (bad, missing) = (
            format!("bad:{}", space.name),
            format!("missing:{}", space.name),
        );
        nodes().set_rule(&bad, "exit=1").unwrap();
        nodes().set_rule(&missing, "image-missing").unwrap();
        let _operator = Operator::start(&space.name);
        let good = sampled("smoke:1", &json!({"minSamples": 2}));
        let api = Subject::create(space, &manifest("greeter:1", &analysed(&good))).await;
        let first = api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let second = api.until_promoted(&stable(&first)).await;
        wait_for("the Jobs that succeeded are gone", SOON, async || {
            let left = jobs(space).list(&ListParams::default()).await.ok()?;
            left.items.is_empty().then_some(())
        })
        .await;

        api.patch(analysed(&sampled(&bad, &json!({})))).await;
        api.set_image("greeter:3").await;
        let back = api.until_phase(Phase::RolledBack).await;
        assert_eq!(stable(&back), stable(&second));
        let why = &back.history[0].reason;
        assert!(why.starts_with("AnalysisFailed: smoke"), "{why}");
        let left = jobs(space).list(&ListParams::default()).await.unwrap();
        assert_eq!(left.items.len(), 1, "the one that failed stays for its log");

        api.patch(analysed(&sampled(&missing, &json!({"errorLimit": 0}))))
            .await;
        let start = Instant::now();
        api.set_image("greeter:4").await;
        let back = api
            .until("given up", |status| {
                status.phase == Some(Phase::RolledBack)
                    && status.history[0].reason.contains("ImagePull")
            })
            .await;
        println!(
            "a sampler whose image is missing: {} within {:?}",
            back.history[0].reason,
            start.elapsed()
        );
        nodes().remove_rule(&bad);
        nodes().remove_rule(&missing);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_crash_does_not_start_a_second_job_for_one_sample() {
    with_namespace(async |space| {
        let slow = format!("slow:{}", space.name);
        nodes().set_rule(&slow, "exit=0,after=3s").unwrap();
        let operator = Operator::start(&space.name);
        let metric = sampled(&slow, &json!({"interval": "1h"}));
        let api =
            Subject::create(space, &manifest("greeter:1", &measuring(&json!([metric])))).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let mut seen = BTreeSet::new();
        let uids = async || {
            let found = jobs(space).list(&ListParams::default()).await.unwrap();
            found
                .iter()
                .filter_map(ResourceExt::uid)
                .collect::<Vec<_>>()
        };
        wait_for("the Job", SOON, async || {
            (!uids().await.is_empty()).then_some(())
        })
        .await;
        operator.kill().await;
        seen.extend(uids().await);
        let _operator = Operator::start(&space.name);
        let deadline = Instant::now() + SOON;
        while tally(&api.status().await, "smoke").is_none_or(|tally| tally.taken == 0) {
            assert!(Instant::now() < deadline, "never counted");
            seen.extend(uids().await);
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.len(), 1, "{seen:?}");
        let status = api.status().await;
        let tally = tally(&status, "smoke").unwrap();
        assert_eq!((tally.taken, tally.passed), (1, 1), "{tally:?}");
        nodes().remove_rule(&slow);
    })
    .await;
}
