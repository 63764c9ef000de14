//! The way of a Release: in order, past checks of the operator's, one Rollout after the other; and back by the plugin.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use kube::ResourceExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use slipway::environment::api::EnvironmentStatus;
use slipway::pipeline_run::api::{Latency, ReportSummary};
use slipway::runner::report::StageReport;

use super::shop::{Shop, status_of, steps};
use crate::cluster::{kubeconfig_path, with_namespace};
use crate::operator::{Operator, nodes};
use crate::plugin::{plugin, text, told};
use crate::supply::Server;

/// An application that answers badly so many times, and its address.
pub(super) async fn site(bad: u32) -> (String, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).await.unwrap_or(0);
            if length == 0 {
                // Who only connects asks nothing.
                continue;
            }
            let is_good = count.fetch_add(1, Ordering::SeqCst) >= bad;
            let status = if is_good { "200 OK" } else { "503 Not Yet" };
            let answer =
                format!("HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: 5\r\n\r\nhello");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (address, asked)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_passes_the_checks_of_the_operator_one_rollout_after_the_other_and_is_taken_back()
{
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let (address, asked) = site(2).await;
        let port: u16 = address.rsplit_once(':').unwrap().1.parse().unwrap();
        let request = json!({"name": "page", "url": format!("http://{address}/"), "contains": "hello", "latency": "2s"});
        let spec = json!({
            "rollouts": [{"name": "staging-web", "dependsOn": ["staging-api"]}, {"name": "staging-api"}],
            "promotion": {"order": "InOrder", "timeout": "10m"},
            "smokeTests": [
                {"name": "port", "tcp": {"host": "127.0.0.1", "port": port}},
                {"name": "name", "dns": {"name": "localhost"}},
                {"name": "front", "http": {"requests": [request]}, "attempts": {"count": 5, "interval": "1s"}},
            ],
        });
        shop.environment("staging", &spec).await;
        shop.rollout("staging-web", "staging").await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        let record = shop.records("staging").await.remove(0);
        let status = status_of(&record);
        let mut all = steps(&status);
        all.sort();
        assert_eq!(
            all,
            [
                "rollout-staging-api Succeeded",
                "rollout-staging-web Succeeded",
                "smoke-front Succeeded",
                "smoke-name Succeeded",
                "smoke-port Succeeded",
            ]
        );
        let at = |name: &str| status.steps.iter().find(|step| step.name == name).unwrap();
        assert_eq!(at("smoke-front").attempt, Some(3));
        assert_eq!(asked.load(Ordering::SeqCst), 3);
        let api = at("rollout-staging-api").finished_at.clone().unwrap().0;
        let web = at("rollout-staging-web").finished_at.clone().unwrap().0;
        assert!(api <= web, "{api} {web}");

        shop.release(2).await;
        shop.until_runs("staging", 2).await;
        let ask = async |args: &[&str]| {
            let mut command = plugin(args);
            command.args(["-n", &space.name]);
            let shown = command.env("KUBECONFIG", kubeconfig_path()).output();
            let shown = shown.await.unwrap();
            assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
            text(&shown)
        };
        let list = ask(&["env", "list"]).await;
        assert!(list.contains("staging") && list.contains("shop-2"), "{list}");
        let would = ask(&["env", "rollback", "staging", "--dry-run"]).await;
        assert!(
            would.starts_with("staging would go back from shop-2 (Promotion staging-0202"),
            "{would}"
        );
        assert_eq!(shop.records("staging").await.len(), 2, "only said");
        let done = ask(&["env", "rollback", "staging", "--reason", "orders fail"]).await;
        assert!(
            done.starts_with("staging was asked to go back, as it stands from shop-2 "),
            "{done}"
        );
        shop.until_told(
            "staging",
            &[
                "Promote shop-1 Succeeded",
                "Promote shop-2 Succeeded",
                "Rollback shop-1 Succeeded",
            ],
        )
        .await;
        let back = shop.records("staging").await.remove(2);
        assert!(back.spec.decision.is_some(), "{}", back.name_any());
        let history = ask(&["env", "history", "staging"]).await;
        assert_eq!(history.lines().count(), 4, "{history}");
        let shown = ask(&["env", "describe", "staging"]).await;
        for words in ["Steady", "shop-1", "HELD", "left by Promotion"] {
            assert!(shown.contains(words), "{words} is not in:\n{shown}");
        }
    })
    .await;
}

