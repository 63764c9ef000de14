//! From words that were typed to what may come next. No I/O.

use std::collections::BTreeMap;

use clap::{Arg, ArgAction, Command, ValueHint};

/// Names of objects that may come next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Rollouts,
    Environments,
    Runs,
    Releases,
    Promotions,
    Pipelines,
}

/// What may come next.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Walk {
    /// Words, and what they are.
    pub(super) words: Vec<(String, String)>,
    /// Names of objects.
    pub(super) names: Option<Names>,
    /// Whether it is the name of a file.
    pub(super) is_file: bool,
    /// What the word that is being typed begins with.
    pub(super) prefix: String,
    /// Values of flags that were typed before.
    pub(super) given: BTreeMap<String, String>,
}

/// Where the words lead.
struct Position<'a> {
    command: &'a Command,
    /// The verbs on the way.
    path: Vec<&'a str>,
    /// Words that are no flags and no verbs.
    count: usize,
    /// The flag whose value comes next.
    flag: Option<&'a Arg>,
    given: BTreeMap<String, String>,
}

/// What may come next; the last word is being typed.
pub(super) fn walk(root: &Command, words: &[String]) -> Walk {
    let (before, last) = match words.split_last() {
        Some((last, before)) => (before, last.as_str()),
        None => (words, ""),
    };
    let mut position = Position {
        command: root,
        path: Vec::new(),
        count: 0,
        flag: None,
        given: BTreeMap::new(),
    };
    for word in before {
        position.step(word);
    }
    let mut walk = Walk {
        prefix: last.to_owned(),
        ..Walk::default()
    };
    position.choose(&mut walk);
    let prefix = &walk.prefix;
    walk.words.retain(|(word, _)| word.starts_with(prefix));
    walk.given = position.given;
    walk
}

impl<'a> Position<'a> {
    /// One word further.
    fn step(&mut self, word: &str) {
        if let Some(flag) = self.flag.take() {
            self.given
                .insert(flag.get_id().to_string(), word.to_owned());
            return;
        }
        if let Some(name) = word.strip_prefix("--").filter(|name| !name.is_empty()) {
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (name, None),
            };
            let flag = self.flag(|arg| arg.get_long() == Some(name));
            self.take(flag, value);
            return;
        }
        if let Some(rest) = word.strip_prefix('-').filter(|rest| !rest.is_empty()) {
            let short = rest.chars().next();
            let flag = self.flag(|arg| arg.get_short() == short);
            let value = rest.get(1..).filter(|value| !value.is_empty());
            self.take(flag, value);
            return;
        }
        match self.command.find_subcommand(word) {
            Some(next) if self.count == 0 => {
                self.path.push(next.get_name());
                self.command = next;
            }
            _ => self.count += 1,
        }
    }

    fn flag(&self, is_meant: impl Fn(&Arg) -> bool) -> Option<&'a Arg> {
        self.command.get_arguments().find(|arg| is_meant(arg))
    }

    /// A flag was typed: its value too, or that comes next, or it takes none.
    fn take(&mut self, flag: Option<&'a Arg>, value: Option<&str>) {
        let Some(flag) = flag else { return };
        let takes = matches!(flag.get_action(), ArgAction::Set | ArgAction::Append);
        match value {
            Some(value) => {
                self.given
                    .insert(flag.get_id().to_string(), value.to_owned());
            }
            None if takes && !flag.is_require_equals_set() => self.flag = Some(flag),
            None => {}
        }
    }

    /// What may come here.
    fn choose(&self, walk: &mut Walk) {
        if let Some(flag) = self.flag {
            self.value_of(flag, walk);
            return;
        }
        if walk.prefix.starts_with('-') {
            let flags = self
                .command
                .get_arguments()
                .filter(|arg| !arg.is_hide_set());
            walk.words.extend(flags.filter_map(|arg| {
                let long = arg.get_long()?;
                Some((format!("--{long}"), about(arg.get_help())))
            }));
            return;
        }
        let verbs = self.command.get_subcommands();
        let verbs = verbs.filter(|verb| !verb.is_hide_set() && verb.get_name() != "help");
        let verbs = verbs.map(|verb| (verb.get_name().to_owned(), about(verb.get_about())));
        walk.words.extend(verbs.filter(|_| self.count == 0));
        let mut positionals = self.command.get_positionals();
        if let Some(arg) = positionals.nth(self.count) {
            self.value_of(arg, walk);
        }
    }

    /// What the value of a flag or of a positional may be.
    fn value_of(&self, arg: &Arg, walk: &mut Walk) {
        let values = arg.get_possible_values();
        if !values.is_empty() {
            let value = |value: &clap::builder::PossibleValue| {
                (value.get_name().to_owned(), about(value.get_help()))
            };
            walk.words.extend(values.iter().map(value));
            return;
        }
        let id = arg.get_id().as_str();
        let is_path = matches!(
            arg.get_value_hint(),
            ValueHint::FilePath | ValueHint::AnyPath | ValueHint::DirPath
        );
        walk.is_file = is_path || ["file", "filename", "keys", "docker_config"].contains(&id);
        walk.names = match (id, self.path.first().copied()) {
            ("release", _) | ("to", Some("env")) | ("name", Some("release")) => {
                Some(Names::Releases)
            }
            ("environment", _) | ("name", Some("env" | "slo" | "dora")) => {
                Some(Names::Environments)
            }
            ("retry_of", _) | ("name", Some("run")) => Some(Names::Runs),
            ("pipeline", _) => Some(Names::Pipelines),
            ("name", Some("rollout")) => Some(Names::Rollouts),
            ("name", Some("promotion")) => Some(Names::Promotions),
            _ => None,
        };
    }
}

