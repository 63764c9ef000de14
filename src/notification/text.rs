//! Texts as a receiver wants them: what would be markup is written so that it stays text, and nothing is longer than may be.
//! No I/O.

use crate::model::secret::disarmed;
use crate::model::text::truncate;

/// Stands at the end of what was cut.
const CUT: &str = "…";

/// Where a text is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    Plain,
    /// In a message of Slack.
    Slack,
    /// In an Adaptive Card, which takes some Markdown.
    Card,
}

impl Style {
    /// A text from outside, in at most `limit` bytes. No call to somebody, no link and no secret comes of it.
    pub fn written(self, text: &str, limit: usize) -> String {
        // First what is not shown goes: without it a placeholder may stand where none stood.
        let is_shown = |c: &char| *c == '\n' || !c.is_control();
        let text = disarmed(&text.chars().filter(is_shown).collect::<String>());
        let mut written = String::with_capacity(text.len().min(limit));
        for c in text.chars() {
            let before = written.len();
            self.push(&mut written, c);
            if written.len() + CUT.len() > limit {
                written.truncate(before);
                written.push_str(CUT);
                break;
            }
        }
        written
    }

    fn push(self, written: &mut String, c: char) {
        match (self, c) {
            (Self::Slack, '&') => written.push_str("&amp;"),
            (Self::Slack, '<') => written.push_str("&lt;"),
            (Self::Slack, '>') => written.push_str("&gt;"),
            (Self::Card, '\\' | '*' | '_' | '[' | ']' | '`' | '<') => {
                written.push('\\');
                written.push(c);
            }
            (Self::Plain | Self::Slack | Self::Card, c) => written.push(c),
        }
    }

    fn bold(self, text: &str) -> String {
        match self {
            Self::Plain => text.to_owned(),
            Self::Slack => format!("*{text}*"),
            Self::Card => format!("**{text}**"),
        }
    }

    /// Release notes, in at most `limit` bytes. Lines that do not fit are left out, and that is said.
    pub fn notes(self, notes: &str, limit: usize) -> String {
        const MORE: &str = "\n…";
        let mut written = String::new();
        for line in lines(notes) {
            let line = match line {
                Line::Heading(text) => self.bold(&self.written(&text, limit)),
                Line::Item(text) => {
                    let dot = if self == Self::Slack { "•" } else { "-" };
                    format!("{dot} {}", self.written(&text, limit))
                }
                Line::Other(text) => self.written(&text, limit),
            };
            if written.len() + line.len() + 1 + MORE.len() > limit {
                written.push_str(MORE);
                break;
            }
            if !written.is_empty() {
                written.push('\n');
            }
            written.push_str(&line);
        }
        written
    }
}

/// Whether nothing is to be seen of a text.
pub fn is_blank(text: &str) -> bool {
    text.chars().all(|c| c.is_whitespace() || c.is_control())
}

/// A text that is markup already, in at most `limit` bytes.
pub fn cut(text: &str, limit: usize) -> String {
    let text = disarmed(text);
    if text.len() <= limit {
        return text;
    }
    let room = limit.saturating_sub(CUT.len());
    format!("{}{CUT}", truncate(&text, room))
}

/// Release notes without markup.
pub fn plain_notes(notes: &str) -> String {
    Style::Plain.notes(notes, super::MAX_VALUE)
}

/// A line of release notes.
enum Line {
    Heading(String),
    Item(String),
    Other(String),
}

/// The lines of release notes, without their markup: `release/notes.rs` writes it.
fn lines(notes: &str) -> impl Iterator<Item = Line> {
    let lines = notes.lines().map(str::trim_end);
    lines.filter(|line| !line.is_empty()).map(|line| {
        if let Some(heading) = line.strip_prefix("### ") {
            Line::Heading(bare(heading))
        } else if let Some(item) = line.strip_prefix("- ") {
            Line::Item(bare(item))
        } else {
            Line::Other(bare(line))
        }
    })
}

/// A text without what marks it in Markdown.
fn bare(text: &str) -> String {
    let mut bare = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => bare.extend(rest.next()),
            '*' => {}
            c => bare.push(c),
        }
    }
    bare
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_people_write_stays_text() {
        let nasty = "<!channel> <http://x|y> & [a](http://b) *c* ~secret~pd~key~";
        assert_eq!(
            Style::Slack.written(nasty, 500),
            "&lt;!channel&gt; &lt;http://x|y&gt; &amp; [a](http://b) *c* ~secret ~pd~key~"
        );
        assert_eq!(
            Style::Card.written("[a](http://b) *c*", 500),
            r"\[a\](http://b) \*c\*"
        );
    }

    #[test]
    fn notes_are_written_as_each_receiver_reads_them() {
        let notes = "### Features\n\n- **cart**: pay \\<later\\> (aaaaaaa)\n- more (bbbbbbb)\n\n… and 3 more\n";
        assert_eq!(
            Style::Slack.notes(notes, 500),
            "*Features*\n• cart: pay &lt;later&gt; (aaaaaaa)\n• more (bbbbbbb)\n… and 3 more"
        );
        assert_eq!(
            plain_notes(notes),
            "Features\n- cart: pay <later> (aaaaaaa)\n- more (bbbbbbb)\n… and 3 more"
        );
        assert_eq!(
            Style::Plain.notes(notes, 45),
            "Features\n- cart: pay <later> (aaaaaaa)\n…"
        );
    }

    proptest! {
        #[test]
        fn nothing_is_longer_than_may_be(text in "(?s).{0,400}", limit in 8_usize..300) {
            for style in [Style::Plain, Style::Slack, Style::Card] {
                prop_assert!(style.written(&text, limit).len() <= limit);
                prop_assert!(style.notes(&text, limit).len() <= limit);
            }
            prop_assert!(cut(&text, limit).len() <= limit);
        }
    }
}
