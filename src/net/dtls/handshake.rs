//! Handshakes, each a task on the runtime that the server was started from, and
//! what bounds them. What it has to say to the client goes through the shard,
//! whose socket it is.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::runtime;
use tokio::select;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use super::fragments::Fragments;
use super::hello::{ClientHello, LARGEST_HELLO, message, records};
use super::pipe::{Flight, Progress};
use super::session::{Handshake, Session};
use super::sessions::Arrival;
use crate::net::certificates::Certificates;
use crate::net::entrance::Tally;
use crate::net::limit::{ConnectionLimit, Permit};
use crate::relay::{DropReason, FiveTuple};

/// From the hello with the cookie to the end of the handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a handshake looks whether it has to repeat itself, which it does
/// after a second, and after ever longer (RFC 6347 §4.2.4.1).
const TICK: Duration = Duration::from_millis(200);

/// Handshakes at once: some 100 KiB each at most.
const AT_ONCE: usize = 1024;

/// Of those, of one address or IPv6 /64; nobody alone keeps the others out.
const AT_ONCE_PER_SOURCE: u32 = 64;

/// Datagrams that wait for a handshake's task, and the longest of them.
const INBOX: usize = 8;
const LARGEST_DATAGRAM: usize = 2048;

/// Largest message of a client that shows no certificate: its hello.
const LARGEST_MESSAGE: usize = LARGEST_HELLO;

/// Records that can't be read before the handshake is done, and are kept for
/// then, each in a buffer of its own: its end, a few times, and what hurries
/// after it.
const MAX_ENCRYPTED: u8 = 16;

/// What every shard's handshakes have in common.
#[derive(Debug)]
pub(in crate::net) struct Acceptor {
    certificates: Arc<Certificates>,
    runtime: OnceLock<runtime::Handle>,
    at_once: Arc<Semaphore>,
    at_once_per_source: Arc<ConnectionLimit>,
    sessions: Arc<ConnectionLimit>,
    tally: Arc<Tally>,
}

/// A handshake to be begun.
#[derive(Debug)]
pub(super) struct Begin {
    /// Its number among those of its shard.
    pub id: u64,
    pub client: FiveTuple,
    /// The number of the UDP listener.
    pub listener: u32,
    /// The datagram with the hello whose cookie is good.
    pub hello: Vec<u8>,
}

/// What a shard knows of a handshake under way.
#[derive(Debug)]
pub(super) struct Pending {
    pub id: u64,
    /// Of its hello.
    pub random: [u8; 32],
    inbox: mpsc::Sender<Vec<u8>>,
    /// Records taken that can't be read yet.
    encrypted: u8,
}

/// What a handshake tells its shard.
#[derive(Debug)]
pub(in crate::net) enum Report {
    /// To be sent.
    Flight {
        client: FiveTuple,
        listener: u32,
        flight: Flight,
    },
    Done(Box<Done>),
    Failed {
        client: FiveTuple,
        id: u64,
    },
}

/// A handshake that is done.
#[derive(Debug)]
pub(in crate::net) struct Done {
    pub(super) id: u64,
    pub(super) client: FiveTuple,
    pub(super) listener: u32,
    pub(super) session: Session,
    pub(super) permit: Permit,
    /// What came in meanwhile.
    pub(in crate::net) inbox: mpsc::Receiver<Vec<u8>>,
}

/// Why a handshake came to nothing.
enum Failure {
    /// A later one has taken its place, or its shard is gone.
    Abandoned,
    Failed(String),
}

