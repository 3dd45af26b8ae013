//! From one relay of this server to another, and never to anything else of its
//! own.

use floe::relay::DropReason;

use crate::client::{Client, Heard};
use crate::world::{LOCAL_V4, RELAY_V4, Sent, Setup, World, addr};

fn two_shards() -> World {
    World::with(Setup { shards: 2, ..Setup::default() })
}

// B-164 B-079
#[test]
fn two_relayed_clients_reach_each_other_when_both_want_to() {
    for shard in [0, 1] {
        let mut world = two_shards();
        let (mut alice, mut bob) = (Client::alice(), Client::bob().on_shard(shard));
        let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
        assert_eq!(alice.send(&mut world, b, b"x"), Sent::Dropped(DropReason::NoPermission));
        assert_eq!(alice.permit(&mut world, &[b]), 0);
        assert_eq!(alice.send(&mut world, b, b"x"), Sent::Dropped(DropReason::NoPermission), "bob's");
        assert_eq!(bob.permit(&mut world, &[a]), 0);
        assert_eq!(alice.send(&mut world, b, b"x").heard_by(&bob), Heard::Data(a, b"x".into()));
        // By channels, which see the relayed address as the peer.
        assert_eq!(alice.bind(&mut world, 0x4000, b), 0);
        assert_eq!(bob.bind(&mut world, 0x4ABC, a), 0);
        let heard = alice.channel_data(&mut world, 0x4000, b"ping").heard_by(&bob);
        assert_eq!(heard, Heard::Channel(0x4ABC, b"ping".into()));
        let heard = bob.channel_data(&mut world, 0x4ABC, b"pong").heard_by(&alice);
        assert_eq!(heard, Heard::Channel(0x4000, b"pong".into()));
        assert_eq!(world.crossings > 0, shard == 1);
        // Gone is gone.
        bob.refresh(&mut world, 0);
        let sent = alice.channel_data(&mut world, 0x4000, b"ping");
        assert_eq!(sent, Sent::Dropped(DropReason::NoSuchRelay));
    }
}

// B-164
#[test]
fn a_stream_and_a_datagram_client_meet() {
    let mut world = two_shards();
    let mut alice = Client::alice().over_tcp();
    let mut bob = Client::bob().on_shard(1);
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    alice.bind(&mut world, 0x4000, b);
    bob.bind(&mut world, 0x4000, a);
    for length in 0..6 {
        let payload = vec![1; length];
        let heard = bob.channel_data(&mut world, 0x4000, &payload).heard_by(&alice);
        assert_eq!(heard, Heard::Channel(0x4000, payload.clone()));
        let heard = alice.channel_data(&mut world, 0x4000, &payload).heard_by(&bob);
        assert_eq!(heard, Heard::Channel(0x4000, payload));
    }
}

// H-015 H-009
#[test]
fn the_servers_own_listener_is_out_of_reach() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let listener = addr(&format!("{RELAY_V4}:3478"));
    assert_eq!(alice.bind(&mut world, 0x4000, listener), 403);
    // A permission names no port; what is sent is judged by it.
    assert_eq!(alice.permit(&mut world, &[listener]), 0);
    for port in [1, 80, 3478, 8080, 49151] {
        let sent = alice.send(&mut world, addr(&format!("{RELAY_V4}:{port}")), b"x");
        assert!(sent.is_dropped());
    }
    assert_eq!(alice.permit(&mut world, &[addr(&format!("{LOCAL_V4}:3478"))]), 403, "nor by its inner name");
}

// H-013
#[test]
fn what_the_kernel_brings_from_an_own_address_is_somebody_elses() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    alice.bind(&mut world, 0x4000, b);
    bob.bind(&mut world, 0x4000, a);
    for from in [b, addr(&format!("{RELAY_V4}:3478")), addr(&format!("{RELAY_V4}:53"))] {
        assert_eq!(world.peer(from, a, b"x"), Some(Sent::Dropped(DropReason::DeniedPeer)));
    }
    assert_eq!(bob.send(&mut world, a, b"x").heard_by(&alice), Heard::Channel(0x4000, b"x".into()));
}

// H-015 B-032
#[test]
fn a_port_that_no_live_allocation_has_leads_nowhere() {
    let mut world = two_shards();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let mut bob = Client::bob().on_shard(1);
    let answer = bob.request(&mut world, &crate::client::Request::allocate().even_port(0x80));
    let mut held = answer.relayed()[0];
    held.set_port(held.port() + 1);
    alice.permit(&mut world, &[held]);
    assert_eq!(alice.send(&mut world, held, b"x"), Sent::Dropped(DropReason::NoSuchRelay));
    world.hold_binds = true;
    let mut carol = Client::new("carol", "192.0.2.3:4000").on_shard(1);
    carol.greet(&mut world);
    let bytes = carol.sign(&crate::client::Request::allocate());
    carol.raw(&mut world, &bytes);
    let opening = addr(&format!("{RELAY_V4}:{}", world.waiting[0].local.port()));
    assert_eq!(alice.send(&mut world, opening, b"x"), Sent::Dropped(DropReason::NoSuchRelay));
    assert_eq!(world.crossings, 2);
}

// H-016
#[test]
fn a_relay_that_talks_to_itself_gets_one_packet_for_one() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, relayed);
    let heard = alice.channel_data(&mut world, 0x4000, b"echo").heard_by(&alice);
    assert_eq!(heard, Heard::Channel(0x4000, b"echo".into()));
}

// B-164 B-076
#[test]
fn a_permission_between_relays_ends_like_any_other() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    alice.permit(&mut world, &[b]);
    world.pass_secs(10);
    bob.permit(&mut world, &[a]);
    world.pass_secs(289);
    assert_eq!(alice.send(&mut world, b, b"x").heard_by(&bob), Heard::Data(a, b"x".into()));
    world.pass_secs(2);
    assert!(alice.send(&mut world, b, b"x").is_dropped());
    alice.permit(&mut world, &[b]);
    world.pass_secs(10);
    assert!(alice.send(&mut world, b, b"x").is_dropped(), "now bob's has ended");
}

// B-164
#[test]
fn a_full_ring_loses_packets_and_counts_them() {
    let mut world = World::with(Setup { shards: 2, ..Setup::default() });
    world.ring_size = Some(2);
    let (mut alice, mut bob) = (Client::alice(), Client::bob().on_shard(1));
    let (from, to) = (alice.allocate(&mut world), bob.allocate(&mut world));
    alice.permit(&mut world, &[to]);
    bob.permit(&mut world, &[from]);
    assert_eq!(alice.send(&mut world, to, b"one"), Sent::ToShard(1));
    assert_eq!(alice.send(&mut world, to, b"two"), Sent::ToShard(1));
    assert_eq!(alice.send(&mut world, to, b"three"), Sent::Dropped(DropReason::RingFull));
    assert_eq!(world.counters[0].drops[DropReason::RingFull.index()].get(), 1);
    for payload in ["one", "two"] {
        let (crossing, sent) = world.arrive().unwrap();
        assert_eq!(crossing.shards, (0, 1));
        assert_eq!(sent.heard_by(&bob), Heard::Data(from, payload.into()));
    }
    assert_eq!(world.arrive(), None);
    assert_eq!(alice.send(&mut world, to, b"four"), Sent::ToShard(1));
}
