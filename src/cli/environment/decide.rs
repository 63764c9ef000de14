//! `env promote`, `approve`, `hold` and their like: make a Decision about an Environment, and wait for what comes of it.
//! Talks to the API server.

use super::list::promotions;
use super::outcome::{self, Found, Wait};
use crate::cli::cluster::{Place, Server};
use crate::cli::decide::{self, Made, decide};
use crate::cli::follow::{self, Followed, Patience};
use crate::cli::{Answer, End};
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::environment::api::Environment;
use crate::promotion::api::Promotion;
use crate::release::api::Release;

/// Looks at which nothing has come of a Decision that was taken in, before nobody waits any more.
const QUIET_LOOKS: u32 = 10;

/// Which Environment, which Release, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Environment.
    pub name: String,
    /// Name of the Release, where it is about one.
    pub release: Option<String>,
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// How it is decided.
    #[command(flatten)]
    pub decide: decide::Args,
    /// Wait until the promotion that it is about has come to an end, or waits for a person; of a hold, a pin or a veto, until
    /// it counts.
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long.
    #[command(flatten)]
    pub patience: Patience,
}

/// The same, and what may be passed.
#[derive(Debug, clap::Args)]
pub struct OverrideArgs {
    /// Gate that the Release may pass, as env describe has it, such as freeze; may be given several times.
    #[arg(long = "gate", value_name = "GATE", required = true)]
    pub gates: Vec<String>,
    /// Which Environment.
    #[command(flatten)]
    pub common: Args,
}

/// The same, and how far.
#[derive(Debug, clap::Args)]
pub struct MigrateArgs {
    /// Version that the database is to come to; by default the newest of the Release.
    #[arg(long, value_name = "VERSION")]
    pub version: Option<String>,
    /// Which Environment.
    #[command(flatten)]
    pub common: Args,
}

/// Lets a Release pass gates.
pub(super) async fn overrule(args: &OverrideArgs) -> Result<Answer, String> {
    let action = DecisionAction::Override;
    let spec = DecisionSpec {
        gates: args.gates.clone(),
        ..DecisionSpec::about(TargetKind::Environment, &args.common.name, action)
    };
    Box::pin(make(&args.common, spec)).await
}

/// Migrates its database.
pub(super) async fn migrate(args: &MigrateArgs) -> Result<Answer, String> {
    let action = DecisionAction::Migrate;
    let spec = DecisionSpec {
        version: args.version.clone(),
        ..DecisionSpec::about(TargetKind::Environment, &args.common.name, action)
    };
    Box::pin(make(&args.common, spec)).await
}

/// Makes the Decision.
pub(super) async fn run(args: &Args, action: DecisionAction) -> Result<Answer, String> {
    let spec = DecisionSpec::about(TargetKind::Environment, &args.name, action);
    Box::pin(make(args, spec)).await
}

async fn make(args: &Args, spec: DecisionSpec) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let found = release_of(spec.action, args.release.as_deref(), &environment);
    let release = match check_reason(spec.action, &args.decide).and(found) {
        Ok(release) => release,
        Err(problem) => return Ok(Answer::invalid(vec![problem])),
    };
    // What is no Release may be the name of a set of them.
    if let Some(name) = args.release.as_ref()
        && environment.spec.promotion.set.is_none()
    {
        let _: Release = server.get(name).await?;
    }
    let spec = DecisionSpec { release, ..spec };
    let known = if args.wait {
        promotions(&server, &args.name).await?
    } else {
        Vec::new()
    };
    let subject = outcome::subject(&spec, &known);
    let made = decide(&server, &args.decide, spec.clone()).await?;
    let said = said(&made, &spec);
    let decision = match &made {
        Made::Decision(name) if args.wait => name,
        Made::Decision(_) | Made::Nothing(_) => return Ok(Answer::well(said)),
    };
    let wait = Wait {
        decision,
        action: spec.action,
        subject,
    };
    waited(&server, &args.name, (&wait, &args.patience), said).await
}

/// What was decided about which Release.
fn said(made: &Made, spec: &DecisionSpec) -> String {
    let release = spec.release.as_ref();
    let release = release.map(|release| format!("Release {release}\n"));
    release.unwrap_or_default() + &made.said(spec)
}

