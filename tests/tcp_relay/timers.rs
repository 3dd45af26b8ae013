//! The engine alone, on a clock of its own: what takes 30 s or longer, what two
//! shards do, and addresses that loopback does not have.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use floe::relay::counters::Counters;
use floe::relay::ports::RelayPool;
use floe::relay::world::{
    Account, PeerPolicy, Quota, QuotaExceeded, Random, Reach, Standing, ThirdParty, Throttle, Users,
};
use floe::relay::{
    ClientAddr, ClientPath, ConnectionId, Effect, Engine, Family, FiveTuple, Instant, Link, Now, Outcome,
    Output, PeerAddr, RelayId, Route, ServerAddr, Settings, ShardId, Transport, UnixTime, World as Given,
};
use floe::wire::integrity::LongTermKeys;

use super::parties::{Refused as _, allocate, attempt, connect, connection_bind, connection_id};
use crate::support::{ALICE, BOB, Login, REALM, Reply, Request, User};

/// Alice and Bob, and peers everywhere but on 10.0.0.0/8; relays are at
/// 198.51.100.1, which is 10.0.0.5 behind a 1:1 NAT.
struct Everybody;

impl Users for Everybody {
    fn account(&self, _: UnixTime, name: &str) -> Arc<Account> {
        let user = [ALICE, BOB].into_iter().find(|user| user.name == name);
        let password = user.map_or("nobody's", |user| user.password);
        Arc::new(Account {
            keys: vec![LongTermKeys::derive(name, REALM, password)],
            standing: if user.is_some() { Standing::Permanent } else { Standing::Unknown },
            user: name.into(),
            max_allocations: 0,
        })
    }

    fn name_of_hash(&self, _: &[u8; 32]) -> Option<Arc<str>> {
        None
    }

    fn enumerable(&self) -> bool {
        false
    }

    fn third_party(&self) -> Option<&dyn ThirdParty> {
        None
    }
}

impl PeerPolicy for Everybody {
    fn reach(&self, peer: IpAddr) -> Reach {
        match peer {
            _ if peer == ip("198.51.100.1") || peer == ip("10.0.0.5") => Reach::SomePorts,
            IpAddr::V4(v4) if v4.octets()[0] == 10 => Reach::Denied,
            _ => Reach::Open,
        }
    }

    fn may_send(&self, _: PeerAddr) -> bool {
        false
    }
}

impl Quota for Everybody {
    fn acquire(&self, _: &Arc<str>, _: u32) -> Result<(), QuotaExceeded> {
        Ok(())
    }

    fn release(&self, _: &Arc<str>) {}
}

impl Throttle for Everybody {
    fn may_answer(&self, _: Instant, _: IpAddr) -> bool {
        true
    }

    fn failed_login(&self, _: Instant, _: IpAddr) -> bool {
        true
    }
}

/// A xorshift: other bytes each time, and the same in each run.
struct Bytes(u64);

impl Random for Bytes {
    fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            *byte = self.0 as u8;
        }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// One or more shards and a clock.
struct World {
    now: Now,
    shards: Vec<Engine>,
    counters: Vec<Arc<Counters>>,
    out: Output,
    /// What is to be done, binds aside, which are done at once.
    effects: Vec<Effect>,
    relays: Vec<RelayId>,
}

/// A client's connection to one shard.
#[derive(Clone, Copy)]
struct Way {
    shard: usize,
    path: ClientPath,
}

fn way(shard: usize, client: &str) -> Way {
    let five_tuple = FiveTuple {
        client: ClientAddr::new(addr(client)),
        server: ServerAddr::new(addr("198.51.100.1:3478")),
        transport: Transport::Tcp,
    };
    Way { shard, path: ClientPath::new(Link(1 << 31), five_tuple) }
}

impl World {
    fn new(shards: u8) -> Self {
        let pool = Arc::new(RelayPool::new(&[(ip("10.0.0.5"), ip("198.51.100.1"))], 50000..=50999));
        let counters: Vec<Arc<Counters>> = (0..shards).map(|_| Arc::default()).collect();
        let engine = |(shard, counters): (u8, &Arc<Counters>)| {
            let everybody = Arc::new(Everybody);
            let given = Given {
                users: everybody.clone(),
                peers: everybody.clone(),
                quota: everybody.clone(),
                bandwidth: None,
                throttle: everybody,
                random: Box::new(Bytes(0x9E37_79B9_7F4A_7C15 + u64::from(shard))),
                pool: Arc::clone(&pool),
                counters: Arc::clone(counters),
            };
            let settings = Settings {
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
                ticket_key: None,
                tcp_relay: true,
                data_connections_per_user: 100,
                shards,
            };
            Engine::new(ShardId(shard), settings, given)
        };
        Self {
            now: Now { instant: Instant::default(), unix: UnixTime::from_secs(1_700_000_000) },
            shards: (0..shards).zip(&counters).map(engine).collect(),
            counters,
            out: Output::default(),
            effects: Vec::new(),
            relays: Vec::new(),
        }
    }

