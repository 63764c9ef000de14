//! `slipway-load`: sends an open-loop load to one URL and writes what became of each request.

use std::io::{IsTerminal, Write};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use http::{HeaderName, HeaderValue};
use testbed::load::{Connections, Load, LoadSpec, Second, Summary};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::interval;

/// Sends an open-loop load, without retries, to a loopback or private address.
///
/// Every request is answered once or counted as lost. Ends by itself; SIGINT and SIGTERM end it
/// early, with a summary all the same. Exits with 2 when the load could not be sent.
#[derive(Debug, Parser)]
#[command(name = "slipway-load", version)]
struct Args {
    /// Where to, for example http://127.0.0.1:8080/
    url: String,
    /// The Host header, when it is not the URL's
    #[arg(long)]
    host: Option<String>,
    /// A header to send with each request, `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_parser = parse_header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// Requests per second
    #[arg(long, default_value = "100")]
    rate: NonZeroU32,
    /// How long to send
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    duration: Duration,
    /// How many requests to send, if that is reached earlier
    #[arg(long)]
    count: Option<u64>,
    /// How long an answer may take
    #[arg(long, default_value = "5s", value_parser = parse_duration)]
    timeout: Duration,
    /// How many connections to keep and use in turn; 0 opens a new one for each request
    #[arg(long, default_value = "10")]
    connections: usize,
    /// Where to write the summary as JSON; `-` is stdout
    #[arg(long)]
    summary: Option<PathBuf>,
    /// Print a line per second, even if stderr is no terminal
    #[arg(long)]
    progress: bool,
    /// Exit with 1 when a request was lost
    #[arg(long)]
    fail_on_loss: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    match load(&args).await {
        Ok(summary) if args.fail_on_loss && summary.stats.lost > 0 => ExitCode::FAILURE,
        Ok(_) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway-load: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn load(args: &Args) -> Result<Summary> {
    let summary = run(args).await?;
    write_summary(args, &summary)?;
    Ok(summary)
}

impl Args {
    fn spec(&self) -> Result<LoadSpec> {
        let mut spec = LoadSpec::new(&self.url)?
            .rate(self.rate)
            .duration(self.duration);
        spec = spec
            .timeout(self.timeout)
            .connections(match self.connections {
                0 => Connections::Fresh,
                count => Connections::Reuse(count),
            });
        spec.host.clone_from(&self.host);
        spec.count = self.count;
        spec.headers.extend(self.headers.iter().cloned());
        Ok(spec)
    }
}

async fn run(args: &Args) -> Result<Summary> {
    let mut load = Load::start(args.spec()?).await?;
    let is_shown = args.progress || std::io::stderr().is_terminal();
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            summary = load.finish() => return Ok(summary),
            _ = interrupted.recv() => return Ok(load.stop().await),
            _ = terminated.recv() => return Ok(load.stop().await),
            _ = tick.tick() => if is_shown {
                show(&load, args.rate);
            }
        }
    }
}

/// One line: the totals, and the revisions of the last second that is over.
fn show(load: &Load, rate: NonZeroU32) {
    let stats = load.stats();
    let seconds = load.seconds();
    let is_over = |second: &&Second| second.sent == u64::from(rate.get());
    let Some(last) = seconds.iter().rev().find(is_over) else {
        return;
    };
    eprintln!(
        "{:>5} s  sent {}  answered {}  lost {}  injected {}  |  {}",
        last.second,
        stats.sent,
        stats.answered,
        stats.lost,
        stats.injected,
        shares(last)
    );
}

fn shares(second: &Second) -> String {
    let shares = second
        .revisions
        .iter()
        .map(|(revision, count)| format!("{revision} {count}"));
    shares.collect::<Vec<_>>().join("  ")
}

fn write_summary(args: &Args, summary: &Summary) -> Result<()> {
    let Some(path) = &args.summary else {
        let stats = &summary.stats;
        let (sent, answered, lost) = (stats.sent, stats.answered, stats.lost);
        eprintln!(
            "sent {sent}, answered {answered}, lost {lost} {:?}",
            stats.lost_by_reason
        );
        return Ok(());
    };
    let mut json = serde_json::to_vec_pretty(summary)?;
    json.push(b'\n');
    if path.as_os_str() == "-" {
        return Ok(std::io::stdout().write_all(&json)?);
    }
    std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))
}

fn parse_duration(text: &str) -> Result<Duration> {
    let duration: kube::core::Duration =
        text.parse().context("not a duration such as 30s or 5m")?;
    ensure!(
        !duration.is_negative() && duration != Duration::ZERO,
        "must be more than 0"
    );
    Ok(duration.into())
}

fn parse_header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text
        .split_once(':')
        .context("not of the form `name: value`")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}
