//! Figures of deliveries for people, with a small picture, and for programs. No I/O.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use crate::cli::text::{BARS, Cell, Palette, Table, Tone};
use crate::dora::Window;
use crate::dora::api::{Band, DoraShare, DoraSpan, DoraWindow};
use crate::dora::figures::figures;
use crate::dora::record::Ledger;
use crate::dora::tally::{self, Day, Tally};
use crate::environment::api::Tier;
use crate::model::span::{exact, rough};

/// What stands where nothing is known.
const UNKNOWN: &str = "–";

/// An Environment with what is written down of its promotions.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: Tier,
    /// When it was made.
    pub since: Option<Timestamp>,
    /// What counts of its promotions.
    pub ledger: Ledger,
}

/// The figures, for programs.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// Over which time: `7d`, `30d` or `90d`.
    pub window: &'static str,
    /// Until when.
    pub at: Timestamp,
    /// Of all together; absent where of one of them they are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overall: Option<DoraWindow>,
    /// Of each.
    pub environments: Vec<Figures>,
    /// What happened each day, the oldest first.
    #[serde(skip)]
    days: Vec<Day>,
}

/// The figures of an Environment.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its tier.
    pub tier: Tier,
    /// The figures; absent where nothing was deployed, or not everything is known any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub figures: Option<DoraWindow>,
}

impl Summary {
    /// Counts.
    pub fn of(all: &[Subject], window: Window, now: Timestamp) -> Self {
        let count = usize::try_from(window.days()).unwrap_or_default();
        let mut days = vec![Day::default(); count];
        let mut overall = Some(Tally::default());
        let mut environments = Vec::new();
        for subject in all {
            let has_lines = !subject.ledger.lines().is_empty();
            let since = subject.since.unwrap_or(now);
            let tally = Tally::of(&subject.ledger, window, now, since);
            let of_each = tally::days(&subject.ledger, window, now);
            for (day, more) in days.iter_mut().zip(of_each) {
                day.deployments += more.deployments;
                day.failed += more.failed;
            }
            let tally = tally.filter(|_| has_lines);
            // Nothing was ever deployed there: it has no part in anything.
            if has_lines {
                overall = overall.zip(tally.as_ref()).map(|(mut overall, tally)| {
                    overall.add(tally);
                    overall
                });
            }
            environments.push(Figures {
                namespace: subject.namespace.clone(),
                name: subject.name.clone(),
                tier: subject.tier,
                figures: tally.map(|tally| figures(&tally, window)),
            });
        }
        // With no Environment that has anything there is no day either.
        let overall = overall.filter(|tally| tally.seconds > 0);
        Self {
            window: window.as_str(),
            at: now,
            overall: overall.map(|tally| figures(&tally, window)),
            environments,
            days,
        }
    }
}

/// A table, and a picture of the days.
pub fn show(summary: &Summary, palette: Palette) -> String {
    let at = exact(summary.at);
    let mut text = format!("Deliveries of the {} until {at}\n", summary.window);
    if summary.environments.is_empty() {
        text.push_str("  there is no such Environment\n");
        return text;
    }
    let headings = [
        "ENVIRONMENT",
        "DEPLOYED",
        "PER DAY",
        "LEAD TIME",
        "FAILED",
        "RECOVERY",
        "REWORK",
    ];
    let mut table = Table::new(&headings, &[1]);
    for one in &summary.environments {
        let name = format!("{}/{}", one.namespace, one.name);
        table.row(row(name.into(), one.figures.as_ref()));
    }
    if summary.environments.len() > 1 {
        let name = Cell::new(Tone::Strong, "all together");
        table.row(row(name, summary.overall.as_ref()));
    }
    text.push_str(&table.text(palette));
    text.push_str(&picture(&summary.days, palette));
    text
}

fn row(name: Cell, figures: Option<&DoraWindow>) -> Vec<Cell> {
    let unknown = || Cell::new(Tone::Faint, UNKNOWN);
    let Some(figures) = figures else {
        return std::iter::once(name)
            .chain((0..6).map(|_| unknown()))
            .collect();
    };
    let frequency = &figures.frequency;
    let recovery = figures.recovery_time.as_ref().map_or_else(unknown, span);
    let recovery = match figures.unrecovered {
        Some(open) => Cell::new(Tone::Bad, format!("{} ({open} open)", recovery.text())),
        None => recovery,
    };
    vec![
        name,
        frequency.deployments.to_string().into(),
        banded(&frequency.per_day, frequency.band),
        figures.lead_time.as_ref().map_or_else(unknown, span),
        figures.change_failures.as_ref().map_or_else(unknown, share),
        recovery,
        figures.rework.as_ref().map_or_else(unknown, share),
    ]
}

