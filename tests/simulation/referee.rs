//! Stands beside the server and knows the rules: what RFC 8656 makes of each packet
//! that goes in, by the engine's own [`model`](crate::model), is what has to come out.
//! Where the model leaves a choice (which port, whether one is free), what came out
//! has to be true.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use floe::relay::{ClientPath, DropReason, Family, FiveTuple, Instant, Now, Outcome, UnixTime};
use floe::wire::attribute::{channel_number_value, even_port_value, first_of_four, u32_value};
use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};
use floe::wire::{
    AttributeType, Class, Message, Method, PacketKind, TransactionId, address, channel_data, packet_kind,
};

use foldhash::{HashMap, HashMapExt as _};

use crate::client::{Answer, Client, Heard};
use crate::model::{
    Actor, Allocation, HOLD, Held, Mobility, Model, Opening, Seat, State, Wish, is_denied, is_own, user_of,
};
use crate::world::{Crossing, NAMES, REALM, RELAY_V4, RELAY_V6, Sent, Setup, Waiting, World, password};

/// RFC 8656 §5
const NONCE_LIFE: Duration = Duration::from_secs(3600);
/// Permissions and channels of one allocation, each.
const MOST: usize = 1024;
/// Longest answer to somebody unknown over UDP (H-017): a challenge in this realm.
const LONGEST_CHALLENGE: usize = 104;

/// What became of packets, to be held against the server's own counters.
#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) replies: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) crossed: u64,
    pub(crate) hairpins: u64,
    pub(crate) drops: BTreeMap<DropReason, u64>,
    pub(crate) requests: u64,
}

