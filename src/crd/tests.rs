//! What every definition must have, whatever the kind.

use std::path::PathBuf;

use super::*;

fn crds_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crds")
}

/// Until `slipway crds` exists.
#[test]
#[ignore = "writes crds/"]
fn write_crds() {
    write_all(&crds_folder()).unwrap();
}
