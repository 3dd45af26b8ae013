//! STUN messages, read from a borrowed slice (RFC 8489 §5, §6.3, §14).

use std::fmt;
use std::net::SocketAddr;

use ring::hmac;

use super::attribute::{AttributeType, MalformedValue};
use super::integrity::{self, FINGERPRINT_XOR};
use super::{HEADER_LENGTH, MAGIC_COOKIE, address, padding};

/// STUN method (RFC 8489 §18.2), 12 bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Method(u16);

macro_rules! methods {
    ($($name:ident = $number:literal, $label:literal;)+) => {
        #[allow(missing_docs)] // the names are the registry's own
        impl Method {
            $(pub const $name: Self = Self($number);)+

            /// `binding`, `allocate`, …, for metrics and logs.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($number => $label,)+
                    _ => "unknown",
                }
            }
        }
    };
}

methods! {
    BINDING = 0x001, "binding";
    ALLOCATE = 0x003, "allocate";
    REFRESH = 0x004, "refresh";
    SEND = 0x006, "send";
    DATA = 0x007, "data";
    CREATE_PERMISSION = 0x008, "create_permission";
    CHANNEL_BIND = 0x009, "channel_bind";
    CONNECT = 0x00A, "connect";
    CONNECTION_BIND = 0x00B, "connection_bind";
    CONNECTION_ATTEMPT = 0x00C, "connection_attempt";
}

impl Method {
    /// A method by its number; bits above the twelfth are cut off.
    pub const fn new(number: u16) -> Self {
        Self(number & 0x0FFF)
    }

    /// The number, 0 to 0xFFF.
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Message class (RFC 8489 §5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Asks for a response.
    Request,
    /// Asks for none.
    Indication,
    /// A success response.
    Success,
    /// An error response.
    Error,
}

/// The message type field: method and class, interleaved (RFC 8489 Figure 3).
pub const fn message_type(class: Class, method: Method) -> u16 {
    let class = match class {
        Class::Request => 0x000,
        Class::Indication => 0x010,
        Class::Success => 0x100,
        Class::Error => 0x110,
    };
    let m = method.0;
    (m & 0x000F) | ((m & 0x0070) << 1) | ((m & 0x0F80) << 2) | class
}

const fn split_type(kind: u16) -> (Class, Method) {
    let class = match kind & 0x0110 {
        0x000 => Class::Request,
        0x010 => Class::Indication,
        0x100 => Class::Success,
        _ => Class::Error,
    };
    let method = (kind & 0x000F) | ((kind & 0x00E0) >> 1) | ((kind & 0x3E00) >> 2);
    (class, Method(method))
}

/// The 96 bits that tie a response to its request.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TransactionId(pub [u8; 12]);

impl fmt::Debug for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Why a packet is no STUN message; all are dropped silently (RFC 8489 §6.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Header, length or attributes break the format, or the cookie is not there.
    #[error("not a well-formed STUN message")]
    Malformed,
    /// FINGERPRINT does not match.
    #[error("FINGERPRINT does not match")]
    BadFingerprint,
}

/// One attribute; `value` is without its padding.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// What it is.
    pub kind: AttributeType,
    /// Its bytes.
    pub value: &'a [u8],
    /// Where the attribute's own header begins in the message.
    offset: usize,
}

/// A well-formed STUN message. Its attributes are those that count: the ones
/// before MESSAGE-INTEGRITY or MESSAGE-INTEGRITY-SHA256 (RFC 8489 §9: what
/// follows is ignored), or before FINGERPRINT.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    /// End of the attributes that count.
    end: usize,
    first: FirstOffsets,
    sha1: Option<Attribute<'a>>,
    sha256: Option<Attribute<'a>>,
    fingerprint: bool,
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("class", &self.class)
            .field("method", &self.method)
            .field("id", &self.transaction_id())
            .field("attributes", &self.attributes().map(|a| a.kind).collect::<Vec<_>>())
            .field("sha1", &self.has_sha1())
            .field("sha256", &self.has_sha256())
            .field("fingerprint", &self.fingerprint)
            .finish()
    }
}

