//! The story with somebody who is not `floe pair`: a browser, or whatever else
//! speaks WebRTC. It knows nothing of notes, so this side checks what it can see
//! alone: that its messages come back (floe's page echoes them), that the tracks
//! its description names arrive and carry packets, what its RTCP says of ours, and
//! the close event. What a stranger does not do is left unchecked, not failed.

use std::collections::BTreeMap;

use tokio::time::Instant;
use webrtc::data_channel::data_channel_message::DataChannelMessage;
use webrtc::track::track_local::TrackLocalWriter;

use super::{Done, Talk};
use crate::client::pair::data;
use crate::client::pair::media::{self, Kind};
use crate::client::pair::peer::{self, Channel, Received};
use crate::client::pair::report::{Failure, Step};
use crate::client::pair::timeline::Side;

/// How long a connected stranger may take for all that is waited for: a browser
/// reports on sound every 5 s.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);
/// How long before the end of all patience that is over in any case.
const RESERVE: std::time::Duration = std::time::Duration::from_secs(1);
/// Packets of a track that are enough to say that it runs.
const ENOUGH: u32 = 20;
/// Packets sent at most, should nobody ever be satisfied.
const MOST_PACKETS: u16 = 3_000;

/// Who the other side is.
pub(super) enum Partner {
    /// Not known before its description comes.
    Unknown,
    /// Another `floe pair`.
    Pair,
    /// Anybody else.
    Stranger(Box<Stranger>),
}

/// What a stranger has done so far.
pub(super) struct Stranger {
    echo: data::Reception,
    /// When to do without what has not come; set once connected.
    until: Option<Instant>,
    media: BTreeMap<Kind, Media>,
    asked_to_close: bool,
}

/// One track each way.
#[derive(Default)]
struct Media {
    /// The stream of the other side's track as its description names it.
    announced: Option<String>,
    /// The stream that its track came in.
    arrived: Option<String>,
    packets: u32,
    /// The other side takes a track of ours.
    wanted: bool,
    /// How many packets of it have come there, as it says.
    reported: Option<u32>,
}

/// What a description says of each kind of media.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Described {
    kind: Kind,
    /// Its sender's stream, when it sends.
    stream: Option<String>,
    receives: bool,
}

impl Described {
    /// Its kind, when its side takes a track.
    pub(super) fn wants(&self) -> Option<Kind> {
        self.receives.then_some(self.kind)
    }
}

/// The media sections of a description, one a kind.
pub(super) fn described(sdp: &str) -> Vec<Described> {
    let mut sections: Vec<Described> = Vec::new();
    let mut current: Option<(Kind, bool, bool, Option<String>)> = None;
    let mut close = |section: Option<(Kind, bool, bool, Option<String>)>| {
        if let Some((kind, sends, receives, stream)) = section
            && !sections.iter().any(|known| known.kind == kind)
        {
            sections.push(Described { kind, stream: stream.filter(|_| sends), receives });
        }
    };
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            close(current.take());
            let kind = Kind::ALL.into_iter().find(|kind| media.starts_with(kind.name()));
            let rejected = media.split(' ').nth(1) == Some("0");
            current = kind.filter(|_| !rejected).map(|kind| (kind, true, true, None));
        } else if let Some((_, sends, receives, stream)) = &mut current {
            match line.trim_end() {
                "a=sendonly" => *receives = false,
                "a=recvonly" => *sends = false,
                "a=inactive" => (*sends, *receives) = (false, false),
                other => {
                    if let Some(msid) = other.strip_prefix("a=msid:") {
                        *stream = msid.split(' ').next().map(str::to_owned);
                    }
                }
            }
        }
    }
    close(current);
    sections
}

impl Talk {
    /// Looks at the other side's description: who is it?
    pub(super) fn meet(&mut self) {
        if peer::is_marked(&self.remote_sdp) {
            self.partner = Partner::Pair;
            return;
        }
        self.note("partner", "a browser, or another program; not floe pair");
        let mut media = BTreeMap::new();
        for Described { kind, stream, receives } in described(&self.remote_sdp) {
            media.insert(kind, Media { announced: stream, wanted: receives, ..Media::default() });
        }
        let echo = data::Reception::new(self.side);
        self.partner =
            Partner::Stranger(Box::new(Stranger { echo, until: None, media, asked_to_close: false }));
    }

