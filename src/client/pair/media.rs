//! The media that the offering side sends: numbered RTP packets with a payload
//! that tells where it belongs, and their count at the far end.
//!
//! Neither opus nor VP8 is encoded: SRTP and the relay carry any payload, and a
//! known one can be compared. No retransmission is negotiated, so what is
//! counted is what the path delivered. A stranger, who may play what comes, is
//! sent what can be played: silence and one small picture.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use webrtc::api::media_engine::{MIME_TYPE_OPUS, MIME_TYPE_VP8};
use webrtc::rtp::header::Header;
use webrtc::rtp::packet::Packet;
use webrtc::rtp_transceiver::rtp_codec::{RTCRtpCodecCapability, RTPCodecType};

/// Packets a track.
pub(super) const PACKETS: u16 = 40;
/// From one packet of a track to its next.
pub(super) const PACE: Duration = Duration::from_millis(8);
/// How long the receiver waits for the last ones, and how much may be missing
/// of each track.
pub(super) const GRACE: Duration = Duration::from_millis(1_000);
/// Packets of each track that may be missing: 5 %.
pub(super) const MAX_LOST: u16 = PACKETS / 20;
/// The same where they are played: the length of an opus frame.
pub(super) const STRANGER_PACE: Duration = Duration::from_millis(20);
/// Sequence number of the first packet.
const FIRST: u16 = 1_000;

/// The two tracks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Audio,
    Video,
}

impl Kind {
    pub(super) const ALL: [Self; 2] = [Self::Audio, Self::Video];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
        }
    }

    pub(super) fn of(kind: RTPCodecType) -> Option<Self> {
        match kind {
            RTPCodecType::Audio => Some(Self::Audio),
            RTPCodecType::Video => Some(Self::Video),
            RTPCodecType::Unspecified => None,
        }
    }

    pub(super) fn codec(self) -> RTCRtpCodecCapability {
        let (mime, clock_rate, channels) = match self {
            Self::Audio => (MIME_TYPE_OPUS, 48_000, 2),
            Self::Video => (MIME_TYPE_VP8, 90_000, 0),
        };
        RTCRtpCodecCapability { mime_type: mime.to_owned(), clock_rate, channels, ..Default::default() }
    }

    /// Payload bytes a packet.
    fn size(self) -> usize {
        match self {
            Self::Audio => 160,
            Self::Video => 1_100,
        }
    }
}

/// The `index`th packet of a track; SSRC and payload type are the sender's.
pub(super) fn packet(kind: Kind, index: u16) -> Packet {
    let step = kind.codec().clock_rate / 1_000 * u32::try_from(PACE.as_millis()).unwrap_or(0);
    Packet {
        header: Header {
            version: 2,
            marker: kind == Kind::Video,
            sequence_number: FIRST.wrapping_add(index),
            timestamp: step.wrapping_mul(u32::from(index)),
            ..Default::default()
        },
        payload: payload(kind, index),
    }
}

/// The `index`th packet of a track for a stranger, one every [`STRANGER_PACE`]:
/// opus silence (RFC 6716 §3.1: one frame of 20 ms that decodes to none), and in
/// each video packet the same key frame of VP8 (RFC 7741 §4.2: one partition that
/// begins a frame).
pub(super) fn playable(kind: Kind, index: u16) -> Packet {
    const SILENCE: [u8; 3] = [0xf8, 0xff, 0xfe];
    /// 64 by 48 pixels of one colour.
    const PICTURE: [u8; 61] = [
        0x10, 0x70, 0x03, 0x00, 0x9d, 0x01, 0x2a, 0x40, 0x00, 0x30, 0x00, 0x3f, 0x11, 0x88, 0xbe, 0x58, 0xac,
        0x29, 0x26, 0xa3, 0xa2, 0xa8, 0x01, 0x80, 0x22, 0x09, 0x67, 0x00, 0xd4, 0x14, 0x07, 0x7b, 0xb5, 0x34,
        0xf8, 0x41, 0x00, 0x00, 0xfe, 0xe8, 0x38, 0xbd, 0xb3, 0x5f, 0x61, 0x89, 0x3f, 0xc3, 0xbb, 0x9b, 0xaf,
        0x57, 0x7c, 0xa4, 0x83, 0x87, 0xc9, 0x6a, 0x00, 0x00, 0x00,
    ];
    let payload = match kind {
        Kind::Audio => Bytes::from_static(&SILENCE),
        Kind::Video => Bytes::from_static(&PICTURE),
    };
    let mut packet = packet(kind, 0);
    let step = kind.codec().clock_rate / 1_000 * u32::try_from(STRANGER_PACE.as_millis()).unwrap_or(0);
    packet.header.sequence_number = FIRST.wrapping_add(index);
    packet.header.timestamp = step.wrapping_mul(u32::from(index));
    packet.payload = payload;
    packet
}

/// How many packets of [`playable`] a report tells of.
pub(super) fn reported(highest: u16, lost: u32) -> u32 {
    u32::from(highest.wrapping_sub(FIRST).wrapping_add(1)).saturating_sub(lost)
}

