//! What people choose to call things, on its way into pods: parameters, values of a matrix, titles of commits, branches, files.
//! It stays text wherever it gets to, and nothing of it is ever run.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DynamicObject, ListParams, LogParams, PostParams};
use kube::{Client, ResourceExt};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::{GitServer, Repository};
use testbed::image;

use crate::app::{App, wait_for, with_app};

/// Longest wait for a run, whose images have to be pulled first.
const RUN: Duration = Duration::from_mins(4);
/// Commands to a shell and an expression to Kubernetes, should one of them ever read it.
const TEXT: &str = "\"; touch /tmp/run; $(touch /tmp/run) `touch /tmp/run` ' && touch /tmp/run # $HOME $(CI) %s \\n";
/// The same as names of files: of reports, of packages, in the context of a build.
const NAMES: [&str; 5] = [
    "-rf",
    "$(touch run)",
    "`touch run`;touch run",
    "two\nlines && touch run",
    "\"' || touch run #",
];
/// Branches that git allows and a run cannot be about.
const REFUSED: [&str; 5] = [
    "a;reboot",
    "$(reboot)",
    "a&b|c",
    "it's-`id`",
    "--upload-pack=x",
];
/// One that it can be about.
const BRANCH: &str = "team/-x/--help+1";
/// A branch to be merged into, which only has to be one of the provider's.
const BASE: &str = "main;$(touch${IFS}/tmp/run)|'`id`\"";

/// Says all of it, from its variables and as arguments, and copies the reports. What was run instead would have left a file.
const UNIT: &str = r#"
printf 'parameter %s|\n' "$WORD"
printf 'axis %s|\n' "$SLIPWAY_MATRIX_TEXT"
printf 'branch %s|\n' "$SLIPWAY_BRANCH"
git log -1 --format='title %s|'
set -- "$WORD" "$SLIPWAY_MATRIX_TEXT"
python3 -c 'import sys; print("arguments", sys.argv[1:])' "$@"
cp -r names reports
test ! -e /tmp/run && test ! -e run
"#;

/// Measures something by a hostile name, in a file by another, and slower in a pull request.
const SPEED: &str = r#"
value=2
if [ -n "$SLIPWAY_PULL_REQUEST" ]; then value=9; fi
write='import json, sys; print(json.dumps([{"name": sys.argv[1], "value": float(sys.argv[2]), "unit": "ms"}]))'
python3 -c "$write" '$(touch run)' "$value" > 'speed; touch run.json'
test ! -e run
"#;

/// What the stage of a pull request says.
const AGAIN: &str = r#"
printf 'base %s|\n' "$SLIPWAY_BASE_BRANCH"
git log -1 --format='title %s|'
test ! -e /tmp/run && test ! -e run
"#;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn whatever_people_call_things_is_text_in_pods_and_is_never_run() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let bridge = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("shop").await.unwrap();
        let sha = first_commit(&repository).await;
        let pipeline = pipeline(app, &git.url("shop")).await;
        app.apply(ObjectKind::Pipeline, &pipeline).await;
        let first = begun(app, "refs/heads/main").await;
        for branch in REFUSED.iter().chain([&BRANCH]) {
            let git_ref = format!("refs/heads/{branch}");
            repository.push_ref(&git_ref, &sha).await.unwrap();
        }
        let by_hand = json!({
            "ref": "refs/heads/main", "stages": ["unit"], "params": [{"name": "WORD", "value": TEXT}],
        });
        app.run_by_hand("by-hand", "shop", &by_hand).await;
        let other = begun(app, &format!("refs/heads/{BRANCH}")).await;

        let released = ended(app, &first).await;
        assert_eq!(released["commit"]["subject"], TEXT);
        assert_eq!(released["artifacts"].as_array().unwrap().len(), 2, "{released}");
        assert_eq!(released["tests"]["total"], json!(NAMES.len()), "{released}");
        assert_eq!(released["gates"][0]["result"], "Passed", "{released}");
        assert_says(app, &first, "unit", "parameter plain|").await;
        ended(app, "by-hand").await;
        assert_says(app, "by-hand", "unit", &format!("parameter {TEXT}|")).await;
        ended(app, &other).await;
        assert_says(app, &other, "unit", &format!("branch {BRANCH}|")).await;

        follows_a_pull_request(app, &repository).await;
        let runs = app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap().items;
        assert_eq!(runs.len(), 4, "of no other branch: {runs:#?}");
    })
    .await;
}

/// Files by hostile names, under a hostile title.
async fn first_commit(repository: &Repository) -> String {
    let case = "<testcase classname=\"$(touch run)\" name=\"; touch run";
    let named = NAMES.iter().enumerate().map(|(number, name)| {
        let report = format!("<testsuite>{case} {number}\"/></testsuite>");
        (format!("names/{name}"), report)
    });
    let named: Vec<(String, String)> = named.collect();
    let mut files: Vec<(&str, &str)> = vec![("Dockerfile", "ARG BASE\nFROM $BASE\nCOPY . /all\n")];
    files.extend(
        named
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str())),
    );
    repository.commit("main", TEXT, &files).await.unwrap()
}

