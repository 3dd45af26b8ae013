//! Permissions: who may reach a client, for how long, and how many there are.

use std::net::SocketAddr;

use floe::relay::DropReason;
use floe::wire::AttributeType;

use crate::client::{Client, Heard, Request};
use crate::world::{Sent, World, addr};

fn peers(first: u16, count: u16) -> Vec<SocketAddr> {
    (first..first + count).map(|n| addr(&format!("203.0.{}.{}:9", 113 + n / 250, n % 250 + 1))).collect()
}

fn refused() -> Option<Sent> {
    Some(Sent::Dropped(DropReason::NoPermission))
}

// B-070 B-071
#[test]
fn a_request_names_one_peer_or_many() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.permit(&mut world, &[]), 400);
    let ten = peers(0, 10);
    assert_eq!(alice.permit(&mut world, &ten), 0);
    for peer in ten {
        let heard = world.peer(peer, relayed, b"in").unwrap().heard_by(&alice);
        assert_eq!(heard, Heard::Data(peer, b"in".into()));
    }
    for malformed in
        [&[0u8; 4][..], &[0; 8], &[0, 3, 0, 9, 1, 2, 3, 4], &[0, 1, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0]]
    {
        let request = Request::create_permission(&[]).with(AttributeType::XOR_PEER_ADDRESS, malformed);
        assert_eq!(alice.request(&mut world, &request).code(), 400);
    }
}

// B-072 B-073 B-074
#[test]
fn all_peers_of_a_request_or_none() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let nine = peers(0, 9);
    for (bad, code) in [("10.9.9.9:9", 403), ("[2001:db8:9::9]:9", 443), ("[::ffff:10.0.0.1]:9", 403)] {
        for place in [0, 5, 9] {
            let mut ten = nine.clone();
            ten.insert(place, addr(bad));
            assert_eq!(alice.permit(&mut world, &ten), code);
            assert_eq!(world.permissions(), 0);
        }
    }
    let malformed = Request::create_permission(&nine).with(AttributeType::XOR_PEER_ADDRESS, &[0, 1]);
    assert_eq!(alice.request(&mut world, &malformed).code(), 400);
    assert_eq!(world.permissions(), 0);
}

// H-003
#[test]
fn an_ipv4_mapped_address_is_nobodys() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().additional(2));
    alice.permit(&mut world, &[addr("203.0.113.1:9")]);
    for mapped in ["[::ffff:203.0.113.1]:9", "[::ffff:10.0.0.1]:9", "[::ffff:127.0.0.1]:9"] {
        assert_eq!(alice.permit(&mut world, &[addr(mapped)]), 403);
        assert_eq!(alice.bind(&mut world, 0x4000, addr(mapped)), 403);
        assert_eq!(alice.send(&mut world, addr(mapped), b"x"), Sent::Dropped(DropReason::DeniedPeer));
    }
    assert_eq!((world.permissions(), world.channels()), (1, 0));
}

// B-075 B-078 B-079
#[test]
fn it_is_for_an_address_and_for_one_allocation() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (to_alice, to_bob) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.permit(&mut world, &[addr("203.0.113.1:0")]), 0, "the port says nothing");
    for port in [1, 9, 65535] {
        let peer = SocketAddr::new("203.0.113.1".parse().unwrap(), port);
        assert!(!world.peer(peer, to_alice, b"x").unwrap().is_dropped());
        assert_eq!(world.peer(peer, to_bob, b"x"), refused());
    }
    assert_eq!(world.peer(addr("203.0.113.2:9"), to_alice, b"x"), refused());
    let mut second = Client::new("alice", "192.0.2.1:4001");
    let to_second = second.allocate(&mut world);
    assert_eq!(world.peer(addr("203.0.113.1:9"), to_second, b"x"), refused(), "nor for her other one");
}

// B-076 B-077
#[test]
fn it_lasts_five_minutes_and_traffic_does_not_renew_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    let peer = addr("203.0.113.1:9");
    alice.permit(&mut world, &[peer]);
    world.pass_secs(299);
    assert!(!world.peer(peer, relayed, b"in").unwrap().is_dropped());
    assert!(!alice.send(&mut world, peer, b"out").is_dropped());
    world.pass_secs(2);
    assert_eq!(world.peer(peer, relayed, b"in"), refused());
    assert_eq!(Some(alice.send(&mut world, peer, b"out")), refused());
}

// B-077
#[test]
fn create_permission_and_channel_bind_renew_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    let peer = addr("203.0.113.1:9");
    alice.permit(&mut world, &[peer]);
    world.pass_secs(250);
    alice.permit(&mut world, &[peer]);
    world.pass_secs(250);
    alice.bind(&mut world, 0x4000, peer);
    world.pass_secs(299);
    assert!(!world.peer(peer, relayed, b"in").unwrap().is_dropped());
    world.pass_secs(2);
    assert_eq!(world.peer(peer, relayed, b"in"), refused());
}

// B-080 H-041
#[test]
fn there_are_a_thousand_at_most_and_what_has_expired_makes_room() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    for first in (0..1000).step_by(100) {
        assert_eq!(alice.permit(&mut world, &peers(first, 100)), 0);
    }
    assert_eq!(alice.permit(&mut world, &peers(1000, 25)), 508, "all of them or none");
    assert_eq!(world.permissions(), 1000);
    assert_eq!(alice.permit(&mut world, &peers(1000, 24)), 0);
    assert_eq!(alice.permit(&mut world, &peers(1024, 1)), 508);
    assert_eq!(alice.bind(&mut world, 0x4000, peers(1024, 1)[0]), 508);
    assert_eq!(alice.permit(&mut world, &peers(0, 1)), 0, "one that is there may be renewed");
    assert_eq!(alice.bind(&mut world, 0x4000, peers(7, 1)[0]), 0);
    // Expired, and not swept yet.
    world.stall(std::time::Duration::from_secs(301));
    assert_eq!(alice.permit(&mut world, &peers(2000, 100)), 0);
    assert_eq!(world.permissions(), 100);
    world.pass_secs(310);
    assert_eq!(world.permissions(), 0, "and they are swept without being asked");
}

// B-080
#[test]
fn a_peer_that_is_named_twice_is_one_peer() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    for first in (0..1000).step_by(100) {
        alice.permit(&mut world, &peers(first, 100));
    }
    alice.permit(&mut world, &peers(1000, 22));
    let (first, second, third) = (peers(1022, 1)[0], peers(1023, 1)[0], peers(1024, 1)[0]);
    let second_by_port = SocketAddr::new(second.ip(), 10);
    assert_eq!(alice.permit(&mut world, &[second, first, second_by_port, third]), 508);
    assert_eq!(world.permissions(), 1022);
    assert_eq!(alice.permit(&mut world, &[second, first, second_by_port, second]), 0);
    assert_eq!(world.permissions(), 1024);
}
