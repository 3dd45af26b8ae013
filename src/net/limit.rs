//! How many TCP connections or DTLS sessions one address may have open, and how
//! many there may be in all, over all shards. Asked at accept and close only, so a lock does no
//! harm.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::policy::Network;

/// Counts open connections by IPv4 address or IPv6 /64.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    /// Of one source; 0 is no limit.
    max: u32,
    /// Of all sources: what is left of the descriptors is for relays.
    most: u32,
    total: u32,
    by_source: HashMap<Network, u32, foldhash::fast::RandomState>,
}

impl ConnectionLimit {
    pub(super) fn new(max: u32, most: u32) -> Self {
        Self { open: Mutex::new(Open { max, most, ..Open::default() }) }
    }

    /// Other limits from now on; who is in stays. `most`: `None` leaves it.
    pub(super) fn set(&self, max: u32, most: Option<u32>) {
        let mut open = self.lock();
        open.max = max;
        open.most = most.unwrap_or(open.most);
    }

    /// One connection more from `ip`; `None` when it, or the server, has its fill.
    pub(super) fn enter(self: &Arc<Self>, ip: IpAddr) -> Option<Permit> {
        let source = Network::of(ip);
        let mut open = self.lock();
        let held = open.by_source.get(&source).copied().unwrap_or_default();
        if open.total >= open.most || (open.max != 0 && held >= open.max) {
            return None;
        }
        open.total += 1;
        open.by_source.insert(source, held + 1);
        Some(Permit { limit: Arc::clone(self), source })
    }

    /// The map is whole between any two statements above, so a poisoned lock
    /// is as good as another.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limit: Arc<ConnectionLimit>,
    source: Network,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.limit.lock();
        open.total = open.total.saturating_sub(1);
        if let Some(count) = open.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_gets_its_limit_and_places_come_back() {
        let limit = Arc::new(ConnectionLimit::new(2, 100));
        let first = limit.enter(ip("192.0.2.1")).unwrap();
        let _second = limit.enter(ip("::ffff:192.0.2.1")).unwrap();
        assert!(limit.enter(ip("192.0.2.1")).is_none());
        assert!(limit.enter(ip("192.0.2.2")).is_some(), "another address has its own count");
        drop(first);
        assert!(limit.enter(ip("192.0.2.1")).is_some());
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        let limit = Arc::new(ConnectionLimit::new(1, 100));
        let _first = limit.enter(ip("2001:db8::1")).unwrap();
        assert!(limit.enter(ip("2001:db8::ffff:2")).is_none());
        assert!(limit.enter(ip("2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_left() {
        let limit = Arc::new(ConnectionLimit::new(1, 100));
        for last in 0..=255 {
            drop(limit.enter(IpAddr::from([192, 0, 2, last])).unwrap());
        }
        assert!(limit.lock().by_source.is_empty());
    }

    #[test]
    fn zero_is_no_limit() {
        let limit = Arc::new(ConnectionLimit::new(0, 5000));
        let all: Vec<_> = (0..5000).map(|_| limit.enter(ip("192.0.2.1"))).collect();
        assert!(all.iter().all(Option::is_some));
    }

    #[test]
    fn limits_can_change_while_connections_are_open() {
        let limit = Arc::new(ConnectionLimit::new(2, 100));
        let [first, _second] = [(); 2].map(|()| limit.enter(ip("192.0.2.1")).unwrap());
        limit.set(1, None);
        drop(first);
        assert!(limit.enter(ip("192.0.2.1")).is_none());
        limit.set(0, Some(2));
        let _third = limit.enter(ip("192.0.2.1")).unwrap();
        assert!(limit.enter(ip("192.0.2.2")).is_none());
    }

    #[test]
    fn all_addresses_together_have_a_limit_too() {
        let limit = Arc::new(ConnectionLimit::new(0, 2));
        let first = limit.enter(ip("192.0.2.1")).unwrap();
        let _second = limit.enter(ip("192.0.2.2")).unwrap();
        assert!(limit.enter(ip("192.0.2.3")).is_none());
        drop(first);
        assert!(limit.enter(ip("192.0.2.3")).is_some());
    }
}
