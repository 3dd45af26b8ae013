//! Which relay ports are given out.

use std::collections::BTreeSet;

use floe::relay::DropReason;

use crate::client::{Client, Request};
use crate::world::{Sent, Setup, World, addr};

/// Each from an address of its own.
fn client(n: usize) -> Client {
    Client::new("alice", &format!("192.0.{}.{}:4000", n / 250, n % 250 + 1))
}

fn allocate(world: &mut World, count: usize) -> Vec<u16> {
    (0..count).map(|n| client(n).allocate(world).port()).collect()
}

// B-048 B-047
#[test]
fn they_are_spread_evenly_and_follow_no_order() {
    let mut world = World::new();
    let ports = allocate(&mut world, 1000);
    let mut bins = [0f64; 64];
    for port in &ports {
        bins[usize::from(*port - 49152) / 256] += 1.0;
    }
    let expected = 1000.0 / 64.0;
    let chi_square: f64 = bins.iter().map(|seen| (seen - expected).powi(2) / expected).sum();
    // 63 degrees of freedom, p = 0.001.
    assert!(chi_square < 103.4, "{chi_square}");
    let near = ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
    assert!(near <= 3, "{near} of 999 follow their neighbour");
}

// B-048
#[test]
fn another_seed_gives_others() {
    let with = |seed| allocate(&mut World::with(Setup { seed, ..Setup::default() }), 8);
    assert_eq!(with(1), with(1));
    assert_ne!(with(1), with(2));
}

/// It is as likely as any other, one in 16,384.
// H-062
#[test]
fn the_port_that_was_freed_last_is_not_the_next() {
    let mut world = World::new();
    let ports: Vec<u16> = (0..2000)
        .map(|n| {
            let mut client = client(n % 100);
            let port = client.allocate(&mut world).port();
            client.refresh(&mut world, 0);
            port
        })
        .collect();
    let again = ports.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(again <= 3, "{again} of 1,999");
}

/// Where there are few ports, the peers of its last owner are strangers.
// H-062 H-061
#[test]
fn the_next_owner_of_a_port_does_not_hear_the_peers_of_the_last() {
    let mut world = World::with(Setup { ports: 50_000..=50_000, v6: false, ..Setup::default() });
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let peer = addr("203.0.113.1:9");
    let relayed = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, peer);
    alice.refresh(&mut world, 0);
    assert_eq!(bob.allocate(&mut world), relayed);
    assert_eq!(bob.permit(&mut world, &[addr("203.0.113.2:9")]), 0);
    assert_eq!(world.peer(peer, relayed, b"late"), Some(Sent::Dropped(DropReason::NoPermission)));
}

// B-007
#[test]
fn none_is_given_out_twice() {
    let mut world = World::with(Setup { shards: 2, ports: 50_000..=51_999, ..Setup::default() });
    let mut seen = BTreeSet::new();
    for n in 0..2000 {
        let mut client = client(n).on_shard(n % 2);
        assert!(seen.insert(client.allocate(&mut world).port()));
    }
    assert_eq!(world.ports_used(), 2000);
}

// B-046 H-050
#[test]
fn when_all_are_taken_it_is_508_until_one_is_free() {
    let mut world = World::with(Setup { ports: 50_001..=50_007, v6: false, ..Setup::default() });
    let mut clients: Vec<Client> = (0..8).map(client).collect();
    for client in &mut clients[..7] {
        client.allocate(&mut world);
    }
    assert_eq!(clients[7].request(&mut world, &Request::allocate()).code(), 508);
    let freed = clients[3].request(&mut world, &Request::refresh().lifetime(0)).code();
    assert_eq!(freed, 0);
    clients[7].allocate(&mut world);
    world.pass_secs(601);
    world.assert_empty();
    for client in &mut clients[..7] {
        client.allocate(&mut world);
    }
}

// B-031 B-047
#[test]
fn a_range_that_begins_or_ends_odd_is_used_whole_and_never_left() {
    for ports in [50_001..=50_006, 50_000..=50_005, 65_530..=65_535, 50_001..=50_005] {
        let mut world = World::with(Setup { ports: ports.clone(), v6: false, ..Setup::default() });
        let evens = ports.clone().filter(|port| port.is_multiple_of(2)).count();
        let mut seen = BTreeSet::new();
        for n in 0..evens {
            let relayed = client(n).allocate_as(&mut world, &Request::allocate().even_port(0));
            assert!(ports.contains(&relayed.port()) && relayed.port().is_multiple_of(2));
            assert!(seen.insert(relayed.port()));
        }
        let mut next = client(100);
        assert_eq!(next.request(&mut world, &Request::allocate().even_port(0)).code(), 508);
        for n in 101..101 + ports.len() - evens {
            assert!(seen.insert(client(n).allocate(&mut world).port()));
        }
        assert!(seen.into_iter().eq(ports));
    }
}
