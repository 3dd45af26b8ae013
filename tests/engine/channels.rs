//! Channels: bindings, what they carry, and how long.

use std::time::Duration;

use floe::relay::DropReason;
use floe::wire::AttributeType;

use crate::client::{Client, Heard, Request, frame};
use crate::world::{Sent, Setup, World, addr};

const PEER: &str = "203.0.113.1:9";

fn compat() -> World {
    let mut setup = Setup::default();
    setup.settings.compat_permission_lifetime = true;
    World::with(setup)
}

fn long() -> Request {
    Request::allocate().lifetime(3600)
}

// B-130 B-131
#[test]
fn a_number_is_one_of_4096() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let peer = addr(PEER);
    for number in [0, 0x3FFF, 0x5000, 0x7FFF, 0xFFFF] {
        assert_eq!(alice.bind(&mut world, number, peer), 400);
    }
    let number_only = Request::channel_bind(0x4000, peer).without(AttributeType::XOR_PEER_ADDRESS);
    let peer_only = Request::channel_bind(0x4000, peer).without(AttributeType::CHANNEL_NUMBER);
    for request in [number_only, peer_only.clone(), peer_only.with(AttributeType::CHANNEL_NUMBER, &[0x40, 0])]
    {
        assert_eq!(alice.request(&mut world, &request).code(), 400);
    }
    assert_eq!((world.channels(), world.permissions()), (0, 0));
    let reserved = Request::new(floe::wire::Method::CHANNEL_BIND)
        .with(AttributeType::CHANNEL_NUMBER, &[0x4F, 0xFF, 0xAB, 0xCD])
        .peer(peer);
    assert_eq!(alice.request(&mut world, &reserved).code(), 0);
}

// B-131
#[test]
fn the_numbers_of_rfc_5766_are_a_setting() {
    let mut setup = Setup::default();
    setup.settings.legacy_channels = true;
    let mut world = World::with(setup);
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x7FFF, addr(PEER)), 0);
    assert_eq!(alice.bind(&mut world, 0x8000, addr("203.0.113.2:9")), 400);
    assert_eq!(alice.channel_data(&mut world, 0x7FFF, b"x"), Sent::ToPeer(relayed, addr(PEER), b"x".into()));
}

// B-132 B-133
#[test]
fn a_number_has_one_peer_and_a_peer_one_number() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    let peer = addr(PEER);
    assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
    for (number, other) in [(0x4000, "203.0.113.2:9"), (0x4000, "203.0.113.1:10"), (0x4001, PEER)] {
        assert_eq!(alice.bind(&mut world, number, addr(other)), 400);
    }
    assert_eq!((world.channels(), world.permissions()), (1, 1));
    assert_eq!(alice.bind(&mut world, 0x4000, peer), 0);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Sent::ToPeer(relayed, peer, b"x".into()));
}

// B-134 H-010
#[test]
fn a_peer_out_of_reach_gets_no_channel() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    for (peer, code) in [("[2001:db8:9::9]:9", 443), ("10.0.0.1:9", 403), ("203.0.113.1:0", 403)] {
        assert_eq!(alice.bind(&mut world, 0x4000, addr(peer)), code);
    }
    assert_eq!((world.channels(), world.permissions()), (0, 0));
}

// B-135 B-136 B-142 B-147
#[test]
fn a_channel_lasts_ten_minutes_and_its_permission_five() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate_as(&mut world, &long());
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    world.pass_secs(299);
    let heard = world.peer(peer, relayed, b"in").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Channel(0x4000, b"in".into()));
    world.pass_secs(2);
    assert_eq!(world.peer(peer, relayed, b"in"), Some(Sent::Dropped(DropReason::NoPermission)));
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"out"), Sent::ToPeer(relayed, peer, b"out".into()));
    world.pass_secs(298);
    assert!(!alice.channel_data(&mut world, 0x4000, b"out").is_dropped());
    alice.permit(&mut world, &[peer]);
    world.pass_secs(2);
    let late = alice.channel_data(&mut world, 0x4000, b"out");
    assert_eq!(late, Sent::Dropped(DropReason::NoChannel), "traffic has not renewed it");
    let heard = world.peer(peer, relayed, b"in").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Data(peer, b"in".into()), "without a channel it is an indication");
}

// B-136
#[test]
fn by_setting_a_live_channel_keeps_its_permission() {
    let mut world = compat();
    let mut alice = Client::alice();
    let relayed = alice.allocate_as(&mut world, &long());
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    world.pass_secs(500);
    assert!(!world.peer(peer, relayed, b"in").unwrap().is_dropped());
    // CreatePermission on top does not cut it short.
    alice.permit(&mut world, &[peer]);
    world.pass_secs(99);
    assert!(!world.peer(peer, relayed, b"in").unwrap().is_dropped());
    alice.bind(&mut world, 0x4000, peer);
    world.pass_secs(599);
    assert!(!world.peer(peer, relayed, b"in").unwrap().is_dropped());
    world.pass_secs(2);
    assert!(world.peer(peer, relayed, b"in").unwrap().is_dropped());
    // A permission alone lasts five minutes here too.
    alice.greet(&mut world);
    alice.permit(&mut world, &[peer]);
    world.pass_secs(301);
    assert!(world.peer(peer, relayed, b"in").unwrap().is_dropped());
}

