//! A cookie as a regular expression over the one header that has them all. No I/O.

use super::division::Match;

/// The header.
pub(super) const HEADER: &str = "cookie";

/// Before and after the pair of a cookie.
const AROUND: (&str, &str) = (r"^(.*;\s*)?", r"(\s*;.*)?$");

/// What the header matches where it has a cookie.
pub(super) fn pattern(name: &str, value: &str) -> String {
    let (before, after) = AROUND;
    format!("{before}{}={}{after}", escaped(name), escaped(value))
}

/// The cookie that a pattern stands for; `None` for one that is not ours.
pub(super) fn parse(pattern: &str) -> Option<Match> {
    let (before, after) = AROUND;
    let pair = pattern
        .strip_prefix(before)?
        .strip_suffix(after)?
        .replace('\\', "");
    let (name, value) = pair.split_once('=')?;
    Some(Match::Cookie {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

/// Text as a regular expression that matches it and nothing else.
fn escaped(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_%=".contains(c);
    text.chars().fold(String::new(), |mut pattern, c| {
        if !plain(c) {
            pattern.push('\\');
        }
        pattern.push(c);
        pattern
    })
}
