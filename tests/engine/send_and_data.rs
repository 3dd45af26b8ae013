//! Send and Data indications.

use floe::relay::DropReason;
use floe::wire::{AttributeType, Method};

use crate::client::{Client, Heard, Request};
use crate::world::{Sent, SplitMix, World, addr};

const PEER: &str = "203.0.113.1:9";

fn permitted(world: &mut World, alice: &mut Client) -> std::net::SocketAddr {
    let relayed = alice.allocate(world);
    assert_eq!(alice.permit(world, &[addr(PEER)]), 0);
    relayed
}

// B-090 B-092
#[test]
fn send_carries_its_data_and_nothing_else() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = permitted(&mut world, &mut alice);
    for length in [0, 1, 2, 3, 4, 5, 1000, 60_000] {
        let payload = vec![0x5A; length];
        let sent = alice.send(&mut world, addr(PEER), &payload);
        assert_eq!(sent, Sent::ToPeer(relayed, addr(PEER), payload));
    }
    let elsewhere = addr("203.0.113.1:10");
    assert_eq!(alice.send(&mut world, elsewhere, b"x"), Sent::ToPeer(relayed, elsewhere, b"x".into()));
}

// B-091 B-093 B-094 A-011
#[test]
fn a_send_that_cannot_be_served_is_dropped_without_a_word() {
    let mut world = World::new();
    let mut alice = Client::alice();
    permitted(&mut world, &mut alice);
    let send = |peer: &str| Request::send(addr(peer), b"x");
    let dropped = |world: &mut World, alice: &Client, request: &Request| {
        let Sent::Dropped(reason) = alice.raw(world, &request.unsigned(alice.id)) else {
            panic!("not dropped");
        };
        reason
    };
    for (request, reason) in [
        (send(PEER).without(AttributeType::XOR_PEER_ADDRESS), DropReason::Malformed),
        (send(PEER).without(AttributeType::DATA), DropReason::Malformed),
        (
            send(PEER)
                .without(AttributeType::XOR_PEER_ADDRESS)
                .with(AttributeType::XOR_PEER_ADDRESS, &[0, 3, 0, 9, 1, 2, 3, 4]),
            DropReason::Malformed,
        ),
        (send("203.0.113.2:9"), DropReason::NoPermission),
        (send("10.0.0.1:9"), DropReason::NoPermission),
        (send("[2001:db8:9::9]:9"), DropReason::NoPermission),
        (send("203.0.113.1:0"), DropReason::DeniedPeer),
        (send(PEER).with(AttributeType(0x7FFE), &[]), DropReason::UnknownAttribute),
        (Request::indication(Method::ALLOCATE), DropReason::Unsupported),
        (Request::indication(Method::DATA), DropReason::Unsupported),
        (Request::new(Method::SEND), DropReason::Unsupported),
        (Request::new(Method::new(0x0FE)), DropReason::Unsupported),
    ] {
        assert_eq!(dropped(&mut world, &alice, &request), reason);
    }
    let counted: u64 = world.counters[0].drops.iter().map(|counter| counter.get()).sum();
    assert_eq!(counted, 12);
}

// B-096 B-097 A-018
#[test]
fn a_datagram_from_a_peer_comes_as_an_indication() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = permitted(&mut world, &mut alice);
    let mut transactions = std::collections::BTreeSet::new();
    for length in [0, 1, 2, 3, 4, 5, 1500] {
        let payload = vec![1; length];
        let sent = world.peer(addr(PEER), relayed, &payload).unwrap();
        assert_eq!(sent.heard_by(&alice), Heard::Data(addr(PEER), payload));
        let Sent::ToClient(_, bytes) = sent else { unreachable!() };
        assert!(transactions.insert(bytes[8..20].to_vec()), "each has a transaction of its own");
        assert_eq!(bytes.len() % 4, 0);
    }
}

// B-099
#[test]
fn what_is_too_large_to_be_wrapped_is_dropped_and_counted() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = permitted(&mut world, &mut alice);
    let largest = 65_507 - 36;
    let fits = vec![0; largest - 3];
    assert!(!world.peer(addr(PEER), relayed, &fits).unwrap().is_dropped());
    for length in [largest + 1, 65_507] {
        let sent = world.peer(addr(PEER), relayed, &vec![0; length]).unwrap();
        assert_eq!(sent, Sent::Dropped(DropReason::TooLarge));
    }
    assert!(alice.is_allocated(&mut world));
    // A stream has room for it.
    let mut carol = Client::new("carol", "192.0.2.3:4000").over_tcp();
    let relayed = permitted(&mut world, &mut carol);
    let payload = vec![3; 65_507];
    let heard = world.peer(addr(PEER), relayed, &payload).unwrap().heard_by(&carol);
    assert_eq!(heard, Heard::Data(addr(PEER), payload));
}

// B-100
#[test]
fn every_size_goes_both_ways_unchanged() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = permitted(&mut world, &mut alice);
    let mut random = SplitMix(7);
    for length in (0..9000).step_by(37) {
        let payload: Vec<u8> = (0..length).map(|_| random.next() as u8).collect();
        let up = alice.send(&mut world, addr(PEER), &payload);
        assert_eq!(up, Sent::ToPeer(relayed, addr(PEER), payload.clone()));
        let down = world.peer(addr(PEER), relayed, &payload).unwrap();
        assert_eq!(down.heard_by(&alice), Heard::Data(addr(PEER), payload));
    }
}
