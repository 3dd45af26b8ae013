//! A TURN client, sans-IO: requests, received messages and the time go in;
//! messages to send, and what came of the requests, come out.
//!
//! One [`Client`] is one 5-tuple. It answers challenges (RFC 8489 §9.2, RFC 5389
//! too), repeats what may be lost, believes no answer that is not signed, and
//! hides no error code. The contract: after each call, send what
//! [`Client::transmit`] gives until it gives nothing, and call
//! [`Client::expire`], as often as it returns something, when
//! [`Client::next_timeout`] has come. Messages are whole: framing on a stream is
//! the transport's.
//!
//! Not here: sockets ([`session`] has one, for callers who are in no hurry),
//! refreshing on one's own, and following 300 to another server. `turn::client`
//! of webrtc-rs would be the library for it, but hides error codes and copies
//! each packet through locks and tasks; `rtc-turn` does not know RFC 8489. Called
//! by `bench` and `check`.

mod login;
mod request;
mod response;
pub mod session;
mod transaction;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

pub use login::{Scheme, SecurityFeatures, Unanswerable, security_features};
pub use request::Request;
pub use response::{Failure, Response};
pub use transaction::Timing;

use crate::client::Credentials;
use crate::wire::{
    AttributeType, ChannelNumber, Class, Message, MessageWriter, Method, PacketKind, TransactionId,
    channel_data, packet_kind, padding,
};
use login::Login;
use response::refusal;
use transaction::Transaction;

/// How often in a row a fresh nonce may be called stale.
const MAX_STALE: u32 = 3;

/// Ties an answer to [`Client::ask`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestId(u64);

/// One 5-tuple's client.
#[derive(Debug)]
pub struct Client {
    timing: Timing,
    credentials: Option<Credentials>,
    scheme: Scheme,
    /// As last challenged.
    login: Option<Login>,
    transactions: Vec<Transaction>,
    outgoing: VecDeque<Vec<u8>>,
    asked: u64,
}

/// What a received message was.
#[derive(Debug)]
pub enum Event<'a> {
    /// The end of a request.
    Answer(RequestId, Result<Response, Failure>),
    /// A Data indication.
    Data {
        /// Who sent it.
        peer: SocketAddr,
        /// What.
        payload: &'a [u8],
    },
    /// A ChannelData message.
    ChannelData {
        /// On which channel.
        channel: ChannelNumber,
        /// What.
        payload: &'a [u8],
    },
    /// Any other indication, the whole message: ICMP in a Data indication,
    /// ConnectionAttempt, ….
    Indication(&'a [u8]),
    /// Nothing that the caller waits for: a challenge that is answered, an answer
    /// to nothing, what is not TURN.
    Nothing,
}

impl Client {
    /// Without credentials a challenge is an answer: [`Failure::Refused`], 401.
    pub const fn new(timing: Timing, credentials: Option<Credentials>, scheme: Scheme) -> Self {
        Self {
            timing,
            credentials,
            scheme,
            login: None,
            transactions: Vec::new(),
            outgoing: VecDeque::new(),
            asked: 0,
        }
    }

    /// Asks. Its answer comes from [`Client::receive`] or [`Client::expire`].
    /// How many requests are under way is the caller's to bound.
    pub fn ask(&mut self, now: Instant, request: Request) -> RequestId {
        let id = RequestId(self.asked);
        self.asked += 1;
        // A Binding request is not signed before it is asked for (RFC 8489 §9.2.3).
        let login = self.login.clone().filter(|_| request.method() != Method::BINDING);
        let mut transaction = Transaction::new(now, id, request, self.timing);
        transaction.write(now, login);
        self.outgoing.push_back(transaction.bytes.clone());
        self.transactions.push(transaction);
        id
    }

    /// A message that is to be sent now.
    pub fn transmit(&mut self) -> Option<Vec<u8>> {
        self.outgoing.pop_front()
    }

