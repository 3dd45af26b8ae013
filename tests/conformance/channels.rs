//! Channels: four bytes instead of an indication (RFC 8656 §12).

use std::net::SocketAddr;

use floe::wire::{AttributeType, Method};

use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Peer, Request, Server};

fn allocated(server: &Server) -> (Client, SocketAddr) {
    let mut client = Client::udp(server).user(ALICE);
    let relayed = client.allocate();
    (client, relayed)
}

// B-130 B-136 B-139 B-143
#[test]
fn a_channel_carries_both_ways_and_permits() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        for (channel, host) in [(0x4000, "127.0.0.2"), (0x4FFF, "127.0.0.3")] {
            let [peer, same_host] = [host, host].map(Peer::at);
            client.bind(channel, peer.address());
            client.send_channel(channel, b"there");
            peer.expect(b"there", relayed);
            peer.send(relayed, b"back");
            client.expect_channel(channel, b"back");
            // The permission is for the address, the channel for the port too.
            same_host.send(relayed, b"beside");
            client.expect_data(same_host.address(), b"beside");
        }
    }
}

// B-139 B-145
#[test]
fn every_length_passes_without_its_padding() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        let relayed = client.allocate();
        let peer = Peer::new();
        client.bind(0x4000, peer.address());
        for length in (0..=64).chain(1496..=1500) {
            let payload = vec![0xAB; length];
            client.send_channel(0x4000, &payload);
            peer.expect(&payload, relayed);
            peer.send(relayed, &payload);
            client.expect_channel(0x4000, &payload);
        }
    }
}

// B-131
#[test]
fn a_channel_number_is_in_its_range() {
    let server = Server::start(|_| {});
    let (mut client, _) = allocated(&server);
    let peer: SocketAddr = "127.0.0.2:9".parse().unwrap();
    for number in [0, 0x0001, 0x3FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF] {
        assert_eq!(client.call(Request::channel_bind(number, peer)).code(), 400, "{number:#x}");
    }
    let bare = || Request::new(Method::CHANNEL_BIND);
    assert_eq!(client.call(bare().peer(peer)).code(), 400);
    assert_eq!(client.call(bare().channel(0x4000)).code(), 400);
    assert_eq!(client.call(bare().peer(peer).put(AttributeType::CHANNEL_NUMBER, &[0x40, 0])).code(), 400);
    // The bits reserved for future use.
    let reserved = bare().peer(peer).put(AttributeType::CHANNEL_NUMBER, &[0x40, 0, 0xFF, 0xFF]);
    client.call(reserved).ok();
}

// B-131 Q-15
#[test]
fn the_old_range_can_be_had() {
    let server = Server::start(|config| _ = config.set("relay.legacy-channels", true));
    let (mut client, relayed) = allocated(&server);
    let peer = Peer::new();
    client.bind(0x7FFE, peer.address());
    client.send_channel(0x7FFE, b"old");
    peer.expect(b"old", relayed);
    peer.send(relayed, b"still");
    client.expect_channel(0x7FFE, b"still");
    assert_eq!(client.call(Request::channel_bind(0x3FFF, peer.address())).code(), 400);
    assert_eq!(client.call(Request::channel_bind(0x8000, peer.address())).code(), 400);
}

// B-132 B-133 B-149
#[test]
fn a_channel_keeps_its_peer_and_a_peer_its_channel() {
    let server = Server::start(|_| {});
    let (mut client, relayed) = allocated(&server);
    let [one, same_host, other] = ["127.0.0.2", "127.0.0.2", "127.0.0.3"].map(Peer::at);
    let request = client.login().sign(Request::channel_bind(0x4000, one.address()));
    client.call_bytes(&request).ok();
    for peer in [&other, &same_host] {
        assert_eq!(client.call(Request::channel_bind(0x4000, peer.address())).code(), 400);
    }
    assert_eq!(client.call(Request::channel_bind(0x4001, one.address())).code(), 400);

    client.call_bytes(&request).ok();
    client.bind(0x4000, one.address());
    client.send_channel(0x4000, b"still bound");
    one.expect(b"still bound", relayed);
    client.bind(0x4001, same_host.address());
    client.send_channel(0x4001, b"bound too");
    same_host.expect(b"bound too", relayed);
}

// B-134
#[test]
fn a_forbidden_peer_gets_no_channel() {
    let server = Server::start(|_| {});
    let (mut client, _) = allocated(&server);
    let forbidden = "10.0.0.1:9".parse().unwrap();
    assert_eq!(client.call(Request::channel_bind(0x4000, forbidden)).code(), 403);
}

// B-140
#[test]
fn a_datagram_holds_what_its_header_says() {
    let server = Server::start(|_| {});
    let (mut client, relayed) = allocated(&server);
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    let whole = channel_message(0x4000, b"five!");
    for length in 1..whole.len() {
        client.expect_silence(&whole[..length]);
    }
    for extra in 0..5 {
        let mut longer = whole.clone();
        longer.resize(whole.len() + extra, 0xEE);
        client.send(&longer);
        peer.expect(b"five!", relayed);
    }
}

// B-141
#[test]
fn an_unbound_channel_leads_nowhere() {
    let server = Server::start(|_| {});
    let (mut client, relayed) = allocated(&server);
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    for number in [0x4001, 0x4FFF, 0x5000, 0x7FFF, 0x8000, 0xFFFF] {
        client.expect_silence(&channel_message(number, b"lost"));
    }
    client.send_channel(0x4000, b"found");
    peer.expect(b"found", relayed);
}

// B-144
#[test]
fn to_a_udp_client_channel_data_is_not_padded() {
    let server = Server::start(|_| {});
    let (mut client, relayed) = allocated(&server);
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    for length in 0..9 {
        peer.send(relayed, &vec![9; length]);
        assert_eq!(client.receive(), channel_message(0x4000, &vec![9; length]));
    }
}

// B-148 H-041
#[test]
fn channels_are_bounded() {
    let server = Server::start(|_| {});
    let (mut client, _) = allocated(&server);
    let refused = (0x4000..=0x4FFF).find_map(|number| {
        let peer = SocketAddr::new("127.0.0.2".parse().unwrap(), number);
        let reply = client.call(Request::channel_bind(number, peer));
        (!reply.is_success()).then(|| reply.code())
    });
    assert!(refused.is_none() || refused == Some(508), "{refused:?}");
    client.call(Request::refresh(600)).ok();
}
