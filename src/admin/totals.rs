//! The counters of all shards, added up: what metrics, status and history start
//! from.

use crate::relay::counters::{CLOSE_REASONS, CODES, Counter, Counters, Flow, METHODS, SIDES};
use crate::relay::{DropReason, Family, Origin, Transport};
use crate::wire::ErrorCode;

/// All shards together. One field for each of [`Counters`]; both are taken
/// apart in full, so that a new counter can't be forgotten.
#[derive(Default)]
pub(super) struct Totals {
    pub(super) client_in: [FlowTotal; Transport::ALL.len()],
    pub(super) client_out: [FlowTotal; Transport::ALL.len()],
    pub(super) peer_in: [FlowTotal; Family::BOTH.len()],
    pub(super) peer_out: [FlowTotal; Family::BOTH.len()],
    pub(super) kernel_drops: [u64; SIDES.len()],
    pub(super) hairpin: FlowTotal,
    pub(super) icmp: u64,
    pub(super) requests: [u64; METHODS.len()],
    pub(super) successes: [u64; METHODS.len()],
    pub(super) errors: [[u64; CODES.len()]; METHODS.len()],
    pub(super) failed_logins: u64,
    pub(super) drops: [u64; DropReason::ALL.len()],
    pub(super) opened: [u64; Transport::ALL.len()],
    pub(super) closed: [u64; CLOSE_REASONS.len()],
    pub(super) allocations: [u64; Transport::ALL.len()],
    pub(super) moves: u64,
    pub(super) passed_on: u64,
    pub(super) permissions: u64,
    pub(super) channels: u64,
    pub(super) connections: u64,
    pub(super) connections_refused: u64,
    pub(super) dtls_sessions: u64,
    pub(super) data_connections: u64,
    pub(super) data_connections_opened: [u64; Origin::ALL.len()],
    pub(super) data_connections_refused: u64,
    pub(super) data_bytes_up: u64,
    pub(super) data_bytes_down: u64,
}

#[derive(Clone, Copy, Default)]
pub(super) struct FlowTotal {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

impl FlowTotal {
    pub(super) fn sum(flows: &[Self]) -> Self {
        flows.iter().fold(Self::default(), |sum, flow| Self {
            packets: sum.packets.wrapping_add(flow.packets),
            bytes: sum.bytes.wrapping_add(flow.bytes),
        })
    }

    fn add(&mut self, flow: &Flow) {
        add(&mut self.packets, &flow.packets);
        add(&mut self.bytes, &flow.bytes);
    }
}

fn add(total: &mut u64, counter: &Counter) {
    *total = total.wrapping_add(counter.get());
}

fn add_all<'a>(
    totals: impl IntoIterator<Item = &'a mut u64>,
    counters: impl IntoIterator<Item = &'a Counter>,
) {
    totals.into_iter().zip(counters).for_each(|(total, counter)| add(total, counter));
}

fn add_flows(totals: &mut [FlowTotal], flows: &[Flow]) {
    totals.iter_mut().zip(flows).for_each(|(total, flow)| total.add(flow));
}

impl Totals {
    /// Of all these shards.
    pub(super) fn of<'a>(shards: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut totals = Self::default();
        shards.into_iter().for_each(|shard| totals.add(shard));
        totals
    }

    fn add(&mut self, shard: &Counters) {
        let Counters {
            client_in,
            client_out,
            peer_in,
            peer_out,
            kernel_drops,
            hairpin,
            icmp,
            requests,
            successes,
            errors,
            failed_logins,
            drops,
            opened,
            closed,
            allocations,
            moves,
            passed_on,
            permissions,
            channels,
            connections,
            connections_refused,
            dtls_sessions,
            data_connections,
            data_connections_opened,
            data_connections_refused,
            data_bytes_up,
            data_bytes_down,
        } = shard;
        add_flows(&mut self.client_in, client_in);
        add_flows(&mut self.client_out, client_out);
        add_flows(&mut self.peer_in, peer_in);
        add_flows(&mut self.peer_out, peer_out);
        add_all(&mut self.kernel_drops, kernel_drops);
        self.hairpin.add(hairpin);
        add(&mut self.icmp, icmp);
        add_all(&mut self.requests, requests);
        add_all(&mut self.successes, successes);
        add_all(self.errors.as_flattened_mut(), errors.as_flattened());
        add(&mut self.failed_logins, failed_logins);
        add_all(&mut self.drops, drops);
        add_all(&mut self.opened, opened);
        add_all(&mut self.closed, closed);
        add_all(&mut self.allocations, allocations);
        add(&mut self.moves, moves);
        add(&mut self.passed_on, passed_on);
        add(&mut self.permissions, permissions);
        add(&mut self.channels, channels);
        add(&mut self.connections, connections);
        add(&mut self.connections_refused, connections_refused);
        add(&mut self.dtls_sessions, dtls_sessions);
        add(&mut self.data_connections, data_connections);
        add_all(&mut self.data_connections_opened, data_connections_opened);
        add(&mut self.data_connections_refused, data_connections_refused);
        add(&mut self.data_bytes_up, data_bytes_up);
        add(&mut self.data_bytes_down, data_bytes_down);
    }

    /// Error responses, but for the two that every login begins or goes on with.
    pub(super) fn plain_errors(&self) -> u64 {
        let is_login =
            |code: &ErrorCode| matches!(*code, ErrorCode::UNAUTHENTICATED | ErrorCode::STALE_NONCE);
        let counts = self.errors.iter().flat_map(|by_code| CODES.iter().zip(by_code));
        counts.filter(|(code, _)| !is_login(code)).map(|(_, count)| count).sum()
    }
}
