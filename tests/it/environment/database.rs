//! Migrations on a real API server: what comes before them, what they leave behind, and who is told.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};
use slipway::promotion::api::Promotion;
use slipway::rollout::api::RiskLevel;
use testbed::scripted::{SCRIPT_ANNOTATION, ScriptedGateway};

use super::shop::{Shop, status_of};
use crate::cluster::{SOON, Space, wait_for, with_namespace};
use crate::fault::Trail;
use crate::operator::nodes;

/// Staging runs one Release, and then the next.
async fn bring_two(shop: &Shop) {
    shop.environment("staging", &json!({})).await;
    for number in 1..=2 {
        shop.release(number).await;
        shop.until_runs("staging", number).await;
    }
}

fn on_staging(rest: &Value) -> Value {
    let mut about = json!({"target": {"kind": "Environment", "name": "staging"}});
    json_patch::merge(&mut about, rest);
    about
}

/// Names of the locks of databases.
async fn locks(space: &Space) -> Vec<String> {
    let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
    let leases = leases.list(&ListParams::default()).await.unwrap();
    leases.iter().map(ResourceExt::name_any).collect()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn going_back_comes_before_migrations_that_have_changed_nothing() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let _operator = shop.operator();
        bring_two(&shop).await;
        let rules = shop.migrations();
        let image = rules["image"].as_str().unwrap();
        nodes().set_rule(image, "exit=0,after=10m").unwrap();
        shop.edit("staging", &json!({"migrations": rules})).await;
        shop.decide_about("alice", "Migrate", &on_staging(&json!({})))
            .await;
        shop.until_says("staging", "validate runs").await;
        let held = locks(space).await;
        assert_eq!(held, [format!("slipway-db.{}-shop-db", space.name)]);
        // What is under way keeps the lock that it has.
        shop.edit(
            "staging",
            &json!({"migrations": {"database": "another-db"}}),
        )
        .await;
        shop.until_looked_again("staging").await;
        assert_eq!(locks(space).await, held);

        shop.decide_about("carol", "Rollback", &on_staging(&json!({})))
            .await;
        let story = [
            "Promote shop-1 Succeeded",
            "Promote shop-2 Succeeded",
            "Migrate shop-2 Superseded",
            "Rollback shop-1 Succeeded",
        ];
        shop.until_told("staging", &story).await;
        assert_eq!(locks(space).await, [""; 0]);
        let given_up = async || {
            let jobs = shop.jobs.list(&ListParams::default()).await.ok()?;
            let mut left = jobs.iter().map(ResourceExt::name_any);
            (!left.any(|name| name.contains("migrate-validate"))).then_some(())
        };
        wait_for("the Job is gone", SOON, given_up).await;
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn what_a_release_does_to_the_database_says_which_steps_its_rollout_takes() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let _operator = shop.operator();
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let trail = Trail::start(space);
        let rules = shop.migrations();
        let by_risk = json!({
            "strategy": {"type": "Auto", "auto": {"signals": {
                "migrations": "High", "majorVersion": "High", "configuration": "Medium",
                "changedLines": {"medium": 200}, "changedPaths": [{"paths": ["db/**"], "level": "High"}]}}},
            "traffic": {"drain": "1s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "web"}]}}},
        });
        shop.environment("staging", &json!({"migrations": rules})).await;
        shop.edit_rollout("staging-api", &by_risk).await;
        let bring = async |number: u32| {
            let previous = (number > 1).then(|| format!("shop-{}", number - 1));
            let differs = json!({"lines": 12 * number, "files": ["src/cart.py"]});
            let more = json!({"version": format!("1.0.{number}"), "previous": previous, "difference": differs});
            shop.release_of("shop", number, &["api"], &more).await;
            shop.until_runs("staging", number).await;
            let rollout = shop.rollouts.get("staging-api").await.unwrap();
            let risk = rollout.status.unwrap().risk;
            trail.catch_up(space).await;
            (risk, trail.of("route staging-api"))
        };
        bring(1).await;
        trail.begin(space).await;
        let (risk, weights) = bring(2).await;
        let risk = risk.unwrap();
        assert_eq!((risk.level, risk.because), (RiskLevel::High, vec!["migrations".to_owned()]));
        assert!(weights.contains(&"50".to_owned()), "pod by pod: {weights:?}");

        // The next one finds the database as it should be.
        let image = rules["image"].as_str().unwrap();
        nodes().set_rule(image, "exit=0,after=20ms,message=uptodate").unwrap();
        trail.begin(space).await;
        let (risk, weights) = bring(3).await;
        let risk = risk.unwrap();
        let told = ["no migrations", "patch version", "not only configuration"];
        let differs = ["changedLines 36", "no changed path that counts"];
        let because = [&told[..], &differs].concat();
        assert_eq!(risk.level, RiskLevel::Low);
        assert_eq!(risk.because, because);
        assert_eq!(weights, ["0", "100", "0"], "blue-green");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_database_that_nobody_knows_of_is_an_incident_until_somebody_has_mended_it() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let _operator = shop.operator();
        bring_two(&shop).await;
        let down = json!({"onRollback": "Down", "down": {"command": ["db", "down"]}});
        let good = shop
            .get_stuck("staging", &json!({ "rollback": down }))
            .await;
        let stuck = shop.records("staging").await.remove(2);
        let status = status_of(&stuck);
        assert_eq!(status.reason.as_deref(), Some("MigrationStuck"));
        let incident = &status.incidents[0];
        assert!(
            incident.message.contains("exit code 3: no such column"),
            "{incident:?}"
        );
        told_of_its_head(space, &stuck).await;

        // The traffic goes back, and the database is left to people.
        shop.decide_about("carol", "Rollback", &on_staging(&json!({})))
            .await;
        let mut story = vec![
            "Promote shop-1 Succeeded",
            "Promote shop-2 Succeeded",
            "Migrate shop-2 Failed",
            "Rollback shop-1 Succeeded",
        ];
        let records = shop.until_told("staging", &story).await;
        assert_eq!(status_of(&records[3]).migrations, None);
        shop.edit("staging", &json!({"migrations": {"image": good}}))
            .await;
        let about = on_staging(&json!({"release": "shop-1"}));
        shop.decide_about("alice", "Migrate", &about).await;
        // The Environment says what holds it; the record says that it waits for people.
        story.push("Migrate shop-1 AwaitingApproval");
        shop.until_told("staging", &story).await;
        story.pop();
        shop.decide("bob", "Approve", "staging", 1).await;
        story.push("Migrate shop-1 Succeeded");
        shop.until_told("staging", &story).await;
        shop.until("staging", "no incident", |status| {
            status.open_incidents.unwrap_or(0) == 0
        })
        .await;
        assert_eq!(locks(space).await, [""; 0]);
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_contract_waits_for_new_templates_and_comes_once_they_are_worn() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let mut rules = shop.migrations();
        rules["contract"] = json!({"after": "5s", "command": ["db", "contract"]});
        let spec = json!({"tier": "Production", "migrations": rules, "rollback": {"within": "1s"}});
        shop.environment("staging", &spec).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        // Its pods take so long that the contract is due in the middle.
        let script = json!({"annotations": {SCRIPT_ANNOTATION: "ready-after=4s"}});
        shop.edit_rollout("staging-api", &json!({"template": {"metadata": script}}))
            .await;
        shop.until_told(
            "staging",
            &["Promote shop-1 Succeeded", "Config shop-1 Promoting"],
        )
        .await;
        let records = shop
            .until_told(
                "staging",
                &[
                    "Promote shop-1 Succeeded",
                    "Config shop-1 Succeeded",
                    "Contract shop-1 Succeeded",
                ],
            )
            .await;
        let [_, config, contract] = &records[..] else {
            panic!("three records")
        };
        let worn_at = status_of(config).finished_at.unwrap().0;
        let begun_at = contract.creation_timestamp().unwrap().0;
        // Objects know their seconds only.
        assert!(
            begun_at.as_second() >= worn_at.as_second(),
            "{begun_at} {worn_at}"
        );
        let done = status_of(contract).migrations.unwrap();
        assert_eq!(done.state.as_str(), "Done", "{done:?}");
        let phases = done.phases.iter().map(|phase| phase.phase.as_str());
        assert_eq!(phases.filter(|phase| *phase == "Contract").count(), 1);
        assert_eq!(locks(space).await, [""; 0]);
    })
    .await;
}

