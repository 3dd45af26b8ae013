//! Bytes to messages and back: STUN (RFC 8489), the attributes of TURN
//! (RFC 8656), ChannelData, and the framing of both on a stream.
//!
//! Read from a borrowed slice, written to the end of a caller's buffer. No I/O,
//! no clock, no opinion on what a message means: that is `relay`'s. Nothing here
//! panics on any input. Called by `relay`, `net` (framing) and `client`.

pub mod address;
pub mod attribute;
pub mod channel_data;
pub mod classic;
pub mod error_code;
pub mod frame;
pub mod integrity;
pub mod message;
pub mod writer;

pub use attribute::AttributeType;
pub use channel_data::ChannelNumber;
pub use error_code::ErrorCode;
pub use message::{Class, Message, Method, ParseError, TransactionId};
pub use writer::MessageWriter;

/// STUN's magic cookie (RFC 8489 §5).
pub const MAGIC_COOKIE: u32 = 0x2112_A442;

/// Bytes of a STUN header.
pub const HEADER_LENGTH: usize = 20;

/// What the first byte of a packet says it is (RFC 8656 Table 3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PacketKind {
    /// 0x00 to 0x03.
    Stun,
    /// 0x40 to 0x7F; above 0x4F only RFC 5766 has channels.
    ChannelData,
}

/// Tells STUN from ChannelData; `None` for everything else, and for nothing.
pub const fn packet_kind(bytes: &[u8]) -> Option<PacketKind> {
    match bytes {
        [0x00..=0x03, ..] => Some(PacketKind::Stun),
        [0x40..=0x7F, ..] => Some(PacketKind::ChannelData),
        _ => None,
    }
}

/// Zero bytes that bring `length` to a multiple of 4.
pub const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}
