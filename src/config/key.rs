//! The list of keys as people see it: what kind of value each takes, in words.
//! A test holds it against the model.

use toml::{Table, Value};

/// One key of the configuration.
#[derive(Debug)]
pub(super) struct Key {
    /// `section.key`, or a top-level key alone.
    pub(super) path: &'static str,
    /// What TOML type it takes.
    pub(super) kind: Kind,
    /// Its value must not be shown.
    pub(super) secret: bool,
    /// Fields of an entry that is written as a table.
    pub(super) fields: &'static [&'static str],
    /// What to write, as the end of "write …".
    pub(super) write: &'static str,
}

/// What TOML type a key takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Number,
    Switch,
    List,
    Table,
}

impl Key {
    const fn new(path: &'static str, kind: Kind, write: &'static str) -> Self {
        Self { path, kind, secret: false, fields: &[], write }
    }

    const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    const fn fields(mut self, fields: &'static [&'static str]) -> Self {
        self.fields = fields;
        self
    }

    /// The section, empty for a top-level key.
    pub(super) fn section(&self) -> &'static str {
        self.path.split_once('.').map_or("", |(section, _)| section)
    }

    /// The name within its section.
    pub(super) fn name(&self) -> &'static str {
        self.path.split_once('.').map_or(self.path, |(_, name)| name)
    }

    /// The environment variable that sets it.
    pub(super) fn variable(&self) -> String {
        format!("FLOE_{}", self.path.to_uppercase().replace('.', "__").replace('-', "_"))
    }

    /// Its value in a whole configuration.
    pub(super) fn of<'a>(&self, configuration: &'a Table) -> Option<&'a Value> {
        match self.section() {
            "" => configuration.get(self.name()),
            section => configuration.get(section)?.get(self.name()),
        }
    }

    /// The key of this path.
    pub(super) fn find(path: &str) -> Option<&'static Self> {
        KEYS.iter().find(|key| key.path == path)
    }
}

const ADDRESSES: &str = "a list of addresses with ports, as [\"0.0.0.0:3478\"]";
const IPS: &str = "a list of IP addresses without ports, as [\"192.0.2.1\"]";
const PREFIXES: &str = "a list of addresses and prefixes, as [\"10.1.0.0/16\", \"2001:db8::1\"]";
const SWITCH: &str = "true or false";
const LEVEL: &str = "a level (error, warn, info, debug, trace) or a list, as \"info,floe::net=debug\"";
const BITS: &str = "a whole number of bits per second, as 1000000, 0 for no limit";
const COUNT: &str = "a whole number, 0 for no limit";

