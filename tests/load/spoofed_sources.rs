//! Allocate requests from more sources than anybody could keep in mind, as a
//! spoofed flood brings them: nothing is kept of any of them, and a client that
//! means it gets its allocation.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use floe::net::udp::{BATCH, Datagram, Options, Received, Socket};
use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::noise::seed;
use crate::process::{Memory, descriptors};
use crate::support::{ALICE, Client, PATIENCE, Request, Server};

/// Ports of each source address.
const SOCKETS: usize = 16;

/// KiB. The server keeps nothing of a source; the tables of its limits are
/// there before the first packet, but take memory when they are written to:
/// 640 KiB of answers, as much for failed logins.
const GROWTH: usize = 3 * 1024;

/// A socket that sends from any address of 127.0.0.0/8.
struct Anyone {
    socket: Socket,
    received: Received,
}

impl Anyone {
    fn new() -> Self {
        let options = Options { buffer: 1 << 20, ..Options::default() };
        let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { socket: Socket::bind(any, &options).expect("a socket"), received: Received::new() }
    }

    /// One Allocate from each of as many random sources as one call sends.
    fn send(&self, random: &mut SmallRng, server: SocketAddr) {
        let requests: Vec<_> = (0..BATCH).map(|_| Request::allocate().bytes()).collect();
        let datagrams: Vec<_> = requests
            .iter()
            .map(|request| Datagram { to: server, from: Some(anyone(random)), parts: [request, &[], &[]] })
            .collect();
        assert_eq!(self.socket.send(&datagrams).sent, BATCH);
    }

    /// Every request gets an answer. The sources are many enough that none is
    /// over its limit.
    fn expect_answers(&mut self) {
        let start = Instant::now();
        let mut count = 0;
        while count < BATCH {
            count += self.socket.recv(&mut self.received).unwrap_or_else(|_| {
                assert!(start.elapsed() < PATIENCE, "{count} answers to {BATCH} requests");
                thread::yield_now();
                0
            });
        }
        assert_eq!(count, BATCH);
    }
}

/// An address that no test binds: those end up at 127.0.0.1 and above 127.16.
fn anyone(random: &mut SmallRng) -> IpAddr {
    Ipv4Addr::new(127, random.random_range(1..=15), random.random(), random.random_range(1..=254)).into()
}

/// Allocates again and again, a new client each time, while the flood goes on.
fn allocate_meanwhile(server: &Server, over: &AtomicBool) {
    let mut times = Vec::new();
    while times.len() < 3 || !over.load(Ordering::Relaxed) {
        let start = Instant::now();
        let mut client = Client::udp(server).user(ALICE);
        client.allocate();
        times.push(start.elapsed());
        client.call(Request::refresh(0)).ok();
        thread::sleep(Duration::from_millis(20));
    }
    times.sort_unstable();
    let (median, slowest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{} allocations: the median took {median:?}, the slowest {slowest:?}", times.len());
}

fn flood(requests: usize) {
    // The limits are those of a server that nobody has configured.
    let server = Server::start(|config| {
        config.set("limits.unauthenticated-per-second", 200).set("limits.failed-logins-per-minute", 60);
    });
    let mut random = SmallRng::seed_from_u64(seed());
    let mut sockets: Vec<_> = (0..SOCKETS).map(|_| Anyone::new()).collect();
    let mut send = |requests: usize| {
        for turn in 0..requests / BATCH {
            let anyone = &mut sockets[turn % SOCKETS];
            anyone.send(&mut random, server.udp());
            anyone.expect_answers();
        }
    };
    send(requests / 10);
    let (memory, before) = (Memory::of(&server), descriptors(&server));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = scope.spawn(|| allocate_meanwhile(&server, &over));
        let start = Instant::now();
        send(requests);
        let rate = requests as f64 / start.elapsed().as_secs_f64();
        over.store(true, Ordering::Relaxed);
        println!("{requests} sources, {rate:.0} a second");
        client.join().expect("the client gets its allocations");
    });
    memory.assert_grown("Allocate requests from anywhere", GROWTH);
    server.wait_until("the sockets are back", || server.descriptors() <= before);
    server.expect_metric("floe_allocations", &[], 0.0);
}

// H-019
#[test]
fn nothing_is_kept_of_them() {
    flood(100_000);
}

// H-019
#[test]
#[ignore = "slow"]
fn nothing_is_kept_of_two_million() {
    flood(2_000_000);
}
