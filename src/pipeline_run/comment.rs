//! The comment on a pull request: how its newest run goes, as Markdown. Pure.
//!
//! What people's code, commits and reports say is text from outside: it is written so that it stays text where it is shown. It
//! becomes no link, no image, no HTML, no row of a table, calls nobody, and is on one line, so that nothing of it begins one.

use std::fmt::Write;

use super::api::{
    Artifact, ArtifactKind, Coverage, GateResult, PipelineRunStatus, RunPhase, StageStatus,
    TestCounts,
};
use super::observed::Observed;
use super::{changelog, plan, tell};
use crate::gate::coverage::shown;
use crate::gate::{Evidence, Scope, finding};
use crate::pipeline::api::PipelineSpec;
use crate::provider::CommitState;
use crate::release::notes;
use crate::release::version::{self, Own};

/// Longest comment, in bytes. GitHub takes 64 KiB.
pub const MAX: usize = 48 << 10;
/// Room for the line that says that something is left out.
const ROOM: usize = 256;
/// Tests, and findings, that are named.
const NAMED: usize = 10;
/// Longest text of somebody's, in characters.
const LONG: usize = 200;
/// Characters of a commit that people read.
const SHORT: usize = 12;

/// What the comment of a Pipeline begins with. It is not seen.
pub fn marker(seen: &Observed) -> String {
    let namespace = &seen.key.namespace;
    let pipeline = &seen.spec.pipeline_ref.name;
    format!("<!-- slipway:comment {namespace}/{pipeline} -->")
}

/// The comment.
///
/// # Guarantees
/// - It begins with the marker, and is at most [`MAX`] bytes long.
pub fn body(seen: &Observed, spec: &PipelineSpec, status: &PipelineRunStatus) -> String {
    let previous = status.previous.as_deref();
    let previous = previous.and_then(|name| seen.release(name));
    let evidence = Evidence {
        stages: &status.stages,
        made: &[],
        baseline: previous.map(|release| &release.spec.evidence),
    };
    let scope = evidence.scope(&[]);
    let mut body = head(seen, status);
    let parts = [
        stages(status),
        gates(status),
        tests(status, scope.tests),
        coverage(&scope),
        findings(&scope),
        artifacts(status),
        preview(status),
        news(seen, spec, status),
    ];
    let mut is_whole = true;
    for part in parts.into_iter().flatten() {
        if body.len() + part.len() + ROOM > MAX {
            is_whole = false;
            continue;
        }
        body.push('\n');
        body.push_str(&part);
    }
    if !is_whole {
        let name = &seen.key.name;
        let _ = write!(
            body,
            "\nThere is more: `kubectl slipway run describe {name}`\n"
        );
    }
    body
}

fn head(seen: &Observed, status: &PipelineRunStatus) -> String {
    let phase = status.phase.unwrap_or_default();
    let verdict = match phase {
        RunPhase::Queued | RunPhase::Running => "in progress",
        RunPhase::Succeeded => "passed",
        RunPhase::Failed => "failed",
        RunPhase::TimedOut => "took too long",
        RunPhase::Cancelled => "stopped",
    };
    let pipeline = &seen.spec.pipeline_ref.name;
    let sha = status.sha.as_deref().unwrap_or_default();
    let sha = sha.get(..SHORT).unwrap_or(sha);
    let name = &seen.key.name;
    let mut head = format!(
        "{}\n### {pipeline}: {verdict}\n\nCommit {sha}, run `{name}`",
        marker(seen)
    );
    if phase.is_finished() {
        head.push_str(": ");
        head.push_str(&text(&plan::report(status).message));
    }
    head.push('\n');
    head
}

fn stages(status: &PipelineRunStatus) -> Option<String> {
    if status.stages.is_empty() {
        return None;
    }
    let row = |stage: &StageStatus| {
        let (state, said) = tell::said_of(stage);
        let word = match state {
            CommitState::Pending => "…",
            CommitState::Success => "passed",
            CommitState::Failure => "**failed**",
            CommitState::Error => "not done",
        };
        format!("| {} | {word} | {} |\n", stage.name, text(&said))
    };
    let rows: String = status.stages.iter().map(row).collect();
    Some(format!("| stage | | |\n|---|---|---|\n{rows}"))
}

fn gates(status: &PipelineRunStatus) -> Option<String> {
    if status.gates.is_empty() {
        return None;
    }
    let is_held = |result| matches!(result, GateResult::Passed | GateResult::Waived);
    let held = status.gates.iter().filter(|gate| is_held(gate.result));
    let mut part = format!(
        "**Gates**: {} of {} hold\n",
        held.count(),
        status.gates.len()
    );
    for gate in status.gates.iter().filter(|gate| !is_held(gate.result)) {
        let verdict = match gate.result {
            GateResult::Passed | GateResult::Waived | GateResult::Failed => "failed",
            GateResult::Warned => "warns",
            GateResult::NoData => "has nothing to judge",
        };
        let why = gate.message.as_deref().unwrap_or("it does not hold");
        let _ = writeln!(part, "- {} {verdict}: {}", gate.name, text(why));
    }
    Some(part)
}

