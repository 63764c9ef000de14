//! The final table: a row per fact, a column per version. No I/O.

use std::time::Duration;

use super::facts::{Outcome, Story, Version};
use super::teller::clock;

/// Width of the first column.
const HEAD: usize = 23;
/// Width of a version's column.
const COLUMN: usize = 27;

/// The table as text.
pub(crate) fn render(story: &Story) -> String {
    let mut rows: Vec<(&str, Vec<String>)> = Vec::new();
    let mut row = |head: &'static str, cell: fn(&Version) -> String| {
        rows.push((head, story.versions.iter().map(cell).collect()));
    };
    row("version", |version| version.name.to_owned());
    row("commit", |version| start(&version.commit, 10));
    row("run", |version| version.run.clone());
    row("tests passed", |version| {
        format!("{} of {}", version.tests[0], version.tests[1])
    });
    row("gates", |version| {
        let gates = version
            .gates
            .iter()
            .map(|[name, result]| format!("{name} {result}"));
        gates.collect::<Vec<_>>().join(", ")
    });
    row("statuses at Gitea", |version| {
        let statuses = &version.statuses;
        let good = statuses.iter().filter(|[_, state]| state == "success");
        format!("{} of {} success", good.count(), statuses.len())
    });
    row("beside the image", |version| {
        version.attestations.join(", ")
    });
    row("release", |version| version.release.clone());
    row("digest", |version| start(&version.digest, 19));
    row("staging", |version| outcome(&version.staging));
    row("decision", |version| match version.approved_by.as_slice() {
        [] => "none".to_owned(),
        people => format!("approved by {}", people.join(", ")),
    });
    row("production", |version| outcome(&version.production));
    row("weights over time", weights);
    row("requests sent", |version| version.requests.sent.to_string());
    row("requests lost", |version| version.requests.lost.to_string());
    row("answers with an error", |version| {
        version.requests.failed.to_string()
    });
    row("answers by it", |version| {
        version.requests.answered_by_it.to_string()
    });
    row("bad sample", |version| {
        version.violation.map_or("–".to_owned(), |v| {
            format!("{} after first error", seconds(v.noticed))
        })
    });
    row("100 % stable", |version| {
        version.violation.map_or("–".to_owned(), |v| {
            format!("{} after bad sample", seconds(v.back))
        })
    });
    row("took", |version| seconds(version.took));
    let lines = rows.iter().map(|(head, cells)| line(head, cells));
    let mut text: Vec<String> = lines.collect();
    text.insert(1, "─".repeat(HEAD + COLUMN * story.versions.len()));
    text.join("\n") + "\n"
}

/// A row; cells that are too wide go on below.
fn line(head: &str, cells: &[String]) -> String {
    let cells: Vec<Vec<String>> = cells.iter().map(|cell| wrap(cell)).collect();
    let height = cells.iter().map(Vec::len).max().unwrap_or(1);
    let lines = (0..height).map(|index| {
        let head = if index == 0 { head } else { "" };
        let row = cells.iter().map(|cell| {
            let part = cell.get(index).map_or("", String::as_str);
            format!("{part:<COLUMN$}")
        });
        format!("{head:<HEAD$}{}", row.collect::<String>())
            .trim_end()
            .to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Breaks a text at commas and spaces.
fn wrap(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(last) = lines.last_mut() else {
            continue;
        };
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() < COLUMN {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

fn outcome(outcome: &Outcome) -> String {
    let reason = if outcome.reason.is_empty() || outcome.reason == outcome.phase {
        String::new()
    } else {
        format!(" ({})", outcome.reason)
    };
    format!("{}{reason} in {}", outcome.phase, seconds(outcome.took))
}

fn weights(version: &Version) -> String {
    if version.weights.is_empty() {
        return "100 % (nothing before it)".to_owned();
    }
    let weights = version.weights.iter();
    let weights = weights
        .map(|(at, weight)| format!("{weight}\u{a0}%\u{a0}at\u{a0}{}", clock(*at).trim_start()));
    weights.collect::<Vec<_>>().join(", ")
}

fn start(text: &str, length: usize) -> String {
    text.chars().take(length).collect()
}

fn seconds(time: Duration) -> String {
    if time < Duration::from_secs(1) {
        return format!("{} ms", time.as_millis());
    }
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::super::facts::tests::a_story;
    use super::*;

    #[test]
    fn each_version_has_a_column_and_what_is_long_goes_on_below() {
        let table = render(&a_story());
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "version                1.0.0                      2.0.0                      3.0.0"
        );
        let weights = lines.iter().position(|line| line.starts_with("weights"));
        let told: Vec<String> = lines
            .iter()
            .skip(weights.unwrap())
            .take(3)
            .map(|line| line.replace('\u{a0}', " "))
            .collect();
        let expected = [
            "weights over time      100 % (nothing before it)  20 % at 0:03,              20 % at 0:03, 0 % at 0:04",
            "                                                  50 % at 0:04,",
            "                                                  100 % at 0:05",
        ];
        assert_eq!(told, expected);
        assert!(
            lines
                .iter()
                .all(|line| line.chars().count() <= HEAD + 3 * COLUMN)
        );
        let back = "100 % stable           –                          –                          \
                    45 ms after bad sample";
        assert!(table.contains(back), "{table}");
    }
}
