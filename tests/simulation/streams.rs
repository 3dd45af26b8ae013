//! Clients over TCP beside those over UDP: their connections end, and what they had
//! ends with them.

use std::time::Duration;

use crate::deployment::Deployment;
use crate::manners::ALL;
use crate::network::ROUGH;
use crate::story::tell;
use crate::world::Setup;

// B-144
#[test]
fn an_allocation_ends_with_its_connection() {
    tell("an_allocation_ends_with_its_connection", 2, |seed| {
        let mut setup = Setup { seed, shards: 2, ..Setup::default() };
        setup.settings.compat_permission_lifetime = true;
        let mut deployment = Deployment::new(setup);
        deployment.weather = ROUGH;
        deployment.bind_delay = Some(Duration::from_millis(100));
        let peer = deployment.peer("203.0.113.1:9000");
        let mut callers = Vec::new();
        for (n, manner) in ALL.into_iter().enumerate() {
            let one = deployment.tcp_caller("alice", manner);
            deployment.introduce(one, peer);
            let other = if n % 2 == 0 {
                deployment.caller("bob", manner)
            } else {
                deployment.tcp_caller("bob", manner)
            };
            deployment.couple(one, other);
            callers.extend([one, other]);
        }
        // Connections break now and then, and are made anew.
        let mut turn = 0;
        let breaking = callers.clone();
        deployment.interfere(
            Duration::from_secs(20),
            Box::new(move |deployment| {
                turn += 1;
                deployment.break_connection(breaking[turn % breaking.len()]);
                Some(Duration::from_secs(13))
            }),
        );
        deployment.run(Duration::from_secs(700));
        deployment.assert_heard(&callers);
    });
}
