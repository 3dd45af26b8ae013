//! ChannelData messages (RFC 8656 §12.4): four bytes, then the payload.

use std::fmt;
use std::ops::Range;

use super::attribute::MalformedValue;

/// Bytes before the payload.
pub const HEADER_LENGTH: usize = 4;

/// A channel number; which ones may be bound is the engine's rule.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelNumber(pub u16);

impl fmt::Debug for ChannelNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#06x}", self.0)
    }
}

/// The channel of a ChannelData message and where its payload lies. Bytes behind
/// the payload are padding and not looked at.
pub fn parse(bytes: &[u8]) -> Result<(ChannelNumber, Range<usize>), MalformedValue> {
    let [c0, c1, l0, l1, rest @ ..] = bytes else {
        return Err(MalformedValue);
    };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    if length > rest.len() {
        return Err(MalformedValue);
    }
    let channel = ChannelNumber(u16::from_be_bytes([*c0, *c1]));
    Ok((channel, HEADER_LENGTH..HEADER_LENGTH + length))
}

/// The header before a payload of `length` bytes; `None` above 65,535.
pub fn header(channel: ChannelNumber, length: usize) -> Option<[u8; HEADER_LENGTH]> {
    let [c0, c1] = channel.0.to_be_bytes();
    let [l0, l1] = u16::try_from(length).ok()?.to_be_bytes();
    Some([c0, c1, l0, l1])
}
