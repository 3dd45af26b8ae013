//! IPv4, IPv6 and both at once.

use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{CloseReason, DropReason, Outcome};
use floe::wire::AttributeType;

use crate::client::{Client, Request};
use crate::world::{Sent, Setup, World, addr};

const V4: &str = "203.0.113.1:9";
const V6: &str = "[2001:db8:9::9]:9";

fn world(v4: bool, v6: bool) -> World {
    World::with(Setup { v4, v6, ..Setup::default() })
}

/// ADDRESS-ERROR-CODE: family and code.
fn address_error(value: &[u8]) -> (u8, u16) {
    let [family, 0, class, number] = value[..] else { panic!("{value:?}") };
    (family, u16::from(class) * 100 + u16::from(number))
}

fn both(world: &mut World, alice: &mut Client) -> [SocketAddr; 2] {
    let answer = alice.request(world, &Request::allocate().additional(2));
    assert!(!answer.has(AttributeType::ADDRESS_ERROR_CODE));
    answer.relayed().try_into().expect("two relayed addresses")
}

// B-036 B-037
#[test]
fn the_family_asked_for_or_ipv4() {
    for (request, is_v4) in [
        (Request::allocate(), true),
        (Request::allocate().family(1), true),
        (Request::allocate().family(2), false),
        (Request::allocate().with(AttributeType::REQUESTED_ADDRESS_FAMILY, &[2, 0xFF, 0xFF, 0xFF]), false),
    ] {
        for at in ["192.0.2.1:4000", "[2001:db8::77]:4000"] {
            let relayed = Client::new("alice", at).allocate_as(&mut World::new(), &request);
            assert_eq!(relayed.is_ipv4(), is_v4, "whatever the client itself comes by");
        }
    }
    for number in [0, 3, 255] {
        let request = Request::allocate().family(number);
        assert_eq!(Client::alice().request(&mut World::new(), &request).code(), 440);
    }
    let malformed = Request::allocate().with(AttributeType::REQUESTED_ADDRESS_FAMILY, &[1]);
    assert_eq!(Client::alice().request(&mut World::new(), &malformed).code(), 400);
}

// B-036 B-037
#[test]
fn a_family_the_server_does_not_have_is_440() {
    for (request, v4, v6) in [
        (Request::allocate(), false, true),
        (Request::allocate().family(1), false, true),
        (Request::allocate().family(2), true, false),
    ] {
        let mut world = world(v4, v6);
        assert_eq!(Client::alice().request(&mut world, &request).code(), 440);
        world.assert_empty();
    }
}

// B-038 B-040
#[test]
fn both_families_are_asked_for_in_one_way_only() {
    for request in [
        Request::allocate().family(1).additional(2),
        Request::allocate().family(2).additional(2),
        Request::allocate().additional(1),
        Request::allocate().additional(3),
    ] {
        let mut world = World::new();
        assert_eq!(Client::alice().request(&mut world, &request).code(), 400);
        world.assert_empty();
    }
}

// B-039 B-073
#[test]
fn a_dual_allocation_has_two_addresses_and_counts_once() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let [v4, v6] = both(&mut world, &mut alice);
    assert!(v4.is_ipv4() && v6.is_ipv6());
    assert_eq!((world.live(), world.ports_used(), world.quota.of("alice")), (1, 2, 1));
    assert_eq!(alice.permit(&mut world, &[addr(V4), addr(V6)]), 0);
    assert_eq!(alice.send(&mut world, addr(V4), b"x"), Sent::ToPeer(v4, addr(V4), b"x".into()));
    assert_eq!(alice.send(&mut world, addr(V6), b"x"), Sent::ToPeer(v6, addr(V6), b"x".into()));
    assert!(!world.peer(addr(V6), v6, b"x").unwrap().is_dropped());
    let even = Request::allocate().additional(2).even_port(0);
    let answer = Client::bob().request(&mut world, &even);
    assert!(answer.relayed().iter().all(|relayed| relayed.port() % 2 == 0));
}

// B-041
#[test]
fn one_family_of_two_will_do_and_the_answer_says_which_is_missing() {
    let mut no_v6 = world(true, false);
    let answer = Client::alice().request(&mut no_v6, &Request::allocate().additional(2));
    assert_eq!(answer.relayed().len(), 1);
    assert_eq!(address_error(&answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()), (2, 440));
    let mut no_v4 = world(false, true);
    let answer = Client::alice().request(&mut no_v4, &Request::allocate().additional(2));
    assert!(answer.relayed()[0].is_ipv6());
    assert_eq!(address_error(&answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()), (1, 440));
    // Nothing of the kind can be bound.
    for (outcomes, missing) in
        [([Outcome::Failed, Outcome::Bound], 1), ([Outcome::Bound, Outcome::Failed], 2)]
    {
        let mut world = World::new();
        let mut alice = Client::alice();
        world.outcomes.extend(outcomes);
        let request = Request::allocate().additional(2);
        alice.greet(&mut world);
        let bytes = alice.sign(&request);
        let answer = alice.ask(&mut world, &bytes);
        assert_eq!(address_error(&answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()), (missing, 508));
        let again = alice.ask(&mut world, &bytes);
        assert_eq!(again.get(AttributeType::ADDRESS_ERROR_CODE).map(|v| v[0]), Some(missing));
        assert_eq!(world.ports_used(), 1);
        alice.refresh(&mut world, 0);
        world.assert_empty();
    }
    let mut world = World::new();
    world.outcomes.extend([Outcome::Failed; 2]);
    assert_eq!(Client::alice().request(&mut world, &Request::allocate().additional(2)).code(), 508);
    world.assert_empty();
}

