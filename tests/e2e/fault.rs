//! What is taken from a stage in the middle: its pod, its first process, its disk; the repository and the registry that it
//! needs. What gave no verdict is run again, what must not be done twice is not, and the logs of all of it are kept.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Api, EvictParams, ListParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::proxy::{Fault, Injected, Match, Proxy, What};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::app::{App, is_full, wait_for, with_app};
use crate::logs::{Played, WHILE, kill_first_process};

/// Says something, and goes on for ever the first time.
const ENDLESS: &str = "echo begin $SLIPWAY_STAGE, attempt $SLIPWAY_ATTEMPT
if [ $SLIPWAY_ATTEMPT = 1 ]; then while :; do sleep 0.2; done; fi";

/// A ledger outside of the cluster: it counts who calls.
struct Ledger {
    address: SocketAddr,
    lines: Arc<AtomicU32>,
}

impl Ledger {
    async fn open(on: IpAddr) -> Self {
        let listener = TcpListener::bind((on, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let lines = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let mut request = [0; 1024];
                if caller.read(&mut request).await.is_ok_and(|read| read > 0) {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = caller.write_all(answer).await;
            }
        });
        Self { address, lines }
    }

    fn lines(&self) -> u32 {
        self.lines.load(Ordering::SeqCst)
    }

    /// A script that adds a line, and then goes on for ever.
    fn script(&self) -> String {
        let call = format!(
            "import urllib.request; urllib.request.urlopen('http://{}/')",
            self.address
        );
        format!("echo begin $SLIPWAY_STAGE\npython3 -c \"{call}\"\nwhile :; do sleep 0.2; done")
    }
}

/// The address of this machine that pods reach.
fn bridge(app: &App) -> IpAddr {
    let (host, _) = app.cluster.node.registry().rsplit_once(':').unwrap();
    host.parse().unwrap()
}

fn pods(app: &App) -> Api<Pod> {
    Api::namespaced(app.client.clone(), &app.namespace)
}

fn stage<'a>(status: &'a Value, name: &str) -> &'a Value {
    let mut stages = status["stages"].as_array().unwrap().iter();
    stages.find(|stage| stage["name"] == name).unwrap()
}

/// Asks Kubernetes to take the pod of a stage away, as whoever drains a node does.
async fn evict(app: &App, name: &str) {
    let of_stage = ListParams::default().labels(&format!("slipway.dev/stage={name}"));
    let pod = pods(app).list(&of_stage).await.unwrap().items.remove(0);
    pods(app)
        .evict(&pod.name_any(), &EvictParams::default())
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn what_is_taken_from_a_stage_is_run_again_unless_once_is_enough() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let ledger = Ledger::open(bridge(app)).await;
        let endless = |name: &str| json!({"name": name, "type": "Test", "run": ENDLESS});
        let mut stages = vec![
            endless("drained"),
            endless("struck"),
            json!({"name": "once", "type": "Migrate", "run": ledger.script()}),
        ];
        if is_full() {
            stages.push(json!({
                "name": "greedy", "type": "Custom",
                "run": "echo begin $SLIPWAY_STAGE; head -c 64M /dev/zero > /tmp/much; while :; do sleep 0.2; done",
                "resources": {"limits": {"ephemeral-storage": "8Mi"}},
            }));
        }
        let run = played.start(&stages).await;
        for name in ["drained", "struck"] {
            let words = format!("begin {name}, attempt 1");
            played.until_said(&run, name, &words).await;
        }
        wait_for("a line in the ledger", WHILE, async || match ledger.lines() {
            0 => Err("it is empty".to_owned()),
            _ => Ok(()),
        })
        .await;
        evict(app, "drained").await;
        kill_first_process(&run, "struck");
        kill_first_process(&run, "once");

        let status = played.ended(&run).await;
        for name in ["drained", "struck"] {
            let stage = stage(&status, name);
            let found = (&stage["phase"], &stage["attempt"], &stage["infraRetries"]);
            let expected = (&json!("Succeeded"), &json!(2), &json!(1));
            assert_eq!(found, expected, "{stage:#}");
            for attempt in ["1", "2"] {
                let args = ["--kept", "--stage", name, "--attempt", attempt];
                let kept = played.logs(&run, &args).await;
                let words = format!("begin {name}, attempt {attempt}\n");
                assert!(kept.contains(&words), "{kept}");
            }
        }
        let once = stage(&status, "once");
        let message = once["message"].as_str().unwrap();
        assert_eq!(once["phase"], "Failed", "{once:#}");
        assert_eq!(once["attempt"], 1, "{once:#}");
        assert!(message.contains("killed from outside"), "{message}");
        assert_eq!(ledger.lines(), 1);
        let kept = played.logs(&run, &["--kept", "--stage", "once"]).await;
        assert!(kept.contains("begin once\n"), "{kept}");
        let claims: Api<ConfigMap> = Api::namespaced(app.client.clone(), &app.namespace);
        let claims = claims.list(&ListParams::default().labels("slipway.dev/stage=once")).await;
        assert_eq!(claims.unwrap().items.len(), 1);
        if is_full() {
            was_greedy(&played, &run, &status).await;
        }
    })
    .await;
}

