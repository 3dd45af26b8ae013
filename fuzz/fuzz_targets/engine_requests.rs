//! Requests with any attributes, by clients who can log in: behind the door, too,
//! every value is read with care. What is answered is well-formed and signed, what
//! is relayed was permitted, and nothing is left in the end.
//!
//! The first byte of the input chooses the world. Then come steps: one byte says of
//! which kind, the next how long the rest of it is.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(fuzzing)]
#[path = "../../tests/engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[cfg(fuzzing)]
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use floe::relay::{Effect, Icmp, Outcome};
use floe::wire::{AttributeType, Class, Message, Method, channel_data};

use crate::client::{Answer, Client, MODERN, Request};
use crate::world::{LOCAL_V4, RELAY_V4, RELAY_V6, Sent, Setup, World, addr};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

const METHODS: [Method; 8] = [
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::CONNECT,
    Method::CONNECTION_BIND,
    Method::BINDING,
    Method::SEND,
];

/// What a request may carry, and some that it may not.
const ATTRIBUTES: [AttributeType; 16] = [
    AttributeType::REQUESTED_TRANSPORT,
    AttributeType::XOR_PEER_ADDRESS,
    AttributeType::CHANNEL_NUMBER,
    AttributeType::LIFETIME,
    AttributeType::DATA,
    AttributeType::REQUESTED_ADDRESS_FAMILY,
    AttributeType::ADDITIONAL_ADDRESS_FAMILY,
    AttributeType::EVEN_PORT,
    AttributeType::RESERVATION_TOKEN,
    AttributeType::DONT_FRAGMENT,
    AttributeType::CONNECTION_ID,
    AttributeType::CHANGE_REQUEST,
    AttributeType::PADDING,
    AttributeType::RESPONSE_PORT,
    AttributeType::USERNAME,
    AttributeType(0x7777),
];

const PEERS: [&str; 6] = [
    "203.0.113.1:9",
    "203.0.113.2:10",
    "[2001:db8:9::1]:9",
    "10.0.0.1:9",
    "198.51.100.1:50000",
    "[2001:db8::1]:50000",
];

pub(crate) fn check(data: &[u8]) {
    let [flags, rest @ ..] = data else { return };
    let mut stage = Stage::new(*flags);
    let mut rest = rest;
    for _ in 0..200 {
        let [kind, length, tail @ ..] = rest else { break };
        let (body, next) = tail.split_at(tail.len().min(usize::from(*length)));
        stage.step(*kind, body);
        rest = next;
    }
    stage.world.close_all();
    stage.world.assert_empty_for_good();
    let open: u64 = stage.world.counters.iter().map(|counters| counters.data_connections.get()).sum();
    assert_eq!(open, 0, "data connections");
}

struct Stage {
    world: World,
    clients: Vec<Client>,
    /// IP addresses that a client was ever granted a permission for.
    granted: HashSet<(usize, IpAddr)>,
}

impl Stage {
    fn new(flags: u8) -> Self {
        let mut setup = Setup { shards: 1 + (flags & 1), ports: 50_000..=50_015, ..Setup::default() };
        setup.settings.tcp_relay = flags & 2 != 0;
        setup.settings.compat_permission_lifetime = flags & 4 != 0;
        setup.settings.legacy_channels = flags & 8 != 0;
        setup.settings.classic = flags & 16 != 0;
        let shards = usize::from(setup.shards);
        let mut world = World::with(setup);
        let clients = [
            Client::alice(),
            Client::bob().over_tcp().signing(MODERN),
            Client::new("carol", "[2001:db8:7::2]:4000"),
            Client::new("alice", "192.0.2.1:4001").over_tcp(),
        ];
        let greet = |(n, client): (usize, Client)| {
            let mut client = client.on_shard(n % shards);
            client.greet(&mut world);
            client
        };
        let clients = clients.into_iter().enumerate().map(greet).collect();
        Self { world, clients, granted: HashSet::new() }
    }

