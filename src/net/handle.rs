//! Watches and steers a running server: counters are read, everything else is
//! asked of the shards by message.

use std::fmt;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::{Barrier, mpsc, oneshot};

use super::bind::{self, BindError, Door, Listeners, Opened, Opening};
use super::clock::Clock;
use super::entrance::Tally;
use super::limit::ConnectionLimit;
use super::thread::Command;
use super::web::{Routes, WebCounts};
use crate::relay::counters::Counters;
use crate::relay::sessions::AT_ONCE;
use crate::relay::{AllocationDetail, AllocationId, AllocationSummary, Change, ShardId, Transport, Whose};

/// Connections under TLS and from balancers, or DTLS sessions, before a shard has
/// them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Admissions {
    /// Handshakes done.
    pub handshakes: u64,
    /// Handshakes that failed.
    pub handshakes_failed: u64,
    /// Closed at a limit or deadline, or for what they began with.
    pub refused: u64,
}

impl Admissions {
    fn of(tally: &Tally) -> Self {
        let Tally { handshakes, handshakes_failed, refused } = tally;
        Self {
            handshakes: handshakes.load(Relaxed),
            handshakes_failed: handshakes_failed.load(Relaxed),
            refused: refused.load(Relaxed),
        }
    }
}

/// How many connections and sessions; 0 is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// `limits.tcp-connections-per-address`
    pub connections_per_address: u32,
    /// `limits.dtls-sessions-per-address` and `limits.dtls-sessions`
    pub dtls_sessions: (u32, u32),
}

/// A limit on all: 0 in a configuration is none.
pub(super) fn unlimited_if_zero(most: u32) -> u32 {
    if most == 0 { u32::MAX } else { most }
}

/// Watches and steers a server, from any thread or runtime.
#[derive(Clone)]
pub struct Handle(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) clock: Clock,
    pub(super) listeners: RwLock<Arc<[(Transport, SocketAddr)]>>,
    pub(super) opening: Opening,
    /// To whoever serves them.
    pub(super) doors: mpsc::UnboundedSender<Door>,
    pub(super) buffers: Option<(usize, usize)>,
    pub(super) counters: Vec<Arc<Counters>>,
    pub(super) tally: Arc<Tally>,
    pub(super) dtls_tally: Arc<Tally>,
    pub(super) routes: Arc<Routes>,
    pub(super) commands: Vec<mpsc::Sender<Command>>,
    pub(super) connections: Arc<ConnectionLimit>,
    pub(super) dtls_sessions: Arc<ConnectionLimit>,
}

