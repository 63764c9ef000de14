//! Whether a path matches a glob: `*` and `?` within a name, `**` for any folders. No I/O.

/// Whether a relative path matches a glob.
pub fn matches(glob: &str, path: &str) -> bool {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let globs: Vec<&str> = glob.split('/').collect();
    let names: Vec<&str> = path.split('/').collect();
    matches_all(
        &globs,
        &names,
        |glob| *glob == "**",
        |glob, name| {
            let (glob, name): (Vec<char>, Vec<char>) =
                (glob.chars().collect(), name.chars().collect());
            matches_all(
                &glob,
                &name,
                |c| *c == '*',
                |wanted, c| *wanted == '?' || wanted == c,
            )
        },
    )
}

/// Whether anything below a folder may match a glob.
pub fn may_match_below(glob: &str, folder: &str) -> bool {
    let glob = glob.strip_prefix("./").unwrap_or(glob);
    let mut globs = glob.split('/');
    for name in folder.split('/') {
        match globs.next() {
            Some("**") => return true,
            Some(wanted) if matches(wanted, name) => {}
            Some(_) | None => return false,
        }
    }
    globs.next().is_some()
}

/// Matches parts against a pattern in which a star stands for any number of them. Goes back no further
/// than to the last star, so that no pattern takes long.
fn matches_all<T>(
    pattern: &[T],
    parts: &[T],
    is_star: impl Fn(&T) -> bool,
    is_equal: impl Fn(&T, &T) -> bool,
) -> bool {
    let (mut at, mut from) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while let Some(part) = parts.get(from) {
        match pattern.get(at) {
            Some(wanted) if is_star(wanted) => {
                star = Some((at, from));
                at += 1;
            }
            Some(wanted) if is_equal(wanted, part) => {
                at += 1;
                from += 1;
            }
            _ => {
                let Some((star_at, star_from)) = star else {
                    return false;
                };
                star = Some((star_at, star_from + 1));
                at = star_at + 1;
                from = star_from + 1;
            }
        }
    }
    pattern.iter().skip(at).all(is_star)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_match_as_in_a_shell() {
        for (glob, path) in [
            ("junit.xml", "junit.xml"),
            ("./junit.xml", "junit.xml"),
            ("*.xml", "a.xml"),
            ("**/junit*.xml", "junit.xml"),
            ("**/junit*.xml", "a/b/junit-1.xml"),
            ("target/**/TEST-*.xml", "target/TEST-a.xml"),
            ("target/**", "target/a/b"),
            ("a?c", "abc"),
            ("*a*b*", "xaxxbx"),
        ] {
            assert!(matches(glob, path), "{glob} {path}");
        }
        for (glob, path) in [
            ("*.xml", "a/b.xml"),
            ("junit.xml", "a/junit.xml"),
            ("**/a", "b/ab"),
            ("a?c", "ac"),
            ("", "a"),
            ("*a*b*", "xbxxax"),
        ] {
            assert!(!matches(glob, path), "{glob} {path}");
        }
    }

    #[test]
    fn folders_in_which_nothing_can_match_are_told() {
        for (glob, folder) in [
            ("packages/*/junit.xml", "packages"),
            ("packages/*/junit.xml", "packages/a"),
            ("./packages/*/junit.xml", "packages/a"),
            ("**/junit.xml", "node_modules/a/b/c"),
            ("target/**/TEST-*.xml", "target/a/b"),
            ("a?/b", "ab"),
        ] {
            assert!(may_match_below(glob, folder), "{glob} {folder}");
        }
        for (glob, folder) in [
            ("packages/*/junit.xml", "node_modules"),
            ("packages/*/junit.xml", "packages/a/node_modules"),
            ("junit.xml", "packages"),
            ("*.xml", "a.xml"),
            ("target/**/TEST-*.xml", "src"),
        ] {
            assert!(!may_match_below(glob, folder), "{glob} {folder}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let glob = "*a".repeat(30);
        assert!(!matches(&glob, &"a".repeat(29)));
        let deep = |end: &str, folder: &str| folder.repeat(60) + end;
        assert!(!matches(&deep("x", "**/"), &deep("y", "a/")));
        assert!(matches(&deep("x", "**/"), &deep("x", "a/")));
    }
}
