//! What commands answer in the pages is what they answer: what the program says of files in the repository, and what golden files
//! have. What is compared with nothing is listed here.

use clap::Parser;

use super::pages::pages;
use super::{collect, root};
use crate::book;
use crate::cli::text::Palette;
use crate::cli::{self, Args, Command};

/// Pages, and commands in them whose output is compared with nothing: they need a cluster, or files that the page does not show.
const NOT_COMPARED: &[(&str, &str)] = &[
    ("docs/clusters.md", "kubectl -n shop get senv production-eu"),
    ("docs/dashboard.md", "kubectl slipway dashboard"),
    (
        "docs/get-started.md",
        "curl -H 'host: hello.example.com' http://10.244.0.1:8000/",
    ),
    ("docs/kubectl-slipway.md", "kubectl slipway --version"),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway env approve production --wait --timeout 30m",
    ),
    ("docs/kubectl-slipway.md", "head -6 rollout.yaml"),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway rollout plan -f bad.yaml",
    ),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway analysis test -f api.yaml --prometheus http://localhost:9090 --canary 2221a9eb9e --from 2026-11-25T14:05:00Z --to 2026-11-25T14:25:00Z",
    ),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway run logs greeter-4k2v9",
    ),
    (
        "docs/kubectl-slipway.md",
        "kubectl slipway lint -f rollout.yaml",
    ),
    (
        "docs/promotion.md",
        "kubectl slipway env rollback production --dry-run",
    ),
    (
        "docs/promotion.md",
        "kubectl slipway env rollback production --reason \"orders fail\"",
    ),
    (
        "docs/reports-out/README.md",
        "kubectl get srun api-3f9c2e1b0d -o jsonpath='{range .status.outbox[*]}{.key}{\"\\t\"}{.state}{\"\\t\"}{.lastError}{\"\\n\"}{end}'",
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

/// What the program answers, where it needs nothing but files of the repository.
fn answered(command: &str) -> Option<String> {
    let words: Vec<&str> = command
        .strip_prefix("kubectl slipway ")?
        .split_whitespace()
        .collect();
    let is_here = words
        .iter()
        .any(|word| word.contains('/') && root().join(word).is_file());
    if !is_here {
        return None;
    }
    let all = std::iter::once("kubectl-slipway").chain(words.iter().copied());
    let answer = match Args::try_parse_from(all).unwrap().command {
        Command::Rollout(verb) => cli::rollout::run(&verb, Palette::new(false)),
        Command::Lint(args) => cli::lint::run(&args, Palette::new(false)),
        other => panic!("{command}: {other:?} is not run here"),
    };
    Some(answer.text)
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

#[test]
fn output_in_the_pages_is_what_the_program_says() {
    let golden = golden();
    let mut wrong = Vec::new();
    let mut not_compared = Vec::new();
    let mut compared = 0;
    for (path, text) in pages()
        .into_iter()
        .filter(|(path, _)| path.starts_with(book::FOLDER))
    {
        let blocks = book::blocks(&text).into_iter();
        let blocks = blocks.filter(|block| block.language == "console");
        for Said {
            page,
            command,
            output,
        } in blocks.flat_map(|block| said(&path, &block.text))
        {
            if let Some(text) = answered(&command) {
                compared += 1;
                let text: Vec<&str> = text.trim_end().lines().map(str::trim_end).collect();
                if text != output {
                    wrong.push(format!("{page}: {command}\nsays now\n{}", text.join("\n")));
                }
            } else if golden.iter().any(|golden| is_in(&output, golden)) {
                compared += 1;
            } else {
                not_compared.push((page, command));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    assert!(compared >= 4, "{compared}");
    let known = |(page, command): &&(String, String)| {
        NOT_COMPARED.contains(&(page.as_str(), command.as_str()))
    };
    let unknown: Vec<_> = not_compared.iter().filter(|one| !known(one)).collect();
    assert!(unknown.is_empty(), "no golden file has these: {unknown:#?}");
    let is_there = |(page, command): &&(&str, &str)| {
        not_compared.iter().any(|(p, c)| p == page && c == command)
    };
    let gone: Vec<_> = NOT_COMPARED.iter().filter(|one| !is_there(one)).collect();
    assert!(
        gone.is_empty(),
        "these are compared now, or gone: {gone:#?}"
    );
}
