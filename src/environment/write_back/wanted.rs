//! What files are to say, as a change of a repository. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde_json::json;

use super::super::api::{
    Deployed, HelmKeys, HelmValuesFile, KustomizeFile, WriteBack, WriteBackFile, WriteBackMode,
    WriteBackState, WriteBackStatus,
};
use super::super::observed::Observed;
use crate::git::refs;
use crate::model::action::Request;
use crate::model::change::{Change, Edit, FileEdit, ImageEdit, Person, ValueEdit};
use crate::model::key::short_hash;
use crate::model::text::truncate;
use crate::oci::manifest::MAX_TAG;
use crate::provider::{KeptPull, Provider};
use crate::release::api::ImageRef;

/// How long is waited for one answer.
const TIMEOUT: Duration = Duration::from_secs(20);
/// What stands for the name of a cluster that has none.
const NO_NAME: &str = "cluster";

/// What is to be written, and because of what.
pub(super) struct Wanted<'a> {
    spec: &'a WriteBack,
    files: Vec<FileEdit>,
    newest: &'a Deployed,
    /// Hash of what is to be written, and where.
    pub(super) content: String,
}

impl<'a> Wanted<'a> {
    /// Nothing where nothing runs that is to be written.
    pub(super) fn of(seen: &'a Observed, current: &'a [Deployed]) -> Option<Self> {
        let spec = seen.spec.write_back.as_ref()?;
        let newest = current.iter().max_by_key(|deployed| deployed.since.0)?;
        let files = spec.files();
        let edits = files.iter().filter_map(|file| edit(file, current));
        let files: Vec<FileEdit> = edits.filter(|file| !file.edit.is_empty()).collect();
        let first = files.first()?;
        // What words commits have, and who makes them, calls for no new one.
        let mut place = json!({
            "edit": first.edit, "url": spec.repository.url, "branch": spec.repository.branch(), "path": first.path,
            "mode": spec.mode(), "own": spec.pull_request_branch,
        });
        if let (Some(fields), [_, others @ ..]) = (place.as_object_mut(), files.as_slice())
            && !others.is_empty()
        {
            fields.insert("others".to_owned(), json!(others));
        }
        if let (Some(fields), Some(name), WriteBackMode::PullRequest) =
            (place.as_object_mut(), &seen.cluster_name, spec.mode())
        {
            fields.insert("cluster".to_owned(), json!(name));
        }
        let content = short_hash(place.to_string().as_bytes(), 32);
        Some(Self {
            spec,
            files,
            newest,
            content,
        })
    }

    /// Where it begins: what Git said before stays on record.
    pub(super) fn begun(
        &self,
        before: Option<&WriteBackStatus>,
        now: Timestamp,
    ) -> WriteBackStatus {
        WriteBackStatus {
            state: WriteBackState::Pending,
            content: self.content.clone(),
            release: self.newest.release.clone(),
            promotion: self.newest.promotion.clone(),
            since: Time(now),
            commit: before.and_then(|before| before.commit.clone()),
            url: before.and_then(|before| before.url.clone()),
            pull_request: before.and_then(|before| before.pull_request.clone()),
            written_at: before.and_then(|before| before.written_at.clone()),
            attempts: None,
            next_at: None,
            reason: None,
            message: None,
        }
    }

    /// The change. Where a pull request asks for it already, none is made: people may have closed it.
    pub(super) fn change(
        &self,
        seen: &Observed,
        ca_bundle: Option<&str>,
        is_proposed: bool,
    ) -> Change {
        let ca_bundle = ca_bundle.map(str::to_owned);
        let spec = self.spec;
        let source = spec.repository.source();
        let namespace = &seen.key.namespace;
        let url = source.url.trim_end_matches('/').to_owned();
        let bare = Request::get(url, TIMEOUT);
        let title = self.title(seen);
        let cluster = seen.cluster_name.as_ref();
        let origin = cluster.map_or_else(String::new, |name| format!("{name}/"));
        let marker = format!("Slipway-Environment: {origin}{}", seen.key);
        let pull = self.provider(seen, ca_bundle.clone()).map(|provider| {
            let branch = spec.pull_request_branch.as_deref();
            let branch = branch.unwrap_or(match cluster {
                None => "slipway/{{namespace}}/{{environment}}",
                Some(_) => "slipway/{{cluster}}/{{namespace}}/{{environment}}",
            });
            let mut pull = provider.keep_pull(&KeptPull {
                branch: &self.filled(branch, seen),
                base: spec.repository.branch(),
                title: &title,
                body: &self.body(seen),
            });
            pull.make = pull.make.filter(|_| !is_proposed);
            pull
        });
        let author = spec.author.as_ref();
        Change {
            repository: refs::to_repository(bare, &source, namespace, ca_bundle),
            branch: spec.repository.branch().to_owned(),
            files: self.files.clone(),
            author: Person {
                name: author.map_or("Slipway", |by| by.name.as_str()).to_owned(),
                email: author
                    .map_or("slipway@localhost", |by| by.email.as_str())
                    .to_owned(),
            },
            at: self.newest.since.0.as_second(),
            message: format!("{title}\n\n{}{marker}\n", self.trailers()),
            marker,
            known: seen
                .status
                .write_back
                .as_ref()
                .and_then(|known| known.commit.clone()),
            pull,
        }
    }

