//! Credentials that are not taken, and why: to a client all of it is 401.

use std::ffi::OsStr;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::examination::{check, url};
use crate::rest_password;
use crate::support::command::faketime;
use crate::support::{ALICE, SECRET, Server, skip};

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn a_wrong_password() {
    let server = Server::start(|_| {});
    let examined = check(&[&url(server.udp(), "udp"), "--username", ALICE.name, "--password", "wrong"]);
    examined.assert_failed("login", "wrong-password", &["401", "wrong username, password"]);
    assert_eq!(examined.step("challenge")["status"], "ok");
}

#[test]
fn a_wrong_secret() {
    let server = Server::start(|config| _ = config.secret_only());
    let examined = check(&[&url(server.udp(), "udp"), "--secret", "another"]);
    examined.assert_failed("login", "wrong-password", &["401", "it is the shared secret"]);
}

#[test]
fn an_expired_credential() {
    let server = Server::start(|config| _ = config.secret_only());
    let name = format!("{}:alice", now() - 7_260);
    let password = rest_password(SECRET, &name);
    let examined = check(&[&url(server.udp(), "udp"), "--username", &name, "--password", &password]);
    examined.assert_failed("login", "expired-credential", &["401", &name, "expired 2 h 01 min ago"]);
}

#[test]
fn a_good_credential_of_another_secret_is_not_called_expired() {
    let server = Server::start(|config| _ = config.secret_only());
    let name = format!("{}:alice", now() + 7_260);
    let password = rest_password("another", &name);
    let examined = check(&[&url(server.udp(), "udp"), "--username", &name, "--password", &password]);
    examined.assert_failed("login", "wrong-password", &["they are good for 2 h", "the shared secret"]);
}

/// A server whose clock is so far from ours; `None`, and said so, where it can't
/// be moved.
fn at_another_time(offset: &str) -> Option<Server> {
    let Some(library) = faketime() else {
        skip("faketime", "not installed (Debian: apt-get install faketime)");
        return None;
    };
    let environment: [(&str, &OsStr); 3] = [
        ("LD_PRELOAD", library.as_os_str()),
        ("FAKETIME", offset.as_ref()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".as_ref()),
    ];
    Some(Server::start_in(&environment, |config| _ = config.secret_only()))
}

#[test]
fn a_clock_that_is_an_hour_ahead_locks_everybody_out() {
    let Some(server) = at_another_time("+3600s") else { return };
    let examined = check(&[&url(server.udp(), "udp"), "--secret", SECRET]);
    let words = ["401", "the secret is right", "1 h 0", "ahead of this machine's"];
    examined.assert_failed("login", "clock-skew", &words);
}

#[test]
fn a_clock_that_is_half_an_hour_ahead_shortens_credentials() {
    let Some(server) = at_another_time("+1800s") else { return };
    let examined = check(&[&url(server.udp(), "udp"), "--secret", SECRET]);
    examined.assert_warned("clock", "clock-skew", &["ahead of this machine's", "so much sooner"]);
    let found = examined.step("clock")["found"].as_str().unwrap();
    // Found out to a minute.
    assert!(["30 min", "31 min"].iter().any(|words| found.contains(words)), "{found}");
}

#[test]
fn a_clock_that_is_an_hour_behind_prolongs_credentials() {
    let Some(server) = at_another_time("-3600s") else { return };
    let examined = check(&[&url(server.udp(), "udp"), "--secret", SECRET]);
    examined.assert_warned("clock", "clock-skew", &["behind this machine's", "so much longer"]);
    let found = examined.step("clock")["found"].as_str().unwrap();
    assert!(["58 min", "59 min", "1 h 00 min"].iter().any(|words| found.contains(words)), "{found}");
}
