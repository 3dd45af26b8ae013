//! Every key, its type and its default. Field names are the keys, with `-` for
//! `_`. Serialising gives the effective configuration with secrets redacted.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::acme::Acme;
use super::alternate::AlternateServer;
use super::discover::AddressSource;
use super::https::Https;
use super::oauth::OauthKey;
use super::secret::Secret;

/// Port of STUN and TURN without TLS (RFC 8656 §3.1).
const TURN_PORT: u16 = 3478;

/// The whole configuration.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Config {
    /// REALM of every challenge; 1 to 127 characters, no `"` or `\`.
    pub realm: String,
    /// Where the runtime file goes, and what is revoked is kept; empty: the system's
    /// place for the former, and for the latter `$STATE_DIRECTORY` or none.
    pub state_directory: PathBuf,
    /// Seconds that allocations may live on after SIGTERM.
    pub drain_timeout: u32,
    /// Where clients come in.
    pub listen: Listen,
    /// What clients over TLS are shown.
    pub tls: Tls,
    /// How floe obtains certificates itself.
    pub acme: Acme,
    /// One port for everything over TLS.
    pub https: Https,
    /// Where peers come in.
    pub relay: Relay,
    /// Who may allocate.
    pub auth: Auth,
    /// Where clients may relay to.
    pub peers: Peers,
    /// How much of everything.
    pub limits: Limits,
    /// STUN beyond RFC 8489.
    pub stun: Stun,
    /// HTTP for people and programs that look after the server.
    pub admin: Admin,
    /// The log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "floe".to_owned(),
            state_directory: PathBuf::new(),
            drain_timeout: 60,
            listen: Listen::default(),
            tls: Tls::default(),
            acme: Acme::default(),
            https: Https::default(),
            relay: Relay::default(),
            auth: Auth::default(),
            peers: Peers::default(),
            limits: Limits::default(),
            stun: Stun::default(),
            admin: Admin::default(),
            log: Log::default(),
        }
    }
}

/// `[listen]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Listen {
    /// UDP listeners; port 0 is any free one.
    pub udp: Vec<SocketAddr>,
    /// TCP listeners; port 0 is any free one.
    pub tcp: Vec<SocketAddr>,
    /// TLS listeners; an address that `tcp` has too serves both.
    pub tls: Vec<SocketAddr>,
    /// DTLS listeners; an address that `udp` has too serves both.
    pub dtls: Vec<SocketAddr>,
    /// Balancers whose PROXY header is believed, and required, over TCP and TLS.
    #[serde(deserialize_with = "prefixes")]
    pub proxy_protocol_from: Vec<IpNet>,
    /// Threads that serve; 0 is one per usable core. At most 254.
    pub shards: u8,
    /// Bytes asked of the kernel for each socket's send and receive buffer.
    pub socket_buffer: u32,
}

impl Default for Listen {
    fn default() -> Self {
        let everywhere = vec![
            SocketAddr::from((Ipv4Addr::UNSPECIFIED, TURN_PORT)),
            SocketAddr::from((Ipv6Addr::UNSPECIFIED, TURN_PORT)),
        ];
        Self {
            udp: everywhere.clone(),
            tcp: everywhere,
            tls: Vec::new(),
            dtls: Vec::new(),
            proxy_protocol_from: Vec::new(),
            shards: 0,
            socket_buffer: 4 << 20,
        }
    }
}

/// `[tls]`
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Tls {
    /// File of the certificate and its chain, PEM; empty: none.
    pub certificate: PathBuf,
    /// File of its private key, PEM.
    pub private_key: PathBuf,
    /// More of them, for clients that ask for a name in them.
    pub certificates: Vec<CertificatePair>,
}

/// One of `tls.certificates`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct CertificatePair {
    /// As [`Tls::certificate`].
    pub certificate: PathBuf,
    /// As [`Tls::private_key`].
    pub private_key: PathBuf,
}

impl Tls {
    /// Every pair, the default one first: that of `certificate`, else the first
    /// of `certificates`.
    pub fn pairs(&self) -> Vec<CertificatePair> {
        let own =
            CertificatePair { certificate: self.certificate.clone(), private_key: self.private_key.clone() };
        let own = Some(own).filter(|own| !own.certificate.as_os_str().is_empty());
        own.into_iter().chain(self.certificates.iter().cloned()).collect()
    }
}

/// `[relay]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Relay {
    /// Local addresses to relay from; empty: the source the kernel would use
    /// toward the world, per family.
    pub addresses: Vec<IpAddr>,
    /// Public address of each of `addresses`, in order; with `addresses` empty,
    /// at most one per family.
    pub external_addresses: Vec<IpAddr>,
    /// Who is asked for the public address of private ones.
    pub discover: Vec<AddressSource>,
    /// Ports of relayed transport addresses.
    pub ports: PortRange,
    /// TCP allocations (RFC 6062).
    pub tcp: bool,
    /// Mobility (RFC 8016).
    pub mobility: bool,
    /// Channel numbers up to 0x7FFF (RFC 5766).
    pub legacy_channels: bool,
    /// A live channel keeps its permission alive.
    pub compat_permission_lifetime: bool,
    /// Longest lifetime of an allocation between two refreshes, seconds; at
    /// least 600.
    pub max_lifetime: u32,
    /// Where a server that drains or is full sends clients.
    pub alternate_servers: Vec<AlternateServer>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            external_addresses: Vec::new(),
            discover: Vec::new(),
            ports: PortRange { first: 49152, last: 65535 },
            tcp: false,
            mobility: false,
            legacy_channels: false,
            compat_permission_lifetime: true,
            max_lifetime: 3600,
            alternate_servers: Vec::new(),
        }
    }
}

