//! Any bytes as one datagram: nothing panics, and what is read is the same
//! however it is asked for and after it was written anew.
#![cfg_attr(fuzzing, no_main)]

use std::collections::HashMap;

use floe::wire::attribute::{
    address_error_code_value, channel_number_value, error_code_value, even_port_value, first_of_four,
    u32_value, unknown_attributes_value,
};
use floe::wire::frame::{self, Next};
use floe::wire::integrity::{FINGERPRINT_XOR, PasswordAlgorithm};
use floe::wire::message::{Attribute, message_type};
use floe::wire::{
    AttributeType, HEADER_LENGTH, Message, MessageWriter, TransactionId, address, channel_data, packet_kind,
    padding,
};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Takes `data` apart in every way there is.
pub(crate) fn check(data: &[u8]) {
    check_channel_data(data);
    if let Ok(message) = Message::parse(data) {
        check_message(data, &message);
    }
    // A CRC is what a fuzzer does not guess: the same bytes with the right one.
    let mut repaired = data.to_vec();
    if let Some((before, [0x80, 0x28, 0, 4, crc @ ..])) = repaired.split_last_chunk_mut::<8>() {
        *crc = (crc32fast::hash(before) ^ FINGERPRINT_XOR).to_be_bytes();
        if let Ok(message) = Message::parse(&repaired) {
            check_message(&repaired, &message);
        }
    }
}

fn check_channel_data(data: &[u8]) {
    let Ok((channel, payload)) = channel_data::parse(data) else { return };
    assert_eq!(payload.start, channel_data::HEADER_LENGTH);
    assert!(payload.end <= data.len());
    let header = channel_data::header(channel, payload.len());
    assert_eq!(header.as_ref().map(|h| &h[..]), data.get(..channel_data::HEADER_LENGTH));
}

fn check_message(data: &[u8], message: &Message<'_>) {
    let kind = message_type(message.class(), message.method());
    assert_eq!(kind.to_be_bytes(), data[..2]);
    assert_eq!(message.transaction_id().0, data[8..HEADER_LENGTH]);
    if packet_kind(data).is_some() {
        let whole = Next::Frame { message: data.len(), total: data.len() };
        assert_eq!(frame::next(data, data.len()), whole);
    }
    assert!(!message.verify_sha1(b"no key that anyone used"));
    assert!(!message.verify_sha256(b"no key that anyone used"));
    check_attributes(data, message);
    for attribute in message.attributes() {
        check_value(attribute.value, message.transaction_id());
    }
    check_rewritten(message);
}

/// They lie one behind the other, and a look-up finds the first of its type.
fn check_attributes(data: &[u8], message: &Message<'_>) {
    let mut end = HEADER_LENGTH;
    let mut first = HashMap::new();
    for Attribute { kind, value, .. } in message.attributes() {
        assert_eq!(data[end..end + 2], kind.0.to_be_bytes());
        assert_eq!(data[end + 4..end + 4 + value.len()], *value);
        first.entry(kind).or_insert(end + 4..end + 4 + value.len());
        end += 4 + value.len() + padding(value.len());
    }
    let sealed = message.has_sha1() || message.has_sha256() || message.has_fingerprint();
    assert_eq!(end < data.len(), sealed);
    for (kind, range) in first {
        assert_eq!(message.get(kind), Some(&data[range.clone()]));
        assert_eq!(message.range(kind), Some(range));
    }
    let seals = [
        AttributeType::MESSAGE_INTEGRITY,
        AttributeType::MESSAGE_INTEGRITY_SHA256,
        AttributeType::FINGERPRINT,
    ];
    assert!(seals.iter().all(|kind| !message.has(*kind)));
}

/// Every reader of values; what one accepts, its writer gives back.
fn check_value(value: &[u8], id: TransactionId) {
    if let Ok(read) = address::decode(value) {
        assert_eq!(address::encode(read)[1..], value[1..]);
    }
    if let Ok(read) = address::decode_xor(value, id) {
        assert_eq!(address::encode_xor(read, id)[1..], value[1..]);
    }
    if let Ok(read) = u32_value(value) {
        assert_eq!(read.to_be_bytes(), value);
    }
    assert_eq!(channel_number_value(value).is_ok(), value.len() == 4);
    assert_eq!(first_of_four(value).is_ok(), value.len() == 4);
    assert_eq!(even_port_value(value).is_ok(), value.len() == 1);
    if let Ok((code, reason)) = error_code_value(value) {
        assert_eq!(code.class_and_number(), [value[2] & 0x07, value[3]]);
        assert_eq!(reason.as_bytes(), &value[4..]);
        assert_eq!(address_error_code_value(value), Ok((value[0], code)));
    }
    if let Ok(types) = unknown_attributes_value(value) {
        assert!(types.flat_map(|kind| kind.0.to_be_bytes()).eq(value.iter().copied()));
    }
    if let Some(algorithm) = PasswordAlgorithm::from_value(value) {
        assert_eq!(algorithm.value(), value);
        assert_eq!(PasswordAlgorithm::preferred(value), Some(algorithm));
    }
    let _ = PasswordAlgorithm::preferred(value);
}

/// Written anew and sealed, it reads the same, and only with the right keys.
fn check_rewritten(message: &Message<'_>) {
    let length: usize = message.attributes().map(|a| 4 + a.value.len() + padding(a.value.len())).sum();
    if length > 65_000 {
        return;
    }
    let mut out = vec![0xA5; 3];
    let mut writer =
        MessageWriter::new(&mut out, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes() {
        writer.put(attribute.kind, attribute.value);
    }
    writer.sign_sha1(b"one").sign_sha256(b"two").put_fingerprint();
    let range = writer.finish();
    assert_eq!(range, 3..out.len());
    let again = Message::parse(&out[range]);
    let again = again.unwrap_or_else(|error| panic!("what was written does not read: {error}"));
    let pairs = |m: &Message<'_>| -> Vec<_> { m.attributes().map(|a| (a.kind, a.value.to_vec())).collect() };
    assert_eq!(pairs(&again), pairs(message));
    assert!(again.verify_sha1(b"one") && again.verify_sha256(b"two") && again.has_fingerprint());
    assert!(!again.verify_sha1(b"two") && !again.verify_sha256(b"one"));
}
