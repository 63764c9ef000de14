//! How things stand, by the real program: what is waited for, what is not, and why something is bad.

use serde_json::{Value, json};
use slipway::environment::api::{EnvironmentPhase, EnvironmentStatus};

use super::decide::asked;
use crate::cluster::{Space, kubeconfig_path, with_namespace};
use crate::environment::shop::{Shop, condition};
use crate::pipeline;

/// The one line of an object, for programs.
async fn line(space: &Space, object: &str, code: i32) -> Value {
    let page = asked(space, &["status", object, "-o", "json"], code).await;
    let lines: Value = serde_json::from_str(&page).unwrap();
    lines[0].clone()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn who_waits_for_production_waits_for_staging_and_a_way_back_says_why() {
    Box::pin(with_namespace(async |space| {
        let shop = Shop::staging_and_production(space).await;
        let _operator = shop.operator();
        // Nothing has a Release, so nothing is to do.
        let watch = ["status", "--watch", "--timeout", "40s"];
        let all = asked(space, &watch, 0).await;
        assert_eq!(all.matches(" Well ").count(), 4, "{all}");

        // The test in staging goes on until it is told to end.
        shop.smoke_test_plays("ready-after=50ms");
        shop.release(1).await;
        shop.until_phase("staging", EnvironmentPhase::Verifying)
            .await;
        let production = line(space, "env/production", 0).await;
        assert_eq!(production["standing"], "Underway", "{production}");
        let coming = "on its way: shop-1 in Environment staging, which is Verifying";
        let message = production["message"].as_str().unwrap();
        assert!(message.ends_with(coming), "{message}");
        let rollout = line(space, "rollout/production-api", 0).await;
        assert_eq!(rollout["standing"], "Underway", "{rollout}");

        // It is waited for, until a person is asked.
        let late = ["status", "env/production", "--watch", "--timeout", "2s"];
        asked(space, &late, 5).await;
        shop.smoke_test_plays("exit=0");
        let asks = |status: &EnvironmentStatus| {
            condition(status, "PromotionPending") == Some(("True", "AwaitingApproval"))
        };
        shop.until("production", "asks people", asks).await;
        let watch_it = ["status", "env/production", "--watch", "--timeout", "40s"];
        let page = asked(space, &watch_it, 4).await;
        assert!(page.contains("shop-1 waits for approvals"), "{page}");
        // The Rollout of production has no Release still, and does not keep anybody waiting.
        let all = asked(space, &watch, 4).await;
        assert!(
            all.contains("production-api") && !all.contains("Underway"),
            "{all}"
        );

        shop.release_plays(2, "crash-loop");
        shop.release(2).await;
        let story = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Succeeded",
        ];
        shop.until_told("staging", &story).await;
        let is_told = |status: &EnvironmentStatus| {
            status.phase == Some(EnvironmentPhase::Steady)
                && condition(status, "LastPromotion") == Some(("False", "RolloutFailed"))
        };
        shop.until("staging", "it says that it went back", is_told)
            .await;
        let staging = line(space, "env/staging", 3).await;
        assert_eq!(staging["standing"], "Bad", "{staging}");
        assert_eq!(staging["reason"], "RolloutFailed", "{staging}");
        let message = staging["message"].as_str().unwrap();
        let why = "last promotion: RolloutFailed: shop-2";
        assert!(message.contains(why), "{message}");
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_pipeline_whose_repository_does_not_answer_is_bad_and_says_why() {
    with_namespace(async |space| {
        let subject = pipeline::Subject::new(space).await;
        let _operator = subject.operator(&kubeconfig_path());
        let down = http::StatusCode::SERVICE_UNAVAILABLE;
        subject.git.set_failing(Some(down));
        subject.create(&json!({})).await;
        let is_down = |status: &slipway::pipeline::api::PipelineStatus| {
            let mut conditions = status.conditions.iter();
            conditions.any(|one| one.reason == "SourceUnavailable")
        };
        subject.until("down", is_down).await;
        let all = asked(space, &["status"], 3).await;
        assert!(
            all.contains("Bad") && all.contains("SourceUnavailable"),
            "{all}"
        );
        let told = line(space, "pipeline/api", 3).await;
        assert_eq!(told["reason"], "Server", "{told}");
        let message = told["message"].as_str().unwrap();
        let ends = "newest commit seen: none; newest run: none";
        assert!(message.ends_with(ends), "{message}");
        let overview = asked(space, &["get"], 0).await;
        assert!(
            overview.starts_with("PIPELINE\n") && overview.contains("SourceUnavailable"),
            "{overview}"
        );

        subject.git.set_failing(None);
        let sha = subject.push("At last").await;
        let (run, _) = subject.ended(&sha).await;
        let is_shown = |status: &slipway::pipeline::api::PipelineStatus| {
            let last = status.last_run.as_ref();
            last.is_some_and(|last| last.name == run)
        };
        subject.until("its run", is_shown).await;
        let told = line(space, "pipeline/api", 0).await;
        assert_eq!(told["standing"], "Well", "{told}");
        assert_eq!(told["phase"], "Watching", "{told}");
        assert_eq!(told["commit"], sha, "{told}");
        assert_eq!(told["lastRun"]["name"], run, "{told}");
        assert_eq!(told.get("reason"), None, "{told}");
        let names = asked(space, &["get", "-o", "name"], 0).await;
        assert!(names.contains("pipeline.slipway.dev/api\n"), "{names}");
    })
    .await;
}
