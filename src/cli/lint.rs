//! `lint`: whether objects in files are as they have to be, and where they are not, or most likely do not do what is meant. Works
//! without a cluster.

mod check;
mod host;
mod locate;

use std::collections::BTreeMap;

use serde_json::Value;

use super::file;
use super::manifest;
use super::text::{Palette, Tone};
use super::{Answer, End, Output};
use crate::analysis::template::Templates;
use crate::crd;
use crate::kinds::KINDS;
use check::{Finding, Rules, Severity, findings};

/// Which files, and how.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// File with objects, or a folder with such files; `-` for the standard input. May be given several times.
    #[arg(short, long = "filename", value_name = "FILE", required = true)]
    pub filename: Vec<String>,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Reads, and says what is wrong.
pub fn run(args: &Args, palette: Palette) -> Answer {
    let read = file::in_folders(&args.filename)
        .and_then(|names| file::files(&names))
        .and_then(|files| Ok((files, file::schemas()?, kinds()?)));
    let (files, schemas, kinds) = match read {
        Ok(read) => read,
        Err(problem) => return Answer::failed(problem),
    };
    // A template may stand in another file than what names it.
    let mut templates = Templates::new();
    for file in &files {
        templates.extend(manifest::templates(&file.text, &schemas).0);
    }
    let rules = Rules { kinds, templates };
    let (mut all, mut count) = (Vec::new(), 0);
    for file in &files {
        let (found, objects) = findings(file, &rules);
        all.extend(found);
        count += objects;
    }
    let document = args.output.document(&all);
    Answer {
        text: document.unwrap_or_else(|| page(&all, count, palette)),
        end: if count_of(&all, Severity::Error) == 0 {
            End::Well
        } else {
            End::Invalid
        },
        ..Answer::default()
    }
}

/// The schema of every kind, by its name.
fn kinds() -> Result<BTreeMap<&'static str, Value>, String> {
    let schema = |info: &crate::kinds::KindInfo| {
        let schema = crd::schema_of(info).map_err(|error| error.to_string())?;
        Ok((info.kind, schema))
    };
    KINDS.iter().map(schema).collect()
}

/// For people, and for editors that know the way compilers say where.
fn page(findings: &[Finding], count: usize, palette: Palette) -> String {
    let mut text = String::new();
    for finding in findings {
        let place = format!("{}:{}:{}:", finding.file, finding.line, finding.column);
        text.push_str(&palette.paint(Tone::Strong, &place));
        text.push(' ');
        text.push_str(&finding.said());
        text.push('\n');
    }
    let numbered = |count: usize, word: &str| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    let mistakes = numbered(count_of(findings, Severity::Error), "mistake");
    let warnings = numbered(count_of(findings, Severity::Warning), "warning");
    let said = [
        mistakes.unwrap_or_else(|| "nothing is wrong".to_owned()),
        warnings.unwrap_or_default(),
    ];
    let said: Vec<String> = said.into_iter().filter(|part| !part.is_empty()).collect();
    let said = said.join(", ");
    let objects = if count == 1 { "object" } else { "objects" };
    text + &format!("{count} {objects} of Slipway: {said}\n")
}

/// How many matter so much.
fn count_of(findings: &[Finding], severity: Severity) -> usize {
    let alike = findings.iter().filter(|one| one.severity == severity);
    alike.count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_counted_by_itself() {
        let environment = "\
apiVersion: slipway.dev/v1alpha1
kind: Environment
metadata: {name: staging}
spec:
  tier: Staging
  promotion: {from: {pipelines: [shop]}}
  metrics: {prometheus: {address: 'http://prometheus:9090'}}
";
        let file = manifest::File {
            name: "staging.yaml".to_owned(),
            text: environment.to_owned(),
        };
        let rules = Rules {
            kinds: kinds().unwrap(),
            templates: Templates::new(),
        };
        let (found, count) = findings(&file, &rules);
        assert_eq!(count_of(&found, Severity::Error), 0, "{found:?}");
        let page = page(&found, count, Palette::new(false));
        let end = "1 object of Slipway: nothing is wrong, 1 warning\n";
        assert!(page.ends_with(end), "{page}");
    }
}
