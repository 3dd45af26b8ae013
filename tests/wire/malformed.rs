//! What is no message is refused, and nothing panics (RFC 8489 §6.3, §14; A-001,
//! H-045).

use floe::wire::{AttributeType, Message, PacketKind, ParseError, packet_kind};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{drafts, fix_length, request};
use crate::wire_decode;

fn refused(bytes: &[u8]) -> bool {
    matches!(Message::parse(bytes), Err(ParseError::Malformed))
}

fn binding() -> Vec<u8> {
    request(|message| {
        message.put(AttributeType::SOFTWARE, b"test");
    })
}

//
#[test]
fn top_bits_are_zero() {
    for top in [0x40, 0x80, 0xC0] {
        let mut bytes = binding();
        bytes[0] |= top;
        assert!(refused(&bytes));
    }
}

//
#[test]
fn the_cookie_is_there() {
    for byte in 4..8 {
        let mut bytes = binding();
        bytes[byte] ^= 0x01;
        assert!(refused(&bytes));
    }
}

// A-008 A-009
#[test]
fn the_length_is_that_of_the_datagram() {
    let right = binding();
    let length = u16::try_from(right.len() - 20).unwrap();
    for other in (0..=u16::MAX).filter(|other| *other != length) {
        let mut bytes = right.clone();
        bytes[2..4].copy_from_slice(&other.to_be_bytes());
        assert!(refused(&bytes), "{other}");
    }
    for behind in 1..9 {
        let mut bytes = right.clone();
        bytes.resize(right.len() + behind, 0);
        assert!(refused(&bytes));
    }
    for cut in 0..right.len() {
        assert!(refused(&right[..cut]));
    }
}

//
#[test]
fn the_length_is_a_multiple_of_four() {
    for extra in 1..4 {
        let mut bytes = binding();
        bytes.resize(bytes.len() + extra, 0);
        fix_length(&mut bytes);
        assert!(refused(&bytes));
    }
}

//
#[test]
fn an_attribute_ends_within_the_message() {
    let whole = request(|message| {
        message.put(AttributeType::DATA, &[1; 8]).put(AttributeType::SOFTWARE, &[2; 8]);
    });
    // Of every 16-bit length of the last attribute, 5 to 8 fill the message.
    for length in 0..=u16::MAX {
        let mut bytes = whole.clone();
        bytes[34..36].copy_from_slice(&length.to_be_bytes());
        let parsed = Message::parse(&bytes);
        match length {
            5..=8 => {
                assert_eq!(parsed.unwrap().get(AttributeType::SOFTWARE).unwrap().len(), usize::from(length))
            }
            // What is left over reads as a header: type 0x0202, length 0x0202.
            _ => assert_eq!(parsed.unwrap_err(), ParseError::Malformed, "{length}"),
        }
    }
}

#[test]
fn the_last_attribute_is_padded() {
    let mut bytes = request(|message| {
        message.put(AttributeType::SOFTWARE, b"abcde");
    });
    bytes.truncate(bytes.len() - 3);
    fix_length(&mut bytes);
    assert!(refused(&bytes));
}

//
#[test]
fn fingerprint_is_last() {
    for behind in [AttributeType::SOFTWARE, AttributeType::MESSAGE_INTEGRITY, AttributeType::FINGERPRINT] {
        let bytes = request(|message| {
            message.put_fingerprint().put(behind, &[0; 4]);
        });
        assert!(refused(&bytes));
    }
}

//
#[test]
fn fingerprint_is_right() {
    let mut bytes = request(|message| {
        message.put_fingerprint();
    });
    assert!(Message::parse(&bytes).unwrap().has_fingerprint());
    *bytes.last_mut().unwrap() ^= 1;
    assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::BadFingerprint);
    for length in [0, 1, 3, 5, 8] {
        let bytes = request(|message| {
            message.put(AttributeType::FINGERPRINT, &vec![0; length]);
        });
        assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::BadFingerprint);
    }
}

//
#[test]
fn the_first_byte_says_what_a_packet_is() {
    for first in 0..=u8::MAX {
        let expected = match first {
            0x00..=0x03 => Some(PacketKind::Stun),
            0x40..=0x7F => Some(PacketKind::ChannelData),
            _ => None,
        };
        assert_eq!(packet_kind(&[first]), expected);
    }
    assert_eq!(packet_kind(&[]), None);
}

proptest! {
    #[test]
    fn random_bytes(bytes in vec(any::<u8>(), 0..600)) {
        wire_decode::check(&bytes);
    }

    #[test]
    fn random_attributes(mut bytes in vec(any::<u8>(), 20..600), keep: u8) {
        // A right header, and lengths small enough to be met often.
        bytes[0] &= 0x3F;
        bytes.truncate(bytes.len() / 4 * 4);
        bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x42]);
        bytes[20..].chunks_mut(4).for_each(|chunk| {
            if chunk[0] < keep {
                chunk[2] = 0;
                chunk[3] %= 24;
            }
        });
        fix_length(&mut bytes);
        wire_decode::check(&bytes);
    }

    #[test]
    fn truncated_messages(draft in drafts(), cut in any::<prop::sample::Index>(), fix: bool) {
        let mut bytes = draft.write();
        bytes.truncate(cut.index(bytes.len()));
        if fix && bytes.len() >= 20 {
            fix_length(&mut bytes);
        } else {
            prop_assert!(refused(&bytes));
        }
        wire_decode::check(&bytes);
    }

    #[test]
    fn mutated_messages(draft in drafts(), changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = draft.write();
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        wire_decode::check(&bytes);
    }

    #[test]
    fn whole_messages(draft in drafts()) {
        wire_decode::check(&draft.write());
    }
}
