//! Samples of whole ways to production, played: their objects as they are, but for the addresses of what is outside.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, ListParams, PatchParams};
use serde_json::{Value, json};
use slipway::pipeline_run::api::ReportSummary;
use slipway::rollout::api::{Phase, Rollout};
use slipway::runner::report::StageReport;
use testbed::scripted::ScriptedGateway;

use super::promotion::site;
use super::shop::{Shop, status_of, steps};
use crate::cluster::{SOON, Space, apply_with, kubeconfig_path, wait_for, with_namespace};
use crate::operator::{Operator, nodes};
use crate::pipeline::tested;

/// The objects of a sample, with these texts in the place of others.
fn objects(space: &Space, file: &str, outside: &[(&str, &str)]) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let mut text = std::fs::read_to_string(folder.join(file)).unwrap();
    for (name, address) in outside {
        assert!(text.contains(name), "{file} has no {name}");
        text = text.replace(name, address);
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    let mut objects: Vec<Value> = documents.into_iter().filter(Value::is_object).collect();
    for object in &mut objects {
        object["metadata"]["namespace"] = json!(space.name);
    }
    objects
}

/// Applies them.
pub(super) async fn apply(space: &Space, file: &str, outside: &[(&str, &str)]) {
    let params = PatchParams::apply("people").validation_strict();
    for object in objects(space, file, outside) {
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
            ("http://webapp-staging-stable.shop/health", &at("/health")),
            (
                "http://webapp-production-stable.shop/api/orders\", contains: \"orders\"",
                &at("/api/orders\", contains: \"hello\""),
            ),
            ("http://webapp-production-stable.shop", &at("")),
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
            ("http://product-webhook-staging-stable.shop/", &format!("http://{address}/")),
            ("http://product-webhook-production-stable.shop/", &format!("http://{address}/")),
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

/// What a check in pods of this image reports.
fn check_reports(image: &str, report: &StageReport) {
    let script = format!("exit=0,after=20ms,message={}", report.clone().encode());
    nodes().set_rule(image, &script).unwrap();
}

fn summary(reports: Value) -> StageReport {
    let reports: ReportSummary = serde_json::from_value(reports).unwrap();
    StageReport {
        exit_code: Some(0),
        reports: Some(reports),
        ..StageReport::default()
    }
}

fn load(p95: f64) -> StageReport {
    summary(
        json!({"latency": [{"name": "k6", "requests": 1000, "failedPercent": 0.1, "p95": p95}]}),
    )
}

/// A Rollout of one image that follows an Environment, as a platform has them.
async fn follower(space: &Space, image: &str, stage: &str) {
    let name = format!("{image}-{stage}");
    let labels = json!({"app": name});
    let rollout = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": name, "namespace": space.name},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": labels},
            "release": {"environment": {"name": format!("platform-{stage}")}, "images": {"web": image}},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web"}]}},
        },
    });
    let params = PatchParams::apply("people");
    apply_with(&space.client, &rollout, &params).await.unwrap();
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn a_platform_is_validated_in_staging_approved_one_after_the_other_and_too_slow_a_release_goes_no_further()
 {
    with_namespace(async |space| Box::pin(validated(space)).await).await;
}

async fn validated(space: &Space) {
    let shop = Shop::new(space);
    let (address, _) = site(0).await;
    let (host, port) = address.rsplit_once(':').unwrap();
    let open = format!("tcp: {{host: {host}, port: {port}}}");
    let image = |name: &str| format!("registry.example/{}/platform-{name}:1", space.name);
    let checks = ["tests", "k6", "scanner", "axe"].map(image);
    let none = |category: &str| json!({"category": category});
    check_reports(&checks[0], &tested(25, 0));
    check_reports(&checks[1], &load(200.0));
    let found = ["Code", "Secret", "Vulnerability"].map(none);
    let found = json!({"findings": found});
    check_reports(&checks[2], &summary(found));
    check_reports(
        &checks[3],
        &summary(json!({"findings": [none("Accessibility")]})),
    );
    nodes().set_rule(&image("runner"), "exit=0").unwrap();
    let outside: [(&str, &str); 11] = [
        (
            "http://platform-api-staging-stable.platform/healthz",
            &format!("http://{address}/healthz"),
        ),
        (
            "http://platform-web-staging-stable.platform/\", contains: \"<title>\"",
            &format!("http://{address}/\", contains: \"hello\""),
        ),
        ("registry.example/platform/tests:1", &checks[0]),
        ("registry.example/platform/k6:1", &checks[1]),
        ("registry.example/platform/scanner:1", &checks[2]),
        ("registry.example/platform/axe:1", &checks[3]),
        ("tcp: {host: platform-db.platform.svc, port: 5432}", &open),
        (
            "dns: {name: platform.example.com}",
            "dns: {name: localhost}",
        ),
        // Nobody here has a certificate that the operator trusts.
        ("tls: {host: platform.example.com, validFor: 336h}", &open),
        (
            "https://platform.example.com/\", latency: 800ms",
            &format!("http://{address}/\", latency: 5s"),
        ),
        (
            "https://platform.example.com/api/orders\", json: '{\"item\": \"probe\"}', status: 201",
            &format!("http://{address}/api/orders\""),
        ),
    ];
    apply(space, "environment-platform.yaml", &outside).await;
    for stage in ["staging", "production"] {
        for image in ["platform-api", "platform-web"] {
            follower(space, image, stage).await;
        }
    }
    let runner = image("runner");
    let flags = [
        "--no-leader-election",
        "--runner-image",
        &runner,
        "--metric-hosts",
        "127.0.0.0/8",
    ];
    let _operator = Operator::start_with(&shop.namespace, &kubeconfig_path(), &flags);

    // Both are validated, and approved one after the other.
    let mut staged: Vec<String> = Vec::new();
    for pipeline in ["platform-api", "platform-web"] {
        shop.release_of(pipeline, 1, &[pipeline], &json!({})).await;
        staged.push(format!("Promote {pipeline}-1 Succeeded"));
        let told: Vec<&str> = staged.iter().map(String::as_str).collect();
        let records = shop.until_told("platform-staging", &told).await;
        let status = status_of(records.last().unwrap());
        let judged = status.steps.iter().flat_map(|step| &step.gates);
        assert_eq!(
            judged
                .filter(|gate| gate.result.as_str() == "Passed")
                .count(),
            4,
            "{status:?}"
        );
    }
    let waiting = ["Promote platform-api-1 AwaitingApproval"];
    shop.until_told("platform-production", &waiting).await;
    let about = |release: &str| {
        let target = json!({"kind": "Environment", "name": "platform-production"});
        json!({"target": target, "release": release})
    };
    shop.decide_about("lee", "Approve", &about("platform-api-1"))
        .await;
    let waiting = [
        "Promote platform-api-1 Succeeded",
        "Promote platform-web-1 AwaitingApproval",
    ];
    shop.until_told("platform-production", &waiting).await;
    shop.decide_about("lee", "Approve", &about("platform-web-1"))
        .await;
    let both = [
        "Promote platform-api-1 Succeeded",
        "Promote platform-web-1 Succeeded",
    ];
    shop.until_told("platform-production", &both).await;

    // One that makes the load test too slow goes back in staging, and no further.
    check_reports(&checks[1], &load(350.0));
    let slow = json!({"previous": "platform-api-1"});
    shop.release_of("platform-api", 2, &["platform-api"], &slow)
        .await;
    let left = [
        both[0],
        both[1],
        "Promote platform-api-2 RolledBack",
        "Rollback platform-api-1 Failed",
    ];
    let records = shop.until_told("platform-staging", &left).await;
    let message = status_of(&records[2]).message.unwrap();
    assert!(message.contains("p95"), "{message}");
    let further = shop.records("platform-production").await;
    assert!(
        further
            .iter()
            .all(|record| record.spec.release != "platform-api-2")
    );
}

