//! Ports, and the time of a server, run out: who is refused comes again, who has an
//! allocation keeps it, and everything is given back.

use std::time::Duration;

use crate::caller::Wish;
use crate::deployment::Deployment;
use crate::manners::{ALL, LIBJUICE, LIBNICE, LIBWEBRTC};
use crate::network::ROUGH;
use crate::story::tell;
use crate::world::Setup;

// H-050 H-052
#[test]
fn when_ports_run_out_they_go_round() {
    tell("when_ports_run_out_they_go_round", 3, |seed| {
        let mut setup = Setup { seed, shards: 2, ports: 50_001..=50_012, v6: false, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        deployment.weather = ROUGH;
        deployment.bind_delay = Some(Duration::from_millis(20));
        deployment.bind_mishaps = 1_000;
        let peer = deployment.peer("203.0.113.1:9000");
        let wishes = [Wish::Plain, Wish::Plain, Wish::Even, Wish::Pair, Wish::V6];
        for n in 0..40 {
            let caller = deployment.caller(["alice", "bob", "carol"][n % 3], ALL[n % ALL.len()]);
            deployment.callers[caller].wish = wishes[n % wishes.len()];
            let length = Duration::from_secs(60 + deployment.random.below(500) as u64);
            deployment.callers[caller].hang_up = deployment.now() + length;
            deployment.introduce(caller, peer);
        }
        deployment.run(Duration::from_secs(900));
        let refused =
            |code: &str| deployment.troubles.iter().filter(|(_, what)| what.starts_with(code)).count();
        assert!(refused("508") > 0 && refused("440") > 0, "{:?}", deployment.troubles);
        let served = deployment.callers.iter().filter(|caller| caller.heard > 0).count();
        assert!(served > 12, "only {served} of {}", deployment.callers.len());
    });
}

// B-032
#[test]
fn pairs_of_ports_are_held_for_whom_they_were_asked() {
    tell("pairs_of_ports_are_held_for_whom_they_were_asked", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, per_user: 20, ..Setup::default() });
        deployment.bind_delay = Some(Duration::from_millis(20));
        let peer = deployment.peer("203.0.113.1:9000");
        for name in ["alice", "bob", "carol"] {
            for _ in 0..3 {
                let caller = deployment.caller(name, LIBNICE);
                deployment.callers[caller].wish = Wish::Pair;
                deployment.introduce(caller, peer);
            }
        }
        deployment.run(Duration::from_secs(300));
        let callers: Vec<_> = (0..deployment.callers.len()).collect();
        assert_eq!(callers.len(), 18, "each has brought a second one");
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
    });
}

// B-166
#[test]
fn a_draining_server_takes_nobody_in_and_ends_when_it_must() {
    tell("a_draining_server_takes_nobody_in_and_ends_when_it_must", 2, |seed| {
        let mut setup = Setup { seed, shards: 2, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        deployment.bind_delay = Some(Duration::from_millis(50));
        let early = deployment.usual_calls(9);
        let peer = deployment.peer("203.0.113.99:9000");
        let mut late = Vec::new();
        for manner in [LIBJUICE, LIBWEBRTC] {
            let caller = deployment.caller("carol", manner);
            deployment.introduce(caller, peer);
            let start = deployment.now() + Duration::from_secs(200);
            deployment.callers[caller].phase = crate::caller::Phase::Idle(start);
            late.push(caller);
        }
        deployment.at(Duration::from_secs(150), Deployment::drain);
        deployment.at(Duration::from_secs(800), |deployment| {
            let callers = deployment.callers.iter();
            assert!(callers.clone().filter(|caller| caller.is_up()).count() > 0);
            deployment.stop();
            assert_eq!((deployment.world.live(), deployment.world.sockets.len()), (0, 0));
        });
        deployment.run(Duration::from_secs(900));
        deployment.assert_heard(&early);
        assert!(late.iter().all(|who| deployment.callers[*who].heard == 0));
    });
}
