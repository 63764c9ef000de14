//! How risky a change is, by what is known of it. Pure.
//!
//! Not to know is no reason to hurry: a signal that counts and is not known is a medium risk, so a low one has to be earned
//! by all that count. What is above low says why; where several signals say the same, all of them are named.

use std::collections::BTreeMap;

use super::api::{Ending, EndingResult, Risk, RiskLevel};
use crate::model::glob;
use crate::model::text::truncate;

/// Longest path that is named as a reason, in bytes.
const MAX_PATH: usize = 128;

/// What is known of a change; what is not is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RiskSignals {
    /// Lines that were changed.
    pub lines: Option<u64>,
    /// Files that were changed.
    pub paths: Option<Vec<String>>,
    /// Whether it has database migrations.
    pub has_migrations: Option<bool>,
    /// How far its version is from the one that serves.
    pub bump: Option<Bump>,
    /// Whether it leaves the images as they are.
    pub is_configuration: Option<bool>,
    /// Share of the error budget that is left.
    pub budget_left: Option<f64>,
    /// Share of the last changes that went back.
    pub failure_rate: Option<f64>,
}

/// How far apart two versions are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bump {
    /// It is the same one.
    Same,
    /// Another patch.
    Patch,
    /// Another minor version.
    Minor,
    /// Another major version, or one that says that it breaks something.
    Major,
}

/// What counts, and what it says about the risk. What is `None` or empty does not count.
#[derive(Clone, Debug, PartialEq)]
pub struct AutoRules {
    /// With migrations.
    pub migrations: Option<RiskLevel>,
    /// With another major version.
    pub major_version: Option<RiskLevel>,
    /// With the images as they are.
    pub configuration: Option<RiskLevel>,
    /// From how many lines on which level.
    pub lines: Vec<(u64, RiskLevel)>,
    /// With a file that matches one of these globs.
    pub paths: Vec<(Vec<String>, RiskLevel)>,
    /// With less than this share of the error budget left.
    pub budget_below: Vec<(f64, RiskLevel)>,
    /// With at least this share of the last changes gone back.
    pub failure_rate: Vec<(f64, RiskLevel)>,
}

impl Default for AutoRules {
    fn default() -> Self {
        Self {
            migrations: Some(RiskLevel::High),
            major_version: Some(RiskLevel::High),
            configuration: Some(RiskLevel::Medium),
            lines: vec![(200, RiskLevel::Medium), (2000, RiskLevel::High)],
            paths: Vec::new(),
            budget_below: vec![(0.25, RiskLevel::High)],
            failure_rate: vec![(0.3, RiskLevel::High)],
        }
    }
}

/// What one signal says.
struct Said {
    name: &'static str,
    /// The worst that it could say.
    worst: RiskLevel,
    /// The level, and why; nothing when it is not known.
    level: Option<(RiskLevel, String)>,
}

/// The highest level that anything says that counts.
pub fn assess(signals: &RiskSignals, rules: &AutoRules) -> Risk {
    let said: Vec<Said> = said(signals, rules).into_iter().flatten().collect();
    let unknown = said
        .iter()
        .filter(|said| said.level.is_none() && said.worst > RiskLevel::Low);
    let unknown: Vec<&str> = unknown.map(|said| said.name).collect();
    let mut reasons: Vec<(RiskLevel, String)> =
        said.iter().filter_map(|said| said.level.clone()).collect();
    if reasons.is_empty() {
        reasons.push((
            RiskLevel::Medium,
            "nothing is known of the change".to_owned(),
        ));
    } else if !unknown.is_empty() {
        let text = format!("unknown: {}", unknown.join(", "));
        reasons.push((RiskLevel::Medium, text));
    }
    let level = reasons.iter().map(|(level, _)| *level).max();
    let level = level.unwrap_or(RiskLevel::Medium);
    let because = reasons.into_iter().filter(|(of, _)| *of == level);
    Risk {
        level,
        because: because.map(|(_, why)| why).collect(),
    }
}