/// The samples of Rollouts, by their files.
fn rollouts() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples");
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("rollout-")).collect()
}

/// The Deployment of the sample runs, before anybody takes its pods over.
async fn runs_before(space: &Space, file: &str, renamed: &[(&str, &str)]) {
    let mut all = objects(space, file, renamed).into_iter();
    let mut deployment = all.find(|it| it["kind"] == "Deployment").unwrap();
    deployment["spec"]["paused"] = json!(false);
    let params = PatchParams::apply("people").validation_strict();
    let made = apply_with(&space.client, &deployment, &params).await;
    let name = made.unwrap().metadata.name.unwrap();
    let api: Api<Deployment> = Api::namespaced(space.client.clone(), &space.name);
    wait_for("a Deployment whose pods are ready", SOON, async || {
        let status = api.get(&name).await.unwrap().status?;
        (status.ready_replicas == Some(4)).then_some(())
    })
    .await;
}

fn is_healthy(rollout: &Rollout) -> bool {
    let generation = rollout.metadata.generation;
    let status = rollout.status.as_ref();
    status.is_some_and(|status| {
        status.phase == Some(Phase::Healthy) && Some(status.observed_generation) == generation
    })
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn every_rollout_among_the_samples_comes_to_be_healthy() {
    with_namespace(async |space| {
        let shop = Shop::new(space);
        let _gateway = ScriptedGateway::start(&space.client, &space.name, Duration::ZERO);
        let (address, _) = site(0).await;
        let hook = format!("http://{address}/hook");
        let image = format!("registry.example/{}/smoke:1", space.name);
        nodes().set_rule(&image, "exit=0").unwrap();
        let smoke = ("registry.example/ci/busybox:1", image.as_str());
        let told = ("https://hooks.example/slipway", hook.as_str());
        apply(space, "environment-staging.yaml", &[smoke]).await;
        apply(space, "environment-production.yaml", &[smoke, told]).await;
        // These three are called alike.
        let adoption = "rollout-adoption.yaml";
        let renamed = [
            (adoption, ("shop", "adopted")),
            ("rollout-httproute.yaml", ("shop", "routed")),
            ("rollout-service.yaml", ("shop", "served")),
        ];
        runs_before(space, adoption, &[renamed[0].1]).await;
        let files = rollouts();
        for file in &files {
            let other = renamed.iter().find(|(known, _)| known == file);
            let other: Vec<(&str, &str)> = other.map(|(_, names)| *names).into_iter().collect();
            apply(space, file, &other).await;
        }
        let _operator = shop.operator();
        // Two of them follow an Environment.
        shop.release_of("greeter", 1, &["greeter"], &json!({}))
            .await;
        shop.until_says("production", "waits for approvals").await;
        let target = json!({"kind": "Environment", "name": "production"});
        let about = json!({"target": target, "release": "greeter-1"});
        shop.decide_about("lee", "Approve", &about).await;
        let done = ["Promote greeter-1 Succeeded"];
        shop.until_told("production", &done).await;
        wait_for("all of them are healthy", SOON, async || {
            let all = shop.rollouts.list(&ListParams::default()).await.ok()?;
            let well = all.items.iter().filter(|rollout| is_healthy(rollout));
            (well.count() == files.len()).then_some(())
        })
        .await;
    })
    .await;
}