pub(crate) struct Referee {
    pub(crate) model: Model,
    pub(crate) tally: Tally,
    /// Answers to strangers by who was asked to hear them, and their bytes.
    pub(crate) strangers: BTreeMap<std::net::IpAddr, (u64, u64)>,
    /// Relayed addresses that were given since somebody last looked, and to whom.
    pub(crate) given: Vec<(FiveTuple, SocketAddr)>,
    /// Clients that have come back by a ticket.
    pub(crate) moves: u64,
    /// Where somebody may speak from who can log in; an actor of the model is an
    /// allocation, or had one, and may come from one place to another.
    seats: HashMap<FiveTuple, Seat>,
    paths: Vec<ClientPath>,
    /// The Refresh that has moved an actor last.
    moved_by: HashMap<usize, TransactionId>,
    relays: HashMap<SocketAddr, usize>,
    nonces: HashMap<Vec<u8>, (FiveTuple, UnixTime)>,
    keys: HashMap<(&'static str, bool), Vec<u8>>,
    hashes: HashMap<[u8; 32], &'static str>,
    per_user: u32,
    in_all: u32,
    has_v6: bool,
}

/// What login makes of a request.
enum Login {
    In(&'static str),
    /// With one of these codes.
    Out(&'static [u16]),
}

/// What is to come of a relayed packet.
#[derive(PartialEq, Eq, Debug)]
enum Fate {
    Dropped,
    ToPeer(SocketAddr, SocketAddr),
    /// To whom is there.
    ToClient(Seat, Heard),
}

impl Referee {
    pub(crate) fn new(setup: &Setup, now: Instant) -> Self {
        let derive = |name: &'static str, modern: bool| {
            let algorithm = if modern { PasswordAlgorithm::Sha256 } else { PasswordAlgorithm::Md5 };
            LongTermKeys::derive(name, REALM, &password(name)).key(algorithm).to_vec()
        };
        let keys =
            NAMES.iter().flat_map(|name| [false, true].map(|modern| ((*name, modern), derive(name, modern))));
        Self {
            model: Model {
                actors: Vec::new(),
                held: Vec::new(),
                ports: setup.ports.clone(),
                compat: setup.settings.compat_permission_lifetime,
                draining: false,
                woken: now,
            },
            tally: Tally::default(),
            strangers: BTreeMap::new(),
            given: Vec::new(),
            moves: 0,
            seats: HashMap::new(),
            paths: Vec::new(),
            moved_by: HashMap::new(),
            relays: HashMap::new(),
            nonces: HashMap::new(),
            keys: keys.collect(),
            hashes: NAMES.iter().map(|name| (userhash(name, REALM), *name)).collect(),
            per_user: setup.per_user,
            in_all: setup.in_all,
            has_v6: setup.v6,
        }
    }

    /// Whoever sends from here may have an allocation.
    pub(crate) fn knows(&mut self, client: &Client, now: Instant) {
        let five_tuple = client.path.five_tuple;
        if self.seats.contains_key(&five_tuple) {
            return;
        }
        let seat = self.paths.len();
        self.seats.insert(five_tuple, seat);
        self.paths.push(client.path);
        self.sit(seat, client.clone(), now);
    }

    /// One more actor, who has begun there.
    fn sit(&mut self, seat: Seat, client: Client, now: Instant) -> usize {
        let (state, allocate, last) = (State::Nothing, (Vec::new(), now, seat), Vec::new());
        self.model.actors.push(Actor { client, seat, state, allocate, last });
        self.model.actors.len() - 1
    }

    /// Who an Allocate from there is of: who has something there, be it past its time,
    /// or else somebody who has nothing.
    fn caller(&mut self, seat: Seat, now: Instant) -> usize {
        let is_there = |actor: &Actor| match &actor.state {
            State::Nothing => false,
            State::Opening(opening) => opening.seat == seat,
            State::Live(allocation) => allocation.is_at(seat),
        };
        let live = self.model.opener(seat).or_else(|| self.at(seat, now));
        let is_idle = |actor: &Actor| actor.seat == seat && matches!(actor.state, State::Nothing);
        let actors = &self.model.actors;
        let there = live.or_else(|| actors.iter().position(is_there));
        match there.or_else(|| actors.iter().position(is_idle)) {
            Some(who) => who,
            None => self.sit(seat, actors[seat].client.clone(), now),
        }
    }

    /// Whose allocation is there: mostly that of who has begun there.
    fn at(&self, seat: Seat, now: Instant) -> Option<usize> {
        let first = self.model.actors[seat].live(now);
        match first.is_some_and(|allocation| allocation.is_at(seat)) {
            true => Some(seat),
            // Nobody else can be.
            false if self.moves == 0 => None,
            false => self.model.holder(seat, now),
        }
    }

    /// A packet of a client's, and what became of it.
    pub(crate) fn client(&mut self, world: &World, shard: usize, from: FiveTuple, bytes: &[u8], sent: &Sent) {
        // A connection stays with the engine that it was handed to.
        let shard = world.handed.get(&from).copied().unwrap_or(shard);
        self.count(sent);
        let now = world.now;
        match packet_kind(bytes) {
            Some(PacketKind::ChannelData) => {
                let Ok((number, payload)) = channel_data::parse(bytes) else {
                    return is_dropped(sent, DropReason::Malformed);
                };
                let sender = self.heard_from(from, now.instant);
                let peer = sender
                    .and_then(|who| self.model.actors[who].live(now.instant)?.channel(number.0, now.instant));
                self.relayed(world, sender, peer, &bytes[payload], sent);
            }
            Some(PacketKind::Stun) => match Message::parse(bytes) {
                Ok(message) => self.message(world, shard, from, &message, bytes, sent),
                Err(_) => assert!(sent.is_dropped(), "{sent:?}"),
            },
            None => is_dropped(sent, DropReason::NotStun),
        }
    }

    fn message(
        &mut self,
        world: &World,
        shard: usize,
        from: FiveTuple,
        message: &Message<'_>,
        bytes: &[u8],
        sent: &Sent,
    ) {
        match (message.class(), message.method()) {
            (Class::Request, Method::BINDING) => {
                self.tally.requests += 1;
                self.stranger(from, sent);
                if let Sent::Reply(..) = sent {
                    assert_eq!(code(sent), Some(0));
                }
            }
            (Class::Indication, Method::BINDING) => {
                self.tally.requests += 1;
                assert_eq!(*sent, Sent::Nothing);
            }
            (Class::Indication, Method::SEND) => {
                self.tally.requests += 1;
                let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS);
                let (Some(Ok(peer)), Some(data)) = (peer, message.get(AttributeType::DATA)) else {
                    return assert!(sent.is_dropped(), "{sent:?}");
                };
                let now = world.now.instant;
                let sender = self.heard_from(from, now);
                let allocation = sender.and_then(|who| self.model.actors[who].live(now));
                let may = allocation.is_some_and(|allocation| allocation.permits(peer.ip(), now));
                let peer = Some(peer).filter(|peer| may && peer.port() != 0);
                self.relayed(world, sender, peer, data, sent);
            }
            (
                Class::Request,
                Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND,
            ) => {
                self.tally.requests += 1;
                self.request(world, shard, from, message, bytes, sent);
            }
            _ => assert!(sent.is_dropped(), "{sent:?}"),
        }
    }

