//! Clients over TCP, bare or under TLS: the accept task of a listener, and one
//! task for each connection, which reads frames into the engine and keeps the
//! deadlines. What is written goes through `connections`.

use std::cell::Cell;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::{Notify, mpsc};
use tokio_rustls::rustls::ServerConnection;

use super::accept::Accept;
use super::connections::{Departure, Slot, Tenure};
use super::entrance::Entered;
use super::limit::{ConnectionLimit, Permit};
use super::splice::{Client, Side, splice};
use super::stream::{Left, READ_ROOM, Stream};
use super::tcp_relay::Joined;
use super::thread::{Common, Tasks};
use super::udp::BATCH;
use crate::relay::{ClientAddr, ClientPath, DropReason, FiveTuple, Instant, ServerAddr, ShardId, Transport};
use crate::wire::frame;

/// Largest frame: ChannelData with 65,535 bytes. Its padding comes on top.
const MAX_FRAME: usize = 65_539;

/// Largest frame from a client without an allocation.
const MAX_FRAME_BEFORE: usize = 16 * 1024;

/// Read at once; one buffer serves all connections of a shard. Larger than a
/// frame and its padding, so that a part of one always leaves room to read.
pub(super) const READ_BUFFER: usize = 128 * 1024;

// A part of a frame leaves room for whatever TLS brings out at once.
const _: () = assert!(READ_BUFFER - MAX_FRAME.next_multiple_of(4) >= READ_ROOM);

/// Read before other tasks get their turn: enough to be quick, little enough
/// that many connections with many small frames hold nobody up. A stranger's
/// share is a few messages.
const READ_A_TURN: usize = 32 * 1024;
const STRANGERS_READ_A_TURN: usize = 512;

/// Room for a part of a frame that a connection keeps when it has none: enough
/// for a packet, so that a busy one does not ask for it at each read.
const KEPT_WHEN_EMPTY: usize = 2048;

/// From accept to the first whole message.
const FIRST_MESSAGE: Duration = Duration::from_secs(10);

/// From the first byte of a frame to its last.
const WHOLE_FRAME: Duration = Duration::from_secs(30);

/// Without a message and without an allocation.
const IDLE: Duration = Duration::from_secs(60);

/// From the first message to an allocation, and from the end of the last one.
const WITHOUT_ALLOCATION: Duration = Duration::from_secs(300);

/// For a client without an allocation to read some of what waits for it.
const STALLED: Duration = Duration::from_secs(30);

/// Deadlines are looked at this often at least, as they move both ways.
const LOOK: Duration = Duration::from_secs(30);

/// Accepts connections for one shard.
pub(super) async fn accept(
    common: Rc<Common>,
    listener: std::net::TcpListener,
    limit: Arc<ConnectionLimit>,
    tasks: Tasks,
) -> io::Result<()> {
    let mut arrivals = Accept::from_std(listener, "clients")?;
    loop {
        let (stream, client) = arrivals.accept().await;
        let Some(permit) = limit.enter(client.ip()) else {
            common.shard.borrow().counters.connections_refused.add(1);
            continue;
        };
        // Either fails only on a connection that is closed already.
        let (Ok(server), Ok(())) = (stream.local_addr(), stream.set_nodelay(true)) else { continue };
        let five_tuple = FiveTuple {
            client: ClientAddr::new(client),
            server: ServerAddr::new(server),
            transport: Transport::Tcp,
        };
        admit(&common, Stream::new(stream, None), five_tuple, permit, &tasks);
    }
}

/// Takes in what the entrance hands over.
pub(super) async fn take_in(
    common: Rc<Common>,
    mut entered: mpsc::Receiver<Entered>,
    tasks: Tasks,
) -> io::Result<()> {
    while let Some(Entered { socket, session, client, server, permit }) = entered.recv().await {
        let five_tuple = FiveTuple {
            client: ClientAddr::new(client),
            server: ServerAddr::new(server),
            transport: if session.is_some() { Transport::Tls } else { Transport::Tcp },
        };
        // The kernel is short of memory: that connection alone is lost.
        let Ok(socket) = TcpStream::from_std(socket) else { continue };
        admit(&common, Stream::new(socket, session), five_tuple, permit, &tasks);
    }
    Ok(())
}

fn admit(common: &Rc<Common>, stream: Stream, five_tuple: FiveTuple, permit: Permit, tasks: &Tasks) {
    let watch = Watch::new(common.shard.borrow().clock.instant());
    begin(
        common,
        stream,
        five_tuple,
        Carried { unread: Vec::new(), unsent: Vec::new(), permit, watch },
        tasks,
    );
}

