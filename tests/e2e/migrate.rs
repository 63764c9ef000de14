//! Migrations of a real PostgreSQL, in the way of Flyway and with Alembic: before the traffic, at most once, back, and later.

use std::path::Path;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, Secret, Service};
use kube::api::{Api, ListParams, Patch, PatchParams, PostParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::image;

use crate::app::{App, NAME, SOON, is_full, wait_for, with_app};
use crate::cluster::{NAMESPACE, Version, in_tree};
use crate::slo::{release, runs, until};

pub(crate) const PASSWORD: &str = "e2e-hidden-database";

/// Longest wait for a promotion with migrations: six pods, one after another.
pub(crate) const MIGRATED: Duration = Duration::from_mins(2);

async fn create<K>(api: &Api<K>, object: &Value)
where
    K: DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    let object = serde_json::from_value(object.clone()).unwrap();
    api.create(&PostParams::default(), &object).await.unwrap();
}

/// A PostgreSQL in a pod, behind a Service `db`, and the Secret that lets in.
pub(crate) async fn serve(app: &App, image: &str) {
    let (client, ns) = (&app.client, &app.namespace);
    let labels = json!({"app": "db"});
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "shop-db", "labels": {"slipway.dev/use": "migrations"}},
        "stringData": {"password": PASSWORD},
    });
    create::<Secret>(&Api::namespaced(client.clone(), ns), &secret).await;
    let password = json!({"name": "PGPASSWORD", "valueFrom": {"secretKeyRef": {"name": "shop-db", "key": "password"}}});
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db", "labels": labels},
        "spec": {"terminationGracePeriodSeconds": 1, "containers": [{
            "name": "db", "image": image, "command": ["serve-database"], "env": [password],
            "readinessProbe": {"tcpSocket": {"port": 5432}, "periodSeconds": 1},
        }]},
    });
    create::<Pod>(&Api::namespaced(client.clone(), ns), &pod).await;
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "db"},
        "spec": {"selector": labels, "ports": [{"port": 5432}]},
    });
    create::<Service>(&Api::namespaced(client.clone(), ns), &service).await;
    let pods: Api<Pod> = Api::namespaced(client.clone(), ns);
    wait_for("the database", SOON, async || {
        let pod = pods.get("db").await.unwrap();
        let status = pod.status.unwrap_or_default();
        let ready = status.conditions.iter().flatten();
        let mut ready = ready.filter(|one| one.type_ == "Ready" && one.status == "True");
        ready.next().map(|_| ()).ok_or("not ready".to_owned())
    })
    .await;
}

/// The sample's commands on the database's own image, with the migrations up to a version.
async fn commands(app: &App, sample: &str, base: &str, newest: &str) -> String {
    let registry = app.cluster.node.registry();
    let context = in_tree(&format!("examples/database/{sample}"));
    let args = [("BASE", base), ("NEWEST", newest)];
    let name = format!("demo/database-{sample}");
    image::build_with(registry, Path::new(&context), &name, &args)
        .await
        .unwrap()
}

fn migrations(image: &str) -> Value {
    let command = |word: &str| json!({"command": ["/db/db", word]});
    json!({
        "database": "shop-db", "image": image, "timeout": "1m",
        "env": [
            {"name": "PGHOST", "value": "db"}, {"name": "PGDATABASE", "value": "shop"},
            {"name": "PGUSER", "value": "shop"},
            {"name": "PGPASSWORD", "secretRef": {"name": "shop-db", "key": "password"}},
        ],
        "validate": command("validate"), "run": command("run"), "verify": command("verify"),
        "backup": {"command": ["/db/db", "backup"], "minBytes": 100, "restoreTest": command("restore-test")},
        "rollback": {"onFailure": "Down", "onRollback": "Down", "down": command("down")},
    })
}

async fn environment(app: &App, migrations: Value) {
    let environment = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
        "spec": {
            "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "rollouts": [{"name": NAME}],
            "migrations": migrations,
        },
    });
    app.apply(ObjectKind::Environment, &environment).await;
    app.bind(&json!({"replicas": 1})).await;
}

async fn edit(app: &App, migrations: Value) {
    edit_spec(app, json!({"migrations": migrations})).await;
}

async fn edit_spec(app: &App, spec: Value) {
    let change = Patch::Merge(json!({"spec": spec}));
    let environments = app.api(ObjectKind::Environment);
    environments
        .patch("live", &PatchParams::default(), &change)
        .await
        .unwrap();
}

async fn decide(app: &App, action: &str, rest: Value) {
    let mut spec = json!({"target": {"kind": "Environment", "name": "live"}, "action": action, "user": "admin"});
    json_patch::merge(&mut spec, &rest);
    let decision = json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Decision", "metadata": {"generateName": "d-"}, "spec": spec,
    });
    create(&app.api(ObjectKind::Decision), &decision).await;
}

/// The statuses of the Promotions, in their order.
async fn records(app: &App) -> Vec<Value> {
    let all = app
        .api(ObjectKind::Promotion)
        .list(&ListParams::default())
        .await
        .unwrap();
    let mut all: Vec<Value> = all.items.into_iter().map(|one| one.data).collect();
    all.sort_by_key(|one| one["spec"]["number"].as_u64());
    all
}

