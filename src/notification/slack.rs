//! A message in a channel of Slack, in Block Kit. No I/O.
//!
//! Limits: <https://docs.slack.dev/reference/block-kit/blocks>: 50 blocks, 150 characters in a header, 3000 in a section, 10
//! fields of 2000 each. Bytes are counted, which are never fewer.

use serde_json::{Value, json};

use super::Message;
use super::api::Severity;
use super::text::{Style, is_blank};

const MAX_HEADER: usize = 150;
const MAX_SECTION: usize = 3000;
const MAX_FIELD: usize = 400;

/// What is posted.
///
/// # Errors
/// The template cannot be filled in.
pub fn body(message: &Message, template: Option<&str>) -> Result<Value, String> {
    let title = Style::Plain.written(&message.title, MAX_HEADER);
    let mut blocks = vec![
        json!({"type": "header", "text": {"type": "plain_text", "text": title, "emoji": false}}),
    ];
    if let Some(text) = message.filled_if_any(template, Style::Slack, MAX_SECTION)? {
        blocks.push(section(&text));
    } else {
        let said = Style::Slack.written(&message.message, MAX_SECTION);
        if !is_blank(&said) {
            blocks.push(section(&said));
        }
        let fields = message.shown().map(|(label, value)| {
            let value = Style::Slack.written(value, MAX_FIELD);
            mrkdwn(&format!("*{label}*\n{value}"))
        });
        let fields: Vec<Value> = fields.take(10).collect();
        if !fields.is_empty() {
            blocks.push(json!({"type": "section", "fields": fields}));
        }
        let notes = Style::Slack.notes(&message.notes, MAX_SECTION);
        if !is_blank(&notes) {
            blocks.push(section(&notes));
        }
    }
    let (_, namespace, _) = &message.subject;
    let foot = format!(
        "{} {}, namespace {namespace}, {}",
        sign(message.severity),
        message.event,
        message.at
    );
    blocks.push(json!({"type": "context", "elements": [mrkdwn(&foot)]}));
    // What is shown where blocks are not, as in a push message.
    let text = Style::Slack.written(&message.title, MAX_SECTION);
    Ok(json!({"text": text, "blocks": blocks}))
}

fn section(text: &str) -> Value {
    json!({"type": "section", "text": mrkdwn(text)})
}

/// Text in which nothing becomes a link, a channel or somebody who is called, unless it is marked up so.
fn mrkdwn(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

fn sign(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => ":information_source:",
        Severity::Warning => ":warning:",
        Severity::Critical => ":rotating_light:",
    }
}
