//! `[peers]`: its keys, and what can be wrong with them.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::check::Check;
use crate::policy;

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

/// Prefixes; a bare address is the prefix of all its bits.
pub(super) fn prefixes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<IpNet>, D::Error> {
    let prefix = |text: String| match text.parse::<IpAddr>() {
        Ok(address) => Ok(IpNet::from(address)),
        Err(_) => text.parse().map_err(D::Error::custom),
    };
    Vec::<String>::deserialize(deserializer)?.into_iter().map(prefix).collect()
}

impl Check<'_> {
    /// Prefixes with bits behind their length.
    pub(super) fn prefixes(&mut self, key: &'static str, list: &[IpNet]) {
        for (index, prefix) in list.iter().enumerate().filter(|(_, prefix)| **prefix != prefix.trunc()) {
            let text = format!("{prefix} covers all of {}; write that, or the address alone", prefix.trunc());
            self.entry_warning(key, index, text);
        }
    }

    pub(super) fn peers(&mut self) {
        let peers = &self.config.peers;
        for (key, list) in [("peers.allow", &peers.allow), ("peers.deny", &peers.deny)] {
            self.prefixes(key, list);
        }
        let idle = policy::without_effect(&peers.allow, &peers.deny);
        for (index, prefix) in peers.allow.iter().enumerate() {
            if idle.contains(prefix) {
                self.entry_warning(
                    "peers.allow",
                    index,
                    format!("{prefix} opens nothing: it is in peers.deny too, or no list may open it"),
                );
            } else if prefix.addr().is_loopback() && !self.only_loopback() {
                self.entry_warning(
                    "peers.allow",
                    index,
                    format!("{prefix} lets every client reach the services of this machine's loopback"),
                );
            }
        }
    }
}
