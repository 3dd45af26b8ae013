//! Third-party authorization (RFC 7635): the keys that authorization servers share
//! with this one, which of them are good now, and what a token by one is worth.
//! The token itself is `access_token`'s.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest;
use zeroize::Zeroizing;

use super::access_token::{AccessToken, Algorithm, SKEW, TokenKey};
use super::opaque::{NotOpaque, opaque_string};
use super::time_limited::NAME_BYTES;
use crate::relay::time::UnixTime;
use crate::relay::world::{Grant, MacKey, Random, ThirdParty, TokenFault};

/// Most keys at once.
pub const MAX_OAUTH_KEYS: usize = 64;
/// Longest name of a server, bytes: a domain name, as coturn has it.
pub const SERVER_NAME_BYTES: usize = 255;
/// Bytes of the key in a token that is made here: HMAC-SHA1's, which every
/// implementation takes (RFC 7635 §6.2).
const MAC_KEY_BYTES: usize = 20;

/// One of `auth.oauth-keys`, as it is written.
#[derive(Clone, Debug)]
pub struct OauthKeySettings {
    /// USERNAME of clients with a token by this key; 1 to 508 bytes.
    pub kid: String,
    /// Base64; read, then wiped.
    pub key: Zeroizing<String>,
    /// What the key is for.
    pub algorithm: Algorithm,
    /// From when on it is good.
    pub not_before: UnixTime,
    /// Seconds from then on; 0 is without end.
    pub lifetime: u64,
    /// Who has the key; keys of the same one may follow each other.
    pub authority: String,
}

/// Why an [`OauthKey`] can't be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum OauthKeyError {
    /// The kid can't be sent as a USERNAME.
    #[error("its kid {0}")]
    Kid(NotOpaque),
    /// It doesn't fit into USERNAME.
    #[error("its kid has more than {NAME_BYTES} bytes")]
    LongKid,
    /// The key is not base64.
    #[error("its key is not base64 (RFC 4648 §4)")]
    NotBase64,
    /// Too long or short for the algorithm.
    #[error("its key has {0} bytes; {name} takes {length}", name = .1.name(), length = .1.key_length())]
    Length(usize, Algorithm),
}

/// A key of an authorization server.
#[derive(Clone, Debug)]
pub struct OauthKey {
    kid: Arc<str>,
    key: TokenKey,
    not_before: UnixTime,
    not_after: Option<UnixTime>,
    authority: Arc<str>,
}

impl OauthKey {
    /// Reads the key.
    pub fn new(settings: &OauthKeySettings) -> Result<Self, OauthKeyError> {
        let kid = opaque_string(&settings.kid).map_err(OauthKeyError::Kid)?;
        if kid.len() > NAME_BYTES {
            return Err(OauthKeyError::LongKid);
        }
        let bytes = STANDARD.decode(settings.key.trim()).map_err(|_| OauthKeyError::NotBase64)?;
        let bytes = Zeroizing::new(bytes);
        let key = TokenKey::new(settings.algorithm, &bytes);
        let key = key.ok_or(OauthKeyError::Length(bytes.len(), settings.algorithm))?;
        let millis = settings.lifetime.saturating_mul(1000);
        let end = UnixTime::from_millis(settings.not_before.millis().saturating_add(millis));
        Ok(Self {
            kid: kid.into(),
            key,
            not_before: settings.not_before,
            not_after: (settings.lifetime > 0).then_some(end),
            authority: settings.authority.as_str().into(),
        })
    }

    /// USERNAME of clients with a token by it.
    pub fn kid(&self) -> &Arc<str> {
        &self.kid
    }