    /// What a client sends to a peer: out of its relay, or to another relay of this
    /// server, by a ring where that one is another shard's.
    fn relayed(
        &mut self,
        world: &World,
        sender: Option<usize>,
        peer: Option<SocketAddr>,
        payload: &[u8],
        sent: &Sent,
    ) {
        let now = world.now.instant;
        let sender = sender.map(|who| &self.model.actors[who]);
        let relay_of = |peer: SocketAddr| {
            let relayed = sender?.live(now)?.relay(Family::of(peer.ip()), now)?;
            Some((peer, relayed, sender?.client.shard))
        };
        let Some((peer, relayed, shard)) = peer.and_then(relay_of) else {
            return assert!(sent.is_dropped(), "nobody has permitted it: {sent:?}");
        };
        if !is_own(peer.ip()) {
            return self.compare(Fate::ToPeer(relayed, peer), payload, sent);
        }
        let holder = self.holder(peer, now).map(|who| self.model.actors[who].client.shard);
        match sent {
            Sent::ToShard(other) => {
                assert!(holder.is_none_or(|holder| holder == *other), "it is held by shard {holder:?}");
                assert_ne!(*other, shard);
            }
            Sent::Dropped(DropReason::RingFull) => assert!(world.ring_size.is_some()),
            // What nobody has is lost; who has it on this very shard gets it.
            _ => {
                assert!(holder.is_none_or(|holder| holder == shard), "held by shard {holder:?}: {sent:?}");
                let fate = self.inbound(peer, relayed, payload, now);
                self.count_hairpin(sent);
                self.compare(fate, payload, sent);
            }
        }
    }

    /// Whatever has got as far as an allocation of this server.
    fn count_hairpin(&mut self, sent: &Sent) {
        self.tally.hairpins += u64::from(*sent != Sent::Dropped(DropReason::NoSuchRelay));
    }

    /// A packet has come out of a ring.
    pub(crate) fn crossed(&mut self, now: Now, crossing: &Crossing, sent: &Sent) {
        self.count(sent);
        let (to, from) = (crossing.to.socket(), crossing.from.socket());
        self.count_hairpin(sent);
        let fate = self.inbound(to, from, &crossing.payload, now.instant);
        self.compare(fate, &crossing.payload, sent);
    }

    /// A packet of a peer's, and what became of it. The kernel brings nothing in from
    /// this server's own addresses (H-013).
    pub(crate) fn peer(
        &mut self,
        now: Now,
        from: SocketAddr,
        to: SocketAddr,
        payload: &[u8],
        sent: Option<&Sent>,
    ) {
        let fate =
            if is_own(from.ip()) { Fate::Dropped } else { self.inbound(to, from, payload, now.instant) };
        match sent {
            Some(sent) => {
                self.count(sent);
                self.compare(fate, payload, sent);
            }
            None => assert_eq!(fate, Fate::Dropped, "the socket of {to} is closed too early"),
        }
    }

    /// RFC 8656 §11.3, §12.5
    fn inbound(&self, to: SocketAddr, from: SocketAddr, payload: &[u8], now: Instant) -> Fate {
        let Some(who) = self.holder(to, now) else { return Fate::Dropped };
        let Some(allocation) = self.model.actors[who].live(now) else { return Fate::Dropped };
        // Its client's connection may be gone, and the client on its way back.
        let Some(seat) = allocation.seat.filter(|_| allocation.permits(from.ip(), now)) else {
            return Fate::Dropped;
        };
        let heard = match allocation.channel_to(from, now) {
            Some(number) => Heard::Channel(number, payload.to_vec()),
            None => Heard::Data(from, payload.to_vec()),
        };
        Fate::ToClient(seat, heard)
    }

    fn compare(&self, fate: Fate, payload: &[u8], sent: &Sent) {
        match fate {
            Fate::Dropped => assert!(sent.is_dropped(), "nobody has permitted it: {sent:?}"),
            Fate::ToPeer(relayed, peer) => match sent {
                Sent::ToPeer(by, to, bytes) => {
                    assert_eq!((*by, *to, &bytes[..]), (relayed, peer, payload));
                }
                other => panic!("for {peer}: {other:?}"),
            },
            Fate::ToClient(seat, heard) => {
                let there = Client { path: self.paths[seat], ..self.model.actors[seat].client.clone() };
                assert_eq!(sent.heard_by(&there), heard);
            }
        }
    }