/// The pod of stage `greedy` used more disk than it may: its own doing is not tried again.
async fn was_greedy(played: &Played<'_>, run: &str, status: &Value) {
    let greedy = stage(status, "greedy");
    let message = greedy["message"].as_str().unwrap();
    assert_eq!(greedy["attempt"], 1, "{greedy:#}");
    assert!(
        message.contains("Evicted") && message.contains("ephemeral"),
        "{message}"
    );
    let kept = played.logs(run, &["--kept", "--stage", "greedy"]).await;
    assert!(kept.contains("begin greedy\n"), "{kept}");
}

/// A registry in front of that of the node, which answers 503 until it is told otherwise.
async fn broken_registry(app: &App) -> (Proxy, Injected) {
    let registry = format!("http://{}/", app.cluster.node.registry());
    let upstream = kube::Config::new(registry.parse().unwrap());
    let proxy = Proxy::start_on(bridge(app), upstream).await.unwrap();
    let refuses = Fault::new(Match::any().path("/v2/"), What::Status(503));
    let injected = proxy.inject(refuses.always());
    (proxy, injected)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_registry_that_does_not_answer_is_waited_for_and_told_from_a_build_that_failed() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let dockerfile = "FROM scratch\nCOPY hello /hello\n";
        let files = [("Dockerfile", dockerfile), ("hello", "hello\n")];
        played
            .repository
            .commit("main", "Build it", &files)
            .await
            .unwrap();
        let ((back, refused), (away, _)) = (broken_registry(app).await, broken_registry(app).await);
        let build = |name: &str, proxy: &Proxy, extra: &Value| {
            let image = format!("{}/{}/{name}", proxy.address(), app.namespace);
            let mut stage = json!({
                "name": name, "type": "Build", "timeout": "3m",
                "build": {"image": image, "insecureRegistry": true},
            });
            json_patch::merge(&mut stage, extra);
            stage
        };
        let stages = [
            build("back", &back, &json!({})),
            // Too short for a second pause (BuildKit itself asks for 15 s): it gives up, and is not to be tried again.
            build(
                "away",
                &away,
                &json!({"timeout": "50s", "retry": {"infra": 0}}),
            ),
        ];
        let run = played.start(&stages).await;
        played.until_said(&run, "back", "asked again in 5 s").await;
        refused.remove();
        let status = played.ended(&run).await;
        let good = stage(&status, "back");
        assert_eq!(good["phase"], "Succeeded", "{status:#}");
        assert_eq!(status["artifacts"].as_array().unwrap().len(), 1);
        let bad = stage(&status, "away");
        let message = bad["message"].as_str().unwrap();
        assert!(
            message.contains("registry") && message.contains("503"),
            "{message}"
        );
        assert_eq!(status["failure"]["kind"], "Registry", "{status:#}");
        let kept = played.logs(&run, &["--kept", "--stage", "away"]).await;
        assert!(kept.contains("does not answer"), "{kept}");
    })
    .await;
}

/// A run of a commit that is known.
async fn by_hand(app: &App, sha: &Value) {
    let more = json!({"ref": "refs/heads/main", "sha": sha});
    app.run_by_hand("mine", "api", &more).await;
}

