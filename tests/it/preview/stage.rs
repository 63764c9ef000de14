//! A run of a pull request that waits for its preview, and tests what is shown there: from the delivery to the end.

use serde_json::{Value, json};
use slipway::pipeline_run::api::{PipelineRunStatus, RunPhase, StagePhase, StageStatus};

use super::Review;
use crate::cluster::{api_of, kubeconfig_path, with_namespace};
use crate::pipeline::{Subject, tested};
use crate::trigger::{LISTEN, Sender, hooked, pull_request, set_token};

/// Tests, an image that pull requests push too, the preview of that, and tests of what is shown.
fn spec(subject: &Subject) -> Value {
    let test = |name: &str, image: &str, rest: &Value| {
        let mut stage = json!({
            "name": name, "type": "Test", "image": subject.image(image), "run": "pytest",
            "reports": {"junit": ["junit.xml"]},
        });
        json_patch::merge(&mut stage, rest);
        stage
    };
    hooked(&json!({
        "triggers": [{"name": "pr", "pullRequest": {"branches": ["main"]}}],
        "stages": [
            test("unit", "python", &json!({})),
            {"name": "api", "type": "Build", "needs": ["unit"],
             "build": {"image": "registry.example/shop/api", "pushOn": ["Push", "PullRequest"]}},
            {"name": "shown", "type": "Preview", "needs": ["api"], "preview": {"environment": "review"}},
            test("journeys", "browser", &json!({"needs": ["shown"]})),
        ],
        "gates": [{"name": "journeys", "from": ["journeys"], "tests": {"minTests": 7}}],
    }))
}

fn stage<'a>(status: &'a PipelineRunStatus, name: &str) -> &'a StageStatus {
    let mut stages = status.stages.iter();
    stages.find(|stage| stage.name == name).unwrap()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_run_of_a_pull_request_waits_for_its_preview_and_tests_what_is_shown() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        set_token(space).await;
        let review = Review::without_pipeline(space, &json!({})).await;
        let good = format!("exit=0,after=100ms,message={}", tested(7, 0).encode());
        subject.plays("browser", &good);
        let sha = subject.push("Greet people").await;
        let all = review.all_namespaces();
        let previews = ["--previews", "--watch-namespace", all.as_str()];
        let args = [LISTEN, &previews].concat();
        let operator = subject.operator_with(&kubeconfig_path(), &args);
        subject.create(&spec(&subject)).await;
        let sender = Sender::to(space, &operator).await;
        let opened = pull_request(&sha, "shop/api");
        let said = sender.deliver("pull_request", &opened).await;
        assert!(said.starts_with("started api-"), "{said}");

        let (run, status) = subject.ended(&sha).await;
        assert_eq!(status.phase, Some(RunPhase::Succeeded), "{status:?}");
        assert_eq!(status.release, None);
        let url = "http://pr-7.preview.example.com";
        let preview = status.preview.as_ref().unwrap();
        assert_eq!(preview.environment, "review");
        assert_eq!(preview.url.as_deref(), Some(url));
        let shown = stage(&status, "shown");
        assert_eq!(shown.phase, StagePhase::Succeeded);
        assert_eq!(shown.job, None, "it has no pod");
        let began = stage(&status, "journeys").started_at.as_ref().unwrap();
        let answered = shown.finished_at.as_ref().unwrap();
        assert!(began.0 >= answered.0, "{began:?} before {answered:?}");

        // What it was told, and what is there.
        let job = subject
            .jobs
            .get(&format!("{run}-journeys-1"))
            .await
            .unwrap();
        let pod = job.spec.unwrap().template.spec.unwrap();
        let env = pod.containers[0].env.as_ref().unwrap();
        let told = env.iter().find(|it| it.name == "SLIPWAY_PREVIEW_URL");
        assert_eq!(told.unwrap().value.as_deref(), Some(url));
        let rollouts = api_of(&space.client, &review.namespace(7), "Rollout");
        let rollout = rollouts.get("api").await.unwrap();
        let stable = rollout.data["status"]["stable"]["images"]["web"].as_str();
        let digest = format!("registry.example/shop/api@sha256:{}", "9".repeat(64));
        assert_eq!(stable, Some(digest.as_str()));

        review.closed(&[7]).await;
        review.until_gone(7).await;
    })
    .await;
}
