//! `env promote`, `approve`, `hold` and their like: make a Decision about an Environment. Talks to the API server.

use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::cli::decide::{self, decide};
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::environment::api::Environment;
use crate::release::api::Release;

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
}

/// Makes the Decision.
pub(super) async fn run(args: &Args, action: DecisionAction) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let release = match release_of(action, args.release.as_deref(), &environment) {
        Ok(release) => release,
        Err(problem) => return Ok(Answer::invalid(vec![problem])),
    };
    // What is no Release may be the name of a set of them.
    if let Some(name) = args.release.as_ref()
        && environment.spec.promotion.set.is_none()
    {
        let _: Release = server.get(name).await?;
    }
    let said = release
        .as_ref()
        .map(|release| format!("Release {release}\n"));
    let spec = DecisionSpec {
        release,
        ..DecisionSpec::about(TargetKind::Environment, &args.name, action)
    };
    let made = decide(&server, &args.decide, spec.clone()).await?;
    let said = said.unwrap_or_default();
    Ok(Answer::well(format!("{said}{}", made.said(&spec))))
}

/// The Release that a Decision is about: the one that is named, or the one that people are asked about.
fn release_of(
    action: DecisionAction,
    named: Option<&str>,
    environment: &Environment,
) -> Result<Option<String>, String> {
    let asks = matches!(action, DecisionAction::Approve | DecisionAction::Reject);
    let needs = asks || action == DecisionAction::Promote;
    if let Some(named) = named {
        return Ok(Some(named.to_owned()));
    }
    let status = environment.status.as_ref();
    let candidate = status.and_then(|status| status.candidate.as_ref());
    match candidate.filter(|_| asks) {
        Some(candidate) => Ok(Some(candidate.release.clone())),
        None if asks => Err("no Release comes next: name the one that you mean".to_owned()),
        None if needs => Err("name the Release that is to come: see release list".to_owned()),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
    fn who_is_asked_need_not_say_about_what() {
        let of = |action, named, candidate| release_of(action, named, &environment(candidate));
        let release = |name: &str| Ok(Some(name.to_owned()));
        assert_eq!(of(DecisionAction::Approve, None, true), release("shop-4"));
        assert_eq!(
            of(DecisionAction::Approve, Some("shop-3"), true),
            release("shop-3")
        );
        assert!(of(DecisionAction::Reject, None, false).is_err());
        assert!(of(DecisionAction::Promote, None, true).is_err());
        assert_eq!(of(DecisionAction::Hold, None, true), Ok(None));
        assert_eq!(
            of(DecisionAction::Resume, Some("shop-3"), false),
            release("shop-3")
        );
    }
}
