//! Writes what follows from the code (`slipway::chart`, and the tables of `slipway::reference`); the first
//! half of `make generate`.

use std::path::Path;

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, content) in slipway::chart::files()? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    for (path, info) in slipway::reference::pages() {
        let path = root.join(path);
        let page = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        std::fs::write(&path, slipway::reference::filled(&page, info)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let path = root.join(slipway::reference::METRICS);
    let page = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    std::fs::write(&path, slipway::reference::with_series(&page))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}
