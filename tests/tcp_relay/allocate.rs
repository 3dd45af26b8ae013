//! Allocate with REQUESTED-TRANSPORT TCP (RFC 6062 §5.1), and what a TCP
//! allocation is not.

use floe::wire::{AttributeType, Method};

use super::parties::{Refused as _, allocate, connect, connect_from, control, server};
use crate::support::{ALICE, BOB, Client, Peer, Request, Server};

// C-023
#[test]
fn off_unless_asked_for() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server).user(ALICE);
    client.call(allocate()).refused(442);
    let connect = client.login().sign(connect(([127, 0, 0, 1], 9).into()));
    client.expect_silence(&connect);
}

// C-001
#[test]
fn another_transport_is_none() {
    let server = server();
    for protocol in [0, 1, 33, 132, 255] {
        let request =
            Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[protocol, 0, 0, 0]);
        Client::tcp(&server).user(ALICE).call(request).refused(442);
    }
}

// C-002
#[test]
fn not_over_udp() {
    let server = server();
    Client::udp(&server).user(ALICE).call(allocate()).refused(400);
}

// C-003
#[test]
fn not_with_what_is_for_datagrams() {
    let server = server();
    let contradictions = [
        allocate().put(AttributeType::DONT_FRAGMENT, &[]),
        allocate().even_port(false),
        allocate().even_port(true),
        allocate().put(AttributeType::RESERVATION_TOKEN, &[1; 8]),
    ];
    for request in contradictions {
        Client::tcp(&server).user(ALICE).call(request).refused(400);
    }
}

// C-004
#[test]
fn a_relay_listens_and_promises_no_other() {
    let server = server();
    for family in [1, 2] {
        let mut client = Client::tcp(&server).user(ALICE);
        let reply = client.call(allocate().family(family)).ok();
        assert!(!reply.has(AttributeType::RESERVATION_TOKEN));
        assert_eq!(reply.relayed().is_ipv6(), family == 2);
        assert_eq!(reply.mapped(), client.local());
        let ip = if family == 1 { "127.0.0.1" } else { "::1" };
        connect_from(ip, reply.relayed());
    }
}

// C-004
#[test]
fn both_families_at_once() {
    let server = server();
    let mut client = Client::tcp(&server).user(ALICE);
    let reply = client.call(allocate().additional_family(2)).ok();
    let [v4, v6] = reply.all_relayed()[..] else { panic!("two relayed addresses") };
    connect_from("127.0.0.1", v4);
    connect_from("::1", v6);
    // One of the two is deleted, the other stays.
    client.call(Request::refresh(0).family(1)).ok();
    server.wait_until("the IPv4 relay is closed", || std::net::TcpStream::connect(v4).is_err());
    connect_from("::1", v6);
}

// C-004 C-023
#[test]
fn a_udp_relay_is_still_to_be_had() {
    let server = server();
    let mut client = Client::tcp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
}

// C-020
#[test]
fn nothing_for_datagrams_on_a_tcp_relay() {
    let server = server();
    let (mut client, relayed) = control(&server);
    let peer = Peer::new();
    client.permit(peer.ip());
    client.call(Request::channel_bind(0x4000, peer.address())).refused(400);
    client.send_to(peer.address(), b"nowhere");
    client.send_channel(0x4000, b"nowhere");
    client.ping();
    // Of the three, none has come: this is the first datagram.
    peer.send(peer.address(), b"first");
    peer.expect(b"first", peer.address());
    // Nor does a datagram come in, by way of another relay of this server.
    let mut other = Client::udp(&server).user(BOB);
    other.allocate();
    other.permit(relayed.ip());
    other.send_to(relayed, b"nowhere");
    other.ping();
    assert_eq!(client.receive_until_pinged(), Vec::<Vec<u8>>::new());
}
