//! Any bytes as the control messages of a datagram or of an error queue: nothing
//! behind them is read, and they say what a plain reading of them says.
#![cfg_attr(fuzzing, no_main)]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use floe::net::udp::{Beside, NetworkError, Origin};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Length, level and type of a message, as `cmsghdr` has them.
const WORD: usize = size_of::<usize>();
const HEADER: usize = WORD + 8;
/// Level and type (ip(7), ipv6(7), udp(7), socket(7)).
const PACKET_INFO: (i32, i32) = (0, 8);
const PACKET_INFO_V6: (i32, i32) = (41, 50);
const JOINED: (i32, i32) = (17, 104);
const LOST: (i32, i32) = (1, 40);
const ERROR: (i32, i32) = (0, 11);
const ERROR_V6: (i32, i32) = (41, 25);

pub(crate) fn check(data: &[u8]) {
    let messages = messages(data);
    let expected =
        Beside { to: local_address(&messages), segment: segment(&messages), drops: drops(&messages) };
    assert_eq!(Beside::decode(data), expected);
    let destination: SocketAddr = "192.0.2.1:9".parse().unwrap();
    let expected = first_error(&messages, destination);
    assert_eq!(NetworkError::decode(data, destination), expected);
}

type Message<'a> = ((i32, i32), &'a [u8]);

fn messages(mut rest: &[u8]) -> Vec<Message<'_>> {
    let mut all = Vec::new();
    while rest.len() >= HEADER {
        let length = usize::from_ne_bytes(rest[..WORD].try_into().unwrap());
        let number = |at: usize| i32::from_ne_bytes(rest[at..at + 4].try_into().unwrap());
        if length < HEADER || length > rest.len() {
            break;
        }
        all.push(((number(WORD), number(WORD + 4)), &rest[HEADER..length]));
        rest = &rest[length.next_multiple_of(WORD).min(rest.len())..];
    }
    all
}

/// The last of some kinds decides, even one that is cut short.
fn last<'a>(messages: &[Message<'a>], kinds: &[(i32, i32)]) -> Option<Message<'a>> {
    messages.iter().rev().find(|(kind, _)| kinds.contains(kind)).copied()
}

fn segment(messages: &[Message<'_>]) -> Option<u16> {
    let (_, data) = last(messages, &[JOINED])?;
    i32::from_ne_bytes(*data.first_chunk()?).try_into().ok()
}

fn drops(messages: &[Message<'_>]) -> Option<u32> {
    let (_, data) = last(messages, &[LOST])?;
    Some(u32::from_ne_bytes(*data.first_chunk()?))
}

fn local_address(messages: &[Message<'_>]) -> Option<IpAddr> {
    let (kind, data) = last(messages, &[PACKET_INFO, PACKET_INFO_V6])?;
    if kind == PACKET_INFO {
        let info: &[u8; 12] = data.first_chunk()?;
        return Some(Ipv4Addr::new(info[4], info[5], info[6], info[7]).into());
    }
    let info: &[u8; 20] = data.first_chunk()?;
    let octets: [u8; 16] = info[..16].try_into().unwrap();
    Some(Ipv6Addr::from(octets).into())
}

/// The first whole one decides.
fn first_error(messages: &[Message<'_>], destination: SocketAddr) -> Option<NetworkError> {
    let errors = messages.iter().filter(|(kind, _)| [ERROR, ERROR_V6].contains(kind));
    let error: &[u8; 16] = errors.filter_map(|(_, data)| data.first_chunk()).next()?;
    let number = |at: usize| u32::from_ne_bytes(error[at..at + 4].try_into().unwrap());
    let origin = match error[4] {
        1 => Origin::Local,
        2 => Origin::Icmp,
        3 => Origin::Icmp6,
        _ => return None,
    };
    let errno = i32::try_from(number(0)).unwrap_or(0);
    Some(NetworkError { destination, origin, kind: error[5], code: error[6], info: number(8), errno })
}
