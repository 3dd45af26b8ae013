//! floe, a STUN/TURN ICE server.
//!
//! The map of the house; arrows go one way, from the top of this list down:
//!
//! - [`cli`]: one file a command; no logic.
//! - [`server`]: ties the rooms below together into one running server.
//! - [`acme`]: certificates from an ACME server, and their renewal.
//! - [`admin`]: HTTP: metrics, health, credentials, signaling rooms.
//! - [`client`]: the other side: a webrtc-rs pair that connects through a server,
//!   a TURN client, a load generator.
//! - [`net`]: moves packets between sockets and the engine; the only room with
//!   `unsafe` is `net::udp`.
//! - [`config`]: model, loading, validation; read at the edges, handed in as
//!   plain values.
//! - [`auth`], [`policy`]: who may allocate, and what they may do; they
//!   implement the traits that [`relay`] asks for.
//! - [`relay`]: the TURN engine, sans-IO: a packet and a time go in, a route
//!   comes out.
//! - [`wire`]: bytes to messages and back.
//! - [`files`]: replaces a file safely, for whoever keeps something.

#[cfg(not(target_os = "linux"))]
compile_error!("floe runs on Linux only: its packet path uses recvmmsg, sendmmsg and epoll");

#[cfg(feature = "acme")]
pub mod acme;
pub mod admin;
pub mod auth;
pub mod cli;
pub mod client;
pub mod config;
pub mod files;
pub mod net;
pub mod policy;
pub mod relay;
pub mod server;
pub mod wire;
