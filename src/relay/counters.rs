//! Counters of one shard. One writer, any reader: a count is a relaxed load and
//! a store, never a read-modify-write, so the packet path pays nothing for
//! being watched. `admin` reads them at each scrape.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::address::{Family, Transport};
use super::route::{CloseReason, DropReason};
use super::tcp_relay::Origin;
use crate::wire::{ErrorCode, Method};

/// A number that one thread writes and others read.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds; only for the one writer.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Takes away (gauges); only for the one writer.
    pub fn sub(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_sub(n), Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Packets and the bytes in them.
#[derive(Debug, Default)]
pub struct Flow {
    /// Datagrams, or frames of a stream.
    pub packets: Counter,
    /// Bytes of those as the transport carried them, without its own headers.
    pub bytes: Counter,
}

impl Flow {
    /// Counts one packet.
    pub fn count(&self, bytes: usize) {
        self.packets.add(1);
        self.bytes.add(bytes as u64);
    }
}

/// Methods that are counted by name; the rest are dropped unread.
pub const METHODS: [Method; 8] = [
    Method::BINDING,
    Method::ALLOCATE,
    Method::REFRESH,
    Method::CREATE_PERMISSION,
    Method::CHANNEL_BIND,
    Method::SEND,
    Method::CONNECT,
    Method::CONNECTION_BIND,
];

/// Error codes this server answers with.
pub const CODES: [ErrorCode; 17] = [
    ErrorCode::TRY_ALTERNATE,
    ErrorCode::BAD_REQUEST,
    ErrorCode::UNAUTHENTICATED,
    ErrorCode::FORBIDDEN,
    ErrorCode::MOBILITY_FORBIDDEN,
    ErrorCode::UNKNOWN_ATTRIBUTE,
    ErrorCode::ALLOCATION_MISMATCH,
    ErrorCode::STALE_NONCE,
    ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
    ErrorCode::WRONG_CREDENTIALS,
    ErrorCode::UNSUPPORTED_TRANSPORT,
    ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
    ErrorCode::CONNECTION_ALREADY_EXISTS,
    ErrorCode::CONNECTION_TIMEOUT_OR_FAILURE,
    ErrorCode::ALLOCATION_QUOTA_REACHED,
    ErrorCode::SERVER_ERROR,
    ErrorCode::INSUFFICIENT_CAPACITY,
];

/// Reasons an allocation ends, in the order of [`Counters::closed`].
pub const CLOSE_REASONS: [CloseReason; 5] = [
    CloseReason::Deleted,
    CloseReason::Expired,
    CloseReason::Disconnected,
    CloseReason::Shutdown,
    CloseReason::Kicked,
];

/// Whose packets [`Counters::kernel_drops`] were.
pub const SIDES: [&str; 2] = ["client", "peer"];

/// Everything one shard counts.
#[derive(Debug, Default)]
pub struct Counters {
    /// From clients, by [`Transport::index`]; written by `net`.
    pub client_in: [Flow; Transport::ALL.len()],
    /// To clients, by [`Transport::index`]; written by `net`.
    pub client_out: [Flow; Transport::ALL.len()],
    /// From peers, by [`Family::index`]; written by `net`.
    pub peer_in: [Flow; Family::BOTH.len()],
    /// To peers, by [`Family::index`]; written by `net`.
    pub peer_out: [Flow; Family::BOTH.len()],
    /// Lost in the kernel for want of room, at listeners and at relays: see
    /// [`SIDES`]; written by `net`.
    pub kernel_drops: [Counter; SIDES.len()],
    /// Between two allocations of this server, without the kernel; counted where it
    /// comes out.
    pub hairpin: Flow,
    /// ICMP errors that clients were told of.
    pub icmp: Counter,
    /// Requests and indications by method, in the order of [`METHODS`].
    pub requests: [Counter; METHODS.len()],
    /// Success responses by method.
    pub successes: [Counter; METHODS.len()],
    /// Error responses by method and, within it, in the order of [`CODES`].
    pub errors: [[Counter; CODES.len()]; METHODS.len()],
    /// Requests with wrong credentials, answered or not.
    pub failed_logins: Counter,
    /// Dropped packets by [`DropReason::index`].
    pub drops: [Counter; DropReason::ALL.len()],
    /// Allocations made, by [`Transport::index`].
    pub opened: [Counter; Transport::ALL.len()],
    /// Allocations ended, in the order of [`CLOSE_REASONS`].
    pub closed: [Counter; CLOSE_REASONS.len()],
    /// Live allocations, by [`Transport::index`].
    pub allocations: [Counter; Transport::ALL.len()],
    /// Allocations that have gone to another 5-tuple (RFC 8016).
    pub moves: Counter,
    /// Datagrams that came in here and belong to an allocation of another shard.
    pub passed_on: Counter,
    /// Live permissions.
    pub permissions: Counter,
    /// Live channel bindings.
    pub channels: Counter,
    /// Open TCP connections of clients; written by `net`.
    pub connections: Counter,
    /// TCP connections refused or closed at a limit or deadline; written by `net`.
    pub connections_refused: Counter,
    /// DTLS sessions of clients; written by `net`.
    pub dtls_sessions: Counter,
    /// TCP connections to peers (RFC 6062), open or being opened.
    pub data_connections: Counter,
    /// Such connections that came about, by [`Origin::index`].
    pub data_connections_opened: [Counter; Origin::ALL.len()],
    /// Connections of peers that were closed at once: no permission, or too many.
    pub data_connections_refused: Counter,
    /// Bytes relayed over data connections, from clients to peers.
    pub data_bytes_up: Counter,
    /// Bytes relayed over data connections, from peers to clients.
    pub data_bytes_down: Counter,
}

impl Counters {
    /// Counts one dropped packet.
    pub fn dropped(&self, reason: DropReason) {
        self.drops[reason.index()].add(1);
    }

    /// Counts a request or indication.
    pub fn request(&self, method: Method) {
        if let Some(at) = METHODS.iter().position(|m| *m == method) {
            self.requests[at].add(1);
        }
    }

    /// Counts a success response.
    pub fn success(&self, method: Method) {
        if let Some(at) = METHODS.iter().position(|m| *m == method) {
            self.successes[at].add(1);
        }
    }

    /// Counts an error response.
    pub fn error(&self, method: Method, code: ErrorCode) {
        let (Some(method), Some(code)) =
            (METHODS.iter().position(|m| *m == method), CODES.iter().position(|c| *c == code))
        else {
            debug_assert!(false, "{method:?} {code:?} has no counter");
            return;
        };
        self.errors[method][code].add(1);
    }
}
