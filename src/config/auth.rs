//! `[auth]`: its keys, and what can be wrong with secrets and users.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::check::{Check, name_or_number};
use super::listen::Listen;
use super::model::Config;
use super::oauth::OauthKey;
use super::secret::Secret;
use crate::auth;

/// Longest USERNAME in bytes (RFC 8489 §14.3: fewer than 509).
const MAX_USERNAME: usize = 508;

/// `[auth]`
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Auth {
    /// Shared secrets for time-limited credentials, newest first.
    pub secrets: Vec<SharedSecret>,
    /// Static users and their passwords.
    pub users: BTreeMap<String, Secret>,
    /// Key of the nonces; empty: derived from the first of `secrets`, else
    /// random.
    pub nonce_secret: Secret,
    /// Expired time-limited credentials may not refresh either.
    pub strict_expiry: bool,
    /// Weak secrets and passwords are only warned of.
    pub allow_weak: bool,
    /// Keys shared with authorization servers (RFC 7635); empty: off.
    pub oauth_keys: Vec<OauthKey>,
    /// The name that access tokens are made for; empty: the realm.
    pub oauth_server_name: String,
}

impl Auth {
    /// Nobody could log in: a secret must be made up for this run.
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty() && self.users.is_empty() && self.oauth_keys.is_empty()
    }

    /// What the secret at `index` is called, here and in logs; one without a name
    /// is counted from 1.
    pub fn secret_name(&self, index: usize) -> String {
        let name = self.secrets.get(index).and_then(|entry| entry.name.clone());
        name.unwrap_or_else(|| format!("secret {}", index + 1))
    }
}

/// One of `auth.secrets`: `"…"` or `{ name = "…", secret = "…" }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "SecretEntry", into = "SecretEntry")]
pub struct SharedSecret {
    /// What logs call it.
    pub name: Option<String>,
    /// Shared with whoever mints credentials.
    pub secret: Secret,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SecretEntry {
    Plain(Secret),
    Named(NamedSecret),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSecret {
    name: String,
    secret: Secret,
}

impl From<SecretEntry> for SharedSecret {
    fn from(entry: SecretEntry) -> Self {
        match entry {
            SecretEntry::Plain(secret) => Self { name: None, secret },
            SecretEntry::Named(NamedSecret { name, secret }) => Self { name: Some(name), secret },
        }
    }
}

impl From<SharedSecret> for SecretEntry {
    fn from(SharedSecret { name, secret }: SharedSecret) -> Self {
        match name {
            None => Self::Plain(secret),
            Some(name) => Self::Named(NamedSecret { name, secret }),
        }
    }
}

impl Check<'_> {
    pub(super) fn credentials(&mut self) {
        let auth = &self.config.auth;
        if auth.secrets.len() > auth::MAX_SECRETS {
            let (count, most) = (auth.secrets.len(), auth::MAX_SECRETS);
            self.error("auth.secrets", format!("has {count} secrets; at most {most} (a login tries each)"));
        }
        for (index, entry) in auth.secrets.iter().enumerate() {
            let which = name_or_number(entry.name.as_deref(), "secret", index);
            if auth.secrets.iter().take(index).any(|other| other.secret == entry.secret) {
                self.entry_warning("auth.secrets", index, format!("{which} is listed twice; remove one"));
            }
            // A key that names its secret must get the one that is meant.
            let name = auth.secret_name(index);
            if (0..index).any(|other| auth.secret_name(other) == name) {
                let text = format!("two secrets have the name {name:?}; give each its own");
                self.entry_error("auth.secrets", index, text);
            }
            self.strength("auth.secrets", index, &which, &entry.secret, auth::weak_secret);
        }
        self.users();
        if !auth.nonce_secret.is_empty() {
            self.strength("auth.nonce-secret", 0, "it", &auth.nonce_secret, auth::weak_secret);
        }
    }

    fn users(&mut self) {
        const KEY: &str = "auth.users";
        let mut names = BTreeSet::new();
        for (index, (name, password)) in self.config.auth.users.iter().enumerate() {
            match auth::opaque_string(name) {
                Err(fault) => self.entry_error(KEY, index, format!("the user name {name:?} {fault}")),
                Ok(normal) if normal.len() > MAX_USERNAME => {
                    let text = format!("the user name {name:?} has more than {MAX_USERNAME} bytes");
                    self.entry_error(KEY, index, text);
                }
                Ok(normal) => {
                    if !names.insert(normal.into_owned()) {
                        let text = format!("the user {name:?} is listed twice; remove one");
                        self.entry_error(KEY, index, text);
                    }
                }
            }
            if looks_time_limited(name) {
                let text = format!(
                    "the user name {name:?} looks like a time-limited credential; \
                     choose one that does not begin with a number and a colon"
                );
                self.entry_warning(KEY, index, text);
            }
            let which = format!("the password of {name:?}");
            match auth::opaque_string(password.expose()) {
                Err(fault) if !password.is_empty() => {
                    self.entry_error(KEY, index, format!("{which} {fault}"));
                }
                _ => self.strength(KEY, index, &which, password, auth::weak_password),
            }
        }
    }

    /// An empty secret is an error; for a weak one see [`Check::weak`]. `index` counts
    /// only in a list.
    pub(super) fn strength(
        &mut self,
        key: &'static str,
        index: usize,
        which: &str,
        secret: &Secret,
        weakness: fn(&str) -> Option<&'static str>,
    ) {
        const MAKE_ONE: &str = "make one with `openssl rand -hex 32`";
        if secret.is_empty() {
            self.entry_error(key, index, format!("{which} is empty; {MAKE_ONE}"));
        } else if let Some(fault) = weakness(secret.expose()) {
            self.weak(key, index, format!("{which} {fault}; {MAKE_ONE}"));
        }
    }

    /// A warning where nobody else can reach the server or the operator has agreed
    /// to it, else an error.
    pub(super) fn weak(&mut self, key: &'static str, index: usize, text: String) {
        if self.config.auth.allow_weak || self.only_loopback() {
            self.entry_warning(key, index, text);
        } else {
            self.entry_error(key, index, format!("{text}, or set auth.allow-weak = true"));
        }
    }

    pub(super) fn only_loopback(&self) -> bool {
        let Config { listen, admin, https, .. } = self.config;
        let Listen { udp, tcp, tls, dtls, .. } = listen;
        let lists = [udp, tcp, tls, dtls, &https.listen];
        lists.into_iter().flatten().chain(&admin.listen).all(|address| address.ip().is_loopback())
    }
}

/// `number:…`, as time-limited credentials begin.
fn looks_time_limited(name: &str) -> bool {
    name.split_once(':').is_some_and(|(time, _)| !time.is_empty() && time.bytes().all(|b| b.is_ascii_digit()))
}