    fn message(&mut self, route: Route) -> Option<Vec<u8>> {
        match route {
            Route::Reply { message, .. } => Some(self.out.bytes[message].to_vec()),
            Route::Nothing => None,
            other => panic!("{other:?}"),
        }
    }

    /// What a shard answers, once the relay sockets that it asks for are open.
    fn send(&mut self, way: Way, bytes: &[u8]) -> Option<Vec<u8>> {
        self.out.bytes.clear();
        let route = self.shards[way.shard].client_datagram(self.now, way.path, bytes, &mut self.out);
        let mut answer = self.message(route);
        while !self.out.effects.is_empty() {
            for effect in std::mem::take(&mut self.out.effects) {
                match effect {
                    Effect::BindTcpRelay { id, relay, local } => {
                        assert_eq!(local.ip(), ip("10.0.0.5"));
                        self.relays.push(relay);
                        let route =
                            self.shards[way.shard].complete(self.now, id, Outcome::Bound, &mut self.out);
                        answer = answer.or(self.message(route));
                    }
                    Effect::Opened(_) | Effect::LoginFailed { .. } | Effect::Permitted { .. } => {}
                    other => self.effects.push(other),
                }
            }
        }
        answer
    }

    fn login(&mut self, way: Way, user: User<'_>) -> Login {
        let challenge = self.ask(way, &Request::allocate().bytes());
        Login::new(user, challenge.realm(), challenge.nonce())
    }

    fn ask(&mut self, way: Way, bytes: &[u8]) -> Reply {
        let answer = self.send(way, bytes).expect("an answer at once");
        Reply::to(bytes, answer)
    }

    fn call(&mut self, way: Way, login: &Login, request: Request) -> Reply {
        let bytes = login.sign(request);
        let reply = self.ask(way, &bytes);
        assert!([401, 438].contains(&reply.code()) || login.has_signed(&reply));
        reply
    }

    /// Logged in and with a TCP allocation: its relay.
    fn allocated(&mut self, way: Way, user: User<'_>) -> (Login, SocketAddr, RelayId) {
        let login = self.login(way, user);
        let relayed = self.call(way, &login, allocate()).ok().relayed();
        (login, relayed, *self.relays.last().unwrap())
    }

    /// Sends a Connect that waits: the message and the effect.
    fn connecting(&mut self, way: Way, login: &Login, peer: SocketAddr) -> (Vec<u8>, Effect) {
        let bytes = login.sign(connect(peer));
        assert_eq!(self.send(way, &bytes), None);
        (bytes, self.effects.pop().expect("an effect"))
    }

    fn complete(&mut self, way: Way, asked: &[u8], effect: &Effect, outcome: Outcome) -> Reply {
        let (Effect::ConnectPeer { id, .. } | Effect::GiveUpConnect { id, .. }) = effect else {
            panic!("{effect:?}")
        };
        self.out.bytes.clear();
        let route = self.shards[way.shard].complete(self.now, *id, outcome, &mut self.out);
        let answer = self.message(route).expect("an answer");
        Reply::to(asked, answer)
    }

    fn connected(&mut self, way: Way, login: &Login, peer: SocketAddr) -> u32 {
        let (asked, effect) = self.connecting(way, login, peer);
        connection_id(&self.complete(way, &asked, &effect, Outcome::Connected).ok())
    }

    /// A peer connects: its id, and what the client is told.
    fn peer(&mut self, way: Way, relay: RelayId, peer: &str) -> Option<(SocketAddr, u32)> {
        self.out.bytes.clear();
        let peer = PeerAddr::new(addr(peer));
        let (id, route) = self.shards[way.shard].peer_connection(self.now, relay, peer, &mut self.out);
        let told = self.message(route).map(|message| attempt(&message));
        assert_eq!(id, told.map(|(_, id)| ConnectionId(id)));
        told
    }

