//! The heart of a shard: one engine, and what its routes and effects mean for
//! the sockets around it. All of a shard's tasks share it on one thread; none
//! keeps it across an await.
//!
//! Every input goes the same way: hand each packet of a batch to the engine and
//! note the route ([`Shard::client`], [`Shard::peer`], [`Shard::crossed`]), then
//! send what the routes say ([`Shard::flush`], by way of `outgoing`).

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{Notify, mpsc, oneshot};

use super::bind::Takes;
use super::clock::Clock;
use super::connections::{Connections, Departure, Slot, Tenure};
use super::dtls::{Dtls, SessionSlot};
use super::log;
use super::outgoing::{Outgoing, Routed, push};
use super::relays::Relays;
use super::ring::{self, Crossing};
use super::seldom::Seldom;
use super::tcp::Moved;
use super::tcp_relay::TcpRelays;
use super::udp::{self, Outbox};
use crate::relay::counters::Counters;
use crate::relay::{
    Change, ClientPath, ConnectionId, DropReason, Effect, EffectId, Engine, FiveTuple, Icmp, Instant, Link,
    Now, Outcome, Output, PeerAddr, RelayAddr, RelayId, Route, ShardId, Transport, Whose,
};

/// Routes that are noted before they are sent: where the kernel joins packets, a
/// batch may bring thousands.
const MAX_ROUTES: usize = 512;

/// What stands before a payload of a peer with an IPv6 address in a Data indication
/// (RFC 8656 §11.4), bytes: the longest of all headers.
const HEADER: usize = 48;

/// A UDP listener of this shard.
#[derive(Debug)]
pub(super) struct UdpListener {
    pub socket: Rc<udp::Socket>,
    pub local: SocketAddr,
    pub takes: Takes,
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
    pub dtls: Dtls,
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
pub(super) struct Work {
    pub out: Output,
    pub routes: Vec<Routed>,
    pub datagrams: Vec<Outgoing>,
    pub outbox: Outbox,
    pub complaints: Seldom,
    pub logins: Seldom,
}

impl Work {
    /// With room for the largest batch, so that none has to make it when the first
    /// such batch comes.
    pub(super) fn new() -> Self {
        let (bytes, effects) = (Vec::with_capacity(MAX_ROUTES * HEADER), Vec::new());
        Self {
            out: Output { bytes, effects },
            routes: Vec::with_capacity(MAX_ROUTES),
            datagrams: Vec::with_capacity(MAX_ROUTES),
            outbox: Outbox::with_room(MAX_ROUTES),
            complaints: Seldom::default(),
            logins: Seldom::default(),
        }
    }
}

impl Shard {
    /// A datagram or frame from a client, the batch's packet number `packet`.
    /// True when what is noted can't wait: then [`Shard::settle`] before the next.
    pub(super) fn client(&mut self, now: Now, from: ClientPath, packet: usize, bytes: &mut [u8]) -> bool {
        let route = self.engine.client_datagram(now, from, bytes, &mut self.work.out);
        self.note_of_client(packet, bytes, route)
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
        if !self.has(from.link, from.five_tuple) {
            self.counters.dropped(DropReason::NoSession);
            return false;
        }
        let route = self.engine.returned_datagram(now, by, from, bytes, &mut self.work.out);
        self.note_of_client(packet, bytes, route)
    }

    /// The word of another shard on whose a client is. Never any effects.
    pub(super) fn owned_elsewhere(&mut self, now: Now, client: FiveTuple, by: ShardId, owned: bool) -> bool {
        if self.engine.owned_elsewhere(now, client, by, owned) {
            self.set_tenure(client, if owned { Tenure::Allocated } else { Tenure::Released(now.instant) });
        }
        false
    }

    /// A message of the shard `by` for a client whose DTLS session is here, the
    /// batch's packet number `packet`; otherwise like [`Shard::client`].
    pub(super) fn for_session(
        &mut self,
        by: ShardId,
        link: Link,
        client: FiveTuple,
        packet: usize,
        length: usize,
    ) -> bool {
        if !self.has(link, client) {
            self.counters.dropped(DropReason::NoSession);
            // It was told when the session ended, unless the ring was full.
            push(&mut self.neighbours, by, Crossing::Gone(link, client), [&[]; 3], &self.counters);
            return false;
        }
        let to = ClientPath::new(link, client);
        self.note(packet, Route::ToClient { to, header: 0..0, payload: 0..length, padding: 0 })
    }

