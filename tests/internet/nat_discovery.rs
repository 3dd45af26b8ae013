//! RFC 5780 and RFC 3489 over sockets, with a client of coturn's for the whole
//! of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;

use floe::wire::{AttributeType, address};

use crate::support::command::{bound_command, find};
use crate::support::{PATIENCE, Reply, Request, Server, own_address, skip};

const PORT: u16 = 20_100;
const ALTERNATE: u16 = 20_110;

/// A server with two addresses and two ports.
fn server() -> (Server, [IpAddr; 2]) {
    let addresses = [own_address(), own_address()].map(IpAddr::from);
    let server = Server::start(|config| {
        let udp: Vec<String> = addresses.iter().map(|ip| format!("{ip}:{PORT}")).collect();
        config.set("listen.udp", udp).set("stun.nat-discovery", true);
        config.set("stun.alternate-port", i64::from(ALTERNATE)).set("stun.classic", true);
    });
    (server, addresses)
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 2048];
    let (length, from) = socket.recv_from(&mut buffer).expect("an answer");
    buffer.truncate(length);
    (buffer, from)
}

// D-001 D-002 D-004
#[test]
fn every_point_answers_from_every_point() {
    let (_server, addresses) = server();
    let (client, elsewhere) = (socket(), socket());
    for (address, other) in [(addresses[0], addresses[1]), (addresses[1], addresses[0])] {
        for (port, next) in [(PORT, ALTERNATE), (ALTERNATE, PORT)] {
            for (flags, ip, from_port) in
                [(0, address, port), (2, address, next), (4, other, port), (6, other, next)]
            {
                let change = Request::binding().put(AttributeType::CHANGE_REQUEST, &[0, 0, 0, flags]);
                let response_port = elsewhere.local_addr().expect("bound").port().to_be_bytes();
                let to_port = [response_port, [0, 0]].concat();
                let moved = change.clone().put(AttributeType::RESPONSE_PORT, &to_port);
                for (request, at) in [(change, &client), (moved, &elsewhere)] {
                    let request = request.bytes();
                    client.send_to(&request, (address, port)).expect("sent");
                    let (bytes, from) = receive(at);
                    assert_eq!(from, SocketAddr::new(ip, from_port));
                    let reply = Reply::to(&request, bytes).ok();
                    let told = |kind| address::decode(reply.get(kind).expect("told")).expect("an address");
                    assert_eq!(told(AttributeType::RESPONSE_ORIGIN), from);
                    assert_eq!(told(AttributeType::OTHER_ADDRESS), SocketAddr::new(other, next));
                    assert_eq!(reply.mapped(), client.local_addr().expect("bound"));
                }
            }
        }
    }
}

// D-003 D-010 A-002
#[test]
fn by_default_all_of_it_is_off() {
    let server = Server::start(|_| {});
    let client = socket();
    let request = Request::binding().put(AttributeType::CHANGE_REQUEST, &[0; 4]).bytes();
    let mut classic = Request::binding().bytes();
    classic[4..8].copy_from_slice(&[1, 2, 3, 4]);
    for bytes in [&classic, &request] {
        client.send_to(bytes, server.udp()).expect("sent");
    }
    assert_eq!(Reply::to(&request, receive(&client).0).code(), 420, "and no answer to the other");
}

//
#[test]
fn a_classic_client_is_answered() {
    let (_server, [address, _]) = server();
    let client = socket();
    let request = [&[0, 1, 0, 0][..], &[7; 16]].concat();
    client.send_to(&request, (address, PORT)).expect("sent");
    let (answer, _) = receive(&client);
    let port = client.local_addr().expect("bound").port().to_be_bytes();
    assert_eq!(answer[..2], [1, 1]);
    assert_eq!(answer[4..20], [7; 16]);
    assert_eq!(answer[20..32], [0, 1, 0, 8, 0, 1, port[0], port[1], 127, 0, 0, 1]);
}

// D-003
#[test]
fn one_address_is_not_enough() {
    for udp in [vec!["127.0.0.1:3999"], vec!["127.0.0.1:3999", "[::1]:3999"], vec!["0.0.0.0:3999"]] {
        let (status, said) = Server::refused(|config| {
            config.set("listen.udp", udp.clone()).set("stun.nat-discovery", true);
        });
        assert!(status == Some(2) && said.contains("stun.nat-discovery"), "{said}");
    }
}

/// What one of coturn's tools says; `None` where it is not installed.
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

// D-001 D-002 D-006
#[test]
fn coturns_clients_find_out_that_there_is_no_nat() {
    let (_server, [address, other]) = server();
    let (host, port) = (address.to_string(), PORT.to_string());
    let Some(said) = run("turnutils_stunclient", &["-p", &port, &host]) else { return };
    assert!(said.contains("Other addr") && said.contains(&other.to_string()), "{said}");
    let Some(said) = run("turnutils_natdiscovery", &["-m", "-f", "-p", &port, "-L", "127.0.0.1", &host])
    else {
        return;
    };
    assert!(said.contains("Endpoint Independent Mapping") || said.contains("No NAT"), "{said}");
    assert!(said.contains("Endpoint Independent Filtering"), "{said}");
    let Some(said) = run("turnutils_natdiscovery", &["-m", "-P", "-p", &port, "-L", "127.0.0.1", &host])
    else {
        return;
    };
    assert!(!said.contains("STUN receive timeout"), "{said}");
}
