//! Where clients are relayed from: the relay addresses, and whether the host may
//! open as many ports.

use std::net::{IpAddr, Ipv4Addr};

use super::certificates;
use super::listeners::listed;
use super::public_address;
use crate::config::{Config, urls};
use crate::net::discover;
use crate::relay::{Family, Transport};

/// Descriptors that are not relay sockets.
pub(super) const OTHER_DESCRIPTORS: u64 = 256;

/// `relay.addresses`, else what the kernel would use toward the world, else
/// loopback, which serves for a try on one machine; the banner then warns.
pub(super) fn relay_addresses(config: &Config) -> Vec<(IpAddr, IpAddr)> {
    let found: Vec<IpAddr> = Family::BOTH.into_iter().filter_map(discover::source_toward_world).collect();
    if !config.relay.addresses.is_empty() || !found.is_empty() {
        return config.relay.advertised(&found);
    }
    config.relay.advertised(&[Ipv4Addr::LOCALHOST.into()])
}

/// By which a server with this configuration would be reached from here, as far as
/// that can be told without starting it: a port of the system's choice can't, nor
/// what `relay.discover` finds out, and then there are none.
pub fn urls_of(config: &Config) -> Vec<String> {
    let mut listeners = listed(&config.listen);
    listeners.extend(config.https.listen.iter().map(|address| (Transport::Tls, *address)));
    listeners.retain(|(_, address)| address.port() != 0);
    let relays = relay_addresses(config);
    if public_address::is_to_be_found(config, &relays) {
        return Vec::new();
    }
    let host = certificates::host(config).or_else(|| config.acme.names.first().cloned());
    urls::urls(&listeners, &relays, host.as_deref())
}

/// Each relay takes a descriptor. Returns how many may be open.
pub(super) fn check_descriptors(config: &Config, addresses: u64, warnings: &mut Vec<String>) -> u64 {
    let ports = addresses * (u64::from(config.relay.ports.last - config.relay.ports.first) + 1);
    let limit = match discover::raise_descriptor_limit() {
        Ok(limit) => limit,
        Err(error) => {
            warnings.push(format!("the descriptor limit could not be raised: {error}"));
            return ports + OTHER_DESCRIPTORS;
        }
    };
    if limit < ports + OTHER_DESCRIPTORS {
        warnings.push(format!(
            "at most {limit} descriptors may be open (ulimit -n), but there are {ports} relay ports \
             (relay.ports on each relay address): raise the limit (LimitNOFILE=), or expect 508 before the \
             ports are used up"
        ));
    }
    limit
}
