//! Environments on scripted nodes: Releases that come by themselves, after approval, or not at all, and the way back.

mod commit; // gates that ask for statuses of commits
mod database; // migrations: what comes before them, and what they leave behind
mod dora; // figures of deliveries, whatever is lost
mod gitops; // tools that apply again and again, and delete
pub(crate) mod incident; // alerts that are delivered to a real operator
mod interruption; // operators that are killed, an API server that fails, statuses that are wiped, at any write
mod mail; // emails, to a server of others
mod notify; // receivers of every type, and an operator that dies
mod promotion; // order, checks of the operator's, one Rollout after the other, and the way back
mod protection; // gates, and who lets a Release pass them
mod sample; // samples of whole ways, played
mod set; // Releases of several Pipelines that are promoted as one
pub(crate) mod shop; // what these tests are about
mod template; // templates that people edit
mod trace; // the way of a change, as a collector of traces sees it
mod write_back; // what runs, written back to Git

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::json;
use slipway::environment::api::{Deployed, EnvironmentPhase, EnvironmentStatus};
use slipway::rollout::api::Phase;

use crate::cluster::{SOON, wait_for, with_namespace};
pub(crate) use shop::{Shop, after};
use shop::{condition, status_of, steps, told};

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_release_goes_to_staging_by_itself_and_to_production_once_somebody_has_approved() {
    Box::pin(with_namespace(async |space| {
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
        let asks = |status: &EnvironmentStatus| {
            condition(status, "PromotionPending") == Some(("True", "AwaitingApproval"))
        };
        let waiting = shop.until("production", "asks people", asks).await;
        assert_eq!(waiting.phase, Some(EnvironmentPhase::Pending));
        let candidate = waiting.candidate.as_ref().unwrap();
        let gates: Vec<String> = candidate
            .gates
            .iter()
            .map(|gate| format!("{} {}", gate.name, gate.state))
            .collect();
        assert_eq!(gates, ["hold Passed", "source Passed", "approvals Waiting"]);
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
    }))
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
        shop.release_plays(2, "crash-loop");
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
        shop.release_plays(2, "ready-after=50ms");
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
        let behind = json!({"promotion": after("staging")});
        shop.environment("production", &behind).await;
        shop.never_fails("production-api").await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("production", 1).await;

        // The test runs until it is told to fail. The way back waits for pods, so that it has a test of its own.
        shop.smoke_test_plays("ready-after=50ms");
        shop.release(2).await;
        let verifying = shop
            .until_phase("staging", EnvironmentPhase::Verifying)
            .await;
        assert_eq!(verifying.desired[0].release, "shop-2");
        assert_eq!(
            verifying.current[0].release, "shop-1",
            "what is not verified is not current"
        );
        shop.release_plays(1, "never-ready");
        shop.smoke_test_plays("exit=1");
        let mut story = vec![
            "Promote shop-1 Succeeded",
            "Promote shop-2 RolledBack",
            "Rollback shop-1 Promoting",
        ];
        let records = shop.until_told("staging", &story).await;
        shop.until_phase("staging", EnvironmentPhase::RollingBack)
            .await;
        shop.smoke_test_plays("exit=0");
        shop.release_plays(1, "ready-after=50ms");
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

/// How long it has run well is in the status alone, and is counted anew when that is lost: soak only gets longer for it.
fn without_clock(current: Vec<Deployed>) -> Vec<Deployed> {
    let stopped = |deployed: Deployed| Deployed {
        healthy_since: None,
        healthy_seconds: None,
        ..deployed
    };
    current.into_iter().map(stopped).collect()
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
            (without_clock(after.current), after.desired),
            (without_clock(before.current), before.desired)
        );
        shop.until_looked_again("staging").await;
        assert_eq!(
            told(&shop.records("staging").await),
            ["Promote shop-1 Succeeded"]
        );
        assert_eq!(shop.pods("staging").await, pods);

        // While the Rollout moves, and while the smoke test runs.
        shop.release_plays(2, "never-ready");
        shop.smoke_test_plays("ready-after=50ms");
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
                (without_clock(after.current), after.desired),
                (without_clock(before.current), before.desired)
            );
            if phase == EnvironmentPhase::Promoting {
                shop.until_told("staging", &story).await;
                shop.release_plays(2, "ready-after=50ms");
            }
        }
        shop.smoke_test_plays("exit=0");
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

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_reference_that_leads_nowhere_is_named_and_awaited() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let operator = shop.operator();
        let from = json!({"promotion": after("dev")});
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
        shop.until_rollout_says("staging-api", "there is no Environment nowhere")
            .await;
        let follow = async |environment: &str| {
            let release = json!({"release": {"environment": {"name": environment}}});
            shop.edit_rollout("staging-api", &release).await;
        };
        follow("dev").await;
        shop.until_rollout_says("staging-api", "Environment dev does not list this Rollout")
            .await;
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
        let served = (Some(shop.image(1)), healthy);
        wait_for("all pods of the image before", SOON, async || {
            (shop.serves("staging").await == served).then_some(())
        })
        .await;
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
        shop.release_plays(1, "crash-loop");
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
        shop.release_plays(2, "never-ready");
        shop.release(2).await;
        wait_for("a pod of the new image", SOON, async || {
            let canary = shop.rollout_status("production-api").await.canary?;
            (canary.replicas > 0).then_some(())
        })
        .await;
        shop.environments
            .delete("production", &DeleteParams::default())
            .await
            .unwrap();
        shop.until_rollout_says("production-api", "it keeps what it runs")
            .await;
        shop.release_plays(2, "crash-loop");
        shop.until_rollout_says("production-api", "was given up")
            .await;

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
        shop.release_plays(2, "ready-after=50ms");
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
