//! The values of a metric over time, drawn with characters. No I/O.

use jiff::Timestamp;

use super::render::Times;
use crate::analysis::api::SampleResult;
use crate::cli::text::{Palette, Tone};
use crate::rollout::explain::Judgement;
use crate::rollout::replay::{Replayed, Taken};

/// Height, in lines.
const HEIGHT: usize = 9;
/// Columns at least, however narrow the terminal is.
const LEAST: usize = 20;
/// Columns for each of few samples.
const WIDE: usize = 4;
/// Few samples are drawn this wide at most.
const ENOUGH: usize = 60;

/// What stands in a place. The later in this list, the more it matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Mark {
    #[default]
    Nothing,
    Threshold,
    NotTaken,
    NoData,
    Good,
    Inconclusive,
    Error,
    Bad,
}

impl Mark {
    const EXPLAINED: [Self; 7] = [
        Self::Good,
        Self::Bad,
        Self::Inconclusive,
        Self::NoData,
        Self::Error,
        Self::NotTaken,
        Self::Threshold,
    ];

    fn of(result: SampleResult) -> Self {
        match result {
            SampleResult::Good => Self::Good,
            SampleResult::Bad => Self::Bad,
            SampleResult::Inconclusive => Self::Inconclusive,
            SampleResult::NoData => Self::NoData,
            SampleResult::Error => Self::Error,
        }
    }

    fn shown(self) -> (Tone, &'static str) {
        match self {
            Self::Nothing => (Tone::Plain, " "),
            Self::Threshold => (Tone::Warn, "┄"),
            Self::NotTaken => (Tone::Faint, "·"),
            Self::NoData => (Tone::Warn, "○"),
            Self::Good => (Tone::Good, "•"),
            Self::Inconclusive => (Tone::Warn, "?"),
            Self::Error => (Tone::Bad, "!"),
            Self::Bad => (Tone::Bad, "×"),
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Threshold => "threshold",
            Self::NotTaken => "not taken any more",
            Self::NoData => "no data",
            Self::Good => "good",
            Self::Inconclusive => "neither",
            Self::Error => "error",
            Self::Bad => "bad",
        }
    }
}

/// One sample that is drawn.
struct Point {
    at: Timestamp,
    value: Option<f64>,
    mark: Mark,
}

/// What is drawn where.
struct Canvas {
    columns: usize,
    /// Smallest and largest value.
    range: (f64, f64),
    /// Lines from the top, the last being the axis, where what has no value stands.
    lines: Vec<Vec<Mark>>,
    /// Columns without a sample, before the first and after the last.
    times: (Timestamp, Timestamp),
}

impl Canvas {
    fn new(points: &[Point], thresholds: &[f64], room: usize) -> Option<Self> {
        let times = (points.first()?.at, points.last()?.at);
        let values = points.iter().filter_map(|point| point.value);
        let range = values
            .chain(thresholds.iter().copied())
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let each = (room.min(ENOUGH) / points.len()).clamp(1, WIDE);
        let columns = room.min((points.len() - 1) * each + 1);
        Some(Self {
            columns,
            range,
            lines: vec![vec![Mark::Nothing; columns]; HEIGHT + 1],
            times,
        })
    }

    fn put(&mut self, line: usize, column: usize, mark: Mark) {
        let place = self
            .lines
            .get_mut(line)
            .and_then(|line| line.get_mut(column));
        if let Some(place) = place {
            *place = mark.max(*place);
        }
    }

    /// The line of a value, from the top.
    fn line(&self, value: f64) -> usize {
        let (low, high) = self.range;
        let share = if high > low {
            (value - low) / (high - low)
        } else {
            0.5
        };
        HEIGHT - 1 - scaled(share, HEIGHT - 1)
    }

    /// The column of a time.
    fn column(&self, at: Timestamp) -> usize {
        let (first, last) = self.times;
        let (all, part) = (last.duration_since(first), at.duration_since(first));
        let all = all.as_secs_f64();
        let share = if all > 0.0 {
            part.as_secs_f64() / all
        } else {
            0.0
        };
        scaled(share, self.columns - 1)
    }
}

/// A share of a small number of places.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a number of lines or columns, clamped"
)]
fn scaled(share: f64, last: usize) -> usize {
    (share.clamp(0.0, 1.0) * last as f64).round() as usize
}

/// The samples of a metric, with its thresholds and the time of its verdict.
pub(super) fn plot(
    metric: &Replayed,
    times: &Times,
    width: usize,
    palette: Palette,
) -> Vec<String> {
    let points = points(metric);
    let labels = Labels::of(metric, &points);
    let room = width.saturating_sub(labels.width + 4).max(LEAST);
    let Some(mut canvas) = Canvas::new(&points, &metric.thresholds, room) else {
        return Vec::new();
    };
    for threshold in &metric.thresholds {
        let line = canvas.line(*threshold);
        for column in 0..canvas.columns {
            canvas.put(line, column, Mark::Threshold);
        }
    }
    for point in &points {
        let line = point.value.map_or(HEIGHT, |value| canvas.line(value));
        canvas.put(line, canvas.column(point.at), point.mark);
    }
    let mut lines = drawn(&canvas, &labels, palette);
    let indent = " ".repeat(labels.width + 4);
    lines.push(format!("{indent}{}", ends(&canvas, times)));
    if let Some(verdict) = verdict(metric, &canvas, times, palette) {
        lines.push(format!("{indent}{verdict}"));
    }
    lines.extend(legend(&canvas, &indent, width, palette));
    lines
}

