//! Any sequence of what can happen around TCP allocations (RFC 6062), held against
//! a simple model after every step: who has which data connection, how far it has
//! come, and that each is closed once, when it must be and not before. Six bytes
//! are one step, as in [`super::sequences`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ConnectionId, Effect, EffectId, Instant, Outcome};
use floe::wire::{AttributeType, Class, Method};

use super::client::{Answer, Client, MODERN, Request};
use super::world::{Sent, Setup, World, addr};

/// A timer fires at most this late.
const TICK: Duration = Duration::from_millis(250);
/// RFC 6062 §5.2, §5.3
const PATIENCE: Duration = Duration::from_secs(30);
const PERMISSION: Duration = Duration::from_secs(300);
/// Of one allocation: Connects that wait, and connections of peers that do.
const WAITING: usize = 16;
/// Data connections of one user where they are limited.
const PER_USER: u32 = 5;

/// Runs one sequence to its end and closes everything.
pub(crate) fn run(input: &[u8]) {
    let (flags, steps) = input.split_first().unwrap_or((&0, &[]));
    let mut stage = Stage::new(*flags);
    for step in steps.chunks_exact(6).take(400) {
        stage.step(step.try_into().unwrap());
        stage.carry_out();
        stage.check();
    }
    stage.end();
}

struct Actor {
    client: Client,
    allocation: Option<Allocation>,
    greeted: Instant,
}

struct Allocation {
    relayed: SocketAddr,
    expires: Instant,
    permissions: BTreeMap<std::net::IpAddr, Instant>,
}

struct Connection {
    owner: usize,
    shard: usize,
    peer: SocketAddr,
    state: State,
}

#[derive(Clone)]
enum State {
    /// A Connect waits: its request, and until when.
    Connecting(Vec<u8>, Instant),
    /// The peer began it, or the Connect was answered.
    Pending {
        by_peer: bool,
        until: Instant,
    },
    Bound,
}

struct Stage {
    world: World,
    actors: Vec<Actor>,
    connections: BTreeMap<ConnectionId, Connection>,
    /// Whatever was ever called so.
    names: Vec<ConnectionId>,
    per_user: u32,
    /// Port of the next data connection.
    port: u16,
}

impl Stage {
    fn new(flags: u8) -> Self {
        let mut setup = Setup { seed: flags.into(), shards: 1 + (flags & 3), ..Setup::default() };
        setup.settings.tcp_relay = true;
        let per_user = if flags & 4 == 0 { 0 } else { PER_USER };
        setup.settings.data_connections_per_user = per_user;
        let shards = usize::from(setup.shards);
        let mut world = World::with(setup);
        let clients = [
            Client::alice().over_tcp(),
            Client::new("alice", "192.0.2.1:4001").over_tcp().signing(MODERN),
            Client::bob().over_tcp(),
        ];
        let actor = |(n, client): (usize, Client)| {
            let mut client = client.on_shard(n % shards);
            client.greet(&mut world);
            Actor { client, allocation: None, greeted: world.now.instant }
        };
        let actors = clients.into_iter().enumerate().map(actor).collect();
        Self { world, actors, connections: BTreeMap::new(), names: Vec::new(), per_user, port: 10_000 }
    }

    fn now(&self) -> Instant {
        self.world.now.instant
    }

    fn step(&mut self, [kind, who, a, b, c, _]: [u8; 6]) {
        let who = usize::from(who) % self.actors.len();
        match kind % 16 {
            0 => self.allocate(who),
            1 => self.refresh(who, a),
            2 => self.permit(who, a),
            3..=5 => self.connect(who, a),
            6 | 7 => self.finish(a, b),
            8 | 9 => self.peer_connects(who, a),
            10..=12 => self.bind(who, a, b, c),
            13 => self.hang_up(a, b),
            14 if a < 16 => self.world.close_all(),
            14 if a < 48 => {
                let Client { shard, path, .. } = self.actors[who].client;
                self.world.gone(shard, path);
                self.actors[who].allocation = None;
            }
            _ => {
                self.world.pass(Duration::from_millis([10, 100, 1_000, 3_500][usize::from(b) % 4]) * a.into())
            }
        }
        if kind % 16 == 14 && a < 16 {
            self.actors.iter_mut().for_each(|actor| actor.allocation = None);
        }
    }

    fn live(&self, who: usize) -> Option<&Allocation> {
        let now = self.now();
        self.actors[who].allocation.as_ref().filter(|allocation| now < allocation.expires)
    }

    /// Peers anywhere, one that is denied, our own listener, and the relays.
    fn peer(&self, byte: u8) -> SocketAddr {
        match byte % 12 {
            n @ 0..=6 => SocketAddr::new([203, 0, 113, 1 + n / 4].into(), 9 + u16::from(n)),
            7 => addr("10.0.0.1:9"),
            8 => addr("198.51.100.1:3478"),
            n => {
                let relay = self.live(usize::from(n - 9)).map(|allocation| allocation.relayed);
                relay.unwrap_or_else(|| addr("198.51.100.1:50000"))
            }
        }
    }

