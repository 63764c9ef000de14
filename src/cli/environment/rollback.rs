//! `env rollback`: makes a Decision to go back, and says where to. Talks to the API server.

use kube::ResourceExt;

use super::list::promotions;
use crate::cli::Answer;
use crate::cli::cluster::{Place, Server};
use crate::cli::decide::{self, Made, about, decide};
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
}

/// Makes the Decision.
pub(super) async fn run(args: &Args) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let environment: Environment = server.get(&args.name).await?;
    let name = environment.name_any();
    let promotions = promotions(&server, &name).await?;
    let (from, to) = way_back(&promotions, args.to.as_deref())?;
    let way = format!(
        "from {} (Promotion {}) to {} (Promotion {})",
        from.spec.release,
        from.name_any(),
        to.spec.release,
        to.name_any()
    );
    let spec = DecisionSpec {
        release: args.to.clone(),
        ..about(TargetKind::Environment, &name, DecisionAction::Rollback)
    };
    let text = match decide(&server, &args.decide, spec).await? {
        Made::Nothing(_) => format!("{name} would go back {way}\n"),
        Made::Decision(decision) => format!("{name} goes back {way}, by Decision {decision}\n"),
    };
    Ok(Answer::well(text))
}

/// What an Environment goes back from, and what to: the operator decides alike.
fn way_back<'a>(
    promotions: &'a [Promotion],
    to: Option<&str>,
) -> Result<(&'a Promotion, &'a Promotion), String> {
    let status = |promotion: &Promotion| promotion.status.clone().unwrap_or_default();
    let from = promotions
        .iter()
        .rposition(|promotion| status(promotion).started_at.is_some());
    let from = from.ok_or("nothing was ever promoted there")?;
    let (earlier, rest) = promotions.split_at(from);
    let running = rest.first().ok_or("nothing was ever promoted there")?;
    let is_good = |promotion: &&Promotion| {
        status(promotion).phase == Some(PromotionPhase::Succeeded)
            && promotion.spec.images != running.spec.images
    };
    let found = match to {
        None => earlier
            .iter()
            .filter(|promotion| promotion.spec.pipeline == running.spec.pipeline)
            .rfind(is_good),
        Some(release) => promotions
            .iter()
            .filter(|promotion| promotion.spec.release == release)
            .rfind(is_good),
    };
    let found = found.ok_or_else(|| match to {
        None => "there is no other Release that succeeded there to go back to".to_owned(),
        Some(release) => {
            format!("{release} has not succeeded there, or is what runs: look at env history")
        }
    })?;
    Ok((running, found))
}

#[cfg(test)]
mod tests {
    use super::super::testing::promotions;
    use super::*;

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
}
