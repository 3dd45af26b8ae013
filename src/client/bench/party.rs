//! One client of the load: its link, its TURN client, what it still has to ask,
//! and the refreshes that keep alive what it has.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::link::{Buffers, Link, Parts};
use super::poller::{Poller, Ready};
use crate::client::Credentials;
use crate::client::transport::Endpoint;
use crate::client::turn::{Client, Event, Failure, Request, RequestId, Response, Scheme, Timing};
use crate::net::udp::Outbox;
use crate::wire::{AttributeType, ChannelNumber, Method};

/// How often permissions and channels are renewed; a permission lives 300 s.
const RENEW: Duration = Duration::from_secs(200);
/// The lifetime asked for, which is what servers grant anyway.
const LIFETIME: Duration = Duration::from_secs(600);
/// Refreshes don't follow each other faster, whatever a server grants.
const SHORTEST: Duration = Duration::from_secs(10);

/// One client.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) link: Link,
    client: Client,
    /// Asked one after the other.
    queue: VecDeque<Request>,
    current: Option<RequestId>,
    method: Method,
    /// Where its peers send to, when it has an allocation.
    pub(super) relayed: Option<SocketAddr>,
    /// SOFTWARE, when the server tells.
    pub(super) software: Option<String>,
    /// What must be renewed, and when.
    renewals: Vec<Request>,
    renew_at: Option<Instant>,
    refresh_at: Option<Instant>,
    lifetime: Duration,
    /// Whether the poller watches for room to write.
    pub(super) watched: bool,
    is_over: bool,
}

