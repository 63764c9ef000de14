//! N Rollouts of four pods, created, left alone, updated all at once; an operator killed in the middle; bad metrics.
//!
//! The work on which the peers were measured: no router, `maxSurge` 1, `maxUnavailable` 0, weights 25, 50 and 100 without
//! pauses. The clock of an update stops when every Rollout reports `Healthy` at the new revision.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::bare;
use super::calls::{Calls, Mark, as_f64};
use super::crowd::{self, PATIENCE, api, name};
use super::metrics_server::MetricsServer;
use super::report::{heading, line, percentile, ratio};
use super::subject::Subject;
use super::watching::Watching;
use crate::ControlPlane;
use crate::scripted::{Rules, ScriptedGateway, ScriptedNodes, routes};

/// The user that the operator is, so that its requests can be counted.
const OPERATOR: &str = "bench-operator";
/// Rollouts whose metric turns bad.
const JUDGED: u32 = 10;
/// Time for which a Rollout at rest is looked at.
const REST: Duration = Duration::from_mins(1);
/// Longer than anything that is left over from a change waits to be written.
const AFTERMATH: Duration = Duration::from_secs(40);
/// A cluster with the operator's definitions and nodes for its pods.
#[expect(missing_debug_implementations, reason = "a client has none")]
pub struct Bench {
    pub(super) cluster: ControlPlane,
    pub(super) client: Client,
    pub(super) program: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

impl Bench {
    /// Starts a control plane for an operator's binary.
    ///
    /// # Errors
    ///
    /// The cluster does not start.
    pub async fn start(program: &Path) -> Result<Self> {
        let cluster = ControlPlane::start("bench").await?;
        let client = cluster.client()?;
        for definition in definitions().await? {
            apply(&client, &definition).await?;
            established(&client, &definition).await?;
        }
        apply(&client, &may_everything()).await?;
        let kubeconfig = cluster.user_kubeconfig(OPERATOR, &[]).await?;
        Ok(Self {
            cluster,
            client,
            program: program.to_owned(),
            kubeconfig,
        })
    }

    /// What the operator asks of the API server is counted from now on.
    pub(super) fn mark(&self) -> Result<Mark> {
        let log = self.cluster.audit_log_path();
        Mark::now(log.context("the cluster has no audit log")?, OPERATOR)
    }

    /// Plays it with nodes for this many Rollouts, and prints what it measures.
    ///
    /// # Errors
    ///
    /// Something does not come to its end.
    pub async fn play(&self, counts: &[u32]) -> Result<()> {
        let nodes = ScriptedNodes::start(self.client.clone(), 20, Rules::default()).await?;
        let mut first = None;
        for count in counts {
            let took = Run::new(self, *count).await?.play().await?;
            first = first.or(Some((*count, took)));
        }
        if let Some((count, undisturbed)) = first {
            self.restart(count, undisturbed).await?;
        }
        self.react().await?;
        nodes.stop().await
    }

    /// Creates this many, looks at them at rest, and updates them all at once if that is wanted: with as many as there may
    /// ever be it takes as long again.
    ///
    /// # Errors
    ///
    /// Something does not come to its end.
    pub async fn rest(&self, count: u32, is_update: bool) -> Result<()> {
        let nodes = ScriptedNodes::start(self.client.clone(), 20, Rules::default()).await?;
        let mut run = Run::new(self, count).await?;
        run.begin().await?;
        run.rest().await?;
        line("peak memory", format!("{:.0} MiB", run.subject()?.peak()?));
        if is_update {
            run.change().await?;
        }
        // Nobody waits for so many to be deleted: the cluster goes with them.
        nodes.stop().await
    }

    /// An operator is killed after half of the time that an update takes undisturbed.
    async fn restart(&self, count: u32, undisturbed: Duration) -> Result<()> {
        heading(&format!("restart in the middle of an update, N = {count}"));
        let mut run = Run::new(self, count).await?;
        run.create().await?;
        let start = Instant::now();
        run.update("2").await?;
        tokio::time::sleep_until((start + undisturbed / 2).into()).await;
        run.restart().await?;
        let restarted = Instant::now();
        let end = run.settled("2").await?;
        let (after, all) = (end - restarted, end - start);
        line("from the restart to all healthy", seconds(after));
        line("from the update to all healthy", seconds(all));
        if count == 100 {
            ratio("restart mid-update, N=100, s", after.as_secs_f64(), 5.0);
        }
        ratio(
            &format!("an update with a restart to one without, N={count}"),
            all.as_secs_f64() / undisturbed.as_secs_f64(),
            1.25,
        );
        run.end().await
    }

