//! The long-term credential mechanism: what is checked, and in which order.

use std::sync::atomic::Ordering::Relaxed;

use floe::relay::{DropReason, LoginFault};
use floe::wire::integrity::PasswordAlgorithm;
use floe::wire::{AttributeType, Class, MessageWriter, Method, TransactionId};

use crate::client::{Answer, Client, MODERN, Request, Signing};
use crate::world::{NAMES, REALM, Sent, Setup, World, addr};

const ID: TransactionId = TransactionId([9; 12]);

/// An Allocate written by hand behind a challenge; `fill` signs it or not.
fn by_hand(world: &mut World, fill: impl Fn(&Client, &mut MessageWriter<'_>)) -> Answer {
    let mut alice = Client::alice();
    alice.greet(world);
    let mut bytes = Vec::new();
    let mut message = MessageWriter::new(&mut bytes, Class::Request, Method::ALLOCATE, ID);
    message.put(AttributeType::REQUESTED_TRANSPORT, &[17, 0, 0, 0]);
    fill(&alice, &mut message);
    alice.ask(world, &bytes)
}

fn put_name(alice: &Client, message: &mut MessageWriter<'_>) {
    message
        .put(AttributeType::USERNAME, alice.name.as_bytes())
        .put(AttributeType::REALM, REALM.as_bytes())
        .put(AttributeType::NONCE, &alice.nonce);
}

fn key(alice: &Client, signing: Signing) -> Vec<u8> {
    alice.clone().signing(signing).key()
}

/// 401 or 438 with all that the next try needs, and nothing that it does not.
fn assert_challenge(answer: &Answer, code: u16) {
    assert_eq!(answer.code(), code);
    assert_eq!(answer.get(AttributeType::REALM), Some(REALM.into()));
    assert!(answer.get(AttributeType::NONCE).unwrap().starts_with(b"obMatJos2"));
    assert_eq!(answer.get(AttributeType::PASSWORD_ALGORITHMS), Some(vec![0, 2, 0, 0, 0, 1, 0, 0]));
    for kind in [AttributeType::USERNAME, AttributeType::USERHASH, AttributeType::SOFTWARE] {
        assert!(!answer.has(kind));
    }
    assert!(!answer.is_signed());
}

// A-060 A-066 A-084 B-005 B-011 A-038
#[test]
fn without_integrity_it_is_a_challenge() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let peer = addr("203.0.113.1:9");
    for request in [
        Request::allocate(),
        Request::refresh().lifetime(0),
        Request::create_permission(&[peer]),
        Request::channel_bind(0x4000, peer),
    ] {
        let answer = alice.ask(&mut world, &request.unsigned(ID));
        assert_challenge(&answer, 401);
        assert!(answer.get(AttributeType::NONCE).unwrap().len() <= 48);
    }
    assert_eq!((world.live(), world.permissions()), (1, 0));
}

// A-061 A-062 A-063
#[test]
fn the_nonce_says_what_the_server_can_do() {
    for (enumerable, says) in [(false, b"obMatJos2gAAA"), (true, b"obMatJos2wAAA")] {
        let mut world = World::with(Setup { enumerable, ..Setup::default() });
        let mut alice = Client::alice();
        alice.greet(&mut world);
        assert!(alice.nonce.starts_with(says));
    }
}

//
#[test]
fn integrity_without_name_realm_or_nonce_is_a_bare_400() {
    for missing in [AttributeType::USERNAME, AttributeType::REALM, AttributeType::NONCE] {
        let mut world = World::new();
        let answer = by_hand(&mut world, |alice, message| {
            for (kind, value) in [
                (AttributeType::USERNAME, alice.name.as_bytes()),
                (AttributeType::REALM, REALM.as_bytes()),
                (AttributeType::NONCE, &alice.nonce),
            ] {
                if kind != missing {
                    message.put(kind, value);
                }
            }
            message.sign_sha1(&alice.key());
        });
        assert_eq!(answer.code(), 400);
        assert!(!answer.is_signed());
        assert!(!answer.has(AttributeType::NONCE) && !answer.has(AttributeType::REALM));
    }
}

