//! Flows: who sends packets to whom, what they look like on the wire, and what
//! has come of them.

use std::net::SocketAddr;
use std::ops::Range;

use super::packet::{Stamp, of_transaction_id, transaction_id};
use super::tally::{Arrival, Jitter, Tally, Window};
use crate::wire::{
    AttributeType, ChannelNumber, Class, Message, MessageWriter, Method, TransactionId, channel_data, padding,
};

/// Requests under way that are remembered, of all flows of a worker.
const REMEMBERED: usize = 1 << 20;

/// Packets in one direction between two ends.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) source: Source,
    /// What precedes the stamp on the wire. Send indications of one flow share
    /// their transaction id; nobody looks at it.
    head: Vec<u8>,
    /// Zeros behind the payload.
    pub(super) pad: usize,
    sink: Sink,
    next: u64,
    window: Window,
    jitter: Jitter,
    /// For requests, which have no room for it: when each was to be sent, and
    /// how much later it was.
    sent_at: Box<[(u64, u32)]>,
}

/// Who sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Source {
    /// This client, through the server.
    Party(usize),
    /// This peer's socket, to a relayed address.
    Peer { at: usize, to: SocketAddr },
}

/// Where packets must arrive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sink {
    /// At this client, on this channel or in a Data indication.
    Party(usize, Option<ChannelNumber>),
    /// At this peer's socket.
    Peer(usize),
    /// At this client, as the answer to its own request.
    Answer(usize),
}

impl Flow {
    fn new(source: Source, head: Vec<u8>, pad: usize, sink: Sink) -> Self {
        let (window, jitter) = (Window::new(), Jitter::default());
        Self { source, head, pad, sink, next: 0, window, jitter, sent_at: Box::default() }
    }

    /// From a client to a peer: ChannelData, or Send indications.
    pub(super) fn up(
        party: usize,
        channel: Option<ChannelNumber>,
        peer: SocketAddr,
        payload: usize,
        sink: Sink,
    ) -> Self {
        let mut head = Vec::new();
        let mut pad = 0;
        match channel {
            // A payload is below 64 KiB.
            Some(channel) => head.extend(channel_data::header(channel, payload).unwrap_or_default()),
            None => {
                let id = TransactionId(rand::random());
                let mut send = MessageWriter::new(&mut head, Class::Indication, Method::SEND, id);
                send.put_xor_address(AttributeType::XOR_PEER_ADDRESS, peer);
                send.finish_before_value(AttributeType::DATA, payload);
                pad = padding(payload);
            }
        }
        Self::new(Source::Party(party), head, pad, sink)
    }

    /// From a peer's socket to a client.
    pub(super) fn down(peer: usize, relayed: SocketAddr, sink: Sink) -> Self {
        Self::new(Source::Peer { at: peer, to: relayed }, Vec::new(), 0, sink)
    }

    /// Binding requests of one of so many clients.
    pub(super) fn binding(party: usize, clients: usize) -> Self {
        let remembered = (REMEMBERED / clients.max(1)).clamp(256, 65_536);
        let flow = Self::new(Source::Party(party), Vec::new(), 0, Sink::Answer(party));
        Self { sent_at: vec![(0, 0); remembered].into(), ..flow }
    }

    /// Whether its packets have no payload.
    pub(super) fn is_binding(&self) -> bool {
        matches!(self.sink, Sink::Answer(_))
    }
}

/// All flows of a worker, and the books of the step that goes on.
#[derive(Debug)]
pub(super) struct Flows {
    flows: Vec<Flow>,
    /// Of the step's packets.
    tag: u32,
    /// What of it counts, nanoseconds since the start.
    measured: Range<u64>,
    /// Length of a moment, nanoseconds.
    moment: u64,
    pub(super) tally: Tally,
    /// Since the step began, measured or not.
    pub(super) sent: u64,
    pub(super) arrived: u64,
}

impl Flows {
    pub(super) fn new() -> Self {
        Self {
            flows: Vec::new(),
            tag: 0,
            measured: 0..0,
            moment: 1,
            tally: Tally::new(),
            sent: 0,
            arrived: 0,
        }
    }

    pub(super) fn push(&mut self, flow: Flow) {
        self.flows.push(flow);
    }

    pub(super) fn len(&self) -> usize {
        self.flows.len()
    }

    pub(super) fn get(&self, at: usize) -> &Flow {
        &self.flows[at]
    }

    /// Opens new books.
    pub(super) fn begin(&mut self, tag: u32, measured: Range<u64>, moment: u64) {
        (self.tag, self.measured, self.moment) = (tag, measured, moment.max(1));
        (self.tally, self.sent, self.arrived) = (Tally::new(), 0, 0);
        for flow in &mut self.flows {
            (flow.next, flow.window, flow.jitter) = (0, Window::new(), Jitter::default());
        }
    }