    /// How long after the first bad value the route has 100 % stable.
    async fn react(&self) -> Result<()> {
        heading(&format!(
            "a metric turns bad, {JUDGED} Rollouts with a route"
        ));
        let server = MetricsServer::start().await?;
        let mut run = Run::new(self, JUDGED).await?;
        let _gateway = ScriptedGateway::start(&self.client, &run.namespace, Duration::ZERO);
        let mut weights = Watching::start(routes(&self.client, &run.namespace), |route| {
            json!(canary_weight(route))
        });
        run.watched_by = Some(server.url());
        run.create().await?;
        run.update("2").await?;
        weights
            .until(("the first weight", PATIENCE), JUDGED, |route| {
                canary_weight(route) == Some(20)
            })
            .await?;
        server.turn_bad();
        weights
            .until(("back at stable", PATIENCE), JUDGED, |route| {
                canary_weight(route) == Some(0)
            })
            .await?;
        let mut took = Vec::new();
        for index in 0..JUDGED {
            let name = name(index);
            let told = server
                .told(&format!("{name}-"))
                .with_context(|| format!("{name} never asked"))?;
            let back = weights
                .at(&name, |route| canary_weight(route) == Some(0))
                .context("not back")?;
            took.push(back.duration_since(told).as_secs_f64());
        }
        ratio(
            "first bad value to route at 100% stable, p50, s",
            percentile(&mut took, 50),
            0.05,
        );
        ratio(
            "first bad value to route at 100% stable, p99, s",
            percentile(&mut took, 99),
            1.0,
        );
        run.end().await
    }
}

/// One namespace full of Rollouts, and its operator.
struct Run<'a> {
    bench: &'a Bench,
    count: u32,
    namespace: String,
    subject: Option<Subject>,
    rollouts: Watching,
    /// Where a metric is asked for, if one is.
    watched_by: Option<String>,
}

impl<'a> Run<'a> {
    async fn new(bench: &'a Bench, count: u32) -> Result<Self> {
        let namespace = crowd::namespace(&bench.client, "bench-").await?;
        let kind = ("slipway.dev", "v1alpha1", "Rollout");
        let rollouts = Watching::start(api(&bench.client, &namespace, kind), |rollout| {
            let status = &rollout.data["status"];
            json!([status["phase"], status["stable"]["images"]])
        });
        let mut run = Self {
            bench,
            count,
            namespace,
            subject: None,
            rollouts,
            watched_by: None,
        };
        run.restart().await?;
        Ok(run)
    }

    fn api(&self, group: &str, version: &str, kind: &str) -> Api<DynamicObject> {
        api(&self.bench.client, &self.namespace, (group, version, kind))
    }

    fn subject(&self) -> Result<&Subject> {
        self.subject.as_ref().context("no operator runs")
    }

    fn mark(&self) -> Result<Mark> {
        self.bench.mark()
    }

    /// Kills the operator and starts another one.
    async fn restart(&mut self) -> Result<()> {
        if let Some(subject) = self.subject.take() {
            subject.kill().await?;
        }
        let log = std::env::temp_dir().join(format!("{}.log", self.namespace));
        let (program, kubeconfig) = (&self.bench.program, &self.bench.kubeconfig);
        let subject = Subject::start(program, kubeconfig, &self.namespace, (&log, &[]));
        self.subject = Some(subject?);
        Ok(())
    }

    async fn begin(&mut self) -> Result<()> {
        heading(&format!("N = {} Rollouts of 4 pods", self.count));
        let create = async |run: &mut Self| run.create().await;
        self.measured("create", create).await?;
        Ok(())
    }

    /// How long an update took.
    async fn play(mut self) -> Result<Duration> {
        let count = self.count;
        self.begin().await?;
        self.rest().await?;
        let took = self.change().await?;
        let client = self.bench.client.clone();
        self.end().await?;
        let bare = bare::update(&client, count).await?;
        line("the same update of bare Deployments", seconds(bare));
        ratio(
            &format!("wall of an update to that of bare Deployments, N={count}"),
            took.as_secs_f64() / bare.as_secs_f64(),
            1.25,
        );
        Ok(took)
    }

