//! What `make docs` needs besides mdBook. As its preprocessor, it has links lead to the repository where they leave the site
//! (`slipway::book`); with `check FOLDER` it looks whether every link of the site that was made leads somewhere.

use std::collections::BTreeSet;
use std::io::{Write, stdin, stdout};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use slipway::book;

/// Pages that mdBook makes besides those of people.
const MADE: [&str; 3] = ["404.html", "print.html", "toc.html"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["supports", _] => Ok(()),
        ["check", folder] => check(Path::new(folder)),
        [] => preprocess(),
        _ => bail!("usage: book [supports RENDERER | check FOLDER]"),
    }
}

/// Reads what mdBook has read of the pages, and hands it back with other links.
fn preprocess() -> Result<()> {
    let (_, mut pages): (Value, Value) = serde_json::from_reader(stdin().lock())?;
    change(&mut pages);
    serde_json::to_writer(stdout().lock(), &pages)?;
    Ok(())
}

/// Changes every chapter, however deep in the book it is.
fn change(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(change),
        Value::Object(fields) => {
            let path = fields.get("source_path").and_then(Value::as_str);
            let path = path.map(|path| format!("{}{path}", book::FOLDER));
            if let (Some(path), Some(Value::String(content))) = (path, fields.get_mut("content")) {
                *content = book::on_the_site(&path, content);
            }
            fields.values_mut().for_each(change);
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn check(site: &Path) -> Result<()> {
    let mut pages = Vec::new();
    collect(site, &mut pages)?;
    ensure!(!pages.is_empty(), "no pages in {}", site.display());
    let mut wrong = Vec::new();
    let mut away = BTreeSet::new();
    let mut count = 0;
    for page in &pages {
        let text = read(page)?;
        let here = page.strip_prefix(site)?.to_string_lossy().into_owned();
        for link in links(&text) {
            count += 1;
            let Some(target) = book::resolve(&here, &link) else {
                away.insert(link);
                continue;
            };
            let file = site.join(&target.path);
            let leads = match &target.anchor {
                Some(anchor) if file.is_file() => has_anchor(&read(&file)?, anchor),
                Some(_) | None => file.exists(),
            };
            if !leads {
                wrong.push(format!("{here}: {link}"));
            }
        }
    }
    let mut out = stdout().lock();
    for link in away
        .iter()
        .filter(|link| !link.starts_with(book::REPOSITORY))
    {
        writeln!(out, "not followed: {link}")?;
    }
    ensure!(wrong.is_empty(), "links that lead nowhere: {wrong:#?}");
    let pages = pages.len();
    writeln!(out, "{pages} pages, {count} links: {}", site.display())?;
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn collect(folder: &Path, pages: &mut Vec<PathBuf>) -> Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_page = path
            .extension()
            .is_some_and(|extension| extension == "html");
        if path.is_dir() {
            collect(&path, pages)?;
        } else if is_page && !MADE.contains(&name.as_str()) {
            pages.push(path);
        }
    }
    pages.sort();
    Ok(())
}

/// What the words of a page link to and show; the frame around them is mdBook's.
fn links(page: &str) -> Vec<String> {
    let inner = page.split_once("<main>").map_or("", |(_, inner)| inner);
    let inner = inner
        .split_once("</main>")
        .map_or(inner, |(inner, _)| inner);
    let mut links = Vec::new();
    for start in [" href=\"", " src=\""] {
        let parts = inner.split(start).skip(1);
        let found = parts.filter_map(|part| part.split_once('"'));
        links.extend(found.map(|(link, _)| link.replace("&amp;", "&")));
    }
    links
}

fn has_anchor(page: &str, anchor: &str) -> bool {
    page.contains(&format!("id=\"{anchor}\""))
}