    /// Time passes, in steps as short as the engine's; what comes of it.
    fn pass(&mut self, millis: u64) -> Vec<Effect> {
        for _ in 0..millis.div_ceil(50) {
            self.now.instant = self.now.instant + Duration::from_millis(50);
            for shard in &mut self.shards {
                shard.expire(self.now, &mut self.out);
            }
        }
        std::mem::take(&mut self.out.effects)
    }

    fn open(&self) -> u64 {
        self.counters.iter().map(|counters| counters.data_connections.get()).sum()
    }
}

const CONTROL: &str = "203.0.113.9:40000";
const DATA: &str = "203.0.113.9:40001";

// C-009
#[test]
fn a_silent_peer_is_given_up_after_30_seconds() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, _) = world.allocated(control, ALICE);
    let peer = addr("192.0.2.1:80");
    let (asked, effect) = world.connecting(control, &login, peer);
    assert!(matches!(effect, Effect::ConnectPeer { local, .. } if local.ip() == ip("10.0.0.5")));
    assert_eq!(world.pass(29_950), []);
    world.call(control, &login, Request::refresh(600)).ok();
    world.call(control, &login, connect(peer)).refused(446);
    let given_up = world.pass(500);
    assert!(matches!(given_up[..], [Effect::GiveUpConnect { .. }]), "{given_up:?}");
    world.complete(control, &asked, &given_up[0], Outcome::NoAnswer).refused(447);
    assert_eq!(world.open(), 0);
    world.connected(control, &login, peer);
}

// C-009
#[test]
fn each_failure_has_its_answer() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, _) = world.allocated(control, ALICE);
    for (outcome, code) in [(Outcome::Refused, 447), (Outcome::NoAnswer, 447), (Outcome::Failed, 508)] {
        let (asked, effect) = world.connecting(control, &login, addr("192.0.2.1:80"));
        world.complete(control, &asked, &effect, outcome).refused(code);
    }
    assert_eq!(world.pass(60_000), [], "no timer is left");
    assert_eq!(world.open(), 0);
}

// C-010
#[test]
fn what_nobody_binds_is_closed_after_30_seconds() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, relay) = world.allocated(control, ALICE);
    // The 30 s begin with the success response, not with the request.
    let (asked, effect) = world.connecting(control, &login, addr("192.0.2.1:80"));
    world.pass(20_000);
    let id = connection_id(&world.complete(control, &asked, &effect, Outcome::Connected).ok());
    world.call(control, &login, Request::permission(&[ip("192.0.2.2")])).ok();
    let (_, inbound) = world.peer(control, relay, "192.0.2.2:5000").unwrap();
    assert_eq!(world.pass(29_950), []);
    let closed = world.pass(500);
    let ids = [id, inbound].map(|id| Effect::ClosePeer { connection: ConnectionId(id) });
    assert!(closed.len() == 2 && ids.iter().all(|effect| closed.contains(effect)), "{closed:?}");
    let data = way(0, DATA);
    let login = world.login(data, ALICE);
    for id in [id, inbound] {
        world.call(data, &login, connection_bind(id)).refused(400);
    }
    assert_eq!(world.open(), 0);
}

// C-010 C-018
#[test]
fn a_bound_connection_lasts_as_long_as_its_allocation() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, _) = world.allocated(control, ALICE);
    let id = world.connected(control, &login, addr("192.0.2.1:80"));
    world.pass(29_500);
    let data = way(0, DATA);
    let data_login = world.login(data, ALICE);
    world.call(data, &data_login, connection_bind(id)).ok();
    let joined = world.effects.pop();
    assert!(matches!(joined, Some(Effect::Join { client, .. }) if client == data.path));
    assert_eq!(world.pass(500_000), []);
    world.call(control, &login, Request::refresh(600)).ok();
    assert_eq!(world.pass(599_000), []);
    let ended = world.pass(2_000);
    let close = Effect::ClosePeer { connection: ConnectionId(id) };
    assert!(ended.contains(&close) && ended.iter().any(|effect| matches!(effect, Effect::Closed(..))));
    assert_eq!(world.open(), 0);
}

// C-011 C-012
#[test]
fn a_permission_lasts_300_seconds_for_peers_too() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, relay) = world.allocated(control, ALICE);
    assert_eq!(world.peer(control, relay, "192.0.2.2:5000"), None);
    world.call(control, &login, Request::permission(&[ip("192.0.2.2")])).ok();
    world.pass(299_900);
    let (peer, _) = world.peer(control, relay, "192.0.2.2:5000").unwrap();
    assert_eq!(peer, addr("192.0.2.2:5000"));
    world.pass(200);
    assert_eq!(world.peer(control, relay, "192.0.2.2:5001"), None);
}

