//! What has arrived: counted once each, in which order, how late.
//!
//! Latencies go into histograms of crate `hdrhistogram` (three digits, any range,
//! merged without loss); `histogram` has no fixed precision, and a sorted list of
//! a million samples a second would be the load itself.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency told apart, nanoseconds: a minute.
const LONGEST: u64 = 60_000_000_000;

/// A histogram of nanoseconds: three digits for the whole run, two for each
/// moment of it.
pub(super) fn histogram(digits: u8) -> Histogram<u64> {
    // Only a bound below 2 or more than 5 digits would be refused.
    #[allow(clippy::expect_used, reason = "constants")]
    Histogram::new_with_bounds(1, LONGEST, digits).expect("bounds that a histogram takes")
}

/// Sequence numbers of one flow that have been seen, as far back as it goes.
#[derive(Clone, Debug)]
pub(super) struct Window {
    bits: Box<[u64]>,
    /// One above the highest seen.
    next: u64,
}

/// How far back duplicates are told from first arrivals.
const WINDOW: u64 = 16_384;

/// What a sequence number is to a [`Window`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// The highest so far.
    InOrder,
    /// Overtaken by a later one (RFC 4737 §3.3).
    Reordered,
    /// Here before.
    Duplicate,
    /// Too old to tell.
    TooOld,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { bits: vec![0; (WINDOW / 64) as usize].into(), next: 0 }
    }

    pub(super) fn note(&mut self, sequence: u64) -> Arrival {
        if sequence >= self.next {
            // Bits of numbers that leave the window on its other side.
            let from = self.next.max((sequence + 1).saturating_sub(WINDOW));
            for skipped in from..=sequence {
                let (word, bit) = Self::place(skipped);
                self.bits[word] &= !bit;
            }
            self.next = sequence + 1;
            self.set(sequence);
            return Arrival::InOrder;
        }
        if self.next - sequence > WINDOW {
            return Arrival::TooOld;
        }
        if self.set(sequence) { Arrival::Reordered } else { Arrival::Duplicate }
    }

    fn set(&mut self, sequence: u64) -> bool {
        let (word, bit) = Self::place(sequence);
        let is_new = self.bits[word] & bit == 0;
        self.bits[word] |= bit;
        is_new
    }

    const fn place(sequence: u64) -> (usize, u64) {
        let at = sequence % WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

/// Interarrival jitter of one flow (RFC 3550 §6.4.1), nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Jitter {
    last: Option<u64>,
    pub(super) nanos: f64,
}

impl Jitter {
    pub(super) fn note(&mut self, transit: u64) {
        if let Some(last) = self.last.replace(transit) {
            self.nanos += (transit.abs_diff(last) as f64 - self.nanos) / 16.0;
        }
    }
}

/// What packets of a step came to, of one worker or of all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    /// Taken by the kernel.
    pub(super) sent: u64,
    /// Not taken: no room in the socket, or a stream that the server reads too
    /// slowly.
    pub(super) refused: u64,
    /// Arrived, each once.
    pub(super) delivered: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    /// Arrived with other bytes than were sent, or where they were not sent to.
    pub(super) corrupt: u64,
    /// Arrived, and too late to tell from duplicates.
    pub(super) stale: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.sent += other.sent;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.stale += other.stale;
    }
}

/// One moment of a step: what was to be sent in it, and what came of that.
#[derive(Clone, Debug)]
pub(super) struct Moment {
    pub(super) sent: u64,
    pub(super) delivered: u64,
    pub(super) latency: Histogram<u64>,
}

/// Everything that is counted in one step.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) counts: Counts,
    /// From the intended time to the arrival.
    pub(super) latency: Histogram<u64>,
    /// From the actual time.
    pub(super) transit: Histogram<u64>,
    /// From the intended time to the actual one.
    pub(super) lateness: Histogram<u64>,
    pub(super) moments: Vec<Moment>,
    /// Each flow's, at the end.
    pub(super) jitter: Histogram<u64>,
}

/// Most moments of a step; a longer one has longer moments.
const MAX_MOMENTS: u32 = 240;

