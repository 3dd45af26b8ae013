//! `floe bench` as a process, and what it says.

use std::net::SocketAddr;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::command::floe;
use crate::support::{ALICE, Server};

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) said: String,
    pub(crate) complained: String,
}

impl Run {
    /// The JSON document.
    #[track_caller]
    pub(crate) fn report(&self) -> Value {
        serde_json::from_str(&self.said).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }

    /// The only step of a run that went well.
    #[track_caller]
    pub(crate) fn step(&self) -> Value {
        let report = self.report();
        assert_eq!(self.status, Some(0), "{self:#?}");
        assert_eq!(report["ok"], true, "{report:#}");
        assert_eq!(report["steps"].as_array().map(Vec::len), Some(1), "{report:#}");
        report["steps"][0].clone()
    }
}

pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.stdin(Stdio::null()).output().expect("floe runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Run { status: output.status.code(), said: text(output.stdout), complained: text(output.stderr) }
}

/// `floe bench` with these arguments, which knows of no server and no user.
pub(crate) fn bench(arguments: &[&str]) -> Command {
    let mut command = floe();
    command.arg("bench").args(arguments).env("FLOE_STATE_DIRECTORY", "/nowhere");
    for name in ["TURN_USERNAME", "TURN_PASSWORD", "TURN_SECRET", "STATE_DIRECTORY", "XDG_RUNTIME_DIR"] {
        command.env_remove(name);
    }
    command
}

/// The mode, against this URL, as alice; JSON.
pub(crate) fn as_alice(mode: &str, url: &str, arguments: &[&str]) -> Command {
    let mut command = bench(&[mode, url, "--json"]);
    command.args(arguments).env("TURN_USERNAME", ALICE.name).env("TURN_PASSWORD", ALICE.password);
    command
}

pub(crate) fn url(address: SocketAddr, transport: &str) -> String {
    format!("turn:{address}?transport={transport}")
}

/// Quick, and slow enough for any machine.
pub(crate) const GENTLY: [&str; 8] =
    ["--rate", "200", "--duration", "1s", "--warmup", "100ms", "--clients", "4"];

/// Nothing is left behind at the server.
#[track_caller]
pub(crate) fn assert_empty(server: &Server) {
    server.expect_metric("floe_allocations", &[], 0.0);
}

#[track_caller]
pub(crate) fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value:#} is no number"))
}
