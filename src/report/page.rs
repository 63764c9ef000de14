//! Reads what is said of web pages: axe and Lighthouse. No I/O.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::finding::{Found, printable, severity_of};
use super::{ReportError, json};
use crate::pipeline_run::api::{FindingCategory, FindingSet, Scores};

#[derive(Deserialize)]
struct Page {
    url: String,
    violations: Vec<Violation>,
}

#[derive(Deserialize)]
struct Violation {
    id: String,
    impact: Option<String>,
    #[serde(default)]
    help: String,
    #[serde(default)]
    nodes: Vec<IgnoredAny>,
}

/// Reads the JSON of axe, of one page or of several. A rule that is broken counts once for each page.
///
/// # Errors
/// If it cannot be read to its end, or is about no page.
pub fn axe(bytes: &[u8]) -> Result<FindingSet, ReportError> {
    const WANTED: &str = "report of axe, which is an object with url and violations for each page, or a list of them";
    let pages: Vec<Page> = if json::is_list(bytes) {
        json::read(bytes, WANTED)?
    } else {
        vec![json::object(bytes, WANTED)?]
    };
    if pages.is_empty() {
        return Err(ReportError::form(WANTED, "it has no page"));
    }
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
#[serde(rename_all = "camelCase")]
struct Lighthouse {
    #[serde(rename = "lighthouseVersion")]
    _version: String,
    categories: BTreeMap<String, Category>,
    runtime_error: Option<RuntimeError>,
}

#[derive(Deserialize)]
struct Category {
    score: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RuntimeError {
    code: String,
    message: String,
}

/// Reads the JSON of Lighthouse.
///
/// # Errors
/// If it cannot be read to its end, or Lighthouse could not look at the page.
pub fn lighthouse(bytes: &[u8]) -> Result<Scores, ReportError> {
    const WANTED: &str =
        "report of Lighthouse, which is an object with lighthouseVersion and categories";
    let report: Lighthouse = json::object(bytes, WANTED)?;
    let error = report.runtime_error.unwrap_or_default();
    // Old ones say so where there was none.
    if !matches!(error.code.as_str(), "" | "NO_ERROR") {
        let (code, message) = (printable(&error.code, 60), printable(&error.message, 200));
        let problem = format!("Lighthouse could not look at the page ({code}): {message}");
        return Err(ReportError::Nonsense(problem));
    }
    let accessibility = report.categories.get("accessibility");
    // The score of another page would stand for both of them.
    if accessibility.is_some_and(|category| category.score.is_none()) {
        let problem = "Lighthouse could not give the page a score for accessibility".to_owned();
        return Err(ReportError::Nonsense(problem));
    }
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
        for other in [
            "{}",
            "[]",
            "[{}]",
            r#"[{"id":"image-alt","nodes":[]}]"#,
            r#"{"violations":[]}"#,
        ] {
            let error = axe(other.as_bytes()).unwrap_err().to_string();
            assert!(error.starts_with("no report of axe, which is"), "{error}");
        }
        let clean = r#"[{"url":"http://x/","violations":[],"passes":[]}]"#;
        assert!(axe(clean.as_bytes()).unwrap().total.is_none());
    }

    #[test]
    fn scores_are_from_0_to_100() {
        let json = br#"{"lighthouseVersion":"12","categories":{"accessibility":{"score":0.914},"performance":{"score":null},"seo":{"score":7}}}"#;
        let scores = lighthouse(json).unwrap();
        assert_eq!(
            (scores.accessibility, scores.performance, scores.seo),
            (Some(91), None, Some(100))
        );
        assert!(lighthouse(br#"{"categories":{"accessibility":{"score":1}}}"#).is_err());
    }

    #[test]
    fn a_page_that_lighthouse_could_not_look_at_is_no_evidence() {
        let with = |error: &str, score: &str| {
            let json = format!(
                r#"{{"lighthouseVersion":"12","runtimeError":{error},"categories":{{"accessibility":{{"score":{score}}}}}}}"#
            );
            lighthouse(json.as_bytes()).map_err(|error| error.to_string())
        };
        assert!(with(r#"{"code":"NO_ERROR","message":""}"#, "1").is_ok());
        let failed = with(
            r#"{"code":"NO_FCP","message":"nothing was painted"}"#,
            "null",
        );
        assert_eq!(
            failed.unwrap_err(),
            "Lighthouse could not look at the page (NO_FCP): nothing was painted"
        );
        assert!(
            with("null", "null")
                .unwrap_err()
                .contains("a score for accessibility")
        );
    }
}
