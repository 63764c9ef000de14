//! `run files`: the report files that stages have left. Talks to the API server, and writes files.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;
use kube::ResourceExt;

use super::archive::{Archive, Keeper};
use crate::archive::{About, Entry};
use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::cli::text::plain;
use crate::pipeline_run::api::PipelineRun;

/// Most bytes that the files of a pod may have, unpacked.
const MOST: u64 = 64 << 20;

/// Which files, and where to.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the run.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Only those of this stage.
    #[arg(long)]
    pub stage: Option<String>,
    /// Only those of this cell of the stage's matrix.
    #[arg(long, requires = "stage")]
    pub cell: Option<String>,
    /// Those of this attempt, from 1; by default those of the last one.
    #[arg(long)]
    pub attempt: Option<u32>,
    /// Write them into this folder, instead of listing them.
    #[arg(long)]
    pub into: Option<PathBuf>,
    /// Who keeps them.
    #[command(flatten)]
    pub keeper: Keeper,
}

/// Lists them, or writes them.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let run: PipelineRun = server.get(&args.name).await?;
    let uid = run.uid().unwrap_or_default();
    let archive = Archive::of(&server, &args.keeper, (&args.name, &uid)).await?;
    let kept = archive.list().await?;
    let mut text = String::new();
    for about in chosen(&kept, args) {
        let packed = archive.reports(&about.pod).await?;
        for (name, bytes) in unpack(&packed)? {
            let path = place(&about, &name);
            if let Some(folder) = &args.into {
                write(&folder.join(&path), &bytes)?;
            }
            let shown = plain(&path.display().to_string());
            let _ = writeln!(text, "{:>9}  {shown}", bytes.len());
        }
    }
    if text.is_empty() {
        return Err(format!(
            "no stage of run {} that you ask for has report files that are kept",
            args.name
        ));
    }
    Ok(Answer {
        text,
        ..Answer::default()
    })
}

/// The pods whose files are meant: of each stage and cell the last attempt that has some, or the one that is named.
fn chosen(kept: &[Entry], args: &Args) -> Vec<About> {
    let is_meant = |entry: &&Entry| {
        let about = &entry.about;
        entry.reports > 0
            && args.stage.as_ref().is_none_or(|name| *name == about.stage)
            && (args.cell.is_none() || args.cell == about.cell)
            && args.attempt.is_none_or(|number| number == about.attempt)
    };
    let mut last: BTreeMap<(&str, Option<&str>), &About> = BTreeMap::new();
    for Entry { about, .. } in kept.iter().filter(is_meant) {
        let part = (about.stage.as_str(), about.cell.as_deref());
        let known = last.entry(part).or_insert(about);
        if about.attempt >= known.attempt {
            *known = about;
        }
    }
    last.into_values().cloned().collect()
}

/// Where a file of a stage is put.
fn place(about: &About, name: &str) -> PathBuf {
    let mut path = PathBuf::from(&about.stage);
    path.extend(&about.cell);
    path.join(name)
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let written = folder.and_then(|()| fs::write(path, bytes));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// The files of an archive that a stage has left, by their paths. What is no file, or would end elsewhere, is left out.
///
/// # Errors
/// If it is no such archive.
pub fn unpack(packed: &[u8]) -> Result<Vec<(String, Vec<u8>)>, String> {
    let broken = |error: std::io::Error| format!("the report files cannot be unpacked: {error}");
    let mut archive = tar::Archive::new(GzDecoder::new(packed).take(MOST));
    let mut files = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let path = entry.path().map_err(broken)?.into_owned();
        let stays = path
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        let name = path
            .to_str()
            .filter(|_| stays && entry.header().entry_type().is_file());
        let Some(name) = name.map(str::to_owned) else {
            continue;
        };
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(broken)?;
        files.push((name, bytes));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use jiff::Timestamp;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn entry(stage: &str, cell: Option<&str>, attempt: u32, reports: u64) -> Entry {
        Entry {
            about: About {
                pod: format!("{stage}-{attempt}"),
                stage: stage.into(),
                cell: cell.map(str::to_owned),
                attempt,
                started_at: Timestamp::UNIX_EPOCH,
                is_complete: true,
            },
            bytes: 1,
            reports,
        }
    }

    #[test]
    fn the_last_attempt_that_has_left_some_counts_unless_another_is_named() {
        let kept = [
            entry("unit", Some("3.11"), 1, 5),
            entry("unit", Some("3.11"), 2, 5),
            entry("unit", Some("3.13"), 1, 5),
            entry("lint", None, 1, 5),
            entry("lint", None, 2, 0),
        ];
        let places = |line: &str| {
            let words = ["files", "run"].into_iter().chain(line.split_whitespace());
            let args = Line::parse_from(words).args;
            let all = chosen(&kept, &args).into_iter();
            let all =
                all.map(|about| format!("{}#{}", place(&about, "x").display(), about.attempt));
            all.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(places(""), "lint/x#1 unit/3.11/x#2 unit/3.13/x#1");
        assert_eq!(
            places("--stage unit --cell 3.11 --attempt 1"),
            "unit/3.11/x#1"
        );
        assert_eq!(places("--stage none"), "");
    }

    #[test]
    fn what_a_stage_has_packed_ends_where_it_belongs_or_nowhere() {
        let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for name in ["out/a.xml", "../../b.xml", "/etc/c.xml"] {
            let mut header = tar::Header::new_gnu();
            // As somebody writes it who is out for it: the library itself refuses.
            let field = header.as_old_mut();
            field.name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(1);
            header.set_cksum();
            archive.append(&header, &b"x"[..]).unwrap();
        }
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Symlink);
        link.set_size(0);
        archive
            .append_link(&mut link, "out/d.xml", "/etc/passwd")
            .unwrap();
        let packed = archive.into_inner().unwrap().finish().unwrap();
        let files = unpack(&packed).unwrap();
        assert_eq!(files, [("out/a.xml".to_owned(), b"x".to_vec())]);
        assert!(unpack(b"no archive").is_err());
    }
}
