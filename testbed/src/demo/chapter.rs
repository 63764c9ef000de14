//! One version, from its commit to its end in production.

use std::cell::Cell;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::facts::{Fate, Outcome, Requests, Version, Violation};
use super::sample::sample;
use super::stage::{APPROVER, DEVELOPER, PRODUCTION, Stage};
use super::teller::Teller;
use super::world::{Look, list, number, text};
use crate::load::{Load, Stats};

/// How long each part may take on a machine that is busy.
const STARTS: Duration = Duration::from_mins(1);
const RUNS: Duration = Duration::from_mins(5);
const PROMOTES: Duration = Duration::from_mins(3);

/// What the chapter is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plot {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) subject: &'static str,
    /// Share of answers that are errors, in percent.
    pub(crate) error_percent: &'static str,
    pub(crate) fate: Fate,
    /// Whether the one who wrote the code tries to approve it.
    pub(crate) developer_tries: bool,
}

/// A chapter that is being told.
pub(crate) struct Chapter<'a> {
    pub(crate) stage: &'a Stage,
    pub(crate) teller: &'a Teller,
    pub(crate) load: Option<&'a Load>,
    pub(crate) plot: Plot,
}

impl Chapter<'_> {
    /// Tells it; gives what was seen.
    pub(crate) async fn tell(&self) -> Result<Version> {
        let plot = self.plot;
        let (started, before) = (Instant::now(), self.stats());
        self.teller.title(&format!("{}: {}", plot.name, plot.title));
        let commit = self.commit().await?;
        let run = self.run(&commit).await?;
        let statuses = self.statuses(&commit, &run).await?;
        let release = text(&run, "/status/release").to_owned();
        let digest = text(&run, "/status/artifacts/0/digest").to_owned();
        let staging = self.promotion("staging", &release).await?;
        self.outcome_told("staging", &staging);
        let signature = self.approve(&release, &digest).await?;
        let began = Instant::now();
        let (production, first_error) = self.in_production(&release, &before).await?;
        self.outcome_told("production", &production);
        self.settled(&production).await?;
        let tests = |name: &str| number(&run, &format!("/status/tests/{name}")).unwrap_or(0);
        let after = self.stats();
        Ok(Version {
            name: plot.name,
            subject: plot.subject,
            fate: plot.fate,
            commit,
            run: text(&run, "/metadata/name").to_owned(),
            tests: [tests("passed"), tests("total")],
            gates: gates(&run),
            statuses,
            attestations: attestations(&run),
            signature,
            release: release.clone(),
            digest,
            staging: outcome(&staging),
            approved_by: approvals(&production),
            production_runs: self.production_runs(),
            held: self.held().contains(&release),
            weights: self.weights(began, &production),
            requests: Requests {
                sent: after.sent - before.sent,
                lost: after.lost - before.lost,
                failed: after.injected - before.injected,
                answered_by_it: answers(&after, plot.name) - answers(&before, plot.name),
            },
            violation: first_error.and_then(|first| self.violation(began, first)),
            production: outcome(&production),
            took: started.elapsed(),
        })
    }

    fn stats(&self) -> Stats {
        self.load.map(Load::stats).unwrap_or_default()
    }

    async fn commit(&self) -> Result<String> {
        let (repository, plot) = (&self.stage.repository, self.plot);
        repository.write("VERSION", &format!("{}\n", plot.name))?;
        repository.write("ERROR_PERCENT", &format!("{}\n", plot.error_percent))?;
        let commit = repository.push(plot.subject).await?;
        self.teller.good(&format!(
            "dana pushes {} \"{}\"",
            short(&commit),
            plot.subject
        ));
        Ok(commit)
    }

    /// Waits for the run of a commit, telling each stage and gate.
    async fn run(&self, commit: &str) -> Result<Arc<Value>> {
        let world = &self.stage.world;
        let of_commit = |run: &Arc<Value>| {
            text(run, "/status/sha") == commit || text(run, "/spec/sha") == commit
        };
        let what = format!("a PipelineRun of {}", short(commit));
        let found = world.until(self.teller, (&what, STARTS), |world| {
            let pipeline = world.object("Pipeline", "greeter");
            let why = pipeline.map(|pipeline| text(&pipeline, "/status/message").to_owned());
            match world
                .objects("PipelineRun")
                .iter()
                .find(|run| of_commit(run))
            {
                Some(run) => Look::So(text(run, "/metadata/name").to_owned()),
                None => Look::NotYet(why.unwrap_or_default()),
            }
        });
        let name = found.await?;
        self.teller.good(&format!("PipelineRun {name} starts"));
        let (mut told, mut judged) = (0, false);
        let what = format!("PipelineRun {name} to end");
        let run = world.until(self.teller, (&what, RUNS), |world| {
            let Some(run) = world.object("PipelineRun", &name) else {
                return Look::Never("it is gone".to_owned());
            };
            let ended = list(&run, "/status/stages").iter();
            let ended: Vec<&Value> = ended
                .filter(|stage| text(stage, "/phase") == "Succeeded")
                .collect();
            for stage in ended.iter().skip(told) {
                self.stage_told(&run, stage);
            }
            told = told.max(ended.len());
            // What signs comes after them.
            let gates = gates(&run);
            if !gates.is_empty() && !judged {
                judged = true;
                for [name, result] in gates {
                    self.teller.good(&format!("gate {name}: {result}"));
                }
            }
            match text(&run, "/status/phase") {
                "Succeeded" if !text(&run, "/status/release").is_empty() => Look::So(run),
                "Failed" | "Cancelled" | "TimedOut" => Look::Never(said_of_failure(&run)),
                _ => Look::NotYet(text(&run, "/status/message").to_owned()),
            }
        });
        let run = run.await?;
        self.teller
            .good(&format!("Release {}", text(&run, "/status/release")));
        Ok(run)
    }

    /// What the git provider shows of the commit, which takes as long as the run's words take to get there.
    async fn statuses(&self, commit: &str, run: &Value) -> Result<Vec<[String; 2]>> {
        let stages = list(run, "/status/stages").len();
        let shown = self.stage.forge.statuses(commit, stages).await?;
        let told = shown
            .iter()
            .map(|[context, state]| format!("{context} {state}"));
        let told: Vec<String> = told.collect();
        let told = told.join(", ");
        self.teller
            .good(&format!("Gitea shows at {}: {told}", short(commit)));
        Ok(shown)
    }

    fn stage_told(&self, run: &Value, stage: &Value) {
        let name = text(stage, "/name");
        let tests = number(stage, "/tests/passed").zip(number(stage, "/tests/total"));
        let artifacts = list(run, "/status/artifacts").iter();
        let digest = artifacts.filter(|artifact| text(artifact, "/name") == name);
        let digest = digest.map(|artifact| text(artifact, "/digest")).next();
        let what = match (tests, digest) {
            (Some((passed, total)), _) => format!("{passed} of {total} tests passed"),
            (None, Some(digest)) => format!("image {digest:.19}… pushed"),
            (None, None) => match text(stage, "/message") {
                "" => "succeeded".to_owned(),
                said => said.to_owned(),
            },
        };
        self.teller.good(&format!("stage {name}: {what}"));
    }

    /// Waits for the end of the promotion of a Release into an Environment.
    async fn promotion(&self, environment: &str, release: &str) -> Result<Arc<Value>> {
        let what = format!("{release} to end its way into {environment}");
        let mut told = Vec::new();
        let promotion = self
            .stage
            .world
            .until(self.teller, (&what, PROMOTES), |world| {
                let promotions = world.objects("Promotion");
                let mut own = promotions
                    .iter()
                    .filter(|promotion| is_of(promotion, environment, release));
                let Some(promotion) = own.next() else {
                    let environment = world.object("Environment", environment);
                    let why = environment.map(|object| text(&object, "/status/message").to_owned());
                    return Look::NotYet(why.unwrap_or_default());
                };
                for step in list(promotion, "/status/steps") {
                    let (name, state) = (text(step, "/name"), text(step, "/state"));
                    let key = format!("{name} {state}");
                    if matches!(state, "Succeeded" | "Failed") && !told.contains(&key) {
                        let text = format!("{environment}: {name} {}", state.to_lowercase());
                        if state == "Failed" {
                            self.teller.bad(&text);
                        } else {
                            self.teller.good(&text);
                        }
                        told.push(key);
                    }
                }
                let why = || text(promotion, "/status/message").to_owned();
                if is_over(promotion) {
                    Look::So(Arc::clone(promotion))
                } else {
                    Look::NotYet(why())
                }
            });
        promotion.await
    }

    fn outcome_told(&self, environment: &str, promotion: &Value) {
        let phase = text(promotion, "/status/phase");
        let name = text(promotion, "/metadata/name");
        let told = format!("{environment}: Promotion {name} {phase}");
        if phase == "Succeeded" {
            self.teller.good(&told);
        } else {
            self.teller
                .bad(&format!("{told}: {}", text(promotion, "/status/message")));
        }
    }

    /// Waits until production asks for an approval, and has it given by somebody who may; what the gate on signatures says.
    async fn approve(&self, release: &str, digest: &str) -> Result<String> {
        let what = format!("production to ask for an approval of {release}");
        let signature = self
            .stage
            .world
            .until(self.teller, (&what, STARTS), |world| {
                let Some(environment) = world.object("Environment", "production") else {
                    return Look::Never("there is no such Environment".to_owned());
                };
                let gates = list(&environment, "/status/candidate/gates");
                let state = |name: &str| {
                    let gate = gates.iter().find(|gate| text(gate, "/name") == name);
                    gate.map_or("", |gate| text(gate, "/state"))
                };
                // The registry is asked meanwhile.
                if text(&environment, "/status/candidate/release") == release
                    && (state("approvals"), state("signature")) == ("Waiting", "Passed")
                {
                    return Look::So(state("signature").to_owned());
                }
                Look::NotYet(text(&environment, "/status/message").to_owned())
            })
            .await?;
        self.teller
            .good("production: image, provenance and SBOM are signed with the team's key");
        self.teller
            .good(&format!("production waits for an approval of {release}"));
        let decision = |who: &str, reason: &str| {
            let values = [
                ("ACTION", "Approve"),
                ("WHO", who),
                ("RELEASE", release),
                ("DIGEST", digest),
                ("REASON", reason),
            ]
            .map(|(name, value)| (name, value.to_owned()));
            sample("decision.yaml", &values)
        };
        if self.plot.developer_tries {
            let own = decision(DEVELOPER[0], "works on my machine")?;
            let refused = self.stage.developer.create(&own).await.err();
            let refused = refused.context("dana may not approve, and the API server let her")?;
            let said = refused.to_string();
            ensure!(
                said.contains("may not approve"),
                "dana was refused for another reason: {said}"
            );
            self.teller
                .good("dana tries to approve it herself; the API server refuses: she may not");
        }
        let made = self
            .stage
            .approver
            .create(&decision(APPROVER[0], "looks good in staging")?)
            .await?;
        self.teller.good(&format!(
            "olga approves it: {}",
            made.trim().replace(".slipway.dev/", " ")
        ));
        Ok(signature)
    }

    /// Waits for the end in production, telling each weight; gives when users saw the first error, if they did.
    async fn in_production(
        &self,
        release: &str,
        before: &Stats,
    ) -> Result<(Arc<Value>, Option<Instant>)> {
        let mut first_error = None;
        let errors_before = before.injected;
        let last = Cell::new(self.weight().unwrap_or(0));
        let outcome = {
            let errors = async {
                match self.load {
                    Some(load) => load
                        .until(PROMOTES, |stats| stats.injected > errors_before)
                        .await
                        .ok(),
                    None => std::future::pending().await,
                }
            };
            let weights = self.weights_told(&last);
            let promotion = self.promotion("production", release);
            let (mut errors, mut weights) = (std::pin::pin!(errors), std::pin::pin!(weights));
            let mut promotion = std::pin::pin!(promotion);
            loop {
                tokio::select! {
                    promotion = &mut promotion => break promotion?,
                    never = &mut weights => match never {},
                    error = &mut errors, if first_error.is_none() => {
                        first_error = Some(error.map(|_| Instant::now()));
                    }
                }
            }
        };
        // The last one may be as new as the end.
        self.weight_told(&last);
        Ok((outcome, first_error.flatten()))
    }

    /// Tells each weight of production's route, and never ends.
    async fn weights_told(&self, last: &Cell<u64>) -> Infallible {
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            self.weight_told(last);
        }
    }

    /// Tells the weight of production's route if it is another one than was told last.
    fn weight_told(&self, last: &Cell<u64>) {
        let Some(weight) = self.weight() else { return };
        if last.replace(weight) == weight {
            return;
        }
        let rollout = self.stage.world.object("Rollout", PRODUCTION);
        let samples = rollout.as_deref().map(said_of_samples).unwrap_or_default();
        if weight == 0 {
            let text = format!("production: all traffic to the stable revision{samples}");
            self.teller.say(&text);
        } else {
            let name = self.plot.name;
            let text = format!("production: {weight} % to {name}{samples}");
            self.teller.good(&text);
        }
    }

    fn weight(&self) -> Option<u64> {
        weight(&*self.stage.world.object("HTTPRoute", PRODUCTION)?)
    }

    /// Waits until the Environment has done what follows from the promotion, and only the stable revision has pods.
    async fn settled(&self, promotion: &Value) -> Result<()> {
        let name = text(promotion, "/metadata/name");
        let is_back = text(promotion, "/status/phase") == "RolledBack";
        let what = "production to come to rest";
        let rest = self
            .stage
            .world
            .until(self.teller, (what, PROMOTES), |world| {
                let open = world.objects("Promotion");
                let mut open = open.iter().filter(|other| {
                    text(other, "/spec/environment") == "production" && !is_over(other)
                });
                if let Some(open) = open.next() {
                    return Look::NotYet(text(open, "/status/message").to_owned());
                }
                let Some(rollout) = world.object("Rollout", PRODUCTION) else {
                    return Look::Never("its Rollout is gone".to_owned());
                };
                if text(&rollout, "/status/phase") == "Healthy" {
                    return Look::So(());
                }
                Look::NotYet(text(&rollout, "/status/message").to_owned())
            });
        rest.await
            .with_context(|| format!("after Promotion {name}"))?;
        let environment = self.stage.world.object("Environment", "production");
        let environment = environment.context("production is gone")?;
        let current = text(&environment, "/status/current/0/release");
        if is_back {
            let held = self.held().join(", ");
            let told = format!("production is back at {current}, and holds {held}");
            self.teller.good(&told);
        }
        Ok(())
    }

    /// Releases that production does not take again.
    fn held(&self) -> Vec<String> {
        let environment = self.stage.world.object("Environment", "production");
        let holds = environment
            .iter()
            .flat_map(|environment| list(environment, "/status/holds"));
        holds
            .map(|hold| text(hold, "/release").to_owned())
            .collect()
    }

    /// Digest of the image that production's stable revision runs.
    fn production_runs(&self) -> String {
        let rollout = self.stage.world.object("Rollout", PRODUCTION);
        let image = rollout
            .as_deref()
            .map(|rollout| text(rollout, "/status/stable/images/web"));
        let digest = image.and_then(|image| image.split_once('@'));
        digest.map_or_else(String::new, |(_, digest)| digest.to_owned())
    }

    /// The shares of the new version, with the time since `began`. Once it is stable it shares with nobody.
    fn weights(&self, began: Instant, promotion: &Value) -> Vec<(Duration, u64)> {
        let mut weights: Vec<(Duration, u64)> = Vec::new();
        for (at, weight) in self.route_since(began) {
            let last = weights.last().map_or(0, |(_, last)| *last);
            if weight != last {
                weights.push((at.duration_since(began), weight));
            }
        }
        if text(promotion, "/status/phase") == "Succeeded" {
            weights.retain(|(_, weight)| *weight > 0);
        }
        weights
    }

    fn route_since(&self, began: Instant) -> Vec<(Instant, u64)> {
        let frames = self.stage.world.frames("HTTPRoute", PRODUCTION, began);
        let weights = frames
            .iter()
            .filter_map(|frame| Some((frame.at, weight(frame.object.as_ref()?)?)));
        weights.collect()
    }

    /// How fast it went back: from the first error to the first bad sample, and from there to the route.
    fn violation(&self, began: Instant, first_error: Instant) -> Option<Violation> {
        let rollouts = self.stage.world.frames("Rollout", PRODUCTION, began);
        let bad = rollouts.iter().find(|frame| {
            let metrics = frame
                .object
                .as_deref()
                .map(|object| list(object, "/status/analysis"));
            let mut metrics = metrics.unwrap_or_default().iter();
            metrics.any(|metric| number(metric, "/failed").is_some_and(|failed| failed > 0))
        })?;
        let route = self.route_since(began).into_iter();
        let (back, _) = route
            .skip_while(|(_, weight)| *weight == 0)
            .find(|(_, weight)| *weight == 0)?;
        Some(Violation {
            noticed: bad.at.saturating_duration_since(first_error),
            back: back.saturating_duration_since(bad.at),
        })
    }
}

