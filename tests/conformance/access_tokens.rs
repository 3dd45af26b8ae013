//! Access tokens of third-party authorization (RFC 7635), sealed by the tests' own
//! authorization server.

use floe::wire::{AttributeType, Method};

use crate::login_attacks::guess;
use crate::support::access::{FIRST, SECOND, THIRD, now};
use crate::support::command::floe;
use crate::support::request::append_sha1;
use crate::support::{
    ALICE, Access, Client, Config, Peer, REALM, Reply, Request, Scheme, Server, Token, TokenKey,
};

fn takes_tokens(config: &mut Config) {
    config.tokens([FIRST.entry(), SECOND.entry()]);
}

fn server() -> Server {
    Server::start(takes_tokens)
}

/// The answer to an Allocate by this token.
fn allocate_with(server: &Server, access: Access) -> Reply {
    Client::udp(server).access(access).call(Request::allocate())
}

fn put(token: &[u8]) -> Request {
    Request::allocate().put(AttributeType::ACCESS_TOKEN, token)
}

/// All that a stranger can tell two answers apart by.
fn shape(reply: &Reply) -> Vec<(AttributeType, usize)> {
    reply.message().attributes().map(|a| (a.kind, a.value.len())).collect()
}

// E-020
#[test]
fn a_challenge_names_the_server() {
    let server = Server::start(|config| {
        takes_tokens(config);
        config.set("auth.oauth-server-name", "turn.tests.example");
    });
    for mut client in [Client::udp(&server), Client::tcp(&server)] {
        let challenge = client.ask(&Request::allocate());
        challenge.assert_challenge(401);
        assert_eq!(challenge.text(AttributeType::THIRD_PARTY_AUTHORIZATION), "turn.tests.example");
    }
    // Without a name of its own it has that of the realm.
    let challenge = Client::udp(&self::server()).ask(&Request::allocate());
    assert_eq!(challenge.text(AttributeType::THIRD_PARTY_AUTHORIZATION), REALM);
}

// E-022 E-024 E-026
#[test]
fn a_token_is_shown_with_allocate_and_its_key_signs_the_rest() {
    let server = server();
    let peer = Peer::new();
    for key in [FIRST, SECOND] {
        for scheme in [Scheme::Legacy, Scheme::Sha256] {
            for client in [Client::udp(&server), Client::tcp(&server), Client::udp6(&server)] {
                let mut client = client.access_by(key.access(), scheme);
                let relayed = client.allocate();
                client.permit(peer.ip());
                client.exchange(relayed, &peer);
                client.bind(0x4000, peer.address());
                client.send_channel(0x4000, b"by channel");
                peer.expect(b"by channel", relayed);
                assert_eq!(client.call(Request::refresh(600)).ok().lifetime(), 600);
                client.call(Request::refresh(0)).ok();
                assert_eq!(client.call(Request::allocate()).code(), 0, "and once more");
            }
        }
    }
}

// E-024
#[test]
fn a_key_of_the_length_of_another_hash_will_do() {
    let server = server();
    for length in [20, 32, 64] {
        let token = Token { mac_key: (0..length).collect(), ..FIRST.token() };
        let mut client = Client::udp(&server).access_by(token.access(), Scheme::Sha256);
        client.allocate();
        client.permit("127.0.0.1".parse().unwrap());
    }
    for length in [0, 1, 15, 65, 128] {
        let token = Token { mac_key: vec![7; length], ..FIRST.token() };
        allocate_with(&server, token.access()).assert_challenge(401);
    }
}

// E-021
#[test]
fn where_none_are_taken_the_attribute_is_unknown() {
    let server = Server::start(|_| {});
    let token = FIRST.access().token;
    let mut alice = Client::udp(&server).user(ALICE);
    let challenge = alice.ask(&put(&token));
    challenge.assert_challenge(401);
    assert!(!challenge.has(AttributeType::THIRD_PARTY_AUTHORIZATION));
    let reply = alice.call(put(&token));
    assert_eq!(reply.code(), 420);
    assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&[0x00, 0x1B][..]));
    alice.allocate();
    allocate_with(&server, FIRST.access()).assert_challenge(401);
}

