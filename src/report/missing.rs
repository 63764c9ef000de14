//! Reports that a script was to leave and has not: what the others say is half of the evidence then. No I/O.

use super::finding::printable;
use crate::pipeline::api::ReportFormat;
use crate::pipeline_run::api::{MissingReport, ReportSummary};

/// Longest glob that is kept, in characters.
const MAX_PATH: usize = 96;

/// Notes that no file fits a glob. The first of a format is enough to know that something is missing.
pub fn note(summary: &mut ReportSummary, format: ReportFormat, glob: &str) {
    let missing = MissingReport {
        format,
        path: printable(glob, MAX_PATH),
        cell: None,
    };
    merge(summary, vec![missing]);
}

/// Takes in what is missing elsewhere.
pub fn merge(into: &mut ReportSummary, missing: Vec<MissingReport>) {
    for one in missing {
        if !into.missing.iter().any(|known| known.format == one.format) {
            into.missing.push(one);
        }
    }
}

/// Of what a pod tells, what a status takes. Which cell it is the pod does not know.
pub(super) fn keep(summary: &mut ReportSummary) {
    let told = std::mem::take(&mut summary.missing);
    for one in told {
        note(summary, one.format, &one.path);
    }
}

impl ReportSummary {
    /// Says of what is missing that a cell of a matrix has not left it.
    pub fn of_cell(&mut self, cell: &str) {
        for missing in &mut self.missing {
            missing.cell = Some(cell.to_owned());
        }
    }

    /// What is missing, by format, in a sentence about who was to leave it. Example of `who`: `stage unit`.
    pub fn lacks(&self, who: &str) -> Vec<(ReportFormat, String)> {
        let said = |missing: &MissingReport| {
            let MissingReport { format, path, cell } = missing;
            let cell = cell.as_ref().map(|cell| format!(" ({cell})"));
            let (cell, field) = (cell.unwrap_or_default(), format.field());
            let text = format!("{who}{cell} has left no file {path} (reports.{field})");
            (*format, text)
        };
        self.missing.iter().map(said).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_format_is_kept_and_told() {
        let mut all = ReportSummary::default();
        note(&mut all, ReportFormat::Sarif, "bandit.sarif");
        note(&mut all, ReportFormat::Sarif, "semgrep.sarif");
        note(&mut all, ReportFormat::CycloneDx, &"x".repeat(200));
        assert!(!all.is_empty());
        assert_eq!(all.missing.len(), 2);
        assert_eq!(all.missing[1].path.len(), MAX_PATH);
        let mut cell = ReportSummary::default();
        note(&mut cell, ReportFormat::Junit, "junit.xml");
        cell.of_cell("3.11");
        all.merge(cell).unwrap();
        let said: Vec<String> = all
            .lacks("stage unit")
            .into_iter()
            .map(|(_, said)| said)
            .collect();
        assert_eq!(
            said[0],
            "stage unit has left no file bandit.sarif (reports.sarif)"
        );
        assert!(said[1].ends_with("(reports.cyclonedx)"), "{}", said[1]);
        assert_eq!(
            said[2],
            "stage unit (3.11) has left no file junit.xml (reports.junit)"
        );
        // A pod that tells of cells, or the same format twice, is not believed.
        let told = all.missing.iter().cycle().take(100).cloned().collect();
        let mut told = ReportSummary {
            missing: told,
            ..ReportSummary::default()
        };
        super::super::bounds::keep(&mut told);
        assert_eq!(told.missing.len(), 3);
        assert!(told.missing.iter().all(|missing| missing.cell.is_none()));
    }
}
