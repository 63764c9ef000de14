//! Who may import whom, and what may do I/O. Deciding stands below doing: a file sees its own layer and those
//! below it, and nothing below the shell can reach a client, a clock, a runtime, a log or the environment.

use std::collections::BTreeMap;

use super::{Source, sources};

/// From what knows nothing to what ties everything together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    /// Small values that every kind shares.
    Model,
    /// What kinds look like in YAML.
    Api,
    /// Everything that thinks: parsing, planning, rendering, judging, reporting.
    Core,
    /// What talks to the API server, the network, the clock.
    Shell,
    /// Kinds with their controllers, and what follows from the list of them.
    Kinds,
    /// Processes, from start to end.
    Process,
}

/// Files and folders by layer; the first entry that fits counts. `*` stands for one folder.
const LAYERS: &[(&str, Layer)] = &[
    ("model/", Layer::Model),
    ("error.rs", Layer::Model),
    ("schema.rs", Layer::Model),
    ("schema/", Layer::Model),
    ("permission.rs", Layer::Model),
    ("*/api.rs", Layer::Api),
    ("*/api/", Layer::Api),
    ("telemetry/metrics.rs", Layer::Core),
    ("telemetry/metrics/", Layer::Core),
    ("telemetry/series.rs", Layer::Core),
    ("telemetry/change.rs", Layer::Core),
    ("rollout/mod.rs", Layer::Kinds),
    ("environment/mod.rs", Layer::Kinds),
    ("pipeline/mod.rs", Layer::Kinds),
    ("pipeline_run/mod.rs", Layer::Kinds),
    ("kinds.rs", Layer::Kinds),
    ("crd.rs", Layer::Kinds),
    ("chart.rs", Layer::Kinds),
    ("reference.rs", Layer::Kinds),
    ("bin/", Layer::Process),
    ("operator.rs", Layer::Process),
    ("operator/", Layer::Process),
    ("cluster/preflight.rs", Layer::Process),
    ("cli/text.rs", Layer::Core),
    ("cli/answer.rs", Layer::Core),
    ("cli/standing.rs", Layer::Core),
    ("cli/manifest.rs", Layer::Core),
    ("cli/analysis/test/ask.rs", Layer::Process),
    ("cli/analysis/test/", Layer::Core),
    ("cli/rollout/plan/", Layer::Core),
    ("cli/rollout/explain/", Layer::Core),
    ("cli/rollout/table.rs", Layer::Core),
    ("cli/rollout/decide/", Layer::Core),
    ("cli/rollout/watch/screen.rs", Layer::Process),
    ("cli/rollout/watch/", Layer::Core),
    ("cli/status/", Layer::Core),
    ("cli/environment/difference.rs", Layer::Core),
    ("cli/release/verify/", Layer::Core),
    ("cli/slo/", Layer::Core),
    ("cli/lint/", Layer::Core),
    ("cli/doctor/", Layer::Core),
    ("cli/completion/", Layer::Core),
    ("cli/convert/", Layer::Core),
    ("cli/environment/table.rs", Layer::Core),
    ("cli/environment/outcome.rs", Layer::Core),
    ("cli/run/page.rs", Layer::Core),
    ("cli/run/table.rs", Layer::Core),
    ("cli/promotion/table.rs", Layer::Core),
    ("cli/release/table.rs", Layer::Core),
    ("cli/release/report/", Layer::Core),
    ("cli/dora/", Layer::Core),
    ("dashboard/asked.rs", Layer::Core),
    ("dashboard/cut.rs", Layer::Core),
    ("dashboard/guard.rs", Layer::Core),
    ("dashboard/page.rs", Layer::Core),
    ("dashboard/pod.rs", Layer::Core),
    ("dashboard/told.rs", Layer::Core),
    ("dashboard/topic.rs", Layer::Core),
    ("dashboard/", Layer::Process),
    ("cli/cluster.rs", Layer::Shell),
    ("cli/cluster/", Layer::Shell),
    ("cli/right.rs", Layer::Shell),
    ("cli/", Layer::Process),
    ("lib.rs", Layer::Process),
    ("*/observe.rs", Layer::Shell),
    ("*/observe/", Layer::Shell),
    ("cluster/", Layer::Shell),
    ("controller/", Layer::Shell),
    ("clock.rs", Layer::Shell),
    ("retry.rs", Layer::Shell),
    ("config.rs", Layer::Shell),
    ("leader.rs", Layer::Shell),
    ("telemetry/", Layer::Shell),
    ("web.rs", Layer::Shell),
    ("receiver/", Layer::Shell),
    ("archive.rs", Layer::Shell),
    ("archive/", Layer::Shell),
    ("oci/client.rs", Layer::Shell),
    ("oci/client/", Layer::Shell),
    ("oci/wire.rs", Layer::Shell),
    ("runner/task.rs", Layer::Core),
    ("runner/task/", Layer::Core),
    ("runner/report.rs", Layer::Core),
    ("runner/report/", Layer::Core),
    ("runner/", Layer::Process),
    ("", Layer::Core),
];

