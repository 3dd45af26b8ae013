//! Allocate (RFC 8656 §7.2).

use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, BOB, Client, Peer, Reply, Request, Scheme, Server};

fn transport(value: &[u8]) -> Request {
    Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, value)
}

// B-001 B-020 Q-2
#[test]
fn a_client_gets_a_relay() {
    let server = Server::start(|_| {});
    for client in [Client::udp(&server), Client::udp6(&server), Client::tcp(&server), Client::tcp6(&server)] {
        let mut client = client.user(ALICE);
        let reply = client.call(Request::allocate()).ok();
        assert_eq!(reply.mapped(), client.local());
        assert_eq!(reply.relayed().ip().to_string(), "127.0.0.1");
        assert_eq!(reply.lifetime(), 600);
        assert!(!reply.has(AttributeType::RESERVATION_TOKEN));

        let peer = Peer::new();
        client.permit(peer.ip());
        client.exchange(reply.relayed(), &peer);
        assert_eq!(client.call(Request::refresh(0)).ok().lifetime(), 0);
        assert_eq!(client.call(Request::refresh(600)).code(), 437);
    }
}

// B-021
#[test]
fn a_retransmission_gets_the_same_relay() {
    let server = Server::start(|_| {});
    for scheme in [Scheme::Legacy, Scheme::Sha256] {
        let mut client = Client::udp(&server).user_by(ALICE, scheme);
        let request = client.login().sign(Request::allocate().even_port(true));
        let first = client.call_bytes(&request).ok();
        for _ in 0..3 {
            let again = client.call_bytes(&request).ok();
            assert_eq!(again.relayed(), first.relayed());
            let token = AttributeType::RESERVATION_TOKEN;
            assert_eq!(again.get(token), first.get(token));
        }
    }
    server.expect_metric("floe_allocations", &[], 2.0);
}

// B-021
#[test]
fn a_burst_of_retransmissions_is_one_allocation() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let request = client.login().sign(Request::allocate());
    for _ in 0..7 {
        client.send(&request);
    }
    let first = client.call_bytes(&request).ok().relayed();
    // Those sent before may have been absorbed or answered; none made a relay.
    for packet in client.receive_until_pinged() {
        assert_eq!(Reply::to(&request, packet).ok().relayed(), first);
    }
    server.expect_metric("floe_allocations", &[], 1.0);
}

// B-022
#[test]
fn a_second_allocation_on_the_same_five_tuple_is_a_mismatch() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    assert_eq!(client.call(Request::allocate()).code(), 437);

    let mut bob = client.user(BOB);
    bob.challenge();
    assert_eq!(bob.call(Request::allocate()).code(), 437);

    let mut alice = bob.user(ALICE);
    let peer = Peer::new();
    alice.permit(peer.ip());
    alice.exchange(relayed, &peer);
}

// B-023
#[test]
fn a_refused_request_is_refused_again() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let unsigned = Request::allocate().bytes();
    let refused = client.login().sign(transport(&[132, 0, 0, 0]));
    for _ in 0..3 {
        client.ask_bytes(&unsigned).assert_challenge(401);
        assert_eq!(client.call_bytes(&refused).code(), 442);
    }
    assert_eq!(client.call(Request::refresh(600)).code(), 437);
}

// B-024
#[test]
fn a_transport_must_be_asked_for() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(Request::new(Method::ALLOCATE)).code(), 400);
    for value in [[].as_slice(), &[17], &[17, 0, 0], &[17, 0, 0, 0, 0, 0, 0, 0]] {
        assert_eq!(client.call(transport(value)).code(), 400, "{value:?}");
    }
}

// B-025 C-023
#[test]
fn another_transport_is_not_supported() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    for protocol in [0, 1, 6, 132, 255] {
        assert_eq!(client.call(transport(&[protocol, 0, 0, 0])).code(), 442, "{protocol}");
    }
    let mut client = Client::tcp(&server).user(ALICE);
    assert_eq!(client.call(transport(&[6, 0, 0, 0])).code(), 442);
    // The bits reserved for future use.
    client.call(transport(&[17, 0xFF, 0xFF, 0xFF])).ok();
}

// B-026
#[test]
fn dont_fragment_is_taken() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.call(Request::allocate().put(AttributeType::DONT_FRAGMENT, b"")).ok();
}

// B-042
#[test]
fn a_lifetime_is_at_least_ten_minutes_and_at_most_an_hour() {
    let server = Server::start(|_| {});
    let granted = |request: Request| Client::udp(&server).user(ALICE).call(request).ok().lifetime();
    assert_eq!(granted(Request::allocate()), 600);
    for (asked, given) in [
        (0, 600),
        (1, 600),
        (599, 600),
        (601, 601),
        (1800, 1800),
        (3600, 3600),
        (3601, 3600),
        (u32::MAX, 3600),
    ] {
        assert_eq!(granted(Request::allocate().lifetime(asked)), given, "{asked} asked");
    }
}

// B-042
#[test]
fn a_lifetime_has_four_bytes() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    for value in [[].as_slice(), &[2, 0x58], &[0; 8]] {
        assert_eq!(client.call(Request::allocate().put(AttributeType::LIFETIME, value)).code(), 400);
    }
}

// B-053
#[test]
fn a_refusal_leaves_the_way_free() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    assert_eq!(client.call(transport(&[132, 0, 0, 0])).code(), 442);
    assert_eq!(client.call(Request::allocate().put(AttributeType::RESERVATION_TOKEN, &[1; 8])).code(), 508);
    client.allocate();
}