/// The first line of a help.
fn about(help: Option<&clap::builder::StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    help.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn at(words: &[&str]) -> Walk {
        let mut command = crate::cli::Args::command();
        command.build();
        let words: Vec<String> = words.iter().map(ToString::to_string).collect();
        walk(&command, &words)
    }

    fn words(words: &[&str]) -> Vec<String> {
        let found = at(words).words.into_iter();
        found.map(|(word, _)| word).collect()
    }

    #[test]
    fn verbs_flags_and_values_are_candidates() {
        assert_eq!(words(&["roll"]), ["rollout"]);
        assert!(words(&["rollout", "pl"]).contains(&"plan".to_owned()));
        assert!(
            !words(&[""]).contains(&"complete".to_owned()),
            "it is hidden"
        );
        assert_eq!(words(&["rollout", "get", "--sel"]), ["--selector"]);
        assert_eq!(words(&["rollout", "get", "-o", "w"]), ["wide"]);
        assert!(words(&["completion", ""]).contains(&"kubectl".to_owned()));
    }

    #[test]
    fn names_are_asked_for_where_they_belong() {
        let names = |words: &[&str]| at(words).names;
        assert_eq!(names(&["rollout", "watch", "ap"]), Some(Names::Rollouts));
        assert_eq!(names(&["rollout", "undo", ""]), Some(Names::Rollouts));
        assert_eq!(names(&["env", "approve", ""]), Some(Names::Environments));
        let second = ["env", "approve", "production", ""];
        assert_eq!(names(&second), Some(Names::Releases));
        assert_eq!(names(&["run", "start", ""]), Some(Names::Pipelines));
        assert_eq!(names(&["rollout", "watch", "api", ""]), None);
    }

    #[test]
    fn flags_before_say_where_to_ask() {
        let found = at(&["rollout", "watch", "-n", "shop", "--context=eu", "ap"]);
        assert_eq!(found.names, Some(Names::Rollouts));
        assert_eq!(found.given["namespace"], "shop");
        assert_eq!(found.given["context"], "eu");
        assert_eq!(found.prefix, "ap");
    }
}
