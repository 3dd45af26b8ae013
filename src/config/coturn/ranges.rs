//! coturn's peer ranges (`a-b`, not CIDR) as prefixes.

use std::net::IpAddr;

use ipnet::{IpNet, IpSubnets, Ipv4Subnets, Ipv6Subnets};

/// The fewest prefixes that cover `first-last`, or one address. `None` when it
/// is neither, or the ends are of two families or in the wrong order.
pub(super) fn prefixes(range: &str) -> Option<Vec<IpNet>> {
    let (first, last) = range.split_once('-').unwrap_or((range, range));
    let ends = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let subnets = match ends {
        (IpAddr::V4(first), IpAddr::V4(last)) if first <= last => {
            IpSubnets::V4(Ipv4Subnets::new(first, last, 0))
        }
        (IpAddr::V6(first), IpAddr::V6(last)) if first <= last => {
            IpSubnets::V6(Ipv6Subnets::new(first, last, 0))
        }
        _ => return None,
    };
    Some(subnets.collect())
}
