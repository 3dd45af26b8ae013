//! Signaling rooms without their sockets: who is in which room, and the queue
//! of messages to each. Two peers a room; nothing outlives the peers. A peer
//! whose queue is full is put out, so that one who does not read costs a
//! bounded amount of memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrayvec::ArrayVec;
use axum::extract::ws::Utf8Bytes;
use tokio::sync::mpsc;

/// Messages that may wait for one peer.
const QUEUE: usize = 128;
/// Bytes that may wait for one peer.
const QUEUE_BYTES: usize = 256 * 1024;

/// The other one has gone.
const LEFT: Utf8Bytes = Utf8Bytes::from_static(r#"{"left":true}"#);
/// How many are in the room.
const ONE_PEER: Utf8Bytes = Utf8Bytes::from_static(r#"{"peers":1}"#);
const TWO_PEERS: Utf8Bytes = Utf8Bytes::from_static(r#"{"peers":2}"#);

/// All rooms of a server.
pub(super) struct Rooms {
    rooms: Mutex<HashMap<String, Room>>,
    most: usize,
}

type Room = ArrayVec<Member, 2>;

struct Member {
    seat: Arc<Seat>,
    queue: mpsc::Sender<Utf8Bytes>,
}

/// One stay of one peer in a room, told apart from others by its address.
#[derive(Default)]
struct Seat {
    /// Bytes that wait for it.
    waiting: AtomicUsize,
}

/// Why a room can't be joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Closed {
    /// Two peers are in it.
    Full,
    /// There are as many rooms as there may be.
    TooMany,
}

impl Closed {
    /// What whoever came is told.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::Full => "this room has two peers already",
            Self::TooMany => "there are too many rooms",
        }
    }
}

impl Rooms {
    /// At most `most` rooms at once.
    pub(super) fn new(most: usize) -> Self {
        Self { rooms: Mutex::default(), most }
    }

    /// Enters a room, which is made when there is none. Both peers are told how
    /// many are in it.
    pub(super) fn join(self: &Arc<Self>, name: &str) -> Result<(Membership, Inbox), Closed> {
        let mut rooms = self.lock();
        if rooms.len() >= self.most && !rooms.contains_key(name) {
            return Err(Closed::TooMany);
        }
        let room = rooms.entry(name.to_owned()).or_default();
        let (queue, messages) = mpsc::channel(QUEUE);
        let seat = Arc::new(Seat::default());
        room.try_push(Member { seat: seat.clone(), queue }).map_err(|_| Closed::Full)?;
        tell_count(room);
        let inbox = Inbox { seat: seat.clone(), messages };
        Ok((Membership { rooms: self.clone(), name: name.to_owned(), seat }, inbox))
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in a room, given up when it is dropped.
pub(super) struct Membership {
    rooms: Arc<Rooms>,
    name: String,
    seat: Arc<Seat>,
}

impl Membership {
    /// Hands a message to the other peer. Without one it is lost: nothing is
    /// stored.
    pub(super) fn relay(&self, message: Utf8Bytes) {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(&self.name) else { return };
        let here = room.iter().any(|m| Arc::ptr_eq(&m.seat, &self.seat));
        let Some(other) = room.iter().position(|m| here && !Arc::ptr_eq(&m.seat, &self.seat)) else {
            return;
        };
        if !room[other].push(message) {
            put_out(room, other);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut rooms = self.rooms.lock();
        let Some(room) = rooms.get_mut(&self.name) else { return };
        if let Some(at) = room.iter().position(|m| Arc::ptr_eq(&m.seat, &self.seat)) {
            put_out(room, at);
        }
        if room.is_empty() {
            rooms.remove(&self.name);
        }
    }
}

/// Messages to one peer.
pub(super) struct Inbox {
    seat: Arc<Seat>,
    messages: mpsc::Receiver<Utf8Bytes>,
}

impl Inbox {
    /// The next message. `None`: put out of the room for reading too slowly.
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Option<Utf8Bytes> {
        let message = self.messages.recv().await?;
        self.seat.waiting.fetch_sub(message.len(), Relaxed);
        Some(message)
    }
}

impl Member {
    /// False when the peer has too much waiting already.
    fn push(&self, message: Utf8Bytes) -> bool {
        let length = message.len();
        let waiting = self.seat.waiting.fetch_add(length, Relaxed) + length;
        let taken = waiting <= QUEUE_BYTES && self.queue.try_send(message).is_ok();
        if !taken {
            self.seat.waiting.fetch_sub(length, Relaxed);
        }
        taken
    }
}

/// Takes one peer out and tells the other, who goes too if it does not read.
fn put_out(room: &mut Room, at: usize) {
    room.remove(at);
    room.retain(|other| other.push(LEFT));
    tell_count(room);
}

fn tell_count(room: &mut Room) {
    let count = match room.len() {
        1 => ONE_PEER,
        2 => TWO_PEERS,
        _ => return,
    };
    if let Some(slow) = room.iter().position(|member| !member.push(count.clone())) {
        put_out(room, slow);
    }
}

#[cfg(test)]
#[path = "rooms_test.rs"]
mod tests;
