//! One allocation (RFC 8656 §6): its relays, permissions and channels, as plain
//! values. Every lookup compares with `now`, so nothing outlives its time even
//! before the timer has swept it out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;

use super::access::Access;
use super::address::{Family, FiveTuple, PeerAddr, RelayAddr};
use super::bandwidth::Bucket;
use super::channels::{Channel, Channels};
use super::counters::Counters;
use super::mobility::Mobility;
use super::ports::Claim;
use super::route::{AllocationId, AllocationSummary, ClientPath, Traffic};
use super::tcp_relay::TcpRelay;
use super::time::Instant;
use super::timers::TimerId;
use super::world::Reach;
use crate::wire::{ChannelNumber, ErrorCode, TransactionId};

/// RFC 8656 §9.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);
/// RFC 8656 §12.
pub(super) const CHANNEL_LIFETIME: Duration = Duration::from_secs(600);
/// Permissions and channels of one allocation, each.
pub(super) const MAX_PER_ALLOCATION: usize = 1024;
/// Expired permissions and channels are swept out this late at most.
const SWEEP_SLACK: Duration = Duration::from_secs(5);

/// One relayed transport address.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relay {
    pub(super) claim: Claim,
    pub(super) address: RelayAddr,
    pub(super) expires: Instant,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Permission {
    pub(super) peer: IpAddr,
    pub(super) expires: Instant,
    pub(super) reach: Reach,
}

#[derive(Debug)]
pub(super) struct Allocation {
    pub(super) path: ClientPath,
    /// There when it has a ticket (RFC 8016).
    pub(super) mobility: Option<Box<Mobility>>,
    /// As it was sent by who made it; [`Identity::owns`](super::authenticate::Identity::owns)
    /// says who may touch it.
    pub(super) username: Arc<str>,
    /// What quotas count.
    pub(super) user: Arc<str>,
    /// By [`Family::index`].
    pub(super) relays: [Option<Relay>; 2],
    pub(super) opened: Instant,
    /// Of the Allocate that made it: the same again is a retransmission.
    pub(super) allocate_id: TransactionId,
    /// Told in the Allocate response, and again in a retransmitted one.
    pub(super) reservation_token: Option<[u8; 8]>,
    /// Likewise: the family that could not be had, and why.
    pub(super) address_error: Option<(Family, ErrorCode)>,
    /// By peer, each once. The first ones stand here, where a packet looks anyhow.
    pub(super) permissions: SmallVec<[Permission; 2]>,
    pub(super) channels: Channels,
    pub(super) traffic: Traffic,
    /// `None` without a limit.
    pub(super) bandwidth: Option<Box<Bucket>>,
    /// There when it relays TCP (RFC 6062), not UDP.
    pub(super) tcp: Option<Box<TcpRelay>>,
    /// There when it was made by an access token; of the last one shown.
    pub(super) access: Option<Arc<Access>>,
    pub(super) timer: TimerId,
    pub(super) timer_at: Instant,
}

/// Sorts addresses as they sort themselves, for less: `Ipv6Addr` compares segment by
/// segment.
const fn rank(ip: IpAddr) -> (bool, u128) {
    match ip {
        IpAddr::V4(ip) => (false, ip.to_bits() as u128),
        IpAddr::V6(ip) => (true, ip.to_bits()),
    }
}

impl Allocation {
    pub(super) fn is_live(&self, now: Instant) -> bool {
        now < self.expires()
    }

    /// The way to its client; `None` while its connection is gone.
    pub(super) fn reach(&self) -> Option<ClientPath> {
        match &self.mobility {
            Some(mobility) if mobility.away => None,
            _ => Some(self.path),
        }
    }

    /// Whether data from the client may say that it has heard of its last move.
    pub(super) fn is_unconfirmed(&self) -> bool {
        self.mobility.as_ref().is_some_and(|mobility| mobility.unconfirmed)
    }

    /// Every way that its client may come by.
    pub(super) fn paths(&self) -> impl Iterator<Item = ClientPath> + use<> {
        self.reach().into_iter().chain(self.next())
    }

    /// Whether this is the 5-tuple of its client, or the one it is moving to.
    pub(super) fn is_at(&self, five_tuple: FiveTuple) -> bool {
        self.path.five_tuple == five_tuple || self.next().is_some_and(|next| next.five_tuple == five_tuple)
    }

    fn next(&self) -> Option<ClientPath> {
        self.mobility.as_ref().and_then(|mobility| mobility.next)
    }

