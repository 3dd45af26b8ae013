//! Messages in a byte stream (RFC 8489 §6.2.2, RFC 8656 §12.5): STUN by its
//! length field, ChannelData by its own, padded to a multiple of 4.

use super::{HEADER_LENGTH, MAGIC_COOKIE, PacketKind, channel_data, packet_kind, padding};

/// What the front of a stream buffer holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A whole frame: its message is `buffer[..message]`, and the next frame
    /// begins at `total`.
    Frame {
        /// Bytes of the message, without ChannelData padding.
        message: usize,
        /// Bytes of the frame, padding included.
        total: usize,
    },
    /// More is to be read: at least so many bytes in all.
    NeedMore(usize),
    /// Not STUN or ChannelData, or longer than allowed. The stream is lost: there
    /// is no way to find the next frame.
    Invalid,
}

/// Looks at the front of `buffer`; a message above `max` bytes is invalid. With
/// its padding, a frame may be as long as `max` rounded up to a multiple of 4:
/// the caller's buffer has to hold that much.
///
/// What can't become a message is refused as soon as its first byte, its length
/// or its cookie shows it, so nobody can make the server wait for, or hold, what
/// it would not read.
pub fn next(buffer: &[u8], max: usize) -> Next {
    let Some(kind) = packet_kind(buffer) else {
        return if buffer.is_empty() { Next::NeedMore(channel_data::HEADER_LENGTH) } else { Next::Invalid };
    };
    let [_, _, l0, l1, ..] = buffer else {
        return Next::NeedMore(channel_data::HEADER_LENGTH);
    };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    let (message, total) = match kind {
        PacketKind::Stun => {
            let cookie = MAGIC_COOKIE.to_be_bytes();
            let seen = &buffer[4..buffer.len().min(8)];
            if length % 4 != 0 || !cookie.starts_with(seen) {
                return Next::Invalid;
            }
            (HEADER_LENGTH + length, HEADER_LENGTH + length)
        }
        PacketKind::ChannelData => {
            let message = channel_data::HEADER_LENGTH + length;
            (message, message + padding(length))
        }
    };
    if message > max {
        Next::Invalid
    } else if buffer.len() < total {
        Next::NeedMore(total)
    } else {
        Next::Frame { message, total }
    }
}
