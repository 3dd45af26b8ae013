//! Relay addresses of the process and which of their ports are taken, shared by
//! all shards. Written at Allocate and close; the packet path does one relaxed
//! load to find who holds a port (hairpin).

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};

use super::address::{Family, PeerAddr, RelayAddr};
use super::reservation::Reservations;
use super::route::ShardId;
use super::tcp_ledger::TcpLedger;
use super::world::Random;

/// Random picks before the table is searched in order.
const RANDOM_PICKS: usize = 32;

/// One address that relays are bound to.
#[derive(Debug)]
struct RelayAddress {
    local: IpAddr,
    advertised: IpAddr,
    /// Shard number plus one of whoever holds the port; 0 is free.
    holders: Box<[AtomicU8]>,
    used: AtomicU32,
}

impl RelayAddress {
    fn has_room(&self) -> bool {
        (self.used.load(Relaxed) as usize) < self.holders.len()
    }
}

/// A claimed port: `address` names the local IP within the pool.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Claim {
    address: u16,
    port: u16,
}

/// All relay addresses and their ports.
#[derive(Debug)]
pub struct RelayPool {
    addresses: Vec<RelayAddress>,
    first: u16,
    last: u16,
    reservations: Reservations,
    tcp: TcpLedger,
}

impl RelayPool {
    /// A pool over `(local, advertised)` addresses, each with every port of
    /// `ports`. Each pair is of one family.
    pub fn new(addresses: &[(IpAddr, IpAddr)], ports: RangeInclusive<u16>) -> Self {
        let count = ports.clone().count();
        let addresses = addresses
            .iter()
            .map(|&(local, advertised)| RelayAddress {
                local,
                advertised,
                holders: (0..count).map(|_| AtomicU8::new(0)).collect(),
                used: AtomicU32::new(0),
            })
            .collect();
        Self {
            addresses,
            first: *ports.start(),
            last: *ports.end(),
            reservations: Reservations::default(),
            tcp: TcpLedger::default(),
        }
    }

    /// Whether relays of this family can be had at all.
    pub fn has(&self, family: Family) -> bool {
        self.addresses.iter().any(|a| Family::of(a.local) == family)
    }

    /// Takes a free port of this family, at random; `None` when all are taken.
    pub fn claim(&self, family: Family, shard: ShardId, random: &mut dyn Random) -> Option<Claim> {
        self.search(family, random, 1, |address, offset| self.take(address, offset, shard))
    }

    /// Takes a free even port, and the odd one above it too when `pair`.
    pub fn claim_even(
        &self,
        family: Family,
        shard: ShardId,
        pair: bool,
        random: &mut dyn Random,
    ) -> Option<(Claim, Option<Claim>)> {
        let start = usize::from(self.first % 2);
        self.search(family, random, 2, |address, offset| {
            let even = self.take(address, start + offset * 2, shard)?;
            if !pair {
                return Some((even, None));
            }
            match self.take(address, start + offset * 2 + 1, shard) {
                Some(odd) => Some((even, Some(odd))),
                None => {
                    self.release(even);
                    None
                }
            }
        })
    }

    /// Gives a port back.
    pub fn release(&self, claim: Claim) {
        let address = &self.addresses[usize::from(claim.address)];
        let holder = &address.holders[usize::from(claim.port - self.first)];
        self.tcp.forget_relay(claim);
        if holder.swap(0, Relaxed) != 0 {
            address.used.fetch_sub(1, Relaxed);
        }
    }

    /// A claimed port is another shard's from now on.
    pub(super) fn pass_on(&self, claim: Claim, shard: ShardId) {
        let address = &self.addresses[usize::from(claim.address)];
        let holder = &address.holders[usize::from(claim.port - self.first)];
        holder.store(shard.0.saturating_add(1), Relaxed);
    }

    /// Ports held for a second allocation.
    pub(super) const fn reservations(&self) -> &Reservations {
        &self.reservations
    }

    /// What the TCP allocations of all shards share.
    pub(super) const fn tcp(&self) -> &TcpLedger {
        &self.tcp
    }

