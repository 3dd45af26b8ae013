//! The vectors of RFC 5769, of RFC 8489 appendix B.1 as corrected by erratum 6268,
//! and our own, read and written (G-1 to G-7, A-086).

use std::collections::BTreeMap;

use floe::wire::integrity::{LongTermKeys, userhash};
use floe::wire::{AttributeType, HEADER_LENGTH, Message, MessageWriter, ParseError, padding};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Vector {
    hex: String,
    #[serde(default)]
    cred: String,
    #[serde(default)]
    password: String,
    username: Option<String>,
    userhash: Option<String>,
    realm: Option<String>,
    nonce: Option<String>,
    software: Option<String>,
    mapped: Option<String>,
    #[serde(default)]
    key: String,
    /// `sha1`, `sha256` or `both`.
    #[serde(default)]
    mi: String,
    /// Why it is no message.
    broken: Option<String>,
}

impl Vector {
    fn bytes(&self) -> Vec<u8> {
        unhex(&self.hex)
    }

    fn key(&self) -> Vec<u8> {
        if self.cred == "short" {
            return self.password.clone().into_bytes();
        }
        let keys = LongTermKeys::derive(
            self.username.as_deref().unwrap_or_default(),
            self.realm.as_deref().unwrap_or_default(),
            &self.password,
        );
        if self.key == "sha256" { keys.sha256.to_vec() } else { keys.md5.to_vec() }
    }

    fn has_sha1(&self) -> bool {
        self.mi != "sha256"
    }

    fn has_sha256(&self) -> bool {
        self.mi != "sha1"
    }
}

fn unhex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2));
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// Those that are messages.
fn vectors() -> BTreeMap<String, Vector> {
    let mut all = all();
    all.retain(|_, vector| vector.broken.is_none());
    assert_eq!(all.len(), 9);
    all
}

fn all() -> BTreeMap<String, Vector> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

/// The message with every byte of padding zero.
fn with_zero_padding(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut at = HEADER_LENGTH;
    while at < bytes.len() {
        let length = usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        let end = at + 4 + length;
        bytes[end..end + padding(length)].fill(0);
        at = end + padding(length);
    }
    bytes
}

