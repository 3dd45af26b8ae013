//! One `RTCPeerConnection`, with everything it reports as one stream of
//! happenings. Knows webrtc-rs; knows nothing of the story that is told with it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use webrtc::api::APIBuilder;
use webrtc::api::media_engine::MediaEngine;
use webrtc::api::setting_engine::SettingEngine;
use webrtc::data_channel::RTCDataChannel;
use webrtc::data_channel::data_channel_message::DataChannelMessage;
use webrtc::ice::mdns::MulticastDnsMode;
use webrtc::ice_transport::ice_candidate::{RTCIceCandidate, RTCIceCandidateInit};
use webrtc::ice_transport::ice_candidate_pair::RTCIceCandidatePair;
use webrtc::ice_transport::ice_connection_state::RTCIceConnectionState;
use webrtc::ice_transport::ice_gatherer_state::RTCIceGathererState;
use webrtc::ice_transport::ice_server::RTCIceServer;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::peer_connection::configuration::RTCConfiguration;
use webrtc::peer_connection::peer_connection_state::RTCPeerConnectionState;
use webrtc::peer_connection::policy::ice_transport_policy::RTCIceTransportPolicy;
use webrtc::peer_connection::sdp::session_description::RTCSessionDescription;
use webrtc::rtcp::receiver_report::ReceiverReport;
use webrtc::rtcp::sender_report::SenderReport;
use webrtc::rtp::packet::Packet;
use webrtc::rtp_transceiver::rtp_sender::RTCRtpSender;
use webrtc::track::track_local::TrackLocal;
use webrtc::track::track_local::track_local_static_rtp::TrackLocalStaticRTP;
use webrtc::track::track_remote::TrackRemote;

use super::Policy;
use super::media::Kind;
use super::signaling::{Candidate, Description};
use crate::client::Credentials;

/// Happenings not yet looked at; webrtc-rs waits when there are more.
const QUEUE: usize = 1_024;

/// The label of the channel whose events and messages are checked, and of the
/// one on which the sides tell each other what they saw.
const LABELS: [(Channel, &str); 2] = [(Channel::Data, "floe-pair"), (Channel::Notes, "floe-pair-notes")];

/// A line of its descriptions by which one `floe pair` knows another. Whoever
/// does not know an attribute ignores it (RFC 8866 §5.13).
const MARK: &str = "a=floe-pair";

/// Whether a description is of another `floe pair`.
pub(super) fn is_marked(sdp: &str) -> bool {
    sdp.lines().any(|line| line.trim_end() == MARK)
}

/// Which of the two data channels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Channel {
    Data,
    Notes,
}

/// What a peer connection reports.
pub(super) enum Happening {
    Gathering(RTCIceGathererState),
    /// `None` after the last one.
    Candidate(Option<RTCIceCandidate>),
    Ice(RTCIceConnectionState),
    Connection(RTCPeerConnectionState),
    /// The far side opened a channel.
    Offered(Channel, Arc<RTCDataChannel>),
    /// The far side opened one that is none of the two.
    Foreign(String),
    Opened(Channel),
    Message(Channel, DataChannelMessage),
    Closed(Channel),
    Track(Kind, String),
    Packet(Kind, Packet),
    /// The far side says that so many packets of a track of ours have come, and
    /// how many it misses (RFC 3550 §6.4.2).
    Reported(Kind, Received),
}

/// What a receiver of media says of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Received {
    /// Highest sequence number, without the cycles before it.
    pub(super) highest: u16,
    /// Packets that did not come.
    pub(super) lost: u32,
}

type Result<T> = std::result::Result<T, webrtc::Error>;

/// A peer connection and its happenings.
pub(super) struct Peer {
    connection: RTCPeerConnection,
    out: mpsc::Sender<Happening>,
    happenings: mpsc::Receiver<Happening>,
    /// `a=mid` of the first media section, for candidates: all sections share
    /// one transport.
    mid: Option<String>,
}

