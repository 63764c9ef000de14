//! The command line: `cargo run -p testbed -- up|down|status|env|run|build`.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    testbed::cli::main().await
}
