//! Removing what a node leaves outside of its folder.

use std::path::Path;

use anyhow::Result;

use crate::site::State;

pub(crate) fn remove_traces(_dir: &Path, _state: &State) -> Result<()> {
    Ok(())
}
