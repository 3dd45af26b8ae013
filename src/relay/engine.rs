//! The engine of one shard: what it is made of, and which part of it a packet or
//! an event goes to.

use std::sync::Arc;

use arrayvec::ArrayVec;
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::access::Access;
use super::address::{Family, FiveTuple, Transport};
use super::allocate::DEFAULT_LIFETIME;
use super::alternate::AlternateServer;
use super::authenticate::{Authenticator, Refusal};
use super::bandwidth::Credit;
use super::binding::NatDiscovery;
use super::counters::{CLOSE_REASONS, Counters};
use super::elsewhere::Elsewhere;
use super::ports::RelayPool;
use super::reply::{self, Asked, drop_counted};
use super::reservation::Token;
use super::route::{
    AllocationId, ClientPath, CloseReason, DropReason, Effect, Output, RelayId, Route, ShardId,
};
use super::table::{Entry, Table};
use super::tcp_relay::ConnectionId;
use super::tcp_requests;
use super::ticket::Tickets;
use super::time::{Instant, Now};
use super::timers::Timers;
use super::world::{Bandwidth, PeerPolicy, Quota, Random, Throttle, Users};
use crate::wire::classic::ClassicRequest;
use crate::wire::{AttributeType, Class, ErrorCode, Message, Method, PacketKind, ParseError, packet_kind};

/// Plain values that fix how an engine behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// REALM of every challenge; 1 to 127 characters, no `"` or `\`.
    pub realm: String,
    /// Longest allocation lifetime, seconds; less than 600 counts as 600.
    pub max_lifetime: u32,
    /// Channel numbers up to 0x7FFF (RFC 5766) instead of 0x4FFF.
    pub legacy_channels: bool,
    /// A live channel keeps its permission, beyond the 300 s of RFC 8656 §12.2: aioice
    /// renews its channel alone, every 500 s, as coturn lets it.
    pub compat_permission_lifetime: bool,
    /// Expired time-limited credentials may not refresh either.
    pub strict_expiry: bool,
    /// Most relayed payload of one allocation, both directions together, bits per
    /// second; 0 is no limit.
    pub bits_per_second_per_allocation: u64,
    /// Where a server that drains or is full sends clients.
    pub alternate_servers: Vec<AlternateServer>,
    /// Requests of RFC 3489 are answered.
    pub classic: bool,
    /// Where requests of RFC 5780 are answered, one of each family at most.
    pub nat_discovery: Vec<NatDiscovery>,
    /// Nonce keys: the first signs, all are accepted; at least one.
    pub nonce_keys: Vec<[u8; 32]>,
    /// Key of mobility tickets (RFC 8016); without one mobility is forbidden.
    pub ticket_key: Option<[u8; 32]>,
    /// TCP allocations (RFC 6062).
    pub tcp_relay: bool,
    /// Data connections of one user, over all its TCP allocations; 0 is no limit.
    pub data_connections_per_user: u32,
    /// Shards of this server: a CONNECTION-ID may name each of them.
    pub shards: u8,
}

/// What an engine is given of the world.
pub struct World {
    /// Who may allocate.
    pub users: Arc<dyn Users>,
    /// Where they may relay to.
    pub peers: Arc<dyn PeerPolicy>,
    /// How many allocations.
    pub quota: Arc<dyn Quota>,
    /// How much relayed payload, both directions together; `None` is no limit.
    pub bandwidth: Option<Arc<dyn Bandwidth>>,
    /// How many unauthenticated answers.
    pub throttle: Arc<dyn Throttle>,
    /// Unpredictable bytes.
    pub random: Box<dyn Random>,
    /// Relay addresses and ports, shared by all shards.
    pub pool: Arc<RelayPool>,
    /// Where this engine counts.
    pub counters: Arc<Counters>,
}

/// So that many allocations that end together hold nobody else up for long.
const EXPIRED_AT_ONCE: usize = 1024;

