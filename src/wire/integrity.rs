//! Message integrity and the keys behind it (RFC 8489 §9.2.2, §14.5 to §14.7).

use std::fmt;

use md5::{Digest as _, Md5};
use ring::{digest, hmac};
use subtle::ConstantTimeEq as _;

use super::{HEADER_LENGTH, padding};

/// What a FINGERPRINT's CRC is XORed with (RFC 8489 §14.7).
pub const FINGERPRINT_XOR: u32 = 0x5354_554E;

/// PASSWORD-ALGORITHM numbers (RFC 8489 §18.5).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PasswordAlgorithm {
    /// 0x0001: a 16-byte key.
    Md5,
    /// 0x0002: a 32-byte key.
    Sha256,
}

impl PasswordAlgorithm {
    /// PASSWORD-ALGORITHMS as this server sends it: SHA-256, then MD5, both
    /// without parameters.
    pub const LIST: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

    /// From the value of PASSWORD-ALGORITHM; `None` for an unknown number or one
    /// with parameters.
    pub const fn from_value(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }

    /// What a client is to use of the value of PASSWORD-ALGORITHMS: the first that
    /// is known here (RFC 8489 §9.2.5). `None` when there is none.
    pub fn preferred(list: &[u8]) -> Option<Self> {
        let mut rest = list;
        while let [_, _, l0, l1, parameters @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            let entry = rest.get(..4 + length)?;
            if let Some(algorithm) = Self::from_value(entry) {
                return Some(algorithm);
            }
            rest = parameters.get(length + padding(length)..)?;
        }
        None
    }

    /// The value of PASSWORD-ALGORITHM.
    pub const fn value(self) -> [u8; 4] {
        match self {
            Self::Md5 => [0, 1, 0, 0],
            Self::Sha256 => [0, 2, 0, 0],
        }
    }
}

/// The long-term keys of one user and password (RFC 8489 §9.2.2, §18.5.1).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LongTermKeys {
    /// MD5(username ":" realm ":" password)
    pub md5: [u8; 16],
    /// SHA-256(username ":" realm ":" password)
    pub sha256: [u8; 32],
}

impl LongTermKeys {
    /// Derives both from strings already prepared (OpaqueString, RFC 8265); the
    /// password is not kept.
    pub fn derive(username: &str, realm: &str, password: &str) -> Self {
        let mut md5 = Md5::new();
        let mut sha256 = digest::Context::new(&digest::SHA256);
        for part in [username, ":", realm, ":", password] {
            md5.update(part.as_bytes());
            sha256.update(part.as_bytes());
        }
        let mut keys = Self { md5: md5.finalize().into(), sha256: [0; 32] };
        keys.sha256.copy_from_slice(sha256.finish().as_ref());
        keys
    }

    /// The key for one algorithm.
    pub const fn key(&self, algorithm: PasswordAlgorithm) -> &[u8] {
        match algorithm {
            PasswordAlgorithm::Md5 => &self.md5,
            PasswordAlgorithm::Sha256 => &self.sha256,
        }
    }
}

impl fmt::Debug for LongTermKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LongTermKeys(..)")
    }
}

/// USERHASH: SHA-256(username ":" realm) (RFC 8489 §14.4).
pub fn userhash(username: &str, realm: &str) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in [username, ":", realm] {
        context.update(part.as_bytes());
    }
    let mut hash = [0; 32];
    hash.copy_from_slice(context.finish().as_ref());
    hash
}

/// HMAC over `message` up to `offset`, where the integrity attribute begins, with
/// the header's length as if the message ended behind that attribute.
pub(super) fn sign(algorithm: hmac::Algorithm, key: &[u8], message: &[u8], offset: usize) -> hmac::Tag {
    let tag_length = algorithm.digest_algorithm().output_len();
    let length = u16::try_from(offset + 4 + tag_length - HEADER_LENGTH).unwrap_or(u16::MAX);
    let mut context = hmac::Context::with_key(&hmac::Key::new(algorithm, key));
    context.update(&message[..2]);
    context.update(&length.to_be_bytes());
    context.update(&message[4..offset]);
    context.sign()
}

/// Whether `tag` is what [`sign`] gives; constant time, false for another length.
pub(super) fn verify(
    algorithm: hmac::Algorithm,
    key: &[u8],
    message: &[u8],
    offset: usize,
    tag: &[u8],
) -> bool {
    let right = sign(algorithm, key, message, offset);
    right.as_ref().ct_eq(tag).into()
}
