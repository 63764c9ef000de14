//! What stages say: read while they run, and kept whatever ends them.

use std::net::IpAddr;
use std::process::Output;
use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::{GitServer, Repository};
use tokio::process::Command;

use crate::app::{App, SOON, wait_for, with_app};
use crate::cluster::Version;

/// Longest wait for a run whose pods start at the same time, on a machine that is busy.
pub(crate) const WHILE: Duration = Duration::from_mins(3);

/// How each stage ends: its script, its phase as the run's status has it, and words of its message.
const STAGES: &[(&str, &str, &str, &str)] = &[
    // Its first process is killed from outside: nobody in the container is left to say or send anything.
    (
        "killed",
        "echo begin killed; while :; do sleep 0.2; done",
        "Failed",
        "killed from outside",
    ),
    (
        "timeout",
        "echo begin timeout; while :; do sleep 0.2; done",
        "TimedOut",
        "stopped after 8 s",
    ),
    (
        "memory",
        "echo begin memory; python3 -c 'x = bytearray(600 * 1024 * 1024)'",
        "Failed",
        "more memory than its limit",
    ),
    (
        "fails",
        "echo begin fails; echo 'the end of it'; exit 3",
        "Failed",
        "exit code 3",
    ),
];

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn logs_are_kept_whatever_ends_a_stage() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let stages = STAGES.iter().map(|(name, script, ..)| {
            let left = format!("echo '<testsuite name=\"{name}\"/>' > left.xml\n{script}");
            json!({"name": name, "type": "Test", "run": left, "reports": {"junit": ["*.xml"]},
                   "timeout": if *name == "timeout" { "8s" } else { "2m" },
                   "retry": {"infra": 0}, "resources": {"limits": {"memory": "256Mi"}}})
        });
        let run = played.start(&stages.collect::<Vec<_>>()).await;
        played.until_said(&run, "killed", "begin killed").await;
        kill_first_process(&run, "killed");
        let status = played.ended(&run).await;
        for (name, script, ended, words) in STAGES {
            let stages = status["stages"].as_array().unwrap();
            let stage = stages.iter().find(|stage| stage["name"] == *name).unwrap();
            assert_eq!(stage["phase"], *ended, "{script}: {stage:#}");
            let message = stage["message"].as_str().unwrap();
            assert!(message.contains(words), "{script}: {message}");
            let kept = played.logs(&run, &["--kept", "--stage", name]).await;
            let begin = format!("begin {name}\n");
            assert!(kept.contains(&begin), "{name}: {kept}");
            assert!(
                kept.contains("slipway: at "),
                "the source's as well: {kept}"
            );
        }
        let live = played.logs(&run, &[]).await;
        for words in [
            "fails | begin fails\n",
            "fails | the end of it\n",
            "memory | begin",
        ] {
            assert!(live.contains(words), "{words} is not in:\n{live}");
        }
        // Whole reports are kept as well, but for those of a runner that had no time.
        let files = ["run", "files", &run, "-n", &app.namespace];
        let listed = text(&played.run(&files).await);
        assert!(listed.contains("fails/left.xml\n"), "{listed}");
        let folder = tempfile::TempDir::new().unwrap();
        let into = folder.path().display().to_string();
        let args = [&files[..], &["--stage", "fails", "--into", &into]].concat();
        let written = played.run(&args).await;
        assert!(written.status.success(), "{written:?}");
        let left = std::fs::read_to_string(folder.path().join("fails/left.xml")).unwrap();
        assert_eq!(left, "<testsuite name=\"fails\"/>\n");
        // With their pods gone, the same command has the same words.
        let jobs = app.api(ObjectKind::Job);
        jobs.delete_collection(&DeleteParams::background(), &ListParams::default())
            .await
            .unwrap();
        played.until_no_pods().await;
        let kept = played.logs(&run, &["--stage", "fails"]).await;
        assert!(kept.contains("the end of it\n"), "{kept}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn a_run_that_is_followed_and_stopped_keeps_its_last_words() {
    with_app(async |app| {
        let played = Played::new(app).await;
        let script =
            "trap 'echo last words; exit 1' TERM; echo begin slow; while :; do sleep 0.2; done";
        let run = played
            .start(&[json!({"name": "slow", "type": "Test", "run": script})])
            .await;
        let mut reader = played.plugin(&["run", "logs", &run, "-f", "-n", &app.namespace]);
        let reader = reader.stdout(std::process::Stdio::piped()).spawn().unwrap();
        played.until_said(&run, "slow", "begin slow").await;
        let said = played
            .run(&["run", "cancel", &run, "-n", &app.namespace])
            .await;
        let said = text(&said);
        let decided = format!("Cancel of PipelineRun {run}: Decision {run}-cancel-");
        assert!(said.starts_with(&decided), "{said}");
        let followed = tokio::time::timeout(WHILE, reader.wait_with_output()).await;
        let followed = text(&followed.unwrap().unwrap());
        assert!(followed.contains("slow | begin slow\n"), "{followed}");
        assert!(followed.contains("slow | last words\n"), "{followed}");
        assert_eq!(played.ended(&run).await["phase"], "Cancelled");
        played.until_no_pods().await;
        let kept = played.logs(&run, &[]).await;
        assert!(
            kept.contains("begin slow\n") && kept.contains("last words\n"),
            "{kept}"
        );
    })
    .await;
}

