//! `doctor`: what is missing, and how to mend it. Talks to the API server, and to registries.

mod verdict;

use std::collections::BTreeSet;

use futures::StreamExt;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::authorization::v1::{SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;

use super::cluster::{Place, Server};
use super::right::{attributes, may};
use super::text::Palette;
use super::version::{self, Home};
use super::{Answer, Output};
use crate::cluster::fetch::Http;
use crate::cluster::fetch::egress::Egress;
use crate::crd;
use crate::environment::api::Environment;
use crate::kinds::{GROUP, KINDS};
use crate::model::signed::SignedQuestion;
use crate::permission::{Extra, needed};
use crate::release::api::{Image, Release};
use crate::rollout::api::Rollout;
use verdict::{Facts, Operator, Right, end, lines, page};

/// Questions that are under way at the same time.
const AT_ONCE: usize = 8;
/// Registries that are asked.
const REGISTRIES: usize = 3;
/// What people do, as verbs on resources of ours.
const RIGHTS: [(&str, &str); 6] = [
    ("get", "rollouts"),
    ("list", "environments"),
    ("list", "pipelineruns"),
    ("create", "pipelineruns"),
    ("create", "decisions"),
    ("promote", "rollouts"),
];

/// Where to look.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where the cluster is, and which namespace is yours.
    #[command(flatten)]
    pub place: Place,
    /// Where the operator is.
    #[command(flatten)]
    pub home: Home,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// Looks, and says what it found.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let found = lines(&facts(&server, &args.home).await?);
    let document = args.output.document(&found);
    Ok(Answer {
        text: document.unwrap_or_else(|| page(&found, palette)),
        end: end(&found),
        ..Answer::default()
    })
}

/// Everything that is looked at. Where the API server does not answer at all there is nothing else to say.
async fn facts(server: &Server, home: &Home) -> Result<Facts, String> {
    let cluster = server.version().await?;
    let wanted = KINDS.iter().filter_map(|info| {
        let schema = crd::schema_of(info).ok()?;
        Some((format!("{}.{GROUP}", info.plural), schema))
    });
    let operators = home.operators(server).await;
    let account = operators.as_ref().ok().and_then(|all| all.first());
    let account = account.and_then(|operator| {
        let pods = operator.spec.template.spec.as_ref()?;
        pods.service_account_name.clone()
    });
    let environments: Vec<Environment> = server.list("").await.unwrap_or_default();
    let rollouts: Vec<Rollout> = server.list("").await.unwrap_or_default();
    let releases: Vec<Release> = server.list("").await.unwrap_or_default();
    let policies =
        server.list_everywhere::<ValidatingAdmissionPolicy>("app.kubernetes.io/part-of=slipway");
    let policies = policies.await;
    Ok(Facts {
        now: server.now(),
        namespace: server.namespace().to_owned(),
        home: home.operator_namespace.clone(),
        cluster,
        plugin: env!("CARGO_PKG_VERSION"),
        wanted: wanted.collect(),
        definitions: server.list_everywhere::<CustomResourceDefinition>("").await,
        operators: operators.map(|all| all.iter().map(operator).collect()),
        leases: server.list_in::<Lease>(&home.operator_namespace, "").await,
        rights: rights(server).await,
        operator_rights: match account {
            Some(account) => operator_rights(server, &home.operator_namespace, &account).await,
            None => Vec::new(),
        },
        policies: policies.map(|all| all.iter().map(ResourceExt::name_any).collect()),
        groups: server.groups().await,
        registries: registries(&releases).await,
        environments,
        rollouts,
    })
}

fn operator(of: &k8s_openapi::api::apps::v1::Deployment) -> Operator {
    let status = of.status.as_ref();
    Operator {
        name: of.name_any(),
        version: version::of(of).map(str::to_owned),
        ready: status.and_then(|status| status.ready_replicas).unwrap_or(0),
        wanted: of.spec.replicas.unwrap_or(1),
    }
}

/// What whoever runs this may do.
async fn rights(server: &Server) -> Vec<Right> {
    let ask = |(verb, resource): (&'static str, &'static str)| async move {
        let of = attributes(server.namespace(), (verb, GROUP, resource));
        Right {
            what: format!("{verb} {resource}"),
            is_given: may(server, of).await,
        }
    };
    futures::stream::iter(RIGHTS)
        .map(ask)
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// What the operator may do that it has to.
async fn operator_rights(server: &Server, home: &str, account: &str) -> Vec<Right> {
    let user = format!("system:serviceaccount:{home}:{account}");
    let all = needed(Extra::default()).flat_map(|(kind, subresource, verbs)| {
        verbs.iter().map(|verb| (*kind, *subresource, *verb))
    });
    let all: Vec<_> = all.collect();
    let ask = |(kind, subresource, verb): (
        crate::model::object::ObjectKind,
        &'static str,
        &'static str,
    )| {
        let mut of = attributes(server.namespace(), (verb, kind.group(), kind.plural()));
        of.subresource = (!subresource.is_empty()).then(|| subresource.to_owned());
        let slash = if subresource.is_empty() { "" } else { "/" };
        let what = format!("{verb} {}{slash}{subresource}", kind.plural());
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                resource_attributes: Some(of),
                user: Some(user.clone()),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        async move {
            let answer = server.review(&review).await;
            Right {
                what,
                is_given: answer.map(|answer| answer.status.is_some_and(|status| status.allowed)),
            }
        }
    };
    futures::stream::iter(all)
        .map(ask)
        .buffered(AT_ONCE)
        .collect()
        .await
}

/// Whether registries that Releases are in answer.
async fn registries(releases: &[Release]) -> Vec<(String, Result<(), String>)> {
    let mut seen = BTreeSet::new();
    let images = releases.iter().flat_map(|release| &release.spec.images);
    let host = |image: &Image| {
        image
            .repository
            .split('/')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let one_each: Vec<&Image> = images.filter(|image| seen.insert(host(image))).collect();
    let http = Http::new(Egress::everywhere());
    let mut answers = Vec::new();
    for image in one_each.into_iter().take(REGISTRIES) {
        let question = SignedQuestion {
            repository: image.repository.clone(),
            digest: image.digest.clone(),
            ..SignedQuestion::default()
        };
        let answer = http.signed(&question, None).await;
        answers.push((host(image), answer.map(|_| ())));
    }
    answers
}
