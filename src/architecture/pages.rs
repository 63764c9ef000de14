//! Pages of documentation: their links lead somewhere, the site has all of them, and the YAML in them is what the definitions take.
//! That the API server takes the objects too is seen in `tests/it/sample.rs`.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::{collect, root, samples};
use crate::book::{self, Block};
use crate::crd::{self, validation};
use crate::kinds::KINDS;
use crate::model::invalid;

/// Folders and files with pages.
const PAGES: [&str; 6] = ["docs", "examples", "fuzz", "manifests", "testbed", "tests"];
const PAGES_AT_THE_ROOT: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
];

/// What fragments of YAML are of, where they do not say so themselves (`<!-- of: Pipeline spec.stages -->`): the first row that the
/// page's path begins with. Other fragments are read and not compared with anything.
const FRAGMENTS: &[(&str, &str)] = &[
    ("docs/analysis.md", "Rollout spec"),
    ("docs/builds.md", "Pipeline spec"),
    ("docs/checks.md", "Environment spec.smokeTests"),
    ("docs/clusters.md", "Environment spec"),
    ("docs/comparison.md", "Rollout spec"),
    ("docs/metrics.md", "Rollout spec.analysis.metrics"),
    ("docs/migrations.md", "Environment spec"),
    ("docs/notifications.md", "Environment spec"),
    ("docs/packages.md", "Pipeline spec.stages"),
    ("docs/pipelines/", "Pipeline spec.stages"),
    ("docs/previews.md", "Environment spec"),
    ("docs/promotion.md", "Environment spec"),
    ("docs/protection/", "Environment spec"),
    ("docs/releases.md", "Pipeline spec"),
    ("docs/reports-out/", "Pipeline spec"),
    ("docs/routers/", "Rollout spec"),
    ("docs/stages/", "Pipeline spec.stages"),
    ("docs/strategies/", "Rollout spec"),
    ("docs/supply-chain.md", "Pipeline spec.stages"),
    ("docs/triggers/", "Pipeline spec"),
    ("docs/write-back.md", "Environment spec"),
];

/// Every page, by its path, in order.
pub(super) fn pages() -> Vec<(String, String)> {
    let mut paths = Vec::new();
    for folder in PAGES {
        collect(&root().join(folder), "md", &mut paths);
    }
    paths.extend(PAGES_AT_THE_ROOT.map(|page| root().join(page)));
    paths.sort();
    let pages = paths.into_iter().map(|path| {
        let text = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
        (path.to_owned(), text)
    });
    pages.collect()
}

fn is_of_the_site(path: &str) -> bool {
    path.starts_with(book::FOLDER)
}

#[test]
fn every_link_leads_to_a_file_and_a_heading_that_there_are() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for (path, text) in pages() {
        for (line, link) in book::links(&text) {
            let Some(target) = book::resolve(&path, link) else {
                continue;
            };
            count += 1;
            let file = root().join(&target.path);
            let leads = match &target.anchor {
                Some(anchor)
                    if std::path::Path::new(&target.path)
                        .extension()
                        .is_some_and(|end| end == "md") =>
                {
                    let page = std::fs::read_to_string(&file).unwrap_or_default();
                    book::anchors(&page).contains(anchor)
                }
                Some(_) | None => file.exists(),
            };
            if !leads {
                wrong.push(format!("{path}:{line}: {link}"));
            }
        }
    }
    assert!(count > 500, "{count}");
    assert!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
}

#[test]
fn the_site_has_every_page_once() {
    let summary = std::fs::read_to_string(root().join("docs/SUMMARY.md")).unwrap();
    let mut listed = BTreeSet::new();
    for (line, link) in book::links(&summary) {
        let target = book::resolve("docs/SUMMARY.md", link).unwrap();
        assert!(
            listed.insert(target.path),
            "docs/SUMMARY.md:{line}: {link} is there twice"
        );
    }
    let pages = pages().into_iter().map(|(path, _)| path);
    let missing: Vec<String> = pages
        .filter(|path| is_of_the_site(path) && path != "docs/SUMMARY.md")
        .filter(|path| !listed.contains(path))
        .collect();
    assert!(missing.is_empty(), "add to docs/SUMMARY.md: {missing:#?}");
}

