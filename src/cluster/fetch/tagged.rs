//! Asks a registry which digest a tag names, or has it name another one. Talks to the network, and to the API server for the login.

use crate::cluster::Cluster;
use crate::model::action::Reply;
use crate::model::tagged::TagQuestion;
use crate::oci::RegistryError;
use crate::oci::client::Registry;

impl Cluster {
    /// The digest; 404 where there is no such tag, or no such image.
    pub(super) async fn tagged(&self, question: &TagQuestion) -> Result<Reply, String> {
        let place = (question.repository.as_str(), question.is_insecure);
        let registry = self.registry(place, question.login.as_ref()).await?;
        let named = registry.digest(&question.tag).await;
        let named = named.map_err(|error| error.message)?;
        let named = match &question.to {
            Some(digest) if named.as_ref() != Some(digest) => {
                let put = put(&registry, &question.tag, digest).await;
                put.map_err(|error| error.message)?
            }
            Some(_) | None => named,
        };
        Ok(Reply {
            status: if named.is_some() { 200 } else { 404 },
            body: named.unwrap_or_default().into_bytes(),
        })
    }
}

/// Puts an image under a tag too; nothing where there is no such image.
async fn put(
    registry: &Registry,
    tag: &str,
    digest: &str,
) -> Result<Option<String>, RegistryError> {
    let Some(found) = registry.manifest(digest).await? else {
        return Ok(None);
    };
    let put = registry.put_manifest(tag, &found.media_type, &found.bytes);
    put.await?;
    Ok(Some(found.digest))
}
