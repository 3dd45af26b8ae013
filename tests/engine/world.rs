//! A world for the engine: users, peers, quotas, chance and time are all plain
//! values here, and no socket is opened. One test reads as a conversation.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use floe::policy::SharedBandwidth;
use floe::relay::counters::Counters;
use floe::relay::ports::RelayPool;
use floe::relay::world::{Bandwidth, PeerPolicy, Throttle};
use floe::relay::{
    ClientPath, CloseReason, ConnectionId, DropReason, Effect, EffectId, Engine, FiveTuple, Icmp, Instant,
    LoginFault, Now, Outcome, Output, PeerAddr, RelayAddr, RelayId, Route, Settings, ShardId, UnixTime,
    Whose, World as Given,
};

#[path = "given.rs"]
mod given;
use given::{Directory, Policy};
pub(crate) use given::{Ledger, SplitMix, Switches, TOKEN_KEYS};

#[path = "left.rs"]
mod left;

pub(crate) const REALM: &str = "example.org";
/// The name that access tokens are made for.
pub(crate) const SERVER_NAME: &str = "turn.example.org";
/// The wall clock of a new world.
pub(crate) const START: UnixTime = UnixTime::from_secs(1_700_000_000);
/// A name that is good for the first hour of a new world.
pub(crate) const ERIN: &str = "1700003600:erin";
/// The same person's next credential.
pub(crate) const ERIN_LATER: &str = "1700007200:erin";
/// Everybody who is anybody. Passwords are the names, backwards.
pub(crate) const NAMES: [&str; 5] = ["alice", "bob", "carol", ERIN, ERIN_LATER];

pub(crate) const SERVER_V4: &str = "198.51.100.1:3478";
pub(crate) const SERVER_V6: &str = "[2001:db8::1]:3478";
/// Where relays are bound to, and what clients are told: a 1:1 NAT stands between.
pub(crate) const LOCAL_V4: &str = "10.0.0.5";
pub(crate) const RELAY_V4: &str = "198.51.100.1";
pub(crate) const RELAY_V6: &str = "2001:db8::1";

pub(crate) fn password(name: &str) -> String {
    name.chars().rev().collect()
}

pub(crate) fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// What a test wants other than usual.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) shards: u8,
    pub(crate) ports: RangeInclusive<u16>,
    pub(crate) v4: bool,
    pub(crate) v6: bool,
    /// Allocations of one user and of all; 0 is no limit.
    pub(crate) per_user: u32,
    pub(crate) in_all: u32,
    pub(crate) enumerable: bool,
    /// Access tokens are taken, for [`SERVER_NAME`].
    pub(crate) tokens: bool,
    /// Of all; 0 is no limit.
    pub(crate) bits_per_second: u64,
    /// In place of [`Switches`].
    pub(crate) strangers: Option<Arc<dyn Throttle>>,
    pub(crate) settings: Settings,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            seed: 1,
            shards: 1,
            ports: 49152..=65535,
            v4: true,
            v6: true,
            per_user: 0,
            in_all: 0,
            enumerable: false,
            tokens: false,
            bits_per_second: 0,
            strangers: None,
            settings: Settings {
                realm: REALM.into(),
                max_lifetime: 3600,
                legacy_channels: false,
                compat_permission_lifetime: false,
                strict_expiry: false,
                bits_per_second_per_allocation: 0,
                alternate_servers: Vec::new(),
                classic: false,
                nat_discovery: Vec::new(),
                nonce_keys: vec![[7; 32]],
                ticket_key: Some([9; 32]),
                tcp_relay: false,
                data_connections_per_user: 0,
                shards: 1,
            },
        }
    }
}

/// What came out of the engines, with the bytes it is made of.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Sent {
    Nothing,
    /// A response.
    Reply(FiveTuple, Vec<u8>),
    /// A relayed packet: ChannelData or a Data indication, padding and all.
    ToClient(FiveTuple, Vec<u8>),
    /// A relayed packet from this relayed address.
    ToPeer(SocketAddr, SocketAddr, Vec<u8>),
    /// Into the ring to this shard, where [`World::arrive`] takes it out.
    ToShard(usize),
    Dropped(DropReason),
}

/// A packet between two engines.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Crossing {
    pub(crate) shards: (usize, usize),
    pub(crate) to: RelayAddr,
    pub(crate) from: PeerAddr,
    pub(crate) payload: Vec<u8>,
}

