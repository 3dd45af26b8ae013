//! Any sequence of requests, packets, waits and mishaps, held against the
//! [`model`](super::model) after every step. Six bytes are one step, so that the
//! property tests and the fuzzer share it.

use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ClientPath, DropReason, Family, Instant, Outcome};
use floe::wire::AttributeType;

use super::client::{Access, Answer, Client, MODERN, Request};
use super::model::{Actor, Model, Opening, Seat, State, Wish, own, user_of};
use super::world::{ERIN, RELAY_V4, START, Sent, Setup, SplitMix, World, addr};

#[path = "sequences/moves.rs"]
mod moves;
#[path = "sequences/packets.rs"]
mod packets;
#[path = "sequences/strangers.rs"]
mod strangers;

use moves::Move;

/// How many allocations each user may have.
const PER_USER: u32 = 3;

/// Runs one sequence to its end and closes everything; returns a digest of all
/// that came out.
pub(crate) fn run(input: &[u8]) -> u64 {
    let (flags, steps) = input.split_first().unwrap_or((&0, &[]));
    let mut stage = Stage::new(*flags);
    for step in steps.chunks_exact(6).take(400) {
        stage.step(step.try_into().unwrap());
        stage.check();
    }
    stage.end();
    stage.world.transcript()
}

struct Stage {
    world: World,
    model: Model,
    /// Access tokens are taken.
    tokens: bool,
    random: SplitMix,
    places: Vec<Place>,
    /// Tickets that were good once, and the last Refresh that has moved something.
    old_tickets: Vec<Vec<u8>>,
    last_move: Option<Move>,
}

/// A 5-tuple that anybody may speak from, and the engine that the kernel would
/// bring its packets to.
struct Place {
    path: ClientPath,
    shard: usize,
    nonce: Vec<u8>,
    nonce_at: Instant,
}

impl Stage {
    fn new(flags: u8) -> Self {
        let shards = 1 + (flags & 1);
        let first = 50_000 + u16::from(flags >> 1 & 1);
        let mut setup = Setup {
            seed: flags.into(),
            shards,
            ports: first..=first + 6,
            v6: flags & 4 == 0,
            per_user: PER_USER,
            ..Setup::default()
        };
        setup.settings.compat_permission_lifetime = flags & 8 != 0;
        setup.tokens = flags & 16 != 0;
        let tokens = setup.tokens;
        let (ports, compat) = (setup.ports.clone(), setup.settings.compat_permission_lifetime);
        let mut world = World::with(setup);
        let clients = [
            Client::alice(),
            Client::new("alice", "192.0.2.1:4001").signing(MODERN),
            Client::bob().over_tcp(),
            Client::new("bob", "[2001:db8:7::2]:4000"),
            Client::new("carol", "192.0.2.3:4000").over_tcp().signing(MODERN),
            Client::new(ERIN, "192.0.2.4:4000"),
        ];
        // Good for longer than any story.
        let access = Access::numbered(0, "key 1", world.now.unix, u32::MAX);
        let with_token = Client::new("key 1", "192.0.2.5:4000").with(access);
        let clients: Vec<Client> = clients.into_iter().chain(tokens.then_some(with_token)).collect();
        let nowhere = [
            Client::new("", "192.0.2.10:5000"),
            Client::new("", "192.0.2.10:5001"),
            Client::new("", "192.0.2.11:5000").over_tcp(),
            Client::new("", "192.0.2.11:5001").over_tcp(),
            Client::new("", "[2001:db8:7::10]:5000"),
        ];
        let (now, shards) = (world.now.instant, usize::from(shards));
        let mut place = |(n, client): (usize, Client)| {
            let mut client = client.on_shard(n % shards);
            client.greet(&mut world);
            let Client { path, shard, nonce, .. } = client;
            Place { path, shard, nonce, nonce_at: now }
        };
        let places = clients.iter().cloned().chain(nowhere).enumerate().map(&mut place).collect();
        let actor = |(seat, mut client): (Seat, Client)| {
            // No two have the same transactions, wherever they are.
            client.id.0[2] = seat as u8;
            let allocate = (Vec::new(), now, seat);
            Actor { client, seat, state: State::Nothing, allocate, last: Vec::new() }
        };
        let actors = clients.into_iter().enumerate().map(actor).collect();
        let model = Model { actors, held: Vec::new(), ports, compat, draining: false, woken: now };
        let random = SplitMix(flags.into());
        let mut stage =
            Self { world, model, tokens, random, places, old_tickets: Vec::new(), last_move: None };
        (0..stage.model.actors.len()).for_each(|who| stage.sit(who, who));
        stage
    }