/// The hash that a record ends with is in an Event too.
async fn told_of_its_head(space: &Space, record: &Promotion) {
    let hash = status_of(record).audit.pop().unwrap().hash;
    let events: Api<Event> = Api::namespaced(space.client.clone(), &space.name);
    wait_for("an Event with the last hash", SOON, async || {
        let events = events.list(&ListParams::default()).await.ok()?;
        let is_it = |event: &&Event| {
            let about = event.regarding.as_ref();
            about.is_some_and(|about| about.uid == record.uid())
                && event.reason.as_deref() == Some("Audited")
        };
        let told = events
            .iter()
            .filter(is_it)
            .find_map(|event| event.note.as_ref())?;
        assert!(told.contains(&hash), "{told}: {hash}");
        Some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_gate_whose_pod_is_evicted_is_asked_again_by_itself() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let image = format!("registry.example/{}/paperwork:1", space.name);
        nodes().set_rule(&image, "evicted").unwrap();
        let gate = json!({"name": "paperwork", "job": {"image": image}});
        let spec = json!({
            "protection": {"gates": [gate]}, "promotion": {"retries": {"limit": 2, "backoff": "1s"}},
        });
        shop.environment("staging", &spec).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_says("staging", "its Job came to no verdict").await;
        nodes().set_rule(&image, "exit=0").unwrap();
        shop.until_runs("staging", 1).await;
        let jobs = shop.jobs.list(&ListParams::default()).await.unwrap();
        let asked = jobs.iter().filter(|job| job.name_any().contains("paperwork"));
        assert_eq!(asked.count(), 1, "the one that came to no verdict is gone");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn gates_count_again_when_it_is_its_turn_and_people_while_it_runs() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let mut rules = shop.migrations();
        rules["backup"] = Value::Null;
        rules["withoutBackup"] = json!(true);
        let image = rules["image"].as_str().unwrap();
        let told = "version 2\npending V2__prices.sql";
        let slowly = format!("exit=0,after=2s,message={told}");
        nodes().set_rule(image, &slowly).unwrap();
        let leases: Api<Lease> = Api::namespaced(space.client.clone(), &space.name);
        let lock = json!({
            "metadata": {"name": format!("slipway-db.{}-shop-db", space.name)},
            "spec": {"holderIdentity": "another/one"},
        });
        let lock: Lease = serde_json::from_value(lock).unwrap();
        let made = leases.create(&PostParams::default(), &lock).await.unwrap();
        shop.environment("staging", &json!({"migrations": rules}))
            .await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_says("staging", "Promotion another/one migrates the database")
            .await;
        let freeze = json!({
            "name": "quiet", "kind": "Deny", "start": "2020-01-01T00:00:00", "end": "2099-01-01T00:00:00",
        });
        shop.edit("staging", &json!({"protection": {"freezes": [freeze]}}))
            .await;
        let gone = DeleteParams::default();
        leases.delete(&made.name_any(), &gone).await.unwrap();
        shop.until_says("staging", "shop-1 waits for freeze").await;
        assert_eq!(locks(space).await, [""; 0], "it is left to others");

        shop.edit("staging", &json!({"protection": {"freezes": null}}))
            .await;
        shop.until_says("staging", "run runs").await;
        shop.decide_about("carol", "Abort", &on_staging(&json!({})))
            .await;
        let failed = shop.until_told("staging", &["Promote shop-1 Failed"]).await;
        let status = status_of(&failed[0]);
        assert_eq!(status.reason.as_deref(), Some("Aborted"));
        let message = status.message.unwrap();
        assert!(message.contains("the database has been migrated for it"), "{message}");
        assert_eq!(shop.serves("staging").await.0, None, "nothing moves");
    })
    .await;
}
