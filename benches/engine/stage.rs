//! An engine with any number of allocations, each with a channel and a permission,
//! and the packets that its clients and their peers send; shared by the bench and
//! by the limits. Its clients and its world are those of the engine's tests.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use floe::relay::{ClientPath, Effect, Engine, Now, Outcome, Output, PeerAddr, RelayId, Route};
use floe::wire::AttributeType;

use crate::client::{Client, Request, frame};
use crate::world::{Setup, World, addr};

const CHANNEL: u16 = 0x4001;
const PAYLOAD: usize = 172;

/// Something that the engine does over and over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Work {
    ChannelDataUp,
    ChannelDataDown,
    Send,
    Data,
    /// With right credentials; then a Refresh that gives it back.
    Allocate,
}

impl Work {
    pub(crate) const ALL: [Self; 5] =
        [Self::ChannelDataUp, Self::ChannelDataDown, Self::Send, Self::Data, Self::Allocate];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::ChannelDataUp => "ChannelData up",
            Self::ChannelDataDown => "ChannelData down",
            Self::Send => "Send",
            Self::Data => "Data",
            Self::Allocate => "Allocate and Refresh to 0",
        }
    }
}

/// One client, as its packets show it.
#[derive(Clone)]
struct Party {
    path: ClientPath,
    relay: RelayId,
    bound: PeerAddr,
    permitted: PeerAddr,
    send: Vec<u8>,
}

pub(crate) struct Stage {
    engine: Engine,
    now: Now,
    out: Output,
    parties: Vec<Party>,
    /// Those whose packets make up a batch.
    batch: Vec<Party>,
    channel_data: Vec<u8>,
    /// Of clients that have no allocation, with their requests.
    newcomers: Vec<Newcomer>,
    turn: usize,
}

struct Newcomer {
    path: ClientPath,
    allocate: Vec<u8>,
    release: Vec<u8>,
}

/// Newcomers take turns.
const NEWCOMERS: usize = 16;

/// Packets that are at hand, as if just received, before the first is handed over.
const BATCH: usize = 64;

impl Stage {
    pub(crate) fn new(allocations: usize) -> Self {
        let mut world = World::with(Setup { ports: 1024..=65535, ..Setup::default() });
        let mut clients: Vec<(Client, SocketAddr)> =
            (0..allocations).map(|at| settle(&mut world, at)).collect();
        let newcomers = (0..NEWCOMERS).map(|at| newcomer(&mut world, allocations + at)).collect();
        // In the order of their allocations, as the relays are.
        let relays = world.sockets.keys().map(|(_, relay)| *relay);
        let parties = clients.drain(..).zip(relays).map(|((mut client, peer), relay)| Party {
            path: client.path,
            relay,
            bound: PeerAddr::new(peer),
            permitted: PeerAddr::new(permitted(peer)),
            send: {
                let id = client.next_id();
                Request::send(permitted(peer), &[0x5A; PAYLOAD]).unsigned(id)
            },
        });
        let mut stage = Self {
            parties: parties.collect(),
            batch: Vec::new(),
            engine: world.engines.remove(0),
            now: world.now,
            out: Output::default(),
            channel_data: frame(CHANNEL, &[0x5A; PAYLOAD]),
            newcomers,
            turn: 0,
        };
        // Each does what it will be measured at, and is seen to do it.
        for work in Work::ALL {
            stage.run(work, 2);
        }
        stage
    }

    /// The engine alone, without the packets above.
    #[allow(dead_code, reason = "for those who look at its size")]
    pub(crate) fn into_engine(self) -> Engine {
        self.engine
    }

    /// Does it so often, for the clients of one batch in turn.
    pub(crate) fn run(&mut self, work: Work, times: usize) {
        self.receive(BATCH);
        for at in 0..times {
            black_box(self.step(work, at % BATCH));
            self.out.bytes.clear();
        }
    }

    /// Does it so often, each time for another client, and says how long the engine
    /// took. To look up whose packets a batch has is none of its work.
    #[allow(dead_code, reason = "the limits count")]
    pub(crate) fn time(&mut self, work: Work, times: u64) -> Duration {
        let mut taken = Duration::ZERO;
        let mut left = times;
        while left > 0 {
            let count = left.min(BATCH as u64);
            left -= count;
            self.receive(count as usize);
            let start = Instant::now();
            for at in 0..count as usize {
                black_box(self.step(work, at));
            }
            taken += start.elapsed();
            self.out.bytes.clear();
        }
        taken
    }

