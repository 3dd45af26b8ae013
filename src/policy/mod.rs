//! What those who may allocate may do: which peers ([`PeerFilter`]), how many
//! allocations ([`Ledger`]), how much data ([`SharedBandwidth`]), and how often a
//! source is answered before it has authenticated ([`SourceThrottle`]). They
//! implement `PeerPolicy`, `Quota`, `Bandwidth` and `Throttle` of
//! [`relay::world`](crate::relay::world).
//!
//! It knows neither who somebody is (`auth`) nor any message (`relay`), opens no
//! socket and reads no clock. Built by `server` from plain values, the peer filter
//! once the listeners are bound; called by the engines of all shards at once.
//! `config` asks it which entries of `peers.allow` open nothing, and whoever limits
//! strangers what counts as one of them ([`Network`]).

mod bandwidth;
mod builtin;
mod ledger;
mod network;
mod peers;
mod prefixes;
mod throttle;

pub use bandwidth::SharedBandwidth;
pub use ledger::Ledger;
pub use network::Network;
pub use peers::{OwnAddresses, PeerFilter, without_effect};
pub use throttle::SourceThrottle;
