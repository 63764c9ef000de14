//! Every kind has everything that a kind needs, and every right has a use.

use std::collections::BTreeSet;

use super::{root, sources};
use crate::cluster::caches::Caches;
use crate::kinds::KINDS;
use crate::model::object::ObjectKind;
use crate::permission::{Extra, PERMISSIONS, needed};

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_default()
}

/// Kinds that the operator knows all objects of, through a watch.
fn watched() -> BTreeSet<ObjectKind> {
    let caches = Caches::default();
    caches.sizes().into_iter().map(|(kind, _)| kind).collect()
}

/// Verbs of a kind itself.
fn verbs(kind: ObjectKind) -> BTreeSet<&'static str> {
    let rows = needed(Extra::ALL).filter(|(of, sub, _)| *of == kind && sub.is_empty());
    rows.flat_map(|(_, _, verbs)| verbs.iter().copied())
        .collect()
}

#[test]
fn every_kind_has_a_crd_a_sample_a_doc_page_and_rbac() {
    let samples: Vec<String> = super::samples::files()
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    let user_roles = read("charts/slipway/templates/userroles.yaml");
    let (_, roles) = user_roles
        .split_once("define \"slipway.userRoles\"")
        .unwrap();
    let viewers = roles.split("\n---").next().unwrap();
    let mut missing = Vec::new();
    for info in KINDS {
        let (kind, plural) = (info.kind, info.plural);
        let name = kind.to_lowercase();
        let mut need = |has: bool, what: String| {
            if !has {
                missing.push(format!("{kind}: {what}"));
            }
        };
        for folder in ["crds", "charts/slipway/files/crds"] {
            let path = format!("{folder}/{plural}.yaml");
            need(!read(&path).is_empty(), path);
        }
        let prefix = format!("{name}-");
        let has_sample = samples.iter().any(|path| path.starts_with(&prefix));
        need(has_sample, format!("manifests/samples/{name}-<story>.yaml"));
        let page = format!("docs/reference/{name}.md");
        need(!read(&page).is_empty(), page);
        let row = |word: &str| word.trim_matches([',', '[', ']']) == plural;
        need(
            viewers.split_whitespace().any(row),
            "the viewer role".to_owned(),
        );
        let is_read = watched().contains(&info.object);
        let may_read = ["list", "watch"]
            .iter()
            .all(|verb| verbs(info.object).contains(verb));
        need(
            !is_read || may_read,
            "list and watch in permission.rs".to_owned(),
        );
        let reports = PERMISSIONS.iter().any(|(of, sub, verbs)| {
            *of == info.object && *sub == "status" && verbs.contains(&"patch")
        });
        need(
            !info.has_reconciler || reports,
            "patch of its status in permission.rs".to_owned(),
        );
    }
    assert!(missing.is_empty(), "missing: {missing:#?}");
}

#[test]
fn what_is_watched_is_what_may_be_watched() {
    let may: BTreeSet<ObjectKind> = ObjectKind::ALL
        .iter()
        .copied()
        .filter(|kind| verbs(*kind).contains("watch"))
        .collect();
    assert_eq!(may, watched());
}

#[test]
fn every_right_is_used() {
    let sources = sources();
    let declares = ["permission.rs", "model/object.rs", "kinds.rs"];
    let code: Vec<&str> = sources
        .iter()
        .filter(|source| !declares.contains(&source.path.as_str()))
        .map(|source| source.code.as_str())
        .collect();
    let mut idle = Vec::new();
    for (kind, subresource, verbs) in needed(Extra::ALL) {
        let name = format!("{kind:?}");
        // By its name in the list, in the declaration of the caches, or by its type.
        let uses = [
            format!("ObjectKind::{name}"),
            format!("= {name}, "),
            format!("Api<{name}>"),
        ];
        if !uses
            .iter()
            .any(|word| code.iter().any(|code| code.contains(word)))
        {
            idle.push(format!("{verbs:?} on {} {subresource}", kind.plural()));
        }
    }
    assert!(idle.is_empty(), "rights that no code uses: {idle:#?}");
}

#[test]
fn no_right_is_given_twice() {
    let mut seen = BTreeSet::new();
    for (kind, subresource, verbs) in needed(Extra::ALL) {
        for verb in *verbs {
            assert!(
                seen.insert((kind, subresource, verb)),
                "{verb} on {kind:?} {subresource}"
            );
        }
    }
}

/// Folders that say why objects are where they are, and the pages that explain it.
const REASONS: &[(&str, &[&str])] = &[
    ("rollout/", &["rollout"]),
    ("environment/", &["environment", "promotion"]),
    ("promotion/", &["promotion"]),
    ("pipeline/", &["pipeline"]),
    ("pipeline_run/", &["pipelinerun"]),
];

/// Words in CamelCase of the files that decide: reasons, and types of conditions.
fn words(code: &str) -> BTreeSet<&str> {
    let texts = code.split('"').skip(1).step_by(2);
    let is_word = |text: &&str| {
        text.len() > 2
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.contains(|c: char| c.is_ascii_lowercase())
            && text.chars().all(|c| c.is_ascii_alphabetic())
    };
    texts.filter(is_word).collect()
}

