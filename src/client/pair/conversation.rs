//! One side of the story, from entering the signaling channel to the close
//! event. Both sides run the same code; what differs by role is said where it
//! differs.
//!
//! On a second data channel the sides send each other notes: that both channels
//! are open, that all media has been sent, what was seen, that the close event
//! came. So each side knows of every step, in one process or in two. Whoever has
//! no such channel is a `stranger`, with a story of its own.

mod negotiation;
mod stranger;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;
use webrtc::data_channel::RTCDataChannel;
use webrtc::data_channel::data_channel_message::DataChannelMessage;
use webrtc::ice_transport::ice_candidate_type::RTCIceCandidateType;
use webrtc::ice_transport::ice_connection_state::RTCIceConnectionState;
use webrtc::ice_transport::ice_gatherer_state::RTCIceGathererState;
use webrtc::peer_connection::peer_connection_state::RTCPeerConnectionState;
use webrtc::track::track_local::TrackLocalWriter;
use webrtc::track::track_local::track_local_static_rtp::TrackLocalStaticRTP;

use self::stranger::Partner;
use super::media::{self, Kind};
use super::peer::{Channel, Happening, Peer};
use super::report::{Failure, Findings, Step};
use super::signaling::{Signal, Signaling};
use super::timeline::{Side, Timeline};
use super::{Policy, Server, data};
use crate::client::probe::probe;

/// How long a side that knows all stays for the other: the offering side after
/// its farewell, so that it can be repeated; the answering side for that farewell.
const FAREWELL: Duration = Duration::from_millis(500);
const WAIT_FOR_FAREWELL: Duration = Duration::from_secs(2);
/// How long the server may take to say why it gave no allocation.
const ASKING_AGAIN: Duration = Duration::from_secs(2);
/// Remote candidates taken; more are passed over.
const MAX_REMOTE_CANDIDATES: usize = 100;

/// What the sides tell each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Note {
    /// The answering side's: both channels are open, media can be received.
    Ready,
    /// The offering side's, after its last RTP packet.
    MediaSent {
        /// The stream its tracks are in.
        stream: String,
    },
    /// Everything that was to come has come; the tracks are the answering
    /// side's.
    Seen { messages: usize, tracks: Vec<media::Seen> },
    /// The answering side's: the data channel's close event came.
    CloseSeen,
    /// The offering side's: it knows all, both may go.
    Farewell,
}

/// The selected pair's candidate types, local and remote.
pub(super) type PairTypes = (RTCIceCandidateType, RTCIceCandidateType);

/// How one side fared.
pub(super) struct Outcome {
    pub(super) side: Side,
    pub(super) findings: Findings,
    /// What could not be asked for, and why.
    pub(super) skipped: BTreeMap<Step, String>,
    pub(super) failure: Option<Failure>,
    pub(super) pair: Option<PairTypes>,
    /// Payload bytes handed to the data channel and the tracks.
    pub(super) sent: u64,
}

impl Outcome {
    /// Of a side that did not get to begin.
    pub(super) fn failed(side: Side, failure: Failure) -> Self {
        let (findings, skipped) = (Findings::new(), BTreeMap::new());
        Self { side, findings, skipped, failure: Some(failure), pair: None, sent: 0 }
    }
}

/// Tells one side of the story to its end; closes the peer and leaves the
/// signaling channel whatever happens.
pub(super) async fn converse(
    side: Side,
    policy: Policy,
    server: Server,
    peer: Peer,
    signaling: Signaling,
    timeline: Timeline,
    patience: Duration,
) -> Outcome {
    let mut talk = Talk::new(side, policy, peer, signaling, timeline, patience);
    let mut failure = talk.tell().await.err();
    if let Some(failure) = &mut failure {
        if failure.step == Step::Candidates
            && !failure.others_end
            && let Err(error) = probe(server.endpoint.clone(), &server.credentials, ASKING_AGAIN).await
        {
            failure.cause = format!("{}: {error}", failure.cause);
        }
        talk.note("failed", format!("{}: {}", failure.step, failure.cause));
    }
    talk.tasks.shutdown().await;
    if let Some(signaling) = talk.signaling {
        signaling.leave().await;
    }
    talk.peer.close().await;
    talk.timeline.add(side, "closed", "peer connection closed, allocation deleted");
    let Talk { findings, skipped, pair, sent, .. } = talk;
    Outcome { side, findings, skipped, failure, pair, sent }
}

