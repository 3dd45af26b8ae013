//! Moves packets between sockets and the engine, one shard per core: UDP and
//! TCP listeners, relay sockets, the rings between shards, and the threads they
//! live on. It decides nothing about TURN: every packet goes into the shard's
//! [`Engine`](crate::relay::Engine), and the route that comes out says where its
//! bytes go. Called by `server`; `admin` reads its counters.
//!
//! TCP connections that begin with TLS or a PROXY header come in by `entrance`,
//! on the runtime that the server was started from; `dtls` has its handshakes
//! done there too. Where one port is for everything over TLS, `web` knows whose a
//! connection is.
//!
//! A packet's way: `udp` receives a batch, `listener` (or `relays`, or `tcp`)
//! hands each packet to the engine by way of `shard`, `outgoing` sends what the
//! routes say. The bytes
//! of TCP relays are no packets: `tcp_relay` has the peers' connections, and
//! `splice` joins each to a client's.

mod accept;
mod bind;
mod certificates;
mod challenges;
mod clock;
mod connections;
pub mod discover;
mod dtls;
mod entrance;
mod handle;
mod inbox;
mod limit;
mod listener;
mod log;
mod outgoing;
pub mod proxy;
mod random;
mod relays;
mod ring;
mod seldom;
mod server;
mod shard;
mod splice;
mod stream;
mod tcp;
mod tcp_relay;
mod thread;
mod tls;
pub mod udp;
mod web;

pub use accept::Accept;
pub use bind::{BindError, Cause, Listener, Listeners, Opened};
pub use certificates::{
    CertificateError, CertificateFiles, Certificates, Fault, Set as CertificateSet, provider,
};
pub use challenges::TlsChallenges;
pub use clock::Clock;
pub use handle::{Admissions, ConnectionLimits, Handle};
pub use random::OsRandom;
pub use seldom::Seldom;
pub use server::{PeerPolicyOf, Plan, Running, Server, ShardFailed, usable_cores};
pub use web::{Pass, Recorded, Visitor, Web, WebCounts};