/// The canary's share that a route asks for, in percent.
fn weight(route: &Value) -> Option<u64> {
    let backends = list(route, "/spec/rules/0/backendRefs");
    let canary = backends
        .iter()
        .find(|backend| text(backend, "/name").ends_with("-canary"));
    number(canary?, "/weight")
}

fn said_of_samples(rollout: &Value) -> String {
    let Some(metric) = list(rollout, "/status/analysis").first() else {
        return String::new();
    };
    let counts = ["passed", "failed"].map(|key| number(metric, &format!("/{key}")).unwrap_or(0));
    let [passed, failed] = counts;
    if passed + failed == 0 {
        return String::new();
    }
    let value = text(metric, "/value");
    format!(
        " ({}: {passed} good samples, {failed} bad, last {value:.6})",
        text(metric, "/name")
    )
}

fn is_of(promotion: &Value, environment: &str, release: &str) -> bool {
    text(promotion, "/spec/environment") == environment
        && text(promotion, "/spec/release") == release
        && text(promotion, "/spec/kind") == "Promote"
}

fn is_over(promotion: &Value) -> bool {
    let phase = text(promotion, "/status/phase");
    matches!(phase, "Succeeded" | "Failed" | "RolledBack" | "Superseded")
}

fn outcome(promotion: &Value) -> Outcome {
    let time = |pointer: &str| text(promotion, pointer).parse::<jiff::Timestamp>().ok();
    let took = time("/status/startedAt").zip(time("/status/finishedAt"));
    let took = took.and_then(|(start, end)| Duration::try_from(end.duration_since(start)).ok());
    Outcome {
        promotion: text(promotion, "/metadata/name").to_owned(),
        phase: text(promotion, "/status/phase").to_owned(),
        reason: text(promotion, "/status/reason").to_owned(),
        took: took.unwrap_or_default(),
    }
}

fn approvals(promotion: &Value) -> Vec<String> {
    let approvals = list(promotion, "/status/approvals").iter();
    approvals
        .map(|approval| text(approval, "/user").to_owned())
        .collect()
}

fn gates(run: &Value) -> Vec<[String; 2]> {
    let gates = list(run, "/status/gates").iter();
    gates
        .map(|gate| ["/name", "/result"].map(|key| text(gate, key).to_owned()))
        .collect()
}

/// What stands beside the image.
fn attestations(run: &Value) -> Vec<String> {
    let all = list(run, "/status/attestations").iter();
    let mut kinds: Vec<String> = all.map(|one| text(one, "/kind").to_owned()).collect();
    kinds.sort();
    kinds
}

pub(super) fn said_of_failure(run: &Value) -> String {
    let parts = [
        "/status/message",
        "/status/failure/hint",
        "/status/failure/logTail",
    ];
    let parts = parts.map(|pointer| text(run, pointer));
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n")
}

fn answers(stats: &Stats, version: &str) -> u64 {
    stats.revisions.get(version).copied().unwrap_or(0)
}

pub(super) fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
