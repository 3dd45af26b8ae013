//! `[stun]`: its keys, and what can be wrong with them.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::check::Check;
use super::model::Config;

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

impl Check<'_> {
    pub(super) fn nat_discovery(&mut self) {
        if self.config.stun.nat_discovery && self.config.nat_discovery().is_empty() {
            self.error(
                "stun.nat-discovery",
                "takes two addresses of one family in listen.udp, none of them 0.0.0.0 or [::], \
                 with one port that is not 0, as [\"192.0.2.1:3478\", \"192.0.2.2:3478\"], \
                 and another port in stun.alternate-port",
            );
        }
    }
}
