//! Environments on scripted nodes: Releases that come by themselves, after approval, or not at all, and the way back.

use std::path::PathBuf;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};
use slipway::environment::api::{EnvironmentPhase, EnvironmentStatus};
use slipway::rollout::api::Phase;
use testbed::proxy::{Fault, Injected, Match, Proxy, What, Write};

use crate::cluster::{Space, config, wait_for, with_namespace};
use crate::operator::Operator;
use crate::rollout::SOON;
use crate::shop::{Shop, condition, status_of, steps, told};

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_goes_to_staging_by_itself_and_to_production_once_somebody_has_approved() {
    with_namespace(async |space| {
        let shop = Shop::staging_and_production(space).await;
        let _operator = shop.operator();
        shop.until_says("staging", "no Release has succeeded here yet")
            .await;
        shop.release(1).await;
        let staging = shop.until_runs("staging", 1).await;
        let healthy = Some(Phase::Healthy);
        assert_eq!(shop.serves("staging").await, (Some(shop.image(1)), healthy));
        let record = shop
            .until_told("staging", &["Promote shop-1 Succeeded"])
            .await
            .remove(0);
        assert_eq!(record.name_any(), "staging-010101010101-1");
        assert_eq!(staging.current[0].promotion, record.name_any());
        assert_eq!(staging.current[0].images[0].reference, shop.image(1));
        let status = status_of(&record);
        assert_eq!(
            steps(&status),
            ["rollout-staging-api Succeeded", "smoke-paths Succeeded"]
        );
        let job = shop
            .jobs
            .get(status.steps[1].job.as_ref().unwrap())
            .await
            .unwrap();
        assert_eq!(job.status.unwrap().succeeded, Some(1));

        // It waits before production, and nothing runs there.
        let waiting = shop
            .until_phase("production", EnvironmentPhase::Pending)
            .await;
        let candidate = waiting.candidate.as_ref().unwrap();
        let gates: Vec<String> = candidate
            .gates
            .iter()
            .map(|gate| format!("{} {}", gate.name, gate.state))
            .collect();
        assert_eq!(gates, ["hold Passed", "source Passed", "approvals Waiting"]);
        assert_eq!(
            condition(&waiting, "PromotionPending"),
            Some(("True", "AwaitingApproval"))
        );
        assert_eq!((waiting.desired, waiting.current), (vec![], vec![]));
        assert_eq!(shop.serves("production").await.0, None);
        shop.until_told("production", &["Promote shop-1 AwaitingApproval"])
            .await;
        let decision = shop.decide("bob", "Approve", "production", 1).await;
        shop.until_runs("production", 1).await;
        assert_eq!(
            shop.serves("production").await,
            (Some(shop.image(1)), healthy)
        );
        let record = shop
            .until_told("production", &["Promote shop-1 Succeeded"])
            .await
            .remove(0);
        let approvals = status_of(&record).approvals;
        assert_eq!(
            (&approvals[0].user[..], &approvals[0].decision),
            ("bob", &decision)
        );

        // The next one is approved on its own.
        shop.release(2).await;
        shop.until_runs("staging", 2).await;
        let awaited = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 AwaitingApproval",
        ];
        shop.until_told("production", &awaited).await;
        shop.until_looked_again("production").await;
        assert_eq!(told(&shop.records("production").await), awaited);
        assert_eq!(
            shop.serves("production").await,
            (Some(shop.image(1)), healthy)
        );
        shop.decide("bob", "Approve", "production", 2).await;
        shop.until_runs("production", 2).await;
        assert_eq!(
            shop.serves("production").await,
            (Some(shop.image(2)), healthy)
        );
        let records = shop.records("production").await;
        assert_eq!(
            told(&records),
            ["Promote shop-1 Succeeded", "Promote shop-2 Succeeded"]
        );
        assert_eq!(records[1].spec.previous.as_deref(), Some("shop-1"));

        // Nobody wrote a spec.
        for rollout in shop.rollouts.list(&ListParams::default()).await.unwrap() {
            assert_eq!(
                rollout.metadata.generation,
                Some(1),
                "{}",
                rollout.name_any()
            );
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_that_crashes_goes_back_and_is_held_until_a_person_lets_it_try_again() {
    with_namespace(async |space| {
        let shop = Shop::staging_and_production(space).await;
        shop.never_fails("staging-api").await;
        let operator = shop.operator();
        shop.release(1).await;
        shop.decide("bob", "Approve", "production", 1).await;
        shop.until_runs("production", 1).await;
        shop.plays(&shop.image(2), "crash-loop");
        shop.release(2).await;
        shop.decide("bob", "Approve", "production", 2).await;
        let mut story = vec![
            "Promote shop-1 Succeeded",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Succeeded",
        ];
        let records = shop.until_told("production", &story).await;
        let back = shop.until_runs("production", 1).await;

        let failed = status_of(&records[1]);
        assert_eq!(failed.reason.as_deref(), Some("RolloutFailed"));
        assert!(
            failed.message.as_ref().unwrap().contains("CrashLoop"),
            "{:?}",
            failed.message
        );
        assert_eq!(steps(&failed), ["rollout-production-api Failed"]);
        assert_eq!(records[2].spec.previous.as_deref(), Some("shop-2"));
        assert_eq!(records[2].spec.requested_by, "slipway");
        assert_eq!(
            status_of(&records[2]).approvals,
            [],
            "the way back waits for nobody"
        );
        assert_eq!(back.desired[0].promotion, records[2].name_any());
        assert_eq!(back.holds.len(), 1);
        let hold = &back.holds[0];
        assert_eq!(
            (hold.release.as_deref(), &hold.by[..]),
            (Some("shop-2"), "slipway")
        );
        assert!(
            hold.reason.contains(&records[1].name_any()),
            "{}",
            hold.reason
        );
        assert_eq!(
            condition(&back, "LastPromotion"),
            Some(("False", "RolloutFailed"))
        );
        assert_eq!(condition(&back, "Ready"), Some(("True", "Steady")));
        let healthy = (Some(shop.image(1)), Some(Phase::Healthy));
        assert_eq!(shop.serves("production").await, healthy);

        // It is not tried again: not later, not without the status, not by another operator.
        shop.until_looked_again("production").await;
        shop.wipe("production").await;
        assert_eq!(shop.until_runs("production", 1).await.holds, back.holds);
        operator.kill().await;
        let _operator = shop.operator();
        shop.until_looked_again("production").await;
        assert_eq!(told(&shop.records("production").await), story);

        // A person who resumes it lets it come by itself again, and it is approved again.
        shop.decide("alice", "Resume", "production", 2).await;
        story.push("Promote shop-2 AwaitingApproval");
        let records = shop.until_told("production", &story).await;
        assert_eq!(records[3].spec.attempt, 2);
        shop.decide("bob", "Approve", "production", 2).await;
        story.splice(
            3..,
            ["Promote shop-2 RolledBack", "Rollback shop-1 Succeeded"],
        );
        shop.until_told("production", &story).await;
        shop.until_runs("production", 1).await;

        // A person who retries it has asked for it, and cannot approve it.
        shop.plays(&shop.image(2), "ready-after=50ms");
        let target = json!({"kind": "Promotion", "name": records[3].name_any()});
        let retry = shop
            .decide_about("alice", "Retry", &json!({"target": target}))
            .await;
        story.push("Promote shop-2 AwaitingApproval");
        let records = shop.until_told("production", &story).await;
        assert_eq!(records[5].spec.decision.as_ref(), Some(&retry));
        shop.decide("alice", "Approve", "production", 2).await;
        shop.until_says("production", "that of alice does not count")
            .await;
        shop.decide("bob", "Approve", "production", 2).await;
        let done = shop.until_runs("production", 2).await;
        assert_eq!(done.holds, []);
        assert_eq!(
            shop.serves("production").await,
            (Some(shop.image(2)), healthy.1)
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_smoke_test_that_fails_takes_the_environment_back_and_the_release_no_further() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let behind =
            json!({"promotion": {"from": {"pipelines": null, "environments": ["staging"]}}});
        shop.environment("production", &behind).await;
        shop.never_fails("production-api").await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("production", 1).await;

        // The test runs until it is told to fail. The way back waits for pods, so that it has a test of its own.
        shop.plays(&shop.smoke_image(), "ready-after=50ms");
        shop.release(2).await;
        let verifying = shop
            .until_phase("staging", EnvironmentPhase::Verifying)
            .await;
        assert_eq!(verifying.desired[0].release, "shop-2");
        assert_eq!(
            verifying.current[0].release, "shop-1",
            "what is not verified is not current"
        );
        shop.plays(&shop.image(1), "never-ready");
        shop.plays(&shop.smoke_image(), "exit=1");
        let mut story = vec![
            "Promote shop-1 Succeeded",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Promoting",
        ];
        let records = shop.until_told("staging", &story).await;
        shop.until_phase("staging", EnvironmentPhase::RollingBack)
            .await;
        shop.plays(&shop.smoke_image(), "exit=0");
        shop.plays(&shop.image(1), "ready-after=50ms");
        story[2] = "Rollback shop-1 Succeeded";
        shop.until_told("staging", &story).await;
        let back = shop.until_runs("staging", 1).await;

        let failed = status_of(&records[1]);
        assert_eq!(failed.reason.as_deref(), Some("SmokeFailed"));
        assert_eq!(
            steps(&failed),
            ["rollout-staging-api Succeeded", "smoke-paths Failed"]
        );
        let job = failed.steps[1].job.clone().unwrap();
        let told_where = failed.steps[1].message.as_ref().unwrap();
        assert!(
            told_where.contains(&format!("log of Job {job}")),
            "{told_where}"
        );
        assert_eq!(
            shop.jobs.get(&job).await.unwrap().status.unwrap().failed,
            Some(1)
        );
        assert_eq!(back.holds[0].release.as_deref(), Some("shop-2"));
        let healthy = Some(Phase::Healthy);
        assert_eq!(shop.serves("staging").await, (Some(shop.image(1)), healthy));
        shop.until_looked_again("production").await;
        assert_eq!(
            told(&shop.records("production").await),
            ["Promote shop-1 Succeeded"]
        );

        // A repaired one comes by itself, everywhere.
        shop.release(3).await;
        shop.until_runs("production", 3).await;
        let (current, ..) = shop.serves("staging").await;
        assert_eq!(current, Some(shop.image(3)));
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_status_that_was_wiped_is_read_off_the_records_again_and_nothing_moves() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let operator = shop.operator();
        shop.release(1).await;
        let before = shop.until_runs("staging", 1).await;

        // At rest.
        let pods = shop.pods("staging").await;
        shop.wipe("staging").await;
        let after = shop.until_runs("staging", 1).await;
        assert_eq!(
            (after.current, after.desired),
            (before.current, before.desired)
        );
        shop.until_looked_again("staging").await;
        assert_eq!(
            told(&shop.records("staging").await),
            ["Promote shop-1 Succeeded"]
        );
        assert_eq!(shop.pods("staging").await, pods);

        // While the Rollout moves, and while the smoke test runs.
        shop.plays(&shop.image(2), "never-ready");
        shop.plays(&shop.smoke_image(), "ready-after=50ms");
        shop.release(2).await;
        let story = ["Promote shop-1 Succeeded", "Promote shop-2 Promoting"];
        for phase in [EnvironmentPhase::Promoting, EnvironmentPhase::Verifying] {
            let names =
                |s: &EnvironmentStatus| s.desired.first().is_some_and(|d| d.release == "shop-2");
            let moves = |s: &EnvironmentStatus| s.phase == Some(phase) && names(s);
            let before = shop.until("staging", "on its way", moves).await;
            shop.wipe("staging").await;
            let after = shop.until("staging", "on its way again", moves).await;
            assert_eq!(
                (after.current, after.desired),
                (before.current, before.desired)
            );
            if phase == EnvironmentPhase::Promoting {
                shop.until_told("staging", &story).await;
                shop.plays(&shop.image(2), "ready-after=50ms");
            }
        }
        shop.plays(&shop.smoke_image(), "exit=0");
        shop.until_runs("staging", 2).await;
        let story = ["Promote shop-1 Succeeded", "Promote shop-2 Succeeded"];
        assert_eq!(told(&shop.records("staging").await), story);
        let history = shop.rollout_status("staging-api").await.history;
        assert_eq!(history.len(), 1, "{history:?}");

        // Every status, while nobody looks: what the Rollout runs is all that is left.
        operator.kill().await;
        let pods = shop.pods("staging").await;
        shop.wipe("staging").await;
        shop.wipe_promotions().await;
        let _operator = shop.operator();
        shop.until_runs("staging", 2).await;
        assert_eq!(told(&shop.records("staging").await), story);
        assert_eq!(shop.pods("staging").await, pods);
    })
    .await;
}

/// How many writes lie between faults. `make test` stays quick with `quick`; `make e2e-full` takes every write.
fn stride(quick: usize) -> usize {
    let is_full = std::env::var_os("SLIPWAY_TEST_FULL").is_some();
    if is_full { 1 } else { quick }
}

/// A shop whose staging runs `shop-1`, and whose operator talks to the API server through a proxy.
struct Proxied {
    shop: Shop,
    proxy: Proxy,
    kubeconfig: PathBuf,
    operator: Operator,
}

impl Proxied {
    async fn new(space: &Space) -> Self {
        let shop = Shop::new(space);
        let proxy = Proxy::start(config().await).await.unwrap();
        let kubeconfig = std::env::temp_dir().join(format!("proxy-{}.yaml", space.name));
        proxy.write_kubeconfig(&kubeconfig).unwrap();
        let operator = shop.operator_through(&kubeconfig);
        shop.environment("staging", &json!({})).await;
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        Self {
            shop,
            proxy,
            kubeconfig,
            operator,
        }
    }

    /// Makes a Release and waits for its end. What is left of it, and the number of writes that it took.
    async fn undisturbed(&self, number: u32, end: impl AsyncFn(&Shop)) -> (Value, usize) {
        let before = self.proxy.writes().len();
        self.shop.release(number).await;
        end(&self.shop).await;
        let writes = self.proxy.writes().len() - before;
        (self.shop.account(number).await, writes)
    }

    /// The same with an operator that dies after some writes, and another one that goes on.
    async fn killed(&mut self, number: u32, after: usize, end: impl AsyncFn(&Shop)) -> Value {
        let kill = Fault::new(Match::writes(), What::KillPid(self.operator.pid()));
        let injected = self.proxy.inject(kill.nth(after as u64));
        self.shop.release(number).await;
        tokio::select! {
            _ = self.operator.ended() => {}
            () = end(&self.shop) => {}
        }
        injected.remove();
        if injected.hits() > 0 {
            self.operator = self.shop.operator_through(&self.kubeconfig);
        }
        end(&self.shop).await;
        self.shop.account(number).await
    }
}

impl Drop for Proxied {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.kubeconfig);
    }
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_makes_one_promotion_as_if_nothing_had_been() {
    with_namespace(async |space| {
        let mut proxied = Proxied::new(space).await;
        let runs = |number| async move |shop: &Shop| drop(shop.until_runs("staging", number).await);
        let (undisturbed, writes) = proxied.undisturbed(2, runs(2)).await;
        for (number, after) in (3..).zip((1..=writes).step_by(stride(4))) {
            let account = proxied.killed(number, after, runs(number)).await;
            assert_eq!(
                account, undisturbed,
                "killed after write {after} of {writes}"
            );
            let expected = (Some(proxied.shop.image(number)), Some(Phase::Healthy));
            assert_eq!(proxied.shop.serves("staging").await, expected);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_operator_killed_after_any_write_goes_back_once() {
    with_namespace(async |space| {
        let mut proxied = Proxied::new(space).await;
        let is_back =
            |number| async move |shop: &Shop| drop(shop.until_left("staging", number).await);
        proxied.shop.plays(&proxied.shop.image(2), "crash-loop");
        let (undisturbed, writes) = proxied.undisturbed(2, is_back(2)).await;
        assert_eq!(
            undisturbed["told"],
            json!(["Promote it RolledBack", "Rollback shop-1 Succeeded"])
        );
        for (number, after) in (3..).zip((1..=writes).step_by(stride(8))) {
            proxied
                .shop
                .plays(&proxied.shop.image(number), "crash-loop");
            let account = proxied.killed(number, after, is_back(number)).await;
            assert_eq!(
                account, undisturbed,
                "killed after write {after} of {writes}"
            );
            let expected = (Some(proxied.shop.image(1)), Some(Phase::Healthy));
            assert_eq!(proxied.shop.serves("staging").await, expected);
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_status_that_is_wiped_after_any_write_changes_nothing_in_the_end() {
    with_namespace(async |space| {
        let proxied = Proxied::new(space).await;
        let Proxied { shop, proxy, .. } = &proxied;
        let runs = async |shop: &Shop| drop(shop.until_runs("staging", 2).await);
        let (undisturbed, writes) = proxied.undisturbed(2, runs).await;
        for (number, after) in (3..).zip((1..=writes).step_by(stride(8))) {
            let before = proxy.writes().len();
            shop.release(number).await;
            // Events that come together save a write here and there.
            let is_enough = |done: &[Write]| done.len() >= before + after;
            tokio::select! {
                enough = proxy.until_writes(SOON, is_enough) => drop(enough.unwrap()),
                _ = shop.until_runs("staging", number) => {}
            }
            shop.wipe("staging").await;
            shop.until_runs("staging", number).await;
            let account = shop.account(number).await;
            assert_eq!(
                account, undisturbed,
                "wiped after write {after} of {writes}"
            );
        }
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_api_server_that_refuses_and_cuts_only_delays_a_promotion() {
    with_namespace(async |space| {
        let proxied = Proxied::new(space).await;
        let Proxied { shop, proxy, .. } = &proxied;
        let guarded = json!({
            "tier": "Production", "protection": {"approvals": {"required": 1}},
            "promotion": {"from": {"pipelines": null, "environments": ["staging"]}},
        });
        shop.environment("production", &guarded).await;
        let whats = [
            What::CutAfter,
            What::Status(409),
            What::Cut,
            What::Status(500),
            What::Status(503),
        ];
        let faults = (1..).step_by(3).zip(whats.into_iter().cycle());
        let injected: Vec<_> = faults
            .take(20)
            .map(|(nth, what)| proxy.inject(Fault::new(Match::writes(), what).nth(nth)))
            .collect();
        shop.decide("bob", "Approve", "production", 1).await;
        shop.until_runs("production", 1).await;
        let story = ["Promote shop-1 Succeeded"];
        assert_eq!(told(&shop.records("production").await), story);
        let hits: u64 = injected.iter().map(Injected::hits).sum();
        assert!(hits > 5, "{hits} faults");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_reference_that_leads_nowhere_is_named_and_awaited() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let operator = shop.operator();
        let from = json!({"promotion": {"from": {"pipelines": null, "environments": ["dev"]}}});
        shop.environment_alone("staging", &from).await;
        let lost = shop
            .until_says("staging", "there is no Rollout staging-api; create it")
            .await;
        assert!(
            lost.message
                .as_ref()
                .unwrap()
                .contains("there is no Environment dev; create it")
        );
        assert_eq!(
            condition(&lost, "Ready"),
            Some(("False", "WaitingForReference"))
        );
        assert_eq!(
            condition(&lost, "Reconciling"),
            Some(("True", "WaitingForReference"))
        );

        // The Environment comes, and the Release through it; the Rollout comes, and does not point back.
        shop.environment_alone("dev", &json!({"rollouts": [], "smokeTests": []}))
            .await;
        shop.release(1).await;
        shop.until_runs("dev", 1).await;
        wait_for("the Promotion says what it waits for", SOON, async || {
            let promotion = shop.records("staging").await.pop()?;
            let message = status_of(&promotion).message?;
            let words = "waits for Rollout staging-api, which is not there";
            message.contains(words).then_some(())
        })
        .await;
        shop.rollout("staging-api", "nowhere").await;
        shop.until_says(
            "staging",
            "Rollout staging-api does not follow this Environment",
        )
        .await;
        let rollout_says = async |words: &str| {
            wait_for(words, SOON, async || {
                let message = shop.rollout_status("staging-api").await.message?;
                message.contains(words).then_some(())
            })
            .await;
        };
        rollout_says("there is no Environment nowhere").await;
        let follow = async |environment: &str| {
            let release = json!({"spec": {"release": {"environment": {"name": environment}}}});
            let change = Patch::Merge(release);
            shop.rollouts
                .patch("staging-api", &PatchParams::default(), &change)
                .await
                .unwrap();
        };
        follow("dev").await;
        rollout_says("Environment dev does not list this Rollout").await;
        follow("staging").await;
        let found = shop.until_runs("staging", 1).await;
        assert_eq!(condition(&found, "Ready"), Some(("True", "Steady")));
        assert_eq!(condition(&found, "Reconciling"), None);

        // A Release that is not there, and a Rollout that is not there any more, take nothing back.
        shop.decide("alice", "Promote", "staging", 9).await;
        shop.until_says("staging", "there is no Release shop-9")
            .await;
        shop.rollouts
            .delete("staging-api", &DeleteParams::default())
            .await
            .unwrap();
        let lost = shop
            .until_says("staging", "there is no Rollout staging-api")
            .await;
        assert_eq!(lost.desired, found.desired);
        shop.rollout("staging-api", "staging").await;
        let is_well = |status: &EnvironmentStatus| {
            condition(status, "Healthy") == Some(("True", "RolloutsHealthy"))
                && condition(status, "Reconciling").is_none()
        };
        let again = shop.until("staging", "serves again", is_well).await;
        assert_eq!(again.desired, found.desired);
        let healthy = Some(Phase::Healthy);
        assert_eq!(shop.serves("staging").await, (Some(shop.image(1)), healthy));
        assert_eq!(
            told(&shop.records("staging").await),
            ["Promote shop-1 Succeeded"]
        );
        assert!(!operator.log().contains("panicked"), "{}", operator.log());
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_first_release_that_never_runs_fails_and_gives_way_to_a_repaired_one() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({})).await;
        let patience = json!({"progressDeadlineSeconds": 2});
        shop.edit_rollout("staging-api", &patience).await;
        let _operator = shop.operator();
        shop.plays(&shop.image(1), "crash-loop");
        shop.release(1).await;
        let record = shop
            .until_told("staging", &["Promote shop-1 Failed"])
            .await
            .remove(0);
        let status = status_of(&record);
        assert_eq!(status.reason.as_deref(), Some("RolloutFailed"));
        let message = status.message.unwrap();
        assert!(message.contains("no earlier good Release"), "{message}");
        let held = shop.until_phase("staging", EnvironmentPhase::Held).await;
        assert_eq!(
            condition(&held, "Held"),
            Some(("True", "FailedReleaseStays"))
        );
        assert_eq!(
            (held.desired[0].release.as_str(), held.current.len()),
            ("shop-1", 0)
        );

        shop.release(2).await;
        shop.until_runs("staging", 2).await;
        let story = ["Promote shop-1 Failed", "Promote shop-2 Succeeded"];
        assert_eq!(told(&shop.records("staging").await), story);
        assert_eq!(
            shop.serves("staging").await,
            (Some(shop.image(2)), Some(Phase::Healthy))
        );
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_environment_that_is_created_again_goes_on_from_its_records() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let stays = json!({"tier": "Production", "rollback": {"on": []}});
        shop.environment("production", &stays).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("production", 1).await;
        shop.plays(&shop.image(2), "never-ready");
        shop.release(2).await;
        shop.until_phase("production", EnvironmentPhase::Promoting)
            .await;
        shop.environments
            .delete("production", &DeleteParams::default())
            .await
            .unwrap();
        let rollout_says = async |words: &str| {
            wait_for(words, SOON, async || {
                let message = shop.rollout_status("production-api").await.message?;
                message.contains(words).then_some(())
            })
            .await;
        };
        rollout_says("it keeps what it runs").await;
        shop.plays(&shop.image(2), "crash-loop");
        rollout_says("was given up").await;

        // What failed while it was away counts, and is tried again when a person says so.
        shop.environment_alone("production", &stays).await;
        let mut story = vec!["Promote shop-1 Succeeded", "Promote shop-2 Failed"];
        shop.until_told("production", &story).await;
        let held = shop.until_phase("production", EnvironmentPhase::Held).await;
        assert_eq!(
            (
                held.desired[0].release.as_str(),
                held.current[0].release.as_str()
            ),
            ("shop-2", "shop-1")
        );
        assert_eq!(shop.serves("production").await.0, Some(shop.image(1)));
        shop.plays(&shop.image(2), "ready-after=50ms");
        shop.decide("alice", "Retry", "production", 2).await;
        shop.until_runs("production", 2).await;
        story.push("Promote shop-2 Succeeded");
        assert_eq!(told(&shop.records("production").await), story);
        assert_eq!(
            shop.serves("production").await,
            (Some(shop.image(2)), Some(Phase::Healthy))
        );
    })
    .await;
}
