//! How real clients behave, as far as a server sees it (CONFORMANCE §Q): what they
//! ask for, when they repeat and renew it, and what they make of a stale nonce.

use std::time::Duration;

use crate::client::{MODERN, Signing};

/// One kind of client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Manner {
    pub(crate) name: &'static str,
    pub(crate) signing: Signing,
    /// First retransmission timeout (RFC 8489 §6.2.1: 500 ms).
    pub(crate) rto: Duration,
    /// LIFETIME of Allocate and of Refresh.
    pub(crate) lifetime: Option<u32>,
    /// Seconds after which an allocation of this lifetime is refreshed.
    pub(crate) refresh_after: fn(u32) -> u32,
    /// How old permissions become before they are renewed; `None` asks for none.
    pub(crate) permissions: Option<Duration>,
    /// How old channels become before they are bound again; `None` binds none.
    pub(crate) channels: Option<Duration>,
    /// A bound channel is enough: its permission is not asked for any more.
    pub(crate) channel_is_enough: bool,
    /// Stale nonces that one request puts up with.
    pub(crate) patience: u8,
    /// A stale nonce ends the Allocate: a new socket is tried.
    pub(crate) fresh_allocate_only: bool,
    /// Sends one Refresh with lifetime 0 in the end, and does not wait.
    pub(crate) deletes: bool,
    /// Data indications are not looked at.
    pub(crate) channels_only: bool,
    /// Takes its allocation along to other addresses (RFC 8016).
    pub(crate) roams: bool,
}

const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Chrome, Safari, Android, iOS.
pub(crate) const LIBWEBRTC: Manner = Manner {
    name: "libwebrtc",
    signing: Signing::Legacy,
    rto: Duration::from_millis(250),
    lifetime: None,
    refresh_after: |lifetime| match lifetime {
        0..120 => lifetime / 2,
        3601.. => 59 * 60,
        _ => lifetime - 60,
    },
    permissions: Some(secs(240)),
    channels: Some(secs(240)),
    channel_is_enough: true,
    patience: 3,
    fresh_allocate_only: true,
    deletes: true,
    channels_only: false,
    roams: false,
};

/// Firefox's nICEr.
pub(crate) const FIREFOX: Manner = Manner {
    name: "firefox",
    signing: Signing::Legacy,
    rto: Duration::from_millis(100),
    lifetime: Some(3600),
    refresh_after: |lifetime| lifetime - 10,
    permissions: Some(secs(290)),
    channels: None,
    channel_is_enough: false,
    patience: 1,
    fresh_allocate_only: false,
    deletes: true,
    channels_only: false,
    roams: false,
};

/// aiortc.
pub(crate) const AIOICE: Manner = Manner {
    name: "aioice",
    signing: Signing::Legacy,
    rto: Duration::from_millis(500),
    lifetime: Some(600),
    refresh_after: |lifetime| lifetime / 6 * 5,
    permissions: None,
    channels: Some(secs(500)),
    channel_is_enough: true,
    patience: 1,
    fresh_allocate_only: false,
    deletes: true,
    channels_only: true,
    roams: false,
};

/// pion and webrtc-rs.
pub(crate) const PION: Manner = Manner {
    name: "pion",
    signing: Signing::Legacy,
    rto: Duration::from_millis(200),
    lifetime: None,
    refresh_after: |lifetime| lifetime / 2,
    permissions: Some(secs(120)),
    channels: Some(secs(300)),
    channel_is_enough: false,
    patience: 3,
    fresh_allocate_only: false,
    deletes: true,
    channels_only: false,
    roams: false,
};

/// Janus, GStreamer.
pub(crate) const LIBNICE: Manner = Manner {
    name: "libnice",
    signing: Signing::Legacy,
    rto: Duration::from_millis(500),
    lifetime: None,
    refresh_after: |lifetime| lifetime - 60,
    permissions: Some(secs(240)),
    channels: Some(secs(540)),
    channel_is_enough: false,
    patience: 3,
    fresh_allocate_only: false,
    deletes: true,
    channels_only: false,
    roams: false,
};

/// libdatachannel: the newest RFC, and gone without a word.
pub(crate) const LIBJUICE: Manner = Manner {
    name: "libjuice",
    signing: MODERN,
    rto: Duration::from_millis(500),
    lifetime: Some(600),
    refresh_after: |lifetime| lifetime - 60,
    permissions: Some(secs(240)),
    channels: Some(secs(540)),
    channel_is_enough: false,
    patience: 2,
    fresh_allocate_only: false,
    deletes: false,
    channels_only: false,
    roams: false,
};

/// One that forgets to renew anything and goes on talking.
pub(crate) const FORGETFUL: Manner = Manner {
    name: "forgetful",
    signing: Signing::Legacy,
    rto: Duration::from_millis(500),
    lifetime: None,
    refresh_after: |_| 100_000,
    permissions: Some(secs(400)),
    channels: Some(secs(800)),
    channel_is_enough: false,
    patience: 1,
    fresh_allocate_only: false,
    deletes: false,
    channels_only: false,
    roams: false,
};

/// One that changes from network to network.
pub(crate) const ROAMER: Manner = Manner { name: "roamer", roams: true, ..LIBJUICE };

/// Everybody whose calls have to go well.
pub(crate) const ALL: [Manner; 6] = [LIBWEBRTC, FIREFOX, AIOICE, PION, LIBNICE, LIBJUICE];
