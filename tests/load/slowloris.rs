//! Connections that say nothing, or never finish what they say: each is closed
//! after its bound, and none that behaves is.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use crate::bystander::{Bystander, alongside};
use crate::process::{Memory, descriptors};
use crate::support::client::channel_message;
use crate::support::{ALICE, Client, PATIENCE, Request, Server, own_address};

/// Of each kind.
const CONNECTIONS: usize = 100;

/// What a loaded machine may add to a deadline.
const LATE: Duration = PATIENCE;

/// KiB: what 300 connections take, the tasks and what they have sent, and 1 MiB
/// for what else happens.
const GROWTH: usize = 300 * 8 + 1024;

/// A connection, and when this side last had a part in its deadline: before the
/// server could know.
struct Silent(Instant, TcpStream);

impl Silent {
    fn open(server: &Server) -> Self {
        Self(Instant::now(), TcpStream::connect(server.tcp()).expect("connected"))
    }

    /// What this client does last before it says nothing more.
    fn after(client: &mut Client, last: impl FnOnce(&mut Client)) -> Self {
        let now = Instant::now();
        last(client);
        Self(now, client.stream().try_clone().expect("a handle"))
    }
}

/// The server closes each when so long has gone by for it, and none sooner;
/// `feed` is asked for more bytes several times a second.
fn expect_ends(mut silent: Vec<Silent>, bound: Duration, mut feed: impl FnMut(usize) -> Option<u8>) {
    let start = Instant::now();
    let mut ends: Vec<Option<Duration>> = vec![None; silent.len()];
    for Silent(_, stream) in &silent {
        stream.set_nonblocking(true).expect("O_NONBLOCK");
    }
    while ends.iter().any(Option::is_none) {
        assert!(start.elapsed() < bound + LATE, "still open after {:?}", start.elapsed());
        for (at, Silent(begun, stream)) in silent.iter_mut().enumerate() {
            if ends[at].is_some() {
                continue;
            }
            if let Some(byte) = feed(at) {
                // The server may have closed it a moment ago.
                let _ = stream.write(&[byte]);
            }
            match stream.read(&mut [0; 64]) {
                Ok(0) => ends[at] = Some(begun.elapsed()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => ends[at] = Some(begun.elapsed()),
                other => panic!("the server should be silent: {other:?}"),
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    let (first, last) = (ends.iter().min().expect("one"), ends.iter().max().expect("one"));
    println!("closed after {first:?} to {last:?}");
    assert!(*first >= Some(bound), "closed after {first:?}, bound {bound:?}");
}

// H-042
#[test]
fn without_a_first_message() {
    let other = own_address();
    let server = Server::start(|_| {});
    let mut bystanders = Bystander::some(&server, other);
    let all = || (0..3 * CONNECTIONS).map(|_| Silent::open(&server)).collect::<Vec<_>>();
    // Warm: the tables of connections are at their size.
    drop(all());
    server.expect_metric("floe_tcp_connections", &[], 1.0);
    let (memory, before) = (Memory::of(&server), descriptors(&server));

    // The first third is silent, the second stops in the middle of a message,
    // the third goes on at a byte a turn and would need minutes.
    let mut silent = all();
    let request = Request::allocate().bytes();
    let long = channel_message(0x4000, &[7; 1500]);
    for Silent(_, stream) in &mut silent[CONNECTIONS..2 * CONNECTIONS] {
        stream.write_all(&request[..request.len() - 1]).expect("written");
    }
    let mut sent = vec![0; silent.len()];
    let feed = |at: usize| {
        let byte = (at >= 2 * CONNECTIONS).then(|| long[sent[at]]);
        sent[at] += 1;
        byte
    };
    let bound = Duration::from_secs(10);
    alongside(&mut bystanders, || expect_ends(silent, bound, feed));
    memory.assert_grown("connections without a message", GROWTH);
    server.wait_until("descriptors are back", || server.descriptors() <= before);
    server.expect_metric("floe_tcp_connections_refused_total", &[], 3.0 * CONNECTIONS as f64);
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
    let stop = |client: &mut Client| client.send(&Request::binding().bytes()[..19]);
    let silent = clients.iter_mut().map(|client| Silent::after(client, stop)).collect();
    expect_ends(silent, Duration::from_secs(30), |_| None);
    server.expect_metric("floe_allocations", &[], 0.0);
}

/// Idle: 60 s without an allocation; with one, as long as it lives.
// H-042
#[test]
#[ignore = "slow"]
fn idle() {
    let server = Server::start(|_| {});
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| Client::tcp(&server)).collect();
    let ping = |client: &mut Client| _ = client.ping();
    let silent = clients.iter_mut().map(|client| Silent::after(client, ping)).collect();
    let mut allocated = Client::tcp(&server).user(ALICE);
    allocated.allocate();
    let bound = Duration::from_secs(60);
    expect_ends(silent, bound, |_| None);
    allocated.call(Request::refresh(600)).ok();
    // Its own minute begins when it has let go of it.
    let silent = Silent::after(&mut allocated, |client| _ = client.call(Request::refresh(0)).ok());
    expect_ends(vec![silent], bound, |_| None);
}
