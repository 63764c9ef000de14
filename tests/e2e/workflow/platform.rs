//! pipeline-platform: every row of the decision matrix judged on what a real tool has written, then signed and released.

use serde_json::{Value, json};
use testbed::image;

use super::{Workflow, digest, gates_are, repeated, stage, tools};
use crate::app::with_app;
use crate::library::gate;
use crate::supply::{keep_key, new_key};

/// Debian's release by the Python of the sample.
const PYTHONS: [(&str, &str); 1] = [("3.13", "trixie")];
/// Unit tests, requirements that are tested, and tests against the image.
const TESTS: [usize; 3] = [103, 27, 22];
/// Requests of load.js.
const REQUESTS: u32 = 1500;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its images; run make e2e-full"]
async fn the_platform_of_the_sample_passes_every_row_of_the_matrix_and_is_signed_and_released() {
    with_app(async |app| {
        let registry = app.cluster.node.registry();
        let trixie = image::base::debian_of(registry, "trixie").await.unwrap();
        let scanner = image::base::scanner(registry).await.unwrap();
        let (private, _) = new_key();
        keep_key(app, &private).await;
        let mut workflow = Workflow::new(app, "platform").await;
        for (name, image) in [
            (
                "ci/gitleaks:8",
                image::base::named(registry, "gitleaks").await.unwrap(),
            ),
            // It has both tools, and a shell.
            ("ci/syft:1", scanner.clone()),
            ("ci/scanner:1", scanner),
            ("ci/k6:1", image::base::named(registry, "k6").await.unwrap()),
            ("ci/browser:1", tools(registry, "browser", &trixie).await),
        ] {
            workflow = workflow.with_image(name, image);
        }
        let workflow = workflow
            .with_pythons(&PYTHONS)
            .await
            .with_args(json!({"BASE": trixie}));
        let good = workflow.commit("main", "Show features", &[]).await;
        workflow.apply("platform").await;
        let run = workflow.ended("Push", &good).await;
        is_released(&workflow, &run).await;

        let hasty = hasty();
        let hasty: Vec<(&str, &str)> = hasty
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let hasty = workflow.commit("hasty", "Be quick", &hasty).await;
        let checks = json!([
            "lint",
            "types",
            "unit",
            "code",
            "dependencies",
            "secrets",
            "licences",
            "compliance",
            "pages",
        ]);
        let more = json!({"ref": "refs/heads/hasty", "sha": hasty, "stages": checks});
        app.run_by_hand("hasty", "platform", &more).await;
        is_refused(&workflow.ended("Manual", &hasty).await);
    })
    .await;
}

async fn is_released(workflow: &Workflow<'_>, run: &Value) {
    assert_eq!(run["phase"], "Succeeded", "{run:#}");
    let total: usize = TESTS.iter().sum();
    assert_eq!(run["tests"]["total"], total, "{run:#}");
    assert_eq!(run["tests"]["failed"], 0, "{run:#}");
    let all = [
        "style",
        "tests",
        "coverage",
        "code",
        "vulnerabilities",
        "secrets",
        "licences",
        "compliance",
        "latency",
        "size",
        "accessibility",
        "integration",
    ];
    gates_are(run, &all.map(|name| (name, "Passed")));
    let load = &stage(run, "load")["reports"]["latency"][0];
    assert_eq!(load["requests"], REQUESTS, "{load:#}");
    let pages = &stage(run, "pages")["reports"];
    assert!(pages["scores"].is_object(), "{pages:#}");

    let release = workflow.release(run).await;
    assert_eq!(release["images"][0]["digest"], digest(run, "platform"));
    assert_eq!(
        release["packages"][0]["digest"],
        digest(run, "platform-client")
    );
    // Of the image its signature, how it was built and what is in it; of the wheel its signature and how it was made.
    let said = &release["evidence"]["attestations"];
    assert!(said.as_array().map_or(0, Vec::len) >= 4, "{said:#}");
}

/// Every script ends well but that of the requirements, and every tool has found what it looks for.
fn is_refused(run: &Value) {
    assert_eq!(run["phase"], "Failed", "{run:#}");
    for (name, found) in [
        ("style", "F401"),
        ("coverage", "%"),
        ("code", "B602"),
        ("vulnerabilities", "requests"),
        ("secrets", "github-pat"),
        ("compliance", "1 of 28 tests failed"),
        ("accessibility", "image-alt"),
    ] {
        let said = gate(run, name);
        assert_eq!(said["result"], "Failed", "{name}: {run:#}");
        assert!(said.to_string().contains(found), "{name}: {said:#}");
    }
    for name in ["tests", "licences"] {
        assert_eq!(gate(run, name)["result"], "Passed", "{name}: {run:#}");
    }
    assert_eq!(stage(run, "sign")["phase"], "Skipped", "{run:#}");
}

/// A commit in which every tool finds something.
fn hasty() -> Vec<(&'static str, String)> {
    let untested = repeated(60, |n| format!("\n\ndef f{n}(a):\n    return a + {n}\n"));
    let token = format!("ghp_{}", "x9Kq2LmZ7Rt4Wv8Yb3Nc6Hd1Jf5Gs0Pa2Eu7");
    let extra = format!(
        "import os\nimport subprocess\n\nTOKEN = \"{token}\"\n{untested}\n\ndef run(a):\n    eval(a)\n    subprocess.call(a, shell=True)\n"
    );
    let page = std::fs::read_to_string(crate::cluster::in_tree("examples/platform/portal/page.py"));
    let (with, without) = (
        "<h1>Features</h1>",
        "<h1>Features</h1><img src=\"/logo.png\">",
    );
    vec![
        ("portal/extra.py", extra),
        ("portal/page.py", page.unwrap().replace(with, without)),
        (
            "requirements.txt",
            "requests==2.19.1\npytest==8.3.5\n".to_owned(),
        ),
    ]
}
