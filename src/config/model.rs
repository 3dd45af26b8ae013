//! Every key, its type and its default; each section has a file of its own where it
//! is more than a list. Field names are the keys, with `-` for `_`. Serialising
//! gives the effective configuration with secrets redacted.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::acme::Acme;
use super::admin::Admin;
use super::auth::Auth;
use super::https::Https;
use super::listen::{Listen, Tls};
use super::peers::Peers;
use super::relay::Relay;
use super::stun::Stun;

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

impl Config {
    /// The name that access tokens are made for (RFC 7635 §6.1).
    pub fn oauth_server_name(&self) -> &str {
        match self.auth.oauth_server_name.as_str() {
            "" => &self.realm,
            name => name,
        }
    }
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
