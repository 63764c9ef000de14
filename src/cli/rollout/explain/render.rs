//! Why a Rollout is where it is, as people and as programs read it. No I/O.

use jiff::Timestamp;

use crate::cli::rollout::table::tone_of;
use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::decision::api::DecisionAction;
use crate::model::span::{moment, relative};
use crate::rollout::api::{Ending, EndingResult, RevisionStatus, Risk};
use crate::rollout::explain::{Advice, Explanation, Judgement, StepLine, StepState};

/// Endings that people are shown.
const ENDINGS: usize = 5;

/// For people.
pub(super) fn table(of: &Explanation, palette: Palette) -> String {
    let mut page = Page {
        palette,
        lines: Vec::new(),
    };
    page.lines.push(headline(of, palette));
    page.lines.extend(why(of));
    let heading = if of.is_changing {
        "Steps"
    } else {
        "Steps of the next change"
    };
    page.section(heading, &steps(of));
    page.section("Traffic", &revisions(of));
    page.section("Analysis", &analysis(of));
    page.section("Last Decision", &last_decision(of));
    page.section("Last changes", &history(of));
    page.section("Conditions", &conditions(of));
    page.section("What you could do", &advice(of));
    page.lines.extend(how_to_decide(of));
    page.lines.join("\n") + "\n"
}

struct Page {
    palette: Palette,
    lines: Vec<String>,
}

impl Page {
    /// Adds a section, unless there is nothing in it.
    fn section(&mut self, heading: &str, table: &Table) {
        let lines = table.lines(self.palette);
        if lines.is_empty() {
            return;
        }
        self.lines.push(String::new());
        self.lines.push(self.palette.paint(Tone::Strong, heading));
        self.lines.extend(lines);
    }
}

fn headline(of: &Explanation, palette: Palette) -> String {
    let name = format!("Rollout {}/{}", of.namespace, of.name);
    let phase = palette.paint(tone_of(of.phase), of.phase.as_str());
    let reason = of
        .reason
        .as_ref()
        .filter(|reason| *reason != of.phase.as_str());
    let reason = reason
        .map(|reason| format!(" ({reason})"))
        .unwrap_or_default();
    format!("{}: {phase}{reason}", palette.paint(Tone::Strong, &name))
}

fn why(of: &Explanation) -> Vec<String> {
    let now = of.as_of;
    let mut lines = Vec::new();
    let is_told = of.reason.as_deref() == Some("InvalidSpec") && !of.problems.is_empty();
    if !of.message.is_empty() && !is_told {
        lines.push(format!("  {}", of.message));
    }
    lines.extend(of.problems.iter().map(|problem| format!("  {problem}")));
    let meanwhile = of.message.split_once("; meanwhile: ").filter(|_| is_told);
    lines.extend(meanwhile.map(|(_, what)| format!("  meanwhile: {what}")));
    let line = |word: &str, at: Timestamp| format!("  {word} {}", moment(at, now));
    lines.extend(of.since.map(|at| line("since", at)));
    lines.extend(of.until.map(|at| line("until", at)));
    lines.extend(
        of.given_up_at
            .map(|at| line("given up, should nothing get further, at", at)),
    );
    lines.extend(
        of.held_at
            .map(|at| line("held for people, should nothing get further, at", at)),
    );
    lines.extend(risk(of));
    lines.extend(of.notes.iter().map(|note| format!("  note: {note}")));
    lines
}

fn risk(of: &Explanation) -> Option<String> {
    let Risk { level, because } = of.risk.as_ref()?;
    let whose = if of.is_changing {
        "risk"
    } else {
        "risk of the last change"
    };
    Some(format!("  {whose}: {level} ({})", because.join(", ")))
}

fn steps(of: &Explanation) -> Table {
    let mut table = Table::new(&["", "", "", ""], &[1]);
    for step in &of.steps {
        let StepLine { index, what, state } = step;
        let (mark, tone, note) = match state {
            StepState::Done => ("✓", Tone::Good, "done".to_owned()),
            StepState::Now => ("▶", Tone::Warn, now_note(of)),
            StepState::ToCome if of.is_changing => ("·", Tone::Faint, "to come".to_owned()),
            StepState::ToCome => ("·", Tone::Faint, String::new()),
        };
        table.row([
            Cell::new(tone, mark),
            index.to_string().into(),
            what.as_str().into(),
            Cell::new(tone, note),
        ]);
    }
    table
}

fn now_note(of: &Explanation) -> String {
    match of.until {
        Some(until) => format!("now, until {}", moment(until, of.as_of)),
        None => "now".to_owned(),
    }
}

fn revisions(of: &Explanation) -> Table {
    let mut table = Table::new(&["", "REVISION", "WEIGHT", "READY", "IMAGES"], &[2, 3]);
    let weights = of.weights.as_ref();
    let mark = match weights {
        Some(weights) if !weights.observed => " (not taken in yet)",
        _ => "",
    };
    let mut row = |side: &str, revision: &RevisionStatus, weight: Option<u8>| {
        let images = revision.images.iter();
        let images: Vec<String> = images
            .map(|(name, image)| format!("{name}={image}"))
            .collect();
        let weight = weight.map(|weight| format!("{weight} %{mark}"));
        table.row([
            side.into(),
            revision.revision.as_str().into(),
            weight.unwrap_or_else(|| "?".to_owned()).into(),
            format!("{}/{}", revision.ready, revision.replicas).into(),
            images.join(", ").into(),
        ]);
    };
    if let Some(stable) = &of.stable {
        row("stable", stable, weights.map(|weights| weights.stable));
    }
    if let Some(canary) = &of.canary {
        row("canary", canary, weights.map(|weights| weights.canary));
    }
    for draining in &of.draining {
        let until = format!("until {}", moment(draining.until, of.as_of));
        table.row([
            "drains".into(),
            draining.revision.as_str().into(),
            "".into(),
            "".into(),
            until.into(),
        ]);
    }
    table
}

