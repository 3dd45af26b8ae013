//! Clients that take more than they should (CONFORMANCE H4): the server stays
//! up, gets everything back, and others don't notice.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use floe::wire::{AttributeType, HEADER_LENGTH};
use rand::RngExt as _;

use crate::support::request::set_length;
use crate::support::{ALICE, BOB, Client, Config, Peer, Request, Server};

// H-052 B-049
#[test]
fn what_is_taken_comes_back() {
    let server = Server::start(|_| {});
    let peer = Peer::new();
    let cycle = |client: Client| {
        let mut client = client.user(ALICE);
        client.call(Request::allocate().put(AttributeType(0x7FFE), b""));
        client.call(Request::allocate().put(AttributeType::RESERVATION_TOKEN, &[7; 8]));
        client.call(Request::allocate().family(3));
        client.call(Request::allocate().additional_family(2)).ok();
        client.permit(peer.ip());
        client.bind(0x4000, peer.address());
        client
    };
    let idle = |server: &Server| server.metric("floe_allocations", &[]) == 0.0;
    cycle(Client::udp(&server)).call(Request::refresh(0)).ok();
    server.wait_until("it is idle", || idle(&server));
    let descriptors = server.descriptors();
    for _ in 0..100 {
        cycle(Client::udp(&server)).call(Request::refresh(0)).ok();
        drop(cycle(Client::tcp(&server)));
    }
    server.wait_until("it is idle again", || idle(&server) && server.descriptors() <= descriptors);
    server.expect_metric("floe_permissions", &[], 0.0);
    server.expect_metric("floe_channels", &[], 0.0);
}

// H-042
#[test]
fn connections_of_one_address_are_bounded() {
    let server = Server::start(|config: &mut Config| {
        config.set("limits.tcp-connections-per-address", 5);
    });
    let mut clients: Vec<Client> = (0..5).map(|_| Client::tcp(&server)).collect();
    clients.iter_mut().for_each(|client| _ = client.ping());
    Client::tcp(&server).expect_closed();
    Client::udp(&server).ping();
    drop(clients.pop());
    server.wait_until("there is room again", || {
        let mut stream = TcpStream::connect(server.tcp()).unwrap();
        let binding = Request::binding().bytes();
        stream.write_all(&binding).is_ok() && stream.read(&mut [0; 64]).is_ok_and(|length| length > 0)
    });
}

// H-042
#[test]
#[ignore = "slow: waits for the server's deadline"]
fn a_connection_that_says_nothing_or_half_a_message_is_closed() {
    let server = Server::start(|_| {});
    let binding = Request::binding().bytes();
    let mut streams: Vec<TcpStream> = [0, 1, 19]
        .map(|length| {
            let mut stream = TcpStream::connect(server.tcp()).unwrap();
            stream.write_all(&binding[..length]).unwrap();
            stream
        })
        .into();
    for stream in &mut streams {
        stream.set_read_timeout(Some(std::time::Duration::from_secs(90))).unwrap();
        assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
    }
}

// H-043
#[test]
fn a_stranger_may_not_announce_a_huge_message() {
    let server = Server::start(|_| {});
    // It has ten seconds for its first message, as both have.
    let mut silent = Client::tcp(&server);
    let mut client = Client::tcp(&server);
    let mut huge = Request::binding().bytes();
    set_length(&mut huge, 65_532);
    client.send(&huge);
    client.expect_closed();
    silent.ping();
}

// H-044
#[test]
fn a_packet_full_of_attributes_is_read_once() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let mut packet = Request::binding().bytes();
    let room = 65_504 - HEADER_LENGTH;
    packet.extend([0x80, 0x05, 0, 0].repeat(room / 4));
    let length = packet.len() - HEADER_LENGTH;
    set_length(&mut packet, length);
    for _ in 0..50 {
        client.ask_bytes(&packet).ok();
    }
}

// H-045
#[test]
fn mutated_packets_do_no_harm() {
    mutate(4_000);
}

// H-045
#[test]
#[ignore = "slow: a million packets"]
fn a_million_mutated_packets_do_no_harm() {
    mutate(1_000_000);
}

/// Random bytes, and truncated and mutated valid messages, from a client with
/// and one without an allocation, over UDP and TCP.
fn mutate(packets: usize) {
    let server = Server::start(|_| {});
    let mut bob = Client::udp(&server).user(BOB);
    let relayed = bob.allocate();
    let peer = Peer::new();
    bob.permit(peer.ip());

    let mut random = rand::rng();
    let mut alice = Client::udp(&server).user(ALICE);
    alice.allocate();
    let mut memory = 0;
    for number in 0..packets {
        let mut packet = valid_packet(&mut alice, &peer, number);
        match number % 3 {
            0 => packet = (0..random.random_range(0..200)).map(|_| random.random()).collect(),
            1 => packet.truncate(random.random_range(0..packet.len())),
            _ => {
                let at = random.random_range(0..packet.len());
                packet[at] ^= 1 << random.random_range(0..8);
            }
        }
        if number % 16 == 0 {
            over_tcp(&server, &packet);
        }
        if number % 64 == 0 {
            bob.exchange(relayed, &peer);
            alice.receive_until_pinged();
        }
        alice.send(&packet);
        if number == packets / 4 {
            memory = server.memory();
        }
    }
    bob.exchange(relayed, &peer);
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 8_000, "{grown} KiB more than after a quarter of it");
}

fn valid_packet(alice: &mut Client, peer: &Peer, number: usize) -> Vec<u8> {
    let request = match number % 7 {
        0 => Request::binding().fingerprint(),
        1 => Request::allocate().even_port(true).lifetime(700),
        2 => Request::refresh(600),
        3 => Request::permission(&[peer.ip()]),
        4 => Request::channel_bind(0x4000, peer.address()),
        5 => return Request::send_indication("127.0.0.200:9".parse().unwrap(), b"payload").bytes(),
        _ => return crate::support::client::channel_message(0x4001, b"payload"),
    };
    alice.login().sign(request)
}

/// The server may answer, wait for more or close; all is well as long as it
/// comes to an end when this side does.
fn over_tcp(server: &Server, packet: &[u8]) {
    let mut stream = TcpStream::connect(server.tcp()).expect("it still accepts");
    stream.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    if stream.write_all(packet).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
        let mut answer = Vec::new();
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
        }
    }
}
