//! Which cluster is asked, as kubectl finds it. Reads kubeconfigs.

use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};

use crate::error::chain;

/// Which cluster, which namespace, and as whom.
#[derive(Debug, Default, clap::Args)]
pub struct Place {
    /// Namespace; by default that of the context.
    #[arg(short, long, help_heading = "Cluster")]
    pub namespace: Option<String>,
    /// Context of the kubeconfig; by default the current one.
    #[arg(long, help_heading = "Cluster")]
    pub context: Option<String>,
    /// Kubeconfig file; by default what KUBECONFIG names, or ~/.kube/config.
    #[arg(long, value_name = "FILE", help_heading = "Cluster")]
    pub kubeconfig: Option<PathBuf>,
    /// User to act as, if you may impersonate.
    #[arg(long = "as", value_name = "USER", help_heading = "Cluster")]
    pub as_user: Option<String>,
    /// Group to act as; may be given several times.
    #[arg(
        long = "as-group",
        value_name = "GROUP",
        requires = "as_user",
        help_heading = "Cluster"
    )]
    pub as_groups: Vec<String>,
    /// Longest wait for each answer of the API server, such as 30s; by default 15s.
    #[arg(long, value_name = "SPAN", value_parser = span, help_heading = "Cluster")]
    pub request_timeout: Option<Duration>,
}

/// A span as people write it: `90s`, `5m`, `1h30m`.
///
/// # Errors
/// What it should look like.
pub fn span(text: &str) -> Result<Duration, String> {
    let span = text.parse::<kube::core::Duration>().ok();
    let span = span.filter(|span| !span.is_negative());
    let span = span.map(Duration::from).filter(|span| !span.is_zero());
    span.ok_or_else(|| "write it as 90s, 5m or 1h30m".to_owned())
}

/// Name of the context that is meant, where a kubeconfig says it.
pub fn context(place: &Place) -> Option<String> {
    let named = || match &place.kubeconfig {
        Some(file) => Kubeconfig::read_from(file).ok()?.current_context,
        None => Kubeconfig::read().ok()?.current_context,
    };
    place.context.clone().or_else(named)
}

pub(super) async fn config(place: &Place) -> Result<Config, String> {
    let mut config = found(place).await?;
    if let Some(user) = &place.as_user {
        config.auth_info.impersonate = Some(user.clone());
        let groups = place.as_groups.clone();
        config.auth_info.impersonate_groups = (!groups.is_empty()).then_some(groups);
    }
    Ok(config)
}

async fn found(place: &Place) -> Result<Config, String> {
    let options = KubeConfigOptions {
        context: place.context.clone(),
        ..KubeConfigOptions::default()
    };
    let named = |error: KubeconfigError| {
        if let KubeconfigError::LoadContext(name) = error {
            return format!("there is no context {name} in the kubeconfig");
        }
        no_cluster(&error)
    };
    if let Some(file) = &place.kubeconfig {
        let kubeconfig = Kubeconfig::read_from(file).map_err(named)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
        return config.map_err(named);
    }
    if place.context.is_some() {
        return Config::from_kubeconfig(&options).await.map_err(named);
    }
    Config::infer().await.map_err(|error| {
        let cause = std::error::Error::source(&error);
        no_cluster(cause.unwrap_or(&error))
    })
}

fn no_cluster(error: &dyn std::error::Error) -> String {
    format!(
        "no cluster to ask: {}; set KUBECONFIG, or name a context with --context",
        chain(error)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_written_as_in_a_spec() {
        assert_eq!(span("1m30s"), Ok(Duration::from_secs(90)));
        for wrong in ["", "-5s", "0s", "soon"] {
            assert!(span(wrong).is_err(), "{wrong}");
        }
    }
}