impl Relay {
    /// Each local address with the one that clients are told. `found` are the
    /// host's own, used when [`Relay::addresses`] is empty.
    pub fn advertised(&self, found: &[IpAddr]) -> Vec<(IpAddr, IpAddr)> {
        if !self.addresses.is_empty() {
            let external = self.external_addresses.iter().map(Some).chain(std::iter::repeat(None));
            return self.addresses.iter().zip(external).map(|(&ip, e)| (ip, *e.unwrap_or(&ip))).collect();
        }
        let external = |ip: IpAddr| {
            self.external_addresses.iter().copied().find(|e| e.is_ipv4() == ip.is_ipv4()).unwrap_or(ip)
        };
        found.iter().map(|&ip| (ip, external(ip))).collect()
    }
}

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

/// `[peers]`: the most specific prefix wins, `deny` on a tie.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Peers {
    /// Allowed although the built-in list denies it.
    #[serde(deserialize_with = "prefixes")]
    pub allow: Vec<IpNet>,
    /// Denied besides the built-in list.
    #[serde(deserialize_with = "prefixes")]
    pub deny: Vec<IpNet>,
}

/// `[limits]`: 0 is no limit. A source is an IPv4 address or an IPv6 /64.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Limits {
    /// Answers to one source before it has logged in; twice that in a burst.
    pub unauthenticated_per_second: u32,
    /// Failed logins of one source that are answered.
    pub failed_logins_per_minute: u32,
    /// Open TCP connections of one source.
    pub tcp_connections_per_address: u32,
    /// DTLS sessions of one source.
    pub dtls_sessions_per_address: u32,
    /// DTLS sessions of all.
    pub dtls_sessions: u32,
    /// Allocations of one user of time-limited credentials; those of
    /// `auth.users` only if this is set and not by default.
    pub allocations_per_user: u32,
    /// Allocations of the whole server.
    pub allocations: u32,
    /// Relayed payload of one allocation, both directions together.
    pub bits_per_second_per_allocation: u64,
    /// Relayed payload of the whole server, both directions together.
    pub bits_per_second: u64,
    /// TCP connections to peers (RFC 6062) of one user.
    pub data_connections_per_user: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            unauthenticated_per_second: 200,
            failed_logins_per_minute: 60,
            tcp_connections_per_address: 1000,
            dtls_sessions_per_address: 1000,
            dtls_sessions: 16_384,
            allocations_per_user: 64,
            allocations: 0,
            bits_per_second_per_allocation: 0,
            bits_per_second: 0,
            data_connections_per_user: 256,
        }
    }
}

/// `[stun]`
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Stun {
    /// NAT behaviour discovery (RFC 5780).
    pub nat_discovery: bool,
    /// Its second port; 0 is the one above the listeners'.
    pub alternate_port: u16,
    /// Clients of RFC 3489.
    pub classic: bool,
}

impl Config {
    /// The name that access tokens are made for (RFC 7635 §6.1).
    pub fn oauth_server_name(&self) -> &str {
        match self.auth.oauth_server_name.as_str() {
            "" => &self.realm,
            name => name,
        }
    }

    /// What RFC 5780 is served at, for each family that has it: two addresses of
    /// `listen.udp` with one port, by two ports. Empty when it is off, or when
    /// there are no such addresses.
    pub fn nat_discovery(&self) -> Vec<[[SocketAddr; 2]; 2]> {
        if !self.stun.nat_discovery {
            return Vec::new();
        }
        let usable = |address: &&SocketAddr| !address.ip().is_unspecified() && address.port() != 0;
        [true, false].into_iter().filter_map(|v4| self.two_by_two(v4, usable)).collect()
    }

    fn two_by_two(&self, v4: bool, usable: impl Fn(&&SocketAddr) -> bool) -> Option<[[SocketAddr; 2]; 2]> {
        let mut family = self.listen.udp.iter().filter(usable).filter(|address| address.is_ipv4() == v4);
        let first = *family.next()?;
        let second = *family.find(|other| other.port() == first.port() && other.ip() != first.ip())?;
        let next = match self.stun.alternate_port {
            0 => first.port().checked_add(1)?,
            port => port,
        };
        (next != first.port())
            .then(|| [first, second].map(|address| [address, SocketAddr::new(address.ip(), next)]))
    }
}

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

/// `[log]`
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct Log {
    /// A level, or a list of `target=level` as tracing's `EnvFilter` reads it.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Auto }
    }
}

/// `log.format`
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// `first-last`, both included. Loading has checked 1024 ≤ first ≤ last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PortRange {
    /// Lowest port.
    pub first: u16,
    /// Highest port.
    pub last: u16,
}

impl PortRange {
    /// Whether `port` is one of them.
    pub const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

impl FromStr for PortRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let port = |text: &str| text.trim().parse().map_err(|_| "not a port");
        let (first, last) = text.split_once('-').ok_or("not a range")?;
        Ok(Self { first: port(first)?, last: port(last)? })
    }
}

impl Serialize for PortRange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PortRange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Prefixes; a bare address is the prefix of all its bits.
fn prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let prefix = |text: String| match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse().map_err(D::Error::custom),
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(prefix).collect()
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