impl Peer {
    /// A connection that knows one TURN server. `turn_url` must be UDP to an
    /// IPv4 address: webrtc-rs gathers nothing from any other.
    pub(super) async fn new(turn_url: String, credentials: Credentials, policy: Policy) -> Result<Self> {
        let mut settings = SettingEngine::default();
        // Nothing leaves by multicast, and none of this pair's names need it.
        settings.set_ice_multicast_dns_mode(MulticastDnsMode::Disabled);
        if policy == Policy::Relay {
            // The default waits 2 s for something better than a relay; with
            // policy `all` that is what gives a direct pair its chance.
            settings.set_relay_acceptance_min_wait(Some(Duration::ZERO));
        } else {
            settings.set_include_loopback_candidate(true);
        }
        let mut media = MediaEngine::default();
        media.register_default_codecs()?;
        // No interceptors: a NACK would hide loss from the packet count.
        let api = APIBuilder::new().with_setting_engine(settings).with_media_engine(media).build();
        let configuration = RTCConfiguration {
            ice_servers: vec![RTCIceServer {
                urls: vec![turn_url],
                username: credentials.username,
                credential: credentials.password,
            }],
            ice_transport_policy: match policy {
                Policy::Relay => RTCIceTransportPolicy::Relay,
                Policy::All => RTCIceTransportPolicy::All,
            },
            ..Default::default()
        };
        let connection = api.new_peer_connection(configuration).await?;
        let (out, happenings) = mpsc::channel(QUEUE);
        let peer = Self { connection, out, happenings, mid: None };
        peer.listen();
        Ok(peer)
    }

    fn listen(&self) {
        /// A handler that passes on what `$happening` makes of its argument.
        macro_rules! pass_on {
            ($method:ident, $happening:expr) => {{
                let out = self.out.clone();
                self.connection.$method(Box::new(move |argument| {
                    let out = out.clone();
                    Box::pin(async move {
                        let _ = out.send($happening(argument)).await;
                    })
                }));
            }};
        }
        pass_on!(on_ice_gathering_state_change, Happening::Gathering);
        pass_on!(on_ice_candidate, Happening::Candidate);
        pass_on!(on_ice_connection_state_change, Happening::Ice);
        pass_on!(on_peer_connection_state_change, Happening::Connection);

        let out = self.out.clone();
        self.connection.on_data_channel(Box::new(move |channel| {
            let out = out.clone();
            Box::pin(async move {
                let happening = match LABELS.iter().find(|(_, label)| *label == channel.label()) {
                    Some(&(which, _)) => {
                        attend(&channel, which, &out);
                        Happening::Offered(which, channel)
                    }
                    None => Happening::Foreign(channel.label().to_owned()),
                };
                let _ = out.send(happening).await;
            })
        }));
        let out = self.out.clone();
        self.connection.on_track(Box::new(move |track, _, _| {
            let out = out.clone();
            Box::pin(async move {
                if let Some(kind) = Kind::of(track.kind()) {
                    tokio::spawn(read(track, kind, out));
                }
            })
        }));
    }

    /// The next happening; may be cancelled without loss.
    pub(super) async fn next(&mut self) -> Option<Happening> {
        self.happenings.recv().await
    }

    /// Opens one of the two channels.
    pub(super) async fn open(&self, which: Channel) -> Result<Arc<RTCDataChannel>> {
        let label = LABELS.iter().find(|(channel, _)| *channel == which).map_or("", |(_, label)| label);
        let channel = self.connection.create_data_channel(label, None).await?;
        attend(&channel, which, &self.out);
        Ok(channel)
    }

    /// Adds a track to `stream`.
    pub(super) async fn add_track(&self, kind: Kind, stream: &str) -> Result<Arc<TrackLocalStaticRTP>> {
        let id = kind.name().to_owned();
        let track = Arc::new(TrackLocalStaticRTP::new(kind.codec(), id, stream.to_owned()));
        let sender = Arc::clone(&track) as Arc<dyn TrackLocal + Send + Sync>;
        let sender = self.connection.add_track(sender).await?;
        tokio::spawn(read_reports(sender, kind, self.out.clone()));
        Ok(track)
    }

    /// Makes the offer; gathering begins.
    pub(super) async fn offer(&mut self) -> Result<Description> {
        let offer = self.connection.create_offer(None).await?;
        self.describe("offer", offer).await
    }

