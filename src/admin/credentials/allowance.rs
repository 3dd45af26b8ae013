//! How much one API key has used of what it may: a rate, and credentials that
//! are good at once. Kept in memory; a restart forgets both.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use super::Terms;

/// One key's.
#[derive(Debug)]
pub(in crate::admin) struct Allowance {
    terms: Terms,
    used: Mutex<Used>,
}

#[derive(Debug)]
struct Used {
    /// Credentials that may be made right now, and when that was counted.
    left: f64,
    counted: Option<Instant>,
    /// When each one that counts ends, Unix seconds; at most `quota` of them.
    ends: BinaryHeap<Reverse<u64>>,
}

/// What was used up, and in how many seconds there is more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::admin) enum UsedUp {
    Rate,
    Quota(u64),
}

impl Allowance {
    pub(in crate::admin) fn new(terms: Terms) -> Self {
        let used = Used { left: f64::from(terms.per_second), counted: None, ends: BinaryHeap::new() };
        Self { terms, used: Mutex::new(used) }
    }

    pub(in crate::admin) fn terms(&self) -> &Terms {
        &self.terms
    }

    /// Counts one more credential, good from `now` to `end` (Unix seconds).
    pub(in crate::admin) fn take(&self, at: Instant, now: u64, end: u64) -> Result<(), UsedUp> {
        let Terms { quota, per_second, .. } = self.terms;
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if quota > 0 {
            while used.ends.peek().is_some_and(|Reverse(end)| *end <= now) {
                used.ends.pop();
            }
            if used.ends.len() >= quota as usize {
                let first = used.ends.peek().map_or(now, |Reverse(end)| *end);
                return Err(UsedUp::Quota(first.saturating_sub(now).max(1)));
            }
        }
        if per_second > 0 {
            let rate = f64::from(per_second);
            let passed = used.counted.map_or(0.0, |then| at.saturating_duration_since(then).as_secs_f64());
            used.left = (used.left + passed * rate).min(rate);
            used.counted = Some(at);
            if used.left < 1.0 {
                return Err(UsedUp::Rate);
            }
            used.left -= 1.0;
        }
        if quota > 0 {
            used.ends.push(Reverse(end));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_quota_counts_what_is_good_now() {
        let allowance = Allowance::new(Terms { quota: 2, ..Terms::unlimited() });
        let at = Instant::now();
        assert_eq!(allowance.take(at, 100, 200), Ok(()));
        assert_eq!(allowance.take(at, 100, 150), Ok(()));
        assert_eq!(allowance.take(at, 140, 240), Err(UsedUp::Quota(10)));
        assert_eq!(allowance.take(at, 150, 250), Ok(()));
    }

    #[test]
    fn a_rate_has_a_burst_of_one_second() {
        let allowance = Allowance::new(Terms { per_second: 2, ..Terms::unlimited() });
        let at = Instant::now();
        assert_eq!(allowance.take(at, 0, 1), Ok(()));
        assert_eq!(allowance.take(at, 0, 1), Ok(()));
        assert_eq!(allowance.take(at, 0, 1), Err(UsedUp::Rate));
        let later = at + Duration::from_millis(500);
        assert_eq!(allowance.take(later, 0, 1), Ok(()));
        assert_eq!(allowance.take(later, 0, 1), Err(UsedUp::Rate));
    }
}
