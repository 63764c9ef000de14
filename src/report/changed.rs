//! The lines that a change touches, and where reports of coverage tell of them. No I/O.
//!
//! Tools name files as they like: from the root of the repository, from a folder of sources, by package, or by absolute
//! paths. A file of a report is the changed one of the same path; without one, every changed one whose path ends so.

use std::collections::BTreeMap;

/// Changed files, from the root of the repository, with their changed lines: the first and last of each piece, ascending.
pub type Files = BTreeMap<String, Vec<(u32, u32)>>;

/// Changed files that one file of a report may be.
const MAX_MATCHES: usize = 8;
/// Folders of sources that a report may name.
pub const MAX_BASES: usize = 16;

/// The lines that a change touches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changed {
    /// Where the repository was when the report was made: an absolute path.
    root: String,
    /// By path read backwards, `cart.py/shop/src`, so that paths with the same end stand together.
    by_end: BTreeMap<String, Vec<(u32, u32)>>,
}

/// What is changed of a file of a report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines<'a>(Vec<&'a [(u32, u32)]>);

impl Lines<'_> {
    /// Whether a line is among them.
    pub fn contains(&self, line: u32) -> bool {
        self.0.iter().any(|pieces| {
            let after = pieces.partition_point(|(first, _)| *first <= line);
            let piece = after.checked_sub(1).and_then(|at| pieces.get(at));
            piece.is_some_and(|(_, last)| line <= *last)
        })
    }
}

impl Changed {
    /// These files, in a repository that is at `root`.
    pub fn new(files: Files, root: &str) -> Self {
        let by_end = files.into_iter().map(|(path, mut pieces)| {
            pieces.sort_unstable();
            (backwards(&path), pieces)
        });
        Self {
            root: root.trim_end_matches('/').to_owned(),
            by_end: by_end.collect(),
        }
    }

    /// What is changed of a file as a report names it, below one of these folders of sources.
    pub fn lines(&self, bases: &[String], path: &str) -> Lines<'_> {
        let bases = bases.iter().map(String::as_str).take(MAX_BASES);
        for base in bases.chain([""]) {
            let whole = if path.starts_with('/') || base.is_empty() {
                path.to_owned()
            } else {
                format!("{}/{path}", base.trim_end_matches('/'))
            };
            let inside = self.inside(&whole).map(backwards);
            if let Some(found) = inside.and_then(|key| self.by_end.get(&key)) {
                return Lines(vec![found]);
            }
        }
        if path.starts_with('/') {
            return Lines::default();
        }
        // The character after `/` is `0`.
        let key = backwards(path.trim_start_matches("./"));
        let range = format!("{key}/")..format!("{key}0");
        let found = self.by_end.range(range).take(MAX_MATCHES);
        Lines(found.map(|(_, pieces)| pieces.as_slice()).collect())
    }

    /// A path from the root of the repository, if it leads there.
    fn inside<'a>(&self, path: &'a str) -> Option<&'a str> {
        if path.starts_with('/') {
            return path.strip_prefix(&self.root)?.strip_prefix('/');
        }
        Some(path.trim_start_matches("./"))
    }
}

fn backwards(path: &str) -> String {
    let mut parts: Vec<&str> = path.split('/').collect();
    parts.reverse();
    parts.join("/")
}

/// Reads what `git diff --unified=0` prints: the lines that are there now and were not before.
pub fn read(diff: &[u8]) -> Files {
    let mut files = Files::new();
    let mut name: Option<String> = None;
    // Lines of a piece that follow, whatever they look like.
    let mut inside = 0u32;
    for line in diff.split(|byte| *byte == b'\n') {
        match line.first() {
            Some(b'+' | b'-') if inside > 0 => {
                inside -= 1;
                continue;
            }
            Some(b'\\') if inside > 0 => continue,
            _ => inside = 0,
        }
        let line = String::from_utf8_lossy(line);
        if line.starts_with("diff ") {
            name = None;
        } else if let Some(path) = line.strip_prefix("+++ ") {
            name = path_of(path);
        } else if let Some(((_, gone), (first, count))) = piece(&line) {
            inside = gone.saturating_add(count);
            if let (Some(name), Some(more)) = (&name, count.checked_sub(1)) {
                let pieces = files.entry(name.clone()).or_default();
                pieces.push((first, first.saturating_add(more)));
            }
        }
    }
    files
}

