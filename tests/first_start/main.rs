//! The first start: `floe` with no configuration, in a network of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::machine::{Floe, connected, floe};
use support::{Namespace, skip};

const HOST: &str = "198.51.100.7";

/// The JSON between the first line that is `{` and the next that is `}`.
fn ice_servers(banner: &str) -> Value {
    let lines = banner.lines().skip_while(|line| *line != "{");
    let end = lines.clone().position(|line| line == "}").expect("JSON in the banner");
    let json: Vec<&str> = lines.take(end + 1).collect();
    serde_json::from_str(&json.join("\n")).expect("JSON that can be pasted")
}

// B-165
#[test]
fn the_banner_says_all_that_is_needed() {
    let Some(namespace) = connected(HOST) else { return };
    let mut server = Floe::start(&namespace, &["--show-credentials"]);
    let banner = server.banner();
    for part in [env!("CARGO_PKG_VERSION"), "0.0.0.0:3478", "[::]:3478", HOST, "floe pair", "127.0.0.1:8080"]
    {
        assert!(banner.contains(part), "{part} in:\n{banner}");
    }
    assert!(!banner.contains("loopback only"), "{banner}");
    let ice_server = &ice_servers(&banner)["iceServers"][0];
    let urls: Vec<&str> =
        ice_server["urls"].as_array().unwrap().iter().map(|u| u.as_str().unwrap()).collect();
    assert!(urls.contains(&"turn:198.51.100.7:3478?transport=udp"), "{urls:?}");
    assert!(urls.contains(&"turn:198.51.100.7:3478?transport=tcp"), "{urls:?}");
}

#[test]
fn the_credentials_in_the_banner_work() {
    let Some(namespace) = connected(HOST) else { return };
    let mut server = Floe::start(&namespace, &["--show-credentials"]);
    let configuration = ice_servers(&server.banner());
    let ice_server = &configuration["iceServers"][0];
    let [name, password] = ["username", "credential"].map(|key| ice_server[key].as_str().unwrap());
    if support::command::find("turnutils_uclient").is_none() {
        return skip("turnutils_uclient", "not installed (Debian: apt-get install coturn)");
    }
    let output = namespace
        .command("timeout")
        .args(["60", "turnutils_uclient", "-y", "-s", "-c", "-u", name, "-w", password, HOST])
        .output()
        .expect("timeout runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("Total lost packets 0 "), "{said}\n{}", server.output());
}

#[cfg(feature = "client")]
#[test]
fn the_pair_finds_the_running_server() {
    let Some(namespace) = connected(HOST) else { return };
    let mut server = Floe::start(&namespace, &[]);
    server.banner();
    for transport in ["udp", "tcp"] {
        let output = floe(&namespace, &server.home, &["pair", "--json", "--transport", transport])
            .output()
            .expect("floe runs");
        let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
        assert_eq!(output.status.code(), Some(0), "{report:#}");
        assert!(report["server"].as_str().unwrap().contains(":3478"), "{report:#}");
        for check in report["checks"].as_array().expect("checks") {
            assert_eq!(check["status"], "ok", "{check:#}");
        }
    }
}

#[test]
fn without_a_network_it_relays_on_loopback_and_warns() {
    let Some(namespace) = Namespace::new(&[]) else { return };
    let mut server = Floe::start(&namespace, &["serve"]);
    let banner = server.banner();
    assert!(banner.contains("WARNING: relaying on loopback only"), "{banner}");
    assert!(banner.contains("turn:127.0.0.1:3478?transport=udp"), "{banner}");
}

#[test]
fn a_port_that_is_taken_says_which_key_to_change() {
    let Some(namespace) = connected(HOST) else { return };
    let mut first = Floe::start(&namespace, &[]);
    first.banner();
    let (code, output) = Floe::start(&namespace, &[]).exit_code();
    assert_eq!(code, Some(2), "{output}");
    assert!(output.contains("listen.udp") && output.contains("3478"), "{output}");
}

#[test]
fn another_servers_admin_port_is_no_obstacle() {
    let Some(namespace) = connected(HOST) else { return };
    let mut first = Floe::start(&namespace, &[]);
    first.banner();
    let elsewhere = ["--set", "listen.udp=[\"127.0.0.1:0\"]", "--set", "listen.tcp=[\"127.0.0.1:0\"]"];
    let mut second = Floe::start(&namespace, &elsewhere);
    let banner = second.banner();
    assert!(!banner.contains("http://127.0.0.1:8080"), "{banner}");
    assert!(banner.contains("admin.listen: 127.0.0.1:8080 is taken"), "{banner}");
}

#[test]
fn an_address_of_another_machine_says_which_key_to_change() {
    let Some(namespace) = connected(HOST) else { return };
    for (key, value) in [
        ("listen.udp", "[\"198.51.100.8:3478\"]"),
        ("listen.tcp", "[\"198.51.100.8:3478\"]"),
        ("relay.addresses", "[\"198.51.100.8\"]"),
        ("admin.listen", "\"198.51.100.8:8080\""),
    ] {
        let (code, output) = Floe::start(&namespace, &["--set", &format!("{key}={value}")]).exit_code();
        assert_eq!(code, Some(2), "{output}");
        assert!(output.contains(key) && output.contains("198.51.100.8"), "{output}");
    }
}
