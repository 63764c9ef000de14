//! N runs of a Pipeline with three stages, all started at once; and one run after the other, beside bare Jobs.
//!
//! Pods take half a second. The clock of a run starts when it is created and stops when it reports that it succeeded. What
//! a stage costs beside a bare Job of the same pod is measured one after the other, since under load both mostly wait.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::calls::as_f64;
use super::crowd::{self, PATIENCE, api, name};
use super::report::{heading, line, percentile, ratio};
use super::rollout::{Bench, seconds};
use super::subject::Subject;
use super::watching::Watching;
use crate::scripted::{Rules, ScriptedNodes};

/// The commit of every run.
const SHA: &str = "3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d";
/// What the pods of stages are made of.
const RUNNER: &str = "registry.example/runner:1";
/// In what scripts run.
const IMAGE: &str = "registry.example/script:1";
/// Stages of a run.
const STAGES: u32 = 3;
/// Runs, and bare Jobs, that are measured one after the other.
const ALONE: u32 = 20;
/// Longer than anything that is left over from a run waits to be written.
const AFTERMATH: Duration = Duration::from_secs(10);

impl Bench {
    /// Plays it with this many runs, and prints what it measures.
    ///
    /// # Errors
    ///
    /// Something does not come to its end.
    pub async fn play_pipelines(&self, count: u32) -> Result<()> {
        let nodes = ScriptedNodes::start(self.client.clone(), 20, rules()?).await?;
        let namespace = crowd::namespace(&self.client, "bench-").await?;
        let log = std::env::temp_dir().join(format!("{namespace}.log"));
        let images = ["--runner-image", RUNNER, "--buildkit-image", RUNNER];
        let log = (log.as_path(), &images[..]);
        let operator = Subject::start(&self.program, &self.kubeconfig, &namespace, log)?;
        let crowd = Crowd::new(&self.client, &namespace);
        crowd.create_pipeline().await?;
        self.all_at_once(&crowd, &operator, count).await?;
        one_by_one(&crowd).await?;
        operator.kill().await?;
        nodes.stop().await
    }

    async fn all_at_once(&self, crowd: &Crowd, operator: &Subject, count: u32) -> Result<()> {
        heading(&format!("{count} runs of {STAGES} stages at once"));
        let mut started = Watching::start(crowd.jobs.clone(), |_| Value::Null);
        let mut ended = Watching::start(crowd.runs.clone(), |run| json!(is_good(run)));
        let (mark, cpu, start) = (self.mark()?, operator.cpu()?, Instant::now());
        let created = tokio::sync::Mutex::new(Vec::new());
        crowd::for_each(count, async |index| {
            let at = Instant::now();
            crowd.start(&name(index)).await?;
            created.lock().await.push((index, at));
            Ok(())
        })
        .await?;
        started
            .until(("all started", PATIENCE), count, is_first_job)
            .await?;
        let took = ended.until(("all good", PATIENCE), count, is_good).await? - start;
        tokio::time::sleep(AFTERMATH).await;
        let (cpu, calls) = (operator.cpu()? - cpu, mark.calls()?);
        let mut queued = Vec::new();
        for (index, at) in created.into_inner() {
            let since = started.at(&first_job(&name(index)), is_first_job);
            let since = since.context("a run that never started")?;
            queued.push(since.duration_since(at).as_secs_f64());
        }
        let each = f64::from(count);
        line("all runs over", seconds(took));
        line("CPU", format!("{cpu:.2} s, {:.4} s per run", cpu / each));
        for (what, calls) in calls.per_object(count) {
            line(&format!("  {what}, per run"), format!("{calls:.2}"));
        }
        let per_run = as_f64(calls.total()) / each;
        ratio(&format!("API calls per run, N={count}"), per_run, 30.0);
        ratio(
            &format!("CPU seconds per run, N={count}"),
            cpu / each,
            0.060,
        );
        ratio("peak memory, MiB", operator.peak()?, 60.0);
        let program = format!("{:.1} MiB", operator.program()?);
        line("  of which pages of the program itself", program);
        for (percent, goal) in [(50, 2.0), (99, 5.0)] {
            let what = format!("queue, from created to first Job, p{percent}, s");
            ratio(&what, percentile(&mut queued, percent), goal);
        }
        let bare = crowd.bare_jobs(count * STAGES).await?;
        line("as many bare Jobs, all at once", seconds(bare));
        let what = format!("wall of the runs to that of bare Jobs, N={count}");
        ratio(&what, took.as_secs_f64() / bare.as_secs_f64(), 1.5);
        Ok(())
    }
}

