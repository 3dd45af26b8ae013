//! Keeps what a flood may cause from flooding the log.

use std::time::{Duration, Instant};

/// Between two lines about one matter.
const INTERVAL: Duration = Duration::from_secs(30);

/// One matter that may be logged every 30 s at most.
#[derive(Debug, Default)]
pub struct Seldom {
    said: Option<Instant>,
    unsaid: u64,
}

impl Seldom {
    /// Whether to log now, and how often it was not since the last time.
    pub fn say(&mut self) -> Option<u64> {
        if self.said.is_some_and(|said| said.elapsed() < INTERVAL) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(Instant::now());
        Some(std::mem::take(&mut self.unsaid))
    }
}
