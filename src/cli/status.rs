//! `floe status`: waits until the running server is ready, and says how it is.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::running::{RunningServer, ServerArgs, bytes, duration};
use super::{Failure, say};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// `floe status …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// How long to wait for it to be ready, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    timeout: u64,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let server = wait(args)?;
    let status = server.json("GET", "/api/status")?;
    say(&if args.json { format!("{status:#}\n") } else { told(&status) });
    Ok(())
}

/// Until it is ready, however far it has come.
fn wait(args: &Args) -> Result<RunningServer, Failure> {
    let deadline = Instant::now() + Duration::from_secs(args.timeout);
    loop {
        let looked = args.server.find().and_then(|server| server.json("GET", "/readyz").map(|_| server));
        let why = match looked {
            Ok(server) => return Ok(server),
            Err(wrong @ Failure::Wrong(_)) => return Err(wrong),
            Err(failure) => failure,
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        thread::sleep(PAUSE);
    }
}

fn told(status: &Value) -> String {
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let list = |value: &Value, of: fn(&Value) -> String| {
        value.as_array().into_iter().flatten().map(of).collect::<Vec<_>>().join(", ")
    };
    let moved =
        |value: &Value| format!("{} packets, {}", number(&value["packets"]), bytes(number(&value["bytes"])));
    let allocations: u64 =
        status["allocations"].as_object().into_iter().flatten().map(|(_, n)| number(n)).sum();
    let counts = &status["counts"];
    let rows = [
        ("state", format!("{}, for {}", text(&status["state"]), duration(number(&status["uptime"])))),
        ("version", text(&status["version"])),
        ("realm", text(&status["realm"])),
        (
            "listeners",
            list(&status["listeners"], |l| {
                format!("{} {}", l["transport"].as_str().unwrap_or("?"), l["address"].as_str().unwrap_or("?"))
            }),
        ),
        (
            "relays",
            list(&status["relays"], |r| {
                format!(
                    "{} ({} of {} ports)",
                    r["external_address"].as_str().unwrap_or("?"),
                    r["ports_used"],
                    r["ports"]
                )
            }),
        ),
        ("allocations", allocations.to_string()),
        ("from clients", moved(&counts["from_clients"])),
        ("to clients", moved(&counts["to_clients"])),
        ("failed logins", number(&counts["failed_logins"]).to_string()),
        ("memory", bytes(number(&status["process"]["resident_bytes"]))),
    ];
    rows.iter().map(|(name, value)| format!("{name:<14} {value}\n")).collect()
}
