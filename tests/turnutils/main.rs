//! floe against the clients that come with coturn (Debian: package `coturn`,
//! 4.6.1): an implementation that has nothing in common with ours. TCP relays are
//! in `tests/tcp_relay`, NAT discovery is in `tests/internet`.
//!
//! `turnutils_uclient` ends with status 0 even when every packet is lost, so its
//! summary is read instead; and it chooses channels up to 0x7FFF (RFC 5766),
//! which floe has when `relay.legacy-channels` is on. Its `-Z` asks for two families by
//! an attribute of a draft (0x8032), so that is left to the conformance tests. Left
//! out besides: what fails against coturn itself too (`-N`, `-R`, and `-P`, which
//! loses half) or now and then, as the tool breaks off by itself (`-M` with `-S`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::process::Stdio;

use support::authority::text;
use support::command::{bound_command, find};
use support::{ALICE, Authority, Config, Server, TokenKey, own_address, skip};

/// Messages a client sends to each of its peers.
const MESSAGES: &str = "5";

/// Runs a tool for at most a minute: its waits have no end of their own.
fn run(tool: &str, arguments: &[&str]) -> Option<String> {
    if find(tool).is_none() {
        skip(tool, "not installed (Debian: apt-get install coturn)");
        return None;
    }
    let output = bound_command("timeout")
        .args(["--kill-after=5", "60", tool])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("timeout (coreutils) runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?}: {}\n{said}", output.status);
    Some(said)
}

/// Sends to an echoing peer by way of floe; everything must come back.
fn relay(server: SocketAddr, echo: &Echo, modes: &[&str]) {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let (peer, peer_port) = (echo.host(), echo.port().to_string());
    let user = ["-u", ALICE.name, "-w", ALICE.password, "-n", MESSAGES, "-p", &port];
    let to = ["-e", &peer, "-r", &peer_port, &host];
    let Some(said) = run("turnutils_uclient", &[&user, modes, &to].concat()) else { return };
    nothing_lost(&said);
}

/// Two clients of floe send to each other.
fn client_to_client(server: SocketAddr, modes: &[&str]) {
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let user = ["-y", "-u", ALICE.name, "-w", ALICE.password, "-n", MESSAGES, "-p", &port];
    let Some(said) = run("turnutils_uclient", &[&user, modes, &[&host]].concat()) else { return };
    nothing_lost(&said);
}

/// The last summary line says that as many bytes came as went, and the one of
/// losses that there were none.
fn nothing_lost(said: &str) {
    let summary = said.lines().rfind(|line| line.contains("tot_send_bytes")).expect(said);
    let numbers: Vec<u64> =
        summary.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect();
    let [.., sent, received] = numbers[..] else { panic!("{summary}") };
    assert!(sent > 0 && sent == received, "{summary}\n{said}");
    let losses = said.lines().rfind(|line| line.contains("Total lost packets")).expect(said);
    assert!(losses.contains("Total lost packets 0 "), "{losses}\n{said}");
}

/// Peers that send back whatever they get: the tool uses a port and the next.
struct Echo(SocketAddr);

impl Echo {
    /// On this address, for as long as the test runs.
    fn at(ip: &str) -> Self {
        let sockets = (0..100).find_map(|_| {
            let first = std::net::UdpSocket::bind((ip, 0)).ok()?;
            let next = first.local_addr().ok()?.port().checked_add(1)?;
            Some([first, std::net::UdpSocket::bind((ip, next)).ok()?])
        });
        let sockets = sockets.expect("two free ports in a row");
        let address = sockets[0].local_addr().expect("bound");
        for socket in sockets {
            std::thread::spawn(move || {
                let mut buffer = vec![0; 65_536];
                while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(&buffer[..length], from);
                }
            });
        }
        Self(address)
    }

    fn host(&self) -> String {
        self.0.ip().to_string()
    }

    fn port(&self) -> u16 {
        self.0.port()
    }
}

fn legacy_channels(config: &mut Config) {
    config.set("relay.legacy-channels", true);
}

// B-001 Q-14
#[test]
fn stunclient_is_told_its_address() {
    let server = Server::start(|_| {});
    for address in [server.udp(), server.udp6()] {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        let Some(said) = run("turnutils_stunclient", &["-p", &port, &host]) else { return };
        assert!(said.contains("UDP reflexive addr"), "{said}");
    }
}

// B-001
#[test]
fn udp_channels() {
    let server = Server::start(legacy_channels);
    relay(server.udp(), &Echo::at("127.0.0.1"), &[]);
    relay(server.udp(), &Echo::at("127.0.0.1"), &["-c"]);
}

// B-001
#[test]
fn udp_channels_padded() {
    let server = Server::start(legacy_channels);
    relay(server.udp(), &Echo::at("127.0.0.1"), &["-D", "-l", "171"]);
}

// B-001 B-026
#[test]
fn udp_with_all_that_a_client_may_ask_for() {
    let server = Server::start(legacy_channels);
    let echo = Echo::at("127.0.0.1");
    for modes in [&["-g", "-X"][..], &["-G"], &["-a", "100000"], &["-I"]] {
        relay(server.udp(), &echo, &[modes, &["-c"]].concat());
    }
}

// B-001
#[test]
fn udp_send() {
    // No channels, so no old numbers are needed.
    let server = Server::start(|_| {});
    relay(server.udp(), &Echo::at("127.0.0.1"), &["-s"]);
}

// B-001
#[test]
fn tcp_channels() {
    let server = Server::start(legacy_channels);
    relay(server.tcp(), &Echo::at("127.0.0.1"), &["-t"]);
    relay(server.tcp(), &Echo::at("127.0.0.1"), &["-t", "-l", "171"]);
}

