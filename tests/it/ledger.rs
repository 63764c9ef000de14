//! A run whose operator is killed after every write. It ends as if nothing had been, and a ledger outside of the cluster has
//! one line for each stage that must not be done twice.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};
use slipway::pipeline_run::api::{AttestationKind, PipelineRunStatus, RunPhase};
use slipway::runner::report::{AttestationReport, StageReport};
use testbed::proxy::{Fault, Match, What};

use crate::cluster::{Space, with_namespace};
use crate::fault::{proxied, stride};
use crate::operator::Operator;
use crate::pipeline::{Subject, tested};

/// Jobs of a run: two cells, and a stage for each of the others.
const JOBS: usize = 7;

/// What is outside of the cluster: the ledger, and the folder of logs.
struct Outside {
    folder: tempfile::TempDir,
}

impl Outside {
    fn ledger(&self) -> PathBuf {
        self.folder.path().join("ledger")
    }

    /// How many pods of a run have begun, by stage.
    fn begun(&self, run: &str) -> BTreeMap<String, usize> {
        let text = std::fs::read_to_string(self.ledger()).unwrap_or_default();
        let of_run = format!("slipway.dev/pipeline-run={run}");
        let lines = text
            .lines()
            .filter(|line| line.split(' ').any(|word| word == of_run));
        let mut begun = BTreeMap::new();
        for line in lines {
            let mut words = line.split(' ');
            let stage = words.find_map(|word| word.strip_prefix("slipway.dev/stage="));
            *begun.entry(stage.unwrap().to_owned()).or_default() += 1;
        }
        begun
    }
}

/// An address that no other process has, so that an operator that comes after another one finds it free.
fn address() -> String {
    let id = std::process::id();
    format!("127.9.{}.{}:8091", (id >> 8) & 0xff, id & 0xff)
}

fn operator(subject: &Subject, outside: &Outside, kubeconfig: &Path) -> Operator {
    let (listen, logs) = (address(), outside.folder.path().join("logs"));
    let url = format!("http://{listen}");
    let logs = logs.display().to_string();
    let args = [
        "--stage-secrets",
        "--stage-listen",
        &listen,
        "--stage-url",
        &url,
        "--log-folder",
        &logs,
    ];
    subject.operator_with(kubeconfig, &args)
}

fn stages(subject: &Subject) -> Value {
    let script =
        |name: &str| json!({"name": name, "image": subject.image("python"), "run": "true"});
    let with = |name: &str, extra: &Value| {
        let mut stage = script(name);
        json_patch::merge(&mut stage, extra);
        stage
    };
    json!([
        with("unit", &json!({"type": "Test", "matrix": {"axes": {"py": ["3.11", "3.13"]}}, "reports": {"junit": ["junit.xml"]}})),
        with("migrate", &json!({"type": "Migrate", "needs": ["unit"]})),
        {"name": "image", "type": "Build", "needs": ["unit"], "build": {"image": "registry.example/shop/api"}},
        {"name": "tags", "type": "Tag", "tag": {"names": ["{{branch}}"]}},
        {"name": "sign", "type": "Sign", "sign": {"keyRef": {"name": "cosign"}}},
        with("clean", &json!({"type": "Custom", "always": true})),
    ])
}

/// Lets the pods of stages leave lines in the ledger, and those of the runner's image their reports as well.
fn play(subject: &Subject, outside: &Outside, source: &str, digit: char) {
    let appends = format!("appends={}", outside.ledger().display());
    let plays = |image: &str, report: &str| {
        let script = format!("{appends},exit=0,after=50ms,message={report}");
        subject.plays(image, &script);
    };
    let digest = |digit: char| format!("sha256:{}", digit.to_string().repeat(64));
    let built = StageReport {
        digest: Some(digest(digit)),
        ..StageReport::default()
    };
    let said = |kind, digit| AttestationReport("image".into(), kind, digest(digit));
    let signed = StageReport {
        attestations: vec![
            said(AttestationKind::Signature, 'a'),
            said(AttestationKind::Provenance, 'b'),
        ],
        ..StageReport::default()
    };
    // The same image fetches, tags and signs: each reads of the message what it knows.
    let mut all: Value = serde_json::from_str(source).unwrap();
    json_patch::merge(&mut all, &serde_json::from_str(&signed.encode()).unwrap());
    plays("runner", &all.to_string());
    plays("buildkit", &built.encode());
    plays("python", &tested(12, 0).encode());
}