impl Handle {
    /// Every listener with its actual port, UDP first.
    pub fn listeners(&self) -> Arc<[(Transport, SocketAddr)]> {
        Arc::clone(&self.0.listeners.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens further listeners, to be served by [`Handle::serve`].
    ///
    /// # Errors
    /// One can't be had; then none is open.
    pub fn open(&self, listeners: Listeners) -> Result<Opened, BindError> {
        bind::open_all(listeners, &[], self.0.opening)
    }

    /// Serves these too from now on.
    pub async fn serve(&self, opened: Opened) {
        let Opened { sockets, doors, listeners } = opened;
        for door in doors {
            // Nobody takes it: the server is stopping.
            let _ = self.0.doors.send(door);
        }
        let ready = Arc::new(Barrier::new(sockets.len()));
        for (shard, sockets) in self.0.commands.iter().zip(sockets) {
            // A shard that has ended needs no telling.
            let _ = shard.send(Command::Listen(sockets, Arc::clone(&ready))).await;
        }
        let mut all = self.0.listeners.write().unwrap_or_else(PoisonError::into_inner);
        let mut more = [&**all, &listeners].concat();
        more.sort_by_key(|(transport, _)| transport.index());
        *all = more.into();
    }

    /// Receive and send buffer that the kernel granted a UDP listener, bytes as
    /// it counts them; `None` without one.
    pub fn buffers(&self) -> Option<(usize, usize)> {
        self.0.buffers
    }

    /// The counters of each shard.
    pub fn counters(&self) -> &[Arc<Counters>] {
        &self.0.counters
    }

    /// What came of TCP connections before they were a shard's.
    pub fn admissions(&self) -> Admissions {
        Admissions::of(&self.0.tally)
    }

    /// What came of DTLS clients that had shown where they are.
    pub fn dtls_admissions(&self) -> Admissions {
        Admissions::of(&self.0.dtls_tally)
    }

    /// What became of connections at `[https]` that were not TURN.
    pub fn web_counts(&self) -> WebCounts {
        self.0.routes.counts.read()
    }

    /// The clock of all shards, to compare their instants with.
    pub fn clock(&self) -> Clock {
        self.0.clock
    }

    /// Other settings from now on; on return every shard goes by them.
    pub async fn change(&self, change: Change, limits: ConnectionLimits) {
        self.0.connections.set(limits.connections_per_address, None);
        let (of_source, all) = limits.dtls_sessions;
        self.0.dtls_sessions.set(of_source, Some(unlimited_if_zero(all)));
        for shard in (0u8..).map(ShardId).take(self.0.commands.len()) {
            // A shard that has ended needs no telling.
            let _ = self.ask(shard, |reply| Command::Change(Box::new(change.clone()), reply)).await;
        }
    }

    /// From now on no new allocations.
    pub async fn drain(&self) {
        self.tell(|| Command::Drain).await;
    }

    /// Waits until no allocation is left; with [`Handle::drain`] before it,
    /// none comes after.
    pub async fn drained(&self) {
        let mut waiting = Vec::new();
        self.tell(|| {
            let (reply, answer) = oneshot::channel();
            waiting.push(answer);
            Command::Drained(reply)
        })
        .await;
        for answer in waiting {
            // A shard that has ended has none left either.
            let _ = answer.await;
        }
    }

    /// Every live allocation, by shard.
    pub async fn sessions(&self) -> Vec<(ShardId, AllocationSummary)> {
        let mut sessions = Vec::new();
        for shard in (0u8..).map(ShardId).take(self.0.commands.len()) {
            let mut from = Some(0);
            while let Some(at) = from {
                let some = self.ask(shard, |reply| Command::Sessions(at, reply)).await;
                let (some, next) = some.unwrap_or_default();
                sessions.extend(some.into_iter().map(|summary| (shard, summary)));
                from = next;
            }
        }
        sessions
    }

    /// One live allocation.
    pub async fn session(&self, shard: ShardId, id: AllocationId) -> Option<AllocationDetail> {
        self.ask(shard, |reply| Command::Session(id, reply)).await.flatten()
    }

    /// Ends one allocation; false when it was not live.
    pub async fn kick(&self, shard: ShardId, id: AllocationId) -> bool {
        let kicked = self.ask(shard, |reply| Command::Kick(Whose::Allocation(id), reply)).await;
        kicked.is_some_and(|count| count > 0)
    }

    /// Ends every allocation of a user: one as quotas count it, or a USERNAME as
    /// it was sent. Returns how many.
    pub async fn kick_user(&self, user: &Arc<str>) -> usize {
        let mut total = 0;
        for shard in (0u8..).map(ShardId).take(self.0.commands.len()) {
            let mut count = AT_ONCE;
            while count == AT_ONCE {
                let whose = Whose::User(Arc::clone(user));
                count = self.ask(shard, |reply| Command::Kick(whose, reply)).await.unwrap_or(0);
                total += count;
            }
        }
        total
    }

    /// Ends every allocation and then the shards; [`super::Running::ended`] tells when
    /// they have.
    pub async fn stop(&self) {
        self.tell(|| Command::Stop).await;
    }

    /// What a shard answers; `None` when it has ended, or is none.
    async fn ask<T>(&self, shard: ShardId, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.commands.get(usize::from(shard.0))?.send(command(reply)).await.ok()?;
        answer.await.ok()
    }

    async fn tell(&self, mut command: impl FnMut() -> Command) {
        for shard in &self.0.commands {
            // A shard that has ended needs no telling.
            let _ = shard.send(command()).await;
        }
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handle").field("listeners", &self.listeners()).finish_non_exhaustive()
    }
}