fn span(span: &DoraSpan) -> Cell {
    let text = rough(Duration::from_secs(span.median_seconds));
    banded(&text, span.band)
}

fn share(share: &DoraShare) -> Cell {
    let text = format!("{} of {}", share.count, share.of);
    match share.band {
        Some(band) => banded(&text, band),
        None => text.into(),
    }
}

fn banded(text: &str, band: Band) -> Cell {
    let tone = match band {
        Band::Elite | Band::High => Tone::Good,
        Band::Medium => Tone::Warn,
        Band::Low => Tone::Bad,
    };
    Cell::new(tone, format!("{text} {band}"))
}

/// A bar per day, and below it a cross where something failed.
fn picture(days: &[Day], palette: Palette) -> String {
    let most = days.iter().map(|day| day.deployments).max().unwrap_or(0);
    if days.iter().all(|day| *day == Day::default()) {
        return String::new();
    }
    let bar = |day: &Day| {
        let height = (day.deployments * 8)
            .div_ceil(most.max(1))
            .saturating_sub(1);
        let bar = usize::try_from(height)
            .ok()
            .and_then(|height| BARS.get(height));
        bar.copied().filter(|_| day.deployments > 0).unwrap_or(' ')
    };
    let bars: String = days.iter().map(bar).collect();
    let crosses = days
        .iter()
        .map(|day| if day.failed > 0 { '×' } else { ' ' });
    let crosses: String = crosses.collect();
    let line = |name: &str, tone, text: &str| {
        let line = format!("  {name:<9}{}", palette.paint(tone, text.trim_end()));
        line.trim_end().to_owned() + "\n"
    };
    let mut text = format!("\n{}", line("deployed", Tone::Good, &bars));
    if crosses.contains('×') {
        text.push_str(&line("failed", Tone::Bad, &crosses));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dora::testing::{at, promoted};
    use crate::promotion::api::PromotionPhase;

    fn subject(name: &str, lines: &[crate::dora::record::Line]) -> Subject {
        Subject {
            namespace: "shop".to_owned(),
            name: name.to_owned(),
            tier: Tier::Production,
            since: Some(at("2026-11-01T00:00:00Z")),
            ledger: Ledger::of(lines),
        }
    }

    fn all() -> Vec<Subject> {
        let eu = [
            promoted(1, "r1", "2026-11-03T12:00:00Z").hours(&[20]),
            promoted(2, "r2", "2026-11-12T12:00:00Z").hours(&[30, 40]),
            promoted(3, "r3", "2026-11-12T18:00:00Z").ended(PromotionPhase::RolledBack),
            promoted(4, "r2", "2026-11-12T18:20:00Z").back_from("r3", "2026-11-12T18:00:00Z"),
            promoted(5, "r4", "2026-11-30T12:00:00Z")
                .hours(&[2])
                .incident("2026-11-30T13:00:00Z", None),
        ];
        let us = [promoted(1, "r1", "2026-11-05T12:00:00Z").hours(&[60])];
        vec![subject("eu", &eu), subject("new", &[]), subject("us", &us)]
    }

    #[test]
    fn a_month_of_several_environments() {
        let summary = Summary::of(&all(), Window::Month, at("2026-12-01T06:00:00Z"));
        insta::assert_snapshot!(show(&summary, Palette::new(false)));
        insta::assert_json_snapshot!(summary);
    }

    #[test]
    fn nothing_is_not_zero() {
        let summary = Summary::of(&all()[1..2], Window::Week, at("2026-12-01T06:00:00Z"));
        assert!(summary.overall.is_none());
        let text = show(&summary, Palette::new(false));
        assert!(text.contains("shop/new"), "{text}");
        assert_eq!(text.matches(UNKNOWN).count(), 6, "{text}");
        let none = Summary::of(&[], Window::Week, at("2026-12-01T06:00:00Z"));
        assert!(show(&none, Palette::new(false)).contains("no such Environment"));
    }
}