/// What no file below the shell may name, and what to do instead.
const FORBIDDEN: &[(&str, &str)] = &[
    ("kube::Client", "the shell talks to the API server"),
    ("kube::Api", "the shell talks to the API server"),
    ("Api<", "the shell talks to the API server"),
    ("reqwest", "render an Action::Fetch; the shell sends it"),
    ("tokio", "deciding is synchronous"),
    ("async fn", "deciding is synchronous"),
    (".await", "deciding is synchronous"),
    ("tracing", "return a Why; the driver logs it"),
    ("std::env", "config.rs parses the environment, once"),
    ("std::fs", "the shell reads and writes"),
    ("std::process", "the shell starts processes"),
    ("SystemTime", "time is an argument"),
    ("Instant", "time is an argument"),
    ("Timestamp::now", "time is an argument"),
    ("Zoned::now", "time is an argument"),
    ("rand::", "hash what tells the things apart"),
];

/// Files below the shell that may name one of these all the same, and why.
const EXEMPT: &[(&str, &str, &str)] = &[(
    "supply/key.rs",
    "rand::",
    "a signature takes randomness, and only the program inside a pod signs",
)];

/// Imports that go up, and why.
const UPWARD: &[(&str, &str, &str)] = &[(
    "pipeline_run/observed.rs",
    "cluster/mod.rs",
    "StageImages are plain data that the handle carries",
)];

fn layer_of(path: &str) -> Layer {
    let fits = |pattern: &str| match pattern.strip_prefix("*/") {
        Some(rest) => path
            .split_once('/')
            .is_some_and(|(_, inner)| is_at(inner, rest)),
        None => is_at(path, pattern),
    };
    let found = LAYERS.iter().find(|(pattern, _)| fits(pattern));
    found.map(|(_, layer)| *layer).unwrap()
}

fn is_at(path: &str, pattern: &str) -> bool {
    path == pattern || ((pattern.is_empty() || pattern.ends_with('/')) && path.starts_with(pattern))
}

/// The module of a file: `rollout/plan/change.rs` is `rollout::plan::change`.
fn module_of(path: &str) -> Vec<&str> {
    let path = path.strip_suffix(".rs").unwrap();
    let mut parts: Vec<&str> = path.split('/').collect();
    if matches!(parts.last(), Some(&"mod" | &"lib")) {
        parts.pop();
    }
    parts
}

/// The files that a file imports from this crate.
fn imports_of<'a>(source: &'a Source, files: &BTreeMap<Vec<&'a str>, &'a str>) -> Vec<&'a str> {
    let mut found = Vec::new();
    for start in ["crate::", "super::"] {
        let mut rest = source.code.as_str();
        while let Some(at) = rest.find(start) {
            let is_whole =
                !rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            let path = &rest[at..];
            rest = &rest[at + start.len()..];
            // `pub(in super::super)` says who sees it, and imports nothing.
            if is_whole && !source_before(&source.code, path).ends_with("(in ") {
                found.extend(resolve(source, path, files));
            }
        }
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn source_before<'a>(code: &'a str, rest: &str) -> &'a str {
    &code[..code.len() - rest.len()]
}