    /// From now on this actor speaks from there.
    fn sit(&mut self, who: usize, seat: Seat) {
        let Place { path, shard, .. } = self.places[seat];
        let actor = &mut self.model.actors[who];
        actor.seat = seat;
        (actor.client.path, actor.client.shard) = (path, shard);
        actor.client.nonce = self.places[seat].nonce.clone();
    }

    /// The engine that reads what comes from there.
    fn reader(&self, seat: Seat) -> usize {
        let Place { path, shard, .. } = &self.places[seat];
        self.world.reader(*shard, path.five_tuple)
    }

    fn now(&self) -> Instant {
        self.world.now.instant
    }

    fn step(&mut self, [kind, who, a, b, c, d]: [u8; 6]) {
        let who = usize::from(who) % self.model.actors.len();
        // A nonce is of a place, and may be newer than the one that was known.
        self.sit(who, self.model.actors[who].seat);
        match kind % 40 {
            0..=4 => self.allocate(who, [a, b, c, d]),
            5 | 6 => self.refresh(who, a, b),
            7..=9 => self.permit(who, [a, b, c], d),
            10..=12 => self.bind(who, a, b),
            13..=15 => self.send(who, a, b, c),
            16..=18 => self.channel_data(who, a, b),
            19..=22 => self.peer(who, a, b, c),
            23..=25 => self.pass(a, b),
            26 => self.stall(a, b),
            27 => self.finish(a, b),
            28 => self.again(who),
            29 => self.garbage(who, a, b),
            30 if a < 128 => self.gone(who),
            31 if a < 8 => self.drain(),
            31 if a < 16 => self.close_all(),
            31 => self.world.hold_binds = b < 128,
            32..=35 => self.come(who, [a, b, c]),
            36 | 37 => self.sit(who, usize::from(a) % self.places.len()),
            38 => self.come_again(),
            _ => self.impostor(who, a),
        }
    }

    /// One of a few peers: friends, the denied, our own listener, and the relays
    /// of the other actors.
    fn address(&self, byte: u8) -> SocketAddr {
        let fixed = [
            "203.0.113.1:9",
            "203.0.113.1:10",
            "203.0.113.2:9",
            "[2001:db8:9::1]:9",
            "[2001:db8:9::2]:9",
            "10.0.0.1:9",
            "[fd00::1]:9",
            "203.0.113.3:0",
        ];
        let byte = usize::from(byte % 32);
        if let Some(text) = fixed.get(byte) {
            return addr(text);
        }
        if byte == fixed.len() {
            return addr(&format!("{RELAY_V4}:3478"));
        }
        let family = Family::BOTH[byte % 2];
        let actor = &self.model.actors[byte / 2 % self.model.actors.len()];
        let relay = actor.live(self.now()).and_then(|allocation| allocation.relay(family, self.now()));
        relay.unwrap_or_else(|| SocketAddr::new(own(family), 50_003))
    }

    /// A signed request and its answer. A nonce is refused once it is an hour old,
    /// and no sooner; a bad login before that.
    fn ask(&mut self, who: usize, request: &Request) -> Sent {
        let now = self.now();
        let actor = &mut self.model.actors[who];
        let place = &mut self.places[actor.seat];
        actor.last = actor.client.sign(request);
        let sent = actor.client.raw(&mut self.world, &actor.last);
        let old = now.since(place.nonce_at) >= Duration::from_secs(3600);
        if !old || code(&sent) == Some(401) {
            assert_ne!(code(&sent), Some(438), "a nonce of {:?}", now.since(place.nonce_at));
            return sent;
        }
        assert_eq!(code(&sent), Some(438), "a nonce of {:?}", now.since(place.nonce_at));
        let Sent::Reply(_, bytes) = sent else { unreachable!() };
        place.nonce = Answer { bytes }.get(AttributeType::NONCE).unwrap();
        place.nonce_at = now;
        actor.client.nonce = place.nonce.clone();
        actor.last = actor.client.sign(request);
        actor.client.raw(&mut self.world, &actor.last)
    }