// A-068 A-072 A-073 A-078 A-082 A-083 A-086
#[test]
fn every_way_to_sign_is_answered_in_its_own_way() {
    let md5 = Signing::Named(PasswordAlgorithm::Md5);
    for signing in [Signing::Legacy, MODERN, md5, Signing::Hashed] {
        let mut world = World::with(Setup { enumerable: true, ..Setup::default() });
        let mut alice = Client::alice().signing(signing);
        let answer = alice.request(&mut world, &Request::allocate());
        assert_eq!(answer.code(), 0, "{signing:?}");
        for kind in
            [AttributeType::USERNAME, AttributeType::USERHASH, AttributeType::REALM, AttributeType::NONCE]
        {
            assert!(!answer.has(kind));
        }
        // Errors are signed the same: `request` looks at each.
        let peer = addr("10.1.2.3:9");
        assert_eq!(alice.permit(&mut world, &[peer]), 403);
        assert_eq!(alice.permit(&mut world, &[]), 400);
        assert_eq!(alice.request(&mut world, &Request::allocate()).code(), 437);
        assert_eq!(alice.request(&mut world, &Request::refresh().family(2)).code(), 443);
        assert_eq!(
            alice.request(&mut world, &Request::refresh().with(AttributeType(0x7FFE), &[])).code(),
            420
        );
    }
}

// A-069 A-070 A-071 H-037
#[test]
fn the_list_of_algorithms_has_to_come_back_whole() {
    let list = &PasswordAlgorithm::LIST[..];
    type Value = Option<&'static [u8]>;
    let cases: [(Value, Value); 6] = [
        (Some(list), None),
        (None, Some(&[0, 2, 0, 0])),
        (Some(&[0, 1, 0, 0, 0, 2, 0, 0]), Some(&[0, 2, 0, 0])),
        (Some(&[0, 1, 0, 0]), Some(&[0, 1, 0, 0])),
        (Some(list), Some(&[0, 3, 0, 0])),
        (Some(list), Some(&[0, 2, 0, 4, 0, 0, 0, 0])),
    ];
    for (algorithms, algorithm) in cases {
        let mut world = World::new();
        let answer = by_hand(&mut world, |alice, message| {
            put_name(alice, message);
            if let Some(list) = algorithms {
                message.put(AttributeType::PASSWORD_ALGORITHMS, list);
            }
            if let Some(one) = algorithm {
                message.put(AttributeType::PASSWORD_ALGORITHM, one);
            }
            message.sign_sha256(&key(alice, MODERN));
        });
        assert_eq!((answer.code(), world.live()), (400, 0), "{algorithms:?} {algorithm:?}");
    }
}

//
#[test]
fn sha1_over_the_sha256_key_is_accepted_and_answered_with_sha256() {
    let mut world = World::new();
    let answer = by_hand(&mut world, |alice, message| {
        put_name(alice, message);
        message
            .put(AttributeType::PASSWORD_ALGORITHMS, &PasswordAlgorithm::LIST)
            .put(AttributeType::PASSWORD_ALGORITHM, &[0, 2, 0, 0])
            .sign_sha1(&key(alice, MODERN));
    });
    assert_eq!(answer.code(), 0);
    assert!(answer.is_signed_for(&Client::alice().signing(MODERN)));
}

//
#[test]
fn of_both_integrities_the_better_one_counts() {
    for (sha1_right, sha256_right, code) in [(false, true, 0), (true, false, 401), (true, true, 0)] {
        let mut world = World::new();
        let answer = by_hand(&mut world, |alice, message| {
            let key = alice.key();
            put_name(alice, message);
            message.sign_sha1(if sha1_right { &key } else { b"wrong" }).sign_sha256(if sha256_right {
                &key
            } else {
                b"wrong"
            });
        });
        assert_eq!(answer.code(), code);
    }
}

