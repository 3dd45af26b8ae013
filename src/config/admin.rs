//! `[admin]`: its keys, and what can be wrong with them.

use std::net::{Ipv4Addr, SocketAddr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::check::{Check, name_or_number};
use super::listen::clashes;
use super::model::Config;
use super::secret::Secret;
use crate::auth;

/// Longest API key that the admin server looks at, bytes.
const MAX_API_KEY: usize = 512;

/// `[admin]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Admin {
    /// Where it listens; `None` is off. Port 0 is any free one.
    #[serde(with = "address_or_off")]
    pub listen: Option<SocketAddr>,
    /// Who may ask it for credentials; keys without an `id` and a `secret` of their
    /// own, for all else too.
    pub api_keys: Vec<ApiKey>,
    /// Origins whose pages may ask for credentials; `*` is all.
    pub cors: Vec<String>,
    /// The web page and its signaling rooms.
    pub page: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))),
            api_keys: Vec::new(),
            cors: Vec::new(),
            page: true,
        }
    }
}

/// One of `admin.api-keys`: `"…"` or `{ name = "…", key = "…", … }`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "KeyEntry", into = "KeyEntry")]
pub struct ApiKey {
    /// What logs call it.
    pub name: Option<String>,
    /// What the caller presents.
    pub key: Secret,
    /// What it may ask for.
    pub terms: KeyTerms,
}

/// What one of `admin.api-keys` may ask for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct KeyTerms {
    /// The only account or key id in paths that it may use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the secret of `auth.secrets` that it mints with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// Most seconds that its credentials are good for.
    pub max_lifetime: u64,
    /// Most of its credentials that are good at once.
    pub quota: u32,
    /// Most credentials a second.
    pub per_second: u32,
}

impl Default for KeyTerms {
    fn default() -> Self {
        Self { id: None, secret: None, max_lifetime: 86_400, quota: 0, per_second: 100 }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum KeyEntry {
    Plain(Secret),
    Named(NamedKey),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    key: Secret,
    #[serde(flatten)]
    terms: KeyTerms,
}

impl From<KeyEntry> for ApiKey {
    fn from(entry: KeyEntry) -> Self {
        match entry {
            KeyEntry::Plain(key) => Self { name: None, key, terms: KeyTerms::default() },
            KeyEntry::Named(NamedKey { name, key, terms }) => Self { name, key, terms },
        }
    }
}

impl From<ApiKey> for KeyEntry {
    fn from(ApiKey { name, key, terms }: ApiKey) -> Self {
        match name {
            None if terms == KeyTerms::default() => Self::Plain(key),
            name => Self::Named(NamedKey { name, key, terms }),
        }
    }
}

/// `""` is off.
mod address_or_off {
    use super::{Deserialize, Deserializer, Serializer, SocketAddr};

    pub(super) fn serialize<S: Serializer>(
        address: &Option<SocketAddr>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match address {
            Some(address) => serializer.collect_str(address),
            None => serializer.serialize_str(""),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SocketAddr>, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text.is_empty() {
            return Ok(None);
        }
        text.parse().map(Some).map_err(serde::de::Error::custom)
    }
}

impl Check<'_> {
    pub(super) fn admin(&mut self) {
        let Config { listen, admin, https, .. } = self.config;
        // The default makes way for another free port.
        if let Some(address) = admin.listen.filter(|_| self.given.contains_key("admin.listen")) {
            let lists =
                [("listen.tcp", &listen.tcp), ("listen.tls", &listen.tls), ("https.listen", &https.listen)];
            for (key, list) in lists {
                if let Some(other) = list.iter().find(|other| clashes(address, **other)) {
                    let text = format!("{address} is taken by {other} of {key}; give another port");
                    self.error("admin.listen", text);
                }
            }
        }
        for (index, origin) in admin.cors.iter().enumerate() {
            let good = origin == "*"
                || origin.split_once("://").is_some_and(|(scheme, host)| {
                    matches!(scheme, "http" | "https") && !host.is_empty() && !host.contains(['/', ' '])
                });
            if !good {
                let text = format!("{origin:?} is no origin; write https://HOST or https://HOST:PORT");
                self.entry_error("admin.cors", index, text);
            }
        }
        self.api_keys();
    }

    fn api_keys(&mut self) {
        const KEY: &str = "admin.api-keys";
        let keys = &self.config.admin.api_keys;
        for (index, ApiKey { name, key, terms }) in keys.iter().enumerate() {
            let which = name_or_number(name.as_deref(), "key", index);
            if keys.iter().take(index).any(|other| other.key == *key) {
                self.entry_warning(KEY, index, format!("{which} is listed twice; remove one"));
            }
            if let Some(secret) = &terms.secret
                && !self.config.auth.secrets.iter().any(|entry| entry.name.as_ref() == Some(secret))
            {
                let text = format!("{which} mints with {secret}, but auth.secrets has none of this name");
                self.entry_error(KEY, index, text);
            }
            if terms.max_lifetime == 0 {
                self.entry_error(KEY, index, format!("{which} has max-lifetime 0; write seconds"));
            }
            if key.expose().len() > MAX_API_KEY {
                self.entry_error(KEY, index, format!("{which} has more than {MAX_API_KEY} bytes"));
            } else {
                self.strength(KEY, index, &which, key, auth::weak_secret);
            }
        }
    }
}
