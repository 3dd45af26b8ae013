//! The heart of a shard: one engine, and what its routes and effects mean for
//! the sockets around it. All of a shard's tasks share it on one thread; none
//! keeps it across an await.
//!
//! Every input goes the same way: hand each packet of a batch to the engine and
//! note the route ([`Shard::client`], [`Shard::peer`], [`Shard::crossed`]), then
//! send what the routes say, grouped by socket ([`Shard::flush`]).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::clock::Clock;
use super::connections::{Connections, Departure, Slot, Tenure};
use super::relays::Relays;
use super::ring::{self, Crossing};
use super::seldom::Seldom;
use super::tcp::Moved;
use super::tcp_relay::TcpRelays;
use super::udp::{self, Datagram, Outbox};
use crate::relay::counters::Counters;
use crate::relay::{
    AllocationId, AllocationSummary, ClientPath, CloseReason, ConnectionId, DropReason, Effect, EffectId,
    Engine, FiveTuple, Icmp, Instant, Now, Origin, Outcome, Output, PeerAddr, RelayAddr, RelayId, Route,
    ShardId, Transport, Whose,
};

/// Routes that are noted before they are sent: where the kernel joins packets, a
/// batch may bring thousands.
const MAX_ROUTES: usize = 512;

/// A UDP listener of this shard.
#[derive(Debug)]
pub(super) struct UdpListener {
    pub socket: Rc<udp::Socket>,
    pub local: SocketAddr,
}

/// The way to another shard.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub ring: ring::Sender,
    /// Wakes its inbox.
    pub wake: Arc<Notify>,
    /// Takes clients' connections.
    pub moved: mpsc::Sender<Moved>,
    /// Something went into the ring since the last wake.
    pub written: bool,
}

/// See the module's head.
pub(super) struct Shard {
    pub id: ShardId,
    pub clock: Clock,
    pub engine: Engine,
    pub counters: Arc<Counters>,
    /// By the number of their [`Link`](crate::relay::Link).
    pub listeners: Vec<UdpListener>,
    pub relays: Relays,
    pub tcp_relays: TcpRelays,
    pub connections: Connections,
    /// By shard number; `None` at this shard's own.
    pub neighbours: Vec<Option<Neighbour>>,
    /// When the timer task wakes, and how to make it look again.
    pub armed: Option<Instant>,
    pub timer: Rc<Notify>,
    /// To be told when no allocation is left.
    pub waiting: Vec<oneshot::Sender<()>>,
    pub work: Work,
}

/// What one batch leaves to be done, and room to do it in; empty in between.
#[derive(Default)]
pub(super) struct Work {
    out: Output,
    routes: Vec<Routed>,
    datagrams: Vec<Outgoing>,
    outbox: Outbox,
    complaints: Seldom,
    logins: Seldom,
}

/// A route, and which packet of the batch its payload is in.
struct Routed {
    packet: usize,
    route: Route,
}

/// A datagram to be sent: in the order of its fields, so that those of one socket,
/// and of these those that go the same way, come together in the order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Outgoing {
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
    Relay(RelayId),
}

impl Shard {
    /// A datagram or frame from a client, the batch's packet number `packet`.
    /// True when what is noted can't wait: then [`Shard::settle`] before the next.
    pub(super) fn client(&mut self, now: Now, from: ClientPath, packet: usize, bytes: &mut [u8]) -> bool {
        let route = self.engine.client_datagram(now, from, bytes, &mut self.work.out);
        self.note(packet, route)
    }

    /// A datagram from a peer; otherwise like [`Shard::client`].
    pub(super) fn peer(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
        packet: usize,
        bytes: &mut [u8],
    ) -> bool {
        let route = self.engine.peer_datagram(now, relay, peer, bytes, &mut self.work.out);
        self.note(packet, route)
    }

    /// An ICMP error at a relay; otherwise like [`Shard::client`].
    pub(super) fn icmp(&mut self, now: Now, relay: RelayId, peer: PeerAddr, icmp: Icmp) -> bool {
        let route = self.engine.peer_icmp(now, relay, peer, icmp, &mut self.work.out);
        self.note(0, route)
    }

    /// A packet that another shard routed here; otherwise like [`Shard::client`].
    pub(super) fn crossed(
        &mut self,
        now: Now,
        to: RelayAddr,
        from: PeerAddr,
        packet: usize,
        bytes: &mut [u8],
    ) -> bool {
        let route = self.engine.hairpin_datagram(now, to, from, bytes, &mut self.work.out);
        self.note(packet, route)
    }

    /// A client's datagram that another shard routed here; otherwise like
    /// [`Shard::client`].
    pub(super) fn passed(&mut self, now: Now, from: ClientPath, packet: usize, bytes: &mut [u8]) -> bool {
        let route = self.engine.passed_datagram(now, from, bytes, &mut self.work.out);
        self.note(packet, route)
    }