    /// Closes them; what arrives from now on does not count.
    pub(super) fn close(&mut self) -> Tally {
        for flow in &self.flows {
            let _ = self.tally.jitter.record(flow.jitter.nanos as u64);
        }
        self.tag = self.tag.wrapping_add(1);
        std::mem::replace(&mut self.tally, Tally::new())
    }

    /// Writes the next packet of a flow, without its fill, behind what `out`
    /// holds.
    pub(super) fn write(&mut self, at: usize, intended: u64, now: u64, out: &mut Vec<u8>) {
        let flow = &mut self.flows[at];
        let behind = u32::try_from(now.saturating_sub(intended)).unwrap_or(u32::MAX);
        let sequence = flow.next;
        flow.next += 1;
        if flow.is_binding() {
            let id = transaction_id(self.tag, at as u32, sequence);
            MessageWriter::new(out, Class::Request, Method::BINDING, id);
            let place = (sequence % flow.sent_at.len() as u64) as usize;
            flow.sent_at[place] = (intended, behind);
        } else {
            out.extend_from_slice(&flow.head);
            let stamp = Stamp { tag: self.tag, flow: at as u32, sequence, intended, behind };
            out.extend_from_slice(&stamp.write());
        }
    }

    /// Of so many packets that were due then, so many went.
    pub(super) fn note_sent(&mut self, intended: u64, now: u64, due: usize, sent: usize) {
        self.sent += sent as u64;
        if !self.measured.contains(&intended) {
            return;
        }
        self.tally.counts.sent += sent as u64;
        self.tally.counts.refused += (due - sent) as u64;
        let _ = self.tally.lateness.record_n(now.saturating_sub(intended).max(1), sent as u64);
        let moment = self.moment_of(intended);
        self.tally.moment(moment).sent += sent as u64;
    }

    /// A payload has come to `sink`.
    pub(super) fn note_payload(&mut self, now: u64, sink: Sink, payload: &[u8], fill: &[u8]) {
        let stamp = match Stamp::read(payload) {
            // Of an earlier step, or of another run whose socket had this port before.
            Some((stamp, _)) if stamp.tag != self.tag => return,
            Some((stamp, behind)) if behind == fill => stamp,
            _ => {
                self.tally.counts.corrupt += 1;
                return;
            }
        };
        match self.flows.get(stamp.flow as usize) {
            Some(flow) if flow.sink == sink && stamp.sequence < flow.next => self.note_arrival(now, stamp),
            // Well-formed, but it should not have come here.
            _ => self.tally.counts.corrupt += 1,
        }
    }

    /// A message has come to this client that answers nothing it has asked
    /// otherwise.
    pub(super) fn note_answer(&mut self, now: u64, party: usize, bytes: &[u8]) {
        let Ok(message) = Message::parse(bytes) else { return };
        let (tag, at, sequence) = of_transaction_id(message.transaction_id());
        let is_answer = message.method() == Method::BINDING && tag == self.tag;
        let flow = self.flows.get(at as usize).filter(|flow| flow.sink == Sink::Answer(party));
        let Some(flow) = flow.filter(|_| is_answer) else { return };
        if message.class() != Class::Success || sequence >= flow.next {
            self.tally.counts.corrupt += 1;
        } else if flow.next - sequence > flow.sent_at.len() as u64 {
            self.tally.counts.stale += 1;
        } else {
            let (intended, behind) = flow.sent_at[(sequence % flow.sent_at.len() as u64) as usize];
            self.note_arrival(now, Stamp { tag, flow: at, sequence, intended, behind });
        }
    }

    fn note_arrival(&mut self, now: u64, stamp: Stamp) {
        self.arrived += 1;
        let flow = &mut self.flows[stamp.flow as usize];
        let arrival = flow.window.note(stamp.sequence);
        let is_new = matches!(arrival, Arrival::InOrder | Arrival::Reordered);
        let latency = now.saturating_sub(stamp.intended).max(1);
        let transit = latency.saturating_sub(stamp.behind.into()).max(1);
        if is_new {
            flow.jitter.note(transit);
        }
        if !self.measured.contains(&stamp.intended) {
            return;
        }
        let counts = &mut self.tally.counts;
        match arrival {
            Arrival::InOrder => {}
            Arrival::Reordered => counts.reordered += 1,
            Arrival::Duplicate => counts.duplicates += 1,
            Arrival::TooOld => counts.stale += 1,
        }
        if is_new {
            counts.delivered += 1;
            // Longer than a minute is a minute.
            self.tally.latency.saturating_record(latency);
            self.tally.transit.saturating_record(transit);
            let at = self.moment_of(stamp.intended);
            let moment = self.tally.moment(at);
            moment.delivered += 1;
            moment.latency.saturating_record(latency);
        }
    }

