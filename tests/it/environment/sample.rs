//! Samples of whole ways to production, played: their objects as they are, but for the addresses of what is outside.

use std::path::Path;

use kube::api::PatchParams;
use serde_json::{Value, json};

use super::promotion::site;
use super::shop::{Shop, status_of, steps};
use crate::cluster::{Space, apply_with, with_namespace};
use crate::operator::nodes;

/// Applies the objects of a sample, with these texts in the place of others.
pub(super) async fn apply(space: &Space, file: &str, outside: &[(&str, &str)]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let mut text = std::fs::read_to_string(folder.join(file)).unwrap();
    for (name, address) in outside {
        assert!(text.contains(name), "{file} has no {name}");
        text = text.replace(name, address);
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let params = PatchParams::apply("people").validation_strict();
    for mut object in documents.into_iter().filter(Value::is_object) {
        object["metadata"]["namespace"] = json!(space.name);
        apply_with(&space.client, &object, &params).await.unwrap();
    }
}

/// What the commands of migrations tell, in pods of this image.
fn migrations_play(image: &str) {
    let told = "version 2\npending V2__prices.sql\nbackup /backups/1\nbytes 4096";
    nodes()
        .set_rule(image, &format!("exit=0,after=20ms,message={told}"))
        .unwrap();
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn an_application_goes_to_production_with_its_database_is_looked_at_and_comes_back() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let (address, _) = site(0).await;
        let (host, port) = address.rsplit_once(':').unwrap();
        let image = format!("registry.example/{}/webapp-migrations:1", space.name);
        migrations_play(&image);
        let at = |path: &str| format!("http://{address}{path}");
        let outside: [(&str, &str); 7] = [
            ("registry.example/shop/webapp-migrations:1", image.as_str()),
            ("http://webapp-staging-stable/health", &at("/health")),
            (
                "http://webapp-production-stable/api/orders\", contains: \"orders\"",
                &at("/api/orders\", contains: \"hello\""),
            ),
            ("http://webapp-production-stable", &at("")),
            (
                "host: webapp-db.shop.svc, port: 5432",
                &format!("host: {host}, port: {port}"),
            ),
            ("{name: webapp.example.com}", "{name: localhost}"),
            ("https://hooks.example/webapp", &at("/hook")),
        ];
        apply(space, "environment-webapp.yaml", &outside).await;
        let _operator = shop.operator();
        shop.release_of("webapp", 1, &["webapp"], &json!({})).await;
        let first = shop
            .until_told("webapp-production", &["Promote webapp-1 Succeeded"])
            .await;
        let status = status_of(&first[0]);
        let mut done = steps(&status);
        done.sort();
        let expected = [
            "rollout-webapp-production Succeeded",
            "smoke-critical-paths Succeeded",
            "smoke-database Succeeded",
            "smoke-health Succeeded",
            "smoke-name Succeeded",
        ];
        assert_eq!(done, expected);
        let migrated = status.migrations.unwrap();
        assert_eq!(migrated.state.as_str(), "Done", "{migrated:?}");

        shop.release_of("webapp", 2, &["webapp"], &json!({})).await;
        let told = ["Promote webapp-1 Succeeded", "Promote webapp-2 Succeeded"];
        shop.until_told("webapp-production", &told).await;
        let target = json!({"target": {"kind": "Environment", "name": "webapp-production"}});
        shop.decide_about("olga", "Rollback", &target).await;
        let back = [told[0], told[1], "Rollback webapp-1 Succeeded"];
        let records = shop.until_told("webapp-production", &back).await;
        let mut again = steps(&status_of(&records[2]));
        again.sort();
        assert_eq!(again, expected, "the same looks prove it");
    })
    .await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_product_of_two_images_is_in_staging_at_once_and_in_production_by_its_tag() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let (address, _) = site(0).await;
        let image = format!("registry.example/{}/product-migrations:1", space.name);
        migrations_play(&image);
        let outside: [(&str, &str); 4] = [
            ("registry.example/shop/product-migrations:1", image.as_str()),
            ("http://product-webhook-staging-stable/", &format!("http://{address}/")),
            ("http://product-webhook-production-stable/", &format!("http://{address}/")),
            // Always closed, so that the hotfix shows.
            ("cron: \"0 15 * * FRI\", duration: 66h", "start: \"2020-01-01T00:00:00\", end: \"2099-01-01T00:00:00\""),
        ];
        apply(space, "environment-product.yaml", &outside).await;
        let _operator = shop.operator();
        let images = ["mcp", "webhook"];
        shop.release_of("product", 1, &images, &json!({"ref": "refs/heads/develop"})).await;
        let staged = shop.until_told("product-staging", &["Promote product-1 Succeeded"]).await;
        let status = status_of(&staged[0]);
        assert_eq!(status.migrations.as_ref().unwrap().state.as_str(), "Done");
        assert_eq!(steps(&status).len(), 3, "both Rollouts and one look: {status:?}");

        // Of main it takes a tag, and what its run has measured.
        let covered = |lines: u32| json!({
            "run": "run", "tests": {"total": 60, "passed": 60, "failed": 0, "skipped": 0},
            "reports": [{"stage": "tests", "summary": {"coverage": {"lines": 100, "coveredLines": lines}}}],
        });
        shop.release_of("product-main", 2, &images, &json!({"evidence": covered(90)})).await;
        shop.until_says("product-production", "was built from refs/heads/main, and protection.sources takes tags v*").await;
        let tag = json!({"ref": "refs/tags/v1.2.3", "evidence": covered(75)});
        shop.release_of("product-main", 3, &images, &tag).await;
        shop.until_says("product-production", "coverage: 75 % of lines are covered, needed: 80 %").await;
        let tag = json!({"ref": "refs/tags/v1.2.4", "evidence": covered(90)});
        shop.release_of("product-main", 4, &images, &tag).await;
        shop.until_says("product-production", "waits for freeze: freeze weekend ends").await;
        let tag = json!({"ref": "refs/tags/v1.2.5-hotfix.1", "evidence": covered(90)});
        shop.release_of("product-main", 5, &images, &tag).await;
        shop.until_says("product-production", "waits for approvals").await;
        let about = json!({"target": {"kind": "Environment", "name": "product-production"}, "release": "product-main-5"});
        shop.decide_about("lee", "Approve", &about).await;
        let told = ["product-main-2 Superseded", "product-main-3 Superseded", "product-main-4 Superseded", "product-main-5 Succeeded"];
        let told = told.map(|one| format!("Promote {one}"));
        let told: Vec<&str> = told.iter().map(String::as_str).collect();
        let records = shop.until_told("product-production", &told).await;
        let status = status_of(&records[3]);
        let spared = "freeze does not count for a hotfix from refs/tags/v1.2.5-hotfix.1";
        assert!(status.audit.iter().any(|entry| entry.event == spared), "{:?}", status.audit);
    })
    .await;
}
