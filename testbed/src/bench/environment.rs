//! N Environments, each with a Pipeline of its own whose Releases come one after the other, to all of them at once.
//!
//! The clock of a Release starts when it is created and stops when its Environment's `status.desired` names it: that is what
//! Rollouts follow. No Rollout is listed, so a promotion ends well as soon as it has started.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{Api, DynamicObject, PostParams};
use serde_json::{Value, json};

use super::calls::{Calls, as_f64};
use super::crowd::{self, PATIENCE, api, name};
use super::report::{heading, line, percentile, ratio};
use super::rollout::{Bench, seconds};
use super::subject::Subject;
use super::watching::Watching;

/// Longer than anything that is left over from a promotion waits to be written.
const AFTERMATH: Duration = Duration::from_secs(10);
/// Time for which Environments at rest are looked at.
const REST: Duration = Duration::from_secs(30);

impl Bench {
    /// Plays it with this many Environments and Releases of each, and prints what it measures.
    ///
    /// # Errors
    ///
    /// Something does not come to its end.
    pub async fn play_environments(&self, count: u32, releases: u32) -> Result<()> {
        let namespace = crowd::namespace(&self.client, "bench-").await?;
        let log = std::env::temp_dir().join(format!("{namespace}.log"));
        let operator = Subject::start(
            &self.program,
            &self.kubeconfig,
            &namespace,
            (log.as_path(), &[]),
        )?;
        let crowd = Crowd::new(&self.client, &namespace);
        crowd.create(count).await?;
        self.all(&crowd, &operator, (count, releases)).await?;
        self.rest_of(&operator, count).await?;
        operator.kill().await
    }

    async fn all(
        &self,
        crowd: &Crowd,
        operator: &Subject,
        (count, releases): (u32, u32),
    ) -> Result<()> {
        heading(&format!("{count} Environments, {releases} Releases each"));
        let mut seen = Watching::start(crowd.environments.clone(), desired);
        let (mark, cpu, start) = (self.mark()?, operator.cpu()?, Instant::now());
        let mut latencies = Vec::new();
        for number in 1..=releases {
            let created = tokio::sync::Mutex::new(Vec::new());
            crowd::for_each(count, async |index| {
                let at = Instant::now();
                crowd.release(index, number).await?;
                created.lock().await.push((index, at));
                Ok(())
            })
            .await?;
            let is_there = |environment: &DynamicObject| {
                let release = desired(environment);
                let release = release.as_str().unwrap_or_default();
                release.ends_with(&format!("-{number}"))
            };
            let what = format!("Release {number} is wanted");
            seen.until((&what, PATIENCE), count, is_there).await?;
            for (index, at) in created.into_inner() {
                let since = seen.at(&name(index), is_there);
                let since = since.context("an Environment that follows no Release")?;
                // What is told of at once may be told of before the answer to the request is read.
                latencies.push(since.saturating_duration_since(at).as_secs_f64());
            }
        }
        let took = start.elapsed();
        tokio::time::sleep(AFTERMATH).await;
        let (cpu, calls) = (operator.cpu()? - cpu, mark.calls()?);
        line("all Releases wanted", seconds(took));
        tell(&calls, (count, releases), cpu, &mut latencies);
        let size = format!("{count} x {releases}");
        ratio(
            &format!("peak memory, MiB, {size}"),
            operator.peak()?,
            100.0,
        );
        Ok(())
    }

    /// What it takes when nothing happens.
    async fn rest_of(&self, operator: &Subject, count: u32) -> Result<()> {
        heading(&format!("{count} Environments at rest"));
        let (mark, cpu) = (self.mark()?, operator.cpu()?);
        tokio::time::sleep(REST).await;
        let (cpu, calls) = (operator.cpu()? - cpu, mark.calls()?.total());
        line("API calls", calls);
        ratio(
            "CPU at rest, share of a core",
            cpu / REST.as_secs_f64(),
            0.02,
        );
        Ok(())
    }
}

/// Prints what so many promotions cost, and how long each Release took.
fn tell(calls: &Calls, (count, releases): (u32, u32), cpu: f64, latencies: &mut [f64]) {
    let promotions = count * releases;
    let each = f64::from(promotions);
    line(
        "CPU",
        format!("{cpu:.2} s, {:.4} s per promotion", cpu / each),
    );
    for (what, calls) in calls.per_object(promotions) {
        line(&format!("  {what}, per promotion"), format!("{calls:.2}"));
    }
    let size = format!("{count} x {releases}");
    let per_promotion = as_f64(calls.total()) / each;
    ratio(
        &format!("API calls per promotion, {size}"),
        per_promotion,
        10.0,
    );
    ratio(
        &format!("CPU seconds per promotion, {size}"),
        cpu / each,
        0.030,
    );
    for (percent, goal) in [(50, 1.0), (99, 3.0)] {
        let what = format!("Release to desired, {count} at once, p{percent}, s");
        ratio(&what, percentile(latencies, percent), goal);
    }
}

/// The Release that an Environment wants to run.
fn desired(environment: &DynamicObject) -> Value {
    environment.data["status"]["desired"][0]["release"].clone()
}

/// The Environments and Releases of a namespace.
struct Crowd {
    environments: Api<DynamicObject>,
    releases: Api<DynamicObject>,
}

impl Crowd {
    fn new(client: &Client, namespace: &str) -> Self {
        let of = |kind: &str| api(client, namespace, ("slipway.dev", "v1alpha1", kind));
        Self {
            environments: of("Environment"),
            releases: of("Release"),
        }
    }

    async fn create(&self, count: u32) -> Result<()> {
        crowd::for_each(count, async |index| {
            let body = json!({
                "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name(index)},
                "spec": {
                    "tier": "Staging",
                    "promotion": {"from": {"pipelines": [format!("shop{index}")]}},
                },
            });
            let body = serde_json::from_value(body)?;
            self.environments
                .create(&PostParams::default(), &body)
                .await?;
            Ok(())
        })
        .await
    }

    /// A Release that follows the one before.
    async fn release(&self, index: u32, number: u32) -> Result<()> {
        let pipeline = format!("shop{index}");
        let minute = number / 60;
        let second = number % 60;
        let commit = json!({
            "sha": format!("{index:08x}{number:032x}"), "author": "Alice", "email": "alice@example.com",
            "subject": format!("Change {number}"),
            "committedAt": format!("2026-11-26T10:{minute:02}:{second:02}Z"),
        });
        let digest = format!("sha256:{index:032x}{number:032x}");
        let previous = (number > 1).then(|| format!("{pipeline}-{}", number - 1));
        let body = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Release",
            "metadata": {
                "name": format!("{pipeline}-{number}"), "labels": {"slipway.dev/pipeline": pipeline},
            },
            "spec": {
                "pipeline": pipeline, "commit": commit, "changes": [commit], "previous": previous,
                "images": [{"name": "api", "repository": "registry.example/api", "digest": digest}],
                "ref": "refs/heads/main", "evidence": {"run": format!("{pipeline}-run-{number}")},
            },
        });
        let body = serde_json::from_value(body)?;
        self.releases.create(&PostParams::default(), &body).await?;
        Ok(())
    }
}
