//! Builds of images in pods of the node: the same image twice, a cache that is of use, builders with few rights.

mod package;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret};
use kube::api::{Api, ListParams, LogParams, PostParams};
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::{GitServer, Repository};
use testbed::image;

use crate::app::{App, is_full, wait_for, with_app};

/// Longest wait for a run, whose images have to be pulled first.
const RUN: Duration = Duration::from_mins(4);

/// A repository with a Dockerfile, and a Pipeline of it.
struct Workshop<'a> {
    app: &'a App,
    git: GitServer,
    repository: Repository,
    busybox: String,
}

impl<'a> Workshop<'a> {
    async fn new(app: &'a App) -> Self {
        let registry = app.cluster.node.registry();
        let bridge = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("shop").await.unwrap();
        Self {
            app,
            git,
            repository,
            busybox: image::base::busybox(registry).await.unwrap(),
        }
    }

    /// A repository in the registry of the node, of this test's own.
    fn image(&self, name: &str) -> String {
        let registry = self.app.cluster.node.registry();
        format!("{registry}/{}/{name}", self.app.namespace)
    }

    /// A Build stage with these further fields of `build`.
    fn stage(&self, name: &str, extra: &Value) -> Value {
        let mut build = json!({
            "image": self.image(name), "insecureRegistry": true, "args": {"BASE": self.busybox},
        });
        json_patch::merge(&mut build, extra);
        json!({"name": name, "type": "Build", "build": build, "timeout": "3m"})
    }

    async fn apply(&self, stages: &[Value]) {
        let pipeline = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "shop"},
            "spec": {
                "source": {"git": {"url": self.git.url("shop"), "insecure": true}},
                "polling": {"interval": "500ms"}, "stages": stages,
            },
        });
        self.app.apply(ObjectKind::Pipeline, &pipeline).await;
    }

    async fn push(&self, dockerfile: &str) -> String {
        let files = [("Dockerfile", dockerfile), ("hello", "hello\n")];
        self.repository
            .commit("main", "Build it", &files)
            .await
            .unwrap()
    }

    /// Runs a commit once more, as a person.
    async fn again(&self, sha: &str) {
        self.again_at("refs/heads/main", sha).await;
    }

    /// The same, of another branch or a tag.
    async fn again_at(&self, git_ref: &str, sha: &str) {
        let more = json!({"ref": git_ref, "sha": sha});
        self.app.run_by_hand("again", "shop", &more).await;
    }

    /// The run of a commit that was started so, once it is over.
    async fn ended(&self, sha: &str, trigger: &str) -> Value {
        wait_for("a run that is over", RUN, async || {
            let runs = self.app.api(ObjectKind::PipelineRun);
            let runs = runs.list(&ListParams::default()).await.unwrap();
            let run = runs.iter().find(|run| {
                run.data["spec"]["sha"] == sha && run.data["spec"]["trigger"]["kind"] == trigger
            });
            let run = run.ok_or_else(|| "no such run".to_owned())?;
            let phase = run.data["status"]["phase"].as_str().unwrap_or_default();
            if matches!(phase, "" | "Queued" | "Running") {
                return Err(format!("{phase}: {}", run.data["status"]["message"]));
            }
            Ok(run.data["status"].clone())
        })
        .await
    }

    /// The log of a stage.
    async fn log(&self, stage: &Value) -> String {
        let pods: Api<Pod> = Api::namespaced(self.app.client.clone(), &self.app.namespace);
        let job = stage["job"].as_str().unwrap();
        let of_job = ListParams::default().labels(&format!("job-name={job}"));
        let pods_of = pods.list(&of_job).await.unwrap();
        let name = pods_of.items[0].metadata.name.clone().unwrap();
        let params = LogParams {
            container: Some("main".into()),
            ..LogParams::default()
        };
        pods.logs(&name, &params).await.unwrap()
    }

    /// For how long the pod of a stage was there.
    async fn took(&self, stage: &Value) -> Duration {
        let jobs: Api<Job> = Api::namespaced(self.app.client.clone(), &self.app.namespace);
        let name = stage["job"].as_str().unwrap();
        // A run goes on before its Job is counted.
        let (start, end) = wait_for("a Job that is counted", RUN, async || {
            let status = jobs.get(name).await.unwrap().status.unwrap_or_default();
            let times = status.start_time.zip(status.completion_time);
            times.ok_or_else(|| format!("{name} has no end"))
        })
        .await;
        Duration::try_from(Timestamp::duration_since(end.0, start.0)).unwrap()
    }
}