    fn allocate(&mut self, who: usize, [kind, lifetime, choice, outcomes]: [u8; 4]) {
        let now = self.now();
        // One allocation each is enough for the model.
        let shard = self.reader(self.model.actors[who].seat);
        if self.model.actors[who].is_elsewhere(shard) {
            return;
        }
        let lifetime = u32::from(lifetime) * 20;
        let mut request = Request::allocate().lifetime(lifetime);
        let mobile = kind & 8 != 0;
        if mobile {
            request = request.ticket(&[]);
        }
        let families = vec![Family::V4];
        let mut wish = Wish { families, even: false, pair: false, held: None, lifetime, mobile };
        let mut malformed = false;
        match kind % 8 {
            0 | 1 => {}
            2 => {
                request = request.family(2);
                wish.families = vec![Family::V6];
            }
            3 => {
                request = request.additional(2);
                wish.families = Family::BOTH.into();
            }
            4 => {
                request = request.even_port(0);
                wish.even = true;
            }
            5 => {
                request = request.even_port(0x80);
                (wish.even, wish.pair) = (true, true);
            }
            6 => {
                let held = &self.model.held;
                wish.held = held.get(usize::from(choice) % (held.len() + 1)).cloned();
                let nobodys = [choice; 8];
                request = request.token(wish.held.as_ref().map_or(&nobodys, |held| &held.token));
            }
            _ => {
                request = request.family(1).additional(2);
                malformed = true;
            }
        }
        // Two bits for each bind to come.
        let script = (0..4).map(|n| match outcomes >> (2 * n) & 3 {
            0 | 1 => Outcome::Bound,
            2 => Outcome::PortTaken,
            _ => Outcome::Failed,
        });
        self.world.outcomes = script.collect();
        let free = wish.families.iter().any(|family| self.model.is_free(&self.world.pool, *family, &wish));
        let [surely, at_most] = self.model.taken(now, user_of(&self.model.actors[who].client.name));
        let cost = if kind % 8 == 6 { 0 } else { 1 + u32::from(wish.pair) };
        let token_is_his =
            wish.held.as_ref().is_some_and(|held| held.name == self.model.actors[who].client.name);
        let had_token = kind % 8 == 6;

        let before = self.model.actors[who].allocate.clone();
        let sent = self.ask(who, &request);
        let draining = self.model.draining;
        let expired = self.world.now.unix.secs() >= START.secs() + 3600;
        let actor = &mut self.model.actors[who];
        let refused = |code: u16| code_is(&sent, code);
        if expired && actor.client.name == ERIN {
            return refused(401);
        }
        let seat = actor.seat;
        if self.model.holder(seat, now).is_some() || self.model.opener(seat, shard).is_some() {
            return refused(437);
        }
        let actor = &mut self.model.actors[who];
        // Had it expired, this Allocate has swept it out.
        actor.state = State::Nothing;
        let [surely, at_most] = {
            let [s, m] = self.model.taken(now, user_of(&self.model.actors[who].client.name));
            [surely.min(s), at_most.min(m)]
        };
        let has = |family: &Family| *family == Family::V4 || self.world.pool.has(Family::V6);
        if malformed {
            return refused(400);
        }
        if draining {
            return refused(508);
        }
        if let [family] = wish.families[..]
            && !has(&family)
            && !had_token
        {
            return refused(440);
        }
        if had_token && !token_is_his {
            return refused(508);
        }
        if cost > 0 && surely + cost > PER_USER {
            return refused(486);
        }
        if code(&sent) == Some(486) {
            assert!(at_most + cost > PER_USER, "{at_most} taken");
            return;
        }
        if let Some(held) = &wish.held {
            self.model.held.retain(|other| other != held);
            wish.families = vec![Family::of(held.address.ip())];
        }
        let actor = &mut self.model.actors[who];
        actor.allocate = (actor.last.clone(), self.places[seat].nonce_at, seat);
        match sent {
            Sent::Nothing => {
                let waiting = self.world.waiting.last().expect("it waits for something");
                let id = (waiting.shard, waiting.relay.allocation);
                self.model.actors[who].state = State::Opening(Opening { id, seat, wish, abandoned: false });
            }
            _ => {
                if code(&sent) == Some(508) {
                    let mishap = self.world.outcomes.len() < 4 && outcomes & 0b1010_1010 != 0;
                    assert!(mishap || !free || had_token, "508 with ports free: {wish:?}");
                    self.model.actors[who].allocate = before;
                }
                self.opened(who, seat, &wish, sent);
            }
        }
    }

