//! Allocate: what a success says, and which mistake gets which error.

use floe::relay::DropReason;
use floe::wire::AttributeType;

use crate::client::{Client, MODERN, Request, Signing};
use crate::world::{RELAY_V4, Sent, World, addr};

fn code(request: &Request) -> u16 {
    let mut world = World::new();
    let code = Client::alice().request(&mut world, request).code();
    if code != 0 {
        world.assert_empty();
    }
    code
}

// B-020 B-047 B-052 B-008 A-036
#[test]
fn a_success_tells_both_addresses_and_the_lifetime() {
    for signing in [Signing::Legacy, MODERN] {
        let mut world = World::new();
        let mut alice = Client::alice().signing(signing);
        let answer = alice.request(&mut world, &Request::allocate());
        let [relayed] = answer.relayed()[..] else { panic!("one relayed address") };
        assert_eq!(relayed.ip().to_string(), RELAY_V4, "the one advertised, not the one bound");
        assert!(relayed.port() >= 49152);
        assert_eq!(answer.lifetime(), 600);
        let mapped = answer.message().xor_address(AttributeType::XOR_MAPPED_ADDRESS);
        assert_eq!(mapped, Some(Ok(addr("192.0.2.1:4000"))));
        assert_eq!(answer.get(AttributeType::SOFTWARE), Some(b"floe".to_vec()));
        assert_eq!(answer.token(), None);
    }
}

// B-024 B-025
#[test]
fn the_transport_has_to_be_udp() {
    let with = |value: &[u8]| {
        Request::allocate()
            .without(AttributeType::REQUESTED_TRANSPORT)
            .with(AttributeType::REQUESTED_TRANSPORT, value)
    };
    assert_eq!(code(&Request::allocate().without(AttributeType::REQUESTED_TRANSPORT)), 400);
    assert_eq!(code(&with(&[17])), 400);
    assert_eq!(code(&with(&[17, 0, 0, 0, 0])), 400);
    for protocol in [0, 1, 6, 132] {
        assert_eq!(code(&with(&[protocol, 0, 0, 0])), 442);
    }
    assert_eq!(code(&with(&[17, 0xFF, 0xFF, 0xFF])), 0, "the reserved bits say nothing");
}

// B-051 A-021
#[test]
fn what_is_not_understood_is_listed_after_authentication() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let unknown = |n: u16| AttributeType(n);
    let request = Request::allocate().with(unknown(0x7FFD), &[]).with(unknown(0x7FFE), &[1]);
    let unsigned = alice.ask(&mut world, &request.unsigned(alice.id));
    assert_eq!(unsigned.code(), 401);
    let answer = alice.request(&mut world, &request);
    assert_eq!(answer.code(), 420);
    assert_eq!(answer.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(vec![0x7F, 0xFD, 0x7F, 0xFE]));
    assert_eq!(alice.request(&mut world, &Request::allocate().with(unknown(0xC057), &[])).code(), 0);
}

//
#[test]
fn a_long_list_of_unknown_attributes_is_cut() {
    let mut world = World::new();
    let request = (0x4000..0x4200).fold(Request::allocate(), |r, n| r.with(AttributeType(n), &[]));
    let answer = Client::alice().request(&mut world, &request);
    assert_eq!((answer.code(), answer.bytes.len() <= 548), (420, true));
}

// B-042
#[test]
fn the_lifetime_is_from_ten_minutes_to_the_longest() {
    for (asked, given) in
        [(0, 600), (1, 600), (599, 600), (601, 601), (3600, 3600), (3601, 3600), (u32::MAX, 3600)]
    {
        let mut world = World::new();
        let answer = Client::alice().request(&mut world, &Request::allocate().lifetime(asked));
        assert_eq!(answer.lifetime(), given, "asked for {asked}");
    }
    assert_eq!(code(&Request::allocate().with(AttributeType::LIFETIME, &[0, 1])), 400);
}

// B-050
#[test]
fn clients_behind_6to4_and_teredo_are_refused() {
    for at in ["[2002:c000:204::1]:4000", "[2001:0:1::1]:4000"] {
        let mut world = World::new();
        assert_eq!(Client::new("alice", at).request(&mut world, &Request::allocate()).code(), 403);
        world.assert_empty();
    }
    let mut world = World::new();
    Client::new("alice", "[2001:db8::77]:4000").allocate(&mut world);
}

// B-053
#[test]
fn after_a_refusal_the_same_client_may_try_again() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let wrong = Request::allocate().family(2).additional(2);
    assert_eq!(alice.request(&mut world, &wrong).code(), 400);
    alice.allocate(&mut world);
}

// B-002 H-060 H-063
#[test]
fn another_user_on_the_same_five_tuple_gets_441_and_changes_nothing() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    bob.path = alice.path;
    let relayed = alice.allocate(&mut world);
    let peer = addr("203.0.113.1:9");
    for request in [
        Request::refresh().lifetime(0),
        Request::create_permission(&[peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        assert_eq!(bob.request(&mut world, &request).code(), 441);
    }
    assert_eq!(bob.request(&mut world, &Request::allocate()).code(), 437);
    assert_eq!((world.live(), world.permissions()), (1, 0));
    assert_eq!(world.peer(peer, relayed, b"x"), Some(Sent::Dropped(DropReason::NoPermission)));
}

// B-003 B-004
#[test]
fn without_an_allocation_requests_get_437_and_the_rest_silence() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr("203.0.113.1:9");
    for request in [
        Request::refresh(),
        Request::refresh().lifetime(0),
        Request::create_permission(&[peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        assert_eq!(alice.request(&mut world, &request).code(), 437);
    }
    let nothing = Sent::Dropped(DropReason::NoAllocation);
    assert_eq!(alice.send(&mut world, peer, b"x"), nothing);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), nothing);
}

// B-006
#[test]
fn a_five_tuple_is_all_five() {
    let mut world = World::new();
    let mut udp = Client::alice();
    let mut tcp = udp.clone().over_tcp();
    let mut other_port = udp.clone();
    other_port.path.five_tuple.client = floe::relay::ClientAddr::new(addr("192.0.2.1:4001"));
    let mut other_server = udp.clone();
    other_server.path.five_tuple.server = floe::relay::ServerAddr::new(addr("198.51.100.2:3478"));
    let mut relayed: Vec<_> = [&mut udp, &mut tcp, &mut other_port, &mut other_server]
        .into_iter()
        .map(|client| client.allocate(&mut world))
        .collect();
    relayed.sort();
    relayed.dedup();
    assert_eq!((relayed.len(), world.live()), (4, 4));
    udp.refresh(&mut world, 0);
    assert!(!udp.is_allocated(&mut world));
    assert!(tcp.is_allocated(&mut world) && other_port.is_allocated(&mut world));
}
