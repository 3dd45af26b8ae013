//! What the host looks like: which addresses it has, which one the kernel would
//! use toward the world, and how many descriptors it grants. What to do with the
//! answers (relay addresses, the loopback fallback) is the caller's decision.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::relay::Family;

/// The source address the kernel would use toward a global address; `None`
/// without a route. Nothing is sent: connecting a UDP socket only looks up the
/// route.
pub fn source_toward_world(family: Family) -> Option<IpAddr> {
    // Any global unicast address asks the routing table the same question;
    // those of documentation might be blackholed.
    let (any, global): (IpAddr, IpAddr) = match family {
        Family::V4 => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(1, 1, 1, 1).into()),
        Family::V6 => {
            let global = Ipv6Addr::new(0x2606, 0x4700, 0x4700, 0, 0, 0, 0, 0x1111);
            (Ipv6Addr::UNSPECIFIED.into(), global.into())
        }
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0)).ok()?;
    socket.connect(SocketAddr::new(global, 53)).ok()?;
    let ip = socket.local_addr().ok()?.ip();
    (!ip.is_unspecified() && !ip.is_loopback()).then_some(ip)
}

/// Every address of every interface, loopback included, each once.
pub fn local_addresses() -> io::Result<Vec<IpAddr>> {
    let mut addresses: Vec<IpAddr> =
        if_addrs::get_if_addrs()?.iter().map(|interface| interface.ip().to_canonical()).collect();
    addresses.sort_unstable();
    addresses.dedup();
    Ok(addresses)
}

/// Whether only some can reach it: private, shared, link-local, loopback, or no
/// address at all.
pub fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            let is_shared = a == 100 && b & 0xC0 == 64;
            v4.is_private() || v4.is_loopback() || v4.is_link_local() || a == 0 || is_shared
        }
        IpAddr::V6(v6) => {
            v6.is_loopback() || v6.is_unspecified() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
    }
}

/// Raises RLIMIT_NOFILE to its hard limit and returns what it is now;
/// `u64::MAX` is no limit.
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_local_addresses() {
        let addresses = local_addresses().unwrap();
        assert!(addresses.contains(&IpAddr::V4(Ipv4Addr::LOCALHOST)), "{addresses:?}");
        assert!(addresses.is_sorted_by(|a, b| a < b), "sorted, each once: {addresses:?}");
    }

    #[test]
    fn private_addresses_are_told_from_public_ones() {
        for ip in [
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "0.0.0.0",
            "100.64.0.1",
            "100.127.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(is_private(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "::ffff:8.8.8.8"] {
            assert!(!is_private(ip.parse().unwrap()), "{ip}");
        }
    }

    #[test]
    fn the_source_toward_the_world_is_an_address_of_this_host() {
        let local = local_addresses().unwrap();
        for family in Family::BOTH {
            if let Some(ip) = source_toward_world(family) {
                assert_eq!(Family::of(ip), family);
                assert!(!ip.is_loopback());
                assert!(local.contains(&ip), "{ip} in {local:?}");
            }
        }
    }

    #[test]
    fn the_descriptor_limit_ends_at_the_hard_limit() {
        let now = raise_descriptor_limit().unwrap();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(limit.current, limit.maximum);
        assert_eq!(limit.maximum.unwrap_or(u64::MAX), now);
    }
}
