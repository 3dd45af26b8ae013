//! DONT-FRAGMENT (RFC 8656 §3.7, §13 to §15).

use floe::relay::DropReason;
use floe::wire::AttributeType;

use crate::client::{Client, Request};
use crate::world::{Sent, World, addr};

const PEERS: [&str; 2] = ["203.0.113.1:9", "[2001:db8:9::1]:9"];

fn client(v6: bool, stream: bool) -> Client {
    let client = Client::new("alice", if v6 { "[2001:db8:1::1]:4000" } else { "192.0.2.1:4000" });
    if stream { client.over_tcp() } else { client }
}

// B-026 B-110 B-111 B-112
#[test]
fn it_is_obeyed_where_it_means_something_and_refused_where_it_can_not() {
    // Client's family, stream, relay's family: whether Allocate takes it, and
    // whether Send obeys it.
    for (v6, stream, family, taken, obeyed) in [
        (false, false, 1, true, true),
        (false, false, 2, false, false),
        (true, false, 1, true, false),
        (true, false, 2, true, false),
        (false, true, 1, true, true),
        (false, true, 2, true, false),
        (true, true, 1, true, true),
        (true, true, 2, true, true),
    ] {
        let mut world = World::new();
        let mut alice = client(v6, stream);
        let plain = Request::allocate().family(family);
        let asking = plain.clone().with(AttributeType::DONT_FRAGMENT, &[]);
        if !taken {
            let refused = alice.request(&mut world, &asking);
            assert_eq!(refused.code(), 420);
            assert_eq!(refused.get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap(), [0x00, 0x1A]);
        }
        alice.allocate_as(&mut world, if taken { &asking } else { &plain });
        let peer = addr(PEERS[usize::from(family) - 1]);
        assert_eq!(alice.permit(&mut world, &[peer]), 0);
        let id = alice.next_id();
        let send = Request::send(peer, b"x").with(AttributeType::DONT_FRAGMENT, &[]).unsigned(id);
        assert!(matches!(alice.raw(&mut world, &send), Sent::ToPeer(..)));
        assert_eq!(world.dont_fragment, obeyed, "v6 {v6}, stream {stream}, family {family}");
        alice.send(&mut world, peer, b"x");
        assert!(!world.dont_fragment, "nobody asked for it");
        alice.bind(&mut world, 0x4000, peer);
        alice.channel_data(&mut world, 0x4000, b"x");
        assert!(!world.dont_fragment, "nobody can");
    }
}

// B-112
#[test]
fn both_families_or_a_held_port_are_no_way_around() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let both = Request::allocate().additional(2).with(AttributeType::DONT_FRAGMENT, &[]);
    assert_eq!(alice.request(&mut world, &both).code(), 420);
    let pair = Request::allocate().family(2).even_port(0x80);
    let token = alice.request(&mut world, &pair).token().unwrap();
    let mut again = Client::new("alice", "192.0.2.1:4001");
    let held = Request::allocate().token(&token);
    let asking = held.clone().with(AttributeType::DONT_FRAGMENT, &[]);
    assert_eq!(again.request(&mut world, &asking).code(), 420);
    assert_eq!(again.request(&mut world, &held).code(), 0, "the port is still held");
}

// B-099
#[test]
fn no_datagram_is_larger_than_udp_has_them() {
    for (family, largest) in [(1, 65_507), (2, 65_527)] {
        let mut world = World::new();
        let mut alice = client(false, true);
        alice.allocate_as(&mut world, &Request::allocate().family(family));
        let peer = addr(PEERS[usize::from(family) - 1]);
        alice.bind(&mut world, 0x4000, peer);
        let sent = alice.channel_data(&mut world, 0x4000, &vec![1; largest]);
        assert!(matches!(sent, Sent::ToPeer(_, _, payload) if payload.len() == largest));
        let sent = alice.channel_data(&mut world, 0x4000, &vec![1; largest + 1]);
        assert_eq!(sent, Sent::Dropped(DropReason::TooLarge));
    }
}
