//! The TCP connections of one shard, as the packet path sees them: what waits
//! to be written, and what bounds that.

use std::collections::HashMap;
use std::io;
use std::rc::Rc;

use slab::Slab;
use tokio::sync::Notify;

use super::stream::Stream;
use super::tcp_relay::Joined;
use crate::relay::{ClientPath, FiveTuple, Instant, Link, ShardId};

/// Relayed bytes that may wait for a client; what does not fit is dropped.
pub(super) const RELAYED_LIMIT: usize = 256 * 1024;

/// Room above that for STUN messages alone; all the room there is for a client
/// without an allocation. A client that leaves even this unread is closed.
pub(super) const CONTROL_RESERVE: usize = 64 * 1024;

/// Empty buffers kept for the next connections that need one.
const SPARES: usize = 64;

/// Largest of them, bytes.
const MAX_SPARE: usize = 64 * 1024;

/// What the kernel may hold for a client that does not read, bytes as it counts
/// them: little for a stranger, who could have it hold 4 MB by itself.
const STRANGERS_SEND_BUFFER: usize = 32 * 1024;
const CLIENTS_SEND_BUFFER: usize = 512 * 1024;

/// Set in a [`Link`] that is a connection; without it, a UDP listener.
const CONNECTION: u32 = 1 << 31;

/// A connection's place among those of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Slot(u32);

impl Slot {
    /// The handle that the engine keeps.
    pub(super) fn link(self) -> Link {
        Link(CONNECTION | self.0)
    }

    /// The connection behind a link; `None` for a UDP listener.
    pub(super) fn of(link: Link) -> Option<Self> {
        (link.0 & CONNECTION != 0).then_some(Self(link.0 & !CONNECTION))
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// Whether a connection's client has an allocation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tenure {
    /// None yet.
    New,
    /// It has one; frames may be large, and silence is fine.
    Allocated,
    /// It had one until then.
    Released(Instant),
}

/// One open connection.
#[derive(Debug)]
struct Connection {
    stream: Rc<Stream>,
    /// Wakes the connection's task: something waits to be written, or it is to
    /// close.
    wake: Rc<Notify>,
    five_tuple: FiveTuple,
    waiting: OutQueue,
    tenure: Tenure,
    /// Among [`Connections::written`].
    noted: bool,
    closing: bool,
    /// Bytes that the kernel has taken.
    written: u64,
    departure: Option<Departure>,
}

/// Where a connection goes that carries no frames here any more.
#[derive(Debug)]
pub(super) enum Departure {
    /// Joined to a peer's connection.
    Joined(Joined),
    /// To another shard.
    ToShard(ShardId),
}

/// All open connections of a shard.
#[derive(Debug, Default)]
pub(super) struct Connections {
    open: Slab<Connection>,
    /// For the engine's effects, which name a client and not a link.
    by_client: HashMap<FiveTuple, Slot, foldhash::fast::RandomState>,
    /// Those that the current batch has written to.
    written: Vec<Slot>,
    spares: Vec<Vec<u8>>,
}

impl Connections {
    /// Takes in a connection; `None` when there is no number left for it.
    pub(super) fn insert(
        &mut self,
        stream: Rc<Stream>,
        wake: Rc<Notify>,
        five_tuple: FiveTuple,
    ) -> Option<ClientPath> {
        // A buffer of the system's own choice does as well.
        let _ = stream.set_send_buffer(STRANGERS_SEND_BUFFER);
        let slot = Slot(u32::try_from(self.open.vacant_key()).ok().filter(|n| n & CONNECTION == 0)?);
        self.open.insert(Connection {
            stream,
            wake,
            five_tuple,
            waiting: OutQueue::default(),
            tenure: Tenure::New,
            noted: false,
            closing: false,
            written: 0,
            departure: None,
        });
        self.by_client.insert(five_tuple, slot);
        Some(ClientPath::new(slot.link(), five_tuple))
    }

    /// Ends the connection of this client, if there is one, and says which it was.
    /// It keeps its slot until its task has seen it.
    pub(super) fn end(&mut self, five_tuple: FiveTuple) -> Option<ClientPath> {
        let slot = self.by_client.remove(&five_tuple)?;
        self.close(slot);
        Some(ClientPath::new(slot.link(), five_tuple))
    }

    /// Forgets a connection. Returns where it goes instead of being closed, with
    /// the bytes that the client has not taken yet.
    pub(super) fn remove(&mut self, slot: Slot) -> Option<(Departure, Vec<u8>)> {
        let mut connection = self.open.try_remove(slot.index())?;
        // The same client may have come back by a new connection already.
        if self.by_client.get(&connection.five_tuple) == Some(&slot) {
            self.by_client.remove(&connection.five_tuple);
        }
        self.written.retain(|other| *other != slot);
        if let Some(departure) = connection.departure {
            return Some((departure, connection.waiting.into_bytes()));
        }
        connection.waiting.recycle(&mut self.spares);
        None
    }

    /// No frame is to be read from this connection any more.
    pub(super) fn depart(&mut self, slot: Slot, departure: Departure) {
        if let Some(connection) = self.open.get_mut(slot.index()) {
            if matches!(departure, Departure::Joined(_)) {
                // It stays as it is where the system won't.
                let _ = connection.stream.set_send_buffer(CLIENTS_SEND_BUFFER);
            }
            connection.departure = Some(departure);
        }
    }

    /// See [`Connections::depart`].
    pub(super) fn departure(&self, slot: Slot) -> Option<&Departure> {
        self.open.get(slot.index())?.departure.as_ref()
    }

