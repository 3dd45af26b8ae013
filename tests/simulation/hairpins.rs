//! Both ends relayed by one server, on one shard and across shards, by rings that
//! are sometimes full.

use std::time::Duration;

use floe::relay::{DropReason, Instant};

use crate::deployment::Deployment;
use crate::letters::Sheet;
use crate::manners::{ALL, LIBNICE};
use crate::network::ROUGH;
use crate::story::tell;
use crate::world::{Sent, Setup};

fn couples(deployment: &mut Deployment, count: usize) -> Vec<usize> {
    let pair = |n: usize| {
        let (one, other) = (ALL[n % ALL.len()], ALL[(n + 1) % ALL.len()]);
        let pair = [deployment.caller("alice", one), deployment.caller("bob", other)];
        deployment.couple(pair[0], pair[1]);
        pair
    };
    (0..count).flat_map(pair).collect()
}

// B-164 Q-17
#[test]
fn relays_of_one_server_talk_to_each_other() {
    tell("relays_of_one_server_talk_to_each_other", 2, |seed| {
        let mut setup = Setup { seed, shards: 3, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = couples(&mut deployment, 6);
        let start = deployment.now();
        deployment.run(Duration::from_secs(900));
        deployment.assert_heard(&callers);
        assert_eq!(deployment.troubles, []);
        // Until both have permitted each other.
        let late = |(at, ..): &&(Instant, Sheet, DropReason)| at.since(start) > Duration::from_secs(8);
        assert_eq!(deployment.wronged.iter().find(late), None);
        let tally = &deployment.referee.tally;
        assert!(tally.crossed > 0 && tally.hairpins > tally.crossed && tally.up == 0, "{tally:?}");
    });
}

// B-164
#[test]
fn a_full_ring_drops_and_counts() {
    tell("a_full_ring_drops_and_counts", 1, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        deployment.weather = ROUGH;
        deployment.world.ring_size = Some(2);
        deployment.ring_delay = Duration::from_millis(400);
        let callers = couples(&mut deployment, 8);
        deployment.run(Duration::from_secs(400));
        deployment.assert_heard(&callers);
        assert!(deployment.referee.tally.drops.contains_key(&DropReason::RingFull));
    });
}

// B-164
#[test]
fn what_waits_in_a_ring_when_its_allocation_ends_is_dropped() {
    tell("what_waits_in_a_ring_when_its_allocation_ends_is_dropped", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        deployment.ring_delay = Duration::from_millis(300);
        for _ in 0..10 {
            let [one, other] = ["alice", "bob"].map(|name| deployment.caller(name, LIBNICE));
            deployment.couple(one, other);
            let short = Duration::from_secs(20 + deployment.random.below(60) as u64);
            deployment.callers[other].hang_up = deployment.now() + short;
        }
        deployment.run(Duration::from_secs(120));
        let late = DropReason::NoSuchRelay;
        assert!(deployment.referee.tally.drops.contains_key(&late));
        assert!(!matches!(deployment.world.arrive(), Some((_, Sent::ToClient(..)))));
    });
}