fn points(metric: &Replayed) -> Vec<Point> {
    let taken = metric.samples.iter().map(
        |Taken {
             at, value, result, ..
         }| Point {
            at: *at,
            value: *value,
            mark: Mark::of(*result),
        },
    );
    let not_taken = metric.not_taken.iter().map(|of| Point {
        at: of.at,
        value: of.value,
        mark: Mark::NotTaken,
    });
    taken.chain(not_taken).collect()
}

/// The numbers beside the lines.
struct Labels {
    texts: Vec<String>,
    width: usize,
}

impl Labels {
    fn of(metric: &Replayed, points: &[Point]) -> Self {
        let unit = if metric.is_comparison { " %" } else { "" };
        let mut texts = vec![String::new(); HEIGHT];
        if let Some(canvas) = Canvas::new(points, &metric.thresholds, LEAST) {
            let (low, high) = canvas.range;
            let ends = [low, high].into_iter().filter(|end| end.is_finite());
            // A threshold is what people look for.
            for value in ends.chain(metric.thresholds.iter().copied()) {
                if let Some(text) = texts.get_mut(canvas.line(value)) {
                    *text = format!("{}{unit}", number(value));
                }
            }
        }
        let width = texts
            .iter()
            .map(|text| text.chars().count())
            .max()
            .unwrap_or(0);
        Self { texts, width }
    }
}

fn drawn(canvas: &Canvas, labels: &Labels, palette: Palette) -> Vec<String> {
    let width = labels.width;
    let line = |(index, marks): (usize, &Vec<Mark>)| {
        let is_axis = index == HEIGHT;
        let label = labels.texts.get(index).map_or("", String::as_str);
        let edge = match (is_axis, label.is_empty()) {
            (true, _) => "└",
            (false, true) => "│",
            (false, false) => "┤",
        };
        let marks = marks.iter().map(|mark| {
            if *mark == Mark::Nothing && is_axis {
                return "─".to_owned();
            }
            let (tone, sign) = mark.shown();
            palette.paint(tone, sign)
        });
        let marks: String = marks.collect();
        format!("  {label:>width$} {edge}{}", marks.trim_end())
    };
    canvas.lines.iter().enumerate().map(line).collect()
}

/// The first and the last time, below the axis.
fn ends(canvas: &Canvas, times: &Times) -> String {
    let (from, to) = canvas.times;
    let (from, to) = (times.show(from), times.show(to));
    let space = canvas.columns.saturating_sub(from.len() + to.len());
    if space == 0 {
        return format!("{from} to {to}");
    }
    format!("{from}{}{to}", " ".repeat(space))
}

/// Where the verdict fell.
fn verdict(metric: &Replayed, canvas: &Canvas, times: &Times, palette: Palette) -> Option<String> {
    let at = metric.verdict_at?;
    let tone = match metric.verdict {
        Judgement::Good => Tone::Good,
        Judgement::Bad => Tone::Bad,
        Judgement::Undecided => return None,
    };
    let column = canvas.column(at);
    let word = metric.verdict.as_str().to_lowercase();
    let words = format!("{word} at {}", times.show(at));
    let length = words.chars().count() + 1;
    let line = if column > length {
        format!("{}{words} ▲", " ".repeat(column - length))
    } else {
        format!("{}▲ {words}", " ".repeat(column))
    };
    Some(palette.paint(tone, &line))
}

/// What the marks mean that are there.
fn legend(canvas: &Canvas, indent: &str, width: usize, palette: Palette) -> Vec<String> {
    let there = |mark: &Mark| canvas.lines.iter().any(|line| line.contains(mark));
    let marks = Mark::EXPLAINED.into_iter().filter(there);
    let room = width.saturating_sub(indent.len());
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for mark in marks {
        let (tone, sign) = mark.shown();
        let text = format!("{} {}", palette.paint(tone, sign), mark.words());
        let length = mark.words().chars().count() + 4;
        match lines.last_mut() {
            Some(line) if used + length <= room => {
                line.push_str("  ");
                line.push_str(&text);
                used += length;
            }
            _ => {
                lines.push(format!("{indent}{text}"));
                used = length;
            }
        }
    }
    lines
}

/// A number beside an axis: four digits are enough.
fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e6 || (size > 0.0 && size < 1e-3) {
        return format!("{value:.2e}");
    }
    let text = if size >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.4}")
    };
    if text.contains('.') {
        return text.trim_end_matches('0').trim_end_matches('.').to_owned();
    }
    text
}
