//! Figures of deliveries: counted from records, and the same when those are pruned and every status is lost. The plugin says them.

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::shop::Shop;
use crate::cluster::{SOON, kubeconfig_path, wait_for, with_namespace};
use crate::plugin::{plugin, text, told};

/// What the plugin says of the last week, but for the time.
async fn said(namespace: &str) -> Value {
    let args = ["dora", "staging", "--window", "7d", "-o", "json", "-n"];
    let mut command = plugin(&args);
    let shown = command.arg(namespace).env("KUBECONFIG", kubeconfig_path());
    let shown = shown.output().await.unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    let mut read: Value = serde_json::from_str(&text(&shown)).unwrap();
    assert_eq!(read["window"], "7d");
    read["environments"][0]["figures"].take()
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn figures_are_the_same_when_records_are_pruned_and_statuses_are_lost() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        shop.environment("staging", &json!({"history": {"promotions": 1}}))
            .await;
        let operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        shop.release_plays(2, "exit=1,after=20ms");
        shop.release(2).await;
        shop.until_left("staging", 2).await;
        shop.release(3).await;
        shop.until_runs("staging", 3).await;
        shop.release(4).await;
        shop.until_runs("staging", 4).await;
        let pages: Api<ControllerRevision> = Api::namespaced(space.client.clone(), &space.name);
        let selected = ListParams::default().labels("slipway.dev/component=ledger");
        let written = || async {
            let pages = pages.list(&selected).await.unwrap().items;
            let lines = pages.iter().map(|page| page.data.0["lines"].clone());
            let lines: Vec<Value> = lines
                .flat_map(|lines| lines.as_array().cloned().unwrap_or_default())
                .collect();
            (pages.len(), lines)
        };
        let (_, lines) = wait_for("one page, and few records", SOON, async || {
            let found = written().await;
            let records = shop.records("staging").await.len();
            (found.0 == 1 && found.1.len() == 5 && records < 5).then_some(found)
        })
        .await;
        assert!(
            lines.iter().any(|line| line["kind"] == "Rollback"),
            "{lines:?}"
        );

        let status = shop.until("staging", "figures", |status| status.dora.is_some());
        let before = status.await.dora.unwrap();
        let week = &before.windows[0];
        assert_eq!(week.frequency.deployments, 3);
        let failures = week.change_failures.clone().unwrap();
        assert_eq!((failures.count, failures.of), (1, 4));
        assert_eq!(week.recovery_time.as_ref().unwrap().count, 1);
        assert_eq!(week.unrecovered, None);
        let rework = week.rework.clone().unwrap();
        assert_eq!((rework.count, rework.of), (1, 4));
        let shown = said(&space.name).await;
        assert_eq!(shown, serde_json::to_value(week).unwrap());

        drop(operator);
        shop.wipe_promotions().await;
        shop.wipe("staging").await;
        let _operator = shop.operator();
        shop.until_runs("staging", 4).await;
        let same = |status: &slipway::environment::api::EnvironmentStatus| {
            let windows = status.dora.as_ref().map(|dora| &dora.windows);
            windows == Some(&before.windows)
        };
        shop.until("staging", "the same figures", same).await;
        assert_eq!(said(&space.name).await, shown);
    })
    .await;
}

/// The report of a Release in a form.
async fn reported(namespace: &str, form: &str) -> String {
    let args = ["release", "report", "shop-1", "-o", form, "-n", namespace];
    let mut command = plugin(&args);
    let shown = command.env("KUBECONFIG", kubeconfig_path()).output();
    let shown = shown.await.unwrap();
    assert_eq!(shown.status.code(), Some(0), "{}", told(&shown));
    text(&shown)
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn the_quality_report_of_a_release_says_who_approved_it_and_where_it_went() {
    with_namespace(async |space| {
        let shop = Shop::staging_and_production(space).await;
        let _operator = shop.operator();
        shop.release(1).await;
        shop.until_runs("staging", 1).await;
        let decision = shop.decide("alice", "Approve", "production", 1).await;
        shop.until_runs("production", 1).await;

        let read: Value = serde_json::from_str(&reported(&space.name, "json").await).unwrap();
        assert_eq!(read["schema"], "slipway.dev/quality-report/v1");
        assert_eq!(read["release"]["name"], "shop-1");
        let answer = |id: &str| {
            let all = read["checklist"].as_array().unwrap();
            all.iter().find(|check| check["id"] == id).unwrap().clone()
        };
        let approved = answer("approved");
        assert_eq!(approved["answer"], "Yes", "{approved}");
        let evidence = approved["evidence"].as_array().unwrap();
        assert!(
            evidence.contains(&json!(format!("Decision {decision}"))),
            "{approved}"
        );
        assert_eq!(answer("deployed")["answer"], "Yes");
        assert_eq!(answer("signed")["answer"], "No", "nothing was signed");
        let places = read["promotions"].as_array().unwrap();
        assert_eq!(places.len(), 2, "{places:?}");

        let page = reported(&space.name, "html").await;
        assert!(page.starts_with("<!DOCTYPE html>"), "{page}");
        assert!(
            page.contains("<th scope=\"row\">production-010101010101-1</th>"),
            "{page}"
        );
        assert!(!page.contains("<script"), "{page}");
        let text = reported(&space.name, "markdown").await;
        assert!(text.starts_with("# Quality report of shop-1"), "{text}");
    })
    .await;
}
