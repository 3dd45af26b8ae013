//! How often a source is answered before it has authenticated.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Network;
use crate::relay::time::Instant;
use crate::relay::world::Throttle;

/// Buckets of sources: IPv4 addresses and IPv6 /64.
const SOURCES: usize = 1 << 16;
/// Buckets of IPv6 /48, one site each.
const SITES: usize = 1 << 14;
/// What a /48 gets, in shares of a /64.
const SITE_SHARES: u64 = 8;

/// Limits unauthenticated answers and failed logins, by IPv4 address or IPv6 /64
/// and, eight times as much, by IPv6 /48 (H-018).
///
/// Token buckets in tables that never grow: 640 KiB for each of the two limits,
/// none for one that is off. The place of a source is a hash under a key of this
/// process; two sources that fall together share one budget, so forged sources
/// can fill tables but free nobody of a limit, and nobody can pick the bucket of
/// another. Full buckets only turn away, which costs no write.
#[derive(Debug)]
pub struct SourceThrottle {
    answers: Option<Limit>,
    failures: Option<Limit>,
    key: RandomState,
}

impl SourceThrottle {
    /// At most this many answers a second, with twice as many at once, and this
    /// many failed logins a minute, as many at once. 0 is no limit.
    pub fn new(answers_per_second: u32, failed_logins_per_minute: u32) -> Self {
        const SECOND: u64 = 1_000_000_000;
        let limit = |rate: u32, period: u64, burst: u64| (rate != 0).then(|| Limit::new(rate, period, burst));
        Self {
            answers: limit(answers_per_second, SECOND, u64::from(answers_per_second) * 2),
            failures: limit(failed_logins_per_minute, 60 * SECOND, failed_logins_per_minute.into()),
            key: RandomState::new(),
        }
    }

    fn take(&self, limit: Option<&Limit>, now: Instant, source: IpAddr) -> bool {
        let Some(limit) = limit else { return true };
        let now = now.micros().saturating_mul(1000);
        let source = Network::of(source);
        // The site is asked second: a source over its own limit takes nothing from
        // its neighbours.
        limit.sources.take(now, self.place(source))
            && match source {
                Network::V4(_) => true,
                Network::V6(subnet) => limit.sites.take(now, self.place(subnet >> 16)),
            }
    }

    fn place(&self, source: impl Hash) -> u64 {
        self.key.hash_one(source)
    }
}

impl Throttle for SourceThrottle {
    fn may_answer(&self, now: Instant, source: IpAddr) -> bool {
        self.take(self.answers.as_ref(), now, source)
    }

    fn failed_login(&self, now: Instant, source: IpAddr) -> bool {
        self.take(self.failures.as_ref(), now, source)
    }
}

#[derive(Debug)]
struct Limit {
    sources: Buckets,
    sites: Buckets,
}

impl Limit {
    fn new(rate: u32, period: u64, burst: u64) -> Self {
        let rate = u64::from(rate);
        Self {
            sources: Buckets::new(SOURCES, rate, period, burst),
            sites: Buckets::new(SITES, rate * SITE_SHARES, period, burst * SITE_SHARES),
        }
    }
}

/// Token buckets of one size and rate. A bucket is one number, the time at which
/// it will be full again (nanoseconds): tokens and clock in one word, so that
/// one compare-and-swap takes a token.
#[derive(Debug)]
struct Buckets {
    full_at: Box<[AtomicU64]>,
    /// Time to gain one token, rounded up.
    gap: u64,
    /// How far ahead `full_at` may lie for a token to be there.
    slack: u64,
}

impl Buckets {
    fn new(count: usize, rate: u64, period: u64, burst: u64) -> Self {
        let gap = period.div_ceil(rate);
        Self {
            full_at: (0..count).map(|_| AtomicU64::new(0)).collect(),
            gap,
            slack: gap.saturating_mul(burst.saturating_sub(1)),
        }
    }

    fn take(&self, now: u64, hash: u64) -> bool {
        // The count is a power of two, so this is one mask of a good hash.
        let bucket = &self.full_at[hash as usize % self.full_at.len()];
        let taken = |full_at: u64| {
            let start = full_at.max(now);
            (start - now <= self.slack).then(|| start.saturating_add(self.gap))
        };
        bucket.fetch_update(Relaxed, Relaxed, taken).is_ok()
    }
}

#[cfg(test)]
#[path = "throttle_test.rs"]
mod tests;
