//! What the operator wants: the model of every key, reading it from flags,
//! environment and file, and judging it. The result is a plain [`Config`] with
//! parsed types, handed to the parts that need it; no part reads a file, the
//! environment or a default of its own.
//!
//! It asks nothing of the host: whether a port is free or an address is local
//! is for `net` to find out when the server starts.
//!
//! Called by `cli`; its types are read wherever a server is put together.

mod acme;
mod admin;
mod alternate;
mod auth;
mod change;
mod check;
pub mod coturn;
mod discover;
mod https;
mod key;
mod layer;
mod listen;
mod load;
mod model;
mod oauth;
mod peers;
mod problem;
mod relay;
mod secret;
mod stun;
pub mod urls;

pub use acme::{Acme, Challenge};
pub use admin::{Admin, ApiKey, KeyTerms};
pub use alternate::AlternateServer;
pub use auth::{Auth, SharedSecret};
pub use change::{Change, Fingerprint, change_of};
pub use discover::{AddressSource, Cloud};
pub use https::{Https, WebServer};
pub use layer::{FILE_VARIABLE, Flag, Sources};
pub use listen::{CertificatePair, Listen, Tls};
pub use load::{Effective, Loaded, load, load_text};
pub use model::{Config, Limits, Log, LogFormat};
pub use oauth::{OauthKey, TokenAlgorithm};
pub use peers::Peers;
pub use problem::{Invalid, Origin, Problem, Severity};
pub use relay::{PortRange, Relay};
pub use secret::Secret;
pub use stun::Stun;

#[cfg(test)]
#[path = "reference_test.rs"]
mod reference_test;

#[cfg(test)]
mod testing;
