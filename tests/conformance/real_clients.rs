//! What real clients put on the wire, byte for byte where it matters, and what
//! they need in return. Their habits over hours are in tests/engine.

use std::net::SocketAddr;

use floe::wire::{AttributeType, address};

use super::rest_credentials::{hour_from_now, rest_password};
use crate::support::client::channel_message;
use crate::support::{
    ALICE, Client, Config, Peer, Reply, Request, SECRET, Scheme, Server, User, own_address,
};

/// libwebrtc's first Allocate: REQUESTED-TRANSPORT and nothing else.
//
#[test]
fn libwebrtc_begins_with_28_bytes() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::udp6(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        let first = Request::allocate();
        assert_eq!(first.bytes().len(), 28);
        let challenge = client.ask(&first);
        challenge.assert_challenge(401);
        assert!(!challenge.realm().is_empty() && !challenge.nonce().is_empty());
        // And with TURN_LOGGING_ID, when the application has set one.
        client.ask(&first.put(AttributeType(0xFF05), b"a session")).assert_challenge(401);
        // It signs once: what comes then is no 401 and no 438.
        client.allocate();
    }
}

/// A 438 to Allocate ends libwebrtc's attempt: the server that it is brought to
/// next, or the same one after a restart, has to believe the nonce.
// Q-1 A-089
#[test]
fn libwebrtc_may_be_challenged_by_one_server_and_served_by_the_next() {
    let address = SocketAddr::new(own_address().into(), 20_000);
    let start = || {
        Server::start(|config: &mut Config| {
            config.secret_only().set("listen.udp", vec![address.to_string()]);
        })
    };
    let name = format!("{}:carol", hour_from_now());
    let password = rest_password(SECRET, &name);
    let server = start();
    let mut client = Client::udp_from("127.0.0.1".parse().unwrap(), address)
        .user(User { name: &name, password: &password });
    client.challenge();
    drop(server);
    let _next = start();
    client.allocate();
}

//
#[test]
fn libwebrtc_refreshes_without_a_lifetime_and_deletes_with_zero() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(Request::allocate()).ok().lifetime(), 600);
    assert_eq!(client.call(Request::new(floe::wire::Method::REFRESH)).ok().lifetime(), 600);
    assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
    server.expect_metric("floe_allocations", &[], 0.0);
}

/// It takes a new socket at 437, and one of its own family at 300; a refused
/// CreatePermission costs it that one candidate pair.
//
#[test]
fn libwebrtc_tries_again_from_elsewhere_or_with_another_peer() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    assert_eq!(client.call(Request::allocate()).code(), 437);
    Client::udp(&server).user(ALICE).allocate();
    assert_eq!(client.call(Request::permission(&["10.0.0.1".parse().unwrap()])).code(), 403);
    let peer = Peer::new();
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
}

/// Both browsers want one of their own family, and libwebrtc reads the first alone.
// Q-5 Q-8
#[test]
fn browsers_are_sent_to_a_server_of_their_own_family_first() {
    let others = ["203.0.113.5:3478", "[2001:db8:5::1]:3478"];
    let server = Server::start(|config| {
        config.set("relay.alternate-servers", others.to_vec()).set("limits.allocations", 1);
    });
    Client::udp(&server).user(ALICE).allocate();
    for (client, first, second) in
        [(Client::udp(&server), others[0], others[1]), (Client::udp6(&server), others[1], others[0])]
    {
        let reply = client.user(ALICE).call(Request::allocate());
        assert_eq!(reply.code(), 300);
        let message = reply.message();
        let told: Vec<SocketAddr> = message
            .attributes()
            .filter(|attribute| attribute.kind == AttributeType::ALTERNATE_SERVER)
            .map(|attribute| address::decode(attribute.value).unwrap())
            .collect();
        assert_eq!(told, [first, second].map(|text| text.parse::<SocketAddr>().unwrap()));
    }
}

/// Over TCP it pads ChannelData to four bytes and expects the same.
// Q-6 Q-10
#[test]
fn libwebrtc_and_aioice_pad_over_tcp() {
    let server = Server::start(|_| {});
    let mut client = Client::tcp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.bind(0x4000, peer.address());
    for length in 0..9 {
        let payload = vec![0xA5; length];
        let mut frame = channel_message(0x4000, &payload);
        frame.resize(frame.len().next_multiple_of(4), 0);
        // The next message begins in the same segment.
        frame.extend(Request::binding().bytes());
        client.send(&frame);
        peer.expect(&payload, relayed);
        assert_eq!(client.receive()[..2], [1, 1]);
        peer.send(relayed, &payload);
        client.expect_channel(0x4000, &payload);
    }
}

/// Firefox repeats itself after 100 ms, relays by Send and Data alone, and takes
/// 403 as the only error of CreatePermission.
// Q-7 Q-8
#[test]
fn firefox_is_served_by_indications() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let request = client.login().sign(Request::allocate().lifetime(3600));
    for _ in 0..3 {
        client.send(&request);
    }
    let replies: Vec<_> = (0..3).map(|_| Reply::to(&request, client.receive()).ok()).collect();
    let relayed = replies[0].relayed();
    // What is left of it may have lost a second since the first answer.
    assert!(
        replies.iter().all(|reply| reply.relayed() == relayed && (3590..=3600).contains(&reply.lifetime()))
    );
    server.expect_metric("floe_allocations", &[], 1.0);
    let [peer, stranger] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);
    for denied in ["10.0.0.1", "192.168.1.1", "169.254.169.254", "224.0.0.1", "0.0.0.0"] {
        assert_eq!(client.call(Request::permission(&[denied.parse().unwrap()])).code(), 403);
    }
    client.permit(peer.ip());
    stranger.send(relayed, b"from nobody it knows");
    client.exchange(relayed, &peer);
    let goodbye = client.login().sign(Request::refresh(0));
    client.send(&goodbye);
    server.expect_metric("floe_allocations", &[], 0.0);
}

/// libjuice follows RFC 8489 and reads the cookie's bits from the other end; it
/// may find any of the ways to log in.
//
#[test]
fn libjuice_logs_in_whichever_way_it_finds() {
    let server = Server::start(|_| {});
    for scheme in [Scheme::Legacy, Scheme::Sha256, Scheme::UserHash] {
        let mut client = Client::udp(&server).user_by(ALICE, scheme);
        let relayed = client.allocate();
        let peer = Peer::new();
        client.permit(peer.ip());
        client.exchange(relayed, &peer);
    }
}
