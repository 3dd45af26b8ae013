//! `floe healthcheck`: one look at the running server, for containers.

use super::Failure;
use super::running::ServerArgs;

/// `floe healthcheck …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Fail too while it takes no new clients (starting or draining).
    #[arg(long)]
    ready: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = if args.ready { "/readyz" } else { "/livez" };
    match args.server.find()?.ask("GET", path)? {
        (200, _) => Ok(()),
        (status, said) => Err(Failure::Failed(format!("{path} answers {status}: {}", said.trim()))),
    }
}
