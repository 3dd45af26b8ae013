//! What a running server can change of a configuration, and how two of them
//! differ. No secret is kept for that: those are compared by a hash under a key of
//! this process.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::LazyLock;

use zeroize::Zeroizing;

use super::key::KEYS;
use super::load::Loaded;

/// What it takes for a changed value to be in force.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A reload.
    Live,
    /// A reload opens what is new; what is gone stays open until a restart.
    Added,
    /// A restart.
    Restart,
}

impl Change {
    /// As the documentation has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Added => "added live, removed by a restart",
            Self::Restart => "restart",
        }
    }
}

/// Every key, and what it takes. A key that is missing here takes a restart, and
/// fails a test.
static CHANGES: &[(&str, Change)] = &[
    // It is part of every key of a user, and of what clients log in with.
    ("realm", Change::Restart),
    ("state-directory", Change::Restart),
    ("drain-timeout", Change::Live),
    ("listen.udp", Change::Added),
    ("listen.tcp", Change::Added),
    ("listen.tls", Change::Added),
    ("listen.dtls", Change::Added),
    ("listen.proxy-protocol-from", Change::Restart),
    ("listen.shards", Change::Restart),
    ("listen.socket-buffer", Change::Restart),
    ("tls.certificate", Change::Live),
    ("tls.private-key", Change::Live),
    ("tls.certificates", Change::Live),
    ("acme.names", Change::Restart),
    ("acme.contact", Change::Restart),
    ("acme.directory", Change::Restart),
    ("acme.agree-to-terms", Change::Restart),
    ("acme.challenge", Change::Restart),
    ("acme.http-listen", Change::Restart),
    ("acme.profile", Change::Restart),
    ("acme.root-certificates", Change::Restart),
    ("https.listen", Change::Restart),
    ("https.admin", Change::Restart),
    ("https.web-servers", Change::Restart),
    ("relay.addresses", Change::Restart),
    ("relay.external-addresses", Change::Restart),
    ("relay.discover", Change::Restart),
    ("relay.ports", Change::Restart),
    ("relay.tcp", Change::Restart),
    ("relay.mobility", Change::Restart),
    ("relay.legacy-channels", Change::Live),
    ("relay.compat-permission-lifetime", Change::Live),
    ("relay.max-lifetime", Change::Live),
    ("relay.alternate-servers", Change::Live),
    ("auth.secrets", Change::Live),
    ("auth.users", Change::Live),
    ("auth.nonce-secret", Change::Live),
    ("auth.strict-expiry", Change::Live),
    ("auth.allow-weak", Change::Live),
    ("auth.oauth-keys", Change::Live),
    ("auth.oauth-server-name", Change::Live),
    ("peers.allow", Change::Live),
    ("peers.deny", Change::Live),
    ("limits.unauthenticated-per-second", Change::Live),
    ("limits.failed-logins-per-minute", Change::Live),
    ("limits.tcp-connections-per-address", Change::Live),
    ("limits.dtls-sessions-per-address", Change::Live),
    ("limits.dtls-sessions", Change::Live),
    ("limits.allocations-per-user", Change::Live),
    ("limits.allocations", Change::Live),
    ("limits.bits-per-second-per-allocation", Change::Live),
    ("limits.bits-per-second", Change::Live),
    ("limits.data-connections-per-user", Change::Live),
    ("stun.nat-discovery", Change::Restart),
    ("stun.alternate-port", Change::Restart),
    ("stun.classic", Change::Live),
    ("admin.listen", Change::Restart),
    ("admin.api-keys", Change::Live),
    ("admin.cors", Change::Live),
    ("admin.page", Change::Restart),
    ("log.level", Change::Live),
    ("log.format", Change::Restart),
];

/// What a change of `key` takes.
pub fn change_of(key: &str) -> Change {
    CHANGES.iter().find(|(path, _)| *path == key).map_or(Change::Restart, |(_, change)| *change)
}

/// What a configuration says of each key, without saying it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fingerprint(BTreeMap<&'static str, u64>);

static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// For [`Fingerprint`] alone: means nothing in another process.
pub(super) fn hash(text: &str) -> u64 {
    KEY.hash_one(text)
}

impl Loaded {
    /// To compare with that of another one.
    pub fn fingerprint(&self) -> Fingerprint {
        let each = |value: super::Effective<'_>| {
            let path = KEYS.iter().find(|key| (key.section(), key.name()) == (value.section, value.name))?;
            // Given or not makes a difference to some keys, whatever the value.
            let given = path.path == "limits.allocations-per-user" && !self.is_default(path.path);
            let secret = self.secrets.get(path.path).copied().unwrap_or_default();
            let text = Zeroizing::new(format!("{} {given} {secret}", value.value));
            Some((path.path, hash(&text)))
        };
        Fingerprint(self.effective().into_iter().filter_map(each).collect())
    }
}

impl Fingerprint {
    /// The keys whose values differ, in the order of the reference file.
    pub fn differences(&self, other: &Self) -> Vec<&'static str> {
        let differs = |path: &&str| self.0.get(path) != other.0.get(path);
        KEYS.iter().map(|key| key.path).filter(differs).collect()
    }

    /// Takes over what `other` says of `key`.
    pub fn take(&mut self, key: &'static str, other: &Self) {
        if let Some(value) = other.0.get(key) {
            self.0.insert(key, *value);
        }
    }
}

#[cfg(test)]
#[path = "change_test.rs"]
mod tests;
