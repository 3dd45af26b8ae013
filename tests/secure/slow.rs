//! Who takes too long before the first frame is let go.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use crate::one_port::answer;
use crate::support::{Authority, PATIENCE, Server};

// E-039 E-054 H-051
#[test]
fn a_handshake_or_header_that_never_ends_is_closed() {
    let authority = Authority::new();
    let secure = Server::start(|config| authority.secure(config));
    let proxied = Server::start(|config| {
        authority.secure(config);
        config.set("listen.proxy-protocol-from", vec!["127.0.0.1"]);
    });
    let start = Instant::now();
    let beginnings: [(_, &[u8]); 6] = [
        (secure.all("tls")[0], b""),
        (secure.all("tls")[0], b"\x16"),
        (secure.all("tls")[0], &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]),
        (proxied.tcp(), b""),
        (proxied.tcp(), b"PROXY TCP4 192.0.2.7"),
        (proxied.all("tls")[0], b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c"),
    ];
    let sockets = beginnings.map(|(server, bytes)| {
        let mut socket = TcpStream::connect(server).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(bytes).unwrap();
        socket
    });
    for mut socket in sockets {
        match socket.read(&mut [0; 64]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("it should be closed: {other:?}"),
        }
    }
    // The other bound is the sockets' own.
    let taken = start.elapsed();
    assert!(taken.as_secs() >= 8, "{taken:?}");
    let refused = || secure.metric("floe_tcp_connections_refused_total", &[]);
    secure.wait_until("they are counted", || refused() == 3.0);
}

// E-039
#[test]
fn a_record_longer_than_records_are_is_refused_at_once() {
    let authority = Authority::new();
    let server = Server::start(|config| authority.secure(config));
    // It has ten seconds, as whoever has come behind it had.
    let mut silent = TcpStream::connect(server.all("tls")[0]).unwrap();
    let answer = |bytes: &[u8]| answer(server.all("tls")[0], bytes);
    let record_of_64_kib = answer(&[0x16, 3, 1, 0xff, 0xff]);
    // One handshake message of 16 MiB, in records that are not.
    let record = [&[0x16, 3, 1, 0x40, 0, 1, 0xff, 0xff, 0xff][..], &[0; 0x4000 - 4]].concat();
    let message_of_16_mib = answer(&record.repeat(64));
    for answer in [record_of_64_kib, message_of_16_mib] {
        assert!(answer.len() <= 7, "an alert at most: {answer:02x?}");
    }
    silent.set_nonblocking(true).unwrap();
    assert_eq!(silent.read(&mut [0; 8]).unwrap_err().kind(), ErrorKind::WouldBlock);
}