    /// Who has the pull request, where there is to be one.
    fn provider(&self, seen: &Observed, ca_bundle: Option<String>) -> Option<Provider> {
        let source = self.spec.repository.source();
        let has_one = self.spec.mode() == WriteBackMode::PullRequest;
        Provider::of(&source, &seen.key.namespace, ca_bundle).filter(|_| has_one)
    }

    /// Whether nobody has the pull request that there is to be.
    pub(super) fn lacks_provider(&self, seen: &Observed) -> bool {
        let has_none = self.provider(seen, None).is_none();
        self.spec.mode() == WriteBackMode::PullRequest && has_none
    }

    fn title(&self, seen: &Observed) -> String {
        let template = match (&self.spec.title, self.spec.mode()) {
            (Some(own), _) => own.as_str(),
            // A Pipeline of the same repository is not to build what it has just released.
            (None, WriteBackMode::Commit) => "{{environment}} runs {{release}} [skip ci]",
            (None, WriteBackMode::PullRequest) => "{{environment}} runs {{release}}",
        };
        self.filled(template, seen)
    }

    fn filled(&self, template: &str, seen: &Observed) -> String {
        template
            .replace("{{release}}", &self.newest.release)
            .replace(
                "{{cluster}}",
                seen.cluster_name.as_deref().unwrap_or(NO_NAME),
            )
            .replace("{{environment}}", &seen.key.name)
            .replace("{{namespace}}", &seen.key.namespace)
    }

    /// What programs read of a commit.
    fn trailers(&self) -> String {
        let Deployed {
            release,
            promotion,
            images,
            ..
        } = self.newest;
        let mut text = format!("Slipway-Release: {release}\nSlipway-Promotion: {promotion}\n");
        for image in images {
            let (_, digest) = split(image);
            let _ = writeln!(text, "Slipway-Digest: {} {digest}", image.name);
        }
        text
    }

    /// What people read of a pull request.
    fn body(&self, seen: &Observed) -> String {
        let Deployed {
            release,
            promotion,
            images,
            ..
        } = self.newest;
        let environment = &seen.key.name;
        let mut text = format!(
            "`{release}` runs in `{environment}` (Promotion `{promotion}`). This brings Git in step; what runs does not wait for it.\n\n"
        );
        for image in images {
            let _ = writeln!(text, "- `{}`: `{}`", image.name, image.reference);
        }
        text.trim_end().to_owned()
    }
}

/// What one file is to say.
fn edit(file: &WriteBackFile, current: &[Deployed]) -> Option<FileEdit> {
    let (path, edit) = match (&file.kustomize, &file.helm_values) {
        (Some(file), _) => (&file.path, kustomize(file, current)),
        (None, Some(file)) => (&file.path, values(file, current)),
        (None, None) => return None,
    };
    Some(FileEdit {
        path: path.clone(),
        edit,
    })
}

/// Repository and digest of an image.
fn split(image: &ImageRef) -> (&str, &str) {
    let parts = image.reference.split_once('@');
    parts.unwrap_or((&image.reference, ""))
}

/// All images that run, each with what it came with; of two of one name the first counts.
fn images(current: &[Deployed]) -> impl Iterator<Item = (&Deployed, &ImageRef)> {
    let all = current
        .iter()
        .flat_map(|deployed| deployed.images.iter().map(move |image| (deployed, image)));
    let mut seen: Vec<&str> = Vec::new();
    all.filter(move |(_, image)| {
        let is_new = !seen.contains(&image.name.as_str());
        seen.push(&image.name);
        is_new
    })
}

fn kustomize(file: &KustomizeFile, current: &[Deployed]) -> Edit {
    let edits = images(current).map(|(_, image)| {
        let (repository, digest) = split(image);
        ImageEdit {
            name: file.images.get(&image.name).unwrap_or(&image.name).clone(),
            new_name: repository.to_owned(),
            digest: digest.to_owned(),
        }
    });
    Edit::Kustomize(edits.collect())
}

fn values(file: &HelmValuesFile, current: &[Deployed]) -> Edit {
    let mut edits = Vec::new();
    for (deployed, image) in images(current) {
        let Some(keys) = file.keys.get(&image.name) else {
            continue;
        };
        let HelmKeys {
            repository,
            digest,
            tag,
            image: whole,
        } = keys;
        let (own_repository, own_digest) = split(image);
        let own_tag = truncate(&deployed.release, MAX_TAG);
        for (key, value) in [
            (repository, own_repository.to_owned()),
            (digest, own_digest.to_owned()),
            (tag, format!("{own_tag}@{own_digest}")),
            (whole, image.reference.clone()),
        ] {
            edits.extend(key.clone().map(|key| ValueEdit { key, value }));
        }
    }
    Edit::Values(edits)
}