    /// Who has this relayed address.
    fn holder(&self, relayed: SocketAddr, now: Instant) -> Option<usize> {
        let who = *self.relays.get(&relayed)?;
        let allocation = self.model.actors[who].live(now)?;
        (allocation.relay(Family::of(relayed.ip()), now) == Some(relayed)).then_some(who)
    }

    /// Data comes from there: whose it is, and he has heard of his new ticket.
    fn heard_from(&mut self, from: FiveTuple, now: Instant) -> Option<usize> {
        let seat = *self.seats.get(&from)?;
        let who = self.at(seat, now)?;
        self.model.actors[who].live_mut(now)?.heard_from(seat);
        Some(who)
    }

    /// RFC 8489 §9.2.4, as far as the order of its checks goes.
    fn login(&self, now: UnixTime, from: FiveTuple, message: &Message<'_>) -> Login {
        if !message.has_sha1() && !message.has_sha256() {
            return Login::Out(&[401]);
        }
        let name = match (message.get(AttributeType::USERNAME), message.get(AttributeType::USERHASH)) {
            (Some(name), None) => NAMES.iter().find(|known| known.as_bytes() == name).copied(),
            (None, Some(hash)) => {
                hash.try_into().ok().and_then(|hash: [u8; 32]| self.hashes.get(&hash).copied())
            }
            _ => None,
        };
        let nonce = message.get(AttributeType::NONCE);
        let modern = message.has(AttributeType::PASSWORD_ALGORITHM);
        let named = message.get(AttributeType::PASSWORD_ALGORITHM)
            == Some(&PasswordAlgorithm::Sha256.value())
            && message.get(AttributeType::PASSWORD_ALGORITHMS) == Some(&PasswordAlgorithm::LIST);
        let plain = !modern && !message.has(AttributeType::PASSWORD_ALGORITHMS);
        let (Some(name), Some(nonce), true) = (name, nonce, named || plain) else {
            return Login::Out(&[400, 401]);
        };
        let key = &self.keys[&(name, modern)];
        let signed = if message.has_sha256() { message.verify_sha256(key) } else { message.verify_sha1(key) };
        if !signed || message.get(AttributeType::REALM) != Some(REALM.as_bytes()) {
            return Login::Out(&[400, 401]);
        }
        let expiry = name.split_once(':').map(|(expiry, _)| expiry.parse::<u64>().unwrap());
        if message.method() == Method::ALLOCATE && expiry.is_some_and(|expiry| now.secs() >= expiry) {
            return Login::Out(&[401]);
        }
        let fresh = self.nonces.get(nonce).is_some_and(|(given_to, at)| {
            *given_to == from && now.millis().abs_diff(at.millis()) < NONCE_LIFE.as_millis() as u64
        });
        if fresh { Login::In(name) } else { Login::Out(&[438]) }
    }

    fn request(
        &mut self,
        world: &World,
        shard: usize,
        from: FiveTuple,
        message: &Message<'_>,
        bytes: &[u8],
        sent: &Sent,
    ) {
        let now = world.now;
        let name = match self.login(now.unix, from, message) {
            Login::In(name) => name,
            Login::Out(codes) => {
                // Who had this nonce once is no stranger.
                if code(sent) != Some(438) {
                    self.stranger(from, sent);
                }
                self.note_nonce(from, now.unix, sent);
                let refused = code(sent).is_some_and(|code| codes.contains(&code));
                let silent = *sent == Sent::Dropped(DropReason::Throttled);
                return assert!(refused || silent, "{codes:?}, but {sent:?}");
            }
        };
        let seat = *self.seats.get(&from).expect("only who is known can log in");
        if message.method() == Method::ALLOCATE {
            let who = self.caller(seat, now.instant);
            return self.allocate(world, shard, seat, who, name, message, bytes, sent);
        }
        if let Some(ticket) = message.get(AttributeType::MOBILITY_TICKET) {
            return self.come(now.instant, seat, name, message, ticket, sent);
        }
        let expected = match self.at(seat, now.instant) {
            None => 437,
            Some(who) if self.model.actors[who].client.name != name => 441,
            Some(who) => match message.method() {
                Method::REFRESH => self.refresh(who, now.instant, message),
                Method::CREATE_PERMISSION => self.permit(who, now.instant, message),
                _ => self.bind(who, now.instant, message),
            },
        };
        assert_eq!(code(sent), Some(expected), "{sent:?}");
    }

