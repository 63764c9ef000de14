//! Reads what is said of web pages: axe and Lighthouse. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::finding::{Found, severity_of};
use super::{ReportError, json};
use crate::pipeline_run::api::{FindingCategory, FindingSet, Scores};

#[derive(Deserialize)]
#[serde(untagged)]
enum Axe {
    Pages(Vec<Page>),
    Page(Page),
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    url: String,
    violations: Vec<Violation>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Violation {
    id: String,
    impact: Option<String>,
    help: String,
    nodes: Vec<IgnoredAny>,
}

/// Reads the JSON of axe, of one page or of several. A rule that is broken counts once for each page.
///
/// # Errors
/// If it cannot be read to its end.
pub fn axe(bytes: &[u8]) -> Result<FindingSet, ReportError> {
    let pages = match json::read(bytes)? {
        Axe::Pages(pages) => pages,
        Axe::Page(page) => vec![page],
    };
    let mut set = FindingSet::none(FindingCategory::Accessibility);
    for page in &pages {
        for violation in &page.violations {
            let elements = violation.nodes.len();
            set.push(&Found {
                severity: violation.impact.as_deref().and_then(severity_of),
                id: &violation.id,
                place: &page.url,
                text: &format!("{} (elements: {elements})", violation.help),
                ..Found::default()
            });
        }
    }
    Ok(set.settled())
}

#[derive(Deserialize)]
struct Lighthouse {
    categories: BTreeMap<String, Category>,
}

#[derive(Deserialize)]
struct Category {
    score: Option<f64>,
}

/// Reads the JSON of Lighthouse.
///
/// # Errors
/// If it cannot be read to its end.
pub fn lighthouse(bytes: &[u8]) -> Result<Scores, ReportError> {
    let report: Lighthouse = json::read(bytes)?;
    let score = |name: &str| {
        let score = report.categories.get(name)?.score?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "clamped to 0 to 100 before"
        )]
        let score = (score * 100.0).round().clamp(0.0, 100.0) as u32;
        Some(score)
    };
    Ok(Scores {
        accessibility: score("accessibility"),
        performance: score("performance"),
        best_practices: score("best-practices"),
        seo: score("seo"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_is_broken_counts_once_for_each_page() {
        let page = r#"{"url":"http://x/","violations":[{"id":"image-alt","impact":"critical","help":"Images need text","nodes":[{},{}]},
            {"id":"region","impact":"moderate","nodes":[{}]}],"passes":[{"id":"x"}]}"#;
        let one = axe(page.as_bytes()).unwrap();
        assert_eq!((one.total.critical, one.total.medium), (1, 1));
        assert_eq!(one.worst[0].text, "Images need text (elements: 2)");
        let several = axe(format!("[{page},{page}]").as_bytes()).unwrap();
        assert_eq!(several.total.critical, 2);
        assert!(axe(b"{}").is_err());
    }

    #[test]
    fn scores_are_from_0_to_100() {
        let json = br#"{"lighthouseVersion":"12","categories":{"accessibility":{"score":0.914},"performance":{"score":null},"seo":{"score":7}}}"#;
        let scores = lighthouse(json).unwrap();
        assert_eq!(
            (scores.accessibility, scores.performance, scores.seo),
            (Some(91), None, Some(100))
        );
    }
}
