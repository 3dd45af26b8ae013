//! What MESSAGE-INTEGRITY and MESSAGE-INTEGRITY-SHA256 cover, and which of them
//! counts (RFC 8489 §9, §14.5, §14.6).

use std::net::IpAddr;

use floe::wire::AttributeType;

use crate::support::request::{append, append_fingerprint, append_sha1, append_sha256};
use crate::support::{ALICE, Client, Peer, Request, Scheme, Server};

const UNKNOWN: AttributeType = AttributeType(0x7FFE);

/// A client with an allocation.
fn allocated(server: &Server, scheme: Scheme) -> Client {
    let mut client = Client::udp(server).user_by(ALICE, scheme);
    client.allocate();
    client
}

//
#[test]
fn integrity_may_be_followed_by_a_stronger_one_and_a_fingerprint() {
    let server = Server::start(|_| {});
    Client::udp(&server).user(ALICE).call(Request::allocate().fingerprint()).ok();

    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    let mut both = login.sign(Request::allocate());
    append_sha256(&mut both, &login.keys.md5);
    append_fingerprint(&mut both);
    // Without PASSWORD-ALGORITHMS the reply is MESSAGE-INTEGRITY's (RFC 8489 §9.2.4).
    client.call_bytes(&both).ok();
}

//
#[test]
fn an_unknown_attribute_behind_the_signature_is_ignored() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let mut request = client.login().sign(Request::allocate());
    append(&mut request, UNKNOWN, b"");
    append_fingerprint(&mut request);
    client.call_bytes(&request).ok();
}

// A-052 A-053
#[test]
fn nobody_on_the_way_can_add_to_a_request() {
    let server = Server::start(|_| {});
    for scheme in [Scheme::Legacy, Scheme::Sha256] {
        let mut client = allocated(&server, scheme);

        let mut refresh = client.login().sign(Request::refresh(600));
        append(&mut refresh, AttributeType::LIFETIME, &[0; 4]);
        append_fingerprint(&mut refresh);
        assert_eq!(client.call_bytes(&refresh).ok().lifetime(), 600);

        let bare = Request::new(floe::wire::Method::REFRESH);
        let mut refresh = client.login().sign(bare);
        append(&mut refresh, AttributeType::LIFETIME, &[0; 4]);
        assert_eq!(client.call_bytes(&refresh).ok().lifetime(), 600);
        assert_eq!(client.call(Request::refresh(700)).ok().lifetime(), 700);
    }
}

//
#[test]
fn nobody_on_the_way_can_add_a_peer() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let [friend, stranger] = ["127.0.0.2", "127.0.0.3"].map(Peer::at);

    let request = Request::permission(&[friend.ip()]);
    let added = request.clone().peer(stranger.address());
    let added = added.bytes();
    let peer_value = added[added.len() - 8..].to_vec();
    let mut signed = client.login().sign(request);
    append(&mut signed, AttributeType::XOR_PEER_ADDRESS, &peer_value);
    client.call_bytes(&signed).ok();

    stranger.send(relayed, b"may not");
    friend.send(relayed, b"may");
    client.expect_data(friend.address(), b"may");
}

//
#[test]
fn sha1_integrity_is_twenty_bytes() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    for length in [0, 16, 24, 32] {
        let mut request = login.name_on(Request::allocate()).bytes();
        append(&mut request, AttributeType::MESSAGE_INTEGRITY, &vec![7; length]);
        client.ask_bytes(&request).assert_challenge(401);
    }
}

//
#[test]
fn sha256_integrity_is_never_truncated() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user_by(ALICE, Scheme::Sha256);
    let login = client.login().clone();
    let whole = login.sign(Request::allocate());
    let tag = &whole[whole.len() - 32..];
    for length in [16, 20, 24, 28] {
        let mut request = login.name_on(Request::allocate()).bytes();
        append(&mut request, AttributeType::MESSAGE_INTEGRITY_SHA256, &tag[..length]);
        client.ask_bytes(&request).assert_challenge(401);
    }
    for length in [0, 12, 33, 36] {
        let mut request = login.name_on(Request::allocate()).bytes();
        append(&mut request, AttributeType::MESSAGE_INTEGRITY_SHA256, &vec![7; length]);
        let code = client.ask_bytes(&request).code();
        assert!(code == 401 || code == 400, "{length}: {code}");
    }
}

//
#[test]
fn the_stronger_of_two_counts() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    let right = login.keys.md5;

    let mut request = login.name_on(Request::allocate()).bytes();
    append_sha1(&mut request, &right);
    append_sha256(&mut request, b"a wrong key");
    client.ask_bytes(&request).assert_challenge(401);

    let mut request = login.name_on(Request::allocate()).bytes();
    append_sha1(&mut request, b"a wrong key");
    append_sha256(&mut request, &right);
    client.ask_bytes(&request).ok();
}

//
#[test]
fn an_indication_is_not_authenticated() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::new();
    client.permit(peer.ip());
    client.send(&Request::send_indication(peer.address(), b"as if absent").sign_sha1(b"garbage"));
    peer.expect(b"as if absent", relayed);
}

// A-051 A-072
#[test]
fn both_schemes_work_for_every_request() {
    let server = Server::start(|_| {});
    let peer: IpAddr = "127.0.0.9".parse().unwrap();
    for scheme in [Scheme::Legacy, Scheme::Sha256, Scheme::UserHash] {
        let mut client = allocated(&server, scheme);
        client.permit(peer);
        client.bind(0x4000, (peer, 9).into());
        assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
    }
}
