//! Pipelines to which their repository adds, with a real git server.

use serde_json::json;
use slipway::pipeline_run::api::{DefinitionStep, FailureKind, RunPhase};

use crate::cluster::{kubeconfig_path, with_namespace};
use crate::pipeline::Subject;

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
