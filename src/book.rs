//! The pages of the documentation as text: their links and headings, the blocks of code in them, and what the site makes of
//! their links. Tests check the pages with it, and `make docs` builds the site with it (`examples/book.rs`). No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Where the pages of the site are, from the root of the repository.
pub const FOLDER: &str = "docs/";

/// Where the site sends people for what is no page of it.
pub const REPOSITORY: &str = "https://github.com/slipway-dev/slipway/blob/main";

/// A block of code in a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Line of the page at which it begins, counted from 1.
    pub line: usize,
    /// What stands behind the first fence, such as `yaml`.
    pub language: String,
    /// What is in it, without what it is indented by.
    pub text: String,
    /// What a comment `<!-- of: … -->` right above it says that it is a part of, such as `Pipeline spec.stages`.
    pub place: Option<String>,
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A file or folder, from the root of the repository.
    pub path: String,
    /// A heading in it.
    pub anchor: Option<String>,
}

/// Every block of code of a page, in order.
pub fn blocks(page: &str) -> Vec<Block> {
    parts(page).1
}

/// Every link of a page: the line that it is in, counted from 1, and its target as it is written.
pub fn links(page: &str) -> Vec<(usize, &str)> {
    let lines = parts(page).0;
    let found = lines.into_iter().flat_map(|(number, line)| {
        let targets = targets(line).into_iter();
        targets.filter_map(move |range| Some((number, line.get(range)?)))
    });
    found.collect()
}

/// What links can name in a page: its headings, as GitHub and mdBook call them.
pub fn anchors(page: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut anchors = BTreeSet::new();
    for (_, line) in parts(page).0 {
        let heading = line.trim_start_matches('#');
        if heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let name = slug(heading);
        let count = seen.entry(name.clone()).or_default();
        anchors.insert(match *count {
            0 => name,
            more => format!("{name}-{more}"),
        });
        *count += 1;
    }
    anchors
}

/// Where a link of a page leads; nothing, where it leaves the repository.
pub fn resolve(page: &str, target: &str) -> Option<Target> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = match target.split_once('#') {
        Some((path, anchor)) => (path, Some(anchor.to_owned())),
        None => (target, None),
    };
    if path.is_empty() {
        let path = page.to_owned();
        return Some(Target { path, anchor });
    }
    let folder = page.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut way: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                way.pop();
            }
            part => way.push(part),
        }
    }
    let path = way.join("/");
    Some(Target { path, anchor })
}

/// A page as the site has it: what is no page or picture of the site is linked in the repository, and the page of a folder is
/// called what mdBook makes of it.
pub fn on_the_site(path: &str, page: &str) -> String {
    let prose: BTreeSet<usize> = parts(page).0.into_iter().map(|(line, _)| line).collect();
    let mut site = String::with_capacity(page.len());
    for (index, line) in page.lines().enumerate() {
        let mut line = line.to_owned();
        if prose.contains(&(index + 1)) {
            for range in targets(&line).into_iter().rev() {
                let target = line.get(range.clone()).unwrap_or_default();
                if let Some(other) = other_target(path, target) {
                    line.replace_range(range, &other);
                }
            }
        }
        site.push_str(&line);
        site.push('\n');
    }
    site
}

/// What a link has to say on the site, where that is something else.
fn other_target(page: &str, target: &str) -> Option<String> {
    let Target { path, anchor } = resolve(page, target)?;
    let name = path.rsplit('/').next().unwrap_or_default();
    if !path.starts_with(FOLDER) || !name.contains('.') {
        let anchor = anchor.map(|anchor| format!("#{anchor}"));
        return Some(format!("{REPOSITORY}/{path}{}", anchor.unwrap_or_default()));
    }
    (name == "README.md").then(|| target.replace("README.md", "index.md"))
}

/// Lines that are no code, with their numbers, and the blocks of code.
fn parts(page: &str) -> (Vec<(usize, &str)>, Vec<Block>) {
    let mut prose: Vec<(usize, &str)> = Vec::new();
    let mut blocks = Vec::new();
    let mut open: Option<(usize, Block)> = None;
    for (index, line) in page.lines().enumerate() {
        let inner = line.trim_start();
        let Some((indent, mut block)) = open.take() else {
            match inner.strip_prefix("```") {
                Some(language) => {
                    let block = Block {
                        line: index + 1,
                        language: language.trim().to_owned(),
                        text: String::new(),
                        place: prose.last().and_then(|(_, above)| place(above)),
                    };
                    open = Some((line.len() - inner.len(), block));
                }
                None => prose.push((index + 1, line)),
            }
            continue;
        };
        if inner == "```" {
            blocks.push(block);
        } else {
            block.text.push_str(line.get(indent..).unwrap_or_default());
            block.text.push('\n');
            open = Some((indent, block));
        }
    }
    (prose, blocks)
}