    /// A signed request's answer; nothing when it waits.
    fn ask(&mut self, who: usize, request: &Request) -> (Vec<u8>, Option<u16>) {
        let now = self.now();
        let actor = &mut self.actors[who];
        if now.since(actor.greeted) >= Duration::from_secs(3600) {
            actor.client.greet(&mut self.world);
            actor.greeted = now;
        }
        let bytes = actor.client.sign(request);
        let sent = actor.client.raw(&mut self.world, &bytes);
        (bytes, code(&sent))
    }

    fn allocate(&mut self, who: usize) {
        let now = self.now();
        let request = Request::new(Method::ALLOCATE).with(AttributeType::REQUESTED_TRANSPORT, &[6, 0, 0, 0]);
        let was_live = self.live(who).is_some();
        let actor = &mut self.actors[who];
        if now.since(actor.greeted) >= Duration::from_secs(3600) {
            actor.client.greet(&mut self.world);
            actor.greeted = now;
        }
        let bytes = actor.client.sign(&request);
        let sent = actor.client.raw(&mut self.world, &bytes);
        if was_live {
            return assert_eq!(code(&sent), Some(437));
        }
        let Sent::Reply(_, bytes) = sent else { panic!("{sent:?}") };
        let answer = Answer { bytes };
        assert_eq!(answer.code(), 0);
        let relayed = answer.relayed()[0];
        let expires = now + Duration::from_secs(answer.lifetime().into());
        self.actors[who].allocation = Some(Allocation { relayed, expires, permissions: BTreeMap::new() });
    }

    fn refresh(&mut self, who: usize, lifetime: u8) {
        let now = self.now();
        let is_live = self.live(who).is_some();
        let lifetime = u32::from(lifetime / 8) * 60;
        let (_, code) = self.ask(who, &Request::refresh().lifetime(lifetime));
        assert_eq!(code, Some(if is_live { 0 } else { 437 }));
        match (&mut self.actors[who].allocation, lifetime) {
            (Some(_), 0) if is_live => self.actors[who].allocation = None,
            (Some(allocation), _) if is_live => {
                allocation.expires = now + Duration::from_secs(lifetime.clamp(600, 3600).into());
            }
            _ => {}
        }
    }

    fn permit(&mut self, who: usize, peer: u8) {
        let (now, peer) = (self.now(), self.peer(peer));
        let (_, code) = self.ask(who, &Request::create_permission(&[peer]));
        let expected = match self.live(who) {
            None => 437,
            Some(_) if peer.ip() == addr("10.0.0.1:9").ip() => 403,
            Some(_) => 0,
        };
        assert_eq!(code, Some(expected));
        if let Some(allocation) = self.actors[who].allocation.as_mut().filter(|_| expected == 0) {
            allocation.permissions.insert(peer.ip(), now + PERMISSION);
        }
    }

    fn connect(&mut self, who: usize, peer: u8) {
        let (now, peer) = (self.now(), self.peer(peer));
        let expected = self.refusal_of_connect(who, peer);
        let before = self.world.tcp.len();
        let (bytes, code) = self.ask(who, &Request::new(Method::CONNECT).peer(peer));
        assert_eq!(code, expected, "{peer}");
        if expected.is_some() {
            return;
        }
        let (shard, effect) = &self.world.tcp[before];
        let Effect::ConnectPeer { connection, local, peer: to, .. } = effect else { panic!("{effect:?}") };
        let own_relay = self.live(who).unwrap().relayed;
        assert_eq!((local.ip(), local.port()), (addr("10.0.0.5:0").ip(), own_relay.port()));
        // A relay of this server is reached where it listens.
        let where_it_is = if is_own(peer) { SocketAddr::new(local.ip(), peer.port()) } else { peer };
        assert_eq!(to.socket(), where_it_is);
        let (id, shard) = (*connection, *shard);
        self.world.tcp.truncate(before);
        self.add(id, Connection { owner: who, shard, peer, state: State::Connecting(bytes, now + PATIENCE) });
    }

    fn refusal_of_connect(&self, who: usize, peer: SocketAddr) -> Option<u16> {
        let Some(allocation) = self.live(who) else { return Some(437) };
        // One that has had its time is one until it is swept away.
        let is_relay = self.world.is_open(peer);
        if peer.ip() == addr("10.0.0.1:9").ip() || is_own(peer) && (!is_relay || peer == allocation.relayed) {
            return Some(403);
        }
        let mine = || self.connections.values().filter(|connection| connection.owner == who);
        if mine().any(|connection| connection.peer == peer) {
            return Some(446);
        }
        let waiting = mine().filter(|connection| matches!(connection.state, State::Connecting(..))).count();
        (waiting >= WAITING || self.is_full(who)).then_some(508)
    }

