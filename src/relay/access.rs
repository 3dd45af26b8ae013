//! What a client may do by an access token (RFC 7635), from its Allocate or last
//! Refresh on: the key that signs its requests, and until when.

use std::fmt;
use std::sync::Arc;

use super::time::Instant;
use super::world::{Grant, MacKey};

/// RFC 7635 §6.2: the key that everybody supports.
const SHA1_KEY: usize = 20;
/// What coturn uses of it.
const COTURN_KEY: usize = 16;

#[derive(PartialEq, Eq)]
pub(super) struct Access {
    /// USERNAME of the requests that it signs.
    pub(super) kid: Arc<str>,
    key: MacKey,
    /// See [`Grant::authority`].
    pub(super) authority: Arc<str>,
    /// What quotas count.
    pub(super) user: Arc<str>,
    pub(super) max_allocations: u32,
    ends: Instant,
}

impl Access {
    pub(super) fn new(now: Instant, kid: &Arc<str>, grant: Grant) -> Self {
        Self {
            kid: Arc::clone(kid),
            key: grant.key,
            authority: grant.authority,
            user: grant.user,
            max_allocations: grant.max_allocations,
            ends: now + grant.lasts,
        }
    }

    /// What may sign a message: the token's key, and for HMAC-SHA1 the first 16 of its
    /// 20 bytes. Coturn, its clients and servers, has taken those alone ever since:
    /// it cuts the key to the length of an MD5.
    pub(super) fn keys(&self, sha256: bool) -> impl Iterator<Item = &[u8]> {
        let cut = self.key.get(..COTURN_KEY).filter(|_| !sha256 && self.key.len() == SHA1_KEY);
        [Some(&self.key[..]), cut].into_iter().flatten()
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends <= now
    }

    /// Seconds, not more than are left of them; one at least, as 0 would be the end
    /// of an allocation.
    pub(super) fn bound(&self, now: Instant, seconds: u32) -> u32 {
        let left = u32::try_from(self.ends.since(now).as_secs()).unwrap_or(u32::MAX);
        seconds.min(left.max(1))
    }
}

/// All but the key.
impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Access({:?}, until {:?})", self.user, self.ends)
    }
}
