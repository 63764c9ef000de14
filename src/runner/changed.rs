//! Word of the lines that have changed since the newest Release, for reports of coverage: a file between the containers.
//! Talks to the operating system.

use std::fs::File;
use std::io::Read;

use super::Folders;
use crate::report::changed::Changed;

/// Largest file that is read, in bytes.
const MAX_BYTES: u64 = 64 << 20;

/// The lines that changed, if there is word of them.
pub fn read(folders: &Folders) -> Option<Changed> {
    let mut text = Vec::new();
    let file = File::open(folders.changed_file()).ok()?;
    file.take(MAX_BYTES).read_to_end(&mut text).ok()?;
    let files = serde_json::from_slice(&text).ok()?;
    Some(Changed::new(
        files,
        &folders.checkout().display().to_string(),
    ))
}