    fn step(&mut self, kind: u8, body: &[u8]) {
        let who = usize::from(kind >> 6);
        match kind % 16 {
            0..=7 => self.request(who, METHODS[usize::from(kind % 8)], body),
            8 | 9 => self.indication(who, body),
            10 => self.raw(who, body),
            11 => self.peer(who, body),
            12 => self.icmp(who, body),
            13 => self.peer_connects(who, body),
            14 => {
                let Client { shard, path, .. } = self.clients[who];
                self.world.gone(shard, path);
            }
            _ => self
                .world
                .pass(Duration::from_millis(100) * u32::from(body.first().copied().unwrap_or(1)).pow(2)),
        }
        self.carry_out();
    }

    fn request(&mut self, who: usize, method: Method, body: &[u8]) {
        let request = filled(Request::new(method), body);
        let bytes = self.clients[who].sign(&request);
        let sent = self.clients[who].raw(&mut self.world, &bytes);
        self.heard(who, &bytes, sent);
    }

    fn indication(&mut self, who: usize, body: &[u8]) {
        let method = if body.len() % 7 == 6 { Method::BINDING } else { Method::SEND };
        let id = self.clients[who].next_id();
        let bytes = filled(Request::indication(method), body).unsigned(id);
        let sent = self.clients[who].raw(&mut self.world, &bytes);
        assert!(!matches!(sent, Sent::Reply(..)), "an indication is not answered");
        self.heard(who, &bytes, sent);
    }

    /// Bytes as they are, or as ChannelData.
    fn raw(&mut self, who: usize, body: &[u8]) {
        let sent = self.clients[who].raw(&mut self.world, body);
        self.heard(who, body, sent);
    }

    /// What became of something that a client sent.
    fn heard(&mut self, who: usize, asked: &[u8], sent: Sent) {
        match sent {
            Sent::Nothing | Sent::Dropped(_) => {}
            Sent::Reply(_, bytes) if Message::parse(asked).is_ok() => self.answered(who, asked, bytes),
            // RFC 3489
            Sent::Reply(_, bytes) => assert_eq!(bytes[4..20], asked[4..20]),
            Sent::ToPeer(_, peer, payload) => {
                assert!(self.granted.contains(&(who, peer.ip())), "{peer} was never permitted");
                assert!(payload.is_empty() || asked.windows(payload.len()).any(|part| part == payload));
            }
            // A hairpin: both ends permit each other.
            Sent::ToClient(to, bytes) => self.delivered(to, &bytes),
            Sent::ToShard(_) => unreachable!("there are no rings here"),
        }
    }

    fn answered(&mut self, who: usize, asked: &[u8], bytes: Vec<u8>) {
        let (answer, request) = (Answer { bytes }, Message::parse(asked).unwrap());
        assert_eq!(answer.message().transaction_id(), request.transaction_id());
        assert_eq!(answer.message().method(), request.method());
        let code = answer.code();
        assert!(code < 500 || code == 508 || code == 486, "{code}");
        let has_logged_in = !matches!(code, 400 | 401 | 438) && request.method() != Method::BINDING;
        assert!(!has_logged_in || answer.is_signed_for(&self.clients[who]), "{code} is not signed");
        if code == 438 {
            self.clients[who].nonce = answer.get(AttributeType::NONCE).unwrap();
        }
        if code == 0 && matches!(request.method(), Method::CREATE_PERMISSION | Method::CHANNEL_BIND) {
            let peers = request.attributes().filter(|a| a.kind == AttributeType::XOR_PEER_ADDRESS);
            let id = request.transaction_id();
            // A channel has one peer: the first that is named.
            let count = if request.method() == Method::CHANNEL_BIND { 1 } else { usize::MAX };
            let peers = peers.take(count);
            for peer in peers.filter_map(|a| floe::wire::address::decode_xor(a.value, id).ok()) {
                let denied = [addr(PEERS[3]).ip(), LOCAL_V4.parse().unwrap()].contains(&peer.ip());
                assert!(!denied, "{peer} was granted");
                self.granted.insert((who, peer.ip()));
            }
        }
    }

