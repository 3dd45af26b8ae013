//! The bytes of data connections (RFC 6062 §5.4).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use super::parties::{
    Peer, Refused as _, attempt, bind, bind_with, connect_from, connected, connection_bind, control, read,
    server, write,
};
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Request};

/// Bytes that show what is missing or moved.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at % 251) as u8 ^ (at / 251) as u8).collect()
}

// C-015
#[test]
fn what_the_peer_sends_before_the_bind_comes_first() {
    let server = server();
    let (mut control, relayed) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let (accepted, _) = peer.accept();
    let early = pattern(100_000);
    write(&accepted, &early);
    let data = bind(&server, id);
    write(&accepted, b"late");
    assert_eq!(read(&data, early.len()), early);
    assert_eq!(read(&data, 4), b"late");

    // The same from a peer that speaks first, with its handshake as it were.
    control.permit("127.0.0.2".parse().unwrap());
    let inbound = connect_from("127.0.0.2", relayed);
    write(&inbound, &early);
    let (_, id) = attempt(&control.receive());
    assert_eq!(read(&bind(&server, id), early.len()), early);
}

// C-015 C-017
#[test]
fn the_last_word_of_a_peer_that_hangs_up_before_the_bind() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let (accepted, _) = peer.accept();
    write(&accepted, b"that was all");
    accepted.shutdown(Shutdown::Write).unwrap();
    let data = bind(&server, id);
    assert_eq!(read(&data, 12), b"that was all");
    super::parties::expect_end(&data);
}

// C-015
#[test]
fn bytes_right_behind_the_bind_reach_the_peer() {
    let server = server();
    let (mut control, _) = control(&server);
    for length in [1, 3, 1000, 60_000] {
        let peer = Peer::new();
        let id = connected(&mut control, peer.address());
        let behind = pattern(length);
        let data = bind_with(&server, id, &behind);
        write(&data, b"more");
        let (accepted, _) = peer.accept();
        assert_eq!(read(&accepted, length), behind);
        assert_eq!(read(&accepted, 4), b"more");
    }
}

// C-016
#[test]
fn nothing_is_parsed_any_more() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let looks_like = [
        Request::binding().bytes(),
        channel_message(0x4000, b"data"),
        connection_bind(id).bytes(),
        b"\xFF\xFFGET / HTTP/1.1\r\n".to_vec(),
        vec![0],
    ]
    .concat();
    let data = bind_with(&server, id, &looks_like);
    let (accepted, _) = peer.accept();
    assert_eq!(read(&accepted, looks_like.len()), looks_like);
    write(&data, &looks_like);
    assert_eq!(read(&accepted, looks_like.len()), looks_like);
    write(&accepted, &looks_like);
    assert_eq!(read(&data, looks_like.len()), looks_like);
    // The challenge of a message in two pieces never comes.
    write(&data, &looks_like[..7]);
    assert_eq!(read(&accepted, 7), looks_like[..7]);
}

/// Writes until nothing is taken for a while; how much that was.
fn fill(mut stream: &TcpStream, bytes: &[u8]) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream.set_write_timeout(None).unwrap();
    written
}

// C-019
#[test]
fn a_reader_that_stops_stops_the_writer_both_ways() {
    let server = server();
    let (mut control, _) = control(&server);
    let peer = Peer::new();
    let id = connected(&mut control, peer.address());
    let data = bind(&server, id);
    let (accepted, _) = peer.accept();
    let bytes = pattern(256 << 20);
    let before = server.memory();
    for (from, to) in [(&data, &accepted), (&accepted, &data)] {
        let written = fill(from, &bytes);
        assert!(written < bytes.len(), "256 MiB went nowhere");
        // The server holds little of it: one read.
        assert!(server.memory() < before + 16 * 1024, "{} KiB, {before} before", server.memory());
        // Others are served, and the other direction goes on.
        control.ping();
        write(to, b"aside");
        assert_eq!(read(from, 5), b"aside");
        // Nothing is lost of it.
        assert!(read(to, written) == bytes[..written], "the bytes differ");
    }
}

// C-019
#[test]
fn a_peer_that_sends_too_much_before_the_bind_is_closed() {
    let server = server();
    let (mut control, _) = control(&server);
    let [quiet, peer] = [(); 2].map(|()| Peer::new());
    let _waits = connected(&mut control, quiet.address());
    let id = connected(&mut control, peer.address());
    let (mut accepted, _) = peer.accept();
    // It may be closed in the middle.
    let _ = accepted.write_all(&vec![0; 32 << 20]);
    server.expect_metric("floe_data_connections", &[], 1.0);
    // Not because nobody has bound it for half a minute: so it is with this one.
    let (mut quiet, _) = quiet.accept();
    quiet.set_nonblocking(true).unwrap();
    assert_eq!(quiet.read(&mut [0; 16]).unwrap_err().kind(), ErrorKind::WouldBlock);
    Client::tcp(&server).user(ALICE).call(connection_bind(id)).refused(400);
}

// C-015 C-019
#[test]
fn many_connections_at_once_mix_up_nothing() {
    let server = server();
    let (mut control, _) = control(&server);
    let pairs: Vec<(TcpStream, TcpStream)> = (0..20)
        .map(|_| {
            let peer = Peer::new();
            let id = connected(&mut control, peer.address());
            (bind(&server, id), peer.accept().0)
        })
        .collect();
    let threads: Vec<_> = pairs
        .into_iter()
        .enumerate()
        .map(|(at, (data, accepted))| {
            std::thread::spawn(move || {
                let bytes: Vec<u8> = pattern(1 << 20).into_iter().map(|byte| byte ^ at as u8).collect();
                let (writer, expected) = (data.try_clone().unwrap(), bytes.clone());
                let writing = std::thread::spawn(move || write(&writer, &bytes));
                assert!(read(&accepted, expected.len()) == expected, "the bytes differ");
                writing.join().unwrap();
                write(&accepted, &expected);
                assert!(read(&data, expected.len()) == expected, "the bytes differ");
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    server.wait_until("all bytes are counted", || {
        ["up", "down"].iter().all(|way| {
            let labels = [format!("direction=\"{way}\"")];
            let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
            server.metric("floe_data_connection_bytes_total", &labels) == f64::from(20 << 20)
        })
    });
}
