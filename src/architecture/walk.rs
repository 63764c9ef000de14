//! ARCHITECTURE.md is what a newcomer has in hand: files, functions and types that it names are where it says.

use std::collections::{BTreeMap, BTreeSet};

use super::{collect, root, sources};

/// The chapter with the walks.
const CHAPTER: &str = "## A change's way through the tree";

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

/// Whether a file has a function or a type of that name.
fn defines(text: &str, name: &str) -> bool {
    let words = ["fn", "struct", "enum", "trait", "type", "const"];
    words
        .iter()
        .any(|word| names(text, &format!("{word} {name}")))
}

/// What stands in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The lines of the walks: each file with what is said to be in it, in order.
fn walks(page: &str) -> Vec<(String, Option<String>)> {
    let (_, rest) = page.split_once(CHAPTER).unwrap();
    let chapter = rest.split("\n## ").next().unwrap();
    let is_line = |line: &&str| line.starts_with(|c: char| c.is_ascii_digit());
    let mut steps = Vec::new();
    for line in chapter.lines().filter(is_line) {
        for part in line.split("](src/").skip(1) {
            let (path, after) = part.split_once(')').unwrap();
            let name = after.strip_prefix(" `").and_then(|it| it.split('`').next());
            steps.push((path.to_owned(), name.map(str::to_owned)));
        }
    }
    steps
}

#[test]
fn what_the_walks_pass_is_there() {
    let mut wrong = Vec::new();
    let steps = walks(&page());
    for (path, name) in &steps {
        let file = root().join("src").join(path);
        let Some(name) = name else {
            if !file.exists() {
                wrong.push(format!("there is no {path}"));
            }
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        if !defines(&text, name) {
            wrong.push(format!("{path} has no {name}"));
        }
    }
    assert!(steps.len() > 80, "{}", steps.len());
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_walks_pass_every_kind_from_what_is_seen_to_what_is_said() {
    let steps = walks(&page());
    let passed: BTreeSet<&str> = steps.iter().map(|(path, _)| path.as_str()).collect();
    for kind in ["rollout", "pipeline_run", "environment"] {
        for room in ["observe.rs", "plan.rs", "render.rs"] {
            let path = format!("{kind}/{room}");
            assert!(passed.contains(path.as_str()), "no walk passes {path}");
        }
    }
}

#[test]
fn functions_that_the_page_names_are_in_the_code() {
    let code: BTreeMap<String, String> = sources()
        .into_iter()
        .map(|source| (source.path, source.code))
        .collect();
    let is_name = |word: &&str| {
        let is_of_words = word
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':');
        is_of_words && (word.contains('_') || word.contains("::"))
    };
    let page = page();
    let text: String = page.split("```").step_by(2).collect();
    let named: BTreeSet<&str> = quoted(&text).filter(is_name).collect();
    assert!(named.len() > 30, "{named:?}");
    let is_there = |name: &str| code.values().any(|code| names(code, name));
    let missing: Vec<&str> = named
        .into_iter()
        .filter(|name| !name.split("::").all(is_there))
        .collect();
    assert!(missing.is_empty(), "not in the code: {missing:#?}");
}

/// Whether `name` stands in `code` as a whole word.
fn names(code: &str, name: &str) -> bool {
    let is_of_word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(name).any(|(at, _)| {
        !code[..at].ends_with(is_of_word) && !code[at + name.len()..].starts_with(is_of_word)
    })
}

#[test]
fn every_folder_and_file_at_the_top_is_in_the_tree() {
    let page = page();
    let tree = page.split("```text").nth(1).unwrap();
    let tree = tree.split("```").next().unwrap();
    let mut paths = Vec::new();
    collect(&root().join("src"), "rs", &mut paths);
    let below = root().join("src");
    let tops: BTreeSet<String> = paths
        .iter()
        .map(|path| {
            let path = path.strip_prefix(&below).unwrap().to_str().unwrap();
            path.split('/').next().unwrap().to_owned()
        })
        .collect();
    let named = |top: &str| match top.strip_suffix(".rs") {
        // Its folder stands for both.
        Some(folder) => names(tree, top) || tree.contains(&format!("{folder}/")),
        None => tree.contains(&format!("{top}/")) || tree.contains(&format!("{top}.rs")),
    };
    let missing: Vec<&String> = tops.iter().filter(|top| !named(top)).collect();
    assert!(missing.is_empty(), "not in ARCHITECTURE.md: {missing:#?}");
}

#[test]
fn what_is_not_there_is_missed() {
    assert!(defines("pub(super) fn wait(&self)", "wait"));
    assert!(!defines("fn wait_for(&self)", "wait"));
    assert!(!defines("self.wait()", "wait"));
    let page = format!(
        "{CHAPTER}\n\n1. [a.rs](src/a.rs) `take` takes; [b/](src/b) has more.\n\n## Next\n1. [c](src/c.rs)"
    );
    let steps = [
        ("a.rs".to_owned(), Some("take".to_owned())),
        ("b".to_owned(), None),
    ];
    assert_eq!(walks(&page), steps);
}