/// Longest request that is verified, bytes: one for hundreds of permissions fits,
/// and a stranger can't have 64 KB hashed for each of the secrets.
const MAX_REQUEST: usize = 8 * 1024;

/// What a timer is for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Timer {
    Allocation(AllocationId),
    Reservation(Token),
    Connection(ConnectionId),
    Elsewhere,
}

/// The engine: one per shard.
pub struct Engine {
    pub(super) shard: ShardId,
    pub(super) settings: Settings,
    pub(super) world: World,
    pub(super) authenticator: Authenticator,
    pub(super) table: Table,
    pub(super) timers: Timers<Timer>,
    pub(super) hash: FixedState,
    pub(super) draining: bool,
    pub(super) credit: Credit,
    pub(super) tickets: Tickets,
    pub(super) elsewhere: Elsewhere,
    /// How many clients were sent to another server.
    pub(super) sent_elsewhere: usize,
    /// Every data connection, and whose it is.
    pub(super) connections: HashMap<ConnectionId, AllocationId, FixedState>,
}

impl Engine {
    /// An engine with no allocations.
    pub fn new(shard: ShardId, mut settings: Settings, mut world: World) -> Self {
        settings.max_lifetime = settings.max_lifetime.max(DEFAULT_LIFETIME);
        let mut seed = [0; 8];
        world.random.fill(&mut seed);
        let hash = FixedState::with_seed(u64::from_le_bytes(seed));
        let authenticator = Authenticator::new(
            Arc::clone(&world.users),
            Arc::clone(&world.throttle),
            &settings.nonce_keys,
            &settings.realm,
            settings.strict_expiry,
        );
        Self {
            shard,
            tickets: Tickets::new(settings.ticket_key.as_ref()),
            elsewhere: Elsewhere::new(hash.clone()),
            settings,
            world,
            authenticator,
            table: Table::new(hash.clone()),
            timers: Timers::new(),
            connections: HashMap::with_hasher(hash.clone()),
            hash,
            draining: false,
            credit: Credit::default(),
            sent_elsewhere: 0,
        }
    }

    /// A datagram, or one frame of a stream, from a client. A frame may carry its
    /// ChannelData padding or not.
    pub fn client_datagram(&mut self, now: Now, from: ClientPath, packet: &[u8], out: &mut Output) -> Route {
        match packet_kind(packet) {
            Some(PacketKind::ChannelData) => self.channel_data(now.instant, from, packet, out),
            Some(PacketKind::Stun) => match Message::parse(packet) {
                Ok(message) => self.message(now, from, &message, out),
                Err(ParseError::Malformed) => match ClassicRequest::parse(packet) {
                    Some(request) if from.five_tuple.transport == Transport::Dtls => {
                        self.classic_over_dtls(from, &request, out)
                    }
                    Some(request) if self.settings.classic && from.five_tuple.transport == Transport::Udp => {
                        self.classic_binding(now, from, &request, out)
                    }
                    _ => self.drop_packet(DropReason::Malformed),
                },
                Err(ParseError::BadFingerprint) => self.drop_packet(DropReason::BadFingerprint),
            },
            None => self.drop_packet(DropReason::NotStun),
        }
    }

    fn message(&mut self, now: Now, from: ClientPath, message: &Message<'_>, out: &mut Output) -> Route {
        match (message.class(), message.method()) {
            (Class::Request, Method::BINDING) => self.binding(now, Asked::new(from, message), message, out),
            (Class::Request, Method::CONNECT | Method::CONNECTION_BIND) if !self.settings.tcp_relay => {
                self.drop_packet(DropReason::Unsupported)
            }
            (
                Class::Request,
                Method::ALLOCATE
                | Method::REFRESH
                | Method::CREATE_PERMISSION
                | Method::CHANNEL_BIND
                | Method::CONNECT
                | Method::CONNECTION_BIND,
            ) => self.turn_request(now, Asked::new(from, message), message, out),
            (Class::Indication, Method::SEND) => self.send_indication(now.instant, from, message, out),
            // A keep-alive: RFC 8489 §6.3.2 wants no answer, whatever it carries.
            (Class::Indication, Method::BINDING) => {
                self.world.counters.request(Method::BINDING);
                Route::Nothing
            }
            (Class::Success | Class::Error, _) => self.drop_packet(DropReason::UnexpectedResponse),
            _ => self.drop_packet(DropReason::Unsupported),
        }
    }

