//! Nonces that need no memory (RFC 8489 §9.2): the nonce cookie with its
//! security-feature bits, the time, and a tag over both and over whom it was
//! given to. A nonce survives a restart and is good at every server that has the
//! key.

use std::net::IpAddr;

use arrayvec::ArrayVec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use ring::hmac;
use subtle::ConstantTimeEq as _;

use super::address::FiveTuple;
use super::time::UnixTime;

/// Begins every nonce of a server that follows RFC 8489.
const COOKIE: &[u8] = b"obMatJos2";
const FEATURES_LENGTH: usize = 3;
const TIME_LENGTH: usize = 6;
/// 96 bits.
const TAG_LENGTH: usize = 12;
/// Cookie, four characters of features, 24 of time and tag.
const LENGTH: usize = COOKIE.len() + 4 + 24;
/// One hour (RFC 8656 §5): no client is asked again sooner.
const LIFETIME_MS: u64 = 3_600_000;

/// A nonce as it stands in the attribute.
pub(super) type Nonce = ArrayVec<u8, LENGTH>;

/// STUN Security Features (RFC 8489 §18.1); bit 0 is the first byte's highest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Features {
    pub(super) password_algorithms: bool,
    pub(super) username_anonymity: bool,
}

impl Features {
    const fn bytes(self) -> [u8; FEATURES_LENGTH] {
        [(self.password_algorithms as u8) << 7 | (self.username_anonymity as u8) << 6, 0, 0]
    }

    /// What a nonce says; none of them when it is not one of RFC 8489's. Not
    /// verified: that is [`Nonces::check`].
    pub(super) fn of(nonce: &[u8]) -> Self {
        let mut bytes = [0; FEATURES_LENGTH];
        let text = nonce.strip_prefix(COOKIE).and_then(|rest| rest.get(..4));
        let is_read = text.is_some_and(|text| BASE64.decode_slice(text, &mut bytes).is_ok());
        let bits = if is_read { bytes[0] } else { 0 };
        Self { password_algorithms: bits & 0x80 != 0, username_anonymity: bits & 0x40 != 0 }
    }
}

/// What a nonce is worth.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NonceState {
    /// This client's, and less than an hour old.
    Fresh,
    /// This client's, and too old.
    Old,
    /// Somebody else's, or nobody's.
    Foreign,
}

/// Makes and checks nonces.
#[derive(Debug)]
pub(super) struct Nonces {
    /// The first signs.
    keys: Vec<hmac::Key>,
    realm: Box<str>,
}

impl Nonces {
    pub(super) fn new(keys: &[[u8; 32]], realm: &str) -> Self {
        Self {
            keys: keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA256, key)).collect(),
            realm: realm.into(),
        }
    }

    /// A nonce for this client, from now.
    pub(super) fn issue(&self, now: UnixTime, client: FiveTuple, features: Features) -> Nonce {
        let mut nonce = Nonce::new();
        let Some(key) = self.keys.first() else {
            return nonce;
        };
        let mut time = [0; TIME_LENGTH];
        time.copy_from_slice(&now.millis().to_be_bytes()[2..]);
        let mut opaque = [0; TIME_LENGTH + TAG_LENGTH];
        opaque[..TIME_LENGTH].copy_from_slice(&time);
        opaque[TIME_LENGTH..].copy_from_slice(&self.tag(key, time, features.bytes(), client));
        let mut text = [0; 28];
        let mut written = BASE64.encode_slice(features.bytes(), &mut text).unwrap_or(0);
        written += BASE64.encode_slice(opaque, &mut text[written..]).unwrap_or(0);
        nonce.extend(COOKIE.iter().chain(&text[..written]).copied());
        nonce
    }

    /// Whether this nonce was given to this client by a holder of one of the keys,
    /// and how long ago. The bits it says are part of what is checked,
    /// so none can be taken off on the way (RFC 8489 §9.2.1).
    pub(super) fn check(&self, now: UnixTime, client: FiveTuple, nonce: &[u8]) -> NonceState {
        let Some(text) = nonce.strip_prefix(COOKIE) else {
            return NonceState::Foreign;
        };
        let mut decoded = [0; FEATURES_LENGTH + TIME_LENGTH + TAG_LENGTH];
        if text.len() != 28 || BASE64.decode_slice(text, &mut decoded) != Ok(decoded.len()) {
            return NonceState::Foreign;
        }
        let (features, rest) = decoded.split_at(FEATURES_LENGTH);
        let (time, tag) = rest.split_at(TIME_LENGTH);
        let mut millis = [0; 8];
        millis[2..].copy_from_slice(time);
        let age = now.millis().abs_diff(u64::from_be_bytes(millis));
        let (mut time_bytes, mut feature_bytes) = ([0; TIME_LENGTH], [0; FEATURES_LENGTH]);
        time_bytes.copy_from_slice(time);
        feature_bytes.copy_from_slice(features);
        let ours = self.keys.iter().any(|key| {
            let right = self.tag(key, time_bytes, feature_bytes, client);
            bool::from(right.ct_eq(tag))
        });
        match ours {
            true if age < LIFETIME_MS => NonceState::Fresh,
            true => NonceState::Old,
            false => NonceState::Foreign,
        }
    }

    fn tag(
        &self,
        key: &hmac::Key,
        time: [u8; TIME_LENGTH],
        features: [u8; FEATURES_LENGTH],
        client: FiveTuple,
    ) -> [u8; TAG_LENGTH] {
        let mut context = hmac::Context::with_key(key);
        context.update(&time);
        context.update(&features);
        context.update(&[client.transport as u8]);
        context.update(&client.client.port().to_be_bytes());
        match client.client.ip() {
            IpAddr::V4(ip) => context.update(&ip.octets()),
            IpAddr::V6(ip) => context.update(&ip.octets()),
        }
        context.update(self.realm.as_bytes());
        let mut tag = [0; TAG_LENGTH];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_LENGTH]);
        tag
    }
}