    fn moment_of(&self, intended: u64) -> usize {
        ((intended - self.measured.start) / self.moment) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILL: [u8; 10] = [3; 10];
    const AT_PEER: Sink = Sink::Peer(0);

    /// One flow and a step from 1,000 to 2,000 ns with moments of 100 ns.
    fn flows(flow: Flow) -> Flows {
        let mut flows = Flows::new();
        flows.push(flow);
        flows.begin(7, 1_000..2_000, 100);
        flows
    }

    fn one_up() -> Flows {
        flows(Flow::up(0, Some(ChannelNumber(0x4000)), "127.0.0.1:9".parse().unwrap(), 42, AT_PEER))
    }

    /// Sends a packet and returns its payload.
    fn send(flows: &mut Flows, intended: u64, now: u64) -> Vec<u8> {
        let mut out = Vec::new();
        flows.write(0, intended, now, &mut out);
        flows.note_sent(intended, now, 1, 1);
        [&out[4..], &FILL].concat()
    }

    #[test]
    fn only_what_was_to_be_sent_in_the_measured_time_counts() {
        let mut flows = one_up();
        for intended in [900, 1_000, 1_999, 2_000] {
            let payload = send(&mut flows, intended, intended);
            flows.note_payload(intended + 50, AT_PEER, &payload, &FILL);
        }
        let counts = flows.tally.counts;
        assert_eq!((counts.sent, counts.delivered, flows.sent, flows.arrived), (2, 2, 4, 4));
        assert_eq!(flows.tally.moments.len(), 10);
        assert_eq!((flows.tally.moments[0].delivered, flows.tally.moments[9].delivered), (1, 1));
    }

    #[test]
    fn latency_counts_from_the_intended_time() {
        let mut flows = one_up();
        let payload = send(&mut flows, 1_100, 1_600);
        flows.note_payload(1_700, AT_PEER, &payload, &FILL);
        let tally = flows.close();
        let only = [&tally.latency, &tally.transit, &tally.lateness].map(|histogram| histogram.max());
        assert_eq!(only, [600, 100, 500]);
    }

    #[test]
    fn what_is_not_as_it_was_sent_is_not_delivered() {
        let mut flows = one_up();
        let good = send(&mut flows, 1_100, 1_100);
        let mut changed = good.clone();
        changed[41] ^= 1;
        flows.note_payload(1_200, AT_PEER, &changed, &FILL);
        flows.note_payload(1_200, AT_PEER, &good[..41], &FILL);
        // At another peer; of a flow that isn't there; before it was sent.
        flows.note_payload(1_200, Sink::Peer(1), &good, &FILL);
        for (flow, sequence) in [(1, 0), (0, 1)] {
            let stamp = Stamp { tag: 7, flow, sequence, intended: 1_100, behind: 0 };
            flows.note_payload(1_200, AT_PEER, &[&stamp.write()[..], &FILL].concat(), &FILL);
        }
        assert_eq!((flows.tally.counts.corrupt, flows.tally.counts.delivered), (5, 0));
        flows.note_payload(1_200, AT_PEER, &good, &FILL);
        flows.note_payload(1_300, AT_PEER, &good, &FILL);
        assert_eq!((flows.tally.counts.delivered, flows.tally.counts.duplicates), (1, 1));
        // Of an earlier step; of another run.
        flows.begin(8, 1_000..2_000, 100);
        flows.note_payload(1_200, AT_PEER, &good, &FILL);
        flows.note_payload(1_200, AT_PEER, &good, &[1; 8]);
        assert_eq!(flows.tally.counts.corrupt, 0);
    }

    #[test]
    fn a_binding_request_is_known_again_by_its_answer() {
        let mut flows = flows(Flow::binding(3, 1 << 20));
        let mut request = Vec::new();
        flows.write(0, 1_100, 1_150, &mut request);
        let id = Message::parse(&request).unwrap().transaction_id();
        let answer = |class| {
            let mut out = Vec::new();
            MessageWriter::new(&mut out, class, Method::BINDING, id);
            out
        };
        flows.note_answer(1_400, 2, &answer(Class::Success));
        assert_eq!(flows.tally.counts.delivered, 0, "another client's");
        flows.note_answer(1_400, 3, &answer(Class::Error));
        assert_eq!(flows.tally.counts.corrupt, 1);
        flows.note_answer(1_400, 3, &answer(Class::Success));
        assert_eq!((flows.tally.counts.delivered, flows.tally.latency.max()), (1, 300));
        assert_eq!(flows.tally.transit.max(), 250);
        // Forgotten by now.
        for _ in 0..256 {
            flows.write(0, 1_500, 1_500, &mut Vec::new());
        }
        flows.note_answer(1_600, 3, &answer(Class::Success));
        assert_eq!((flows.tally.counts.stale, flows.tally.counts.duplicates), (1, 0));
    }
}