// E-022 E-023 E-024 E-028
#[test]
fn whatever_is_wrong_the_answer_is_the_same() {
    let server = server();
    let right = FIRST.token();
    let wrong = [
        ("no such kid", Access { kid: "nobody", ..right.access() }),
        ("a user's name", Access { kid: ALICE.name, ..right.access() }),
        ("another kid", Access { kid: SECOND.kid, ..right.access() }),
        ("another key", TokenKey { key: THIRD.key, ..FIRST }.access()),
        ("another server's", Token { server_name: "other.example", ..right.clone() }.access()),
        ("nobody's", Token { server_name: "", ..right.clone() }.access()),
        ("expired", Token { made: -3606, ..right.clone() }.access()),
        ("expired long ago", Token { made: -1_000_000_000, ..right.clone() }.access()),
        ("from the future", Token { made: 7200, ..right.clone() }.access()),
        ("of no duration", Token { made: -6, lifetime: 0, ..right.clone() }.access()),
        ("without its key", Access { mac_key: vec![1; 20], ..right.access() }),
        ("with no key", Access { mac_key: Vec::new(), ..right.access() }),
        ("empty", Access { token: Vec::new(), ..right.access() }),
    ];
    let replies: Vec<Reply> = wrong
        .into_iter()
        .map(|(what, access)| {
            let reply = allocate_with(&server, access);
            assert_eq!(reply.code(), 401, "{what}");
            reply
        })
        .collect();
    let unknown = Client::udp(&server).user(crate::support::User { name: "mallory", password: "x" });
    let unknown = { unknown }.call(Request::allocate());
    for reply in &replies {
        reply.assert_challenge(401);
        assert_eq!(shape(reply), shape(&unknown));
    }
    // Made ahead of this clock, by no more than it may be.
    allocate_with(&server, Token { made: 3600 + 4, ..right.clone() }.access()).ok();
    allocate_with(&server, Token { made: -3000, ..right }.access()).ok();
}

// CVE-2026-43994 among them.
// E-027
#[test]
fn no_byte_of_a_token_can_be_changed_left_out_or_added() {
    let server = server();
    let access = FIRST.access();
    let token = access.token.clone();
    let mut client = Client::tcp(&server).access(access.clone());
    let mut refused = |token: &[u8], what: &str| {
        let reply = client.call(put(token));
        assert_eq!(reply.code(), 401, "{what}");
    };
    for bit in 0..token.len() * 8 {
        let mut flipped = token.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        refused(&flipped, &format!("bit {bit}"));
    }
    for length in 0..token.len() {
        refused(&token[..length], &format!("{length} bytes"));
    }
    for more in [1, 2, 16, 256, 700, 7000] {
        refused(&[token.clone(), vec![0; more]].concat(), &format!("{more} bytes more"));
    }
    for length in (0..300).filter(|length| *length != 12).chain([735, 4096, 0x7FFF, 0x8000, u16::MAX]) {
        let mut lying = token.clone();
        lying[..2].copy_from_slice(&length.to_be_bytes());
        refused(&lying, &format!("nonce_length {length}"));
    }
    client.allocate();
    // Over datagrams as well, and as large as an attribute may be.
    let mut client = Client::udp(&server).access(access);
    for token in [&[0xFF; 4][..], &[0; 14], &token[..13]] {
        assert_eq!(client.call(put(token)).code(), 401);
    }
    let huge = client.login().sign(put(&[0xFF; 60_000]));
    client.expect_silence(&huge);
    client.allocate();
    assert!(!server.log().contains("panicked"));
}

// E-027
#[test]
fn what_is_sealed_has_to_be_whole() {
    let server = server();
    let block = FIRST.token().block();
    let mut broken: Vec<Vec<u8>> = (0..block.len()).map(|length| block[..length].to_vec()).collect();
    broken.push([block.clone(), vec![0]].concat());
    for key_length in [0, 1, 19, 21, 32, 64, 65, 256, 0x8000, u16::MAX] {
        let mut lying = block.clone();
        lying[..2].copy_from_slice(&key_length.to_be_bytes());
        broken.push(lying);
    }
    let mut client = Client::tcp(&server).access(FIRST.access());
    for block in broken {
        let reply = client.call(put(&FIRST.seal(REALM, &block)));
        assert_eq!(reply.code(), 401, "{block:02x?}");
    }
    client.allocate();
}

