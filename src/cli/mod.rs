//! `kubectl slipway`: the command line, and what becomes of it.
//!
//! A verb is a file below the kind that it is about: its arguments, and a `run` that reads what it needs (a file, the
//! cluster) and hands it to something pure. What people see is made by its `render`.

pub mod analysis;
pub mod answer;
pub mod cluster;
pub mod completion;
pub mod convert;
#[cfg(feature = "dashboard")]
pub mod dashboard;
pub mod decide;
pub mod doctor;
pub mod dora;
pub mod environment;
pub mod file;
pub mod follow;
pub mod lint;
pub mod list;
pub mod manifest;
pub mod manual;
pub mod promotion;
pub mod release;
pub mod right;
pub mod rollout;
pub mod run;
pub mod simulate;
pub mod slo;
pub mod standing;
pub mod status;
pub mod text;
pub mod version;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

pub use answer::{Answer, End, ObjectOutput, Output};
use clap::{Parser, Subcommand};
use completion::CompletionShell;
use text::{Palette, Tone};

/// Tells what changes will do, and why things are where they are.
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-slipway",
    bin_name = "kubectl slipway",
    version,
    propagate_version = false,
    after_help = "Exit codes: 0 all is well; 1 the answer could not be had; 2 the input is wrong; 3 what was asked about has failed, was rolled back, or is bad; 4 it waits for a person; 5 it was not over in time."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// No colours, even on a terminal; so does NO_COLOR in the environment.
    #[arg(long, env = "NO_COLOR", hide_env = true, value_parser = is_set, default_value = "", default_missing_value = "1", global = true)]
    pub no_color: bool,
}

/// Whatever it is set to, as <https://no-color.org> has it.
#[expect(
    clippy::unnecessary_wraps,
    reason = "that is what clap takes for a parser"
)]
fn is_set(text: &str) -> Result<bool, std::convert::Infallible> {
    Ok(!text.is_empty())
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show all Environments, Rollouts, Pipelines and runs of a namespace in one overview.
    Get(list::Many),
    /// Say how things stand: under way, well, waiting for a person, or bad. The exit code says it too.
    ///
    /// Of several objects the worst counts: 3 where one has failed or gone back, else 4 where one waits for a person, else 0. With
    /// --watch it waits until nothing is under way any more.
    Status(status::Args),
    /// Show the error budgets of Environments: what is left, and how fast it burns. Exit code 3 says that one burns, or is gone.
    Slo(list::Get),
    /// Rollouts: what a change goes through, where one is and why, and what people decide about it.
    #[command(subcommand)]
    Rollout(rollout::Verb),
    /// Analyses: what metrics of the past would have said.
    #[command(subcommand)]
    Analysis(analysis::Verb),
    /// Environments: what runs where, what comes next, what went before, the way back, and what people decide about it.
    #[command(subcommand, name = "env", visible_alias = "environment")]
    Environment(environment::Verb),
    /// Runs of Pipelines: start and stop them, and read what they say.
    #[command(subcommand)]
    Run(run::Verb),
    /// Releases: what there is, what is in one, what is new, and who has signed it.
    #[command(subcommand)]
    Release(release::Verb),
    /// Promotions: how one goes, and what became of its database.
    #[command(subcommand)]
    Promotion(promotion::Verb),
    /// Show how well deliveries go: the five figures of DORA, of Environments and of all of them together.
    ///
    /// They are counted from what the operator writes down of every promotion, up to now. What is not known is shown as –.
    Dora(dora::Args),
    /// Show everything in a browser: what runs where, what moves, what waits and why, and decide about it.
    ///
    /// It serves pages on this machine, to whoever has the address that it prints, and does there what your kubeconfig may do. It ends with
    /// Ctrl-C.
    #[cfg(feature = "dashboard")]
    Dashboard(dashboard::Args),
    /// Check objects in files as the API server and the operator would, and show every mistake where it stands. Needs no cluster.
    ///
    /// Fields, rules, conditions, steps and metrics are looked at; what a container does, only the cluster knows. Exit code 2 says that
    /// something is wrong; a warning does not change it.
    Lint(lint::Args),
    /// Show what a change of a Rollout goes through while things happen: pods crash, samples are bad, people decide. Needs no cluster.
    ///
    /// It is rollout plan with --event. Exit code 3 says that the change is given up, or held for people.
    Simulate(simulate::Args),
    /// Show the version of this plugin, and of the operator.
    Version(version::Args),
    /// Look for what is missing, and say how to mend it: cluster, definitions, operator, rights, policies, routers, metrics, registries.
    ///
    /// Exit code 3 says that something is missing that is needed.
    Doctor(doctor::Args),
    /// Write what does the same as a workflow file of GitHub Actions, or as objects of Argo Rollouts or Flagger, and what of it was
    /// left out. Needs no cluster.
    Convert(convert::Args),
    /// Print a completion script for a shell, or for kubectl.
    #[command(
        after_help = "For kubectl slipway, with the names of objects, wherever kubectl itself completes:

  kubectl slipway completion kubectl > ~/.local/bin/kubectl_complete-slipway
  chmod +x ~/.local/bin/kubectl_complete-slipway

For the program's own name, kubectl-slipway:

  source <(kubectl slipway completion bash)
  kubectl slipway completion zsh > \"${fpath[1]}/_kubectl-slipway\"
  kubectl slipway completion fish > ~/.config/fish/completions/kubectl-slipway.fish
  kubectl slipway completion powershell | Out-String | Invoke-Expression"
    )]
    Completion {
        /// The shell, or kubectl.
        shell: CompletionShell,
    },
    /// What may come next on the command line, for kubectl.
    #[command(hide = true)]
    Complete(completion::Args),
    /// Write a manual page for each verb into a folder.
    #[command(hide = true)]
    Man(manual::Args),
}

