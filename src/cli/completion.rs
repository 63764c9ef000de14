//! Completion: scripts for shells, and candidates for kubectl, which asks for them. Talks to the API server for names.

mod walk;

use std::fmt::Debug;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use super::cluster::{Place, Server};
use super::{Answer, in_runtime};
use crate::environment::api::Environment;
use crate::pipeline::api::Pipeline;
use crate::pipeline_run::api::PipelineRun;
use crate::promotion::api::Promotion;
use crate::release::api::Release;
use crate::rollout::api::Rollout;
use walk::{Names, Walk, walk};

/// Longest wait for names: nobody waits longer for a tabulator.
const PATIENCE: Duration = Duration::from_secs(3);
/// What tells kubectl that files are no candidates.
const NO_FILES: &str = ":4";
/// What tells it that they are.
const FILES: &str = ":0";
/// What kubectl runs to complete `kubectl slipway`, when it is on the PATH as kubectl_complete-slipway.
const KUBECTL: &str = "#!/usr/bin/env sh
# Completes kubectl slipway: kubectl runs it with what was typed. It belongs on the PATH as kubectl_complete-slipway.
exec kubectl-slipway complete -- \"$@\"
";

/// Shells that there is a script for, and kubectl.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompletionShell {
    /// The Bourne again shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
    /// PowerShell.
    #[value(name = "powershell")]
    PowerShell,
    /// kubectl itself, in whatever shell it completes: with the names of objects.
    Kubectl,
}

/// What was typed after `kubectl slipway`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The words; the last one is being typed.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// Prints the script.
pub(super) fn script(shell: CompletionShell) -> Answer {
    let shell = match shell {
        CompletionShell::Bash => Shell::Bash,
        CompletionShell::Zsh => Shell::Zsh,
        CompletionShell::Fish => Shell::Fish,
        CompletionShell::PowerShell => Shell::PowerShell,
        CompletionShell::Kubectl => return Answer::well(KUBECTL),
    };
    let mut script = Vec::new();
    let mut command = super::Args::command();
    clap_complete::generate(shell, &mut command, "kubectl-slipway", &mut script);
    Answer::well(String::from_utf8_lossy(&script))
}

/// Prints candidates the way kubectl reads them: one on each line, with what it is behind a tabulator, and what to do at the end.
pub(super) fn candidates(args: &Args) -> Answer {
    let mut command = super::Args::command();
    command.build();
    let found = walk(&command, &args.words);
    let mut text = String::new();
    for (word, about) in &found.words {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{word}\t{about}");
    }
    if let Some(names) = found.names {
        // Without an answer there is nothing to choose from, and nothing to say in the middle of a line.
        let answer = in_runtime(async { asked(&found, names).await.map(Answer::well) });
        text.push_str(&answer.text);
    }
    text.push_str(if found.is_file { FILES } else { NO_FILES });
    text.push('\n');
    Answer::well(text)
}

/// Names of objects, a line each.
async fn asked(found: &Walk, names: Names) -> Result<String, String> {
    let given = |id: &str| found.given.get(id).cloned();
    let place = Place {
        namespace: given("namespace"),
        context: given("context"),
        kubeconfig: given("kubeconfig").map(PathBuf::from),
        as_user: given("as_user"),
        request_timeout: Some(PATIENCE),
        ..Place::default()
    };
    let server = Server::at(&place).await?;
    let all = match names {
        Names::Rollouts => of::<Rollout>(&server).await,
        Names::Environments => of::<Environment>(&server).await,
        Names::Runs => of::<PipelineRun>(&server).await,
        Names::Releases => of::<Release>(&server).await,
        Names::Promotions => of::<Promotion>(&server).await,
        Names::Pipelines => of::<Pipeline>(&server).await,
    }?;
    let fits = all
        .into_iter()
        .filter(|name| name.starts_with(&found.prefix));
    Ok(fits.map(|name| name + "\n").collect())
}

async fn of<K>(server: &Server) -> Result<Vec<String>, String>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    K: Clone + Debug + DeserializeOwned,
{
    let all: Vec<K> = server.list("").await?;
    Ok(all.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_a_script() {
        for shell in CompletionShell::value_variants() {
            let script = script(*shell).text;
            assert!(script.contains("kubectl-slipway"), "{shell:?}");
            if *shell == CompletionShell::Kubectl {
                continue;
            }
            for verb in ["explain", "analysis", "certificate-authority"] {
                assert!(script.contains(verb), "{shell:?}: {verb}");
            }
        }
    }

    #[test]
    fn kubectl_gets_candidates_without_a_cluster() {
        let text = |words: &[&str]| {
            let words = words.iter().map(ToString::to_string).collect();
            candidates(&Args { words }).text
        };
        let verbs = text(&["rollout", "p"]);
        assert!(verbs.starts_with("plan\t"), "{verbs}");
        assert!(
            verbs.contains("\npromote\t") && verbs.ends_with("\n:4\n"),
            "{verbs}"
        );
        assert!(text(&["lint", "-f", ""]).ends_with(":0\n"));
    }

    #[test]
    fn the_manifest_for_krew_names_what_is_built() {
        let manifest = include_str!("../../packaging/krew/slipway.yaml");
        let manifest: serde_json::Value = serde_saphyr::from_str(manifest).unwrap();
        assert_eq!(manifest["metadata"]["name"], "slipway");
        let platforms = manifest["spec"]["platforms"].as_array().unwrap();
        for (platform, arch) in platforms.iter().zip(["amd64", "arm64"]) {
            assert_eq!(platform["bin"], "kubectl-slipway");
            let archive = format!("/slipway-@VERSION@-linux-{arch}.tar.gz");
            assert!(platform["uri"].as_str().unwrap().ends_with(&archive));
            let from = format!("{arch}/kubectl-slipway");
            assert_eq!(platform["files"][0]["from"], from);
        }
        assert_eq!(platforms.len(), 2);
    }
}
