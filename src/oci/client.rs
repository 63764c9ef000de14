//! Asks one repository of a registry, and puts things there. Talks to the network.
//!
//! What may work the next time (no connection, 429, 5xx) is tried again here, a few times and for some seconds. Nothing that a
//! registry answers is believed without its digest, and nothing is read without a limit.

pub mod file;

use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderName, LOCATION};
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;

use super::login::Login;
use super::manifest::{
    self, Artifact, Descriptor, EMPTY_CONFIG, INDEX, Index, MANIFEST, MAX_REFERRERS, digest_of,
};
use super::repository::Repository;
use super::wire::{Answer, Guard, MAX_TOKEN, Problem, RegistryError, Result, Wire};
use crate::retry;

/// Where registries say which digest something has.
static DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
/// Largest manifest or index that is read: that of the specification.
const MAX_MANIFEST: usize = 4 << 20;
/// What content is while it is on its way.
const CONTENT: &str = "application/octet-stream";
/// How long is waited before the next try.
const PAUSES: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(10),
];
/// How often the list of what refers to an image is written until ours is in it.
const LIST_TRIES: u32 = 5;
/// How long somebody else who has read the list may take to write it.
const SETTLES: Duration = Duration::from_millis(500);
/// Pages of a list that are read.
const MAX_PAGES: u32 = 20;

/// A manifest as it lies there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// What it is.
    pub media_type: String,
    /// Its digest, as computed here.
    pub digest: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Manifest {
    /// The descriptor that names it.
    pub fn descriptor(&self) -> Descriptor {
        Descriptor::of(&self.media_type, &self.bytes)
    }
}

/// A repository of a registry, and what lets us in.
pub struct Registry {
    wire: Wire,
    pauses: &'static [Duration],
}

impl Registry {
    /// A repository, reached by a client that knows which certificates to trust and where it may go.
    pub fn new(http: Client, repository: Repository, login: Option<Login>) -> Self {
        Self {
            wire: Wire::new(http, repository, login),
            pauses: &PAUSES,
        }
    }

    /// The same, which tries only once: for those who are asked again anyway.
    #[must_use]
    pub fn once(self) -> Self {
        Self {
            pauses: &[],
            ..self
        }
    }

    /// The same, which goes only to URLs that are let through, whatever the registry says about where tokens come from.
    #[must_use]
    pub fn guarded(mut self, may_go: Guard) -> Self {
        self.wire.may_go = Some(may_go);
        self
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.wire.repository
    }

    /// The tags of the repository, at most some thousands; none where there is no such repository.
    pub async fn tags(&self) -> Result<Vec<String>> {
        let (tags, _) = self.tried(|| self.read_tags().boxed()).await?;
        Ok(tags)
    }

    /// All tags of the repository; nothing where there are more than `most`, or more than the registry lists.
    pub async fn all_tags(&self, most: usize) -> Result<Option<Vec<String>>> {
        let (tags, is_whole) = self.tried(|| self.read_tags().boxed()).await?;
        Ok((is_whole && tags.len() <= most).then_some(tags))
    }

    /// The manifest of a tag or digest; nothing where there is none.
    pub async fn manifest(&self, reference: &str) -> Result<Option<Manifest>> {
        self.tried(|| self.read_manifest(reference).boxed()).await
    }

    /// The digest that a tag names, as the registry says; nothing where there is none.
    pub async fn digest(&self, tag: &str) -> Result<Option<String>> {
        let named = self.named(tag).await?;
        Ok(named.map(|named| named.digest))
    }

    /// What a tag or digest names, as the registry says: its digest, and of what type it is where that is told; nothing where there
    /// is none.
    pub async fn named(&self, reference: &str) -> Result<Option<Descriptor>> {
        self.tried(|| self.read_name(reference).boxed()).await
    }

    /// Deletes what a digest names, and with it every tag that names it. Tells whether there was anything.
    pub async fn delete(&self, digest: &str) -> Result<bool> {
        self.tried(|| self.remove(digest).boxed()).await
    }

    /// Puts a manifest under a tag or its digest. Tells whether the registry has listed it with its subject.
    pub async fn put_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool> {
        self.tried(|| self.write_manifest(reference, media_type, bytes).boxed())
            .await
    }

    /// The content of a digest, if it is not longer than `limit` bytes.
    pub async fn blob(&self, digest: &str, limit: usize) -> Result<Vec<u8>> {
        self.tried(|| self.download(digest, limit).boxed()).await
    }

    /// Puts content there, unless it is there already.
    pub async fn put_blob(&self, media_type: &str, bytes: &[u8]) -> Result<Descriptor> {
        let descriptor = Descriptor::of(media_type, bytes);
        self.tried(|| self.upload(&descriptor.digest, bytes).boxed())
            .await?;
        Ok(descriptor)
    }

    /// What refers to a digest: by the referrers API, or by the tag that stands for it where there is none.
    pub async fn referrers(&self, digest: &str) -> Result<Vec<Descriptor>> {
        if let Some(found) = self.tried(|| self.listed(digest).boxed()).await? {
            return Ok(found);
        }
        let mut found = self.list(digest).await?.manifests;
        found.truncate(MAX_REFERRERS);
        Ok(found)
    }

