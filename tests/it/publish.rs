//! What stages of type Publish hand out, by the clients that people have, to real registries: Gitea's for PyPI, npm and cargo.
//! The runner runs the scripts of the sample, as in a pod; no cluster is needed. It takes pip, npm and some packages of PyPI, so it
//! is one of the long tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use http::Method;
use kube::Resource;
use serde_json::{Value, json};
use slipway::pipeline::api::{EnvVar, Pipeline, Stage, StageType};
use slipway::runner::glob;
use slipway::runner::report::StageReport;
use slipway::runner::task::{ScriptTask, SecretSource, VARIABLE};
use tempfile::TempDir;
use testbed::gitea::Gitea;

/// What wheels are made with, and handed out with.
const TOOLS: [&str; 2] = ["build==1.3.0", "twine==6.2.0"];
/// The library.
const FILES: [(&str, &str); 7] = [
    (
        "python/pyproject.toml",
        "[build-system]\nrequires = [\"setuptools>=68\"]\nbuild-backend = \"setuptools.build_meta\"\n\
         [project]\nname = \"parcels\"\nversion = \"1.4.0\"\ndescription = \"Sends parcels.\"\n",
    ),
    ("python/parcels/__init__.py", "def send(): return 1\n"),
    (
        "node/package.json",
        r#"{"name": "parcels", "version": "1.4.0", "description": "Sends parcels.", "license": "MIT"}"#,
    ),
    ("node/index.js", "exports.send = () => 1;\n"),
    (
        "rust/Cargo.toml",
        "[package]\nname = \"parcels\"\nversion = \"1.4.0\"\nedition = \"2021\"\n\
         description = \"Sends parcels.\"\nlicense = \"MIT\"\npublish = [\"libs\"]\n",
    ),
    (
        "rust/Cargo.lock",
        "version = 4\n\n[[package]]\nname = \"parcels\"\nversion = \"1.4.0\"\n",
    ),
    ("rust/src/lib.rs", "pub fn send() -> u8 {\n    1\n}\n"),
];

/// A pod's folder, and what its Secrets hold.
struct Pod {
    folder: TempDir,
    tools: PathBuf,
    server: String,
    secrets: BTreeMap<&'static str, String>,
}

