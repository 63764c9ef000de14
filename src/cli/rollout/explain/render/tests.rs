//! What people see, in every phase.

use jiff::SignedDuration;

use super::*;
use crate::analysis::template::Templates;
use crate::cli::Output;
use crate::rollout::explain::explain;
use crate::rollout::explain::testing::{STORIES, story};

fn name_of(story: &str) -> String {
    story.replace(' ', "_")
}

#[test]
fn what_people_see_in_every_phase() {
    for (name, tell) in STORIES {
        let story = tell();
        let seconds = if *name == "drains" { 4 } else { 100 };
        let now = story.now() + SignedDuration::from_secs(seconds);
        let shown = table(
            &explain(&story.rollout(), &Templates::new(), now),
            Palette::new(false),
        );
        insta::assert_snapshot!(name_of(name), shown);
    }
}

#[test]
fn programs_get_times_as_they_are_in_the_object() {
    let story = story("pauses for a time");
    let explanation = explain(&story.rollout(), &Templates::new(), story.now());
    let read: serde_json::Value =
        serde_json::from_str(&Output::Json.document(&explanation).unwrap()).unwrap();
    assert_eq!(read["phase"], "Paused");
    assert_eq!(read["steps"][1]["state"], "Now");
    assert_eq!(read["until"], explanation.until.unwrap().to_string());
    assert_eq!(read["analysis"][0]["name"], "success-rate");
    assert_eq!(read["advice"][0]["decision"], "Skip");
}

#[test]
fn colours_are_added_and_nothing_else() {
    let story = story("pauses for a time");
    let explanation = explain(&story.rollout(), &Templates::new(), story.now());
    let coloured = table(&explanation, Palette::new(true));
    assert!(coloured.contains("\u{1b}[33mPaused\u{1b}[0m"));
    let mut plain = coloured;
    for code in ["[1m", "[2m", "[31m", "[32m", "[33m", "[0m"] {
        plain = plain.replace(&format!("\u{1b}{code}"), "");
    }
    assert_eq!(plain, table(&explanation, Palette::new(false)));
}