    /// Updates all of them, and prints what it takes.
    async fn change(&mut self) -> Result<Duration> {
        let count = self.count;
        let (took, cpu, calls) = self
            .measured("update", async |run| {
                run.update("2").await?;
                run.settled("2").await
            })
            .await?;
        let each = f64::from(count);
        for (what, calls) in calls.per_object(count) {
            line(&format!("  {what}, per object"), format!("{calls:.2}"));
        }
        let peak = self.subject()?.peak()?;
        let program = format!("{:.1} MiB", self.subject()?.program()?);
        line("pages of the program itself", program);
        line("peak memory", format!("{peak:.0} MiB"));
        ratio(
            &format!("API calls per update, N={count}"),
            as_f64(calls.total()) / each,
            20.0,
        );
        ratio(
            &format!("CPU seconds per update, N={count}"),
            cpu / each,
            0.030,
        );
        match count {
            100 => ratio("wall of an update, N=100, s", took.as_secs_f64(), 10.0),
            500 => {
                ratio("wall of an update, N=500, s", took.as_secs_f64(), 50.0);
                ratio("peak memory, N=500, MiB", peak, 50.0);
            }
            _ => {}
        }
        Ok(took)
    }

    /// Does something, and prints what it took until it was done. Requests and CPU that come of it later count too.
    async fn measured(
        &mut self,
        what: &str,
        work: impl AsyncFnOnce(&mut Self) -> Result<Instant>,
    ) -> Result<(Duration, f64, Calls)> {
        let (mark, cpu, start) = (self.mark()?, self.subject()?.cpu()?, Instant::now());
        let took = work(self).await? - start;
        tokio::time::sleep(AFTERMATH).await;
        let (cpu, calls) = (self.subject()?.cpu()? - cpu, mark.calls()?);
        let each = f64::from(self.count);
        line(what, seconds(took));
        line(
            &format!("{what}: CPU"),
            format!("{cpu:.2} s, {:.4} s per object", cpu / each),
        );
        let (total, events, reads) = (calls.total(), calls.events(), calls.reads());
        let per = |count: u64| as_f64(count) / each;
        line(
            &format!("{what}: calls per object"),
            format!(
                "{:.1}, of which {:.1} events and {:.1} reads",
                per(total),
                per(events),
                per(reads)
            ),
        );
        Ok((took, cpu, calls))
    }

    async fn rest(&self) -> Result<()> {
        let (mark, cpu) = (self.mark()?, self.subject()?.cpu()?);
        tokio::time::sleep(REST).await;
        let (cpu, calls) = (self.subject()?.cpu()? - cpu, mark.calls()?);
        line(
            "60 s at rest",
            format!("{cpu:.2} s CPU, {} calls", calls.total()),
        );
        let count = self.count;
        ratio(
            &format!("calls in 60 s at rest, N={count}"),
            as_f64(calls.total()),
            0.0,
        );
        // 10,000 may take a tenth of a core.
        let goal = if count >= 10_000 { 6.0 } else { 0.02 };
        ratio(
            &format!("CPU seconds in 60 s at rest, N={count}"),
            cpu,
            goal,
        );
        if count >= 10_000 {
            ratio("peak memory, N=10000, MiB", self.subject()?.peak()?, 500.0);
        }
        Ok(())
    }

    async fn create(&mut self) -> Result<Instant> {
        let rollouts = self.api("slipway.dev", "v1alpha1", "Rollout");
        let watched_by = self.watched_by.as_deref();
        crowd::for_each(self.count, async |index| {
            let body = serde_json::from_value(rollout(index, "1", watched_by))?;
            rollouts.create(&PostParams::default(), &body).await?;
            Ok(())
        })
        .await?;
        self.settled("1").await
    }

    /// Asks all of them for another version.
    async fn update(&self, version: &str) -> Result<()> {
        let rollouts = self.api("slipway.dev", "v1alpha1", "Rollout");
        let change = Patch::Merge(json!({"spec": {"template": template(version)}}));
        crowd::for_each(self.count, async |index| {
            let params = PatchParams::default();
            rollouts.patch(&name(index), &params, &change).await?;
            Ok(())
        })
        .await
    }