/// Why a client can't go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum PartyError {
    #[error("{0}")]
    Link(#[from] io::Error),
    #[error(transparent)]
    Request(#[from] Failure),
    #[error("the server allocates, but names no relayed address")]
    NoAddress,
}

/// What came to a party that is not its own business.
#[derive(Debug)]
pub(super) enum Inbound<'a> {
    /// From this channel.
    Channel(ChannelNumber, &'a [u8]),
    /// In a Data indication.
    Data(&'a [u8]),
    /// An answer to what the party has not asked.
    Message(&'a [u8]),
}

impl Party {
    pub(super) fn open(
        server: &Endpoint,
        credentials: Option<Credentials>,
        patience: Duration,
        join: bool,
    ) -> io::Result<Self> {
        let timing = if server.transport.is_reliable() { Timing::STREAM } else { Timing::DATAGRAM };
        let client = Client::new(timing.within(patience), credentials, Scheme::AsOffered);
        Ok(Self {
            link: Link::open(server, patience, join)?,
            client,
            queue: VecDeque::new(),
            current: None,
            method: Method::BINDING,
            relayed: None,
            software: None,
            renewals: Vec::new(),
            renew_at: None,
            refresh_at: None,
            lifetime: LIFETIME,
            watched: false,
            is_over: false,
        })
    }

    /// Asks for an allocation whose relayed address is of that family.
    pub(super) fn allocate(&mut self, family: IpAddr) {
        let request = Request::allocate().lifetime(LIFETIME);
        // IPv4 is what is given to who does not ask, by old servers too.
        self.queue.push_back(if family.is_ipv6() { request.family(family) } else { request });
    }

    /// Asks for what lets a peer in, and goes on asking before it ends.
    pub(super) fn bind(&mut self, request: Request) {
        self.queue.push_back(request.clone());
        self.renewals.push(request);
    }

    /// Gives the allocation back.
    pub(super) fn delete(&mut self) {
        self.queue.clear();
        self.renew_at = None;
        self.refresh_at = None;
        self.queue.push_back(Request::refresh(Duration::ZERO));
    }

    /// Any request, once.
    pub(super) fn ask(&mut self, request: Request) {
        self.queue.push_back(request);
    }

    /// Whether nothing is left to ask or to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none()
    }

    /// Sends what is due at this time. To be called after everything else, and
    /// from time to time.
    pub(super) fn advance(&mut self, now: Instant) -> Result<(), PartyError> {
        if self.is_over {
            return Ok(());
        }
        self.link.advance()?;
        if !self.link.is_open() {
            return Ok(());
        }
        if let Some((_, failure)) = self.client.expire(now) {
            return Err(failure.into());
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh_at = Some(now + self.lifetime / 2);
            self.queue.push_back(Request::refresh(LIFETIME));
        }
        if self.renew_at.is_some_and(|at| at <= now) {
            self.renew_at = Some(now + RENEW);
            self.queue.extend(self.renewals.iter().cloned());
        }
        if self.current.is_none()
            && let Some(request) = self.queue.pop_front()
        {
            self.method = request.method();
            self.current = Some(self.client.ask(now, request));
        }
        while let Some(message) = self.client.transmit() {
            // What is not taken now is sent again in time, or was too much.
            self.link.tell(&message)?;
        }
        Ok(())
    }

    /// It has failed: nothing more is asked but to give its allocation back, and
    /// not even that where its link is gone.
    pub(super) fn give_up(&mut self, why: &PartyError) {
        self.queue.retain(|request| request.method() == Method::REFRESH);
        self.renewals.clear();
        (self.current, self.renew_at, self.refresh_at) = (None, None, None);
        if matches!(why, PartyError::Link(_)) {
            self.queue.clear();
            (self.is_over, self.relayed) = (true, None);
        }
    }

    /// What the poller says of the link, beside that there may be something to
    /// receive.
    pub(super) fn take_ready(&mut self, ready: Ready) -> Result<(), PartyError> {
        if ready.failed {
            self.link.take_errors()?;
        }
        if ready.writable {
            self.link.flush()?;
        }
        Ok(())
    }

    /// The poller tells of room to write exactly while it is waited for.
    pub(super) fn watch(&mut self, poller: &Poller, token: u64) {
        let wants = self.link.wants_to_write();
        if wants != self.watched {
            self.watched = wants;
            let _ = poller.change(&self.link, token, wants);
        }
    }

    /// Takes what waits at the link. Answers to the party's own requests go no
    /// further; the rest is handed over.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffers: &mut Buffers,
        mut each: impl FnMut(Inbound<'_>),
    ) -> Result<(), PartyError> {
        let mut answers: Vec<Result<Response, Failure>> = Vec::new();
        let Self { link, client, current, .. } = self;
        link.receive(buffers, |message| match client.receive(now, message) {
            Event::ChannelData { channel, payload } => each(Inbound::Channel(channel, payload)),
            Event::Data { payload, .. } => each(Inbound::Data(payload)),
            Event::Nothing => each(Inbound::Message(message)),
            Event::Answer(id, answer) if Some(id) == *current => answers.push(answer),
            Event::Answer(..) | Event::Indication(_) => {}
        })?;
        for answer in answers {
            self.current = None;
            self.note(now, answer?)?;
        }
        self.advance(now)
    }

    /// Takes the answer to the current request.
    fn note(&mut self, now: Instant, answer: Response) -> Result<(), PartyError> {
        if let Some(software) = answer.text(AttributeType::SOFTWARE) {
            self.software = Some(software);
        }
        match self.method {
            Method::ALLOCATE => {
                self.relayed = Some(answer.relayed().first().copied().ok_or(PartyError::NoAddress)?);
                self.lifetime = answer.lifetime().unwrap_or(LIFETIME).max(SHORTEST);
                self.refresh_at = Some(now + self.lifetime / 2);
                self.renew_at = Some(now + RENEW);
            }
            Method::REFRESH => {
                self.lifetime = answer.lifetime().unwrap_or(self.lifetime).max(SHORTEST);
            }
            _ => {}
        }
        Ok(())
    }

    /// Sends packets of the load; how many were taken.
    pub(super) fn send(&mut self, outbox: &mut Outbox, packets: &[Parts<'_>]) -> io::Result<usize> {
        if self.is_over {
            return Ok(0);
        }
        self.link.send(outbox, packets)
    }
}
