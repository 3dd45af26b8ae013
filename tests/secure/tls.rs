//! TURN over TLS.

use std::io::{Read as _, Write as _};

use floe::wire::AttributeType;
use tokio_rustls::rustls::ALL_VERSIONS;
use tokio_rustls::rustls::version::{TLS12, TLS13};

use crate::support::authority::{HOST, client};
use crate::support::client::channel_message;
use crate::support::{ALICE, Authority, Client, Peer, Request, Scheme, Server};

/// Everything that a call takes.
pub(crate) fn whole_call(client: Client) {
    let mut client = client.user(ALICE);
    assert_eq!(client.ping().mapped(), client.local());
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.bind(0x4000, peer.address());
    // Unpadded both ways over datagrams.
    client.send_channel(0x4000, b"odd");
    peer.expect(b"odd", relayed);
    peer.send(relayed, b"and odd");
    assert_eq!(client.receive(), channel_message(0x4000, b"and odd"));
    client.call(Request::refresh(0)).ok();
}

// A-027 B-001
#[test]
fn an_allocation_relays_from_its_first_request_to_its_last() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    for version in [&TLS12, &TLS13] {
        for address in server.all("tls") {
            let socket = std::net::TcpStream::connect(address).unwrap();
            let stream = authority.handshake(socket, HOST, authority.client(&[version])).unwrap();
            whole_call(client(stream));
        }
    }
    server.expect_metric("floe_allocations_opened_total", &["transport=\"tls\""], 4.0);
    server.expect_metric("floe_tls_handshakes_total", &["outcome=\"done\""], 4.0);
    server.expect_some("floe_client_bytes_total", &["transport=\"tls\"", "direction=\"out\""]);
    server.logs("tls");
}

//
#[test]
fn a_client_is_told_the_name_of_the_server_it_is_sent_to() {
    let authority = Authority::new();
    let server = Server::start(|config| {
        authority.secure(config);
        let fields = [("address", "203.0.113.5:5349"), ("domain", "turn2.tests.example")];
        let other = toml::Table::from_iter(fields.map(|(key, value)| (key.to_owned(), value.into())));
        config.set("relay.alternate-servers", vec![other]).set("limits.allocations", 1);
    });
    Client::udp(&server).user(ALICE).allocate();
    let address = server.all("tls")[0];
    for (client, told) in [
        (authority.over_tls(address).user_by(ALICE, Scheme::Sha256), Some(&b"turn2.tests.example"[..])),
        (authority.over_tls(address).user(ALICE), None),
        (Client::tcp(&server).user_by(ALICE, Scheme::Sha256), None),
    ] {
        let mut client = client;
        let reply = client.call(Request::allocate());
        assert_eq!((reply.code(), reply.get(AttributeType::ALTERNATE_DOMAIN)), (300, told));
    }
}

// B-144 B-145
#[test]
fn frames_come_whole_however_records_cut_them() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let mut client = authority.over_tls(server.all("tls")[0]).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    // Each write is a record.
    let mut frame = channel_message(0x4000, b"piece by piece");
    frame.resize(frame.len().next_multiple_of(4), 0);
    for byte in frame {
        client.send(&[byte]);
    }
    peer.expect(b"piece by piece", relayed);
    // Many frames in as many records as they take.
    let mut frames = Vec::new();
    for number in 0..40_u16 {
        frames.extend(channel_message(0x4000, &[number as u8; 1000]));
    }
    client.send(&frames);
    for number in 0..40_u16 {
        peer.expect(&[number as u8; 1000], relayed);
        peer.send(relayed, &[number as u8; 1000]);
    }
    for number in 0..40_u16 {
        client.expect_channel(0x4000, &[number as u8; 1000]);
    }
    // The largest that a datagram carries spans several records both ways.
    let large = vec![7; 65_000];
    client.send_channel(0x4000, &large);
    peer.expect(&large, relayed);
    peer.send(relayed, &large);
    client.expect_channel(0x4000, &large);
}

// B-162
#[test]
fn a_client_that_does_not_read_loses_packets_and_keeps_its_session() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let mut slow = authority.over_tls(server.all("tls")[0]).user(ALICE);
    let relayed = slow.allocate();
    let peer = Peer::new();
    slow.bind(0x4000, peer.address());
    let memory = server.memory();
    server.wait_until("packets are dropped", || {
        (0..200).for_each(|_| peer.send(relayed, &[9; 8_000]));
        server.metric("floe_dropped_packets_total", &["slow_client"]) > 0.0
    });
    let grown = server.memory().saturating_sub(memory);
    assert!(grown < 16_000, "{grown} KiB for one slow client");
    // What was kept comes out whole, and the answer to a request behind it.
    let before = slow.receive_until_pinged();
    assert!(!before.is_empty());
    assert!(before.iter().all(|packet| packet == &channel_message(0x4000, &[9; 8_000])));
}

// B-161
#[test]
fn a_closed_session_ends_its_allocation() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    // With a goodbye, and without.
    for polite in [true, false] {
        let mut stream = authority.connect(server.all("tls")[0]);
        if polite {
            stream.conn.send_close_notify();
        }
        let mut client = client(authority.connect(server.all("tls")[0])).user(ALICE);
        client.allocate();
        drop(stream);
        drop(client);
        server.expect_metric("floe_allocations", &[], 0.0);
    }
    server.expect_metric("floe_tcp_connections", &[], 0.0);
}

#[test]
fn a_stream_that_is_no_turn_ends_with_a_goodbye() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let mut stream = authority.connect(server.all("tls")[0]);
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    // A stream that is cut instead is an error of rustls's.
    assert_eq!(stream.read(&mut [0; 64]).unwrap(), 0);
}

// E-039
#[test]
fn nothing_is_taken_before_the_handshake() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let mut config = authority.client(ALL_VERSIONS);
    config.enable_early_data = true;
    for round in 0..2 {
        let socket = std::net::TcpStream::connect(server.all("tls")[0]).unwrap();
        let mut stream = authority.handshake(socket, HOST, config.clone()).unwrap();
        assert!(stream.conn.early_data().is_none(), "the ticket of round {round} allows early data");
        assert!(!stream.conn.is_early_data_accepted());
        let resumed = stream.conn.handshake_kind() == Some(tokio_rustls::rustls::HandshakeKind::Resumed);
        assert_eq!(resumed, round == 1);
        // Tickets come with the first bytes.
        let mut client = client(stream);
        client.ping();
    }
}

#[test]
fn tcp_beside_it_goes_on_as_before() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    let _tls = authority.over_tls(server.all("tls")[0]).ping();
    let mut plain = Client::tcp(&server).user(ALICE);
    let relayed = plain.allocate();
    let peer = Peer::new();
    plain.permit(peer.ip());
    plain.exchange(relayed, &peer);
    server.expect_metric("floe_allocations", &["transport=\"tcp\""], 1.0);
}