/// Does what waits for a cluster. A problem is no answer.
fn in_runtime(work: impl Future<Output = Result<Answer, String>>) -> Answer {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => runtime.block_on(work).unwrap_or_else(Answer::failed),
        Err(error) => Answer::failed(format!("cannot start: {error}")),
    }
}

/// The whole program.
pub fn run() -> ExitCode {
    let args = Args::parse();
    let palette = Palette::new(!args.no_color && io::stdout().is_terminal());
    let answer = match &args.command {
        Command::Get(many) => in_runtime(status::get(many, palette)),
        Command::Status(args) => status::run(args, palette),
        Command::Slo(args) => slo::run(args, palette),
        Command::Rollout(verb) => rollout::run(verb, palette),
        Command::Analysis(verb) => analysis::run(verb, palette),
        Command::Environment(verb) => environment::run(verb, palette),
        Command::Run(verb) => run::run(verb, palette),
        Command::Release(verb) => release::run(verb, palette),
        Command::Promotion(verb) => promotion::run(verb, palette),
        Command::Dora(args) => dora::run(args, palette),
        #[cfg(feature = "dashboard")]
        Command::Dashboard(args) => dashboard::run(args),
        Command::Lint(args) => lint::run(args, palette),
        Command::Simulate(args) => simulate::run(args, palette),
        Command::Version(args) => version::run(args),
        Command::Doctor(args) => in_runtime(doctor::run(args, palette)),
        Command::Convert(args) => convert::run(args),
        Command::Completion { shell } => completion::script(*shell),
        Command::Man(args) => manual::run(args),
        Command::Complete(args) => completion::candidates(args),
    };
    tell(&answer, args.no_color)
}

fn tell(answer: &Answer, no_color: bool) -> ExitCode {
    let mut out = io::stdout().lock();
    let written = out
        .write_all(answer.text.as_bytes())
        .and_then(|()| out.flush());
    let palette = Palette::new(!no_color && io::stderr().is_terminal());
    for problem in &answer.problems {
        // Some are several lines.
        let problem = problem.replace(|one: char| one.is_control() && one != '\n', " ");
        eprintln!("{} {problem}", palette.paint(Tone::Bad, "error:"));
    }
    match written {
        // Whoever reads has read enough, as `head` does.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            eprintln!("error: cannot write the answer: {error}");
            ExitCode::from(1)
        }
        _ => ExitCode::from(answer.end.code()),
    }
}

/// How many characters fit on a line: of the terminal, or of a page.
fn width() -> usize {
    let size = terminal_size::terminal_size_of(io::stdout());
    size.map_or(100, |(width, _)| usize::from(width.0))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_reads_well() {
        let mut command = Args::command().term_width(100);
        command.build();
        let mut texts = vec![command.render_long_help().to_string()];
        let rollout = command.find_subcommand_mut("rollout").unwrap();
        for verb in ["plan", "explain", "get", "watch", "undo"] {
            let verb = rollout.find_subcommand_mut(verb).unwrap();
            texts.push(verb.render_long_help().to_string());
        }
        let analysis = command.find_subcommand_mut("analysis").unwrap();
        let verb = analysis.find_subcommand_mut("test").unwrap();
        texts.push(verb.render_long_help().to_string());
        let run = command.find_subcommand_mut("run").unwrap();
        let verb = run.find_subcommand_mut("logs").unwrap();
        texts.push(verb.render_long_help().to_string());
        let environment = command.find_subcommand_mut("env").unwrap();
        let verb = environment.find_subcommand_mut("rollback").unwrap();
        texts.push(verb.render_long_help().to_string());
        insta::assert_snapshot!(texts.join("\n----\n"));
    }

    #[test]
    fn colours_can_be_turned_off() {
        let plain = Args::parse_from(["kubectl-slipway", "completion", "bash", "--no-color"]);
        assert!(plain.no_color);
        let plain = Args::parse_from(["kubectl-slipway", "completion", "bash"]);
        assert_eq!(
            plain.no_color,
            std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty())
        );
    }
}
