//! What `when` of a stage may ask about: facts of the run. No I/O.

use super::api::Param;
use crate::expression::{self, Fact, Scope};
use crate::pipeline_run::api::TriggerKind;

/// What is known of a run before its stages run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts<'a> {
    /// What started it.
    pub event: TriggerKind,
    /// Full ref. Example: `refs/heads/main`.
    pub git_ref: &'a str,
    /// The commit.
    pub sha: &'a str,
    /// Who started it.
    pub actor: &'a str,
    /// Name of the Pipeline.
    pub pipeline: &'a str,
    /// Name of the trigger; empty where a person started it.
    pub trigger: &'a str,
    /// Name of the Environment that the run is for; empty where it is for none.
    pub environment: &'a str,
    /// Branch that a pull request is to be merged into; empty where it is none, or that is not known.
    pub base: &'a str,
}

impl Facts<'_> {
    /// With the parameters of the Pipeline; those without a value are empty.
    fn scope(&self, params: &[Param], values: &[(String, String)]) -> Scope {
        let text = |text: &str| Fact::Text(text.to_owned());
        let branch = self.git_ref.strip_prefix("refs/heads/");
        let tag = self.git_ref.strip_prefix("refs/tags/");
        let value = |param: &Param| {
            let mut values = values.iter();
            let given = values.find(|(name, _)| *name == param.name);
            let value = given.map(|(_, value)| value.clone());
            (param.name.clone(), value.unwrap_or_default())
        };
        Scope::new([
            ("event", text(self.event.as_str())),
            ("branch", text(branch.unwrap_or_default())),
            ("tag", text(tag.unwrap_or_default())),
            ("params", Fact::Map(params.iter().map(value).collect())),
            ("ref", text(self.git_ref)),
            ("sha", text(self.sha)),
            ("actor", text(self.actor)),
            ("pipeline", text(self.pipeline)),
            ("trigger", text(self.trigger)),
            ("environment", text(self.environment)),
            ("base", text(self.base)),
        ])
    }
}

/// Runs on which a condition is tried out.
fn trials(params: &[Param]) -> Vec<Scope> {
    let refs = [
        "refs/heads/main",
        "refs/heads/release/1.4",
        "refs/tags/v1.2.3",
    ];
    let trial = |event, git_ref| Facts {
        event,
        git_ref,
        sha: "3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d3f9c2e1b0d",
        actor: "alice@example.com",
        pipeline: "shop-api",
        trigger: "nightly",
        environment: "",
        base: "",
    };
    let events = TriggerKind::ALL.iter();
    events
        .flat_map(|event| refs.map(|git_ref| trial(*event, git_ref).scope(params, &[])))
        .collect()
}

/// Checks that a condition can be used. The error is for people.
pub fn check(condition: &str, params: &[Param]) -> Result<(), String> {
    expression::check(condition, &trials(params))
}

/// Whether a condition holds for a run. The error is for people.
pub fn holds(
    condition: &str,
    facts: Facts<'_>,
    params: &[Param],
    values: &[(String, String)],
) -> Result<bool, String> {
    expression::evaluate(condition, facts.scope(params, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Vec<Param> {
        let params = serde_json::json!([{"name": "LEVEL"}, {"name": "DEPLOY"}]);
        serde_json::from_value(params).unwrap()
    }

    fn on(condition: &str, git_ref: &str) -> Result<bool, String> {
        let facts = Facts {
            event: TriggerKind::Push,
            git_ref,
            sha: "3f9c",
            actor: "slipway",
            pipeline: "api",
            trigger: "push",
            environment: "staging",
            base: "",
        };
        let values = [("LEVEL".to_owned(), "debug".to_owned())];
        holds(condition, facts, &params(), &values)
    }

    #[test]
    fn a_condition_asks_about_the_run() {
        let condition = "event == 'Push' && branch.startsWith('release/')";
        assert_eq!(check(condition, &params()), Ok(()));
        assert_eq!(on(condition, "refs/heads/release/1"), Ok(true));
        assert_eq!(on(condition, "refs/heads/main"), Ok(false));
        assert_eq!(
            on("actor == 'slipway' && pipeline != 'web'", "refs/heads/main"),
            Ok(true)
        );
    }

    #[test]
    fn what_cannot_be_asked_is_refused() {
        for (condition, says) in [
            (
                "title == 'v1'",
                "there is no title; there is actor, base, branch",
            ),
            ("params.COLOUR == 'red'", ""),
            ("branch", "not true or false"),
            ("branch ==", ""),
            ("event == 'Manual' && nosuch(branch)", ""),
            ("[1].all(x, x == 1)", "loop"),
        ] {
            let problem = check(condition, &params()).unwrap_err();
            assert!(problem.contains(says), "{condition}: {problem}");
        }
    }

    #[test]
    fn parameters_and_tags_can_be_asked_for() {
        for (condition, expected) in [
            ("params.LEVEL == 'debug'", true),
            ("params.DEPLOY == ''", true),
            ("params.DEPLOY == 'yes' || tag.startsWith('v')", false),
        ] {
            assert_eq!(check(condition, &params()), Ok(()), "{condition}");
            assert_eq!(
                on(condition, "refs/heads/main"),
                Ok(expected),
                "{condition}"
            );
        }
        assert_eq!(
            on("tag == 'v1.2.3' && branch == ''", "refs/tags/v1.2.3"),
            Ok(true)
        );
    }

    #[test]
    fn what_a_branch_is_called_is_never_read_as_an_expression() {
        let nasty = "refs/heads/' || true || '";
        assert_eq!(on("branch == 'main'", nasty), Ok(false));
    }
}
