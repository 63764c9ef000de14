//! Signs the lists of what is in the images of single platforms, each for the image that it is about. Talks to the network.

use serde_json::Value;

use super::signer::Signer;
use super::{read_sbom, sign};
use crate::oci::manifest::listed;
use crate::pipeline_run::api::AttestationKind;
use crate::runner::registry::{self, Trouble};
use crate::runner::task::{SignTask, Signed, Subject};
use crate::supply::bom;

/// Signs the lists that the list of an image for several platforms names. One of an image that is not part of it is left alone:
/// what is in a list comes from the image in the end, and the image from whoever has built it.
pub(super) async fn sign_lists(
    task: &SignTask,
    signer: &Signer,
    image: &Signed,
    said: &[(AttestationKind, Value)],
) -> Result<(), Trouble> {
    let known = said.iter().find(|(kind, _)| *kind == AttestationKind::SBOM);
    let parts = known.map(|(_, list)| bom::parts(list)).unwrap_or_default();
    if parts.is_empty() {
        return Ok(());
    }
    let registry = registry::open(&image.subject)?;
    let index = registry::manifest_of(&registry, &image.subject).await?;
    let index = listed(&index.bytes);
    // The older form is of signatures, and those are about the whole.
    let task = SignTask {
        signature_tag: false,
        ..task.clone()
    };
    for part in parts {
        if !index.iter().any(|one| one.digest == part.image) {
            continue;
        }
        let list = read_sbom(&registry, &part.list).await?;
        let said = [(AttestationKind::SBOM, list)];
        for place in image.mirrors.iter().chain([&image.subject]) {
            let subject = Subject {
                digest: part.image.clone(),
                ..place.clone()
            };
            sign(&task, signer, &subject, &said).await?;
        }
    }
    Ok(())
}