    /// Puts an artifact there; with a subject, so that it is found among what refers to it.
    pub async fn put_artifact(&self, artifact: &Artifact) -> Result<Descriptor> {
        self.put_blob(&artifact.media_type, &artifact.content)
            .await?;
        let manifest = (artifact.artifact_type.as_str(), artifact.manifest());
        let (named, is_listed) = self.put_files(manifest).await?;
        let descriptor = Descriptor {
            annotations: artifact.annotations.clone(),
            ..named
        };
        if let Some(subject) = artifact.subject.as_ref().filter(|_| !is_listed) {
            // Not every registry that lists it says so.
            let found = self
                .tried(|| self.listed(&subject.digest).boxed())
                .await?
                .unwrap_or_default();
            if !found.iter().any(|known| known.digest == descriptor.digest) {
                self.add_to_list(&subject.digest, &descriptor).await?;
            }
        }
        Ok(descriptor)
    }

    /// Puts the manifest of an artifact there whose files are there, by what kind of artifact it is. What names it; and whether the registry
    /// says that it lists it with its subject.
    pub async fn put_files(
        &self,
        (type_, manifest): (&str, Vec<u8>),
    ) -> Result<(Descriptor, bool)> {
        self.put_blob(CONTENT, EMPTY_CONFIG).await?;
        let descriptor = Descriptor {
            artifact_type: Some(type_.to_owned()),
            ..Descriptor::of(MANIFEST, &manifest)
        };
        let is_listed = self
            .put_manifest(&descriptor.digest, MANIFEST, &manifest)
            .await?;
        Ok((descriptor, is_listed))
    }

