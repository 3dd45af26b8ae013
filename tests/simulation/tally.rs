//! What became of packets, to be held against the server's own counters.

use std::collections::BTreeMap;

use floe::relay::DropReason;
use floe::relay::counters::Counters;

use crate::world::{Sent, World};

#[derive(Default, Debug)]
pub(crate) struct Tally {
    pub(crate) replies: u64,
    pub(crate) up: u64,
    pub(crate) down: u64,
    pub(crate) crossed: u64,
    pub(crate) hairpins: u64,
    pub(crate) drops: BTreeMap<DropReason, u64>,
    pub(crate) requests: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, sent: &Sent) {
        match sent {
            Sent::Nothing => {}
            Sent::Reply(..) => self.replies += 1,
            Sent::ToClient(..) => self.down += 1,
            Sent::ToPeer(..) => self.up += 1,
            Sent::ToShard(_) => self.crossed += 1,
            Sent::Dropped(reason) => *self.drops.entry(*reason).or_default() += 1,
        }
    }

    /// Every packet that went in is in exactly one of the server's counters.
    pub(crate) fn check(&self, world: &World) {
        let sum = |of: fn(&Counters) -> u64| world.counters.iter().map(|c| of(c)).sum::<u64>();
        for reason in DropReason::ALL {
            let counted: u64 = world.counters.iter().map(|c| c.drops[reason.index()].get()).sum();
            assert_eq!(counted, self.drops.get(reason).copied().unwrap_or(0), "{reason:?}");
        }
        let successes = sum(|c| c.successes.iter().map(|count| count.get()).sum());
        let errors = sum(|c| c.errors.iter().flatten().map(|count| count.get()).sum());
        assert_eq!(successes + errors, self.replies, "answers");
        assert_eq!(sum(|c| c.hairpin.packets.get()), self.hairpins, "hairpins");
        let requests = sum(|c| c.requests.iter().map(|count| count.get()).sum());
        assert_eq!(requests, self.requests, "requests");
    }
}
