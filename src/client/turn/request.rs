//! What a client asks for: a method and its attributes, not yet signed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::wire::{AttributeType, ChannelNumber, Class, MessageWriter, Method, TransactionId};

/// A request in the making. The functions that begin one are named for its
/// method; the others add an attribute each.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    attributes: Vec<(AttributeType, Value)>,
}

#[derive(Clone, Debug)]
enum Value {
    Bytes(Vec<u8>),
    Xor(SocketAddr),
}

/// UDP as REQUESTED-TRANSPORT has it.
const PROTOCOL_UDP: u8 = 17;

impl Request {
    /// Of any method, without attributes.
    pub const fn new(method: Method) -> Self {
        Self { method, attributes: Vec::new() }
    }

    /// What is my address?
    pub const fn binding() -> Self {
        Self::new(Method::BINDING)
    }

    /// A relayed transport address for UDP.
    pub fn allocate() -> Self {
        Self::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[PROTOCOL_UDP, 0, 0, 0])
    }

    /// So much more time for the allocation; none deletes it.
    pub fn refresh(lifetime: Duration) -> Self {
        Self::new(Method::REFRESH).lifetime(lifetime)
    }

    /// Let these addresses in; ports don't count.
    pub fn create_permission(peers: &[SocketAddr]) -> Self {
        let ask = Self::new(Method::CREATE_PERMISSION);
        peers.iter().fold(ask, |ask, peer| ask.put_xor(AttributeType::XOR_PEER_ADDRESS, *peer))
    }

    /// A channel to this peer.
    pub fn channel_bind(channel: ChannelNumber, peer: SocketAddr) -> Self {
        let [high, low] = channel.0.to_be_bytes();
        Self::new(Method::CHANNEL_BIND)
            .put(AttributeType::CHANNEL_NUMBER, &[high, low, 0, 0])
            .put_xor(AttributeType::XOR_PEER_ADDRESS, peer)
    }

    /// LIFETIME, whole seconds.
    pub fn lifetime(self, lifetime: Duration) -> Self {
        let seconds = u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX);
        self.put(AttributeType::LIFETIME, &seconds.to_be_bytes())
    }

    /// REQUESTED-ADDRESS-FAMILY: that of `like`.
    pub fn family(self, like: IpAddr) -> Self {
        self.put(AttributeType::REQUESTED_ADDRESS_FAMILY, &[family_number(like), 0, 0, 0])
    }

    /// ADDITIONAL-ADDRESS-FAMILY: that of `like`; servers know IPv6 alone.
    pub fn additional_family(self, like: IpAddr) -> Self {
        self.put(AttributeType::ADDITIONAL_ADDRESS_FAMILY, &[family_number(like), 0, 0, 0])
    }

    /// Any attribute.
    pub fn put(mut self, kind: AttributeType, value: &[u8]) -> Self {
        self.attributes.push((kind, Value::Bytes(value.to_vec())));
        self
    }

    /// Any address in its XOR form.
    pub fn put_xor(mut self, kind: AttributeType, value: SocketAddr) -> Self {
        self.attributes.push((kind, Value::Xor(value)));
        self
    }

    /// Its method.
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The name that people know it by.
    pub const fn name(&self) -> &'static str {
        match self.method {
            Method::BINDING => "Binding",
            Method::ALLOCATE => "Allocate",
            Method::REFRESH => "Refresh",
            Method::CREATE_PERMISSION => "CreatePermission",
            Method::CHANNEL_BIND => "ChannelBind",
            Method::CONNECT => "Connect",
            Method::CONNECTION_BIND => "ConnectionBind",
            other => other.name(),
        }
    }

    /// Writes it, for the caller to sign.
    pub(super) fn write<'a>(&self, out: &'a mut Vec<u8>, id: TransactionId) -> MessageWriter<'a> {
        let mut message = MessageWriter::new(out, Class::Request, self.method, id);
        for (kind, value) in &self.attributes {
            match value {
                Value::Bytes(bytes) => message.put(*kind, bytes),
                Value::Xor(address) => message.put_xor_address(*kind, *address),
            };
        }
        message
    }
}

/// RFC 8656 §18.6.
const fn family_number(like: IpAddr) -> u8 {
    match like {
        IpAddr::V4(_) => 0x01,
        IpAddr::V6(_) => 0x02,
    }
}
