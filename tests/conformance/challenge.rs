//! What a client is told before it has proven who it is (RFC 8489 §9.2.4).

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use floe::wire::integrity::PasswordAlgorithm;
use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Config, Login, REALM, Reply, Request, Server, User};

/// The first byte of the security feature bits in a nonce, once its cookie has
/// been checked (RFC 8489 §9.2).
fn security_features(challenge: &Reply) -> u8 {
    let features = challenge.nonce().strip_prefix("obMatJos2").expect("a nonce cookie");
    let bits = BASE64_STANDARD.decode(&features[..4]).expect("base64");
    assert_eq!(bits[1..], [0, 0], "no other bit is defined");
    bits[0]
}

// A-060 A-061 A-084 B-011
#[test]
fn a_stranger_gets_a_realm_and_a_nonce() {
    let server = Server::start(|_| {});
    for mut client in [Client::udp(&server), Client::udp6(&server), Client::tcp(&server)] {
        let challenge = client.ask(&Request::allocate());
        challenge.assert_challenge(401);
        assert_eq!(challenge.realm(), REALM);
        let nonce = challenge.nonce();
        assert!(nonce.starts_with("obMatJos2"));
        assert!(nonce.len() <= 48, "{nonce}");
        assert!(nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=-_".contains(&b)), "{nonce}");
    }
}

// A-062 A-064 A-066
#[test]
fn the_password_algorithms_are_listed_and_announced() {
    let server = Server::start(|_| {});
    let challenge = Client::udp(&server).ask(&Request::allocate());
    assert_ne!(security_features(&challenge) & 0x80, 0);
    let list = challenge.get(AttributeType::PASSWORD_ALGORITHMS).unwrap();
    assert_eq!(list, [0, 2, 0, 0, 0, 1, 0, 0], "SHA-256, then MD5");
    assert_eq!(list, PasswordAlgorithm::LIST);
}

//
#[test]
fn user_anonymity_is_offered_only_where_all_users_are_known() {
    let anonymity = |change: fn(&mut Config)| {
        let server = Server::start(change);
        security_features(&Client::udp(&server).ask(&Request::allocate())) & 0x40
    };
    assert_ne!(anonymity(|_| {}), 0);
    assert_eq!(anonymity(|config| _ = config.secret_only()), 0);
    let both = |config: &mut Config| _ = config.set("auth.secrets", vec![crate::support::SECRET]);
    assert_eq!(anonymity(both), 0);
}

//
#[test]
fn a_nonce_is_of_one_source() {
    let server = Server::start(|_| {});
    let mut nonces = std::collections::HashSet::new();
    let addresses = ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.3"];
    for ip in addresses {
        let mut client = Client::udp_from(ip.parse().unwrap(), server.udp());
        nonces.insert(client.ask(&Request::allocate()).nonce().to_owned());
    }
    assert_eq!(nonces.len(), addresses.len());
}

//
#[test]
fn a_signature_without_a_name_realm_or_nonce_is_a_bad_request() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    for missing in [AttributeType::USERNAME, AttributeType::REALM, AttributeType::NONCE] {
        let request = login.name_on(Request::allocate()).without(missing);
        let reply = client.ask_bytes(&request.sign_sha1(&login.keys.md5));
        assert_eq!(reply.code(), 400);
        assert!(!reply.is_signed() && !reply.has(AttributeType::NONCE) && !reply.has(AttributeType::REALM));
    }
}

// A-076 A-077 H-034
#[test]
fn an_unknown_name_and_a_wrong_password_look_the_same() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    let mut refusal = |user: User<'_>| {
        let wrong = Login::new(user, &login.realm, &login.nonce);
        let reply = client.ask_bytes(&wrong.sign(Request::allocate()));
        reply.assert_challenge(401);
        assert_eq!(reply.get(AttributeType::PASSWORD_ALGORITHMS), Some(&PasswordAlgorithm::LIST[..]));
        // All but the transaction id and the nonce.
        let nonce = reply.message().range(AttributeType::NONCE).unwrap();
        let mut bytes = reply.bytes.clone();
        bytes[8..20].fill(0);
        bytes[nonce].fill(0);
        bytes
    };
    let unknown = refusal(User { name: "nobody", password: "anything" });
    let wrong = refusal(User { name: ALICE.name, password: "wrong" });
    let empty = refusal(User { name: "", password: "" });
    assert_eq!(unknown, wrong);
    assert_eq!(unknown, empty);
}

// A-060 B-005
#[test]
fn every_turn_request_must_be_signed() {
    let server = Server::start(|_| {});
    for allocated in [false, true] {
        let mut client = Client::udp(&server).user(ALICE);
        if allocated {
            client.allocate();
        }
        for request in [
            Request::new(Method::REFRESH),
            Request::refresh(0),
            Request::permission(&["127.0.0.2".parse().unwrap()]),
            Request::channel_bind(0x4000, "127.0.0.2:9".parse().unwrap()),
        ] {
            client.ask(&request).assert_challenge(401);
        }
        if allocated {
            client.call(Request::refresh(600)).ok();
        }
    }
}

// B-051
#[test]
fn who_asks_comes_before_what_is_unknown() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let unknown = AttributeType(0x7FFE);
    client.ask(&Request::allocate().put(unknown, b"")).assert_challenge(401);
    let reply = client.call(Request::allocate().put(unknown, b""));
    assert_eq!(reply.code(), 420);
    assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&[0x7F, 0xFE][..]));
}
