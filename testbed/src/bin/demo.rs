//! `demo`: tells how three versions of a small service find their way to production, and takes everything down again.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use testbed::demo::{self, Production, Teller};
use testbed::operator::Programs;
use testbed::{Node, programs};

/// The whole of Slipway in five minutes: build, test, release, promote, approve, canary, roll back, under constant load.
///
/// Exits with 0 when the story held, with 1 when it did not.
#[derive(Debug, Parser)]
#[command(name = "demo", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    place: Place,
    /// Without the analysis in production: the bad version stays, and the story must not hold
    #[arg(long)]
    negative: bool,
}

#[derive(Debug, Args)]
struct Place {
    /// Name of the cluster that is brought up for it
    #[arg(long, default_value = "demo", global = true)]
    name: String,
    /// A context of your kubeconfig, to play it on a cluster that is there; SLIPWAY_TEST_REGISTRY, …_GATEWAY and
    /// …_PROMETHEUS say where that has these
    #[arg(long, env = "DEMO_CONTEXT", global = true)]
    context: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove everything that the demo made
    Down,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = Cli::parse();
    let teller = Teller::out_loud();
    let outcome = match cli.command {
        Some(Command::Down) => down(&cli.place, &teller).await.map(|()| true),
        None => play(&cli, &teller).await,
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Place {
    /// The context's kubeconfig, alone in a file; nothing without a context.
    async fn kubeconfig(&self) -> Result<Option<PathBuf>> {
        let Some(context) = self
            .context
            .as_deref()
            .filter(|context| !context.is_empty())
        else {
            return Ok(None);
        };
        programs::ensure(&["kubectl"]).await?;
        let view = [
            "config",
            "view",
            "--minify",
            "--flatten",
            "--context",
            context,
        ];
        let output = tokio::process::Command::new(programs::path_of("kubectl")?)
            .args(view)
            .output()
            .await?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(
            output.status.success(),
            "context {context}: {}",
            said.trim()
        );
        let path =
            std::env::temp_dir().join(format!("slipway-demo-{}.kubeconfig", std::process::id()));
        write_private(&path, &output.stdout)
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Some(path))
    }

    /// How to come to the cluster, and how to be rid of it.
    fn hints(&self) -> String {
        let down = "make demo-down";
        match &self.context {
            Some(context) => format!(
                "look:     kubectl --context {context} get slipway -n greeter\nclean up: DEMO_CONTEXT={context} {down}"
            ),
            None => format!(
                "look:     eval \"$(cargo run -q -p testbed -- env --name {})\" && kubectl get slipway -n greeter\nclean up: {down}",
                self.name
            ),
        }
    }
}

/// Others on the machine have no business in a kubeconfig.
fn write_private(path: &std::path::Path, content: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::File::options();
    let mut file = options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(content)
}

async fn play(cli: &Cli, teller: &Teller) -> Result<bool> {
    teller.title("The cluster");
    teller.say("cargo builds the operator and the runner of stages");
    let programs = Programs::build().await?;
    let given = cli.place.kubeconfig().await?;
    let node = match &given {
        Some(kubeconfig) => Node::given(&cli.place.name, kubeconfig).await,
        None => Node::lasting(&cli.place.name).await,
    };
    let node = node.context("no cluster")?;
    programs::ensure(&["kubectl", "helm"]).await?;
    teller.good(&format!(
        "API server, gateway {}, registry {}",
        node.gateway(),
        node.registry()
    ));
    let production = if cli.negative {
        Production::Unwatched
    } else {
        Production::Watched
    };
    let story = demo::story(&node, &programs, production, teller).await;
    let held = match &story {
        Ok(story) => demo::tell_end(story, teller),
        Err(_) => false,
    };
    teller.text(&format!(
        "\nThe cluster goes on running.\n{}\n",
        cli.place.hints()
    ));
    if let Some(kubeconfig) = given {
        let _ = std::fs::remove_file(kubeconfig);
    }
    story
        .map(|_| held)
        .context("the story could not be played to its end")
}

async fn down(place: &Place, teller: &Teller) -> Result<()> {
    match place.kubeconfig().await? {
        Some(kubeconfig) => {
            let outcome = demo::clear(&kubeconfig, teller).await;
            let _ = std::fs::remove_file(kubeconfig);
            outcome?;
            teller.good("everything that the demo made is gone");
            Ok(())
        }
        None => testbed::cli::remove(&place.name).await,
    }
}