    /// How much longer it is good for; `None` when it is not. The clocks of the
    /// authorization server and of this one may be a little apart.
    fn lasts(&self, now: UnixTime) -> Option<Duration> {
        let skew = SKEW.as_millis() as u64;
        if now.millis().saturating_add(skew) < self.not_before.millis() {
            return None;
        }
        let Some(end) = self.not_after else { return Some(Duration::MAX) };
        let left = end.millis().saturating_add(skew).saturating_sub(now.millis());
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// Makes a token as the authorization server would: for trying it out.
    pub fn mint(
        &self,
        server_name: &str,
        lifetime: u32,
        now: UnixTime,
        random: &mut dyn Random,
    ) -> Result<MintedToken, TokenFault> {
        self.lasts(now).ok_or(TokenFault::KeyOutOfTime)?;
        let mut mac_key = [0; MAC_KEY_BYTES];
        random.fill(&mut mac_key);
        let mut nonce = [0; 12];
        random.fill(&mut nonce);
        let token = AccessToken { mac_key: mac_key.into_iter().collect(), timestamp: now, lifetime };
        Ok(MintedToken { token: token.seal(&self.key, server_name, nonce), mac_key: token.mac_key })
    }
}

/// What an authorization server gives a client.
#[derive(Clone, PartialEq, Eq)]
pub struct MintedToken {
    /// ACCESS-TOKEN.
    pub token: Vec<u8>,
    /// Signs the client's messages.
    pub mac_key: MacKey,
}

/// Nothing of it.
impl fmt::Debug for MintedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MintedToken(..)")
    }
}

/// What `AuthorizationServers` are made from; by default there are none.
#[derive(Clone, Debug, Default)]
pub struct ThirdPartySettings {
    /// The name that tokens are made for; 1 to [`SERVER_NAME_BYTES`] bytes.
    pub server_name: String,
    /// At most [`MAX_OAUTH_KEYS`].
    pub keys: Vec<OauthKey>,
    /// Most allocations at once by one token; 0 is no limit.
    pub max_allocations: u32,
}

/// Everyone who may authorize clients of this server, by their keys.
///
/// A token names no user, and the `kid` stands for all users of an authorization
/// server at once; so quotas count the token. Nobody else can make one, so
/// whoever makes them bounds how many a user has, and this server what one of
/// them, perhaps a stolen one, can do.
pub(super) struct AuthorizationServers {
    server_name: String,
    keys: HashMap<Arc<str>, OauthKey>,
    /// Opens nothing, in the time that another takes.
    decoy: TokenKey,
    max_allocations: u32,
}

impl AuthorizationServers {
    /// `None` without a key. Two of one `kid` are an error: its name.
    pub(super) fn new(
        settings: ThirdPartySettings,
        random: &mut dyn Random,
    ) -> Result<Option<Self>, Arc<str>> {
        let mut decoy = [0; Algorithm::A256Gcm.key_length()];
        random.fill(&mut decoy);
        let Some(decoy) = TokenKey::new(Algorithm::A256Gcm, &decoy) else { return Ok(None) };
        let mut keys = HashMap::new();
        for key in settings.keys {
            if let Some(other) = keys.insert(Arc::clone(&key.kid), key) {
                return Err(other.kid);
            }
        }
        let is_on = !keys.is_empty();
        Ok(is_on.then_some(Self {
            server_name: settings.server_name,
            keys,
            decoy,
            max_allocations: settings.max_allocations,
        }))
    }

    pub(super) fn kids(&self) -> impl Iterator<Item = &Arc<str>> {
        self.keys.keys()
    }
}

impl ThirdParty for AuthorizationServers {
    fn server_name(&self) -> &str {
        &self.server_name
    }

    fn grant(&self, now: UnixTime, kid: &str, token: &[u8]) -> Result<Grant, TokenFault> {
        let known = self.keys.get(kid);
        let opened =
            AccessToken::open(known.map_or(&self.decoy, |known| &known.key), &self.server_name, token);
        let known = known.ok_or(TokenFault::UnknownKey)?;
        let opened = opened?;
        let key_lasts = known.lasts(now).ok_or(TokenFault::KeyOutOfTime)?;
        let lasts = opened.lasts(now)?.min(key_lasts);
        Ok(Grant {
            key: opened.mac_key,
            lasts,
            authority: Arc::clone(&known.authority),
            user: user(kid, token),
            max_allocations: self.max_allocations,
        })
    }
}

/// A name for a token, which says nothing of what is in it.
fn user(kid: &str, token: &[u8]) -> Arc<str> {
    let digest = digest::digest(&digest::SHA256, token);
    let short = digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    format!("{kid}#{short:016x}").into()
}

#[cfg(test)]
#[path = "third_party_test.rs"]
mod tests;
