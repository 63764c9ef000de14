//! A Python library of our own with the tools that such libraries have, on three releases of Python, to a Release that the
//! real cosign has checked.

use std::path::Path;
use std::time::{Duration, Instant};

use kube::ResourceExt;
use kube::api::ListParams;
use serde_json::{Value, json};
use slipway::model::object::ObjectKind;
use testbed::git::GitServer;
use testbed::image;

use crate::app::{App, wait_for, with_app};
use crate::cluster::in_tree;
use crate::supply::{cosign_agrees, keep_key, new_key};

/// Longest wait for a whole run, on two cores.
const RUN: Duration = Duration::from_mins(10);
/// Debian's releases by the Python that they have.
const PYTHONS: [(&str, &str); 3] = [
    ("3.9", "bullseye"),
    ("3.11", "bookworm"),
    ("3.13", "trixie"),
];
/// Tests of the library.
const TESTS: usize = 14;

/// Makes images with tools from PyPI, and builds osv-scanner, syft and cosign: minutes, once. Only in the long tests.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its images; run make e2e-full"]
async fn a_python_library_is_checked_built_scanned_listed_and_signed_before_it_is_released() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let bridge = registry.rsplit_once(':').unwrap().0.parse().unwrap();
        let git = GitServer::start_on(bridge).await.unwrap();
        let repository = git.create("parcels").await.unwrap();
        let ((private, public), (_, other)) = (new_key(), new_key());
        keep_key(app, &private).await;
        let files = files(&in_tree("examples/parcels"), "");
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(path, text)| (path.as_str(), text.as_str()))
            .collect();
        let good = repository
            .commit("main", "Send parcels", &files)
            .await
            .unwrap();
        let pipeline = pipeline(app, &git.url("parcels")).await;
        app.apply(ObjectKind::Pipeline, &pipeline).await;

        let began = Instant::now();
        let run = ended(app, &good).await;
        eprintln!("the run took {:.1} s", began.elapsed().as_secs_f64());
        tell(&run);
        is_released(app, &run).await;
        let digest = run["artifacts"][0]["digest"].as_str().unwrap();
        cosign_agrees(
            &format!("{registry}/shop/parcels@{digest}"),
            &public,
            &other,
        )
        .await;

        let tools = std::fs::read_to_string(in_tree("examples/parcels/ci/requirements.txt"));
        let tools = format!("{}requests==2.19.1\n", tools.unwrap());
        let hasty = "import os\nimport ast\nx = eval('1')\n\n\n\ndef f(a): return a+1\n";
        let broken = [
            ("src/parcels/extra.py", hasty),
            ("ci/requirements.txt", tools.as_str()),
        ];
        let broken = repository.commit("main", "Be quick", &broken).await;
        let run = ended(app, &broken.unwrap()).await;
        tell(&run);
        is_refused(&run);
    })
    .await;
}

/// Everything has passed, and there is a Release with evidence.
async fn is_released(app: &App, run: &Value) {
    assert_eq!(run["phase"], "Succeeded", "{run:#}");
    assert_eq!(run["tests"]["failed"], 0, "{run:#}");
    assert_eq!(run["tests"]["total"], PYTHONS.len() * TESTS, "{run:#}");
    let gates = run["gates"].as_array().unwrap();
    let is_passed = |gate: &Value| gate["result"] == "Passed";
    assert!(gates.iter().all(is_passed), "{gates:#?}");
    // What the image has of its base: one that counts for nothing here, but was found.
    let said = gate(run, "vulnerabilities");
    assert!(said.to_string().contains("1 medium"), "{said:#}");
    let releases = app.api(ObjectKind::Release);
    let release = releases
        .get(run["release"].as_str().unwrap())
        .await
        .unwrap();
    let said = &release.data["spec"]["evidence"]["attestations"];
    assert_eq!(said.as_array().map(Vec::len), Some(3), "{said:#}");
}

