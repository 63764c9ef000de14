//! `env rollback`: makes a Decision to go back, and says where to. Talks to the API server.

use kube::ResourceExt;

use super::decide::waited;
use super::list::promotions;
use super::outcome::Wait;
use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::cli::decide::{self, Made, decide};
use crate::cli::follow::Patience;
use crate::decision::api::{DecisionAction, DecisionSpec, TargetKind};
use crate::environment::api::Environment;
use crate::promotion::api::{Promotion, PromotionPhase};

/// Which Environment, where to, and why.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Environment.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// Name of the Release to go back to: one that has succeeded there; by default the last before what runs.
    #[arg(long)]
    pub to: Option<String>,
    /// How it is decided. With --dry-run it is only said where it would go back to.
    #[command(flatten)]
    pub decide: decide::Args,
    /// Wait until it is back, or waits for a person.
    #[arg(long, conflicts_with = "dry_run")]
    pub wait: bool,
    /// How long.
    #[command(flatten)]
    pub patience: Patience,
}

/// Makes the Decision.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let name = environment.name_any();
    let promotions = promotions(&server, &name).await?;
    let way = way_back(&promotions, args.to.as_deref())?;
    let spec = DecisionSpec {
        release: args.to.clone(),
        ..DecisionSpec::about(TargetKind::Environment, &name, DecisionAction::Rollback)
    };
    let made = decide(&server, &args.decide, spec).await?;
    let text = said(&name, way, &made, args.to.is_some());
    let decision = match &made {
        Made::Decision(name) if args.wait => name,
        Made::Decision(_) | Made::Nothing(_) => return Ok(Answer::well(text)),
    };
    let wait = Wait {
        decision,
        action: DecisionAction::Rollback,
        subject: None,
    };
    waited(&server, &name, (&wait, &args.patience), text).await
}

/// What is said of the way back, and of what became of the Decision, in which the Release is named or not.
fn said(name: &str, (from, to): (&Promotion, &Promotion), made: &Made, is_named: bool) -> String {
    let way = format!(
        "from {} (Promotion {}) to {} (Promotion {})",
        from.spec.release,
        from.name_any(),
        to.spec.release,
        to.name_any()
    );
    match made {
        Made::Nothing(_) => format!("{name} would go back {way}\n"),
        Made::Decision(decision) if is_named => {
            format!("{name} goes back {way}, by Decision {decision}\n")
        }
        // Without a name in the Decision the operator looks for the Release when it follows it.
        Made::Decision(decision) => {
            format!("{name} was asked to go back, as it stands {way}, by Decision {decision}\n")
        }
    }
}

/// What an Environment goes back from, and what to: as the operator decides, of what the records say.
fn way_back<'a>(
    all: &'a [Promotion],
    to: Option<&str>,
) -> Result<(&'a Promotion, &'a Promotion), String> {
    let (alone, promotions): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|promotion| promotion.spec.kind.is_of_database());
    let has_started = |promotion: &&Promotion| {
        let status = promotion.status.as_ref();
        status.is_some_and(|status| status.started_at.is_some())
    };
    let from = promotions.iter().rposition(has_started);
    let (earlier, rest) = promotions.split_at(from.unwrap_or(promotions.len()));
    let running = *rest.first().ok_or("nothing was ever promoted there")?;
    let is_good = |promotion: &&Promotion| {
        let status = promotion.status.as_ref();
        status.and_then(|status| status.phase) == Some(PromotionPhase::Succeeded)
    };
    let is_other = |promotion: &&Promotion| promotion.spec.differs_from(&running.spec);
    let found = match to {
        None => earlier
            .iter()
            .copied()
            .filter(|promotion| promotion.spec.pipeline == running.spec.pipeline)
            .rfind(|promotion| is_good(promotion) && is_other(promotion)),
        Some(release) => promotions
            .iter()
            .copied()
            .filter(|promotion| promotion.spec.release == release)
            .rfind(is_good)
            .filter(is_other),
    };
    let found = found.ok_or_else(|| match to {
        None => "there is no other Release that succeeded there to go back to".to_owned(),
        Some(release) => {
            format!("{release} has not succeeded there, or is what runs: look at env history")
        }
    })?;
    let is_contracted = |other: &&Promotion| {
        let is_later = other.spec.number > found.spec.number;
        let status = other.status.as_ref();
        let has_contracted = status.is_some_and(|status| other.spec.has_contracted(status));
        is_later && other.spec.release != found.spec.release && has_contracted
    };
    if alone.iter().any(is_contracted) {
        return Err(format!(
            "a contract has removed what {} needs of the database: promote a repaired Release",
            found.spec.release
        ));
    }
    Ok((running, found))
}