    /// When its last relay ends.
    pub(super) fn expires(&self) -> Instant {
        self.relays.iter().flatten().map(|relay| relay.expires).max().unwrap_or_default()
    }

    pub(super) fn relay(&self, family: Family, now: Instant) -> Option<Relay> {
        self.relays[family.index()].filter(|relay| now < relay.expires)
    }

    pub(super) fn permission(&self, peer: IpAddr, now: Instant) -> Option<Permission> {
        let permission = self.permissions.get(self.place(peer).ok()?)?;
        Some(*permission).filter(|permission| now < permission.expires)
    }

    pub(super) fn channel(&self, number: ChannelNumber, now: Instant) -> Option<Channel> {
        self.channels.get(number).copied().filter(|channel| now < channel.expires)
    }

    pub(super) fn channel_to(&self, peer: PeerAddr, now: Instant) -> Option<Channel> {
        self.channels.to(peer).copied().filter(|channel| now < channel.expires)
    }

    /// Gives a permission, or makes it last longer. Returns whether it is new.
    pub(super) fn permit(&mut self, peer: IpAddr, reach: Reach, until: Instant) -> bool {
        match self.place(peer) {
            Ok(at) => {
                let permission = &mut self.permissions[at];
                permission.expires = permission.expires.max(until);
                permission.reach = reach;
                false
            }
            Err(at) => {
                self.permissions.insert(at, Permission { peer, expires: until, reach });
                true
            }
        }
    }

    /// Where this peer's permission is, or would be.
    fn place(&self, peer: IpAddr) -> Result<usize, usize> {
        self.permissions.binary_search_by_key(&rank(peer), |permission| rank(permission.peer))
    }

    /// Takes out what has expired, or leads through a relay that has or is gone.
    pub(super) fn sweep(&mut self, now: Instant, counters: &Counters) {
        let live = Family::BOTH.map(|family| self.relay(family, now).is_some());
        let stays = |peer: IpAddr, expires: Instant| now < expires && live[Family::of(peer).index()];
        self.retain(
            counters,
            |permission| stays(permission.peer, permission.expires),
            |channel| stays(channel.peer.ip(), channel.expires),
        );
    }

    /// Asks anew what each permission and channel may reach; those without an
    /// answer are taken out.
    pub(super) fn reconsider(
        &mut self,
        counters: &Counters,
        permitted: impl Fn(IpAddr) -> Option<Reach>,
        bound: impl Fn(PeerAddr) -> Option<Reach>,
    ) {
        let anew = |reach: &mut Reach, found: Option<Reach>| {
            *reach = found.unwrap_or(Reach::Denied);
            found.is_some()
        };
        self.retain(
            counters,
            |permission| anew(&mut permission.reach, permitted(permission.peer)),
            |channel| anew(&mut channel.reach, bound(channel.peer)),
        );
    }

    fn retain(
        &mut self,
        counters: &Counters,
        permitted: impl Fn(&mut Permission) -> bool,
        bound: impl Fn(&mut Channel) -> bool,
    ) {
        let before = (self.permissions.len(), self.channels.len());
        self.permissions.retain_mut(permitted);
        self.channels.retain(bound);
        counters.permissions.sub((before.0 - self.permissions.len()) as u64);
        counters.channels.sub((before.1 - self.channels.len()) as u64);
    }

    /// When it is to be looked at next. The slack bounds how often an allocation
    /// with many permissions of different ages is swept.
    pub(super) fn next_look(&self, now: Instant) -> Instant {
        let relays = self.relays.iter().flatten().map(|relay| relay.expires).min();
        let permissions = self.permissions.iter().map(|permission| permission.expires);
        let channels = self.channels.iter().map(|channel| channel.expires);
        let sweep = permissions.chain(channels).min().map(|at| at.max(now + SWEEP_SLACK));
        [relays, sweep].into_iter().flatten().min().unwrap_or(now)
    }

    pub(super) fn summary(&self, id: AllocationId, until: Instant) -> AllocationSummary {
        AllocationSummary {
            id,
            five_tuple: self.path.five_tuple,
            away: self.reach().is_none(),
            username: Arc::clone(&self.username),
            user: Arc::clone(&self.user),
            relays: self.relays.map(|relay| relay.map(|relay| relay.address)),
            opened: self.opened,
            until,
            expires: self.expires(),
            permissions: self.permissions.len(),
            channels: self.channels.len(),
            traffic: self.traffic,
        }
    }
}
