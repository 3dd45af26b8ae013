//! One request under way, and when it is sent again (RFC 8489 §6.2).

use std::time::{Duration, Instant};

use super::RequestId;
use super::login::Login;
use super::request::Request;
use crate::client::refusal::Refusal;
use crate::wire::TransactionId;

/// How long a request waits, and when it is repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timing {
    /// The first interval between two copies; doubles with each. `None` over a
    /// transport that loses nothing.
    pub rto: Option<Duration>,
    /// The longest time for one message, copies included; a challenge begins it
    /// anew.
    pub patience: Duration,
}

/// How often a request is sent.
const RC: u32 = 7;
/// How many first intervals the last copy waits.
const RM: u32 = 16;

impl Timing {
    /// RFC 8489 §6.2.1 over UDP and DTLS: seven copies within 31.5 s, 39.5 s in
    /// all.
    pub const DATAGRAM: Self =
        Self { rto: Some(Duration::from_millis(500)), patience: Duration::from_millis(39_500) };
    /// RFC 8489 §6.2.2 over TCP and TLS.
    pub const STREAM: Self = Self { rto: None, patience: Duration::from_millis(39_500) };

    /// The same, with less patience.
    pub const fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }
}

/// A request and its current message.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) id: TransactionId,
    pub(super) of: RequestId,
    pub(super) request: Request,
    /// What every copy is, byte for byte.
    pub(super) bytes: Vec<u8>,
    /// Who has signed it, if anybody has.
    pub(super) login: Option<Login>,
    /// When the request's first message went.
    pub(super) asked: Instant,
    /// Copies of this message, and all messages of the request.
    copies: u32,
    pub(super) sent: u32,
    /// How often a stale nonce was answered with a fresh one.
    pub(super) stale: u32,
    timing: Timing,
    /// When this message is given up.
    ends: Instant,
    /// When something is due: the next copy, or the end.
    pub(super) due: Instant,
    /// What an answer that could not be believed has said.
    pub(super) disbelieved: Option<Option<Refusal>>,
}

impl Transaction {
    pub(super) fn new(now: Instant, of: RequestId, request: Request, timing: Timing) -> Self {
        Self {
            id: TransactionId::default(),
            of,
            request,
            bytes: Vec::new(),
            login: None,
            asked: now,
            copies: 0,
            sent: 0,
            stale: 0,
            timing,
            ends: now,
            due: now,
            disbelieved: None,
        }
    }

    /// A message of its own with a new id, signed by `login`; it is to be sent.
    pub(super) fn write(&mut self, now: Instant, login: Option<Login>) {
        self.id = TransactionId(rand::random());
        self.bytes.clear();
        let mut message = self.request.write(&mut self.bytes, self.id);
        if let Some(login) = &login {
            login.sign(&mut message);
        }
        self.login = login;
        self.disbelieved = None;
        self.copies = 0;
        self.ends = now + self.timing.patience;
        self.note_sent(now);
    }

    /// The message goes out once more; false when that was the last time.
    pub(super) fn repeat(&mut self, now: Instant) -> bool {
        if now >= self.ends || self.copies >= RC {
            return false;
        }
        self.note_sent(now);
        true
    }

    fn note_sent(&mut self, now: Instant) {
        let wait = self.timing.rto.map_or(self.timing.patience, |rto| match self.copies + 1 {
            RC => rto * RM,
            copies => rto * (1 << (copies - 1)),
        });
        self.copies += 1;
        self.sent += 1;
        self.due = self.ends.min(now + wait);
    }
}
