//! The operator: parses the command line, runs, and turns the end into an exit code.

use std::process::ExitCode;

use clap::Parser;
use slipway::config::{Args, Command, Config, Ready, Retire};
use slipway::error::chain;
use slipway::operator::{self, OperatorError, ready, retire};
use slipway::telemetry::trace;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

fn main() -> ExitCode {
    let args = Args::parse();
    match args.command {
        Some(Command::Crds) => print_crds(),
        Some(Command::Check(wanted)) => run(args.config, Work::Check(wanted)),
        Some(Command::Retire(wanted)) => run(args.config, Work::Retire(wanted)),
        None => run(args.config, Work::Operate),
    }
}

/// What needs a cluster.
enum Work {
    Operate,
    Check(Ready),
    Retire(Retire),
}

fn print_crds() -> ExitCode {
    match slipway::crd::print_all(&mut std::io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&chain(&error)),
    }
}

fn run(config: Config, work: Work) -> ExitCode {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        return fail("a TLS provider is installed already");
    }
    let endpoint = config.otlp_endpoint.as_deref();
    let guard = match trace::install(config.log_format, &config.log, endpoint) {
        Ok(guard) => guard,
        Err(error) => return fail(&format!("cannot set up logs: {error}")),
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("cannot start: {error}")),
    };
    let result = runtime.block_on(async {
        let stop = CancellationToken::new();
        tokio::spawn(stop_on_signal(stop.clone()));
        match work {
            Work::Operate => operator::run(config, guard.changes(), stop).await,
            Work::Check(wanted) => ready::run(&config, &wanted).await,
            Work::Retire(wanted) => retire::run(&config, &wanted).await,
        }
    });
    match result {
        Ok(()) => {
            info!("ended");
            drop(guard);
            ExitCode::SUCCESS
        }
        // Whoever leads now must not meet a write of ours: no clean-up, no waiting.
        Err(OperatorError::LostLead) => {
            error!("{}", OperatorError::LostLead);
            std::process::exit(1);
        }
        Err(error) => {
            runtime.shutdown_background();
            drop(guard);
            fail(&chain(&error))
        }
    }
}

async fn stop_on_signal(stop: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    info!("asked to end");
    stop.cancel();
}

fn fail(problem: &str) -> ExitCode {
    eprintln!("slipway: {problem}");
    ExitCode::FAILURE
}
