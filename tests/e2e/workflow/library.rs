//! pipeline-library: a library in Python that is tested on its versions, measured, looked at, packed, and an image.

use serde_json::{Value, json};

use super::{Workflow, digest, gates_are, repeated, stage};
use crate::app::with_app;
use crate::cluster::in_tree;
use crate::library::gate;

/// Debian's releases by the Pythons of the sample. Debian has no 3.10 and no 3.12: their cells run on what comes next.
const PYTHONS: [(&str, &str); 5] = [
    ("3.9", "bullseye"),
    ("3.10", "bookworm"),
    ("3.11", "bookworm"),
    ("3.12", "trixie"),
    ("3.13", "trixie"),
];
/// Tests of the library.
const TESTS: usize = 156;
/// What it is measured in.
const BENCHMARKS: usize = 11;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a node, and minutes for its images; run make e2e-full"]
async fn the_library_of_the_sample_is_tested_measured_packed_and_released_at_its_tag() {
    with_app(async |app| {
        let workflow = Workflow::new(app, "calculator").await;
        let workflow = workflow.with_pythons(&PYTHONS).await;
        // A branch that no trigger is about: what starts its run is a tag.
        let good = workflow.commit("release/1.2", "Count", &[]).await;
        let slow = workflow
            .commit(
                "slow",
                "Take it easy",
                &[("calculator/arithmetic.py", &slow_sums())],
            )
            .await;
        let hasty = hasty();
        let hasty: Vec<(&str, &str)> = hasty
            .iter()
            .map(|(path, text)| (*path, text.as_str()))
            .collect();
        let hasty = workflow.commit("main", "Be quick", &hasty).await;
        workflow.apply("library").await;
        is_refused(&workflow.ended("Push", &hasty).await);

        workflow.repository.tag("v1.2.3", &good).await.unwrap();
        is_released(&workflow, &workflow.ended("Tag", &good).await).await;

        let more = json!({"ref": "refs/heads/slow", "sha": slow, "stages": ["speed"]});
        app.run_by_hand("slow", "calculator", &more).await;
        let run = workflow.ended("Manual", &slow).await;
        let said = gate(&run, "speed");
        assert_eq!(said["result"], "Warned", "{run:#}");
        assert!(said.to_string().contains("add went from"), "{said:#}");
    })
    .await;
}

/// A sum that takes its time.
fn slow_sums() -> String {
    let sums = std::fs::read_to_string(in_tree("examples/calculator/calculator/arithmetic.py"));
    let (quick, slow) = (
        "    return Fraction(left) + right\n",
        "    for _ in range(100):\n        Fraction(left)\n    return Fraction(left) + right\n",
    );
    let sums = sums.unwrap();
    assert!(sums.contains(quick));
    sums.replace(quick, slow)
}

/// A commit in which every tool finds something.
fn hasty() -> Vec<(&'static str, String)> {
    let untested = repeated(80, |n| format!("def f{n}(a): return a+{n}\n"));
    let branches = repeated(12, |n| format!("    if a == {n}:\n        return {n}\n"));
    let extra = format!(
        "import os\nimport subprocess\n{untested}def g(a):\n    subprocess.call(a, shell=True)\n{branches}"
    );
    let wrong =
        "import calculator as calc\n\n\ndef test_sums() -> None:\n    assert calc.add(1, 1) == 3\n";
    vec![
        ("calculator/extra.py", extra),
        ("tests/test_hasty.py", wrong.to_owned()),
        ("requirements.txt", "requests==2.19.1\n".to_owned()),
    ]
}

fn is_refused(run: &Value) {
    assert_eq!(run["phase"], "Failed", "{run:#}");
    gates_are(
        run,
        &[
            ("tests", "Failed"),
            ("coverage", "Failed"),
            ("speed", "Passed"),
            ("quality", "Warned"),
            ("complexity", "Warned"),
            ("code", "Warned"),
            ("safety", "Warned"),
        ],
    );
    let found = gate(run, "tests").to_string();
    assert!(found.contains("5 of 785 tests failed"), "{found}");
    let found = gate(run, "safety").to_string();
    assert!(found.contains("requests"), "{found}");
    for (name, phase) in [
        ("tests", "Failed"),
        ("safety", "Succeeded"),
        ("wheel", "Skipped"),
        ("calculator", "Skipped"),
    ] {
        assert_eq!(stage(run, name)["phase"], phase, "{name}: {run:#}");
    }
}

async fn is_released(workflow: &Workflow<'_>, run: &Value) {
    assert_eq!(run["phase"], "Succeeded", "{run:#}");
    assert_eq!(run["tests"]["total"], PYTHONS.len() * TESTS, "{run:#}");
    assert_eq!(run["tests"]["failed"], 0, "{run:#}");
    let all = [
        "tests",
        "coverage",
        "speed",
        "quality",
        "complexity",
        "code",
        "safety",
    ];
    gates_are(run, &all.map(|name| (name, "Passed")));
    let coverage = &stage(run, "coverage")["reports"]["coverage"];
    assert_eq!(coverage["lines"], coverage["coveredLines"], "{coverage}");
    let speed = &stage(run, "speed")["reports"]["benchmarks"];
    assert_eq!(speed.as_array().map(Vec::len), Some(BENCHMARKS), "{speed}");

    let release = workflow.release(run).await;
    assert_eq!(release["version"], "1.2.3", "{release:#}");
    assert_eq!(release["packages"][0]["version"], "1.2.3", "{release:#}");
    assert_eq!(
        release["packages"][0]["digest"],
        digest(run, "calculator-wheel")
    );
    for tag in ["1.2.3", "1.2", "1", "latest"] {
        let found = workflow.tagged("libs/calculator", tag).await;
        assert_eq!(found, digest(run, "calculator"), "{tag}");
    }
}
