//! `floe kick` and `floe drain`: ends allocations, or takes no new ones.

use serde_json::Value;

use super::running::{RunningServer, ServerArgs, encoded};
use super::{Failure, say};

/// `floe kick …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// A session's id, as `floe sessions` shows it, or a user.
    #[arg(value_name = "USER|ID")]
    whom: String,
    #[command(flatten)]
    server: ServerArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let server = args.server.find()?;
    let closed = match by_id(&server, &args.whom)? {
        0 => by_user(&server, &args.whom)?,
        closed => closed,
    };
    match closed {
        0 => Err(Failure::Failed(format!("{} is neither a live session nor a user of one", args.whom))),
        1 => told("1 session ended\n"),
        many => told(&format!("{many} sessions ended\n")),
    }
}

fn told(text: &str) -> Result<(), Failure> {
    say(text);
    Ok(())
}

fn by_id(server: &RunningServer, id: &str) -> Result<u64, Failure> {
    let path = format!("/api/sessions/{}", encoded(id));
    match server.ask("GET", &path)? {
        // No id of a live one, perhaps a user's name.
        (400 | 404, _) => Ok(0),
        _ => ended(&server.json("DELETE", &path)?),
    }
}

fn ended(answer: &Value) -> Result<u64, Failure> {
    Ok(answer["closed"].as_u64().unwrap_or_default())
}

fn by_user(server: &RunningServer, user: &str) -> Result<u64, Failure> {
    ended(&server.json("DELETE", &format!("/api/users/{}/sessions", encoded(user)))?)
}

pub(super) fn drain(args: &ServerArgs) -> Result<(), Failure> {
    args.find()?.json("POST", "/api/drain")?;
    told("no new allocations are taken; live ones go on\n")
}
