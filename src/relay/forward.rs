//! The packet path: ChannelData, Send, Data and hairpin (RFC 8656 §11, §12).
//! Nothing here allocates or copies a payload.

use std::ops::Range;

use super::address::{Family, FiveTuple, PeerAddr, RelayAddr, Transport};
use super::bandwidth::{self, Bucket};
use super::engine::{Engine, must_be_refused};
use super::reply;
use super::route::{AllocationId, ClientPath, DropReason, Output, RelayId, Route};
use super::time::{Instant, Now};
use super::world::Reach;
use crate::wire::{AttributeType, HEADER_LENGTH, Message, Method, channel_data, padding};

/// Largest UDP payload: 65,535 less the IP and UDP headers.
const MAX_UDP_PAYLOAD_V4: usize = 65_507;
const MAX_UDP_PAYLOAD_V6: usize = 65_527;
const fn max_udp_payload(family: Family) -> usize {
    match family {
        Family::V4 => MAX_UDP_PAYLOAD_V4,
        Family::V6 => MAX_UDP_PAYLOAD_V6,
    }
}

/// Whether DONT-FRAGMENT means anything between a client and its relay of this
/// family. From datagram to datagram only IPv4 on both sides (RFC 8656 §13, §14);
/// a stream has no fragments to go by, so its word counts (§15), but not from
/// IPv4 to IPv6.
const fn obeys_dont_fragment(client: FiveTuple, relay: Family) -> bool {
    match (client.client.family(), relay) {
        (Family::V4, Family::V4) => true,
        (Family::V6, _) => client.transport.is_stream(),
        (Family::V4, Family::V6) => false,
    }
}

/// Largest plaintext of a DTLS record (RFC 6347 §4.1), which carries a message
/// as a whole (RFC 7350 §3).
const MAX_RECORD: usize = 1 << 14;

/// Largest STUN message: header and what its length field can say.
const MAX_MESSAGE: usize = HEADER_LENGTH + 65_532;

/// How a peer's packet came to its relay.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In at the relay socket.
    Kernel,
    /// From another allocation of this server, whose address nobody can forge.
    Hairpin,
}

impl Engine {
    /// A datagram from a peer at one of our relay sockets.
    pub fn peer_datagram(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        packet: &[u8],
        out: &mut Output,
    ) -> Route {
        self.deliver_to_client(now.instant, relay, peer, Way::Kernel, 0..packet.len(), out)
    }

    /// A packet that another shard's engine routed here ([`Route::ToShard`]).
    pub fn hairpin_datagram(
        &mut self,
        now: Now,
        to: RelayAddr,
        from: PeerAddr,
        packet: &[u8],
        out: &mut Output,
    ) -> Route {
        self.hairpin(now.instant, to, from, 0..packet.len(), out)
    }

    /// RFC 8656 §12.6
    pub(super) fn channel_data(
        &mut self,
        now: Instant,
        from: ClientPath,
        packet: &[u8],
        out: &mut Output,
    ) -> Route {
        let Ok((number, payload)) = channel_data::parse(packet) else {
            return self.drop_packet(DropReason::Malformed);
        };
        let Some((id, allocation)) = self.table.find_live(from.five_tuple, now) else {
            return self.no_allocation(now, from);
        };
        let channel = allocation.channel(number, now);
        if allocation.is_unconfirmed() {
            self.confirm(now, from, id, out);
        }
        // No look at the permission: §12.6 asks for none.
        let Some(channel) = channel else {
            return self.drop_packet(DropReason::NoChannel);
        };
        self.deliver_to_peer(now, id, channel.peer, channel.reach, payload, false, out)
    }

    /// RFC 8656 §11.2; an indication is never answered, only dropped.
    pub(super) fn send_indication(
        &mut self,
        now: Instant,
        from: ClientPath,
        message: &Message<'_>,
        out: &mut Output,
    ) -> Route {
        self.world.counters.request(Method::SEND);
        let Some((id, allocation)) = self.table.find_live(from.five_tuple, now) else {
            return self.no_allocation(now, from);
        };
        // RFC 6062 §4.1: a TCP allocation has no use for it.
        if allocation.tcp.is_some() {
            return self.drop_packet(DropReason::Unsupported);
        }
        let Some(Ok(peer)) = message.xor_address(AttributeType::XOR_PEER_ADDRESS) else {
            return self.drop_packet(DropReason::Malformed);
        };
        let Some(payload) = message.range(AttributeType::DATA) else {
            return self.drop_packet(DropReason::Malformed);
        };
        if message.attributes().any(|attribute| must_be_refused(attribute.kind)) {
            return self.drop_packet(DropReason::UnknownAttribute);
        }
        let Some(peer) = PeerAddr::from_wire(peer) else {
            return self.drop_packet(DropReason::DeniedPeer);
        };
        let permission = allocation.permission(peer.ip(), now);
        if allocation.is_unconfirmed() {
            self.confirm(now, from, id, out);
        }
        let Some(permission) = permission else {
            return self.drop_packet(DropReason::NoPermission);
        };
        if peer.port() == 0 {
            return self.drop_packet(DropReason::DeniedPeer);
        }
        let dont_fragment = message.has(AttributeType::DONT_FRAGMENT);
        self.deliver_to_peer(now, id, peer, permission.reach, payload, dont_fragment, out)
    }

