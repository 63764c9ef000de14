//! Finds files by glob: `*` and `?` within a name, `**` for any folders. Reads the file system.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::{Folders, script_file};
use crate::model::glob::{matches, may_match_below};

/// Files and folders that are looked at before it is enough.
const MAX_ENTRIES: usize = 1_000_000;

/// The files that the script has left. What the repository itself contains is older than the script.
///
/// # Errors
/// If there is too much to look at.
pub fn fresh(folders: &Folders, globs: &[String]) -> Result<Vec<PathBuf>, String> {
    let since = modified(&script_file(folders));
    let mut found = find(&folders.checkout(), globs)?;
    found.retain(|file| modified(file) >= since);
    Ok(found)
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|meta| meta.modified()).ok()
}

/// The files below `root` that match one of the globs, in the order of their paths. Links are not followed, `.git` is left out,
/// and folders in which nothing can match are not looked into. Of a name that is no UTF-8, `?` and `*` stand for what is none.
///
/// # Errors
/// If there is too much to look at. Half of the files would be taken for all.
pub fn find(root: &Path, globs: &[String]) -> Result<Vec<PathBuf>, String> {
    find_within(root, globs, MAX_ENTRIES)
}

fn find_within(root: &Path, globs: &[String], limit: usize) -> Result<Vec<PathBuf>, String> {
    let mut found = Vec::new();
    let mut folders = vec![(root.to_owned(), String::new())];
    let mut left = limit;
    while let Some((folder, prefix)) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            left = left.checked_sub(1).ok_or_else(|| {
                let globs = globs.join(", ");
                format!("there are more than {limit} files and folders where {globs} may be; name the folders instead of **")
            })?;
            let Ok(kind) = entry.file_type() else {
                continue;
            };
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            if kind.is_dir() {
                let mut globs = globs.iter();
                if name != ".git" && globs.any(|glob| may_match_below(glob, &path)) {
                    folders.push((entry.path(), format!("{path}/")));
                }
            } else if kind.is_file() && globs.iter().any(|glob| matches(glob, &path)) {
                found.push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::runner::tests::Folder;

    fn globs(globs: &[&str]) -> Vec<String> {
        globs.iter().map(|glob| (*glob).to_owned()).collect()
    }

    #[test]
    fn folders_in_which_nothing_can_match_cost_nothing() {
        let folder = Folder::new("glob");
        for number in 0..30 {
            let inner = folder.0.join(format!("node_modules/p{number}"));
            fs::create_dir_all(&inner).unwrap();
            fs::write(inner.join("junit.xml"), "").unwrap();
        }
        for name in ["a", "b"] {
            let inner = folder.0.join("packages").join(name);
            fs::create_dir_all(inner.join("node_modules")).unwrap();
            fs::write(inner.join("junit.xml"), "").unwrap();
        }
        let narrow = globs(&["packages/*/junit.xml"]);
        assert_eq!(find_within(&folder.0, &narrow, 20).unwrap().len(), 2);
        // What is looked at only in part is an error.
        let wide = globs(&["**/junit.xml"]);
        let error = find_within(&folder.0, &wide, 20).unwrap_err();
        assert!(
            error.contains("more than 20 files and folders where **/junit.xml may be"),
            "{error}"
        );
        assert_eq!(find(&folder.0, &wide).unwrap().len(), 32);
    }

    #[test]
    fn a_name_that_is_no_text_is_found() {
        let folder = Folder::new("latin");
        let name = OsStr::from_bytes(b"junit-\xe9.xml");
        fs::write(folder.0.join(name), "").unwrap();
        let found = find(&folder.0, &globs(&["junit-*.xml"])).unwrap();
        assert_eq!(found, [folder.0.join(name)]);
    }
}
