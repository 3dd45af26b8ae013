//! Any bytes as a PROXY header: what is read is the same however it is written,
//! no part of a header is a header, and a checksum guards the addresses.
#![cfg_attr(fuzzing, no_main)]

use std::net::{IpAddr, SocketAddr};

use floe::net::proxy::{Origin, decode};

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| check(data));

/// Of version 2: signature, command, family, length.
const FIXED: usize = 16;
const CRC32C: u8 = 0x03;

pub(crate) fn check(data: &[u8]) {
    let Ok(origin) = decode(data) else { return };
    for end in 0..data.len() {
        assert!(decode(&data[..end]).is_err(), "{end} bytes are enough");
    }
    assert!(decode(&[data, b"\n"].concat()).is_err(), "what comes behind it is not the header's");
    let Origin::Client { client, server } = origin else { return };
    assert_eq!(client.is_ipv4(), server.is_ipv4());
    for written in [version_1(client, server), version_2(client, server)] {
        assert_eq!(decode(&written).ok(), Some(origin));
    }
    if data[0] != b'P' && has_checksum(data, client) {
        check_guarded(data, client);
    }
}

fn version_1(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let kind = if client.is_ipv4() { "TCP4" } else { "TCP6" };
    let line =
        format!("PROXY {kind} {} {} {} {}\r\n", client.ip(), server.ip(), client.port(), server.port());
    line.into_bytes()
}

fn version_2(client: SocketAddr, server: SocketAddr) -> Vec<u8> {
    let octets = |ip| match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let mut rest = [octets(client.ip()), octets(server.ip())].concat();
    rest.extend(client.port().to_be_bytes());
    rest.extend(server.port().to_be_bytes());
    let family = if client.is_ipv4() { 0x11 } else { 0x21 };
    [b"\r\n\r\n\0\r\nQUIT\n\x21", &[family, 0, rest.len() as u8][..], &rest].concat()
}

/// Where the addresses end.
const fn addresses_end(client: SocketAddr) -> usize {
    FIXED + if client.is_ipv4() { 12 } else { 36 }
}

fn has_checksum(data: &[u8], client: SocketAddr) -> bool {
    let mut rest = &data[addresses_end(client)..];
    while let [kind, high, low, tail @ ..] = rest {
        if *kind == CRC32C {
            return true;
        }
        rest = &tail[usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    false
}

/// One bit of an address that falls over is seen.
fn check_guarded(data: &[u8], client: SocketAddr) {
    for at in FIXED..addresses_end(client) {
        let mut wrong = data.to_vec();
        wrong[at] ^= 1 << (at % 8);
        assert!(decode(&wrong).is_err(), "byte {at} is not guarded");
    }
}
