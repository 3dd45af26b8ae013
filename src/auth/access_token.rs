//! The self-contained access token of RFC 7635 §6.2: what an authorization server
//! seals for a client, and this server opens. Sealing is for trying it out and for
//! tests. Who may seal, and which key goes with which `kid`, is `third_party`'s.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use arrayvec::ArrayVec;
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use crate::relay::time::UnixTime;
use crate::relay::world::{MAC_KEY_BYTES, MacKey, TokenFault};

/// How far the clocks may be apart (RFC 7635 §7).
pub(super) const SKEW: Duration = Duration::from_secs(5);

/// Shortest key in a token, bytes. RFC 7635 wants 20 to be supported; RFC 2104 §3
/// discourages less than the hash is long.
const SHORTEST_MAC_KEY: usize = 16;

/// Bytes of a sealed block: key length, key, timestamp, lifetime, and the tag of
/// either AEAD.
const MAX_SEALED: usize = 2 + MAC_KEY_BYTES + 8 + 4 + 16;

/// The AEADs of RFC 7635 §4.1.1, by the names that JSON Web Encryption has for
/// them (RFC 7518 §5.3).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// AES-256 in Galois/Counter Mode.
    A256Gcm,
    /// AES-128 in Galois/Counter Mode.
    A128Gcm,
}

impl Algorithm {
    /// `A256GCM` or `A128GCM`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::A256Gcm => "A256GCM",
            Self::A128Gcm => "A128GCM",
        }
    }

    /// Bytes of its key.
    pub const fn key_length(self) -> usize {
        match self {
            Self::A256Gcm => 32,
            Self::A128Gcm => 16,
        }
    }
}

impl FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::A256Gcm, Self::A128Gcm].into_iter().find(|algorithm| algorithm.name() == text).ok_or("no AEAD")
    }
}

/// The key that an authorization server shares with this server.
#[derive(Clone)]
pub struct TokenKey(LessSafeKey);

impl TokenKey {
    /// `None` unless `key` has [`Algorithm::key_length`] bytes.
    pub fn new(algorithm: Algorithm, key: &[u8]) -> Option<Self> {
        let algorithm = match algorithm {
            Algorithm::A256Gcm => &AES_256_GCM,
            Algorithm::A128Gcm => &AES_128_GCM,
        };
        UnboundKey::new(algorithm, key).ok().map(|key| Self(LessSafeKey::new(key)))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey(..)")
    }
}

/// What is sealed in a token.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Signs the client's messages; 16 to 64 bytes.
    pub mac_key: MacKey,
    /// When it was made; on the wire in 1/64000 of a second.
    pub timestamp: UnixTime,
    /// Seconds.
    pub lifetime: u32,
}

/// All but the key.
impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AccessToken({:?}, {} s, ..)", self.timestamp, self.lifetime)
    }
}

impl AccessToken {
    /// Opens the value of an ACCESS-TOKEN attribute, of whatever length: it has to
    /// be one nonce of the AEAD's length and one sealed block, and nothing more.
    /// Nothing in it is believed before the tag is right, `nonce_length` least of
    /// all (CVE-2026-43994).
    pub fn open(key: &TokenKey, server_name: &str, token: &[u8]) -> Result<Self, TokenFault> {
        let (nonce, sealed) = split(token).ok_or(TokenFault::Sealed)?;
        let mut block = ArrayVec::<u8, MAX_SEALED>::try_from(sealed).map_err(|_| TokenFault::Sealed)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let plain = key.0.open_in_place(nonce, Aad::from(server_name.as_bytes()), &mut block);
        Self::read(plain.map_err(|_| TokenFault::Sealed)?).ok_or(TokenFault::Contents)
    }

    fn read(block: &[u8]) -> Option<Self> {
        let (length, rest) = block.split_first_chunk()?;
        let (mac_key, rest) = rest.split_at_checked(u16::from_be_bytes(*length).into())?;
        let (timestamp, rest) = rest.split_first_chunk()?;
        let mac_key = MacKey::try_from(mac_key).ok().filter(|key| key.len() >= SHORTEST_MAC_KEY)?;
        let lifetime = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self { mac_key, timestamp: from_wire(u64::from_be_bytes(*timestamp)), lifetime })
    }

    /// Seals it as an authorization server does. No two tokens of a key may have
    /// the same nonce.
    pub fn seal(&self, key: &TokenKey, server_name: &str, nonce: [u8; NONCE_LEN]) -> Vec<u8> {
        let mut block = Vec::with_capacity(MAX_SEALED);
        block.extend((self.mac_key.len() as u16).to_be_bytes());
        block.extend_from_slice(&self.mac_key);
        block.extend(to_wire(self.timestamp).to_be_bytes());
        block.extend(self.lifetime.to_be_bytes());
        let mut token = (NONCE_LEN as u16).to_be_bytes().to_vec();
        token.extend(nonce);
        let nonce = Nonce::assume_unique_for_key(nonce);
        // It fails for blocks of gigabytes alone.
        if key.0.seal_in_place_append_tag(nonce, Aad::from(server_name.as_bytes()), &mut block).is_ok() {
            token.extend(block);
        }
        token
    }

    /// How much longer it is good for: RFC 7635 §7 takes it while
    /// `lifetime + Delta > abs(now - timestamp)`, and §9 makes the difference the
    /// longest lifetime of an allocation.
    pub fn lasts(&self, now: UnixTime) -> Result<Duration, TokenFault> {
        let good_for = Duration::from_secs(self.lifetime.into()) + SKEW;
        let distance = Duration::from_millis(now.millis().abs_diff(self.timestamp.millis()));
        match good_for.checked_sub(distance) {
            Some(left) if !left.is_zero() => Ok(left),
            _ if self.timestamp > now => Err(TokenFault::Early),
            _ => Err(TokenFault::Expired),
        }
    }
}

fn split(token: &[u8]) -> Option<([u8; NONCE_LEN], &[u8])> {
    let (length, rest) = token.split_first_chunk()?;
    let (nonce, sealed) = rest.split_first_chunk()?;
    (usize::from(u16::from_be_bytes(*length)) == NONCE_LEN).then_some((*nonce, sealed))
}

/// 48 bits of seconds, 16 of 1/64000 seconds (RFC 7635 §6.2), of which a second has
/// no more than 63,999.
fn from_wire(timestamp: u64) -> UnixTime {
    UnixTime::from_millis((timestamp >> 16) * 1000 + ((timestamp & 0xFFFF) / 64).min(999))
}

const fn to_wire(time: UnixTime) -> u64 {
    (time.secs() << 16) | (time.millis() % 1000 * 64)
}

#[cfg(test)]
#[path = "access_token_test.rs"]
mod tests;