    /// Whether a link still is this client's, as far as it can be another's.
    fn has(&self, link: Link, client: FiveTuple) -> bool {
        let of_session = |slot| self.dtls.path(slot).is_some_and(|(_, path)| path.five_tuple == client);
        SessionSlot::of(link).is_none_or(of_session)
    }

    /// A client is gone whose DTLS session another shard had; otherwise like
    /// [`Shard::client`].
    pub(super) fn gone(&mut self, now: Now, path: ClientPath) -> bool {
        self.engine.client_gone(now, path, &mut self.work.out);
        self.note(0, Route::Nothing)
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

    /// Other settings from now on. Behind it, [`Shard::flush`].
    pub(super) fn change(&mut self, now: Now, change: Change) {
        self.dtls.set_throttle(Arc::clone(&change.throttle));
        self.engine.change(now.instant, change, &mut self.work.out);
    }

    /// Ends every allocation.
    pub(super) fn close_all(&mut self, now: Now) {
        self.engine.close_all(now, &mut self.work.out);
        self.flush(now, |_| &[]);
    }

    /// Notes where a client's message goes. To its owner it goes at once: there may
    /// be more behind it in its datagram, and that shard is given all of it and no
    /// more.
    fn note_of_client(&mut self, packet: usize, bytes: &[u8], route: Route) -> bool {
        let route = match route {
            Route::ToOwner { shard, from } => {
                let what = Crossing::FromClient(from.link, from.five_tuple);
                push(&mut self.neighbours, shard, what, [bytes, &[], &[]], &self.counters);
                Route::Nothing
            }
            route => route,
        };
        self.note(packet, route)
    }

    fn note(&mut self, packet: usize, route: Route) -> bool {
        if !matches!(route, Route::Nothing | Route::Drop(_)) {
            self.work.routes.push(Routed { packet, route, sealed: None });
        }
        // A failed login changes nothing that the next packet could find.
        self.work.out.effects.last().is_some_and(|effect| !matches!(effect, Effect::LoginFailed { .. }))
            || self.work.routes.len() >= MAX_ROUTES
    }

    /// A datagram that DTLS sends of its own accord.
    pub(super) fn note_datagram(&mut self, listener: u32, client: FiveTuple, datagram: &[u8]) {
        let bytes = &mut self.work.out.bytes;
        let start = bytes.len();
        bytes.extend_from_slice(datagram);
        let to = ClientPath::new(Link(listener), client);
        let route = Route::Reply { to, message: start..bytes.len() };
        self.work.routes.push(Routed { packet: 0, route, sealed: None });
    }

    /// The same for those of [`Dtls::leaving`], from number `from` on.
    pub(super) fn note_leaving(&mut self, listener: u32, client: FiveTuple, from: usize) {
        let to = ClientPath::new(Link(listener), client);
        for at in from..self.dtls.leaving().len() {
            let route = Route::Reply { to, message: 0..0 };
            self.work.routes.push(Routed { packet: 0, route, sealed: Some(at) });
        }
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
                            log::joined(self.id, allocation, connection, &client, peer, origin);
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
                        self.set_tenure(path.five_tuple, Tenure::Allocated);
                        self.tell(path, Crossing::Owned);
                    }
                    Effect::Departed(path) => {
                        self.set_tenure(path.five_tuple, Tenure::Released(now.instant));
                        self.tell(path, Crossing::Disowned);
                    }
                    Effect::GoneFrom { client, shard } => {
                        let what = Crossing::Gone(client.link, client.five_tuple);
                        push(&mut self.neighbours, shard, what, [&[]; 3], &self.counters);
                    }
                    Effect::Moved { from, to } => log::moved(self.id, from, &to),
                    Effect::Permitted { allocation, peer } => {
                        tracing::debug!(
                            target: "floe::peer",
                            id = %format_args!("{}-{allocation}", self.id.0),
                            %peer,
                            "permitted"
                        );
                    }
                    Effect::Opened(summary) => {
                        self.set_tenure(summary.five_tuple, Tenure::Allocated);
                        log::opened(self.id, &summary);
                    }
                    Effect::Closed(summary, reason) => {
                        if !summary.away {
                            self.set_tenure(summary.five_tuple, Tenure::Released(now.instant));
                        }
                        log::closed(self.id, &summary, reason);
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
            push(&mut self.neighbours, via, what(client.five_tuple), [&[]; 3], &self.counters);
        }
    }

    fn set_tenure(&mut self, client: FiveTuple, tenure: Tenure) {
        match client.transport {
            Transport::Udp => {}
            Transport::Tcp | Transport::Tls => self.connections.set_tenure(client, tenure),
            Transport::Dtls => self.dtls.set_tenure(client, tenure),
        }
    }
}
