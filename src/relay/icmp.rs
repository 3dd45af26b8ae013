//! ICMP errors, told to the client whose packet they answer (RFC 8656 §11.5).

use super::address::{Family, PeerAddr};
use super::engine::Engine;
use super::reply;
use super::route::{DropReason, Output, RelayId, Route};
use super::time::Now;
use crate::wire::{AttributeType, Method};

/// What an ICMP error says; of ICMPv4 or ICMPv6 as the relay's family is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Icmp {
    /// Its type.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The next link's MTU in bytes, when the packet was too large for it; looked
    /// at for no other type and code.
    pub mtu: u32,
}

/// Destination Unreachable, and its code Fragmentation Needed (RFC 792).
const UNREACHABLE_V4: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const TIME_EXCEEDED_V4: u8 = 11;
/// RFC 4443
const UNREACHABLE_V6: u8 = 1;
const PACKET_TOO_BIG: u8 = 2;
const TIME_EXCEEDED_V6: u8 = 3;

impl Icmp {
    /// What a router says of a packet that it may not fragment.
    pub const fn too_large(family: Family, mtu: u32) -> Self {
        match family {
            Family::V4 => Self { kind: UNREACHABLE_V4, code: FRAGMENTATION_NEEDED, mtu },
            Family::V6 => Self { kind: PACKET_TOO_BIG, code: 0, mtu },
        }
    }

    /// Whether a client is to hear of it (§11.5).
    const fn concerns_clients(self, family: Family) -> bool {
        match family {
            Family::V4 => matches!(self.kind, UNREACHABLE_V4 | TIME_EXCEEDED_V4),
            Family::V6 => matches!(self.kind, UNREACHABLE_V6 | PACKET_TOO_BIG | TIME_EXCEEDED_V6),
        }
    }

    /// The value of the ICMP attribute (§18.13).
    fn value(self, family: Family) -> [u8; 8] {
        let [m0, m1, m2, m3] = match (family, self.kind, self.code) {
            (Family::V4, UNREACHABLE_V4, FRAGMENTATION_NEEDED) | (Family::V6, PACKET_TOO_BIG, _) => {
                self.mtu.to_be_bytes()
            }
            _ => [0; 4],
        };
        [0, 0, self.kind, self.code, m0, m1, m2, m3]
    }
}

impl Engine {
    /// An ICMP error in answer to a packet that left by `relay` for `peer` (port 0
    /// when it isn't known). Whoever sent the error is not looked at: by §11.5 the
    /// peer's permission decides, and no channel carries it (§12.5).
    pub fn peer_icmp(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        icmp: Icmp,
        out: &mut Output,
    ) -> Route {
        if !icmp.concerns_clients(relay.family) {
            return self.drop_packet(DropReason::Icmp);
        }
        let allocation = self.table.live_mut(relay.allocation);
        let Some(allocation) = allocation.filter(|a| a.relay(relay.family, now.instant).is_some()) else {
            return self.drop_packet(DropReason::NoAllocation);
        };
        if allocation.permission(peer.ip(), now.instant).is_none() {
            return self.drop_packet(DropReason::NoPermission);
        }
        let Some(path) = allocation.reach() else {
            return self.drop_packet(DropReason::ClientAway);
        };
        let mut message = reply::indication(Method::DATA, peer, &mut *self.world.random, out);
        message.put(AttributeType::ICMP, &icmp.value(relay.family));
        self.world.counters.icmp.add(1);
        // To a stream as a relayed packet: a client too slow for it loses it.
        Route::ToClient { to: path, header: message.finish(), payload: 0..0, padding: 0 }
    }
}
