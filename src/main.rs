//! Parse, dispatch.

use std::process::ExitCode;

fn main() -> ExitCode {
    floe::cli::run(std::env::args_os())
}