    #[expect(clippy::too_many_arguments, reason = "what a Send indication and a channel have in common")]
    fn deliver_to_peer(
        &mut self,
        now: Instant,
        id: AllocationId,
        peer: PeerAddr,
        reach: Reach,
        payload: Range<usize>,
        dont_fragment: bool,
        out: &mut Output,
    ) -> Route {
        if payload.len() > max_udp_payload(peer.family()) {
            return self.drop_packet(DropReason::TooLarge);
        }
        let Some(allocation) = self.table.live_mut(id) else {
            return self.drop_packet(DropReason::NoAllocation);
        };
        let Some(relay) = allocation.relay(peer.family(), now) else {
            return self.drop_packet(DropReason::WrongFamily);
        };
        let total = self.world.bandwidth.as_deref();
        let mut allows = |bucket: Option<&mut Bucket>| {
            bandwidth::allows(bucket, total, &mut self.credit, now, payload.len())
        };
        if reach != Reach::Open {
            if let Some((shard, to)) = self.world.pool.holder(peer) {
                if !allows(allocation.bandwidth.as_deref_mut()) {
                    return self.drop_packet(DropReason::Bandwidth);
                }
                allocation.traffic.up(payload.len());
                let from = PeerAddr::new(relay.address.socket());
                if shard == self.shard {
                    return self.hairpin(now, to, from, payload, out);
                }
                return Route::ToShard { shard, to, from, payload };
            }
            // The kernel carries nothing to this server's own addresses but what
            // `peers.allow` names: other services listen there.
            if !self.world.peers.may_send(peer) {
                let ours = self.world.pool.owns(peer.ip());
                return self.drop_packet(if ours { DropReason::NoSuchRelay } else { DropReason::DeniedPeer });
            }
        }
        if !allows(allocation.bandwidth.as_deref_mut()) {
            return self.drop_packet(DropReason::Bandwidth);
        }
        allocation.traffic.up(payload.len());
        let dont_fragment = dont_fragment && obeys_dont_fragment(allocation.path.five_tuple, peer.family());
        Route::ToPeer {
            relay: RelayId { allocation: id, family: peer.family() },
            peer,
            payload,
            dont_fragment,
        }
    }

    /// From one allocation of this server to another: as if it had gone out of one
    /// relay and come in at the other.
    fn hairpin(
        &mut self,
        now: Instant,
        to: RelayAddr,
        from: PeerAddr,
        payload: Range<usize>,
        out: &mut Output,
    ) -> Route {
        let Some(relay) = self.table.relay(to) else {
            return self.drop_packet(DropReason::NoSuchRelay);
        };
        self.world.counters.hairpin.count(payload.len());
        self.deliver_to_client(now, relay, from, Way::Hairpin, payload, out)
    }

    /// RFC 8656 §11.3, §12.5
    fn deliver_to_client(
        &mut self,
        now: Instant,
        relay: RelayId,
        peer: PeerAddr,
        way: Way,
        payload: Range<usize>,
        out: &mut Output,
    ) -> Route {
        let allocation = self.table.live_mut(relay.allocation);
        let Some(allocation) = allocation.filter(|a| a.relay(relay.family, now).is_some()) else {
            return self.drop_packet(DropReason::NoAllocation);
        };
        // A datagram to a relay that takes TCP alone.
        if allocation.tcp.is_some() {
            return self.drop_packet(DropReason::NoSuchRelay);
        }
        let Some(permission) = allocation.permission(peer.ip(), now) else {
            return self.drop_packet(DropReason::NoPermission);
        };
        // What `peers.allow` does not open is not let in either (H-013): other
        // services live at this server's own addresses.
        let guarded = way == Way::Kernel && permission.reach == Reach::SomePorts;
        if guarded && !self.world.peers.may_send(peer) {
            return self.drop_packet(DropReason::DeniedPeer);
        }
        // A hairpin was counted towards the server's where it began.
        let total = self.world.bandwidth.as_deref().filter(|_| way == Way::Kernel);
        let bucket = allocation.bandwidth.as_deref_mut();
        if !bandwidth::allows(bucket, total, &mut self.credit, now, payload.len()) {
            return self.drop_packet(DropReason::Bandwidth);
        }
        let Some(path) = allocation.reach() else {
            return self.drop_packet(DropReason::ClientAway);
        };
        let five_tuple = path.five_tuple;
        let stream = five_tuple.transport.is_stream();
        let limit = match five_tuple.transport {
            Transport::Tcp | Transport::Tls => MAX_MESSAGE,
            Transport::Dtls => MAX_RECORD,
            Transport::Udp => max_udp_payload(five_tuple.client.family()),
        };
        let channel = allocation.channel_to(peer, now);
        // ChannelData is padded on streams only, a Data indication's value always.
        let pads = channel.is_none() || stream;
        let padding = if pads { padding(payload.len()) } else { 0 };
        let start = out.bytes.len();
        let header = match channel {
            Some(channel) => {
                let Some(header) = channel_data::header(channel.number, payload.len()) else {
                    return self.drop_packet(DropReason::TooLarge);
                };
                out.bytes.extend_from_slice(&header);
                start..out.bytes.len()
            }
            None => {
                let message = reply::indication(Method::DATA, peer, &mut *self.world.random, out);
                message.finish_before_value(AttributeType::DATA, payload.len())
            }
        };
        if header.len() + payload.len() + padding > limit {
            out.bytes.truncate(start);
            return self.drop_packet(DropReason::TooLarge);
        }
        allocation.traffic.down(payload.len());
        Route::ToClient { to: path, header, payload, padding: padding as u8 }
    }
}
