//! What the TCP allocations (RFC 6062) of all shards share: which relay ports
//! they listen on, how many data connections each user has, and which of them
//! belong to an access token. Asked when an allocation or a connection begins and
//! ends, never for its bytes, so a lock does no harm.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::fast::RandomState;

use super::access::Access;
use super::ports::Claim;
use super::tcp_relay::ConnectionId;

#[derive(Debug, Default)]
pub(super) struct TcpLedger(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    relays: HashSet<Claim, RandomState>,
    connections: HashMap<Arc<str>, u32, RandomState>,
    /// Of data connections that were had by an access token.
    accesses: HashMap<ConnectionId, Arc<Access>, RandomState>,
}

impl TcpLedger {
    /// A TCP allocation listens on this port.
    pub(super) fn add_relay(&self, claim: Claim) {
        self.lock().relays.insert(claim);
    }

    /// It does no more, if it ever did.
    pub(super) fn forget_relay(&self, claim: Claim) {
        self.lock().relays.remove(&claim);
    }

    pub(super) fn is_relay(&self, claim: Claim) -> bool {
        self.lock().relays.contains(&claim)
    }

    /// One data connection more for `user`; false when it has `max`. 0 is no
    /// limit.
    pub(super) fn enter(&self, user: &Arc<str>, max: u32) -> bool {
        let mut inner = self.lock();
        let count = inner.connections.entry(Arc::clone(user)).or_default();
        if max != 0 && *count >= max {
            return false;
        }
        *count += 1;
        true
    }

    /// Gives one back. Called once for each successful [`TcpLedger::enter`].
    pub(super) fn leave(&self, user: &Arc<str>) {
        let mut inner = self.lock();
        if let Some(count) = inner.connections.get_mut(user) {
            *count -= 1;
            if *count == 0 {
                inner.connections.remove(user);
            }
        }
    }

    /// This data connection was had by an access token: whichever shard its
    /// ConnectionBind comes in at can verify it.
    pub(super) fn set_access(&self, id: ConnectionId, access: &Arc<Access>) {
        self.lock().accesses.insert(id, Arc::clone(access));
    }

    pub(super) fn forget_access(&self, id: ConnectionId) {
        self.lock().accesses.remove(&id);
    }

    pub(super) fn access(&self, id: ConnectionId) -> Option<Arc<Access>> {
        self.lock().accesses.get(&id).cloned()
    }

    /// The maps are whole between any two statements above, so a poisoned lock
    /// is as good as another.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