    fn is_full(&self, who: usize) -> bool {
        let name = |who: usize| &self.actors[who].client.name;
        let taken = self.connections.values().filter(|connection| name(connection.owner) == name(who));
        self.per_user != 0 && taken.count() >= self.per_user as usize
    }

    fn add(&mut self, id: ConnectionId, connection: Connection) {
        assert!(!self.connections.contains_key(&id), "two of one name");
        self.names.push(id);
        self.connections.insert(id, connection);
    }

    /// One of the connections that are being made comes about, or does not.
    fn finish(&mut self, which: u8, outcome: u8) {
        let waits = |connection: &Connection| matches!(connection.state, State::Connecting(..));
        let waiting: Vec<_> =
            self.connections.iter().filter(|(_, c)| waits(c)).map(|(id, c)| (*id, c.shard)).collect();
        if waiting.is_empty() {
            return;
        }
        let (id, shard) = waiting[usize::from(which) % waiting.len()];
        let outcomes = [Outcome::Connected, Outcome::Connected, Outcome::Refused, Outcome::Failed];
        self.answer_connect(shard, id, outcomes[usize::from(outcome) % 4]);
    }

    fn answer_connect(&mut self, shard: usize, id: ConnectionId, outcome: Outcome) {
        let now = self.now();
        let sent = self.world.connected(shard, EffectId::Connection(id), outcome);
        let connection = self.connections.get_mut(&id).unwrap();
        let State::Connecting(asked, _) = &connection.state else { panic!("answered twice") };
        let Sent::Reply(to, bytes) = sent else {
            // It went with its allocation, and is closed next.
            let over = self.actors[connection.owner].allocation.as_ref().is_none_or(|a| a.expires <= now);
            return assert!(sent == Sent::Nothing && over, "{sent:?}");
        };
        assert_eq!(to, self.actors[connection.owner].client.path.five_tuple);
        let answer = Answer { bytes };
        assert_eq!(answer.message().transaction_id().0, asked[8..20]);
        let expected = match outcome {
            Outcome::Connected => 0,
            Outcome::Failed => 508,
            _ => 447,
        };
        assert_eq!(answer.code(), expected);
        if expected == 0 {
            assert_eq!(answer.get(AttributeType::CONNECTION_ID), Some(id.0.to_be_bytes().to_vec()));
            connection.state = State::Pending { by_peer: false, until: now + PATIENCE };
        } else {
            self.connections.remove(&id);
        }
    }