    /// The client has an allocation from now on, or none any more.
    pub(super) fn set_tenure(&mut self, client: FiveTuple, tenure: Tenure) {
        let slot = self.by_client.get(&client);
        if let Some(connection) = slot.and_then(|slot| self.open.get_mut(slot.index())) {
            connection.tenure = tenure;
            if tenure == Tenure::Allocated {
                // It stays as it is where the system won't.
                let _ = connection.stream.set_send_buffer(CLIENTS_SEND_BUFFER);
            }
        }
    }

    /// See [`Tenure`].
    pub(super) fn tenure(&self, slot: Slot) -> Tenure {
        self.open.get(slot.index()).map_or(Tenure::New, |connection| connection.tenure)
    }

    /// Whether the packet path has given this connection up.
    pub(super) fn closing(&self, slot: Slot) -> bool {
        self.open.get(slot.index()).is_none_or(|connection| connection.closing)
    }

    /// Whether something waits until the client reads.
    pub(super) fn waiting(&self, slot: Slot) -> bool {
        let waits = |connection: &Connection| !connection.waiting.is_empty() || connection.stream.waiting();
        self.open.get(slot.index()).is_some_and(waits)
    }

    /// How many bytes the client has been given, when more of them wait.
    pub(super) fn progress(&self, slot: Slot) -> Option<u64> {
        let connection = self.open.get(slot.index()).filter(|_| self.waiting(slot))?;
        Some(connection.written)
    }

    /// Queues a relayed packet; false when the client is too slow for it.
    pub(super) fn relayed(&mut self, slot: Slot, parts: [&[u8]; 3]) -> bool {
        self.queue(slot, parts, RELAYED_LIMIT)
    }

    /// Queues a STUN message; false when the client does not take even those,
    /// and is closed for it.
    pub(super) fn control(&mut self, slot: Slot, message: &[u8]) -> bool {
        let limit = match self.tenure(slot) {
            Tenure::Allocated => RELAYED_LIMIT + CONTROL_RESERVE,
            Tenure::New | Tenure::Released(_) => CONTROL_RESERVE,
        };
        let queued = self.queue(slot, [message, &[], &[]], limit);
        if !queued {
            self.close(slot);
        }
        queued
    }

    /// Writes what the current batch has queued, each connection once. One that
    /// takes not all of it is left to its task.
    pub(super) fn write_all(&mut self) {
        while let Some(slot) = self.written.pop() {
            if let Some(connection) = self.open.get_mut(slot.index()) {
                connection.noted = false;
            }
            self.write(slot);
            if self.waiting(slot) {
                self.wake(slot);
            }
        }
    }

    /// Writes what a connection takes now.
    pub(super) fn write(&mut self, slot: Slot) {
        let Some(connection) = self.open.get_mut(slot.index()) else { return };
        let stream = &connection.stream;
        let before = connection.waiting.len();
        if connection.waiting.write(|bytes| stream.write(bytes)).and_then(|()| stream.flush()).is_err() {
            self.close(slot);
            return;
        }
        connection.written += (before - connection.waiting.len()) as u64;
        if connection.waiting.is_empty() {
            connection.waiting.recycle(&mut self.spares);
        }
    }

    fn queue(&mut self, slot: Slot, parts: [&[u8]; 3], limit: usize) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.open.get(slot.index()).is_some_and(|c| c.waiting.len() + length > limit) {
            // One that reads has not been given the batch so far.
            self.write(slot);
        }
        let Some(connection) = self.open.get_mut(slot.index()) else { return false };
        if connection.closing || !connection.waiting.push(parts, limit, &mut self.spares) {
            return false;
        }
        if !connection.noted {
            connection.noted = true;
            self.written.push(slot);
        }
        true
    }

    /// Leaves it to the connection's task to close it.
    fn close(&mut self, slot: Slot) {
        if let Some(connection) = self.open.get_mut(slot.index()) {
            connection.closing = true;
        }
        self.wake(slot);
    }

    fn wake(&self, slot: Slot) {
        if let Some(connection) = self.open.get(slot.index()) {
            connection.wake.notify_one();
        }
    }
}

/// Bytes on their way to one client. Holds no memory while it is empty.
#[derive(Debug, Default)]
struct OutQueue {
    bytes: Vec<u8>,
    /// Bytes at the front that are written already.
    done: usize,
}

impl OutQueue {
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn len(&self) -> usize {
        self.bytes.len() - self.done
    }

    /// Appends the parts, or nothing when more than `limit` bytes would wait.
    fn push(&mut self, parts: [&[u8]; 3], limit: usize, spares: &mut Vec<Vec<u8>>) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.len() + length > limit {
            return false;
        }
        if self.bytes.capacity() == 0 {
            self.bytes = spares.pop().unwrap_or_default();
        }
        // Keeps the vector within twice the limit, at a cost of at most one
        // copy for each byte written.
        if self.done > self.len() {
            self.bytes.drain(..self.done);
            self.done = 0;
        }
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        true
    }

    /// Hands bytes to `write` until it has them all or would block.
    fn write(&mut self, mut write: impl FnMut(&[u8]) -> io::Result<usize>) -> io::Result<()> {
        while !self.is_empty() {
            match write(&self.bytes[self.done..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => self.done += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// What has not been written.
    fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.drain(..self.done);
        self.bytes
    }

    /// Gives the buffer to whoever needs one next.
    fn recycle(&mut self, spares: &mut Vec<Vec<u8>>) {
        let mut bytes = std::mem::take(&mut self.bytes);
        self.done = 0;
        if spares.len() < SPARES && (1..=MAX_SPARE).contains(&bytes.capacity()) {
            bytes.clear();
            spares.push(bytes);
        }
    }
}

#[cfg(test)]
#[path = "connections_test.rs"]
mod tests;
