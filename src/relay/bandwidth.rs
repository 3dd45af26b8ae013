//! Token buckets for relayed data: of one allocation, and the part of the whole
//! server's that this shard holds. Control messages are never asked for any.

use std::time::Duration;

use super::time::Instant;
use super::world::Bandwidth;

/// How long a bucket takes to fill.
const BURST: Duration = Duration::from_millis(250);
/// It always holds one datagram, whatever the rate: bytes.
const LARGEST_DATAGRAM: u64 = 65_535;
/// More time than this adds nothing, so that no product overflows.
const LONGEST: Duration = Duration::from_secs(3600);
/// Tokens are bits times microseconds, so that nothing is lost to rounding.
const TOKENS_PER_BYTE: u64 = 8 * 1_000_000;

/// Highest rate that a bucket reckons with, bits per second.
pub const MAX_BITS_PER_SECOND: u64 = 1_000_000_000_000;

/// A token bucket of bytes. It begins full, with a quarter of a second's worth
/// or one datagram of the largest size, whichever is more.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Bits per second, which is tokens per microsecond.
    rate: u64,
    tokens: u64,
    filled: Instant,
}

impl Bucket {
    /// Full. `bits_per_second` is at most [`MAX_BITS_PER_SECOND`].
    pub fn new(bits_per_second: u64, now: Instant) -> Self {
        let rate = bits_per_second.min(MAX_BITS_PER_SECOND);
        let mut bucket = Self { rate, tokens: 0, filled: now };
        bucket.tokens = bucket.capacity();
        bucket
    }

    /// Of one allocation, for few of which there is one; 0 is no limit.
    pub(super) fn limiting(bits_per_second: u64, now: Instant) -> Option<Box<Self>> {
        (bits_per_second > 0).then(|| Box::new(Self::new(bits_per_second, now)))
    }

    /// Takes so many bytes, or none when they are not all there.
    pub fn take(&mut self, now: Instant, bytes: u64) -> bool {
        let elapsed = now.since(self.filled).min(LONGEST);
        let gained = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX).saturating_mul(self.rate);
        self.tokens = self.tokens.saturating_add(gained).min(self.capacity());
        self.filled = self.filled.max(now);
        match self.tokens.checked_sub(bytes.saturating_mul(TOKENS_PER_BYTE)) {
            Some(left) => {
                self.tokens = left;
                true
            }
            None => false,
        }
    }

    fn capacity(&self) -> u64 {
        let burst = self.rate.saturating_mul(BURST.as_micros() as u64);
        burst.max(LARGEST_DATAGRAM * TOKENS_PER_BYTE)
    }
}

/// What a shard has left of the bytes it was lent of the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Credit {
    bytes: u64,
    /// When it was last refused: not asked for again at that time, so that a flood
    /// does not reach the other shards.
    refused: Option<Instant>,
}

impl Credit {
    /// Takes so many bytes, after asking for more when they are not all there.
    fn take(&mut self, bandwidth: &dyn Bandwidth, now: Instant, bytes: u64) -> bool {
        if self.bytes < bytes {
            if self.refused == Some(now) {
                return false;
            }
            let lent = bandwidth.lease(now, bytes - self.bytes);
            self.refused = (lent == 0).then_some(now);
            self.bytes += lent;
        }
        match self.bytes.checked_sub(bytes) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

/// Whether a relayed packet of so many bytes may go on: takes them off the
/// allocation's budget and the server's; without a limit, `None`, there is none.
pub(super) fn allows(
    of_allocation: Option<&mut Bucket>,
    of_server: Option<&dyn Bandwidth>,
    credit: &mut Credit,
    now: Instant,
    bytes: usize,
) -> bool {
    let bytes = bytes as u64;
    of_allocation.is_none_or(|bucket| bucket.take(now, bytes))
        && of_server.is_none_or(|bandwidth| credit.take(bandwidth, now, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    /// Bytes that pass when `size` bytes are offered every `gap` microseconds.
    fn carried(rate: u64, size: u64, gap: u64, seconds: u64) -> u64 {
        let mut bucket = Bucket::new(rate, at(0));
        (0..seconds * SECOND / gap).filter(|n| bucket.take(at(n * gap), size)).count() as u64 * size
    }

    #[test]
    fn over_time_as_much_passes_as_the_rate_says() {
        for rate in [8_000, 1_000_000, 7_777_777, 1_000_000_000] {
            for size in [1, 172, 1200] {
                // Half as much again is offered.
                let gap = (size * 8 * SECOND * 2 / 3 / rate).max(1);
                let seconds = 20;
                let bytes = carried(rate, size, gap, seconds);
                let (least, burst) = (rate / 8 * seconds, (rate / 32).max(LARGEST_DATAGRAM));
                let offered = seconds * SECOND / gap * size;
                assert!(bytes <= least + burst + size + seconds, "{rate} {size}: {bytes}");
                assert!(bytes + size + least / 100 >= least.min(offered), "{rate} {size}: {bytes}");
            }
        }
    }

    #[test]
    fn what_is_within_the_rate_passes_whole() {
        assert_eq!(carried(1_000_000, 1250, 10_000, 20), 20 * 125_000);
    }

    #[test]
    fn the_largest_datagram_passes_at_any_rate_in_time() {
        let mut bucket = Bucket::new(8, at(0));
        assert!(bucket.take(at(0), LARGEST_DATAGRAM));
        assert!(!bucket.take(at(SECOND), 2));
        assert!(bucket.take(at(SECOND), 1));
        assert!(bucket.take(at(100_000 * SECOND), 3600), "at least an hour's");
        // The clock may stand still, or seem to go back.
        assert!(!bucket.take(at(0), LARGEST_DATAGRAM));
    }

    #[test]
    fn the_highest_rate_does_not_overflow() {
        let mut bucket = Bucket::new(u64::MAX, at(0));
        assert!(bucket.take(at(u64::MAX), LARGEST_DATAGRAM));
        assert!(!bucket.take(at(u64::MAX), u64::MAX));
    }
}
