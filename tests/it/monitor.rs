//! What a real operator serves as metrics, and the alerts and dashboards that are made of it, read by Prometheus's own tool.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::programs;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use slipway::rollout::api::Phase;

use crate::cluster::with_namespace;
use crate::operator::Operator;
use crate::rollout::{Subject, manifest};

/// Runs promtool; what it says when it finds something wrong.
async fn promtool(args: &[&str], input: &str) {
    programs::ensure(&["promtool"]).await.unwrap();
    let mut child = Command::new(programs::path_of("promtool").unwrap())
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let output = child.wait_with_output().await.unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{args:?}: {said}");
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn promtool_finds_nothing_wrong_with_what_is_served() {
    with_namespace(async |space| {
        let operator = Operator::start(&space.name);
        let api = Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        api.until_phase(Phase::Healthy).await;
        let metrics = operator.metrics().await;
        for series in [
            "slipway_build_info{",
            "slipway_queue_ready{kind=\"Rollout\"}",
        ] {
            assert!(metrics.contains(series), "{series} is missing:\n{metrics}");
        }
        promtool(&["check", "metrics"], &metrics).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn alerts_fire_when_they_should() {
    for path in files("charts/slipway/alerts") {
        let path = path.to_str().unwrap();
        let args = ["check", "rules", "--lint=all", "--lint-fatal", path];
        promtool(&args, "").await;
    }
    for path in files("tests/data/alerts") {
        promtool(&["test", "rules", path.to_str().unwrap()], "").await;
    }
}

/// The queries as recording rules, which promtool parses.
#[tokio::test]
#[ignore = "needs promtool; run make test"]
async fn prometheus_understands_every_query_of_a_dashboard() {
    let mut rules = Vec::new();
    for path in files("charts/slipway/dashboards") {
        let text = std::fs::read_to_string(path).unwrap();
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        let panels = dashboard["panels"].as_array().unwrap().iter();
        for target in panels.flat_map(|panel| panel["targets"].as_array().unwrap()) {
            let query = target["expr"].as_str().unwrap();
            let query = query.replace("$__rate_interval", "5m");
            let query = ["$namespace", "$environment"]
                .iter()
                .fold(query, |query, name| query.replace(name, ".*"));
            assert!(!query.contains('$'), "{query}");
            let record = format!("query:{}", rules.len());
            rules.push(json!({"record": record, "expr": query}));
        }
    }
    assert!(rules.len() > 30);
    let file = tempfile::NamedTempFile::new().unwrap();
    let groups = json!({"groups": [{"name": "queries", "rules": rules}]});
    std::fs::write(file.path(), groups.to_string()).unwrap();
    promtool(&["check", "rules", file.path().to_str().unwrap()], "").await;
}
