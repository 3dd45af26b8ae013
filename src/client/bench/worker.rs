//! One thread of the generator: some of the clients, the far ends of their
//! flows, and the loop that sends on time and counts what arrives.
//!
//! Both ends of a flow belong to one worker, so nothing is shared on the way of a
//! packet. The loop is open: packets are due by the clock, whether earlier ones
//! have arrived or not.

use std::io;
use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::flows::{Flow, Flows, Sink, Source};
use super::link::{Buffers, Parts, outbox, receive, send_to, udp_socket};
use super::party::{Inbound, Party, PartyError};
use super::plan::{FarEnd, Plan, Work};
use super::poller::{Poller, wake_on_time};
use super::step::Seen;
use super::usage::Stopwatch;
use crate::client::turn::Request;
use crate::net::udp::{BATCH, Outbox, Socket};
use crate::wire::ChannelNumber;

/// How often timers of clients are looked at.
const TICK: Duration = Duration::from_millis(10);
/// Clients of one worker that have something to ask at the same time.
const AT_ONCE: usize = 32;
/// Packets sent before sockets are looked at again, however late they are.
const SEND_A_TURN: usize = 256;
/// A generator that is later than this at the end of a step sends no more.
const GRACE: Duration = Duration::from_millis(50);
/// No packet for so long after the last one was sent: the rest is lost.
const QUIET: Duration = Duration::from_secs(1);
/// Nor is waited longer than this for packets that keep coming.
const DRAIN: Duration = Duration::from_secs(3);
/// How long the server may take to hear that allocations are given back.
const FAREWELL: Duration = Duration::from_secs(1);
/// Failures kept to be told.
const MAX_FAILURES: usize = 8;
/// RFC 8656 §12.
const FIRST_CHANNEL: u16 = 0x4000;

/// One stretch of load; times count from the plan's epoch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    /// In its packets.
    pub(super) tag: u32,
    pub(super) start: Duration,
    /// What is to be sent before that does not count.
    pub(super) measured_from: Duration,
    pub(super) until: Duration,
    /// Of one moment of the timeline.
    pub(super) moment: Duration,
    /// From one burst to the next, of one flow; none: without limit.
    pub(super) interval: Option<Duration>,
}

/// What came of getting ready, or of a step.
#[derive(Debug)]
pub(super) enum Report {
    /// All clients have what they need.
    Ready { software: Option<String> },
    /// One has not.
    Failed(PartyError),
    /// A step is over.
    Done(Box<Seen>),
}

/// One thread's share.
pub(super) struct Worker<'a> {
    plan: &'a Plan,
    poller: Poller,
    parties: Vec<Party>,
    /// Sockets that stand for peers.
    peers: Vec<Socket>,
    flows: Flows,
    buffers: Buffers,
    outbox: Outbox,
    heads: Vec<u8>,
    ticked: Instant,
    first_error: Option<PartyError>,
    failures: Vec<String>,
}

/// Tells peers' tokens from parties'.
const PEER: u64 = 1 << 63;

impl<'a> Worker<'a> {
    pub(super) fn new(plan: &'a Plan) -> io::Result<Self> {
        Ok(Self {
            plan,
            poller: Poller::new()?,
            parties: Vec::new(),
            peers: Vec::new(),
            flows: Flows::new(),
            buffers: Buffers::new(),
            outbox: outbox(plan.join),
            heads: Vec::new(),
            ticked: Instant::now(),
            first_error: None,
            failures: Vec::new(),
        })
    }

    /// Gets ready with those clients, then offers what it is told to; gives back
    /// what the server has granted when nobody can tell it any more.
    pub(super) fn serve(mut self, clients: Range<usize>, steps: &Receiver<Step>, reports: &Sender<Report>) {
        wake_on_time();
        let report = match self.prepare(clients) {
            Ok(()) => Report::Ready { software: self.parties.iter().find_map(|p| p.software.clone()) },
            Err(error) => Report::Failed(error),
        };
        let is_ready = matches!(report, Report::Ready { .. });
        let _ = reports.send(report);
        if is_ready {
            self.obey(steps, reports);
        }
        self.end();
    }