fn tests(status: &PipelineRunStatus, all: Option<TestCounts>) -> Option<String> {
    let all = all?;
    let mut part = format!("**Tests**: {} of {} passed", all.passed, all.total);
    for (number, word) in [
        (all.failed, "failed"),
        (all.quarantined, "of them in quarantine"),
        (all.skipped, "skipped"),
        (all.flaky, "flaky"),
    ] {
        if number > 0 {
            let _ = write!(part, ", {number} {word}");
        }
    }
    part.push('\n');
    let failed = status.stages.iter().flat_map(|stage| {
        let tests = stage.failed_tests.iter();
        tests.map(|test| {
            let said = test.message.as_deref().unwrap_or_default();
            let said = if said.is_empty() {
                String::new()
            } else {
                format!(": {}", text(said))
            };
            format!("- {}: {} failed{said}\n", stage.name, text(&test.name))
        })
    });
    let flaky = status.stages.iter().flat_map(|stage| {
        let tests = stage.flaky_tests.iter();
        tests.map(|test| format!("- {}: {} is flaky\n", stage.name, text(test)))
    });
    part.extend(failed.take(NAMED));
    part.extend(flaky.take(NAMED));
    Some(part)
}

fn coverage(scope: &Scope<'_>) -> Option<String> {
    let now = scope.now.coverage.as_ref()?;
    let lines = now.line_percent()?;
    let mut part = format!("**Coverage**: {} % of lines", shown(lines));
    let before = scope.before.as_ref();
    let before = before.and_then(|before| before.coverage);
    if let Some(before) = before.as_ref().and_then(Coverage::line_percent) {
        let difference = lines - before;
        let _ = write!(part, " ({difference:+.2} since the newest Release)");
    }
    if let Some(changed) = now.changed_percent() {
        let _ = write!(part, ", {} % of the lines that changed", shown(changed));
    }
    part.push('\n');
    Some(part)
}

fn findings(scope: &Scope<'_>) -> Option<String> {
    if scope.now.findings.is_empty() {
        return None;
    }
    let before = scope.before.as_ref();
    let heading = match before {
        Some(_) => "New findings",
        None => "Findings",
    };
    let mut part = format!("**{heading}**:");
    let mut lines = Vec::new();
    for (at, set) in scope.now.findings.iter().enumerate() {
        let known = before.and_then(|before| before.findings_of(set.category));
        let (counted, listed) = finding::news(set, known);
        let comma = if at == 0 { "" } else { ";" };
        let what = set.category.as_str().to_lowercase();
        let _ = write!(
            part,
            "{comma} {what}, {}",
            finding::measured(&counted, false)
        );
        lines.extend(listed.into_iter().map(|found| {
            let word = finding::word(found.severity);
            format!("- {word}: {}\n", text(&finding::words(found)))
        }));
    }
    part.push('\n');
    part.extend(lines.into_iter().take(NAMED));
    Some(part)
}

/// The URL is of the Environment's own words.
fn preview(status: &PipelineRunStatus) -> Option<String> {
    let url = status.preview.as_ref()?.url.as_ref()?;
    Some(format!("**Preview**: {url}\n"))
}

fn artifacts(status: &PipelineRunStatus) -> Option<String> {
    if status.artifacts.is_empty() {
        return None;
    }
    let line = |artifact: &Artifact| {
        let what = match artifact.kind {
            ArtifactKind::Image => "image",
            ArtifactKind::Package => "package",
        };
        format!("- {what} {}: {}\n", artifact.name, text(&artifact.pinned()))
    };
    let lines: String = status.artifacts.iter().map(line).collect();
    Some(format!("**Made**:\n{lines}"))
}

/// The notes as they would be, were this released now.
fn news(seen: &Observed, spec: &PipelineSpec, status: &PipelineRunStatus) -> Option<String> {
    status.commit.as_ref()?;
    let notes = changelog::of_run(seen, status);
    if notes.is_empty() {
        return None;
    }
    let own = Own {
        sha: status.sha.as_deref().unwrap_or_default(),
        changes: &status.changes,
        breaking: &status.breaking,
        bump: status.bump.unwrap_or_default(),
    };
    let rule = spec.release.version.as_ref();
    let next = rule.and_then(|rule| version::next(&seen.releases, own, rule).ok());
    let next = next.map_or_else(String::new, |next| format!(" in {next}"));
    let notes = quiet(&notes);
    Some(format!(
        "<details><summary>What would be new{next}</summary>\n\n{notes}\n</details>\n"
    ))
}

/// A text of somebody's, cut off, so that it is shown as it is.
fn text(said: &str) -> String {
    let is_seen = |c: &char| !matches!(*c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut chars = said.chars().filter(is_seen);
    let mut short: String = chars.by_ref().take(LONG).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    quiet(&notes::plain(short.trim()))
}

/// Markdown whose words refer to nothing: no address becomes a link, no number an issue, no name a label.
fn quiet(markdown: &str) -> String {
    let markdown = markdown.replace("://", ":\u{200b}//");
    let markdown = markdown.replace("www.", "www\u{200b}.");
    let markdown = markdown.replace("\\#", "\\#\u{200b}");
    let mut quiet = String::with_capacity(markdown.len());
    let mut rest = markdown.chars().peekable();
    while let Some(c) = rest.next() {
        let next = rest.peek().copied().unwrap_or(' ');
        // `GH-12` is an issue of GitHub's.
        let is_issue = c == '-'
            && next.is_ascii_digit()
            && ["GH", "gh"].iter().any(|mark| quiet.ends_with(mark));
        if is_issue {
            quiet.push('\u{200b}');
        }
        quiet.push(c);
        // GitLab knows `!12`, `~label`, `&3`, `$5` and `%1.0`, and names in quotes.
        let is_mark = matches!(c, '!' | '~' | '&' | '$' | '%');
        if is_mark && (next.is_alphanumeric() || next == '"') {
            quiet.push('\u{200b}');
        }
    }
    quiet
}

/// Whether a run speaks for a pull request in its comment: the newest one does.
pub fn is_spoken_for(seen: &Observed) -> bool {
    seen.spec.pull_number().is_some() && !seen.is_outrun
}

#[cfg(test)]
mod tests;
