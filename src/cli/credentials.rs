//! `floe credentials` and `floe page`: what lets a client, and an operator's
//! browser, into the running server. `floe serve` prints both at a terminal; where
//! its output is kept, whoever may read the runtime file asks for them here.

use super::running::{ServerArgs, encoded};
use super::{Failure, say};

/// `floe credentials …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// Whom they are for; quotas count by this name.
    #[arg(long, value_name = "NAME", default_value = "floe")]
    username: String,
    /// How long they are good for, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    ttl: u64,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let path = format!("/ice?username={}&ttl={}", encoded(&args.username), args.ttl);
    let answer = args.server.find()?.json("GET", &path)?;
    say(&format!("{answer:#}\n"));
    Ok(())
}

pub(super) fn page(args: &ServerArgs) -> Result<(), Failure> {
    let server = args.find()?;
    match server.ask("GET", "/api/page")? {
        (404, _) => Err(Failure::Failed("the running server has no web page: see admin.page".to_owned())),
        _ => {
            say(&format!("{}\n", server.page()));
            Ok(())
        }
    }
}