    fn delivered(&self, to: floe::relay::FiveTuple, bytes: &[u8]) {
        let who = self.clients.iter().position(|client| client.path.five_tuple == to).expect("one of ours");
        if bytes[0] >> 6 == 1 {
            assert!(channel_data::parse(bytes).is_ok());
            return;
        }
        let message = Message::parse(bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap();
        assert!(self.granted.contains(&(who, peer.ip())), "{peer} was never permitted");
    }

    /// The relays that there are, as clients know them.
    fn relay(&self, which: u8) -> Option<SocketAddr> {
        let local = *self.world.sockets.values().nth(usize::from(which) % self.world.sockets.len().max(1))?;
        let advertised = if local.is_ipv4() { RELAY_V4 } else { RELAY_V6 };
        Some(SocketAddr::new(advertised.parse().unwrap(), local.port()))
    }

    fn peer(&mut self, who: usize, body: &[u8]) {
        let [from, payload @ ..] = body else { return };
        let Some(to) = self.relay(*from / 8) else { return };
        let from = addr(PEERS[usize::from(*from) % 4]);
        if from.is_ipv4() != to.is_ipv4() {
            return;
        }
        let sent = self.world.peer(from, to, payload).unwrap();
        self.heard(who, &[], sent);
    }

    fn icmp(&mut self, who: usize, body: &[u8]) {
        let [from, kind, code, mtu @ ..] = body else { return };
        let Some(at) = self.relay(*from / 8) else { return };
        let mut peer = addr(PEERS[usize::from(*from) % 4]);
        peer.set_port(if mtu.is_empty() { 0 } else { peer.port() });
        if peer.is_ipv4() != at.is_ipv4() {
            return;
        }
        let mtu = mtu.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let sent = self.world.icmp(peer, at, Icmp { kind: *kind, code: *code, mtu }).unwrap();
        self.heard(who, &[], sent);
    }

    fn peer_connects(&mut self, who: usize, body: &[u8]) {
        let [from, ..] = body else { return };
        let Some(to) = self.relay(*from / 8).filter(|_| who % 2 == 1) else { return };
        let from = addr(PEERS[usize::from(*from) % 4]);
        if from.is_ipv4() == to.is_ipv4() {
            self.world.peer_connects(from, to);
        }
    }

    /// Connections to peers come about, or don't, as their name says.
    fn carry_out(&mut self) {
        while let Some((shard, effect)) = self.world.tcp.pop() {
            match effect {
                Effect::ConnectPeer { id, connection, .. } => {
                    let outcomes = [Outcome::Connected, Outcome::Refused, Outcome::NoAnswer, Outcome::Failed];
                    self.world.connected(shard, id, outcomes[connection.0 as usize % 4]);
                }
                Effect::GiveUpConnect { id, .. } => drop(self.world.connected(shard, id, Outcome::NoAnswer)),
                Effect::ClosePeer { .. } | Effect::Join { .. } | Effect::PassOn { .. } => {}
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Attributes: which, how long, and the value; a peer's address in a form that the
/// fuzzer finds.
fn filled(mut request: Request, body: &[u8]) -> Request {
    let mut rest = body;
    while let [kind, length, tail @ ..] = rest {
        let (value, next) = tail.split_at(tail.len().min(usize::from(*length)));
        let attribute = ATTRIBUTES[usize::from(*kind) % ATTRIBUTES.len()];
        request = match value {
            [peer] if attribute == AttributeType::XOR_PEER_ADDRESS => {
                request.peer(addr(PEERS[usize::from(*peer) % PEERS.len()]))
            }
            value => request.with(attribute, value),
        };
        rest = next;
    }
    request
}
