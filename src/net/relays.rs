//! The relay sockets of one shard. They have no task of their own: one
//! level-triggered epoll set holds them all and is itself one descriptor of the
//! shard's runtime, so that an allocation costs a socket and a table entry.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;

use super::seldom::Seldom;
use super::shard::Shard;
use super::thread::{Common, watch};
use super::udp::{self, Received};
use crate::relay::{DropReason, Family, Icmp, Now, Outcome, PeerAddr, RelayId};

/// Sockets read in one turn.
const EVENTS: usize = 64;

/// Messages taken from one socket in one turn, so that a peer that sends without
/// end takes no more than its share.
const SHARE: usize = 16;

/// ICMP errors taken from one socket in one turn.
const ERRORS_A_TURN: usize = 32;

/// Most bytes that a relay socket's buffers are asked to hold; there may be
/// thousands.
const MAX_BUFFER: usize = 1024 * 1024;

/// Reads every relay socket of a shard.
pub(super) async fn serve(common: Rc<Common>) -> io::Result<()> {
    let set = watch(common.shard.borrow().relays.descriptor())?;
    let mut events = Vec::new();
    loop {
        let mut guard = set.readable().await?;
        if read_ready(&common, &mut events) {
            drop(guard);
            tokio::task::yield_now().await;
        } else {
            // The set tells of a packet that comes from now on, though its
            // socket is still on the set's own list.
            guard.clear_ready();
        }
    }
}

/// Reads what some ready sockets have, several of them between two sends, so that
/// packets for one client leave together. False when all are empty.
fn read_ready(common: &Common, events: &mut Vec<epoll::Event>) -> bool {
    let received = &mut *common.received.borrow_mut();
    let shard = &mut *common.shard.borrow_mut();
    shard.relays.poll(events);
    let mut more = events.len() == events.capacity();
    received.clear();
    let mut now = shard.clock.now();
    for event in &*events {
        if received.room() < SHARE {
            shard.finish_peers(now, received);
            received.clear();
            now = shard.clock.now();
        }
        let flags = event.flags;
        if flags.contains(epoll::EventFlags::ERR) {
            more |= read_errors(shard, now, event);
        }
        let Some((relay, socket)) = shard.relays.at(event) else { continue };
        let first = received.len();
        match socket.recv_more(received, SHARE) {
            Ok(empty) => more |= !empty,
            Err(error) => {
                shard.receive_failed(&error);
                continue;
            }
        }
        for at in first..received.len() {
            let (meta, bytes) = received.packet(at);
            shard.counters.peer_in[relay.family.index()].count(bytes.len());
            if meta.truncated {
                shard.counters.dropped(DropReason::TooLarge);
                continue;
            }
            if shard.peer(now, relay, PeerAddr::new(meta.from), at, bytes) {
                shard.settle(now, |packet| received.bytes(packet));
            }
        }
    }
    shard.finish_peers(now, received);
    more
}

impl Shard {
    /// Ends a batch of packets from peers.
    fn finish_peers(&mut self, now: Now, received: &Received) {
        self.counters.kernel_drops[1].add(received.lost());
        self.flush(now, |packet| received.bytes(packet));
    }
}

/// Takes what ICMP had to say at one socket: a few errors at a turn, so that
/// nobody who sends them holds up packets. True when there may be more.
fn read_errors(shard: &mut Shard, now: Now, event: &epoll::Event) -> bool {
    let mut before = None;
    for _ in 0..ERRORS_A_TURN {
        let Some((relay, socket)) = shard.relays.at(event) else { return false };
        let Ok(error) = socket.recv_error() else { return false };
        // What this host itself would not send is told once for each try.
        let again = error.origin == udp::Origin::Local && before == Some(error);
        before = Some(error);
        if let Some(icmp) = icmp(&error).filter(|_| !again) {
            shard.icmp(now, relay, PeerAddr::new(error.destination), icmp);
        }
    }
    true
}

