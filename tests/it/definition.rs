//! Pipelines to which their repository adds, with a real git server; and Decisions on runs and Pipelines.

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use slipway::pipeline_run::api::{DefinitionStep, FailureKind, RunPhase};

use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::pipeline::{Subject, tested};
use crate::trigger::decide;

const PATH: &str = ".slipway/pipeline.yaml";

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_file_of_the_repository_adds_stages_and_a_bad_one_fails_its_run_alone() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let image = subject.image("ruff");
        subject.plays("ruff", "exit=0,after=50ms");
        let file = format!(
            "stages:\n- {{name: lint, type: Lint, image: '{image}', run: ruff check, needs: [unit]}}\n"
        );
        let files = [(PATH, file.as_str())];
        let add = subject.repository.commit("main", "Add a check", &files);
        add.await.unwrap();
        let first = subject.push("Begin").await;
        let _operator = subject.operator(&kubeconfig_path());
        subject
            .create(&json!({"spec": {"definition": {"images": [image]}}}))
            .await;

        let (_, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        let names: Vec<&str> = status.stages.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["unit", "image", "lint"]);
        let known = status.definition.unwrap();
        assert_eq!(known.sha.as_ref(), Some(&first));
        assert_eq!((known.step, known.text), (Some(DefinitionStep::Read), None));
        assert!(status.release.is_some());

        let bad = file.replace("type: Lint", "type: Publish");
        let files = [(PATH, bad.as_str())];
        let change = subject.repository.commit("main", "Publish", &files);
        let second = change.await.unwrap();
        let (_, status) = subject.ended(&second).await;
        let failure = status.failure.unwrap();
        assert_eq!(failure.kind, FailureKind::Definition);
        let hint = failure.hint.unwrap();
        assert!(
            hint.contains("line 2, column 3: stages[0].type: Publish"),
            "{hint}"
        );

        // Without the file it is the Pipeline alone.
        let files = [(PATH, "")];
        let empty = subject.repository.commit("main", "Nothing", &files);
        empty.await.unwrap();
        let third = subject.push("Go on").await;
        let (_, status) = subject.ended(&third).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.stages.len(), 2);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn decisions_try_a_run_again_and_pause_a_pipeline() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let report = tested(12, 2).encode();
        subject.plays("python", &format!("exit=1,after=50ms,message={report}"));
        let first = subject.push("Begin").await;
        let _operator = subject.operator(&kubeconfig_path());
        subject.create(&json!({})).await;
        let (failed, status) = subject.ended(&first).await;
        assert_eq!(status.phase, Some(RunPhase::Failed), "{status:?}");

        let report = tested(12, 0).encode();
        subject.plays("python", &format!("exit=0,after=50ms,message={report}"));
        decide(space, ("PipelineRun", &failed), "Retry").await;
        let again = wait_for("the run that tries it again is over", SOON, async || {
            let runs = subject.list(&subject.runs).await;
            let of_it = |run: &slipway::pipeline_run::api::PipelineRun| {
                let origin = run.spec.retry_of.as_ref();
                origin.is_some_and(|origin| origin.name == failed)
            };
            let found: Vec<_> = runs.into_iter().filter(of_it).collect();
            assert!(found.len() <= 1, "{found:?}");
            let run = found.into_iter().next()?;
            let phase = run.status.as_ref()?.phase?;
            phase.is_finished().then_some(run)
        })
        .await;
        let status = again.status.clone().unwrap();
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(again.spec.trigger.actor, "alice");
        wait_for("that it is noted", SOON, async || {
            let status = subject.runs.get(&failed).await.ok()?.status?;
            (status.retries.len() == 1).then_some(())
        })
        .await;

        decide(space, ("Pipeline", "api"), "Pause").await;
        subject
            .until("a paused Pipeline", |status| status.paused_by.is_some())
            .await;
        let second = subject.push("Go on").await;
        let asked = subject.git.requests();
        decide(space, ("Pipeline", "api"), "Resume").await;
        let (name, _) = subject.ended(&second).await;
        assert!(subject.git.requests() > asked);
        let runs = subject.runs.list(&ListParams::default()).await.unwrap();
        let names: Vec<String> = runs.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.contains(&name));
        let shown: Value = json!(
            subject
                .until("a Pipeline that goes on", |s| s.paused_by.is_none())
                .await
        );
        assert!(shown.get("pausedBy").is_none());
    })
    .await;
}
