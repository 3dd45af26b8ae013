//! What the server sends back, held against the rules that all of it obeys.

use std::net::SocketAddr;

use floe::wire::{AttributeType, Class, HEADER_LENGTH, MAGIC_COOKIE, Message, Method, attribute};

/// A response.
#[derive(Clone, Debug)]
pub struct Reply {
    pub bytes: Vec<u8>,
}

impl Reply {
    /// Takes `bytes` as the response to `request`, and checks what every
    /// response owes (RFC 8489 §5, §6.3.1.1, §14).
    pub fn to(request: &[u8], bytes: Vec<u8>) -> Self {
        let asked = u16::from_be_bytes([request[0], request[1]]);
        let answered = u16::from_be_bytes([bytes[0], bytes[1]]);
        assert_eq!(answered & !0x0110, asked, "the response has the request's method: {bytes:02x?}");
        assert_ne!(answered & 0x0100, 0, "a success or error response: {bytes:02x?}");
        assert_eq!(bytes[4..8], MAGIC_COOKIE.to_be_bytes());
        assert_eq!(bytes[8..20], request[8..20], "the response has the request's transaction id");

        let attributes = raw_attributes(&bytes);
        let fingerprints = attributes.iter().filter(|a| a.kind == AttributeType::FINGERPRINT).count();
        let wanted = Message::parse(request).is_ok_and(|request| request.has_fingerprint());
        assert_eq!(fingerprints == 1, wanted, "a response has a FINGERPRINT when its request has");
        for attribute in &attributes {
            assert!(attribute.padding.iter().all(|byte| *byte == 0), "padding is zero: {bytes:02x?}");
        }

        let reply = Self { bytes };
        let message = reply.message();
        assert_eq!(message.class() == Class::Error, message.has(AttributeType::ERROR_CODE));
        if let Some(error) = message.get(AttributeType::ERROR_CODE) {
            let (_, reason) = attribute::error_code_value(error).expect("a right ERROR-CODE");
            assert_eq!((error[0], error[1], error[2] & !7), (0, 0, 0), "reserved bits are zero");
            assert!(reason.chars().count() < 128);
        }
        reply
    }

    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.bytes).expect("the server sends well-formed STUN")
    }

    pub fn is_success(&self) -> bool {
        self.message().class() == Class::Success
    }

    /// The number of ERROR-CODE; 0 when this is a success.
    pub fn code(&self) -> u16 {
        self.get(AttributeType::ERROR_CODE)
            .map_or(0, |value| attribute::error_code_value(value).expect("a right ERROR-CODE").0.number())
    }

    pub fn get(&self, kind: AttributeType) -> Option<&[u8]> {
        self.message().get(kind)
    }

    pub fn has(&self, kind: AttributeType) -> bool {
        self.message().has(kind)
    }

    pub fn text(&self, kind: AttributeType) -> &str {
        let value = self.get(kind).unwrap_or_else(|| panic!("{kind:?} in {self:02x?}"));
        std::str::from_utf8(value).expect("UTF-8")
    }

    pub fn realm(&self) -> &str {
        self.text(AttributeType::REALM)
    }

    pub fn nonce(&self) -> &str {
        self.text(AttributeType::NONCE)
    }

    /// XOR-MAPPED-ADDRESS.
    pub fn mapped(&self) -> SocketAddr {
        self.address(AttributeType::XOR_MAPPED_ADDRESS)
    }

    /// The first XOR-RELAYED-ADDRESS.
    pub fn relayed(&self) -> SocketAddr {
        self.address(AttributeType::XOR_RELAYED_ADDRESS)
    }

    /// Every XOR-RELAYED-ADDRESS.
    pub fn all_relayed(&self) -> Vec<SocketAddr> {
        let message = self.message();
        let id = message.transaction_id();
        message
            .attributes()
            .filter(|a| a.kind == AttributeType::XOR_RELAYED_ADDRESS)
            .map(|a| floe::wire::address::decode_xor(a.value, id).expect("a right address"))
            .collect()
    }

    /// LIFETIME, seconds.
    pub fn lifetime(&self) -> u32 {
        let value = self.get(AttributeType::LIFETIME).expect("LIFETIME");
        attribute::u32_value(value).expect("four bytes")
    }

    /// Says why the reply is not a success.
    pub fn ok(self) -> Self {
        assert!(self.is_success(), "the request was refused: {}", self.code());
        self
    }

    /// Whether it carries any integrity.
    pub fn is_signed(&self) -> bool {
        self.message().has_sha1() || self.message().has_sha256()
    }

    /// Refused with this code, and unsigned, as a challenge is.
    pub fn assert_challenge(&self, code: u16) {
        assert_eq!(self.code(), code);
        assert!(self.has(AttributeType::REALM) && self.has(AttributeType::NONCE), "{self:02x?}");
        assert!(!self.is_signed(), "nobody has proven a key yet");
        for kind in [AttributeType::USERNAME, AttributeType::USERHASH] {
            assert!(!self.has(kind), "{kind:?} has no place in a challenge");
        }
    }

    fn address(&self, kind: AttributeType) -> SocketAddr {
        let value = self.message().xor_address(kind).unwrap_or_else(|| panic!("{kind:?} in {self:02x?}"));
        value.expect("a right address")
    }
}

/// An attribute as it lies in the message.
pub struct RawAttribute<'a> {
    pub kind: AttributeType,
    pub value: &'a [u8],
    pub padding: &'a [u8],
}

/// All attributes of a message, integrity and FINGERPRINT too; panics when they
/// don't fill it exactly.
pub fn raw_attributes(message: &[u8]) -> Vec<RawAttribute<'_>> {
    let mut rest = &message[HEADER_LENGTH..];
    assert_eq!(usize::from(u16::from_be_bytes([message[2], message[3]])), rest.len());
    let mut attributes = Vec::new();
    while let [k0, k1, l0, l1, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let padded = length.next_multiple_of(4);
        let kind = AttributeType(u16::from_be_bytes([*k0, *k1]));
        attributes.push(RawAttribute { kind, value: &tail[..length], padding: &tail[length..padded] });
        rest = &tail[padded..];
    }
    assert!(rest.is_empty(), "attributes fill the message");
    attributes
}

/// What a Data indication carries.
pub fn data_indication(packet: &[u8]) -> (SocketAddr, Vec<u8>) {
    let message = Message::parse(packet).expect("well-formed STUN");
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA), "{packet:02x?}");
    let peer = message.xor_address(AttributeType::XOR_PEER_ADDRESS).expect("XOR-PEER-ADDRESS");
    let data = message.get(AttributeType::DATA).expect("DATA");
    assert!(raw_attributes(packet).iter().all(|a| a.padding.iter().all(|byte| *byte == 0)));
    (peer.expect("a right address"), data.to_vec())
}
