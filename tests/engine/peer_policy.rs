//! Peers that are denied while a client has them.

use std::net::IpAddr;
use std::sync::Arc;

use floe::relay::world::{PeerPolicy, Reach};
use floe::relay::{DropReason, PeerAddr};

use crate::client::{Client, Heard, Request};
use crate::world::{RELAY_V4, Sent, World, addr};

/// All may be reached but these.
struct AllBut(Vec<IpAddr>);

impl PeerPolicy for AllBut {
    fn reach(&self, peer: IpAddr) -> Reach {
        match self.0.contains(&peer) {
            true => Reach::Denied,
            false if peer == RELAY_V4.parse::<IpAddr>().unwrap() => Reach::SomePorts,
            false => Reach::Open,
        }
    }

    fn may_send(&self, _: PeerAddr) -> bool {
        false
    }
}

// H-012
#[test]
fn what_was_granted_ends_with_the_policy_that_allowed_it() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate_as(&mut world, &Request::allocate().lifetime(3600));
    let [denied, bound, kept] = ["203.0.113.1:9", "203.0.113.2:9", "203.0.113.3:9"].map(addr);
    assert_eq!(alice.permit(&mut world, &[denied, kept]), 0);
    assert_eq!(alice.bind(&mut world, 0x4000, bound), 0);
    assert_eq!(alice.bind(&mut world, 0x4001, kept), 0);
    world.set_peers(Arc::new(AllBut(vec![denied.ip(), bound.ip()])));
    assert_eq!((world.permissions(), world.channels()), (1, 1));
    for peer in [denied, bound] {
        assert_eq!(alice.send(&mut world, peer, b"x"), Sent::Dropped(DropReason::NoPermission));
        let inbound = world.peer(peer, relayed, b"x");
        assert_eq!(inbound, Some(Sent::Dropped(DropReason::NoPermission)));
        assert_eq!(alice.permit(&mut world, &[peer]), 403);
    }
    assert_eq!(alice.channel_data(&mut world, 0x4000, b"x"), Sent::Dropped(DropReason::NoChannel));
    assert_eq!(alice.channel_data(&mut world, 0x4001, b"x"), Sent::ToPeer(relayed, kept, b"x".into()));
    let heard = world.peer(kept, relayed, b"y").unwrap().heard_by(&alice);
    assert_eq!(heard, Heard::Channel(0x4001, b"y".into()));
    // The number is free again, and so is the peer once it is allowed.
    world.set_peers(Arc::new(AllBut(Vec::new())));
    assert_eq!(alice.bind(&mut world, 0x4000, denied), 0);
    assert_eq!(alice.bind(&mut world, 0x4002, bound), 0);
    alice.refresh(&mut world, 0);
    world.assert_empty();
}

/// A call of two relays goes on when the policy is read again.
// H-012 B-164
#[test]
fn relays_of_this_server_stay_reachable() {
    let mut world = World::new();
    let (mut alice, mut bob) = (Client::alice(), Client::bob());
    let (a, b) = (alice.allocate(&mut world), bob.allocate(&mut world));
    assert_eq!(alice.bind(&mut world, 0x4000, b), 0);
    assert_eq!(bob.bind(&mut world, 0x4000, a), 0);
    world.set_peers(Arc::new(AllBut(Vec::new())));
    let heard = alice.channel_data(&mut world, 0x4000, b"x").heard_by(&bob);
    assert_eq!(heard, Heard::Channel(0x4000, b"x".into()));
}
