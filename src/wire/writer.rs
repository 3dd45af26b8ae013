//! STUN messages, written to the end of a caller's buffer (RFC 8489 §5, §14).

use std::net::SocketAddr;
use std::ops::Range;

use ring::hmac;

use super::attribute::AttributeType;
use super::error_code::ErrorCode;
use super::integrity::{self, FINGERPRINT_XOR};
use super::message::{Class, Method, TransactionId, message_type};
use super::{HEADER_LENGTH, MAGIC_COOKIE, address, padding};

const ZEROS: [u8; 4] = [0; 4];

/// Writes one message. The header's length is right after every call, so a
/// message may end at any attribute.
#[derive(Debug)]
pub struct MessageWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    id: TransactionId,
}

impl<'a> MessageWriter<'a> {
    /// Begins a message behind what `out` holds.
    pub fn new(out: &'a mut Vec<u8>, class: Class, method: Method, id: TransactionId) -> Self {
        let start = out.len();
        out.extend_from_slice(&message_type(class, method).to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&MAGIC_COOKIE.to_be_bytes());
        out.extend_from_slice(&id.0);
        Self { out, start, id }
    }

    /// Begins a message of RFC 3489, which has no cookie and a longer transaction
    /// id. Addresses in their XOR form have no meaning in it.
    pub fn classic(out: &'a mut Vec<u8>, class: Class, method: Method, id: [u8; 16]) -> Self {
        let mut short = TransactionId::default();
        short.0.copy_from_slice(&id[4..]);
        let writer = Self::new(out, class, method, short);
        writer.out[writer.start + 4..writer.start + HEADER_LENGTH].copy_from_slice(&id);
        writer
    }

    /// An attribute with these bytes, padded with zeros. The whole message has room
    /// for 65,532 bytes of attributes, and the caller's are far below; a longer
    /// one gets a length that every receiver refuses.
    pub fn put(&mut self, kind: AttributeType, value: &[u8]) -> &mut Self {
        self.head(kind, value.len());
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(&ZEROS[..padding(value.len())]);
        self.set_length(0);
        self
    }

    /// An attribute of four bytes, network order.
    pub fn put_u32(&mut self, kind: AttributeType, value: u32) -> &mut Self {
        self.put(kind, &value.to_be_bytes())
    }

    /// An address as it is.
    pub fn put_address(&mut self, kind: AttributeType, value: SocketAddr) -> &mut Self {
        self.put(kind, &address::encode(value))
    }

    /// An address in its XOR form.
    pub fn put_xor_address(&mut self, kind: AttributeType, value: SocketAddr) -> &mut Self {
        self.put(kind, &address::encode_xor(value, self.id))
    }

    /// ERROR-CODE; `reason` below 128 characters, may be empty.
    pub fn put_error(&mut self, code: ErrorCode, reason: &str) -> &mut Self {
        let [class, number] = code.class_and_number();
        self.head(AttributeType::ERROR_CODE, 4 + reason.len());
        self.out.extend_from_slice(&[0, 0, class, number]);
        self.out.extend_from_slice(reason.as_bytes());
        self.out.extend_from_slice(&ZEROS[..padding(reason.len())]);
        self.set_length(0);
        self
    }

    /// UNKNOWN-ATTRIBUTES.
    pub fn put_unknown_attributes(&mut self, types: &[AttributeType]) -> &mut Self {
        let length = 2 * types.len();
        self.head(AttributeType::UNKNOWN_ATTRIBUTES, length);
        self.out.extend(types.iter().flat_map(|kind| kind.0.to_be_bytes()));
        self.out.extend_from_slice(&ZEROS[..padding(length)]);
        self.set_length(0);
        self
    }

    /// MESSAGE-INTEGRITY over all before it.
    pub fn sign_sha1(&mut self, key: &[u8]) -> &mut Self {
        let tag = self.tag(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        self.put(AttributeType::MESSAGE_INTEGRITY, tag.as_ref())
    }

    /// MESSAGE-INTEGRITY-SHA256 over all before it, not truncated.
    pub fn sign_sha256(&mut self, key: &[u8]) -> &mut Self {
        let tag = self.tag(hmac::HMAC_SHA256, key);
        self.put(AttributeType::MESSAGE_INTEGRITY_SHA256, tag.as_ref())
    }

    /// FINGERPRINT; nothing may follow.
    pub fn put_fingerprint(&mut self) -> &mut Self {
        self.set_length(8);
        let crc = crc32fast::hash(&self.out[self.start..]) ^ FINGERPRINT_XOR;
        self.put_u32(AttributeType::FINGERPRINT, crc)
    }

    /// Where the message lies in the buffer.
    pub fn finish(&self) -> Range<usize> {
        self.start..self.out.len()
    }

    /// Ends the message with the header of an attribute whose `length` bytes of
    /// value, and the padding behind them, the caller sends from elsewhere
    /// (a Data indication's payload). Returns where the written part lies. That
    /// all of it fits (see [`MessageWriter::put`]) is for the caller to see to: a
    /// payload may be too long.
    pub fn finish_before_value(mut self, kind: AttributeType, length: usize) -> Range<usize> {
        self.head(kind, length);
        self.set_length(length + padding(length));
        self.finish()
    }

    fn head(&mut self, kind: AttributeType, length: usize) {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.out.extend_from_slice(&kind.0.to_be_bytes());
        self.out.extend_from_slice(&length.to_be_bytes());
    }

    fn tag(&self, algorithm: hmac::Algorithm, key: &[u8]) -> hmac::Tag {
        let message = &self.out[self.start..];
        integrity::sign(algorithm, key, message, message.len())
    }

    /// Sets the header's length to what is written and `more` bytes to come.
    fn set_length(&mut self, more: usize) {
        let length = self.out.len() - self.start - HEADER_LENGTH + more;
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.out[self.start + 2..self.start + 4].copy_from_slice(&length.to_be_bytes());
    }
}