fn place(line: &str) -> Option<String> {
    let inner = line
        .trim()
        .strip_prefix("<!-- of: ")?
        .strip_suffix(" -->")?;
    Some(inner.to_owned())
}

/// Where the targets of links stand in a line.
fn targets(line: &str) -> Vec<Range<usize>> {
    let plain = without_code(line);
    let starts = plain.match_indices("](").map(|(at, mark)| at + mark.len());
    let found = starts.filter_map(|start| {
        let length = plain.get(start..)?.find(')')?;
        Some(start..start + length)
    });
    found.collect()
}

/// The line with what stands between backticks made unreadable; it is as long as before.
fn without_code(line: &str) -> String {
    let mut is_code = false;
    let mut plain = String::with_capacity(line.len());
    for character in line.chars() {
        if character == '`' {
            is_code = !is_code;
            plain.push('`');
        } else if is_code {
            plain.extend(std::iter::repeat_n('x', character.len_utf8()));
        } else {
            plain.push(character);
        }
    }
    plain
}

/// The name of a heading in links.
fn slug(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading.trim();
    // Of a link only its words count.
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let kept = text.to_lowercase();
    let kept = kept.chars().filter_map(|character| match character {
        '-' | '_' => Some(character),
        other if other.is_whitespace() => Some('-'),
        other => other.is_alphanumeric().then_some(other),
    });
    kept.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A [page](other.md)\n\nSee [`a](b)`](x.md#y), ![p](pictures/a.svg) and [there](../../src/lib.rs).\n\n<!-- of: Pipeline spec -->\n```yaml\na: [b](c)\n```\n\n1. So:\n\n   ```console\n   $ ls\n     b\n   ```\n\n## A page\n## `spec.x`: *why*\n";

    #[test]
    fn blocks_know_where_they_stand_and_what_they_are_of() {
        let found = blocks(PAGE);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].place.as_deref(), Some("Pipeline spec"));
        assert_eq!((found[0].line, found[0].text.as_str()), (6, "a: [b](c)\n"));
        assert_eq!(found[1].language, "console");
        assert_eq!(
            (found[1].place.as_ref(), found[1].text.as_str()),
            (None, "$ ls\n  b\n")
        );
    }

    #[test]
    fn links_in_code_are_none() {
        let found: Vec<&str> = links(PAGE).into_iter().map(|(_, target)| target).collect();
        assert_eq!(
            found,
            ["other.md", "x.md#y", "pictures/a.svg", "../../src/lib.rs"]
        );
        assert_eq!(links(PAGE)[1].0, 3);
    }

    #[test]
    fn headings_are_called_as_github_calls_them() {
        let found: Vec<String> = anchors(PAGE).into_iter().collect();
        assert_eq!(found, ["a-page", "a-page-1", "specx-why"]);
    }

    #[test]
    fn links_are_followed_from_where_they_stand() {
        let at = |target| resolve("docs/a/b.md", target).map(|target| target.path);
        assert_eq!(at("../c.md#d").as_deref(), Some("docs/c.md"));
        assert_eq!(at("#d").as_deref(), Some("docs/a/b.md"));
        assert_eq!(at("../../src/").as_deref(), Some("src"));
        assert_eq!(at("https://example.com/a"), None);
        assert_eq!(
            resolve("README.md", "docs/a.md#b")
                .unwrap()
                .anchor
                .as_deref(),
            Some("b")
        );
    }

    #[test]
    fn the_site_links_to_the_repository_what_is_no_page() {
        let page = "[a](../../src/lib.rs#L1) [b](README.md#x) [c](../reference) [d](e.md) `[f](../../g)`\n```text\n[h](../../i)\n```\n";
        let expected = format!(
            "[a]({REPOSITORY}/src/lib.rs#L1) [b](index.md#x) [c]({REPOSITORY}/docs/reference) [d](e.md) `[f](../../g)`\n```text\n[h](../../i)\n```\n"
        );
        assert_eq!(on_the_site("docs/a/b.md", page), expected);
    }
}
