//! What was seen of each version, and whether that is the story that was to be told. No I/O.

use std::time::Duration;

use crate::load::Summary;

/// What is to become of a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It ends in production.
    Stays,
    /// Production's analysis sends it back.
    GoesBack,
}

/// All that was measured.
#[derive(Debug)]
pub struct Story {
    /// The versions in their order.
    pub versions: Vec<Version>,
    /// The load, from before the second version to the end.
    pub load: Summary,
    /// Version whose answers came at the very end, and only its.
    pub serves_at_the_end: Option<String>,
    /// How long all of it took.
    pub took: Duration,
}

/// What was seen of one version.
#[derive(Debug, Clone)]
pub struct Version {
    /// As its answers name it.
    pub name: &'static str,
    /// First line of its commit's message.
    pub subject: &'static str,
    /// What is to become of it.
    pub fate: Fate,
    /// The commit.
    pub commit: String,
    /// Name of its PipelineRun.
    pub run: String,
    /// Tests that passed, and all of them.
    pub tests: [u64; 2],
    /// The gates: name and result.
    pub gates: Vec<[String; 2]>,
    /// Name of its Release.
    pub release: String,
    /// Digest of its image.
    pub digest: String,
    /// What became of it in staging.
    pub staging: Outcome,
    /// What became of it in production.
    pub production: Outcome,
    /// Who approved it.
    pub approved_by: Vec<String>,
    /// Digest of the image that production ran in the end.
    pub production_runs: String,
    /// Shares of production's traffic in percent, with the time since its promotion there began.
    pub weights: Vec<(Duration, u64)>,
    /// Requests while this version was on its way, from its commit on.
    pub requests: Requests,
    /// When it went back: how fast that was.
    pub violation: Option<Violation>,
    /// How long its chapter took.
    pub took: Duration,
}

/// How a promotion ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the Promotion.
    pub promotion: String,
    /// Its last phase.
    pub phase: String,
    /// Why, in one word; empty when there is nothing to say.
    pub reason: String,
    /// How long it took from its start.
    pub took: Duration,
}

/// Requests, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Requests {
    /// Requests that were sent.
    pub sent: u64,
    /// Requests that were lost.
    pub lost: u64,
    /// Answers that were the sample's own errors.
    pub failed: u64,
    /// Answers of this version.
    pub answered_by_it: u64,
}

/// How fast a bad version went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Violation {
    /// From the first error that a user saw until a sample showed it.
    pub noticed: Duration,
    /// From that sample to the route with all of the traffic on stable.
    pub back: Duration,
}

/// Longest way from the sample to the route.
pub const BACK_WITHIN: Duration = Duration::from_secs(1);
/// Share of production's traffic that a new version gets first.
pub const FIRST_WEIGHT: u64 = 20;
/// Every share that a good version gets.
const WEIGHTS: [u64; 3] = [20, 50, 100];

impl Story {
    /// What was not as it should have been; empty when the story held.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.versions.iter().flat_map(Version::problems).collect();
        let stats = &self.load.stats;
        if stats.lost > 0 {
            problems.push(format!(
                "{} of {} requests were lost: {:?}, first {:?}",
                stats.lost,
                stats.sent,
                stats.lost_by_reason,
                self.load.losses.first()
            ));
        }
        if stats.sent != stats.answered + stats.lost || stats.duplicated > 0 {
            problems.push(format!("the load does not add up: {stats:?}"));
        }
        let digests: std::collections::BTreeSet<&str> = self
            .versions
            .iter()
            .map(|version| version.digest.as_str())
            .collect();
        if digests.len() < self.versions.len() {
            problems.push("two versions have the same digest".to_owned());
        }
        let last = self
            .versions
            .iter()
            .rev()
            .find(|version| version.fate == Fate::Stays);
        let wanted = last.map(|version| version.name);
        if self.serves_at_the_end.as_deref() != wanted {
            let is = self
                .serves_at_the_end
                .as_deref()
                .unwrap_or("more than one version");
            problems.push(format!(
                "in the end {is} answers, not {}",
                wanted.unwrap_or("nobody")
            ));
        }
        problems
    }
}

impl Version {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |holds: bool, problem: String| {
            if !holds {
                problems.push(format!("{}: {problem}", self.name));
            }
        };
        let [passed, total] = self.tests;
        check(
            passed == total && total > 0,
            format!("{passed} of {total} tests passed"),
        );
        let bad = self.gates.iter().find(|[_, result]| result != "Passed");
        check(
            bad.is_none() && !self.gates.is_empty(),
            format!("gates: {:?}", self.gates),
        );
        check(
            self.staging.phase == "Succeeded",
            format!("staging: {}", self.staging.phase),
        );
        check(
            !self.approved_by.is_empty(),
            "nobody approved it".to_owned(),
        );
        check(
            self.requests.lost == 0,
            format!("{} requests were lost", self.requests.lost),
        );
        let (phase, reason) = (self.production.phase.as_str(), &self.production.reason);
        let runs = self.production_runs == self.digest;
        let peak = self
            .weights
            .iter()
            .map(|(_, weight)| *weight)
            .max()
            .unwrap_or(0);
        match self.fate {
            Fate::Stays => {
                check(
                    phase == "Succeeded",
                    format!("production: {phase} {reason}"),
                );
                check(runs, format!("production runs {}", self.production_runs));
                check(
                    self.requests.failed == 0,
                    format!("{} answers were errors", self.requests.failed),
                );
                let shares: Vec<u64> = self.weights.iter().map(|(_, weight)| *weight).collect();
                // The first version has nothing to share with.
                check(
                    shares.is_empty() || shares == WEIGHTS,
                    format!("its shares were {shares:?}"),
                );
            }
            Fate::GoesBack => {
                check(
                    phase == "RolledBack",
                    format!("it was to go back, but production: {phase}"),
                );
                check(!runs, "production runs it".to_owned());
                check(self.requests.failed > 0, "nobody met its errors".to_owned());
                check(
                    peak == FIRST_WEIGHT,
                    format!("its largest share was {peak} %, not {FIRST_WEIGHT} %"),
                );
                let back = self.violation.map(|violation| violation.back);
                let in_time = back.is_some_and(|back| back < BACK_WITHIN);
                check(
                    in_time,
                    format!("from the bad sample to 100 % stable: {back:?}"),
                );
            }
        }
        problems
    }
}
