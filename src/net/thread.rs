//! The thread of one shard: its runtime, its tasks, and the commands it takes.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::panic::AssertUnwindSafe;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{Interest, unix::AsyncFd};
use tokio::runtime::{Builder, LocalOptions};
use tokio::select;
use tokio::sync::{Barrier, Notify, mpsc, oneshot};
use tokio::task::AbortHandle;

use super::bind::Sockets;
use super::clock::Clock;
use super::connections::Connections;
use super::dtls::{self, Dtls};
use super::entrance::Entered;
use super::limit::ConnectionLimit;
use super::relays::{self, Relays};
use super::ring::Receiver;
use super::shard::{Neighbour, Shard, UdpListener, Work};
use super::stream::RECORDS;
use super::tcp::Moved;
use super::tcp_relay::TcpRelays;
use super::udp::Received;
use super::{inbox, listener, tcp};
use crate::relay::{
    AllocationDetail, AllocationId, AllocationSummary, Change, Engine, Settings, ShardId, Whose, World,
};

/// A timer is never shorter, whatever the engine says.
const SHORTEST_TIMER: Duration = Duration::from_millis(1);

/// Dropped by each shard when it is at work, or has failed before.
pub(super) type Started = std::sync::mpsc::Sender<Infallible>;

/// What the rest of the process may ask of a shard.
pub(super) enum Command {
    /// No new allocations.
    Drain,
    /// Some live allocations, from this place on, and where to go on.
    Sessions(u32, oneshot::Sender<(Vec<AllocationSummary>, Option<u32>)>),
    /// One live allocation.
    Session(AllocationId, oneshot::Sender<Option<AllocationDetail>>),
    /// End some allocations; answered with how many.
    Kick(Whose, oneshot::Sender<usize>),
    /// Serve these too, as soon as every shard has its own.
    Listen(Sockets, Arc<Barrier>),
    /// Other settings from now on; answered when they are in force.
    Change(Box<Change>, oneshot::Sender<()>),
    /// To be answered when no allocation is left.
    Drained(oneshot::Sender<()>),
    /// End every allocation, then the thread.
    Stop,
}

/// All that a shard starts with.
pub(super) struct Parts {
    pub id: ShardId,
    pub clock: Clock,
    pub socket_buffer: usize,
    pub settings: Settings,
    pub world: World,
    pub limit: Arc<ConnectionLimit>,
    /// Connections that the entrance hands over.
    pub entered: mpsc::Receiver<Entered>,
    pub dtls: dtls::Entry,
    /// What DTLS handshakes for this shard have to say.
    pub handshakes: mpsc::Receiver<dtls::Report>,
    pub neighbours: Vec<Option<Neighbour>>,
    /// From every other shard.
    pub rings: Vec<(ShardId, Receiver)>,
    /// Woken when one of `rings` was written to.
    pub wake: Arc<Notify>,
    /// Clients' connections that other shards pass on.
    pub moved: mpsc::Receiver<Moved>,
    pub commands: mpsc::Receiver<Command>,
}

/// What all tasks of a shard share. Never borrowed across an await.
pub(super) struct Common {
    pub shard: RefCell<Shard>,
    /// What UDP sockets are read into.
    pub received: RefCell<Received>,
    /// What TCP connections are read into.
    pub stream: RefCell<Box<[u8]>>,
    /// What TLS records are read into before they are decrypted.
    pub records: RefCell<Box<[u8; RECORDS]>>,
}

/// Starts tasks on this shard, and hears of those that fail.
#[derive(Clone)]
pub(super) struct Tasks(mpsc::Sender<io::Error>);

impl Tasks {
    /// Runs a task. One that ends in an error or a panic ends the shard: half
    /// of one would look alive and serve nobody.
    pub(super) fn spawn(&self, task: impl Future<Output = io::Result<()>> + 'static) -> AbortHandle {
        let failures = self.0.clone();
        let task = tokio::task::spawn_local(async move {
            let error = match AssertUnwindSafe(task).catch_unwind().await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error,
                Err(_) => io::Error::other("a task panicked"),
            };
            // Full: another failure is ending the shard already.
            let _ = failures.try_send(error);
        });
        task.abort_handle()
    }
}

/// Lets the runtime tell when a descriptor can be read.
pub(super) fn watch<T: AsFd + AsRawFd>(descriptor: Rc<T>) -> io::Result<AsyncFd<Rc<T>>> {
    // tokio's new name for this is an unsafe function, as `AsRawFd` alone does
    // not promise that the descriptor stays open. `AsFd` behind an `Rc` that the
    // `AsyncFd` holds does.
    #[expect(deprecated, reason = "its successor is unsafe, and this room has no unsafe code")]
    AsyncFd::with_interest(descriptor, Interest::READABLE)
}

/// Runs a shard until it is told to stop.
pub(super) fn run(parts: Parts, started: Started) -> io::Result<()> {
    let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default())?;
    runtime.block_on(serve(parts, started))
}

