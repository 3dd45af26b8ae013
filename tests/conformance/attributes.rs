//! Attributes in general: their lengths, their padding, which of two counts,
//! and which may be unknown (RFC 8489 §6.3.1, §14).

use floe::wire::{AttributeType, Class};

use crate::support::reply::raw_attributes;
use crate::support::request::append_sha1;
use crate::support::{ALICE, BOB, Client, Peer, Request, Server};

const UNKNOWN: AttributeType = AttributeType(0x7FFE);

//
#[test]
fn an_attribute_ends_within_its_message() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let good = Request::binding().put(AttributeType::SOFTWARE, b"four").bytes();
    for length in 5..=u16::MAX {
        let mut bad = good.clone();
        bad[22..24].copy_from_slice(&length.to_be_bytes());
        client.send(&bad);
        // Now and then, so that no socket buffer overflows.
        if length % 64 == 0 {
            client.ping();
        }
    }
    client.ping();
}

//
#[test]
fn padding_may_hold_anything_and_is_signed_as_it_is() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();
    let request = login.name_on(Request::allocate()).put(AttributeType::SOFTWARE, b"a");
    let mut bytes = request.bytes();
    let end = bytes.len();
    bytes[end - 3..].copy_from_slice(b"pad");
    append_sha1(&mut bytes, &login.keys.md5);
    client.call_bytes(&bytes).ok();
}

//
#[test]
fn an_attributes_length_leaves_its_padding_out() {
    let server = Server::start(|_| {});
    let challenge = Client::udp(&server).ask(&Request::allocate());
    let attributes = raw_attributes(&challenge.bytes);
    let realm = attributes.iter().find(|a| a.kind == AttributeType::REALM).unwrap();
    assert_eq!(realm.value, crate::support::REALM.as_bytes());
    assert_eq!(realm.padding, [0; 3]);
}

//
#[test]
fn the_first_of_two_counts() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server).user(ALICE);
    let login = client.login().clone();

    let two_names = login.name_on(Request::allocate().lifetime(1200).lifetime(3600));
    let two_names = two_names.put(AttributeType::USERNAME, BOB.name.as_bytes());
    let reply = client.call_bytes(&two_names.sign_sha1(&login.keys.md5)).ok();
    assert_eq!(reply.lifetime(), 1200);

    let peer = Peer::new();
    client.call(Request::channel_bind(0x4000, peer.address()).channel(0x4001)).ok();
    client.send_channel(0x4001, b"not bound");
    client.send_channel(0x4000, b"bound");
    peer.expect(b"bound", reply.relayed());
}

//
#[test]
fn an_unknown_attribute_that_must_be_understood_is_named() {
    let server = Server::start(|_| {});
    let reply = Client::udp(&server).ask(&Request::binding().put(UNKNOWN, b"?"));
    assert_eq!(reply.code(), 420);
    assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&[0x7F, 0xFE][..]));
}

//
#[test]
fn a_list_of_three_is_padded_not_doubled() {
    let server = Server::start(|_| {});
    let kinds = [0x7FFC, 0x7FFD, 0x7FFE];
    let request = kinds.iter().fold(Request::binding(), |r, kind| r.put(AttributeType(*kind), b""));
    let reply = Client::udp(&server).ask(&request);
    let list = reply.get(AttributeType::UNKNOWN_ATTRIBUTES).unwrap();
    assert_eq!(list, [0x7F, 0xFC, 0x7F, 0xFD, 0x7F, 0xFE]);
}

//
#[test]
fn a_long_list_makes_no_long_reply() {
    let server = Server::start(|_| {});
    let kinds = 0x7000..0x7000 + 300;
    let request = kinds.fold(Request::binding(), |r, kind| r.put(AttributeType(kind), b""));
    let bytes = request.bytes();
    let reply = Client::udp(&server).ask_bytes(&bytes);
    assert_eq!(reply.code(), 420);
    assert!(reply.bytes.len() <= bytes.len());
}

//
#[test]
fn an_unknown_attribute_that_may_be_ignored_is() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for kind in [0x8005, 0xC057, 0xFF05, 0xFFFF] {
        client.ask(&Request::binding().put(AttributeType(kind), b"anything")).ok();
    }
}

/// TRANSACTION-TRANSMIT-COUNTER (RFC 7982) is one of those.
//
#[test]
fn a_transmit_counter_is_ignored_and_not_sent_back() {
    let server = Server::start(|_| {});
    let counter = AttributeType(0x8025);
    for client in [Client::udp(&server), Client::tcp(&server)] {
        let mut client = client;
        let reply = client.ask(&Request::binding().put(counter, &[0, 0, 3, 0])).ok();
        assert!(!reply.has(counter));
    }
}

//
#[test]
fn a_known_attribute_out_of_place_is_ignored() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for kind in [
        AttributeType::LIFETIME,
        AttributeType::DATA,
        AttributeType::ERROR_CODE,
        AttributeType::CHANNEL_NUMBER,
        AttributeType::XOR_PEER_ADDRESS,
        AttributeType::XOR_MAPPED_ADDRESS,
    ] {
        client.ask(&Request::binding().put(kind, b"odd")).ok();
    }
}

//
#[test]
fn an_indication_is_never_answered() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let indication = Request::binding().class(Class::Indication);
    client.expect_silence(&indication.bytes());
    client.expect_silence(&indication.put(UNKNOWN, b"").bytes());
}

// D-010
#[test]
fn nat_discovery_is_not_known_unless_it_is_on() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for (kind, value) in [
        (AttributeType::CHANGE_REQUEST, [0, 0, 0, 6].as_slice()),
        (AttributeType::PADDING, &[0; 64]),
        (AttributeType::RESPONSE_PORT, &[0x30, 0x39, 0, 0]),
    ] {
        let reply = client.ask(&Request::binding().put(kind, value));
        assert_eq!(reply.code(), 420);
        assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&kind.0.to_be_bytes()[..]));
    }
}
