//! The peer address filter: where a client may relay to.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};

use foldhash::fast::RandomState;
use ipnet::{IpNet, Ipv4Net};

use super::builtin::{self, DENIED, ISATAP_PREFIX_LENGTH, NEVER};
use super::prefixes::{Prefixes, Verdict};
use crate::relay::address::PeerAddr;
use crate::relay::world::{PeerPolicy, Reach};

/// What this host is, known once its listeners are bound.
#[derive(Clone, Debug, Default)]
pub struct OwnAddresses {
    /// Relay addresses, local and advertised, as in
    /// [`RelayPool::new`](crate::relay::ports::RelayPool::new).
    pub relays: Vec<(IpAddr, IpAddr)>,
    /// The addresses of all interfaces.
    pub local: Vec<IpAddr>,
    /// Sockets that no client may reach through a relay, whatever is allowed:
    /// listeners, admin, user stores, here or elsewhere. An unspecified address
    /// means that port on every address of this host.
    pub protected: Vec<SocketAddr>,
}

/// Where clients may relay to: a built-in list of what nobody should (private,
/// loopback, link-local, multicast, metadata, documentation, every form that
/// embeds an IPv4 address, …), `peers.deny` and `peers.allow`.
///
/// Among all three the most specific prefix that holds an address decides; an
/// address that none holds is allowed. On a tie the operator's word beats the
/// built-in list, and `peers.deny` beats `peers.allow`. So `allow =
/// ["10.0.0.0/8"]` opens that network, `["0.0.0.0/0"]` opens nothing of the
/// built-in list, whose prefixes are longer, and [`without_effect`] finds entries
/// that open nothing at all.
///
/// No list opens unspecified addresses (0.0.0.0/8, `::`), 6to4 or Teredo. An
/// IPv4-mapped address is judged as the IPv4 address. Another form that embeds
/// an IPv4 address, when a list opens it, is still denied if that IPv4 address
/// is, or is this host's own.
///
/// This host's own addresses, among them all of 127.0.0.0/8 and `::1`, are only
/// reached where `peers.allow` names them (its prefix is the deciding one), and
/// there not at the protected sockets. Relay addresses differ in one thing: a
/// permission for them is always given, since both ends of a call may be
/// relayed; what is not a relayed transport address of a live allocation is then
/// for [`PeerPolicy::may_send`] to judge.
///
/// The broadcast addresses of attached networks are not looked up: the kernel
/// refuses them to a socket without `SO_BROADCAST`, which relay sockets lack.
#[derive(Debug)]
pub struct PeerFilter {
    prefixes: Prefixes,
    relays: HashSet<IpAddr, RandomState>,
    local: HashSet<IpAddr, RandomState>,
    protected: HashSet<(IpAddr, u16), RandomState>,
    /// Protected on every own address.
    protected_ports: HashSet<u16, RandomState>,
    /// Addresses elsewhere of which a port is protected.
    guarded: HashSet<IpAddr, RandomState>,
    /// Worked out beforehand for every address in the sets above.
    judged: HashMap<IpAddr, Judgement, RandomState>,
}

#[derive(Clone, Copy, Debug)]
struct Judgement {
    reach: Reach,
    /// Whether the kernel may carry a packet there, protected ports aside.
    open: bool,
    own: bool,
}

impl PeerFilter {
    /// A filter over the lists of `[peers]` for a host with these addresses.
    pub fn new(allow: &[IpNet], deny: &[IpNet], own: &OwnAddresses) -> Self {
        let mut prefixes = Prefixes::default();
        let denied =
            |list: &[IpNet]| list.iter().map(|&network| (network, Verdict::Deny)).collect::<Vec<_>>();
        let allowed = allow.iter().map(|&network| (network, Verdict::Allow));
        for (network, verdict) in denied(DENIED).into_iter().chain(allowed).chain(denied(deny)) {
            prefixes.insert(as_ipv4(network), verdict);
        }
        let relays = own.relays.iter().flat_map(|&(local, advertised)| [local, advertised]);
        let mut filter = Self {
            prefixes,
            relays: relays.map(|ip| ip.to_canonical()).collect(),
            local: own.local.iter().map(IpAddr::to_canonical).collect(),
            protected: HashSet::default(),
            protected_ports: HashSet::default(),
            guarded: HashSet::default(),
            judged: HashMap::default(),
        };
        for &socket in &own.protected {
            filter.protect(socket, &own.relays);
        }
        let known = filter.relays.iter().chain(&filter.local).chain(&filter.guarded);
        filter.judged = known.map(|&ip| (ip, filter.work_out(ip))).collect();
        filter
    }

