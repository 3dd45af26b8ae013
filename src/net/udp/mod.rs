//! UDP sockets that move packets in batches: one `recvmmsg` or `sendmmsg` for
//! many packets, joined ones where the kernel can (GRO, GSO), in memory that is
//! allocated once.
//!
//! This is the safe surface over the kernel's calls: listeners, relay sockets
//! and the client side all use it. It knows nothing of STUN, shards or routes,
//! starts no thread, and never waits: [`Socket`] is non-blocking, and who polls
//! it is the caller's affair.
//!
//! What a caller may rely on: nothing that arrives from the network (an ICMP
//! error, a datagram of no or of the greatest length) makes [`Socket::recv`]
//! fail, and one packet that can't be sent never holds up another one.

// The kernel reads and writes through raw pointers; each block says why they
// are valid.
#![allow(unsafe_code)]

mod control;
mod dropped;
mod errors;
mod name;
mod receive;
mod segments;
mod send;
mod socket;
#[cfg(test)]
mod testing;

pub use control::Beside;
pub use errors::{NetworkError, Origin};
pub use receive::{Meta, Received};
pub use segments::limit as segment_limit;
pub use send::{Batch, Datagram, Outbox, Refused, Sent};
pub use socket::{Options, Socket};

/// The most messages one system call moves; each may be several packets joined.
/// Measured on loopback, 32, 64 and 128
/// cost the same per packet, to within the noise, and 16 little more; what is
/// left over for the choice is memory and how long one socket holds a shard.
pub const BATCH: usize = 64;
