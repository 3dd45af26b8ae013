use super::*;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use proptest::prelude::*;

const START: Instant = Instant::from_micros(1_000_000);
const SOURCE: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));

fn after(millis: u64) -> Instant {
    START + Duration::from_millis(millis)
}

fn answers(throttle: &SourceThrottle, now: Instant, source: IpAddr, tries: usize) -> usize {
    (0..tries).filter(|_| throttle.may_answer(now, source)).count()
}

fn v6(site: u16, subnet: u16, host: u16) -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, site, subnet, 0, 0, 0, host).into()
}

// H-018
#[test]
fn a_source_gets_twice_its_rate_at_once_and_then_its_rate() {
    let throttle = SourceThrottle::new(200, 0);
    assert_eq!(answers(&throttle, START, SOURCE, 1000), 400);
    assert_eq!(answers(&throttle, after(1000), SOURCE, 1000), 200);
    assert_eq!(answers(&throttle, after(60_000), SOURCE, 1000), 400);
}

// H-018
// Clients behind one NAT at 20 a second are never turned away.
#[test]
fn a_steady_source_within_its_rate_is_always_answered() {
    let throttle = SourceThrottle::new(20, 0);
    assert!((0..10_000).all(|n| throttle.may_answer(after(n * 50), SOURCE)));
}

// H-018
// A few of many sources may fall together with the busy one.
#[test]
fn a_source_over_its_limit_does_not_silence_others() {
    let throttle = SourceThrottle::new(10, 0);
    answers(&throttle, START, SOURCE, 1000);
    let others = (0..100).map(|n| IpAddr::V4(Ipv4Addr::new(192, 0, 2, n)));
    assert!(others.filter(|&other| throttle.may_answer(START, other)).count() >= 98);
}

// H-018
#[test]
fn ipv6_is_counted_by_its_64() {
    let throttle = SourceThrottle::new(10, 0);
    let granted = (0..100).filter(|&host| throttle.may_answer(START, v6(1, 1, host))).count();
    assert_eq!(granted, 20);
}

// H-018
#[test]
fn a_48_gets_eight_times_as_much() {
    let throttle = SourceThrottle::new(10, 0);
    let granted: usize = (0..1000).map(|subnet| answers(&throttle, START, v6(1, subnet, 1), 1)).sum();
    assert_eq!(granted, 160);
}

#[test]
fn a_64_over_its_limit_takes_nothing_from_its_48() {
    let throttle = SourceThrottle::new(10, 0);
    answers(&throttle, START, v6(1, 0, 1), 10_000);
    let granted: usize = (1..30).map(|subnet| answers(&throttle, START, v6(1, subnet, 1), 100)).sum();
    assert_eq!(granted, 160 - 20);
}

#[test]
fn a_mapped_source_is_the_ipv4_source() {
    let throttle = SourceThrottle::new(10, 0);
    answers(&throttle, START, SOURCE, 100);
    let IpAddr::V4(v4) = SOURCE else { unreachable!() };
    assert!(!throttle.may_answer(START, v4.to_ipv6_mapped().into()));
}

// H-036
#[test]
fn failed_logins_are_counted_a_minute_and_apart_from_answers() {
    let throttle = SourceThrottle::new(5, 60);
    let failures = |now| (0..1000).filter(|_| throttle.failed_login(now, SOURCE)).count();
    assert_eq!(failures(START), 60);
    assert_eq!(failures(after(10_000)), 10);
    assert!(throttle.may_answer(START, SOURCE));
}

#[test]
fn zero_is_no_limit() {
    let throttle = SourceThrottle::new(0, 0);
    assert!((0..100_000).all(|_| throttle.may_answer(START, SOURCE) && throttle.failed_login(START, SOURCE)));
}

#[test]
fn the_largest_limits_hold_without_overflow() {
    let throttle = SourceThrottle::new(u32::MAX, u32::MAX);
    for now in [Instant::from_micros(0), Instant::from_micros(u64::MAX)] {
        assert!(throttle.may_answer(now, v6(1, 1, 1)) && throttle.failed_login(now, SOURCE));
    }
}

// H-019
// Forged sources take nothing but their bucket's share, and reset none.
#[test]
fn a_flood_of_forged_sources_frees_nobody() {
    let throttle = SourceThrottle::new(10, 0);
    answers(&throttle, START, SOURCE, 100);
    for n in 0..200_000u32 {
        throttle.may_answer(START, IpAddr::V4(Ipv4Addr::from_bits(0x0b00_0000 + n)));
    }
    assert!(!throttle.may_answer(START, SOURCE));
}

#[test]
fn a_clock_that_steps_back_gives_nothing_away() {
    let throttle = SourceThrottle::new(10, 0);
    assert_eq!(answers(&throttle, after(5000), SOURCE, 100), 20);
    assert_eq!(answers(&throttle, START, SOURCE, 100), 0);
}

#[test]
fn many_shards_share_one_budget() {
    let throttle = SourceThrottle::new(500, 0);
    let granted: usize = std::thread::scope(|scope| {
        let shards: Vec<_> =
            (0..4).map(|_| scope.spawn(|| answers(&throttle, START, SOURCE, 1000))).collect();
        shards.into_iter().map(|shard| shard.join().unwrap()).sum()
    });
    assert_eq!(granted, 1000);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    // H-018
    // In every stretch of time at most burst + rate x time, and a source
    // that waits its turn is never starved.
    #[test]
    fn no_stretch_of_time_sees_more_than_burst_and_rate(
        rate in 1u32..2000,
        steps in prop::collection::vec((0u64..200_000, 1usize..200), 1..60),
    ) {
        let throttle = SourceThrottle::new(rate, 0);
        let mut at = 1_000_000;
        let mut seen: Vec<(u64, u64)> = Vec::new();
        for (wait, tries) in steps {
            at += wait;
            let granted = answers(&throttle, Instant::from_micros(at), SOURCE, tries);
            seen.push((at, granted as u64));
        }
        let burst = u64::from(rate) * 2;
        for first in 0..seen.len() {
            let mut total = 0;
            for &(at, granted) in &seen[first..] {
                total += granted;
                let gained = (at - seen[first].0) * u64::from(rate) / 1_000_000;
                prop_assert!(total <= burst + gained, "{total} in {} us", at - seen[first].0);
            }
        }
        let rested = Instant::from_micros(at + 3_000_000);
        prop_assert_eq!(answers(&throttle, rested, SOURCE, 10_000) as u64, burst);
    }
}
