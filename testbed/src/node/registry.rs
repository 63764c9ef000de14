//! The image registry. Its storage outlives clusters, so that images are built once.

use anyhow::Result;

use super::{ADDRESS, PATIENCE, http_ok};
use crate::settings::Settings;
use crate::site::Site;

pub(super) async fn up(site: &mut Site, settings: &Settings) -> Result<()> {
    let address = site.address("registry", ADDRESS, Some(5000))?;
    let storage = settings.cache.join("registry");
    std::fs::create_dir_all(&storage)?;
    let config = format!(
        "version: 0.1\n\
         log: {{level: warn, accesslog: {{disabled: true}}}}\n\
         storage:\n  filesystem: {{rootdirectory: '{}'}}\n  delete: {{enabled: true}}\n  \
         maintenance: {{uploadpurging: {{enabled: false}}}}\n\
         http: {{addr: '{address}'}}\n",
        storage.display()
    );
    let config = site.write("registry.yaml", &config)?.display().to_string();
    let program = crate::settings::program("docker-registry")?;
    site.start("registry", &program, &["serve".to_owned(), config])?;
    let url = format!("http://{address}/v2/");
    site.ready("registry", PATIENCE, || http_ok(&url)).await
}
