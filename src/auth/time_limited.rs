//! Time-limited credentials (draft-uberti-behave-turn-rest-00): a name that
//! carries its expiry, and a password that only a holder of the shared secret
//! can make from it.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

use super::nonce::nonce_key;
use super::opaque::{NotOpaque, opaque_string};
use crate::relay::time::UnixTime;

/// The latest expiry that is believed: the year 3000, in Unix seconds. What lies
/// beyond is a mistake, as a time in milliseconds is.
pub const LAST_EXPIRY: u64 = 32_503_680_000;

/// Most digits of an expiry; those of [`LAST_EXPIRY`].
const EXPIRY_DIGITS: usize = 11;

/// Most bytes of a USERNAME (RFC 8489 §14.3).
pub(super) const NAME_BYTES: usize = 508;

/// A shared secret. The text itself is not kept, only the keys made from it.
#[derive(Clone)]
pub struct Secret {
    name: String,
    password_key: hmac::Key,
    nonce_key: [u8; 32],
}

impl Secret {
    /// A secret known as `name` in logs.
    pub fn new(name: impl Into<String>, text: &str) -> Self {
        Self {
            name: name.into(),
            password_key: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes()),
            nonce_key: nonce_key(text),
        }
    }

    /// What logs call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn nonce_key(&self) -> &[u8; 32] {
        &self.nonce_key
    }

    pub(super) fn password_key(&self) -> &hmac::Key {
        &self.password_key
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({:?}, ..)", self.name)
    }
}

/// A credential to be given to one client.
#[derive(Clone, PartialEq, Eq)]
pub struct TimeLimited {
    /// `expiry:user`, or the expiry alone.
    pub username: String,
    /// base64(HMAC-SHA1(secret, username)).
    pub password: String,
    /// From then on the server refuses it; whole seconds.
    pub expires: UnixTime,
}

impl fmt::Debug for TimeLimited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeLimited({:?}, ..)", self.username)
    }
}

/// Why no credential can be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum MintError {
    /// USERNAME would be longer than 508 bytes (RFC 8489 §14.3).
    #[error("the user name is too long: with its expiry it may have {NAME_BYTES} bytes")]
    TooLong,
    /// Clients that follow RFC 8489 could not send this name.
    #[error("the user name {0}")]
    Name(#[from] NotOpaque),
}

/// Makes a credential that is good for `ttl` (whole seconds) from `now` on, but
/// not past [`LAST_EXPIRY`]. Without a user, or with an empty one, the name is
/// the expiry alone. The user may hold colons; it is brought into the form in
/// which clients send names (OpaqueString).
pub fn mint(
    secret: &Secret,
    user: Option<&str>,
    ttl: Duration,
    now: UnixTime,
) -> Result<TimeLimited, MintError> {
    let expiry = now.secs().saturating_add(ttl.as_secs()).min(LAST_EXPIRY);
    let username = match user.filter(|user| !user.is_empty()) {
        Some(user) => format!("{expiry}:{}", opaque_string(user)?),
        None => expiry.to_string(),
    };
    if username.len() > NAME_BYTES {
        return Err(MintError::TooLong);
    }
    let password = password(secret.password_key(), &username);
    Ok(TimeLimited { username, password, expires: UnixTime::from_secs(expiry) })
}

/// base64(HMAC-SHA1(key, whole name)), padded.
pub(super) fn password(key: &hmac::Key, name: &str) -> String {
    STANDARD.encode(hmac::sign(key, name.as_bytes()))
}

/// Reads `expiry` or `expiry:user`, split at the first colon: when it ends and
/// whose it is, the whole name when no user is in it. `None` unless the expiry
/// is 1 to 11 digits and not past [`LAST_EXPIRY`].
pub(super) fn parse(name: &str) -> Option<(UnixTime, &str)> {
    let (expiry, user) = name.split_once(':').unwrap_or((name, ""));
    let digits = expiry.len() <= EXPIRY_DIGITS && expiry.bytes().all(|byte| byte.is_ascii_digit());
    let secs = digits.then(|| expiry.parse().ok()).flatten().filter(|&secs: &u64| secs <= LAST_EXPIRY)?;
    Some((UnixTime::from_secs(secs), if user.is_empty() { name } else { user }))
}

#[cfg(test)]
#[path = "time_limited_test.rs"]
mod tests;