impl Pod {
    fn new(gitea: &Gitea, tools: &Path) -> Self {
        let folder = TempDir::new().unwrap();
        for (path, text) in FILES {
            let path = folder.path().join("source").join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let url = gitea.url("x");
        let server = url.strip_suffix("/x.git").unwrap().to_owned();
        let token = &gitea.admin().token;
        let host = server.strip_prefix("http://").unwrap();
        let npmrc = format!("//{host}/api/packages/libs/npm/:_authToken={token}\n");
        let secrets = BTreeMap::from([
            ("token", token.clone()),
            ("npmrc", npmrc),
            ("cargo", format!("Bearer {token}")),
        ]);
        Self {
            folder,
            tools: tools.to_owned(),
            server,
            secrets,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The value of a variable of a stage, as the pod has it, and where a secret is in it.
    fn value(&self, variable: &EnvVar, user: &str) -> (String, Option<SecretSource>) {
        if let Some(secret) = &variable.secret_ref {
            let value = self.secrets[secret.key.as_str()].clone();
            return (value, Some(SecretSource::Variable(variable.name.clone())));
        }
        if let Some(secret) = &variable.secret_file {
            let path = self.path(&secret.key);
            std::fs::write(&path, &self.secrets[secret.key.as_str()]).unwrap();
            let path = path.display().to_string();
            return (path.clone(), Some(SecretSource::File(path)));
        }
        let value = variable.value.clone().unwrap_or_default();
        let value = value.replace("https://packages.example", &self.server);
        (
            if value == "robot" {
                user.to_owned()
            } else {
                value
            },
            None,
        )
    }

    /// Runs the script of a stage; its report and all that it said.
    fn run(&self, stage: &Stage, user: &str) -> (StageReport, String) {
        let mut task = ScriptTask::of(stage);
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway-runner"));
        for variable in &stage.env {
            let (value, secret) = self.value(variable, user);
            command.env(&variable.name, value);
            task.secrets.extend(secret);
        }
        let (report, workspace) = (self.path("report"), self.path(""));
        command
            .args(["stage", "--workspace"])
            .arg(&workspace)
            .arg("--report")
            .arg(&report)
            .env(VARIABLE, serde_json::to_string(&task).unwrap())
            .env("SLIPWAY_PACKAGES", self.path("packages"))
            .env("PATH", with_first(&self.tools.join("bin")))
            .env("PYTHONPATH", &self.tools)
            // Of this machine's own nothing is touched.
            .env("CARGO_TARGET_DIR", self.path("target"))
            .env("NPM_CONFIG_CACHE", self.path("npm"))
            .env("NPM_CONFIG_UPDATE_NOTIFIER", "false");
        let said = text(&command.output().unwrap());
        let report = std::fs::read_to_string(report).unwrap();
        (StageReport::parse(&report).unwrap(), said)
    }

    /// Brings what a stage has left where stages that publish find it, as the containers do that push and fetch packages.
    fn hand_over(&self, stage: &Stage) {
        for package in &stage.packages {
            let files = glob::find(&self.path("source"), &package.files).unwrap();
            assert_eq!(files.len(), 1, "{}: {files:?}", package.name);
            let to = self.path("packages").join(&package.name);
            std::fs::create_dir_all(&to).unwrap();
            std::fs::copy(&files[0], to.join(files[0].file_name().unwrap())).unwrap();
        }
    }
}

fn text(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// The search path, with this folder first.
fn with_first(folder: &Path) -> std::ffi::OsString {
    let path = std::env::var_os("PATH").unwrap();
    let rest = std::env::split_paths(&path);
    std::env::join_paths(std::iter::once(folder.to_owned()).chain(rest)).unwrap()
}

/// The sample.
fn stages() -> Vec<Stage> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("manifests/samples/pipeline-published.yaml");
    let sample = std::fs::read_to_string(path).unwrap();
    let sample: Value = serde_saphyr::from_str(&sample).unwrap();
    let pipeline: Pipeline = serde_json::from_value(sample).unwrap();
    assert_eq!(pipeline.meta().name.as_deref(), Some("parcels"));
    pipeline.spec.stages
}

/// Installs the tools that are Python packages.
fn install(tools: &Path) {
    let mut pip = Command::new("pip3");
    pip.args([
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--target",
    ]);
    let done = pip.arg(tools).args(TOOLS).output();
    let done =
        done.expect("pip3 is needed: apt-get install -y --no-install-recommends python3-pip");
    assert!(done.status.success(), "{}", text(&done));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs npm and packages of PyPI; run make e2e-full"]
async fn what_a_run_has_made_is_handed_out_by_twine_npm_and_cargo_once() {
    let gitea = Gitea::start().await.unwrap();
    gitea.create("libs/parcels").await.unwrap();
    let tools = TempDir::new().unwrap();
    install(tools.path());
    let pod = Pod::new(&gitea, tools.path());
    let user = gitea.admin().name.clone();
    let stages = stages();
    for stage in &stages {
        let (report, said) = pod.run(stage, &user);
        assert_eq!(report.failure, None, "{}: {said}", stage.name);
        pod.hand_over(stage);
    }
    let listed = gitea.ask(Method::GET, "packages/libs", &Value::Null);
    let listed = listed.await.unwrap();
    let all = listed.as_array().unwrap().iter();
    let mut all: Vec<Value> = all
        .map(|it| json!([it["type"], it["name"], it["version"]]))
        .collect();
    all.sort_by_key(Value::to_string);
    let expected = [
        json!(["cargo", "parcels", "1.4.0"]),
        json!(["npm", "parcels", "1.4.0"]),
        json!(["pypi", "parcels", "1.4.0"]),
    ];
    assert_eq!(all, expected);

    // Each registry refuses what it has, and nothing that is secret is told.
    let publishing = |stage: &&Stage| stage.type_ == StageType::Publish;
    for stage in stages.iter().filter(publishing) {
        let (report, said) = pod.run(stage, &user);
        assert!(report.failure.is_some(), "{}: {said}", stage.name);
        let token = &gitea.admin().token;
        assert!(!said.contains(token.as_str()), "{}: {said}", stage.name);
        assert!(!report.encode().contains(token.as_str()), "{}", stage.name);
    }
}
