//! Calls of every kind of client over a network without fault: everything that is
//! said arrives, and nobody has trouble.

use std::time::Duration;

use crate::deployment::Deployment;
use crate::story::tell;
use crate::world::Setup;

// Q-2 Q-3 Q-4 Q-7 Q-10 Q-11 Q-12
#[test]
fn every_word_arrives_in_clear_weather() {
    tell("every_word_arrives_in_clear_weather", 2, |seed| {
        let mut setup = Setup { seed, shards: 2, ..Setup::default() };
        // aioice never asks for a permission, and binds only every 500 s.
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        let callers = deployment.usual_calls(12);
        deployment.run(Duration::from_secs(1_500));
        deployment.assert_untroubled(&callers);
        deployment.assert_heard(&callers);
    });
}

//
#[test]
fn on_a_strict_server_only_those_who_ask_for_no_permission_lose_words() {
    tell("on_a_strict_server_only_those_who_ask_for_no_permission_lose_words", 1, |seed| {
        let mut deployment = Deployment::new(Setup { seed, ..Setup::default() });
        let callers = deployment.usual_calls(12);
        deployment.run(Duration::from_secs(1_500));
        deployment.assert_heard(&callers);
        assert_eq!(deployment.troubles, []);
        assert!(!deployment.wronged.is_empty(), "between 300 and 500 s nothing comes in for aioice");
        for (_, sheet, _) in &deployment.wronged {
            assert_eq!(deployment.callers[deployment.relays[&sheet.to]].manner.name, "aioice");
        }
    });
}
