//! Where metrics come from: a real Prometheus behind TLS and passwords, servers that hang, Jobs on scripted nodes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{Api, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::rollout::api::{Phase, RolloutStatus, Tally};
use tokio::net::TcpListener;

use crate::cluster::{Space, kubeconfig_path, wait_for, with_namespace};
use crate::operator::{Operator, nodes};
use crate::prometheus::{PASSWORD, Prometheus};
use crate::rollout::{SOON, Subject, manifest, stable};

async fn make_secret(space: &Space, name: &str, label: bool, values: Value) {
    let labels = if label {
        json!({"slipway.dev/use": "metrics"})
    } else {
        json!({})
    };
    let secret = json!({"metadata": {"name": name, "labels": labels}, "stringData": values});
    let api: Api<Secret> = Api::namespaced(space.client.clone(), &space.name);
    let secret = serde_json::from_value(secret).unwrap();
    api.create(&PostParams::default(), &secret).await.unwrap();
}

/// A Rollout that measures in the background, at 25 % and until somebody says something else.
fn measuring(metrics: &Value) -> Value {
    json!({"spec": {
        "strategy": {"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]},
        "analysis": {"interval": "300ms", "initialDelay": "100ms", "metrics": metrics},
    }})
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
        make_secret(space, "prometheus", true, json!({"ca.crt": ca, "password": PASSWORD, "wrong": "close sesame"})).await;
        make_secret(space, "client", true, json!({"tls.crt": crt, "tls.key": key})).await;
        make_secret(space, "private", false, json!({"password": PASSWORD})).await;
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
        ]);
        let operator = Operator::start_with(&space.name, &kubeconfig_path(), &[
            "--no-leader-election", "--metric-secrets", "--metric-hosts", "localhost,127.0.0.0/8,::1",
        ]);
        let api = Subject::create(space, &manifest("greeter:1", &measuring(&metrics))).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let status = api
            .until("every metric is measured", |status| {
                let measured = |tally: &Tally| tally.passed + tally.failed + tally.errors > 1;
                status.analysis.len() == 8 && status.analysis.iter().all(measured)
            })
            .await;
        for name in ["now", "range"] {
            let tally = tally(&status, name).unwrap();
            assert_eq!(tally.value.as_deref(), Some("0.5"), "{tally:?}");
        }
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
        make_secret(space, "quality", true, json!({"token": "a-long-token"})).await;
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
