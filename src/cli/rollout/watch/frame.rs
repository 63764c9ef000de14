//! The view of a Rollout on a terminal: a pure function of what is shown, of the time of the look, and of the size. No I/O.

use jiff::Timestamp;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use super::view::{KEYS, View};
use crate::cli::rollout::table::tone_of;
use crate::cli::text::{Palette, Tone, between, in_time, sparks};
use crate::rollout::api::RevisionStatus;
use crate::rollout::explain::{Judgement, MetricLine, StepState};

/// Narrower than this, steps stand below the rest.
const WIDE: u16 = 100;
/// Marks of a bar.
const BAR: usize = 20;
/// Numbers in a line of small bars.
const SPARKS: usize = 30;
/// Pods that are shown one by one.
const PODS: i32 = 24;

/// Draws it.
pub(super) fn draw(frame: &mut Frame, view: &View, palette: Palette) {
    let pen = Pen { palette };
    let rows = [
        Constraint::Length(4),
        Constraint::Min(0),
        Constraint::Length(2),
    ];
    let [top, body, foot] = Layout::vertical(rows).areas(frame.area());
    frame.render_widget(Paragraph::new(pen.top(view)), top);
    let (left, right) = halves(body, view);
    let blocks = Layout::vertical([Constraint::Length(6), Constraint::Min(0)]);
    let [traffic, analysis] = blocks.areas(left);
    pen.block(frame, traffic, "Traffic", pen.traffic(view));
    pen.block(frame, analysis, "Analysis", pen.analysis(view));
    pen.block(frame, right, "Steps", pen.steps(view));
    frame.render_widget(Paragraph::new(pen.foot(view)), foot);
}

/// Where things are, and where the steps are: beside them, or below.
fn halves(body: Rect, view: &View) -> (Rect, Rect) {
    if body.width >= WIDE {
        let halves = [Constraint::Percentage(60), Constraint::Percentage(40)];
        let [left, right] = Layout::horizontal(halves).areas(body);
        return (left, right);
    }
    let metrics = u16::try_from(view.seen.analysis.len()).unwrap_or(u16::MAX);
    let needed = metrics.saturating_add(8);
    let [left, right] = Layout::vertical([Constraint::Max(needed), Constraint::Min(0)]).areas(body);
    (left, right)
}

struct Pen {
    palette: Palette,
}

impl Pen {
    fn style(&self, tone: Tone) -> Style {
        let plain = Style::new();
        let colour = |colour| {
            if self.palette.is_coloured() {
                plain.fg(colour)
            } else {
                plain
            }
        };
        match tone {
            Tone::Plain => plain,
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
            Tone::Faint => plain.add_modifier(Modifier::DIM),
            Tone::Good => colour(Color::Green),
            Tone::Warn => colour(Color::Yellow),
            Tone::Bad => colour(Color::Red),
        }
    }

