//! What licence a name stands for: an id of the SPDX list, an old id, or what people write instead. No I/O.
//!
//! GNU's licences are told by family, version, and whether later versions go too, because their names are written in the most
//! ways: `AGPL-3.0` (an id of old, which means `AGPL-3.0-only`), `AGPLv3`, `GPL-2.0+`, `GNU Affero General Public License v3 or
//! later (AGPLv3+)`. Of the others, names are compared without what people write differently.

use std::collections::BTreeSet;

/// The families of GNU's licences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Family {
    Affero,
    Lesser,
    General,
    Documentation,
}

/// What a name says of GNU's licences.
#[derive(Debug, PartialEq, Eq)]
struct Gnu {
    families: BTreeSet<Family>,
    /// Without `.0`. None where the name does not tell.
    versions: BTreeSet<String>,
    /// Whether later versions go too; nothing where the name does not tell.
    later: Option<bool>,
}

/// Whether a name may stand for a licence of a list: so it does where the one leaves open what the other says.
pub(super) fn may_be(name: &str, listed: &str) -> bool {
    if name.eq_ignore_ascii_case(listed) {
        return true;
    }
    if let Some(listed) = gnu(listed) {
        return gnu(name).is_some_and(|name| may_be_gnu(&name, &listed));
    }
    let (is_id, is_listed_id) = (is_id(name), is_id(listed));
    if is_id && is_listed_id {
        return trimmed(name).eq_ignore_ascii_case(trimmed(listed));
    }
    let plain = plain(name);
    let has = |part: &str| !part.is_empty() && plain.contains(part);
    if is_id || !is_listed_id {
        // The list names a family, or something of its own.
        return has(&self::plain(listed));
    }
    let full = spdx::license_id(trimmed(listed)).map(|id| self::plain(id.full_name));
    has(&self::plain(listed))
        || full.is_some_and(|full| has(&full))
        || plain == self::plain(family_of(listed))
}

/// Whether a name stands for a licence of a list, and for no other one.
pub(super) fn is(name: &str, listed: &str) -> bool {
    if trimmed(name).eq_ignore_ascii_case(trimmed(listed)) && gnu(name).is_none() {
        return true;
    }
    name.eq_ignore_ascii_case(listed)
        || (is_plain(name)
            && is_plain(listed)
            && matches!((gnu(name), gnu(listed)), (Some(name), Some(listed)) if is_gnu(&name, &listed)))
}

/// Whether a name of GNU's says nothing beside family, version, and whether later versions go too: no exception, and no clause.
fn is_plain(name: &str) -> bool {
    const WORDS: &[&str] = &[
        "gnu",
        "gpl",
        "lgpl",
        "agpl",
        "gfdl",
        "affero",
        "lesser",
        "library",
        "general",
        "public",
        "free",
        "documentation",
        "license",
        "licence",
        "version",
        "v",
        "only",
        "or",
        "any",
        "later",
        "the",
    ];
    let text = name.to_ascii_lowercase();
    let words = text.split(|c: char| !c.is_ascii_alphabetic());
    let mut words = words.filter(|word| !word.is_empty());
    words.all(|word| {
        let short = word.strip_suffix('v').filter(|word| word.ends_with("gpl"));
        WORDS.contains(&short.unwrap_or(word))
    })
}

fn may_be_gnu(name: &Gnu, listed: &Gnu) -> bool {
    let is_open = name.versions.is_empty() || listed.versions.is_empty();
    !name.families.is_disjoint(&listed.families)
        && (is_open || !name.versions.is_disjoint(&listed.versions))
        && (name.later == listed.later || name.later.is_none() || listed.later.is_none())
}

fn is_gnu(name: &Gnu, listed: &Gnu) -> bool {
    let is_told = name.families.len() == 1 && name.versions.len() == 1;
    // An old id without a word on later versions means none.
    let is_later = |gnu: &Gnu| gnu.later.unwrap_or(false);
    is_told
        && (&name.families, &name.versions) == (&listed.families, &listed.versions)
        && is_later(name) == is_later(listed)
}

fn gnu(name: &str) -> Option<Gnu> {
    let text = name.to_ascii_lowercase();
    let mut families = BTreeSet::new();
    let mut rest = text.clone();
    for (words, family) in [
        (&["affero general public", "affero"][..], Family::Affero),
        (
            &["lesser general public", "library general public"],
            Family::Lesser,
        ),
        (
            &["general public license", "general public licence"],
            Family::General,
        ),
        (&["free documentation", "gfdl"], Family::Documentation),
    ] {
        for word in words {
            if rest.contains(word) {
                families.insert(family);
                rest = rest.replace(word, " ");
            }
        }
    }
    for (at, _) in text.match_indices("gpl") {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        families.insert(match before {
            Some('a') => Family::Affero,
            Some('l') => Family::Lesser,
            Some(_) | None => Family::General,
        });
    }
    if families.is_empty() {
        return None;
    }
    let later = if is_or_later(&text) {
        Some(true)
    } else {
        text.contains("only").then_some(false)
    };
    Some(Gnu {
        families,
        versions: versions(&text),
        later,
    })
}

fn is_or_later(text: &str) -> bool {
    let mut pairs = text.chars().zip(text.chars().skip(1));
    text.contains("later")
        || text.ends_with('+')
        || pairs.any(|(a, b)| a.is_ascii_digit() && b == '+')
}

