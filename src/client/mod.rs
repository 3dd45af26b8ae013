//! The client side: a webrtc-rs pair that connects through a server, a load for
//! one, and the ways to reach it.
//!
//! - Two real peers, end to end, and the report about them: [`pair`].
//! - How much a server carries: [`mod@bench`].
//! - Whether one is reachable and right, step by step: [`check`].
//! - One plain Allocate, to learn the cause that webrtc-rs hides: [`probe`].
//! - What carries webrtc-rs's TURN over UDP/IPv4 to a server that is reached
//!   over TCP, TLS, DTLS or IPv6: [`adapter`].
//! - A server connection as one [`webrtc_util::Conn`], whatever it runs on:
//!   [`transport`], [`framing`], [`dtls`].
//! - A TURN client of our own, that shows error codes and carries a load: [`turn`];
//!   what an error response says: [`refusal`].
//! - One question to a server's admin address: [`http`]; the only part of this
//!   room that the small server has too.
//! - `turn:HOST:PORT?transport=…`, `turns:HOST:PORT`: [`url`].
//!
//! Not here: anything the server runs on. Called by `cli`; calls `wire`,
//! webrtc-rs's own crates and the batched sockets of `net::udp`, so that it shares no
//! more with the server it judges than the bytes on the wire and how they are moved.

#[cfg(feature = "client")]
pub mod adapter;
#[cfg(feature = "client")]
pub mod bench;
#[cfg(feature = "client")]
pub mod check;
#[cfg(feature = "client")]
pub mod dtls;
#[cfg(feature = "client")]
pub mod framing;
pub mod http;
#[cfg(feature = "client")]
pub mod pair;
#[cfg(feature = "client")]
pub mod probe;
#[cfg(feature = "client")]
pub mod refusal;
#[cfg(feature = "client")]
pub mod transport;
#[cfg(feature = "client")]
pub mod turn;
#[cfg(feature = "client")]
pub mod url;

/// A user of the TURN server: what `iceServers` calls `username` and
/// `credential`.
#[cfg(feature = "client")]
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// At most 508 bytes (RFC 8489 §14.3).
    pub username: String,
    /// For time-limited credentials the base64 HMAC of the username.
    pub password: String,
}

#[cfg(feature = "client")]
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("username", &self.username).finish_non_exhaustive()
    }
}
