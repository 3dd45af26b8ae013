//! Connections that say nothing, or never finish what they say: each is closed
//! after its bound, and none that behaves is.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::bystander::{Bystander, alongside};
use crate::process::{Memory, descriptors};
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, Request, Server, own_address};

/// Of each kind.
const CONNECTIONS: usize = 100;

/// What a loaded machine may add to a deadline.
const LATE: Duration = Duration::from_secs(5);

/// KiB: what 300 connections take, the tasks and what they have sent, and 1 MiB
/// for what else happens.
const GROWTH: usize = 300 * 8 + 1024;

/// How long until the server closes each, counted from the call; `feed` is asked
/// for more bytes several times a second.
fn lifetimes(
    streams: &mut [TcpStream],
    bound: Duration,
    mut feed: impl FnMut(usize) -> Option<u8>,
) -> Vec<Duration> {
    let start = Instant::now();
    let mut ends: Vec<Option<Duration>> = vec![None; streams.len()];
    for stream in &*streams {
        stream.set_nonblocking(true).expect("O_NONBLOCK");
    }
    while ends.iter().any(Option::is_none) {
        assert!(start.elapsed() < bound + LATE, "still open after {:?}", start.elapsed());
        for (at, stream) in streams.iter_mut().enumerate() {
            if ends[at].is_some() {
                continue;
            }
            if let Some(byte) = feed(at) {
                // The server may have closed it a moment ago.
                let _ = stream.write(&[byte]);
            }
            match stream.read(&mut [0; 64]) {
                Ok(0) => ends[at] = Some(start.elapsed()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => ends[at] = Some(start.elapsed()),
                other => panic!("the server should be silent: {other:?}"),
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    ends.into_iter().flatten().collect()
}

fn assert_all_about(ends: &[Duration], bound: Duration) {
    let (first, last) = (ends.iter().min().expect("one"), ends.iter().max().expect("one"));
    println!("closed after {first:?} to {last:?}");
    // Opening them took a moment, and the server's count began before ours.
    assert!(*first > bound - Duration::from_secs(2), "closed after {first:?}, bound {bound:?}");
}

// H-042
#[test]
fn without_a_first_message() {
    let other = own_address();
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, other);
    let connect = || TcpStream::connect(server.tcp()).expect("connected");
    // Warm: the tables of connections are at their size.
    drop((0..3 * CONNECTIONS).map(|_| connect()).collect::<Vec<_>>());
    server.wait_until("they are gone", || server.metric("floe_tcp_connections", &[]) == 1.0);
    let (memory, before) = (Memory::of(&server), descriptors(&server));

    // The first third is silent, the second stops in the middle of a message,
    // the third goes on at a byte a turn and would need minutes.
    let mut streams: Vec<_> = (0..3 * CONNECTIONS).map(|_| connect()).collect();
    let request = Request::allocate().bytes();
    let long = channel_message(0x4000, &[7; 1500]);
    for stream in &mut streams[CONNECTIONS..2 * CONNECTIONS] {
        stream.write_all(&request[..request.len() - 1]).expect("written");
    }
    let mut sent = vec![0; streams.len()];
    let feed = |at: usize| {
        let byte = (at >= 2 * CONNECTIONS).then(|| long[sent[at]]);
        sent[at] += 1;
        byte
    };
    let bound = Duration::from_secs(10);
    let (ends, _) = alongside(&mut bystanders, || lifetimes(&mut streams, bound, feed));
    assert_all_about(&ends, bound);
    memory.assert_grown("connections without a message", GROWTH);
    drop(streams);
    server.wait_until("descriptors are back", || server.descriptors() == before);
    assert_eq!(server.metric("floe_tcp_connections_refused_total", &[]), ends.len() as f64);
}

/// A message, then the front of another: 30 s, with an allocation too.
// H-042
#[test]
#[ignore = "slow"]
fn in_the_middle_of_a_later_message() {
    let server = Server::start(|_| {});
    let mut clients: Vec<_> = (0..2 * CONNECTIONS).map(|_| Client::tcp(&server).user(ALICE)).collect();
    let (plain, allocated) = clients.split_at_mut(CONNECTIONS);
    plain.iter_mut().for_each(|client| _ = client.ping());
    allocated.iter_mut().for_each(|client| _ = client.allocate());
    clients.iter_mut().for_each(|client| client.send(&Request::binding().bytes()[..19]));
    let mut streams: Vec<_> =
        clients.iter().map(|client| client.stream().try_clone().expect("a handle")).collect();
    let bound = Duration::from_secs(30);
    assert_all_about(&lifetimes(&mut streams, bound, |_| None), bound);
    assert_eq!(server.metric("floe_allocations", &[]), 0.0);
}

/// Idle: 60 s without an allocation; with one, as long as it lives.
// H-042
#[test]
#[ignore = "slow"]
fn idle() {
    let server = Server::start(|_| {});
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::tcp(&server)).collect();
    clients.iter_mut().for_each(|client| _ = client.ping());
    let mut allocated = Client::tcp(&server).user(ALICE);
    allocated.allocate();
    let mut streams: Vec<_> =
        clients.iter().map(|client| client.stream().try_clone().expect("a handle")).collect();
    let bound = Duration::from_secs(60);
    assert_all_about(&lifetimes(&mut streams, bound, |_| None), bound);
    allocated.call(Request::refresh(600)).ok();
    // Its own minute begins when it has let go of it.
    allocated.call(Request::refresh(0)).ok();
    let stream = allocated.stream().try_clone().expect("a handle");
    assert_all_about(&lifetimes(&mut [stream], bound, |_| None), bound);
}
