//! The TURN engine (RFC 8656), sans-IO: a packet and a time go in, a [`Route`]
//! comes out that says where the bytes go. It sees no socket, no clock and no
//! source of randomness that was not handed to it; what it needs of the world it
//! asks through the traits of [`world`] or leaves as an [`Effect`] for `net` to
//! carry out. After every input, drain [`Output::effects`] and answer each that
//! has an [`EffectId`] with [`Engine::complete`].
//!
//! Called by `net`, one engine per shard; by tests and fuzzers with a simulated
//! world.

mod access;
pub mod address;
mod allocate;
mod allocation;
mod alternate;
mod authenticate;
pub mod bandwidth;
mod binding;
mod channels;
pub mod counters;
mod elsewhere;
mod engine;
mod forward;
pub mod icmp;
mod mobility;
mod nonce;
pub mod ports;
mod reconfigure;
mod reply;
mod requests;
mod reservation;
pub mod route;
pub mod sessions;
mod table;
mod tcp_events;
mod tcp_ledger;
mod tcp_relay;
mod tcp_requests;
mod ticket;
pub mod time;
mod timers;
pub mod world;

pub use address::{ClientAddr, Family, FiveTuple, PeerAddr, RelayAddr, ServerAddr, Transport};
pub use alternate::AlternateServer;
pub use binding::NatDiscovery;
pub use engine::{Engine, Settings, World};
pub use icmp::Icmp;
pub use reconfigure::Change;
pub use route::{
    AllocationId, AllocationSummary, ClientPath, CloseReason, DropReason, Effect, EffectId, Link, LoginFault,
    Outcome, Output, RelayId, Route, ShardId, Traffic,
};
pub use sessions::{AllocationDetail, Whose};
pub use tcp_relay::{ConnectionId, Origin};
pub use time::{Instant, Now, UnixTime};
