//! Stands beside the server and knows the rules: what RFC 8656 makes of each packet
//! that goes in, by the engine's own [`model`](crate::model), is what has to come out.
//! Where the model leaves a choice (which port, whether one is free), what came out
//! has to be true.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use floe::relay::{ClientPath, DropReason, Family, FiveTuple, Instant, Now};
use floe::wire::attribute::{channel_number_value, first_of_four, u32_value};
use floe::wire::{
    AttributeType, Class, Message, Method, PacketKind, TransactionId, address, channel_data, packet_kind,
};
use foldhash::{HashMap, HashMapExt as _};

use crate::client::{Answer, Client, Heard};
use crate::doorkeeper::{Doorkeeper, Login};
use crate::model::{Actor, Model, Seat, State, is_denied, is_own};
use crate::tally::Tally;
use crate::world::{Crossing, Sent, Setup, World};

mod allocates;

/// Permissions and channels of one allocation, each.
const MOST: usize = 1024;
/// Longest answer to somebody unknown over UDP (H-017): a challenge in this realm.
const LONGEST_CHALLENGE: usize = 104;

pub(crate) struct Referee {
    pub(crate) model: Model,
    pub(crate) tally: Tally,
    /// Answers to strangers by who was asked to hear them, and their bytes.
    pub(crate) strangers: BTreeMap<std::net::IpAddr, (u64, u64)>,
    /// Relayed addresses that were given since somebody last looked, and to whom.
    pub(crate) given: Vec<(FiveTuple, SocketAddr)>,
    /// Clients that have come back by a ticket.
    pub(crate) moves: u64,
    /// Who has come with another's token, in vain.
    pub(crate) thefts: u64,
    /// Where somebody may speak from who can log in; an actor of the model is an
    /// allocation, or had one, and may come from one place to another.
    seats: HashMap<FiveTuple, Seat>,
    paths: Vec<ClientPath>,
    /// The Refresh that has moved an actor last.
    moved_by: HashMap<usize, TransactionId>,
    relays: HashMap<SocketAddr, usize>,
    pub(crate) doorkeeper: Doorkeeper,
    per_user: u32,
    in_all: u32,
    has_v6: bool,
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
            thefts: 0,
            seats: HashMap::new(),
            paths: Vec::new(),
            moved_by: HashMap::new(),
            relays: HashMap::new(),
            doorkeeper: Doorkeeper::new(),
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

    /// Who an Allocate from there is of, which this shard reads: who has something there, be it past its time,
    /// or else somebody who has nothing.
    fn caller(&mut self, seat: Seat, shard: usize, now: Instant) -> usize {
        let is_there =
            |actor: &Actor| matches!(&actor.state, State::Live(allocation) if allocation.is_at(seat));
        let live = self.model.opener(seat, shard).or_else(|| self.at(seat, now));
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
        let shard = world.reader(shard, from);
        self.tally.count(sent);
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
        self.tally.count(sent);
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
                self.tally.count(sent);
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
        let name = match self.doorkeeper.login(now.unix, from, message) {
            Login::In(name) => name,
            Login::Out(codes) => {
                // Who had this nonce once is no stranger.
                if code(sent) != Some(438) {
                    self.stranger(from, sent);
                }
                self.doorkeeper.note_nonce(from, now.unix, sent);
                let refused = code(sent).is_some_and(|code| codes.contains(&code));
                let silent = *sent == Sent::Dropped(DropReason::Throttled);
                return assert!(refused || silent, "{codes:?}, but {sent:?}");
            }
        };
        let seat = *self.seats.get(&from).expect("only who is known can log in");
        if message.method() == Method::ALLOCATE {
            let who = self.caller(seat, shard, now.instant);
            return self.allocate(world, shard, seat, who, name, message, bytes, sent);
        }
        if let Some(ticket) = message.get(AttributeType::MOBILITY_TICKET) {
            return self.come(now.instant, (seat, shard), name, message, ticket, sent);
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
        (seat, shard): (Seat, usize),
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
            again.map_or_else(|| self.model.ticket(seat, shard, name, now, ticket), |who| Ok((who, false)));
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
            let new = peers.iter().map(SocketAddr::ip).filter(|peer| !allocation.permits(*peer, now));
            let wanted = new.collect::<HashSet<_>>().len();
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

    pub(crate) fn gone(&mut self, five_tuple: FiveTuple, shard: usize, now: Instant) {
        if let Some(seat) = self.seats.get(&five_tuple) {
            self.model.gone(*seat, shard, now);
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
        self.tally.check(world);
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
