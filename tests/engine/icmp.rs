//! ICMP errors on their way to the client (RFC 8656 §11.5).

use floe::relay::{DropReason, Icmp};
use floe::wire::{AttributeType, Class, Message, Method};

use crate::client::{Client, Request};
use crate::world::{Sent, World, addr};

const PEER_V4: &str = "203.0.113.1:9";
const PEER_V6: &str = "[2001:db8:9::1]:9";

/// The peer and the ICMP attribute of what a client was told.
fn told(sent: Option<Sent>) -> (std::net::SocketAddr, Vec<u8>) {
    let Some(Sent::ToClient(_, bytes)) = sent else { panic!("{sent:?}") };
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert!(!message.has(AttributeType::DATA), "an error brings no data");
    let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap();
    (peer, message.get(AttributeType::ICMP).unwrap().to_vec())
}

// B-113 B-115 B-116
#[test]
fn an_error_is_told_with_its_type_and_code_and_an_mtu_where_there_is_one() {
    for (family, peer, cases) in [
        (1, PEER_V4, [(3, 1, 0), (3, 3, 0), (3, 4, 1400), (11, 0, 0), (11, 1, 0)]),
        (2, PEER_V6, [(1, 0, 0), (1, 4, 0), (2, 0, 1280), (3, 0, 0), (3, 1, 0)]),
    ] {
        for stream in [false, true] {
            let mut world = World::new();
            let mut alice = Client::alice();
            if stream {
                alice = alice.over_tcp();
            }
            let relayed = alice.allocate_as(&mut world, &Request::allocate().family(family));
            assert_eq!(alice.permit(&mut world, &[addr(peer)]), 0);
            for (kind, code, data) in cases {
                // Whatever else the system says of it counts for nothing.
                let icmp = Icmp { kind, code, mtu: if data == 0 { 77 } else { data } };
                let mut value = vec![0, 0, kind, code];
                value.extend(data.to_be_bytes());
                assert_eq!(told(world.icmp(addr(peer), relayed, icmp)), (addr(peer), value));
            }
            let mut nowhere = addr(peer);
            nowhere.set_port(0);
            let icmp = Icmp { kind: cases[0].0, code: cases[0].1, mtu: 0 };
            assert_eq!(told(world.icmp(nowhere, relayed, icmp)).0, nowhere);
            assert_eq!(world.counters[0].icmp.get(), 6);
        }
    }
}

// B-114 B-118
#[test]
fn an_error_that_is_nobodys_business_is_dropped() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    alice.permit(&mut world, &[addr(PEER_V4)]);
    for kind in (0..=255).filter(|kind| ![3, 11].contains(kind)) {
        let sent = world.icmp(addr(PEER_V4), relayed, Icmp { kind, code: 0, mtu: 0 });
        assert_eq!(sent, Some(Sent::Dropped(DropReason::Icmp)));
    }
    let port_unreachable = Icmp { kind: 3, code: 3, mtu: 0 };
    let stranger = world.icmp(addr("203.0.113.2:9"), relayed, port_unreachable);
    assert_eq!(stranger, Some(Sent::Dropped(DropReason::NoPermission)));
    // Another port of a permitted peer is as good.
    told(world.icmp(addr("203.0.113.1:10"), relayed, port_unreachable));
    // A permission that is over is none.
    world.stall(std::time::Duration::from_secs(300));
    let sent = world.icmp(addr(PEER_V4), relayed, port_unreachable);
    assert_eq!(sent, Some(Sent::Dropped(DropReason::NoPermission)));
    world.stall(std::time::Duration::from_secs(300));
    let sent = world.icmp(addr(PEER_V4), relayed, port_unreachable);
    assert_eq!(sent, Some(Sent::Dropped(DropReason::NoAllocation)));
    assert_eq!(world.icmp(addr(PEER_V4), addr("198.51.100.1:1"), port_unreachable), None);
}

// B-117
#[test]
fn a_channel_carries_no_errors() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let relayed = alice.allocate(&mut world);
    assert_eq!(alice.bind(&mut world, 0x4000, addr(PEER_V4)), 0);
    let (peer, _) = told(world.icmp(addr(PEER_V4), relayed, Icmp { kind: 3, code: 3, mtu: 0 }));
    assert_eq!(peer, addr(PEER_V4));
}