/// The numbers in a text, without `.0`.
fn versions(text: &str) -> BTreeSet<String> {
    let numbers = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    let numbers = numbers.map(|number| number.trim_matches('.'));
    let numbers = numbers.map(|number| number.strip_suffix(".0").unwrap_or(number));
    let numbers = numbers.filter(|number| !number.is_empty());
    numbers.map(str::to_owned).collect()
}

fn is_id(name: &str) -> bool {
    spdx::license_id(trimmed(name)).is_some()
}

/// Without the mark for later versions: where it stands, the version itself goes too.
fn trimmed(name: &str) -> &str {
    let name = name.strip_prefix("LicenseRef-").unwrap_or(name);
    name.trim_end_matches('+')
}

/// An id up to its version: `MPL` of `MPL-2.0`, `CC-BY-NC` of `CC-BY-NC-4.0`.
fn family_of(id: &str) -> &str {
    let is_version = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let mut at = id.match_indices('-').map(|(at, _)| at);
    let end = at.find(|at| id.get(at + 1..).is_some_and(is_version));
    end.and_then(|end| id.get(..end)).unwrap_or(id)
}

/// A name without case, spaces and signs, and its numbers without `.0` and the `v` before them.
fn plain(name: &str) -> String {
    let lower = trimmed(name).to_ascii_lowercase().replace(".0", " ");
    let mut plain = String::with_capacity(lower.len());
    for c in lower.chars().filter(char::is_ascii_alphanumeric) {
        if c.is_ascii_digit() && plain.ends_with('v') {
            plain.pop();
        }
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exception_that_is_allowed_lets_nothing_in_that_has_none() {
        for (name, listed) in [
            ("GPL-2.0-only", "GPL-2.0-with-classpath-exception"),
            ("GFDL-1.3-invariants-only", "GFDL-1.3-no-invariants-only"),
            ("GPLv2 with Commons Clause", "GPL-2.0-only"),
        ] {
            assert!(!is(name, listed), "{name} {listed}");
        }
        let listed = "GPL-2.0-with-classpath-exception";
        assert!(is(listed, listed) && is("GPLv2+", "GPL-2.0-or-later"));
    }

    #[test]
    fn what_may_be_a_licence_of_gnu_is_told_by_any_of_its_names() {
        for name in [
            "AGPL-3.0",
            "AGPL-3.0-only",
            "agpl-3.0",
            "AGPLv3",
            "AGPL",
            "GNU AGPL 3",
            "GNU Affero General Public License v3",
        ] {
            assert!(may_be(name, "AGPL-3.0-only"), "{name}");
        }
        for name in [
            "AGPL-3.0+",
            "AGPL-3.0-or-later",
            "AGPLv3+",
            "AGPL-3.0",
            "GNU Affero General Public License v3 or later (AGPLv3+)",
        ] {
            assert!(may_be(name, "AGPL-3.0-or-later"), "{name}");
        }
        for (name, listed) in [
            ("AGPL-3.0-or-later", "AGPL-3.0-only"),
            ("AGPL-3.0-only", "AGPL-3.0-or-later"),
            ("GPL-3.0-only", "AGPL-3.0-only"),
            ("LGPL-2.1", "GPL-2.0-only"),
            ("GPL-2.0", "GPL-3.0-only"),
            ("MIT", "AGPL-3.0-only"),
        ] {
            assert!(!may_be(name, listed), "{name} {listed}");
        }
        assert!(may_be("GPL-2.0-with-classpath-exception", "GPL-2.0-only"));
        assert!(may_be("LGPLv2+", "LGPL-2.0-or-later"));
        assert!(may_be("GPL", "GPL-3.0-only"));
        // A list may leave the version open too.
        assert!(may_be("GPL-3.0-or-later", "GPL") && may_be("LGPL-2.1-only", "LGPL-2.1"));
    }

    #[test]
    fn names_of_others_are_compared_without_what_people_write_differently() {
        for (name, listed) in [
            ("MPL-2.0", "mpl-2.0"),
            ("MPL 2.0", "MPL-2.0"),
            ("MPLv2", "MPL-2.0"),
            ("Mozilla Public License 2.0 (MPL 2.0)", "MPL-2.0"),
            ("MPL", "MPL-2.0"),
            ("MPL-1.1", "MPL"),
            ("Apache-2.0+", "Apache-2.0"),
            ("MIT with Commons Clause, see LICENSE", "Commons Clause"),
        ] {
            assert!(may_be(name, listed), "{name} {listed}");
        }
        for (name, listed) in [
            ("MIT-0", "MIT"),
            ("MPL-1.1", "MPL-2.0"),
            ("BSD-3-Clause", "BSD-2-Clause"),
            ("Apache-2.0", "MPL-2.0"),
        ] {
            assert!(!may_be(name, listed), "{name} {listed}");
        }
    }

    #[test]
    fn a_licence_that_is_allowed_is_that_one_and_no_other() {
        for (name, listed) in [
            ("GPL-2.0", "GPL-2.0-only"),
            ("GPL-2.0-only", "GPL-2.0"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("AGPLv3", "AGPL-3.0-only"),
            ("mit", "MIT"),
            ("Apache-2.0+", "Apache-2.0"),
            ("GPL", "GPL"),
        ] {
            assert!(is(name, listed), "{name} {listed}");
        }
        for (name, listed) in [
            ("GPL", "GPL-3.0-only"),
            ("GPL-2.0+", "GPL-2.0-only"),
            ("GPL-2.0-or-later", "GPL-2.0"),
            ("MPL", "MPL-2.0"),
            ("MIT-0", "MIT"),
        ] {
            assert!(!is(name, listed), "{name} {listed}");
        }
    }
}
