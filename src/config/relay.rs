//! `[relay]`: its keys, and what can be wrong with them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::alternate::AlternateServer;
use super::check::Check;
use super::discover::AddressSource;

/// Shortest lifetime a server may hold an allocation to: a client that asks for
/// nothing gets 600 s (RFC 8656 §7.2).
const MIN_LIFETIME: u32 = 600;
/// What a server should grant at most (RFC 8656 §7.2).
const RECOMMENDED_LIFETIME: u32 = 3600;
/// Ports below are the system's (RFC 6335 §6).
const MIN_RELAY_PORT: u16 = 1024;
/// Most relay addresses; each has a table of its ports.
const MAX_RELAY_ADDRESSES: usize = 64;

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

impl Check<'_> {
    pub(super) fn relays(&mut self) {
        let Relay { addresses, external_addresses: external, max_lifetime, .. } = &self.config.relay;
        for (key, list) in [("relay.addresses", addresses), ("relay.external-addresses", external)] {
            if list.len() > MAX_RELAY_ADDRESSES {
                self.error(key, format!("has {} addresses; at most {MAX_RELAY_ADDRESSES}", list.len()));
            }
            self.once(key, list);
            for (index, ip) in list.iter().enumerate() {
                self.local_address(key, index, *ip);
                if ip.is_unspecified() {
                    let rather = match key {
                        "relay.addresses" => "write an address of this host, or leave the list empty",
                        _ => "write the address that the Internet sees",
                    };
                    self.entry_error(key, index, format!("{ip} stands for any address; {rather}"));
                }
            }
        }
        self.external(addresses, external);
        if *max_lifetime < MIN_LIFETIME {
            self.error(
                "relay.max-lifetime",
                format!("{max_lifetime} is too short; write {MIN_LIFETIME} seconds or more (RFC 8656 §7.2)"),
            );
        } else if *max_lifetime > RECOMMENDED_LIFETIME {
            self.warn(
                "relay.max-lifetime",
                format!(
                    "{max_lifetime} is longer than the {RECOMMENDED_LIFETIME} seconds \
                     that RFC 8656 §7.2 recommends"
                ),
            );
        }
    }

    fn external(&mut self, addresses: &[IpAddr], external: &[IpAddr]) {
        const KEY: &str = "relay.external-addresses";
        if external.is_empty() {
            return;
        }
        if addresses.is_empty() {
            let v4 = external.iter().filter(|ip| ip.is_ipv4()).count();
            if v4 > 1 || external.len() - v4 > 1 {
                self.error(
                    KEY,
                    "has several addresses of one family; \
                     list in relay.addresses the local address of each, in the same order",
                );
            }
            return;
        }
        if addresses.len() != external.len() {
            let (these, those) = (external.len(), addresses.len());
            self.error(
                KEY,
                format!(
                    "has {these} and relay.addresses has {those}; \
                     give one for each, in the same order (an address without NAT is its own)"
                ),
            );
            return;
        }
        for (index, (local, external)) in addresses.iter().zip(external).enumerate() {
            if local.is_ipv4() != external.is_ipv4() {
                self.entry_error(
                    KEY,
                    index,
                    format!("{external} and {local} of relay.addresses are of different families"),
                );
            }
        }
    }

    pub(super) fn ports(&mut self) {
        let ports = self.config.relay.ports;
        if ports.first > ports.last {
            let (first, last) = (ports.first, ports.last);
            self.error("relay.ports", format!("{ports} ends before it begins; write \"{last}-{first}\""));
        } else if ports.first < MIN_RELAY_PORT {
            self.error(
                "relay.ports",
                format!("{ports} begins below {MIN_RELAY_PORT}, where the system's ports are"),
            );
        }
        let listen = &self.config.listen;
        for (key, list) in [("listen.udp", &listen.udp), ("listen.dtls", &listen.dtls)] {
            for (index, address) in list.iter().enumerate().filter(|(_, at)| ports.contains(at.port())) {
                let text = format!("port {} is also one of relay.ports", address.port());
                self.entry_warning(key, index, text);
            }
        }
    }
}
