//! A TURN client that can be told to misbehave: requests are put together
//! attribute by attribute, signed in the way of RFC 5389 or of RFC 8489, and
//! answers are read back.

use std::net::SocketAddr;

use floe::auth::{AccessToken, Algorithm, TokenKey};
use floe::relay::{ClientAddr, ClientPath, FiveTuple, Link, ServerAddr, Transport, UnixTime};
use floe::wire::attribute::error_code_value;
use floe::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};
use floe::wire::{
    AttributeType, Class, Message, MessageWriter, Method, TransactionId, address, channel_data,
};

use super::world::{REALM, SERVER_NAME, SERVER_V4, SERVER_V6, Sent, TOKEN_KEYS, World, addr, password};

/// One request or indication, still unsigned.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    class: Class,
    attributes: Vec<(AttributeType, Value)>,
}

#[derive(Clone)]
enum Value {
    Bytes(Vec<u8>),
    Xor(SocketAddr),
}

impl Request {
    pub(crate) fn new(method: Method) -> Self {
        Self { method, class: Class::Request, attributes: Vec::new() }
    }

    /// With REQUESTED-TRANSPORT: UDP.
    pub(crate) fn allocate() -> Self {
        Self::new(Method::ALLOCATE).with(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0])
    }

    pub(crate) fn refresh() -> Self {
        Self::new(Method::REFRESH)
    }

    pub(crate) fn create_permission(peers: &[SocketAddr]) -> Self {
        peers.iter().fold(Self::new(Method::CREATE_PERMISSION), |request, peer| request.peer(*peer))
    }

    pub(crate) fn channel_bind(number: u16, peer: SocketAddr) -> Self {
        Self::new(Method::CHANNEL_BIND).channel(number).peer(peer)
    }

    pub(crate) fn send(peer: SocketAddr, data: &[u8]) -> Self {
        Self::indication(Method::SEND).peer(peer).with(AttributeType::DATA, data)
    }

    pub(crate) fn indication(method: Method) -> Self {
        Self { class: Class::Indication, ..Self::new(method) }
    }

    pub(crate) fn with(mut self, kind: AttributeType, value: &[u8]) -> Self {
        self.attributes.push((kind, Value::Bytes(value.to_vec())));
        self
    }

    pub(crate) fn without(mut self, kind: AttributeType) -> Self {
        self.attributes.retain(|(k, _)| *k != kind);
        self
    }

    pub(crate) fn lifetime(self, seconds: u32) -> Self {
        self.with(AttributeType::LIFETIME, &seconds.to_be_bytes())
    }

    pub(crate) fn peer(mut self, peer: SocketAddr) -> Self {
        self.attributes.push((AttributeType::XOR_PEER_ADDRESS, Value::Xor(peer)));
        self
    }

    pub(crate) fn channel(self, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        self.with(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0])
    }

    /// REQUESTED-ADDRESS-FAMILY
    pub(crate) fn family(self, number: u8) -> Self {
        self.with(AttributeType::REQUESTED_ADDRESS_FAMILY, &[number, 0, 0, 0])
    }

    /// ADDITIONAL-ADDRESS-FAMILY
    pub(crate) fn additional(self, number: u8) -> Self {
        self.with(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[number, 0, 0, 0])
    }

    pub(crate) fn even_port(self, flags: u8) -> Self {
        self.with(AttributeType::EVEN_PORT, &[flags])
    }

    pub(crate) fn token(self, token: &[u8]) -> Self {
        self.with(AttributeType::RESERVATION_TOKEN, token)
    }

    /// MOBILITY-TICKET
    pub(crate) fn ticket(self, ticket: &[u8]) -> Self {
        self.with(AttributeType::MOBILITY_TICKET, ticket)
    }

    fn write<'a>(&self, out: &'a mut Vec<u8>, id: TransactionId) -> MessageWriter<'a> {
        let mut message = MessageWriter::new(out, self.class, self.method, id);
        for (kind, value) in &self.attributes {
            match value {
                Value::Bytes(bytes) => message.put(*kind, bytes),
                Value::Xor(address) => message.put_xor_address(*kind, *address),
            };
        }
        message
    }

    /// As it is, without credentials.
    pub(crate) fn unsigned(&self, id: TransactionId) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.write(&mut bytes, id);
        bytes
    }
}

/// How a client signs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Signing {
    /// MD5 key, MESSAGE-INTEGRITY, no algorithm named (RFC 5389).
    Legacy,
    /// An algorithm named, MESSAGE-INTEGRITY-SHA256 (RFC 8489).
    Named(PasswordAlgorithm),
    /// The same with USERHASH for USERNAME.
    Hashed,
    /// MESSAGE-INTEGRITY-SHA256, no algorithm named.
    Sha256,
}

