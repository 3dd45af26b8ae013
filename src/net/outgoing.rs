//! What becomes of the routes of one batch: streams and rings take theirs in order,
//! datagrams are gathered by socket and destination, so that each socket is handed
//! all of its own at once and what goes the same way can leave as one. Called by
//! `shard` alone.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use super::connections::Slot;
use super::dtls::{Dtls, SessionSlot};
use super::ring::Crossing;
use super::shard::{Neighbour, Shard, UdpListener, Work};
use super::udp::Datagram;
use crate::relay::counters::Counters;
use crate::relay::{ClientPath, DropReason, RelayId, Route, ShardId, Transport};

/// A route, and which packet of the batch its payload is in.
pub(super) struct Routed {
    pub packet: usize,
    pub route: Route,
    /// Its datagram is one of [`Dtls::leaving`].
    pub sealed: Option<usize>,
}

/// A datagram to be sent: in the order of its fields, so that those of one socket,
/// and of these those that go the same way, come together in the order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Outgoing {
    from: Out,
    /// See [`way`].
    way: u64,
    /// Place in [`Work::routes`].
    route: usize,
    dont_fragment: bool,
}

/// A UDP socket to send from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Out {
    Listener(u32),
    /// A listener, for DTLS.
    Records(u32),
    Relay(RelayId),
}

