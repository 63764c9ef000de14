//! Finds out what a commit says and changes, with one question after the other. Talks to the network.

use crate::cluster::Cluster;
use crate::git::changes::Walk;
use crate::model::action::Reply;
use crate::model::changed::Changed;

impl Cluster {
    /// An answer that is none is handed on as it is.
    pub(super) async fn changed(&self, question: &Changed) -> Result<Reply, String> {
        let mut walk = Walk::of(question);
        while let Some(request) = walk.ask() {
            let reply = self.fetch_one(&request).await;
            if !reply.as_ref().is_ok_and(|reply| reply.status == 200) {
                return reply;
            }
            walk.take(&reply);
        }
        Ok(walk.answer())
    }
}
