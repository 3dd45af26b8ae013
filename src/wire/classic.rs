//! Binding requests of RFC 3489, from before there was a magic cookie: the 16
//! bytes behind the length are the transaction id.

use super::attribute::AttributeType;
use super::{HEADER_LENGTH, MAGIC_COOKIE};

/// A well-formed Binding request without the cookie.
#[derive(Clone, Copy, Debug)]
pub struct ClassicRequest<'a> {
    id: [u8; 16],
    attributes: &'a [u8],
}

impl<'a> ClassicRequest<'a> {
    /// SOURCE-ADDRESS: where the response was sent from (RFC 3489 §11.2.5).
    pub const SOURCE_ADDRESS: AttributeType = AttributeType(0x0004);
    /// CHANGED-ADDRESS: where it could have been (RFC 3489 §11.2.3).
    pub const CHANGED_ADDRESS: AttributeType = AttributeType(0x0005);
    /// USERNAME, PASSWORD and MESSAGE-INTEGRITY may be there; a server that asks
    /// for no login does not look at them.
    pub const IGNORED: [AttributeType; 3] =
        [AttributeType::USERNAME, AttributeType(0x0007), AttributeType::MESSAGE_INTEGRITY];

    /// Reads a request that fills `bytes` exactly; `None` for anything else.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, attributes) = bytes.split_at_checked(HEADER_LENGTH)?;
        let [0, 1, l0, l1, id @ ..] = header else { return None };
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if length != attributes.len() || length % 4 != 0 || id.starts_with(&MAGIC_COOKIE.to_be_bytes()) {
            return None;
        }
        let request = Self { id: id.try_into().ok()?, attributes };
        let read: usize = request.attributes().map(|(_, value)| 4 + value.len()).sum();
        (read == length).then_some(request)
    }

    /// What ties a response to it.
    pub const fn id(&self) -> [u8; 16] {
        self.id
    }

    /// Every attribute. Their lengths are multiples of 4 (RFC 3489 §11.2).
    pub fn attributes(&self) -> impl Iterator<Item = (AttributeType, &'a [u8])> + use<'a> {
        let mut rest = self.attributes;
        std::iter::from_fn(move || {
            let [k0, k1, l0, l1, tail @ ..] = rest else { return None };
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let (value, next) = tail.split_at_checked(length).filter(|_| length % 4 == 0)?;
            rest = next;
            Some((AttributeType(u16::from_be_bytes([*k0, *k1])), value))
        })
    }

    /// The first attribute of this type.
    pub fn get(&self, kind: AttributeType) -> Option<&'a [u8]> {
        self.attributes().find(|(k, _)| *k == kind).map(|(_, value)| value)
    }
}
