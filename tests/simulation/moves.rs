//! Clients come from other addresses in the middle of a call. Where a NAT does it, the
//! server takes nobody for who was there before, and the client calls anew; who has
//! a ticket (RFC 8016) goes on with what he has.

use std::time::Duration;

use crate::attackers::{replayer, ticket_thief};
use crate::deployment::Deployment;
use crate::manners::{LIBJUICE, ROAMER};
use crate::network::{CLEAR, ROUGH, STORM};
use crate::story::tell;
use crate::world::Setup;

// H-063
#[test]
fn who_comes_from_another_address_is_somebody_else() {
    tell("who_comes_from_another_address_is_somebody_else", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 3, ..Setup::default() });
        deployment.weather = ROUGH;
        let callers = deployment.usual_calls(9);
        let moving = callers.clone();
        deployment.interfere(
            Duration::from_secs(30),
            Box::new(move |deployment| {
                let who = moving[deployment.random.below(moving.len())];
                deployment.callers[who].rebind();
                deployment.moved(who);
                Some(Duration::from_secs(25))
            }),
        );
        deployment.run(Duration::from_secs(900));
        deployment.assert_heard(&callers);
        assert!(deployment.referee.tally.drops.contains_key(&floe::relay::DropReason::NoAllocation));
    });
}

/// Callers over UDP and TCP who change their networks again and again, by couples and
/// with peers.
fn roamers(deployment: &mut Deployment) -> Vec<usize> {
    let peer = deployment.peer("203.0.113.1:9000");
    let mut callers = Vec::new();
    for n in 0..8 {
        let other = if n % 4 == 3 { LIBJUICE } else { ROAMER };
        let caller = match n % 2 {
            0 => deployment.caller("alice", ROAMER),
            _ => deployment.tcp_caller("bob", other),
        };
        deployment.introduce(caller, peer);
        if n % 2 == 1 {
            deployment.couple(caller, callers[n - 1]);
        }
        callers.push(caller);
    }
    let moving = callers.clone();
    deployment.interfere(
        Duration::from_secs(20),
        Box::new(move |deployment| {
            let who = moving[deployment.random.below(moving.len())];
            if deployment.callers[who].manner.roams {
                deployment.roam(who);
            }
            Some(Duration::from_millis(deployment.random.below(5_000) as u64))
        }),
    );
    callers
}

// E-003 E-007
#[test]
fn who_has_a_ticket_goes_on_with_his_call() {
    tell("who_has_a_ticket_goes_on_with_his_call", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 3, ..Setup::default() });
        deployment.weather = CLEAR;
        let callers = roamers(&mut deployment);
        let relays = deployment.relays.clone();
        deployment.run(Duration::from_secs(900));
        deployment.assert_heard(&callers);
        assert_eq!(deployment.troubles, [], "nobody has had to call anew");
        assert!(relays.is_empty() && deployment.relays.len() == callers.len());
        assert!(deployment.referee.moves > 100, "{} moves", deployment.referee.moves);
    });
}

// E-003 E-007 E-008
#[test]
fn tickets_get_over_any_weather() {
    tell("tickets_get_over_any_weather", 3, |seed| {
        let mut setup = Setup { seed, shards: 3, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        deployment.weather = if seed % 2 == 0 { ROUGH } else { STORM };
        deployment.interfere(Duration::from_secs(1), replayer());
        let callers = roamers(&mut deployment);
        deployment.run(Duration::from_secs(900));
        deployment.assert_heard(&callers);
        assert!(deployment.referee.moves > 100, "{} moves", deployment.referee.moves);
    });
}

/// Callers who move and say nothing: their tickets stay known for half a minute, to
/// their user alone.
// E-006 E-008
#[test]
fn tickets_are_of_no_use_to_others_nor_for_long() {
    tell("tickets_are_of_no_use_to_others_nor_for_long", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 3, ..Setup::default() });
        let callers = [(); 6].map(|()| deployment.caller("alice", ROAMER));
        deployment.interfere(Duration::from_secs(8), ticket_thief("carol"));
        deployment.interfere(Duration::from_secs(8), ticket_thief("alice"));
        deployment.interfere(
            Duration::from_secs(10),
            Box::new(move |deployment| {
                let who = callers[deployment.random.below(callers.len())];
                deployment.roam(who);
                Some(Duration::from_secs(25))
            }),
        );
        deployment.run(Duration::from_secs(900));
        assert!(deployment.referee.moves > 20, "{} moves", deployment.referee.moves);
    });
}
