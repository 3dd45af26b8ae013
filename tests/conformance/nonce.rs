//! Nonces: bound to their client, not to be made or changed by anybody else,
//! and good across a restart (RFC 8489 §9.2.4).

use std::collections::HashSet;
use std::net::SocketAddr;

use floe::wire::AttributeType;

use crate::support::{ALICE, Client, Request, Server, User, own_address};

// A-080 H-030
#[test]
fn a_nonce_nobody_gave_is_stale_and_replaced() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let elsewhere = Client::udp(&server).user(ALICE).login().nonce.clone();
    let right = client.login().clone();
    for nonce in ["", "random", "obMatJos2", "obMatJos2wAAA", "obMatJos2wAAA0123456789abcdef", &elsewhere] {
        client.login().nonce = nonce.into();
        let refusal = client.call(Request::allocate());
        if nonce.is_empty() && refusal.code() == 400 {
            continue;
        }
        refusal.assert_challenge(438);
        assert!(refusal.has(AttributeType::PASSWORD_ALGORITHMS));
        assert_eq!(refusal.realm(), right.realm);
        client.login().nonce = refusal.nonce().into();
        client.call(Request::allocate()).ok();
        client.call(Request::refresh(0)).ok();
    }
}

// H-031
#[test]
fn no_byte_of_a_nonce_can_be_changed() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let right = client.login().nonce.clone();
    for at in 0..right.len() {
        let mut bytes = right.clone().into_bytes();
        bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
        client.login().nonce = String::from_utf8(bytes).unwrap();
        let code = client.call(Request::allocate()).code();
        assert!(code == 438 || code == 401, "byte {at} changed: {code}");
    }
    client.login().nonce = right;
    client.call(Request::allocate()).ok();
}

//
#[test]
fn a_wrong_password_is_noticed_before_a_stale_nonce() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(User { password: "wrong", ..ALICE });
    client.login().nonce = "stale".into();
    client.call(Request::allocate()).assert_challenge(401);
}

//
#[test]
fn a_nonce_outlives_the_server() {
    let address = SocketAddr::new(own_address().into(), 20_000);
    let start = || {
        Server::start(|config| {
            config.set("auth.nonce-secret", "a nonce secret that the whole fleet shares");
            config.set("listen.udp", vec![address.to_string()]);
        })
    };
    let server = start();
    let mut client = Client::udp_from("127.0.0.1".parse().unwrap(), address).user(ALICE);
    client.login();
    assert!(server.stop().success());
    let _server = start();
    client.allocate();
}

//
#[test]
fn a_fresh_nonce_stays_good() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    for _ in 0..100 {
        client.call(Request::refresh(600)).ok();
    }
}

// H-032
#[test]
fn a_request_replayed_from_elsewhere_is_stale() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let captured = client.login().sign(Request::allocate());
    let relayed = client.call_bytes(&captured).ok().relayed();

    for mut thief in [
        Client::udp(&server),
        Client::tcp(&server),
        Client::udp_from("127.0.0.2".parse().unwrap(), server.udp()),
    ] {
        thief.ask_bytes(&captured).assert_challenge(438);
    }
    assert_eq!(client.call_bytes(&captured).ok().relayed(), relayed);
}

// H-030
#[test]
fn nonces_of_many_clients_differ() {
    let server = Server::start(|_| {});
    // All at once, so that no two have one port.
    let mut clients: Vec<Client> = (0..200).map(|_| Client::udp(&server)).collect();
    let nonces: HashSet<String> =
        clients.iter_mut().map(|client| client.ask(&Request::allocate()).nonce().to_owned()).collect();
    assert_eq!(nonces.len(), 200);
}
