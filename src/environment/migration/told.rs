//! What a command of migrations tells: lines in its termination message, a word and a text each. No I/O.
//!
//! | line | means |
//! |---|---|
//! | `version 12` | the version that the database is at |
//! | `pending V13__prices.sql` | what would be done; a line each |
//! | `destructive V13: DROP COLUMN price` | what of it loses data; a line each |
//! | `uptodate` | nothing is pending |
//! | `backup s3://…/shop-12.dump` | where the backup is |
//! | `bytes 18244` | how large it is |
//!
//! Other lines are for people. It comes from a container that runs people's code: it is cut, and goes nowhere but into
//! statuses and into environment variables of later commands.

use crate::model::text::truncate;

/// Longest text of a line, in bytes.
const MAX_TEXT: usize = 200;
/// Longest place of a backup, in bytes.
const MAX_PLACE: usize = 512;
/// Longest version, in bytes.
const MAX_VERSION: usize = 128;
/// Lines about what is pending.
const MAX_PENDING: usize = 32;
/// Lines about what is destructive.
const MAX_DESTRUCTIVE: usize = 16;

/// What a command told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The version that the database is at.
    pub version: Option<String>,
    /// What is pending.
    pub pending: Vec<String>,
    /// What of it is destructive.
    pub destructive: Vec<String>,
    /// Whether it said that nothing is pending.
    pub is_up_to_date: bool,
    /// Where a backup is.
    pub backup: Option<String>,
    /// How large it is.
    pub bytes: Option<i64>,
    /// The last line for people.
    pub said: Option<String>,
}

impl Told {
    /// Reads a termination message; the last line of a word counts where there may be one only.
    pub fn read(text: &str) -> Self {
        let mut told = Self::default();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let rest = rest.trim();
            let cut = |limit| truncate(rest, limit).to_owned();
            match (word, rest.is_empty()) {
                ("uptodate", true) => told.is_up_to_date = true,
                ("version", false) => told.version = Some(cut(MAX_VERSION)),
                ("backup", false) => told.backup = Some(cut(MAX_PLACE)),
                ("bytes", false) => told.bytes = rest.parse().ok(),
                ("pending", false) if told.pending.len() < MAX_PENDING => {
                    told.pending.push(cut(MAX_TEXT));
                }
                ("destructive", false) if told.destructive.len() < MAX_DESTRUCTIVE => {
                    told.destructive.push(cut(MAX_TEXT));
                }
                ("pending" | "destructive", false) => {}
                _ => told.said = Some(truncate(line, MAX_TEXT).to_owned()),
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_a_tool_tells_is_read_line_by_line() {
        let told = Told::read(
            "version 12\npending V13__prices.sql\npending V14__x.sql\ndestructive V14: DROP TABLE x\nall is well\n",
        );
        assert_eq!(told.version.as_deref(), Some("12"));
        assert_eq!(told.pending, ["V13__prices.sql", "V14__x.sql"]);
        assert_eq!(told.destructive, ["V14: DROP TABLE x"]);
        assert_eq!(told.said.as_deref(), Some("all is well"));
        assert!(!told.is_up_to_date);
        let told = Told::read("uptodate\nbackup /backups/a b.dump\nbytes 18244");
        assert!(told.is_up_to_date);
        assert_eq!(told.backup.as_deref(), Some("/backups/a b.dump"));
        assert_eq!(told.bytes, Some(18244));
        assert_eq!(Told::read("bytes many").bytes, None);
    }

    proptest! {
        #[test]
        fn whatever_is_told_stays_small(text in "(pending|destructive|version|backup|bytes)? ?.{0,900}\n{0,3}.{0,900}") {
            let told = Told::read(&text.repeat(40));
            prop_assert!(told.pending.len() <= MAX_PENDING && told.destructive.len() <= MAX_DESTRUCTIVE);
            prop_assert!(told.pending.iter().all(|line| !line.is_empty() && line.len() <= MAX_TEXT));
        }
    }
}