async fn serve(parts: Parts, started: Started) -> io::Result<()> {
    let Parts {
        id,
        clock,
        socket_buffer,
        settings,
        world,
        limit,
        entered,
        dtls,
        handshakes,
        neighbours,
        rings,
        wake,
        moved,
        commands,
    } = parts;
    let counters = Arc::clone(&world.counters);
    let timer = Rc::new(Notify::new());
    let (failures, failed) = mpsc::channel(1);
    let tasks = Tasks(failures);
    let relays = Relays::new(socket_buffer)?;
    let shard = |common: &Weak<Common>| Shard {
        id,
        clock,
        engine: Engine::new(id, settings, world),
        counters,
        listeners: Vec::new(),
        relays,
        tcp_relays: TcpRelays::new(Weak::clone(common), tasks.clone()),
        connections: Connections::default(),
        dtls: Dtls::new(dtls),
        neighbours,
        armed: None,
        timer: Rc::clone(&timer),
        waiting: Vec::new(),
        work: Work::new(),
    };
    let common = Rc::new_cyclic(|common| Common {
        shard: RefCell::new(shard(common)),
        received: RefCell::new(Received::new()),
        stream: RefCell::new(vec![0; tcp::READ_BUFFER].into_boxed_slice()),
        records: RefCell::new(Box::new([0; RECORDS])),
    });
    tasks.spawn(tcp::take_in(Rc::clone(&common), entered, tasks.clone()));
    tasks.spawn(dtls::take_in(Rc::clone(&common), handshakes));
    tasks.spawn(tcp::adopt(Rc::clone(&common), moved, tasks.clone()));
    tasks.spawn(relays::serve(Rc::clone(&common)));
    tasks.spawn(inbox::serve(Rc::clone(&common), rings, wake));
    tasks.spawn(keep_time(Rc::clone(&common), timer));
    drop(started);
    obey(&common, commands, failed, &limit, &tasks).await
}

/// Takes in listeners. A link is the same in every shard, and none is served before
/// all of them know it: its packets may be passed on.
fn listen(
    common: &Rc<Common>,
    shard: &mut Shard,
    sockets: Sockets,
    ready: Arc<Barrier>,
    limit: &Arc<ConnectionLimit>,
    tasks: &Tasks,
) -> io::Result<()> {
    let known = shard.listeners.len();
    for (socket, takes) in sockets.udp {
        shard.listeners.push(UdpListener { local: socket.local_addr()?, socket: Rc::new(socket), takes });
    }
    let links = (0..u32::MAX).take(shard.listeners.len()).skip(known);
    let (common, limit, serving) = (Rc::clone(common), Arc::clone(limit), tasks.clone());
    tasks.spawn(async move {
        ready.wait().await;
        for link in links {
            serving.spawn(listener::serve(Rc::clone(&common), link));
        }
        for listener in sockets.tcp {
            serving.spawn(tcp::accept(Rc::clone(&common), listener, Arc::clone(&limit), serving.clone()));
        }
        Ok(())
    });
    Ok(())
}

/// Lets the engine end things in time.
async fn keep_time(common: Rc<Common>, changed: Rc<Notify>) -> io::Result<()> {
    loop {
        let (clock, timeout) = {
            let shard = &mut *common.shard.borrow_mut();
            shard.armed = shard.engine.next_timeout();
            (shard.clock, shard.armed)
        };
        let Some(at) = timeout else {
            changed.notified().await;
            continue;
        };
        let at = at.max(clock.instant() + SHORTEST_TIMER);
        select! {
            () = tokio::time::sleep_until(clock.tokio(at)) => common.shard.borrow_mut().expire(clock.now()),
            () = changed.notified() => {}
        }
    }
}

/// Carries out commands until one says to stop, or nobody is left to give one.
async fn obey(
    common: &Rc<Common>,
    mut commands: mpsc::Receiver<Command>,
    mut failed: mpsc::Receiver<io::Error>,
    limit: &Arc<ConnectionLimit>,
    tasks: &Tasks,
) -> io::Result<()> {
    loop {
        let command = select! {
            command = commands.recv() => command.unwrap_or(Command::Stop),
            Some(error) = failed.recv() => return Err(error),
        };
        let shard = &mut *common.shard.borrow_mut();
        let now = shard.clock.now();
        match command {
            Command::Listen(sockets, ready) => listen(common, shard, sockets, ready, limit, tasks)?,
            Command::Drain => shard.engine.drain(),
            // Whoever asked may have lost interest by the time of an answer.
            Command::Sessions(from, reply) => drop(reply.send(shard.engine.sessions(now.instant, from))),
            Command::Session(id, reply) => drop(reply.send(shard.engine.session(now.instant, id))),
            Command::Kick(whose, reply) => drop(reply.send(shard.kick(now, &whose))),
            Command::Change(change, reply) => {
                shard.change(now, *change);
                // In force only once what it ends has ended.
                shard.flush(now, |_| &[]);
                let _ = reply.send(());
            }
            Command::Drained(reply) => shard.waiting.push(reply),
            Command::Stop => {
                shard.close_all(now);
                shard.dtls_close_all(now);
                return Ok(());
            }
        }
        shard.flush(now, |_| &[]);
    }
}