/// What there is to be after a run, whatever happened on its way.
fn end_of(status: &PipelineRunStatus) -> Value {
    let stages = status.stages.iter().map(|stage| {
        let cells = stage.cells.iter();
        let cells: Vec<Value> = cells
            .map(|cell| json!([cell.name, cell.phase, cell.attempt, cell.infra_retries]))
            .collect();
        json!([
            stage.name,
            stage.phase,
            stage.attempt,
            stage.infra_retries,
            cells
        ])
    });
    let attestations = status.attestations.iter();
    json!({
        "phase": status.phase,
        "stages": stages.collect::<Vec<_>>(),
        "artifacts": status.artifacts.len(),
        "attestations": attestations.map(|said| said.kind).collect::<Vec<_>>(),
        "tests": status.tests.unwrap().total,
        "gates": status.gates.iter().map(|gate| json!([gate.name, gate.result])).collect::<Vec<_>>(),
        "hasRelease": status.release.is_some(),
    })
}

async fn keep_key(space: &Space) {
    let never_read = json!({"cosign.key": "never read: no pod of this test runs anything"});
    space.make_secret("cosign", never_read).await;
}

#[tokio::test]
#[ignore = "needs a kube-apiserver; run make test"]
async fn whatever_write_the_operator_dies_after_a_run_ends_alike_and_nothing_is_done_twice() {
    with_namespace(async |space| {
        let subject = Subject::new(space).await;
        let outside = Outside {
            folder: tempfile::TempDir::new().unwrap(),
        };
        let (proxy, path) = proxied(space).await;
        keep_key(space).await;
        let claims: Api<ConfigMap> = Api::namespaced(space.client.clone(), &space.name);
        let mut first: Option<Value> = None;
        let (mut runs, mut killed) = (0_u32, 0);
        // Undisturbed twice: the first one makes what all have, and the second tells how many writes a run has.
        let (mut kill_after, mut writes) = (u64::MAX, 0);
        while runs < 2 || kill_after <= writes {
            runs += 1;
            let digit = char::from_digit(runs % 16, 16).unwrap();
            let message = format!("Run {runs}");
            let (sha, source) = subject.push_and_say(&message).await;
            play(&subject, &outside, &source, digit);
            if first.is_none() {
                let spec = json!({"spec": {"stages": stages(&subject)}});
                subject.create(&spec).await;
            }
            let mut process = operator(&subject, &outside, &path);
            let fault = Fault::new(Match::writes(), What::KillPid(process.pid()));
            let injected = proxy.inject(fault.nth(kill_after));
            let ended = tokio::select! {
                _ = process.ended() => None,
                ended = subject.ended(&sha) => Some(ended),
            };
            injected.remove();
            killed += injected.hits();
            let (run, status) = if let Some(ended) = ended {
                process.kill().await;
                ended
            } else {
                let second = operator(&subject, &outside, &path);
                let ended = subject.ended(&sha).await;
                second.kill().await;
                ended
            };
            assert_eq!(
                status.phase,
                Some(RunPhase::Succeeded),
                "killed after {kill_after}: {status:?}"
            );
            let end = end_of(&status);
            let first = first.get_or_insert_with(|| end.clone());
            assert_eq!(*first, end, "killed after {kill_after}");
            let of_run = ListParams::default().labels(&format!("slipway.dev/pipeline-run={run}"));
            let jobs = subject.jobs.list(&of_run).await.unwrap();
            assert_eq!(jobs.items.len(), JOBS, "killed after {kill_after}");
            let claims = claims.list(&of_run).await.unwrap().items;
            let claims: Vec<&str> = claims
                .iter()
                .map(|claim| claim.labels()["slipway.dev/stage"].as_str())
                .collect();
            assert_eq!(claims.len(), 2, "{claims:?}");
            let begun = outside.begun(&run);
            let expected = [("clean", 1), ("image", 1), ("migrate", 1), ("sign", 1)];
            let expected = expected.into_iter().chain([("tags", 1), ("unit", 2)]);
            let expected = expected.map(|(stage, count)| (stage.to_owned(), count));
            assert_eq!(
                begun,
                expected.collect(),
                "killed after write {kill_after}: the ledger"
            );
            match runs {
                1 => {}
                2 => (kill_after, writes) = (1, injected.matched()),
                _ => {
                    // How many there are is not the same each time: what only informs people may wait, and be one write.
                    let is_early = kill_after * 4 < writes * 3;
                    let what = format!("write {kill_after} of {writes} was not made");
                    assert!(injected.hits() == 1 || !is_early, "{what}");
                    kill_after += stride(7) as u64;
                }
            }
        }
        println!("ledger: {runs} runs of about {writes} writes, {killed} operators killed");
        assert!(
            writes > 20,
            "a run of so many stages has more writes than {writes}"
        );
        let releases = subject.list(&subject.releases).await;
        assert_eq!(u32::try_from(releases.len()).unwrap(), runs);
        std::fs::remove_file(&path).unwrap();
    })
    .await;
}
