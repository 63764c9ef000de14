//! Keeps the reports that a script has left, whole: packed into a file beside its log, which the `logs` container sends.
//! Reads and writes files.

use std::collections::BTreeSet;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::left::{Bounds, Left};
use super::mask::Mask;
use super::{log, say};
use crate::pipeline::api::ReportFormat;

/// Name of the file, in the folder of the log.
pub const FILE: &str = "reports.tar.gz";
/// Largest size of all reports of a pod together, in bytes.
pub const MAX_FILES: u64 = 8 << 20;

/// Keeps the reports of a script, in pods that have a place for it. That they are not kept is no failure of the script.
pub(super) fn keep(left: &Result<Left<'_>, String>, mask: &Mask) {
    let Some(folder) = log::folder() else {
        return;
    };
    let left = left
        .as_ref()
        .map_err(|error| io::Error::other(error.clone()));
    match left.and_then(|left| pack(&folder, left, mask)) {
        Ok(left_out) if left_out.is_empty() => {}
        Ok(left_out) => say(&format!(
            "slipway: reports of more than {} MiB together, or of what is no text, are not kept whole; left out: {}",
            MAX_FILES >> 20,
            left_out.join(", ")
        )),
        Err(error) => say(&format!("slipway: reports are not kept: {error}")),
    }
}

/// Packs them; those that were left out, because together they would be too large.
fn pack(folder: &Path, left: &Left<'_>, mask: &Mask) -> io::Result<Vec<String>> {
    let root = left.root();
    let (mut all, mut secret) = (BTreeSet::new(), BTreeSet::new());
    for (format, files) in left.by_format() {
        if format == ReportFormat::Gitleaks {
            // It has the secrets that it is about.
            secret.extend(files);
        }
        all.extend(files.iter().take(Bounds::ALL.files));
    }
    all.retain(|file| !secret.contains(file));
    let mut left_out = Vec::new();
    if all.is_empty() {
        return Ok(left_out);
    }
    let mut space = MAX_FILES;
    let mut packed = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for file in all {
        let name = file.strip_prefix(&root).unwrap_or(file);
        let Some(bytes) = whole(file, space) else {
            left_out.push(name.display().to_string());
            continue;
        };
        space = space.saturating_sub(bytes.len() as u64);
        let text = mask.text(&String::from_utf8_lossy(&bytes));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        packed.append_data(&mut header, name, text.as_bytes())?;
    }
    let packed = packed.into_inner()?.finish()?;
    // Whole or not at all, and for another user to read.
    let part = folder.join("reports.part");
    fs::write(&part, packed)?;
    fs::set_permissions(&part, Permissions::from_mode(0o644))?;
    fs::rename(part, folder.join(FILE))?;
    Ok(left_out)
}

/// A text of at most so many bytes. Of one in another encoding than UTF-8, secrets could not be taken out.
fn whole(file: &Path, most: u64) -> Option<Vec<u8>> {
    if fs::metadata(file).ok()?.len() > most {
        return None;
    }
    let mut bytes = Vec::new();
    let file = File::open(file).ok()?;
    file.take(most + 1).read_to_end(&mut bytes).ok()?;
    (bytes.len() as u64 <= most && !bytes.contains(&0)).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cli::run::files;
    use crate::runner::script_file;
    use crate::runner::task::ScriptTask;
    use crate::runner::tests::Folder;

    #[test]
    fn reports_are_kept_whole_and_without_secrets_as_far_as_there_is_room() {
        let folder = Folder::new("keep");
        let folders = folder.folders();
        let checkout = folders.checkout();
        fs::create_dir_all(checkout.join("out")).unwrap();
        fs::write(script_file(&folders), "true").unwrap();
        fs::write(
            checkout.join("out/b.xml"),
            "<testsuite/> and the password hunter2!",
        )
        .unwrap();
        let large = "x".repeat(usize::try_from(MAX_FILES).unwrap());
        fs::write(checkout.join("out/c.xml"), large).unwrap();
        fs::write(checkout.join("out/d.json"), "{}").unwrap();
        fs::write(checkout.join("out/leaks.json"), "[{\"Secret\": \"s\"}]").unwrap();
        fs::write(checkout.join("out/wide.xml"), "h\0u\0n\0t\0").unwrap();
        fs::write(checkout.join("none.txt"), "no report").unwrap();
        let task: ScriptTask = serde_json::from_value(json!({
            "script": "true", "timeoutSeconds": 1,
            "reports": [["Junit", ["out/*.xml"]], ["Sarif", ["out/*.json", "out/b.xml"]],
                ["Gitleaks", ["out/leaks.json"]]],
        }))
        .unwrap();
        let mask = Mask::of(&[b"hunter2!".to_vec()]).unwrap();
        let left = Left::find(&task, &folders).unwrap();
        let left_out = pack(&folder.0, &left, &mask).unwrap();
        assert_eq!(left_out, ["out/c.xml", "out/wide.xml"]);
        let packed = fs::read(folder.0.join(FILE)).unwrap();
        let kept: BTreeMap<String, Vec<u8>> = files::unpack(&packed).unwrap().into_iter().collect();
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(names, ["out/b.xml", "out/d.json"]);
        assert_eq!(
            kept["out/b.xml"],
            b"<testsuite/> and the password [redacted]"
        );
    }
}
