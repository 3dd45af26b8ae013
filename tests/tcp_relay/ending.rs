//! How data connections end (RFC 6062 §5.5).

use std::net::{Shutdown, TcpStream};

use super::parties::{
    Peer, attempt, bind, connect_from, connected, control, expect_end, read, server, write,
};
use crate::support::{Client, Request, Server};

fn joined(server: &Server, control: &mut Client) -> (TcpStream, TcpStream) {
    let peer = Peer::new();
    let id = connected(control, peer.address());
    (bind(server, id), peer.accept().0)
}

fn all_gone(server: &Server) {
    server.expect_metric("floe_data_connections", &[], 0.0);
}

// C-017
#[test]
fn when_one_side_hangs_up_so_does_the_other() {
    let server = server();
    let (mut control, _) = control(&server);
    let (data, accepted) = joined(&server, &mut control);
    drop(data);
    expect_end(&accepted);
    drop(accepted);
    let (data, accepted) = joined(&server, &mut control);
    drop(accepted);
    expect_end(&data);
    drop(data);
    all_gone(&server);
}

// C-017
#[test]
fn half_a_connection_goes_on() {
    let server = server();
    let (mut control, _) = control(&server);
    for turned in [false, true] {
        let (data, accepted) = joined(&server, &mut control);
        let (one, other) = if turned { (accepted, data) } else { (data, accepted) };
        write(&one, b"question");
        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read(&other, 8), b"question");
        expect_end(&other);
        write(&other, b"a long answer");
        drop(other);
        assert_eq!(read(&one, 13), b"a long answer");
        expect_end(&one);
    }
    all_gone(&server);
}

// C-017
#[test]
fn a_reset_ends_both() {
    let server = server();
    let (mut control, _) = control(&server);
    for turned in [false, true] {
        let (data, accepted) = joined(&server, &mut control);
        let (one, other) = if turned { (accepted, data) } else { (data, accepted) };
        socket2::SockRef::from(&one).set_linger(Some(std::time::Duration::ZERO)).unwrap();
        drop(one);
        expect_end(&other);
    }
    all_gone(&server);
}

/// A joined connection, one that waits for its bind, and one of a peer's.
fn three(server: &Server, control: &mut Client, relayed: std::net::SocketAddr) -> Vec<TcpStream> {
    let (data, accepted) = joined(server, control);
    let waiting = Peer::new();
    connected(control, waiting.address());
    control.permit("127.0.0.2".parse().unwrap());
    let inbound = connect_from("127.0.0.2", relayed);
    attempt(&control.receive());
    vec![data, accepted, waiting.accept().0, inbound]
}

fn expect_all_to_end(server: &Server, streams: &[TcpStream], relayed: std::net::SocketAddr) {
    streams.iter().for_each(expect_end);
    all_gone(server);
    server.wait_until("the relay is closed", || TcpStream::connect(relayed).is_err());
}

// C-018
#[test]
fn all_end_with_the_allocation() {
    let server = server();
    let (mut control, relayed) = control(&server);
    let streams = three(&server, &mut control, relayed);
    control.call(Request::refresh(0)).ok();
    expect_all_to_end(&server, &streams, relayed);
    control.ping();
}

// C-018
#[test]
fn all_end_with_the_control_connection() {
    let server = server();
    let (mut control, relayed) = control(&server);
    let streams = three(&server, &mut control, relayed);
    drop(control);
    expect_all_to_end(&server, &streams, relayed);
}

// C-018
#[test]
fn the_close_line_counts_the_bytes() {
    let server = server();
    let (mut control, _) = control(&server);
    let (data, accepted) = joined(&server, &mut control);
    write(&data, b"12345");
    assert_eq!(read(&accepted, 5), b"12345");
    write(&accepted, b"123");
    assert_eq!(read(&data, 3), b"123");
    control.call(Request::refresh(0)).ok();
    expect_end(&data);
    server.wait_until("both lines are there", || {
        let log = server.log();
        let line = |what: &str| {
            let is = |line: &&str| line.contains(what) && line.contains("\"up_bytes\":5");
            log.lines().any(|line| is(&line) && line.contains("\"down_bytes\":3"))
        };
        line("\"data connection closed\"") && line("\"closed\"")
    });
}
