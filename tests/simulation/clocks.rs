//! Somebody sets the wall clock, and the machine sleeps: allocations go by monotonic
//! time alone, nonces and time-limited names by the wall clock alone.

use std::time::Duration;

use floe::relay::DropReason;

use crate::deployment::Deployment;
use crate::manners::{FIREFOX, LIBNICE, Manner};
use crate::network::ROUGH;
use crate::story::tell;
use crate::world::{ERIN, Setup};

/// Seconds.
const JUMPS: [i64; 5] = [7_200, -14_400, 30, -86_400, 172_800];

// B-009 B-167
#[test]
fn no_word_is_lost_when_the_wall_clock_is_set() {
    tell("no_word_is_lost_when_the_wall_clock_is_set", 2, |seed| {
        let mut setup = Setup { seed, shards: 2, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = deployment.usual_calls(12);
        for (n, jump) in JUMPS.into_iter().enumerate() {
            // Everybody has called by then; a stale nonce is got over.
            let after = Duration::from_secs(60 + 230 * n as u64);
            deployment.at(after, move |deployment| deployment.world.set_wall_clock(jump));
        }
        deployment.run(Duration::from_secs(1_300));
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
    });
}

// F-006
#[test]
fn who_has_an_allocation_keeps_it_when_his_name_expires() {
    tell("who_has_an_allocation_keeps_it_when_his_name_expires", 1, |seed| {
        let mut deployment = Deployment::new(Setup { seed, ..Setup::default() });
        let peer = deployment.peer("203.0.113.1:9000");
        let [early, late] = [LIBNICE, FIREFOX].map(|manner| {
            let caller = deployment.caller(ERIN, manner);
            deployment.introduce(caller, peer);
            caller
        });
        deployment.callers[late].phase =
            crate::caller::Phase::Idle(deployment.now() + Duration::from_secs(400));
        // The name is good for an hour; a clock that jumps ends it early.
        deployment.at(Duration::from_secs(300), |deployment| deployment.world.set_wall_clock(3_600));
        deployment.run(Duration::from_secs(1_500));
        deployment.assert_untroubled(&[early]);
        deployment.assert_heard(&[early]);
        assert_eq!(deployment.callers[late].heard, 0, "the name is no good any more");
    });
}

// B-076
#[test]
fn after_a_long_sleep_what_has_expired_is_gone() {
    tell("after_a_long_sleep_what_has_expired_is_gone", 3, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        let callers = deployment.usual_calls(9);
        for (after, seconds) in [(100, 20), (300, 310), (500, 610), (700, 3_700)] {
            deployment.at(Duration::from_secs(after), move |deployment| {
                deployment.pause(Duration::from_secs(seconds));
            });
        }
        deployment.run(Duration::from_secs(8_000));
        deployment.assert_heard(&callers);
    });
}

/// While the machine sleeps the channels have their time, and the allocations do not:
/// what was on its way comes before anybody has looked for what has expired.
// B-135
#[test]
fn a_channel_that_has_had_its_time_carries_nothing() {
    tell("a_channel_that_has_had_its_time_carries_nothing", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, ..Setup::default() });
        deployment.weather = ROUGH;
        let peer = deployment.peer("203.0.113.1:9000");
        let talkative = Manner { lifetime: Some(3_600), ..LIBNICE };
        let callers = [(); 3].map(|()| deployment.caller("alice", talkative));
        for caller in callers {
            deployment.introduce(caller, peer);
            deployment.callers[caller].pace = Duration::from_millis(10);
        }
        for after in [20, 740, 1_460] {
            deployment.at(Duration::from_secs(after), |deployment| {
                deployment.pause(Duration::from_secs(700));
            });
        }
        deployment.run(Duration::from_secs(2_180));
        deployment.assert_heard(&callers);
        assert!(deployment.referee.tally.drops.contains_key(&DropReason::NoChannel));
    });
}
