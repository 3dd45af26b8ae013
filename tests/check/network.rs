//! Faults of the network around a server, in networks of their own: addresses
//! that look public, and a firewall.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::examination::{Examination, as_alice, check_in};
use crate::support::command::find;
use crate::support::server::new_directory;
use crate::support::{ALICE, Config, Namespace, PATIENCE, REALM, Server, skip};

/// Where the server is, and the client: nobody's, and out of reach from here.
const SERVER: &str = "93.184.10.1";
const CLIENT: &str = "93.184.10.2";
/// An address of the server's that only it knows.
const PRIVATE: &str = "10.99.0.1";

/// Two machines and a cable.
struct Network {
    server: Namespace,
    client: Namespace,
}

impl Network {
    /// `None`, and said so, where networks can't be made; more commands of `ip`
    /// for the server's side.
    fn new(more: &[&str]) -> Option<Self> {
        let client = Namespace::new(&[])?;
        let cable = format!("link add client type veth peer name server netns {}", client.pid());
        let address = format!("address add {SERVER}/24 dev client");
        let private = format!("address add {PRIVATE}/32 dev lo");
        let commands = [cable.as_str(), &address, &private, "link set client up"];
        let server = Namespace::new(&[&commands, more].concat())?;
        for command in [&format!("address add {CLIENT}/24 dev server"), "link set server up"] {
            let done = client.command("ip").args(command.split(' ')).status().expect("ip runs");
            assert!(done.success(), "ip {command}");
        }
        Some(Self { server, client })
    }

    /// A server on every address of its machine, careful about peers.
    fn serve(&self, change: impl FnOnce(&mut Config)) -> Server {
        Server::start_within(&self.server, |config| {
            config
                .set("listen.udp", vec!["0.0.0.0:3478"])
                .set("listen.tcp", vec!["0.0.0.0:3478"])
                .set("relay.addresses", vec![SERVER])
                .set("relay.ports", "50000-50999")
                .set("peers.allow", Vec::<String>::new());
            change(config);
        })
    }

    fn check(&self, more: &[&str]) -> Examination {
        check_in(&self.client, &as_alice(&[&[format!("turn:{SERVER}").as_str()], more].concat()))
    }
}

#[test]
fn a_good_server_is_well_from_another_machine() {
    let Some(network) = Network::new(&[]) else { return };
    let _server = network.serve(|_| {});
    let examined = network.check(&["--strict"]);
    examined.assert_well(&[]);
    let found = examined.step("relay-ports")["found"].as_str().unwrap();
    assert!(found.starts_with("8 tried from this machine, packets pass both ways: UDP 50"), "{found}");
    assert!(examined.step("relayed-address")["found"].as_str().unwrap().ends_with("is public"));
}

#[test]
fn a_private_relay_address() {
    let Some(network) = Network::new(&[]) else { return };
    let _server = network.serve(|config| _ = config.set("relay.addresses", vec![PRIVATE]));
    let examined = network.check(&["--transport", "udp"]);
    let words = [PRIVATE, "is private", SERVER, "behind NAT"];
    examined.assert_failed("relayed-address", "private-relay", &words);
}

#[test]
fn blocked_relay_ports() {
    // The kernel looks its own addresses up first; so a rule before that is a firewall.
    let Some(network) = Network::new(&[
        "rule add pref 10 lookup local",
        "rule del pref 0",
        "rule add pref 5 iif client ipproto udp dport 50000-50999 blackhole",
    ]) else {
        return;
    };
    let _server = network.serve(|_| {});
    let examined = network.check(&["--transport", "udp"]);
    let words = ["8 relay ports tried", "none of them is reached", "a firewall drops it"];
    examined.assert_failed("relay-ports", "relay-ports-blocked", &words);
    assert_eq!(examined.step("echo")["status"], "ok", "that goes from relay to relay");
}

#[test]
fn some_blocked_relay_ports() {
    let Some(network) = Network::new(&[
        "rule add pref 10 lookup local",
        "rule del pref 0",
        "rule add pref 5 iif client ipproto udp dport 50004-50999 blackhole",
    ]) else {
        return;
    };
    let _server = network.serve(|config| _ = config.set("relay.ports", "50000-50008"));
    let examined = network.check(&["--transport", "udp"]);
    examined.assert_failed(
        "relay-ports",
        "relay-ports-blocked",
        &["not all of them is reached: nothing gets to UDP 5000"],
    );
}

#[test]
fn a_path_for_small_packets_only() {
    let Some(network) = Network::new(&["link set client mtu 1240"]) else { return };
    let _server = network.serve(|_| {});
    let shrunk = network.client.command("ip").args(["link", "set", "server", "mtu", "1240"]).status();
    assert!(shrunk.expect("ip runs").success());
    let examined = network.check(&["--transport", "udp"]);
    examined.assert_warned("packet-size", "small-packets", &["more than 1228 bytes"]);
}

/// coturn as Debian has it, killed when dropped.
struct Coturn(Child);

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `None`, and said so, where it is not installed.
fn coturn(network: &Network) -> Option<Coturn> {
    if find("turnserver").is_none() {
        skip("turnserver", "not installed (Debian: apt-get install coturn)");
        return None;
    }
    let directory = new_directory();
    let child = network
        .server
        .command("turnserver")
        .args([
            "-n",
            "--lt-cred-mech",
            "--no-tls",
            "--no-dtls",
            "--no-cli",
            "--no-stdout-log",
            "--simple-log",
        ])
        .args([&format!("--listening-ip={SERVER}"), &format!("--relay-ip={SERVER}")])
        .args([&format!("--realm={REALM}"), &format!("--user={}:{}", ALICE.name, ALICE.password)])
        .arg(format!("--userdb={}", directory.join("turndb").display()))
        .arg(format!("--pidfile={}", directory.join("pid").display()))
        .arg("--log-file=/dev/null")
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("turnserver starts");
    Some(Coturn(child))
}

#[test]
fn coturn_works_and_its_peer_filter_is_too_open() {
    let Some(network) = Network::new(&[]) else { return };
    let Some(_coturn) = coturn(&network) else { return };
    let start = Instant::now();
    let examined = loop {
        let examined = network.check(&[]);
        let up = examined.step("binding")["status"] == "ok";
        if up || start.elapsed() > PATIENCE {
            break examined;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let words = ["10.0.0.1 (private)", "169.254.169.254 (cloud metadata)"];
    examined.assert_warned("peer-filter", "open-peer-filter", &words);
    for (step, status) in examined.steps() {
        assert_eq!(
            status,
            if step == "peer-filter" { "warning" } else { "ok" },
            "{step} in {:#}",
            examined.report
        );
    }
}

#[test]
fn a_peer_filter_that_was_opened() {
    let Some(network) = Network::new(&[]) else { return };
    let _server = network.serve(|config| _ = config.set("peers.allow", vec!["10.0.0.0/8", "127.0.0.0/8"]));
    let examined = network.check(&["--transport", "udp"]);
    let words = ["127.0.0.1 (loopback)", "10.0.0.1 (private)", "whoever can log in"];
    examined.assert_warned("peer-filter", "open-peer-filter", &words);
    let found = examined.step("peer-filter")["found"].as_str().unwrap();
    assert!(!found.contains("192.168.0.1") && !found.contains("169.254"), "{found}");
}
