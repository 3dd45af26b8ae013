//! STUN messages that a client sends, right or wrong.

use std::net::{IpAddr, SocketAddr};

use floe::wire::{AttributeType, Class, HEADER_LENGTH, MessageWriter, Method, TransactionId, address};
use ring::hmac;

/// UDP as a protocol number in REQUESTED-TRANSPORT.
pub const UDP: u8 = 17;

/// A message in the making; attributes stand in the order they were put.
#[derive(Clone, Debug)]
pub struct Request {
    class: Class,
    method: Method,
    id: TransactionId,
    attributes: Vec<(AttributeType, Vec<u8>)>,
    fingerprint: bool,
}

impl Request {
    /// A request with a new transaction id.
    pub fn new(method: Method) -> Self {
        let id = TransactionId(rand::random());
        Self { class: Class::Request, method, id, attributes: Vec::new(), fingerprint: false }
    }

    pub fn binding() -> Self {
        Self::new(Method::BINDING)
    }

    /// Asks for a UDP relay, as a browser does.
    pub fn allocate() -> Self {
        Self::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[UDP, 0, 0, 0])
    }

    pub fn refresh(lifetime: u32) -> Self {
        Self::new(Method::REFRESH).lifetime(lifetime)
    }

    /// Asks for permission for these addresses; their ports mean nothing.
    pub fn permission(peers: &[IpAddr]) -> Self {
        let request = Self::new(Method::CREATE_PERMISSION);
        peers.iter().fold(request, |request, peer| request.peer(SocketAddr::new(*peer, 0)))
    }

    pub fn channel_bind(channel: u16, peer: SocketAddr) -> Self {
        Self::new(Method::CHANNEL_BIND).channel(channel).peer(peer)
    }

    /// A Send indication.
    pub fn send_indication(peer: SocketAddr, payload: &[u8]) -> Self {
        Self::new(Method::SEND).class(Class::Indication).peer(peer).put(AttributeType::DATA, payload)
    }

    pub fn class(mut self, class: Class) -> Self {
        self.class = class;
        self
    }

    pub fn id(mut self, id: TransactionId) -> Self {
        self.id = id;
        self
    }

    pub const fn transaction_id(&self) -> TransactionId {
        self.id
    }

    pub const fn method(&self) -> Method {
        self.method
    }

    pub fn has(&self, kind: AttributeType) -> bool {
        self.attributes.iter().any(|(k, _)| *k == kind)
    }

    pub fn put(mut self, kind: AttributeType, value: &[u8]) -> Self {
        self.attributes.push((kind, value.to_vec()));
        self
    }

    /// Every attribute of this type is left out.
    pub fn without(mut self, kind: AttributeType) -> Self {
        self.attributes.retain(|(k, _)| *k != kind);
        self
    }

    /// Every attribute of this type has this value instead.
    pub fn with(mut self, kind: AttributeType, value: &[u8]) -> Self {
        self.attributes.iter_mut().filter(|(k, _)| *k == kind).for_each(|(_, v)| *v = value.to_vec());
        self
    }

    pub fn lifetime(self, seconds: u32) -> Self {
        self.put(AttributeType::LIFETIME, &seconds.to_be_bytes())
    }

    pub fn peer(self, peer: SocketAddr) -> Self {
        let value = address::encode_xor(peer, self.id);
        self.put(AttributeType::XOR_PEER_ADDRESS, &value)
    }

    pub fn channel(self, number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        self.put(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0])
    }

    /// EVEN-PORT, with or without the next port reserved.
    pub fn even_port(self, reserve: bool) -> Self {
        self.put(AttributeType::EVEN_PORT, &[if reserve { 0x80 } else { 0 }])
    }

    /// REQUESTED-ADDRESS-FAMILY: 1 is IPv4, 2 is IPv6.
    pub fn family(self, family: u8) -> Self {
        self.put(AttributeType::REQUESTED_ADDRESS_FAMILY, &[family, 0, 0, 0])
    }

    /// ADDITIONAL-ADDRESS-FAMILY.
    pub fn additional_family(self, family: u8) -> Self {
        self.put(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[family, 0, 0, 0])
    }

    /// Ends with a FINGERPRINT.
    pub fn fingerprint(mut self) -> Self {
        self.fingerprint = true;
        self
    }

    /// The bytes, without integrity.
    pub fn bytes(&self) -> Vec<u8> {
        self.write(|_| {})
    }

    /// The bytes with MESSAGE-INTEGRITY.
    pub fn sign_sha1(&self, key: &[u8]) -> Vec<u8> {
        self.write(|writer| _ = writer.sign_sha1(key))
    }

    /// The bytes with MESSAGE-INTEGRITY-SHA256.
    pub fn sign_sha256(&self, key: &[u8]) -> Vec<u8> {
        self.write(|writer| _ = writer.sign_sha256(key))
    }

    /// The bytes with whatever `sign` writes behind the attributes.
    pub fn write(&self, sign: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = MessageWriter::new(&mut bytes, self.class, self.method, self.id);
        for (kind, value) in &self.attributes {
            writer.put(*kind, value);
        }
        sign(&mut writer);
        if self.fingerprint {
            writer.put_fingerprint();
        }
        bytes
    }
}

/// Puts one more attribute behind a finished message and mends the length in its
/// header, as somebody on the way could.
pub fn append(message: &mut Vec<u8>, kind: AttributeType, value: &[u8]) {
    message.extend(kind.0.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
    let length = message.len() - HEADER_LENGTH;
    set_length(message, length);
}

/// Puts a right FINGERPRINT behind a finished message.
pub fn append_fingerprint(message: &mut Vec<u8>) {
    let length = message.len() + 8 - HEADER_LENGTH;
    set_length(message, length);
    let crc = crc32fast::hash(message) ^ floe::wire::integrity::FINGERPRINT_XOR;
    append(message, AttributeType::FINGERPRINT, &crc.to_be_bytes());
}

/// Signs a finished message with MESSAGE-INTEGRITY over the bytes as they are.
pub fn append_sha1(message: &mut Vec<u8>, key: &[u8]) {
    append_tag(message, AttributeType::MESSAGE_INTEGRITY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
}

/// Signs a finished message with MESSAGE-INTEGRITY-SHA256.
pub fn append_sha256(message: &mut Vec<u8>, key: &[u8]) {
    append_tag(message, AttributeType::MESSAGE_INTEGRITY_SHA256, hmac::HMAC_SHA256, key);
}

fn append_tag(message: &mut Vec<u8>, kind: AttributeType, algorithm: hmac::Algorithm, key: &[u8]) {
    let tag_length = algorithm.digest_algorithm().output_len();
    let length = message.len() + 4 + tag_length - HEADER_LENGTH;
    set_length(message, length);
    let tag = hmac::sign(&hmac::Key::new(algorithm, key), message);
    append(message, kind, tag.as_ref());
}

/// Makes the header claim this many bytes behind it.
pub fn set_length(message: &mut [u8], length: usize) {
    message[2..4].copy_from_slice(&(length as u16).to_be_bytes());
}