    /// A TURN request, here or at the shard that it is for.
    fn turn_request(&mut self, now: Now, asked: Asked, message: &Message<'_>, out: &mut Output) -> Route {
        if message.length() > MAX_REQUEST {
            return self.drop_packet(DropReason::TooLarge);
        }
        self.bury(now.instant, asked.by.five_tuple, out);
        if let Some(shard) = self.elsewhere.owner(now.instant, asked.by) {
            return self.to_owner(shard, asked.by);
        }
        if let Some(shard) = self.ticket_elsewhere(asked, message) {
            return self.pass_on_ticket(now, asked, message, shard, out);
        }
        if let Some(shard) = self.connection_elsewhere(asked, message) {
            return self.pass_on_connection(now, asked, message, shard, out);
        }
        self.request(now, asked, message, out)
    }

    /// A TURN request to this shard: authentication first, then unknown attributes, then the
    /// method's own rules (RFC 8489 §6.3, §9.2.4).
    fn request(&mut self, now: Now, asked: Asked, message: &Message<'_>, out: &mut Output) -> Route {
        let checked = match asked.method {
            Method::CONNECTION_BIND => self.check_connection_bind(now, asked, message),
            _ => {
                let held = self.access_of_client(now.instant, asked.by);
                self.authenticator.check(now, asked.by.five_tuple, message, held)
            }
        };
        let identity = match checked {
            Ok(identity) => identity,
            Err(refusal) => return self.refuse(now, asked, &refusal, out),
        };
        let counters = Arc::clone(&self.world.counters);
        counters.request(asked.method);
        if self.settings.tcp_relay && tcp_requests::is_contradiction(asked, message) {
            return reply::error(asked, ErrorCode::BAD_REQUEST, &identity.signer, &counters, out, |_| {});
        }
        let also: &[_] = if self.authenticator.takes_tokens() { &[AttributeType::ACCESS_TOKEN] } else { &[] };
        let unknown = unknown_attributes(message, also);
        if !unknown.is_empty() {
            let code = ErrorCode::UNKNOWN_ATTRIBUTE;
            return reply::error(asked, code, &identity.signer, &counters, out, |reply| {
                reply.put_unknown_attributes(&unknown);
            });
        }
        let answer = match asked.method {
            Method::ALLOCATE => self.allocate(now, asked, &identity, message, out),
            Method::REFRESH => self.refresh(now, asked, &identity, message, out),
            Method::CREATE_PERMISSION => self.create_permission(now, asked, &identity, message, out),
            Method::CONNECT => self.connect(now, asked, &identity, message, out),
            Method::CONNECTION_BIND => self.connection_bind(now, asked, &identity, message, out),
            _ => self.channel_bind(now, asked, &identity, message, out),
        };
        answer.unwrap_or_else(|code| reply::error(asked, code, &identity.signer, &counters, out, |_| {}))
    }

    /// The access that this client's allocation was made by, if it was by an
    /// access token.
    fn access_of_client(&mut self, now: Instant, client: ClientPath) -> Option<Arc<Access>> {
        if !self.authenticator.takes_tokens() {
            return None;
        }
        self.table.find_live(client.five_tuple, now)?.1.access.clone()
    }

