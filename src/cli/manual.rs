//! `man`: manual pages of all verbs, for packages. Writes files.

use std::path::PathBuf;

use clap::CommandFactory;

use super::Answer;

/// Where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder to write the pages into; it is made if it is not there.
    pub folder: PathBuf,
}

/// Writes a page for each verb.
pub(super) fn run(args: &Args) -> Answer {
    let folder = &args.folder;
    let written = std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(super::Args::command(), folder));
    match written {
        Ok(()) => Answer::default(),
        Err(error) => Answer::failed(format!("cannot write to {}: {error}", folder.display())),
    }
}
