//! Ports, and the time of a server, run out: who is refused comes again, who has an
//! allocation keeps it, and everything is given back.

use std::time::Duration;

use crate::attackers::token_thief;
use crate::caller::Wish;
use crate::deployment::Deployment;
use crate::letters::Party;
use crate::manners::{ALL, LIBJUICE, LIBNICE, LIBWEBRTC, PION};
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
        deployment.interfere(Duration::ZERO, token_thief("carol"));
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
        assert!(deployment.referee.thefts > 0, "no token was tried by another");
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
    });
}

// B-064
#[test]
fn who_renews_one_family_loses_the_other_alone() {
    tell("who_renews_one_family_loses_the_other_alone", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        let peers = ["203.0.113.1:9000", "[2001:db8:9::1]:9000"].map(|address| deployment.peer(address));
        for n in 0..4 {
            let caller = deployment.caller(["alice", "bob"][n % 2], [LIBNICE, PION][n / 2]);
            (deployment.callers[caller].wish, deployment.callers[caller].keeps) =
                (Wish::Both, Some(1 + n as u8 % 2));
            peers.iter().for_each(|peer| deployment.introduce(caller, *peer));
        }
        deployment.run(Duration::from_secs(1_200));
        deployment.assert_heard(&[0, 1, 2, 3]);
        // At the end of its time nobody may be permitted there any more, nor bound.
        for who in 0..4 {
            let of =
                |(party, what): &(Party, String)| *party == Party::Caller(who) && what.starts_with("443");
            assert!(deployment.troubles.iter().any(of), "{:?}", deployment.troubles);
        }
        assert!(deployment.troubles.iter().all(|(_, what)| what.starts_with("443")));
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