async fn pipeline(app: &App, url: &str) -> Value {
    let registry = app.cluster.node.registry();
    let debian = image::base::debian(registry).await.unwrap();
    let busybox = image::base::busybox(registry).await.unwrap();
    let place = |name: &str| format!("{registry}/{}/{name}", app.namespace);
    let only_main = "event == 'Push' && branch == 'main'";
    let main_or_pull = format!("event == 'PullRequest' || {only_main}");
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "shop"},
        "spec": {
            "source": {"git": {"url": url, "insecure": true}},
            "polling": {"interval": "500ms"},
            "triggers": [{"name": "all", "push": {"branches": ["**"]}}],
            "params": [{"name": "WORD", "default": "plain"}],
            "defaults": {"image": debian},
            "stages": [
                {
                    "name": "unit", "type": "Test", "run": UNIT, "when": "event != 'PullRequest'",
                    "matrix": {"axes": {"text": [TEXT]}}, "reports": {"junit": ["reports/*"]},
                },
                {
                    "name": "files", "type": "Custom", "run": "cp -r names dist", "when": only_main,
                    "packages": [{
                        "name": "names", "files": ["dist/*"], "repository": place("names"), "insecureRegistry": true,
                    }],
                },
                {
                    "name": "image", "type": "Build", "when": only_main, "timeout": "3m",
                    "build": {"image": place("image"), "insecureRegistry": true, "args": {"BASE": busybox}},
                },
                {
                    "name": "speed", "type": "Benchmark", "run": SPEED, "when": main_or_pull,
                    "reports": {"benchmarks": ["speed*.json"]},
                },
                {
                    "name": "again", "type": "Test", "run": AGAIN, "when": "event == 'PullRequest'",
                    "changes": ["added/*"],
                },
            ],
            // What is slower than in the newest Release is told, and lets the run go on.
            "gates": [{"name": "speed", "mode": "Warn", "from": ["speed"], "benchmarks": {"maxRegression": 10}}],
        },
    })
}

/// A pull request that adds one file, by which it is told that something has changed.
async fn follows_a_pull_request(app: &App, repository: &Repository) {
    let path = format!("added/{}", NAMES[3]);
    let sha = repository
        .prepare("main", TEXT, &[(path.as_str(), "new")])
        .await;
    let sha = sha.unwrap();
    let git_ref = "refs/pull/7/head";
    repository.push_ref(git_ref, &sha).await.unwrap();
    let run = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": "pull-7", "namespace": app.namespace},
        "spec": {
            "pipelineRef": {"name": "shop"}, "ref": git_ref, "sha": sha,
            "trigger": {
                "kind": "PullRequest", "actor": format!("github:{TEXT}"),
                "pullRequest": {"number": 7, "base": BASE, "fork": false},
            },
        },
    });
    let run: DynamicObject = serde_json::from_value(run).unwrap();
    let operator = Client::try_from(app.as_operator().await).unwrap();
    let kind = ObjectKind::PipelineRun.api_resource();
    let runs = Api::namespaced_with(operator, &app.namespace, &kind);
    runs.create(&PostParams::default(), &run).await.unwrap();
    let status = ended(app, "pull-7").await;
    let stages = status["stages"].as_array().unwrap();
    let again = stages.iter().find(|stage| stage["name"] == "again");
    assert_eq!(
        again.unwrap()["phase"],
        "Succeeded",
        "it has changed: {status}"
    );
    assert_eq!(
        status["difference"],
        json!({"lines": 1, "files": [path]}),
        "{status}"
    );
    let gate = &status["gates"][0];
    assert_eq!(gate["result"], "Warned", "{status}");
    assert!(
        gate["message"].as_str().unwrap().contains("$(touch run)"),
        "{gate}"
    );
    assert_says(app, "pull-7", "again", &format!("base {BASE}|")).await;
}

/// The run of a branch, once there is one.
async fn begun(app: &App, git_ref: &str) -> String {
    wait_for(&format!("a run of {git_ref}"), RUN, async || {
        let runs = app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap().items;
        let is_it = |run: &&DynamicObject| {
            run.data["spec"]["ref"] == git_ref && run.data["spec"]["trigger"]["kind"] == "Push"
        };
        let run = runs.iter().find(is_it).map(ResourceExt::name_any);
        run.ok_or_else(|| format!("{} others", runs.len()))
    })
    .await
}

/// The status of a run, once it has succeeded.
async fn ended(app: &App, name: &str) -> Value {
    wait_for(&format!("{name} is over"), RUN, async || {
        let run = app.api(ObjectKind::PipelineRun).get(name).await.unwrap();
        let status = run.data["status"].clone();
        let phase = status["phase"].as_str().unwrap_or_default();
        assert_ne!(phase, "Failed", "{name}: {status:#}");
        if phase == "Succeeded" {
            Ok(status)
        } else {
            Err(status.to_string())
        }
    })
    .await
}

/// The script of a stage has to say a line, and what it was told.
async fn assert_says(app: &App, run: &str, stage: &str, line: &str) {
    let pods: Api<Pod> = Api::namespaced(app.client.clone(), &app.namespace);
    let labels = format!("slipway.dev/pipeline-run={run},slipway.dev/stage={stage}");
    let of_stage = ListParams::default().labels(&labels);
    let pod = pods.list(&of_stage).await.unwrap().items.remove(0);
    let main = LogParams {
        container: Some("main".to_owned()),
        ..LogParams::default()
    };
    let log = pods.logs(&pod.name_any(), &main).await.unwrap();
    let axis = (stage == "unit").then(|| format!("axis {TEXT}|"));
    let told = axis.into_iter().chain([format!("title {TEXT}|")]);
    for wanted in told.chain([line.to_owned()]) {
        let is_said = log.lines().any(|line| line == wanted);
        assert!(is_said, "{run} does not say {wanted}:\n{log}");
    }
}
