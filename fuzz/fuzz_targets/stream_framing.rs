//! Any bytes as a stream: however they are cut into reads, the same frames come
//! out, none is waited for longer than it must be, and garbage is refused at the
//! first byte that shows it.
//!
//! The first byte of the input chooses the longest message, the second how the
//! stream is cut.
#![cfg_attr(fuzzing, no_main)]

use std::ops::Range;

use floe::wire::frame::{self, Next};
use floe::wire::{HEADER_LENGTH, MAGIC_COOKIE, Message, PacketKind, channel_data, packet_kind};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Longest messages: one header, a datagram, a server before authentication,
/// all that the length fields allow.
const LIMITS: [usize; 4] = [HEADER_LENGTH, 1_500, 16_384, HEADER_LENGTH + 65_535];

pub(crate) fn check(data: &[u8]) {
    let [limit, seed, stream @ ..] = data else { return };
    check_stream(stream, LIMITS[usize::from(limit % 4)], u32::from(*seed));
}

/// Checks one stream; `seed` cuts it. Returns the messages in it.
pub(crate) fn check_stream(stream: &[u8], max: usize, seed: u32) -> Vec<Range<usize>> {
    let whole = read(stream, max, |_| stream.len());
    let byte_by_byte = read(stream, max, |_| 1);
    assert_eq!(byte_by_byte, whole);
    let mut state = seed;
    let in_pieces = read(stream, max, |left| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        1 + state as usize % left.min(1 + 40 * (seed as usize % 8))
    });
    assert_eq!(in_pieces, whole);
    let mut front = 0;
    for (message, total) in &whole.frames {
        check_front(&stream[front..], max);
        check_whole_message(&stream[message.clone()]);
        front += total;
    }
    check_front(&stream[front..], max);
    whole.frames.into_iter().map(|(message, _)| message).collect()
}

/// What a connection makes of a stream.
#[derive(PartialEq, Eq, Debug)]
struct Reading {
    /// Where each message lies, and the length of its frame.
    frames: Vec<(Range<usize>, usize)>,
    /// The connection was given up.
    lost: bool,
}

/// Reads as a connection does; `cut` says how many of the bytes left come next.
fn read(stream: &[u8], max: usize, mut cut: impl FnMut(usize) -> usize) -> Reading {
    let mut reading = Reading { frames: Vec::new(), lost: false };
    let (mut front, mut arrived) = (0, 0);
    loop {
        let buffer = &stream[front..arrived];
        match frame::next(buffer, max) {
            Next::Frame { message, total } => {
                assert!(message <= total && total <= buffer.len() && total - message < 4);
                reading.frames.push((front..front + message, total));
                front += total;
            }
            Next::NeedMore(least) => {
                assert!(least > buffer.len() && least <= max.next_multiple_of(4));
                if arrived == stream.len() {
                    return reading;
                }
                arrived += cut(stream.len() - arrived).clamp(1, stream.len() - arrived);
            }
            Next::Invalid => {
                reading.lost = true;
                return reading;
            }
        }
    }
}

/// Every length that the front frame may have arrived with: the verdict comes at
/// the first byte that allows it, stays, and what is asked for is never too much.
fn check_front(stream: &[u8], max: usize) {
    let refused_at = first_bad_byte(stream, max).map(|index| index + 1);
    for arrived in 0..=stream.len() {
        match frame::next(&stream[..arrived], max) {
            Next::Invalid => {
                assert!(refused_at.is_some_and(|least| arrived >= least));
                return;
            }
            Next::Frame { total, .. } => {
                assert_eq!(arrived, total);
                assert_eq!(refused_at, None);
                return;
            }
            Next::NeedMore(least) => {
                assert!(refused_at.is_none_or(|bad| arrived < bad));
                let Some(enough) = stream.get(..least) else { continue };
                let waited = frame::next(&enough[..least - 1], max);
                assert!(!matches!(waited, Next::Frame { .. }));
            }
        }
    }
}

/// The rules of a frame, written plainly.
fn first_bad_byte(stream: &[u8], max: usize) -> Option<usize> {
    let kind = match (stream.first(), packet_kind(stream)) {
        (None, _) => return None,
        (_, None) => return Some(0),
        (_, Some(kind)) => kind,
    };
    let length = usize::from(u16::from_be_bytes([*stream.get(2)?, *stream.get(3)?]));
    match kind {
        PacketKind::ChannelData => (channel_data::HEADER_LENGTH + length > max).then_some(3),
        PacketKind::Stun if length % 4 != 0 || HEADER_LENGTH + length > max => Some(3),
        PacketKind::Stun => {
            (4..8).find(|i| stream.get(*i).is_some_and(|byte| *byte != MAGIC_COOKIE.to_be_bytes()[i - 4]))
        }
    }
}

/// What was framed may still be no message, but its length is right.
fn check_whole_message(message: &[u8]) {
    match packet_kind(message) {
        Some(PacketKind::ChannelData) => {
            let payload = channel_data::parse(message).map(|(_, payload)| payload);
            assert_eq!(payload, Ok(channel_data::HEADER_LENGTH..message.len()));
        }
        _ => drop(Message::parse(message)),
    }
}