impl Shard {
    /// Sends the noted routes: streams and rings take theirs in order, datagrams
    /// are gathered so that each socket is handed all of its own at once.
    pub(super) fn send<'a>(&mut self, packet: &impl Fn(usize) -> &'a [u8]) {
        let Work { out, routes, datagrams, .. } = &mut self.work;
        let counters = &*self.counters;
        for (at, Routed { packet: index, route, sealed }) in routes.iter_mut().enumerate() {
            match route {
                Route::Reply { to, message } => match Way::to(to) {
                    Way::Plain(socket) => datagrams.push(Outgoing::to_client(socket, to, at)),
                    Way::Session(slot) => {
                        let parts = [&out.bytes[message.clone()], &[], &[]];
                        let records = seal(&mut self.dtls, counters, slot, parts, sealed);
                        datagrams.extend(records.map(|socket| Outgoing::to_client(socket, to, at)));
                    }
                    Way::Stream(slot) => {
                        let message = &out.bytes[message.clone()];
                        let queued = self.connections.control(slot, message);
                        count_stream(counters, to, queued, message.len());
                    }
                    Way::Shard(shard) => {
                        let what = Crossing::ToClient(to.link, to.five_tuple);
                        let parts = [&out.bytes[message.clone()], &[], &[]];
                        push(&mut self.neighbours, shard, what, parts, counters);
                    }
                },
                Route::ToClient { to, header, payload, padding } => {
                    let parts = || {
                        let padding = &PADDING[..usize::from(*padding)];
                        [&out.bytes[header.clone()], payload_of(packet, *index, payload), padding]
                    };
                    match Way::to(to) {
                        Way::Plain(socket) => datagrams.push(Outgoing::to_client(socket, to, at)),
                        Way::Session(slot) => {
                            let records = seal(&mut self.dtls, counters, slot, parts(), sealed);
                            datagrams.extend(records.map(|socket| Outgoing::to_client(socket, to, at)));
                        }
                        Way::Stream(slot) => {
                            let parts = parts();
                            let queued = self.connections.relayed(slot, parts);
                            count_stream(counters, to, queued, parts.iter().map(|part| part.len()).sum());
                        }
                        Way::Shard(shard) => {
                            let what = Crossing::ToClient(to.link, to.five_tuple);
                            push(&mut self.neighbours, shard, what, parts(), counters);
                        }
                    }
                }
                Route::ToPeer { relay, peer, dont_fragment, .. } => datagrams.push(Outgoing {
                    from: Out::Relay(*relay),
                    dont_fragment: *dont_fragment,
                    way: way(peer.socket()),
                    route: at,
                }),
                Route::ToShard { shard, to, from, payload } => {
                    let what = Crossing::Relayed { to: *to, from: *from };
                    let parts = [&packet(*index)[payload.clone()], &[], &[]];
                    push(&mut self.neighbours, *shard, what, parts, counters);
                }
                Route::Returned { shard, from } => {
                    let what = Crossing::Returned(from.link, from.five_tuple);
                    push(&mut self.neighbours, *shard, what, [packet(*index), &[], &[]], counters);
                }
                // Gone already: see `Shard::note_of_client`.
                Route::ToOwner { .. } | Route::Nothing | Route::Drop(_) => {}
            }
        }
        self.send_datagrams(packet);
        self.dtls.sent();
        let Work { out, routes, datagrams, .. } = &mut self.work;
        datagrams.clear();
        routes.clear();
        out.bytes.clear();
    }

    /// Sends the gathered datagrams, and counts them. What the kernel refuses is
    /// lost, as datagrams may be.
    fn send_datagrams<'a>(&mut self, packet: &impl Fn(usize) -> &'a [u8]) {
        let Work { out, routes, datagrams, outbox, complaints, .. } = &mut self.work;
        let counters = &*self.counters;
        // For each flow that a datagram may belong to.
        let [udp, dtls] = [Transport::Udp, Transport::Dtls].map(|t| &counters.client_out[t.index()]);
        let flows = [udp, dtls, &counters.peer_out[0], &counters.peer_out[1]];
        let (mut packets, mut bytes) = ([0; 4], [0; 4]);
        let listener = |link: u32| match self.listeners.get(link as usize) {
            Some(UdpListener { socket, local, .. }) => (Some(&**socket), local.ip().is_unspecified()),
            None => (None, false),
        };
        datagrams.sort_unstable();
        let mut batch = outbox.batch();
        for outgoing in &*datagrams {
            let ((socket, wildcard), flow) = match outgoing.from {
                Out::Listener(link) => (listener(link), 0),
                Out::Records(link) => (listener(link), 1),
                Out::Relay(id) => ((self.relays.get(id), false), 2 + id.family.index()),
            };
            let routed = &routes[outgoing.route];
            let datagram = match routed.sealed {
                Some(place) => record(routed, self.dtls.leaving().datagram(place), wildcard),
                None => datagram(routed, &out.bytes, packet, wildcard),
            };
            if let (Some(socket), Some(datagram)) = (socket, datagram) {
                packets[flow] += 1;
                bytes[flow] += datagram.parts.iter().map(|part| part.len()).sum::<usize>();
                batch.push(socket, flow, outgoing.dont_fragment, &datagram);
            } else {
                counters.dropped(DropReason::SendFailed);
            }
        }
        batch.send(|refused| {
            packets[refused.label] -= refused.packets;
            bytes[refused.label] -= refused.bytes;
            counters.drops[DropReason::SendFailed.index()].add(refused.packets as u64);
            if let Some(unsaid) = complaints.say() {
                let error = refused.error;
                tracing::warn!(target: "floe::net", %error, unsaid, "datagrams the kernel would not take");
            }
        });
        for (flow, (packets, bytes)) in flows.into_iter().zip(packets.into_iter().zip(bytes)) {
            flow.packets.add(packets as u64);
            flow.bytes.add(bytes as u64);
        }
    }
}

impl Outgoing {
    fn to_client(from: Out, to: &ClientPath, route: usize) -> Self {
        Self { from, dont_fragment: false, way: way(to.five_tuple.client.socket()), route }
    }
}

/// A number for a destination. Another one may have the same: then packets of the
/// two lie between each other, and fewer are joined.
fn way(to: SocketAddr) -> u64 {
    let ip = match to.ip() {
        IpAddr::V4(ip) => u64::from(ip.to_bits()),
        IpAddr::V6(ip) => {
            let bits = ip.to_bits();
            (bits >> 64) as u64 ^ (bits as u64).rotate_left(29)
        }
    };
    ip.rotate_left(16) ^ u64::from(to.port())
}

/// Behind ChannelData, so that the next frame of a stream begins at a multiple
/// of 4 (RFC 8656 §12.5).
const PADDING: [u8; 3] = [0; 3];

