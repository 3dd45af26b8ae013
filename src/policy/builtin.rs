//! Addresses that are nobody's business to relay to, unless an operator says so.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How long a prefix [`is_isatap`] counts as: it fixes half an interface
/// identifier under any /64.
pub(super) const ISATAP_PREFIX_LENGTH: u8 = 96;

const fn v4(a: u8, b: u8, c: u8, d: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), length))
}

const fn v6(segments: [u16; 8], length: u8) -> IpNet {
    let [a, b, c, d, e, f, g, h] = segments;
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(a, b, c, d, e, f, g, h), length))
}

/// The list that `peers.deny` is added to: what the IANA special-purpose
/// registries (RFC 6890) hold as not globally reachable, every IPv6 form that
/// embeds an IPv4 address (but mapped ones, which are judged as IPv4), and the
/// metadata services of clouds, each by its whole address so that allowing the
/// network around it does not open it.
pub(super) const DENIED: &[IpNet] = &[
    v4(0, 0, 0, 0, 8),                         // this network; 0.0.0.0 reaches the host itself
    v4(10, 0, 0, 0, 8),                        // private
    v4(100, 64, 0, 0, 10),                     // carrier-grade NAT
    v4(100, 100, 100, 200, 32),                // metadata: Alibaba
    v4(127, 0, 0, 0, 8),                       // loopback
    v4(168, 63, 129, 16, 32),                  // metadata: Azure
    v4(169, 254, 0, 0, 16),                    // link-local
    v4(169, 254, 169, 253, 32),                // resolver: AWS
    v4(169, 254, 169, 254, 32),                // metadata: AWS, Azure, GCP and others
    v4(169, 254, 170, 2, 32),                  // metadata: AWS ECS
    v4(169, 254, 170, 23, 32),                 // metadata: AWS EKS
    v4(172, 16, 0, 0, 12),                     // private
    v4(192, 0, 0, 0, 24),                      // protocol assignments
    v4(192, 0, 0, 192, 32),                    // metadata: Oracle
    v4(192, 0, 2, 0, 24),                      // documentation
    v4(192, 88, 99, 0, 24),                    // 6to4 relays
    v4(192, 168, 0, 0, 16),                    // private
    v4(198, 18, 0, 0, 15),                     // benchmarking
    v4(198, 51, 100, 0, 24),                   // documentation
    v4(203, 0, 113, 0, 24),                    // documentation
    v4(224, 0, 0, 0, 4),                       // multicast
    v4(240, 0, 0, 0, 4),                       // reserved
    v4(255, 255, 255, 255, 32),                // broadcast
    v6([0; 8], 96),                            // loopback, IPv4-compatible
    v6([0; 8], 128),                           // unspecified
    v6([0, 0, 0, 0, 0xffff, 0, 0, 0], 96),     // IPv4-translated (RFC 2765)
    v6([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96),  // NAT64
    v6([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),  // NAT64, local use
    v6([0x100, 0, 0, 0, 0, 0, 0, 0], 64),      // discard
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),     // Teredo
    v6([0x2001, 2, 0, 0, 0, 0, 0, 0], 48),     // benchmarking
    v6([0x2001, 0x10, 0, 0, 0, 0, 0, 0], 28),  // ORCHID
    v6([0x2001, 0x20, 0, 0, 0, 0, 0, 0], 28),  // ORCHIDv2
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32), // documentation
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),     // 6to4
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),     // documentation
    v6([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),     // segment routing
    v6([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),      // unique local
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128), // metadata: AWS EKS
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253], 128), // resolver: AWS
    v6([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128), // metadata: AWS
    v6([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128), // metadata: GCP
    v6([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),     // link-local
    v6([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),     // site-local
    v6([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),      // multicast
];

/// What no list can open: unspecified addresses, which the kernel takes for the
/// host itself, and 6to4 and Teredo, which RFC 8656 §21.4 forbids.
pub(super) const NEVER: &[IpNet] = &[
    v4(0, 0, 0, 0, 8),
    v6([0; 8], 128),
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
];

/// ISATAP (RFC 5214 §6.1): an interface identifier of 0000:5efe or 0200:5efe and
/// an IPv4 address, under any prefix.
pub(super) fn is_isatap(address: Ipv6Addr) -> bool {
    let [.., high, low, _, _] = address.segments();
    matches!(high, 0 | 0x200) && low == 0x5efe
}

/// The IPv4 address that a translator or tunnel would take out of this one, when
/// it is of such a form: the last 32 bits. NAT64 for local use has other layouts
/// beside that (RFC 6052 §2.2); an address in one of them is taken for 0.0.0.0.
pub(super) fn embedded(address: Ipv6Addr) -> Option<IpAddr> {
    let [.., w, x, y, z] = address.octets();
    let last = Ipv4Addr::new(w, x, y, z);
    let ipv4 = match address.segments() {
        [0, 0, 0, 0, 0, 0, ..] | [0, 0, 0, 0, 0xffff, 0, ..] | [0x64, 0xff9b, 0, 0, 0, 0, ..] => last,
        [0x64, 0xff9b, 1, _, 0, 0, ..] => last,
        [0x64, 0xff9b, 1, ..] => Ipv4Addr::UNSPECIFIED,
        _ if is_isatap(address) => last,
        _ => return None,
    };
    Some(IpAddr::V4(ipv4))
}
