//! How many allocations there are, over all shards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::relay::world::{Quota, QuotaExceeded};

/// Below this many places the table is not given back.
const KEPT_PLACES: usize = 1024;

/// Counts live allocations by user and in all, behind one lock that is taken at
/// Allocate and at an allocation's end only. A user without an allocation has no
/// entry, so memory is bounded by what is live.
#[derive(Debug)]
pub struct Ledger {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    most: u32,
    total: u32,
    users: HashMap<Arc<str>, u32>,
}

impl Ledger {
    /// Nothing counted yet; at most `most` allocations in all, 0 is no limit.
    pub fn new(most: u32) -> Self {
        Self { counts: Mutex::new(Counts { most, ..Counts::default() }) }
    }

    /// Another limit on all of them from now on; those that are there stay.
    pub fn set_most(&self, most: u32) {
        self.counts().most = most;
    }

    /// Allocations now, of everyone.
    pub fn total(&self) -> u32 {
        self.counts().total
    }

    /// Allocations now, of one user.
    pub fn of(&self, user: &str) -> u32 {
        self.counts().users.get(user).copied().unwrap_or(0)
    }

    /// Users with an allocation now.
    pub fn users(&self) -> usize {
        self.counts().users.len()
    }

    /// Nothing panics under the lock, and the counts hold if something did.
    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Quota for Ledger {
    fn acquire(&self, user: &Arc<str>, max: u32) -> Result<(), QuotaExceeded> {
        let mut counts = self.counts();
        let held = counts.users.get(user).copied().unwrap_or(0);
        if max != 0 && held >= max {
            return Err(QuotaExceeded::User);
        }
        let most = if counts.most == 0 { u32::MAX } else { counts.most };
        if counts.total >= most {
            return Err(QuotaExceeded::Server);
        }
        counts.total += 1;
        counts.users.insert(user.clone(), held + 1);
        Ok(())
    }

    fn release(&self, user: &Arc<str>) {
        let mut counts = self.counts();
        let Some(held) = counts.users.get_mut(user) else { return };
        *held -= 1;
        if *held == 0 {
            counts.users.remove(user);
        }
        counts.total -= 1;
        let places = counts.users.capacity();
        if places > KEPT_PLACES && places / 8 > counts.users.len() {
            counts.users.shrink_to(KEPT_PLACES.max(places / 4));
        }
    }
}

#[cfg(test)]
#[path = "ledger_test.rs"]
mod tests;
