//! The kubectl plugin, as a process: a live Rollout is explained, files are planned, and exit codes tell how it went.

mod decide; // people who look and decide
mod status; // how things stand, and who is waited for

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use kube::api::{Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use slipway::pipeline_run::api::PipelineRun;
use slipway::rollout::api::Phase;
use tempfile::TempDir;
use testbed::scripted::ScriptedGateway;

use crate::cluster::{kubeconfig_path, with_namespace};
use crate::operator::Operator;
use crate::plugin::{fed, plugin, text, told};
use crate::rollout::{Subject, manifest, routed};

async fn run(args: &[&str]) -> Output {
    plugin(args).output().await.unwrap()
}

/// Asks the cluster of the tests.
async fn ask(args: &[&str]) -> Output {
    let mut command = plugin(args);
    command
        .env("KUBECONFIG", kubeconfig_path())
        .output()
        .await
        .unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_rollout_that_pauses_in_a_step_is_explained() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let mut extra = routed();
        extra["spec"]["strategy"] = json!({"steps": [
            {"setWeight": {"weight": 25}}, {"pause": {"for": "1h"}}, {"setWeight": {"weight": 50}}]});
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        api.until_phase(Phase::Healthy).await;
        api.set_image("greeter:2").await;
        let status = api.until_phase(Phase::Paused).await;

        let shown = ask(&["rollout", "explain", "api", "-n", &space.name]).await;
        let page = text(&shown);
        println!("{page}");
        assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
        let canary = status.canary.unwrap().revision;
        for words in [
            "Paused (PauseStep)",
            "step 2/3: 25 % to canary, pausing until",
            "now, until",
            "✓  1  setWeight 25",
            "·  3  setWeight 50",
            &canary,
            "web=greeter:2",
            "Skip",
        ] {
            assert!(page.contains(words), "{words} is not in:\n{page}");
        }
        assert!(!page.contains('\u{1b}'), "colours without a terminal");

        let shown = ask(&["rollout", "explain", "api", "-n", &space.name, "-o", "json"]).await;
        let read: Value = serde_json::from_slice(&shown.stdout).unwrap();
        assert_eq!(read["phase"], "Paused");
        assert_eq!(read["weights"]["canary"], 25);
        assert_eq!(read["steps"][1]["state"], "Now");
        assert_eq!(read["canary"]["revision"], canary);
        assert_eq!(read["until"], json!(status.step.unwrap().until));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_run_is_written_as_a_page_and_its_coverage_as_a_badge() {
    with_namespace(async |space| {
        let runs: Api<PipelineRun> = Api::namespaced(space.client.clone(), &space.name);
        let run = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "api-1"},
            "spec": {"pipelineRef": {"name": "api"}, "ref": "refs/heads/main", "trigger": {"kind": "Manual", "actor": "alice"}},
        });
        let run = serde_json::from_value(run).unwrap();
        runs.create(&PostParams::default(), &run).await.unwrap();
        let report = async |more: &[&str]| {
            let run = ["run", "report", "api-1", "-n", &space.name];
            let args = [&run[..], more].concat();
            ask(&args).await
        };
        let none = report(&["--badge"]).await;
        assert_eq!(none.status.code(), Some(1));
        assert!(told(&none).contains("left a report of coverage"), "{}", told(&none));

        let status = json!({"status": {
            "phase": "Failed", "message": "stage unit: <b>1</b> of 12 tests failed",
            "stages": [{"name": "unit", "type": "Test", "phase": "Failed",
                "reports": {"coverage": {"lines": 200, "coveredLines": 163, "branches": 0, "coveredBranches": 0}}}],
        }});
        let params = PatchParams::default();
        let status = Patch::Merge(&status);
        runs.patch_status("api-1", &params, &status).await.unwrap();
        let badge = report(&["--badge"]).await;
        assert_eq!(badge.status.code(), Some(0), "{}", told(&badge));
        assert!(text(&badge).contains("81.5 %"), "{}", text(&badge));
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("run.html");
        let written = report(&["--file", &file.display().to_string()]).await;
        assert_eq!(written.status.code(), Some(0), "{}", told(&written));
        let page = std::fs::read_to_string(&file).unwrap();
        assert!(page.contains("<h1>api-1: Failed</h1>"), "{page}");
        assert!(page.contains("&lt;b&gt;1&lt;/b&gt;"), "{page}");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_not_there_is_one_sentence_and_code_1() {
    with_namespace(async |space| {
        let missing = ask(&["rollout", "explain", "nobody", "-n", &space.name]).await;
        assert_eq!(missing.status.code(), Some(1));
        let sentence = format!("error: there is no Rollout {}/nobody\n", space.name);
        assert_eq!(told(&missing), sentence);
        let context = ask(&["rollout", "explain", "api", "--context", "moon"]).await;
        assert_eq!(context.status.code(), Some(1));
        assert_eq!(
            told(&context),
            "error: there is no context moon in the kubeconfig\n"
        );
        // Nobody has looked at this one.
        Subject::create(space, &manifest("greeter:1", &json!({}))).await;
        let alone = ask(&["rollout", "explain", "api", "-n", &space.name]).await;
        assert_eq!(alone.status.code(), Some(0));
        assert!(text(&alone).contains("the operator has not looked at it yet"));
    })
    .await;
}

#[tokio::test]
async fn without_a_cluster_it_says_so() {
    let folder = std::env::temp_dir();
    let unreachable = folder.join(format!("slipway-nowhere-{}.yaml", std::process::id()));
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "nowhere",
        "clusters": [{"name": "nowhere", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "nowhere", "context": {"cluster": "nowhere", "user": "nobody"}}],
    });
    std::fs::write(&unreachable, config.to_string()).unwrap();
    let absent = folder.join("slipway-there-is-no-such-file");
    for (path, words) in [
        (
            &unreachable,
            "error: cannot reach the API server at http://127.0.0.1:1: ",
        ),
        (&absent, "error: no cluster to ask: "),
    ] {
        let mut command = plugin(&["rollout", "explain", "api"]);
        let answer = command.env("KUBECONFIG", path).output().await.unwrap();
        assert_eq!(answer.status.code(), Some(1));
        let line = told(&answer);
        assert!(line.starts_with(words), "{line}");
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let _ = std::fs::remove_file(&unreachable);
}

#[tokio::test]
async fn every_sample_of_a_rollout_is_planned_to_its_end() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if !name.starts_with("rollout-") {
            continue;
        }
        count += 1;
        let file = path.to_str().unwrap();
        let shown = run(&["rollout", "plan", "-f", file]).await;
        println!("{}", text(&shown));
        assert_eq!(shown.status.code(), Some(0), "{name}: {}", told(&shown));
        assert!(text(&shown).contains("the canary is stable now"), "{name}");
        let shown = run(&["rollout", "plan", "-f", file, "-o", "json"]).await;
        let read: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let rows = read[0]["rows"].as_array().unwrap();
        let last = rows.last().unwrap();
        assert_eq!(
            (&last["event"], &last["weight"]),
            (&json!("Ends"), &json!(100)),
            "{name}"
        );
        assert_eq!(last["canaryPods"], read[0]["replicas"], "{name}");
    }
    assert!(count >= 6, "{count} samples");
}

