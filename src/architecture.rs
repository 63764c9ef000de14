//! What holds of the whole source tree, checked as tests: who may import whom, what decides without I/O, how
//! long a file is, and that every kind has everything that a kind needs. CONTRIBUTING.md says it in words.

mod imports;
mod kinds;
mod monitoring;
mod outputs;
mod pages;
mod reasons;
mod samples;
mod scenarios;
mod walk;

use std::path::{Path, PathBuf};

/// Longest file, in lines that are no tests.
const MAX_LINES: usize = 500;

/// Files that may be longer, and why.
const LONG: &[(&str, &str)] = &[];

/// The root of the repository.
fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A source file without its tests and comments.
struct Source {
    /// Path below `src`, with `/`.
    path: String,
    /// Everything that is in it.
    whole: String,
    /// Its code: the file's own tests and all comments are taken out.
    code: String,
}

impl Source {
    fn lines(&self) -> usize {
        without_tests(&self.whole).lines().count()
    }
}

/// Every source file that is no test, in the order of paths.
fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&root().join("src"), "rs", &mut paths);
    paths.sort();
    let below = root().join("src");
    let sources = paths.into_iter().map(|path| {
        let whole = std::fs::read_to_string(&path).unwrap();
        let path = path.strip_prefix(&below).unwrap().to_str().unwrap();
        Source {
            path: path.replace('\\', "/"),
            code: without_comments(&without_tests(&whole)),
            whole,
        }
    });
    sources.filter(|source| !is_test(&source.path)).collect()
}

fn collect(folder: &Path, extension: &str, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, extension, into);
        } else if path.extension().is_some_and(|found| found == extension) {
            into.push(path);
        }
    }
}

/// Files that are compiled for tests only.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap();
    matches!(
        name,
        "tests.rs" | "testing.rs" | "world.rs" | "architecture.rs"
    ) || path.contains("/tests/")
        || path.starts_with("architecture/")
}

/// The tests of a file stand at its end, in a module of their own.
fn without_tests(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    text[..end].to_owned()
}

/// Good enough for the code at hand: no string in it has `//` with a space before.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| {
        let starts = line.trim_start().starts_with("//");
        let end = if starts {
            0
        } else {
            line.find(" // ").unwrap_or(line.len())
        };
        &line[..end]
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut long = Vec::new();
    for source in sources() {
        let is_exempt = LONG.iter().any(|(path, _)| *path == source.path);
        let lines = source.lines();
        match (lines > MAX_LINES, is_exempt) {
            (true, false) => long.push(format!("{} has {lines} lines", source.path)),
            (false, true) => long.push(format!("{} needs no exemption any more", source.path)),
            _ => {}
        }
    }
    assert!(long.is_empty(), "at most {MAX_LINES} lines: {long:#?}");
}

#[test]
fn every_module_says_what_it_is() {
    let silent = sources()
        .into_iter()
        .filter(|source| !source.whole.starts_with("//! "));
    let silent: Vec<String> = silent.map(|source| source.path).collect();
    assert!(silent.is_empty(), "no //! at the top: {silent:#?}");
}
