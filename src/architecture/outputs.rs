//! What docs/kubectl-slipway.md shows as the output of a verb is what the verb says: its lines are lines of golden output.

use std::path::Path;

use super::root;

/// Verbs whose sample output is compared.
const COMPARED: &[&str] = &[
    "$ kubectl slipway status",
    "$ kubectl slipway slo",
    "$ kubectl slipway doctor",
    "$ kubectl slipway rollout watch",
    "$ kubectl slipway rollout explain",
    "$ kubectl slipway dora",
];

fn golden(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            golden(&path, into);
        } else if path.extension().is_some_and(|ending| ending == "snap") {
            let text = std::fs::read_to_string(&path).unwrap();
            into.extend(text.lines().map(|line| line.trim().to_owned()));
        }
    }
}

/// A line without the time of day, which golden output has not.
fn timeless(line: &str) -> &str {
    let is_time = |word: &str| word.len() == 8 && word.split(':').count() == 3;
    match line.split_once(' ') {
        Some((time, rest)) if is_time(time) => rest,
        Some(_) | None => line,
    }
}

#[test]
fn sample_output_of_verbs_is_golden_output() {
    let page = std::fs::read_to_string(root().join("docs/kubectl-slipway.md")).unwrap();
    let mut known = Vec::new();
    golden(&root().join("src/cli"), &mut known);
    let (mut verb, mut compared, mut other) = ("", 0, Vec::new());
    for block in page.split("```console\n").skip(1) {
        let block = block.split("```").next().unwrap_or_default();
        for line in block.lines() {
            if line.starts_with("$ ") {
                verb = line;
                continue;
            }
            let is_compared = COMPARED.iter().any(|start| verb.starts_with(start));
            let line = timeless(line.trim());
            if !is_compared || line.is_empty() || line == "…" {
                continue;
            }
            compared += 1;
            // Lines of several stories have the name of theirs in front.
            if !known.iter().any(|known| known.ends_with(line)) {
                other.push(format!("{verb}: {line}"));
            }
        }
    }
    assert!(compared > 40, "{compared}");
    assert!(other.is_empty(), "no verb says this: {other:#?}");
}
