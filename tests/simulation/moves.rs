//! NATs give clients other addresses in the middle of a call: the server takes nobody
//! for who was there before, and the client calls anew.

use std::time::Duration;

use crate::deployment::Deployment;
use crate::network::ROUGH;
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
