use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1000)
}

#[test]
fn a_timer_fires_once_at_most_a_tick_late_and_never_early() {
    let mut timers = Timers::new();
    timers.insert(at(1_100), "a");
    assert_eq!(timers.next_timeout(), Some(at(1_250)));
    assert_eq!(timers.pop(at(1_249)), None);
    assert_eq!(timers.pop(at(1_250)), Some("a"));
    assert_eq!(timers.pop(at(10_000_000)), None);
    assert_eq!(timers.next_timeout(), None);
}

#[test]
fn a_timer_beyond_one_turn_goes_round_again() {
    let mut timers = Timers::new();
    timers.insert(at(7_200_000), "two hours");
    let mut fired = None;
    while let Some(next) = timers.next_timeout() {
        if let Some(token) = timers.pop(next) {
            fired = Some((token, next));
        }
    }
    assert_eq!(fired, Some(("two hours", at(7_200_000))));
}

proptest! {
    /// The wheel against a sorted map: what fires, and that it fires on time.
    #[test]
    fn it_agrees_with_a_sorted_map(
        steps in prop::collection::vec((0u64..4_000_000, 0u64..600_000, any::<bool>()), 1..200),
    ) {
        let mut timers = Timers::new();
        let mut model = BTreeMap::new();
        let mut now = 0;
        for (key, (after, forward, cancel)) in steps.into_iter().enumerate() {
            let id = timers.insert(at(now + after), key);
            if cancel {
                timers.cancel(id);
            } else {
                model.insert(key, now + after);
            }
            now += forward;
            while let Some(key) = timers.pop(at(now)) {
                let deadline = model.remove(&key).expect("fired twice or cancelled");
                prop_assert!(deadline <= now);
            }
            let overdue = model.values().filter(|deadline| **deadline + 250 <= now).count();
            prop_assert_eq!(overdue, 0);
            prop_assert_eq!(timers.next_timeout().is_some(), !model.is_empty());
        }
    }
}
