//! Looks in a registry for what was signed for an image. Talks to the network, and to the API server for the login.

use super::Http;
use super::egress::Egress;
use crate::cluster::Cluster;
use crate::model::action::Reply;
use crate::model::secret::SecretKey;
use crate::model::signed::SignedQuestion;
use crate::oci::RegistryError;
use crate::oci::client::Registry;
use crate::oci::login::Login;
use crate::oci::manifest::{ArtifactManifest, Descriptor, is_digest};
use crate::oci::repository::Repository;
use crate::supply::envelope::BUNDLE;
use crate::supply::finding::Found;
use crate::supply::trust::Trust;

/// Artifacts of one image that are looked at; who may push could put any number there.
const MAX_ARTIFACTS: usize = 100;
/// Largest of them that is read. Lists of what is in an image may be larger, and are not found then.
const MAX_BUNDLE: usize = 8 << 20;

impl Cluster {
    /// Answers a question for what was signed.
    pub(super) async fn signed(&self, question: &SignedQuestion) -> Result<Reply, String> {
        let config = self.login(question.login.as_ref()).await?;
        self.http.signed(question, config.as_deref()).await
    }

    /// A repository, and whether it is reached over http, with the login in a Secret of a namespace.
    pub(super) async fn registry(
        &self,
        place: (&str, bool),
        login: Option<&(String, SecretKey)>,
    ) -> Result<Registry, String> {
        let config = self.login(login).await?;
        self.http.registry(place, config.as_deref())
    }

    async fn login(&self, of: Option<&(String, SecretKey)>) -> Result<Option<String>, String> {
        match of {
            Some((namespace, secret)) => self.secret_value(namespace, secret).await.map(Some),
            None => Ok(None),
        }
    }
}

impl Http {
    /// Answers a question for what was signed, with the login in this `config.json`.
    ///
    /// # Errors
    /// Says in words for people why it is not known.
    pub async fn signed(
        &self,
        question: &SignedQuestion,
        config: Option<&str>,
    ) -> Result<Reply, String> {
        let registry = self.registry((&question.repository, question.is_insecure), config)?;
        Ok(found(&registry, question).await?.reply())
    }

    /// A repository, and whether it is reached over http, with the login in this `config.json`. It is reached only where metrics
    /// and the like may come from.
    fn registry(
        &self,
        (name, is_insecure): (&str, bool),
        config: Option<&str>,
    ) -> Result<Registry, String> {
        let repository = Repository::parse(name, is_insecure);
        let repository = repository.ok_or_else(|| format!("{name} is no repository"))?;
        let login = match config {
            Some(config) => Login::find(config, &repository)?,
            None => None,
        };
        self.egress.check(&repository.url(""))?;
        let egress = self.egress.clone();
        let registry = Registry::new(self.registries.clone(), repository, login);
        let may_go = move |url: &reqwest::Url| Egress::check(&egress, url.as_str());
        // Who asks is asked again anyway.
        Ok(registry.once().guarded(Box::new(may_go)))
    }
}

async fn found(registry: &Registry, question: &SignedQuestion) -> Result<Found, String> {
    let said = |error: RegistryError| error.message;
    let trust = Trust::read(&question.keys, question.certified.as_ref()).map_err(|unusable| {
        let unusable = unusable.into_iter().next();
        unusable.map_or_else(String::new, |one| format!("{}: {}", one.field, one.problem))
    })?;
    let mut artifacts = registry.referrers(&question.digest).await.map_err(said)?;
    artifacts.retain(|artifact| is_digest(&artifact.digest));
    // Not every registry says of what type they are.
    artifacts.sort_by_key(|artifact| artifact.artifact_type.as_deref() != Some(BUNDLE));
    let mut found = Found::default();
    for artifact in artifacts.iter().take(MAX_ARTIFACTS) {
        let Some(manifest) = registry.manifest(&artifact.digest).await.map_err(said)? else {
            continue;
        };
        let manifest: Option<ArtifactManifest> = serde_json::from_slice(&manifest.bytes).ok();
        let layers = manifest.map(|manifest| manifest.layers).unwrap_or_default();
        let Some(file) = layers.first().filter(|file| is_bundle(file)) else {
            continue;
        };
        let bundle = registry
            .blob(&file.digest, MAX_BUNDLE)
            .await
            .map_err(said)?;
        found.add(&bundle, &trust, &question.digest, &artifact.digest);
    }
    Ok(found)
}

fn is_bundle(file: &Descriptor) -> bool {
    let is_small = usize::try_from(file.size).is_ok_and(|size| size <= MAX_BUNDLE);
    file.media_type == BUNDLE && is_digest(&file.digest) && is_small
}