pub(crate) const MODERN: Signing = Signing::Named(PasswordAlgorithm::Sha256);

/// An access token (RFC 7635), shown with Allocate and Refresh, and its key, which
/// signs everything.
#[derive(Clone)]
pub(crate) struct Access {
    pub(crate) token: Vec<u8>,
    pub(crate) mac_key: Vec<u8>,
}

impl Access {
    /// Made by an authorization server with this key for this server; one of many.
    pub(crate) fn numbered(number: u32, kid: &str, timestamp: UnixTime, lifetime: u32) -> Self {
        let mut mac_key = [0xA5; 20];
        mac_key[..4].copy_from_slice(&number.to_be_bytes());
        Self::made(SERVER_NAME, kid, &mac_key, timestamp, lifetime)
    }

    /// The same with each part chosen. The key in it makes its nonce.
    pub(crate) fn made(server: &str, kid: &str, mac_key: &[u8], timestamp: UnixTime, lifetime: u32) -> Self {
        let (_, _, byte) = TOKEN_KEYS.into_iter().find(|(name, ..)| *name == kid).expect("a key");
        let key = TokenKey::new(Algorithm::A256Gcm, &[byte; 32]).unwrap();
        let nonce = mac_key[..12].try_into().unwrap();
        let token = AccessToken { mac_key: mac_key.iter().copied().collect(), timestamp, lifetime };
        Self { token: token.seal(&key, server, nonce), mac_key: mac_key.into() }
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) path: ClientPath,
    /// The engine that the kernel would bring its packets to.
    pub(crate) shard: usize,
    pub(crate) name: String,
    pub(crate) password: String,
    /// What an authorization server gave it, in the password's place.
    pub(crate) access: Option<Access>,
    pub(crate) realm: Vec<u8>,
    pub(crate) signing: Signing,
    pub(crate) nonce: Vec<u8>,
    /// The 12 bytes of the last transaction.
    pub(crate) id: TransactionId,
}

impl Client {
    /// A UDP client at this address.
    pub(crate) fn new(name: &str, at: &str) -> Self {
        let at = addr(at);
        let server = addr(if at.is_ipv4() { SERVER_V4 } else { SERVER_V6 });
        let five_tuple = FiveTuple {
            client: ClientAddr::new(at),
            server: ServerAddr::new(server),
            transport: Transport::Udp,
        };
        Self {
            path: ClientPath::new(Link(0), five_tuple),
            shard: 0,
            name: name.into(),
            password: password(name),
            access: None,
            realm: REALM.into(),
            signing: Signing::Legacy,
            nonce: Vec::new(),
            id: TransactionId::default(),
        }
    }

    pub(crate) fn alice() -> Self {
        Self::new("alice", "192.0.2.1:4000")
    }

    pub(crate) fn bob() -> Self {
        Self::new("bob", "192.0.2.2:4000")
    }

    /// Logs in with an access token: its name is that of the key.
    pub(crate) fn with(mut self, access: Access) -> Self {
        self.access = Some(access);
        self
    }

    pub(crate) fn over_tcp(mut self) -> Self {
        self.path.five_tuple.transport = Transport::Tcp;
        self.path.link = Link(1);
        self
    }

    pub(crate) fn signing(mut self, signing: Signing) -> Self {
        self.signing = signing;
        self
    }

    pub(crate) fn on_shard(mut self, shard: usize) -> Self {
        self.shard = shard;
        self
    }

    /// The same user at another address, which the kernel brings to this engine,
    /// over the same transport.
    pub(crate) fn at(&self, address: &str, shard: usize) -> Self {
        let mut moved = Self::new(&self.name, address).on_shard(shard).signing(self.signing);
        moved.access = self.access.clone();
        moved.path.five_tuple.transport = self.path.five_tuple.transport;
        moved.path.link = self.path.link;
        moved
    }

    pub(crate) fn next_id(&mut self) -> TransactionId {
        let port = self.path.five_tuple.client.port().to_be_bytes();
        self.id.0[..2].copy_from_slice(&port);
        let mut count = [0; 4];
        count.copy_from_slice(&self.id.0[8..]);
        self.id.0[8..].copy_from_slice(&(u32::from_be_bytes(count) + 1).to_be_bytes());
        self.id
    }

    pub(crate) fn key(&self) -> Vec<u8> {
        if let Some(access) = &self.access {
            return access.mac_key.clone();
        }
        let algorithm = match self.signing {
            Signing::Legacy | Signing::Sha256 => PasswordAlgorithm::Md5,
            Signing::Named(algorithm) => algorithm,
            Signing::Hashed => PasswordAlgorithm::Sha256,
        };
        let realm = std::str::from_utf8(&self.realm).unwrap();
        LongTermKeys::derive(&self.name, realm, &self.password).key(algorithm).to_vec()
    }

