//! Every test that docs/scenarios.md names is there, and what it says about a scenario is one of three things.

use std::collections::BTreeMap;

use super::root;

fn read(path: &str) -> String {
    let text = std::fs::read_to_string(root().join(path));
    text.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Cells of the rows of the page's tables.
fn rows(page: &str) -> Vec<Vec<&str>> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    let rows = rows.map(|row| row.trim_end_matches('|').split('|').map(str::trim));
    rows.map(Iterator::collect).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// Files of tests, by the name that the page gives them.
fn files(page: &str) -> BTreeMap<&str, &str> {
    let named = rows(page).into_iter().filter_map(|row| {
        let path = row.get(1)?.strip_prefix('[')?.split(']').next()?;
        Some((quoted(row[0]).next()?, path))
    });
    named.collect()
}

/// Whether a file has a test of this name.
fn has_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let (plain, slow) = (format!("fn {name}("), format!("async fn {name}("));
    let found = lines
        .iter()
        .position(|line| line.starts_with(&plain) || line.starts_with(&slow));
    found.is_some_and(|at| {
        let above = lines[..at].iter().rev();
        let mut above = above.take_while(|line| !line.is_empty() && **line != "}");
        above.any(|line| line.contains("test]") || line.starts_with("#[tokio::test"))
    })
}

#[test]
fn every_test_in_the_page_of_scenarios_exists() {
    let page = read("docs/scenarios.md");
    let files = files(&page);
    assert!(files.len() > 20, "{files:?}");
    let texts: BTreeMap<&str, String> = files
        .iter()
        .map(|(name, path)| (*name, read(path)))
        .collect();
    let mut missing = Vec::new();
    for name in rows(&page).iter().filter_map(|row| row.get(2)) {
        for test in quoted(name).filter(|name| name.contains("::")) {
            let (module, name) = test.rsplit_once("::").unwrap();
            if !texts.get(module).is_some_and(|text| has_test(text, name)) {
                missing.push(test.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

#[test]
fn every_scenario_has_tests_or_says_why_not() {
    let page = read("docs/scenarios.md");
    let mut wrong = Vec::new();
    for row in rows(&page) {
        let [scenario, verdict, why] = row[..] else {
            wrong.push(format!("{row:?} has not three cells"));
            continue;
        };
        let is_sound = match verdict {
            "yes" => why.contains("::"),
            "no" => !why.is_empty(),
            // A heading, a file of tests, or what says for itself what is missing.
            "not yet" | "" | "in" => true,
            other => other.starts_with('['),
        };
        if !is_sound {
            wrong.push(format!("{scenario}: {verdict}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_scenario_that_is_played_is_in_the_page() {
    let page = read("docs/scenarios.md");
    let stories = read("src/rollout/plan/tests/scenario.rs");
    let tests = stories
        .split("#[test]\nfn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next());
    let missing: Vec<&str> = tests.filter(|name| !page.contains(*name)).collect();
    assert!(missing.is_empty(), "not in docs/scenarios.md: {missing:#?}");
}