#[tokio::test]
async fn a_spec_that_cannot_be_is_code_2_with_every_problem() {
    let mut bad = manifest(
        "greeter:1",
        &json!({"spec": {"strategy": {"keepOldFor": "1m"}}}),
    );
    bad.labels_mut().clear();
    let mut bad = serde_json::to_value(&bad).unwrap();
    bad["spec"]["strategy"]["steps"] = json!([{"setWieght": {"weight": 10}}]);
    let mut command = plugin(&["rollout", "plan", "-f", "-"]);
    let answer = fed(&mut command, &bad.to_string()).await;
    assert_eq!(answer.status.code(), Some(2));
    let lines = told(&answer);
    assert!(
        lines.contains(
            "standard input: Rollout api: spec.strategy.steps[0].setWieght: there is no such field"
        ),
        "{lines}"
    );
    assert!(
        lines.contains("standard input: Rollout api: spec.strategy.keepOldFor: "),
        "{lines}"
    );
    let usage = run(&["rollout", "plan"]).await;
    assert_eq!(usage.status.code(), Some(2));
    let absent = run(&["rollout", "plan", "-f", "/nowhere.yaml"]).await;
    assert_eq!(absent.status.code(), Some(1));
    assert!(told(&absent).starts_with("error: cannot read /nowhere.yaml: "));
}

