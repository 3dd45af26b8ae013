//! What the engine asks of the world, as traits. `auth` and `policy` implement
//! them; no database or HTTP crate is reachable from here.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arrayvec::ArrayVec;

use super::address::PeerAddr;
use super::time::{Instant, UnixTime};
use crate::wire::integrity::LongTermKeys;

/// Who may allocate.
pub trait Users: Send + Sync {
    /// The account behind a USERNAME. Always answers, at the same cost for
    /// known and unknown names; the engine verifies the message with the keys
    /// before it looks at `standing`. `name` is at most 508 bytes.
    fn account(&self, now: UnixTime, name: &str) -> Arc<Account>;

    /// The name behind a USERHASH (RFC 8489 §14.4), when there is one.
    fn name_of_hash(&self, hash: &[u8; 32]) -> Option<Arc<str>>;

    /// Whether every user can be found by its USERHASH. False as soon as there
    /// is a shared secret: its user names have no list.
    fn enumerable(&self) -> bool;

    /// Third-party authorization (RFC 7635); `None` is off.
    fn third_party(&self) -> Option<&dyn ThirdParty>;
}

/// What a user store knows about one USERNAME.
#[derive(Debug)]
pub struct Account {
    /// One per secret that may have made the password; at least one, and of
    /// nobody when the user is unknown.
    pub keys: Vec<LongTermKeys>,
    /// Whether the keys are worth anything.
    pub standing: Standing,
    /// What quotas count: the user part of a time-limited name, or the whole.
    pub user: Arc<str>,
    /// Most allocations at once; 0 is no limit.
    pub max_allocations: u32,
}

/// See [`Account::standing`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// Nobody of this name.
    Unknown,
    /// Good without end (a static user).
    Permanent,
    /// A time-limited credential, good until then (compare with `now`).
    Until(UnixTime),
}

/// Third-party authorization (RFC 7635): authorization servers that share a key
/// with this server hand its clients access tokens.
pub trait ThirdParty {
    /// THIRD-PARTY-AUTHORIZATION: the name that tokens are made for, 1 to 255
    /// bytes.
    fn server_name(&self) -> &str;

    /// What an ACCESS-TOKEN under the key `kid` is worth. Costs the same for known
    /// and unknown keys; the engine verifies the message with the token's key
    /// before it does anything for its sender. `kid` is at most 508 bytes, `token`
    /// anything.
    fn grant(&self, now: UnixTime, kid: &str, token: &[u8]) -> Result<Grant, TokenFault>;
}

/// Longest key in an access token, bytes: one block of SHA-1 and SHA-256.
pub const MAC_KEY_BYTES: usize = 64;

/// The key in an access token (RFC 7635 §6.2).
pub type MacKey = ArrayVec<u8, MAC_KEY_BYTES>;

/// What an access token is worth.
#[derive(Clone, PartialEq, Eq)]
pub struct Grant {
    /// Signs the client's requests and the answers to them, as it is.
    pub key: MacKey,
    /// How much longer, from now on; not zero.
    pub lasts: Duration,
    /// The authorization server behind it: whoever has a token of the same one may
    /// go on with an allocation, as a client does with its next token.
    pub authority: Arc<str>,
    /// What quotas count; the same each time this token is shown.
    pub user: Arc<str>,
    /// Most allocations at once; 0 is no limit.
    pub max_allocations: u32,
}

/// All but the key.
impl fmt::Debug for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grant")
            .field("lasts", &self.lasts)
            .field("authority", &self.authority)
            .field("user", &self.user)
            .field("max_allocations", &self.max_allocations)
            .finish_non_exhaustive()
    }
}

/// Why an access token is worth nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum TokenFault {
    /// No key of this `kid`.
    UnknownKey,
    /// The key is not valid yet, or no more.
    KeyOutOfTime,
    /// Not sealed with this key for this server's name, or damaged.
    Sealed,
    /// What was sealed is not what RFC 7635 §6.2 says.
    Contents,
    /// Made too long ago.
    Expired,
    /// Made too far in the future.
    Early,
}

/// Where a client may relay to.
pub trait PeerPolicy: Send + Sync {
    /// Whether a permission for this address may be given. Called when one is
    /// made or refreshed, not per packet.
    fn reach(&self, peer: IpAddr) -> Reach;

    /// For an address with [`Reach::SomePorts`]: whether the kernel may carry a
    /// packet to this very port. Called per packet.
    fn may_send(&self, peer: PeerAddr) -> bool;
}

/// See [`PeerPolicy::reach`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reach {
    /// 403.
    Denied,
    /// Every port.
    Open,
    /// One of this server's own addresses: relayed addresses of live
    /// allocations, and ports [`PeerPolicy::may_send`] agrees to.
    SomePorts,
}

/// How many allocations there may be, over all shards.
pub trait Quota: Send + Sync {
    /// Counts one allocation more for `user`; `max` is its own limit, 0 none.
    fn acquire(&self, user: &Arc<str>, max: u32) -> Result<(), QuotaExceeded>;

    /// Gives one back. Called once for each successful [`Quota::acquire`].
    fn release(&self, user: &Arc<str>);
}

/// Which limit was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum QuotaExceeded {
    /// The user's own: 486.
    User,
    /// The server's: 508.
    Server,
}

/// How much all shards together may relay.
pub trait Bandwidth: Send + Sync {
    /// Lends a shard bytes of relayed payload: `least` of them or more, to be used
    /// whenever it likes, or 0 when so many are not there. Called once for many
    /// packets.
    fn lease(&self, now: Instant, least: u64) -> u64;
}

/// How often one source may be answered before it has authenticated. `source`
/// is counted whole for IPv4 and by its /64 for IPv6.
pub trait Throttle: Send + Sync {
    /// Whether one more unauthenticated answer may go to `source` (over UDP
    /// only, where it may be forged); counts it.
    fn may_answer(&self, now: Instant, source: IpAddr) -> bool;

    /// Counts a failed login (any transport) and says whether it may be
    /// answered. Right credentials are never asked about.
    fn failed_login(&self, now: Instant, source: IpAddr) -> bool;
}

/// Unpredictable bytes (nonces, ports, tokens). Seeded in tests.
pub trait Random: Send {
    /// Fills the whole slice.
    fn fill(&mut self, bytes: &mut [u8]);
}