    /// Waits until all are healthy at a version.
    async fn settled(&mut self, version: &str) -> Result<Instant> {
        let image = format!("greeter:{version}");
        let is_there = |rollout: &DynamicObject| {
            let status = &rollout.data["status"];
            status["phase"] == "Healthy" && status["stable"]["images"]["web"] == image.as_str()
        };
        self.rollouts
            .until(("all healthy", PATIENCE), self.count, is_there)
            .await
    }

    async fn end(mut self) -> Result<()> {
        // Their finalizers need the operator, and the next run wants the machine for itself.
        let rollouts = self.api("slipway.dev", "v1alpha1", "Rollout");
        crowd::delete(&self.bench.client, &self.namespace, &rollouts, self.count).await?;
        if let Some(subject) = self.subject.take() {
            subject.kill().await?;
        }
        Ok(())
    }
}

pub(super) fn seconds(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}

pub(super) fn template(version: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "bench"}},
        "spec": {"containers": [{"name": "web", "image": format!("greeter:{version}")}]},
    })
}

fn rollout(index: u32, version: &str, watched_by: Option<&str>) -> Value {
    let mut spec = json!({
        "replicas": 4,
        "selector": {"matchLabels": {"app": "bench"}},
        "template": template(version),
        "strategy": {
            "maxSurge": 1, "maxUnavailable": 0,
            "steps": [{"setWeight": {"weight": 25}}, {"setWeight": {"weight": 50}}, {"setWeight": {"weight": 100}}],
        },
    });
    if let Some(address) = watched_by {
        spec["strategy"] =
            json!({"steps": [{"setWeight": {"weight": 20}}, {"pause": {"for": "1h"}}]});
        spec["traffic"] =
            json!({"drain": "1s", "gatewayAPI": {"generate": {"parentRefs": [{"name": "bench"}]}}});
        spec["analysis"] = json!({"interval": "1s", "metrics": [{
            "name": "success", "pass": "value >= 0.99",
            "prometheus": {"address": address, "query": "success{pod=~\"{{canary.pods}}\"}"},
        }]});
    }
    json!({
        "apiVersion": "slipway.dev/v1alpha1", "kind": "Rollout", "metadata": {"name": name(index)}, "spec": spec,
    })
}

fn canary_weight(route: &DynamicObject) -> Option<u64> {
    route
        .data
        .pointer("/spec/rules/0/backendRefs/1/weight")?
        .as_u64()
}

/// Our definitions and those of the Gateway API.
async fn definitions() -> Result<Vec<Value>> {
    let mut text = crate::gateway_api_crds().await?;
    let folder = crate::repository_root().join("crds");
    for entry in std::fs::read_dir(&folder).context("no crds/")? {
        text.push_str("\n---\n");
        text.push_str(&std::fs::read_to_string(entry?.path())?);
    }
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let is_definition = |document: &Value| document["kind"] == "CustomResourceDefinition";
    Ok(documents.into_iter().filter(is_definition).collect())
}

/// What the operator may do is not what is measured.
fn may_everything() -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": OPERATOR},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": OPERATOR}],
    })
}

/// The kind of a manifest that has no namespace, and its name.
fn cluster_wide(client: &Client, manifest: &Value) -> Result<(Api<DynamicObject>, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned).context("no manifest");
    let (version, kind) = (text(&manifest["apiVersion"])?, text(&manifest["kind"])?);
    let (group, version) = version.split_once('/').context("a core kind")?;
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, &kind));
    Ok((
        Api::all_with(client.clone(), &resource),
        text(&manifest["metadata"]["name"])?,
    ))
}

async fn apply(client: &Client, manifest: &Value) -> Result<()> {
    let (api, name) = cluster_wide(client, manifest)?;
    let params = PatchParams::apply("slipway-bench").force();
    api.patch(&name, &params, &Patch::Apply(manifest)).await?;
    Ok(())
}

async fn established(client: &Client, definition: &Value) -> Result<()> {
    let (api, name) = cluster_wide(client, definition)?;
    crate::wait::until(
        &format!("{name} is established"),
        Duration::from_secs(30),
        || async {
            let found = api.get(&name).await?;
            let conditions = found.data["status"]["conditions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            let is_established = conditions
                .iter()
                .any(|c| c["type"] == "Established" && c["status"] == "True");
            Ok(is_established.then_some(()))
        },
    )
    .await
}
