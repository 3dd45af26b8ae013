//! Which packets are STUN at all (RFC 8489 §5, §6.3): what is not is dropped
//! without a word.

use floe::wire::{AttributeType, Class, HEADER_LENGTH, Method};

use crate::support::reply::raw_attributes;
use crate::support::request::{append, set_length};
use crate::support::{Client, Request, Server};

/// RFC 8489 Appendix B.1 as printed: its header claims 20 bytes too many.
const B1_AS_PRINTED: &str = "0001009c2112a44278ad3433c6ad72c029da412e001e00204a3cf38fef6992bda952c6780417da0f\
    24819415569e60b205c46e41407f1704001500296f624d61744a6f733241414143662f2f3439396b39353464364f4c33346f4c3946\
    53547679363473410000000014000b6578616d706c652e6f726700001c0020e4686c8f0edeb59013e07090010a93efccbccc544c0a\
    45d9f830aa6d6f735a01";

/// RFC 5769 §2.1: an ICE connectivity check.
const ICE_CHECK: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e7400\
    2400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3\
    f249c1b571a280280004e57a3bcf";

fn hex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

//
#[test]
fn the_first_two_bits_are_zero() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for bits in [0x40, 0x80, 0xC0] {
        let mut binding = Request::binding().bytes();
        binding[0] |= bits;
        client.expect_silence(&binding);
    }
}

// A-002 A-005
#[test]
fn the_cookie_is_there() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for request in [Request::binding(), Request::allocate()] {
        let mut classic = request.bytes();
        classic[4..8].copy_from_slice(&[0x21, 0x12, 0xA4, 0x43]);
        client.expect_silence(&classic);
    }
}

//
#[test]
fn the_length_is_a_multiple_of_four() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for odd in 1..4 {
        let mut binding = Request::binding().bytes();
        binding.resize(HEADER_LENGTH + odd, 0);
        set_length(&mut binding, odd);
        client.expect_silence(&binding);
    }
}

//
#[test]
fn a_truncated_message_is_dropped() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let whole = Request::allocate().bytes();
    for length in 0..whole.len() {
        client.expect_silence(&whole[..length]);
    }
    client.expect_silence(&hex(B1_AS_PRINTED));
}

//
#[test]
fn a_datagram_is_one_message() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let binding = Request::binding().bytes();
    for trailing in [vec![0], vec![0; 4], binding.clone()] {
        client.expect_silence(&[binding.as_slice(), &trailing].concat());
    }
}

//
#[test]
fn an_unknown_method_is_dropped() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for method in [0x000, 0x002, 0x005, 0x0FE, 0xFFF] {
        client.expect_silence(&Request::new(Method::new(method)).bytes());
    }
}

//
#[test]
fn a_method_of_another_class_is_dropped() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let connection_attempt = Method::new(0x00C);
    for request in [Method::SEND, Method::DATA, connection_attempt] {
        client.expect_silence(&Request::new(request).bytes());
    }
    for indication in [
        Method::ALLOCATE,
        Method::REFRESH,
        Method::DATA,
        Method::CREATE_PERMISSION,
        Method::CHANNEL_BIND,
        connection_attempt,
    ] {
        client.expect_silence(&Request::new(indication).class(Class::Indication).bytes());
    }
}

//
#[test]
fn a_response_is_not_answered() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for method in [Method::BINDING, Method::ALLOCATE, Method::SEND] {
        for class in [Class::Success, Class::Error] {
            client.expect_silence(&Request::new(method).class(class).bytes());
        }
    }
}

//
#[test]
fn other_protocols_are_dropped() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    for first in (0x04..=0x13).chain(0x40..=0xFF) {
        let mut packet = Request::binding().bytes();
        packet[0] = first;
        client.expect_silence(&packet);
    }
    assert!(server.log().lines().count() < 50, "one packet, one line would be a flood:\n{}", server.log());
}

//
#[test]
fn an_ice_check_is_refused_for_what_is_unknown_in_it() {
    let server = Server::start(|_| {});
    let reply = Client::udp(&server).ask_bytes(&hex(ICE_CHECK));
    assert_eq!(reply.code(), 420);
    assert_eq!(reply.get(AttributeType::UNKNOWN_ATTRIBUTES), Some(&[0x00, 0x24][..]));
}

//
#[test]
fn a_wrong_fingerprint_or_what_follows_it_is_dropped() {
    let server = Server::start(|_| {});
    let mut client = Client::udp(&server);
    let right = Request::binding().fingerprint().bytes();
    assert_eq!(raw_attributes(&client.ask_bytes(&right).ok().bytes).len(), 2);

    let mut wrong = right.clone();
    *wrong.last_mut().unwrap() ^= 1;
    client.expect_silence(&wrong);

    let mut followed = Request::binding().fingerprint().bytes();
    append(&mut followed, AttributeType::SOFTWARE, b"late");
    client.expect_silence(&followed);
}