// G-1 G-2 G-3 G-4 G-6
#[test]
fn each_reads_as_what_it_is() {
    for (name, vector) in vectors() {
        let bytes = vector.bytes();
        let message = Message::parse(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        let texts = [
            (AttributeType::REALM, &vector.realm),
            (AttributeType::NONCE, &vector.nonce),
            (AttributeType::SOFTWARE, &vector.software),
        ];
        for (kind, text) in texts {
            assert_eq!(message.get(kind), text.as_ref().map(|text| text.as_bytes()), "{name}: {kind:?}");
        }
        match (&vector.userhash, &vector.username, &vector.realm) {
            (Some(hash), Some(username), Some(realm)) => {
                assert_eq!(message.get(AttributeType::USERHASH), Some(&unhex(hash)[..]), "{name}");
                assert_eq!(userhash(username, realm)[..], unhex(hash), "{name}");
            }
            (_, username, _) => {
                let username = username.as_ref().map(|text| text.as_bytes());
                assert_eq!(message.get(AttributeType::USERNAME), username, "{name}");
            }
        }
        let mapped = vector.mapped.as_ref().map(|address| Ok(address.parse().unwrap()));
        assert_eq!(message.xor_address(AttributeType::XOR_MAPPED_ADDRESS), mapped, "{name}");
    }
}

// G-1 G-2 G-3 G-4 G-6 G-7
#[test]
fn each_verifies_with_its_key_and_no_other() {
    for (name, vector) in vectors() {
        let bytes = vector.bytes();
        let message = Message::parse(&bytes).unwrap();
        let key = vector.key();
        assert_eq!(message.verify_sha1(&key), vector.has_sha1(), "{name}");
        assert_eq!(message.verify_sha256(&key), vector.has_sha256(), "{name}");
        let mut wrong = key.clone();
        wrong[0] ^= 1;
        assert!(!message.verify_sha1(&wrong) && !message.verify_sha256(&wrong), "{name}");
        assert!(!message.verify_sha1(b"") && !message.verify_sha256(b""), "{name}");
    }
}

#[test]
fn each_is_refused_with_any_bit_changed() {
    for (name, vector) in vectors() {
        let right = vector.bytes();
        let key = vector.key();
        let sealed_by_crc = Message::parse(&right).unwrap().has_fingerprint();
        // FINGERPRINT itself may turn into another attribute, which is ignored.
        let covered = if sealed_by_crc { right.len() - 8 } else { right.len() };
        for bit in 0..covered * 8 {
            let mut bytes = right.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            // SHA-256 decides where it is (RFC 8489 §9.2.4).
            let accepted = Message::parse(&bytes).is_ok_and(|message| match message.has_sha256() {
                true => message.verify_sha256(&key),
                false => message.verify_sha1(&key),
            });
            assert!(!accepted, "{name}: bit {bit}");
        }
        if sealed_by_crc {
            let mut bytes = right;
            *bytes.last_mut().unwrap() ^= 1;
            assert_eq!(Message::parse(&bytes).unwrap_err(), ParseError::BadFingerprint, "{name}");
        }
    }
}

// G-1 G-2 G-3 G-4 G-6 G-7
#[test]
fn each_is_written_byte_for_byte() {
    for (name, vector) in vectors() {
        let bytes = vector.bytes();
        let read = Message::parse(&bytes).unwrap();
        let mut out = Vec::new();
        let mut writer = MessageWriter::new(&mut out, read.class(), read.method(), read.transaction_id());
        for attribute in read.attributes() {
            writer.put(attribute.kind, attribute.value);
        }
        let plain = writer.finish().end;
        let key = vector.key();
        if read.has_sha1() {
            writer.sign_sha1(&key);
        }
        if read.has_sha256() {
            writer.sign_sha256(&key);
        }
        if read.has_fingerprint() {
            writer.put_fingerprint();
        }
        // RFC 5769 pads with 0x20; we never do (G-7), so the seals differ there.
        let expected = with_zero_padding(bytes.clone());
        let same = if expected == bytes { bytes.len() } else { plain };
        assert_eq!(out.len(), bytes.len(), "{name}");
        assert_eq!(out[..same], expected[..same], "{name}");
        let again = Message::parse(&out).unwrap();
        assert_eq!(again.verify_sha1(&key), vector.has_sha1(), "{name}");
        assert_eq!(again.verify_sha256(&key), vector.has_sha256(), "{name}");
    }
}

// G-5 A-008
#[test]
fn rfc_8489_b1_as_printed_is_dropped() {
    // Its length field says more than there is.
    let mut broken = all();
    broken.retain(|_, vector| vector.broken.is_some());
    assert_eq!(broken.len(), 1);
    for vector in broken.values() {
        assert_eq!(Message::parse(&vector.bytes()).unwrap_err(), ParseError::Malformed);
    }
}

//
#[test]
fn keys_are_those_of_the_rfcs() {
    let keys = LongTermKeys::derive("user", "realm", "pass");
    assert_eq!(keys.md5[..], unhex("8493fbc53ba582fb4c044c456bdc40eb"));
    let keys = LongTermKeys::derive("マトリックス", "example.org", "TheMatrIX");
    assert_eq!(keys.md5[..], unhex("e8ca7ad59d5eb0518e312911d2dab2a9"));
    assert_eq!(keys.sha256[..], unhex("dd295a613b9058c3c23d6dc7165bda072304d989c9d0af3a8c7e184b4f9bb4a1"));
    let keys = LongTermKeys::derive("alice", "example.com", "correct horse battery staple");
    assert_eq!(keys.md5[..], unhex("0aa957a5230b526246d640c747db7c5f"));
    assert_eq!(keys.sha256[..], unhex("94fca8c7545fb1327d1120e7e5ca936f8ab757e944eb3c792fbc9b287a652d43"));
    assert_eq!(format!("{keys:?}"), "LongTermKeys(..)");
}
