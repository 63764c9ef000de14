//! People who look and decide: a Rollout is listed, watched and steered, an Environment approved and held, by the real program.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};
use slipway::environment::api::EnvironmentPhase;
use slipway::rollout::api::Phase;
use testbed::scripted::ScriptedGateway;

use super::ask;
use crate::cluster::{Space, with_namespace};
use crate::environment::shop::{Shop, condition};
use crate::operator::Operator;
use crate::plugin::{text, told};
use crate::rollout::{Subject, manifest, routed, stable};

/// Asks about the namespace, and expects this exit code.
pub(super) async fn asked(space: &Space, args: &[&str], code: i32) -> String {
    let all = [args, &["-n", &space.name]].concat();
    let shown: Output = ask(&all).await;
    let page = text(&shown);
    assert_eq!(
        shown.status.code(),
        Some(code),
        "{args:?}: {page}{}",
        told(&shown)
    );
    page
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_rollout_is_listed_watched_and_steered() {
    with_namespace(async |space| {
        let _operator = Operator::start(&space.name);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let mut extra = routed();
        extra["spec"]["strategy"] =
            json!({"steps": [{"setWeight": {"weight": 25}}, {"pause": {}}]});
        let api = Subject::create(space, &manifest("greeter:1", &extra)).await;
        let first = stable(&api.until_phase(Phase::Healthy).await);
        asked(
            space,
            &["status", "rollout/api", "--watch", "--timeout", "30s"],
            0,
        )
        .await;
        api.set_image("greeter:2").await;

        // It is followed to where it waits for a person.
        let watched = asked(space, &["rollout", "watch", "api", "--lines"], 4).await;
        let last = watched.lines().last().unwrap();
        assert!(
            last.contains("Paused step 2/2, 25 % to the canary"),
            "{watched}"
        );
        let table = asked(space, &["rollout", "get"], 0).await;
        assert!(table.contains("Paused") && table.contains("2/2"), "{table}");
        let wide = asked(space, &["rollout", "get", "api", "-o", "wide"], 0).await;
        assert!(
            wide.contains("STRATEGY") && wide.contains("web=greeter:1"),
            "{wide}"
        );
        let name = asked(space, &["rollout", "get", "-o", "name"], 0).await;
        assert_eq!(name, "rollout.slipway.dev/api\n");
        let none = asked(
            space,
            &["rollout", "get", "-l", "app=other", "-o", "json"],
            0,
        )
        .await;
        assert_eq!(none, "[]\n");
        let status = asked(space, &["status", "rollout", "api", "-o", "json"], 4).await;
        let status: Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status[0]["standing"], "Waiting");

        // A Decision that was made a moment ago counts for who waits.
        asked(space, &["rollout", "pause", "api"], 0).await;
        let watch = ["status", "rollout/api", "--watch", "--timeout", "30s"];
        asked(space, &watch, 4).await;
        asked(space, &["rollout", "resume", "api"], 0).await;
        asked(space, &watch, 4).await;

        // Nothing is decided by who only tries, and nobody waits for ever.
        let dry = asked(space, &["rollout", "abort", "api", "--dry-run=server"], 0).await;
        assert!(dry.contains("the API server would take it"), "{dry}");
        let late = ["status", "--watch", "--timeout", "1s"];
        asked(space, &late, 4).await;
        let gone = ask(&["rollout", "pause", "nobody", "-n", &space.name]).await;
        assert_eq!(gone.status.code(), Some(1), "{}", text(&gone));

        let done = [
            "rollout",
            "resume",
            "api",
            "--reason",
            "looks good",
            "--wait",
        ];
        let done = asked(space, &done, 0).await;
        assert!(
            done.contains("it goes on with the next step\nHealthy: "),
            "{done}"
        );
        let again = asked(space, &["rollout", "abort", "api", "--wait"], 1).await;
        assert!(
            again.contains("no effect: there is nothing to end"),
            "{again}"
        );
        let to = ["rollout", "undo", "api", "--to"];
        let nowhere = asked(space, &[&to[..], &["nowhere", "--wait"]].concat(), 1).await;
        assert!(nowhere.contains("no such earlier revision"), "{nowhere}");
        let back = [&to[..], &[&first, "--wait", "--timeout", "40s"]].concat();
        let back = asked(space, &back, 0).await;
        assert!(back.contains("RolledBack: "), "{back}");
        assert_eq!(stable(&api.status().await), first);
        let all = asked(space, &["status"], 3).await;
        assert!(all.contains("Bad"), "{all}");
        let all = asked(space, &["get"], 0).await;
        assert!(
            all.starts_with("ROLLOUT\n") && all.contains("RolledBack"),
            "{all}"
        );
    })
    .await;
}

/// Decides in the namespace, and waits for what comes of it.
async fn decided(space: &Space, args: &[&str], code: i32) -> String {
    let wait = ["--wait", "--timeout", "40s"];
    asked(space, &[args, &wait].concat(), code).await
}