    fn span(&self, tone: Tone, text: impl Into<String>) -> Span<'static> {
        Span::styled(text.into(), self.style(tone))
    }

    fn block(&self, frame: &mut Frame, area: Rect, title: &str, lines: Vec<Line<'static>>) {
        let block = Block::bordered()
            .title(format!(" {title} "))
            .border_style(self.style(Tone::Faint));
        frame.render_widget(Paragraph::new(lines).block(block), area);
    }

    /// What it is, where it is, why, and until when.
    fn top(&self, view: &View) -> Vec<Line<'static>> {
        let seen = &view.seen;
        let phase = self.span(tone_of(seen.phase), seen.phase.as_str());
        let name = format!("Rollout {}/{}", seen.namespace, seen.name);
        let reason = seen.reason.as_deref().unwrap_or_default();
        let mut lines = vec![
            Line::from(vec![
                self.span(Tone::Strong, name),
                Span::raw("  "),
                phase,
                self.span(Tone::Faint, format!("  {reason}")),
            ]),
            Line::from(seen.message.clone()),
        ];
        lines.extend(self.countdown(view));
        lines
    }

    /// How long what it waits for still takes.
    fn countdown(&self, view: &View) -> Option<Line<'static>> {
        let seen = &view.seen;
        let now = seen.as_of;
        let (word, until) = match (seen.until, seen.given_up_at, seen.held_at) {
            (Some(until), _, _) => ("goes on", until),
            (None, Some(until), _) => ("given up, should nothing get further,", until),
            (None, None, Some(until)) => ("held for people, should nothing get further,", until),
            (None, None, None) => {
                let since = seen.since?;
                return Some(Line::from(format!("for {}", between(since, now))));
            }
        };
        let passed = seen.since.map_or(0.0, |since| share(since, until, now));
        Some(Line::from(vec![
            self.span(Tone::Warn, filled(passed)),
            Span::raw(format!("  {word} {}", in_time(until, now))),
        ]))
    }

    /// The share and the pods of each revision, and how the share went.
    fn traffic(&self, view: &View) -> Vec<Line<'static>> {
        let seen = &view.seen;
        let weights = seen.weights.as_ref();
        let stable = seen.stable.as_ref();
        let canary = seen.canary.as_ref();
        let mut lines = Vec::new();
        if let Some(stable) = stable {
            let weight = weights.map(|weights| weights.stable);
            lines.push(self.revision("stable", Tone::Good, stable, weight));
        }
        if let Some(canary) = canary {
            let weight = weights.map(|weights| weights.canary);
            lines.push(self.revision("canary", Tone::Warn, canary, weight));
        }
        if weights.is_some_and(|weights| !weights.observed) {
            let text = "the data plane has not taken it in yet";
            lines.push(Line::from(self.span(Tone::Warn, text)));
        }
        let recent = last(&view.history.weights);
        lines.push(Line::from(vec![
            self.span(Tone::Faint, "canary's share  "),
            self.span(Tone::Warn, sparks(recent)),
        ]));
        lines
    }

    fn revision(
        &self,
        side: &str,
        tone: Tone,
        of: &RevisionStatus,
        weight: Option<u8>,
    ) -> Line<'static> {
        let share = weight.map_or(0.0, |weight| f64::from(weight) / 100.0);
        let weight = weight.map_or_else(|| "?".to_owned(), |weight| weight.to_string());
        Line::from(vec![
            self.span(Tone::Faint, format!("{side}  ")),
            Span::raw(format!("{:<11}", of.revision)),
            self.span(tone, filled(share)),
            Span::raw(format!(" {weight:>3} %  ")),
            self.span(tone, pods(of)),
            Span::raw(format!(" {}/{}", of.ready, of.replicas)),
        ])
    }

    /// Each metric with its last values.
    fn analysis(&self, view: &View) -> Vec<Line<'static>> {
        let metrics = &view.seen.analysis;
        if metrics.is_empty() {
            return vec![Line::from(self.span(Tone::Faint, "nothing is measured"))];
        }
        let width = metrics
            .iter()
            .map(|one| one.tally.name.chars().count())
            .max();
        let width = width.unwrap_or(0);
        let line = |metric: &MetricLine| {
            let tally = &metric.tally;
            let tone = match metric.verdict {
                Judgement::Undecided => Tone::Warn,
                Judgement::Good => Tone::Good,
                Judgement::Bad => Tone::Bad,
            };
            let samples = view.history.samples.get(&tally.name);
            let samples = samples.into_iter().flatten();
            let values: Vec<f64> = samples.map(|(_, value)| *value).collect();
            let verdict = metric.verdict.as_str();
            let counts = format!(
                "{}/{} good, {} bad  ",
                tally.passed, metric.wanted, tally.failed
            );
            let value = tally.value.clone().unwrap_or_default();
            Line::from(vec![
                Span::raw(format!("{:<width$}  ", tally.name)),
                self.span(tone, format!("{verdict:<9}  ")),
                Span::raw(counts),
                self.span(tone, sparks(last(&values))),
                Span::raw(format!(" {value}")),
            ])
        };
        metrics.iter().map(line).collect()
    }

    fn steps(&self, view: &View) -> Vec<Line<'static>> {
        let line = |step: &crate::rollout::explain::StepLine| {
            let (mark, tone) = match step.state {
                StepState::Done => ("✓", Tone::Good),
                StepState::Now => ("▶", Tone::Warn),
                StepState::ToCome => ("·", Tone::Faint),
            };
            let text = format!("{mark} {:>2}  {}", step.index, step.what);
            Line::from(self.span(tone, text))
        };
        view.seen.steps.iter().map(line).collect()
    }

    /// What the person is asked, or was told, and the keys.
    fn foot(&self, view: &View) -> Vec<Line<'static>> {
        let question = view.asked.map(|action| {
            let name = &view.seen.name;
            self.span(Tone::Strong, format!("{action} of Rollout {name}? y or n"))
        });
        let said = question.unwrap_or_else(|| self.span(Tone::Warn, view.notice.clone()));
        let keys = KEYS
            .iter()
            .map(|(key, action)| format!("{key} {}", action.verb()));
        let keys: Vec<String> = std::iter::once("q quit".to_owned()).chain(keys).collect();
        vec![
            Line::from(said),
            Line::from(self.span(Tone::Faint, keys.join("   "))),
        ]
    }
}

