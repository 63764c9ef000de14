//! What would have been, as people read it. No I/O.

use std::time::Duration;

use jiff::Timestamp;

use super::plot::plot;
use crate::analysis::api::SampleResult;
use crate::cli::text::{Cell, Palette, Table, Tone};
use crate::model::span::{exact, span};
use crate::rollout::api::FailureReason;
use crate::rollout::explain::Judgement;
use crate::rollout::replay::{End, Outcome, Replay, Replayed, Taken};

/// Samples in a row that are alike; of more than these only some are shown.
const MOST_ALIKE: usize = 6;
/// Most rows of a metric.
const MOST_ROWS: usize = 45;
/// How many samples that are alike are shown at the beginning and at the end.
const SHOWN: (usize, usize) = (3, 2);
/// What samples are counted as in the overview.
const COUNTED: [(&str, SampleResult); 5] = [
    ("GOOD", SampleResult::Good),
    ("BAD", SampleResult::Bad),
    ("NEITHER", SampleResult::Inconclusive),
    ("NO DATA", SampleResult::NoData),
    ("ERRORS", SampleResult::Error),
];
/// Its columns of numbers, with all of them.
const NUMBERS: &[usize] = &[1, 2, 3, 4, 5, 6, 7];
/// Narrowest column of values.
const LEAST_VALUE: usize = 12;

/// Everything, on lines of this width.
pub(super) fn page(replay: &Replay, width: usize, palette: Palette) -> String {
    let times = Times::of(replay);
    let mut lines = vec![palette.paint(Tone::Strong, &title(replay))];
    lines.push(format!("  {}", sentence(replay, palette)));
    lines.push(String::new());
    lines.extend(overview(replay, &times, palette));
    for metric in &replay.metrics {
        lines.push(String::new());
        lines.push(palette.paint(Tone::Strong, &metric.name));
        lines.extend(samples(metric, &times, width, palette));
        if !metric.samples.is_empty() {
            lines.push(String::new());
            lines.extend(plot(metric, &times, width, palette));
        }
    }
    if !replay.left_out.is_empty() {
        lines.push(String::new());
        lines.push(palette.paint(Tone::Strong, "Not replayed"));
        let left_out = replay.left_out.iter();
        lines.extend(left_out.map(|of| format!("  {}: {}", of.name, of.because)));
    }
    lines.join("\n") + "\n"
}

/// How times are written: with the day, where there are several.
pub(super) struct Times {
    format: &'static str,
}

impl Times {
    fn of(replay: &Replay) -> Self {
        let day = |at: Timestamp| at.strftime("%F").to_string();
        let is_one = day(replay.from) == day(replay.to);
        Self {
            format: if is_one {
                "%H:%M:%SZ"
            } else {
                "%m-%dT%H:%M:%SZ"
            },
        }
    }

    pub(super) fn show(&self, at: Timestamp) -> String {
        at.strftime(self.format).to_string()
    }
}

fn title(replay: &Replay) -> String {
    let Replay {
        kind,
        namespace,
        name,
        from,
        to,
        ..
    } = replay;
    let slash = if namespace.is_empty() { "" } else { "/" };
    let length = Duration::try_from(to.duration_since(*from)).unwrap_or_default();
    let (from, to, length) = (exact(*from), exact(*to), span(length));
    format!("{kind} {namespace}{slash}{name}, {from} to {to} ({length})")
}

/// What would have become of the change.
fn sentence(replay: &Replay, palette: Palette) -> String {
    let End {
        outcome,
        reason,
        at,
        message,
    } = &replay.end;
    let at = exact(*at);
    let (tone, words) = match (outcome, reason) {
        (Outcome::Promoted, _) if replay.left_out.is_empty() => {
            (Tone::Good, "would have been promoted".to_owned())
        }
        (Outcome::Promoted, _) => (
            Tone::Good,
            "would have been promoted, as far as it was replayed".to_owned(),
        ),
        (_, Some(FailureReason::NoVerdict)) => {
            let then = match outcome {
                Outcome::Held => "been held for people",
                Outcome::Promoted | Outcome::RolledBack => "gone back",
            };
            let to = exact(replay.to);
            let words = format!("no verdict by {to}: would have waited, and {then} without one");
            // A template does not know how long its Rollouts wait.
            let until = if at == to {
                String::new()
            } else {
                format!(" at {at}")
            };
            (Tone::Bad, format!("{words}{until} (NoVerdict)"))
        }
        (Outcome::RolledBack, reason) => {
            let reason = reason.map_or("", FailureReason::as_str);
            (
                Tone::Bad,
                format!("would have been rolled back at {at} ({reason})"),
            )
        }
        (Outcome::Held, reason) => {
            let reason = reason.map_or("", FailureReason::as_str);
            (
                Tone::Bad,
                format!("would have been held for people at {at} ({reason})"),
            )
        }
    };
    let words = palette.paint(tone, &words);
    if message.is_empty() {
        return format!("{words}: nothing that was replayed decides");
    }
    format!("{words}: {message}")
}

fn tone(verdict: Judgement, is_dry_run: bool) -> Tone {
    match verdict {
        Judgement::Undecided => Tone::Warn,
        Judgement::Good => Tone::Good,
        Judgement::Bad if is_dry_run => Tone::Warn,
        Judgement::Bad => Tone::Bad,
    }
}