/// A client's connection on its way to another shard (see
/// [`Effect::PassOn`](crate::relay::Effect::PassOn)).
#[derive(Debug)]
pub(super) struct Moved {
    socket: std::net::TcpStream,
    /// Under TLS.
    session: Option<ServerConnection>,
    five_tuple: FiveTuple,
    carried: Carried,
}

/// What a connection has with it wherever it goes.
#[derive(Debug)]
struct Carried {
    unread: Vec<u8>,
    unsent: Vec<u8>,
    permit: Permit,
    watch: Watch,
}

/// Takes in the connections that other shards pass on.
pub(super) async fn adopt(
    common: Rc<Common>,
    mut moved: mpsc::Receiver<Moved>,
    tasks: Tasks,
) -> io::Result<()> {
    while let Some(Moved { socket, session, five_tuple, carried }) = moved.recv().await {
        // Fails only for want of memory or descriptors: that connection is lost.
        if let Ok(socket) = TcpStream::from_std(socket) {
            begin(&common, Stream::new(socket, session), five_tuple, carried, &tasks);
        }
    }
    Ok(())
}

/// Starts the task of a connection.
fn begin(common: &Rc<Common>, stream: Stream, five_tuple: FiveTuple, carried: Carried, tasks: &Tasks) {
    let Carried { unread, unsent, permit, watch } = carried;
    let stream = Rc::new(stream);
    let wake = Rc::new(Notify::new());
    let shard = &mut *common.shard.borrow_mut();
    // A client that comes back from the same port after a reset can be faster
    // than the task of its old connection, which is over in any case: a 5-tuple
    // has one.
    if let Some(old) = shard.connections.end(five_tuple) {
        let now = shard.clock.now();
        shard.client_gone(now, old);
    }
    let path = shard.connections.insert(Rc::clone(&stream), Rc::clone(&wake), five_tuple);
    let Some((path, slot)) = path.and_then(|path| Some((path, Slot::of(path.link)?))) else { return };
    shard.connections.control(slot, &unsent);
    shard.counters.connections.add(1);
    let connection = Connection { stream, path, slot, partial: unread, watch, permit };
    let common = Rc::clone(common);
    tasks.spawn(async move {
        connection.serve(&common, &wake).await;
        Ok(())
    });
}

/// What the task of one connection owns.
struct Connection {
    stream: Rc<Stream>,
    path: ClientPath,
    slot: Slot,
    /// The part of a frame that has come so far.
    partial: Vec<u8>,
    watch: Watch,
    permit: Permit,
}

/// What a turn of reading leaves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Turn {
    /// There may be more to read.
    More,
    /// Nothing to read now.
    Empty,
    /// Closed by the client, or for what it sent.
    Over,
}

impl Connection {
    /// Serves the connection until it is over, then forgets it.
    async fn serve(mut self, common: &Common, wake: &Notify) {
        let mut unread = std::mem::take(&mut self.partial);
        if unread.is_empty() || self.take_frames(common, &mut unread) {
            self.serve_frames(common, wake).await;
        }
        let departure = {
            let shard = &mut *common.shard.borrow_mut();
            let departure = shard.connections.remove(self.slot);
            if departure.is_none() {
                self.stream.close();
                let now = shard.clock.now();
                shard.client_gone(now, self.path);
            }
            departure
        };
        match departure {
            // Boxed: few connections come to this, and all would have its room.
            Some((Departure::Joined(joined), unsent)) => Box::pin(self.join(common, joined, unsent)).await,
            Some((Departure::ToShard(shard), unsent)) => self.pass_on(common, shard, unsent),
            None => {}
        }
        common.shard.borrow().counters.connections.sub(1);
    }

    /// Reads frames, and writes what waits, until there is nothing more to be had.
    async fn serve_frames(&mut self, common: &Common, wake: &Notify) {
        let stream = Rc::clone(&self.stream);
        stream.known().await;
        let clock = common.shard.borrow().clock;
        let mut look = pin!(tokio::time::sleep_until(clock.tokio(clock.instant() + FIRST_MESSAGE)));
        loop {
            let turn = if self.is_held_up(common) { Turn::Empty } else { self.read(common) };
            match turn {
                Turn::Over => break,
                Turn::More => {
                    common.shard.borrow_mut().connections.write(self.slot);
                    tokio::task::yield_now().await;
                    // Asked last: what came before a reset can still be read, and
                    // the client may have a new connection by now.
                    if self.is_given_up(common, clock.instant()) {
                        break;
                    }
                    continue;
                }
                Turn::Empty => {}
            }
            let waiting = common.shard.borrow().connections.waiting(self.slot);
            let interest = match waiting {
                _ if self.is_held_up(common) => Interest::WRITABLE,
                true => Interest::READABLE | Interest::WRITABLE,
                false => Interest::READABLE,
            };
            self.note_progress(common, clock.instant());
            select! {
                ready = stream.ready(interest) => match ready {
                    Ok(ready) if ready.is_writable() => common.shard.borrow_mut().connections.write(self.slot),
                    Ok(_) => {}
                    Err(_) => break,
                },
                () = wake.notified() => {}
                () = &mut look => {
                    let now = clock.instant();
                    self.note_progress(common, now);
                    let deadline = self.watch.deadline(common.shard.borrow().connections.tenure(self.slot));
                    if deadline.is_some_and(|deadline| deadline <= now) {
                        common.shard.borrow().counters.connections_refused.add(1);
                        break;
                    }
                    let next = deadline.map_or(now + LOOK, |deadline| deadline.min(now + LOOK));
                    look.as_mut().reset(clock.tokio(next));
                }
            }
            if common.shard.borrow().connections.closing(self.slot) {
                break;
            }
        }
    }