impl<'a> Message<'a> {
    /// Reads one message that fills `bytes` exactly. A FINGERPRINT, when there
    /// is one, has been verified; integrity has not.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, ParseError> {
        let (kind, length) = match bytes {
            [t0, t1, l0, l1, ..] if bytes.len() >= HEADER_LENGTH => {
                (u16::from_be_bytes([*t0, *t1]), usize::from(u16::from_be_bytes([*l0, *l1])))
            }
            _ => return Err(ParseError::Malformed),
        };
        let fits = HEADER_LENGTH + length == bytes.len();
        if kind & 0xC000 != 0 || length % 4 != 0 || !fits || bytes[4..8] != MAGIC_COOKIE.to_be_bytes() {
            return Err(ParseError::Malformed);
        }
        let (class, method) = split_type(kind);
        let mut message = Self {
            bytes,
            class,
            method,
            end: bytes.len(),
            first: FirstOffsets::NONE,
            sha1: None,
            sha256: None,
            fingerprint: false,
        };
        let mut at = HEADER_LENGTH;
        while at < bytes.len() {
            let attribute = attribute_at(bytes, at).ok_or(ParseError::Malformed)?;
            let next = at + 4 + attribute.value.len() + padding(attribute.value.len());
            match attribute.kind {
                AttributeType::FINGERPRINT => {
                    if next != bytes.len() {
                        return Err(ParseError::Malformed);
                    }
                    message.check_fingerprint(attribute)?;
                    message.end = message.end.min(at);
                }
                AttributeType::MESSAGE_INTEGRITY_SHA256 if message.sha256.is_none() => {
                    message.sha256 = Some(attribute);
                    message.end = message.end.min(at);
                }
                AttributeType::MESSAGE_INTEGRITY if message.end == bytes.len() => {
                    message.sha1 = Some(attribute);
                    message.end = at;
                }
                kind if message.end == bytes.len() => message.first.note(kind, at),
                _ => {}
            }
            at = next;
        }
        Ok(message)
    }

    /// Bytes of the whole message.
    pub const fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Request, indication or response.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// Binding, Allocate, ….
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The transaction id.
    pub fn transaction_id(&self) -> TransactionId {
        let mut id = [0; 12];
        id.copy_from_slice(&self.bytes[8..HEADER_LENGTH]);
        TransactionId(id)
    }

    /// The attributes that count, in order, without integrity and FINGERPRINT.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        let (bytes, end) = (self.bytes, self.end);
        let mut at = HEADER_LENGTH;
        std::iter::from_fn(move || {
            if at >= end {
                return None;
            }
            let attribute = attribute_at(bytes, at)?;
            at += 4 + attribute.value.len() + padding(attribute.value.len());
            Some(attribute)
        })
    }

    /// The value of the first attribute of this type (RFC 8489 §14: others of
    /// the same type are ignored). For a type that has a name here, the cost does
    /// not depend on how many attributes there are.
    pub fn get(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.find(kind).map(|a| a.value)
    }

    /// Whether there is an attribute of this type.
    pub fn has(&self, kind: AttributeType) -> bool {
        self.get(kind).is_some()
    }

    /// The first XOR-ed address of this type.
    pub fn xor_address(&self, kind: AttributeType) -> Option<Result<SocketAddr, MalformedValue>> {
        self.get(kind).map(|value| address::decode_xor(value, self.transaction_id()))
    }

    /// Where the value of the first attribute of this type lies in the message.
    pub fn range(&self, kind: AttributeType) -> Option<std::ops::Range<usize>> {
        let attribute = self.find(kind)?;
        let start = attribute.offset + 4;
        Some(start..start + attribute.value.len())
    }

    /// Whether it carries MESSAGE-INTEGRITY (of whatever length).
    pub const fn has_sha1(&self) -> bool {
        self.sha1.is_some()
    }

    /// Whether it carries MESSAGE-INTEGRITY-SHA256 (of whatever length).
    pub const fn has_sha256(&self) -> bool {
        self.sha256.is_some()
    }

    /// Whether it carries a FINGERPRINT (a right one: others don't parse).
    pub const fn has_fingerprint(&self) -> bool {
        self.fingerprint
    }

    /// Verifies MESSAGE-INTEGRITY (RFC 8489 §14.5) in constant time. False when
    /// it is not there or not 20 bytes long.
    pub fn verify_sha1(&self, key: &[u8]) -> bool {
        self.sha1.is_some_and(|mi| {
            integrity::verify(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key, self.bytes, mi.offset, mi.value)
        })
    }

    /// Verifies MESSAGE-INTEGRITY-SHA256 (RFC 8489 §14.6) in constant time.
    /// False when it is not there or not 32 bytes long (TURN allows no
    /// truncation).
    pub fn verify_sha256(&self, key: &[u8]) -> bool {
        self.sha256
            .is_some_and(|mi| integrity::verify(hmac::HMAC_SHA256, key, self.bytes, mi.offset, mi.value))
    }

    fn find(&self, kind: AttributeType) -> Option<Attribute<'a>> {
        match FirstOffsets::slot(kind) {
            Some(slot) => attribute_at(self.bytes, self.first.offset(slot)?),
            None => self.attributes().find(|a| a.kind == kind),
        }
    }

    fn check_fingerprint(&mut self, attribute: Attribute<'_>) -> Result<(), ParseError> {
        let crc = crc32fast::hash(&self.bytes[..attribute.offset]) ^ FINGERPRINT_XOR;
        if attribute.value != crc.to_be_bytes() {
            return Err(ParseError::BadFingerprint);
        }
        self.fingerprint = true;
        Ok(())
    }
}

