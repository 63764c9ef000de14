//! Reasons of Events are a closed list, and the list, the code and the docs agree.

use std::collections::BTreeSet;

use super::kinds::given;
use super::{root, sources};
use crate::model::reason::{EVENTS, is_known};
use crate::pipeline_run::api::FailureKind;
use crate::rollout::api::FailureReason;

/// Folders, and the kinds that plans there are about.
const FOLDERS: &[(&str, &str)] = &[
    ("rollout/", "Rollout"),
    ("environment/", "Environment"),
    ("promotion/", "Promotion"),
    ("pipeline/", "Pipeline"),
    ("pipeline_run/", "PipelineRun"),
];

#[test]
fn every_reason_that_code_gives_is_on_the_list() {
    let mut found = 0;
    let mut unknown = Vec::new();
    for source in sources() {
        let mut folders = FOLDERS.iter();
        let folder = folders.find(|(folder, _)| source.path.starts_with(folder));
        for word in given(&source.code) {
            let kind = folder.map_or("?", |(_, kind)| *kind);
            found += 1;
            if !is_known(kind, word) {
                unknown.push(format!("{}: {kind} {word}", source.path));
            }
        }
    }
    assert!(found > 40, "{found}");
    assert!(unknown.is_empty(), "not in model/reason.rs: {unknown:#?}");
}

#[test]
fn every_reason_on_the_list_is_in_the_code() {
    let sources = sources();
    let failures = FailureReason::ALL.iter().map(|reason| reason.as_str());
    let failures: BTreeSet<&str> = failures.collect();
    let mut idle = Vec::new();
    for (kind, reasons) in EVENTS {
        for reason in *reasons {
            let word = format!("\"{reason}\"");
            let mut code = sources
                .iter()
                .filter(|source| source.path != "model/reason.rs");
            let is_given = code.any(|source| source.code.contains(&word));
            if !is_given && !failures.contains(reason) {
                idle.push(format!("{kind} {reason}"));
            }
        }
    }
    assert!(idle.is_empty(), "reasons that nothing gives: {idle:?}");
}

#[test]
fn what_fails_a_run_and_what_ails_pods_have_reasons() {
    let pods = FailureReason::ALL
        .iter()
        .filter(|reason| reason.is_of_pods());
    let mut reasons = pods.map(|reason| reason.as_str());
    assert!(reasons.all(|reason| is_known("Rollout", reason)));
    let mut reasons = FailureKind::ALL
        .iter()
        .map(|kind| crate::pipeline_run::plan::report::reason(*kind));
    assert!(reasons.all(|reason| is_known("PipelineRun", reason)));
}

/// Reasons of a kind in the page, from its table.
fn told(page: &str, kind: &str) -> BTreeSet<String> {
    let heading = format!("\n## {kind}\n");
    let section = page.split(&heading).nth(1).unwrap_or_default();
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let cells = rows.filter_map(|row| Some(row.split_once(" |")?.0));
    let words = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    words.map(str::to_owned).collect()
}

#[test]
fn the_page_of_events_has_the_same_list() {
    let page = std::fs::read_to_string(root().join("docs/reference/events.md")).unwrap();
    for (kind, reasons) in EVENTS {
        let reasons: BTreeSet<String> = reasons.iter().map(ToString::to_string).collect();
        assert_eq!(told(&page, kind), reasons, "{kind}");
    }
}