// A-054 A-055
#[test]
fn integrity_of_another_length_is_a_challenge() {
    for (kind, lengths) in [
        (AttributeType::MESSAGE_INTEGRITY, [0, 16, 24, 32]),
        (AttributeType::MESSAGE_INTEGRITY_SHA256, [0, 16, 28, 36]),
    ] {
        for length in lengths {
            let mut world = World::new();
            let answer = by_hand(&mut world, |alice, message| {
                put_name(alice, message);
                message.put(kind, &vec![0; length]);
            });
            assert_challenge(&answer, 401);
        }
    }
}

// A-076 A-077 A-088 H-034 H-039
#[test]
fn whatever_is_wrong_about_a_login_the_answer_is_the_same() {
    let mut world = World::new();
    world.set_wall_clock(7200);
    let mut wrong_password = Client::alice();
    wrong_password.password = "guess".into();
    let unknown = Client::new("mallory", "192.0.2.1:4000");
    let expired = Client::new(NAMES[3], "192.0.2.1:4000");
    let mut wrong_realm = Client::alice();
    wrong_realm.realm = b"example.com".to_vec();
    let unknown_hash = unknown.clone().signing(Signing::Hashed);
    let mut not_text = Client::alice();
    not_text.name = "a".repeat(600);
    let mut answers: Vec<Vec<u8>> = Vec::new();
    for mut client in [wrong_password, unknown, expired, wrong_realm, unknown_hash, not_text] {
        client.greet(&mut world);
        let bytes = client.sign_as(&Request::allocate(), ID);
        let answer = client.ask(&mut world, &bytes);
        assert_challenge(&answer, 401);
        answers.push(answer.bytes);
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "byte by byte");
    // The operator is told.
    let [password, user, expired, realm] =
        [LoginFault::Password, LoginFault::User, LoginFault::Expired, LoginFault::Realm];
    assert_eq!(world.faults, [password, user, expired, realm, user, user]);
    world.assert_empty();
}

//
#[test]
fn the_right_key_under_another_realm_is_a_challenge() {
    let mut world = World::new();
    let answer = by_hand(&mut world, |alice, message| {
        message
            .put(AttributeType::USERNAME, alice.name.as_bytes())
            .put(AttributeType::REALM, b"example.com")
            .put(AttributeType::NONCE, &alice.nonce)
            .sign_sha1(&alice.key());
    });
    assert_challenge(&answer, 401);
}

//
#[test]
fn a_user_name_may_be_long_or_no_text_at_all() {
    let cases: [(&[u8], u16); 4] =
        [(&[b'a'; 508], 401), (&[b'a'; 763], 401), (&[b'a'; 764], 400), (&[0xFF, 0xFE], 401)];
    for (name, code) in cases {
        let mut world = World::new();
        let answer = by_hand(&mut world, |alice, message| {
            message
                .put(AttributeType::USERNAME, name)
                .put(AttributeType::REALM, REALM.as_bytes())
                .put(AttributeType::NONCE, &alice.nonce)
                .sign_sha1(&alice.key());
        });
        assert_eq!(answer.code(), code, "{} bytes", name.len());
    }
}

//
#[test]
fn a_name_comes_in_one_form_and_a_hash_has_32_bytes() {
    let hash = floe::wire::integrity::userhash("alice", REALM);
    for (with_name, hash) in [(true, &hash[..]), (false, &hash[..31]), (false, &[])] {
        let mut world = World::new();
        let answer = by_hand(&mut world, |alice, message| {
            if with_name {
                message.put(AttributeType::USERNAME, b"alice");
            }
            message
                .put(AttributeType::USERHASH, hash)
                .put(AttributeType::REALM, REALM.as_bytes())
                .put(AttributeType::NONCE, &alice.nonce)
                .sign_sha1(&alice.key());
        });
        assert_eq!(answer.code(), 400);
    }
}