/// Pins, vetoes and their like: what counts at once, what is refused, and what nothing comes of.
async fn people_rule(space: &Space) {
    let said = decided(space, &["env", "pin", "production", "shop-1"], 0).await;
    assert!(said.contains("\nit counts; Held: "), "{said}");
    let shown = asked(space, &["env", "describe", "production", "-o", "json"], 0).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let status = &shown["environment"]["status"];
    assert_eq!(status["pins"][0]["release"], "shop-1", "{shown}");
    let last = status["decided"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "Pin", "{shown}");
    decided(space, &["env", "resume", "production"], 0).await;

    asked(space, &["env", "pin", "production"], 2).await;
    asked(space, &["env", "veto", "production", "shop-1"], 2).await;
    let why = ["--reason", "leaks"];
    let veto = ["env", "veto", "production", "shop-9"];
    asked(space, &[&veto[..], &why].concat(), 1).await;
    let overrule = ["env", "override", "production", "--gate", "soak"];
    asked(space, &[&overrule[..], &why].concat(), 2).await;
    let of = [&overrule[..], &["shop-1", "--dry-run=server"], &why].concat();
    asked(space, &of, 0).await;
    let migrated = decided(space, &["env", "migrate", "production"], 1).await;
    assert!(migrated.contains("it cannot be followed: "), "{migrated}");
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_environment_is_compared_approved_held_and_resumed() {
    Box::pin(with_namespace(async |space| {
        let shop = Shop::staging_and_production(space).await;
        let _operator = shop.operator();
        shop.release(1).await;
        let asks = |status: &slipway::environment::api::EnvironmentStatus| {
            condition(status, "PromotionPending") == Some(("True", "AwaitingApproval"))
        };
        shop.until("production", "asks people", asks).await;
        let status = asked(space, &["status", "env/production"], 4).await;
        assert!(
            status.contains("Waiting") && status.contains("Pending"),
            "{status}"
        );
        let diff = asked(space, &["env", "diff", "production"], 0).await;
        assert!(
            diff.contains("from nothing to shop-1") && diff.contains("new"),
            "{diff}"
        );
        let same = asked(
            space,
            &["env", "diff", "staging", "shop-1", "-o", "json"],
            0,
        )
        .await;
        let same: Value = serde_json::from_str(&same).unwrap();
        assert_eq!(same["from"], same["to"]);

        asked(space, &["env", "promote", "production"], 2).await;
        asked(space, &["env", "promote", "production", "shop-9"], 1).await;
        let said = decided(space, &["env", "approve", "production"], 0).await;
        assert!(
            said.starts_with("Release shop-1\nApprove of Environment production: Decision ")
                && said.contains("\nPromotion production-")
                && said.contains(": Succeeded: "),
            "{said}"
        );
        shop.until_runs("production", 1).await;
        let list = asked(space, &["env", "get", "-o", "wide"], 0).await;
        assert!(
            list.contains("ROLLOUTS") && list.contains("production"),
            "{list}"
        );
        // What was decided a moment ago counts for who waits.
        asked(
            space,
            &["env", "hold", "production", "--reason", "Friday"],
            0,
        )
        .await;
        let watch = ["status", "env/production", "--watch", "--timeout", "30s"];
        asked(space, &watch, 4).await;
        asked(space, &["env", "resume", "production"], 0).await;
        asked(space, &watch, 0).await;
        shop.until_phase("production", EnvironmentPhase::Steady)
            .await;
        people_rule(space).await;
        shop.release(2).await;
        shop.until("production", "asks people", asks).await;
        decided(space, &["env", "approve", "production"], 0).await;
        let back = decided(space, &["env", "rollback", "production"], 0).await;
        assert!(back.contains(": Succeeded: "), "{back}");
        shop.until_left("production", 2).await;
        let overview = asked(space, &["get", "-o", "name"], 0).await;
        assert!(
            overview.contains("environment.slipway.dev/production\n"),
            "{overview}"
        );

        let slos = asked(space, &["slo"], 0).await;
        assert!(slos.starts_with("no Environment here has SLOs"), "{slos}");
        let record = asked(space, &["release", "verify", "shop-1", "--recorded"], 0).await;
        assert!(record.contains("not checked"), "{record}");
        asked(space, &["release", "verify", "shop-1"], 2).await;
    }))
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_is_missing_is_named_with_its_cure() {
    with_namespace(async |space| {
        let home = ["--operator-namespace", &space.name];
        let page = asked(space, &[&["doctor"][..], &home].concat(), 3).await;
        for words in [
            "ok    cluster",
            "ok    definitions",
            "fail  operator",
            "ok    your rights",
            "→ install the chart",
        ] {
            assert!(page.contains(words), "{words} is not in:\n{page}");
        }
        asked(space, &["version", "--client"], 0).await;
        let none = asked(space, &[&["version"][..], &home].concat(), 1).await;
        assert!(none.starts_with("plugin   "), "{none}");
        // Who acts as somebody else is somebody else.
        let nobody = ["rollout", "get", "--as", "nobody@example.com"];
        asked(space, &nobody, 1).await;
        let typed = ["complete", "--", "rollout", "watch", "-n", &space.name, ""];
        assert_eq!(text(&ask(&typed).await), ":4\n");
    })
    .await;
}