    /// Behind a 1:1 NAT a listener is reached by its external address too.
    fn protect(&mut self, socket: SocketAddr, relays: &[(IpAddr, IpAddr)]) {
        let (ip, port) = (socket.ip().to_canonical(), socket.port());
        if ip.is_unspecified() {
            self.protected_ports.insert(port);
            return;
        }
        self.protected.insert((ip, port));
        for (local, advertised) in relays.iter().map(|(a, b)| (a.to_canonical(), b.to_canonical())) {
            if ip == local {
                self.protected.insert((advertised, port));
            } else if ip == advertised {
                self.protected.insert((local, port));
            }
        }
        if !self.is_own(ip) {
            self.guarded.insert(ip);
        }
    }

    fn judge(&self, ip: IpAddr) -> Judgement {
        self.judged.get(&ip).copied().unwrap_or_else(|| self.work_out(ip))
    }

    fn work_out(&self, ip: IpAddr) -> Judgement {
        let own = self.is_own(ip);
        if is_never(ip) {
            return Judgement { reach: Reach::Denied, open: false, own };
        }
        let verdict = self.verdict(ip);
        let open = if own { verdict == Some(Verdict::Allow) } else { verdict != Some(Verdict::Deny) };
        let reach = if self.relays.contains(&ip) {
            Reach::SomePorts
        } else if !open {
            Reach::Denied
        } else if own || self.guarded.contains(&ip) {
            Reach::SomePorts
        } else {
            Reach::Open
        };
        Judgement { reach, open, own }
    }

    fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.relays.contains(&ip) || self.local.contains(&ip)
    }

    /// What the lists say; of an embedded IPv4 address they must agree.
    fn verdict(&self, ip: IpAddr) -> Option<Verdict> {
        let found = self.prefixes.longest(ip);
        let IpAddr::V6(v6) = ip else {
            return found.map(|(verdict, _)| verdict);
        };
        let length = found.map_or(0, |(_, length)| length);
        if builtin::is_isatap(v6) && length <= ISATAP_PREFIX_LENGTH {
            return Some(Verdict::Deny);
        }
        let (verdict, _) = found?;
        match builtin::embedded(v6).filter(|_| !v6.is_loopback()) {
            Some(v4) if is_never(v4) || self.is_own(v4) || self.verdict(v4) == Some(Verdict::Deny) => {
                Some(Verdict::Deny)
            }
            _ => Some(verdict),
        }
    }
}

impl PeerPolicy for PeerFilter {
    fn reach(&self, peer: IpAddr) -> Reach {
        self.judge(peer.to_canonical()).reach
    }

    fn may_send(&self, peer: PeerAddr) -> bool {
        let (ip, port) = (peer.ip(), peer.port());
        let judgement = self.judge(ip);
        judgement.open
            && port != 0
            && !self.protected.contains(&(ip, port))
            && !(judgement.own && self.protected_ports.contains(&port))
    }
}

fn is_never(ip: IpAddr) -> bool {
    NEVER.iter().any(|network| network.contains(&ip))
}

/// A prefix of IPv4-mapped addresses as the IPv4 prefix that it means.
fn as_ipv4(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let shorter = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(96));
    shorter.and_then(|(ip, length)| Ipv4Net::new(ip, length).ok()).map_or(network, IpNet::V4)
}

/// The entries of `allow` that open nothing at all, because the same prefix is
/// denied or no list may open it. Worth a warning: a longer prefix, or less of
/// `deny`, was meant.
pub fn without_effect(allow: &[IpNet], deny: &[IpNet]) -> Vec<IpNet> {
    let denied: HashSet<IpNet> = deny.iter().map(|&network| as_ipv4(network).trunc()).collect();
    let idle = |network: IpNet| {
        denied.contains(&network.trunc()) || NEVER.iter().any(|never| never.contains(&network))
    };
    allow.iter().copied().filter(|&network| idle(as_ipv4(network))).collect()
}

#[cfg(test)]
#[path = "peers_test.rs"]
mod tests;
