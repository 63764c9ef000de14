//! A quality report as Markdown. No I/O.
//!
//! Much of it is text from outside. What could become a link, an image, a tag of HTML, a call to somebody or another column is
//! written so that it stays text.

use super::section::{Section, sections, title};
use crate::model::span::exact;
use crate::release::report::Report;

/// The report.
pub fn page(report: &Report) -> String {
    let made = exact(report.generated_at);
    let mut text = format!(
        "# {}\n\nMade {made} from the records of the cluster, in the form `{}`.\n",
        plain(&title(report)),
        report.schema
    );
    for section in sections(report) {
        text.push_str(&format_section(&section));
    }
    text
}

fn format_section(section: &Section) -> String {
    let mut text = format!("\n## {}\n\n", section.title);
    if section.rows.is_empty() {
        text.push_str(section.without);
        text.push('\n');
        return text;
    }
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let headings = section.headings.iter().map(|text| (*text).to_owned());
    let headings: Vec<String> = headings.collect();
    text.push_str(&line(&headings));
    text.push_str(&line(&vec!["---".to_owned(); headings.len()]));
    for row in &section.rows {
        let cells: Vec<String> = row.iter().map(|cell| plain(cell)).collect();
        text.push_str(&line(&cells));
    }
    text
}

/// Text that stays text.
fn plain(text: &str) -> String {
    let mut made = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => made.push_str("&lt;"),
            '>' => made.push_str("&gt;"),
            '&' => made.push_str("&amp;"),
            '@' => made.push_str("&#64;"),
            '\\' | '|' | '`' | '*' | '_' | '[' | ']' | '!' | '#' | '~' => {
                made.push('\\');
                made.push(character);
            }
            _ if character.is_control() => made.push(' '),
            _ => made.push(character),
        }
    }
    // Bare addresses become links as well.
    made.replace("://", "&#58;//").replace("www.", "www&#46;")
}
