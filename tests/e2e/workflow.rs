//! The samples of whole workflows as they are: their scripts, with real tools on real sources, in pods, up to a Release. Only
//! what is a person's own is another: where the repository, the registries and the images of tools are.
//!
//! Each has a second run of a commit in which something is wrong, which the tools find and the gates refuse.

mod container;
mod library;
mod platform;
mod sample;
mod webapp;

use std::time::Duration;

use kube::ResourceExt;
use kube::api::{DynamicObject, ListParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::advisories::Advisories;
use testbed::git::{GitServer, Repository};
use testbed::image;

use crate::app::{App, wait_for};
use crate::cluster::in_tree;
use crate::library::{files, tell};
use crate::supply::keep;

/// Longest wait for a whole run, on two cores.
const RUN: Duration = Duration::from_mins(15);

/// A sample, what it needs, and the repository that it is about.
struct Workflow<'a> {
    app: &'a App,
    git: GitServer,
    repository: Repository,
    advisories: Advisories,
    images: sample::Images,
    /// What `ARG`s of Dockerfiles are.
    args: Value,
    name: &'static str,
}

impl<'a> Workflow<'a> {
    /// With the sources of an example of this name, which nobody has pushed yet.
    async fn new(app: &'a App, name: &'static str) -> Self {
        let bridge = bridge(app);
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create(name).await.unwrap();
        Self {
            app,
            git,
            repository,
            advisories: Advisories::start_on(bridge).await.unwrap(),
            images: sample::Images::new(),
            args: json!({}),
            name,
        }
    }

    /// The tools of examples/ci/python on these releases of Debian, under the versions of Python by which the sample calls them.
    async fn with_pythons(mut self, pythons: &[(&str, &str)]) -> Self {
        let registry = self.app.cluster.node.registry();
        for (version, release) in pythons {
            let base = image::base::debian_of(registry, release).await.unwrap();
            let image = tools(registry, "python", &base).await;
            let name = format!("registry.example/ci/python:{version}");
            self.images.insert(name, image);
        }
        self
    }

    /// The image by this name of the sample.
    fn with_image(mut self, name: &str, image: String) -> Self {
        self.images
            .insert(format!("registry.example/{name}"), image);
        self
    }

    /// What Dockerfiles are given for their `ARG`s.
    fn with_args(mut self, args: Value) -> Self {
        self.args = args;
        self
    }

    /// The Pipelines of a sample, applied.
    async fn apply(&self, sample: &str) {
        let place = format!(
            "{}/{}",
            self.app.cluster.node.registry(),
            self.app.namespace
        );
        let url = self.git.url(self.name);
        for mut pipeline in sample::read(sample) {
            sample::settle(&mut pipeline, &url, &place, &self.images);
            if pipeline["spec"].get("webhook").is_some() {
                keep(self.app, "hook", &json!({"token": "nobody-tells-anything"})).await;
            }
            pipeline["spec"]["defaults"]["env"] = json!([
                {"name": "PIP_AUDIT_VULNERABILITY_SERVICE", "value": "osv"},
                {"name": "PIP_AUDIT_OSV_URL", "value": self.advisories.url()},
                // The registry of this cluster has no certificate.
                {"name": "SYFT_REGISTRY_INSECURE_USE_HTTP", "value": "true"},
            ]);
            for stage in pipeline["spec"]["stages"].as_array_mut().unwrap() {
                if let Some(build) = stage.get_mut("build") {
                    build["args"] = self.args.clone();
                }
            }
            self.app.apply(ObjectKind::Pipeline, &pipeline).await;
        }
    }

    /// Commits the sources of the example, with more files.
    async fn commit(&self, branch: &str, message: &str, more: &[(&str, &str)]) -> String {
        let sources = files(&in_tree(&format!("examples/{}", self.name)), "");
        let mut files: Vec<(&str, &str)> = sources
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        files.extend(more);
        self.repository
            .commit(branch, message, &files)
            .await
            .unwrap()
    }

    /// An image of the sample, in the registry of the node.
    fn image(&self, path: &str) -> String {
        let registry = self.app.cluster.node.registry();
        format!("{registry}/{}/{path}", self.app.namespace)
    }

    /// The status of the run that this has started, once it is over.
    async fn ended(&self, kind: &str, sha: &str) -> Value {
        let began = std::time::Instant::now();
        let run = wait_for("a run that is over", RUN, async || {
            let run = self.run(kind, sha).await.ok_or("there is none")?;
            let status = run.data["status"].clone();
            match status["phase"].as_str() {
                None | Some("" | "Queued" | "Running") => {
                    Err(format!("{}: {}", run.name_any(), status["message"]))
                }
                Some(_) => Ok(status),
            }
        })
        .await;
        let name = self.name;
        eprintln!("{name}, {kind}: over after {:?}", began.elapsed());
        tell(&run);
        run
    }

    async fn run(&self, kind: &str, sha: &str) -> Option<DynamicObject> {
        let runs = self.app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap();
        runs.items.into_iter().find(|run| {
            run.data["spec"]["sha"] == sha && run.data["spec"]["trigger"]["kind"] == kind
        })
    }

    /// The Release of a run.
    async fn release(&self, run: &Value) -> Value {
        let name = run["release"].as_str().unwrap();
        let release = self.app.api(ObjectKind::Release).get(name).await.unwrap();
        release.data["spec"].clone()
    }

    /// The digest of a tag in the node's registry.
    async fn tagged(&self, image: &str, tag: &str) -> String {
        crate::build::tagged(&self.image(image), tag).await.0
    }
}

/// An address of this machine that pods reach.
fn bridge(app: &App) -> std::net::IpAddr {
    let registry = app.cluster.node.registry();
    registry.rsplit_once(':').unwrap().0.parse().unwrap()
}

/// An image of a folder of examples/ci.
async fn tools(registry: &str, folder: &str, base: &str) -> String {
    let context = in_tree(&format!("examples/ci/{folder}"));
    let name = format!("demo/ci-{folder}");
    let built = image::build_with(registry, &context, &name, &[("BASE", base)]).await;
    built.unwrap()
}

/// Text that is written for each of the first numbers.
fn repeated(times: u32, text: impl Fn(u32) -> String) -> String {
    (0..times).map(text).collect::<Vec<_>>().concat()
}

fn stage<'a>(run: &'a Value, name: &str) -> &'a Value {
    let stages = run["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).unwrap()
}

fn digest<'a>(run: &'a Value, name: &str) -> &'a str {
    let artifacts = run["artifacts"].as_array().unwrap();
    let found = artifacts.iter().find(|artifact| artifact["name"] == name);
    found.unwrap()["digest"].as_str().unwrap()
}

/// Asserts on the results of gates.
fn gates_are(run: &Value, expected: &[(&str, &str)]) {
    let gates = run["gates"].as_array().unwrap();
    let found: Vec<(&str, &str)> = gates
        .iter()
        .map(|gate| {
            (
                gate["name"].as_str().unwrap(),
                gate["result"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(found, expected, "{run:#}");
}