/// What a stage costs beside a Job of the same pod, with nothing else to do.
async fn one_by_one(crowd: &Crowd) -> Result<()> {
    heading(&format!(
        "{ALONE} runs of {STAGES} stages in a row, one after the other"
    ));
    let mut ended = Watching::start(crowd.runs.clone(), |run| json!(is_good(run)));
    let (mut runs, mut jobs) = (Vec::new(), Vec::new());
    for index in 0..ALONE {
        let name = format!("alone{index:03}");
        let start = Instant::now();
        crowd.start_as(&name, "row").await?;
        let is_it =
            |run: &DynamicObject| run.metadata.name.as_deref() == Some(&name) && is_good(run);
        let end = ended.until(("a run alone", PATIENCE), 1, is_it).await?;
        runs.push((end - start).as_secs_f64() / f64::from(STAGES));
        jobs.push(crowd.bare_jobs(1).await?.as_secs_f64());
    }
    let (run, job) = (percentile(&mut runs, 50), percentile(&mut jobs, 50));
    line("a stage, p50", format!("{run:.3} s"));
    line("a bare Job of the same pod, p50", format!("{job:.3} s"));
    ratio(
        "overhead per stage beside a bare Job, p50, s",
        run - job,
        0.1,
    );
    Ok(())
}

/// The runs of a namespace.
struct Crowd {
    client: Client,
    namespace: String,
    runs: Api<DynamicObject>,
    jobs: Api<DynamicObject>,
}

impl Crowd {
    fn new(client: &Client, namespace: &str) -> Self {
        let kind = ("slipway.dev", "v1alpha1", "PipelineRun");
        Self {
            client: client.clone(),
            namespace: namespace.to_owned(),
            runs: api(client, namespace, kind),
            jobs: api(client, namespace, ("batch", "v1", "Job")),
        }
    }

    /// Two Pipelines: `wide` runs two stages beside each other and one after them, `row` three in a row.
    async fn create_pipeline(&self) -> Result<()> {
        let pipelines = api(
            &self.client,
            &self.namespace,
            ("slipway.dev", "v1alpha1", "Pipeline"),
        );
        for (name, second) in [("wide", json!([])), ("row", json!(["unit"]))] {
            let body = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": name},
                "spec": {
                    // Nobody is there: each run names its commit.
                    "source": {"git": {"url": "https://127.0.0.1:1/none.git"}},
                    "polling": {"interval": "1h"},
                    "retention": {"succeeded": 500},
                    "defaults": {"image": IMAGE},
                    "stages": [
                        {"name": "unit", "type": "Test", "run": "true"},
                        {"name": "lint", "type": "Lint", "run": "true", "needs": second},
                        {"name": "smoke", "type": "Smoke", "run": "true", "needs": ["unit", "lint"]},
                    ],
                },
            });
            let body = serde_json::from_value(body)?;
            pipelines.create(&PostParams::default(), &body).await?;
        }
        Ok(())
    }

    async fn start(&self, name: &str) -> Result<()> {
        self.start_as(name, "wide").await
    }

    async fn start_as(&self, name: &str, pipeline: &str) -> Result<()> {
        let body = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name},
            "spec": {
                "pipelineRef": {"name": pipeline}, "ref": "refs/heads/main", "sha": SHA,
                "trigger": {"kind": "Manual", "actor": "bench"},
            },
        });
        let body = serde_json::from_value(body)?;
        self.runs.create(&PostParams::default(), &body).await?;
        Ok(())
    }

    /// How long Jobs with the pod of a stage take, from the first request on, all at once.
    async fn bare_jobs(&self, count: u32) -> Result<Duration> {
        let namespace = crowd::namespace(&self.client, "bare-").await?;
        let jobs = api(&self.client, &namespace, ("batch", "v1", "Job"));
        let is_over = |job: &DynamicObject| job.data["status"]["succeeded"] == 1;
        let mut seen = Watching::start(jobs.clone(), |job| json!(job.data["status"]["succeeded"]));
        let start = Instant::now();
        crowd::for_each(count, async |index| {
            let body = serde_json::from_value(bare_job(&name(index)))?;
            jobs.create(&PostParams::default(), &body).await?;
            Ok(())
        })
        .await?;
        let end = seen.until(("bare Jobs", PATIENCE), count, is_over).await?;
        crowd::delete(&self.client, &namespace, &jobs, count).await?;
        Ok(end - start)
    }
}

fn bare_job(name: &str) -> Value {
    let container = |name: &str, image: &str| json!({"name": name, "image": image});
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": {
            "restartPolicy": "Never",
            "initContainers": [container("tools", RUNNER), container("source", RUNNER)],
            "containers": [container("main", IMAGE)],
        }}},
    })
}

/// The name of the first Job of a run.
fn first_job(run: &str) -> String {
    format!("{run}-unit-1")
}

fn is_first_job(job: &DynamicObject) -> bool {
    let name = job.metadata.name.as_deref().unwrap_or_default();
    name.ends_with(&first_job(""))
}

fn is_good(run: &DynamicObject) -> bool {
    run.data["status"]["phase"] == "Succeeded"
}

/// What containers do: the commit is told at once, a script takes half a second.
fn rules() -> Result<Rules> {
    let commit = json!({
        "sha": SHA, "author": "Alice", "email": "alice@example.com",
        "committedAt": "2026-11-26T10:00:00Z", "subject": "Make it faster",
    });
    let source = json!({"commit": commit}).to_string();
    let report = json!({"exitCode": 0}).to_string();
    Rules::default()
        .with(RUNNER, &format!("exit=0,message={source}"))?
        .with(IMAGE, &format!("exit=0,after=500ms,message={report}"))
}