#[test]
fn every_test_that_the_page_about_security_names_exists() {
    let page = std::fs::read_to_string(root().join("docs/security.md")).unwrap();
    let is_test = |word: &&str| {
        let is_word = word
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        is_word && word.contains('_')
    };
    let named: BTreeSet<&str> = page.split('`').skip(1).step_by(2).filter(is_test).collect();
    assert!(named.len() > 30, "{named:?}");
    let mut paths = Vec::new();
    for folder in ["src", "tests"] {
        collect(&root().join(folder), "rs", &mut paths);
    }
    let code: String = paths
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| !code.contains(&format!("fn {name}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

/// Every block of YAML, with the page that it is in.
fn yaml() -> Vec<(String, Block)> {
    let pages = pages().into_iter().flat_map(|(path, text)| {
        let blocks = book::blocks(&text).into_iter();
        let blocks = blocks.filter(|block| block.language == "yaml");
        blocks.map(move |block| (format!("{path}:{}", block.line), block))
    });
    let blocks: Vec<_> = pages.collect();
    assert!(blocks.len() > 100, "{}", blocks.len());
    blocks
}

fn is_object(value: &Value) -> bool {
    value["apiVersion"].is_string() && value["kind"].is_string()
}

fn documents(at: &str, block: &Block) -> Vec<Value> {
    serde_saphyr::from_multiple(&block.text).unwrap_or_else(|error| panic!("{at}: {error}"))
}

fn schema(kind: &str) -> Option<Value> {
    let info = KINDS.iter().find(|info| info.kind == kind)?;
    Some(crd::schema_of(info).unwrap())
}

#[test]
fn every_object_in_the_pages_is_taken_by_its_definition_and_by_the_planner() {
    let mut count = 0;
    for (at, block) in yaml() {
        let documents = documents(&at, &block);
        let templates = samples::templates_in(&documents);
        for object in documents.iter().filter(|it| is_object(it)) {
            samples::check(&at, object, &templates);
            let Some(schema) = schema(object["kind"].as_str().unwrap()) else {
                continue;
            };
            count += 1;
            let problems = validation::problems(object, &schema);
            assert!(
                problems.is_empty(),
                "{at}: {}",
                invalid::sentence(&problems)
            );
        }
    }
    assert!(count > 20, "{count}");
}

/// The part of a definition at a path such as `spec.stages`.
fn part<'a>(schema: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(schema, |schema, name| {
        let (name, is_item) = match name.strip_suffix("[]") {
            Some(name) => (name, true),
            None => (name, false),
        };
        let found = schema["properties"].get(name)?;
        if is_item {
            found.get("items")
        } else {
            Some(found)
        }
    })
}

/// What is wrong with some fields of an object: those that are there are checked, others may be elsewhere. Of the objects on the way
/// to `place` there may be parts, too.
fn problems_of_fields(
    fields: &Map<String, Value>,
    schema: &Value,
    path: &str,
    place: &str,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, value) in fields {
        let path = if path.is_empty() {
            name.clone()
        } else {
            format!("{path}.{name}")
        };
        let Some(schema) = schema["properties"].get(name) else {
            wrong.push(format!("{path}: there is no such field"));
            continue;
        };
        let is_on_the_way = path == "spec"
            || path == "status"
            || format!("{place}.").starts_with(&format!("{path}."));
        if let (Value::Object(fields), true) = (value, is_on_the_way) {
            wrong.extend(problems_of_fields(fields, schema, &path, place));
        } else {
            wrong.extend(problems_of_part(value, schema, &path));
        }
    }
    wrong
}

fn problems_of_part(part: &Value, schema: &Value, path: &str) -> Option<String> {
    let problems = validation::problems_of_part(part, schema, path);
    (!problems.is_empty()).then(|| invalid::sentence(&problems))
}

/// What is wrong with a fragment that is of a kind, such as `Pipeline spec.stages`: a list, or fields of the whole object, of what is at
/// that path, or of `spec`.
fn problems_of_fragment(fragment: &Value, place: &str) -> Vec<String> {
    let (kind, path) = place.split_once(' ').unwrap_or((place, "spec"));
    let Some(schema) = schema(kind) else {
        return vec![format!("there is no kind {kind}")];
    };
    let Some(inner) = part(&schema, path) else {
        return vec![format!("{kind} has no {path}")];
    };
    match fragment {
        Value::Array(_) => problems_of_part(fragment, inner, path)
            .into_iter()
            .collect(),
        Value::Object(fields) => {
            let knows_all = |schema: &Value| {
                fields
                    .keys()
                    .all(|name| schema["properties"].get(name).is_some())
            };
            if knows_all(&schema) {
                problems_of_fields(fields, &schema, "", path)
            } else if knows_all(inner) {
                problems_of_fields(fields, inner, path, path)
            } else {
                problems_of_fields(fields, &schema["properties"]["spec"], "spec", path)
            }
        }
        other => vec![format!("neither fields nor a list: {other}")],
    }
}

