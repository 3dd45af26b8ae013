//! From coturn's configuration to a server that relays: `floe config
//! import-coturn` on what projects tell their users to write into
//! `turnserver.conf` (the .conf files beside this one).

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::command::floe;
use support::{Authority, SECRET, Server};

fn published(project: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/import/{project}.conf"));
    fs::read_to_string(file).expect("a file of this test").replace("__SECRET__", SECRET)
}

fn run(arguments: &[&str]) -> Output {
    floe().args(arguments).output().expect("floe runs")
}

/// Imports the text into a file of its own.
fn import(authority: &Authority, text: &str) -> (PathBuf, Output) {
    let (from, to) = (authority.file("turnserver.conf"), authority.file("floe.toml"));
    fs::write(&from, text).expect("written");
    let output = run(&["config", "import-coturn", from.to_str().unwrap(), "--output", to.to_str().unwrap()]);
    (to, output)
}

/// What can't be the same on the machine of a test: its addresses and files.
const PLACES: &[(&str, &[&str])] = &[
    ("listen", &["udp", "tcp", "tls", "dtls"]),
    ("relay", &["addresses", "external-addresses"]),
    ("tls", &["certificate", "private-key"]),
];

/// A published configuration, imported with one command, serves a call.
fn a_call_goes_through(project: &str, login: &[&str]) {
    let authority = Authority::new();
    let (file, output) = import(&authority, &published(project));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let good = run(&["config", "check", file.to_str().unwrap()]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));

    let text = fs::read_to_string(&file).expect("the result");
    let mut table: toml::Table = text.parse().expect("TOML");
    let secure = table["listen"].get("tls").is_some();
    for &(section, keys) in PLACES {
        if let Some(section) = table.get_mut(section).and_then(|section| section.as_table_mut()) {
            section.retain(|key, _| !keys.contains(&key));
        }
    }
    let server = Server::start(|config| {
        config.set("auth.users", toml::Table::new());
        for (name, value) in table {
            match value {
                toml::Value::Table(section) => {
                    for (key, value) in section {
                        config.set(&format!("{name}.{key}"), value);
                    }
                }
                value => drop(config.set(&name, value)),
            }
        }
        if secure {
            authority.secure(config);
        }
    });
    let url = match secure {
        true => format!("turns:{}?transport=tcp", server.all("tls")[0]),
        false => format!("turn:{}?transport=udp", server.udp()),
    };
    let ca = authority.ca();
    let mut arguments = vec!["pair", "--server", &url, "--timeout", "30"];
    arguments.extend(login);
    arguments.extend(secure.then_some(["--ca", ca.to_str().unwrap()]).into_iter().flatten());
    let paired = run(&arguments);
    let shown = [&paired.stdout[..], &paired.stderr].concat();
    assert_eq!(paired.status.code(), Some(0), "{}\n{}", String::from_utf8_lossy(&shown), server.log());
}

#[test]
fn jitsi() {
    a_call_goes_through("jitsi", &["--secret", SECRET]);
}

#[test]
fn synapse() {
    a_call_goes_through("synapse", &["--secret", SECRET]);
}

#[test]
fn nextcloud() {
    a_call_goes_through("nextcloud", &["--secret", SECRET]);
}

#[test]
fn bigbluebutton() {
    a_call_goes_through("bigbluebutton", &["--secret", SECRET]);
}

#[test]
fn livekit() {
    a_call_goes_through("livekit", &["--username", "livekit", "--password", SECRET]);
}

#[test]
fn every_line_is_taken_over_or_accounted_for() {
    let authority = Authority::new();
    for project in ["jitsi", "synapse", "nextcloud", "bigbluebutton", "livekit"] {
        let text = published(project);
        let file = authority.file("turnserver.conf");
        fs::write(&file, &text).expect("written");
        let output = run(&["config", "import-coturn", file.to_str().unwrap(), "--json"]);
        assert_eq!(output.status.code(), Some(0), "{project}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).count();
        let left_out = report["left-out"].as_array().expect("a list");
        assert_eq!(
            report["taken"].as_u64().unwrap() as usize + left_out.len(),
            lines,
            "{project}: {report:#}"
        );
        assert!(left_out.iter().all(|left| left["why"] != "coturn has no such key"), "{report:#}");
    }
}

#[test]
fn a_result_that_floe_would_refuse_is_said_at_once() {
    let authority = Authority::new();
    let (file, output) = import(&authority, "use-auth-secret\nstatic-auth-secret=north\nrealm=x\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("auth.secrets"), "{said}");
    assert!(file.exists(), "it is there to be mended");
}

#[test]
fn nothing_is_overwritten_and_a_missing_file_is_named() {
    let authority = Authority::new();
    let (file, _) = import(&authority, &published("nextcloud"));
    let before = fs::read_to_string(&file).unwrap();
    let (_, second) = import(&authority, "realm=other\n");
    assert_eq!(second.status.code(), Some(1), "{}", String::from_utf8_lossy(&second.stderr));
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let missing = run(&["config", "import-coturn", "no-such-file.conf"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("no-such-file.conf"));
}
