//! What one address could do to the others without logging in (H4).

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::{PATIENCE, Request, Server};

fn requests(request: impl Fn() -> Request, count: usize) -> Vec<u8> {
    (0..count).flat_map(|_| request().bytes()).collect()
}

// H-042
// Answers to one read are queued and written only after its last frame, so that
// they outgrow the queue before the first of them is offered to the socket.
#[test]
fn a_client_that_reads_is_not_closed_for_pipelining() {
    let server = Server::start(|_| {});
    let stream = TcpStream::connect(server.tcp()).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let all = requests(Request::allocate, 6000);
        let _ = writer.write_all(&all);
        writer
    });
    let mut reader = stream;
    reader.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut got, mut buffer) = (0, [0; 65_536]);
    while got < 6000 * 80 {
        match reader.read(&mut buffer) {
            Ok(0) => panic!("closed after {got} bytes"),
            Ok(count) => got += count,
            Err(error) => panic!("{error} after {got} bytes"),
        }
    }
    drop(writing.join());
}

// Without a login: requests, and none of the answers read. The server stops
// reading, so that neither it nor the kernel holds megabytes for a stranger.
// H-042 H-043
#[test]
fn a_stranger_who_does_not_read_is_not_read_from() {
    let server = Server::start(|_| {});
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.set_send_buffer_size(16 * 1024).unwrap();
    socket.connect(&server.tcp().into()).unwrap();
    let mut stream: TcpStream = socket.into();
    stream.set_nonblocking(true).unwrap();
    let all = requests(Request::binding, 500);
    let (mut sent, mut idle) = (0, 0);
    // Bounded: a server that goes on reading takes it all.
    while sent < 8_000_000 && idle < 50 {
        match stream.write(&all) {
            Ok(count) => (sent, idle) = (sent + count, 0),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                idle += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
    let answered = server.metric("floe_success_responses_total", &["binding"]);
    assert!(answered < 20_000.0, "{answered} answers to {sent} bytes of requests");
}

// H-042 H-067
// 512 connections that ask nothing, from one address, and nobody sees whether
// the server lives; an orchestrator ends it for that.
#[test]
fn health_answers_while_idle_connections_hold_every_place() {
    let server = Server::start(|_| {});
    let mut held = Vec::new();
    for _ in 0..512 {
        let mut stream = TcpStream::connect(server.admin()).unwrap();
        stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n").unwrap();
        held.push(stream);
        std::thread::sleep(Duration::from_millis(2));
    }
    let mut stream = TcpStream::connect(server.admin()).unwrap();
    // Sooner than the idle ones have to go.
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).expect("an answer in time");
    assert_eq!(&answer, b"HTTP/1.1 200");
}
