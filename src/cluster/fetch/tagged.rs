//! Asks a registry which digest a tag names. Talks to the network, and to the API server for the login.

use crate::cluster::Cluster;
use crate::model::action::Reply;
use crate::model::tagged::TagQuestion;

impl Cluster {
    /// The digest; 404 where there is no such tag.
    pub(super) async fn tagged(&self, question: &TagQuestion) -> Result<Reply, String> {
        let config = match &question.login {
            Some((namespace, secret)) => Some(self.secret_value(namespace, secret).await?),
            None => None,
        };
        let place = (question.repository.as_str(), question.is_insecure);
        let registry = self.http.registry(place, config.as_deref())?;
        let digest = registry.digest(&question.tag).await;
        let digest = digest.map_err(|error| error.message)?;
        Ok(Reply {
            status: if digest.is_some() { 200 } else { 404 },
            body: digest.unwrap_or_default().into_bytes(),
        })
    }
}