// E-025
#[test]
fn an_allocation_is_given_no_longer_than_its_token_has() {
    let server = server();
    let mut client = Client::udp(&server).access(Token { lifetime: 100, ..FIRST.token() }.access());
    let lifetime = client.call(Request::allocate().lifetime(3600)).ok().lifetime();
    assert!((1..=105).contains(&lifetime), "{lifetime}");
    let lifetime = client.call(Request::refresh(3600)).ok().lifetime();
    assert!((1..=105).contains(&lifetime), "{lifetime}");
    // The next one goes on from there, by a key that has followed the first.
    client.renew(SECOND.access(), Scheme::Legacy);
    assert_eq!(client.call(Request::refresh(1800)).ok().lifetime(), 1800);
    client.permit("127.0.0.1".parse().unwrap());
}

// E-025 B-002
#[test]
fn nobody_elses_credentials_touch_it() {
    let server = Server::start(|config| {
        let entry = |key: TokenKey, whose: &str| {
            let mut entry = key.entry();
            entry.insert("authorization-server".into(), whose.into());
            entry
        };
        config.tokens([entry(FIRST, "one"), entry(SECOND, "one"), entry(THIRD, "another")]);
    });
    let mut client = Client::udp(&server).access(FIRST.access());
    client.allocate();
    let own = client.login().clone();

    client.renew(THIRD.access(), Scheme::Legacy);
    assert_eq!(client.call(Request::refresh(0)).code(), 441);
    let mut alice = own.clone();
    (alice.name, alice.access) = (ALICE.name.into(), None);
    alice.keys = floe::wire::integrity::LongTermKeys::derive(ALICE.name, REALM, ALICE.password);
    *client.login() = alice;
    assert_eq!(client.call(Request::refresh(0)).code(), 441);

    *client.login() = own;
    client.renew(SECOND.access(), Scheme::Legacy);
    client.call(Request::refresh(600)).ok();

    let mut client = Client::udp(&server).user(ALICE);
    client.allocate();
    let alice = client.login().clone();
    client.renew(FIRST.access(), Scheme::Legacy);
    assert_eq!(client.call(Request::refresh(0)).code(), 441);
    *client.login() = alice;
    client.call(Request::refresh(0)).ok();
}

// E-022
#[test]
fn keys_roll_over() {
    let server = Server::start(|config| {
        let window = |key: TokenKey, not_before: u64, lifetime: u64| {
            let mut entry = key.entry();
            entry.insert("not-before".into(), (not_before as i64).into());
            entry.insert("lifetime".into(), (lifetime as i64).into());
            entry
        };
        let now = now();
        config.tokens([
            window(FIRST, now - 100_000, 90_000),
            window(SECOND, now - 10_000, 90_000),
            window(THIRD, now + 80_000, 90_000),
        ]);
    });
    allocate_with(&server, FIRST.access()).assert_challenge(401);
    allocate_with(&server, THIRD.access()).assert_challenge(401);
    // A token that would outlive its key does not.
    let mut client = Client::udp(&server).access(Token { lifetime: u32::MAX, ..SECOND.token() }.access());
    client.allocate();
    server.wait_until("the log is written", || server.log().contains("oauth key not valid now"));
}

// B-045 H-040
#[test]
fn a_token_has_so_many_allocations() {
    let server = Server::start(|config| {
        takes_tokens(config);
        config.set("limits.allocations-per-user", 2);
    });
    let (one, other) = (FIRST.access(), FIRST.access());
    let mut clients: Vec<Client> = (0..2).map(|_| Client::udp(&server).access(one.clone())).collect();
    clients.iter_mut().for_each(|client| _ = client.allocate());
    let mut third = Client::tcp(&server).access(one);
    assert_eq!(third.call(Request::allocate()).code(), 486);
    Client::udp(&server).access(other).allocate();
    clients[0].call(Request::refresh(0)).ok();
    third.allocate();
}

// H-036
#[test]
fn a_guesser_is_met_with_silence_and_a_token_is_not() {
    let server = Server::start(|config| {
        takes_tokens(config);
        config.set("limits.failed-logins-per-minute", 10);
    });
    guess(&server, Client::udp(&server).access(Access { kid: "nobody", ..FIRST.access() }));
    Client::udp(&server).access(FIRST.access()).allocate();
}