fn stage<'a>(status: &'a Value, name: &str) -> &'a Value {
    let stages = status["stages"].as_array().unwrap();
    stages.iter().find(|stage| stage["name"] == name).unwrap()
}

fn digest<'a>(status: &'a Value, name: &str) -> &'a str {
    let artifacts = status["artifacts"].as_array().unwrap();
    let artifact = artifacts.iter().find(|artifact| artifact["name"] == name);
    artifact.unwrap()["digest"].as_str().unwrap()
}

/// Manifest and configuration of an image in the node's registry.
async fn pulled(image: &str, digest: &str) -> (Value, Value) {
    let (registry, repository) = image.split_once('/').unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let get = async |path: String| -> Value {
        let url = format!("http://{registry}/v2/{repository}/{path}");
        let types = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";
        let answer = http.get(url).header("accept", types).send().await.unwrap();
        let answer = answer.error_for_status().unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    };
    let manifest = get(format!("manifests/{digest}")).await;
    let config = manifest["config"]["digest"].as_str().unwrap();
    let config = get(format!("blobs/{config}")).await;
    (manifest, config)
}

const SECRET: &str = "a-token-that-nobody-may-see";

/// BuildKit as root of the node and as a user without rights, and Buildah: each builds with a secret, and the same
/// commit again gives the same digests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn the_same_commit_gives_the_same_image_whatever_builds_it() {
    const DOCKERFILE: &str = "ARG BASE\nFROM $BASE AS made\nARG BASE\n\
        RUN --mount=type=secret,id=token test \"$(wc -c < /run/secrets/token)\" = 27 && echo done > /made\n\
        FROM $BASE AS other\nRUN false\n\
        FROM made\nCOPY hello /hello\n";
    with_app(async |app| {
        let workshop = Workshop::new(app).await;
        let secrets: Api<Secret> = Api::namespaced(app.client.clone(), &app.namespace);
        let secret = json!({
            "metadata": {"name": "index", "labels": {"slipway.dev/use": "builds"}}, "stringData": {"token": SECRET},
        });
        let secret = serde_json::from_value(secret).unwrap();
        secrets.create(&PostParams::default(), &secret).await.unwrap();
        let with = |extra: &Value| {
            let mut build = json!({
                "secrets": [{"id": "token", "secretRef": {"name": "index", "key": "token"}}],
                "labels": {"team": "shop"},
            });
            json_patch::merge(&mut build, extra);
            build
        };
        let mirror = json!({"mirrors": [workshop.image("backup")], "isolation": "Privileged"});
        let names = ["buildkit", "rootless", "buildah"];
        let mut stages = vec![
            workshop.stage("buildkit", &with(&mirror)),
            workshop.stage("rootless", &with(&json!({"isolation": "Rootless"}))),
            workshop.stage("buildah", &with(&json!({"builder": "Buildah", "isolation": "Chroot"}))),
        ];
        // Not all at once: three builders have the machine for longer then than two in turn.
        for stage in [1, 2] {
            stages[stage]["needs"] = json!(["buildkit"]);
        }
        workshop.apply(&stages).await;
        let sha = workshop.push(DOCKERFILE).await;
        let first = workshop.ended(&sha, "Push").await;
        assert_eq!(first["phase"], "Succeeded", "{first}");
        workshop.again(&sha).await;
        let second = workshop.ended(&sha, "Manual").await;
        assert_eq!(second["phase"], "Succeeded", "{second}");
        assert_eq!(first["release"], second["release"], "the same content is the same Release");
        for name in names {
            let image = workshop.image(name);
            assert_eq!(digest(&first, name), digest(&second, name), "{name}");
            let (manifest, config) = pulled(&image, digest(&first, name)).await;
            let labels = &config["config"]["Labels"];
            assert_eq!(labels["team"], "shop", "{name}: {config}");
            assert_eq!(labels["org.opencontainers.image.revision"], sha, "{name}");
            assert!(!format!("{manifest}{config}").contains(SECRET));
            let log = workshop.log(stage(&first, name)).await;
            assert!(!log.contains(SECRET), "{log}");
            eprintln!("{name}: {} took {:?}", digest(&first, name), workshop.took(stage(&first, name)).await);
        }
        pulled(&workshop.image("backup"), digest(&first, "buildkit")).await;
    })
    .await;
}