    /// Answers an offer; gathering begins.
    pub(super) async fn answer(&mut self, offer: Description) -> Result<Description> {
        self.connection.set_remote_description(RTCSessionDescription::offer(offer.sdp)?).await?;
        let answer = self.connection.create_answer(None).await?;
        self.describe("answer", answer).await
    }

    async fn describe(&mut self, kind: &str, description: RTCSessionDescription) -> Result<Description> {
        let sdp = description.sdp.clone();
        self.mid = sdp.lines().find_map(|line| line.strip_prefix("a=mid:")).map(|mid| mid.trim().to_owned());
        self.connection.set_local_description(description).await?;
        Ok(Description { kind: kind.to_owned(), sdp: format!("{sdp}{MARK}\r\n") })
    }

    /// Takes the answer to an own offer.
    pub(super) async fn accept(&self, answer: Description) -> Result<()> {
        self.connection.set_remote_description(RTCSessionDescription::answer(answer.sdp)?).await
    }

    /// A local candidate in the form that is sent.
    pub(super) fn candidate(&self, candidate: &RTCIceCandidate) -> Result<Candidate> {
        let init = candidate.to_json()?;
        Ok(Candidate {
            candidate: init.candidate,
            sdp_mid: self.mid.clone(),
            sdp_m_line_index: init.sdp_mline_index,
        })
    }

    /// A candidate of the far side; a description must have come before.
    pub(super) async fn add_candidate(&self, candidate: Candidate) -> Result<()> {
        let init = RTCIceCandidateInit {
            candidate: candidate.candidate,
            sdp_mid: candidate.sdp_mid,
            sdp_mline_index: candidate.sdp_m_line_index,
            username_fragment: None,
        };
        self.connection.add_ice_candidate(init).await
    }

    /// The candidate pair in use.
    pub(super) async fn selected_pair(&self) -> Option<RTCIceCandidatePair> {
        self.connection.sctp().transport().ice_transport().get_selected_candidate_pair().await
    }

    /// Closes the connection; its allocations are deleted (Refresh with
    /// lifetime zero).
    pub(super) async fn close(mut self) {
        // Nobody looks any more: handlers that wait to report must not hold up
        // the closing.
        self.happenings.close();
        let _ = self.connection.close().await;
    }
}

/// Passes on a channel's events.
fn attend(channel: &RTCDataChannel, which: Channel, out: &mpsc::Sender<Happening>) {
    let opened = out.clone();
    channel.on_open(Box::new(move || {
        Box::pin(async move {
            let _ = opened.send(Happening::Opened(which)).await;
        })
    }));
    let message = out.clone();
    channel.on_message(Box::new(move |content| {
        let message = message.clone();
        Box::pin(async move {
            let _ = message.send(Happening::Message(which, content)).await;
        })
    }));
    let closed = out.clone();
    channel.on_close(Box::new(move || {
        let closed = closed.clone();
        Box::pin(async move {
            let _ = closed.send(Happening::Closed(which)).await;
        })
    }));
}

/// Passes on what the far side says of a track of ours, until the connection
/// closes.
async fn read_reports(sender: Arc<RTCRtpSender>, kind: Kind, out: mpsc::Sender<Happening>) {
    while let Ok((packets, _)) = sender.read_rtcp().await {
        for packet in packets {
            let any = packet.as_any();
            let reports = any
                .downcast_ref::<ReceiverReport>()
                .map(|report| &report.reports)
                .or_else(|| any.downcast_ref::<SenderReport>().map(|report| &report.reports));
            for report in reports.into_iter().flatten() {
                let highest = report.last_sequence_number as u16;
                let happening = Happening::Reported(kind, Received { highest, lost: report.total_lost });
                if out.send(happening).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// Passes on a track's event and packets until the connection closes.
async fn read(track: Arc<TrackRemote>, kind: Kind, out: mpsc::Sender<Happening>) {
    if out.send(Happening::Track(kind, track.stream_id())).await.is_err() {
        return;
    }
    while let Ok((packet, _)) = track.read_rtp().await {
        if out.send(Happening::Packet(kind, packet)).await.is_err() {
            return;
        }
    }
}
