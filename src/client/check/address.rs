//! A URL's addresses, and what kind of address one is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use super::report::{Cause, Finding, Step};
use crate::net::discover::is_private;

/// Most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 8;

/// Every address of this host, both families, each once.
pub(super) async fn resolve(host: &str, port: u16) -> (Vec<SocketAddr>, Finding) {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return (vec![SocketAddr::new(ip, port)], Finding::ok(Step::Addresses, described(ip)));
    }
    const ADVICE: &str = "look at the name's A and AAAA records, and at this machine's resolver";
    let failed =
        |why: String| (Vec::new(), Finding::failed(Step::Addresses, Cause::UnknownName, why, ADVICE));
    let found = match tokio::net::lookup_host((host, port)).await {
        Ok(found) => found,
        Err(error) => return failed(format!("{host} has no address: {error}")),
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found.take(MAX_ADDRESSES) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return failed(format!("{host} has no address"));
    }
    let told: Vec<String> = addresses.iter().map(|address| described(address.ip())).collect();
    (addresses, Finding::ok(Step::Addresses, told.join(", ")))
}

fn described(ip: IpAddr) -> String {
    match is_private(ip) {
        true if ip.is_loopback() => format!("{ip} (loopback)"),
        true => format!("{ip} (private)"),
        false => ip.to_string(),
    }
}

/// The address of this machine that its packets to `remote` carry; `None`
/// without a way there. Nothing is sent.
pub(super) fn source_toward(remote: SocketAddr) -> Option<IpAddr> {
    let socket = UdpSocket::bind((any_like(remote), 0)).ok()?;
    socket.connect(remote).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Every address of this family.
pub(super) const fn any_like(address: SocketAddr) -> IpAddr {
    match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_literal_is_its_own_address_and_a_name_that_is_none_has_none() {
        let (addresses, finding) = resolve("10.0.0.1", 3478).await;
        assert_eq!(addresses, ["10.0.0.1:3478".parse::<SocketAddr>().unwrap()]);
        assert_eq!(finding.found, "10.0.0.1 (private)");
        // Longer than any name: nobody is asked for it.
        let (addresses, finding) = resolve(&"a".repeat(300), 3478).await;
        assert!(addresses.is_empty());
        assert_eq!(finding.cause, Some(Cause::UnknownName));
    }
}