/// Waits for what comes of a Decision that was made, after what was said of it.
pub(super) async fn waited(
    server: &Server,
    name: &str,
    (wait, patience): (&Wait<'_>, &Patience),
    said: String,
) -> Result<Answer, String> {
    let ended = patience.wait(until_over(server, name, wait)).await?;
    Ok(Answer::after(said, ended, &format!("Environment {name}")))
}

async fn until_over(server: &Server, name: &str, wait: &Wait<'_>) -> Result<(String, End), String> {
    let mut environment: Followed<'_, Environment> = Followed::one(server, name);
    let mut records: Followed<'_, Promotion> = Followed::labelled(server, "");
    let (mut looks, mut losses) = (follow::looks(), follow::Losses::default());
    let (mut quiet, mut is_quiet, mut is_lost) = (0, false, false);
    loop {
        // What they are is read once one of them is not what it was; that nothing comes is known by the clock.
        tokio::select! {
            changed = environment.change() => changed?,
            changed = records.change() => changed?,
            _ = looks.tick(), if is_quiet || is_lost => quiet += u32::from(is_quiet),
        }
        let answer = both(server, name).await;
        let seen = losses.bear(answer, server.may_pass())?;
        is_lost = seen.is_none();
        let Some((environment, promotions)) = seen else {
            continue;
        };
        let found = outcome::of(&environment, &promotions, wait);
        is_quiet = found == Found::Nothing;
        match found {
            Found::Ended(words, end) => return Ok((words, end)),
            Found::Nothing if quiet >= QUIET_LOOKS => {
                return Ok((outcome::NOTHING.to_owned(), End::Failed));
            }
            Found::Nothing => {}
            Found::Unseen | Found::Underway => quiet = 0,
        }
    }
}

/// The Environment, and its Promotions after it: what it says of them is on record by then.
async fn both(server: &Server, name: &str) -> Result<(Environment, Vec<Promotion>), String> {
    let environment = server.get(name).await?;
    Ok((environment, promotions(server, name).await?))
}

/// Some Decisions are taken only with a reason.
fn check_reason(action: DecisionAction, args: &decide::Args) -> Result<(), String> {
    let needs = matches!(action, DecisionAction::Override | DecisionAction::Veto);
    if needs && args.reason.is_none() {
        return Err(format!(
            "say why with --reason: {} takes one, for those who read it later",
            action.verb()
        ));
    }
    Ok(())
}

/// The Release that a Decision is about: the one that is named, or the one that people are asked about.
fn release_of(
    action: DecisionAction,
    named: Option<&str>,
    environment: &Environment,
) -> Result<Option<String>, String> {
    let asks = matches!(
        action,
        DecisionAction::Approve | DecisionAction::Reject | DecisionAction::Override
    );
    let needed = [
        (DecisionAction::Promote, "that is to come"),
        (DecisionAction::Pin, "at which it is to stay"),
        (DecisionAction::Veto, "that is never to come"),
    ];
    let needed = needed.iter().find(|(of, _)| *of == action);
    if let Some(named) = named {
        return Ok(Some(named.to_owned()));
    }
    let status = environment.status.as_ref();
    let candidate = status.and_then(|status| status.candidate.as_ref());
    match candidate.filter(|_| asks) {
        Some(candidate) => Ok(Some(candidate.release.clone())),
        None if asks => Err("no Release comes next: name the one that you mean".to_owned()),
        None => match needed {
            Some((_, which)) => Err(format!("name the Release {which}: see release list")),
            None => Ok(None),
        },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::testing;
    use super::*;

    fn environment(candidate: bool) -> Environment {
        let status = if candidate {
            json!({"candidate": {"release": "shop-4"}})
        } else {
            json!({})
        };
        let environment = json!({
            "apiVersion": "slipway.dev/v1alpha1", "kind": "Environment", "metadata": {"name": "production"},
            "spec": {"tier": "Production", "promotion": {"from": {"pipelines": ["shop"]}}}, "status": status,
        });
        serde_json::from_value(environment).unwrap()
    }

    #[test]
    fn who_waits_reads_what_was_decided_and_what_came_of_it() {
        let decision = "production-approve-x7k2p";
        let action = DecisionAction::Approve;
        let spec = DecisionSpec {
            release: Some("shop-2".to_owned()),
            ..DecisionSpec::about(TargetKind::Environment, "production", action)
        };
        let mut seen = environment(false);
        let decided = json!({"decided": [
            {"name": decision, "action": "Approve", "user": "alice", "at": "2026-11-26T10:00:00Z"},
        ]});
        seen.status = Some(serde_json::from_value(decided).unwrap());
        let wait = Wait {
            decision,
            action,
            subject: Some("production-2".to_owned()),
        };
        let Found::Ended(words, end) = outcome::of(&seen, &testing::promotions(), &wait) else {
            panic!("it has ended");
        };
        let said = said(&Made::Decision(decision.to_owned()), &spec);
        let answer = Answer::after(said, Some((words, end)), "Environment production");
        assert_eq!(answer.end, End::Well);
        insta::assert_snapshot!(answer.text);
    }

    #[test]
    fn who_is_asked_need_not_say_about_what() {
        let of = |action, named, candidate| release_of(action, named, &environment(candidate));
        let release = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(of(DecisionAction::Approve, None, true), release("shop-4"));
        assert_eq!(
            of(DecisionAction::Approve, Some("shop-3"), true),
            release("shop-3")
        );
        assert!(of(DecisionAction::Reject, None, false).is_err());
        assert_eq!(of(DecisionAction::Override, None, true), release("shop-4"));
        for action in [
            DecisionAction::Promote,
            DecisionAction::Pin,
            DecisionAction::Veto,
        ] {
            let told = of(action, None, true).unwrap_err();
            assert!(told.starts_with("name the Release "), "{told}");
        }
        assert_eq!(of(DecisionAction::Migrate, None, true), Ok(None));
        assert_eq!(of(DecisionAction::Hold, None, true), Ok(None));
        assert_eq!(
            of(DecisionAction::Resume, Some("shop-3"), false),
            release("shop-3")
        );
    }

    #[test]
    fn who_overrules_says_why() {
        let mut args = decide::Args::default();
        assert!(check_reason(DecisionAction::Veto, &args).is_err());
        assert!(check_reason(DecisionAction::Override, &args).is_err());
        assert_eq!(check_reason(DecisionAction::Pin, &args), Ok(()));
        args.reason = Some("the leap second".to_owned());
        assert_eq!(check_reason(DecisionAction::Veto, &args), Ok(()));
    }
}