// B-135 B-137
#[test]
fn an_expired_binding_makes_room_for_another_of_its_number_or_its_peer() {
    for late_timer in [false, true] {
        let mut world = World::new();
        let mut alice = Client::alice();
        let relayed = alice.allocate_as(&mut world, &long());
        let [one, two] = [addr(PEER), addr("203.0.113.2:9")];
        alice.bind(&mut world, 0x4000, one);
        alice.bind(&mut world, 0x4001, two);
        if late_timer {
            world.stall(Duration::from_secs(601));
        } else {
            world.pass_secs(606);
            assert_eq!(world.channels(), 0);
        }
        // Crosswise: each binding takes the place of two that are dead.
        assert_eq!(alice.bind(&mut world, 0x4000, two), 0);
        assert_eq!(world.channels(), 1);
        assert_eq!(alice.bind(&mut world, 0x4001, one), 0);
        assert_eq!(world.channels(), 2);
        assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Sent::ToPeer(relayed, two, b"x".into()));
        let heard = world.peer(one, relayed, b"x").unwrap().heard_by(&alice);
        assert_eq!(heard, Heard::Channel(0x4001, b"x".into()));
        world.pass_secs(700);
        assert_eq!((world.channels(), world.permissions()), (0, 0));
        assert_eq!(alice.bind(&mut world, 0x4001, one), 0, "and the same pair at once");
    }
}

// B-138
#[test]
fn the_same_number_of_two_allocations_is_two_channels() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    let [one, two] = [addr(PEER), addr("203.0.113.2:9")];
    alice.bind(&mut world, 0x4000, one);
    bob.bind(&mut world, 0x4000, two);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Sent::ToPeer(a, one, b"x".into()));
    assert_eq!(bob.channel_data(&mut world, 0x4000, b"y"), Sent::ToPeer(b, two, b"y".into()));
}

// B-139 B-140 B-141
#[test]
fn channel_data_carries_exactly_its_length() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    for length in [0, 1, 2, 3, 4, 1200, 65_507] {
        let payload = vec![0xA5; length];
        let mut bytes = frame(0x4000, &payload);
        for _ in 0..4 {
            assert_eq!(alice.raw(&mut world, &bytes), Sent::ToPeer(relayed, peer, payload.clone()));
            bytes.push(0xEE);
        }
    }
    let whole = frame(0x4000, b"abc");
    for cut in 1..whole.len() {
        assert!(alice.raw(&mut world, &whole[..cut]).is_dropped());
    }
    for number in [0x4001, 0x4FFF, 0x5000, 0x7FFF] {
        assert_eq!(alice.channel_data(&mut world, number, b"x"), Sent::Dropped(DropReason::NoChannel));
    }
    assert_eq!(alice.channel_data(&mut world, 0x8000, b"x"), Sent::Dropped(DropReason::NotStun));
}

// B-143 B-098
#[test]
fn the_channel_is_for_one_port_and_send_goes_beside_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    let other_port = addr("203.0.113.1:10");
    let heard = world.peer(other_port, relayed, b"x").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Data(other_port, b"x".into()));
    assert_eq!(alice.send(&mut world, peer, b"y"), Sent::ToPeer(relayed, peer, b"y".into()));
    let heard = world.peer(peer, relayed, b"z").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Channel(0x4000, b"z".into()));
}

// B-144 B-145
#[test]
fn on_a_stream_channel_data_is_padded_and_the_padding_stays_here() {
    let mut world = World::new();
    let mut alice = Client::alice().over_tcp();
    let relayed = alice.allocate(&mut world);
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    for length in 0..9 {
        let payload = vec![7; length];
        let sent = world.peer(peer, relayed, &payload).unwrap();
        // `heard_by` measures the padding, on UDP too.
        assert_eq!(sent.heard_by(&alice), Heard::Channel(0x4000, payload.clone()));
        let mut padded = frame(0x4000, &payload);
        padded.resize(padded.len().next_multiple_of(4), 0xEE);
        assert_eq!(alice.raw(&mut world, &padded), Sent::ToPeer(relayed, peer, payload));
    }
}

// B-148 H-041
#[test]
fn there_are_a_thousand_at_most_and_what_has_expired_makes_room() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &long());
    let peer = |port: u16| format!("203.0.113.1:{port}").parse().unwrap();
    for n in 0..1024 {
        assert_eq!(alice.bind(&mut world, 0x4000 + n, peer(1000 + n)), 0);
    }
    assert_eq!(alice.bind(&mut world, 0x4400, peer(5000)), 508);
    assert_eq!(alice.bind(&mut world, 0x4000, peer(1000)), 0, "one that is there may be renewed");
    assert_eq!((world.channels(), world.permissions()), (1024, 1));
    world.stall(Duration::from_secs(601));
    assert_eq!(alice.bind(&mut world, 0x4400, peer(5000)), 0);
    assert_eq!(world.channels(), 1);
    alice.refresh(&mut world, 0);
    world.assert_empty();
}
