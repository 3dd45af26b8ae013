//! When to ask for a certificate: at the first start, when a third of its life is
//! left (what Let's Encrypt asks of clients) or when the server says so (RFC 9773),
//! and how long after a failure. Times and chances are handed in.

use std::time::{Duration, SystemTime};

/// After a first failure, and the most: Let's Encrypt takes five failed
/// validations of a name in an hour.
const FIRST_PAUSE: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(6 * 3600);

/// The same where the server could not be reached: it has nothing to count.
const FIRST_PAUSE_UNREACHED: Duration = Duration::from_secs(10);
const LONGEST_PAUSE_UNREACHED: Duration = Duration::from_secs(3600);

/// The life of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Life {
    pub(super) begins: SystemTime,
    pub(super) ends: SystemTime,
}

impl Life {
    fn length(self) -> Duration {
        self.ends.duration_since(self.begins).unwrap_or_default()
    }

    /// When to renew: a third before the end, or earlier by up to a thirtieth, so
    /// that not all who began together come together. `chance` is in 0..1.
    pub(super) fn renewal(self, chance: f64) -> SystemTime {
        let length = self.length();
        let before = length / 3 + (length / 30).mul_f64(chance.clamp(0.0, 1.0));
        self.ends.checked_sub(before).unwrap_or(self.begins)
    }

    /// When to renew by the server's advice: somewhere in its window, but not
    /// when hardly anything is left (RFC 9773 §4.2).
    pub(super) fn suggested(self, window: (SystemTime, SystemTime), chance: f64) -> SystemTime {
        let (start, end) = window;
        let width = end.duration_since(start).unwrap_or_default();
        let latest = self.ends.checked_sub(self.length() / 6).unwrap_or(self.begins);
        (start + width.mul_f64(chance.clamp(0.0, 1.0))).min(latest)
    }
}

/// Failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Failures(u32);

impl Failures {
    /// One more: how long to wait, twice as long each time, and up to a half less
    /// by chance.
    pub(super) fn pause(&mut self, reached: bool, chance: f64) -> Duration {
        let (first, longest) = match reached {
            true => (FIRST_PAUSE, LONGEST_PAUSE),
            false => (FIRST_PAUSE_UNREACHED, LONGEST_PAUSE_UNREACHED),
        };
        let pause = first.saturating_mul(1 << self.0.min(16)).min(longest);
        self.0 = self.0.saturating_add(1);
        pause.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    fn ninety_days() -> Life {
        let begins = SystemTime::UNIX_EPOCH + 20_000 * DAY;
        Life { begins, ends: begins + 90 * DAY }
    }

    #[test]
    fn a_third_is_left_at_renewal() {
        let life = ninety_days();
        assert_eq!(life.renewal(0.0), life.begins + 60 * DAY);
        assert_eq!(life.renewal(1.0), life.begins + 57 * DAY);
        let backward = Life { begins: life.ends, ends: life.begins };
        assert_eq!(backward.renewal(0.5), life.begins, "at once");
    }

    #[test]
    fn the_servers_window_counts_but_not_to_the_end() {
        let life = ninety_days();
        let (start, end) = (life.begins + 10 * DAY, life.begins + 12 * DAY);
        assert_eq!(life.suggested((start, end), 0.0), start);
        assert_eq!(life.suggested((start, end), 0.5), start + DAY);
        // Revoked soon: the window lies in the past.
        assert_eq!(life.suggested((life.begins, life.begins), 0.9), life.begins);
        assert_eq!(life.suggested((life.ends, life.ends + DAY), 0.5), life.begins + 75 * DAY);
        assert_eq!(life.suggested((end, start), 0.5), end, "a window that ends before it begins");
    }

    #[test]
    fn pauses_grow_to_a_bound_and_five_failures_take_more_than_an_hour() {
        let mut failures = Failures::default();
        let pauses: Vec<_> = (0..40).map(|_| failures.pause(true, 0.0)).collect();
        assert_eq!(pauses[..3], [300, 600, 1200].map(Duration::from_secs));
        assert_eq!(pauses[39], LONGEST_PAUSE);
        let mut failures = Failures::default();
        let five: Duration = (0..5).map(|_| failures.pause(true, 1.0)).sum();
        assert!(five > Duration::from_secs(3600), "{five:?}");
        let mut failures = Failures::default();
        assert_eq!(failures.pause(false, 0.0), FIRST_PAUSE_UNREACHED);
        assert_eq!((0..40).map(|_| failures.pause(false, 0.0)).max(), Some(LONGEST_PAUSE_UNREACHED));
    }
}
