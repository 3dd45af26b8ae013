//! Long-term credentials as browsers use them, and names and realms at the edge
//! (RFC 8489 §9.2).

use floe::wire::integrity::LongTermKeys;
use floe::wire::{AttributeType, Method};

use crate::support::{ALICE, Client, Login, REALM, Request, Server, User};

// A-068 A-082
#[test]
fn an_rfc_5389_client_logs_in() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let reply = client.call(Request::allocate()).ok();
    assert!(reply.message().has_sha1() && !reply.message().has_sha256());
    for kind in [AttributeType::USERNAME, AttributeType::USERHASH, AttributeType::REALM, AttributeType::NONCE]
    {
        assert!(!reply.has(kind), "{kind:?} in a success");
    }
}

//
#[test]
fn a_refusal_is_signed_once_the_client_is_known() {
    let server = Server::start(|config| _ = config.set("peers.allow", vec!["127.0.0.0/24"]));
    let mut client = Client::udp(&server).user(ALICE);
    let peer = "127.0.0.2:9".parse().unwrap();
    // `call` checks the signature of each.
    assert_eq!(client.call(Request::new(Method::ALLOCATE)).code(), 400);
    assert_eq!(client.call(Request::allocate().put(AttributeType(0x7FFE), b"")).code(), 420);
    assert_eq!(client.call(Request::refresh(600)).code(), 437);
    let sctp = Request::new(Method::ALLOCATE).put(AttributeType::REQUESTED_TRANSPORT, &[132, 0, 0, 0]);
    assert_eq!(client.call(sctp).code(), 442);
    assert_eq!(client.call(Request::allocate().family(3)).code(), 440);
    assert_eq!(client.call(Request::allocate().put(AttributeType::RESERVATION_TOKEN, &[7; 8])).code(), 508);
    client.allocate();
    assert_eq!(client.call(Request::allocate()).code(), 437);
    assert_eq!(client.call(Request::permission(&["10.0.0.1".parse().unwrap()])).code(), 403);
    assert_eq!(client.call(Request::permission(&["2a00::1".parse().unwrap()])).code(), 443);
    assert_eq!(client.call(Request::channel_bind(0x3FFF, peer)).code(), 400);
}

/// Both sides bring names and passwords into one form (RFC 8265 §4.2): composed
/// letters, and plain spaces.
//
#[test]
fn a_password_may_be_written_in_more_than_one_way() {
    let users = toml::Table::from_iter([
        ("jose\u{301}".to_owned(), "une\u{a0}phrase de passe\u{3000}tre\u{300}s longue".into()),
        ("\u{30de}\u{30c8}".to_owned(), "\u{aa}\u{2168} are kept as they are".into()),
    ]);
    let server = Server::start(|config| _ = config.set("auth.users", users));
    for (name, password) in [
        ("jos\u{e9}", "une phrase de passe tr\u{e8}s longue"),
        ("\u{30de}\u{30c8}", "\u{aa}\u{2168} are kept as they are"),
    ] {
        Client::udp(&server).user(User { name, password }).allocate();
    }
    let (status, said) = Server::refused(|config| {
        config.set("auth.users", toml::Table::from_iter([("alice".to_owned(), "so\u{ad}ft hyphen".into())]));
    });
    assert!(status == Some(2) && said.contains("alice"), "{said}");
}

//
#[test]
fn a_name_of_508_bytes_is_a_name() {
    let name = "n".repeat(508);
    let users = toml::Table::from_iter([(name.clone(), ALICE.password.into())]);
    let server = Server::start(|config| _ = config.set("auth.users", users));
    Client::udp(&server).user(User { name: &name, ..ALICE }).allocate();
}

//
#[test]
fn a_name_that_is_too_long_or_not_text_is_refused() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    let mut refused = |name: &[u8]| {
        let request = login.name_on(Request::allocate()).with(AttributeType::USERNAME, name);
        client.ask_bytes(&request.sign_sha1(&login.keys.md5)).code()
    };
    for length in [509, 513, 763] {
        assert!([400, 401].contains(&refused(&vec![b'n'; length])), "{length} bytes");
    }
    for length in [764, 1200] {
        assert_eq!(refused(&vec![b'n'; length]), 400, "{length} bytes");
    }
    for name in [b"\xFF\xFE".as_slice(), b"ali\xC3", b"\xED\xA0\x80"] {
        assert!([400, 401].contains(&refused(name)), "{name:?}");
    }
}

//
#[test]
fn the_key_is_md5_of_name_realm_and_password() {
    let users = toml::Table::from_iter([("user".to_owned(), "pass".into())]);
    let server = Server::start(|config| _ = config.set("realm", "realm").set("auth.users", users));
    let mut client = Client::udp(&server).user(User { name: "user", password: "pass" });
    let login = client.login().clone();
    // RFC 8489 §9.2.2 gives this very example.
    let key = 0x8493_fbc5_3ba5_82fb_4c04_4c45_6bdc_40eb_u128.to_be_bytes();
    client.ask_bytes(&login.name_on(Request::allocate()).sign_sha1(&key)).ok();
}

// A-088 H-039
#[test]
fn another_realm_is_told_the_right_one() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let right = client.login().clone();
    let other = Login::new(ALICE, "other.example", &right.nonce);
    let right_key = Login { keys: LongTermKeys::derive(ALICE.name, REALM, ALICE.password), ..other.clone() };
    for login in [other, right_key] {
        let reply = client.ask_bytes(&login.sign(Request::allocate()));
        reply.assert_challenge(401);
        assert_eq!(reply.realm(), REALM);
    }
    client.allocate();
}