#[cfg(test)]
mod tests {
    use super::super::testing::promotions;
    use super::*;
    use crate::cli::decide::DryRun;

    #[test]
    fn the_way_back_is_said_before_and_after_it_is_decided() {
        let all = promotions();
        let way = way_back(&all, None).unwrap();
        let decided = Made::Decision("production-rollback-x7k2p".to_owned());
        let looked_at = said("production", way, &Made::Nothing(DryRun::Client), false);
        let asked = said("production", way, &decided, false);
        let named = said("production", way, &decided, true);
        insta::assert_snapshot!([looked_at, asked, named].concat());
    }

    #[test]
    fn it_goes_back_to_the_last_that_succeeded_with_other_images() {
        let all = promotions();
        let names = |to: Option<&str>| {
            way_back(&all, to).map(|(from, to)| (from.name_any(), to.name_any()))
        };
        assert_eq!(
            names(None).unwrap(),
            ("production-3".into(), "production-2".into())
        );
        assert_eq!(names(Some("shop-1")).unwrap().1, "production-1");
        let told = names(Some("shop-3")).unwrap_err();
        assert!(told.starts_with("shop-3 has not succeeded there"), "{told}");
        let told = way_back(&all[..1], None).unwrap_err();
        assert!(told.starts_with("there is no other Release"), "{told}");
        assert!(way_back(&[], None).is_err());
    }

    /// Another promotion after these.
    fn more(all: &mut Vec<Promotion>, number: u32, kind: &str, status: serde_json::Value) {
        let mut more = all[1].clone();
        more.metadata.name = Some(format!("production-{number}"));
        more.spec.number = Some(number);
        more.spec.release = format!("shop-{number}");
        more.spec.kind = serde_json::from_value(kind.into()).unwrap();
        more.status = Some(serde_json::from_value(status).unwrap());
        all.push(more);
    }

    #[test]
    fn migrations_alone_are_no_promotions_and_a_contract_bars_the_way() {
        let mut all = promotions();
        let migrated =
            serde_json::json!({"phase": "Succeeded", "startedAt": "2026-11-26T11:00:00Z"});
        more(&mut all, 4, "Migrate", migrated);
        let (from, to) = way_back(&all, None).unwrap();
        assert_eq!(
            (from.name_any(), to.name_any()),
            ("production-3".into(), "production-2".into())
        );
        let lost = serde_json::json!({"phase": "Superseded", "reason": "StatusLost"});
        more(&mut all, 5, "Contract", lost);
        let told = way_back(&all, None).unwrap_err();
        assert!(told.starts_with("a contract has removed"), "{told}");
    }

    #[test]
    fn other_templates_of_the_same_images_are_a_way_back() {
        let mut all = promotions();
        all.truncate(2);
        all[1].spec.images = all[0].spec.images.clone();
        assert!(way_back(&all, None).is_err());
        for (one, id) in all.iter_mut().zip(["old", "new"]) {
            let template = serde_json::json!({"name": "api", "id": id});
            one.spec.templates = vec![serde_json::from_value(template).unwrap()];
        }
        assert_eq!(way_back(&all, None).unwrap().1.name_any(), "production-1");
    }
}
