//! Well-behaved clients that go on relaying while something else happens.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{BOB, Client, Peer, Request, Server};

/// Between two exchanges of one client: they are to be unharmed, not to be a
/// load of their own.
const PAUSE: Duration = Duration::from_millis(3);

/// Every so many exchanges comes a Refresh.
const REFRESH_EVERY: u64 = 50;

const CHANNEL: u16 = 0x4abc;

/// A client that exchanges packets with a peer, one at a time: a packet that is
/// lost, comes twice or isn't its own ends the test.
pub(crate) struct Bystander {
    name: &'static str,
    client: Client,
    peer: Peer,
    relayed: std::net::SocketAddr,
    exchanges: u64,
    /// Datagrams or frames sent to the server, and the slowest exchange.
    sent: u64,
    slowest: Duration,
}

impl Bystander {
    /// Allocates, and binds a channel to a peer at this address.
    pub(crate) fn new(name: &'static str, client: Client, peer: Ipv4Addr) -> Self {
        let mut client = client.user(BOB);
        let peer = Peer::at(&peer.to_string());
        let relayed = client.allocate();
        client.bind(CHANNEL, peer.address());
        Self { name, client, peer, relayed, exchanges: 0, sent: 0, slowest: Duration::ZERO }
    }

    /// Two over UDP, one over IPv6 and one over TCP; with two shards that is a
    /// neighbour on the socket of almost any flood.
    pub(crate) fn some(server: &Server, peer: Ipv4Addr) -> Vec<Self> {
        vec![
            Self::new("UDP", Client::udp(server), peer),
            Self::new("UDP too", Client::udp(server), peer),
            Self::new("UDP over IPv6", Client::udp6(server), peer),
            Self::new("TCP", Client::tcp(server), peer),
        ]
    }

    fn exchange(&mut self) {
        let start = Instant::now();
        let payload = self.exchanges.to_be_bytes();
        self.client.send_channel(CHANNEL, &payload);
        self.peer.expect(&payload, self.relayed);
        self.peer.send(self.relayed, &payload);
        self.client.expect_channel(CHANNEL, &payload);
        self.exchanges += 1;
        self.sent += 1;
        if self.exchanges.is_multiple_of(REFRESH_EVERY) {
            self.client.call(Request::refresh(600)).ok();
            self.sent += 1;
        }
        self.slowest = self.slowest.max(start.elapsed());
    }
}

/// Runs `event` while all of these go on; returns what it returned and how many
/// datagrams those over UDP sent meanwhile.
pub(crate) fn alongside<T>(bystanders: &mut [Bystander], event: impl FnOnce() -> T) -> (T, u64) {
    for bystander in bystanders.iter_mut() {
        (bystander.exchanges, bystander.sent, bystander.slowest) = (0, 0, Duration::ZERO);
    }
    let over = AtomicBool::new(false);
    let result = thread::scope(|scope| {
        for bystander in bystanders.iter_mut() {
            scope.spawn(|| {
                // One exchange at least begins after the event has.
                while bystander.exchanges < 2 || !over.load(Ordering::Relaxed) {
                    bystander.exchange();
                    thread::sleep(PAUSE);
                }
            });
        }
        let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
        event()
    });
    for Bystander { name, exchanges, slowest, .. } in bystanders.iter() {
        println!("beside it, {name}: {exchanges} exchanges, none lost, the slowest took {slowest:?}");
    }
    let datagrams = bystanders.iter().filter(|bystander| bystander.client.is_udp()).map(|b| b.sent).sum();
    (result, datagrams)
}

/// Does something when it goes out of scope, by a panic too.
pub(crate) struct OnDrop<F: Fn()>(pub(crate) F);

impl<F: Fn()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