    /// Offers each load it is told to, until nobody can tell it any more. What
    /// keeps the allocations goes on between two of them.
    fn obey(&mut self, steps: &Receiver<Step>, reports: &Sender<Report>) {
        loop {
            match steps.recv_timeout(TICK) {
                Ok(step) => {
                    let seen = self.run(step);
                    let _ = reports.send(Report::Done(Box::new(seen)));
                }
                Err(RecvTimeoutError::Timeout) => self.turn(Duration::ZERO),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn prepare(&mut self, clients: Range<usize>) -> Result<(), PartyError> {
        let plan = self.plan;
        let each = plan.parties_a_client();
        for party in clients.start * each..clients.end * each {
            let mut party = Party::open(&plan.server, plan.credentials_of(party), plan.patience, plan.join)?;
            match plan.work {
                Work::Binding => party.ask(Request::binding()),
                Work::Relay { far_end: FarEnd::Peer(like) | FarEnd::Relay(like), .. } => party.allocate(like),
            }
            self.enter(party)?;
        }
        self.wait_until_idle(0)?;
        for client in 0..clients.len() {
            match plan.work {
                Work::Binding => self.flows.push(Flow::binding(client, clients.len())),
                Work::Relay { far_end, by_channel, up, down } => {
                    for number in 0..plan.peers {
                        let channel = by_channel.then_some(ChannelNumber(FIRST_CHANNEL + number as u16));
                        self.open_flow(client * each, number, channel, far_end, (up, down))?;
                    }
                    self.wait_until_idle(AT_ONCE)?;
                }
            }
            plan.live.add_ready();
        }
        self.wait_until_idle(0)
    }

    /// A client more, as soon as not too many of them have something to ask.
    fn enter(&mut self, mut party: Party) -> Result<(), PartyError> {
        self.wait_until_idle(AT_ONCE)?;
        party.watched = party.link.wants_to_write();
        self.poller.add(&party.link, self.parties.len() as u64, party.watched)?;
        party.advance(Instant::now())?;
        self.parties.push(party);
        Ok(())
    }

    /// The flow, or two, between a client and its peer of this number.
    fn open_flow(
        &mut self,
        client: usize,
        number: usize,
        channel: Option<ChannelNumber>,
        far_end: FarEnd,
        (up, down): (bool, bool),
    ) -> Result<(), PartyError> {
        let payload = self.plan.payload();
        let relayed = self.parties[client].relayed.ok_or(PartyError::NoAddress)?;
        let near = Sink::Party(client, channel);
        let (peer, far, back) = match far_end {
            FarEnd::Peer(ip) => {
                let (socket, at) = (udp_socket(ip, false, self.plan.join)?, self.peers.len());
                let address = socket.local_addr()?;
                self.poller.add(&socket, PEER | at as u64, false)?;
                self.peers.push(socket);
                (address, Sink::Peer(at), Flow::down(at, relayed, near))
            }
            FarEnd::Relay(_) => {
                let at = client + 1 + number;
                let partner = &mut self.parties[at];
                let address = partner.relayed.ok_or(PartyError::NoAddress)?;
                // It has this one peer alone.
                let channel = channel.map(|_| ChannelNumber(FIRST_CHANNEL));
                partner.bind(bound(channel, relayed));
                (address, Sink::Party(at, channel), Flow::up(at, channel, relayed, payload, near))
            }
        };
        self.parties[client].bind(bound(channel, peer));
        if up {
            self.flows.push(Flow::up(client, channel, peer, payload, far));
        }
        if down {
            self.flows.push(back);
        }
        Ok(())
    }

    /// Waits until at most so many parties are not ready.
    fn wait_until_idle(&mut self, most: usize) -> Result<(), PartyError> {
        let is_busy = |party: &&Party| !party.is_idle() || !party.link.is_open();
        while self.parties.iter().filter(is_busy).count() > most {
            if self.plan.is_stopped() {
                return Err(io::Error::new(io::ErrorKind::Interrupted, "stopped").into());
            }
            self.turn(TICK);
            if let Some(error) = self.first_error.take() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Offers the load, and waits for what is still on its way.
    fn run(&mut self, step: Step) -> Seen {
        let plan = self.plan;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let (start, measured_from, until) = (nanos(step.start), nanos(step.measured_from), nanos(step.until));
        self.flows.begin(step.tag, measured_from..until, nanos(step.moment));
        let dropped = self.dropped();
        let stopwatch = Stopwatch::start();

        // The flows take turns: burst `n` is of flow `n` modulo their number.
        let flows = self.flows.len();
        let gap = step.interval.map(|interval| nanos(interval) as f64 / flows as f64);
        let due = |burst: u64, now: u64| gap.map_or(now, |gap| start + (burst as f64 * gap) as u64);
        let mut burst = 0_u64;
        loop {
            let mut now = plan.nanos(Instant::now());
            // What was due in time is sent, unless far too late.
            if due(burst, now) >= until || now >= until + nanos(GRACE) || plan.is_stopped() {
                break;
            }
            // What it was too late for before is left: the measured time is for its own.
            if let Some(gap) = gap.filter(|_| now >= measured_from) {
                burst = burst.max((measured_from.saturating_sub(start) as f64 / gap).ceil() as u64);
            }
            let mut sent = 0;
            while due(burst, now) <= now.min(until - 1) && sent < SEND_A_TURN && now >= start {
                let flow = usize::try_from(burst).unwrap_or(0) % flows;
                self.fire(flow, due(burst, now), now);
                burst += 1;
                sent += plan.burst;
                now = plan.nanos(Instant::now());
            }
            plan.live.add(sent as u64, 0);
            let next = due(burst, now).max(start).min(until);
            let idle = Duration::from_nanos(next.saturating_sub(plan.nanos(Instant::now())));
            self.turn(idle.min(TICK));
        }
        let (busy, waiting) = stopwatch.stop();
        self.drain();
        let dropped = self.dropped().saturating_sub(dropped);
        let failures = std::mem::take(&mut self.failures);
        self.first_error = None;
        Seen { tally: self.flows.close(), dropped, busy, waiting, failures }
    }

    /// Sends one burst of a flow.
    fn fire(&mut self, at: usize, intended: u64, now: u64) {
        let plan = self.plan;
        let mut left = plan.burst;
        while left > 0 {
            let count = left.min(BATCH);
            left -= count;
            let mut heads = std::mem::take(&mut self.heads);
            heads.clear();
            for _ in 0..count {
                self.flows.write(at, intended, now, &mut heads);
            }
            let flow = self.flows.get(at);
            let fill: &[u8] = if flow.is_binding() { &[] } else { &plan.fill };
            let pad = &[0; 3][..flow.pad];
            let each = heads.chunks_exact((heads.len() / count).max(1));
            let packets: ArrayVec<Parts<'_>, BATCH> = each.map(|head| [head, fill, pad]).collect();
            let sent = match flow.source {
                Source::Peer { at, to } => send_to(&mut self.outbox, &self.peers[at], to, &packets),
                Source::Party(party) => {
                    self.parties[party].send(&mut self.outbox, &packets).unwrap_or_else(|error| {
                        self.fail(party, error.into());
                        0
                    })
                }
            };
            drop(packets);
            self.heads = heads;
            self.flows.note_sent(intended, now, count, sent);
        }
    }

    /// Waits for what was sent, until all of it is here or nothing comes any more.
    fn drain(&mut self) {
        let began = Instant::now();
        let (mut seen, mut last) = (self.flows.arrived, began);
        loop {
            let is_over = self.flows.arrived >= self.flows.sent
                || last.elapsed() > QUIET
                || began.elapsed() > DRAIN
                || self.plan.is_stopped();
            if is_over {
                return;
            }
            self.turn(TICK);
            if self.flows.arrived != seen {
                (seen, last) = (self.flows.arrived, Instant::now());
            }
        }
    }

    /// Gives every allocation back; a server that no longer answers is left alone.
    fn end(&mut self) {
        for at in 0..self.parties.len() {
            if self.parties[at].relayed.is_some() {
                self.parties[at].delete();
            }
        }
        let began = Instant::now();
        while began.elapsed() < FAREWELL && self.parties.iter().any(|party| !party.is_idle()) {
            self.turn(TICK);
        }
    }

    /// Waits for packets, at most so long, and takes one batch from each socket
    /// that has some.
    fn turn(&mut self, most: Duration) {
        let (plan, arrived) = (self.plan, self.flows.arrived);
        if let Err(error) = self.poller.wait(most) {
            self.first_error.get_or_insert(error.into());
            return;
        }
        for at in 0..self.poller.len() {
            let ready = self.poller.ready(at);
            let now = Instant::now();
            let nanos = plan.nanos(now);
            let flows = &mut self.flows;
            if ready.token & PEER != 0 {
                let peer = (ready.token & !PEER) as usize;
                let batch = &mut self.buffers.batch;
                let count = receive(&self.peers[peer], batch).unwrap_or(0);
                for packet in 0..count {
                    flows.note_payload(nanos, Sink::Peer(peer), batch.bytes(packet), &plan.fill);
                }
                continue;
            }
            let at = ready.token as usize;
            let party = &mut self.parties[at];
            let outcome = party.take_ready(ready).and_then(|()| {
                party.receive(now, &mut self.buffers, |inbound| match inbound {
                    Inbound::Channel(channel, payload) => {
                        flows.note_payload(nanos, Sink::Party(at, Some(channel)), payload, &plan.fill);
                    }
                    Inbound::Data(payload) => {
                        flows.note_payload(nanos, Sink::Party(at, None), payload, &plan.fill);
                    }
                    Inbound::Message(message) => flows.note_answer(nanos, at, message),
                })
            });
            match outcome {
                Ok(()) => self.parties[at].watch(&self.poller, at as u64),
                Err(error) => self.fail(at, error),
            }
        }
        plan.live.add(0, self.flows.arrived - arrived);
        if self.ticked.elapsed() >= TICK {
            self.tick();
        }
    }

    /// Lets every party do what its timers say.
    fn tick(&mut self) {
        self.ticked = Instant::now();
        for at in 0..self.parties.len() {
            match self.parties[at].advance(self.ticked) {
                Ok(()) => self.parties[at].watch(&self.poller, at as u64),
                Err(error) => self.fail(at, error),
            }
        }
    }

    /// A client is out of it.
    fn fail(&mut self, at: usize, error: PartyError) {
        if self.failures.len() < MAX_FAILURES {
            self.failures.push(error.to_string());
        }
        self.parties[at].give_up(&error);
        if matches!(error, PartyError::Link(_)) {
            self.poller.remove(&self.parties[at].link);
        }
        self.first_error.get_or_insert(error);
    }

    fn dropped(&self) -> u64 {
        let parties = self.parties.iter().map(|party| party.link.dropped());
        let peers = self.peers.iter().map(|peer| peer.dropped().unwrap_or(0));
        parties.chain(peers).map(u64::from).sum()
    }
}

/// What lets a peer in.
fn bound(channel: Option<ChannelNumber>, peer: std::net::SocketAddr) -> Request {
    match channel {
        Some(channel) => Request::channel_bind(channel, peer),
        None => Request::create_permission(&[peer]),
    }
}
