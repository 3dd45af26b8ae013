use std::time::Duration;

use super::*;
use crate::wire::ErrorCode;
use crate::wire::integrity::{LongTermKeys, PasswordAlgorithm, userhash};

const REALM: &str = "example.org";
const PEER: &str = "192.0.2.7:4000";
const MODERN: &str = "obMatJos2gAAAfresh";
const ANONYMOUS: &str = "obMatJos2wAAAfresh";

fn credentials() -> Credentials {
    Credentials { username: "alice".into(), password: "secret".into() }
}

fn keys() -> LongTermKeys {
    LongTermKeys::derive("alice", REALM, "secret")
}

fn client(timing: Timing) -> Client {
    Client::new(timing, Some(credentials()), Scheme::AsOffered)
}

fn sent(client: &mut Client) -> Vec<u8> {
    let bytes = client.transmit().expect("a message to send");
    assert!(client.transmit().is_none(), "one");
    bytes
}

/// An answer to `request` with what `fill` puts in it.
fn answer(request: &[u8], class: Class, fill: impl FnOnce(&mut MessageWriter<'_>)) -> Vec<u8> {
    let request = Message::parse(request).unwrap();
    let mut out = Vec::new();
    fill(&mut MessageWriter::new(&mut out, class, request.method(), request.transaction_id()));
    out
}

fn challenge(request: &[u8], code: ErrorCode, nonce: &str, algorithms: &[u8]) -> Vec<u8> {
    answer(request, Class::Error, |message| {
        message.put_error(code, "").put(AttributeType::REALM, REALM.as_bytes());
        message.put(AttributeType::NONCE, nonce.as_bytes());
        if !algorithms.is_empty() {
            message.put(AttributeType::PASSWORD_ALGORITHMS, algorithms);
        }
    })
}

fn answered(client: &mut Client, now: Instant, bytes: &[u8]) -> Result<Response, Failure> {
    match client.receive(now, bytes) {
        Event::Answer(_, outcome) => outcome,
        other => panic!("{other:?}"),
    }
}

fn ignored(client: &mut Client, now: Instant, bytes: &[u8]) {
    assert!(matches!(client.receive(now, bytes), Event::Nothing));
}

/// Asks for an allocation and is challenged; the signed request.
fn challenged(client: &mut Client, now: Instant, nonce: &str, algorithms: &[u8]) -> Vec<u8> {
    client.ask(now, Request::allocate());
    let first = sent(client);
    let unsigned = Message::parse(&first).unwrap();
    assert!(!unsigned.has_sha1() && !unsigned.has_sha256() && !unsigned.has(AttributeType::USERNAME));
    ignored(client, now, &challenge(&first, ErrorCode::UNAUTHENTICATED, nonce, algorithms));
    let second = sent(client);
    assert_ne!(first[8..20], second[8..20], "a transaction of its own");
    second
}

#[test]
fn an_old_server_gets_an_md5_key_and_a_new_one_sha256() {
    let now = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    let old = challenged(&mut client, now, "nonce", &[]);
    let message = Message::parse(&old).unwrap();
    assert!(message.verify_sha1(&keys().md5) && !message.has_sha256());
    assert_eq!(message.get(AttributeType::USERNAME), Some(&b"alice"[..]));
    assert!(!message.has(AttributeType::PASSWORD_ALGORITHM));

    let new = challenged(&mut self::client(Timing::DATAGRAM), now, MODERN, &PasswordAlgorithm::LIST);
    let message = Message::parse(&new).unwrap();
    assert!(message.verify_sha256(&keys().sha256) && !message.has_sha1());
    assert_eq!(message.get(AttributeType::PASSWORD_ALGORITHMS), Some(&PasswordAlgorithm::LIST[..]));
    assert_eq!(message.get(AttributeType::PASSWORD_ALGORITHM), Some(&[0, 2, 0, 0][..]));

    // The server prefers MD5: its key, and still the longer tag.
    let new = challenged(&mut self::client(Timing::DATAGRAM), now, MODERN, &[0, 1, 0, 0, 0, 2, 0, 0]);
    assert!(Message::parse(&new).unwrap().verify_sha256(&keys().md5));
}

#[test]
fn an_anonymous_user_is_named_by_a_hash() {
    let request =
        challenged(&mut client(Timing::DATAGRAM), Instant::now(), ANONYMOUS, &PasswordAlgorithm::LIST);
    let message = Message::parse(&request).unwrap();
    assert!(!message.has(AttributeType::USERNAME));
    assert_eq!(message.get(AttributeType::USERHASH), Some(&userhash("alice", REALM)[..]));
}

#[test]
fn a_client_of_rfc_5389_does_not_look_at_what_is_new() {
    let mut client = Client::new(Timing::DATAGRAM, Some(credentials()), Scheme::Rfc5389);
    let request = challenged(&mut client, Instant::now(), ANONYMOUS, &PasswordAlgorithm::LIST);
    let message = Message::parse(&request).unwrap();
    assert!(message.verify_sha1(&keys().md5) && message.has(AttributeType::USERNAME));
    assert!(!message.has(AttributeType::PASSWORD_ALGORITHMS));
}

#[test]
fn what_was_learned_signs_the_next_request_but_not_a_binding() {
    let now = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    let request = challenged(&mut client, now, "nonce", &[]);
    let good = answer(&request, Class::Success, |m| _ = m.sign_sha1(&keys().md5));
    answered(&mut client, now, &good).unwrap();
    client.ask(now, Request::create_permission(&[PEER.parse().unwrap()]));
    assert!(Message::parse(&sent(&mut client)).unwrap().verify_sha1(&keys().md5));
    client.ask(now, Request::binding());
    assert_eq!(sent(&mut client).len(), 20);
}

#[test]
fn challenges_that_cannot_be_answered_are_told() {
    let now = Instant::now();
    let unanswerable = |nonce, algorithms: &[u8]| {
        let mut client = client(Timing::DATAGRAM);
        client.ask(now, Request::allocate());
        let request = sent(&mut client);
        let challenge = challenge(&request, ErrorCode::UNAUTHENTICATED, nonce, algorithms);
        let outcome = answered(&mut client, now, &challenge);
        let Err(Failure::Unanswerable(why)) = outcome else { panic!("{outcome:?}") };
        assert!(client.next_timeout().is_none(), "nothing is retried");
        why
    };
    assert_eq!(unanswerable(MODERN, &[]), Unanswerable::BidDown);
    assert_eq!(unanswerable(MODERN, &[0, 9, 0, 0]), Unanswerable::UnknownAlgorithms);

    let mut client = client(Timing::DATAGRAM);
    client.ask(now, Request::allocate());
    let request = sent(&mut client);
    let bare = answer(&request, Class::Error, |m| _ = m.put_error(ErrorCode::UNAUTHENTICATED, ""));
    let outcome = answered(&mut client, now, &bare);
    assert!(matches!(outcome, Err(Failure::Unanswerable(Unanswerable::Incomplete))), "{outcome:?}");
}

#[test]
fn a_wrong_password_is_said_once_and_not_tried_again() {
    let now = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    let request = challenged(&mut client, now, "nonce", &[]);
    let outcome =
        answered(&mut client, now, &challenge(&request, ErrorCode::UNAUTHENTICATED, "another", &[]));
    assert_eq!(outcome.as_ref().unwrap_err().code(), Some(401));
    assert!(outcome.unwrap_err().to_string().starts_with("401 Unauthenticated to Allocate: wrong username"));
    assert!(client.transmit().is_none());
}

#[test]
fn without_credentials_the_challenge_is_the_answer() {
    let now = Instant::now();
    let mut client = Client::new(Timing::DATAGRAM, None, Scheme::AsOffered);
    client.ask(now, Request::allocate());
    let request = sent(&mut client);
    let outcome = answered(&mut client, now, &challenge(&request, ErrorCode::UNAUTHENTICATED, "n", &[]));
    let Err(Failure::Refused { refusal, response }) = outcome else { panic!("{outcome:?}") };
    assert_eq!((refusal.code, response.text(AttributeType::REALM).as_deref()), (401, Some(REALM)));
}

#[test]
fn a_stale_nonce_is_replaced_but_not_for_ever() {
    let now = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    let mut request = challenged(&mut client, now, "nonce", &[]);
    for fresh in ["one", "two", "three"] {
        ignored(&mut client, now, &challenge(&request, ErrorCode::STALE_NONCE, fresh, &[]));
        request = sent(&mut client);
        let message = Message::parse(&request).unwrap();
        assert_eq!(message.get(AttributeType::NONCE), Some(fresh.as_bytes()));
    }
    let outcome = answered(&mut client, now, &challenge(&request, ErrorCode::STALE_NONCE, "four", &[]));
    assert_eq!(outcome.unwrap_err().code(), Some(438));
}

// RFC 8489 §6.2.1: at 0, 500, 1,500, 3,500, 7,500, 15,500 and 31,500 ms, and
// given up at 39,500 ms.
#[test]
fn copies_go_out_at_the_times_of_the_rfc() {
    let start = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    let asked = client.ask(start, Request::binding());
    let first = sent(&mut client);
    let mut times = vec![0];
    let over = loop {
        let due = client.next_timeout().unwrap();
        match client.expire(due) {
            None => {
                assert_eq!(sent(&mut client), first, "the same, byte for byte");
                times.push((due - start).as_millis());
            }
            Some((id, failure)) => {
                assert_eq!(id, asked);
                assert!(matches!(failure, Failure::Silent { sent: 7, .. }), "{failure:?}");
                break due - start;
            }
        }
    };
    assert_eq!(times, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
    assert_eq!(over, Duration::from_millis(39_500));
    assert!(client.next_timeout().is_none());
}

#[test]
fn nothing_is_repeated_on_a_stream_and_patience_may_be_short() {
    let start = Instant::now();
    for (timing, copies) in [(Timing::STREAM, 0), (Timing::DATAGRAM, 1)] {
        let mut client = client(timing.within(Duration::from_secs(1)));
        client.ask(start, Request::binding());
        sent(&mut client);
        for _ in 0..copies {
            assert!(client.expire(start + Duration::from_millis(500)).is_none());
            sent(&mut client);
        }
        assert!(client.expire(start + Duration::from_millis(999)).is_none());
        assert_eq!(client.next_timeout(), Some(start + Duration::from_secs(1)));
        assert!(client.expire(start + Duration::from_secs(1)).is_some());
    }
}

#[test]
fn an_answer_that_is_not_signed_is_not_believed() {
    let now = Instant::now();
    let forged = |request: &[u8]| answer(request, Class::Success, |m| _ = m.sign_sha1(b"guess"));
    let bad_request =
        |request: &[u8]| answer(request, Class::Error, |m| _ = m.put_error(ErrorCode::BAD_REQUEST, ""));

    // Over UDP the right one may still come.
    let mut client = client(Timing::DATAGRAM);
    let request = challenged(&mut client, now, "nonce", &[]);
    ignored(&mut client, now, &forged(&request));
    ignored(&mut client, now, &bad_request(&request));
    let good = answer(&request, Class::Success, |m| _ = m.sign_sha1(&keys().md5));
    answered(&mut client, now, &good).unwrap();

    // When it doesn't, that is what is told.
    let request = challenged(&mut self::client(Timing::STREAM), now, "nonce", &[]);
    let mut client = self::client(Timing::DATAGRAM.within(Duration::from_millis(100)));
    let asked = challenged(&mut client, now, "nonce", &[]);
    ignored(&mut client, now, &bad_request(&asked));
    let (_, failure) = client.expire(now + Duration::from_millis(100)).unwrap();
    assert!(matches!(failure, Failure::Unsigned { .. }), "{failure:?}");
    assert_eq!(failure.code(), Some(400));
    assert_eq!(failure.to_string(), "the answer to Allocate (400) is not signed with these credentials");
    ignored(&mut client, now, &bad_request(&request));

    // Over a stream none other will come.
    let mut client = self::client(Timing::STREAM);
    let request = challenged(&mut client, now, "nonce", &[]);
    let outcome = answered(&mut client, now, &forged(&request));
    assert!(matches!(outcome, Err(Failure::Unsigned { refusal: None, .. })), "{outcome:?}");
}

#[test]
fn answers_to_nothing_are_nothing() {
    let now = Instant::now();
    let mut client = client(Timing::DATAGRAM);
    client.ask(now, Request::binding());
    let request = sent(&mut client);
    let mut strange = answer(&request, Class::Success, |_| ());
    strange[19] ^= 1;
    let mut other_method = answer(&request, Class::Success, |_| ());
    other_method[1] |= 0x02;
    for bytes in [&strange[..], &other_method, &request, b"", b"\xffRTP", &[0x40, 0, 0, 9, 1], &request[..19]]
    {
        ignored(&mut client, now, bytes);
    }
    let mapped: SocketAddr = "203.0.113.9:1234".parse().unwrap();
    let put = |m: &mut MessageWriter<'_>| _ = m.put_xor_address(AttributeType::XOR_MAPPED_ADDRESS, mapped);
    let response = answered(&mut client, now, &answer(&request, Class::Success, put)).unwrap();
    assert_eq!((response.mapped(), response.sent), (Some(mapped), 1));
}

#[test]
fn payloads_come_out_with_who_sent_them() {
    let mut client = client(Timing::DATAGRAM);
    let (now, peer) = (Instant::now(), PEER.parse().unwrap());
    let mut bytes = Vec::new();
    send_indication(&mut bytes, peer, b"hello");
    // A Data indication is a Send indication of the other method.
    bytes[1] = 0x17;
    match client.receive(now, &bytes) {
        Event::Data { peer: from, payload } => assert_eq!((from, payload), (peer, &b"hello"[..])),
        other => panic!("{other:?}"),
    }
    let mut bytes = Vec::new();
    channel_data(&mut bytes, ChannelNumber(0x4001), b"hello");
    assert_eq!(bytes, b"\x40\x01\x00\x05hello\0\0\0");
    match client.receive(now, &bytes) {
        Event::ChannelData { channel, payload } => {
            assert_eq!((channel, payload), (ChannelNumber(0x4001), &b"hello"[..]));
        }
        other => panic!("{other:?}"),
    }
    let mut bytes = Vec::new();
    MessageWriter::new(&mut bytes, Class::Indication, Method::CONNECTION_ATTEMPT, TransactionId::default());
    assert!(matches!(client.receive(now, &bytes), Event::Indication(_)));
}
