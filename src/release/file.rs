//! Puts a version, and what is new in it, into files of a repository. Pure: text in, text out.

use regex::Regex;

/// Largest compiled pattern, in bytes: it is text of people's.
const MAX_PATTERN: usize = 1 << 20;

/// A pattern that can be used: it has one group, which is what the version takes the place of.
///
/// # Errors
/// Says in a few words what is wrong with it.
pub fn pattern(text: &str) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(text)
        .size_limit(MAX_PATTERN)
        .build();
    let regex = built.map_err(|error| {
        let error = error.to_string();
        let last = error.lines().last().unwrap_or_default();
        format!("is no regular expression: {}", last.trim())
    })?;
    match regex.captures_len() {
        2 => Ok(regex),
        _ => Err("must have one group, ( ), around the version".to_owned()),
    }
}

/// A text with the version in the first line that fits the pattern; without one, the version alone.
///
/// # Errors
/// Says in a few words why there is no place for it.
pub fn with_version(text: &str, pattern: Option<&str>, version: &str) -> Result<String, String> {
    let Some(pattern) = pattern else {
        return Ok(format!("{version}\n"));
    };
    let regex = self::pattern(pattern)?;
    let mut made = String::with_capacity(text.len());
    let mut lines = text.split_inclusive('\n');
    for line in lines.by_ref() {
        let bare = line.trim_end_matches(['\r', '\n']);
        let group = regex.captures(bare).and_then(|found| found.get(1));
        let Some(group) = group else {
            made.push_str(line);
            continue;
        };
        let (before, rest) = line.split_at(group.start());
        made.push_str(before);
        made.push_str(version);
        made.push_str(rest.get(group.len()..).unwrap_or_default());
        made.extend(lines);
        return Ok(made);
    }
    Err(format!("has no line that fits {pattern}"))
}

/// A changelog with a part for the version at its top, below the title. One that has such a part already stays as it is.
pub fn with_notes(text: &str, version: &str, day: &str, notes: &str) -> String {
    let heading = format!("## {version} ({day})");
    let own = format!("## {version}");
    let is_own = |line: &str| {
        let rest = line.strip_prefix(own.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    if text.lines().any(is_own) {
        return text.to_owned();
    }
    let notes = if notes.is_empty() {
        String::new()
    } else {
        // Its headings stand below the one of the version already.
        format!("\n{}\n", notes.trim_end())
    };
    let part = format!("{heading}\n{notes}");
    let has_title = text.trim_start().starts_with("# ");
    let (title, rest) = match text.split_once('\n').filter(|_| has_title) {
        Some((title, rest)) => (title.trim_end(), rest),
        None if has_title => (text.trim_end(), ""),
        None => ("", text),
    };
    let gap = if title.is_empty() { "" } else { "\n\n" };
    let rest = rest.trim_start_matches(['\r', '\n']);
    let rest_gap = if rest.is_empty() { "" } else { "\n" };
    format!("{title}{gap}{part}{rest_gap}{rest}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_first_line_that_fits_gets_the_version() {
        let cargo = "[package]\nname = \"a\"\nversion = \"1.2.3\" # ours\n\n[dependencies]\nb = { version = \"1\" }\n";
        let made = with_version(cargo, Some(r#"^version = "(.+?)""#), "1.3.0").unwrap();
        let expected = cargo.replace("1.2.3", "1.3.0");
        assert_eq!(made, expected);
        let json = "{\r\n  \"version\": \"0.1.0\",\r\n  \"name\": \"a\"\r\n}";
        let made = with_version(json, Some(r#""version": "([^"]*)""#), "1.0.0").unwrap();
        assert_eq!(made, json.replace("0.1.0", "1.0.0"));
        assert_eq!(with_version("1.2.3", None, "1.3.0").unwrap(), "1.3.0\n");
    }

    #[test]
    fn what_has_no_place_for_it_is_told() {
        let said = |pattern| with_version("version: 1\n", Some(pattern), "2").unwrap_err();
        assert_eq!(said("^v=(.*)$"), "has no line that fits ^v=(.*)$");
        assert!(said("version").contains("one group"));
        assert!(said("(version").starts_with("is no regular expression"));
    }

    #[test]
    fn notes_come_below_the_title_and_only_once() {
        let log = "# Changes\n\n## 1.2.0 (2026-01-01)\n\nold\n";
        let made = with_notes(log, "1.3.0", "2026-02-01", "### Fixes\n\n- a (1)\n");
        let expected = "# Changes\n\n## 1.3.0 (2026-02-01)\n\n### Fixes\n\n- a (1)\n\n## 1.2.0 (2026-01-01)\n\nold\n";
        assert_eq!(made, expected);
        assert_eq!(with_notes(&made, "1.3.0", "2026-03-01", "x"), made);
        let other = with_notes(&made, "1.3.0-rc.1", "2026-03-01", "x");
        assert!(other.starts_with("# Changes\n\n## 1.3.0-rc.1 (2026-03-01)\n\nx\n\n## 1.3.0 "));
        assert_eq!(
            with_notes("", "1.0.0", "2026-01-01", "x"),
            "## 1.0.0 (2026-01-01)\n\nx\n"
        );
        assert_eq!(
            with_notes("# T", "1.0.0", "d", "x"),
            "# T\n\n## 1.0.0 (d)\n\nx\n"
        );
        assert_eq!(
            with_notes("words\n", "1.0.0", "d", ""),
            "## 1.0.0 (d)\n\nwords\n"
        );
    }

    proptest! {
        #[test]
        fn nothing_else_changes(text in "[a-z=\\n\\r \"0-9.]{0,80}", version in "[0-9]\\.[0-9]") {
            if let Ok(made) = with_version(&text, Some("^v=(.*)$"), &version) {
                let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
                let (old, new) = (lines(&text), lines(&made));
                prop_assert_eq!(old.len(), new.len());
                let changed = old.iter().zip(&new).filter(|(old, new)| old != new).count();
                prop_assert!(changed <= 1);
            }
            let made = with_notes(&text, "9.9.9", "d", "x");
            prop_assert_eq!(with_notes(&made, "9.9.9", "d", "x"), made);
        }
    }
}