impl Acceptor {
    pub(in crate::net) fn new(
        certificates: Arc<Certificates>,
        sessions: Arc<ConnectionLimit>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            certificates,
            runtime: OnceLock::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE)),
            at_once_per_source: Arc::new(ConnectionLimit::new(AT_ONCE_PER_SOURCE, u32::MAX)),
            sessions,
            tally,
        }
    }

    /// Works on the current tokio runtime from now on; without one it refuses
    /// every client.
    pub(in crate::net) fn start(&self) {
        if let Ok(runtime) = runtime::Handle::try_current() {
            // A second start would be of the same server.
            let _ = self.runtime.set(runtime);
        }
    }

    /// Begins a handshake; `None` when there are too many.
    pub(super) fn begin(
        self: &Arc<Self>,
        begin: Begin,
        random: [u8; 32],
        reports: &mpsc::Sender<Report>,
    ) -> Option<Pending> {
        let ip = begin.client.client.ip();
        let places = || {
            let place = Arc::clone(&self.at_once).try_acquire_owned().ok()?;
            Some((self.runtime.get()?, place, self.at_once_per_source.enter(ip)?, self.sessions.enter(ip)?))
        };
        let Some((runtime, place, of_source, permit)) = places() else {
            self.tally.refused();
            return None;
        };
        let (sender, inbox) = mpsc::channel(INBOX);
        let pending = Pending { id: begin.id, random, inbox: sender, encrypted: 0 };
        let task = Task { begin, inbox, reports: reports.clone(), permit };
        let acceptor = Arc::clone(self);
        runtime.spawn(async move { acceptor.shake(task, (place, of_source)).await });
        Some(pending)
    }

    async fn shake(&self, mut task: Task, _places: (OwnedSemaphorePermit, Permit)) {
        let shaken = timeout(PATIENCE, task.shake(&self.certificates)).await;
        let Task { begin: Begin { id, client, listener, .. }, inbox, reports, permit } = task;
        let failed = match shaken {
            Ok(Ok(session)) => {
                self.tally.handshake_done();
                let done = Done { id, client, listener, session, permit, inbox };
                // Its shard may be gone.
                let _ = reports.send(Report::Done(Box::new(done))).await;
                return;
            }
            Ok(Err(Failure::Abandoned)) => return,
            Ok(Err(Failure::Failed(error))) => error,
            Err(_) => "it took too long".to_owned(),
        };
        tracing::debug!(target: "floe::net", from = %client.client, error = failed, "DTLS handshake failed");
        self.tally.handshake_failed();
        let _ = reports.send(Report::Failed { client, id }).await;
    }
}

/// One handshake.
struct Task {
    begin: Begin,
    inbox: mpsc::Receiver<Vec<u8>>,
    reports: mpsc::Sender<Report>,
    /// The session's.
    permit: Permit,
}

impl Task {
    async fn shake(&mut self, certificates: &Certificates) -> Result<Session, Failure> {
        let Begin { client, listener, hello: ref datagram, .. } = self.begin;
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        let parse = |datagram| ClientHello::parse(datagram).ok_or_else(|| failed(&"no hello"));
        let first = parse(datagram)?;
        let put_together;
        let datagram = if first.is_whole {
            datagram
        } else {
            let mut fragments = Fragments::new(&first, datagram);
            put_together = loop {
                match fragments.whole() {
                    Some(whole) => break whole,
                    None => fragments.take(&self.inbox.recv().await.ok_or(Failure::Abandoned)?),
                }
            };
            &put_together
        };
        let mut handshake = {
            let hello = parse(datagram)?;
            let context = certificates.dtls_context(hello.server_name(), hello.signature_schemes());
            let context = context.ok_or_else(|| failed(&"no certificate that the client can verify"))?;
            Handshake::begin(&context, &hello, datagram).map_err(|error| failed(&error))?
        };
        loop {
            let progress = handshake.advance();
            let flight = handshake.take_flight();
            if flight.len() > 0 {
                let report = Report::Flight { client, listener, flight };
                self.reports.send(report).await.map_err(|_| Failure::Abandoned)?;
            }
            match progress {
                Progress::Done => return Ok(handshake.into_session()),
                Progress::Failed(error) => return Err(Failure::Failed(error)),
                Progress::Waiting => {}
            }
            select! {
                datagram = self.inbox.recv() => handshake.receive(&datagram.ok_or(Failure::Abandoned)?),
                () = sleep(TICK) => {}
            }
        }
    }
}

impl Pending {
    /// Takes a datagram to the handshake, unless it has enough.
    pub(super) fn offer(&mut self, datagram: &[u8]) -> Arrival {
        let mut encrypted = self.encrypted;
        for record in records(datagram) {
            if message(&record).is_some_and(|(_, length)| length > LARGEST_MESSAGE) {
                return Arrival::Dropped(DropReason::TooLarge);
            }
            encrypted = encrypted.saturating_add(u8::from(record.epoch > 0));
        }
        if datagram.len() > LARGEST_DATAGRAM {
            return Arrival::Dropped(DropReason::TooLarge);
        }
        if encrypted > MAX_ENCRYPTED || self.inbox.try_send(datagram.to_vec()).is_err() {
            return Arrival::Dropped(DropReason::Throttled);
        }
        self.encrypted = encrypted;
        Arrival::Taken
    }
}