    /// A batch of so many packets.
    fn receive(&mut self, count: usize) {
        self.batch.clear();
        for _ in 0..count {
            // Far from one another, as clients are.
            self.turn = self.turn.wrapping_add(7_919);
            self.batch.push(self.parties[self.turn % self.parties.len()].clone());
        }
    }

    fn step(&mut self, work: Work, at: usize) -> Route {
        let Self { engine, now, out, batch, channel_data, newcomers, .. } = self;
        let party = &batch[at];
        match work {
            Work::ChannelDataUp => {
                let route = engine.client_datagram(*now, party.path, channel_data, out);
                assert!(matches!(route, Route::ToPeer { .. }), "{route:?}");
                route
            }
            Work::Send => {
                let route = engine.client_datagram(*now, party.path, &party.send, out);
                assert!(matches!(route, Route::ToPeer { .. }), "{route:?}");
                route
            }
            Work::ChannelDataDown => {
                let route = engine.peer_datagram(*now, party.relay, party.bound, &channel_data[4..], out);
                assert!(matches!(&route, Route::ToClient { header, .. } if header.len() == 4), "{route:?}");
                route
            }
            Work::Data => {
                let route = engine.peer_datagram(*now, party.relay, party.permitted, &channel_data[4..], out);
                assert!(matches!(&route, Route::ToClient { header, .. } if header.len() > 4), "{route:?}");
                route
            }
            Work::Allocate => {
                let newcomer = &newcomers[at % newcomers.len()];
                let parked = engine.client_datagram(*now, newcomer.path, &newcomer.allocate, out);
                assert_eq!(parked, Route::Nothing);
                let waiting = out.effects.iter().find_map(|effect| match effect {
                    Effect::BindRelay { id, .. } => Some(*id),
                    _ => None,
                });
                let route = engine.complete(*now, waiting.expect("a socket to bind"), Outcome::Bound, out);
                assert!(matches!(route, Route::Reply { .. }), "{route:?}");
                let route = engine.client_datagram(*now, newcomer.path, &newcomer.release, out);
                assert!(matches!(route, Route::Reply { .. }), "{route:?}");
                let ended = |effect: &Effect| matches!(effect, Effect::Closed(..));
                assert!(out.effects.iter().any(ended), "{:?}", out.effects);
                out.effects.clear();
                route
            }
        }
    }
}

/// An engine with allocations that have neither channels nor permissions.
#[allow(dead_code, reason = "for those who look at its size")]
pub(crate) fn bare(allocations: usize) -> Engine {
    let mut world = World::with(Setup { ports: 1024..=65535, ..Setup::default() });
    for at in 0..allocations {
        allocate(&mut world, at);
    }
    world.engines.remove(0)
}

/// A client at an address of its own, whose relay is of either family in turn: more
/// than one address has ports for.
fn allocate(world: &mut World, at: usize) -> (Client, u8) {
    let mut client = Client::new("alice", &client_address(at));
    let family = [1, 2][at % 2];
    client.allocate_as(world, &Request::allocate().family(family));
    (client, family)
}

/// The same with a channel, and a permission for another peer.
fn settle(world: &mut World, at: usize) -> (Client, SocketAddr) {
    let (mut client, family) = allocate(world, at);
    let peer: SocketAddr = if family == 1 { addr("203.0.113.7:4000") } else { addr("[2001:db8:7::7]:4000") };
    assert_eq!(client.bind(world, CHANNEL, peer), 0);
    assert_eq!(client.permit(world, &[permitted(peer)]), 0);
    (client, peer)
}

/// A peer without a channel, beside the one with it.
fn permitted(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() + 1).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() + 1).into(),
    };
    SocketAddr::new(ip, bound.port())
}

fn client_address(at: usize) -> String {
    let ip = Ipv4Addr::from_bits(Ipv4Addr::new(100, 64, 0, 0).to_bits() + at as u32);
    format!("{ip}:4000")
}

fn newcomer(world: &mut World, at: usize) -> Newcomer {
    let mut client = Client::new("alice", &client_address(at));
    client.greet(world);
    let allocate = client.sign(&Request::allocate());
    let release = client.sign(&Request::refresh().with(AttributeType::LIFETIME, &[0; 4]));
    Newcomer { path: client.path, allocate, release }
}
