//! Message integrity and what it covers (RFC 8489 §9, §14.5 to §14.7; A-050 to
//!

use floe::wire::{AttributeType, Message};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::build::{Draft, drafts, fix_length, request};

const KEY: &[u8] = b"sixteen byte key";

fn values(message: &Message<'_>) -> Vec<(AttributeType, Vec<u8>)> {
    message.attributes().map(|a| (a.kind, a.value.to_vec())).collect()
}

// A-051 A-052
#[test]
fn what_follows_integrity_is_not_seen() {
    // LIFETIME 0 slipped in behind MESSAGE-INTEGRITY.
    for sha256 in [false, true] {
        let bytes = request(|message| {
            message.put(AttributeType::USERNAME, b"alice");
            if sha256 {
                message.sign_sha256(KEY)
            } else {
                message.sign_sha1(KEY)
            };
            message.put_u32(AttributeType::LIFETIME, 0).put(AttributeType(0x7FFE), &[]).put_fingerprint();
        });
        let message = Message::parse(&bytes).unwrap();
        assert!(message.verify_sha1(KEY) != sha256 && message.verify_sha256(KEY) == sha256);
        assert_eq!(values(&message), [(AttributeType::USERNAME, b"alice".to_vec())]);
        assert!(!message.has(AttributeType::LIFETIME) && !message.has(AttributeType(0x7FFE)));
        assert_eq!(message.range(AttributeType::LIFETIME), None);
        assert!(message.has_fingerprint());
    }
}

//
#[test]
fn both_may_be_there() {
    // And between them nothing counts.
    let bytes = request(|message| {
        message.put_u32(AttributeType::LIFETIME, 600).sign_sha1(KEY);
        message.put(AttributeType::DATA, b"hidden").sign_sha256(b"another key").put_fingerprint();
    });
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha1(KEY) && message.verify_sha256(b"another key"));
    assert_eq!(values(&message).len(), 1);
}

#[test]
fn sha1_behind_sha256_is_not_seen() {
    let bytes = request(|message| {
        message.sign_sha256(KEY).sign_sha1(KEY);
    });
    let message = Message::parse(&bytes).unwrap();
    assert!(message.has_sha256() && !message.has_sha1() && !message.verify_sha1(KEY));
}

#[test]
fn a_second_one_of_a_kind_is_not_seen() {
    let bytes = request(|message| {
        message.sign_sha1(KEY).sign_sha1(b"second").sign_sha256(KEY).sign_sha256(b"second");
    });
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha1(KEY) && message.verify_sha256(KEY));
    assert!(!message.verify_sha1(b"second") && !message.verify_sha256(b"second"));
}

//
#[test]
fn one_being_wrong_leaves_the_other() {
    // Which of them decides is the engine's.
    let right = request(|message| {
        message.sign_sha1(KEY).sign_sha256(KEY);
    });
    let mut wrong = right.clone();
    wrong[24] ^= 1; // in the SHA-1, which the SHA-256 covers
    let message = Message::parse(&wrong).unwrap();
    assert!(!message.verify_sha1(KEY) && !message.verify_sha256(KEY));
    let mut wrong = right;
    wrong[50] ^= 1; // in the SHA-256
    let message = Message::parse(&wrong).unwrap();
    assert!(message.verify_sha1(KEY) && !message.verify_sha256(KEY));
}

// A-054 A-055
#[test]
fn tags_of_other_lengths_never_verify() {
    // There, so not unauthenticated, but wrong.
    for (kind, right) in
        [(AttributeType::MESSAGE_INTEGRITY, 20), (AttributeType::MESSAGE_INTEGRITY_SHA256, 32)]
    {
        for length in (0..64).filter(|length| *length != right) {
            // The right tag of a message that ends with it, cut or lengthened.
            let sealed = request(|message| {
                if right == 20 {
                    message.sign_sha1(KEY)
                } else {
                    message.sign_sha256(KEY)
                };
            });
            let mut tag = sealed[24..].to_vec();
            tag.resize(length, 0);
            let bytes = request(|message| {
                message.put(kind, &tag);
            });
            let message = Message::parse(&bytes).unwrap();
            assert!(message.has_sha1() || message.has_sha256());
            assert!(!message.verify_sha1(KEY) && !message.verify_sha256(KEY), "{kind:?} of {length}");
        }
    }
}