/// How much of a time has passed.
fn share(from: Timestamp, to: Timestamp, now: Timestamp) -> f64 {
    let whole = to.duration_since(from).as_secs_f64();
    let passed = now.duration_since(from).as_secs_f64();
    if whole > 0.0 { passed / whole } else { 1.0 }
}

/// A bar of which a share is filled.
fn filled(share: f64) -> String {
    let marks = (0..BAR).map(|mark| {
        let begins = f64::from(u32::try_from(mark).unwrap_or_default()) / 20.0;
        if begins < share.clamp(0.0, 1.0) {
            '█'
        } else {
            '░'
        }
    });
    marks.collect()
}

/// The pods of a revision, one by one: those that are ready, and those that are to be.
fn pods(of: &RevisionStatus) -> String {
    let mark = |pod: i32| if pod < of.ready { '●' } else { '○' };
    (0..of.replicas.max(of.ready).min(PODS)).map(mark).collect()
}

fn last(of: &[f64]) -> &[f64] {
    let surplus = of.len().saturating_sub(SPARKS);
    of.get(surplus..).unwrap_or(of)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::analysis::template::Templates;
    use crate::rollout::explain::testing::{STORIES, story};

    fn drawn(view: &View, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let palette = Palette::new(false);
        terminal.draw(|frame| draw(frame, view, palette)).unwrap();
        terminal.backend().to_string()
    }

    fn view(name: &str, later: i64) -> View {
        let story = story(name);
        let now = story.now() + SignedDuration::from_secs(later);
        let mut view = View::new(&story.rollout(), &Templates::new(), story.now());
        view.look(&story.rollout(), &Templates::new(), now);
        view
    }

    #[test]
    fn a_pause_on_a_wide_terminal_and_on_a_narrow_one() {
        let view = view("pauses for a time", 300);
        insta::assert_snapshot!("wide", drawn(&view, (120, 20)));
        insta::assert_snapshot!("narrow", drawn(&view, (80, 24)));
    }

    #[test]
    fn an_analysis_with_a_question() {
        let mut view = view("waits for approvals", 30);
        view.press('A');
        insta::assert_snapshot!(drawn(&view, (120, 16)));
    }

    #[test]
    fn every_story_fits_into_every_terminal() {
        for (name, _) in STORIES {
            for size in [(1, 1), (20, 5), (80, 24), (300, 100)] {
                let shown = drawn(&view(name, 10), size);
                assert!(
                    size.0 < 20 || shown.contains("Rollout shop/api"),
                    "{name} {size:?}"
                );
            }
        }
    }
}
