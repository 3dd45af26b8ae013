//! The one place that reads the clocks.

use std::time::{Duration, Instant as StdInstant, SystemTime, UNIX_EPOCH};

use crate::relay::{Instant, Now, UnixTime};

/// Makes [`Now`] from the host's clocks. All shards share one start, so that
/// their instants can be compared.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: StdInstant,
}

impl Clock {
    /// Counts from here.
    pub fn start() -> Self {
        Self { start: StdInstant::now() }
    }

    /// Monotonic and wall time.
    pub fn now(&self) -> Now {
        // A wall clock before 1970 reads as 1970: credentials then look valid
        // for longer, but nothing breaks.
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(unix.as_millis()).unwrap_or(u64::MAX);
        Now { instant: self.instant(), unix: UnixTime::from_millis(millis) }
    }

    /// Monotonic time alone.
    pub fn instant(&self) -> Instant {
        Instant::default() + self.start.elapsed()
    }

    /// The same moment for tokio's timers.
    pub(super) fn tokio(&self, at: Instant) -> tokio::time::Instant {
        tokio::time::Instant::from_std(self.start + Duration::from_micros(at.micros()))
    }
}