/// What every signal says; nothing, where it does not count.
fn said(signals: &RiskSignals, rules: &AutoRules) -> [Option<Said>; 7] {
    let if_so = |name, rule: Option<RiskLevel>, is_so: Option<bool>, words: [&str; 2]| {
        let worst = rule?;
        let [yes, no] = words;
        let level = is_so.map(|is_so| {
            if is_so {
                (worst, yes.to_owned())
            } else {
                (RiskLevel::Low, no.to_owned())
            }
        });
        Some(Said { name, worst, level })
    };
    [
        if_so(
            "migrations",
            rules.migrations,
            signals.has_migrations,
            ["migrations", "no migrations"],
        ),
        of_version(signals.bump, rules.major_version),
        if_so(
            "configuration",
            rules.configuration,
            signals.is_configuration,
            ["configuration only", "not only configuration"],
        ),
        of_lines(signals.lines, &rules.lines),
        of_paths(signals.paths.as_deref(), &rules.paths),
        of_share(
            "errorBudget",
            signals.budget_left,
            &rules.budget_below,
            |left, limit| left < limit,
        ),
        of_share(
            "recentFailureRate",
            signals.failure_rate,
            &rules.failure_rate,
            |rate, limit| rate >= limit,
        ),
    ]
}

fn of_version(bump: Option<Bump>, rule: Option<RiskLevel>) -> Option<Said> {
    let worst = rule?;
    let level = bump.map(|bump| match bump {
        Bump::Major => (worst, "major version".to_owned()),
        Bump::Minor => (RiskLevel::Low, "minor version".to_owned()),
        Bump::Patch => (RiskLevel::Low, "patch version".to_owned()),
        Bump::Same => (RiskLevel::Low, "the same version".to_owned()),
    });
    Some(Said {
        name: "majorVersion",
        worst,
        level,
    })
}

fn of_lines(lines: Option<u64>, rules: &[(u64, RiskLevel)]) -> Option<Said> {
    let worst = rules.iter().map(|(_, level)| *level).max()?;
    let level = lines.map(|lines| {
        let reached = rules.iter().filter(|(from, _)| lines >= *from);
        let level = reached.map(|(_, level)| *level).max();
        let why = format!("changedLines {lines}");
        (level.unwrap_or(RiskLevel::Low), why)
    });
    Some(Said {
        name: "changedLines",
        worst,
        level,
    })
}

fn of_paths(paths: Option<&[String]>, rules: &[(Vec<String>, RiskLevel)]) -> Option<Said> {
    let worst = rules.iter().map(|(_, level)| *level).max()?;
    let level_of = |path: &String| {
        let fits = |globs: &Vec<String>| globs.iter().any(|glob| glob::matches(glob, path));
        let rules = rules.iter().filter(|(globs, _)| fits(globs));
        rules.map(|(_, level)| *level).max()
    };
    let level = paths.map(|paths| {
        let mut found: Option<(RiskLevel, &str)> = None;
        for path in paths {
            let level = level_of(path);
            // The first of those that are the worst is named.
            if level > found.map(|(level, _)| level) {
                found = level.map(|level| (level, path.as_str()));
            }
        }
        match found {
            Some((level, path)) => (level, format!("changedPaths {}", truncate(path, MAX_PATH))),
            None => (RiskLevel::Low, "no changed path that counts".to_owned()),
        }
    });
    Some(Said {
        name: "changedPaths",
        worst,
        level,
    })
}

fn of_share(
    name: &'static str,
    share: Option<f64>,
    rules: &[(f64, RiskLevel)],
    is_bad: impl Fn(f64, f64) -> bool,
) -> Option<Said> {
    let worst = rules.iter().map(|(_, level)| *level).max()?;
    let level = share.map(|share| {
        let bad = rules.iter().filter(|(limit, _)| is_bad(share, *limit));
        let level = bad.map(|(_, level)| *level).max();
        let why = format!("{name} {}", (share * 100.0).round() / 100.0);
        (level.unwrap_or(RiskLevel::Low), why)
    });
    Some(Said { name, worst, level })
}

/// Images by container.
type Images = BTreeMap<String, String>;

impl RiskSignals {
    /// Adds what the images say of the change from one revision to another.
    #[must_use]
    pub fn with_images(self, before: Option<&Images>, wanted: Option<&Images>) -> Self {
        let both = before.zip(wanted);
        let bump = both.and_then(|(before, wanted)| bump(before, wanted));
        Self {
            // Whichever says that it breaks something is believed.
            bump: self.bump.max(bump),
            is_configuration: both.map(|(before, wanted)| before == wanted),
            ..self
        }
    }

