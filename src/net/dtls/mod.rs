//! DTLS 1.2 over UDP (RFC 6347, RFC 7350): who may begin a handshake, the
//! handshakes, and the sessions of a shard.
//!
//! A datagram's way: `listener` finds that it is a record, [`sessions`] finds
//! whose. A hello goes to the stateless stage, `hello` and `cookie`: until a
//! cookie has come back from where the hello claims to be, nothing is kept and
//! no key is touched (§4.2.1). Then `handshake` does the public-key work on the
//! runtime that the server was started from, as `entrance` does for TLS, since
//! one signature may take as long as a thousand packets. The finished session
//! goes back to the shard, which decrypts and encrypts on the packet path: that
//! costs about what the system call does, and anywhere else it would cost a
//! thread hop for each packet.
//!
//! The protocol is OpenSSL's, behind [`session`], the one file that knows it.
//! `dimpl` is in Rust and sans-IO, and has DTLS 1.3 too, but is made for WebRTC:
//! it sends one certificate and no chain, knows no RSA, SNI or ALPN, and brings
//! a second provider of cryptography as well. OpenSSL has no DTLS 1.3, so neither
//! has floe; nor are there connection ids (RFC 9146). Early data and resumption
//! are off, and so is renegotiation. A hello may come in fragments, 8 KiB in all,
//! whose first has the cookie in it; whose first is lost or late has to send again.

#![cfg_attr(
    not(feature = "dtls"),
    allow(dead_code, reason = "what only sessions use: there are none without OpenSSL")
)]

mod cookie;
mod fragments;
mod handshake;
mod hello;
mod path;
mod pipe;
#[cfg_attr(not(feature = "dtls"), path = "absent.rs")]
mod session;
mod sessions;

pub(super) use cookie::Cookies;
pub(super) use handshake::{Acceptor, Report};
pub(super) use hello::is_record;
pub(super) use path::take_in;
pub(super) use session::Context;
pub(super) use sessions::{Dtls, Entry, SessionSlot};