    /// A fresh transaction, signed with what the client knows.
    pub(crate) fn sign(&mut self, request: &Request) -> Vec<u8> {
        let id = self.next_id();
        self.sign_as(request, id)
    }

    pub(crate) fn sign_as(&self, request: &Request, id: TransactionId) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut message = request.write(&mut bytes, id);
        match self.signing {
            Signing::Hashed => {
                message.put(AttributeType::USERHASH, &userhash(&self.name, REALM));
            }
            _ => {
                message.put(AttributeType::USERNAME, self.name.as_bytes());
            }
        }
        message.put(AttributeType::REALM, &self.realm).put(AttributeType::NONCE, &self.nonce);
        if let Some(access) = &self.access
            && [Method::ALLOCATE, Method::REFRESH].contains(&request.method)
            && !request.attributes.iter().any(|(kind, _)| *kind == AttributeType::ACCESS_TOKEN)
        {
            message.put(AttributeType::ACCESS_TOKEN, &access.token);
        }
        match self.signing {
            Signing::Legacy => message.sign_sha1(&self.key()),
            Signing::Sha256 => message.sign_sha256(&self.key()),
            Signing::Named(algorithm) => self.sign_named(&mut message, algorithm),
            Signing::Hashed => self.sign_named(&mut message, PasswordAlgorithm::Sha256),
        };
        bytes
    }

    fn sign_named<'w, 'a>(
        &self,
        message: &'w mut MessageWriter<'a>,
        algorithm: PasswordAlgorithm,
    ) -> &'w mut MessageWriter<'a> {
        message
            .put(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST)
            .put(AttributeType::PASSWORD_ALGORITHM, &algorithm.value())
            .sign_sha256(&self.key())
    }

    /// These bytes, and what becomes of them.
    pub(crate) fn raw(&self, world: &mut World, bytes: &[u8]) -> Sent {
        world.client(self.shard, self.path, bytes)
    }

    /// These bytes, and their answer.
    pub(crate) fn ask(&self, world: &mut World, bytes: &[u8]) -> Answer {
        match self.raw(world, bytes) {
            Sent::Reply(_, reply) => {
                let answer = Answer { bytes: reply };
                assert_eq!(answer.message().transaction_id().0, bytes[8..20], "of another transaction");
                answer
            }
            other => panic!("no answer but {other:?}"),
        }
    }

    /// Gets a nonce, as every client does first.
    pub(crate) fn greet(&mut self, world: &mut World) -> Answer {
        let id = self.next_id();
        let challenge = self.ask(world, &Request::allocate().unsigned(id));
        self.nonce = challenge.get(AttributeType::NONCE).unwrap();
        challenge
    }

    /// A whole transaction: with a challenge first where there is no nonce yet.
    /// Every answer to right credentials has to be signed with them.
    pub(crate) fn request(&mut self, world: &mut World, request: &Request) -> Answer {
        if self.nonce.is_empty() {
            self.greet(world);
        }
        let bytes = self.sign(request);
        let answer = self.ask(world, &bytes);
        if ![401, 438].contains(&answer.code()) {
            assert!(answer.is_signed_for(self), "{} is not signed", answer.code());
        }
        answer
    }

    /// An allocation; its relayed address (the first of two).
    pub(crate) fn allocate(&mut self, world: &mut World) -> SocketAddr {
        self.allocate_as(world, &Request::allocate())
    }

    pub(crate) fn allocate_as(&mut self, world: &mut World, request: &Request) -> SocketAddr {
        let answer = self.request(world, request);
        assert_eq!(answer.code(), 0, "Allocate");
        answer.relayed()[0]
    }

    /// An allocation with a ticket: its relayed address, and the ticket.
    pub(crate) fn allocate_mobile(&mut self, world: &mut World) -> (SocketAddr, Vec<u8>) {
        let answer = self.request(world, &Request::allocate().ticket(&[]));
        assert_eq!(answer.code(), 0, "Allocate");
        (answer.relayed()[0], answer.ticket())
    }

    /// Comes with a ticket: the next one.
    pub(crate) fn come(&mut self, world: &mut World, ticket: &[u8]) -> Result<Vec<u8>, u16> {
        let answer = self.request(world, &Request::refresh().ticket(ticket));
        if answer.code() == 0 { Ok(answer.ticket()) } else { Err(answer.code()) }
    }

    pub(crate) fn refresh(&mut self, world: &mut World, seconds: u32) -> Answer {
        self.request(world, &Request::refresh().lifetime(seconds))
    }

    pub(crate) fn permit(&mut self, world: &mut World, peers: &[SocketAddr]) -> u16 {
        self.request(world, &Request::create_permission(peers)).code()
    }

    pub(crate) fn bind(&mut self, world: &mut World, number: u16, peer: SocketAddr) -> u16 {
        self.request(world, &Request::channel_bind(number, peer)).code()
    }

    /// A Send indication; what reached whom.
    pub(crate) fn send(&mut self, world: &mut World, peer: SocketAddr, data: &[u8]) -> Sent {
        let id = self.next_id();
        self.raw(world, &Request::send(peer, data).unsigned(id))
    }

    pub(crate) fn channel_data(&self, world: &mut World, number: u16, data: &[u8]) -> Sent {
        self.raw(world, &frame(number, data))
    }

    pub(crate) fn is_allocated(&mut self, world: &mut World) -> bool {
        match self.request(world, &Request::new(Method::CREATE_PERMISSION)).code() {
            400 => true,
            437 => false,
            code => panic!("{code}"),
        }
    }
}

