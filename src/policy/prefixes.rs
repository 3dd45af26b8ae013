//! Longest-prefix match over allow and deny lists.

use std::collections::HashMap;
use std::net::IpAddr;

use foldhash::fast::RandomState;
use ipnet::IpNet;

/// What a prefix says about the addresses under it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Allow,
    Deny,
}

/// Prefixes of both families. A lookup costs one probe for each prefix length
/// that occurs, however many prefixes there are.
#[derive(Debug, Default)]
pub(super) struct Prefixes {
    v4: Vec<OfLength>,
    v6: Vec<OfLength>,
}

/// All prefixes of one length, by their bits; longest first in [`Prefixes`].
#[derive(Debug)]
struct OfLength {
    length: u8,
    verdicts: HashMap<u128, Verdict, RandomState>,
}

impl Prefixes {
    /// Adds a prefix; an equal one that is there already gives way.
    pub(super) fn insert(&mut self, network: IpNet, verdict: Verdict) {
        let length = network.prefix_len();
        let lengths = match network {
            IpNet::V4(_) => &mut self.v4,
            IpNet::V6(_) => &mut self.v6,
        };
        let place = lengths.partition_point(|other| other.length > length);
        if lengths.get(place).is_none_or(|other| other.length != length) {
            lengths.insert(place, OfLength { length, verdicts: HashMap::default() });
        }
        lengths[place].verdicts.insert(prefix(network.addr(), length), verdict);
    }

    /// The verdict of the longest prefix that holds this address, and its length.
    pub(super) fn longest(&self, address: IpAddr) -> Option<(Verdict, u8)> {
        let lengths = if address.is_ipv4() { &self.v4 } else { &self.v6 };
        lengths.iter().find_map(|OfLength { length, verdicts }| {
            Some((*verdicts.get(&prefix(address, *length))?, *length))
        })
    }
}

/// The first `length` bits.
fn prefix(address: IpAddr, length: u8) -> u128 {
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    bits.checked_shr(width - u32::from(length)).unwrap_or(0)
}
