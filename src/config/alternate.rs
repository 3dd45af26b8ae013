//! One of `relay.alternate-servers`: `"…"` or `{ address = "…", domain = "…" }`.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Another TURN server.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(from = "Entry", into = "Entry")]
pub struct AlternateServer {
    /// Where it listens.
    pub address: SocketAddr,
    /// The name in its certificate, when that is not this server's.
    pub domain: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Plain(SocketAddr),
    Named(Named),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    address: SocketAddr,
    domain: String,
}

impl From<Entry> for AlternateServer {
    fn from(entry: Entry) -> Self {
        match entry {
            Entry::Plain(address) => Self { address, domain: None },
            Entry::Named(Named { address, domain }) => Self { address, domain: Some(domain) },
        }
    }
}

impl From<AlternateServer> for Entry {
    fn from(AlternateServer { address, domain }: AlternateServer) -> Self {
        match domain {
            None => Self::Plain(address),
            Some(domain) => Self::Named(Named { address, domain }),
        }
    }
}
