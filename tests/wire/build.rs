//! Messages to test with, and how proptest makes them up.

use std::net::{IpAddr, SocketAddr};

use floe::wire::{AttributeType, Class, MessageWriter, Method, TransactionId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const ID: TransactionId = TransactionId(*b"0123456789ab");

/// A message before it is written.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) class: Class,
    pub(crate) method: Method,
    pub(crate) id: TransactionId,
    pub(crate) attributes: Vec<(AttributeType, Vec<u8>)>,
    pub(crate) sha1: Option<Vec<u8>>,
    pub(crate) sha256: Option<Vec<u8>>,
    pub(crate) fingerprint: bool,
}

impl Draft {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, self.class, self.method, self.id);
        for (kind, value) in &self.attributes {
            writer.put(*kind, value);
        }
        if let Some(key) = &self.sha1 {
            writer.sign_sha1(key);
        }
        if let Some(key) = &self.sha256 {
            writer.sign_sha256(key);
        }
        if self.fingerprint {
            writer.put_fingerprint();
        }
        out
    }
}

/// One request, filled by `fill`.
pub(crate) fn request(fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    fill(&mut MessageWriter::new(&mut out, Class::Request, Method::REFRESH, ID));
    out
}

/// Makes the header's length true again after bytes were added or taken away.
pub(crate) fn fix_length(message: &mut [u8]) {
    let length = u16::try_from(message.len() - 20).unwrap();
    message[2..4].copy_from_slice(&length.to_be_bytes());
}

pub(crate) fn drafts() -> impl Strategy<Value = Draft> {
    let keys = || proptest::option::of(vec(any::<u8>(), 1..80));
    (classes(), methods(), ids(), attributes(), keys(), keys(), any::<bool>()).prop_map(
        |(class, method, id, attributes, sha1, sha256, fingerprint)| Draft {
            class,
            method,
            id,
            attributes,
            sha1,
            sha256,
            fingerprint,
        },
    )
}

/// Types that seal a message are left out, and 0x8020, which the `stun` crate
/// takes for XOR-MAPPED-ADDRESS.
pub(crate) fn attributes() -> impl Strategy<Value = Vec<(AttributeType, Vec<u8>)>> {
    let kind = prop_oneof![select(AttributeType::ALL), any::<u16>().prop_map(AttributeType)]
        .prop_filter("seals, or is rewritten", |kind| !matches!(kind.0, 0x0008 | 0x001C | 0x8028 | 0x8020));
    vec((kind, vec(any::<u8>(), 0..40)), 0..12)
}

pub(crate) fn classes() -> impl Strategy<Value = Class> {
    select(&[Class::Request, Class::Indication, Class::Success, Class::Error][..])
}

pub(crate) fn methods() -> impl Strategy<Value = Method> {
    (0..0x1000u16).prop_map(Method::new)
}

pub(crate) fn ids() -> impl Strategy<Value = TransactionId> {
    any::<[u8; 12]>().prop_map(TransactionId)
}

pub(crate) fn addresses() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}
