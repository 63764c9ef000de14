//! Stages on scripted nodes: a matrix, conditions, attempts that are replaced, what runs always, and runs that are tried again.

use kube::ResourceExt;
use kube::api::PostParams;
use serde_json::{Value, json};
use slipway::pipeline_run::api::{
    CellStatus, PipelineRun, PipelineRunStatus, RunPhase, SkipReason, StagePhase, StageStatus,
};

use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::pipeline::{Subject, tested};

fn stage<'a>(status: &'a PipelineRunStatus, name: &str) -> &'a StageStatus {
    status
        .stages
        .iter()
        .find(|stage| stage.name == name)
        .unwrap()
}

fn script(subject: &Subject, name: &str, extra: &Value) -> Value {
    let mut stage =
        json!({"name": name, "type": "Custom", "image": subject.image("python"), "run": "true"});
    json_patch::merge(&mut stage, extra);
    stage
}

/// Stages that are looked at while they run, and what is waited for.
async fn until(
    subject: &Subject,
    what: &str,
    check: impl Fn(&PipelineRunStatus) -> bool,
) -> (String, PipelineRunStatus) {
    wait_for(what, SOON, async || {
        let runs = subject.list(&subject.runs).await;
        let run = runs.first()?;
        let status = run.status.clone()?;
        check(&status).then(|| (run.name_any(), status))
    })
    .await
}

fn cells(stages: &PipelineRunStatus) -> Vec<&CellStatus> {
    let all = stages.stages.iter();
    all.flat_map(|stage| &stage.cells).collect()
}

fn manual(name: &str, spec: &Value) -> PipelineRun {
    let mut whole = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
        "spec": {
            "pipelineRef": {"name": "api"}, "ref": "refs/heads/main",
            "trigger": {"kind": "Manual", "actor": "alice"},
        },
    });
    json_patch::merge(&mut whole["spec"], spec);
    serde_json::from_value(whole).unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_matrix_loses_a_cell_and_fails_in_another_and_only_that_is_run_again() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        let images: [String; 3] = ["py-a", "py-b", "py-c"].map(|name| subject.image(name));
        let good = format!("exit=0,after=100ms,message={}", tested(4, 0).encode());
        subject.plays("py-a", &good);
        subject.plays("py-b", "evicted");
        subject.plays("py-c", &format!("exit=1,after=100ms,message={}", tested(4, 1).encode()));
        subject.plays("python", "exit=0,after=50ms");
        let stages = json!([
            script(&subject, "unit", &json!({
                "type": "Test", "reports": {"junit": ["junit.xml"]},
                "matrix": {
                    "axes": {"py": ["a", "b", "c"]}, "maxParallel": 2, "failFast": false,
                    "image": {"axis": "py", "images": {"a": images[0], "b": images[1], "c": images[2]}},
                },
            })),
            script(&subject, "elsewhere", &json!({"when": "branch == 'other'"})),
            {"name": "image", "type": "Build", "needs": ["unit", "elsewhere"],
             "build": {"image": "registry.example/shop/api"}},
            script(&subject, "clean", &json!({"always": true})),
        ]);
        let sha = subject.push("Try three").await;
        subject.create(&json!({"spec": {"stages": stages}})).await;
        let (run, _) = until(&subject, "a lost cell", |status| {
            cells(status).iter().any(|cell| cell.infra_retries == 1)
        })
        .await;
        subject.plays("py-b", &good);
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Failed), "{status:?}");
        let unit = stage(&status, "unit");
        let found: Vec<(&str, StagePhase, Option<u32>)> = unit
            .cells
            .iter()
            .map(|cell| (cell.name.as_str(), cell.phase, cell.attempt))
            .collect();
        assert_eq!(
            found,
            [
                ("a", StagePhase::Succeeded, Some(1)),
                ("b", StagePhase::Succeeded, Some(2)),
                ("c", StagePhase::Failed, Some(1)),
            ]
        );
        assert_eq!(status.failure.as_ref().unwrap().cell.as_deref(), Some("c"));
        assert_eq!(stage(&status, "elsewhere").skipped_because, Some(SkipReason::When));
        assert_eq!(stage(&status, "image").skipped_because, Some(SkipReason::Needs));
        assert_eq!(stage(&status, "clean").phase, StagePhase::Succeeded);

        subject.plays("py-c", &good);
        let again = manual("again", &json!({"retryOf": {"name": run}}));
        subject.runs.create(&PostParams::default(), &again).await.unwrap();
        let status = wait_for("the second run is over", SOON, async || {
            let status = subject.runs.get("again").await.ok()?.status?;
            status.phase?.is_finished().then_some(status)
        })
        .await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.sha.as_ref(), Some(&sha));
        assert_eq!(status.tests.unwrap().total, 12);
        let mut jobs: Vec<String> = subject.list(&subject.jobs).await.iter().map(ResourceExt::name_any).collect();
        jobs.retain(|name| name.starts_with("again"));
        jobs.sort();
        assert_eq!(jobs, ["again-clean-1", "again-image-1", "again-unit-3-1"]);
        assert_eq!(subject.list(&subject.releases).await.len(), 1);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_cancelled_run_stops_its_pods_and_still_cleans_up() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.plays("python", "exit=0,after=50ms");
        subject.plays("endless", "ready-after=50ms");
        let endless = json!({"image": subject.image("endless")});
        let stages = json!([
            script(&subject, "endless", &endless),
            script(&subject, "later", &json!({"needs": ["endless"]})),
            script(&subject, "clean", &json!({"always": true})),
        ]);
        let sha = subject.push("Never ends").await;
        subject
            .create(&json!({"spec": {"stages": stages, "gates": null}}))
            .await;
        let (run, _) = until(&subject, "a running stage", |status| {
            status
                .stages
                .first()
                .is_some_and(|stage| stage.message.as_deref() == Some("running"))
        })
        .await;
        space.decide(("PipelineRun", &run), "Cancel").await;
        let (_, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Cancelled), "{status:?}");
        assert_eq!(stage(&status, "endless").phase, StagePhase::Cancelled);
        assert_eq!(
            stage(&status, "later").skipped_because,
            Some(SkipReason::Stopped)
        );
        assert_eq!(stage(&status, "clean").phase, StagePhase::Succeeded);
        let jobs = subject.list(&subject.jobs).await;
        let job = jobs
            .iter()
            .find(|job| job.name_any().ends_with("-clean-1"))
            .unwrap();
        let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
        let env = pod.containers[0].env.as_ref().unwrap();
        let result = env
            .iter()
            .find(|env| env.name == "SLIPWAY_RUN_RESULT")
            .unwrap();
        assert_eq!(result.value.as_deref(), Some("Cancelled"));
        assert!(
            !jobs
                .iter()
                .any(|job| job.name_any().ends_with("-endless-1"))
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_test_that_was_flaky_in_two_runs_is_in_quarantine_in_the_third() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        let mut flaky = tested(12, 0);
        flaky.flaky_tests = vec!["shop.clock".into()];
        let script = format!("exit=0,after=50ms,message={}", flaky.encode());
        subject.plays("python", &script);
        let unit = json!({"type": "Test", "reports": {"junit": ["junit.xml"]}});
        let stages = json!([self::script(&subject, "unit", &unit)]);
        let spec = json!({"stages": stages, "quarantine": {"maxTests": 5}});
        subject.create(&json!({"spec": spec})).await;
        let mut known = Vec::new();
        for round in ["one", "two", "three"] {
            let sha = subject.push(round).await;
            let (run, status) = subject.ended(&sha).await;
            assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
            known.push(status.quarantine.len());
            let jobs = subject.list(&subject.jobs).await;
            let job = jobs.iter().find(|job| job.name_any().starts_with(&run));
            let job = serde_json::to_string(job.unwrap()).unwrap();
            assert_eq!(job.contains("shop.clock"), round == "three", "{job}");
        }
        assert_eq!(known, [0, 0, 1]);
    })
    .await;
}