/// The deepest files that a path such as `crate::cluster::{Cluster, client}` leads to.
fn resolve<'a>(
    source: &'a Source,
    path: &'a str,
    files: &BTreeMap<Vec<&'a str>, &'a str>,
) -> Vec<&'a str> {
    let mut module = module_of(&source.path);
    let mut rest = path;
    loop {
        let end = rest
            .find(|c: char| !(c.is_alphanumeric() || c == '_'))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        match word {
            "crate" => module.clear(),
            "super" => drop(module.pop()),
            _ if files
                .keys()
                .any(|known| known.starts_with(&[&module[..], &[word]].concat())) =>
            {
                module.push(word);
            }
            _ => break,
        }
        match after.strip_prefix("::") {
            Some(next) => rest = next,
            None => break,
        }
    }
    let Some(list) = rest
        .strip_prefix('{')
        .and_then(|list| list.split(';').next())
    else {
        return files.get(&module).copied().into_iter().collect();
    };
    let names = list.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    let deeper: Vec<&str> = names
        .filter_map(|name| files.get(&[&module[..], &[name]].concat()).copied())
        .collect();
    if deeper.is_empty() {
        return files.get(&module).copied().into_iter().collect();
    }
    deeper
}

#[test]
fn imports_go_one_way() {
    let sources = sources();
    let modules = sources
        .iter()
        .map(|source| (module_of(&source.path), source.path.as_str()));
    let files: BTreeMap<Vec<&str>, &str> = modules.collect();
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for source in &sources {
        let own = layer_of(&source.path);
        for imported in imports_of(source, &files) {
            let other = layer_of(imported);
            if other <= own {
                continue;
            }
            if let Some(entry) = UPWARD
                .iter()
                .find(|(from, to, _)| *from == source.path && *to == imported)
            {
                used.push(*entry);
                continue;
            }
            wrong.push(format!(
                "{} ({own:?}) imports {imported} ({other:?})",
                source.path
            ));
        }
    }
    assert!(wrong.is_empty(), "imports go up: {wrong:#?}");
    let idle: Vec<_> = UPWARD
        .iter()
        .filter(|entry| !used.contains(entry))
        .collect();
    assert!(idle.is_empty(), "needed no more: {idle:#?}");
}

#[test]
fn what_decides_does_no_io() {
    let mut wrong = Vec::new();
    let mut used = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| layer_of(&source.path) < Layer::Shell)
    {
        for (word, instead) in FORBIDDEN {
            if !names(&source.code, word) {
                continue;
            }
            match EXEMPT
                .iter()
                .find(|(path, exempt, _)| *path == source.path && exempt == word)
            {
                Some(entry) => used.push(*entry),
                None => wrong.push(format!("{} names {word}: {instead}", source.path)),
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let idle: Vec<_> = EXEMPT
        .iter()
        .filter(|entry| !used.contains(entry))
        .collect();
    assert!(idle.is_empty(), "needed no more: {idle:#?}");
}

/// Whether `code` has `word` where no longer word goes on to the left.
fn names(code: &str, word: &str) -> bool {
    let mut hits = code.match_indices(word);
    hits.any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

#[test]
fn the_test_itself_finds_what_it_looks_for() {
    assert_eq!(layer_of("rollout/plan/change.rs"), Layer::Core);
    assert_eq!(layer_of("rollout/api.rs"), Layer::Api);
    assert_eq!(layer_of("environment/api/status.rs"), Layer::Api);
    assert_eq!(layer_of("rollout/observe.rs"), Layer::Shell);
    assert!(names("use tokio::time;", "tokio"));
    assert!(!names("monotokio", "tokio"));
    let sources = sources();
    let modules = sources
        .iter()
        .map(|source| (module_of(&source.path), source.path.as_str()));
    let files: BTreeMap<Vec<&str>, &str> = modules.collect();
    let source = sources
        .iter()
        .find(|source| source.path == "rollout/plan/object.rs")
        .unwrap();
    let imports = imports_of(source, &files);
    for known in [
        "traffic/router.rs",
        "rollout/plan.rs",
        "rollout/spec.rs",
        "model/weight.rs",
    ] {
        assert!(imports.contains(&known), "{known} is not in {imports:?}");
    }
}