// C-006 C-021
#[test]
fn behind_a_nat_relays_are_known_by_what_clients_were_told() {
    let mut world = World::new(1);
    let (one, other) = (way(0, CONTROL), way(0, "203.0.113.10:40000"));
    let (alice, told_alice, _) = world.allocated(one, ALICE);
    let (bob, told_bob, relay_bob) = world.allocated(other, BOB);
    let (_, effect) = world.connecting(one, &alice, told_bob);
    let local_bob = SocketAddr::new(ip("10.0.0.5"), told_bob.port());
    assert!(matches!(effect, Effect::ConnectPeer { peer, .. } if peer.socket() == local_bob), "{effect:?}");
    world.call(other, &bob, Request::permission(&[told_alice.ip()])).ok();
    let (peer, _) = world.peer(other, relay_bob, &format!("10.0.0.5:{}", told_alice.port())).unwrap();
    assert_eq!(peer, told_alice);
    // No relay, the own one, by either of its names; and what is denied anyway.
    let own_local = SocketAddr::new(ip("10.0.0.5"), told_alice.port());
    for denied in [addr("198.51.100.1:22"), addr("10.0.0.5:22"), told_alice, own_local, addr("10.0.0.6:80")] {
        world.call(one, &alice, connect(denied)).refused(403);
    }
    // Once it is gone, its port is anybody's.
    world.call(other, &bob, Request::refresh(0)).ok();
    world.call(one, &alice, connect(addr("198.51.100.1:50001"))).refused(403);
    world.call(one, &alice, connect(told_bob)).refused(403);
}

// C-014
#[test]
fn another_shard_passes_the_connection_on_for_who_can_log_in() {
    let mut world = World::new(2);
    let control = way(1, CONTROL);
    let (login, _, _) = world.allocated(control, ALICE);
    let id = world.connected(control, &login, addr("192.0.2.1:80"));
    assert_eq!(id >> 24, 1, "the id names its shard");
    let here = way(0, DATA);
    world.ask(here, &connection_bind(id).bytes()).assert_challenge(401);
    let guess = Login { keys: LongTermKeys::derive("alice", REALM, "a guess"), ..login.clone() };
    world.ask(here, &guess.sign(connection_bind(id))).assert_challenge(401);
    assert_eq!(world.effects, []);
    // The nonce of the control connection is judged there.
    let bytes = login.sign(connection_bind(id));
    assert_eq!(world.send(here, &bytes), None);
    let passed = world.effects.pop();
    assert_eq!(passed, Some(Effect::PassOn { client: here.path, shard: ShardId(1) }));
    let there = Way { shard: 1, ..here };
    world.ask(there, &bytes).ok();
    assert!(matches!(world.effects.pop(), Some(Effect::Join { .. })));
}

// C-014
#[test]
fn the_control_connections_nonce_is_good_from_its_address_alone() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, _) = world.allocated(control, ALICE);
    let id = world.connected(control, &login, addr("192.0.2.1:80"));
    world.call(way(0, "203.0.113.66:40001"), &login, connection_bind(id)).assert_challenge(438);
    world.call(way(0, DATA), &login, connection_bind(id ^ 1)).assert_challenge(438);
    world.call(way(0, DATA), &login, connection_bind(id)).ok();
}

// C-018
#[test]
fn a_lost_control_connection_ends_everything() {
    let mut world = World::new(1);
    let control = way(0, CONTROL);
    let (login, _, relay) = world.allocated(control, ALICE);
    let (_, effect) = world.connecting(control, &login, addr("192.0.2.1:80"));
    world.connected(control, &login, addr("192.0.2.1:81"));
    world.shards[0].client_gone(world.now, control.path, &mut world.out);
    let ended = std::mem::take(&mut world.out.effects);
    let closes = ended.iter().filter(|effect| matches!(effect, Effect::ClosePeer { .. })).count();
    assert_eq!(closes, 2, "{ended:?}");
    assert!(ended.contains(&Effect::CloseRelay { relay }) && relay.family == Family::V4);
    assert_eq!(world.open(), 0);
    // An outcome that comes too late is nobody's.
    let Effect::ConnectPeer { id, .. } = effect else { panic!("{effect:?}") };
    let route = world.shards[0].complete(world.now, id, Outcome::Connected, &mut world.out);
    assert_eq!(route, Route::Nothing);
    assert_eq!(world.pass(60_000), []);
}
