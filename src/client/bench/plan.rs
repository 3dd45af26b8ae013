//! What a load is made of; fixed before the first packet.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::packet::STAMP_LENGTH;
use crate::client::Credentials;
use crate::client::transport::Endpoint;

/// Everything that the workers share; none of it changes but the last two.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: Endpoint,
    /// Dealt out to the clients in turn; none for a STUN server.
    pub(super) credentials: Vec<Credentials>,
    pub(super) clients: usize,
    /// Of each client.
    pub(super) peers: usize,
    /// Packets sent back to back.
    pub(super) burst: usize,
    /// Whether the kernel gets and gives them joined (UDP GSO and GRO).
    pub(super) join: bool,
    pub(super) work: Work,
    /// How long one request may take.
    pub(super) patience: Duration,
    pub(super) threads: usize,
    /// All times of packets count from here.
    pub(super) epoch: Instant,
    /// Every payload behind its stamp.
    pub(super) fill: Vec<u8>,
    /// Set when the user wants no more.
    pub(super) stop: Arc<AtomicBool>,
    pub(super) live: Live,
}

/// What the clients do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Work {
    /// Send to peers and hear from them, through allocations.
    Relay {
        far_end: FarEnd,
        /// ChannelData; else Send and Data indications.
        by_channel: bool,
        up: bool,
        down: bool,
    },
    /// Ask for their own address.
    Binding,
}

/// Where a flow ends that begins at a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum FarEnd {
    /// At a UDP socket of the generator on this address.
    Peer(IpAddr),
    /// At another client, whose allocation has a relayed address like this one:
    /// no port of this machine need be open to the server.
    Relay(IpAddr),
}

/// For who watches while it goes on.
#[derive(Debug, Default)]
pub(super) struct Live {
    ready: AtomicU64,
    sent: AtomicU64,
    arrived: AtomicU64,
}

impl Live {
    pub(super) fn add_ready(&self) {
        self.ready.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn add(&self, sent: u64, arrived: u64) {
        self.sent.fetch_add(sent, Ordering::Relaxed);
        self.arrived.fetch_add(arrived, Ordering::Relaxed);
    }

    /// Clients that are ready, packets sent and arrived, since the start.
    pub(super) fn read(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.ready), read(&self.sent), read(&self.arrived))
    }
}

impl Plan {
    pub(super) fn credentials_of(&self, client: usize) -> Option<Credentials> {
        self.credentials.get(client % self.credentials.len().max(1)).cloned()
    }

    /// A client, and its partners behind it.
    pub(super) fn parties_a_client(&self) -> usize {
        match self.work {
            Work::Relay { far_end: FarEnd::Relay(_), .. } => 1 + self.peers,
            _ => 1,
        }
    }

    /// Flows in one direction; both directions have as many.
    pub(super) fn flows(&self) -> usize {
        self.clients * self.peers
    }

    pub(super) fn directions(&self) -> usize {
        match self.work {
            Work::Relay { up, down, .. } => usize::from(up) + usize::from(down),
            Work::Binding => 1,
        }
    }

    /// Bytes of a packet's payload.
    pub(super) fn payload(&self) -> usize {
        STAMP_LENGTH + self.fill.len()
    }

    /// Nanoseconds since the start.
    pub(super) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