/// A relay socket that an engine waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Waiting {
    pub(crate) shard: usize,
    pub(crate) id: EffectId,
    pub(crate) relay: RelayId,
    pub(crate) local: SocketAddr,
}

pub(crate) struct World {
    pub(crate) now: Now,
    pub(crate) engines: Vec<Engine>,
    pub(crate) counters: Vec<Arc<Counters>>,
    pub(crate) pool: Arc<RelayPool>,
    pub(crate) quota: Arc<Ledger>,
    pub(crate) throttle: Arc<Switches>,
    /// How the next binds come out; `Bound` when it is empty.
    pub(crate) outcomes: VecDeque<Outcome>,
    /// Keep binds in `waiting` until [`World::finish`].
    pub(crate) hold_binds: bool,
    pub(crate) waiting: Vec<Waiting>,
    /// Open relay sockets and the local address of each.
    pub(crate) sockets: BTreeMap<(usize, RelayId), SocketAddr>,
    /// Whose the socket is that is bound to an address.
    bound: BTreeMap<SocketAddr, (usize, RelayId)>,
    pub(crate) opened: usize,
    /// Why logins have failed.
    pub(crate) faults: Vec<LoginFault>,
    pub(crate) closed: Vec<CloseReason>,
    /// Packets that went from one engine to another.
    pub(crate) crossings: usize,
    /// How many packets each ring between two engines holds; `None` lets them
    /// arrive at once.
    pub(crate) ring_size: Option<usize>,
    /// Packets in the rings, in the order in which they went in.
    pub(crate) crossing: VecDeque<Crossing>,
    /// What is to be done with connections of peers (RFC 6062), and for which shard.
    pub(crate) tcp: Vec<(usize, Effect)>,
    tcp_relay: bool,
    /// Where connections are that an engine has handed to another one.
    pub(crate) handed: BTreeMap<FiveTuple, usize>,
    /// Allocations that have gone from one 5-tuple to another.
    pub(crate) moves: Vec<(FiveTuple, FiveTuple)>,
    /// Whether the last packet to a peer was to leave with DF.
    pub(crate) dont_fragment: bool,
    transcript: DefaultHasher,
    output: Output,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Setup::default())
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let local = |a: &str, b: &str| (a.parse().unwrap(), b.parse().unwrap());
        let mut addresses = Vec::new();
        addresses.extend(setup.v4.then(|| local(LOCAL_V4, RELAY_V4)));
        addresses.extend(setup.v6.then(|| local(RELAY_V6, RELAY_V6)));
        let pool = Arc::new(RelayPool::new(&addresses, setup.ports.clone()));
        let quota = Arc::new(Ledger::new(setup.in_all));
        let throttle = Arc::new(Switches::default());
        let users = Arc::new(Directory::new(setup.per_user, setup.enumerable, setup.tokens));
        let bandwidth = (setup.bits_per_second > 0)
            .then(|| Arc::new(SharedBandwidth::new(setup.bits_per_second)) as Arc<dyn Bandwidth>);
        let mut engines = Vec::new();
        let mut counters = Vec::new();
        for shard in 0..setup.shards {
            let counted = Arc::new(Counters::default());
            let given = Given {
                users: users.clone(),
                peers: Arc::new(Policy),
                quota: quota.clone(),
                throttle: setup.strangers.clone().unwrap_or_else(|| throttle.clone()),
                bandwidth: bandwidth.clone(),
                random: Box::new(SplitMix(setup.seed ^ u64::from(shard) << 32)),
                pool: pool.clone(),
                counters: counted.clone(),
            };
            let settings = Settings { shards: setup.shards, ..setup.settings.clone() };
            engines.push(Engine::new(ShardId(shard), settings, given));
            counters.push(counted);
        }
        Self {
            now: Now { instant: Instant::from_micros(1_000_000), unix: START },
            engines,
            counters,
            pool,
            quota,
            throttle,
            outcomes: VecDeque::new(),
            hold_binds: false,
            waiting: Vec::new(),
            sockets: BTreeMap::new(),
            bound: BTreeMap::new(),
            opened: 0,
            faults: Vec::new(),
            closed: Vec::new(),
            crossings: 0,
            ring_size: None,
            crossing: VecDeque::new(),
            tcp: Vec::new(),
            tcp_relay: setup.settings.tcp_relay,
            handed: BTreeMap::new(),
            moves: Vec::new(),
            dont_fragment: false,
            transcript: DefaultHasher::new(),
            output: Output::default(),
        }
    }

    /// A packet from a client, through to what becomes of it.
    pub(crate) fn client(&mut self, shard: usize, from: ClientPath, packet: &[u8]) -> Sent {
        let shard = self.reader(shard, from.five_tuple);
        let route = self.engines[shard].client_datagram(self.now, from, packet, &mut self.output);
        if let Route::Reply { to, .. } = &route {
            assert_eq!(*to, from, "a response goes to who asked");
        }
        let sent = self.settle(shard, route, packet);
        // The message that a connection was handed over for is read again.
        let handed = self.handed.get(&from.five_tuple).copied().filter(|other| *other != shard);
        handed.map_or(sent, |other| self.client(other, from, packet))
    }

    /// The engine that reads what comes in from there at this shard.
    pub(crate) fn reader(&self, shard: usize, from: FiveTuple) -> usize {
        self.handed.get(&from).copied().unwrap_or(shard)
    }

    /// A packet from a peer to a relayed address, as its socket would bring it.
    pub(crate) fn peer(&mut self, from: SocketAddr, to: SocketAddr, packet: &[u8]) -> Option<Sent> {
        let local = local_of(to);
        let (shard, relay) = *self.bound.get(&local)?;
        let peer = PeerAddr::new(from);
        let route = self.engines[shard].peer_datagram(self.now, relay, peer, packet, &mut self.output);
        Some(self.settle(shard, route, packet))
    }

    /// An ICMP error at a relayed address, in answer to what went to `peer`.
    pub(crate) fn icmp(&mut self, peer: SocketAddr, at: SocketAddr, icmp: Icmp) -> Option<Sent> {
        let local = local_of(at);
        let (shard, relay) = *self.bound.get(&local)?;
        let route =
            self.engines[shard].peer_icmp(self.now, relay, PeerAddr::new(peer), icmp, &mut self.output);
        Some(self.settle(shard, route, &[]))
    }

    /// A peer connects to a relayed address: what its connection is called unless it
    /// is to be closed, and what the client is told.
    pub(crate) fn peer_connects(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Option<(usize, Option<ConnectionId>, Sent)> {
        let local = local_of(to);
        let (shard, relay) = *self.bound.get(&local)?;
        let peer = PeerAddr::new(from);
        let (id, route) = self.engines[shard].peer_connection(self.now, relay, peer, &mut self.output);
        Some((shard, id, self.settle(shard, route, &[])))
    }

    /// A connection to a peer comes out.
    pub(crate) fn connected(&mut self, shard: usize, id: EffectId, outcome: Outcome) -> Sent {
        let route = self.engines[shard].complete(self.now, id, outcome, &mut self.output);
        self.settle(shard, route, &[])
    }

    /// The oldest packet in any ring comes out, if there is one.
    pub(crate) fn arrive(&mut self) -> Option<(Crossing, Sent)> {
        let crossing = self.crossing.pop_front()?;
        let (shard, Crossing { to, from, payload, .. }) = (crossing.shards.1, crossing.clone());
        let route = self.cross(shard, to, from, &payload);
        let sent = self.settle(shard, route, &payload);
        Some((crossing, sent))
    }

    /// A held bind comes out.
    pub(crate) fn finish(&mut self, waiting: Waiting, outcome: Outcome) -> Sent {
        self.waiting.retain(|w| *w != waiting);
        let route = self.complete(waiting, outcome);
        self.settle(waiting.shard, route, &[])
    }

    pub(crate) fn gone(&mut self, shard: usize, path: ClientPath) {
        let shard = self.handed.remove(&path.five_tuple).unwrap_or(shard);
        self.engines[shard].client_gone(self.now, path, &mut self.output);
        self.settle(shard, Route::Nothing, &[]);
    }

    pub(crate) fn close_all(&mut self) {
        for shard in 0..self.engines.len() {
            self.engines[shard].close_all(self.now, &mut self.output);
            self.settle(shard, Route::Nothing, &[]);
        }
    }

    pub(crate) fn kick(&mut self, shard: usize, whose: &Whose) -> usize {
        let count = self.engines[shard].kick(self.now, whose, &mut self.output);
        self.settle(shard, Route::Nothing, &[]);
        count
    }

    /// Other peers from now on, for all engines.
    pub(crate) fn set_peers(&mut self, peers: Arc<dyn PeerPolicy>) {
        for shard in 0..self.engines.len() {
            self.engines[shard].set_peers(peers.clone(), &mut self.output);
            self.settle(shard, Route::Nothing, &[]);
        }
    }

    /// Time goes by, and each engine is woken when it asked to be.
    pub(crate) fn pass(&mut self, length: Duration) {
        let end = self.now.instant + length;
        let ticks = |world: &Self| world.engines.iter().filter_map(Engine::next_timeout).min();
        while let Some(next) = ticks(self).filter(|next| *next <= end) {
            self.stall(next.since(self.now.instant));
            self.expire();
        }
        self.stall(end.since(self.now.instant));
        self.expire();
    }

    pub(crate) fn pass_secs(&mut self, seconds: u64) {
        self.pass(Duration::from_secs(seconds));
    }

    /// Time goes by, and nobody wakes the engines.
    pub(crate) fn stall(&mut self, length: Duration) {
        self.now.instant = self.now.instant + length;
        let millis = u64::try_from(length.as_millis()).unwrap();
        self.now.unix = UnixTime::from_millis(self.now.unix.millis() + millis);
    }

    pub(crate) fn expire(&mut self) {
        (0..self.engines.len()).for_each(|shard| self.expire_shard(shard));
    }

    pub(crate) fn expire_shard(&mut self, shard: usize) {
        self.engines[shard].expire(self.now, &mut self.output);
        self.settle(shard, Route::Nothing, &[]);
        let next = self.engines[shard].next_timeout();
        assert!(next.is_none_or(|next| next > self.now.instant), "it would be woken for ever");
    }

    /// Somebody sets the wall clock.
    pub(crate) fn set_wall_clock(&mut self, by_seconds: i64) {
        let secs = self.now.unix.secs().checked_add_signed(by_seconds).unwrap();
        self.now.unix = UnixTime::from_secs(secs);
    }

    /// A digest of everything that has come out so far.
    pub(crate) fn transcript(&self) -> u64 {
        self.transcript.finish()
    }

    /// Carries out what an engine has left, and follows its route to the end.
    fn settle(&mut self, shard: usize, route: Route, packet: &[u8]) -> Sent {
        let mut sent = self.follow(shard, route, packet);
        while !self.output.effects.is_empty() {
            for effect in std::mem::take(&mut self.output.effects) {
                if let Some(route) = self.carry_out(shard, effect) {
                    sent = self.follow(shard, route, &[]);
                }
            }
        }
        self.output.bytes.clear();
        sent.hash(&mut self.transcript);
        sent
    }

    fn carry_out(&mut self, shard: usize, effect: Effect) -> Option<Route> {
        match effect {
            Effect::BindRelay { id, relay, local } | Effect::BindTcpRelay { id, relay, local } => {
                let waiting = Waiting { shard, id, relay, local };
                if self.hold_binds {
                    self.waiting.push(waiting);
                    return None;
                }
                let outcome = self.outcomes.pop_front().unwrap_or(Outcome::Bound);
                return Some(self.complete(waiting, outcome));
            }
            Effect::CloseRelay { relay } => {
                let local = self.sockets.remove(&(shard, relay)).expect("only an open socket is closed");
                self.bound.remove(&local);
            }
            Effect::LoginFailed { fault, .. } => self.faults.push(fault),
            Effect::PassOn { client, shard } if !self.tcp_relay => {
                assert!(client.five_tuple.transport.is_stream());
                self.handed.insert(client.five_tuple, shard.0.into());
            }
            Effect::Arrived(path) => self.tell(shard, path, true),
            Effect::Departed(path) => self.tell(shard, path, false),
            Effect::GoneFrom { client, shard: other } => {
                let via = Some(ShardId(u8::try_from(shard).unwrap()));
                let client = ClientPath { via, ..client };
                self.engines[usize::from(other.0)].client_gone(self.now, client, &mut self.output);
                let other = usize::from(other.0);
                for effect in std::mem::take(&mut self.output.effects) {
                    assert_eq!(self.carry_out(other, effect), None);
                }
            }
            Effect::Moved { from, to } => self.moves.push((from, to.five_tuple)),
            Effect::Permitted { .. } => {}
            Effect::Opened(_) => self.opened += 1,
            Effect::Closed(_, reason) => self.closed.push(reason),
            tcp => {
                assert!(self.tcp_relay, "TCP is not relayed here: {tcp:?}");
                self.tcp.push((shard, tcp));
            }
        }
        None
    }

    /// Before another engine has its turn.
    fn carry_out_all(&mut self, shard: usize) {
        for effect in std::mem::take(&mut self.output.effects) {
            assert_eq!(self.carry_out(shard, effect), None);
        }
    }

    /// One engine tells another whose a client is.
    fn tell(&mut self, shard: usize, path: ClientPath, owned: bool) {
        if let Some(ShardId(via)) = path.via {
            let by = ShardId(u8::try_from(shard).unwrap());
            self.engines[usize::from(via)].owned_elsewhere(self.now, path.five_tuple, by, owned);
        }
    }

    fn complete(&mut self, waiting: Waiting, outcome: Outcome) -> Route {
        let Waiting { shard, id, relay, local } = waiting;
        if outcome == Outcome::Bound {
            assert!(self.bound.insert(local, (shard, relay)).is_none(), "{local} is bound twice");
            assert!(self.sockets.insert((shard, relay), local).is_none(), "{relay:?} is bound twice");
        }
        self.engines[shard].complete(self.now, id, outcome, &mut self.output)
    }

    fn follow(&mut self, shard: usize, route: Route, packet: &[u8]) -> Sent {
        match route {
            Route::Nothing => Sent::Nothing,
            Route::Reply { to, message } => Sent::Reply(to.five_tuple, self.output.bytes[message].to_vec()),
            Route::ToClient { to, header, payload, padding } => {
                let mut bytes = self.output.bytes[header].to_vec();
                bytes.extend_from_slice(&packet[payload]);
                bytes.resize(bytes.len() + usize::from(padding), 0);
                Sent::ToClient(to.five_tuple, bytes)
            }
            Route::ToPeer { relay, peer, payload, dont_fragment } => {
                self.dont_fragment = dont_fragment;
                let local = *self.sockets.get(&(shard, relay)).expect("only an open socket sends");
                Sent::ToPeer(advertised_of(local), peer.socket(), packet[payload].to_vec())
            }
            Route::ToShard { shard: other, to, from, payload } => {
                self.crossings += 1;
                let (other, payload) = (usize::from(other.0), &packet[payload]);
                if self.ring_size.is_some() {
                    return self.push_ring(shard, other, to, from, payload);
                }
                let route = self.cross(other, to, from, payload);
                self.follow(other, route, payload)
            }
            Route::ToOwner { shard: other, from } => {
                self.crossings += 1;
                self.carry_out_all(shard);
                let via = Some(ShardId(u8::try_from(shard).unwrap()));
                let (from, other) = (ClientPath { via, ..from }, usize::from(other.0));
                let route = self.engines[other].passed_datagram(self.now, from, packet, &mut self.output);
                assert!(!matches!(route, Route::ToOwner { .. }), "a packet crosses once");
                if let Route::Reply { to, .. } = &route {
                    assert_eq!(*to, from, "a response goes to who asked");
                }
                self.settle(other, route, packet)
            }
            Route::Returned { shard: other, from } => {
                self.carry_out_all(shard);
                let by = ShardId(u8::try_from(shard).unwrap());
                let (from, other) = (ClientPath { via: None, ..from }, usize::from(other.0));
                let route =
                    self.engines[other].returned_datagram(self.now, by, from, packet, &mut self.output);
                self.settle(other, route, packet)
            }
            Route::Drop(reason) => Sent::Dropped(reason),
        }
    }

    fn cross(&mut self, shard: usize, to: RelayAddr, from: PeerAddr, payload: &[u8]) -> Route {
        let route = self.engines[shard].hairpin_datagram(self.now, to, from, payload, &mut self.output);
        assert!(!matches!(route, Route::ToShard { .. }), "a packet crosses once");
        route
    }

    fn push_ring(
        &mut self,
        shard: usize,
        other: usize,
        to: RelayAddr,
        from: PeerAddr,
        payload: &[u8],
    ) -> Sent {
        let shards = (shard, other);
        let waiting = self.crossing.iter().filter(|crossing| crossing.shards == shards).count();
        if self.ring_size.is_some_and(|size| waiting >= size) {
            self.counters[shard].dropped(DropReason::RingFull);
            return Sent::Dropped(DropReason::RingFull);
        }
        self.crossing.push_back(Crossing { shards, to, from, payload: payload.to_vec() });
        Sent::ToShard(other)
    }
}

fn local_of(relayed: SocketAddr) -> SocketAddr {
    match relayed {
        SocketAddr::V4(_) => SocketAddr::new(LOCAL_V4.parse().unwrap(), relayed.port()),
        SocketAddr::V6(_) => relayed,
    }
}

fn advertised_of(local: SocketAddr) -> SocketAddr {
    match local {
        SocketAddr::V4(_) => SocketAddr::new(RELAY_V4.parse().unwrap(), local.port()),
        SocketAddr::V6(_) => local,
    }
}
