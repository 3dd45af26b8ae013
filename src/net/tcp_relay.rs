//! The far side of TCP allocations (RFC 6062): the sockets that listen for
//! peers, the connections to peers, and what peers send before the client has
//! bound a connection. One task for each; once a connection is joined, the task
//! of the client's connection carries its bytes (`splice`).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future;
use std::io;
use std::net::SocketAddr;
use std::rc::{Rc, Weak};

use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::accept::Accept;
use super::seldom::Seldom;
use super::thread::{Common, Tasks};
use crate::relay::{ConnectionId, EffectId, Outcome, PeerAddr, RelayId};

/// Bytes of a peer that are kept until its connection is bound. One that sends
/// more is closed (RFC 6062 §7).
const EARLY_LIMIT: usize = 128 * 1024;

/// Connections the kernel holds for a relay that has not accepted them yet.
const BACKLOG: u32 = 64;

/// A peer's connection.
#[derive(Debug)]
pub(super) struct PeerStream {
    pub stream: TcpStream,
    /// What came before the connection was bound.
    pub early: RefCell<Vec<u8>>,
    /// Nothing comes behind that.
    pub ended: Cell<bool>,
}

/// A peer's connection on its way to the client's connection that bound it.
#[derive(Debug)]
pub(super) struct Joined {
    pub id: ConnectionId,
    pub peer: Rc<PeerStream>,
    /// Told when the engine ends the connection.
    pub closed: Rc<Notify>,
}

/// All relays and peers' connections of a shard.
pub(super) struct TcpRelays {
    common: Weak<Common>,
    tasks: Tasks,
    listeners: HashMap<RelayId, AbortHandle, foldhash::fast::RandomState>,
    peers: HashMap<ConnectionId, Peer, foldhash::fast::RandomState>,
    complaints: Seldom,
}

/// How far a peer's connection has come.
enum Peer {
    Connecting(AbortHandle),
    /// The task keeps what the peer sends.
    Waiting(AbortHandle, Rc<PeerStream>),
    Joined(Rc<Notify>),
}

impl TcpRelays {
    /// None yet. `common` is whose tasks these will be.
    pub(super) fn new(common: Weak<Common>, tasks: Tasks) -> Self {
        Self {
            common,
            tasks,
            listeners: HashMap::default(),
            peers: HashMap::default(),
            complaints: Seldom::default(),
        }
    }

