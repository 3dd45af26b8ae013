//! `auth.oauth-keys` and `auth.oauth-server-name`: what an entry has, and what can
//! be wrong with them.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::auth::Auth;
use super::check::Check;
use super::secret::Secret;
use crate::auth;
use crate::relay::UnixTime;

/// One of `auth.oauth-keys` (RFC 7635 §4.1).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct OauthKey {
    /// The key's identifier, which clients send as USERNAME.
    pub kid: String,
    /// Base64; shared with the authorization server.
    pub key: Secret,
    /// What tokens are sealed with.
    #[serde(default)]
    pub algorithm: TokenAlgorithm,
    /// From when on it is good, Unix seconds.
    #[serde(default)]
    pub not_before: u64,
    /// Seconds from then on; 0 is without end.
    #[serde(default)]
    pub lifetime: u64,
    /// Whose key it is.
    #[serde(default)]
    pub authorization_server: String,
}

/// `algorithm` of one of `auth.oauth-keys`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum TokenAlgorithm {
    /// AES-256-GCM.
    #[default]
    A256GCM,
    /// AES-128-GCM.
    A128GCM,
}

impl OauthKey {
    /// As `auth` takes it.
    pub fn settings(&self) -> auth::OauthKeySettings {
        auth::OauthKeySettings {
            kid: self.kid.clone(),
            key: Zeroizing::new(self.key.expose().to_owned()),
            algorithm: match self.algorithm {
                TokenAlgorithm::A256GCM => auth::Algorithm::A256Gcm,
                TokenAlgorithm::A128GCM => auth::Algorithm::A128Gcm,
            },
            not_before: UnixTime::from_secs(self.not_before),
            lifetime: self.lifetime,
            authority: self.authorization_server.clone(),
        }
    }
}

const KEYS: &str = "auth.oauth-keys";
const SERVER_NAME: &str = "auth.oauth-server-name";

impl Check<'_> {
    pub(super) fn oauth(&mut self) {
        let Auth { oauth_keys: keys, oauth_server_name: name, users, .. } = &self.config.auth;
        if keys.len() > auth::MAX_OAUTH_KEYS {
            self.error(KEYS, format!("has {} keys; at most {}", keys.len(), auth::MAX_OAUTH_KEYS));
        }
        for (index, entry) in keys.iter().enumerate() {
            let which = format!("the key {:?}", entry.kid);
            if keys.iter().take(index).any(|other| other.kid == entry.kid) {
                self.entry_error(KEYS, index, format!("{which} is listed twice; give each its own kid"));
            }
            if users.contains_key(&entry.kid) {
                let text = format!("{which} has the name of one of auth.users; give it another kid");
                self.entry_error(KEYS, index, text);
            }
            if entry.lifetime > 0 && entry.not_before == 0 {
                let text = format!("{which} ends {} s after 1970; give not-before too", entry.lifetime);
                self.entry_error(KEYS, index, text);
            }
            self.oauth_key(index, entry, &which);
        }
        if name.len() > auth::SERVER_NAME_BYTES || name.chars().any(char::is_control) {
            let most = auth::SERVER_NAME_BYTES;
            self.error(
                SERVER_NAME,
                format!("is no name; write one of {most} bytes at most, as \"turn.example.org\""),
            );
        }
    }

    fn oauth_key(&mut self, index: usize, entry: &OauthKey, which: &str) {
        const MAKE_ONE: &str = "make one with `openssl rand -base64 32`, for A128GCM 16";
        if let Err(fault) = auth::OauthKey::new(&entry.settings()) {
            self.entry_error(KEYS, index, format!("{which}: {fault}; {MAKE_ONE}"));
        } else if let Some(fault) = auth::weak_token_key(entry.key.expose()) {
            self.weak(KEYS, index, format!("{which} {fault}; {MAKE_ONE}"));
        }
    }
}

#[cfg(test)]
#[path = "oauth_test.rs"]
mod tests;
