//! Strangers, impostors, forgers and replayers do what they can, and the calls of
//! others go on as if they were not there.

use std::time::Duration;

use crate::attackers::{Budget, forger, impostor, permission_spammer, port_scanner, reflector, replayer};
use crate::deployment::{Deed, Deployment};
use crate::manners::{FIREFOX, FORGETFUL, LIBWEBRTC};
use crate::story::tell;
use crate::world::{Setup, addr};

const CALL: Duration = Duration::from_secs(700);

/// Calls beside which these do their deeds; they lose no word and have no trouble.
fn undisturbed(name: &str, deeds: fn(&mut Deployment) -> Vec<Deed>) {
    tell(name, 1, |seed| {
        let mut setup = Setup { seed, shards: 2, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = deployment.usual_calls(6);
        for deed in deeds(&mut deployment) {
            deployment.interfere(Duration::from_millis(700), deed);
        }
        deployment.run(CALL);
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
    });
}

// H-046
#[test]
fn port_scanners_reach_nobody() {
    undisturbed("port_scanners_reach_nobody", |_| vec![port_scanner(), port_scanner()]);
}

// H-032 H-061
#[test]
fn what_is_replayed_is_nothing_new() {
    undisturbed("what_is_replayed_is_nothing_new", |_| vec![replayer(), replayer()]);
}

// H-031 H-060
#[test]
fn forged_messages_change_nothing() {
    undisturbed("forged_messages_change_nothing", |_| vec![forger(), forger()]);
}

// H-060
#[test]
fn nobody_touches_anothers_allocation() {
    undisturbed("nobody_touches_anothers_allocation", |_| vec![impostor(), impostor()]);
}

// H-041
#[test]
fn permissions_without_end_come_to_an_end() {
    undisturbed("permissions_without_end_come_to_an_end", |deployment| {
        let greedy = deployment.caller("carol", FIREFOX);
        vec![permission_spammer(greedy)]
    });
}

// H-040
#[test]
fn who_exhausts_a_quota_exhausts_his_own() {
    tell("who_exhausts_a_quota_exhausts_his_own", 1, |seed| {
        let mut setup = Setup { seed, shards: 2, per_user: 8, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = deployment.usual_calls(6);
        let mut count = 0;
        deployment.interfere(
            Duration::from_secs(1),
            Box::new(move |deployment| {
                let manner = if count % 2 == 0 { FORGETFUL } else { LIBWEBRTC };
                let hog = deployment.caller("carol", manner);
                deployment.callers[hog].hang_up = deployment.closing;
                count += 1;
                (count < 60).then_some(Duration::from_secs(2))
            }),
        );
        deployment.run(CALL);
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
        assert!(
            deployment.troubles.iter().any(|(_, what)| what.starts_with("486")),
            "{:?}",
            deployment.troubles
        );
    });
}

// H-017 H-018
#[test]
fn a_victim_gets_little_of_what_is_asked_in_its_name() {
    tell("a_victim_gets_little_of_what_is_asked_in_its_name", 1, |seed| {
        let strangers = Some(Budget::new(10) as _);
        let mut setup = Setup { seed, shards: 2, strangers, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = deployment.usual_calls(6);
        let victims = ["192.0.2.200:1", "192.0.2.201:1"].map(|victim| addr(victim).ip());
        for victim in victims {
            deployment.interfere(Duration::ZERO, reflector(victim, Duration::from_millis(20)));
        }
        deployment.run(CALL);
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
        for victim in victims {
            let (answers, bytes) = deployment.referee.strangers[&victim];
            let most = 10 * CALL.as_secs() + 20;
            assert!((most / 2..=most).contains(&answers), "{answers} answers of {most}");
            assert!(bytes <= answers * 104);
        }
    });
}