/// Every key, in the order of the reference file.
pub(super) static KEYS: &[Key] = &[
    Key::new("realm", Kind::Text, "a name, as \"example.org\""),
    Key::new("state-directory", Kind::Text, "a path, or \"\" for the system's own place"),
    Key::new("drain-timeout", Kind::Number, "a whole number of seconds, as 60"),
    Key::new("listen.udp", Kind::List, ADDRESSES),
    Key::new("listen.tcp", Kind::List, ADDRESSES),
    Key::new("listen.tls", Kind::List, ADDRESSES),
    Key::new("listen.dtls", Kind::List, ADDRESSES),
    Key::new("listen.proxy-protocol-from", Kind::List, PREFIXES),
    Key::new("listen.shards", Kind::Number, "a number from 0 (one per core) to 254"),
    Key::new("listen.socket-buffer", Kind::Number, "a whole number of bytes, as 4194304"),
    Key::new("tls.certificate", Kind::Text, "a path, or \"\" for none"),
    Key::new("tls.private-key", Kind::Text, "a path, or \"\" for none"),
    Key::new(
        "tls.certificates",
        Kind::List,
        "a list of pairs of files, each as { certificate = \"…\", private-key = \"…\" }",
    )
    .fields(&["certificate", "private-key"]),
    Key::new("acme.names", Kind::List, "a list of host names, as [\"turn.example.org\"]"),
    Key::new("acme.contact", Kind::List, "a list of mail addresses, as [\"admin@example.org\"]"),
    Key::new("acme.directory", Kind::Text, "the https:// URL of an ACME server's directory"),
    Key::new("acme.agree-to-terms", Kind::Switch, SWITCH),
    Key::new("acme.challenge", Kind::Text, "\"tls-alpn-01\" or \"http-01\""),
    Key::new("acme.http-listen", Kind::List, ADDRESSES),
    Key::new("acme.profile", Kind::Text, "the name of a profile, or \"\" for the server's default"),
    Key::new("acme.root-certificates", Kind::Text, "a path, or \"\" for the system's own"),
    Key::new("https.listen", Kind::List, ADDRESSES),
    Key::new("https.admin", Kind::Switch, SWITCH),
    Key::new(
        "https.web-servers",
        Kind::List,
        "a list of web servers, each as { names = [\"www.example.org\"], to = \"127.0.0.1:8443\" }",
    )
    .fields(&["names", "to", "proxy-protocol"]),
    Key::new("relay.addresses", Kind::List, IPS),
    Key::new("relay.external-addresses", Kind::List, IPS),
    Key::new(
        "relay.discover",
        Kind::List,
        "a list of who knows the public address, as [\"stun:stun.example.org:3478\"], [\"aws\"] or [\"env:HOST_IP\"]",
    ),
    Key::new("relay.ports", Kind::Text, "first and last port, as \"49152-65535\""),
    Key::new("relay.tcp", Kind::Switch, SWITCH),
    Key::new("relay.mobility", Kind::Switch, SWITCH),
    Key::new("relay.legacy-channels", Kind::Switch, SWITCH),
    Key::new("relay.compat-permission-lifetime", Kind::Switch, SWITCH),
    Key::new("relay.max-lifetime", Kind::Number, "a whole number of seconds, 600 or more"),
    Key::new(
        "relay.alternate-servers",
        Kind::List,
        "a list of addresses with ports, each as \"192.0.2.1:3478\" or \
         { address = \"…\", domain = \"…\" }",
    )
    .fields(&["address", "domain"]),
    Key::new(
        "auth.secrets",
        Kind::List,
        "a list of secrets, each as \"…\" or { name = \"…\", secret = \"…\" }",
    )
    .secret()
    .fields(&["name", "secret"]),
    Key::new("auth.users", Kind::Table, "names and passwords, as { alice = \"…\" }").secret(),
    Key::new("auth.nonce-secret", Kind::Text, "a text, or \"\" for one made from the first secret").secret(),
    Key::new("auth.strict-expiry", Kind::Switch, SWITCH),
    Key::new("auth.allow-weak", Kind::Switch, SWITCH),
    Key::new(
        "auth.oauth-keys",
        Kind::List,
        "a list of keys, each as { kid = \"…\", key = \"…\", algorithm = \"A256GCM\", not-before = 1790000000, \
         lifetime = 7776000, authorization-server = \"…\" }, of which kid and key are needed, and algorithm may be A128GCM",
    )
    .secret()
    .fields(&["kid", "key", "algorithm", "not-before", "lifetime", "authorization-server"]),
    Key::new("auth.oauth-server-name", Kind::Text, "a name, as \"turn.example.org\", or \"\" for the realm"),
    Key::new("peers.allow", Kind::List, PREFIXES),
    Key::new("peers.deny", Kind::List, PREFIXES),
    Key::new("limits.unauthenticated-per-second", Kind::Number, COUNT),
    Key::new("limits.failed-logins-per-minute", Kind::Number, COUNT),
    Key::new("limits.tcp-connections-per-address", Kind::Number, COUNT),
    Key::new("limits.dtls-sessions-per-address", Kind::Number, COUNT),
    Key::new("limits.dtls-sessions", Kind::Number, COUNT),
    Key::new("limits.allocations-per-user", Kind::Number, COUNT),
    Key::new("limits.allocations", Kind::Number, COUNT),
    Key::new("limits.bits-per-second-per-allocation", Kind::Number, BITS),
    Key::new("limits.bits-per-second", Kind::Number, BITS),
    Key::new("limits.data-connections-per-user", Kind::Number, COUNT),
    Key::new("stun.nat-discovery", Kind::Switch, SWITCH),
    Key::new("stun.alternate-port", Kind::Number, "a port, or 0 for the one above the listeners'"),
    Key::new("stun.classic", Kind::Switch, SWITCH),
    Key::new("admin.listen", Kind::Text, "an address with a port, as \"127.0.0.1:8080\", or \"\" for off"),
    Key::new("admin.api-keys", Kind::List, "a list of keys, each as \"…\" or { name = \"…\", key = \"…\" }")
        .secret()
        .fields(&["name", "key", "id", "secret", "max-lifetime", "quota", "per-second"]),
    Key::new("admin.cors", Kind::List, "a list of origins, as [\"https://app.example.org\"], or [\"*\"]"),
    Key::new("admin.page", Kind::Switch, SWITCH),
    Key::new("log.level", Kind::Text, LEVEL),
    Key::new("log.format", Kind::Text, "\"auto\", \"text\" or \"json\""),
];

/// Whether there is a section of this name.
pub(super) fn is_section(name: &str) -> bool {
    !name.is_empty() && KEYS.iter().any(|key| key.section() == name)
}

/// The key that a misspelt `path` most likely means, if any is near: the nearest
/// of the same section, else the same name in another one, else the nearest of
/// all.
pub(super) fn nearest_key(path: &str) -> Option<&'static str> {
    let (section, name) = path.split_once('.').unwrap_or(("", path));
    let siblings = KEYS.iter().filter(|key| key.section() == section);
    nearest(name, siblings.map(Key::name))
        .and_then(|name| KEYS.iter().find(|key| key.section() == section && key.name() == name))
        .or_else(|| KEYS.iter().find(|key| key.name() == name))
        .map(|key| key.path)
        .or_else(|| nearest(path, KEYS.iter().map(|key| key.path)))
}

/// The section that a misspelt name most likely means.
pub(super) fn nearest_section(name: &str) -> Option<&'static str> {
    nearest(name, KEYS.iter().map(Key::section).filter(|section| !section.is_empty()))
}

/// The candidate with the fewest changes, when they are few for its length.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(changes, candidate)| *changes <= (candidate.len() / 3).max(1))
        .min_by_key(|(changes, _)| *changes)
        .map(|(_, candidate)| candidate)
}