/// How long a moment of a step of this length is.
pub(super) fn moment_length(step: Duration) -> Duration {
    let shortest = if step < Duration::from_secs(4) { step / 20 } else { Duration::from_millis(500) };
    shortest.max(step / MAX_MOMENTS).max(Duration::from_millis(1))
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            counts: Counts::default(),
            latency: histogram(3),
            transit: histogram(3),
            lateness: histogram(3),
            moments: Vec::new(),
            jitter: histogram(3),
        }
    }

    /// The moment of this number.
    pub(super) fn moment(&mut self, at: usize) -> &mut Moment {
        let at = at.min(MAX_MOMENTS as usize);
        if self.moments.len() <= at {
            let none = || Moment { sent: 0, delivered: 0, latency: histogram(2) };
            self.moments.resize_with(at + 1, none);
        }
        &mut self.moments[at]
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts += other.counts;
        // Same bounds, so nothing is refused.
        let _ = self.latency.add(&other.latency);
        let _ = self.transit.add(&other.transit);
        let _ = self.lateness.add(&other.lateness);
        let _ = self.jitter.add(&other.jitter);
        for (at, moment) in other.moments.iter().enumerate() {
            let sum = self.moment(at);
            sum.sent += moment.sent;
            sum.delivered += moment.delivered;
            let _ = sum.latency.add(&moment.latency);
        }
    }
}

/// Points of a distribution, microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)] // quantiles
pub struct Quantiles {
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p999: f64,
    pub max: f64,
}

impl Quantiles {
    /// `None` of nothing.
    pub(super) fn of(histogram: &Histogram<u64>) -> Option<Self> {
        let at = |quantile: f64| round(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            min: round(histogram.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: round(histogram.max()),
        })
    }
}

/// Nanoseconds to microseconds with one digit behind the point.
fn round(nanos: u64) -> f64 {
    (nanos as f64 / 100.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_number_counts_once() {
        let mut window = Window::new();
        let seen: Vec<_> = [0, 1, 3, 2, 3, 2, 0, 4].map(|n| window.note(n)).into();
        use Arrival::*;
        assert_eq!(seen, [InOrder, InOrder, InOrder, Reordered, Duplicate, Duplicate, Duplicate, InOrder]);
    }

    #[test]
    fn the_window_moves_with_the_highest() {
        let mut window = Window::new();
        for sequence in 0..3 * WINDOW {
            assert_eq!(window.note(sequence), Arrival::InOrder);
        }
        assert_eq!(window.note(2 * WINDOW), Arrival::Duplicate);
        assert_eq!(window.note(2 * WINDOW - 1), Arrival::TooOld);
        // A gap wider than the window forgets all of it, and only that.
        assert_eq!(window.note(9 * WINDOW), Arrival::InOrder);
        assert_eq!(window.note(9 * WINDOW - 1), Arrival::Reordered);
        assert_eq!(window.note(8 * WINDOW + 1), Arrival::Reordered);
        assert_eq!(window.note(8 * WINDOW + 1), Arrival::Duplicate);
        assert_eq!(window.note(8 * WINDOW), Arrival::TooOld);
        // A number nobody can reach in a run costs no more time than another.
        assert_eq!(window.note(u64::MAX - 1), Arrival::InOrder);
    }

    #[test]
    fn jitter_follows_changes_of_transit_alone() {
        let mut steady = Jitter::default();
        let mut shaky = Jitter::default();
        for i in 0..200 {
            steady.note(5_000);
            shaky.note(5_000 + i % 2 * 1_600);
        }
        assert_eq!(steady.nanos, 0.0);
        assert!((shaky.nanos - 1_600.0).abs() < 1.0, "{}", shaky.nanos);
    }

    #[test]
    fn tallies_add_up() {
        let mut one = Tally::new();
        one.counts.sent = 3;
        one.latency.record(1_000).unwrap();
        one.moment(1).delivered = 2;
        let mut sum = Tally::new();
        sum.moment(0).sent = 1;
        sum.merge(&one);
        sum.merge(&one);
        assert_eq!((sum.counts.sent, sum.latency.len()), (6, 2));
        assert_eq!((sum.moments.len(), sum.moments[0].sent, sum.moments[1].delivered), (2, 1, 4));
        let quantiles = Quantiles::of(&sum.latency).unwrap();
        assert_eq!((quantiles.p50, quantiles.max), (1.0, 1.0));
        assert_eq!(Quantiles::of(&histogram(3)), None);
    }

    #[test]
    fn a_long_step_has_no_more_moments_than_a_short_one() {
        for seconds in [1, 10, 3_600, 604_800] {
            let step = Duration::from_secs(seconds);
            let moments = step.as_secs_f64() / moment_length(step).as_secs_f64();
            assert!((19.0..=f64::from(MAX_MOMENTS)).contains(&moments), "{seconds}: {moments}");
        }
    }
}