/// What a background task has done.
enum Done {
    Messages,
    Media,
}

struct Talk {
    side: Side,
    policy: Policy,
    peer: Peer,
    /// `None` once it has ended, which does no harm to a connected pair.
    signaling: Option<Signaling>,
    timeline: Timeline,
    patience: Duration,
    deadline: Instant,
    findings: Findings,
    skipped: BTreeMap<Step, String>,
    partner: Partner,
    /// The other side's description.
    remote_sdp: String,
    tasks: JoinSet<Result<Done, Failure>>,

    described: bool,
    local_candidates: Vec<RTCIceCandidateType>,
    remote_relays: Vec<SocketAddr>,
    remote_candidates: usize,

    channels: [Option<Arc<RTCDataChannel>>; 2],
    open: [bool; 2],
    incoming: data::Reception,
    messages_sent: bool,
    sent: u64,

    /// The offering side's tracks and their stream.
    stream: String,
    tracks: Vec<(Kind, Arc<TrackLocalStaticRTP>)>,
    media_sent: bool,
    /// The answering side's.
    receptions: Vec<media::Reception>,
    media_ends: Option<Instant>,

    pair: Option<PairTypes>,
    seen_sent: bool,
    other_saw: Option<(usize, Vec<media::Seen>)>,
    closing: bool,
    /// All is known; when to go even if the other side does not.
    leaving: Option<Instant>,
    finished: bool,
}

impl Talk {
    fn new(
        side: Side,
        policy: Policy,
        peer: Peer,
        signaling: Signaling,
        timeline: Timeline,
        patience: Duration,
    ) -> Self {
        let other = if side == Side::Offer { Side::Answer } else { Side::Offer };
        Self {
            side,
            policy,
            peer,
            signaling: Some(signaling),
            timeline,
            patience,
            deadline: Instant::now() + patience,
            findings: Findings::new(),
            skipped: BTreeMap::new(),
            partner: Partner::Unknown,
            remote_sdp: String::new(),
            tasks: JoinSet::new(),
            described: false,
            local_candidates: Vec::new(),
            remote_relays: Vec::new(),
            remote_candidates: 0,
            channels: [None, None],
            open: [false, false],
            incoming: data::Reception::new(other),
            messages_sent: false,
            sent: 0,
            stream: String::new(),
            tracks: Vec::new(),
            media_sent: false,
            receptions: Vec::new(),
            media_ends: None,
            pair: None,
            seen_sent: false,
            other_saw: None,
            closing: false,
            leaving: None,
            finished: false,
        }
    }

    fn note(&self, topic: &'static str, text: impl AsRef<str>) {
        self.timeline.add(self.side, topic, text);
    }

    fn found(&mut self, step: Step, detail: impl Into<String>) {
        self.findings.entry(step).or_insert_with(|| detail.into());
    }

    fn skip(&mut self, step: Step, why: &str) {
        self.skipped.entry(step).or_insert_with(|| why.to_owned());
    }

    async fn tell(&mut self) -> Result<(), Failure> {
        while !self.finished {
            let grace = self.media_ends.filter(|_| !self.findings.contains_key(&Step::Packets));
            let until = self.stranger_until();
            tokio::select! {
                Some(happening) = self.peer.next() => self.happened(happening).await?,
                signal = receive(&mut self.signaling) => self.signalled(signal).await?,
                Some(done) = self.tasks.join_next() => self.done(done).await?,
                () = at(grace) => self.judge_media()?,
                () = at(self.leaving) => self.finished = true,
                () = at(until) => self.stranger_overdue().await?,
                () = tokio::time::sleep_until(self.deadline) => return Err(self.overdue()),
            }
            self.advance().await?;
        }
        Ok(())
    }

