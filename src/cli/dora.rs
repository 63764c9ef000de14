//! `dora`: how well deliveries go. Talks to the API server.

pub mod table;

use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;

use super::cluster::{Place, Server};
use super::text::Palette;
use super::{Answer, Output, in_runtime};
use crate::dora::Window;
use crate::dora::record::{self, Ledger, Line};
use crate::environment::api::{Environment, Tier};
use crate::environment::render::LEDGER;
use crate::model::label;
use table::{Subject, Summary};

/// Of which Environments, and over which time.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of an Environment; by default all of the tier.
    pub name: Option<String>,
    /// Those of all namespaces.
    #[arg(short = 'A', long, conflicts_with = "name")]
    pub all_namespaces: bool,
    /// Those of this tier: Production, Staging or Development.
    #[arg(long, default_value = "Production", value_parser = tier, conflicts_with = "name")]
    pub tier: Tier,
    /// The days up to now: 7d, 30d or 90d.
    #[arg(long, default_value = "30d", value_parser = window)]
    pub window: Window,
    /// Where they are.
    #[command(flatten)]
    pub place: Place,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

fn tier(text: &str) -> Result<Tier, String> {
    let mut all = Tier::ALL.iter().copied();
    let found = all.find(|tier| tier.as_str().eq_ignore_ascii_case(text));
    found.ok_or_else(|| "there are Production, Staging and Development".to_owned())
}

fn window(text: &str) -> Result<Window, String> {
    let mut all = Window::ALL.iter().copied();
    let found = all.find(|window| window.as_str() == text);
    found.ok_or_else(|| "there are 7d, 30d and 90d".to_owned())
}

/// Shows them.
pub fn run(args: &Args, palette: Palette) -> Answer {
    in_runtime(show(args, palette))
}

async fn show(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let which = match &args.name {
        Some(name) => Which::Named(name),
        None if args.all_namespaces => Which::Everywhere(args.tier),
        None => Which::Here(args.tier),
    };
    let summary = summary(&server, which, args.window).await?;
    let document = args.output.document(&summary);
    Ok(Answer {
        text: document.unwrap_or_else(|| table::show(&summary, palette)),
        ..Answer::default()
    })
}

/// Of which Environments.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Of this one.
    Named(&'a str),
    /// Of those of a tier in the namespace.
    Here(Tier),
    /// Of those of a tier in all namespaces.
    Everywhere(Tier),
}

/// Their figures, up to now.
///
/// # Errors
/// One clear sentence.
pub async fn summary(server: &Server, which: Which<'_>, window: Window) -> Result<Summary, String> {
    let pages = format!("{}={LEDGER}", label::COMPONENT);
    let of_tier = |mut all: Vec<Environment>, tier: Tier| {
        all.retain(|environment| environment.spec.tier == tier);
        all
    };
    let (mut environments, pages): (Vec<Environment>, Vec<ControllerRevision>) = match which {
        Which::Everywhere(tier) => {
            let all = of_tier(server.list_everywhere("").await?, tier);
            (all, server.list_everywhere(&pages).await?)
        }
        Which::Here(tier) => {
            let all = of_tier(server.list("").await?, tier);
            (all, server.list(&pages).await?)
        }
        Which::Named(name) => {
            let environment = server.get(name).await?;
            (vec![environment], server.list(&pages).await?)
        }
    };
    environments.sort_by_key(|one| (one.namespace(), one.name_any()));
    let all = environments.iter();
    let all: Vec<Subject> = all.map(|one| subject(one, &pages)).collect();
    Ok(Summary::of(&all, window, server.now()))
}

/// An Environment with what is written down of its promotions.
fn subject(environment: &Environment, pages: &[ControllerRevision]) -> Subject {
    let uid = environment.uid().unwrap_or_default();
    let is_of = |page: &&ControllerRevision| {
        let named = page.labels().get(label::ENVIRONMENT);
        let mut owners = page.owner_references().iter();
        page.namespace() == environment.namespace()
            && named.is_some_and(|named| *named == environment.name_any())
            && owners.all(|owner| owner.uid == uid)
    };
    let pages = pages.iter().filter(is_of);
    let lines = pages
        .filter_map(|page| record::read(&page.data.0))
        .flatten();
    let lines: Vec<Line> = lines.collect();
    Subject {
        namespace: environment.namespace().unwrap_or_default(),
        name: environment.name_any(),
        tier: environment.spec.tier,
        since: environment.creation_timestamp().map(|created| created.0),
        ledger: Ledger::of(&lines),
    }
}