// A-069 A-070 A-074
#[test]
fn the_list_of_algorithms_is_held_to_with_a_token_too() {
    let server = server();
    let mut client = Client::udp(&server).access_by(FIRST.access(), Scheme::Sha256);
    let login = client.login().clone();
    let named = login.name_on(Request::allocate());
    for request in [
        named.clone().without(AttributeType::PASSWORD_ALGORITHMS),
        named.clone().without(AttributeType::PASSWORD_ALGORITHM),
        named.clone().with(AttributeType::PASSWORD_ALGORITHMS, &[0, 1, 0, 0]),
        named.clone().with(AttributeType::PASSWORD_ALGORITHM, &[0, 3, 0, 0]),
    ] {
        let reply = client.ask_bytes(&request.sign_sha256(login.key()));
        assert_eq!((reply.code(), reply.is_signed()), (400, false));
    }
    // A nonce with the bits taken off is nobody's.
    let stripped = format!("obMatJos2AAAA{}", &login.nonce[13..]);
    let request = named.with(AttributeType::NONCE, stripped.as_bytes());
    client.ask_bytes(&request.sign_sha256(login.key())).assert_challenge(438);
    client.allocate();
}

// A-063 A-078
#[test]
fn with_keys_alone_a_kid_may_be_hashed() {
    let server = Server::start(|config| {
        takes_tokens(config);
        config.set("auth.users", toml::Table::new());
    });
    let mut client = Client::udp(&server).access_by(SECOND.access(), Scheme::UserHash);
    assert!(client.login().nonce.starts_with("obMatJos2wAAA"));
    client.allocate();
    client.permit("127.0.0.1".parse().unwrap());
    // Nobody logs in by a password, and none was made up.
    assert!(!server.log().contains("\"username\""), "{}", server.log());
}

/// What stands behind the integrity was added by somebody on the way.
// A-051 A-052
#[test]
fn a_token_behind_the_integrity_is_none() {
    let server = server();
    let access = FIRST.access();
    let mut client = Client::udp(&server).access(access.clone());
    let login = client.login().clone();
    let request = login.name_on(Request::allocate()).without(AttributeType::ACCESS_TOKEN);
    let mut bytes = request.bytes();
    append_sha1(&mut bytes, &access.mac_key);
    crate::support::request::append(&mut bytes, AttributeType::ACCESS_TOKEN, &access.token);
    client.ask_bytes(&bytes).assert_challenge(401);
}

// H-035
#[test]
fn the_log_says_why_and_no_secret() {
    let server = Server::start(|config| {
        takes_tokens(config);
        config.set("log.level", "trace");
    });
    let (good, bad) = (FIRST.token(), Token { server_name: "other.example", ..FIRST.token() });
    Client::udp(&server).access(good.access()).allocate();
    allocate_with(&server, bad.access()).assert_challenge(401);
    let because = "access token of another key or server name, or damaged";
    server.wait_until("it is logged", || server.log().contains(because));
    let log = server.log();
    assert!(log.contains(FIRST.kid));
    for secret in [FIRST.key, SECOND.key, &good.mac_key, &bad.mac_key] {
        let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let bytes = format!("{secret:?}");
        assert!(!log.contains(&hex) && !log.contains(bytes.trim_matches(['[', ']'])), "{log}");
        assert!(!log.contains(&*String::from_utf8_lossy(secret)), "{log}");
    }
}

// H-035
#[test]
fn keys_come_from_a_file_of_their_own_and_are_not_shown() {
    let directory = crate::support::server::new_directory();
    let file = directory.join("keys");
    let lines: String = [FIRST, SECOND].map(|key| format!("{}\n", toml::Value::from(key.entry()))).concat();
    std::fs::write(&file, lines).unwrap();
    let variable = ("FLOE_AUTH__OAUTH_KEYS__FILE", file.as_os_str());
    let server = Server::start_in(&[variable], |_| {});
    for key in [FIRST, SECOND] {
        allocate_with(&server, key.access()).ok();
    }
    let shown = floe().args(["config", "show"]).env(variable.0, variable.1).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("kid = \"first\"") && shown.contains("key = \"…\""), "{shown}");
    std::fs::remove_dir_all(directory).unwrap();
}

// E-021
#[test]
fn a_binding_needs_no_token_and_takes_none() {
    let server = server();
    let mut client = Client::udp(&server);
    client.ping();
    let request = Request::new(Method::BINDING).put(AttributeType::ACCESS_TOKEN, &FIRST.access().token);
    assert_eq!(client.ask(&request).code(), 420);
}