/// Puts a packet into another shard's ring; what does not fit is lost.
pub(super) fn push(
    neighbours: &mut [Option<Neighbour>],
    shard: ShardId,
    what: Crossing,
    parts: [&[u8]; 3],
    counters: &Counters,
) {
    let neighbour = neighbours.get_mut(usize::from(shard.0)).and_then(Option::as_mut);
    let pushed = neighbour.is_some_and(|neighbour| {
        let pushed = neighbour.ring.push(what, parts);
        neighbour.written |= pushed;
        pushed
    });
    if !pushed {
        counters.dropped(DropReason::RingFull);
    }
}

/// The payload of a route. One that has none may belong to no packet at all.
fn payload_of<'p>(packet: &impl Fn(usize) -> &'p [u8], index: usize, payload: &Range<usize>) -> &'p [u8] {
    if payload.is_empty() { &[] } else { &packet(index)[payload.clone()] }
}

/// How a client is reached.
enum Way {
    Plain(Out),
    Session(SessionSlot),
    Stream(Slot),
    /// By the session that this shard has with it.
    Shard(ShardId),
}

impl Way {
    fn to(client: &ClientPath) -> Self {
        if let (Some(via), Transport::Dtls) = (client.via, client.five_tuple.transport) {
            return Self::Shard(via);
        }
        if let Some(slot) = Slot::of(client.link) {
            return Self::Stream(slot);
        }
        if let Some(slot) = SessionSlot::of(client.link) {
            return Self::Session(slot);
        }
        Self::Plain(match client.five_tuple.transport {
            // Of a handshake.
            Transport::Dtls => Out::Records(client.link.0),
            _ => Out::Listener(client.link.0),
        })
    }
}

/// Encrypts a message to a client and says where it is and by which socket it
/// goes.
fn seal(
    dtls: &mut Dtls,
    counters: &Counters,
    client: SessionSlot,
    parts: [&[u8]; 3],
    sealed: &mut Option<usize>,
) -> Option<Out> {
    match dtls.seal(client, parts) {
        Some((listener, place)) => {
            *sealed = Some(place);
            Some(Out::Records(listener))
        }
        None => {
            counters.dropped(DropReason::SendFailed);
            None
        }
    }
}

/// A route's encrypted message; otherwise like [`datagram`].
fn record<'a>(routed: &Routed, record: &'a [u8], wildcard: bool) -> Option<Datagram<'a>> {
    let (Route::Reply { to, .. } | Route::ToClient { to, .. }) = &routed.route else { return None };
    Some(Datagram {
        to: to.five_tuple.client.socket(),
        from: wildcard.then(|| to.five_tuple.server.ip()),
        parts: [record, &[], &[]],
    })
}

/// What a route puts on the wire; `None` when it is none for UDP. `wildcard`:
/// the socket has no address of its own to send from.
fn datagram<'a, 'p: 'a>(
    Routed { packet: index, route, .. }: &Routed,
    out: &'a [u8],
    packet: &impl Fn(usize) -> &'p [u8],
    wildcard: bool,
) -> Option<Datagram<'a>> {
    // RFC 8489 §6.3.1: replies leave from the address that was asked.
    let from = |to: &ClientPath| wildcard.then(|| to.five_tuple.server.ip());
    Some(match route {
        Route::Reply { to, message } => Datagram {
            to: to.five_tuple.client.socket(),
            from: from(to),
            parts: [&out[message.clone()], &[], &[]],
        },
        Route::ToClient { to, header, payload, padding } => Datagram {
            to: to.five_tuple.client.socket(),
            from: from(to),
            parts: [
                &out[header.clone()],
                payload_of(packet, *index, payload),
                &PADDING[..usize::from(*padding)],
            ],
        },
        Route::ToPeer { peer, payload, .. } => {
            Datagram { to: peer.socket(), from: None, parts: [&packet(*index)[payload.clone()], &[], &[]] }
        }
        Route::ToShard { .. }
        | Route::ToOwner { .. }
        | Route::Returned { .. }
        | Route::Nothing
        | Route::Drop(_) => return None,
    })
}

fn count_stream(counters: &Counters, to: &ClientPath, queued: bool, bytes: usize) {
    if queued {
        counters.client_out[to.five_tuple.transport.index()].count(bytes);
    } else {
        counters.dropped(DropReason::SlowClient);
    }
}