/// Whether a file of a folder decides.
fn decides(path: &str, folder: &str) -> bool {
    let inner = &path[folder.len()..];
    inner == "status.rs" || inner.starts_with("plan") || inner.starts_with("step/")
}

#[test]
fn every_reason_and_condition_is_explained() {
    let mut missing = Vec::new();
    for source in sources() {
        let Some((folder, pages)) = REASONS
            .iter()
            .find(|(folder, _)| source.path.starts_with(folder))
        else {
            continue;
        };
        if !decides(&source.path, folder) {
            continue;
        }
        let text: String = pages
            .iter()
            .map(|page| read(&format!("docs/reference/{page}.md")))
            .collect();
        let unknown = words(&source.code);
        let unknown = unknown
            .into_iter()
            .filter(|word| !text.contains(&format!("`{word}`")));
        missing.extend(unknown.map(|word| format!("{}: {word}", source.path)));
    }
    assert!(missing.is_empty(), "not in docs/reference: {missing:#?}");
}

/// Every word that code gives as the reason of what it does, each time that it does.
pub(super) fn given(code: &str) -> Vec<&str> {
    let starts = ["Why::normal(", "Why::warning("].into_iter();
    let given = starts.flat_map(|start| code.split(start).skip(1));
    let words = given.filter_map(|given| given.trim_start().strip_prefix('"'));
    words
        .filter_map(|word| Some(word.split_once('"')?.0))
        .collect()
}

/// Every word that a plan gives as the reason of what it does.
fn told() -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    for source in sources() {
        told.extend(given(&source.code).into_iter().map(str::to_owned));
    }
    assert!(told.len() > 30, "{told:?}");
    told
}

#[test]
fn every_reason_that_is_told_is_explained() {
    let pages = KINDS.iter().map(|info| info.kind.to_lowercase());
    let pages: String = pages
        .map(|kind| read(&format!("docs/reference/{kind}.md")))
        .collect();
    let mut told = told();
    told.retain(|word| !pages.contains(&format!("`{word}`")));
    assert!(told.is_empty(), "not in docs/reference: {told:?}");
}

/// Words in the code that decides, and in the pages' parts about conditions, that are no reasons: what people may say, what they are
/// told by messages, what may stand in a spec.
const NO_REASONS: &[&str] = &[
    "Abort",
    "Alert",
    "Approve",
    "ApprovalNeeded",
    "Auto",
    "BlueGreen",
    "Canary",
    "Cancel",
    "Commit",
    "Decision",
    "Failure",
    "High",
    "Hold",
    "InOrder",
    "Inject",
    "Latest",
    "Migrate",
    "Newest",
    "Off",
    "Preview",
    "Promote",
    "PromotionFailed",
    "PromotionSucceeded",
    "Reject",
    "Restart",
    "Resume",
    "Retry",
    "Rollback",
    "Rolling",
    "Rollout",
    "Skip",
    "Veto",
    "WithWeight",
];

/// Words in CamelCase between backticks.
fn marked(text: &str) -> BTreeSet<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    let quoted = quoted.filter(|word| !word.contains('"'));
    let quoted: Vec<String> = quoted.map(|word| format!("\"{word}\"")).collect();
    let code = quoted.join(" ");
    words(&code).into_iter().map(str::to_owned).collect()
}

#[test]
fn every_reason_and_condition_has_an_entry_in_troubleshooting() {
    let mut reasons = told();
    for source in sources() {
        let folder = REASONS
            .iter()
            .find(|(folder, _)| source.path.starts_with(folder));
        if folder.is_some_and(|(folder, _)| decides(&source.path, folder)) {
            reasons.extend(words(&source.code).into_iter().map(str::to_owned));
        }
    }
    for page in REASONS.iter().flat_map(|(_, pages)| pages.iter()) {
        let page = read(&format!("docs/reference/{page}.md"));
        let conditions = page.split("\n## Conditions").nth(1).unwrap();
        reasons.extend(marked(conditions.split("\n## ").next().unwrap()));
    }
    reasons.retain(|word| !NO_REASONS.contains(&word.as_str()));
    let page = read("docs/troubleshooting.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let first: String = rows.filter_map(|row| row.split(" | ").next()).collect();
    let entries = marked(&first);
    let missing: Vec<&String> = reasons.difference(&entries).collect();
    assert!(
        missing.is_empty(),
        "add to docs/troubleshooting.md: {missing:#?}"
    );
    let unknown: Vec<&String> = entries.difference(&reasons).collect();
    assert!(
        unknown.is_empty(),
        "nothing says these of docs/troubleshooting.md: {unknown:#?}"
    );
}

#[test]
fn every_flag_is_in_the_operations_page() {
    use clap::CommandFactory;

    let page = read("docs/operations.md");
    let mut missing = Vec::new();
    let command = crate::config::Args::command();
    for flag in command.get_arguments() {
        let long = flag.get_long().map(|long| format!("`--{long}`"));
        let env = flag
            .get_env()
            .map(|env| format!("`{}`", env.to_string_lossy()));
        missing.extend(
            long.into_iter()
                .chain(env)
                .filter(|word| !page.contains(word)),
        );
    }
    assert!(
        missing.is_empty(),
        "not in docs/operations.md: {missing:#?}"
    );
}
