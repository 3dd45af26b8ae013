//! What a world holds, and that in the end it holds nothing.

use std::net::SocketAddr;

use floe::relay::Engine;

use super::{World, local_of};

impl World {
    pub(crate) fn live(&self) -> usize {
        self.engines.iter().map(Engine::len).sum()
    }

    pub(crate) fn ports_used(&self) -> usize {
        self.pool.usage().map(|(_, _, used, _)| used as usize).sum()
    }

    /// Whether a relay socket is there for this relayed address.
    pub(crate) fn is_open(&self, relayed: SocketAddr) -> bool {
        self.bound.contains_key(&local_of(relayed))
    }

    pub(crate) fn permissions(&self) -> u64 {
        self.counters.iter().map(|c| c.permissions.get()).sum()
    }

    pub(crate) fn channels(&self) -> u64 {
        self.counters.iter().map(|c| c.channels.get()).sum()
    }

    /// Nothing is left of anything: the state of a world before its first packet.
    pub(crate) fn assert_empty(&self) {
        assert_eq!(self.live(), 0, "allocations");
        assert_eq!(self.ports_used(), 0, "ports");
        assert_eq!(self.quota.total(), 0, "quota");
        assert_eq!(self.sockets.len(), 0, "sockets");
        assert_eq!((self.permissions(), self.channels()), (0, 0), "permissions and channels");
        let allocations = self.counters.iter().flat_map(|c| &c.allocations);
        assert_eq!(allocations.map(|gauge| gauge.get()).sum::<u64>(), 0, "allocations as counted");
        let opened: u64 = self.counters.iter().flat_map(|c| &c.opened).map(|c| c.get()).sum();
        let closed: u64 = self.counters.iter().flat_map(|c| &c.closed).map(|c| c.get()).sum();
        assert_eq!(opened, closed);
        assert_eq!(
            (self.opened as u64, self.closed.len() as u64),
            (opened, closed),
            "as told and as counted"
        );
    }

    /// And once the time of every hold is over, no timer either.
    pub(crate) fn assert_empty_for_good(&mut self) {
        self.pass_secs(31);
        self.assert_empty();
        self.assert_no_timer();
    }

    pub(crate) fn assert_no_timer(&self) {
        let timers = self.engines.iter().filter_map(Engine::next_timeout).count();
        assert_eq!(timers, 0, "timers");
    }
}
