//! A node that runs pods.

pub(crate) mod cleanup;

/// A cluster with a node.
#[derive(Debug)]
pub struct Node;

pub(crate) async fn up(
    _site: &mut crate::site::Site,
    _settings: &crate::settings::Settings,
    _progress: crate::progress::Progress,
) -> anyhow::Result<()> {
    anyhow::bail!("not there yet")
}