#[tokio::test]
async fn what_receivers_would_be_sent_is_shown_and_not_sent() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let file = folder.join("environment-notifications.yaml");
    let notify = ["env", "notify", "-f", file.to_str().unwrap()];
    let shown = run(&[&notify[..], &["--dry-run", "-o", "json"]].concat()).await;
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    let all: Value = serde_json::from_str(&text(&shown)).unwrap();
    let types: Vec<&str> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["type"].as_str().unwrap())
        .collect();
    let expected = [
        "slack",
        "teams",
        "email",
        "pagerDuty",
        "alertmanager",
        "cloudEvents",
        "webhook",
    ];
    assert_eq!(types, expected);
    assert_eq!(all[0]["request"]["secrets"], json!(["chat/slack"]));
    let told_of = all[1]["request"]["body"].to_string();
    assert!(told_of.contains("talkative runs sample"), "{told_of}");
    let one = ["--dry-run", "--sink", "oncall", "--event", "IncidentOpened"];
    let shown = run(&[&notify[..], &one].concat()).await;
    let page = text(&shown);
    assert!(
        page.starts_with("oncall (pagerDuty), IncidentOpened\n"),
        "{page}"
    );
    let nobody = run(&[&notify[..], &["--dry-run", "--sink", "nobody"]].concat()).await;
    assert_eq!(nobody.status.code(), Some(2));
    // Nothing is ever sent from here, and that has to be said.
    assert_eq!(run(&notify).await.status.code(), Some(2));
}

#[tokio::test]
async fn version_and_completion_are_printed() {
    let version = run(&["--version"]).await;
    assert_eq!(
        text(&version),
        format!("kubectl-slipway {}\n", env!("CARGO_PKG_VERSION"))
    );
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = run(&["completion", shell]).await;
        assert!(
            script.status.success() && text(&script).contains("explain"),
            "{shell}"
        );
    }
}

#[tokio::test]
async fn every_sample_is_as_it_has_to_be_and_mistakes_are_shown_where_they_stand() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let shown = run(&["lint", "-f", folder.to_str().unwrap()]).await;
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown));
    assert!(text(&shown).ends_with(": nothing is wrong\n"));
    let wrong = "apiVersion: slipway.dev/v1alpha1\nkind: Rollout\nmetadata:\n  name: api\nspec:\n  replicas: many\n";
    let mut command = plugin(&["lint", "-f", "-", "-o", "json"]);
    let answer = fed(&mut command, wrong).await;
    assert_eq!(answer.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&answer.stdout).unwrap();
    let found = found.as_array().unwrap();
    let replicas = found.iter().find(|one| one["path"] == "spec.replicas");
    let replicas = replicas.unwrap_or_else(|| panic!("{found:#?}"));
    assert_eq!(
        (&replicas["line"], &replicas["column"]),
        (&json!(6), &json!(3))
    );
    let odd = "apiVersion: slipway.dev/v1alpha1\nkind: Environment\nmetadata: {name: staging, namespace: shop}\nspec:\n  \
               tier: Staging\n  promotion: {from: {pipelines: [shop]}}\n  smokeTests:\n  - {name: db, tcp: {host: db, port: 5432}}\n";
    let mut command = plugin(&["lint", "-f", "-"]);
    let answer = fed(&mut command, odd).await;
    assert_eq!(answer.status.code(), Some(0), "{}", text(&answer));
    let page = text(&answer);
    let warning = ": warning: Environment staging: spec.smokeTests[0].tcp.host: the operator asks db from its own namespace";
    assert!(page.contains(warning), "{page}");
    assert!(
        page.ends_with("1 object of Slipway: nothing is wrong, 1 warning\n"),
        "{page}"
    );
}

#[tokio::test]
async fn what_happens_to_a_change_is_simulated() {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples/rollout-production.yaml");
    let simulate = ["simulate", "-f", file.to_str().unwrap()];
    let calm = run(&simulate).await;
    assert_eq!(calm.status.code(), Some(0), "{}", told(&calm));
    let shown = run(&[&simulate[..], &["--event", "90s=crash"]].concat()).await;
    let page = text(&shown);
    assert_eq!(shown.status.code(), Some(3), "{page}{}", told(&shown));
    assert!(page.contains("given up: CrashLoop: "), "{page}");
    let usage = run(&[&simulate[..], &["--event", "90s=flood"]].concat()).await;
    assert_eq!(usage.status.code(), Some(2));
}

#[tokio::test]
async fn every_verb_has_a_manual_page() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    let written = run(&["man", pages.to_str().unwrap()]).await;
    assert_eq!(written.status.code(), Some(0), "{}", told(&written));
    for page in ["kubectl-slipway.1", "kubectl-slipway-rollout-watch.1"] {
        let text = std::fs::read_to_string(pages.join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}: {text}");
    }
}
