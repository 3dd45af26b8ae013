//! Messages in a byte stream (RFC 8489 §6.2.2, RFC 8656 §12.5).

use floe::wire::frame::{Next, next};
use floe::wire::{ChannelNumber, Method, channel_data, padding};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{Draft, drafts};
use crate::stream_framing::{check, check_stream};

/// All that the length fields allow.
const MAX: usize = 20 + 65_535;

fn channel_data_frame(payload: &[u8]) -> Vec<u8> {
    let mut bytes = channel_data::header(ChannelNumber(0x4000), payload.len()).unwrap().to_vec();
    bytes.extend(payload);
    bytes
}

/// Messages as they go on a stream: those whose first byte says what they are.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let stun = (drafts(), 0..0x100u16)
        .prop_map(|(draft, method)| Draft { method: Method::new(method), ..draft }.write());
    let data = vec(any::<u8>(), 0..200).prop_map(|payload| channel_data_frame(&payload));
    vec(prop_oneof![stun, data], 0..8)
}

fn on_a_stream(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut stream = Vec::new();
    for message in messages {
        stream.extend(message);
        stream.resize(stream.len() + padding(message.len()), 0);
    }
    stream
}

proptest! {
    #[test]
    fn any_split_gives_the_same_messages(messages in messages(), seed: u32) {
        let stream = on_a_stream(&messages);
        let found = check_stream(&stream, MAX, seed);
        let found: Vec<_> = found.into_iter().map(|range| stream[range].to_vec()).collect();
        prop_assert_eq!(found, messages);
    }

    #[test]
    fn a_partial_message_is_kept_for_the_next_read(
        messages in messages(), cut in any::<prop::sample::Index>(), seed: u32,
    ) {
        let stream = on_a_stream(&messages);
        let arrived = cut.index(stream.len() + 1);
        let found = check_stream(&stream[..arrived], MAX, seed);
        prop_assert!(found.len() <= messages.len());
        prop_assert!(found.iter().zip(&messages).all(|(range, message)| stream[range.clone()] == message[..]));
    }

    #[test]
    fn garbage_behind_messages_ends_the_stream(
        messages in messages(), garbage in vec(any::<u8>(), 1..100), seed: u32,
    ) {
        let mut stream = on_a_stream(&messages);
        stream.extend(garbage);
        prop_assert!(check_stream(&stream, MAX, seed).len() >= messages.len());
    }

    #[test]
    fn any_input_of_the_fuzz_target(input in vec(any::<u8>(), 0..300)) {
        check(&input);
    }

    #[test]
    fn any_bytes_are_framed_alike(stream in vec(any::<u8>(), 0..300), seed: u32, max in 20..400usize) {
        check_stream(&stream, max, seed);
    }

    #[test]
    fn any_limit_holds(messages in messages(), max in 20..300usize, seed: u32) {
        let found = check_stream(&on_a_stream(&messages), max, seed);
        let allowed = messages.iter().take_while(|message| message.len() <= max).count();
        prop_assert_eq!(found.len(), allowed);
    }
}

#[test]
fn nothing_needs_a_header_first() {
    for bytes in [&[][..], &[0x00], &[0x01, 0x01, 0x00], &[0x40], &[0x4F, 0xFF, 0xFF]] {
        assert_eq!(next(bytes, MAX), Next::NeedMore(4));
    }
}

#[test]
fn first_byte_alone_refuses_what_is_neither() {
    for first in (0x04..=0x3F).chain(0x80..=0xFF) {
        assert_eq!(next(&[first], MAX), Next::Invalid, "{first:#04x}");
    }
}

//
#[test]
fn rfc_4571_framing_is_refused_at_its_length() {
    // 00 14, then a Binding request.
    assert_eq!(next(&[0x00, 0x14, 0x00, 0x01], MAX), Next::Invalid);
}

#[test]
fn a_wrong_cookie_is_refused_at_its_first_wrong_byte() {
    let right = [0x00, 0x01, 0x00, 0x00, 0x21, 0x12, 0xA4, 0x42];
    for wrong in 4..8 {
        let mut bytes = right;
        bytes[wrong] ^= 1;
        assert_eq!(next(&bytes[..wrong], MAX), Next::NeedMore(20));
        assert_eq!(next(&bytes[..=wrong], MAX), Next::Invalid);
    }
}

#[test]
fn longest_channel_data_does_not_overflow() {
    for length in 0xFFFC..=0xFFFFusize {
        let mut frame = channel_data_frame(&vec![7; length]);
        assert_eq!(next(&frame[..4], MAX), Next::NeedMore(0x1_0000 + 4 * usize::from(length != 0xFFFC)));
        let message = frame.len();
        frame.resize(message + padding(message), 0);
        let total = frame.len();
        assert_eq!(next(&frame[..total - 1], MAX), Next::NeedMore(total));
        assert_eq!(next(&frame, MAX), Next::Frame { message, total });
        // A limit counts the message, not its padding.
        assert_eq!(next(&frame, message), Next::Frame { message, total });
        assert_eq!(next(&frame[..4], message - 1), Next::Invalid);
    }
}

// H-043
#[test]
fn too_long_is_refused_before_it_arrives() {
    assert_eq!(next(&[0x00, 0x01, 0xFF, 0xFC], 16_384), Next::Invalid);
    assert_eq!(next(&[0x40, 0x00, 0xFF, 0xFF], 16_384), Next::Invalid);
}

#[test]
fn empty_channel_data_is_a_frame() {
    assert_eq!(next(&[0x40, 0x00, 0x00, 0x00], MAX), Next::Frame { message: 4, total: 4 });
}

#[test]
fn padding_belongs_to_the_frame_and_not_to_the_message() {
    let stream = [0x40, 0x00, 0x00, 0x01, 0xAA, 0, 0, 0, 0x40];
    assert_eq!(next(&stream[..7], MAX), Next::NeedMore(8));
    assert_eq!(next(&stream, MAX), Next::Frame { message: 5, total: 8 });
}