    /// A client's datagram that was passed on in vain; otherwise like
    /// [`Shard::client`].
    pub(super) fn returned(
        &mut self,
        now: Now,
        by: ShardId,
        from: ClientPath,
        packet: usize,
        bytes: &mut [u8],
    ) -> bool {
        let route = self.engine.returned_datagram(now, by, from, bytes, &mut self.work.out);
        self.note(packet, route)
    }

    /// The word of another shard on whose a client is. Never any effects.
    pub(super) fn owned_elsewhere(&mut self, now: Now, client: FiveTuple, by: ShardId, owned: bool) -> bool {
        self.engine.owned_elsewhere(now, client, by, owned);
        false
    }

    /// Sends what waits, then carries out effects. Called in the middle of a
    /// batch, so that the next packet finds the world as the engine believes it
    /// is: a closed relay's port is another allocation's to take at once.
    pub(super) fn settle<'a>(&mut self, now: Now, packet: impl Fn(usize) -> &'a [u8]) {
        self.send(&packet);
        self.carry_out(now);
    }

    /// Ends a batch: everything noted is sent, every effect carried out.
    pub(super) fn flush<'a>(&mut self, now: Now, packet: impl Fn(usize) -> &'a [u8]) {
        self.carry_out(now);
        self.send(&packet);
        self.connections.write_all();
        for neighbour in self.neighbours.iter_mut().flatten().filter(|neighbour| neighbour.written) {
            neighbour.written = false;
            neighbour.wake.notify_one();
        }
        if let Some(at) = self.engine.next_timeout()
            && self.armed.is_none_or(|armed| at < armed)
        {
            self.armed = Some(at);
            self.timer.notify_one();
        }
    }

    /// Lets the engine end what has had its time.
    pub(super) fn expire(&mut self, now: Now) {
        self.engine.expire(now, &mut self.work.out);
        self.flush(now, |_| &[]);
    }

    /// A socket gave nothing: because it is empty, or for a reason that is said
    /// now and then.
    pub(super) fn receive_failed(&mut self, error: &io::Error) {
        if error.kind() != io::ErrorKind::WouldBlock
            && let Some(unsaid) = self.work.complaints.say()
        {
            tracing::warn!(target: "floe::net", %error, unsaid, "cannot receive datagrams");
        }
    }

    /// A client's connection is gone.
    pub(super) fn client_gone(&mut self, now: Now, path: ClientPath) {
        self.engine.client_gone(now, path, &mut self.work.out);
        self.flush(now, |_| &[]);
    }

    /// A peer has connected to a TCP relay; `None` when it is to be closed.
    /// Behind it, [`Shard::flush`].
    pub(super) fn peer_connection(
        &mut self,
        now: Now,
        relay: RelayId,
        peer: PeerAddr,
    ) -> Option<ConnectionId> {
        let (id, route) = self.engine.peer_connection(now, relay, peer, &mut self.work.out);
        self.note(0, route);
        id
    }

    /// An effect that took its time has come out. Behind it, [`Shard::flush`].
    pub(super) fn complete(&mut self, now: Now, id: EffectId, outcome: Outcome) {
        let route = self.engine.complete(now, id, outcome, &mut self.work.out);
        self.note(0, route);
    }

    /// Ends some allocations, and says how many. Behind it, [`Shard::flush`].
    pub(super) fn kick(&mut self, now: Now, whose: &Whose) -> usize {
        self.engine.kick(now, whose, &mut self.work.out)
    }

    /// Ends every allocation.
    pub(super) fn close_all(&mut self, now: Now) {
        self.engine.close_all(now, &mut self.work.out);
        self.flush(now, |_| &[]);
    }

    fn note(&mut self, packet: usize, route: Route) -> bool {
        if !matches!(route, Route::Nothing | Route::Drop(_)) {
            self.work.routes.push(Routed { packet, route });
        }
        // A failed login changes nothing that the next packet could find.
        self.work.out.effects.last().is_some_and(|effect| !matches!(effect, Effect::LoginFailed { .. }))
            || self.work.routes.len() >= MAX_ROUTES
    }

    fn carry_out(&mut self, now: Now) {
        while !self.work.out.effects.is_empty() {
            for effect in std::mem::take(&mut self.work.out.effects) {
                match effect {
                    Effect::BindRelay { id, relay, local } => {
                        let outcome = self.relays.open(relay, local);
                        self.complete(now, id, outcome);
                    }
                    Effect::BindTcpRelay { id, relay, local } => {
                        let outcome = self.tcp_relays.listen(relay, local);
                        self.complete(now, id, outcome);
                    }
                    Effect::CloseRelay { relay } => {
                        self.relays.close(relay);
                        self.tcp_relays.close_listener(relay);
                    }
                    Effect::ConnectPeer { id, connection, local, peer, .. } => {
                        self.tcp_relays.connect(id, connection, local, peer);
                    }
                    Effect::GiveUpConnect { id, connection } => {
                        self.tcp_relays.close(connection);
                        self.complete(now, id, Outcome::NoAnswer);
                    }
                    Effect::ClosePeer { connection } => self.tcp_relays.close(connection),
                    Effect::Join { client, connection, allocation, peer, origin } => {
                        let slot = Slot::of(client.link).filter(|slot| !self.connections.closing(*slot));
                        if let Some(slot) = slot
                            && let Some(joined) = self.tcp_relays.join(connection)
                        {
                            self.connections.depart(slot, Departure::Joined(joined));
                            log_joined(self.id, allocation, connection, &client, peer, origin);
                        } else {
                            self.tcp_relays.close(connection);
                            self.engine.peer_connection_closed(connection);
                        }
                    }
                    Effect::PassOn { client, shard } => {
                        if let Some(slot) = Slot::of(client.link) {
                            self.connections.depart(slot, Departure::ToShard(shard));
                        }
                    }
                    Effect::LoginFailed { client, username, fault } => {
                        if let Some(unsaid) = self.work.logins.say() {
                            tracing::warn!(
                                target: "floe::login",
                                user = &*username,
                                client = %client.client,
                                transport = client.transport.name(),
                                because = fault.name(),
                                unsaid,
                                "refused"
                            );
                        }
                    }
                    Effect::Arrived(path) => {
                        self.connections.set_tenure(path.five_tuple, Tenure::Allocated);
                        self.tell(path, Crossing::Owned);
                    }
                    Effect::Departed(path) => {
                        self.connections.set_tenure(path.five_tuple, Tenure::Released(now.instant));
                        self.tell(path, Crossing::Disowned);
                    }
                    Effect::Moved { from, to } => log_moved(self.id, from, &to),
                    Effect::Permitted { allocation, peer } => {
                        tracing::debug!(
                            target: "floe::peer",
                            id = %format_args!("{}-{allocation}", self.id.0),
                            %peer,
                            "permitted"
                        );
                    }
                    Effect::Opened(summary) => {
                        self.connections.set_tenure(summary.five_tuple, Tenure::Allocated);
                        log_opened(self.id, &summary);
                    }
                    Effect::Closed(summary, reason) => {
                        if !summary.away {
                            self.connections.set_tenure(summary.five_tuple, Tenure::Released(now.instant));
                        }
                        log_closed(self.id, &summary, reason);
                    }
                }
            }
        }
        if !self.waiting.is_empty() && self.engine.is_empty() {
            for waiting in self.waiting.drain(..) {
                // Whoever asked may have lost interest.
                let _ = waiting.send(());
            }
        }
    }

    /// Tells the shard by way of which a client comes whose it is.
    fn tell(&mut self, client: ClientPath, what: fn(FiveTuple) -> Crossing) {
        if let Some(via) = client.via {
            push(&mut self.neighbours, via, what(client.five_tuple), &[], &self.counters);
        }
    }

    /// Sends the noted routes: streams and rings take theirs in order, datagrams
    /// are gathered so that each socket is handed all of its own at once.
    fn send<'a>(&mut self, packet: &impl Fn(usize) -> &'a [u8]) {
        let Work { out, routes, datagrams, .. } = &mut self.work;
        let counters = &*self.counters;
        for (at, Routed { packet: index, route }) in routes.iter().enumerate() {
            match route {
                Route::Reply { to, message } => match Slot::of(to.link) {
                    None => datagrams.push(Outgoing::to_client(to, at)),
                    Some(slot) => {
                        let message = &out.bytes[message.clone()];
                        let queued = self.connections.control(slot, message);
                        count_stream(counters, to, queued, message.len());
                    }
                },
                Route::ToClient { to, header, payload, padding } => match Slot::of(to.link) {
                    None => datagrams.push(Outgoing::to_client(to, at)),
                    Some(slot) => {
                        let parts = [
                            &out.bytes[header.clone()],
                            payload_of(packet, *index, payload),
                            &PADDING[..usize::from(*padding)],
                        ];
                        let queued = self.connections.relayed(slot, parts);
                        count_stream(counters, to, queued, parts.iter().map(|part| part.len()).sum());
                    }
                },
                Route::ToPeer { relay, peer, dont_fragment, .. } => datagrams.push(Outgoing {
                    from: Out::Relay(*relay),
                    dont_fragment: *dont_fragment,
                    way: way(peer.socket()),
                    route: at,
                }),
                Route::ToShard { shard, to, from, payload } => {
                    let what = Crossing::Relayed { to: *to, from: *from };
                    push(&mut self.neighbours, *shard, what, &packet(*index)[payload.clone()], counters);
                }
                Route::ToOwner { shard, from } => {
                    let what = Crossing::FromClient(from.link, from.five_tuple);
                    push(&mut self.neighbours, *shard, what, packet(*index), counters);
                }
                Route::Returned { shard, from } => {
                    let what = Crossing::Returned(from.link, from.five_tuple);
                    push(&mut self.neighbours, *shard, what, packet(*index), counters);
                }
                Route::Nothing | Route::Drop(_) => {}
            }
        }
        self.send_datagrams(packet);
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
        let flows =
            [&counters.client_out[Transport::Udp.index()], &counters.peer_out[0], &counters.peer_out[1]];
        let (mut packets, mut bytes) = ([0; 3], [0; 3]);
        datagrams.sort_unstable();
        let mut batch = outbox.batch();
        for outgoing in &*datagrams {
            let (socket, wildcard, flow) = match outgoing.from {
                Out::Listener(link) => match self.listeners.get(link as usize) {
                    Some(UdpListener { socket, local }) => (Some(&**socket), local.ip().is_unspecified(), 0),
                    None => (None, false, 0),
                },
                Out::Relay(id) => (self.relays.get(id), false, 1 + id.family.index()),
            };
            let datagram = datagram(&routes[outgoing.route], &out.bytes, packet, wildcard);
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
    fn to_client(to: &ClientPath, route: usize) -> Self {
        let from = Out::Listener(to.link.0);
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
fn push(
    neighbours: &mut [Option<Neighbour>],
    shard: ShardId,
    what: Crossing,
    payload: &[u8],
    counters: &Counters,
) {
    let neighbour = neighbours.get_mut(usize::from(shard.0)).and_then(Option::as_mut);
    let pushed = neighbour.is_some_and(|neighbour| {
        let pushed = neighbour.ring.push(what, payload);
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

/// What a route puts on the wire; `None` when it is none for UDP. `wildcard`:
/// the socket has no address of its own to send from.
fn datagram<'a, 'p: 'a>(
    Routed { packet: index, route }: &Routed,
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

fn log_opened(shard: ShardId, summary: &AllocationSummary) {
    let five_tuple = &summary.five_tuple;
    tracing::info!(
        target: "floe::allocation",
        id = %format_args!("{}-{}", shard.0, summary.id),
        user = &*summary.username,
        client = %five_tuple.client,
        server = %five_tuple.server,
        transport = five_tuple.transport.name(),
        relays = %Relayed(summary),
        "opened"
    );
}

fn log_moved(shard: ShardId, from: FiveTuple, to: &AllocationSummary) {
    let five_tuple = &to.five_tuple;
    tracing::info!(
        target: "floe::allocation",
        id = %format_args!("{}-{}", shard.0, to.id),
        user = &*to.username,
        client = %five_tuple.client,
        server = %five_tuple.server,
        transport = five_tuple.transport.name(),
        relays = %Relayed(to),
        from_client = %from.client,
        from_transport = from.transport.name(),
        "moved"
    );
}

fn log_closed(shard: ShardId, summary: &AllocationSummary, reason: CloseReason) {
    let five_tuple = &summary.five_tuple;
    let traffic = &summary.traffic;
    tracing::info!(
        target: "floe::allocation",
        id = %format_args!("{}-{}", shard.0, summary.id),
        user = &*summary.username,
        client = %five_tuple.client,
        server = %five_tuple.server,
        transport = five_tuple.transport.name(),
        relays = %Relayed(summary),
        seconds = summary.until.since(summary.opened).as_secs(),
        up_packets = traffic.up_packets,
        up_bytes = traffic.up_bytes,
        down_packets = traffic.down_packets,
        down_bytes = traffic.down_bytes,
        reason = reason.name(),
        "closed"
    );
}

fn log_joined(
    shard: ShardId,
    allocation: AllocationId,
    connection: ConnectionId,
    client: &ClientPath,
    peer: PeerAddr,
    origin: Origin,
) {
    tracing::info!(
        target: "floe::allocation",
        id = %format_args!("{}-{allocation}", shard.0),
        %connection,
        client = %client.five_tuple.client,
        %peer,
        origin = origin.name(),
        "data connection opened"
    );
}

/// The relayed addresses of an allocation, with a comma between two.
struct Relayed<'a>(&'a AllocationSummary);

impl std::fmt::Display for Relayed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (at, relay) in self.0.relays.iter().flatten().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{relay}")?;
        }
        Ok(())
    }
}