    async fn happened(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Gathering(state) => {
                self.note("gathering", state.to_string());
                if state == RTCIceGathererState::Complete {
                    self.gathered()?;
                }
            }
            Happening::Candidate(Some(candidate)) => self.local_candidate(&candidate).await?,
            Happening::Candidate(None) => self.signal(Signal::NewIceCandidate(None)).await?,
            // The other side may go first.
            Happening::Ice(_) | Happening::Connection(_) if self.leaving.is_some() => {}
            Happening::Ice(state) => {
                self.note("ice", state.to_string());
                if state == RTCIceConnectionState::Failed {
                    let cause = "ICE failed: no candidate pair passed its checks";
                    return Err(Failure::new(self.next_step(), cause));
                }
            }
            Happening::Connection(state) => {
                self.note("connection", state.to_string());
                match state {
                    RTCPeerConnectionState::Connected => self.found(Step::Connection, "connected"),
                    RTCPeerConnectionState::Failed => {
                        let cause = "the connection failed (ICE, or the DTLS handshake over it)";
                        return Err(Failure::new(self.next_step(), cause));
                    }
                    _ => {}
                }
            }
            Happening::Offered(which, channel) => self.channels[which as usize] = Some(channel),
            Happening::Foreign(label) => self.note("channel", format!("the other side opened {label:?}")),
            Happening::Opened(which) => self.opened(which).await?,
            Happening::Message(Channel::Data, message) if matches!(self.partner, Partner::Stranger(_)) => {
                self.stranger_said(&message)?;
            }
            Happening::Message(Channel::Data, message) => {
                let accepted = self.incoming.accept(&message);
                accepted.map_err(|cause| Failure::new(Step::Messages, cause))?;
                if self.incoming.is_complete() {
                    let text = format!("{} messages received, in order, byte for byte", data::COUNT);
                    self.note("message", text);
                }
            }
            Happening::Message(Channel::Notes, message) => self.read_note(&message).await?,
            Happening::Closed(Channel::Data) => {
                self.note("channel", "close event");
                if matches!(self.partner, Partner::Stranger(_)) {
                    self.stranger_closed()?;
                } else if self.side == Side::Answer {
                    self.closed().await?;
                }
            }
            Happening::Closed(Channel::Notes) if matches!(self.partner, Partner::Stranger(_)) => {}
            Happening::Closed(Channel::Notes) => {
                if self.leaving.is_none() {
                    let cause = "the other side closed the connection too early";
                    return Err(Failure::new(self.next_step(), cause));
                }
                self.finished = true;
            }
            Happening::Track(kind, stream) => {
                let name = kind.name();
                self.note("track", format!("{name} track event, stream {stream}"));
                if matches!(self.partner, Partner::Stranger(_)) {
                    self.stranger_track(kind, stream);
                    return Ok(());
                }
                self.receptions.push(media::Reception::new(kind, stream));
            }
            Happening::Packet(kind, _) if matches!(self.partner, Partner::Stranger(_)) => {
                self.stranger_packet(kind);
            }
            Happening::Reported(kind, received) => self.stranger_reports(kind, received),
            Happening::Packet(kind, packet) => {
                if let Some(reception) = self.receptions.iter_mut().find(|r| r.kind() == kind) {
                    let accepted = reception.accept(&packet);
                    accepted.map_err(|cause| Failure::new(Step::Packets, cause))?;
                }
            }
        }
        Ok(())
    }

    async fn opened(&mut self, which: Channel) -> Result<(), Failure> {
        self.open[which as usize] = true;
        if which == Channel::Data {
            self.note("channel", "open event");
            self.found(Step::ChannelOpen, "open event");
            self.send_messages();
        }
        if self.side == Side::Answer && self.open == [true, true] {
            self.send_note(&Note::Ready).await?;
        }
        Ok(())
    }

    /// All messages at once, so that many are in flight; in a task, so that
    /// the other side's are read meanwhile.
    fn send_messages(&mut self) {
        let Some(channel) = self.channels[Channel::Data as usize].clone() else { return };
        let side = self.side;
        self.tasks.spawn(async move {
            for index in 0..data::COUNT {
                let message = data::message(side, index);
                let sent = if message.is_string {
                    channel.send_text(String::from_utf8_lossy(&message.data)).await
                } else {
                    channel.send(&message.data).await
                };
                sent.map_err(|e| Failure::new(Step::Messages, format!("message {index} not sent: {e}")))?;
            }
            Ok(Done::Messages)
        });
    }

    fn send_media(&mut self) {
        let tracks = std::mem::take(&mut self.tracks);
        self.note("media", format!("sending {} RTP packets a track", media::PACKETS));
        self.tasks.spawn(async move {
            let mut pace = tokio::time::interval(media::PACE);
            for index in 0..media::PACKETS {
                pace.tick().await;
                for (kind, track) in &tracks {
                    let written = track.write_rtp(&media::packet(*kind, index)).await;
                    written.map_err(|e| Failure::new(Step::Packets, format!("a packet not sent: {e}")))?;
                }
            }
            Ok(Done::Media)
        });
    }

    async fn done(
        &mut self,
        done: Result<Result<Done, Failure>, tokio::task::JoinError>,
    ) -> Result<(), Failure> {
        let done =
            done.map_err(|error| Failure::new(self.next_step(), format!("a task ended: {error}")))??;
        match done {
            Done::Messages => {
                self.messages_sent = true;
                self.sent += data::total_bytes(self.side);
                self.note("message", format!("{} messages sent, text and binary", data::COUNT));
            }
            Done::Media => {
                self.media_sent = true;
                self.sent += media::total_bytes();
                self.note("media", "all RTP packets sent");
                self.send_note(&Note::MediaSent { stream: self.stream.clone() }).await?;
            }
        }
        Ok(())
    }

    // Notes.

    async fn send_note(&mut self, note: &Note) -> Result<(), Failure> {
        let Some(channel) = &self.channels[Channel::Notes as usize] else { return Ok(()) };
        let text = serde_json::to_string(note).unwrap_or_default();
        let sent = channel.send_text(text).await;
        sent.map(drop).map_err(|e| Failure::new(self.next_step(), format!("the data channel failed: {e}")))
    }

    async fn read_note(&mut self, message: &DataChannelMessage) -> Result<(), Failure> {
        let note: Note = serde_json::from_slice(&message.data).map_err(|error| {
            Failure::new(Step::Messages, format!("a note of another version of floe pair? {error}"))
        })?;
        match note {
            Note::Ready => self.send_media(),
            Note::MediaSent { stream } => {
                self.stream = stream;
                self.media_ends = Some(Instant::now() + media::GRACE);
            }
            Note::Seen { messages, tracks } => self.other_saw = Some((messages, tracks)),
            Note::CloseSeen => {
                self.found(Step::ChannelClose, "close event on the other side");
                self.send_note(&Note::Farewell).await?;
                self.leaving = Some(Instant::now() + FAREWELL);
            }
            Note::Farewell => self.finished = true,
        }
        Ok(())
    }

    // The ends of the story.

    async fn advance(&mut self) -> Result<(), Failure> {
        if matches!(self.partner, Partner::Stranger(_)) {
            return self.advance_with_stranger().await;
        }
        if self.media_ends.is_some()
            && self.receptions.len() == Kind::ALL.len()
            && self.receptions.iter().all(media::Reception::is_complete)
        {
            self.judge_media()?;
        }
        let received = match self.side {
            Side::Answer => self.findings.contains_key(&Step::Packets),
            _ => self.media_sent,
        };
        let all_done = received && self.incoming.is_complete() && self.messages_sent;
        if all_done && self.findings.contains_key(&Step::Candidates) && !self.seen_sent {
            self.seen_sent = true;
            self.read_pair().await?;
            let tracks = self.receptions.iter().map(media::Reception::seen).collect();
            self.send_note(&Note::Seen { messages: self.incoming.count(), tracks }).await?;
        }
        if self.seen_sent
            && !self.closing
            && let Some((messages, tracks)) = self.other_saw.clone()
        {
            self.closing = true;
            self.compare(messages, &tracks).await?;
        }
        Ok(())
    }

    /// Both sides have everything: compares, and the offering side closes.
    async fn compare(&mut self, messages: usize, tracks: &[media::Seen]) -> Result<(), Failure> {
        if messages != data::COUNT {
            let cause = format!("the other side saw {messages} of {}", data::COUNT);
            return Err(Failure::new(Step::Messages, cause));
        }
        self.found(Step::Messages, data::summary());
        if self.side == Side::Offer {
            let stream = self.stream.clone();
            self.found_media(&stream, tracks)?;
            if let Some(channel) = self.channels[Channel::Data as usize].clone() {
                self.note("channel", "closing");
                let closed = channel.close().await;
                closed.map_err(|e| Failure::new(Step::ChannelClose, e.to_string()))?;
            }
        }
        Ok(())
    }

    /// The answering side's count, when all has come or the grace is over.
    fn judge_media(&mut self) -> Result<(), Failure> {
        if self.findings.contains_key(&Step::Packets) {
            return Ok(());
        }
        let seen: Vec<_> = self.receptions.iter().map(media::Reception::seen).collect();
        let stream = self.stream.clone();
        self.found_media(&stream, &seen)?;
        let text = self.findings.get(&Step::Packets).cloned().unwrap_or_default();
        self.note("media", text);
        Ok(())
    }

    fn found_media(&mut self, stream: &str, seen: &[media::Seen]) -> Result<(), Failure> {
        let tracks = media::judge_tracks(stream, seen).map_err(|cause| Failure::new(Step::Tracks, cause))?;
        self.found(Step::Tracks, tracks);
        let packets = media::judge_packets(seen).map_err(|cause| Failure::new(Step::Packets, cause))?;
        self.found(Step::Packets, packets);
        Ok(())
    }

    async fn closed(&mut self) -> Result<(), Failure> {
        if !self.seen_sent {
            return Err(Failure::new(self.next_step(), "the other side closed the data channel too early"));
        }
        self.found(Step::ChannelClose, "close event on the other side");
        self.leaving = Some(Instant::now() + WAIT_FOR_FAREWELL);
        self.send_note(&Note::CloseSeen).await
    }

    /// The first step this side has not seen yet.
    fn next_step(&self) -> Step {
        let own = |step: &Step| !matches!(step, Step::Server | Step::ServerBytes);
        let missing =
            |step: &Step| own(step) && !self.findings.contains_key(step) && !self.skipped.contains_key(step);
        Step::ALL.into_iter().find(missing).unwrap_or(Step::ChannelClose)
    }

    fn overdue(&self) -> Failure {
        let step = self.next_step();
        let cause = match step {
            Step::Signaling if !self.described => {
                "nobody else came into the room, or no offer came".to_owned()
            }
            Step::Signaling => "the other side did not answer the offer".to_owned(),
            Step::Candidates => "gathering did not end".to_owned(),
            Step::Connection if self.remote_candidates == 0 => "the other side sent no candidate".to_owned(),
            Step::Connection => "no candidate pair passed its checks".to_owned(),
            Step::Messages => format!("{} of {} messages came", self.incoming.count(), data::COUNT),
            Step::Tracks | Step::Packets => {
                "the media, or the other side's count of it, did not come".to_owned()
            }
            _ => "it did not come".to_owned(),
        };
        Failure::new(step, format!("{cause} within {} s", self.patience.as_secs_f32()))
    }
}

/// The next message, or never when the channel has ended.
async fn receive(signaling: &mut Option<Signaling>) -> Result<Signal, String> {
    match signaling {
        Some(signaling) => signaling.receive().await,
        None => std::future::pending().await,
    }
}

/// Waits for a moment that may never be.
async fn at(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
