//! A whole server: its plan, the sockets that are opened for it, and the
//! threads that serve them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};
use std::thread::JoinHandle;

use futures_util::FutureExt as _;
use ipnet::IpNet;
use tokio::runtime;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::bind::{self, BindError, Door, Listeners, Opening};
use super::certificates::Certificates;
use super::challenges::TlsChallenges;
use super::clock::Clock;
use super::dtls;
use super::entrance::{self, Entrance, Tally};
use super::handle::{ConnectionLimits, Handle, Inner, unlimited_if_zero};
use super::limit::ConnectionLimit;
use super::random::OsRandom;
use super::ring;
use super::shard::Neighbour;
use super::tcp::Moved;
use super::thread::{self, Parts};
use super::tls::Tls;
use super::web::{Routes, Web};
use crate::relay::counters::Counters;
use crate::relay::ports::RelayPool;
use crate::relay::world::{Bandwidth, PeerPolicy, Quota, Throttle, Users};
use crate::relay::{Link, NatDiscovery, ServerAddr, Settings, ShardId, Transport, World};

/// A shard's number plus one is kept in a byte by the relay pool.
const MAX_SHARDS: usize = 254;

/// Bytes of all rings that end at one shard, as long as the smallest allows.
const RING_BYTES: usize = 4 * 1024 * 1024;

/// Largest of them.
const MAX_RING: usize = 1024 * 1024;

/// Commands that a shard has not got to yet.
const COMMANDS: usize = 16;

/// Connections passed on to a shard that it has not taken in yet.
const MOVED: usize = 64;

/// What handshakes have to say to a shard that has not heard it yet.
const DTLS_REPORTS: usize = 256;

/// Everything that a server is made from.
pub struct Plan {
    /// `[listen]`
    pub listeners: Listeners,
    /// `[tls]`
    pub certificates: Arc<Certificates>,
    /// What certificate authorities are shown; `None` without ACME.
    pub tls_challenges: Option<Arc<TlsChallenges>>,
    /// `[https]`
    pub web: Web,
    /// `listen.proxy-protocol-from`
    pub balancers: Vec<IpNet>,
    /// `listen.shards`: 0 is one per usable core; at most 254.
    pub shards: usize,
    /// `listen.socket-buffer`: bytes asked for, each way.
    pub socket_buffer: usize,
    /// Of one address, and of all.
    pub limits: ConnectionLimits,
    /// TCP connections in all; the descriptors beyond are for relays.
    pub connections: u32,
    /// Relay addresses and ports.
    pub pool: Arc<RelayPool>,
    /// How the engines behave. How many shards there are and the links of
    /// [`Settings::nat_discovery`] are filled in.
    pub settings: Settings,
    /// Two addresses by two ports, all of them in `listeners`, for each family that
    /// RFC 5780 is served to: by address and, for each, by port.
    pub nat_discovery: Vec<[[SocketAddr; 2]; 2]>,
    /// Who may allocate.
    pub users: Arc<dyn Users>,
    /// Where they may relay to; made once the listeners have their ports, since
    /// those are no one's to relay to.
    pub peers: PeerPolicyOf,
    /// How many allocations.
    pub quota: Arc<dyn Quota>,
    /// How much data; `None` is no limit.
    pub bandwidth: Option<Arc<dyn Bandwidth>>,
    /// How many unauthenticated answers.
    pub throttle: Arc<dyn Throttle>,
}

/// Makes the peer policy of a server with these listeners.
pub type PeerPolicyOf = Box<dyn FnOnce(&[(Transport, SocketAddr)]) -> Arc<dyn PeerPolicy>>;

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listeners, shards, .. } = self;
        f.debug_struct("Plan").field("listeners", listeners).field("shards", shards).finish_non_exhaustive()
    }
}

/// Cores this process may use: its affinity and its cgroup's quota (rounded
/// down, at least 1) are honoured.
pub fn usable_cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A server whose sockets are open and which serves nobody yet.
pub struct Server {
    handle: Handle,
    parts: Vec<Parts>,
    doors: mpsc::UnboundedReceiver<Door>,
    entrance: Arc<Entrance>,
    certificates: Arc<Certificates>,
    dtls: Arc<dtls::Acceptor>,
}