/// The node cannot pull what a stage runs in, because the registry answers 503: that says nothing about the commit.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_registry_that_does_not_answer_the_node_costs_an_attempt_and_no_verdict() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let (proxy, refused) = broken_registry(app).await;
        let there = proxy.address().to_string();
        app.cluster.node.pull_over_http(&there).unwrap();
        let image = app.cluster.image(crate::cluster::Version::One);
        let (_, name) = image.split_once('/').unwrap();
        let unit = json!({
            "name": "unit", "type": "Test", "image": format!("{there}/{name}"), "run": "echo pulled",
            "retry": {"infra": 3},
        });
        let run = played.start(&[unit]).await;
        let runs = app.api(ObjectKind::PipelineRun);
        wait_for("an attempt that is lost", WHILE, async || {
            let status = runs.get(&run).await.unwrap().data["status"].clone();
            let is_lost = status["stages"][0]["infraRetries"] == 1;
            is_lost.then_some(()).ok_or_else(|| status.to_string())
        })
        .await;
        let status = runs.get(&run).await.unwrap().data["status"].clone();
        let message = stage(&status, "unit")["message"].as_str().unwrap();
        assert!(message.contains("503"), "{message}");
        refused.remove();
        let status = played.ended(&run).await;
        let unit = stage(&status, "unit");
        assert_eq!(unit["phase"], "Succeeded", "{status:#}");
        let attempt = unit["attempt"].to_string();
        let args = ["--kept", "--stage", "unit", "--attempt", &attempt];
        let kept = played.logs(&run, &args).await;
        assert!(kept.contains("pulled\n"), "{kept}");
    })
    .await;
}

/// A repository that does not let the pod in is not asked again: that would not change by itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn what_a_repository_refuses_ends_the_run_and_says_what_to_do() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let unit = json!({"name": "unit", "type": "Test", "run": "echo never"});
        let first = played.start(&[unit]).await;
        let sha = played.ended(&first).await["sha"].clone();
        let refused = http::StatusCode::FORBIDDEN;
        played.git.set_failing(Some(refused));
        by_hand(app, &sha).await;
        let status = played.ended("mine").await;
        assert_eq!(status["failure"]["kind"], "Clone", "{status:#}");
        let unit = stage(&status, "unit");
        let message = unit["message"].as_str().unwrap();
        assert!(message.contains("source.git.credentials"), "{message}");
        assert_eq!(unit["attempt"], 1, "{status:#}");
        let kept = played.logs("mine", &["--kept", "--stage", "unit"]).await;
        assert!(kept.contains("asks for a login"), "{kept}");
        assert!(!kept.contains("asked again"), "{kept}");
    })
    .await;
}

/// The commit is known, and the repository does not answer when the pod asks for it.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_repository_that_does_not_answer_is_waited_for() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let script = "test -e file && echo fetched";
        let unit = json!({"name": "unit", "type": "Test", "run": script});
        let first = played.start(&[unit]).await;
        let runs = app.api(ObjectKind::PipelineRun);
        let sha = played.ended(&first).await["sha"].clone();
        let down = http::StatusCode::SERVICE_UNAVAILABLE;
        played.git.set_failing(Some(down));
        by_hand(app, &sha).await;
        wait_for("an attempt that is lost", WHILE, async || {
            let status = runs.get("mine").await.unwrap().data["status"].clone();
            if status["stages"][0]["infraRetries"] == 1 {
                Ok(())
            } else {
                Err(status.to_string())
            }
        })
        .await;
        played.git.set_failing(None);
        let status = played.ended("mine").await;
        let unit = stage(&status, "unit");
        let found = (&unit["phase"], &unit["attempt"]);
        assert_eq!(found, (&json!("Succeeded"), &json!(2)));
        for (attempt, words) in [("1", "asked again in"), ("2", "fetched\n")] {
            let args = ["--kept", "--stage", "unit", "--attempt", attempt];
            let kept = played.logs("mine", &args).await;
            assert!(kept.contains(words), "{words} is not in {kept}");
        }
    })
    .await;
}
