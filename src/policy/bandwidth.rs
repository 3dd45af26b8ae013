//! How much all allocations together may relay.

use std::sync::{Mutex, PoisonError};

use crate::relay::bandwidth::Bucket;
use crate::relay::time::Instant;
use crate::relay::world::Bandwidth;

/// A chunk lasts a shard this part of a second at the full rate.
const CHUNKS_A_SECOND: u64 = 200;
/// And is at least so many bytes, so that a slow server does not lock for each
/// packet.
const LEAST_CHUNK: u64 = 4096;

/// One token bucket for all shards. They take chunks of it, so it is locked once
/// for many packets, and once for a batch when it is empty.
#[derive(Debug)]
pub struct SharedBandwidth {
    bucket: Mutex<Bucket>,
    chunk: u64,
}

impl SharedBandwidth {
    /// So many bits of relayed data per second.
    pub fn new(bits_per_second: u64) -> Self {
        Self {
            bucket: Mutex::new(Bucket::new(bits_per_second, Instant::default())),
            chunk: (bits_per_second / 8 / CHUNKS_A_SECOND).max(LEAST_CHUNK),
        }
    }
}

impl Bandwidth for SharedBandwidth {
    fn lease(&self, now: Instant, least: u64) -> u64 {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        let chunk = least.max(self.chunk);
        [chunk, least].into_iter().find(|bytes| bucket.take(now, *bytes)).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_share_one_budget() {
        // 1,000,000 bytes a second, and a quarter of that at once.
        let bandwidth = SharedBandwidth::new(8_000_000);
        let mut lent = 0;
        for millis in 0..2000 {
            for _shard in 0..4 {
                lent += bandwidth.lease(Instant::from_micros(millis * 1000), 1200);
            }
        }
        assert!((2_000_000..=2_255_000).contains(&lent), "{lent}");
    }

    #[test]
    fn what_is_asked_for_is_lent_or_nothing() {
        let bandwidth = SharedBandwidth::new(8000);
        let now = Instant::default();
        assert_eq!(bandwidth.lease(now, 60_000), 60_000, "more than a chunk");
        assert_eq!(bandwidth.lease(now, 1), LEAST_CHUNK);
        assert_eq!(bandwidth.lease(now, 1400), 1400, "less than a chunk is left");
        assert_eq!(bandwidth.lease(now, 1200), 0);
    }
}
