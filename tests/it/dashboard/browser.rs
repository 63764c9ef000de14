//! The dashboard in a real browser: the stories in `ui/tests`, about a world that is made here. What people decide there is
//! looked up here.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use kube::api::ListParams;
use serde_json::Value;
use tokio::process::Command;

use super::trouble::Trouble;
use super::world::World;
use crate::cluster::{Space, with_guarded_namespace_called, with_namespace};
use crate::environment::Shop;
use crate::environment::shop::told;

/// Longest time for all stories together.
const LONGEST: Duration = Duration::from_mins(10);

#[tokio::test]
#[ignore = "needs a kube-apiserver, chromium and what make ui builds; run make test"]
async fn people_look_and_decide() {
    Box::pin(with_guarded_namespace_called("shop", async |space| {
        Box::pin(with_namespace(async |elsewhere| {
            Box::pin(with_namespace(async |crowd| {
                Box::pin(with_namespace(async |night| {
                    let start = Instant::now();
                    let (mut world, mut trouble) = tokio::join!(
                        Box::pin(World::build(space, elsewhere, crowd)),
                        Box::pin(Trouble::build(night)),
                    );
                    println!("the world took {:?}", start.elapsed());
                    world.facts["trouble"] = trouble.facts.clone();
                    tokio::select! {
                        () = tell(&world) => {}
                        () = trouble.play() => panic!("nobody asks for anything any more"),
                    }
                    decided(space, &world).await;
                    migrated(night, &world).await;
                }))
                .await;
            }))
            .await;
        }))
        .await;
    }))
    .await;
}

/// A folder beside the programs, where what stories leave is found.
fn left(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name(name)
}

/// Has the browser tell its stories.
#[expect(
    clippy::print_stdout,
    reason = "what a story failed of is in what the browser's tests say"
)]
async fn tell(world: &World) {
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("ui");
    assert!(ui.join("dist/index.html").is_file(), "run make ui");
    let playwright = ui.join("tests/node_modules/.bin/playwright");
    assert!(playwright.is_file(), "run npm ci in ui/tests");
    let known = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(known.path(), world.facts.to_string()).unwrap();
    let mut command = Command::new(ui.join("node.sh"));
    command
        .arg(playwright)
        .arg("test")
        .current_dir(ui.join("tests"))
        .env("SLIPWAY_WORLD", known.path())
        .env("SLIPWAY_SCREENSHOTS", left("ui-screenshots"))
        .env("SLIPWAY_RESULTS", left("ui-results"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(LONGEST, command.output()).await;
    let output = output
        .unwrap_or_else(|_| panic!("not within {LONGEST:?}"))
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    println!("{said}");
    let failed: Vec<&str> = said.lines().filter(|line| line.contains('✘')).collect();
    assert!(
        output.status.success(),
        "stories in the browser failed: {}",
        failed.join(";")
    );
}

/// What was decided, in words.
async fn made_in(space: &Space) -> Vec<String> {
    let all = space
        .api("Decision")
        .list(&ListParams::default())
        .await
        .unwrap();
    let words = |spec: &Value, path: &str| {
        spec.pointer(path)
            .and_then(Value::as_str)
            .unwrap_or("-")
            .to_owned()
    };
    let one = |spec: &Value| {
        [
            "/action",
            "/target/kind",
            "/target/name",
            "/user",
            "/reason",
        ]
        .map(|path| words(spec, path))
        .join(" ")
    };
    let specs = all.items.iter().map(|decision| &decision.data["spec"]);
    specs.map(one).collect()
}

/// What was decided by buttons is in the cluster, in the names of those who pressed them.
async fn decided(space: &Space, world: &World) {
    let made = made_in(space).await;
    let (lead, approver) = (&world.lead.user, &world.approver.user);
    for expected in [
        format!("Approve Environment production {approver} Looks good in staging"),
        format!("Rollback Environment production {lead} Customers complain"),
        format!("Promote Rollout api {lead} Seen enough"),
        format!(
            "Approve PipelineRun {} {lead} I have read it",
            world.waiting_run
        ),
        format!(
            "Reject PipelineRun {} {lead} Nobody knows them",
            world.doubtful_run
        ),
    ] {
        let times = made.iter().filter(|made| **made == expected).count();
        assert_eq!(times, 1, "{expected}: {made:#?}");
    }
    // olga's approval of before, and those five: looking, trying and thinking better of it decided nothing.
    assert_eq!(made.len(), 6, "{made:#?}");
}

/// The migrations that were stuck were brought through by the button, and by nothing else.
async fn migrated(night: &Space, world: &World) {
    let lead = &world.lead.user;
    let made = made_in(night).await;
    let expected = format!("Migrate Environment books {lead} The column is there now");
    let times = made.iter().filter(|made| **made == expected).count();
    assert_eq!(times, 1, "{expected}: {made:#?}");
    let records = Shop::new(night).records("books").await;
    let story = [
        "Promote shop-1 Succeeded",
        "Promote shop-2 Succeeded",
        "Migrate shop-2 Failed",
        "Migrate shop-2 Succeeded",
    ];
    assert_eq!(told(&records), story);
}
