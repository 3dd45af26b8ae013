//! Any bytes as a request of RFC 3489, to a server that answers those: whatever is
//! answered is one answer to one request, to who asked, and no longer than it may be.
#![cfg_attr(fuzzing, no_main)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(fuzzing)]
#[path = "../../tests/engine/client.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod client;
#[cfg(fuzzing)]
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code)] // the engine's tests use the rest
mod world;

use floe::wire::HEADER_LENGTH;
use floe::wire::classic::ClassicRequest;

use crate::client::Client;
use crate::world::{Sent, Setup, World};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// A header and two addresses of IPv6, or an error and eight attribute types.
const LONGEST_ANSWER: usize = HEADER_LENGTH + 2 * 24;

pub(crate) fn check(data: &[u8]) {
    let request = ClassicRequest::parse(data);
    if let Some(request) = &request {
        check_request(data, request);
    }
    let mut setup = Setup::default();
    setup.settings.classic = true;
    let mut world = World::with(setup);
    let alice = Client::alice();
    let sent = alice.raw(&mut world, data);
    match (request, sent) {
        (Some(request), Sent::Reply(to, answer)) => {
            assert_eq!(to, alice.path.five_tuple);
            assert!(answer.len() <= LONGEST_ANSWER, "{} bytes", answer.len());
            assert!(answer[..2] == [1, 1] || answer[..2] == [1, 0x11], "a response to Binding");
            assert_eq!(answer[4..HEADER_LENGTH], request.id());
            let length = usize::from(u16::from_be_bytes([answer[2], answer[3]]));
            assert_eq!(HEADER_LENGTH + length, answer.len());
        }
        (Some(_), other) => panic!("a request without an answer: {other:?}"),
        (None, Sent::Reply(..) | Sent::Nothing | Sent::Dropped(_)) => {}
        (None, other) => panic!("{other:?}"),
    }
    // Streams came after RFC 3489.
    let over_tcp = Client::alice().over_tcp();
    assert!(request.is_none() || over_tcp.raw(&mut world, data).is_dropped());
    world.assert_empty();
}

/// Its attributes lie one behind the other to its end.
fn check_request(data: &[u8], request: &ClassicRequest<'_>) {
    assert_eq!(data[..2], [0, 1]);
    assert_eq!(request.id(), data[4..HEADER_LENGTH]);
    let mut end = HEADER_LENGTH;
    for (kind, value) in request.attributes() {
        assert_eq!(data[end..end + 2], kind.0.to_be_bytes());
        assert_eq!(data[end + 4..end + 4 + value.len()], *value);
        end += 4 + value.len();
        assert!(request.get(kind).is_some());
    }
    assert_eq!(end, data.len());
}
