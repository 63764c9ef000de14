//! The program inside stage pods: parses the command line and turns the end into an exit code.

use std::process::ExitCode;

use clap::Parser;
use slipway::runner::{self, Args};

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => ExitCode::from(runtime.block_on(runner::run(args))),
        Err(error) => {
            eprintln!("slipway-runner: cannot start: {error}");
            ExitCode::FAILURE
        }
    }
}