/// A line for each metric; counts of what there was none of are left out.
fn overview(replay: &Replay, times: &Times, palette: Palette) -> Vec<String> {
    let count = |metric: &Replayed, result: SampleResult| {
        let alike = metric
            .samples
            .iter()
            .filter(|sample| sample.result == result);
        alike.count()
    };
    let counted: Vec<(&str, SampleResult)> = COUNTED
        .into_iter()
        .filter(|(_, result)| {
            let is_rare = !matches!(result, SampleResult::Good | SampleResult::Bad);
            !is_rare
                || replay
                    .metrics
                    .iter()
                    .any(|metric| count(metric, *result) > 0)
        })
        .collect();
    let mut headings = vec!["METRIC", "EVERY", "SAMPLES"];
    headings.extend(counted.iter().map(|(heading, _)| *heading));
    headings.extend(["VERDICT", "SINCE"]);
    let numbers = NUMBERS.get(..2 + counted.len()).unwrap_or(NUMBERS);
    let mut table = Table::new(&headings, numbers);
    for metric in &replay.metrics {
        let dry = if metric.is_dry_run { ", dry run" } else { "" };
        let verdict = format!("{}{dry}", metric.verdict);
        let since = metric.verdict_at.map(|at| times.show(at));
        let mut cells: Vec<Cell> = vec![
            metric.name.as_str().into(),
            span(metric.interval).into(),
            metric.samples.len().to_string().into(),
        ];
        let counts = counted.iter().map(|(_, result)| count(metric, *result));
        cells.extend(counts.map(|count| Cell::from(count.to_string())));
        cells.push(Cell::new(tone(metric.verdict, metric.is_dry_run), verdict));
        cells.push(since.unwrap_or_else(|| "–".to_owned()).into());
        table.row(cells);
    }
    table.lines(palette)
}

/// The samples of a metric with the counts after each; of many that are alike only some.
fn samples(metric: &Replayed, times: &Times, width: usize, palette: Palette) -> Vec<String> {
    if metric.samples.is_empty() {
        return vec!["  no sample would have been taken".to_owned()];
    }
    let room = value_room(metric, times, width);
    let mut table = Table::new(
        &[
            "TIME", "VALUE", "SAMPLE", "GOOD", "BAD", "NEITHER", "VERDICT",
        ],
        &[3, 4, 5],
    );
    let mut folded = 0;
    let shown = shown(&metric.samples);
    let fold = |table: &mut Table, count: usize| {
        if count > 0 {
            let text = Cell::new(Tone::Faint, format!("… {count} more"));
            table.row([Cell::default(), text]);
        }
    };
    let mut verdict = Judgement::Undecided;
    for (sample, is_shown) in metric.samples.iter().zip(shown) {
        // The word stands where the verdict fell.
        let is_new = sample.verdict != verdict;
        verdict = sample.verdict;
        if !is_shown {
            folded += 1;
            continue;
        }
        fold(&mut table, std::mem::take(&mut folded));
        let new = is_new.then(|| tone(verdict, metric.is_dry_run));
        table.row(cells(sample, new, times, room));
    }
    fold(&mut table, folded);
    if !metric.not_taken.is_empty() {
        let text = format!("… {} not taken", metric.not_taken.len());
        table.row([Cell::default(), Cell::new(Tone::Faint, text)]);
    }
    table.lines(palette)
}

/// Which samples are shown: not all of those in a row that are alike, and where even that is too much, the first, the last,
/// and those about a verdict.
fn shown(samples: &[Taken]) -> Vec<bool> {
    let (first, last) = SHOWN;
    let is_alike = |a: &Taken, b: &Taken| a.result == b.result && a.verdict == b.verdict;
    let runs = samples.chunk_by(is_alike);
    let shown: Vec<bool> = runs
        .flat_map(|run| {
            let count = run.len();
            let is_shown =
                move |index| count <= MOST_ALIKE || index < first || index + last >= count;
            (0..count).map(is_shown)
        })
        .collect();
    if shown.iter().filter(|is_shown| **is_shown).count() <= MOST_ROWS {
        return shown;
    }
    let verdict = |index: usize| samples.get(index).map(|sample| sample.verdict);
    let edge = MOST_ROWS / 3;
    let is_shown = |index: usize| {
        let near = index.saturating_sub(1)..=index + 1;
        let is_near = near.into_iter().any(|of| {
            let before = of.checked_sub(1).and_then(verdict);
            before.is_some() && verdict(of).is_some() && before != verdict(of)
        });
        index < edge || index + edge >= samples.len() || is_near
    };
    (0..samples.len()).map(is_shown).collect()
}

/// How wide values may be, so that the other columns fit.
fn value_room(metric: &Replayed, times: &Times, width: usize) -> usize {
    let time = metric
        .samples
        .first()
        .map_or(0, |sample| times.show(sample.at).len());
    let others = 2 + time + 2 + 2 + "Inconclusive".len() + 2 + 4 + 2 + 4 + 2 + 7 + 2 + 9;
    width.saturating_sub(others).max(LEAST_VALUE)
}

fn cells(sample: &Taken, new: Option<Tone>, times: &Times, room: usize) -> [Cell; 7] {
    let tone = match sample.result {
        SampleResult::Good => Tone::Good,
        SampleResult::Bad | SampleResult::Error => Tone::Bad,
        SampleResult::Inconclusive => Tone::Warn,
        SampleResult::NoData => Tone::Faint,
    };
    // What is wrong with a sample without a value is what there is to say of it.
    let problem = sample
        .message
        .as_deref()
        .filter(|_| sample.result == SampleResult::Error);
    let value = sample.shown.as_deref().or(problem).unwrap_or_default();
    [
        times.show(sample.at).into(),
        cut(value, room).into(),
        Cell::new(tone, sample.result.as_str()),
        sample.passed.to_string().into(),
        sample.failed.to_string().into(),
        sample.inconclusive.to_string().into(),
        new.map_or_else(Cell::default, |tone| {
            Cell::new(tone, sample.verdict.as_str())
        }),
    ]
}

fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let begin: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", begin.trim_end())
}

#[cfg(test)]
mod tests;
