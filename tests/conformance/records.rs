//! What a server writes down and keeps: who relayed to whom, and no password.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::FileExt as _;

use serde_json::Value;

use crate::support::{ALICE, BOB, Client, Config, Peer, Request, Server};

/// A relayed datagram each way, and the log of it.
fn log_of_a_call(level: &str) -> (Vec<Value>, Client, Peer, String) {
    let server =
        Server::start(|config: &mut Config| _ = config.set("log.level", level).set("log.format", "json"));
    let mut client = Client::udp(&server).user(ALICE);
    let relayed = client.allocate();
    let peer = Peer::at("127.0.0.2");
    client.permit(peer.ip());
    client.permit(peer.ip());
    client.exchange(relayed, &peer);
    client.call(Request::refresh(0)).ok();
    client.ping();
    let (status, log) = server.stop_and_log();
    assert!(status.success());
    let lines = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    (lines, client, peer, relayed.to_string())
}

fn about<'a>(lines: &'a [Value], message: &str) -> Vec<&'a Value> {
    lines.iter().filter(|line| line["message"] == message).collect()
}

// H-066
#[test]
fn the_log_says_who_relayed_what_to_whom_and_when() {
    let (lines, client, peer, relayed) = log_of_a_call("info,floe::peer=debug");
    let [opened] = about(&lines, "opened")[..] else { panic!("{lines:#?}") };
    let [permitted] = about(&lines, "permitted")[..] else { panic!("one line a peer: {lines:#?}") };
    let [closed] = about(&lines, "closed")[..] else { panic!("{lines:#?}") };
    for line in [opened, closed] {
        assert_eq!(line["user"], ALICE.name);
        assert_eq!(line["client"], client.local().to_string());
        assert_eq!(line["relays"], relayed);
    }
    assert_eq!(permitted["peer"], peer.ip().to_string());
    assert!(
        [permitted, closed].iter().all(|line| line["id"] == opened["id"] && line["timestamp"].is_string())
    );
    assert_eq!((&closed["up_bytes"], &closed["down_bytes"]), (&5.into(), &8.into()));
    assert!(closed["seconds"].is_u64());
}

// H-066
#[test]
fn by_default_peers_are_not_named_and_by_choice_nobody_is() {
    let (lines, _, peer, _) = log_of_a_call("info");
    assert_eq!(about(&lines, "opened").len(), 1);
    assert!(!lines.iter().any(|line| line.to_string().contains(&peer.ip().to_string())));
    let (lines, client, _, _) = log_of_a_call("info,floe::allocation=off,floe::login=off");
    assert!(!about(&lines, "serving").is_empty());
    for private in [ALICE.name.to_owned(), client.local().to_string()] {
        assert!(!lines.iter().any(|line| line.to_string().contains(&private)), "{private}");
    }
}

/// RFC 8656 §6: the key is kept, not the password. Looked for in all memory that
/// the process can write to.
// B-010
#[test]
fn a_password_is_forgotten_once_its_key_is_made() {
    let server = Server::start(|_| {});
    for user in [ALICE, BOB] {
        Client::udp(&server).user(user).allocate();
    }
    let process = format!("/proc/{}", server.runtime().pid);
    let memory = File::open(format!("{process}/mem")).expect("the memory of a child");
    let maps = BufReader::new(File::open(format!("{process}/maps")).expect("its maps"));
    let (mut looked_at, mut has_realm) = (0, false);
    for line in maps.lines().map(|line| line.expect("text")).filter(|line| line.contains(" rw")) {
        let (start, end) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [start, end].map(|hex| u64::from_str_radix(hex, 16).expect("an address"));
        let mut bytes = vec![0; (end - start) as usize];
        if memory.read_exact_at(&mut bytes, start).is_err() {
            continue;
        }
        looked_at += bytes.len();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        has_realm |= holds(crate::support::REALM);
        for user in [ALICE, BOB] {
            assert!(!holds(user.password), "the password of {} is in {line}", user.name);
        }
    }
    assert!(looked_at > 1 << 20 && has_realm, "what it must know is found there");
}