// B-001
#[test]
fn tcp_send() {
    let server = Server::start(|_| {});
    relay(server.tcp(), &Echo::at("127.0.0.1"), &["-t", "-s"]);
}

// B-001 E-031
#[test]
fn tls() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        legacy_channels(config);
    });
    let address = server.all("tls")[0];
    relay(address, &Echo::at("127.0.0.1"), &["-t", "-S"]);
    relay(address, &Echo::at("127.0.0.1"), &["-t", "-S", "-l", "171"]);
    relay(address, &Echo::at("127.0.0.1"), &["-t", "-S", "-s"]);
    client_to_client(address, &["-t", "-S"]);
    if find("turnutils_uclient").is_some() {
        server.expect_some("floe_client_bytes_total", &["transport=\"tls\""]);
    }
}

/// The three keys that `turnutils_uclient -J` has in it, cut to the length of their
/// algorithms as coturn does. It draws one for each Allocate and Refresh.
// E-022 E-024 E-025 E-026
#[test]
fn access_tokens() {
    let server = Server::start(|config| {
        legacy_channels(config);
        config.tokens([
            TokenKey { kid: "north", key: b"01234567890123456789012345678901" }.entry(),
            TokenKey { kid: "union", key: b"1234567890123456" }.entry(),
            TokenKey { kid: "oldempire", key: b"12345678901234567890123456789012" }.entry(),
        ]);
        // So that it can't have fallen back to the password.
        config.set("auth.users", toml::Table::new());
    });
    let ways = [
        (server.udp(), &["-J"][..]),
        (server.udp(), &["-J", "-s", "-m", "4"]),
        (server.tcp(), &["-J", "-t"]),
        (server.udp6(), &["-J", "-c"]),
    ];
    for (address, modes) in ways {
        relay(address, &Echo::at("127.0.0.1"), modes);
    }
    client_to_client(server.udp(), &["-J"]);
}

// E-032
#[test]
fn tls_with_certificates_of_both() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        legacy_channels(config);
    });
    let ca = authority.ca();
    let (certificate, key) = authority.issue("client", &["client.tests.example"]);
    let [ca, certificate, key] = [&ca, &certificate, &key].map(|path| text(path));
    let believing = ["-E", ca, "-i", certificate, "-k", key];
    relay(server.all("tls")[0], &Echo::at("127.0.0.1"), &[&["-t", "-S", "-c"][..], &believing].concat());
}

// A-034
#[test]
fn one_port_for_all() {
    let authority = Authority::new();
    let address = SocketAddr::new(own_address().into(), 3478);
    let server = Server::start(|config| {
        authority.secure(config);
        legacy_channels(config);
        for listener in ["udp", "tcp", "tls", "dtls"] {
            config.set(&format!("listen.{listener}"), vec![address.to_string()]);
        }
    });
    assert_eq!(server.all("dtls"), [address]);
    let echo = Echo::at("127.0.0.1");
    for modes in [&[][..], &["-S"], &["-t"], &["-t", "-S"]] {
        relay(address, &echo, &[modes, &["-c", "-L", "127.0.0.1"]].concat());
    }
}

// E-003 E-008
#[test]
fn mobility() {
    let server = Server::start(|config| {
        legacy_channels(config);
        config.set("relay.mobility", true).set("listen.shards", 4);
    });
    // Each client moves once, with its old socket closed before or behind it. By
    // way of a peer: a client hears nothing at its new address before it has sent
    // something from there (RFC 8016 §3.2.2).
    let ways = [
        (server.udp(), &["-M", "-m", "4"][..]),
        (server.udp(), &["-M", "-s"]),
        (server.tcp(), &["-M", "-t", "-m", "4"]),
    ];
    for (address, modes) in ways {
        let moves = server.metric("floe_allocation_moves_total", &[]);
        relay(address, &Echo::at("127.0.0.1"), modes);
        let moved = server.metric("floe_allocation_moves_total", &[]) - moves;
        assert!(moved >= 1.0 || find("turnutils_uclient").is_none(), "{modes:?}: {moved} moves");
    }
}

// B-001 E-034
#[test]
fn dtls() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        legacy_channels(config);
        config.set("listen.dtls", vec!["127.0.0.1:0", "[::1]:0"]);
    });
    for address in server.all("dtls") {
        relay(address, &Echo::at("127.0.0.1"), &["-S", "-c"]);
        relay(address, &Echo::at("127.0.0.1"), &["-S", "-s", "-l", "171"]);
    }
    client_to_client(server.all("dtls")[0], &["-S", "-x"]);
    if find("turnutils_uclient").is_some() {
        server.expect_some("floe_client_bytes_total", &["transport=\"dtls\""]);
    }
}

// B-160
#[test]
fn ipv6_clients() {
    let server = Server::start(legacy_channels);
    relay(server.udp6(), &Echo::at("127.0.0.1"), &[]);
    relay(server.tcp6(), &Echo::at("127.0.0.1"), &["-t", "-s"]);
}

// B-036 B-160
#[test]
fn ipv6_relays() {
    let server = Server::start(legacy_channels);
    relay(server.udp(), &Echo::at("::1"), &["-x"]);
    relay(server.udp6(), &Echo::at("::1"), &["-x", "-s"]);
}

// B-029 B-031 B-164
#[test]
fn client_to_client_by_way_of_two_relays() {
    let server = Server::start(legacy_channels);
    client_to_client(server.udp(), &["-m", "2"]);
    client_to_client(server.udp(), &["-s"]);
    client_to_client(server.udp(), &["-x"]);
    client_to_client(server.tcp(), &["-t"]);
}

// B-100
#[test]
fn many_clients_at_once() {
    let server = Server::start(legacy_channels);
    relay(server.udp(), &Echo::at("127.0.0.1"), &["-c", "-m", "20", "-z", "5"]);
}
