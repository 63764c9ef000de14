//! What commands answer in the pages is what they answer: what the program says of files in the repository and of files that a
//! page shows, the columns of the definitions, and what golden files have. What is compared with nothing is listed here.

use std::collections::BTreeSet;
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;

use super::pages::pages;
use super::{collect, root};
use crate::book;
use crate::cli::text::Palette;
use crate::cli::{self, Args, Command};
use crate::crd;

/// Pages, commands in them whose output is compared with nothing, and why.
const NOT_COMPARED: &[(&str, &str, &str)] = &[
    (
        "docs/dashboard.md",
        "kubectl slipway dashboard",
        "its port and its secret are made anew each time",
    ),
    (
        "docs/get-started.md",
        "curl -H 'host: hello.example.com' http://10.244.0.1:8000/",
        "the pods of an application answer it",
    ),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway run logs greeter-4k2v9",
        "what stages say is their own",
    ),
    (
        "docs/reports-out/README.md",
        "kubectl get srun api-3f9c2e1b0d -o jsonpath='{range .status.outbox[*]}{.key}{\"\\t\"}{.state}{\"\\t\"}{.lastError}{\"\\n\"}{end}'",
        "kubectl writes it, of what a provider has said",
    ),
];

/// A command in a page, with what it answers.
struct Said {
    page: String,
    command: String,
    output: Vec<String>,
}

/// Every command of a block that answers something.
fn said(page: &str, block: &str) -> Vec<Said> {
    let mut said: Vec<Said> = Vec::new();
    let mut goes_on = false;
    let mut until: Option<String> = None;
    for line in block.lines() {
        if let Some(end) = &until {
            if line.trim() == end {
                until = None;
            }
            continue;
        }
        let is_command = line.starts_with("$ ") || line.starts_with("# ");
        if is_command && !goes_on {
            let command = line[2..].split(" # ").next().unwrap().trim().to_owned();
            let page = page.to_owned();
            said.push(Said {
                page,
                command,
                output: Vec::new(),
            });
        } else if !goes_on && let Some(last) = said.last_mut() {
            last.output.push(line.trim_end().to_owned());
        }
        goes_on = (is_command || goes_on) && (line.ends_with('\\') || line.ends_with('|'));
        until = line
            .split_once("<<")
            .filter(|_| is_command)
            .map(|(_, end)| end.trim().to_owned());
    }
    for one in &mut said {
        while one.output.last().is_some_and(String::is_empty) {
            one.output.pop();
        }
    }
    said.retain(|one| !one.output.is_empty());
    said
}

/// What the program answers, where it needs nothing but files of the repository, or of the folder with those that the page shows.
fn answered(command: &str, folder: &Path) -> Option<String> {
    let words = command.strip_prefix("kubectl slipway ")?;
    let words: Vec<&str> = words.split_whitespace().collect();
    let is_shown = |word: &&str| folder.join(word).is_file();
    let is_here = |word: &&str| word.contains('/') && root().join(word).is_file();
    let is_version = words == ["--version"];
    if !is_version && !words.iter().any(|word| is_shown(word) || is_here(word)) {
        return None;
    }
    let mut all = vec!["kubectl-slipway".to_owned()];
    all.extend(words.iter().map(|word| {
        let shown = is_shown(word).then(|| folder.join(word).display().to_string());
        shown.unwrap_or_else(|| (*word).to_owned())
    }));
    let args = match Args::try_parse_from(all) {
        Ok(args) => args,
        Err(said) if said.kind() == ErrorKind::DisplayVersion => return Some(said.to_string()),
        Err(error) => panic!("{command}: {error}"),
    };
    let answer = match args.command {
        Command::Rollout(verb) => cli::rollout::run(&verb, Palette::new(false)),
        Command::Lint(args) => cli::lint::run(&args, Palette::new(false)),
        other => panic!("{command}: {other:?} is not run here"),
    };
    let problems = answer.problems.iter();
    let problems: Vec<String> = problems
        .map(|problem| format!("error: {problem}\n"))
        .collect();
    let text = answer.text + &problems.concat();
    Some(text.replace(&format!("{}/", folder.display()), ""))
}