impl Server {
    /// Opens everything.
    pub fn bind(plan: Plan) -> Result<Self, BindError> {
        let shards = if plan.shards == 0 { usable_cores() } else { plan.shards }.clamp(1, MAX_SHARDS);
        bind::prove_relay_addresses(plan.pool.usage().map(|(local, ..)| local))?;
        let opening = Opening { shards, buffer: plan.socket_buffer, proxied: !plan.balancers.is_empty() };
        let opened = bind::open_all(plan.listeners, &plan.web.listen, opening)?;
        let system = |what| move |source| BindError::System { what, source };
        let clock = Clock::start();
        let limit = Arc::new(ConnectionLimit::new(plan.limits.connections_per_address, plan.connections));
        if opened.listeners.is_empty() {
            return Err(BindError::NoListener);
        }
        let tls = Tls::new(plan.certificates.clone(), plan.tls_challenges, plan.web.visitors.is_some());
        let routes = Arc::new(Routes::new(plan.web));
        let tls =
            tls.map_err(|error| BindError::System { what: "prepare TLS", source: io::Error::other(error) })?;
        let (tally, dtls_tally) = (Arc::new(Tally::default()), Arc::new(Tally::default()));
        let (of_source, all) = plan.limits.dtls_sessions;
        let dtls_sessions = Arc::new(ConnectionLimit::new(of_source, unlimited_if_zero(all)));
        let certificates = plan.certificates;
        let dtls = dtls::Acceptor::new(certificates.clone(), dtls_sessions.clone(), dtls_tally.clone());
        let dtls = Arc::new(dtls);
        let mut random = OsRandom::new().map_err(system("get random bytes"))?;
        let cookies = dtls::Cookies::new(&mut random);
        let mut entries = Vec::with_capacity(shards);
        let buffers =
            opened.sockets.first().and_then(|shard| shard.udp.first()).map(|(socket, _)| socket.buffers());
        let buffers = buffers.transpose().map_err(system("read the buffer size of a socket"))?;
        let peers = (plan.peers)(&opened.listeners);
        let settings = Settings {
            shards: u8::try_from(shards).unwrap_or(u8::MAX),
            nat_discovery: plan
                .nat_discovery
                .iter()
                .filter_map(|set| points(set, &opened.listeners))
                .collect(),
            ..plan.settings
        };
        let (door, doors) = mpsc::unbounded_channel();
        let mut handle = Inner {
            clock,
            listeners: RwLock::default(),
            opening,
            doors: door,
            buffers,
            counters: Vec::new(),
            tally: Arc::clone(&tally),
            dtls_tally,
            routes: Arc::clone(&routes),
            commands: Vec::new(),
            connections: Arc::clone(&limit),
            dtls_sessions,
        };
        let mut parts = Vec::with_capacity(shards);
        for (id, crossing) in (0u8..).zip(crossings(shards)) {
            let counters = Arc::new(Counters::default());
            let (commands, receiver) = mpsc::channel(COMMANDS);
            handle.counters.push(Arc::clone(&counters));
            handle.commands.push(commands);
            let (entry, entered) = mpsc::channel(entrance::WAITING);
            entries.push(entry);
            let (reports, handshakes) = mpsc::channel(DTLS_REPORTS);
            let dtls = dtls::Entry {
                cookies: cookies.clone(),
                acceptor: Arc::clone(&dtls),
                reports,
                throttle: Arc::clone(&plan.throttle),
            };
            let random = OsRandom::new().map_err(system("get random bytes"))?;
            let world = World {
                users: Arc::clone(&plan.users),
                peers: Arc::clone(&peers),
                quota: Arc::clone(&plan.quota),
                bandwidth: plan.bandwidth.clone(),
                throttle: Arc::clone(&plan.throttle),
                random: Box::new(random),
                pool: Arc::clone(&plan.pool),
                counters,
            };
            parts.push(Parts {
                id: ShardId(id),
                clock,
                socket_buffer: plan.socket_buffer,
                settings: settings.clone(),
                world,
                limit: Arc::clone(&limit),
                entered,
                dtls,
                handshakes,
                neighbours: crossing.neighbours,
                rings: crossing.rings,
                wake: crossing.wake,
                moved: crossing.moved,
                commands: receiver,
            });
        }
        let entrance = Entrance::new(tls, routes, plan.balancers, limit, tally, entries);
        let handle = Handle(Arc::new(handle));
        // Without a wait: no shard has any commands yet.
        let _ = handle.serve(opened).now_or_never();
        Ok(Self { handle, parts, doors, entrance, certificates, dtls })
    }

