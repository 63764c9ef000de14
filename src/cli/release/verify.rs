//! `release verify`: who has signed the images of a Release. Talks to the API server and to registries, and reads files.

mod verdict;

use std::path::{Path, PathBuf};

use crate::cli::cluster::{Place, Server};
use crate::cli::text::Palette;
use crate::cli::{Answer, Output};
use crate::cluster::fetch::Http;
use crate::cluster::fetch::egress::Egress;
use crate::environment::api::{Environment, RequireSigned, SignerIdentity};
use crate::model::signed::SignedQuestion;
use crate::pipeline_run::api::AttestationKind;
use crate::release::api::{Image, Release};
use crate::supply::finding::Found;
use crate::supply::trust::{Trust, Unusable};
use verdict::{Verdict, end, judge, page};

/// Of which Release, and by whose keys.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the Release.
    pub name: String,
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// File with a public key (PEM) whose signature counts; may be given several times.
    #[arg(long = "key", value_name = "FILE")]
    pub keys: Vec<PathBuf>,
    /// Identity whose signature counts, as certificates name it; may be given several times.
    #[arg(long = "identity", value_name = "SUBJECT", requires_all = ["issuer", "trusted_root"])]
    pub identities: Vec<String>,
    /// Who has said who these identities are: the issuer of their tokens.
    #[arg(long, value_name = "URL", requires = "identities")]
    pub issuer: Option<String>,
    /// File with the root of trust that certifies them: Sigstore's TrustedRoot, in JSON.
    #[arg(long, value_name = "FILE", requires = "identities")]
    pub trusted_root: Option<PathBuf>,
    /// Environment whose keys and identities count, and whose statements are wanted: its spec.protection.requireSigned.
    #[arg(long, value_name = "NAME", conflicts_with_all = ["keys", "identities", "statements"])]
    pub environment: Option<String>,
    /// What has to be signed: Signature, Provenance or SBOM; may be given several times. By default Signature.
    #[arg(long = "statement", value_name = "KIND", value_parser = statement)]
    pub statements: Vec<AttestationKind>,
    /// Only say what the Release has on record; ask no registry, and check nothing.
    #[arg(long, conflicts_with_all = ["keys", "identities", "environment", "statements"], required_unless_present_any = ["keys", "identities", "environment"])]
    pub recorded: bool,
    /// Docker's config.json with the login for the registry.
    #[arg(long, value_name = "FILE")]
    pub docker_config: Option<PathBuf>,
    /// Reach the registry over http. An Environment says so itself.
    #[arg(long, conflicts_with_all = ["environment", "recorded"])]
    pub insecure_registry: bool,
    /// How the answer is written.
    #[arg(short, long, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

fn statement(word: &str) -> Result<AttestationKind, String> {
    let mut all = AttestationKind::ALL.iter().copied();
    let found = all.find(|kind| kind.as_str().eq_ignore_ascii_case(word));
    found.ok_or_else(|| "there are Signature, Provenance and SBOM".to_owned())
}

/// Checks it.
pub(super) async fn run(args: &Args, palette: Palette) -> Result<Answer, String> {
    let server = Server::at(&args.place).await?;
    let release: Release = server.get(&args.name).await?;
    let rule = match rule(&server, args).await {
        Ok(rule) => rule,
        Err(answer) => return Ok(answer),
    };
    let login = args.docker_config.as_deref().map(read).transpose()?;
    let mut verdicts: Vec<Verdict> = Vec::new();
    for image in &release.spec.images {
        let found = match &rule {
            Some(rule) => Some(asked(rule, image, login.as_deref()).await),
            None => None,
        };
        let wanted = rule.as_ref().map_or(&[][..], RequireSigned::statements);
        verdicts.push(judge(image, &release.spec.evidence, wanted, found));
    }
    let document = args.output.document(&verdicts);
    Ok(Answer {
        text: document.unwrap_or_else(|| page(&args.name, &verdicts, palette)),
        end: end(&verdicts),
        ..Answer::default()
    })
}

/// Whose keys count, and what is wanted; nothing where only the record is asked for.
async fn rule(server: &Server, args: &Args) -> Result<Option<RequireSigned>, Answer> {
    if args.recorded {
        return Ok(None);
    }
    let invalid = |problem: String| Answer::invalid(vec![problem]);
    if let Some(name) = &args.environment {
        let environment: Environment = server.get(name).await.map_err(Answer::failed)?;
        let rule = environment.spec.protection.require_signed;
        let problem = || {
            format!(
                "Environment {name} asks for no signature: name keys with --key, or identities with --identity"
            )
        };
        return rule.map(Some).ok_or_else(|| invalid(problem()));
    }
    let mut keys = Vec::new();
    for file in &args.keys {
        let key = read(file).map_err(Answer::failed)?;
        usable(file, Trust::read(std::slice::from_ref(&key), None)).map_err(invalid)?;
        keys.push(key);
    }
    let identity = |subject: &String| SignerIdentity {
        issuer: args.issuer.clone().unwrap_or_default(),
        subject: Some(subject.clone()),
        subject_pattern: None,
    };
    let mut rule = RequireSigned {
        public_keys: keys,
        identities: args.identities.iter().map(identity).collect(),
        trusted_root: None,
        statements: args.statements.clone(),
        registry_secret_name: None,
        insecure_registry: Some(args.insecure_registry),
    };
    if let Some(file) = &args.trusted_root {
        rule.trusted_root = Some(read(file).map_err(Answer::failed)?);
        usable(file, Trust::read(&[], rule.certified().as_ref())).map_err(invalid)?;
    }
    Ok(Some(rule))
}

/// What is wrong with a file that a key or a root of trust was read from.
fn usable(file: &Path, trust: Result<Trust, Vec<Unusable>>) -> Result<(), String> {
    let unusable = trust.err().and_then(|all| all.into_iter().next());
    match unusable {
        None => Ok(()),
        Some(one) => Err(format!("{}: {}", file.display(), one.problem)),
    }
}

fn read(file: &Path) -> Result<String, String> {
    let text = std::fs::read_to_string(file);
    text.map_err(|error| format!("cannot read {}: {error}", file.display()))
}

/// What the registry has of an image that somebody who counts has signed.
async fn asked(rule: &RequireSigned, image: &Image, login: Option<&str>) -> Result<Found, String> {
    let question = SignedQuestion {
        repository: image.repository.clone(),
        digest: image.digest.clone(),
        is_insecure: rule.insecure_registry.unwrap_or(false),
        keys: rule.public_keys.clone(),
        certified: rule.certified(),
        login: None,
    };
    let http = Http::new(Egress::everywhere());
    Found::read(&http.signed(&question, login).await)
}