// A-051 A-052
#[test]
fn what_stands_behind_the_integrity_does_not_count() {
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.allocate(&mut world);
    let behind = |bytes: &mut Vec<u8>, kind: AttributeType, value: &[u8]| {
        bytes.extend_from_slice(&kind.0.to_be_bytes());
        bytes.extend_from_slice(&(value.len() as u16).to_be_bytes());
        bytes.extend_from_slice(value);
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
    };
    for signing in [Signing::Legacy, MODERN] {
        alice.signing = signing;
        let mut delete = alice.sign(&Request::refresh());
        behind(&mut delete, AttributeType::LIFETIME, &[0; 4]);
        behind(&mut delete, AttributeType(0x7FFE), &[]);
        let answer = alice.ask(&mut world, &delete);
        assert_eq!((answer.code(), answer.lifetime(), world.live()), (0, 600, 1));
    }
}

//
#[test]
fn an_indication_needs_no_integrity_and_a_wrong_one_does_no_harm() {
    let mut world = World::new();
    let mut alice = Client::alice();
    let peer = addr("203.0.113.1:9");
    let relayed = alice.allocate(&mut world);
    alice.permit(&mut world, &[peer]);
    let send = Request::send(peer, b"hello").with(AttributeType::MESSAGE_INTEGRITY, &[0; 20]);
    assert_eq!(alice.raw(&mut world, &send.unsigned(ID)), Sent::ToPeer(relayed, peer, b"hello".into()));
}

// A-040 B-008
#[test]
fn a_fingerprint_is_answered_with_one() {
    let mut world = World::new();
    for with in [false, true] {
        let answer = by_hand(&mut world, |_, message| {
            if with {
                message.put_fingerprint();
            }
        });
        assert_eq!(answer.message().has_fingerprint(), with);
    }
}

// H-018 H-020 H-021 H-036
#[test]
fn over_its_limits_an_unknown_source_gets_silence_and_a_known_one_its_answer() {
    let silence = Sent::Dropped(DropReason::Throttled);
    let mut world = World::new();
    let mut alice = Client::alice();
    alice.greet(&mut world);
    let mut wrong = alice.clone();
    wrong.password = "guess".into();
    let (wrong, right) = (wrong.sign(&Request::allocate()), alice.sign(&Request::allocate()));
    world.throttle.no_more_logins.store(true, Relaxed);
    assert_eq!(alice.raw(&mut world, &wrong), silence);
    assert_eq!(alice.ask(&mut world, &right).code(), 0);
    world.throttle.no_answers.store(true, Relaxed);
    for request in [Request::allocate(), Request::new(Method::BINDING)] {
        assert_eq!(alice.raw(&mut world, &request.unsigned(ID)), silence);
    }
    let stale = Client { nonce: b"stale".to_vec(), ..alice.clone() }.sign(&Request::refresh());
    assert_eq!(alice.raw(&mut world, &stale), silence);
    assert_eq!(alice.refresh(&mut world, 600).code(), 0);
    // A stream proves its source by itself.
    let tcp = alice.clone().over_tcp();
    assert_eq!(tcp.ask(&mut world, &Request::allocate().unsigned(ID)).code(), 401);
}

// H-017
#[test]
fn an_unauthenticated_answer_is_small() {
    let mut setup = Setup::default();
    setup.settings.realm = "floe".into();
    let mut world = World::with(setup);
    let alice = Client::alice();
    let allocate = Request::allocate().unsigned(ID);
    let answer = alice.ask(&mut world, &allocate);
    assert!(answer.bytes.len() * 2 <= allocate.len() * 7, "{} bytes", answer.bytes.len());
    let binding = Request::new(Method::BINDING).unsigned(ID);
    assert_eq!((binding.len(), alice.ask(&mut world, &binding).bytes.len()), (20, 32));
}
