//! What the admin room reads of the running server whenever it is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use tokio::sync::watch;

use super::totals::Totals;
use super::{Admissions, Readiness, Reloads};
use crate::relay::UnixTime;
use crate::relay::counters::Counters;
use crate::relay::ports::RelayPool;

/// See the fields of the same names in [`State`](super::State).
pub(super) struct Sources {
    pub(super) realm: String,
    pub(super) counters: Vec<Arc<Counters>>,
    pub(super) pool: Arc<RelayPool>,
    pub(super) admissions: Box<dyn Fn() -> Option<Admissions> + Send + Sync>,
    pub(super) lost_log_lines: Arc<AtomicU64>,
    pub(super) public_address_changed: Option<Arc<AtomicBool>>,
    pub(super) started: UnixTime,
    pub(super) readiness: watch::Receiver<Readiness>,
    pub(super) reloads: Arc<Reloads>,
}

impl Sources {
    /// All shards, and what came of connections before they were a shard's.
    pub(super) fn totals(&self) -> (Totals, Option<Admissions>) {
        let mut totals = Totals::of(self.counters.iter().map(|counters| &**counters));
        let admissions = (self.admissions)();
        totals.connections_refused += admissions.as_ref().map_or(0, |admissions| admissions.refused);
        (totals, admissions)
    }
}
