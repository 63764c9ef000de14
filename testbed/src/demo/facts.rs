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
    /// The pull request that waits for its review.
    pub review: Review,
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
    /// What the git provider shows of its commit: context and state.
    pub statuses: Vec<[String; 2]>,
    /// What was said about its image and stored beside it, in the order of the alphabet.
    pub attestations: Vec<String>,
    /// What production's gate on signatures said when somebody was asked for an approval.
    pub signature: String,
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
    /// Whether production does not take it again.
    pub held: bool,
    /// Shares of production's traffic in percent, with the time since its promotion there began.
    pub weights: Vec<(Duration, u64)>,
    /// Requests while this version was on its way, from its commit on.
    pub requests: Requests,
    /// When it went back: how fast that was.
    pub violation: Option<Violation>,
    /// How long its chapter took.
    pub took: Duration,
}

/// What was seen of a pull request.
#[derive(Debug, Clone)]
pub struct Review {
    /// Its number.
    pub number: u64,
    /// Whether its run made a Release.
    pub has_release: bool,
    /// What the git provider shows of its commit: context and state.
    pub statuses: Vec<[String; 2]>,
    /// What the operator has written there.
    pub comments: Vec<String>,
    /// How long that took.
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
/// What has to stand beside every image.
const ATTESTATIONS: [&str; 3] = ["Provenance", "SBOM", "Signature"];
/// Every share that a good version gets.
const WEIGHTS: [u64; 3] = [20, 50, 100];

impl Story {
    /// What was not as it should have been; empty when the story held.
    pub fn problems(&self) -> Vec<String> {
        let mut problems: Vec<String> = self.versions.iter().flat_map(Version::problems).collect();
        problems.extend(self.review.problems());
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

impl Review {
    fn problems(&self) -> Vec<String> {
        let is_good = |body: &String| {
            body.contains("greeter: passed") && body.contains("**Tests**: 16 of 16 passed")
        };
        let are_good = self.statuses.iter().all(|[_, is]| is == "success");
        let checks = [
            (!self.has_release, "its run made a Release".to_owned()),
            (
                !self.statuses.is_empty() && are_good,
                format!("its commit at Gitea: {:?}", self.statuses),
            ),
            (
                self.comments.len() == 1 && self.comments.iter().all(is_good),
                format!("its comments: {:?}", self.comments),
            ),
        ];
        let failed = checks.into_iter().filter(|(holds, _)| !holds);
        let failed = failed.map(|(_, problem)| format!("the pull request: {problem}"));
        failed.collect()
    }
}

impl Version {
    fn problems(&self) -> Vec<String> {
        let [passed, total] = self.tests;
        let bad = self.gates.iter().find(|[_, result]| result != "Passed");
        let mut checks = vec![
            (
                passed == total && total > 0,
                format!("{passed} of {total} tests passed"),
            ),
            (
                bad.is_none() && !self.gates.is_empty(),
                format!("gates: {:?}", self.gates),
            ),
            (
                !self.statuses.is_empty() && self.statuses.iter().all(|[_, is]| is == "success"),
                format!("its commit at Gitea: {:?}", self.statuses),
            ),
            (
                self.attestations == ATTESTATIONS,
                format!("beside its image: {:?}", self.attestations),
            ),
            (
                self.signature == "Passed",
                format!("its signature: {}", self.signature),
            ),
            (
                self.staging.phase == "Succeeded",
                format!("staging: {}", self.staging.phase),
            ),
            (
                !self.approved_by.is_empty(),
                "nobody approved it".to_owned(),
            ),
            (
                self.requests.lost == 0,
                format!("{} requests were lost", self.requests.lost),
            ),
        ];
        checks.extend(match self.fate {
            Fate::Stays => self.stays(),
            Fate::GoesBack => self.goes_back(),
        });
        let failed = checks.into_iter().filter(|(holds, _)| !holds);
        failed
            .map(|(_, problem)| format!("{}: {problem}", self.name))
            .collect()
    }

    fn stays(&self) -> Vec<(bool, String)> {
        let Outcome { phase, reason, .. } = &self.production;
        let shares: Vec<u64> = self.weights.iter().map(|(_, weight)| *weight).collect();
        vec![
            (
                phase == "Succeeded",
                format!("production: {phase} {reason}"),
            ),
            (
                self.production_runs == self.digest,
                format!("production runs {}", self.production_runs),
            ),
            (
                self.requests.failed == 0,
                format!("{} answers were errors", self.requests.failed),
            ),
            (
                // The first version has nothing to share with.
                shares.is_empty() || shares == WEIGHTS,
                format!("its shares were {shares:?}"),
            ),
        ]
    }

    fn goes_back(&self) -> Vec<(bool, String)> {
        let Outcome { phase, .. } = &self.production;
        let peak = self.weights.iter().map(|(_, weight)| *weight).max();
        let peak = peak.unwrap_or(0);
        let back = self.violation.map(|violation| violation.back);
        vec![
            (
                phase == "RolledBack",
                format!("it was to go back, but production: {phase}"),
            ),
            (
                self.production_runs != self.digest,
                "production runs it".to_owned(),
            ),
            (self.requests.failed > 0, "nobody met its errors".to_owned()),
            (
                peak == FIRST_WEIGHT,
                format!("its largest share was {peak} %, not {FIRST_WEIGHT} %"),
            ),
            (
                back.is_some_and(|back| back < BACK_WITHIN),
                format!("from the bad sample to 100 % stable: {back:?}"),
            ),
        ]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::load::{Latency, Stats};

    fn version(name: &'static str, fate: Fate, weights: &[u64]) -> Version {
        let goes_back = fate == Fate::GoesBack;
        let outcome = |phase: &str| Outcome {
            promotion: format!("p-{name}"),
            phase: phase.to_owned(),
            reason: phase.to_owned(),
            took: Duration::from_secs(9),
        };
        let weights = weights.iter().zip(3..);
        Version {
            name,
            subject: "feat: x",
            fate,
            commit: name.repeat(8),
            run: format!("greeter-{name}"),
            tests: [16, 16],
            gates: vec![["tests".to_owned(), "Passed".to_owned()]],
            statuses: vec![["slipway/greeter".to_owned(), "success".to_owned()]],
            attestations: ATTESTATIONS.map(str::to_owned).to_vec(),
            signature: "Passed".to_owned(),
            release: format!("greeter-{name}"),
            digest: format!("sha256:{name}"),
            staging: outcome("Succeeded"),
            production: outcome(if goes_back { "RolledBack" } else { "Succeeded" }),
            approved_by: vec!["olga".to_owned()],
            production_runs: format!("sha256:{}", if goes_back { "2.0.0" } else { name }),
            weights: weights
                .map(|(weight, at)| (Duration::from_secs(at), *weight))
                .collect(),
            held: goes_back,
            requests: Requests {
                sent: 3000,
                lost: 0,
                failed: if goes_back { 7 } else { 0 },
                answered_by_it: 140,
            },
            violation: goes_back.then_some(Violation {
                noticed: Duration::from_millis(1_200),
                back: Duration::from_millis(45),
            }),
            took: Duration::from_secs(61),
        }
    }

    /// A story as it should be.
    pub(in super::super) fn a_story() -> Story {
        let stats = Stats {
            sent: 9000,
            answered: 9000,
            injected: 7,
            ..Stats::default()
        };
        Story {
            versions: vec![
                version("1.0.0", Fate::Stays, &[]),
                version("2.0.0", Fate::Stays, &[20, 50, 100]),
                version("3.0.0", Fate::GoesBack, &[20, 0]),
            ],
            review: Review {
                number: 1,
                has_release: false,
                statuses: vec![["slipway/greeter".to_owned(), "success".to_owned()]],
                comments: vec!["### greeter: passed\n\n**Tests**: 16 of 16 passed\n".to_owned()],
                took: Duration::from_secs(20),
            },
            load: Summary {
                url: "http://10.244.0.1:8000/".to_owned(),
                rate: 60,
                ran_for: 150.0,
                stats,
                statuses: BTreeMap::new(),
                latency: Latency::default(),
                late_start: Latency::default(),
                losses: Vec::new(),
                seconds: Vec::new(),
            },
            serves_at_the_end: Some("2.0.0".to_owned()),
            took: Duration::from_mins(4),
        }
    }

    /// Something that is otherwise than it should be.
    type Change = fn(&mut Story);

    #[test]
    fn a_story_as_it_should_be_holds() {
        assert_eq!(a_story().problems(), Vec::<String>::new());
    }

    #[test]
    fn whatever_is_otherwise_is_told() {
        let cases: [(&str, Change); 17] = [
            ("1 of 9000 requests were lost", |s| {
                s.load.stats.lost = 1;
                s.load.stats.answered -= 1;
            }),
            ("does not add up", |s| s.load.stats.answered -= 1),
            ("the same digest", |s| {
                s.versions[1].digest = s.versions[0].digest.clone();
            }),
            ("in the end 3.0.0 answers, not 2.0.0", |s| {
                s.serves_at_the_end = Some("3.0.0".to_owned());
            }),
            ("2.0.0: 15 of 16 tests passed", |s| {
                s.versions[1].tests[0] = 15;
            }),
            ("1.0.0: gates", |s| s.versions[0].gates.clear()),
            ("3.0.0: its commit at Gitea: [[", |s| {
                s.versions[2].statuses[0][1].clear();
            }),
            ("2.0.0: beside its image: [\"Provenance\", \"SBOM\"]", |s| {
                s.versions[1].attestations.pop();
            }),
            ("1.0.0: its signature: Waiting", |s| {
                s.versions[0].signature = "Waiting".to_owned();
            }),
            ("3.0.0: staging: RolledBack", |s| {
                s.versions[2].staging.phase = "RolledBack".to_owned();
            }),
            ("1.0.0: nobody approved it", |s| {
                s.versions[0].approved_by.clear();
            }),
            ("2.0.0: production: RolledBack", |s| {
                s.versions[1].production.phase = "RolledBack".to_owned();
            }),
            ("2.0.0: its shares were [20, 100]", |s| {
                s.versions[1].weights.remove(1);
            }),
            ("3.0.0: it was to go back, but production: Succeeded", |s| {
                s.versions[2].production.phase = "Succeeded".to_owned();
            }),
            ("3.0.0: its largest share was 50 %, not 20 %", |s| {
                s.versions[2].weights[0].1 = 50;
            }),
            ("3.0.0: nobody met its errors", |s| {
                s.versions[2].requests.failed = 0;
            }),
            ("from the bad sample to 100 % stable: Some(2s)", |s| {
                let violation = s.versions[2].violation.as_mut().unwrap();
                violation.back = Duration::from_secs(2);
            }),
        ];
        are_told(&cases);
    }

    #[test]
    fn a_pull_request_that_is_not_as_it_should_be_is_told() {
        let cases: [(&str, Change); 3] = [
            ("the pull request: its run made", |s| {
                s.review.has_release = true;
            }),
            ("the pull request: its commit at Gitea: [[", |s| {
                s.review.statuses[0][1] = "pending".to_owned();
            }),
            ("the pull request: its comments: [\"", |s| {
                let again = s.review.comments[0].clone();
                s.review.comments.push(again);
            }),
        ];
        are_told(&cases);
    }

    fn are_told(cases: &[(&str, Change)]) {
        for (expected, change) in cases {
            let mut story = a_story();
            change(&mut story);
            let problems = story.problems().join("\n");
            assert!(problems.contains(expected), "{expected} in {problems:?}");
        }
    }
}