// B-041
#[test]
fn a_family_whose_ports_are_used_up_is_missing_with_508() {
    let mut world = World::with(Setup { ports: 50_000..=50_000, ..Setup::default() });
    Client::bob().allocate_as(&mut world, &Request::allocate().family(2));
    let answer = Client::alice().request(&mut world, &Request::allocate().additional(2));
    assert_eq!(address_error(&answer.get(AttributeType::ADDRESS_ERROR_CODE).unwrap()), (2, 508));
    let mut carol = Client::new("carol", "192.0.2.3:4000");
    assert_eq!(carol.request(&mut world, &Request::allocate().additional(2)).code(), 508);
    assert_eq!((world.ports_used(), world.quota.of("carol")), (2, 0));
}

// B-063
#[test]
fn a_refresh_for_another_family_is_a_mismatch() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    for number in [2, 0, 3] {
        let request = Request::refresh().lifetime(0).family(number);
        assert_eq!(alice.request(&mut world, &request).code(), 443);
    }
    assert_eq!(world.live(), 1);
    assert_eq!(alice.request(&mut world, &Request::refresh().lifetime(0).family(1)).code(), 0);
    world.assert_empty();
}

// B-064
#[test]
fn one_family_of_two_can_be_deleted_and_takes_only_its_own_with_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let [v4, v6] = both(&mut world, &mut alice);
    alice.bind(&mut world, 0x4000, addr(V4));
    alice.bind(&mut world, 0x4001, addr(V6));
    let answer = alice.request(&mut world, &Request::refresh().lifetime(0).family(2));
    assert_eq!((answer.code(), answer.lifetime()), (0, 0));
    assert_eq!(world.peer(addr(V6), v6, b"x"), None);
    assert_eq!(alice.permit(&mut world, &[addr(V6)]), 443);
    assert!(alice.channel_data(&mut world, 0x4001, b"x").is_dropped());
    assert!(alice.send(&mut world, addr(V6), b"x").is_dropped());
    assert_eq!((world.ports_used(), world.permissions(), world.channels()), (1, 1, 1));
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Sent::ToPeer(v4, addr(V4), b"x".into()));
    assert!(!world.peer(addr(V4), v4, b"x").unwrap().is_dropped());
    // The number is free for a peer of the family that is left.
    assert_eq!(alice.bind(&mut world, 0x4001, addr("203.0.113.2:9")), 0);
    assert_eq!(alice.request(&mut world, &Request::refresh().family(2)).code(), 443);
    assert_eq!(alice.request(&mut world, &Request::refresh().lifetime(0).family(1)).code(), 0);
    assert_eq!(world.closed, [CloseReason::Deleted]);
    world.assert_empty();
}

// B-064
#[test]
fn each_family_has_its_own_time() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let [_, v6] = both(&mut world, &mut alice);
    alice.permit(&mut world, &[addr(V4), addr(V6)]);
    assert_eq!(alice.request(&mut world, &Request::refresh().lifetime(1200).family(1)).code(), 0);
    world.pass_secs(601);
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    assert_eq!(world.peer(addr(V6), v6, b"x"), None);
    world.pass_secs(600);
    assert_eq!(world.closed, [CloseReason::Expired]);
    world.assert_empty();
}

// B-064 B-043
#[test]
fn a_refresh_does_not_bring_back_a_family_that_has_had_its_time() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    let allocate = alice.sign(&Request::allocate().additional(2));
    let [_, v6] = alice.ask(&mut world, &allocate).relayed()[..] else { panic!("two") };
    alice.request(&mut world, &Request::refresh().lifetime(1200).family(1));
    // The timer has yet to fire.
    world.stall(Duration::from_secs(600));
    assert_eq!(alice.ask(&mut world, &allocate).relayed().len(), 1);
    assert_eq!(alice.refresh(&mut world, 1200).code(), 0);
    alice.permit(&mut world, &[addr(V4)]);
    assert_eq!(alice.permit(&mut world, &[addr(V6)]), 443);
    assert_eq!(world.peer(addr(V6), v6, b"x"), Some(Sent::Dropped(DropReason::NoAllocation)));
    world.expire();
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    assert_eq!(alice.request(&mut world, &Request::refresh().lifetime(0).family(1)).code(), 0);
    assert_eq!(world.closed, [CloseReason::Deleted]);
    world.assert_empty();
}

// B-064
#[test]
fn channels_of_a_family_that_has_had_its_time_are_free() {
    let mut world = World::new();
    let mut alice = Client::alice();
    both(&mut world, &mut alice);
    alice.request(&mut world, &Request::refresh().lifetime(1200).family(1));
    world.pass_secs(100);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(V6)), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr(V4)), 400);
    // The timer has yet to fire.
    world.stall(Duration::from_secs(500));
    assert_eq!(alice.bind(&mut world, 0x4001, addr(V4)), 0);
}

// B-160
#[test]
fn any_client_reaches_any_family() {
    for at in ["192.0.2.1:4000", "[2001:db8::77]:4000"] {
        for (number, peer) in [(1, V4), (2, V6)] {
            let mut world = World::new();
            let mut alice = Client::new("alice", at);
            let relayed = alice.allocate_as(&mut world, &Request::allocate().family(number));
            alice.permit(&mut world, &[addr(peer)]);
            assert_eq!(
                alice.send(&mut world, addr(peer), b"x"),
                Sent::ToPeer(relayed, addr(peer), b"x".into())
            );
            assert!(!world.peer(addr(peer), relayed, b"x").unwrap().is_dropped());
        }
    }
}
