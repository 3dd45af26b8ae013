//! USERHASH: a name that those on the way can't read (RFC 8489 §14.4).

use floe::wire::AttributeType;
use floe::wire::integrity::userhash;

use crate::support::{ALICE, BOB, Client, REALM, Request, Scheme, Server, User};

//
#[test]
fn a_user_may_log_in_by_hash() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user_by(ALICE, Scheme::UserHash);
    let reply = client.call(Request::allocate()).ok();
    assert!(reply.message().has_sha256());
}

//
#[test]
fn the_hash_of_nobody_is_challenged() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user_by(User { name: "nobody", ..ALICE }, Scheme::UserHash);
    let reply = client.call(Request::allocate());
    reply.assert_challenge(401);
    assert!(reply.has(AttributeType::PASSWORD_ALGORITHMS));
}

//
#[test]
fn a_hash_has_thirty_two_bytes() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user_by(ALICE, Scheme::UserHash);
    let login = client.login().clone();
    for length in [0, 16, 31, 33, 64] {
        let request = login.name_on(Request::allocate()).with(AttributeType::USERHASH, &vec![7; length]);
        let reply = client.ask_bytes(&request.sign_sha256(&login.keys.sha256));
        assert_eq!(reply.code(), 400, "{length} bytes");
    }
}

//
#[test]
fn a_name_and_a_hash_are_one_too_many() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user_by(ALICE, Scheme::Sha256);
    let login = client.login().clone();
    for name in [ALICE.name, BOB.name] {
        let request = login.name_on(Request::allocate()).put(AttributeType::USERHASH, &userhash(name, REALM));
        assert_eq!(client.ask_bytes(&request.sign_sha256(&login.keys.sha256)).code(), 400);
    }
}

//
#[test]
fn a_time_limited_name_has_no_hash_to_be_found_by() {
    let server = Server::start(|config| _ = config.secret_only());
    let mut client = Client::udp(&server).user_by(ALICE, Scheme::UserHash);
    client.call(Request::allocate()).assert_challenge(401);
}
