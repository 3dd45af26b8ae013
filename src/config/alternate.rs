//! `relay.alternate-servers`: what an entry has, and what can be wrong with them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use tokio_rustls::rustls::pki_types::DnsName;

use super::check::Check;

/// Another TURN server: `"…"` or `{ address = "…", domain = "…" }`.
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

impl Check<'_> {
    pub(super) fn alternates(&mut self) {
        const KEY: &str = "relay.alternate-servers";
        let list = &self.config.relay.alternate_servers;
        for (index, AlternateServer { address, domain }) in list.iter().enumerate() {
            if list.iter().take(index).any(|other| other.address == *address) {
                self.entry_error(KEY, index, format!("{address} is listed twice; remove one"));
            }
            if let Some(domain) = domain
                && DnsName::try_from(domain.as_str()).is_err()
            {
                let text = format!("{domain:?} is no host name; write the name in the server's certificate");
                self.entry_error(KEY, index, text);
            }
            self.local_address(KEY, index, address.ip());
            if address.ip().is_unspecified() || address.port() == 0 {
                let text = format!("{address} leads nowhere; write the address and port of a TURN server");
                self.entry_error(KEY, index, text);
            }
        }
    }
}
