//! What a verb answers: texts, documents, and how it ended. No I/O.

use std::fmt::Write;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// The same, as YAML.
    Yaml,
}

impl Output {
    /// What programs get; nothing where the answer is for people.
    pub fn document<T: Serialize>(self, of: &T) -> Option<String> {
        match self {
            Self::Table => None,
            Self::Json => Some(serde_json::to_string_pretty(of).unwrap_or_default() + "\n"),
            Self::Yaml => Some(serde_saphyr::to_string(of).unwrap_or_default()),
        }
    }
}

/// How objects of the cluster are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ObjectOutput {
    /// For people.
    Table,
    /// The same, with more columns.
    Wide,
    /// Kinds and names, a line each, as other commands take them.
    Name,
    /// For programs.
    Json,
    /// The same, as YAML.
    Yaml,
}

impl ObjectOutput {
    /// Whether people want more columns.
    pub fn is_wide(self) -> bool {
        self == Self::Wide
    }

    /// What programs get; nothing where the answer is for people.
    pub fn document<T: Serialize>(self, of: &T) -> Option<String> {
        match self {
            Self::Table | Self::Wide => None,
            Self::Name => Some(names(&serde_json::to_value(of).unwrap_or_default())),
            Self::Json => Output::Json.document(of),
            Self::Yaml => Output::Yaml.document(of),
        }
    }
}

/// The names of an object, or of several, as kubectl writes them: `rollout.slipway.dev/api`.
fn names(of: &Value) -> String {
    if let Value::Array(all) = of {
        return all.iter().map(names).collect();
    }
    let mut text = String::new();
    let kind = of["kind"].as_str().unwrap_or_default();
    let version = of["apiVersion"].as_str().unwrap_or_default();
    let name = of.pointer("/metadata/name").and_then(Value::as_str);
    let group = version.split_once('/').map_or("", |(group, _)| group);
    let dot = if group.is_empty() { "" } else { "." };
    if let Some(name) = name {
        let kind = kind.to_ascii_lowercase();
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{kind}{dot}{group}/{name}");
    }
    text
}

/// What a verb has to say.
#[derive(Debug, Default)]
pub struct Answer {
    /// The answer.
    pub text: String,
    /// What is wrong, a line each.
    pub problems: Vec<String>,
    /// How it ended.
    pub end: End,
}

/// How a verb ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// All is well.
    #[default]
    Well,
    /// The answer could not be had.
    Failed,
    /// The input is wrong.
    Invalid,
    /// There is an answer: what was asked about has failed, was rolled back, or is bad.
    Bad,
    /// It waits for a person.
    Waiting,
    /// It was not over in time.
    Late,
}

impl End {
    /// The exit code. An interface: they are never renumbered.
    pub const fn code(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Failed => 1,
            Self::Invalid => 2,
            Self::Bad => 3,
            Self::Waiting => 4,
            Self::Late => 5,
        }
    }
}

impl Answer {
    /// What was said of a Decision, and how that about which it was ended, if it did in time.
    pub fn after(said: String, ended: Option<(String, End)>, about: &str) -> Self {
        match ended {
            Some((words, end)) => Self {
                text: format!("{said}{words}\n"),
                end,
                ..Self::default()
            },
            None => Self {
                text: said,
                problems: vec![format!("{about} was not there in time")],
                end: End::Late,
            },
        }
    }

    /// An answer, and all is well.
    pub fn well(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            ..Self::default()
        }
    }

    /// No answer, because the input is wrong, and how.
    pub fn invalid(problems: Vec<String>) -> Self {
        Self {
            problems,
            end: End::Invalid,
            ..Self::default()
        }
    }

    /// No answer, and why.
    pub fn failed(problem: impl Into<String>) -> Self {
        Self {
            problems: vec![problem.into()],
            end: End::Failed,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_are_written_as_kubectl_writes_them() {
        let object = |version: &str, kind: &str| json!({"apiVersion": version, "kind": kind, "metadata": {"name": "api"}});
        let both = [
            object("slipway.dev/v1alpha1", "Rollout"),
            object("v1", "Pod"),
        ];
        let text = ObjectOutput::Name.document(&both);
        assert_eq!(text.unwrap(), "rollout.slipway.dev/api\npod/api\n");
        assert_eq!(ObjectOutput::Wide.document(&both), None);
    }

    #[test]
    fn every_end_has_a_code_of_its_own() {
        let ends = [
            End::Well,
            End::Failed,
            End::Invalid,
            End::Bad,
            End::Waiting,
            End::Late,
        ];
        assert_eq!(ends.map(End::code), [0, 1, 2, 3, 4, 5]);
    }
}
