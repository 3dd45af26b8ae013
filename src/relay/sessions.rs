//! What an operator may see of live allocations, and how one ends them. Off the
//! packet path: every call here does a bounded piece of work, and the caller
//! comes again for the rest.

use std::net::IpAddr;
use std::sync::Arc;

use super::address::PeerAddr;
use super::engine::Engine;
use super::route::{AllocationId, AllocationSummary, CloseReason, Output};
use super::tcp_relay::ConnectionId;
use super::time::{Instant, Now};
use crate::wire::ChannelNumber;

/// Table places looked at, or allocations ended, in one call.
pub const AT_ONCE: usize = 1024;

/// Which live allocations.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Whose {
    /// This one.
    Allocation(AllocationId),
    /// All of one user: as quotas count it, or a USERNAME as it was sent.
    User(Arc<str>),
}

/// One allocation with all that it permits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AllocationDetail {
    /// As in the list.
    pub summary: AllocationSummary,
    /// Peers' addresses, each with the time its permission ends; by address.
    pub permissions: Vec<(IpAddr, Instant)>,
    /// Channel bindings, each with the time it ends; by number.
    pub channels: Vec<(ChannelNumber, PeerAddr, Instant)>,
    /// TCP connections with peers (RFC 6062); by number.
    pub connections: Vec<(ConnectionId, PeerAddr)>,
}

impl Engine {
    /// Live allocations whose place in the table is `from` or behind, with where
    /// to go on; `None` after the last ones. An allocation that is there the
    /// whole time is listed once.
    pub fn sessions(&self, now: Instant, from: u32) -> (Vec<AllocationSummary>, Option<u32>) {
        let (live, next) = self.table.live_from(from, AT_ONCE);
        (live.map(|(id, allocation)| allocation.summary(id, now)).collect(), next)
    }

    /// One live allocation.
    pub fn session(&mut self, now: Instant, id: AllocationId) -> Option<AllocationDetail> {
        let allocation = self.table.live_mut(id)?;
        let permissions = allocation.permissions.iter().filter(|permission| now < permission.expires);
        let permissions = permissions.map(|permission| (permission.peer, permission.expires)).collect();
        let channels = allocation.channels.iter().filter(|channel| now < channel.expires);
        let channels = channels.map(|channel| (channel.number, channel.peer, channel.expires)).collect();
        let connections = allocation.tcp.iter().flat_map(|tcp| &tcp.connections);
        let mut connections: Vec<_> = connections.map(|(id, connection)| (*id, connection.peer)).collect();
        connections.sort_unstable();
        Some(AllocationDetail { summary: allocation.summary(id, now), permissions, channels, connections })
    }

    /// Ends the allocations of whom an operator wants gone, and says how many:
    /// [`AT_ONCE`] at most; a caller who gets as many asks again. The client is
    /// not told; its next request gets 437.
    pub fn kick(&mut self, now: Now, whose: &Whose, out: &mut Output) -> usize {
        let ids: Vec<_> = match whose {
            Whose::Allocation(id) => self.table.live_mut(*id).map(|_| *id).into_iter().collect(),
            Whose::User(name) => {
                let theirs = self
                    .table
                    .live()
                    .filter(|(_, allocation)| allocation.user == *name || allocation.username == *name);
                theirs.map(|(id, _)| id).take(AT_ONCE).collect()
            }
        };
        for id in &ids {
            self.close(now.instant, *id, CloseReason::Kicked, out);
        }
        ids.len()
    }
}