    /// For whoever watches the server; good before it is started.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Starts one thread per shard, and on the current tokio runtime, if there is
    /// one, what TLS, DTLS and balancers ask for. Returns when all of
    /// them are at work. An error when the system gives no thread; those started
    /// before it end by themselves.
    pub fn start(self) -> io::Result<Running> {
        self.dtls.start();
        let (report, ended) = mpsc::unbounded_channel();
        let (started, all_started) = std::sync::mpsc::channel();
        let mut threads = Vec::with_capacity(self.parts.len());
        for parts in self.parts {
            let (report, started) = (report.clone(), started.clone());
            let shard = parts.id;
            threads.push(std::thread::Builder::new().name(format!("shard-{}", shard.0)).spawn(move || {
                // All that the shard had is gone after a panic; nothing broken
                // is left to be seen.
                let result = catch_unwind(AssertUnwindSafe(|| thread::run(parts, started)))
                    .unwrap_or_else(|_| Err(io::Error::other("it panicked")))
                    .map_err(|source| ShardFailed { shard, source });
                if let Err(failed) = &result {
                    tracing::error!(target: "floe::net", shard = shard.0, error = %failed.source, "shard failed");
                }
                // Nobody waits any more: the process is ending.
                let _ = report.send(result);
            })?);
        }
        drop(started);
        // An error, once nobody has a `started` any more. A shard that has failed says
        // so to whoever has `ended`.
        let _ = all_started.recv();
        let mut side = JoinSet::new();
        if let Ok(runtime) = runtime::Handle::try_current() {
            side.spawn_on(self.entrance.serve(self.doors), &runtime);
            side.spawn_on(self.certificates.watch(), &runtime);
        }
        Ok(Running { handle: self.handle, threads, ended, _side: side })
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Server").field(&self.handle).finish()
    }
}

/// A server at work. It stops when this and every [`Handle`] are dropped.
#[derive(Debug)]
pub struct Running {
    handle: Handle,
    threads: Vec<JoinHandle<()>>,
    ended: mpsc::UnboundedReceiver<Result<(), ShardFailed>>,
    /// Tasks of another runtime than the shards'; aborted when this is dropped.
    _side: JoinSet<()>,
}

/// A shard ended without being told to. The clients of that shard are cut off,
/// so the process should log this and exit with an error.
#[derive(Debug, thiserror::Error)]
#[error("shard {} failed: {source}", shard.0)]
pub struct ShardFailed {
    /// Which.
    pub shard: ShardId,
    /// Why.
    pub source: io::Error,
}

impl Running {
    /// To watch and steer the server from anywhere.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Waits until every shard has ended ([`Handle::stop`]), or for the first
    /// that fails. May be dropped and called again.
    pub async fn ended(&mut self) -> Result<(), ShardFailed> {
        // Every thread reports once, then lets go of its end.
        while let Some(result) = self.ended.recv().await {
            result?;
        }
        for thread in self.threads.drain(..) {
            // It has reported, so this takes no time, and it can't panic.
            let _ = thread.join();
        }
        Ok(())
    }
}

/// The ends of all rings that are one shard's.
struct Crossing {
    neighbours: Vec<Option<Neighbour>>,
    rings: Vec<(ShardId, ring::Receiver)>,
    wake: Arc<Notify>,
    moved: mpsc::Receiver<Moved>,
}

/// A ring from every shard to every other one.
fn crossings(shards: usize) -> Vec<Crossing> {
    let bytes = (RING_BYTES / shards).min(MAX_RING);
    let (movers, mut all): (Vec<_>, Vec<_>) = (0..shards)
        .map(|_| {
            let (mover, moved) = mpsc::channel(MOVED);
            (mover, Crossing { neighbours: Vec::new(), rings: Vec::new(), wake: Arc::default(), moved })
        })
        .unzip();
    for (from, id) in (0..shards).zip((0u8..).map(ShardId)) {
        for to in 0..shards {
            let neighbour = (from != to).then(|| {
                let (sender, receiver) = ring::ring(bytes);
                all[to].rings.push((id, receiver));
                let (wake, moved) = (Arc::clone(&all[to].wake), movers[to].clone());
                Neighbour { ring: sender, wake, moved, written: false }
            });
            all[from].neighbours.push(neighbour);
        }
    }
    all
}

/// The links of a set of UDP listeners; `None` when one is not there. A link is
/// the listener's number, the same in every shard.
fn points(set: &[[SocketAddr; 2]; 2], listeners: &[(Transport, SocketAddr)]) -> Option<NatDiscovery> {
    let point = |address: SocketAddr| {
        let at = listeners.iter().position(|listener| *listener == (Transport::Udp, address))?;
        Some((ServerAddr::new(address), Link(u32::try_from(at).ok()?)))
    };
    let [[a, b], [c, d]] = set.map(|addresses| addresses.map(point));
    Some(NatDiscovery::new([[a?, b?], [c?, d?]]))
}

#[cfg(test)]
#[path = "server_test.rs"]
mod tests;