/// Where the first attribute of each type begins. A message of 64 KB has room for
/// 16,000 attributes, and a request is asked for a dozen types: without this, each
/// would be one more walk over all of them before anyone is authenticated.
#[derive(Clone, Copy)]
struct FirstOffsets {
    /// In units of 4 bytes, as the last ones lie beyond 65,535; 0, which is in the
    /// header, is none.
    quarters: [u16; 128],
}

impl FirstOffsets {
    const NONE: Self = Self { quarters: [0; 128] };

    /// The place of 0x0000 to 0x003F and 0x8000 to 0x803F, where all types with
    /// names lie; `None` for the rest.
    const fn slot(kind: AttributeType) -> Option<usize> {
        if kind.0 & 0x7FC0 != 0 {
            return None;
        }
        Some(((kind.0 >> 9) | (kind.0 & 0x3F)) as usize)
    }

    fn note(&mut self, kind: AttributeType, offset: usize) {
        if let Some(slot) = Self::slot(kind)
            && self.quarters[slot] == 0
        {
            self.quarters[slot] = (offset / 4) as u16;
        }
    }

    fn offset(&self, slot: usize) -> Option<usize> {
        match self.quarters[slot] {
            0 => None,
            quarters => Some(usize::from(quarters) * 4),
        }
    }
}

/// The attribute whose header begins at `at`, when all of it, padding included,
/// lies within `bytes`.
fn attribute_at(bytes: &[u8], at: usize) -> Option<Attribute<'_>> {
    let rest = bytes.get(at..)?;
    let [k0, k1, l0, l1, value @ ..] = rest else {
        return None;
    };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    if length + padding(length) > value.len() {
        return None;
    }
    let kind = AttributeType(u16::from_be_bytes([*k0, *k1]));
    Some(Attribute { kind, value: &value[..length], offset: at })
}

#[cfg(test)]
#[path = "message_test.rs"]
mod tests;