    /// Carries the bytes of a data connection (RFC 6062 §5.4) until it ends. What
    /// is left of the last read is the peer's; the replies not sent yet go first.
    async fn join(self, common: &Common, joined: Joined, unsent: Vec<u8>) {
        let Joined { id, peer, closed } = joined;
        let (up, down) = (Cell::new(0_u64), Cell::new(0_u64));
        let count = |total: &Cell<u64>, bytes: usize, up: usize, down: usize| {
            total.set(total.get() + bytes as u64);
            common.shard.borrow_mut().engine.data_relayed(id, up, down);
        };
        let spliced = async {
            let client = Client::new(&self.stream, &common.records);
            let client_side = Side { end: &client, first: unsent, early: self.partial, ended: false };
            let early = peer.early.take();
            let peer_side = Side { end: &peer.stream, first: Vec::new(), early, ended: peer.ended.get() };
            let (up, down) = (|bytes| count(&up, bytes, bytes, 0), |bytes| count(&down, bytes, 0, bytes));
            splice(client_side, peer_side, &common.stream, up, down).await
        };
        select! {
            // Broken or at its end, it is over.
            _ = spliced => {}
            () = closed.notified() => {}
        }
        self.stream.close();
        let shard = &mut *common.shard.borrow_mut();
        shard.tcp_relays.forget(id);
        shard.engine.peer_connection_closed(id);
        tracing::info!(
            target: "floe::allocation",
            connection = %id,
            client = %self.path.five_tuple.client,
            up_bytes = up.get(),
            down_bytes = down.get(),
            "data connection closed"
        );
    }

    /// Hands the connection to another shard; it is closed when that one has more
    /// of them than it takes in.
    fn pass_on(self, common: &Common, to: ShardId, unsent: Vec<u8>) {
        let Self { stream, path, partial: unread, watch, permit, .. } = self;
        let shard = common.shard.borrow();
        let neighbour = shard.neighbours.get(usize::from(to.0)).and_then(Option::as_ref);
        let stream = Rc::into_inner(stream).map(Stream::into_parts);
        let stream = stream.and_then(|(socket, session)| Some((socket.into_std().ok()?, session)));
        let passed = neighbour.zip(stream).is_some_and(|(neighbour, (socket, session))| {
            let carried = Carried { unread, unsent, permit, watch };
            let moved = Moved { socket, session, five_tuple: path.five_tuple, carried };
            neighbour.moved.try_send(moved).is_ok()
        });
        if !passed {
            shard.counters.connections_refused.add(1);
        }
    }

    /// Whether a client without an allocation has to read before it is read from:
    /// what it asks makes answers, and these are not to pile up.
    fn is_held_up(&self, common: &Common) -> bool {
        let connections = &common.shard.borrow().connections;
        connections.tenure(self.slot) != Tenure::Allocated && connections.waiting(self.slot)
    }

    fn note_progress(&mut self, common: &Common, now: Instant) {
        self.watch.progress(common.shard.borrow().connections.progress(self.slot), now);
    }

    /// Whether the client has let a deadline pass, or leaves even control messages
    /// unread.
    fn is_given_up(&self, common: &Common, now: Instant) -> bool {
        let connections = &common.shard.borrow().connections;
        let deadline = self.watch.deadline(connections.tenure(self.slot));
        connections.closing(self.slot) || deadline.is_some_and(|deadline| deadline <= now)
    }