    /// Adds to the list of a registry without the referrers API. Others may write it at the same time, and the registry takes
    /// whoever comes last: so it is looked at again when they have had the time to, until ours is in it.
    async fn add_to_list(&self, subject: &str, descriptor: &Descriptor) -> Result<()> {
        let tag = manifest::referrers_tag(subject);
        for _ in 0..LIST_TRIES {
            let mut index = self.list(subject).await?;
            if !index.add(descriptor.clone()) {
                return Ok(());
            }
            let bytes = serde_json::to_vec(&index).unwrap_or_default();
            self.put_manifest(&tag, INDEX, &bytes).await?;
            #[expect(
                clippy::disallowed_methods,
                reason = "a registry tells nobody that somebody else has written"
            )]
            tokio::time::sleep(SETTLES).await;
        }
        let message = format!(
            "others write tag {tag} of {} at the same time, again and again",
            self.wire.repository.name()
        );
        Err(RegistryError::new(Problem::Server, message))
    }

    /// The list that stands for the referrers API.
    async fn list(&self, subject: &str) -> Result<Index> {
        let Some(found) = self.manifest(&manifest::referrers_tag(subject)).await? else {
            return Ok(Index::default());
        };
        self.wire.parse(&found.bytes)
    }

    /// What the referrers API says; nothing where there is none.
    async fn listed(&self, digest: &str) -> Result<Option<Vec<Descriptor>>> {
        let mut url = self.wire.repository.url(&format!("referrers/{digest}"));
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let request = self.wire.request(Method::GET, &url)?.header(ACCEPT, INDEX);
            let answer = self.wire.send(request, MAX_MANIFEST).await?;
            let type_ = answer.field(&CONTENT_TYPE).unwrap_or_default();
            let is_index = type_.starts_with(INDEX);
            let is_missing = matches!(
                answer.status,
                StatusCode::BAD_REQUEST
                    | StatusCode::NOT_FOUND
                    | StatusCode::METHOD_NOT_ALLOWED
                    | StatusCode::NOT_ACCEPTABLE
            );
            if page == 0 && (is_missing || (answer.status.is_success() && !is_index)) {
                return Ok(None);
            }
            let answer = self.wire.expect_success("the referrers", answer)?;
            let index: Index = self.wire.parse(&answer.body)?;
            found.extend(index.manifests);
            match answer.next_page() {
                Some(next) if found.len() < MAX_REFERRERS => url = next.into(),
                _ => break,
            }
        }
        found.truncate(MAX_REFERRERS);
        Ok(Some(found))
    }

    /// The tags, and whether these are all.
    async fn read_tags(&self) -> Result<(Vec<String>, bool)> {
        #[derive(Deserialize)]
        struct Tags {
            tags: Option<Vec<String>>,
        }
        let mut url = self.wire.repository.url("tags/list?n=1000");
        let mut found = Vec::new();
        for page in 0..MAX_PAGES {
            let request = self.wire.request(Method::GET, &url)?;
            let answer = self.wire.send(request, MAX_MANIFEST).await?;
            if answer.status == StatusCode::NOT_FOUND {
                return Ok((found, page == 0));
            }
            let answer = self.wire.expect_success("the tags", answer)?;
            let tags: Tags = self.wire.parse(&answer.body)?;
            found.extend(tags.tags.unwrap_or_default());
            match answer.next_page() {
                Some(next) => url = next.into(),
                None => return Ok((found, true)),
            }
        }
        Ok((found, false))
    }

    async fn read_manifest(&self, reference: &str) -> Result<Option<Manifest>> {
        let url = self.wire.repository.url(&format!("manifests/{reference}"));
        let request = self.wire.request(Method::GET, &url)?;
        let request = request.header(ACCEPT, manifest::accepted());
        let answer = self.wire.send(request, MAX_MANIFEST).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer = self.wire.expect_success("a manifest", answer)?;
        if manifest::is_digest(reference) {
            self.check(reference, &digest_of(&answer.body))?;
        }
        Ok(Some(Manifest {
            media_type: type_of(&answer),
            digest: digest_of(&answer.body),
            bytes: answer.body,
        }))
    }

    async fn read_name(&self, reference: &str) -> Result<Option<Descriptor>> {
        let url = self.wire.repository.url(&format!("manifests/{reference}"));
        let request = self.wire.request(Method::HEAD, &url)?;
        let request = request.header(ACCEPT, manifest::accepted());
        let answer = self.wire.send(request, MAX_TOKEN).await?;
        let digest = answer.field(&DIGEST);
        let digest = digest.filter(|digest| manifest::is_digest(digest));
        if let Some(digest) = digest.filter(|_| answer.status.is_success()) {
            return Ok(Some(Descriptor {
                media_type: type_of(&answer),
                digest: digest.to_owned(),
                ..Descriptor::default()
            }));
        }
        // Not every registry says so without the manifest.
        let found = self.read_manifest(reference).await?;
        Ok(found.map(|found| found.descriptor()))
    }

    async fn remove(&self, digest: &str) -> Result<bool> {
        let url = self.wire.repository.url(&format!("manifests/{digest}"));
        let request = self.wire.request(Method::DELETE, &url)?;
        let answer = self.wire.send(request, MAX_TOKEN).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        self.wire
            .expect_success("the deletion of a manifest", answer)?;
        Ok(true)
    }

    async fn write_manifest(
        &self,
        reference: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<bool> {
        let url = self.wire.repository.url(&format!("manifests/{reference}"));
        let request = self.wire.request(Method::PUT, &url)?;
        let request = request.header(CONTENT_TYPE, media_type);
        let answer = self
            .wire
            .send(request.body(bytes.to_vec()), MAX_TOKEN)
            .await?;
        let answer = self.wire.expect_success("a manifest", answer)?;
        Ok(answer.headers.contains_key("oci-subject"))
    }

    async fn download(&self, digest: &str, limit: usize) -> Result<Vec<u8>> {
        let url = self.wire.repository.url(&format!("blobs/{digest}"));
        let request = self.wire.request(Method::GET, &url)?;
        let answer = self.wire.send(request, limit).await?;
        let body = self.wire.expect_success("content", answer)?.body;
        self.check(digest, &digest_of(&body))?;
        Ok(body)
    }

    async fn upload(&self, digest: &str, bytes: &[u8]) -> Result<()> {
        let Some(place) = self.place_for(digest).await? else {
            return Ok(());
        };
        let request = self.wire.request(Method::PUT, place.as_str())?;
        let request = request.header(CONTENT_TYPE, CONTENT);
        let done = self
            .wire
            .send(request.body(bytes.to_vec()), MAX_TOKEN)
            .await?;
        self.wire.expect_success("the content", done).map(drop)
    }

    /// Where content is to be put; nothing where it is there already.
    async fn place_for(&self, digest: &str) -> Result<Option<Url>> {
        let url = self.wire.repository.url(&format!("blobs/{digest}"));
        let known = self
            .wire
            .send(self.wire.request(Method::HEAD, &url)?, MAX_TOKEN)
            .await?;
        if known.status.is_success() {
            return Ok(None);
        }
        let url = self.wire.repository.url("blobs/uploads/");
        let begun = self
            .wire
            .send(self.wire.request(Method::POST, &url)?, MAX_TOKEN)
            .await?;
        let begun = self.wire.expect_success("an upload", begun)?;
        let place = begun
            .field(&LOCATION)
            .and_then(|place| begun.url.join(place).ok());
        let Some(mut place) = place else {
            return Err(self.wire.protocol("does not say where to put the content"));
        };
        place.query_pairs_mut().append_pair("digest", digest);
        Ok(Some(place))
    }

    fn check(&self, wanted: &str, found: &str) -> Result<()> {
        if found == wanted {
            return Ok(());
        }
        Err(self
            .wire
            .protocol(&format!("answers with something else than {wanted}")))
    }

    /// Tries until it works, or will not.
    async fn tried<'a, T>(&self, ask: impl Fn() -> BoxFuture<'a, Result<T>>) -> Result<T> {
        retry::tried(self.pauses, |error, _, _| error.is_transient(), ask).await
    }
}

/// The media type of an answer, without what follows it.
fn type_of(answer: &Answer) -> String {
    let type_ = answer.field(&CONTENT_TYPE).unwrap_or_default();
    let type_ = type_.split(';').next().unwrap_or_default();
    type_.trim().to_owned()
}
