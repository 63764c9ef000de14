//! A message in a channel or chat of Microsoft Teams: an Adaptive Card, for a workflow that takes webhooks. No I/O.
//!
//! Limits: 28 KB in all (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>).

use serde_json::{Value, json};

use super::api::Severity;
use super::text::Style;
use super::{Message, Stage};

const MAX_TITLE: usize = 300;
const MAX_TEXT: usize = 3000;
const MAX_FACT: usize = 300;
const MAX_NOTES: usize = 5000;

/// What is posted.
///
/// # Errors
/// The template cannot be filled in.
pub fn body(message: &Message, template: Option<&str>) -> Result<Value, String> {
    let mut title = block(&Style::Card.written(&message.title, MAX_TITLE));
    if let Some(title) = title.as_object_mut() {
        title.insert("size".to_owned(), "Large".into());
        title.insert("weight".to_owned(), "Bolder".into());
        title.insert("color".to_owned(), colour(message).into());
    }
    let mut blocks = vec![title];
    if let Some(text) = message.filled_if_any(template, Style::Card, MAX_TEXT)? {
        blocks.push(block(&text));
    } else {
        if !message.message.is_empty() {
            blocks.push(block(&Style::Card.written(&message.message, MAX_TEXT)));
        }
        let facts = message.shown().map(|(label, value)| {
            let value = Style::Card.written(value, MAX_FACT);
            json!({"title": label, "value": value})
        });
        let facts: Vec<Value> = facts.collect();
        if !facts.is_empty() {
            blocks.push(json!({"type": "FactSet", "facts": facts}));
        }
        if !message.notes.is_empty() {
            blocks.push(block(&Style::Card.notes(&message.notes, MAX_NOTES)));
        }
    }
    let (_, namespace, _) = &message.subject;
    let mut foot = block(&format!(
        "{}, namespace {namespace}, {}",
        message.event, message.at
    ));
    if let Some(foot) = foot.as_object_mut() {
        foot.insert("isSubtle".to_owned(), true.into());
        foot.insert("size".to_owned(), "Small".into());
    }
    blocks.push(foot);
    Ok(json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": blocks,
                "msteams": {"width": "Full"},
            },
        }],
    }))
}

fn block(text: &str) -> Value {
    json!({"type": "TextBlock", "text": text, "wrap": true})
}

fn colour(message: &Message) -> &'static str {
    if message.stage == Stage::Ends {
        return "Good";
    }
    match message.severity {
        Severity::Info => "Default",
        Severity::Warning => "Warning",
        Severity::Critical => "Attention",
    }
}