    /// Listens at exactly `local`.
    pub(super) fn listen(&mut self, relay: RelayId, local: SocketAddr) -> Outcome {
        let Some(common) = self.common.upgrade() else { return Outcome::Failed };
        match listen(local) {
            Ok(listener) => {
                let tasks = self.tasks.clone();
                let task = self.tasks.spawn(accept(common, tasks, relay, listener));
                self.listeners.insert(relay, task);
                Outcome::Bound
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Outcome::PortTaken,
            Err(error) => {
                if let Some(unsaid) = self.complaints.say() {
                    tracing::warn!(target: "floe::net", %local, %error, unsaid, "no TCP relay socket");
                }
                Outcome::Failed
            }
        }
    }

    /// Closes a listening socket, if this relay has one.
    pub(super) fn close_listener(&mut self, relay: RelayId) {
        if let Some(task) = self.listeners.remove(&relay) {
            task.abort();
        }
    }

    /// Connects to a peer from a relay's address.
    pub(super) fn connect(
        &mut self,
        id: EffectId,
        connection: ConnectionId,
        local: SocketAddr,
        to: PeerAddr,
    ) {
        let Some(common) = self.common.upgrade() else { return };
        let task = self.tasks.spawn(connect(common, id, connection, local, to));
        self.peers.insert(connection, Peer::Connecting(task));
    }

    /// Hands a connection over to be joined; `None` when it is not there.
    pub(super) fn join(&mut self, id: ConnectionId) -> Option<Joined> {
        let peer = self.peers.get_mut(&id)?;
        let closed = Rc::new(Notify::new());
        match std::mem::replace(peer, Peer::Joined(Rc::clone(&closed))) {
            Peer::Waiting(task, peer) => {
                // It reads no more: it is not at work now, and won't be again.
                task.abort();
                Some(Joined { id, peer, closed })
            }
            other => {
                *peer = other;
                None
            }
        }
    }

    /// Closes a connection, however far it has come.
    pub(super) fn close(&mut self, id: ConnectionId) {
        match self.peers.remove(&id) {
            Some(Peer::Connecting(task) | Peer::Waiting(task, _)) => task.abort(),
            Some(Peer::Joined(closed)) => closed.notify_one(),
            None => {}
        }
    }

    /// A connection has ended by itself.
    pub(super) fn forget(&mut self, id: ConnectionId) {
        self.peers.remove(&id);
    }

    /// A connection stands; its task keeps what comes.
    fn wait(&mut self, id: ConnectionId, task: AbortHandle, peer: Rc<PeerStream>) {
        self.peers.insert(id, Peer::Waiting(task, peer));
    }

    /// The task of a connection that is being opened.
    fn connecting(&self, id: ConnectionId) -> Option<AbortHandle> {
        match self.peers.get(&id)? {
            Peer::Connecting(task) => Some(task.clone()),
            Peer::Waiting(..) | Peer::Joined(_) => None,
        }
    }
}

/// Takes in the connections of peers to one relay.
async fn accept(common: Rc<Common>, tasks: Tasks, relay: RelayId, listener: TcpListener) -> io::Result<()> {
    let mut arrivals = Accept::new(listener, "peers");
    loop {
        let (stream, from) = arrivals.accept().await;
        let shard = &mut *common.shard.borrow_mut();
        let now = shard.clock.now();
        // Without an id it is closed by being dropped here.
        if let Some(id) = shard.peer_connection(now, relay, PeerAddr::new(from)) {
            let peer = Rc::new(PeerStream::new(stream));
            let task = tasks.spawn(keep_early(Rc::clone(&common), id, Rc::clone(&peer)));
            shard.tcp_relays.wait(id, task, peer);
            shard.flush(now, |_| &[]);
        }
    }
}

/// Opens a connection to a peer, then keeps what comes over it.
async fn connect(
    common: Rc<Common>,
    effect: EffectId,
    id: ConnectionId,
    local: SocketAddr,
    to: PeerAddr,
) -> io::Result<()> {
    let opened = open(local, to.socket()).await.map(|stream| Rc::new(PeerStream::new(stream)));
    let outcome = match &opened {
        Ok(_) => Outcome::Connected,
        // The kernel may lose patience before the 30 s that a peer has
        // (RFC 6062 §5.2): the engine says when they are over.
        Err(error) if error.kind() == io::ErrorKind::TimedOut => return future::pending().await,
        Err(error) => match Errno::from_io_error(error) {
            Some(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM) => Outcome::Failed,
            _ => Outcome::Refused,
        },
    };
    {
        let shard = &mut *common.shard.borrow_mut();
        let task = shard.tcp_relays.connecting(id);
        match (&opened, task) {
            (Ok(peer), Some(task)) => shard.tcp_relays.wait(id, task, Rc::clone(peer)),
            _ => shard.tcp_relays.forget(id),
        }
        let now = shard.clock.now();
        shard.complete(now, effect, outcome);
        shard.flush(now, |_| &[]);
    }
    match opened {
        Ok(peer) => keep_early(common, id, peer).await,
        Err(_) => Ok(()),
    }
}

/// Keeps what a peer sends before its connection is bound. It is read, and not
/// left to the kernel, so that a peer that hangs up is noticed.
async fn keep_early(common: Rc<Common>, id: ConnectionId, peer: Rc<PeerStream>) -> io::Result<()> {
    loop {
        let ready = peer.stream.readable().await;
        let buffer = &mut **common.stream.borrow_mut();
        match ready.and_then(|()| peer.stream.try_read(buffer)) {
            // Its last word is still delivered.
            Ok(0) => {
                peer.ended.set(true);
                return Ok(());
            }
            Ok(count) if peer.early.borrow().len() + count <= EARLY_LIMIT => {
                peer.early.borrow_mut().extend_from_slice(&buffer[..count]);
            }
            Err(error) if is_transient(&error) => {}
            Ok(_) | Err(_) => {
                let shard = &mut *common.shard.borrow_mut();
                shard.tcp_relays.forget(id);
                shard.engine.peer_connection_closed(id);
                return Ok(());
            }
        }
    }
}

/// Not the connection's fault.
pub(super) fn is_transient(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl PeerStream {
    fn new(stream: TcpStream) -> Self {
        // Fails only on a connection that is closed already, as a read will tell.
        let _ = stream.set_nodelay(true);
        Self { stream, early: RefCell::default(), ended: Cell::new(false) }
    }
}

fn listen(local: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket(local)?;
    // What lingers of an earlier allocation's connections is no obstacle.
    socket.set_reuseaddr(true)?;
    socket.bind(local)?;
    // For the sockets that connect from this address. Not before the port was
    // found free: another program's that says so too would be shared.
    socket.set_reuseport(true)?;
    socket.listen(BACKLOG)
}

/// RFC 6062 §5.2: the source is the relayed transport address.
async fn open(local: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = socket(local)?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(local)?;
    socket.connect(to).await
}

fn socket(local: SocketAddr) -> io::Result<TcpSocket> {
    if local.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}