    /// The claim of a TCP allocation that has `peer` as its relayed transport
    /// address, local or advertised.
    pub(super) fn tcp_relay(&self, peer: PeerAddr) -> Option<Claim> {
        let address =
            self.addresses.iter().position(|a| a.advertised == peer.ip() || a.local == peer.ip())?;
        let claim = Claim { address: u16::try_from(address).ok()?, port: peer.port() };
        self.tcp.is_relay(claim).then_some(claim)
    }

    /// What the socket of a claim is bound to.
    pub fn local(&self, claim: Claim) -> SocketAddr {
        SocketAddr::new(self.addresses[usize::from(claim.address)].local, claim.port)
    }

    /// What clients are told.
    pub fn advertised(&self, claim: Claim) -> RelayAddr {
        RelayAddr::new(SocketAddr::new(self.addresses[usize::from(claim.address)].advertised, claim.port))
    }

    /// The shard that holds `peer` as a relayed transport address, and that
    /// address as it is advertised. Either the local or the advertised form is
    /// understood.
    pub fn holder(&self, peer: PeerAddr) -> Option<(ShardId, RelayAddr)> {
        let address = self.owning(peer.ip())?;
        let offset = usize::from(peer.port().checked_sub(self.first)?);
        let holder = address.holders.get(offset)?.load(Relaxed);
        let shard = ShardId(holder.checked_sub(1)?);
        Some((shard, RelayAddr::new(SocketAddr::new(address.advertised, peer.port()))))
    }

    /// Whether `peer` may be a relayed transport address of this server, now or
    /// later.
    pub fn covers(&self, peer: PeerAddr) -> bool {
        (self.first..=self.last).contains(&peer.port()) && self.owns(peer.ip())
    }

    /// Whether `ip` is a relay address, local or advertised.
    pub fn owns(&self, ip: IpAddr) -> bool {
        self.owning(ip).is_some()
    }

    /// Every address as `(local, advertised, ports used, ports in all)`.
    pub fn usage(&self) -> impl Iterator<Item = (IpAddr, IpAddr, u32, u32)> + '_ {
        self.addresses.iter().map(|a| {
            let all = u32::try_from(a.holders.len()).unwrap_or(u32::MAX);
            (a.local, a.advertised, a.used.load(Relaxed), all)
        })
    }

    fn owning(&self, ip: IpAddr) -> Option<&RelayAddress> {
        self.addresses.iter().find(|a| a.advertised == ip || a.local == ip)
    }

    /// Tries places of all addresses of one family: some at random, then every
    /// one from a random start. `step` ports make one place.
    fn search<T>(
        &self,
        family: Family,
        random: &mut dyn Random,
        step: usize,
        take: impl Fn(u16, usize) -> Option<T>,
    ) -> Option<T> {
        let addresses: arrayvec::ArrayVec<u16, 64> = (0u16..)
            .zip(&self.addresses)
            .filter(|(_, a)| Family::of(a.local) == family && a.has_room())
            .map(|(i, _)| i)
            .take(64)
            .collect();
        let per_address = usize::from(self.last.saturating_sub(self.first)).div_ceil(step) + 1;
        let places = addresses.len() * per_address;
        if places == 0 {
            return None;
        }
        let mut pick = || {
            let mut bytes = [0; 8];
            random.fill(&mut bytes);
            // 64 random bits over at most 2^22 places: the bias is below 2^-41.
            (u64::from_le_bytes(bytes) % places as u64) as usize
        };
        let try_place = |place: usize| take(addresses[place / per_address], place % per_address);
        for _ in 0..RANDOM_PICKS {
            let found = try_place(pick());
            if found.is_some() {
                return found;
            }
        }
        let start = pick();
        (0..places).find_map(|i| try_place((start + i) % places))
    }

    fn take(&self, address: u16, offset: usize, shard: ShardId) -> Option<Claim> {
        let entry = &self.addresses[usize::from(address)];
        let holder = entry.holders.get(offset)?;
        // A look before the exchange: a search of a nearly full table writes to
        // none of the places that are taken.
        if holder.load(Relaxed) != 0 {
            return None;
        }
        holder.compare_exchange(0, shard.0.checked_add(1)?, Relaxed, Relaxed).ok()?;
        entry.used.fetch_add(1, Relaxed);
        let port = self.first + u16::try_from(offset).ok()?;
        Some(Claim { address, port })
    }
}