    /// Takes a message that came from the server.
    pub fn receive<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> Event<'a> {
        match packet_kind(bytes) {
            Some(PacketKind::ChannelData) => match channel_data::parse(bytes) {
                Ok((channel, range)) => Event::ChannelData { channel, payload: &bytes[range] },
                Err(_) => Event::Nothing,
            },
            Some(PacketKind::Stun) => match Message::parse(bytes) {
                Ok(message) => self.message(now, message, bytes),
                Err(_) => Event::Nothing,
            },
            None => Event::Nothing,
        }
    }

    /// When [`Client::expire`] has something to do; `None` while nothing is under
    /// way.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.transactions.iter().map(|transaction| transaction.due).min()
    }

    /// Repeats what is due; a request that has waited in vain is returned, one at
    /// a call.
    pub fn expire(&mut self, now: Instant) -> Option<(RequestId, Failure)> {
        while let Some(at) = self.transactions.iter().position(|transaction| transaction.due <= now) {
            let transaction = &mut self.transactions[at];
            if transaction.repeat(now) {
                self.outgoing.push_back(transaction.bytes.clone());
                continue;
            }
            let over = self.transactions.swap_remove(at);
            let request = over.request.name();
            let failure = match over.disbelieved {
                Some(refusal) => Failure::Unsigned { request, refusal },
                None => Failure::Silent { request, sent: over.sent },
            };
            return Some((over.of, failure));
        }
        None
    }

    /// The realm of the last challenge.
    pub fn realm(&self) -> Option<&str> {
        self.login.as_ref().map(Login::realm)
    }

    fn message<'a>(&mut self, now: Instant, message: Message<'a>, bytes: &'a [u8]) -> Event<'a> {
        match message.class() {
            Class::Indication => indication(message, bytes),
            Class::Request => Event::Nothing,
            Class::Success | Class::Error => {
                let id = message.transaction_id();
                let ours = |t: &Transaction| t.id == id && t.request.method() == message.method();
                match self.transactions.iter().position(ours) {
                    Some(at) => self.answer(now, at, &message, bytes),
                    None => Event::Nothing,
                }
            }
        }
    }

    /// Judges the answer to the transaction `at` (RFC 8489 §9.2.5).
    fn answer<'a>(&mut self, now: Instant, at: usize, message: &Message<'_>, bytes: &[u8]) -> Event<'a> {
        let transaction = &mut self.transactions[at];
        let told = (message.class() == Class::Error).then(|| refusal(transaction.request.name(), message));
        let code = told.as_ref().map_or(0, |refusal| refusal.code);
        let is_challenge = matches!(code, 401 | 438);
        if is_challenge && let Some(credentials) = &self.credentials {
            let next = match Login::new(message, credentials, self.scheme) {
                Ok(next) => next,
                Err(why) => return self.end(at, Err(why.into())),
            };
            let again = match &transaction.login {
                // Asked to say who it is, or for another realm.
                Some(login) if code == 401 => login.realm() != next.realm() && transaction.stale < MAX_STALE,
                None if code == 401 => true,
                _ => transaction.stale < MAX_STALE,
            };
            if again {
                transaction.stale += u32::from(transaction.login.is_some());
                self.login = Some(next.clone());
                transaction.write(now, Some(next));
                self.outgoing.push_back(transaction.bytes.clone());
                return Event::Nothing;
            }
        }
        let believed = match &transaction.login {
            // 300 need not be signed (RFC 8489 §10), and the server may have no
            // key to sign a challenge with.
            _ if is_challenge || code == 300 => true,
            None => true,
            Some(login) => login.has_signed(message) && !login::is_bid_down(message),
        };
        if !believed {
            transaction.disbelieved = Some(told.clone());
            if self.timing.rto.is_some() {
                return Event::Nothing;
            }
            let request = transaction.request.name();
            return self.end(at, Err(Failure::Unsigned { request, refusal: told }));
        }
        let took = now.saturating_duration_since(transaction.asked);
        let response = Response { bytes: bytes.into(), took, sent: transaction.sent };
        self.end(
            at,
            match told {
                None => Ok(response),
                Some(refusal) => Err(Failure::Refused { refusal, response }),
            },
        )
    }

    fn end<'a>(&mut self, at: usize, outcome: Result<Response, Failure>) -> Event<'a> {
        Event::Answer(self.transactions.swap_remove(at).of, outcome)
    }
}

fn indication<'a>(message: Message<'a>, bytes: &'a [u8]) -> Event<'a> {
    let payload = message.range(AttributeType::DATA).filter(|_| message.method() == Method::DATA);
    match (message.xor_address(AttributeType::XOR_PEER_ADDRESS), payload) {
        (Some(Ok(peer)), Some(payload)) => Event::Data { peer, payload: &bytes[payload] },
        _ => Event::Indication(bytes),
    }
}

/// A Send indication (RFC 8656 §11.1), written behind what `out` holds.
pub fn send_indication(out: &mut Vec<u8>, peer: SocketAddr, payload: &[u8]) {
    let mut message = MessageWriter::new(out, Class::Indication, Method::SEND, TransactionId(rand::random()));
    message.put_xor_address(AttributeType::XOR_PEER_ADDRESS, peer).put(AttributeType::DATA, payload);
}

/// A ChannelData message (RFC 8656 §12.4), padded as it must be on a stream,
/// written behind what `out` holds; `payload` is 65,535 bytes at most.
pub fn channel_data(out: &mut Vec<u8>, channel: ChannelNumber, payload: &[u8]) {
    if let Some(header) = channel_data::header(channel, payload.len()) {
        out.extend_from_slice(&header);
        out.extend_from_slice(payload);
        out.extend_from_slice(&[0; 3][..padding(payload.len())]);
    }
}

#[cfg(test)]
#[path = "client_test.rs"]
mod tests;
