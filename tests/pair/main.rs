//! Two real WebRTC peers (webrtc-rs) that connect through floe: `floe pair`, end
//! to end, over every transport and policy.

#![cfg(feature = "client")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::{Output, Stdio};

use serde_json::Value;
use support::command::floe;
use support::{ALICE, Authority, SECRET, Server};

/// `floe pair --json` with these arguments, and the report it gave.
fn pair(arguments: &[&str]) -> (Output, Value) {
    let output = floe()
        .args(["pair", "--json", "--timeout", "60"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("floe runs");
    let report = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output, report)
}

/// Every step was seen; the server has counted what was relayed.
fn assert_connected((output, report): (Output, Value), server: &Server) {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{report:#}\n{said}\n{}", server.log());
    assert_eq!(report["ok"], true, "{report:#}");
    for check in report["checks"].as_array().expect("checks") {
        assert_eq!(check["status"], "ok", "{check:#}");
    }
}

fn url(address: SocketAddr, transport: &str) -> String {
    format!("turn:{address}?transport={transport}")
}

fn pair_as_alice(server: &Server, url: &str, more: &[&str]) -> (Output, Value) {
    let admin = format!("http://{}", server.admin());
    let login = ["--server", url, "--username", ALICE.name, "--password", ALICE.password, "--admin", &admin];
    pair(&[&login, more].concat())
}

#[test]
fn through_a_relay_over_udp() {
    let server = Server::start(|_| {});
    assert_connected(pair_as_alice(&server, &url(server.udp(), "udp"), &[]), &server);
    server.expect_some("floe_hairpin_bytes_total", &[]);
}

#[test]
fn through_a_relay_over_tcp() {
    let server = Server::start(|_| {});
    assert_connected(pair_as_alice(&server, &url(server.tcp(), "tcp"), &[]), &server);
    server.expect_some("floe_client_bytes_total", &["tcp"]);
}

// B-001
#[test]
fn through_a_relay_over_tls() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let (ca, address) = (authority.ca(), server.all("tls")[0]);
    let ca = ["--ca", ca.to_str().expect("UTF-8")];
    let secure = format!("turns:{address}?transport=tcp");
    assert_connected(pair_as_alice(&server, &secure, &ca), &server);
    server.expect_some("floe_client_bytes_total", &["tls"]);
    // The same, said by the flag.
    let flag = [&ca[..], &["--transport", "tls"]].concat();
    assert_connected(pair_as_alice(&server, &format!("turn:{address}"), &flag), &server);
    // Who is not believed is not spoken to.
    let (output, report) = pair_as_alice(&server, &secure, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(report["verdict"].as_str().expect("text").contains("--ca"), "{report:#}");
}

#[test]
fn an_authority_in_a_servers_place_is_told_in_words() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure_as_itself(config));
    let secure = format!("turns:{}", server.all("tls")[0]);
    let ca = authority.ca();
    let (output, report) = pair_as_alice(&server, &secure, &["--ca", ca.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(1));
    let verdict = report["verdict"].as_str().expect("text");
    assert!(verdict.contains("an authority (CA:TRUE)") && !verdict.contains("EndEntity"), "{verdict}");
}

// B-001 E-034
#[test]
fn through_a_relay_over_dtls() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        config.set("listen.dtls", vec!["127.0.0.1:0", "[::1]:0"]);
    });
    let ca = authority.ca();
    let ca = ["--ca", ca.to_str().expect("UTF-8")];
    for address in server.all("dtls") {
        let secure = format!("turns:{address}?transport=udp");
        assert_connected(pair_as_alice(&server, &secure, &ca), &server);
    }
    server.expect_some("floe_client_bytes_total", &["transport=\"dtls\""]);
    // The same, said by the flag; and who is not believed is not spoken to.
    let port = server.all("dtls")[0].port();
    let flag = [&ca[..], &["--transport", "dtls"]].concat();
    assert_connected(pair_as_alice(&server, &format!("turn:127.0.0.1:{port}"), &flag), &server);
    let unknown = format!("turns:127.0.0.1:{port}?transport=udp");
    for (url, more) in [(&unknown, &[][..]), (&format!("turns:localhost:{port}?transport=udp"), &ca)] {
        let (output, report) = pair_as_alice(&server, url, more);
        assert_eq!(output.status.code(), Some(1));
        assert!(report["verdict"].as_str().expect("text").contains("--ca"), "{report:#}");
    }
}

