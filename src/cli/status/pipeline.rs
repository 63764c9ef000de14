//! Pipelines as a table for people. No I/O.

use jiff::Timestamp;
use kube::ResourceExt;

use crate::cli::run::table::short;
use crate::cli::standing::{self, Standing};
use crate::cli::text::{Cell, Table, Tone, age};
use crate::model::condition;
use crate::pipeline::api::Pipeline;

/// One line per Pipeline.
pub fn list(pipelines: &[Pipeline], now: Timestamp, is_wide: bool) -> Table {
    let headings = [
        "NAME", "STATE", "COMMIT", "LAST RUN", "RELEASE", "AGE", "MESSAGE",
    ];
    let mut table = Table::new(&headings, &[]);
    for pipeline in pipelines {
        let status = pipeline.status.clone().unwrap_or_default();
        let commit = status.last_observed_sha.as_deref();
        let run = status.last_run.as_ref();
        table.row([
            pipeline.name_any().into(),
            Cell::new(tone(pipeline), state(pipeline)),
            commit.map_or_else(|| "–".to_owned(), short).into(),
            run.map_or_else(String::new, |run| format!("{} {}", run.name, run.phase))
                .into(),
            status.latest_release.unwrap_or_default().into(),
            age(pipeline.creation_timestamp().as_ref(), now).into(),
            status.message.unwrap_or_default().into(),
        ]);
    }
    if is_wide {
        let headings = ["BRANCH", "URL"].map(Cell::heading);
        let more = pipelines.iter().map(|pipeline| {
            let git = &pipeline.spec.source.git;
            [git.branch.as_str().into(), git.url.as_str().into()]
        });
        table.behind(std::iter::once(headings).chain(more));
    }
    table
}

/// What it does, in one word: the reason of its condition `Ready`.
pub fn state(pipeline: &Pipeline) -> &str {
    let status = pipeline.status.as_ref();
    let ready = status.and_then(|status| condition::find(&status.conditions, "Ready"));
    ready.map_or("New", |ready| ready.reason.as_str())
}

/// Green is kept for what ends; a Pipeline that watches goes on.
fn tone(pipeline: &Pipeline) -> Tone {
    match standing::of_pipeline(pipeline) {
        Standing::Bad => Tone::Bad,
        Standing::Waiting => Tone::Warn,
        Standing::Underway | Standing::Well => Tone::Plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::text::Palette;

    #[test]
    fn a_pipeline_is_a_line_with_its_commit_and_its_run() {
        let pipeline = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Pipeline",
            "metadata": {"name": "shop", "creationTimestamp": "2026-11-26T10:00:00Z"},
            "spec": {"source": {"git": {"url": "https://git.example/shop.git"}}, "stages": []},
            "status": {
                "message": "main is at 3f9c2e1b0d3f", "lastObservedSha": "3f9c2e1b0d3f".repeat(3),
                "lastRun": {"name": "shop-8", "phase": "Succeeded"}, "latestRelease": "shop-8",
                "conditions": [{"type": "Ready", "status": "True", "reason": "Watching", "message": "",
                                "lastTransitionTime": "2026-11-26T10:00:00Z"}],
            },
        });
        let mut new = pipeline.clone();
        new["status"] = json!({});
        let all: Vec<Pipeline> = [pipeline, new]
            .into_iter()
            .map(|one| serde_json::from_value(one).unwrap())
            .collect();
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        let text = |is_wide| list(&all, now, is_wide).text(Palette::new(false));
        let page = text(false);
        let lines: Vec<&str> = page.lines().collect();
        let words: Vec<&str> = lines[1]
            .split("  ")
            .filter(|word| !word.is_empty())
            .collect();
        let words: Vec<&str> = words.iter().map(|word| word.trim()).collect();
        let expected = [
            "shop",
            "Watching",
            "3f9c2e1b0d3f",
            "shop-8 Succeeded",
            "shop-8",
            "2d2h",
            "main is at 3f9c2e1b0d3f",
        ];
        assert_eq!(words, expected, "{page}");
        assert!(lines[2].contains("New") && lines[2].contains('–'), "{page}");
        let wide = text(true);
        assert!(wide.contains("https://git.example/shop.git"), "{wide}");
    }
}
