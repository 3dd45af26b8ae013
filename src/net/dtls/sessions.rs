//! The DTLS sessions of one shard, as the packet path sees them, and the
//! handshakes that are under way for it: whose a record is, and what one costs.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;
use tokio::sync::mpsc;

use super::cookie::Cookies;
use super::handshake::{Acceptor, Begin, Done, Pending, Report};
use super::hello::{Challenge, ClientHello, LARGEST_HELLO, records};
use super::pipe::{Flight, Opened, Pipe};
use super::session::Session;
use crate::net::connections::Tenure;
use crate::net::limit::Permit;
use crate::net::tcp::Watch;
use crate::relay::world::Throttle;
use crate::relay::{ClientPath, DropReason, FiveTuple, Instant, Link};

/// Set in a [`Link`] that is a session; a UDP listener and a TCP connection have
/// it not.
const SESSION: u32 = 1 << 30;

/// Hellos before the one with the cookie, in one handshake: a second is there
/// when the first cookie has become old on its way.
const MAX_HELLOS: u16 = 3;

const HANDSHAKE: u8 = 22;

/// Kept of the first datagram besides the hello in it: headers, of a record or of
/// some.
const HEADERS: usize = 256;

/// A session's place among those of its shard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::net) struct SessionSlot(u32);

impl SessionSlot {
    /// The session behind a link; `None` for a UDP listener or a TCP connection.
    pub(in crate::net) fn of(link: Link) -> Option<Self> {
        (link.0 >> 30 == 1).then_some(Self(link.0 & !SESSION))
    }

    fn link(self) -> Link {
        Link(SESSION | self.0)
    }

    fn index(self) -> usize {
        self.0 as usize
    }
}

/// One session.
struct Open {
    session: Session,
    path: ClientPath,
    /// The number of its UDP listener.
    listener: u32,
    /// Of the hello that began it.
    random: [u8; 32],
    watch: Watch,
    tenure: Tenure,
    _permit: Permit,
}

/// What a shard needs to take DTLS in.
pub(in crate::net) struct Entry {
    pub cookies: Cookies,
    /// Does the handshakes, and sends [`Report`]s of them.
    pub acceptor: Arc<Acceptor>,
    pub reports: mpsc::Sender<Report>,
    /// What goes to strangers is limited, and so are their handshakes.
    pub throttle: Arc<dyn Throttle>,
}

/// See the module's head.
pub(in crate::net) struct Dtls {
    entry: Entry,
    open: Slab<Open>,
    by_client: HashMap<FiveTuple, SessionSlot, foldhash::fast::RandomState>,
    handshakes: HashMap<FiveTuple, Pending, foldhash::fast::RandomState>,
    /// How many handshakes there were.
    begun: u64,
    /// Lent to whichever session is at work; its datagrams wait for the batch's
    /// end.
    pipe: Pipe,
    /// A message that is made of parts, put together.
    plain: Vec<u8>,
}

/// Where a datagram went.
#[derive(Debug)]
pub(in crate::net) enum Arrival {
    Dropped(DropReason),
    /// To be answered with this one.
    Challenged(Challenge),
    /// A handshake has it.
    Taken,
    /// A session's, to be read with [`Dtls::read`].
    Session(SessionSlot),
}

/// What a session's datagram holds next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::net) enum Read {
    /// A message of so many bytes.
    Message(usize),
    Nothing,
    /// The session is over and forgotten.
    End,
}

impl Dtls {
    pub(in crate::net) fn new(entry: Entry) -> Self {
        Self {
            entry,
            open: Slab::new(),
            by_client: HashMap::default(),
            handshakes: HashMap::default(),
            begun: 0,
            pipe: Pipe::default(),
            plain: Vec::new(),
        }
    }

    /// What goes to strangers is limited by this one from now on.
    pub(in crate::net) fn set_throttle(&mut self, throttle: Arc<dyn Throttle>) {
        self.entry.throttle = throttle;
    }