/// Waits until the Promotion of that number has ended in a phase; its status.
async fn ended(app: &App, number: usize, phase: &str) -> Value {
    wait_for(
        &format!("promotion {number}: {phase}"),
        MIGRATED,
        async || {
            let all = records(app).await;
            let record = all.get(number - 1).ok_or("not there")?;
            let status = &record["status"];
            if status["phase"] == phase {
                return Ok(status.clone());
            }
            Err(format!(
                "{} {}: {}",
                record["spec"]["kind"], status["phase"], status["message"]
            ))
        },
    )
    .await
}

/// What a phase said.
fn said<'v>(status: &'v Value, phase: &str) -> &'v str {
    let phases = status["migrations"]["phases"].as_array().unwrap();
    let found = phases.iter().find(|one| one["phase"] == phase);
    found.map_or("-", |one| one["message"].as_str().unwrap())
}

#[tokio::test]
#[ignore = "needs a node; run make test"]
async fn a_database_is_migrated_once_before_the_release_gets_traffic() {
    with_app(async |app| {
        let base = image::database(app.cluster.node.registry()).await.unwrap();
        let first = commands(app, "sql", &base, "1").await;
        serve(app, &base).await;
        environment(app, migrations(&first)).await;
        release(app, 1, Version::One).await;
        until(app, "migrated, and running", MIGRATED, |status| {
            runs(status, "shop-1")
        })
        .await;
        let status = ended(app, 1, "Succeeded").await;
        let done = &status["migrations"];
        assert_eq!(
            (&done["state"], &done["versionBefore"], &done["version"]),
            (&json!("Done"), &json!("0"), &json!("1"))
        );
        assert_eq!(done["pending"], json!(["V1__shop.sql"]));
        assert!(done["backup"]["bytes"].as_i64().unwrap() > 100, "{done}");
        assert!(done["backup"]["testedAt"].is_string(), "{done}");
        // The database itself has counted.
        assert_eq!(said(&status, "Verify"), "run 1");
        let text = serde_json::to_string(&records(app).await).unwrap();
        assert!(!text.contains(PASSWORD));
        let leases = Api::<k8s_openapi::api::coordination::v1::Lease>::namespaced(
            app.client.clone(),
            NAMESPACE,
        );
        let ours = format!("slipway-db.{}-shop-db", app.namespace);
        assert!(
            leases.get_opt(&ours).await.unwrap().is_none(),
            "the lock is free"
        );
        if is_full() {
            goes_on(app, &base).await;
        }
    })
    .await;
}

/// What fails is taken back, what is destructive refused, and what was needed before goes when it may.
async fn goes_on(app: &App, base: &str) {
    // Nothing is pending by hand.
    decide(app, "Migrate", json!({"version": "1"})).await;
    let status = ended(app, 2, "Succeeded").await;
    assert!(
        status["message"]
            .as_str()
            .unwrap()
            .contains("nothing is pending"),
        "{status}"
    );
    // A second version, forward; its verification fails, and it is taken back.
    let second = commands(app, "sql", base, "2").await;
    edit(
        app,
        json!({"image": second, "verify": {"command": ["/bin/false"]}}),
    )
    .await;
    release(app, 2, Version::Two).await;
    let status = ended(app, 3, "Failed").await;
    assert_eq!(status["reason"], "MigrationFailed", "{status}");
    assert_eq!(status["migrations"]["version"], "1", "{status}");
    edit(app, json!({"verify": {"command": ["/db/db", "verify"]}})).await;
    decide(app, "Retry", json!({})).await;
    let status = ended(app, 4, "Succeeded").await;
    assert_eq!(said(&status, "Verify"), "down 1, run 3", "{status}");
    let contract = json!({"after": "1s", "command": ["/db/db", "contract"]});
    let soon = json!({"migrations": {"contract": contract}, "rollback": {"within": "1s"}});
    edit_spec(app, soon).await;
    let status = ended(app, 5, "Succeeded").await;
    assert_eq!(
        said(&status, "Verify"),
        "contract 1, down 1, run 3",
        "{status}"
    );
}

#[tokio::test]
#[ignore = "needs a node; run make e2e-full"]
async fn alembic_migrates_a_database_there_and_back() {
    with_app(async |app| {
        let base = image::database(app.cluster.node.registry()).await.unwrap();
        let commands = commands(app, "alembic", &base, "").await;
        serve(app, &base).await;
        let mut rules = migrations(&commands);
        rules["verify"] = json!({"command": ["/bin/false"]});
        environment(app, rules).await;
        release(app, 1, Version::One).await;
        let status = ended(app, 1, "Failed").await;
        assert_eq!(status["reason"], "MigrationFailed", "{status}");
        assert_eq!(status["migrations"]["version"], "base", "{status}");
        edit(app, json!({"verify": {"command": ["/db/db", "verify"]}})).await;
        decide(app, "Retry", json!({})).await;
        let status = ended(app, 2, "Succeeded").await;
        assert_eq!(status["migrations"]["version"], "a2", "{status}");
        assert_eq!(
            status["migrations"]["pending"].as_array().unwrap().len(),
            2,
            "{status}"
        );
    })
    .await;
}
