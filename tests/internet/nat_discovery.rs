//! RFC 5780 and RFC 3489 over sockets, with a client of coturn's for the whole
//! of it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Stdio;

use floe::wire::{AttributeType, address};

use crate::support::command::{bound_command, find};
use crate::support::{ALICE, Client, Config, PATIENCE, Reply, Request, Server, own_address, skip};

const PORT: u16 = 20_100;
const ALTERNATE: u16 = 20_110;

/// A server with two addresses and two ports.
fn server() -> (Server, [IpAddr; 2]) {
    server_with(|_| {})
}

fn server_with(change: impl FnOnce(&mut Config)) -> (Server, [IpAddr; 2]) {
    let addresses = [own_address(), own_address()].map(IpAddr::from);
    let server = Server::start(|config| {
        change(config);
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

// D-004 D-005 D-008 D-009 D-011 D-012
#[test]
fn what_could_harm_is_refused_to_whoever_asked() {
    let (_server, [address, _]) = server();
    let (client, elsewhere) = (socket(), socket());
    let port = elsewhere.local_addr().expect("bound").port().to_be_bytes();
    let to_port = |value: &[u8]| Request::binding().put(AttributeType::RESPONSE_PORT, value);
    let harmless = to_port(&[port[0], port[1], 0, 0]);
    let change = |value: &[u8]| Request::binding().put(AttributeType::CHANGE_REQUEST, value);
    for (request, code) in [
        (to_port(&[0; 4]), 400),
        (to_port(&[0, 53, 0, 0]), 400),
        (to_port(&[0x03, 0xFF, 0, 0]), 400),
        (harmless.clone().put(AttributeType::PADDING, &[0; 64]), 400),
        (harmless.clone().put(AttributeType(0x7FFE), b""), 420),
        (change(&[0, 0, 6]), 400),
        (change(&[0; 8]), 400),
        // Flags that nobody has defined.
        (change(&[0xFF, 0xFF, 0xFF, 0xF9]), 0),
        (Request::binding(), 0),
    ] {
        let request = request.bytes();
        client.send_to(&request, (address, PORT)).expect("sent");
        let (bytes, from) = receive(&client);
        assert_eq!(from, SocketAddr::new(address, PORT));
        assert!(bytes.len() <= 68, "{} bytes", bytes.len());
        assert_eq!(Reply::to(&request, bytes).code(), code, "{request:02x?}");
    }
    // Nothing of all that went to the other port.
    let request = harmless.bytes();
    client.send_to(&request, (address, PORT)).expect("sent");
    Reply::to(&request, receive(&elsewhere).0).ok();
}

// D-007
#[test]
fn over_tcp_there_is_nothing_to_find_out() {
    let (server, _) = server();
    let mut client = Client::tcp(&server);
    for kind in [AttributeType::CHANGE_REQUEST, AttributeType::RESPONSE_PORT] {
        let reply = client.ask(&Request::binding().put(kind, &[0x30, 0x39, 0, 0]));
        assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&kind.0.to_be_bytes()[..]));
    }
    assert!(!client.ping().has(AttributeType::OTHER_ADDRESS));
}

//
#[test]
fn who_is_sent_elsewhere_is_not_told_of_other_addresses() {
    let (server, _) = server_with(|config| {
        config.set("relay.alternate-servers", vec!["203.0.113.5:3478"]).set("limits.allocations", 1);
    });
    let address = server.all("udp")[0];
    let client = || Client::udp_from("127.0.0.1".parse().unwrap(), address).user(ALICE);
    client().allocate();
    let mut sent_away = client();
    let reply = sent_away.call(Request::allocate());
    assert_eq!(reply.code(), 300);
    assert!(reply.has(AttributeType::ALTERNATE_SERVER));
    let binding = sent_away.ping();
    assert!(binding.has(AttributeType::OTHER_ADDRESS) && !binding.has(AttributeType::ALTERNATE_SERVER));
    for kind in [AttributeType::OTHER_ADDRESS, AttributeType::RESPONSE_ORIGIN, AttributeType::MAPPED_ADDRESS]
    {
        assert!(!reply.has(kind), "{kind:?}");
    }
}

//
#[test]
fn a_classic_answer_goes_to_nobody_else() {
    let server = Server::start(|config| _ = config.set("stun.classic", true));
    let (client, victim) = (socket(), socket());
    let port = victim.local_addr().expect("bound").port().to_be_bytes();
    let response_address = [0, 2, 0, 8, 0, 1, port[0], port[1], 127, 0, 0, 1];
    for (attribute, unknown) in [(&response_address[..], 2), (&[0, 3, 0, 4, 0, 0, 0, 6][..], 3)] {
        let request = [&[0, 1, 0, attribute.len() as u8][..], &[7; 16], attribute].concat();
        client.send_to(&request, server.udp()).expect("sent");
        let (answer, _) = receive(&client);
        assert_eq!((&answer[..2], &answer[4..20]), (&[1, 0x11][..], &[7; 16][..]));
        // ERROR-CODE 420 and UNKNOWN-ATTRIBUTES, whose odd list repeats itself.
        assert_eq!(answer[20..], [0, 9, 0, 4, 0, 0, 4, 20, 0, 10, 0, 4, 0, unknown, 0, unknown]);
    }
    victim.set_nonblocking(true).expect("set");
    assert!(victim.recv(&mut [0; 64]).is_err(), "the victim has heard something");
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
