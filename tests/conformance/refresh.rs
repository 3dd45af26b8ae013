//! Refresh: longer, shorter, over (RFC 8656 §8.2).

use std::net::UdpSocket;

use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Peer, Request, Server};

// B-060
#[test]
fn a_lifetime_follows_the_last_refresh() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    assert_eq!(client.call(Request::new(Method::REFRESH)).ok().lifetime(), 600);
    for (asked, given) in [(1, 600), (3600, 3600), (600, 600), (1234, 1234), (3601, 3600), (u32::MAX, 3600)] {
        assert_eq!(client.call(Request::refresh(asked)).ok().lifetime(), given, "{asked} asked");
    }
}

// B-061
#[test]
fn a_lifetime_of_zero_ends_it_all() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        let peer = Peer::new();
        client.bind(0x4000, peer.address());
        assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
        assert_eq!(client.call(Request::refresh(600)).code(), 437);
        server.wait_until("the relay port is free", || UdpSocket::bind(relayed).is_ok());

        // Neither permission nor channel outlives it.
        let relayed = client.allocate();
        client.send_channel(0x4000, b"not bound");
        client.expect_silence(&Request::send_indication(peer.address(), b"not permitted").bytes());
        let dropped = || server.metric("floe_dropped_packets_total", &["no_permission"]);
        let before = dropped();
        peer.send(relayed, b"not permitted");
        server.wait_until("it is dropped", || dropped() == before + 1.0);
        client.permit(peer.ip());
        client.exchange(relayed, &peer);
    }
    server.expect_metric("floe_channels", &[], 0.0);
}

// B-062
#[test]
fn a_second_goodbye_does_no_harm() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    let goodbye = client.login().sign(Request::refresh(0));
    client.call_bytes(&goodbye).ok();
    for _ in 0..3 {
        let again = client.call_bytes(&goodbye);
        assert!(again.code() == 437 || again.is_success());
    }
    client.allocate();
}

// B-065
#[test]
fn a_lifetime_has_four_bytes() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    for value in [[].as_slice(), &[0], &[0, 0], &[0; 8]] {
        let request = Request::new(Method::REFRESH).put(AttributeType::LIFETIME, value);
        assert_eq!(client.call(request).code(), 400, "{value:?}");
    }
    client.call(Request::refresh(600)).ok();
}

// B-066
#[test]
fn a_stale_nonce_changes_nothing() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    client.login().nonce = "stale".into();
    let refusal = client.call(Request::refresh(0));
    refusal.assert_challenge(438);
    client.login().nonce = refusal.nonce().into();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.call(Request::refresh(0)).ok();
}