    /// Adds what came of the last changes. What was superseded says nothing.
    #[must_use]
    pub fn with_history(self, history: &[Ending]) -> Self {
        let count = |result| {
            history
                .iter()
                .filter(|ending| ending.result == result)
                .count()
        };
        let went_back = u32::try_from(count(EndingResult::RolledBack)).unwrap_or(u32::MAX);
        let promoted = u32::try_from(count(EndingResult::Promoted)).unwrap_or(u32::MAX);
        let all = went_back.saturating_add(promoted);
        Self {
            failure_rate: (all > 0).then(|| f64::from(went_back) / f64::from(all)),
            ..self
        }
    }

    /// Adds how far apart the versions are of the Release that is stable and of the one that is wanted.
    #[must_use]
    pub fn with_versions(self, versions: Option<[String; 2]>) -> Self {
        let bump = versions.and_then(|[before, wanted]| bump_between(&before, &wanted));
        Self {
            bump: self.bump.max(bump),
            ..self
        }
    }

    /// Adds what the commits say in their subjects: that something breaks, and never that nothing does, because that may
    /// stand below the subject.
    #[must_use]
    pub fn with_subjects<'a>(self, mut subjects: impl Iterator<Item = &'a str>) -> Self {
        let breaks = subjects.any(is_breaking).then_some(Bump::Major);
        Self {
            bump: self.bump.max(breaks),
            ..self
        }
    }
}

/// Whether a subject says that it breaks something, as conventional commits do: `feat!: …`, `fix(api)!: …`.
fn is_breaking(subject: &str) -> bool {
    let Some((head, _)) = subject.split_once(": ") else {
        return false;
    };
    let Some(head) = head.strip_suffix('!') else {
        return false;
    };
    let kind = head.split_once('(').map_or(head, |(kind, _)| kind);
    !kind.is_empty() && kind.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// The furthest that a container's image goes; not known while one of them is not, unless another is as far as can be.
fn bump(before: &Images, wanted: &Images) -> Option<Bump> {
    let bumps = wanted.iter().map(|(container, image)| {
        let before = before.get(container)?;
        bump_of(before, image)
    });
    let bumps: Vec<Option<Bump>> = bumps.collect();
    if bumps.contains(&Some(Bump::Major)) {
        return Some(Bump::Major);
    }
    let known: Option<Vec<Bump>> = bumps.into_iter().collect();
    known?.into_iter().max()
}

fn bump_of(before: &str, wanted: &str) -> Option<Bump> {
    if before == wanted {
        return Some(Bump::Same);
    }
    let ((repository, before), (other, wanted)) = (tagged(before)?, tagged(wanted)?);
    if repository != other {
        return None;
    }
    bump_between(before, wanted)
}

/// How far apart two versions are, as far as they are versions.
fn bump_between(before: &str, wanted: &str) -> Option<Bump> {
    let (before, wanted) = (version(before)?, version(wanted)?);
    Some(match (before, wanted) {
        ([a, ..], [b, ..]) if a != b => Bump::Major,
        // Before 1.0 it is the minor version that may break something.
        ([0, a, _], [0, b, _]) if a != b => Bump::Major,
        ([_, a, _], [_, b, _]) if a != b => Bump::Minor,
        _ => Bump::Patch,
    })
}

/// Repository and tag of an image that has one; a digest behind it is left out.
fn tagged(image: &str) -> Option<(&str, &str)> {
    let image = image.split_once('@').map_or(image, |(image, _)| image);
    let (repository, tag) = image.rsplit_once(':')?;
    // Otherwise it was the port of the registry.
    (!tag.contains('/')).then_some((repository, tag))
}

/// Major, minor and patch of a tag like `v1.2.3`, `1.2` or `1.2.3-rc.1`. One number alone is more likely a count of builds.
fn version(tag: &str) -> Option<[u64; 3]> {
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    let numbers = tag.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = numbers.split('.').map(|part| part.parse().ok()).collect();
    match numbers?.as_slice() {
        [major, minor] => Some([*major, *minor, 0]),
        [major, minor, patch] => Some([*major, *minor, *patch]),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
