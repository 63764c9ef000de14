//! Decisions in the name of whoever runs this: the one way in which verbs make them. Talks to the API server.

use clap::ValueEnum;
use kube::ResourceExt;
use kube::api::{ObjectMeta, PostParams};

use super::cluster::Server;
use crate::decision::api::{Decision, DecisionSpec};

/// Why, in whose name, and whether in earnest.
#[derive(Debug, Default, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Why, for those who read it later.
    #[arg(long)]
    pub reason: Option<String>,
    /// Group of yours in whose name you decide, where it takes one; may be given several times.
    #[arg(long = "group", value_name = "GROUP")]
    pub groups: Vec<String>,
    /// Make no Decision: client only says what would be decided, server has the API server check it too.
    #[arg(
        long,
        value_enum,
        value_name = "WHERE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "client"
    )]
    pub dry_run: Option<DryRun>,
}

/// Who checks what is not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DryRun {
    /// Nobody.
    Client,
    /// The API server: rights, rules, and admission policies.
    Server,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Made {
    /// A Decision of this name.
    Decision(String),
    /// Nothing was made: it was only looked at.
    Nothing(DryRun),
}

impl Made {
    /// A line for people.
    pub fn said(&self, spec: &DecisionSpec) -> String {
        let what = format!(
            "{} of {} {}",
            spec.action, spec.target.kind, spec.target.name
        );
        match self {
            Self::Decision(name) => format!("{what}: Decision {name}\n"),
            Self::Nothing(DryRun::Client) => format!("{what}: not decided (dry run)\n"),
            Self::Nothing(DryRun::Server) => {
                format!("{what}: not decided, the API server would take it (dry run)\n")
            }
        }
    }
}

/// Decides it, in the name of whoever runs this.
///
/// # Errors
/// One clear sentence.
pub async fn decide(server: &Server, args: &Args, spec: DecisionSpec) -> Result<Made, String> {
    if args.dry_run == Some(DryRun::Client) {
        return Ok(Made::Nothing(DryRun::Client));
    }
    let spec = DecisionSpec {
        user: server.user().await?,
        groups: args.groups.clone(),
        reason: args.reason.clone(),
        ..spec
    };
    let is_dry = args.dry_run.is_some();
    let name = make(server, spec, is_dry).await?;
    Ok(match args.dry_run {
        Some(how) => Made::Nothing(how),
        None => Made::Decision(name),
    })
}

/// Makes a Decision that says who decides, and returns its name; in a dry run the API server only checks it.
///
/// # Errors
/// One clear sentence.
pub async fn make(server: &Server, spec: DecisionSpec, is_dry: bool) -> Result<String, String> {
    let decision = Decision {
        metadata: ObjectMeta {
            generate_name: Some(format!("{}-{}-", spec.target.name, spec.action.verb())),
            ..ObjectMeta::default()
        },
        spec,
    };
    let params = PostParams {
        dry_run: is_dry,
        ..PostParams::default()
    };
    let made = server.create_with(&decision, &params).await?;
    Ok(made.name_any())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::api::{DecisionAction, TargetKind};

    #[test]
    fn what_was_decided_is_said_in_a_line() {
        let spec = DecisionSpec::about(TargetKind::Rollout, "api", DecisionAction::Skip);
        let said = [
            Made::Decision("api-skip-x1".to_owned()),
            Made::Nothing(DryRun::Client),
            Made::Nothing(DryRun::Server),
        ]
        .map(|made| made.said(&spec));
        assert_eq!(
            said,
            [
                "Skip of Rollout api: Decision api-skip-x1\n",
                "Skip of Rollout api: not decided (dry run)\n",
                "Skip of Rollout api: not decided, the API server would take it (dry run)\n",
            ]
        );
    }
}