    /// An Allocate is over; with a success, everything it says has to be true.
    fn opened(&mut self, who: usize, seat: Seat, wish: &Wish, sent: Sent) {
        let now = self.now();
        let Sent::Reply(_, bytes) = sent else { panic!("no answer but {sent:?}") };
        let answer = Answer { bytes };
        self.model.actors[who].state = State::Nothing;
        if answer.code() != 0 {
            assert_eq!(answer.code(), 508);
            return;
        }
        self.model.opened(who, seat, now, wish, &answer);
        if wish.mobile {
            self.new_ticket(&answer);
        }
    }

    fn refresh(&mut self, who: usize, lifetime: u8, family: u8) {
        let lifetime = u32::from(lifetime / 2) * 50;
        let mut request = Request::refresh().lifetime(lifetime);
        let family = match family % 8 {
            n @ (1 | 2) => {
                request = request.family(n);
                Some(Family::BOTH[usize::from(n) - 1])
            }
            _ => None,
        };
        let sent = self.ask(who, &request);
        let expected = self.model.refresh(who, self.now(), lifetime, family);
        code_is(&sent, expected);
    }

    fn permit(&mut self, who: usize, peers: [u8; 3], count: u8) {
        let peers: Vec<_> =
            peers.iter().map(|byte| self.address(*byte)).take(usize::from(count % 4)).collect();
        let sent = self.ask(who, &Request::create_permission(&peers));
        let expected = self.model.permit(who, self.now(), &peers);
        code_is(&sent, self.without_token(who, expected));
    }

    fn bind(&mut self, who: usize, number: u8, peer: u8) {
        let (number, peer) = (channel(number), self.address(peer));
        let sent = self.ask(who, &Request::channel_bind(number, peer));
        let expected = self.model.bind(who, self.now(), number, peer);
        code_is(&sent, self.without_token(who, expected));
    }

    /// Who has no allocation there and shows no token is nobody.
    fn without_token(&self, who: usize, code: u16) -> u16 {
        let by_token = self.model.actors[who].client.access.is_some();
        if by_token && matches!(code, 437 | 441) { 401 } else { code }
    }

    fn pass(&mut self, scale: u8, amount: u8) {
        self.world.pass(length(scale, amount));
        self.model.wake(self.now());
    }

    /// Time goes by unnoticed; sometimes the engines are woken behind it.
    fn stall(&mut self, scale: u8, amount: u8) {
        self.world.stall(length(scale, amount));
        if amount.is_multiple_of(2) {
            self.world.expire();
            self.model.wake(self.now());
        }
    }

    /// One of the binds that are waited for comes out.
    fn finish(&mut self, which: u8, outcome: u8) {
        if self.world.waiting.is_empty() {
            return;
        }
        let waiting = self.world.waiting[usize::from(which) % self.world.waiting.len()];
        let outcome = match outcome % 8 {
            0..=4 => Outcome::Bound,
            5 | 6 => Outcome::PortTaken,
            _ => Outcome::Failed,
        };
        let held = std::mem::replace(&mut self.world.hold_binds, true);
        let sent = self.world.finish(waiting, outcome);
        self.world.hold_binds = held;
        let id = (waiting.shard, waiting.relay.allocation);
        let is_his = |actor: &Actor| matches!(&actor.state, State::Opening(opening) if opening.id == id);
        let who = self.model.actors.iter().position(is_his).expect("somebody waits for it");
        let State::Opening(opening) = self.model.actors[who].state.clone() else { unreachable!() };
        let goes_on = self.world.waiting.iter().any(|w| (w.shard, w.relay.allocation) == id);
        match sent {
            Sent::Nothing if opening.abandoned => {
                assert!(!goes_on, "nobody wants it any more");
                self.model.actors[who].state = State::Nothing;
            }
            Sent::Nothing => assert!(goes_on, "an Allocate is answered at last"),
            sent => {
                assert!(!opening.abandoned && !goes_on);
                self.opened(who, opening.seat, &opening.wish, sent);
            }
        }
    }

