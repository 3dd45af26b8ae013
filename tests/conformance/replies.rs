//! What every reply owes: no byte that isn't meant, no reply larger than a path
//! carries, a FINGERPRINT for those who sent one. [`Reply::to`] checks most of
//! it in all other tests too.

use floe::wire::AttributeType;

use crate::support::{ALICE, Client, Peer, Request, Server};

/// Requests that end in every kind of reply.
fn requests() -> [Request; 4] {
    let unknown = AttributeType(0x7FFE);
    [
        Request::binding(),
        Request::allocate(),
        Request::binding().put(unknown, b""),
        Request::permission(&["127.0.0.1".parse().unwrap()]),
    ]
}

// A-017 A-032 A-037 H-064
#[test]
fn padding_never_shows_what_was_there_before() {
    let server = Server::start(|_| {});
    let mut alice = Client::udp(&server).user(ALICE);
    let relayed = alice.allocate();
    let peer = Peer::new();
    alice.permit(peer.ip());
    for round in 0..250 {
        alice.send_to(peer.address(), &[0xFF; 1111]);
        peer.expect(&[0xFF; 1111], relayed);
        let payload = vec![0xFF; round % 7];
        peer.send(relayed, &payload);
        alice.expect_data(peer.address(), &payload);
        for request in requests() {
            alice.ask(&request);
        }
    }
}

//
#[test]
fn a_reply_has_a_fingerprint_when_its_request_has() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    for request in requests() {
        assert!(!client.ask(&request).message().has_fingerprint());
        assert!(client.ask(&request.fingerprint()).message().has_fingerprint());
    }
    assert!(client.call(Request::allocate().fingerprint()).ok().message().has_fingerprint());
}

/// By name, without a version.
// B-008 A-038 H-065
#[test]
fn who_has_logged_in_is_told_what_runs_here() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client.user(ALICE);
        for request in [Request::allocate(), Request::refresh(600), Request::refresh(0)] {
            assert_eq!(client.call(request).ok().text(AttributeType::SOFTWARE), "floe");
        }
    }
}

// A-038 H-065
#[test]
fn a_stranger_is_not_told_what_runs_here() {
    let server = Server::start(|_| {});
    for mut client in [Client::udp(&server), Client::udp6(&server)] {
        for request in requests() {
            assert!(!client.ask(&request).has(AttributeType::SOFTWARE));
        }
    }
}