/// A Pipeline of a repository, and the plugin of somebody who may do everything.
pub(crate) struct Played<'a> {
    pub(crate) app: &'a App,
    pub(crate) git: GitServer,
    pub(crate) repository: Repository,
}

impl<'a> Played<'a> {
    pub(crate) async fn new(app: &'a App) -> Self {
        let host = app.cluster.node.registry().split_once(':').unwrap().0;
        let host: IpAddr = host.parse().unwrap();
        let git = GitServer::start_on(host).await.unwrap();
        let repository = git.create("shop/api").await.unwrap();
        repository
            .commit("main", "Begin", &[("file", "text")])
            .await
            .unwrap();
        Self {
            app,
            git,
            repository,
        }
    }

    /// Makes the Pipeline with these stages, and starts a run of it; its name.
    pub(crate) async fn start(&self, stages: &[Value]) -> String {
        let pipeline = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "api"},
            "spec": {
                "source": {"git": {"url": self.git.url("shop/api"), "insecure": true}},
                "polling": {"interval": "1h"},
                "defaults": {"image": self.app.cluster.image(Version::One)},
                "release": {"enabled": false},
                "stages": stages,
            },
        });
        self.app.apply(ObjectKind::Pipeline, &pipeline).await;
        // The Pipeline finds the commit by itself; a run by hand would be a second one.
        wait_for("a run", SOON, async || {
            let runs = self.app.api(ObjectKind::PipelineRun);
            let runs = runs.list(&ListParams::default()).await.unwrap();
            let first = runs.items.first().map(ResourceExt::name_any);
            first.ok_or_else(|| "there is none".to_owned())
        })
        .await
    }

    fn plugin(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-slipway"));
        let kubeconfig = self.app.cluster.node.control_plane().kubeconfig_path();
        command
            .args(args)
            .env("KUBECONFIG", kubeconfig)
            .kill_on_drop(true);
        command
    }

    async fn run(&self, args: &[&str]) -> Output {
        self.plugin(args).output().await.unwrap()
    }

    pub(crate) async fn logs(&self, run: &str, args: &[&str]) -> String {
        let all = [&["run", "logs", run, "-n", &self.app.namespace], args].concat();
        let output = self.run(&all).await;
        let problems = String::from_utf8(output.stderr.clone()).unwrap();
        assert!(output.status.success(), "{problems}");
        text(&output)
    }

    pub(crate) async fn until_said(&self, run: &str, stage: &str, words: &str) {
        wait_for(words, WHILE, async || {
            let args = [
                "run",
                "logs",
                run,
                "--stage",
                stage,
                "-n",
                &self.app.namespace,
            ];
            let said = text(&self.run(&args).await);
            if said.contains(words) {
                Ok(())
            } else {
                Err(said)
            }
        })
        .await;
    }

    pub(crate) async fn ended(&self, run: &str) -> Value {
        wait_for("the run is over", WHILE, async || {
            let runs = self.app.api(ObjectKind::PipelineRun);
            let status = runs.get(run).await.unwrap().data["status"].clone();
            let is_over = ["Failed", "Cancelled", "Succeeded", "TimedOut"];
            let phase = status["phase"].as_str().unwrap_or_default();
            if is_over.contains(&phase) {
                Ok(status)
            } else {
                Err(status.to_string())
            }
        })
        .await
    }

    async fn until_no_pods(&self) {
        wait_for("no pods", SOON, async || {
            let pods = self
                .app
                .api(ObjectKind::Pod)
                .list(&ListParams::default())
                .await
                .unwrap();
            if pods.items.is_empty() {
                Ok(())
            } else {
                Err(format!("{} are there", pods.items.len()))
            }
        })
        .await;
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Kills the runner of a stage's main container, which is process 1 there, from the machine, where other stories may have stages
/// of that name.
pub(crate) fn kill_first_process(run: &str, stage: &str) {
    let wanted = [
        format!("SLIPWAY_RUN={run}"),
        format!("SLIPWAY_STAGE={stage}"),
    ];
    let is_it = |id: &str| {
        let environ = std::fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
        let has = |wanted: &String| {
            let mut variables = environ.split(|byte| *byte == 0);
            variables.any(|variable| variable == wanted.as_bytes())
        };
        let command = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
        command.starts_with(b"/slipway/slipway-runner") && wanted.iter().all(has)
    };
    let ids: Vec<String> = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()) && is_it(id))
        .collect();
    assert_eq!(ids.len(), 1, "one runner of stage {stage} of {run}");
    let killed = std::process::Command::new("kill")
        .arg("-KILL")
        .args(&ids)
        .status();
    assert!(killed.unwrap().success());
}
