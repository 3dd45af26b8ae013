//! Limits of bandwidth: data above them is lost, control never.

use std::time::Duration;

use floe::relay::DropReason;

use crate::client::Client;
use crate::world::{Sent, Setup, SplitMix, World, addr};

const PEER: &str = "203.0.113.1:9";
/// Bits per second of most worlds here: 100,000 bytes.
const RATE: u64 = 800_000;
/// What a full bucket has, bytes.
const BURST: u64 = 65_535;

fn limited(per_allocation: u64, in_all: u64) -> World {
    let mut setup = Setup { bits_per_second: in_all, shards: 2, ..Setup::default() };
    setup.settings.bits_per_second_per_allocation = per_allocation;
    World::with(setup)
}

fn connected(world: &mut World, client: &mut Client) -> std::net::SocketAddr {
    let relayed = client.allocate(world);
    assert_eq!(client.bind(world, 0x4000, addr(PEER)), 0);
    relayed
}

/// A thousand bytes both ways each millisecond, twenty times the rate, for ten
/// seconds; how many bytes passed each way.
fn flood(world: &mut World, client: &mut Client, relayed: std::net::SocketAddr) -> (u64, u64) {
    let (mut up, mut down) = (0, 0);
    for _ in 0..10_000 {
        world.stall(Duration::from_millis(1));
        match client.channel_data(world, 0x4000, &[1; 1000]) {
            Sent::ToPeer(..) => up += 1000,
            other => assert_eq!(other, Sent::Dropped(DropReason::Bandwidth)),
        }
        match world.peer(addr(PEER), relayed, &[2; 1000]).unwrap() {
            Sent::ToClient(..) => down += 1000,
            other => assert_eq!(other, Sent::Dropped(DropReason::Bandwidth)),
        }
    }
    (up, down)
}

// B-163 H-047
#[test]
fn an_allocation_relays_what_it_may_in_both_directions_together() {
    let mut world = limited(RATE, 0);
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (a, b) = (connected(&mut world, &mut alice), connected(&mut world, &mut bob));
    let (up, down) = flood(&mut world, &mut alice, a);
    let passed = up + down;
    assert!((1_000_000..=1_000_000 + BURST).contains(&passed), "{passed}");
    let dropped = world.counters[0].drops[DropReason::Bandwidth.index()].get();
    assert_eq!(dropped, (20_000_000 - passed) / 1000);
    // Nobody else has less for it, and control is always answered.
    let payload = vec![3; 60_000];
    assert!(matches!(bob.channel_data(&mut world, 0x4000, &payload), Sent::ToPeer(..)));
    assert!(alice.channel_data(&mut world, 0x4000, &payload).is_dropped());
    assert_eq!(alice.refresh(&mut world, 600).code(), 0);
    assert_eq!(alice.permit(&mut world, &[addr(PEER)]), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, addr("203.0.113.2:9")), 0);
    // What was dropped is not accounted for as relayed.
    let (sessions, _) = world.engines[0].sessions(world.now.instant, 0);
    let traffic = sessions.iter().find(|s| s.relays[0].unwrap().socket() == a).unwrap().traffic;
    assert_eq!((traffic.up_bytes, traffic.down_bytes), (up, down));
    let _ = b;
}

// B-163
#[test]
fn all_shards_share_the_limit_of_the_server() {
    let mut world = limited(0, RATE);
    let mut clients = [Client::alice(), Client::bob().on_shard(1)];
    for client in &mut clients {
        connected(&mut world, client);
    }
    let mut passed = [0u64; 2];
    let mut random = SplitMix(3);
    for _ in 0..10_000 {
        let first = random.below(2);
        world.stall(Duration::from_millis(1));
        for turn in 0..2 {
            let (client, passed) = (&clients[(first + turn) % 2], &mut passed[(first + turn) % 2]);
            match client.channel_data(&mut world, 0x4000, &[1; 1000]) {
                Sent::ToPeer(..) => *passed += 1000,
                other => assert_eq!(other, Sent::Dropped(DropReason::Bandwidth)),
            }
        }
    }
    let sum: u64 = passed.iter().sum();
    // Each shard may hold on to a chunk.
    assert!((1_000_000 - 8192..=1_000_000 + BURST).contains(&sum), "{sum}");
    assert!(passed.iter().all(|bytes| *bytes > 250_000), "{passed:?}");
    for client in &mut clients {
        assert_eq!(client.refresh(&mut world, 600).code(), 0);
    }
}

// B-163 B-164
#[test]
fn what_stays_on_this_server_is_counted_at_both_ends_and_once_for_the_server() {
    for (per_allocation, in_all) in [(RATE, 0), (0, RATE)] {
        let mut world = limited(per_allocation, in_all);
        let (mut alice, mut bob) = (Client::alice(), Client::bob());
        let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
        alice.bind(&mut world, 0x4000, b);
        bob.bind(&mut world, 0x4000, a);
        let sent = |sent: Sent| usize::from(matches!(sent, Sent::ToClient(..)));
        let payload = vec![1; 6000];
        let passed: usize = (0..20).map(|_| sent(alice.channel_data(&mut world, 0x4000, &payload))).sum();
        assert_eq!(passed, 10, "65,535 bytes and no time");
        // Each of them took from the other's budget too.
        assert_eq!(sent(bob.channel_data(&mut world, 0x4000, &payload)), 0);
    }
}