/// `b/src/cart.py`, or the same between quotes; a name with a space is followed by a tab.
fn path_of(text: &str) -> Option<String> {
    let text = text.strip_suffix('\t').unwrap_or(text);
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let path = quoted.map_or_else(|| Some(text.to_owned()), unquoted)?;
    path.strip_prefix("b/").map(str::to_owned)
}

/// As git quotes what would be mistaken: by a backslash, or as three octal digits.
fn unquoted(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'a' => 7,
            b'b' => 8,
            b'v' => 11,
            b'f' => 12,
            high @ b'0'..=b'3' => {
                let digit = |byte: u8| byte.checked_sub(b'0').filter(|digit| *digit < 8);
                let (middle, low) = (digit(rest.next()?)?, digit(rest.next()?)?);
                (high - b'0') * 64 + middle * 8 + low
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// `@@ -3,2 +4 @@`: first line and number of lines, before and now.
fn piece(line: &str) -> Option<((u32, u32), (u32, u32))> {
    let (before, rest) = line.strip_prefix("@@ -")?.split_once(" +")?;
    let (now, _) = rest.split_once(" @@")?;
    let range = |text: &str| -> Option<(u32, u32)> {
        match text.split_once(',') {
            Some((first, count)) => Some((first.parse().ok()?, count.parse().ok()?)),
            None => Some((text.parse().ok()?, 1)),
        }
    };
    Some((range(before)?, range(now)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DIFF: &str = "\
diff --git a/src/shop/cart.py b/src/shop/cart.py
index 1..2 100644
--- a/src/shop/cart.py
+++ b/src/shop/cart.py
@@ -3,2 +3,3 @@ def total():
-    one
-++ b/forged.py
+@@ -1 +1 @@
+++ b/forged.py
+    three
@@ -9 +10,0 @@
-    gone
diff --git a/with space b/with space
--- /dev/null
+++ b/with space\t
@@ -0,0 +1 @@
+x
\\ No newline at end of file
diff --git \"a/\\303\\251\\\"\" \"b/\\303\\251\\\"\"
--- \"a/\\303\\251\\\"\"
+++ \"b/\\303\\251\\\"\"
@@ -7,0 +8,2 @@
+y
+z
";

    fn changed(files: &[(&str, &[(u32, u32)])]) -> Changed {
        let files = files.iter();
        let files = files.map(|(path, pieces)| ((*path).to_owned(), pieces.to_vec()));
        Changed::new(files.collect(), "/workspace/source")
    }

    #[test]
    fn a_diff_tells_the_lines_that_are_new_whatever_stands_in_them() {
        let files = read(DIFF.as_bytes());
        let expected: Files = [
            ("src/shop/cart.py".to_owned(), vec![(3, 5)]),
            ("with space".to_owned(), vec![(1, 1)]),
            ("é\"".to_owned(), vec![(8, 9)]),
        ]
        .into();
        assert_eq!(files, expected);
    }

    #[test]
    fn a_file_is_found_by_any_of_the_names_that_tools_give_it() {
        let changed = changed(&[
            ("src/shop/cart.py", &[(3, 5), (9, 9)]),
            ("src/shop/cart.pyx", &[(1, 99)]),
            ("lib/cart.py", &[(7, 7)]),
        ]);
        let bases = ["/workspace/source/src".to_owned()];
        for (bases, path) in [
            (&[][..], "src/shop/cart.py"),
            (&[], "./src/shop/cart.py"),
            (&[], "shop/cart.py"),
            (&[], "/workspace/source/src/shop/cart.py"),
            (&bases[..], "shop/cart.py"),
        ] {
            let lines = changed.lines(bases, path);
            let found: Vec<u32> = (0..100).filter(|line| lines.contains(*line)).collect();
            assert_eq!(found, [3, 4, 5, 9], "{path}");
        }
        // Several may be meant: what is changed in any of them counts.
        assert!(changed.lines(&[], "cart.py").contains(7));
        assert!(changed.lines(&[], "cart.py").contains(3));
        for path in ["art.py", "/usr/lib/shop/cart.py", "", "/", "other.py"] {
            assert_eq!(changed.lines(&[], path), Lines::default(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn any_text_can_be_read(text in "(\\+\\+\\+ b/|@@ -[0-9,]{1,9} \\+[0-9,]{1,9} @@|[+\\\\\"\\-]|\\n|.){0,80}") {
            let files = read(text.as_bytes());
            let changed = Changed::new(files, "/");
            changed.lines(std::slice::from_ref(&text), &text).contains(1);
        }
    }
}
