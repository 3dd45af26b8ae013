//! The network loses, repeats, delays and reorders: retransmissions get over it,
//! nothing is done twice, and what comes out of the server went in.

use std::time::Duration;

use crate::deployment::Deployment;
use crate::manners::FORGETFUL;
use crate::network::{ROUGH, STORM};
use crate::story::tell;
use crate::world::Setup;

// B-021 B-022
#[test]
fn retransmissions_get_over_a_rough_network() {
    tell("retransmissions_get_over_a_rough_network", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        deployment.weather = ROUGH;
        deployment.bind_delay = Some(Duration::from_millis(40));
        let callers = deployment.usual_calls(9);
        deployment.run(Duration::from_secs(1_200));
        deployment.assert_heard(&callers);
        assert!(deployment.letters.lost > 0 && deployment.letters.delivered > 0);
    });
}

// B-021 B-022
#[test]
fn nothing_is_confused_in_a_storm() {
    tell("nothing_is_confused_in_a_storm", 2, |seed| {
        let mut deployment = Deployment::new(Setup { seed, shards: 2, ..Setup::default() });
        deployment.weather = STORM;
        deployment.bind_delay = Some(Duration::from_millis(300));
        deployment.bind_mishaps = 2_000;
        let peer = deployment.peer("203.0.113.200:9000");
        for name in ["alice", "bob", "carol"] {
            let caller = deployment.caller(name, FORGETFUL);
            deployment.introduce(caller, peer);
        }
        deployment.usual_calls(9);
        deployment.run(Duration::from_secs(1_200));
        assert!(deployment.letters.delivered > 0);
    });
}