fn analysis(of: &Explanation) -> Table {
    let headings = [
        "METRIC",
        "VERDICT",
        "GOOD/NEEDED",
        "BAD",
        "NEITHER",
        "ERRORS",
        "NO DATA",
        "LAST VALUE",
        "TAKEN",
    ];
    let headings = if of.analysis.is_empty() {
        [""; 9]
    } else {
        headings
    };
    let mut table = Table::new(&headings, &[2, 3, 4, 5, 6, 7]);
    for metric in &of.analysis {
        let tally = &metric.tally;
        let tone = match metric.verdict {
            Judgement::Undecided => Tone::Warn,
            Judgement::Good => Tone::Good,
            Judgement::Bad => Tone::Bad,
        };
        let taken = tally.at.map(|at| relative(at, of.as_of));
        let taken = taken.unwrap_or_else(|| "never".to_owned());
        let words = tally.message.as_ref().map(|words| format!(": {words}"));
        let row = metric.wanted_in_a_row;
        let row = row.map(|row| format!(", {}/{row} in a row", tally.successes));
        let row = row.unwrap_or_default();
        let dry_run = if metric.is_dry_run { " (dry run)" } else { "" };
        table.row([
            tally.name.as_str().into(),
            Cell::new(tone, format!("{}{dry_run}", metric.verdict)),
            format!("{}/{}{row}", tally.passed, metric.wanted).into(),
            tally.failed.to_string().into(),
            tally.inconclusive.to_string().into(),
            tally.errors.to_string().into(),
            tally.no_data.to_string().into(),
            tally.value.clone().unwrap_or_default().into(),
            format!("{taken}{}", words.unwrap_or_default()).into(),
        ]);
    }
    table
}

fn last_decision(of: &Explanation) -> Table {
    let mut table = Table::new(&[""], &[]);
    if let Some(decision) = &of.last_decision {
        let at = moment(decision.at, of.as_of);
        let text = format!(
            "{} by {} at {at}: {}",
            decision.action, decision.user, decision.result
        );
        table.row([text.into()]);
    }
    table
}

fn history(of: &Explanation) -> Table {
    let mut table = Table::new(&["", "", "", "", ""], &[2]);
    for ending in of.history.iter().take(ENDINGS) {
        let Ending {
            revision,
            result,
            reason,
            finished_at,
            peak_weight,
            ..
        } = ending;
        let tone = match result {
            EndingResult::Promoted => Tone::Good,
            EndingResult::RolledBack => Tone::Bad,
            EndingResult::Superseded => Tone::Faint,
        };
        table.row([
            revision.as_str().into(),
            Cell::new(tone, result.as_str()),
            format!("{peak_weight} % at most").into(),
            moment(*finished_at, of.as_of).into(),
            reason.as_str().into(),
        ]);
    }
    table
}

fn conditions(of: &Explanation) -> Table {
    let mut table = Table::new(&["", "", "", ""], &[]);
    for condition in &of.conditions {
        // Ready and Healthy should be true; the others are there only while something is the matter.
        let is_good = ["Ready", "Healthy"].contains(&condition.type_.as_str());
        let tone = match (is_good, condition.status.as_str()) {
            (true, "True") => Tone::Good,
            (true, _) if condition.type_ == "Ready" => tone_of(of.phase),
            (true, _) => Tone::Bad,
            (false, _) => Tone::Warn,
        };
        let since = moment(condition.last_transition_time.0, of.as_of);
        table.row([
            condition.type_.as_str().into(),
            Cell::new(tone, condition.status.as_str()),
            condition.reason.as_str().into(),
            format!("since {since}").into(),
        ]);
    }
    table
}

fn advice(of: &Explanation) -> Table {
    let mut table = Table::new(&["", ""], &[]);
    for Advice {
        decision,
        groups,
        what,
    } in &of.advice
    {
        let Some(decision) = decision else {
            table.row(["–".into(), what.as_str().into()]);
            continue;
        };
        let whose = if groups.is_empty() {
            String::new()
        } else {
            format!(" (in the name of {})", groups.join(" or "))
        };
        table.row([
            Cell::new(Tone::Strong, decision.as_str()),
            format!("{what}{whose}").into(),
        ]);
    }
    table
}

/// How the first Decision of the advice is made.
fn how_to_decide(of: &Explanation) -> Vec<String> {
    let first = of.advice.iter().find_map(|advice| {
        let action: DecisionAction = advice.decision?;
        Some((action, &advice.groups))
    });
    let Some((action, groups)) = first else {
        return Vec::new();
    };
    let Explanation {
        namespace, name, ..
    } = of;
    let group = groups.first().map(|group| format!(" --group {group}"));
    vec![
        String::new(),
        "Each of these words is a verb of kubectl slipway rollout, and a Decision in your name. The first one:"
            .to_owned(),
        format!(
            "  kubectl slipway rollout {} {name} -n {namespace}{}",
            action.verb(),
            group.unwrap_or_default()
        ),
    ]
}

#[cfg(test)]
mod tests;