fn payload(kind: Kind, index: u16) -> Bytes {
    let seed = usize::from(index) * 2 + usize::from(kind == Kind::Video);
    let fill = (0..).map(|at: usize| (at.wrapping_mul(13) ^ seed) as u8);
    kind.name().bytes().chain(index.to_be_bytes()).chain(fill).take(kind.size()).collect()
}

/// Payload bytes of both tracks.
pub(super) fn total_bytes() -> u64 {
    Kind::ALL.iter().map(|kind| kind.size() as u64 * u64::from(PACKETS)).sum()
}

/// What a track's receiver saw; what the two sides tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) kind: Kind,
    /// The stream the track event named.
    pub(super) stream: String,
    /// Different packets, each equal to what was sent.
    pub(super) packets: u16,
}

/// The receiving side of one track.
#[derive(Debug)]
pub(super) struct Reception {
    kind: Kind,
    stream: String,
    indices: BTreeSet<u16>,
}

impl Reception {
    pub(super) fn new(kind: Kind, stream: String) -> Self {
        Self { kind, stream, indices: BTreeSet::new() }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn is_complete(&self) -> bool {
        self.indices.len() == usize::from(PACKETS)
    }

    /// Compares one packet with the one of its number; a copy is not counted
    /// twice.
    ///
    /// # Errors
    /// A number that was never sent, or another payload.
    pub(super) fn accept(&mut self, packet: &Packet) -> Result<(), String> {
        let index = packet.header.sequence_number.wrapping_sub(FIRST);
        if index >= PACKETS {
            return Err(format!(
                "{} packet with sequence number {}, which was not sent",
                self.kind.name(),
                packet.header.sequence_number
            ));
        }
        if packet.payload != payload(self.kind, index) {
            return Err(format!("{} packet {index}: its payload differs", self.kind.name()));
        }
        self.indices.insert(index);
        Ok(())
    }

    pub(super) fn seen(&self) -> Seen {
        Seen {
            kind: self.kind,
            stream: self.stream.clone(),
            packets: u16::try_from(self.indices.len()).unwrap_or(u16::MAX),
        }
    }
}

/// Whether the track events are right: both kinds, in the sender's stream.
///
/// # Errors
/// Which is missing or in another stream.
pub(super) fn judge_tracks(stream: &str, seen: &[Seen]) -> Result<String, String> {
    for kind in Kind::ALL {
        match seen.iter().find(|seen| seen.kind == kind) {
            None => return Err(format!("no {} track came", kind.name())),
            Some(seen) if seen.stream != stream => {
                return Err(format!(
                    "the {} track came in stream {:?}, was sent in {stream:?}",
                    kind.name(),
                    seen.stream
                ));
            }
            Some(_) => {}
        }
    }
    Ok(format!("audio/opus and video/VP8, stream {stream} on both sides"))
}

/// Whether enough packets of each track came.
///
/// # Errors
/// Names the track that lost more than [`MAX_LOST`].
pub(super) fn judge_packets(seen: &[Seen]) -> Result<String, String> {
    let mut counts = Vec::new();
    for kind in Kind::ALL {
        let came = seen.iter().find(|seen| seen.kind == kind).map_or(0, |seen| seen.packets);
        let count = format!("{came} of {PACKETS} {}", kind.name());
        if came > PACKETS || PACKETS - came > MAX_LOST {
            return Err(format!("{count} packets came; at most {MAX_LOST} may be missing"));
        }
        counts.push(count);
    }
    Ok(format!("{} RTP packets, each as sent (up to {MAX_LOST} a track may be missing)", counts.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(kind: Kind, packets: u16) -> Seen {
        Seen { kind, stream: "s".to_owned(), packets }
    }

    #[test]
    fn packets_are_counted_once_and_compared() {
        let mut reception = Reception::new(Kind::Video, "s".to_owned());
        for index in 0..PACKETS {
            reception.accept(&packet(Kind::Video, index)).unwrap();
            reception.accept(&packet(Kind::Video, index)).unwrap();
        }
        assert!(reception.is_complete());
        assert_eq!(reception.seen(), seen(Kind::Video, PACKETS));
        assert!(reception.accept(&packet(Kind::Video, PACKETS)).unwrap_err().contains("not sent"));
        assert!(reception.accept(&packet(Kind::Audio, 3)).unwrap_err().contains("differs"));
    }

    #[test]
    fn loss_is_judged_a_track() {
        assert!(judge_packets(&[seen(Kind::Audio, PACKETS), seen(Kind::Video, PACKETS - MAX_LOST)]).is_ok());
        let error = judge_packets(&[seen(Kind::Audio, PACKETS), seen(Kind::Video, PACKETS - MAX_LOST - 1)]);
        assert!(error.unwrap_err().contains("video"));
        assert!(judge_packets(&[seen(Kind::Audio, PACKETS)]).is_err());
        assert!(judge_packets(&[seen(Kind::Audio, u16::MAX), seen(Kind::Video, PACKETS)]).is_err());
    }

    #[test]
    fn tracks_must_be_in_the_senders_stream() {
        let both = [seen(Kind::Audio, 1), seen(Kind::Video, 1)];
        assert!(judge_tracks("s", &both).is_ok());
        assert!(judge_tracks("other", &both).unwrap_err().contains("stream"));
        assert!(judge_tracks("s", &both[..1]).unwrap_err().contains("no video"));
    }
}
