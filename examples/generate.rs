//! Writes every generated file of the repository: `cargo run --example generate`.
//!
//! First what follows from the code (`slipway::chart`), then `manifests/install.yaml`: the chart, rendered
//! with its default values.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

#[tokio::main]
async fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, content) in slipway::chart::files()? {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    testbed::programs::ensure(&["helm"]).await?;
    let rendered = Command::new(testbed::programs::path_of("helm")?)
        .args([
            "template",
            "slipway",
            "charts/slipway",
            "--namespace",
            "slipway-system",
        ])
        .current_dir(root)
        .output()
        .context("cannot run helm")?;
    ensure!(
        rendered.status.success(),
        "{}",
        String::from_utf8_lossy(&rendered.stderr)
    );
    std::fs::write(root.join("manifests/install.yaml"), rendered.stdout)?;
    Ok(())
}