/// As ICMP has it. This host speaks as the first router on the way would of what
/// is too large for its own interface (RFC 8656 §14, §13.3); its other errors
/// are no one's but its own.
fn icmp(error: &udp::NetworkError) -> Option<Icmp> {
    let udp::NetworkError { origin, kind, code, info, .. } = *error;
    match origin {
        udp::Origin::Icmp | udp::Origin::Icmp6 => Some(Icmp { kind, code, mtu: info }),
        udp::Origin::Local if error.is_too_large() => {
            Some(Icmp::too_large(Family::of(error.destination.ip()), info))
        }
        udp::Origin::Local => None,
    }
}

/// All relay sockets of a shard.
#[derive(Debug)]
pub(super) struct Relays {
    epoll: Rc<OwnedFd>,
    /// By [`place`]; the engine reuses its indices, so the table is dense.
    sockets: Vec<Option<Relay>>,
    options: udp::Options,
    complaints: Seldom,
}

#[derive(Debug)]
struct Relay {
    id: RelayId,
    socket: udp::Socket,
}

/// Where a relay is in the table.
fn place(id: RelayId) -> usize {
    id.allocation.index as usize * Family::BOTH.len() + id.family.index()
}

impl Relays {
    /// None yet. `buffer` is what each socket asks for, at most 1 MiB of it.
    pub(super) fn new(buffer: usize) -> io::Result<Self> {
        let epoll = Rc::new(epoll::create(epoll::CreateFlags::CLOEXEC)?);
        let options = udp::Options {
            buffer: buffer.min(MAX_BUFFER),
            errors: true,
            join: true,
            ..udp::Options::default()
        };
        Ok(Self { epoll, sockets: Vec::new(), options, complaints: Seldom::default() })
    }

    /// Opens a socket at exactly `local`.
    pub(super) fn open(&mut self, id: RelayId, local: SocketAddr) -> Outcome {
        let at = place(id);
        let socket = udp::Socket::bind(local, &self.options).and_then(|socket| {
            let token = epoll::EventData::new_u64(at as u64);
            epoll::add(&*self.epoll, &socket, token, epoll::EventFlags::IN)?;
            Ok(socket)
        });
        match socket {
            Ok(socket) => {
                if self.sockets.len() <= at {
                    self.sockets.resize_with(at + 1, || None);
                }
                self.sockets[at] = Some(Relay { id, socket });
                Outcome::Bound
            }
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Outcome::PortTaken,
            Err(error) => {
                if let Some(unsaid) = self.complaints.say() {
                    tracing::warn!(target: "floe::net", %local, %error, unsaid, "no relay socket");
                }
                Outcome::Failed
            }
        }
    }

    /// Closes a socket, which takes it out of the epoll set too.
    pub(super) fn close(&mut self, id: RelayId) {
        if let Some(entry) = self.sockets.get_mut(place(id))
            && entry.as_ref().is_some_and(|relay| relay.id == id)
        {
            *entry = None;
        }
    }

    /// The socket of a relay that is open.
    pub(super) fn get(&self, id: RelayId) -> Option<&udp::Socket> {
        self.sockets.get(place(id))?.as_ref().filter(|relay| relay.id == id).map(|relay| &relay.socket)
    }

    /// The socket behind an event; `None` when it was closed meanwhile.
    pub(super) fn at(&self, event: &epoll::Event) -> Option<(RelayId, &udp::Socket)> {
        let data = event.data;
        let at = usize::try_from(data.u64()).ok()?;
        let relay = self.sockets.get(at)?.as_ref()?;
        Some((relay.id, &relay.socket))
    }

    /// Which sockets have something to read, at most [`EVENTS`].
    pub(super) fn poll(&self, events: &mut Vec<epoll::Event>) {
        events.clear();
        events.reserve_exact(EVENTS);
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match epoll::wait(&*self.epoll, spare_capacity(events), Some(&now)) {
            Ok(_) | Err(Errno::INTR) => {}
            // Only a wrong descriptor or pointer could be the cause.
            Err(error) => tracing::error!(target: "floe::net", %error, "epoll"),
        }
    }

    /// For the runtime to watch.
    pub(super) fn descriptor(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.epoll)
    }
}