    fn read(&mut self, common: &Common) -> Turn {
        let buffer = &mut **common.stream.borrow_mut();
        let records = &mut **common.records.borrow_mut();
        let share = match common.shard.borrow().connections.tenure(self.slot) {
            Tenure::Allocated => READ_A_TURN,
            Tenure::New | Tenure::Released(_) => STRANGERS_READ_A_TURN,
        };
        let kept = self.partial.len();
        let (count, left) = match self.stream.read(&mut buffer[kept..], records, share) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Turn::More,
            Err(_) => return Turn::Over,
        };
        if count > 0 {
            buffer[..kept].copy_from_slice(&self.partial);
            if !self.take_frames(common, &mut buffer[..kept + count]) {
                return Turn::Over;
            }
        }
        match left {
            Left::More => Turn::More,
            Left::Nothing => Turn::Empty,
            Left::End => Turn::Over,
        }
    }

    /// Hands every whole frame to the engine and keeps the rest. False when the
    /// stream is no stream of frames, or is none any more: there is no way to find
    /// the next one.
    fn take_frames(&mut self, common: &Common, bytes: &mut [u8]) -> bool {
        let shard = &mut *common.shard.borrow_mut();
        let now = shard.clock.now();
        let mut starts: arrayvec::ArrayVec<usize, BATCH> = arrayvec::ArrayVec::new();
        let mut at = 0;
        // And where the bytes begin that are left for later.
        let (good, rest) = loop {
            let max = match shard.connections.tenure(self.slot) {
                Tenure::Allocated => MAX_FRAME,
                Tenure::New | Tenure::Released(_) => MAX_FRAME_BEFORE,
            };
            let (message, total) = match frame::next(&bytes[at..], max) {
                frame::Next::Frame { message, total } => (message, total),
                frame::Next::NeedMore(_) => break (true, at),
                frame::Next::Invalid => {
                    shard.counters.dropped(DropReason::Malformed);
                    break (false, at);
                }
            };
            self.watch.heard(now.instant);
            shard.counters.client_in[self.path.five_tuple.transport.index()].count(total);
            starts.push(at);
            let effects = shard.client(now, self.path, starts.len() - 1, &mut bytes[at..at + message]);
            let began = at;
            at += total;
            if effects || starts.is_full() {
                shard.settle(now, |packet| &bytes[starts[packet]..]);
                starts.clear();
                match shard.connections.departure(self.slot) {
                    None => {}
                    // That shard reads the message again.
                    Some(Departure::ToShard(_)) => break (false, began),
                    Some(Departure::Joined(_)) => break (false, at),
                }
            }
        };
        shard.flush(now, |packet| &bytes[starts[packet]..]);
        self.keep(&bytes[rest..], now.instant);
        good
    }

    /// Keeps a part of a frame, and little memory when there is none.
    fn keep(&mut self, rest: &[u8], now: Instant) {
        self.partial.clear();
        self.partial.extend_from_slice(rest);
        if rest.is_empty() && self.partial.capacity() > KEPT_WHEN_EMPTY {
            self.partial = Vec::new();
        }
        self.watch.partial(!rest.is_empty(), now);
    }
}

/// The deadlines of a connection, or of a DTLS session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Watch {
    opened: Instant,
    /// The last whole message.
    heard: Option<Instant>,
    /// When the frame that is not whole yet began.
    partial: Option<Instant>,
    /// Bytes the client had been given, with more waiting, and since when it has
    /// been no more than these.
    stalled: Option<(u64, Instant)>,
}

impl Watch {
    pub(super) fn new(opened: Instant) -> Self {
        Self { opened, heard: None, partial: None, stalled: None }
    }

    /// A whole message has come.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = Some(now);
        self.partial = None;
    }

    /// A part of a frame is there, or none.
    fn partial(&mut self, there: bool, now: Instant) {
        self.partial = there.then(|| self.partial.unwrap_or(now));
    }

    /// What the client has been given so far while more waits; `None` when
    /// nothing does.
    fn progress(&mut self, given: Option<u64>, now: Instant) {
        self.stalled = match (given, self.stalled) {
            (Some(given), Some((before, since))) if given == before => Some((before, since)),
            (given, _) => given.map(|given| (given, now)),
        };
    }

    /// When the connection is to be closed, as things stand.
    pub(super) fn deadline(&self, tenure: Tenure) -> Option<Instant> {
        let Some(heard) = self.heard else { return Some(self.opened + FIRST_MESSAGE) };
        let stalled = self.stalled.map(|(_, since)| since + STALLED);
        let without = |since: Instant| {
            let idle = (heard.max(since) + IDLE).min(since + WITHOUT_ALLOCATION);
            stalled.map_or(idle, |stalled| stalled.min(idle))
        };
        let idle = match tenure {
            Tenure::New => Some(without(self.opened)),
            Tenure::Allocated => None,
            Tenure::Released(at) => Some(without(at)),
        };
        let whole = self.partial.map(|began| began + WHOLE_FRAME);
        idle.into_iter().chain(whole).min()
    }
}

#[cfg(test)]
#[path = "tcp_test.rs"]
mod tests;