    fn peer_connects(&mut self, who: usize, from: u8) {
        let (now, from) = (self.now(), self.peer(from));
        let Some(relayed) = self.actors[who].allocation.as_ref().map(|allocation| allocation.relayed) else {
            return;
        };
        let mine = || self.connections.values().filter(|connection| connection.owner == who);
        let waits = |c: &&Connection| matches!(c.state, State::Pending { by_peer: true, .. });
        let is_relay = self.world.is_open(from);
        let permits = |allocation: &Allocation| {
            allocation.permissions.get(&from.ip()).is_some_and(|until| now < *until)
                && (!is_own(from) || is_relay)
        };
        let taken = self.live(who).is_some_and(permits)
            && mine().all(|connection| connection.peer != from)
            && mine().filter(waits).count() < WAITING
            && !self.is_full(who);
        let Some((shard, id, sent)) = self.world.peer_connects(from, relayed) else {
            return assert!(self.live(who).is_none(), "the listener is closed too early");
        };
        assert_eq!(id.is_some(), taken, "{from}");
        let Some(id) = id else { return assert_eq!(sent, Sent::Nothing) };
        let Sent::Reply(to, bytes) = sent else { panic!("{sent:?}") };
        let answer = Answer { bytes };
        let message = answer.message();
        assert_eq!(to, self.actors[who].client.path.five_tuple);
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::CONNECTION_ATTEMPT));
        assert_eq!(message.xor_address(AttributeType::XOR_PEER_ADDRESS), Some(Ok(from)));
        assert_eq!(answer.get(AttributeType::CONNECTION_ID), Some(id.0.to_be_bytes().to_vec()));
        let state = State::Pending { by_peer: true, until: now + PATIENCE };
        self.add(id, Connection { owner: who, shard, peer: from, state });
    }

    /// A new connection of this user's to any shard, which asks for one of the ids
    /// that there are or were.
    fn bind(&mut self, who: usize, which: u8, shard: u8, manner: u8) {
        let id = match self.names.len() {
            count if count > 0 && which < 250 => self.names[usize::from(which) % count],
            _ => ConnectionId(u32::from_be_bytes([which % 5, manner, 1, 2])),
        };
        self.port += 1;
        let control = &self.actors[who].client;
        let mut client = Client::new(&control.name, &format!("192.0.2.1:{}", self.port)).over_tcp();
        client.shard = usize::from(shard) % self.world.engines.len();
        client.signing = control.signing;
        let expected = match self.connections.get(&id) {
            Some(Connection { owner, state: State::Pending { .. }, .. }) if self.live(*owner).is_some() => {
                let same = self.actors[*owner].client.name == client.name;
                if same { 0 } else { 441 }
            }
            Some(Connection { owner, .. }) if self.live(*owner).is_some() => {
                let same = self.actors[*owner].client.name == client.name;
                if same { 400 } else { 441 }
            }
            _ => 400,
        };
        client.greet(&mut self.world);
        let request =
            Request::new(Method::CONNECTION_BIND).with(AttributeType::CONNECTION_ID, &id.0.to_be_bytes());
        let bytes = client.sign(&request);
        let before = self.world.tcp.len();
        let mut sent = client.raw(&mut self.world, &bytes);
        if let Some((_, Effect::PassOn { client: path, shard })) = self.world.tcp.get(before) {
            assert_eq!((*path, &sent), (client.path, &Sent::Nothing));
            client.shard = usize::from(shard.0);
            self.world.tcp.truncate(before);
            sent = client.raw(&mut self.world, &bytes);
        }
        assert_eq!(code(&sent), Some(expected), "{id}");
        let joined = self.world.tcp.get(before).cloned();
        self.world.tcp.truncate(before);
        match (joined, expected) {
            (Some((_, Effect::Join { client: path, connection, peer, .. })), 0) => {
                let bound = self.connections.get_mut(&id).unwrap();
                assert_eq!((path, connection, peer.socket()), (client.path, id, bound.peer));
                bound.state = State::Bound;
            }
            (None, code) if code != 0 => {}
            other => panic!("{other:?}"),
        }
    }

    /// The peer, or the client's data connection, ends.
    fn hang_up(&mut self, which: u8, bytes: u8) {
        let Some((&id, connection)) = self.connections.iter().nth(usize::from(which) % 16) else { return };
        // One that is being made ends by its outcome.
        if matches!(connection.state, State::Connecting(..)) {
            return;
        }
        let engine = &mut self.world.engines[connection.shard];
        engine.data_relayed(id, bytes.into(), usize::from(bytes) * 2);
        engine.peer_connection_closed(id);
        engine.data_relayed(id, 1, 1);
        self.connections.remove(&id);
    }

    /// What the engines want done; each has to have a reason.
    fn carry_out(&mut self) {
        for (shard, effect) in std::mem::take(&mut self.world.tcp) {
            let now = self.now();
            match effect {
                Effect::GiveUpConnect { connection, .. } => {
                    let State::Connecting(_, until) = self.connections[&connection].state else {
                        panic!("given up after its answer")
                    };
                    assert!(until <= now, "given up too early");
                    self.answer_connect(shard, connection, Outcome::NoAnswer);
                }
                Effect::ClosePeer { connection } => {
                    let closed = self.connections.remove(&connection).expect("closed once");
                    assert_eq!(closed.shard, shard);
                    let late = match closed.state {
                        State::Pending { until, .. } => until <= now,
                        _ => false,
                    };
                    assert!(late || self.live(closed.owner).is_none(), "{connection} closed too early");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Nothing outlives its time, and the gauges know it.
    fn check(&mut self) {
        let now = self.now();
        for (id, connection) in &self.connections {
            let late = match connection.state {
                State::Connecting(_, until) | State::Pending { until, .. } => until + TICK <= now,
                State::Bound => false,
            };
            assert!(!late, "{id} outlives its time");
            let owner = self.actors[connection.owner].allocation.as_ref();
            assert!(owner.is_some_and(|owner| now < owner.expires + TICK), "{id} outlives its allocation");
        }
        for actor in &mut self.actors {
            let over = |allocation: &mut Allocation| allocation.expires + TICK <= now;
            actor.allocation.take_if(over);
        }
        let counted: u64 = self.world.counters.iter().map(|counters| counters.data_connections.get()).sum();
        assert_eq!(counted, self.connections.len() as u64);
    }

    fn end(&mut self) {
        self.world.close_all();
        self.actors.iter_mut().for_each(|actor| actor.allocation = None);
        self.carry_out();
        self.check();
        self.world.assert_empty_for_good();
    }
}

fn is_own(peer: SocketAddr) -> bool {
    peer.ip() == addr("198.51.100.1:0").ip()
}

fn code(sent: &Sent) -> Option<u16> {
    match sent {
        Sent::Reply(_, bytes) => Some(Answer { bytes: bytes.clone() }.code()),
        Sent::Nothing => None,
        other => panic!("{other:?}"),
    }
}