    /// Sorts a datagram that has come in by a listener.
    pub(in crate::net) fn arrived(
        &mut self,
        now: Instant,
        (listener, client): (u32, FiveTuple),
        datagram: &[u8],
    ) -> Arrival {
        if let Some(hello) = ClientHello::parse(datagram) {
            return self.hello(now, (listener, client), (&hello, datagram));
        }
        let Some(record) = records(datagram).next() else { return Arrival::Dropped(DropReason::Malformed) };
        let session = self.by_client.get(&client).copied();
        // A client that begins anew may still use what it had before.
        let for_handshake = record.epoch == 0 || record.kind == HANDSHAKE || session.is_none();
        match (self.handshakes.get_mut(&client).filter(|_| for_handshake), session) {
            (Some(pending), _) => pending.offer(datagram),
            (None, Some(slot)) => {
                self.pipe.put(datagram);
                Arrival::Session(slot)
            }
            (None, None) => Arrival::Dropped(DropReason::NoSession),
        }
    }

    /// RFC 6347 §4.2.1: nothing is kept of a hello without a good cookie, and
    /// nothing that is there is touched for it (§4.2.8).
    fn hello(
        &mut self,
        now: Instant,
        (listener, client): (u32, FiveTuple),
        (hello, datagram): (&ClientHello<'_>, &[u8]),
    ) -> Arrival {
        let entry = &self.entry;
        let again = !hello.cookie.is_empty();
        if let Some(pending) = self.handshakes.get_mut(&client)
            && again
            && pending.random == *hello.random
        {
            return pending.offer(datagram);
        }
        let session = self.by_client.get(&client).and_then(|slot| self.open.get(slot.index()));
        if again && session.is_some_and(|open| open.random == *hello.random) {
            // It comes late: its handshake is done.
            return Arrival::Dropped(DropReason::Retransmission);
        }
        let numbered = u64::from(hello.message_sequence) <= hello.sequence();
        let counted = (1..=MAX_HELLOS).contains(&hello.message_sequence) && numbered;
        let good = counted && entry.cookies.is_good(now, client, hello);
        // Counted both times, so that an address has only so many handshakes too.
        if !entry.throttle.may_answer(now, client.client.ip()) {
            return Arrival::Dropped(DropReason::Throttled);
        }
        if !good {
            return Arrival::Challenged(hello.challenge(&entry.cookies.make(now, client, hello)));
        }
        self.begun += 1;
        let datagram = &datagram[..datagram.len().min(LARGEST_HELLO + HEADERS)];
        let begin = Begin { id: self.begun, client, listener, hello: datagram.to_vec() };
        match entry.acceptor.begin(begin, *hello.random, &entry.reports) {
            Some(pending) => {
                // An earlier one for this client ends without this end of it.
                self.handshakes.insert(client, pending);
                Arrival::Taken
            }
            None => Arrival::Dropped(DropReason::Throttled),
        }
    }

    /// A session's datagram, to be read with [`Dtls::read`].
    pub(in crate::net) fn put(&mut self, datagram: &[u8]) {
        self.pipe.put(datagram);
    }

    /// What the datagram that was put last holds next, decrypted into `into`,
    /// which has room for it when it is the datagram itself. Each datagram is
    /// read until there is nothing. What is to be answered is added to
    /// [`Dtls::leaving`].
    pub(in crate::net) fn read(&mut self, now: Instant, slot: SessionSlot, into: &mut [u8]) -> Read {
        let Some(open) = self.open.get_mut(slot.index()) else { return Read::Nothing };
        match open.session.read(&mut self.pipe, into) {
            Opened::Message(length) => {
                open.watch.heard(now);
                Read::Message(length)
            }
            Opened::Nothing => Read::Nothing,
            Opened::End => {
                // Answered in kind (RFC 5246 §7.2.1).
                open.session.close(&mut self.pipe);
                self.end(slot);
                Read::End
            }
        }
    }

    /// Encrypts a message for a client. Returns the listener it leaves by, and
    /// its place among [`Dtls::leaving`]; `None` when there is no such client,
    /// or no record for so long a message.
    pub(in crate::net) fn seal(&mut self, slot: SessionSlot, parts: [&[u8]; 3]) -> Option<(u32, usize)> {
        let open = self.open.get_mut(slot.index())?;
        let message = match parts {
            [whole, [], []] => whole,
            parts => {
                self.plain.clear();
                parts.iter().for_each(|part| self.plain.extend_from_slice(part));
                &self.plain
            }
        };
        let sealed = open.session.seal(&mut self.pipe, message);
        let place = self.pipe.leaving.len().checked_sub(1).filter(|_| sealed)?;
        Some((open.listener, place))
    }

    /// Whose a session is, and the number of the listener its datagrams leave by.
    pub(in crate::net) fn path(&self, slot: SessionSlot) -> Option<(u32, ClientPath)> {
        self.open.get(slot.index()).map(|open| (open.listener, open.path))
    }

    /// Datagrams of this batch that are to be sent as they are.
    pub(in crate::net) const fn leaving(&self) -> &Flight {
        &self.pipe.leaving
    }

    /// The batch's datagrams are sent.
    pub(in crate::net) fn sent(&mut self) {
        self.pipe.leaving.clear();
    }

    /// A handshake is done. Returns the client's new session, the old one whose
    /// place it takes, and what has come for it meanwhile; `None` when the client
    /// has begun another one since.
    pub(in crate::net) fn established(
        &mut self,
        now: Instant,
        done: Done,
    ) -> Option<(SessionSlot, Option<ClientPath>, mpsc::Receiver<Vec<u8>>)> {
        let Done { id, client, listener, session, permit, inbox } = done;
        let pending = self.handshakes.get(&client).filter(|pending| pending.id == id)?;
        let random = pending.random;
        self.handshakes.remove(&client);
        let before = self.by_client.get(&client).copied().and_then(|slot| self.end(slot));
        // Fewer than there may be sessions.
        let slot = SessionSlot(self.open.vacant_key() as u32);
        self.open.insert(Open {
            session,
            path: ClientPath::new(slot.link(), client),
            listener,
            random,
            watch: Watch::new(now),
            tenure: Tenure::New,
            _permit: permit,
        });
        self.by_client.insert(client, slot);
        Some((slot, before, inbox))
    }

    /// A handshake has failed, or was given up.
    pub(in crate::net) fn failed(&mut self, client: FiveTuple, id: u64) {
        if self.handshakes.get(&client).is_some_and(|pending| pending.id == id) {
            self.handshakes.remove(&client);
        }
    }

    /// The client has an allocation from now on, or none any more.
    pub(in crate::net) fn set_tenure(&mut self, client: FiveTuple, tenure: Tenure) {
        let slot = self.by_client.get(&client);
        if let Some(open) = slot.and_then(|slot| self.open.get_mut(slot.index())) {
            open.tenure = tenure;
        }
    }

    /// Sessions whose clients have let a deadline pass.
    pub(in crate::net) fn overdue(&self, now: Instant) -> Vec<SessionSlot> {
        let overdue = |open: &Open| open.watch.deadline(open.tenure).is_some_and(|at| at <= now);
        let slots = self.open.iter().filter(|(_, open)| overdue(open)).map(|(index, _)| index);
        slots.filter_map(|index| u32::try_from(index).ok().map(SessionSlot)).collect()
    }

    /// Every session.
    pub(in crate::net) fn slots(&self) -> Vec<SessionSlot> {
        self.open.iter().filter_map(|(index, _)| u32::try_from(index).ok().map(SessionSlot)).collect()
    }

    /// Says goodbye to a client, by [`Dtls::leaving`], and forgets it.
    pub(in crate::net) fn close(&mut self, slot: SessionSlot) {
        if let Some(open) = self.open.get_mut(slot.index()) {
            open.session.close(&mut self.pipe);
            self.end(slot);
        }
    }

    fn end(&mut self, slot: SessionSlot) -> Option<ClientPath> {
        let open = self.open.try_remove(slot.index())?;
        let client = open.path.five_tuple;
        if self.by_client.get(&client) == Some(&slot) {
            self.by_client.remove(&client);
        }
        Some(open.path)
    }
}