    /// Answers a request that is not let in.
    pub(super) fn refuse(&self, now: Now, asked: Asked, refusal: &Refusal, out: &mut Output) -> Route {
        let World { counters, throttle, .. } = &self.world;
        counters.request(asked.method);
        if let Refusal::Login { username, fault, answer } = refusal {
            counters.failed_logins.add(1);
            if *answer {
                let client = asked.by.five_tuple;
                out.effects.push(Effect::LoginFailed {
                    client,
                    username: Arc::clone(username),
                    fault: *fault,
                });
            }
        }
        reply::refusal(now, asked, refusal, &self.authenticator, &**throttle, counters, out)
    }

    /// A client's connection is gone: its allocation ends, unless it has a ticket to
    /// come back by (RFC 8016), or another 5-tuple. One that the same client has
    /// made by a new connection meanwhile stays.
    pub fn client_gone(&mut self, now: Now, path: ClientPath, out: &mut Output) {
        match self.table.find(path.five_tuple) {
            Some((id, Entry::Live(_))) => self.path_gone(now.instant, path, id, out),
            Some((id, Entry::Opening(opening))) if opening.asked.by.link == path.link => self.abandon(id),
            Some(_) => {}
            None => {
                let shard = self.forget_owner(path.five_tuple);
                out.effects.extend(shard.map(|shard| Effect::GoneFrom { client: path, shard }));
            }
        }
    }

    /// When [`Engine::expire`] has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.timers.next_timeout()
    }

    /// Ends what has had its time, 1,024 things at most: when there is more,
    /// [`Engine::next_timeout`] lies in the past.
    pub fn expire(&mut self, now: Now, out: &mut Output) {
        for _ in 0..EXPIRED_AT_ONCE {
            let Some(timer) = self.timers.pop(now.instant) else { break };
            match timer {
                Timer::Allocation(id) => self.look_at(now.instant, id, out),
                Timer::Reservation(token) => self.end_reservation(token),
                Timer::Connection(id) => self.connection_timeout(id, out),
                Timer::Elsewhere => self.sweep_elsewhere(now.instant, out),
            }
        }
    }

    /// From now on a new Allocate gets 300, or 508 without another server, and
    /// Refresh at most 600 s; what is live goes on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Ends every allocation and lets go of every port held here. An Allocate that
    /// still waits for its sockets ends with its next [`Engine::complete`].
    pub fn close_all(&mut self, now: Now, out: &mut Output) {
        for id in self.table.ids() {
            if self.table.live_mut(id).is_some() {
                self.close(now.instant, id, CloseReason::Shutdown, out);
            } else {
                self.abandon(id);
            }
        }
        for token in self.world.pool.reservations().of(self.shard) {
            self.end_reservation(token);
        }
    }

    /// Live allocations.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No allocation is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// An allocation's timer has fired: sweep it, and end it or set the timer anew.
    fn look_at(&mut self, now: Instant, id: AllocationId, out: &mut Output) {
        let Some(allocation) = self.table.live_mut(id) else { return };
        if !allocation.is_live(now) {
            // The timer is spent; `close` cancels a number that nobody holds.
            return self.close(now, id, CloseReason::Expired, out);
        }
        allocation.sweep(now, &self.world.counters);
        let ended: ArrayVec<_, 2> =
            allocation.relays.iter().flatten().filter(|relay| relay.expires <= now).copied().collect();
        for relay in ended {
            self.close_relay(now, id, relay.address.family(), out);
        }
        if let Some(allocation) = self.table.live_mut(id) {
            allocation.timer_at = allocation.next_look(now);
            allocation.timer = self.timers.insert(allocation.timer_at, Timer::Allocation(id));
        }
    }

    /// Sees to it that an allocation is looked at no later than `at`.
    pub(super) fn look_by(&mut self, id: AllocationId, at: Instant) {
        if let Some(allocation) = self.table.live_mut(id)
            && at < allocation.timer_at
        {
            self.timers.cancel(allocation.timer);
            allocation.timer_at = at;
            allocation.timer = self.timers.insert(at, Timer::Allocation(id));
        }
    }

    /// Ends the allocation of this 5-tuple when it has had its time and its timer has
    /// yet to fire: the 5-tuple is free.
    pub(super) fn bury(&mut self, now: Instant, five_tuple: FiveTuple, out: &mut Output) {
        if let Some((id, Entry::Live(allocation))) = self.table.find(five_tuple)
            && !allocation.is_live(now)
        {
            self.close(now, id, CloseReason::Expired, out);
        }
    }

    /// Ends an allocation and gives everything back that it held.
    pub(super) fn close(&mut self, now: Instant, id: AllocationId, reason: CloseReason, out: &mut Output) {
        let Some(Entry::Live(mut allocation)) = self.table.remove(id) else { return };
        let is_told = |path: &ClientPath| path.via.is_some() || *path != allocation.path;
        out.effects.extend(allocation.paths().filter(is_told).map(Effect::Departed));
        self.timers.cancel(allocation.timer);
        self.close_connections(&mut allocation, out);
        for relay in allocation.relays.iter().flatten() {
            let family = relay.address.family();
            out.effects.push(Effect::CloseRelay { relay: RelayId { allocation: id, family } });
            self.world.pool.release(relay.claim);
        }
        self.world.quota.release(&allocation.user);
        let counters = &self.world.counters;
        counters.permissions.sub(allocation.permissions.len() as u64);
        counters.channels.sub(allocation.channels.len() as u64);
        counters.allocations[allocation.path.five_tuple.transport.index()].sub(1);
        if let Some(at) = CLOSE_REASONS.iter().position(|r| *r == reason) {
            counters.closed[at].add(1);
        }
        out.effects.push(Effect::Closed(Arc::new(allocation.summary(id, now)), reason));
    }

    /// Ends one relay of a dual allocation; the other goes on.
    pub(super) fn close_relay(&mut self, now: Instant, id: AllocationId, family: Family, out: &mut Output) {
        let Some(allocation) = self.table.live_mut(id) else { return };
        let Some(relay) = allocation.relays[family.index()].take() else { return };
        allocation.sweep(now, &self.world.counters);
        self.close_connections_of(id, family, out);
        self.table.forget_relay(relay.address);
        out.effects.push(Effect::CloseRelay { relay: RelayId { allocation: id, family } });
        self.world.pool.release(relay.claim);
    }

    pub(super) fn drop_packet(&self, reason: DropReason) -> Route {
        drop_counted(reason, &self.world.counters)
    }
}