/// What a build did is not done again by the next one, in another pod, and what is not to be pushed is not.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn the_second_build_of_a_tree_takes_what_the_first_one_made_from_the_registry() {
    with_app(async |app| {
        let workshop = Workshop::new(app).await;
        let slow = if is_full() { 60 } else { 5 };
        let stages = [
            workshop.stage("cached", &json!({"cache": {}})),
            workshop.stage(
                "local",
                &json!({"pushOn": [], "cache": {"repository": workshop.image("cached")}}),
            ),
        ];
        workshop.apply(&stages[..1]).await;
        // The time of the first build is in the layer: the same digest means that it was not built again.
        let dockerfile = format!(
            "ARG BASE\nFROM $BASE\nRUN sleep {slow} && date +%s%N > /made\nCOPY hello /hello\n"
        );
        let sha = workshop.push(&dockerfile).await;
        let first = workshop.ended(&sha, "Push").await;
        assert_eq!(first["phase"], "Succeeded", "{first}");
        workshop.apply(&stages).await;
        workshop.again(&sha).await;
        let second = workshop.ended(&sha, "Manual").await;
        assert_eq!(second["phase"], "Succeeded", "{second}");
        assert_eq!(digest(&first, "cached"), digest(&second, "cached"));
        let log = workshop.log(stage(&second, "cached")).await;
        assert!(log.contains("CACHED"), "{log}");
        let cold = workshop.took(stage(&first, "cached")).await;
        let warm = workshop.took(stage(&second, "cached")).await;
        eprintln!("RATIO build with a cache: {cold:?} cold, {warm:?} warm, in another pod");
        if is_full() {
            assert!(warm * 5 <= cold, "{cold:?} cold, {warm:?} warm");
        }
        let local = stage(&second, "local");
        assert!(
            local["message"].as_str().unwrap().contains("not pushed"),
            "{local}"
        );
        assert_eq!(second["artifacts"].as_array().unwrap().len(), 1);
    })
    .await;
}

/// Two platforms, of which the node has one: each a Job, the image an index of both, under its tags once all has passed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node; run make test"]
async fn an_image_for_two_platforms_is_an_index_that_has_its_tags_once_everything_has_passed() {
    with_app(async |app| {
        let workshop = Workshop::new(app).await;
        let both = json!({"platforms": ["linux/amd64", "linux/arm64"], "platformStrategy": "Emulated"});
        let tags = json!({"name": "tags", "type": "Tag", "tag": {"names": ["{{branch}}", "{{branch}}-{{shortSha}}"]}});
        workshop.apply(&[workshop.stage("both", &both), tags]).await;
        let sha = workshop.push("FROM scratch\nCOPY --chmod=755 hello /hello\n").await;
        let good = workshop.ended(&sha, "Push").await;
        assert_eq!(good["phase"], "Succeeded", "{good}");
        let (image, index) = (workshop.image("both"), digest(&good, "both"));
        for tag in ["main", &format!("main-{}", &sha[..7])] {
            let (found, listed) = tagged(&image, tag).await;
            assert_eq!(found, index, "{tag}");
            let processors: Vec<&str> = listed["manifests"]
                .as_array()
                .unwrap()
                .iter()
                .map(|one| one["platform"]["architecture"].as_str().unwrap())
                .collect();
            assert_eq!(processors, ["amd64", "arm64"]);
            for one in listed["manifests"].as_array().unwrap() {
                let (_, config) = pulled(&image, one["digest"].as_str().unwrap()).await;
                assert_eq!(config["architecture"], one["platform"]["architecture"]);
            }
        }

        // What has to run is not what this node can run, whichever platform it is for.
        let sha = workshop.push("FROM scratch\nCOPY --chmod=755 hello /hello\nRUN [\"/hello\"]\n").await;
        let bad = workshop.ended(&sha, "Push").await;
        assert_eq!(bad["phase"], "Failed", "{bad}");
        assert_eq!(bad["failure"]["kind"], "Platform", "{bad}");
        assert_eq!(stage(&bad, "tags")["phase"], "Skipped", "{bad}");
        assert_eq!(tagged(&image, "main").await.0, index, "the tag stays with what has passed");
    })
    .await;
}

/// The digest of a tag in the node's registry, and what is there.
pub(crate) async fn tagged(image: &str, tag: &str) -> (String, Value) {
    let (registry, repository) = image.split_once('/').unwrap();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{registry}/v2/{repository}/manifests/{tag}");
    let types = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
                 application/vnd.docker.distribution.manifest.v2+json";
    let answer = http.get(url).header("accept", types);
    let answer = answer.send().await.unwrap().error_for_status().unwrap();
    let digest = answer.headers()["docker-content-digest"]
        .to_str()
        .unwrap()
        .to_owned();
    (
        digest,
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap(),
    )
}