    fn refresh(&mut self, who: usize, now: Instant, message: &Message<'_>) -> u16 {
        let lifetime = message.get(AttributeType::LIFETIME).map_or(600, |value| u32_value(value).unwrap());
        let family = message.get(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let family = family.map(|value| Family::from_number(first_of_four(value).unwrap()).unwrap());
        self.model.refresh_of(who, now, lifetime, family)
    }

    /// RFC 8016 §3.2.2: somebody comes with a ticket.
    fn come(
        &mut self,
        now: Instant,
        seat: Seat,
        name: &'static str,
        message: &Message<'_>,
        ticket: &[u8],
        sent: &Sent,
    ) {
        // The same Refresh again has the same answer.
        let is_repeated = |who: &usize| {
            let allocation = self.model.actors[*who].live(now);
            self.moved_by.get(who) == Some(&message.transaction_id())
                && allocation.is_some_and(|allocation| allocation.newest() == Some(seat))
        };
        let again = self.at(seat, now).filter(is_repeated);
        let arrival =
            again.map_or_else(|| self.model.ticket(seat, name, now, ticket), |who| Ok((who, false)));
        let (who, is_new) = match arrival {
            Ok(arrival) => arrival,
            Err(refused) => return assert_eq!(code(sent), Some(refused), "{sent:?}"),
        };
        let expected = self.refresh(who, now, message);
        assert_eq!(code(sent), Some(expected), "{sent:?}");
        let Sent::Reply(_, bytes) = sent else { unreachable!() };
        let answer = Answer { bytes: bytes.clone() };
        let Some(allocation) = self.model.actors[who].live_mut(now).filter(|_| expected == 0) else {
            return assert!(!answer.has(AttributeType::MOBILITY_TICKET));
        };
        if is_new {
            allocation.arrive(now, seat, ticket, answer.ticket());
            self.moved_by.insert(who, message.transaction_id());
            self.moves += 1;
        } else {
            let good = allocation.mobility.as_ref().map(|mobility| mobility.ticket.clone());
            assert_eq!(Some(answer.ticket()), good);
        }
    }

    fn permit(&mut self, who: usize, now: Instant, message: &Message<'_>) -> u16 {
        let attributes = message.attributes().filter(|a| a.kind == AttributeType::XOR_PEER_ADDRESS);
        let peers: Vec<_> =
            attributes.map(|a| address::decode_xor(a.value, message.transaction_id()).unwrap()).collect();
        if let Some(allocation) = self.model.actors[who].live(now) {
            let held = allocation.permissions.values().filter(|expires| now < **expires).count();
            let wanted = peers.iter().filter(|peer| !allocation.permits(peer.ip(), now)).count();
            let allowed = |peer: &SocketAddr| {
                !is_denied(peer.ip()) && allocation.relay(Family::of(peer.ip()), now).is_some()
            };
            if held + wanted > MOST && peers.iter().all(allowed) {
                return 508;
            }
        }
        self.model.permit_of(who, now, &peers)
    }

    fn bind(&mut self, who: usize, now: Instant, message: &Message<'_>) -> u16 {
        let number = channel_number_value(message.get(AttributeType::CHANNEL_NUMBER).unwrap()).unwrap();
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap();
        let Some(allocation) = self.model.actors[who].live(now) else { return 437 };
        let channels = allocation.channels.values().filter(|channel| now < channel.1).count();
        let permissions = allocation.permissions.values().filter(|expires| now < **expires).count();
        let full = allocation.channel(number, now).is_none() && channels >= MOST
            || !allocation.permits(peer.ip(), now) && permissions >= MOST;
        if full {
            let mut copy = allocation.clone();
            copy.channels.retain(|_, (_, expires)| now < *expires);
            let code = self.model.bind_of(who, now, number, peer);
            if let State::Live(allocation) = &mut self.model.actors[who].state {
                *allocation = copy;
            }
            return if code == 0 { 508 } else { code };
        }
        self.model.bind_of(who, now, number, peer)
    }

    #[allow(clippy::too_many_arguments)]
    fn allocate(
        &mut self,
        world: &World,
        shard: usize,
        seat: Seat,
        who: usize,
        name: &'static str,
        message: &Message<'_>,
        bytes: &[u8],
        sent: &Sent,
    ) {
        let now = world.now.instant;
        let actor = &self.model.actors[who];
        let again = actor.allocate.0.get(8..20) == Some(&bytes[8..20]) && actor.client.name == name;
        match &actor.state {
            State::Opening(_) if again => return is_dropped(sent, DropReason::Retransmission),
            State::Live(allocation) if now < allocation.expires() && again => {
                let relays: Vec<_> =
                    Family::BOTH.iter().filter_map(|family| allocation.relay(*family, now)).collect();
                let Sent::Reply(_, bytes) = sent else { panic!("{sent:?}") };
                return assert_eq!(Answer { bytes: bytes.clone() }.relayed(), relays);
            }
            State::Opening(_) => return assert_eq!(code(sent), Some(437)),
            State::Live(allocation) if now < allocation.expires() => {
                return assert_eq!(code(sent), Some(437));
            }
            _ => {}
        }
        // Had it expired, this Allocate has swept it out.
        let [surely, at_most] = self.model.taken(now, user_of(name));
        let in_all = self.model.allocations(now)[1] + self.model.held.len() + self.opening();
        let actor = &mut self.model.actors[who];
        (actor.state, actor.seat) = (State::Nothing, seat);
        // Whoever it was before: it is his now, if it becomes anything.
        actor.client =
            Client { path: self.paths[seat], shard, name: name.to_owned(), ..actor.client.clone() };
        let wish = self.wish(message);
        let cost = if message.has(AttributeType::RESERVATION_TOKEN) { 0 } else { 1 + u32::from(wish.pair) };
        match code(sent) {
            Some(486) => {
                return assert!(self.per_user != 0 && at_most + cost > self.per_user, "{at_most} taken");
            }
            Some(440) => return assert!(!self.has_v6 && wish.families == [Family::V6]),
            Some(300) => return assert!(self.model.draining || self.is_tight(world, &wish, in_all)),
            Some(508) if cost == 0 => {
                // The token was nobody's, another's, or used; or its port can't be had.
                if let Some(held) = wish.held {
                    self.model.held.retain(|other| *other != held);
                }
                return;
            }
            Some(508) => {
                return assert!(self.model.draining || self.is_tight(world, &wish, in_all), "{wish:?}");
            }
            Some(0) | None => {}
            other => panic!("{other:?} to an Allocate"),
        }
        assert!(!self.model.draining, "the server drains");
        assert!(self.per_user == 0 || surely + cost <= self.per_user, "{surely} taken before");
        if cost == 0 {
            let held = wish.held.as_ref().expect("a token that was given");
            assert!(held.name == name, "a token of {}", held.name);
            self.model.held.retain(|other| other != held);
        }
        self.model.actors[who].allocate = (bytes.to_vec(), now, seat);
        match sent {
            Sent::Nothing => {
                let waiting = world.waiting.last().expect("it waits for something");
                let id = (waiting.shard, waiting.relay.allocation);
                self.model.actors[who].state = State::Opening(Opening { id, seat, wish, abandoned: false });
            }
            sent => self.opened(now, who, seat, &wish, sent),
        }
    }

    fn opening(&self) -> usize {
        self.model.actors.iter().filter(|actor| matches!(actor.state, State::Opening(_))).count()
    }

    fn wish(&self, message: &Message<'_>) -> Wish {
        let even = message.get(AttributeType::EVEN_PORT).map(|value| even_port_value(value).unwrap());
        let family = message.get(AttributeType::REQUESTED_ADDRESS_FAMILY);
        let token = message.get(AttributeType::RESERVATION_TOKEN);
        let held = token.and_then(|token| self.model.held.iter().find(|held| held.token == token)).cloned();
        let families = match (family, &held) {
            (_, Some(held)) => vec![Family::of(held.address.ip())],
            (Some(value), _) => vec![Family::from_number(first_of_four(value).unwrap()).unwrap()],
            _ if message.has(AttributeType::ADDITIONAL_ADDRESS_FAMILY) => Family::BOTH.into(),
            _ => vec![Family::V4],
        };
        let lifetime = message.get(AttributeType::LIFETIME).map_or(600, |value| u32_value(value).unwrap());
        let mobile = message.has(AttributeType::MOBILITY_TICKET);
        Wish { families, even: even.is_some(), pair: even == Some(true), held, lifetime, mobile }
    }

    /// Whether a server may say that it has no room.
    fn is_tight(&self, world: &World, wish: &Wish, in_all: usize) -> bool {
        let full = self.in_all != 0 && in_all + 2 > self.in_all as usize;
        let ports = self.model.ports.clone();
        let free = |family: Family, port: u16| {
            let ip = [RELAY_V4, RELAY_V6][family.index()].parse().unwrap();
            ports.contains(&port)
                && world.pool.holder(floe::relay::PeerAddr::new(SocketAddr::new(ip, port))).is_none()
        };
        let one = |family: Family| {
            ports.clone().any(|port| {
                free(family, port) && (!wish.even || port % 2 == 0) && (!wish.pair || free(family, port + 1))
            })
        };
        full || !wish.families.iter().all(|family| one(*family))
    }

    /// With a success, everything that it says has to be true.
    fn opened(&mut self, now: Instant, who: usize, seat: Seat, wish: &Wish, sent: &Sent) {
        let Sent::Reply(_, bytes) = sent else { panic!("no answer but {sent:?}") };
        let answer = Answer { bytes: bytes.clone() };
        self.model.actors[who].state = State::Nothing;
        if answer.code() != 0 {
            return assert!([300, 508].contains(&answer.code()), "{}", answer.code());
        }
        let lifetime = wish.lifetime.clamp(600, 3600);
        assert_eq!(answer.lifetime(), lifetime);
        let expires = now + Duration::from_secs(lifetime.into());
        let mut allocation = Allocation { seat: Some(seat), ..Allocation::default() };
        assert_eq!(answer.has(AttributeType::MOBILITY_TICKET), wish.mobile);
        allocation.mobility = wish.mobile.then(|| Mobility {
            ticket: answer.ticket(),
            used: None,
            next: None,
            unconfirmed: false,
        });
        self.moved_by.remove(&who);
        let relayed = answer.relayed();
        assert!(!relayed.is_empty() && relayed.len() <= wish.families.len());
        for relayed in relayed {
            let family = Family::of(relayed.ip());
            assert!(wish.families.contains(&family) && is_own(relayed.ip()));
            assert!(self.model.ports.contains(&relayed.port()));
            assert!(!wish.even || relayed.port() % 2 == 0);
            assert!(wish.held.as_ref().is_none_or(|held| held.address == relayed));
            assert_eq!(self.holder(relayed, now), None, "{relayed} is somebody else's");
            assert!(self.model.held.iter().all(|held| held.address != relayed || held.expires <= now));
            assert!(allocation.relays[family.index()].replace((relayed, expires)).is_none());
            self.relays.insert(relayed, who);
            self.given.push((self.model.actors[who].client.path.five_tuple, relayed));
        }
        assert_eq!(wish.pair, answer.token().is_some());
        if let Some(token) = answer.token() {
            let mut address = answer.relayed()[0];
            address.set_port(address.port() + 1);
            let name = self.model.actors[who].client.name.clone();
            self.model.held.push(Held { token, address, name, expires: now + HOLD });
        }
        self.model.actors[who].state = State::Live(allocation);
    }

    /// A bind has come out, and perhaps an Allocate with it.
    pub(crate) fn finished(&mut self, world: &World, waiting: Waiting, outcome: Outcome, sent: &Sent) {
        self.count(sent);
        let id = (waiting.shard, waiting.relay.allocation);
        let is_his = |actor: &Actor| matches!(&actor.state, State::Opening(opening) if opening.id == id);
        let who = self.model.actors.iter().position(is_his).expect("somebody waits for it");
        let State::Opening(opening) = self.model.actors[who].state.clone() else { unreachable!() };
        let goes_on = world.waiting.iter().any(|w| (w.shard, w.relay.allocation) == id);
        match sent {
            Sent::Nothing if opening.abandoned => {
                assert!(!goes_on, "nobody wants it any more");
                self.model.actors[who].state = State::Nothing;
            }
            Sent::Nothing => assert!(goes_on, "an Allocate is answered at last"),
            sent => {
                assert!(!opening.abandoned && !goes_on);
                assert_eq!(reply_to(sent), Some(self.paths[opening.seat].five_tuple));
                assert!(code(sent) == Some(0) || outcome != Outcome::Bound, "{sent:?}");
                self.opened(world.now.instant, who, opening.seat, &opening.wish, sent);
            }
        }
    }

    pub(crate) fn gone(&mut self, five_tuple: FiveTuple, now: Instant) {
        if let Some(seat) = self.seats.get(&five_tuple) {
            self.model.gone(*seat, now);
        }
    }

    /// An answer to somebody unknown: as short as can be, and few.
    fn stranger(&mut self, from: FiveTuple, sent: &Sent) {
        let Sent::Reply(_, bytes) = sent else {
            return is_dropped(sent, DropReason::Throttled);
        };
        if from.transport.is_stream() {
            return;
        }
        assert!(bytes.len() <= LONGEST_CHALLENGE, "{} bytes for a stranger", bytes.len());
        let (count, length) = self.strangers.entry(from.client.ip()).or_default();
        *count += 1;
        *length += bytes.len() as u64;
    }

    fn note_nonce(&mut self, to: FiveTuple, at: UnixTime, sent: &Sent) {
        if let Sent::Reply(_, bytes) = sent
            && let Some(nonce) = (Answer { bytes: bytes.clone() }).get(AttributeType::NONCE)
        {
            self.nonces.insert(nonce, (to, at));
        }
    }

    fn count(&mut self, sent: &Sent) {
        let tally = &mut self.tally;
        match sent {
            Sent::Nothing => {}
            Sent::Reply(..) => tally.replies += 1,
            Sent::ToClient(..) => tally.down += 1,
            Sent::ToPeer(..) => tally.up += 1,
            Sent::ToShard(_) => tally.crossed += 1,
            Sent::Dropped(reason) => *tally.drops.entry(*reason).or_default() += 1,
        }
    }

    /// Every bound and every gauge.
    pub(crate) fn check(&mut self, world: &World) {
        let now = world.now.instant;
        let model = &self.model;
        between(world.live(), model.allocations(now), "allocations");
        for user in ["alice", "bob", "carol", "erin"] {
            between(world.quota.of(user), model.taken(now, user), "quota");
            assert!(self.per_user == 0 || world.quota.of(user) <= self.per_user);
        }
        let bound = world.sockets.len() + world.waiting.len();
        let [surely, at_most] = model.ports_aside(now);
        between(world.ports_used(), [bound + surely, bound + at_most], "ports");
        between(world.permissions(), model.permissions(now), "permissions");
        between(world.channels(), model.channels(now), "channels");
        let gauges = world.counters.iter().flat_map(|c| &c.allocations).map(|gauge| gauge.get());
        assert_eq!(gauges.sum::<u64>(), world.live() as u64);
        self.check_counters(world);
    }

    /// Every packet that went in is in exactly one of the server's counters.
    fn check_counters(&self, world: &World) {
        let sum = |of: fn(&floe::relay::counters::Counters) -> u64| {
            world.counters.iter().map(|c| of(c)).sum::<u64>()
        };
        let tally = &self.tally;
        for reason in DropReason::ALL {
            let counted: u64 = world.counters.iter().map(|c| c.drops[reason.index()].get()).sum();
            assert_eq!(counted, tally.drops.get(reason).copied().unwrap_or(0), "{reason:?}");
        }
        let successes = sum(|c| c.successes.iter().map(|count| count.get()).sum());
        let errors = sum(|c| c.errors.iter().flatten().map(|count| count.get()).sum());
        assert_eq!(successes + errors, tally.replies, "answers");
        assert_eq!(sum(|c| c.hairpin.packets.get()), tally.hairpins, "hairpins");
        let requests = sum(|c| c.requests.iter().map(|count| count.get()).sum());
        assert_eq!(requests, tally.requests, "requests");
    }
}

fn is_dropped(sent: &Sent, reason: DropReason) {
    assert_eq!(*sent, Sent::Dropped(reason));
}

fn reply_to(sent: &Sent) -> Option<FiveTuple> {
    match sent {
        Sent::Reply(to, _) => Some(*to),
        _ => None,
    }
}

fn code(sent: &Sent) -> Option<u16> {
    match sent {
        Sent::Reply(_, bytes) => Some(Answer { bytes: bytes.clone() }.code()),
        _ => None,
    }
}

fn between<T: PartialOrd + std::fmt::Debug>(is: T, [surely, at_most]: [T; 2], what: &str) {
    assert!(surely <= is && is <= at_most, "{what}: {is:?} is not from {surely:?} to {at_most:?}");
}