    fn stranger(&mut self) -> Option<&mut Stranger> {
        match &mut self.partner {
            Partner::Stranger(stranger) => Some(stranger),
            Partner::Unknown | Partner::Pair => None,
        }
    }

    /// A message of a stranger: it counts when it is the next of ours.
    pub(super) fn stranger_said(&mut self, message: &DataChannelMessage) -> Result<(), Failure> {
        let Some(stranger) = self.stranger() else { return Ok(()) };
        let begun = stranger.echo.count() > 0;
        match stranger.echo.accept(message) {
            Ok(()) if stranger.echo.is_complete() => {
                let text = format!("{} messages came back, in order, byte for byte", data::COUNT);
                self.note("message", text);
                self.found(Step::Messages, format!("echoed: {}", data::summary()));
            }
            Ok(()) => {}
            Err(cause) if begun => return Err(Failure::new(Step::Messages, format!("of the echo, {cause}"))),
            Err(_) => self.note("message", "something else than what was sent; passed over"),
        }
        Ok(())
    }

    pub(super) fn stranger_track(&mut self, kind: Kind, stream: String) {
        if let Some(stranger) = self.stranger() {
            stranger.media.entry(kind).or_default().arrived = Some(stream);
        }
    }

    pub(super) fn stranger_packet(&mut self, kind: Kind) {
        if let Some(stranger) = self.stranger() {
            stranger.media.entry(kind).or_default().packets += 1;
        }
    }

    pub(super) fn stranger_reports(&mut self, kind: Kind, Received { highest, lost }: Received) {
        if let Some(stranger) = self.stranger() {
            stranger.media.entry(kind).or_default().reported = Some(media::reported(highest, lost));
        }
    }

    /// When to do without what has not come.
    pub(super) fn stranger_until(&self) -> Option<Instant> {
        match &self.partner {
            Partner::Stranger(stranger) if !self.closing => stranger.until,
            _ => None,
        }
    }

    /// That moment has come.
    pub(super) async fn stranger_overdue(&mut self) -> Result<(), Failure> {
        let Some(stranger) = self.stranger() else { return Ok(()) };
        match stranger.echo.count() {
            0 => {
                self.skip(Step::Messages, "the other side does not send back what comes");
            }
            some if some < data::COUNT => {
                let cause = format!("{some} of {} messages came back", data::COUNT);
                return Err(Failure::new(Step::Messages, cause));
            }
            _ => {}
        }
        self.judge_stranger()?;
        self.part_from_stranger().await
    }

    /// Looks whether all has come that was waited for.
    pub(super) async fn advance_with_stranger(&mut self) -> Result<(), Failure> {
        let connected = self.findings.contains_key(&Step::Connection);
        let deadline = self.deadline;
        let Some(stranger) = self.stranger() else { return Ok(()) };
        if connected && stranger.until.is_none() {
            stranger.until = Some((Instant::now() + PATIENCE).min(deadline - RESERVE));
            self.begin_with_stranger().await?;
        }
        let Some(stranger) = self.stranger() else { return Ok(()) };
        let has_come = |media: &Media| {
            (media.announced.is_none() || media.packets >= ENOUGH)
                && (!media.wanted || media.reported >= Some(ENOUGH))
        };
        let media_has_come = stranger.media.values().all(has_come);
        let told = |step| self.findings.contains_key(&step) || self.skipped.contains_key(&step);
        if media_has_come && told(Step::Messages) && told(Step::Candidates) && connected && !self.closing {
            self.judge_stranger()?;
            self.part_from_stranger().await?;
        }
        Ok(())
    }