/// ChannelData, without padding.
pub(crate) fn frame(number: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = channel_data::header(floe::wire::ChannelNumber(number), data.len()).unwrap().to_vec();
    bytes.extend_from_slice(data);
    bytes
}

/// A response.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    pub(crate) fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("what we send can be read")
    }

    /// 0 for success, else the ERROR-CODE.
    pub(crate) fn code(&self) -> u16 {
        match self.message().class() {
            Class::Success => 0,
            Class::Error => {
                let value = self.get(AttributeType::ERROR_CODE).expect("ERROR-CODE");
                error_code_value(&value).unwrap().0.number()
            }
            class => panic!("{class:?} is no answer"),
        }
    }

    pub(crate) fn get(&self, kind: AttributeType) -> Option<Vec<u8>> {
        self.message().get(kind).map(<[u8]>::to_vec)
    }

    pub(crate) fn has(&self, kind: AttributeType) -> bool {
        self.message().has(kind)
    }

    pub(crate) fn lifetime(&self) -> u32 {
        let value = self.get(AttributeType::LIFETIME).expect("LIFETIME");
        u32::from_be_bytes(value.try_into().unwrap())
    }

    /// XOR-RELAYED-ADDRESS, each.
    pub(crate) fn relayed(&self) -> Vec<SocketAddr> {
        let message = self.message();
        let attributes = message.attributes().filter(|a| a.kind == AttributeType::XOR_RELAYED_ADDRESS);
        attributes.map(|a| address::decode_xor(a.value, message.transaction_id()).unwrap()).collect()
    }

    pub(crate) fn token(&self) -> Option<[u8; 8]> {
        self.get(AttributeType::RESERVATION_TOKEN).map(|token| token.try_into().unwrap())
    }

    /// MOBILITY-TICKET
    pub(crate) fn ticket(&self) -> Vec<u8> {
        self.get(AttributeType::MOBILITY_TICKET).expect("MOBILITY-TICKET")
    }

    pub(crate) fn is_signed(&self) -> bool {
        self.message().has_sha1() || self.message().has_sha256()
    }

    /// Signed with the client's key, in the way the client asked for.
    pub(crate) fn is_signed_for(&self, client: &Client) -> bool {
        let message = self.message();
        match client.signing {
            Signing::Legacy => message.verify_sha1(&client.key()) && !message.has_sha256(),
            _ => message.verify_sha256(&client.key()) && !message.has_sha1(),
        }
    }
}

/// What a client makes of a relayed packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Heard {
    /// ChannelData: number and payload.
    Channel(u16, Vec<u8>),
    /// A Data indication: peer and payload.
    Data(SocketAddr, Vec<u8>),
    /// It has not reached anybody.
    Nothing,
}

impl Sent {
    /// The relayed packet, as this client reads it.
    pub(crate) fn heard_by(&self, client: &Client) -> Heard {
        let Self::ToClient(to, bytes) = self else { return Heard::Nothing };
        assert_eq!(*to, client.path.five_tuple, "it went to somebody else");
        if let Ok((number, payload)) = channel_data::parse(bytes)
            && bytes[0] & 0xC0 == 0x40
        {
            let padding = bytes.len() - payload.end;
            let due = if to.transport.is_stream() { floe::wire::padding(payload.len()) } else { 0 };
            assert_eq!(padding, due, "ChannelData is padded on streams alone");
            assert!(bytes[payload.end..].iter().all(|b| *b == 0), "padding is zero");
            return Heard::Channel(number.0, bytes[payload].to_vec());
        }
        let message = Message::parse(bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).unwrap().unwrap();
        Heard::Data(peer, message.get(AttributeType::DATA).unwrap().to_vec())
    }

    pub(crate) fn is_dropped(&self) -> bool {
        matches!(self, Self::Dropped(_))
    }
}
