//! What a program needs in its environment to use a cluster.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::settings::{self, Settings};
use crate::site::{self, State};
use crate::{node, programs};

/// Variable and value, for the cluster of that name.
pub(super) fn variables(settings: &Settings, name: &str) -> Result<Vec<(String, String)>> {
    let state = site::peek(&settings.root, name)?
        .with_context(|| format!("there is no cluster {name}: run `testbed up --name {name}`"))?;
    let path = |inside: &str| settings.root.join(name).join(inside).display().to_string();
    let mut variables = vec![
        ("KUBECONFIG".to_owned(), path("kubeconfig")),
        ("SLIPWAY_TEST_KUBECONFIG".to_owned(), path("kubeconfig")),
        ("SLIPWAY_TEST_AUDIT_LOG".to_owned(), path("audit.log")),
        ("PATH".to_owned(), program_path()?),
    ];
    let servers = [
        ("SLIPWAY_TEST_REGISTRY", "registry"),
        ("SLIPWAY_TEST_GATEWAY", "traefik"),
        ("SLIPWAY_TEST_PROMETHEUS", "prometheus"),
    ];
    variables.extend(
        servers
            .iter()
            .filter_map(|(variable, server)| address(&state, variable, server)),
    );
    let envoy = node::envoy::address(&settings.root.join(name));
    variables.extend(envoy.map(|address| ("SLIPWAY_TEST_ENVOY".to_owned(), address)));
    Ok(variables)
}

fn address(state: &State, variable: &str, server: &str) -> Option<(String, String)> {
    Some((variable.to_owned(), state.addresses.get(server)?.clone()))
}

/// The registry that images are pushed to: a given one, else that of the cluster of that name.
pub(super) fn registry(settings: &Settings, name: &str) -> Result<String> {
    if let Some(given) = &settings.registry {
        return Ok(given.clone());
    }
    let state = site::peek(&settings.root, name)?.unwrap_or_default();
    let missing = || format!("cluster {name} has no registry: run `testbed up --name {name}`");
    state
        .addresses
        .get("registry")
        .cloned()
        .with_context(missing)
}

/// The same as lines for a shell.
pub(super) fn shell(settings: &Settings, name: &str) -> Result<String> {
    let line = |(name, value): &(String, String)| {
        format!("export {name}='{}'\n", value.replace('\'', r"'\''"))
    };
    let lines: Vec<String> = variables(settings, name)?.iter().map(line).collect();
    Ok(lines.concat())
}

/// The search path with the cluster's programs in front: those that are built.
fn program_path() -> Result<String> {
    let built = programs::all()
        .filter_map(|name| programs::path_of(name).ok()?.parent().map(PathBuf::from));
    let mut dirs: Vec<PathBuf> = Vec::new();
    for dir in built.chain(settings::search_path()) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    std::env::join_paths(dirs)?
        .into_string()
        .ok()
        .context("PATH is not UTF-8")
}