/// The columns of a kind of ours, where the command is one of kubectl that lists such objects.
fn columns(command: &str) -> Option<String> {
    let words = command.strip_prefix("kubectl ")?;
    if words.starts_with("slipway ") {
        return None;
    }
    let mut words = words.split_whitespace();
    let kind = words.find(|word| *word == "get").and(words.next())?;
    if words.any(|word| word.starts_with("-o")) {
        return None;
    }
    let all = crd::all().unwrap();
    let crd = all.iter().find(|crd| {
        let names = &crd.spec.names;
        let mut short = names.short_names.iter().flatten();
        names.plural == kind || short.any(|name| name == kind)
    })?;
    let columns = crd.spec.versions[0].additional_printer_columns.iter();
    let columns = columns.flatten().filter(|column| column.priority.is_none());
    let columns = columns.map(|column| column.name.to_uppercase());
    let all: Vec<String> = std::iter::once("NAME".to_owned()).chain(columns).collect();
    Some(all.join(" "))
}

/// Lines of every golden file of the command line.
fn golden() -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    collect(&root().join("src/cli"), "snap", &mut paths);
    let texts = paths
        .into_iter()
        .map(|path| std::fs::read_to_string(path).unwrap());
    texts
        .map(|text| text.lines().map(|line| line.trim().to_owned()).collect())
        .collect()
}

/// A line without the time of day, which golden output has not.
fn timeless(line: &str) -> &str {
    let is_time = |word: &str| word.len() == 8 && word.split(':').count() == 3;
    match line.split_once(' ') {
        Some((time, rest)) if is_time(time) => rest,
        Some(_) | None => line,
    }
}

/// Whether the lines stand in a golden file, in this order. `…` stands for lines that are left out.
fn is_in(lines: &[String], golden: &[String]) -> bool {
    let mut rest = golden.iter();
    let mut lines = lines
        .iter()
        .map(|line| timeless(line.trim()))
        .filter(|line| !line.is_empty() && *line != "…");
    // Lines of several stories have the name of theirs in front.
    lines.all(|line| rest.any(|golden| golden.ends_with(line)))
}

/// What became of the commands of all pages.
#[derive(Default)]
struct Found {
    compared: usize,
    wrong: Vec<String>,
    rest: Vec<(String, String)>,
}

impl Found {
    /// Compares what the commands of a page answer. Files that it shows with `cat` are there for commands that come later.
    fn look_at(&mut self, path: &str, text: &str, golden: &[Vec<String>]) {
        let folder = tempfile::tempdir().unwrap();
        let mut unread = BTreeSet::new();
        let blocks = book::blocks(text).into_iter();
        let blocks = blocks.filter(|block| block.language == "console");
        for one in blocks.flat_map(|block| said(path, &block.text)) {
            if let Some(name) = one.command.strip_prefix("cat ") {
                let file = one.output.join("\n") + "\n";
                std::fs::write(folder.path().join(name), file).unwrap();
                unread.insert(name.to_owned());
                continue;
            }
            let words: Vec<&str> = one.command.split_whitespace().collect();
            unread.retain(|name| !words.contains(&name.as_str()));
            if let Some(answer) = answered(&one.command, folder.path()) {
                let lines = answer.trim_end().lines().map(str::trim_end);
                self.compare(&one, &one.output, &lines.collect::<Vec<_>>());
            } else if let Some(columns) = columns(&one.command) {
                let words = one.output[0].split_whitespace();
                let header = words.collect::<Vec<_>>().join(" ");
                self.compare(&one, &[header], &[&columns]);
            } else if golden.iter().any(|golden| is_in(&one.output, golden)) {
                self.compared += 1;
            } else {
                self.rest.push((one.page, one.command));
            }
        }
        assert!(unread.is_empty(), "{path}: no command reads {unread:?}");
    }

    fn compare(&mut self, of: &Said, shown: &[String], is: &[&str]) {
        self.compared += 1;
        if shown != is {
            let Said { page, command, .. } = of;
            let is = is.join("\n");
            self.wrong
                .push(format!("{page}: {command}\nsays now\n{is}"));
        }
    }
}

#[test]
fn output_in_the_pages_is_what_the_program_says() {
    let golden = golden();
    let mut found = Found::default();
    for (path, text) in pages() {
        if path.starts_with(book::FOLDER) {
            found.look_at(&path, &text, &golden);
        }
    }
    let Found {
        compared,
        wrong,
        rest,
    } = found;
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(compared >= 14, "{compared}");
    let is_same = |(page, command): &(String, String), known: &(&str, &str, &str)| {
        page == known.0 && command == known.1
    };
    let unknown: Vec<_> = rest
        .iter()
        .filter(|one| !NOT_COMPARED.iter().any(|known| is_same(one, known)))
        .collect();
    assert!(unknown.is_empty(), "nothing has these: {unknown:#?}");
    let gone: Vec<_> = NOT_COMPARED
        .iter()
        .filter(|known| !rest.iter().any(|one| is_same(one, known)))
        .collect();
    assert!(
        gone.is_empty(),
        "these are compared now, or gone: {gone:#?}"
    );
}
