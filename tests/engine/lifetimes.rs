//! How long an allocation lasts, and what is left when it ends.

use floe::relay::{CloseReason, DropReason, Link};
use floe::wire::AttributeType;

use crate::client::{Client, Request};
use crate::world::{Sent, Setup, World, addr};

const PEER: &str = "203.0.113.1:9";

// B-043
#[test]
fn without_refresh_it_ends_on_time_and_the_five_tuple_is_free_again() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr(PEER);
    let relayed = alice.allocate(&mut world);
    world.pass_secs(500);
    alice.bind(&mut world, 0x4000, peer);
    world.pass_secs(99);
    assert!(world.peer(peer, relayed, b"in time").unwrap() != Sent::Dropped(DropReason::NoAllocation));
    world.pass_secs(2);
    assert_eq!(world.closed, [CloseReason::Expired]);
    assert_eq!(world.peer(peer, relayed, b"late"), None, "the socket is closed");
    assert_eq!(alice.refresh(&mut world, 600).code(), 437);
    world.assert_empty();
    alice.allocate(&mut world);
}

// B-043 B-076
#[test]
fn nothing_is_relayed_after_its_time_even_when_the_timer_is_late() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr(PEER);
    let relayed = alice.allocate(&mut world);
    world.pass_secs(400);
    alice.bind(&mut world, 0x4000, peer);
    world.stall(std::time::Duration::from_secs(200));
    assert_eq!(world.live(), 1, "nobody has looked yet");
    let gone = Sent::Dropped(DropReason::NoAllocation);
    assert_eq!(world.peer(peer, relayed, b"late"), Some(gone.clone()));
    assert_eq!(alice.send(&mut world, peer, b"late"), gone);
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"late"), gone);
    assert_eq!(alice.permit(&mut world, &[peer]), 437);
    // An Allocate in this gap takes the place of the dead one.
    assert_ne!(alice.allocate(&mut world), relayed);
    assert_eq!((world.live(), world.ports_used()), (1, 1));
    assert_eq!(world.closed, [CloseReason::Expired]);
    world.pass_secs(601);
    world.assert_empty();
}

// B-044
#[test]
fn traffic_does_not_make_it_longer() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr(PEER);
    let relayed = alice.allocate(&mut world);
    for _ in 0..6 {
        alice.bind(&mut world, 0x4000, peer);
        alice.channel_data(&mut world, 0x4000, b"up");
        world.peer(peer, relayed, b"down");
        world.pass_secs(101);
    }
    assert_eq!(world.live(), 0);
}

// B-060
#[test]
fn refresh_sets_what_is_left() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    assert_eq!(alice.request(&mut world, &Request::refresh()).lifetime(), 600);
    for (asked, given) in [(1, 600), (599, 600), (601, 601), (9999, 3600), (u32::MAX, 3600)] {
        assert_eq!(alice.refresh(&mut world, asked).lifetime(), given);
    }
    world.pass_secs(3599);
    alice.greet(&mut world);
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 3600);
    // A later, smaller one makes it shorter.
    assert_eq!(alice.refresh(&mut world, 600).lifetime(), 600);
    world.pass_secs(601);
    assert_eq!(world.closed, [CloseReason::Expired]);
}

// B-061 B-065
#[test]
fn a_refresh_of_zero_ends_it_at_once() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    let peer = addr(PEER);
    alice.bind(&mut world, 0x4000, peer);
    let malformed = Request::refresh().with(AttributeType::LIFETIME, &[0; 8]);
    assert_eq!(alice.request(&mut world, &malformed).code(), 400);
    let answer = alice.refresh(&mut world, 0);
    assert_eq!((answer.code(), answer.lifetime()), (0, 0));
    assert_eq!(world.peer(peer, relayed, b"late"), None);
    assert_eq!(alice.refresh(&mut world, 600).code(), 437);
    assert_eq!(world.closed, [CloseReason::Deleted]);
    world.assert_empty();
}

#[test]
fn a_longest_lifetime_below_the_default_counts_as_the_default() {
    let mut setup = Setup::default();
    setup.settings.max_lifetime = 1;
    let mut world = World::with(setup);
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 600);
}

/// The old connection may be seen to be gone after the new one has begun.
// B-161
#[test]
fn a_client_that_is_back_by_a_new_connection_keeps_what_it_has_there() {
    let mut world = World::new();
    let mut alice = Client::alice().over_tcp();
    let mut old = alice.path;
    old.link = Link(7);
    alice.allocate(&mut world);
    world.gone(0, old);
    assert_eq!(world.closed, []);
    world.gone(0, alice.path);
    assert_eq!(world.closed, [CloseReason::Disconnected]);
}

// B-161
#[test]
fn a_client_that_is_gone_leaves_nothing() {
    let mut world = World::new();
    let mut alice = Client::alice().over_tcp();
    alice.allocate(&mut world);
    alice.bind(&mut world, 0x4000, addr(PEER));
    let path = alice.path;
    world.gone(0, path);
    world.gone(0, path);
    assert_eq!(world.closed, [CloseReason::Disconnected]);
    world.assert_empty();
}

// B-166
#[test]
fn while_draining_there_is_no_new_one_and_ten_minutes_for_the_rest() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    world.engines[0].drain();
    assert_eq!(bob.request(&mut world, &Request::allocate()).code(), 508);
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 600);
    world.pass_secs(500);
    assert_eq!(alice.refresh(&mut world, 3600).lifetime(), 600);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER)), 0);
    assert_eq!(alice.refresh(&mut world, 0).code(), 0);
    world.assert_empty();
}

#[test]
fn close_all_ends_what_is_open_and_what_is_being_opened_and_what_is_held() {
    let mut world = World::with(Setup { shards: 2, ..Setup::default() });
    let mut alice = Client::alice();
    alice.allocate_as(&mut world, &Request::allocate().even_port(0x80));
    alice.bind(&mut world, 0x4000, addr(PEER));
    let mut carol = Client::new("carol", "192.0.2.3:4000").on_shard(1);
    carol.allocate(&mut world);
    let mut bob = Client::bob();
    bob.greet(&mut world);
    world.hold_binds = true;
    let bytes = bob.sign(&Request::allocate());
    bob.raw(&mut world, &bytes);
    world.close_all();
    assert_eq!(world.closed, [CloseReason::Shutdown; 2]);
    let waiting = world.waiting[0];
    assert_eq!(world.finish(waiting, floe::relay::Outcome::Bound), Sent::Nothing);
    world.assert_empty();
    world.assert_empty_for_good();
}

// B-167
#[test]
fn a_step_of_the_wall_clock_ends_and_prolongs_nothing() {
    for seconds in [-3600, 3600] {
        let mut world = World::new();
        let mut alice = Client::alice();
        let peer = addr(PEER);
        let relayed = alice.allocate(&mut world);
        alice.bind(&mut world, 0x4000, peer);
        world.set_wall_clock(seconds);
        world.pass_secs(299);
        assert!(!world.peer(peer, relayed, b"x").unwrap().is_dropped());
        world.pass_secs(300);
        assert_eq!(world.live(), 1);
        world.pass_secs(2);
        assert_eq!(world.live(), 0);
    }
}