/// Keys of a file of values that the chart does not have.
fn unknown_values(given: &Value, chart: &Value, path: &str) -> Vec<String> {
    let (Value::Object(given), Value::Object(chart)) = (given, chart) else {
        return Vec::new();
    };
    let mut unknown = Vec::new();
    for (name, value) in given {
        let path = format!("{path}.{name}");
        match chart.get(name) {
            Some(chart) => unknown.extend(unknown_values(value, chart, &path)),
            // Labels and the like: people choose the names.
            None if chart.is_empty() => {}
            None => unknown.push(path),
        }
    }
    unknown
}

#[test]
fn every_fragment_in_the_pages_is_of_what_it_says() {
    let values = std::fs::read_to_string(root().join("charts/slipway/values.yaml")).unwrap();
    let values: Value = serde_saphyr::from_str(&values).unwrap();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (at, block) in yaml() {
        let row = FRAGMENTS.iter().find(|(page, _)| at.starts_with(page));
        let place = block.place.as_deref().or(row.map(|(_, place)| *place));
        for fragment in documents(&at, &block) {
            if is_object(&fragment) || fragment.is_null() {
                continue;
            }
            let problems = match place {
                None | Some("something else") => continue,
                Some("values") => unknown_values(&fragment, &values, "values"),
                Some(place) => problems_of_fragment(&fragment, place),
            };
            compared += 1;
            wrong.extend(
                problems
                    .into_iter()
                    .map(|problem| format!("{at}: {problem}")),
            );
        }
    }
    assert!(compared > 80, "{compared}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Fields of a gate that are no checks.
const COMMON: [&str; 3] = ["name", "mode", "from"];

#[test]
fn every_gate_has_a_page_and_its_row() {
    let schema = schemars::schema_for!(crate::pipeline::api::Gate);
    let fields = schema.get("properties").and_then(Value::as_object);
    let fields = fields.unwrap().keys();
    let index = std::fs::read_to_string(root().join("docs/pipelines/gates.md")).unwrap();
    let mut checks = 0;
    for check in fields.filter(|field| !COMMON.contains(&field.as_str())) {
        let page = root().join(format!("docs/pipelines/gates/{check}.md"));
        let text = std::fs::read_to_string(&page).unwrap_or_default();
        assert!(
            text.starts_with(&format!("# The gate `{check}`\n")),
            "{check}"
        );
        for word in ["- **Evidence**: ", "- **No data**: ", "- **Waiver**: "] {
            assert!(text.contains(word), "{check}: {word}");
        }
        let row = format!("| [{check}](gates/{check}.md) |");
        assert!(index.contains(&row), "{check}: no row {row}");
        checks += 1;
    }
    assert!(checks > 10, "{checks}");
}

#[test]
fn mistakes_in_fragments_are_found() {
    let wrong = |text: &str, place: &str| {
        problems_of_fragment(&serde_saphyr::from_str(text).unwrap(), place).len()
    };
    assert_eq!(
        wrong("protection: {soak: {duration: 4h}}", "Environment spec"),
        0
    );
    assert_eq!(
        wrong("protection: {soak: {for: 4h}}", "Environment spec"),
        1
    );
    assert_eq!(wrong("spec: {protektion: {}}", "Environment spec"), 1);
    assert_eq!(
        wrong("- {name: unit, type: Tset}", "Pipeline spec.stages"),
        1
    );
    assert_eq!(wrong("stages: [{name: unit}]", "Pipeline spec.stages"), 1);
    assert_eq!(wrong("retry: {infra: x}", "Pipeline spec.stages[]"), 1);
    assert_eq!(wrong("{a: 1}", "Pipelien"), 1);
    assert_eq!(
        wrong(
            "previews: {idle: {after: 4h, query: x}}",
            "Environment spec"
        ),
        1
    );
    assert_eq!(
        wrong(
            "previews: {idle: {after: 4h, query: x}}",
            "Environment spec.previews"
        ),
        0
    );
}