    /// Connected: media goes out, and a channel where the stranger opened none for
    /// this.
    async fn begin_with_stranger(&mut self) -> Result<(), Failure> {
        if self.side == Side::Answer && self.channels[Channel::Data as usize].is_none() {
            if self.remote_sdp.contains("m=application") {
                let opened = self.peer.open(Channel::Data).await;
                let opened = opened
                    .map_err(|error| Failure::new(Step::ChannelOpen, format!("not opened: {error}")))?;
                self.channels[Channel::Data as usize] = Some(opened);
            } else {
                for step in [Step::ChannelOpen, Step::Messages, Step::ChannelClose] {
                    self.skip(step, "the other side offers no data channel");
                }
            }
        }
        let tracks = std::mem::take(&mut self.tracks);
        self.note("media", "sending silence and a small picture");
        self.tasks.spawn(async move {
            let mut pace = tokio::time::interval(media::STRANGER_PACE);
            for index in 0..MOST_PACKETS {
                pace.tick().await;
                for (kind, track) in &tracks {
                    // A track that the other side does not take swallows it.
                    let written = track.write_rtp(&media::playable(*kind, index)).await;
                    written.map_err(|e| Failure::new(Step::Packets, format!("a packet not sent: {e}")))?;
                }
            }
            Ok(Done::Media)
        });
        Ok(())
    }

    /// What came of tracks and packets.
    fn judge_stranger(&mut self) -> Result<(), Failure> {
        let Some(stranger) = self.stranger() else { return Ok(()) };
        let (mut tracks, mut packets) = (Vec::new(), Vec::new());
        for (kind, Media { announced, arrived, packets: came, wanted, reported }) in &stranger.media {
            let name = kind.name();
            if let Some(stream) = announced {
                match arrived {
                    None => return Err(Failure::new(Step::Tracks, format!("no {name} track came"))),
                    Some(other) if other != stream => {
                        let cause =
                            format!("the {name} track came in stream {other:?}, was sent in {stream:?}");
                        return Err(Failure::new(Step::Tracks, cause));
                    }
                    Some(_) => tracks.push(format!("{name} in stream {stream}")),
                }
                if *came < ENOUGH {
                    let cause = format!("{came} {name} packets came, of a track that runs");
                    return Err(Failure::new(Step::Packets, cause));
                }
                packets.push(format!("{came} {name} came"));
            }
            match reported {
                Some(count) if *wanted => packets.push(format!("of ours it has {count} {name}")),
                None if *wanted => packets.push(format!("no word of our {name}")),
                _ => {}
            }
        }
        if tracks.is_empty() {
            self.skip(Step::Tracks, "the other side sends no media");
        } else {
            self.found(Step::Tracks, tracks.join(", "));
        }
        if packets.is_empty() {
            self.skip(Step::Packets, "no media goes either way");
        } else {
            self.found(Step::Packets, packets.join("; "));
        }
        Ok(())
    }

    async fn part_from_stranger(&mut self) -> Result<(), Failure> {
        self.closing = true;
        self.read_pair().await?;
        let Some(channel) = self.channels[Channel::Data as usize].clone() else {
            self.finished = true;
            return Ok(());
        };
        self.note("channel", "closing");
        if let Some(stranger) = self.stranger() {
            stranger.asked_to_close = true;
        }
        channel.close().await.map_err(|error| Failure::new(Step::ChannelClose, error.to_string()))
    }

    /// The data channel's close event, with a stranger.
    pub(super) fn stranger_closed(&mut self) -> Result<(), Failure> {
        if self.stranger().is_some_and(|stranger| stranger.asked_to_close) {
            self.found(Step::ChannelClose, "close event on this side");
            self.finished = true;
            return Ok(());
        }
        Err(Failure::new(self.next_step(), "the other side closed the data channel too early"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_tells_who_sends_what() {
        let sdp = "v=0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=sendrecv\r\na=msid:abc track-1\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=recvonly\r\na=msid:abc track-2\r\n\
                   m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=sendonly\r\n";
        let stream = Some("abc".to_owned());
        assert_eq!(
            described(sdp),
            [
                Described { kind: Kind::Audio, stream, receives: true },
                Described { kind: Kind::Video, stream: None, receives: true },
            ]
        );
        assert_eq!(described("v=0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=sendrecv\r\n"), []);
        assert_eq!(described(""), []);
    }

    #[test]
    fn reports_count_what_has_come() {
        let first = media::playable(Kind::Audio, 0).header.sequence_number;
        let last = media::playable(Kind::Audio, 49).header.sequence_number;
        assert_eq!((media::reported(first, 0), media::reported(last, 5)), (1, 45));
        assert_eq!(media::reported(first, 3), 0);
    }
}
