//! From coturn's configuration to a server that relays: `floe config
//! import-coturn` on what projects tell their users to write into
//! `turnserver.conf` (the .conf files beside this one), as they print it and as a
//! reader fills it in.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use support::command::floe;
use support::machine::{self, Floe, connected};
use support::{Authority, Namespace, SECRET};

/// An address that none of the files denies.
const HOST: &str = "20.0.0.7";
const PROJECTS: [&str; 6] = ["bigbluebutton", "debian", "jitsi", "livekit", "nextcloud", "synapse"];

fn published(project: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/import/{project}.conf"));
    fs::read_to_string(file).expect("a file of this test")
}

/// With the reader's own values in place of what is printed.
fn filled_in(text: &str, certificate: &Path, key: &Path) -> String {
    let own = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        let value = match name {
            "static-auth-secret" => SECRET.to_owned(),
            "user" => format!("{}:{SECRET}", value.split(':').next().unwrap()),
            "listening-ip" | "relay-ip" | "external-ip" => HOST.to_owned(),
            "listening-port" => "3478".to_owned(),
            "realm" => "turn.example.org".to_owned(),
            "cert" => certificate.display().to_string(),
            "pkey" => key.display().to_string(),
            _ => return format!("{line}\n"),
        };
        format!("{name}={value}\n")
    };
    text.lines().map(own).collect()
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

/// The text, imported with one command, is all that floe needs for a call; what
/// the import said, and the secret or password that is in force.
fn a_call_goes_through(network: &Namespace, authority: &Authority, text: &str) -> (String, String) {
    let (file, output) = import(authority, text);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");

    let table: toml::Table = fs::read_to_string(&file).expect("the result").parse().expect("TOML");
    let (login, secret) = match table["auth"].get("secrets") {
        Some(secrets) => (vec!["--secret"], secrets[0].as_str()),
        None => (vec!["--username", "livekit", "--password"], table["auth"]["users"]["livekit"].as_str()),
    };
    let secret = secret.expect("a text").to_owned();

    let mut server = Floe::start(network, &["serve", "--config", file.to_str().unwrap()]);
    server.banner();
    let mut urls = vec![format!("turn:{HOST}:3478?transport=udp")];
    if let Some(secure) = table.get("listen").and_then(|listen| listen.get("tls")) {
        let port = secure[0].as_str().unwrap().rsplit(':').next().unwrap();
        urls.push(format!("turns:{HOST}:{port}?transport=tcp"));
    }
    let ca = authority.ca();
    for url in urls {
        let mut arguments = vec!["pair", "--server", &url, "--timeout", "30"];
        arguments.extend(&login);
        arguments.push(&secret);
        arguments.extend(
            url.starts_with("turns:").then_some(["--ca", ca.to_str().unwrap()]).into_iter().flatten(),
        );
        let paired = machine::floe(network, &server.home, &arguments).output().expect("floe runs");
        let shown = [&paired.stdout[..], &paired.stderr].concat();
        assert_eq!(paired.status.code(), Some(0), "{}\n{}", String::from_utf8_lossy(&shown), server.output());
    }
    (said, secret)
}

/// As printed: what everybody may read lets nobody in.
fn as_published(project: &str) {
    let Some(network) = connected(HOST) else { return };
    let text = published(project);
    let (said, secret) = a_call_goes_through(&network, &Authority::new(), &text);
    assert!(said.contains("note: auth.") && said.contains("a NEW "), "{said}");
    assert!(secret.len() == 64 && !text.contains(&secret), "{secret}");
}

/// With a secret of its own: it is what clients know, and stays.
fn as_filled_in(project: &str) {
    let Some(network) = connected(HOST) else { return };
    let authority = Authority::new();
    let (certificate, key) = authority.issue("turn", &[HOST]);
    let text = filled_in(&published(project), &certificate, &key);
    let (said, secret) = a_call_goes_through(&network, &authority, &text);
    assert!(!said.contains("NEW"), "{said}");
    assert_eq!(secret, SECRET);
}

#[test]
fn jitsi() {
    as_published("jitsi");
    as_filled_in("jitsi");
}

#[test]
fn synapse() {
    as_published("synapse");
    as_filled_in("synapse");
}

#[test]
fn nextcloud() {
    as_published("nextcloud");
    as_filled_in("nextcloud");
}

#[test]
fn bigbluebutton() {
    as_published("bigbluebutton");
    as_filled_in("bigbluebutton");
}

#[test]
fn livekit() {
    as_published("livekit");
    as_filled_in("livekit");
}

#[test]
fn debian() {
    as_published("debian");
    as_filled_in("debian");
}

#[test]
fn every_line_is_taken_over_or_accounted_for() {
    let authority = Authority::new();
    for project in PROJECTS {
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
fn what_is_no_value_is_named_and_not_taken_over() {
    let authority = Authority::new();
    for (project, keys) in [
        ("bigbluebutton", &["listening-ip", "relay-ip", "realm", "cert", "pkey"][..]),
        ("jitsi", &["external-ip", "cert", "pkey"]),
        ("livekit", &["external-ip", "relay-ip", "cert", "pkey"]),
        ("nextcloud", &["listening-port", "realm", "allowed-peer-ip"]),
        ("synapse", &["external-ip", "listening-ip", "cert", "pkey"]),
    ] {
        let (file, output) = import(&authority, &published(project));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let text = fs::read_to_string(&file).expect("the result");
        let table: toml::Table = text.parse().expect("TOML");
        for key in keys {
            assert!(said.contains(&format!(": {key} is left out: ")), "{project} {key}: {said}");
        }
        assert!(!table.to_string().contains(['<', '{', '_']), "{table}");
        assert!(
            table.get("tls").is_none() && table.get("relay").is_none_or(|r| r.get("addresses").is_none())
        );
        fs::remove_file(file).expect("it was there");
    }
}

#[test]
fn a_program_is_told_of_a_new_password() {
    let authority = Authority::new();
    let file = authority.file("turnserver.conf");
    fs::write(&file, "user=alice:k3Vq9xTz0LmN\nuser=bob:CHANGE_ME\nlt-cred-mech\nrealm=x\n")
        .expect("written");
    let output = run(&["config", "import-coturn", file.to_str().unwrap(), "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let notes = report["notes"].to_string();
    assert!(notes.contains("auth.users: a NEW password for") && notes.contains("bob"), "{notes}");
    assert!(!notes.contains("alice"), "{notes}");
    let text = report["toml"].as_str().unwrap();
    let users = text.parse::<toml::Table>().expect("TOML")["auth"]["users"].clone();
    assert_eq!(users["alice"].as_str(), Some("k3Vq9xTz0LmN"));
    assert_eq!(users["bob"].as_str().unwrap().len(), 64);
    let beside = text.split("users = ").next().unwrap().lines().last().unwrap();
    assert!(beside.starts_with("# a NEW password for"), "{text}");
}

#[test]
fn a_result_that_floe_would_refuse_is_said_at_once() {
    let authority = Authority::new();
    let (file, output) = import(&authority, "use-auth-secret\nstatic-auth-secret=xq7Zr\nrealm=x\n");
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