/// Every tool has found what it looks for, and nothing was built.
fn is_refused(run: &Value) {
    assert_eq!(run["phase"], "Failed", "{run:#}");
    for (stage, phase) in [
        ("format", "Failed"),
        ("lint", "Failed"),
        ("sast", "Failed"),
        ("dependencies", "Succeeded"),
        ("unit", "Succeeded"),
        ("parcels", "Skipped"),
        ("sign", "Skipped"),
    ] {
        let stages = run["stages"].as_array().unwrap();
        let found = stages.iter().find(|found| found["name"] == stage).unwrap();
        assert_eq!(found["phase"], phase, "{stage}: {run:#}");
    }
    let said = gate(run, "vulnerabilities");
    assert_eq!(said["result"], "Failed", "{run:#}");
    assert!(said.to_string().contains("CVE-2018-18074"), "{said:#}");
    assert_eq!(gate(run, "findings")["result"], "Failed", "{run:#}");
}

/// What a gate has said.
pub(crate) fn gate(run: &Value, name: &str) -> Value {
    let gates = run["gates"].as_array().unwrap();
    let found = gates.iter().find(|gate| gate["name"] == name);
    found.unwrap().clone()
}

/// Prints what became of each stage and gate.
pub(crate) fn tell(run: &Value) {
    for stage in run["stages"].as_array().into_iter().flatten() {
        eprintln!(
            "stage {}: {} {} {} to {}",
            stage["name"],
            stage["phase"],
            stage["message"],
            stage["startedAt"],
            stage["finishedAt"]
        );
    }
    for gate in run["gates"].as_array().into_iter().flatten() {
        eprintln!("gate {gate}");
    }
}

/// The sample, with the images of this cluster.
async fn pipeline(app: &App, url: &str) -> Value {
    let registry = app.cluster.node.registry();
    let sample =
        std::fs::read_to_string(in_tree("manifests/samples/pipeline-parcels.yaml")).unwrap();
    let mut pipeline: Value = serde_saphyr::from_str(&sample).unwrap();
    let mut images = json!({});
    let folder = in_tree("examples/parcels/ci");
    for (python, release) in PYTHONS {
        let base = image::base::debian_of(registry, release).await.unwrap();
        let args = [("BASE", base.as_str())];
        let tools = image::build_with(registry, &folder, "demo/parcels-ci", &args).await;
        images[python] = tools.unwrap().into();
    }
    let debian = image::base::debian(registry).await.unwrap();
    let scanner = image::base::scanner(registry).await.unwrap();
    let spec = &mut pipeline["spec"];
    spec["source"]["git"] = json!({"url": url, "insecure": true});
    spec["polling"] = json!({"interval": "1s"});
    spec["defaults"]["image"] = images["3.11"].clone();
    for stage in spec["stages"].as_array_mut().unwrap() {
        if stage.get("matrix").is_some() {
            stage["matrix"]["image"]["images"] = images.clone();
        }
        if stage.get("image").is_some() {
            stage["image"] = scanner.clone().into();
            // The registry of this cluster has no certificate.
            stage["env"] = json!([{"name": "SYFT_REGISTRY_INSECURE_USE_HTTP", "value": "true"}]);
        }
        if stage.get("build").is_some() {
            let image = format!("{registry}/shop/parcels");
            stage["build"] =
                json!({"image": image, "insecureRegistry": true, "args": {"BASE": debian}});
        }
    }
    pipeline
}

/// The files of a folder, by their paths in it.
pub(crate) fn files(folder: &Path, prefix: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let path = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files(&entry.path(), &format!("{path}/")));
        } else if let Ok(text) = std::fs::read_to_string(entry.path()) {
            found.push((path, text));
        }
    }
    found
}

/// The status of the run of a commit, once it has ended.
async fn ended(app: &App, sha: &str) -> Value {
    wait_for("the run has ended", RUN, async || {
        let runs = app.api(ObjectKind::PipelineRun);
        let runs = runs.list(&ListParams::default()).await.unwrap().items;
        let run = runs.iter().find(|run| run.data["spec"]["sha"] == sha);
        let run = run.ok_or("there is none")?;
        let status = run.data["status"].clone();
        match status["phase"].as_str() {
            Some("Succeeded" | "Failed" | "TimedOut") => Ok(status),
            _ => Err(format!("{}: {}", run.name_any(), status["message"])),
        }
    })
    .await
}