#[test]
fn through_a_relay_over_ipv6() {
    let server = Server::start(|_| {});
    assert_connected(pair_as_alice(&server, &url(server.udp6(), "udp"), &[]), &server);
    assert_connected(pair_as_alice(&server, &url(server.tcp6(), "tcp"), &[]), &server);
}

#[test]
fn by_whatever_way_ice_finds() {
    let server = Server::start(|_| {});
    let (output, report) = pair_as_alice(&server, &url(server.udp(), "udp"), &["--policy", "all"]);
    assert_eq!(output.status.code(), Some(0), "{report:#}");
}

#[test]
fn with_a_time_limited_credential() {
    let server = Server::start(|config| _ = config.secret_only());
    let admin = format!("http://{}", server.admin());
    let url = url(server.udp(), "udp");
    assert_connected(pair(&["--server", &url, "--secret", SECRET, "--admin", &admin]), &server);
}

#[test]
fn with_nothing_but_the_peers_own_relays_allowed() {
    let server = Server::start(|config| _ = config.set("peers.allow", Vec::<String>::new()));
    assert_connected(pair_as_alice(&server, &url(server.udp(), "udp"), &[]), &server);
}

#[test]
fn a_wrong_password_is_named_as_the_cause() {
    let server = Server::start(|_| {});
    let url = url(server.udp(), "udp");
    let (output, report) = pair(&["--server", &url, "--username", ALICE.name, "--password", "wrong"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report["ok"], false);
    let failed = report["checks"].as_array().expect("checks").iter().find(|c| c["status"] == "failed");
    let detail = failed.expect("a failed step")["detail"].as_str().expect("text");
    assert!(detail.contains("401"), "{detail}");
}

#[test]
fn a_draining_server_is_named_as_the_cause() {
    let server = Server::start(|config| _ = config.secret_only());
    assert_eq!(server.api("POST", "/api/drain").0, 200);
    let found = floe()
        .args(["pair", "--json"])
        .env("FLOE_STATE_DIRECTORY", server.directory())
        .stdin(Stdio::null())
        .output()
        .expect("floe runs");
    let said = String::from_utf8_lossy(&found.stderr);
    assert_eq!(found.status.code(), Some(1), "{said}");
    assert!(said.contains("draining") && !said.contains("--secret"), "{said}");
    let (output, report) = pair(&["--server", &url(server.udp(), "udp"), "--secret", SECRET]);
    assert_eq!(output.status.code(), Some(1));
    assert!(report["verdict"].as_str().expect("text").contains("draining"), "{report:#}");
}

#[test]
fn two_processes_meet_in_a_room() {
    let server = Server::start(|_| {});
    let signal = format!("ws://{}", server.admin());
    let url = url(server.udp(), "udp");
    let token = server.runtime().token.clone();
    let arguments = |role: &str| {
        let fixed = ["--server", &url, "--username", ALICE.name, "--password", ALICE.password];
        let room = ["--room", "here", "--signal", &signal, "--token", &token, "--role", role];
        [fixed.as_slice(), &room].concat().into_iter().map(str::to_owned).collect::<Vec<String>>()
    };
    let [offer, answer] = ["offer", "answer"].map(|role| {
        let arguments = arguments(role);
        std::thread::spawn(move || pair(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    });
    for side in [offer, answer] {
        let (output, report) = side.join().expect("it ended");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{report:#}\n{said}");
    }
}

#[test]
fn without_a_server_one_is_started() {
    let nowhere = support::server::new_directory();
    let output = floe()
        .args(["pair", "--json"])
        .env("XDG_RUNTIME_DIR", &nowhere)
        .env("XDG_STATE_HOME", &nowhere)
        .env("TMPDIR", &nowhere)
        .env_remove("STATE_DIRECTORY")
        .stdin(Stdio::null())
        .output()
        .expect("floe runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    assert_eq!(output.status.code(), Some(0), "{report:#}");
    let _ = std::fs::remove_dir_all(nowhere);
}