    /// The network repeats an Allocate.
    fn again(&mut self, who: usize) {
        let now = self.now();
        let actor = &self.model.actors[who];
        let (allocate, nonce_at, seat) = &actor.allocate;
        let old = now.since(*nonce_at) >= Duration::from_secs(3600);
        let expired = actor.client.name == ERIN && self.world.now.unix.secs() >= START.secs() + 3600;
        let is_elsewhere = actor.is_elsewhere(self.reader(actor.seat));
        if allocate.is_empty() || old || expired || is_elsewhere || *seat != actor.seat {
            return;
        }
        let relays = |allocation: &super::model::Allocation| {
            Family::BOTH.iter().filter_map(|family| allocation.relay(*family, now)).collect::<Vec<_>>()
        };
        // Only while what it made is there: else it would be a new one.
        let expected = match &actor.state {
            State::Opening(_) => None,
            State::Live(allocation) if now < allocation.expires() => Some(relays(allocation)),
            _ => return,
        };
        let sent = actor.client.raw(&mut self.world, allocate);
        match expected {
            None => assert_eq!(sent, Sent::Dropped(DropReason::Retransmission)),
            Some(relays) => {
                let Sent::Reply(_, bytes) = sent else { panic!("{sent:?}") };
                assert_eq!(Answer { bytes }.relayed(), relays);
            }
        }
    }

    /// Where somebody speaks from there is a connection that ends.
    fn gone(&mut self, who: usize) {
        let seat = self.model.actors[who].seat;
        let Place { path, shard, .. } = self.places[seat];
        if path.five_tuple.transport.is_stream() {
            let reader = self.reader(seat);
            self.world.gone(shard, path);
            self.model.gone(seat, reader, self.now());
        }
    }

    fn drain(&mut self) {
        self.world.engines.iter_mut().for_each(floe::relay::Engine::drain);
        self.model.draining = true;
    }

    fn close_all(&mut self) {
        self.world.close_all();
        self.model.close_all();
    }

    /// Every bound and every gauge, after every step.
    fn check(&self) {
        let (now, world, model) = (self.now(), &self.world, &self.model);
        between(world.live(), model.allocations(now), "allocations");
        for user in ["alice", "bob", "carol", "erin", "key 1"] {
            between(world.quota.of_any(user), model.taken(now, user), "quota");
            assert!(world.quota.of_any(user) <= PER_USER);
        }
        let bound = world.sockets.len() + world.waiting.len();
        let [surely, at_most] = model.ports_aside(now);
        between(world.ports_used(), [bound + surely, bound + at_most], "ports");
        between(world.permissions(), model.permissions(now), "permissions");
        between(world.channels(), model.channels(now), "channels");
        let gauges = world.counters.iter().flat_map(|c| &c.allocations).map(|gauge| gauge.get());
        assert_eq!(gauges.sum::<u64>(), world.live() as u64);
    }

    /// Everything is closed, every wait ends, and nothing is left.
    fn end(&mut self) {
        self.close_all();
        while !self.world.waiting.is_empty() {
            self.finish(0, 0);
        }
        self.check();
        self.world.assert_empty_for_good();
    }
}

fn between<T: PartialOrd + std::fmt::Debug>(is: T, [surely, at_most]: [T; 2], what: &str) {
    assert!(surely <= is && is <= at_most, "{what}: {is:?} is not from {surely:?} to {at_most:?}");
}

/// A few numbers, two of them out of range.
fn channel(byte: u8) -> u16 {
    [0x4000, 0x4001, 0x4002, 0x4FFF, 0x5000, 0x3FFF][usize::from(byte) % 6]
}

/// From milliseconds to a quarter of an hour.
fn length(scale: u8, amount: u8) -> Duration {
    let unit = [1, 100, 1_000, 3_500][usize::from(scale) % 4];
    Duration::from_millis(unit * u64::from(amount))
}

fn code(sent: &Sent) -> Option<u16> {
    match sent {
        Sent::Reply(_, bytes) => Some(Answer { bytes: bytes.clone() }.code()),
        _ => None,
    }
}

fn code_is(sent: &Sent, expected: u16) {
    assert_eq!(code(sent), Some(expected), "{sent:?}");
}