/// Minutes: 256 Jobs, and 51,200 tests.
#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_largest_run_stays_below_100_kib() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        let mut report = tested(200, 7);
        report.failed_tests = serde_json::from_value(json!([
            {"name": "n".repeat(200), "message": "m".repeat(500)},
            {"name": "o".repeat(200), "message": "m".repeat(500)},
        ]))
        .unwrap();
        subject.plays(
            "python",
            &format!("exit=1,after=10ms,message={}", report.encode()),
        );
        let values: Vec<String> = (0..16).map(|n| format!("a-long-value-{n}")).collect();
        let matrix =
            json!({"axes": {"a": values, "b": values}, "maxParallel": 64, "failFast": false});
        let stages = json!([script(
            &subject,
            "unit",
            &json!({"type": "Test", "matrix": matrix, "reports": {"junit": ["junit.xml"]}})
        )]);
        let sha = subject.push("Try everything").await;
        subject.create(&json!({"spec": {"stages": stages}})).await;
        let run = wait_for("a run that is over", 10 * SOON, async || {
            let runs = subject.list(&subject.runs).await;
            let run = runs.into_iter().next()?;
            run.status.as_ref()?.phase?.is_finished().then_some(run)
        })
        .await;
        let status = run.status.clone().unwrap();
        assert_eq!(status.sha.as_ref(), Some(&sha));
        assert_eq!(status.tests.unwrap().total, 51_200);
        assert_eq!(cells(&status).len(), 256);
        // With everything that the API server adds.
        let size = serde_json::to_vec(&run).unwrap().len();
        println!("RATIO largest run, bytes {size} goal 102400");
        assert!(size < 100 << 10, "{size}");
    })
    .await;
}