/// Most unknown attributes that a 420 lists; a longer list is cut.
const MAX_UNKNOWN: usize = 32;

/// Types that have to be understood and are not, each once. `also` are understood for
/// once.
pub(super) fn unknown_attributes(
    message: &Message<'_>,
    also: &[AttributeType],
) -> ArrayVec<AttributeType, MAX_UNKNOWN> {
    let mut list = ArrayVec::new();
    for attribute in message.attributes() {
        if list.is_full() {
            break;
        }
        let known = also.contains(&attribute.kind) || list.contains(&attribute.kind);
        if must_be_refused(attribute.kind) && !known {
            list.push(attribute.kind);
        }
    }
    list
}

/// Whether a message that carries this attribute can't be served.
pub(super) fn must_be_refused(kind: AttributeType) -> bool {
    kind.is_comprehension_required() && !UNDERSTOOD.contains(&kind)
}

/// Comprehension-required attributes that this server knows, expected or not.
const UNDERSTOOD: [AttributeType; 21] = [
    AttributeType::MAPPED_ADDRESS,
    AttributeType::USERNAME,
    AttributeType::MESSAGE_INTEGRITY,
    AttributeType::ERROR_CODE,
    AttributeType::UNKNOWN_ATTRIBUTES,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::DATA,
    AttributeType::REALM,
    AttributeType::NONCE,
    AttributeType::XOR_RELAYED_ADDRESS,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::DONT_FRAGMENT,
    AttributeType::PASSWORD_ALGORITHM,
    AttributeType::USERHASH,
    AttributeType::XOR_MAPPED_ADDRESS,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::CONNECTION_ID,
];
