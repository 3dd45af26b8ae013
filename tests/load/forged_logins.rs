//! Logins under made-up names, signed with anything: each costs the server a key
//! for every shared secret and an HMAC with it, and what it costs is bounded.

use std::thread;
use std::time::Instant;

use crate::bystander::{Bystander, alongside};
use crate::process::Memory;
use crate::support::{Client, Login, Request, Server, User, own_address};

const LOGINS: usize = 30_000;

/// As many wait in the listener's queue at most, which others share: what does
/// not fit into it no server can answer.
const LEAD: usize = 500;

/// The most that may be current at once.
const SECRETS: usize = 16;

/// KiB: 8,192 accounts are kept at hand, 2 KB each at most, whatever the flood.
const GROWTH: usize = 20 * 1024;

// H-048
#[test]
fn a_flood_of_forged_logins_leaves_others_their_share() {
    let permitted = own_address();
    let server = Server::start(|config| {
        let secrets: Vec<String> =
            (0..SECRETS).map(|n| format!("{n:02}-e8b6a1f04c9d4f7db21a5be0c3a97d58")).collect();
        config.set("auth.secrets", secrets).set("limits.failed-logins-per-minute", 60);
    });
    let mut bystanders = Bystander::some(&server, permitted);
    let mut forger = Client::udp(&server).user(User { name: "nobody", password: "a guess" });
    let login = forger.login().clone();
    let start = Instant::now();
    let failed = || server.metric("floe_failed_logins_total", &[]);
    let mut forge = |numbers: std::ops::Range<usize>| {
        for number in numbers {
            let named = Login { name: format!("32503680000:{number}"), ..login.clone() };
            forger.send(&named.sign(Request::allocate()));
            // Those who share the machine's cores get their turn.
            thread::yield_now();
            if number.is_multiple_of(LEAD) {
                server.wait_until("the queue is short", || failed() >= number.saturating_sub(LEAD) as f64);
            }
        }
    };
    forge(0..LOGINS / 10);
    let memory = Memory::of(&server);
    let before = failed();
    alongside(&mut bystanders, || forge(LOGINS / 10..LOGINS));
    memory.assert_grown("forged logins", GROWTH);
    println!("{} of {LOGINS} logins were read", failed());
    assert!(failed() > before);
    // Silence above the limit: a burst of a minute's worth, and one a second since.
    let most = 60 + start.elapsed().as_secs() as usize + 1;
    assert!((1..=most).contains(&forger.count_waiting()));
}
