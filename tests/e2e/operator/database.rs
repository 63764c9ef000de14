//! An operator that is killed after one write of a promotion with migrations, and another one that goes on: the database itself
//! has counted what was done to it.

use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::image;
use testbed::proxy::{Fault, Match, Proxy, What};

use super::process::{Operator, without_pods};
use crate::app::{App, with_app};
use crate::cluster::{NAMESPACE, Version};
use crate::migrate::{self, MIGRATED, PASSWORD};
use crate::slo::{release, runs, until};

/// Writes between two of which an operator is killed; each round takes some ten seconds.
const STRIDE: usize = 2;

/// Commands that leave a line in the database for everything that is done to it.
fn migrations(image: &str) -> Value {
    let shell = |script: &str| json!({"command": ["sh", "-euc", script]});
    let does =
        |word: &str| format!("psql -qc \"INSERT INTO done VALUES ('$SLIPWAY_RELEASE', '{word}')\"");
    json!({
        "database": "shop-db", "image": image, "timeout": "1m",
        "env": [
            {"name": "PGHOST", "value": "db"}, {"name": "PGDATABASE", "value": "shop"},
            {"name": "PGUSER", "value": "shop"}, {"name": "PGPASSWORD", "value": PASSWORD},
        ],
        "validate": shell("echo pending $SLIPWAY_RELEASE > /dev/termination-log"),
        "backup": {
            "command": ["sh", "-euc", "pg_dump > /tmp/b; printf 'backup b\\nbytes %s\\n' $(stat -c %s /tmp/b) > /dev/termination-log"],
            "restoreTest": shell(&does("tested")),
        },
        "run": shell(&does("run")),
        "verify": shell(&does("verified")),
    })
}

async fn sql(app: &App, text: &str) -> String {
    let psql = [
        "psql",
        "-h",
        "127.0.0.1",
        "-U",
        "shop",
        "-d",
        "shop",
        "-qtAc",
        text,
    ];
    let exec = ["exec", "--namespace", &app.namespace, "db", "--"];
    let args: Vec<&str> = exec.into_iter().chain(psql).collect();
    app.cluster.run("kubectl", &args).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make e2e-full"]
async fn killed_after_any_write_it_migrates_a_database_once() {
    with_app(async |app| {
        let image = image::database(app.cluster.node.registry()).await.unwrap();
        migrate::serve(app, &image).await;
        sql(app, "CREATE TABLE done (release text, word text)").await;
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "live"},
            "spec": {
                "tier": "Staging", "promotion": {"from": {"pipelines": ["shop"]}}, "migrations": migrations(&image),
                // One for each round: they are counted in the end.
                "history": {"promotions": 1000},
            },
        });
        app.apply(ObjectKind::Environment, &environment).await;
        without_pods(app, async || rounds(app).await).await;
    })
    .await;
}

async fn rounds(app: &App) {
    let proxy = Proxy::start(app.as_operator().await).await.unwrap();
    let mut operator = Operator::start(app, &proxy);
    let before = proxy.writes().len();
    let mut number = 1;
    let bring = async |number: u32| {
        let version = if number.is_multiple_of(2) {
            Version::Two
        } else {
            Version::One
        };
        release(app, number, version).await;
    };
    let end = async |number: u32| {
        let name = format!("shop-{number}");
        let what = format!("{name} runs");
        until(app, &what, MIGRATED, |status| runs(status, &name)).await;
    };
    bring(number).await;
    end(number).await;
    let writes = proxy.writes().len() - before;
    for after in (1..=writes).step_by(STRIDE) {
        number += 1;
        eprintln!("an operator that is killed after write {after} of {writes}");
        let kill = Fault::new(Match::writes(), What::KillPid(operator.pid()));
        let injected = proxy.inject(kill.nth(after as u64));
        bring(number).await;
        tokio::select! {
            () = operator.ended() => {}
            () = end(number) => {}
        }
        injected.remove();
        if injected.hits() > 0 {
            operator = Operator::start(app, &proxy);
        }
        end(number).await;
    }
    operator.kill().await;
    counted(app, number, writes).await;
}

/// Everything was done once, and nothing is left of it.
async fn counted(app: &App, releases: u32, writes: usize) {
    let counted = sql(
        app,
        "SELECT release, word, count(*) FROM done GROUP BY 1, 2 HAVING count(*) <> 1",
    )
    .await;
    assert_eq!(
        counted.trim(),
        "",
        "done more than once, of {releases} Releases with {writes} writes each"
    );
    let all = sql(app, "SELECT count(*) FROM done").await;
    assert_eq!(
        all.trim(),
        (releases * 3).to_string(),
        "each of them tested, run and verified"
    );
    let leases: Api<Lease> = Api::namespaced(app.client.clone(), NAMESPACE);
    let lock = format!("slipway-db.{}-shop-db", app.namespace);
    let left = leases.get_opt(&lock).await.unwrap();
    assert!(left.is_none(), "the database is free: {left:?}");
    let promotions = app.api(ObjectKind::Promotion);
    let promotions = promotions.list(&ListParams::default()).await.unwrap();
    let has_succeeded = |one: &kube::api::DynamicObject| one.data["status"]["phase"] == "Succeeded";
    assert!(promotions.items.iter().all(has_succeeded));
    assert_eq!(
        promotions.items.len(),
        releases as usize,
        "one attempt each"
    );
}