/// What a load test says at its end.
fn load(p95: f64) -> String {
    let test = Latency {
        name: "k6".to_owned(),
        requests: Some(1000),
        p95: Some(p95),
        ..Latency::default()
    };
    let reports = ReportSummary {
        latency: vec![test],
        ..ReportSummary::default()
    };
    let report = StageReport {
        exit_code: Some(0),
        reports: Some(reports),
        ..StageReport::default()
    };
    format!("exit=0,message={}", report.encode())
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_that_makes_a_load_test_slower_than_the_last_good_one_is_taken_back() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let image = |name: &str| format!("registry.example/{}/{name}:1", space.name);
        nodes().set_rule(&image("runner"), "exit=0").unwrap();
        nodes().set_rule(&image("k6"), &load(100.0)).unwrap();
        let test = json!({
            "name": "load", "job": {"image": image("k6"), "command": ["k6", "run", "load.js"]},
            "reports": {"k6": ["k6.json"]},
            "gates": [{"name": "p95", "latency": {"p95": "1s", "maxRegressionPercent": 10}}],
        });
        shop.environment("staging", &json!({"smokeTests": [test]}))
            .await;
        let runner = image("runner");
        let flags = ["--no-leader-election", "--runner-image", &runner];
        let _operator = Operator::start_with(&shop.namespace, &kubeconfig_path(), &flags);
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        let status = status_of(&shop.records("staging").await.remove(0));
        let step = status.steps.last().unwrap();
        assert_eq!(step.latency[0].p95, Some(100.0));
        assert_eq!(step.gates[0].result.as_str(), "Passed");
        let job = shop.jobs.get(step.job.as_ref().unwrap()).await.unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        assert_eq!(pod.init_containers.unwrap()[0].image, Some(runner.clone()));

        nodes().set_rule(&image("k6"), &load(150.0)).unwrap();
        shop.release(2).await;
        let left = "Promote shop-2 RolledBack";
        shop.until_told(
            "staging",
            &["Promote shop-1 Succeeded", left, "Rollback shop-1 Failed"],
        )
        .await;
        let record = shop.records("staging").await.remove(1);
        let message = status_of(&record).message.unwrap();
        assert!(
            message.contains("p95 is 150.0 ms and was 100.0 ms, accepted: 10 % slower"),
            "{message}"
        );
    })
    .await;
}

/// A real registry: what staging has is what its tag names.
#[tokio::test]
#[ignore = "needs a kube-apiserver and docker-registry; run make test"]
async fn what_an_environment_has_is_tagged_in_its_registry() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let registry = Server::debian().await;
        let rule =
            json!({"imageTag": {"name": "staging", "insecureRegistry": true}, "smokeTests": []});
        shop.environment("staging", &rule).await;
        shop.never_fails("staging-api").await;
        let args = ["--no-leader-election", "--metric-hosts", "127.0.0.0/8"];
        let _operator = Operator::start_with(&shop.namespace, &kubeconfig_path(), &args);
        for number in 1..=2 {
            let digest = registry
                .push_as("main", &format!("build {number}"))
                .await
                .digest;
            let image = json!({"name": "api", "repository": registry.name(), "digest": digest});
            let previous = (number > 1).then(|| format!("shop-{}", number - 1));
            let more = json!({"images": [image], "previous": previous});
            shop.release_of("shop", number, &[], &more).await;
            let is_there = |status: &EnvironmentStatus| {
                let mut tagged = status.tagged.iter();
                tagged.any(|one| one.reference.ends_with(&digest) && one.tag.is_some())
            };
            shop.until("staging", "the tag", is_there).await;
            let named = registry.registry().digest("staging").await.unwrap();
            assert_eq!(named, Some(digest));
        }
    })
    .await;
}
