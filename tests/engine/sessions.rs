//! What an operator sees of live allocations, and how one ends them.

use std::net::IpAddr;
use std::sync::Arc;

use floe::relay::{CloseReason, Whose};

use crate::client::{Client, Request};
use crate::world::{Setup, World, addr};

const PEER: &str = "203.0.113.1:9";

#[test]
fn a_session_shows_whom_it_may_reach_and_what_it_carried() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, addr(PEER));
    alice.channel_data(&mut world, 0x4000, b"1234");
    let (sessions, next) = world.engines[0].sessions(world.now.instant, 0);
    let [summary] = sessions.as_slice() else { panic!("{sessions:?}") };
    assert_eq!((&*summary.user, summary.permissions, summary.channels), ("alice", 1, 1));
    assert_eq!(summary.relays[0].unwrap().socket(), relayed);
    assert_eq!(summary.expires.since(world.now.instant).as_secs(), 600);
    assert_eq!((summary.traffic.up_packets, summary.traffic.up_bytes), (1, 4));
    assert_eq!(next, None);

    let detail = world.engines[0].session(world.now.instant, summary.id).unwrap();
    assert_eq!(detail.summary, *summary);
    let peer = addr(PEER);
    assert_eq!(detail.permissions.iter().map(|(ip, _)| *ip).collect::<Vec<IpAddr>>(), [peer.ip()]);
    let [(number, bound, until)] = detail.channels.as_slice() else { panic!("{detail:?}") };
    assert_eq!((number.0, bound.socket(), until.since(world.now.instant).as_secs()), (0x4000, peer, 600));
    // What has had its time is not shown, though nobody has swept it out yet.
    world.stall(std::time::Duration::from_secs(599));
    let later = world.engines[0].session(world.now.instant, summary.id).unwrap();
    assert_eq!(later.channels.len(), 1);
    world.stall(std::time::Duration::from_secs(2));
    assert!(world.engines[0].session(world.now.instant, summary.id).is_none_or(|d| d.channels.is_empty()));
}

#[test]
fn a_long_list_comes_in_parts() {
    let mut world = World::new();
    for number in 0..1_500 {
        let client = format!("192.0.2.{}:{}", number % 250, 2_000 + number);
        Client::new("alice", &client).allocate(&mut world);
    }
    let mut seen = std::collections::BTreeSet::new();
    let (mut from, mut parts) = (Some(0), 0);
    while let Some(at) = from {
        let (some, next) = world.engines[0].sessions(world.now.instant, at);
        seen.extend(some.iter().map(|summary| summary.id));
        (from, parts) = (next, parts + 1);
    }
    assert_eq!(seen.len(), 1_500);
    assert_eq!(parts, 2);
    // Far behind the end there is nothing.
    assert_eq!(world.engines[0].sessions(world.now.instant, u32::MAX), (vec![], None));
}

#[test]
fn one_session_is_ended_and_the_others_stay() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    alice.allocate(&mut world);
    bob.allocate(&mut world);
    let (sessions, _) = world.engines[0].sessions(world.now.instant, 0);
    let id = sessions.iter().find(|s| &*s.user == "alice").unwrap().id;
    assert_eq!(world.kick(0, &Whose::Allocation(id)), 1);
    assert_eq!(world.kick(0, &Whose::Allocation(id)), 0);
    assert_eq!(world.closed, [CloseReason::Kicked]);
    assert_eq!(alice.refresh(&mut world, 600).code(), 437);
    assert_eq!(bob.refresh(&mut world, 600).code(), 0);
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    alice.allocate(&mut world);
}

#[test]
fn all_sessions_of_a_user_are_ended_by_either_name() {
    let mut world = World::with(Setup { shards: 2, ..Setup::default() });
    for shard in 0..2 {
        let mut alice = Client::new("alice", &format!("192.0.2.1:500{shard}")).on_shard(shard);
        alice.allocate(&mut world);
    }
    let mut bob = Client::bob();
    bob.allocate_as(&mut world, &Request::allocate());
    let of = |name: &str| Whose::User(Arc::from(name));
    assert_eq!(world.kick(0, &of("nobody")), 0);
    assert_eq!(world.kick(0, &of("alice")), 1);
    assert_eq!(world.kick(1, &of("alice")), 1);
    assert_eq!(world.live(), 1);
    assert_eq!(bob.refresh(&mut world, 0).code(), 0);
    world.assert_empty();
}