#[test]
fn without_integrity_nothing_verifies() {
    let bytes = request(|_| {});
    let message = Message::parse(&bytes).unwrap();
    assert!(!message.verify_sha1(b"") && !message.verify_sha256(b""));
}

//
#[test]
fn padding_is_covered_as_it_was_received() {
    // Padding that is not zero is accepted, and signed as it is.
    let mut bytes = request(|message| {
        message.put(AttributeType::USERNAME, b"alice");
    });
    bytes[29..32].fill(0x20);
    let unsigned = bytes.clone();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, KEY);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend([0; 20]);
    fix_length(&mut bytes);
    let tag = ring::hmac::sign(&key, &bytes[..unsigned.len()]);
    bytes[unsigned.len() + 4..].copy_from_slice(tag.as_ref());
    let message = Message::parse(&bytes).unwrap();
    assert!(message.verify_sha1(KEY));
    assert_eq!(message.get(AttributeType::USERNAME), Some(&b"alice"[..]));
    bytes[29] = 0;
    assert!(!Message::parse(&bytes).unwrap().verify_sha1(KEY));
}

proptest! {
    #[test]
    fn right_keys_verify_and_others_do_not(draft in drafts(), other in vec(any::<u8>(), 1..80)) {
        let bytes = draft.write();
        let message = Message::parse(&bytes).unwrap();
        prop_assert_eq!(message.has_sha1(), draft.sha1.is_some());
        prop_assert_eq!(message.has_sha256(), draft.sha256.is_some());
        prop_assert_eq!(message.has_fingerprint(), draft.fingerprint);
        for (key, verified) in [
            (&draft.sha1, message.verify_sha1(draft.sha1.as_deref().unwrap_or_default())),
            (&draft.sha256, message.verify_sha256(draft.sha256.as_deref().unwrap_or_default())),
        ] {
            prop_assert_eq!(verified, key.is_some());
        }
        // HMAC pads a short key with zeros: such keys are the same key.
        let stripped = |key: &[u8]| key.iter().rposition(|b| *b != 0).map(|last| key[..=last].to_vec());
        if draft.sha1.as_deref().map(stripped) != Some(stripped(&other)) {
            prop_assert!(!message.verify_sha1(&other));
        }
        if draft.sha256.as_deref().map(stripped) != Some(stripped(&other)) {
            prop_assert!(!message.verify_sha256(&other));
        }
    }

    #[test]
    fn any_attributes_behind_integrity_change_nothing(
        draft in drafts(), behind in crate::build::attributes(), fingerprint: bool,
    ) {
        let signed = Draft { sha1: Some(KEY.to_vec()), sha256: None, fingerprint: false, ..draft };
        let alone = signed.write();
        let mut all = signed.clone();
        all.attributes = behind;
        (all.sha1, all.fingerprint) = (None, fingerprint);
        let mut bytes = alone.clone();
        bytes.extend(&all.write()[20..]);
        if fingerprint {
            bytes.truncate(bytes.len() - 8);
        }
        fix_length(&mut bytes);
        let message = Message::parse(&bytes).unwrap();
        prop_assert!(message.verify_sha1(KEY));
        prop_assert_eq!(values(&message), values(&Message::parse(&alone).unwrap()));
    }

    #[test]
    fn any_changed_bit_is_noticed(draft in drafts(), bit in any::<prop::sample::Index>()) {
        let signed = Draft { sha1: None, sha256: Some(KEY.to_vec()), fingerprint: false, ..draft };
        let mut bytes = signed.write();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Message::parse(&bytes).map_or(true, |message| !message.verify_sha256(KEY)));
    }

    #[test]
    fn any_changed_bit_breaks_the_fingerprint(draft in drafts(), bit in any::<prop::sample::Index>()) {
        let mut bytes = Draft { fingerprint: true, ..draft }.write();
        let bit = bit.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        // It may turn into another attribute, or into a part of the one before.
        prop_assert!(!Message::parse(&bytes).is_ok_and(|message| message.has_fingerprint()));
    }
}
