//! The heart of a shard: one engine, and what its routes and effects mean for
//! the sockets around it. All of a shard's tasks share it on one thread; none
//! keeps it across an await.
//!
//! Every input goes the same way: hand each packet of a batch to the engine and
//! note the route ([`Shard::client`], [`Shard::peer`], [`Shard::crossed`]), then
//! send what the routes say, grouped by socket ([`Shard::flush`]).

use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use arrayvec::ArrayVec;
use tokio::sync::{Notify, mpsc, oneshot};

use super::clock::Clock;
use super::connections::{Connections, Departure, Slot, Tenure};
use super::relays::Relays;
use super::ring::{self, Crossing};
use super::seldom::Seldom;
use super::tcp::Moved;
use super::tcp_relay::TcpRelays;
use super::udp::{self, BATCH, Datagram};
use crate::relay::counters::{Counters, Flow};
use crate::relay::{
    AllocationId, AllocationSummary, ClientPath, CloseReason, ConnectionId, DropReason, Effect, EffectId,
    Engine, FiveTuple, Icmp, Instant, Now, Origin, Outcome, Output, PeerAddr, RelayAddr, RelayId, Route,
    ShardId, Transport, Whose,
};

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
    /// Datagrams to send as (socket, place in `routes`, not to be fragmented).
    datagrams: Vec<(Out, usize, bool)>,
    complaints: Seldom,
    logins: Seldom,
}

/// A route, and which packet of the batch its payload is in.
struct Routed {
    packet: usize,
    route: Route,
}

/// A UDP socket to send from.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Out {
    Listener(u32),
    Relay(RelayId),
}

impl Shard {
    /// A datagram or frame from a client, the batch's packet number `packet`.
    /// True when there are effects: then [`Shard::settle`] before the next.
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
        let Work { out, routes, datagrams, complaints, .. } = &mut self.work;
        let counters = &*self.counters;
        for (at, Routed { packet: index, route }) in routes.iter().enumerate() {
            match route {
                Route::Reply { to, message } => match Slot::of(to.link) {
                    None => datagrams.push((Out::Listener(to.link.0), at, false)),
                    Some(slot) => {
                        let message = &out.bytes[message.clone()];
                        let queued = self.connections.control(slot, message);
                        count_stream(counters, to, queued, message.len());
                    }
                },
                Route::ToClient { to, header, payload, padding } => match Slot::of(to.link) {
                    None => datagrams.push((Out::Listener(to.link.0), at, false)),
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
                Route::ToPeer { relay, dont_fragment, .. } => {
                    datagrams.push((Out::Relay(*relay), at, *dont_fragment));
                }
                Route::ToShard { shard, to, from, payload } => {
                    let what = Crossing::Relayed { to: *to, from: *from };
                    push(&mut self.neighbours, *shard, what, &packet(*index)[payload.clone()], counters);
                }
                Route::ToOwner { shard, from } => {
                    let what = Crossing::FromClient(from.link, from.five_tuple);
                    push(&mut self.neighbours, *shard, what, packet(*index), counters);
                }
                Route::Nothing | Route::Drop(_) => {}
            }
        }
        // By socket, and within one in the order of arrival. DF is an option of the
        // socket, so packets with it and without don't share a call.
        datagrams.sort_unstable();
        for group in datagrams.chunk_by(|a, b| (a.0, a.2) == (b.0, b.2)) {
            let (socket, wildcard, flow) = match group[0].0 {
                Out::Listener(link) => {
                    let listener = self.listeners.get(link as usize);
                    let wildcard = listener.is_some_and(|listener| listener.local.ip().is_unspecified());
                    let flow = &counters.client_out[Transport::Udp.index()];
                    (listener.map(|listener| &*listener.socket), wildcard, flow)
                }
                Out::Relay(id) => (self.relays.get(id), false, &counters.peer_out[id.family.index()]),
            };
            for chunk in group.chunks(BATCH) {
                let batch: ArrayVec<Datagram<'_>, BATCH> = chunk
                    .iter()
                    .filter_map(|(_, at, _)| datagram(&routes[*at], &out.bytes, packet, wildcard))
                    .collect();
                send_batch(socket, &batch, group[0].2, flow, counters, complaints);
            }
        }
        datagrams.clear();
        routes.clear();
        out.bytes.clear();
    }
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
        Route::ToShard { .. } | Route::ToOwner { .. } | Route::Nothing | Route::Drop(_) => return None,
    })
}

/// Sends one socket's datagrams and counts them. What the kernel refuses is
/// lost, as datagrams may be.
fn send_batch(
    socket: Option<&udp::Socket>,
    batch: &[Datagram<'_>],
    dont_fragment: bool,
    flow: &Flow,
    counters: &Counters,
    complaints: &mut Seldom,
) {
    let Some(socket) = socket else {
        counters.drops[DropReason::SendFailed.index()].add(batch.len() as u64);
        return;
    };
    let sent = if dont_fragment { socket.send_unfragmented(batch) } else { socket.send(batch) };
    let bytes: usize = batch.iter().flat_map(|datagram| datagram.parts).map(<[u8]>::len).sum();
    flow.packets.add(sent.sent as u64);
    if sent.refused == 0 {
        flow.bytes.add(bytes as u64);
        return;
    }
    // Which ones were refused is not known: all are taken to be of one size.
    flow.bytes.add((bytes * sent.sent / batch.len()) as u64);
    counters.drops[DropReason::SendFailed.index()].add(sent.refused as u64);
    if let Some(error) = sent.last_error
        && let Some(unsaid) = complaints.say()
    {
        tracing::warn!(target: "floe::net", %error, unsaid, "datagrams the kernel would not take");
    }
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
