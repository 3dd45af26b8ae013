//! Time-limited credentials (draft-uberti-behave-turn-rest-00): the name is an
//! expiry and a user, the password an HMAC of it.

use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use ring::hmac;

use crate::support::{Client, Config, Reply, Request, SECRET, Scheme, Server, User};

/// base64(HMAC-SHA1(secret, name))
pub(super) fn rest_password(secret: &str, name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    BASE64_STANDARD.encode(hmac::sign(&key, name.as_bytes()))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(super) fn hour_from_now() -> u64 {
    now() + 3600
}

fn by_secret(config: &mut Config) {
    config.secret_only();
}

/// The answer to an Allocate of this name, with the password it should have.
fn allocate_as(server: &Server, name: &str) -> Reply {
    allocate_with(server, name, SECRET, Scheme::Legacy)
}

fn allocate_with(server: &Server, name: &str, secret: &str, scheme: Scheme) -> Reply {
    let password = rest_password(secret, name);
    Client::udp(server).user_by(User { name, password: &password }, scheme).call(Request::allocate())
}

// F-001
#[test]
fn the_password_is_the_drafts() {
    assert_eq!(rest_password("north", "1700000000:alice"), "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
}

// F-001 F-003 F-004 F-010
#[test]
fn a_credential_is_good_until_its_time() {
    let server = Server::start(by_secret);
    let until = hour_from_now();
    for name in [format!("{until}:carol"), format!("{until}"), format!("{until}:a:b:c"), format!("{until}:")]
    {
        for scheme in [Scheme::Legacy, Scheme::Sha256] {
            allocate_with(&server, &name, SECRET, scheme).ok();
        }
    }
}

// F-002
#[test]
fn an_expired_credential_is_challenged() {
    let server = Server::start(by_secret);
    for name in [format!("{}:carol", now() - 60), "1:carol".into(), format!("{}", now() - 60)] {
        allocate_as(&server, &name).assert_challenge(401);
    }
}

// F-002
#[test]
fn a_wrong_password_is_challenged() {
    let server = Server::start(by_secret);
    let name = format!("{}:carol", hour_from_now());
    for wrong in ["", "another secret of some length", &SECRET.to_uppercase()] {
        allocate_with(&server, &name, wrong, Scheme::Legacy).assert_challenge(401);
    }
    allocate_as(&server, &name).ok();
}

// F-008
#[test]
fn any_of_several_secrets_will_do() {
    let old = "4a7d1ed414474e4033ac29ccb8653d9b";
    let server = Server::start(|config| {
        by_secret(config);
        config.set("auth.secrets", vec![SECRET, old]);
    });
    let name = format!("{}:carol", hour_from_now());
    for scheme in [Scheme::Legacy, Scheme::Sha256] {
        allocate_with(&server, &name, SECRET, scheme).ok();
        allocate_with(&server, &name, old, scheme).ok();
    }
    allocate_with(&server, &name, "neither of the two secrets", Scheme::Legacy).assert_challenge(401);
}

// F-009
#[test]
fn what_is_no_time_is_no_credential() {
    let server = Server::start(by_secret);
    let until = hour_from_now();
    for time in [
        "".to_owned(),
        "-1".into(),
        format!("-{until}"),
        format!("+{until}"),
        format!(" {until}"),
        format!("{until} "),
        format!("0x{until:x}"),
        format!("{until}.5"),
        "1e10".into(),
        "18446744073709551616".into(),
        "99999999999999999999".into(),
        "carol".into(),
    ] {
        allocate_as(&server, &format!("{time}:carol")).assert_challenge(401);
    }
}

// F-011
#[test]
fn a_name_may_hold_anything() {
    let server = Server::start(by_secret);
    let until = hour_from_now();
    let longest = "n".repeat(508 - until.to_string().len() - 1);
    for user in ["%s%n%x", "'; DROP TABLE users; --", "\"quoted\"", "line\nbreak", "nul\0", "ünï", &longest]
    {
        allocate_as(&server, &format!("{until}:{user}")).ok();
    }
    let log = server.log();
    assert!(!log.contains('\0') && !log.lines().any(|line| line.starts_with("break")), "{log}");
    assert_eq!(server.get("/metrics").0, 200);
}

// F-001
#[test]
fn users_and_secrets_work_side_by_side() {
    let server = Server::start(|config| _ = config.set("auth.secrets", vec![SECRET]));
    Client::udp(&server).user(crate::support::ALICE).allocate();
    allocate_as(&server, &format!("{}:carol", hour_from_now())).ok();
}

// F-006
#[test]
fn an_allocation_may_outlive_its_credential() {
    let server = Server::start(|config| {
        by_secret(config);
        config.set("auth.strict-expiry", false);
    });
    let name = format!("{}:carol", now() + 2);
    let password = rest_password(SECRET, &name);
    let mut client = Client::udp(&server).user(User { name: &name, password: &password });
    client.allocate();
    let other = Client::udp(&server).user(User { name: &name, password: &password });
    server.wait_until("the credential has expired", || now() > name[..10].parse::<u64>().unwrap());
    let mut other = other;
    other.call(Request::allocate()).assert_challenge(401);
    client.call(Request::refresh(600)).ok();
}

// F-006
#[test]
fn strict_expiry_ends_it() {
    let server = Server::start(|config| {
        by_secret(config);
        config.set("auth.strict-expiry", true);
    });
    let name = format!("{}:carol", now() + 2);
    let password = rest_password(SECRET, &name);
    let mut client = Client::udp(&server).user(User { name: &name, password: &password });
    client.allocate();
    server.wait_until("the credential has expired", || now() > name[..10].parse::<u64>().unwrap());
    client.call(Request::refresh(600)).assert_challenge(401);
}
