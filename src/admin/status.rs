//! The server at a glance. It takes a key.
//!
//! `GET /api/status` answers a [`Status`]. `POST /api/drain` begins a drain, as
//! SIGTERM does but without an end: `{"state": "draining"}`. Live allocations go
//! on, new ones are refused, and the process stays until it is told to stop.
//!
//! Counts are since the start; times are seconds, dates since 1970-01-01 UTC.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use serde_json::json;

use super::access::Asker;
use super::process::{self, Usage};
use super::sources::Sources;
use super::totals::{FlowTotal, Totals};
use super::{Admissions, Reach, Readiness, Shared};
use crate::relay::counters::{CLOSE_REASONS, CODES, Counter, Counters, Flow, METHODS};
use crate::relay::{DropReason, Now, Transport};

/// What `GET /api/status` answers.
#[derive(Serialize)]
struct Status {
    version: &'static str,
    started: u64,
    uptime: u64,
    /// `starting`, `serving` or `draining`.
    state: &'static str,
    realm: String,
    listeners: Vec<Listener>,
    /// As clients reach it.
    urls: Vec<String>,
    relays: Vec<Relay>,
    shards: Vec<Shard>,
    /// Live allocations by the client's transport.
    allocations: BTreeMap<&'static str, u64>,
    permissions: u64,
    channels: u64,
    /// Open connections of clients.
    tcp_connections: u64,
    dtls_sessions: u64,
    /// TCP connections with peers (RFC 6062).
    data_connections: u64,
    counts: Counts,
    certificates: Vec<Certificate>,
    process: Process,
}

#[derive(Serialize)]
struct Listener {
    transport: &'static str,
    address: String,
}

#[derive(Serialize)]
struct Relay {
    address: String,
    /// What clients are told.
    external_address: String,
    ports_used: u32,
    ports: u32,
}

/// One thread that moves packets.
#[derive(Serialize)]
struct Shard {
    shard: usize,
    allocations: u64,
    packets_in: u64,
    packets_out: u64,
    bytes_in: u64,
    bytes_out: u64,
    /// CPU time of its thread; `null` when the system does not tell.
    cpu_seconds: Option<f64>,
}

/// Totals; in maps, what is zero is left out.
#[derive(Serialize)]
struct Counts {
    from_clients: Moved,
    to_clients: Moved,
    from_peers: Moved,
    to_peers: Moved,
    /// Between two allocations of this server, without the kernel.
    hairpin: Moved,
    /// By method.
    requests: BTreeMap<String, u64>,
    /// Error responses by code.
    errors: BTreeMap<String, u64>,
    /// Dropped packets by reason.
    drops: BTreeMap<String, u64>,
    failed_logins: u64,
    opened: u64,
    /// Ended allocations by reason.
    closed: BTreeMap<String, u64>,
    tls_handshakes: u64,
    tls_handshakes_failed: u64,
    dtls_handshakes: u64,
    dtls_handshakes_failed: u64,
    lost_log_lines: u64,
}

#[derive(Serialize)]
struct Moved {
    packets: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Certificate {
    file: String,
    expires: u64,
}

#[derive(Serialize)]
struct Process {
    cpu_seconds: Option<f64>,
    threads: Option<u64>,
    resident_bytes: Option<u64>,
    open_descriptors: Option<u64>,
    max_descriptors: Option<u64>,
}

pub(super) async fn status(State(shared): State<Arc<Shared>>) -> Response {
    Json(Status::read(&shared.sources, &shared.live.reach(), shared.steering.now())).into_response()
}

pub(super) async fn drain(
    State(shared): State<Arc<Shared>>,
    Extension(Asker { key, source }): Extension<Asker>,
) -> Response {
    tracing::info!(target: "floe::admin", %key, %source, "asked to drain");
    shared.steering.drain().await;
    Json(json!({ "state": Readiness::Draining.name() })).into_response()
}

impl Status {
    fn read(sources: &Sources, reach: &Reach, now: Now) -> Self {
        let (totals, admissions) = sources.totals();
        let admissions = admissions.unwrap_or_default();
        let cpu = process::shard_cpu_seconds();
        let shards = sources.counters.iter().enumerate();
        let Usage { cpu_seconds, threads, resident_bytes, open_descriptors, max_descriptors } = Usage::read();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            started: sources.started.secs(),
            uptime: now.unix.secs().saturating_sub(sources.started.secs()),
            state: sources.readiness.borrow().name(),
            realm: sources.realm.clone(),
            listeners: reach
                .listeners
                .iter()
                .map(|(transport, address)| Listener {
                    transport: transport.name(),
                    address: address.to_string(),
                })
                .collect(),
            urls: reach.urls.clone(),
            relays: sources
                .pool
                .usage()
                .map(|(local, external, ports_used, ports)| Relay {
                    address: local.to_string(),
                    external_address: external.to_string(),
                    ports_used,
                    ports,
                })
                .collect(),
            shards: shards.map(|(shard, counters)| Shard::read(shard, counters, &cpu)).collect(),
            allocations: Transport::ALL.map(Transport::name).into_iter().zip(totals.allocations).collect(),
            permissions: totals.permissions,
            channels: totals.channels,
            tcp_connections: totals.connections,
            dtls_sessions: totals.dtls_sessions,
            data_connections: totals.data_connections,
            counts: Counts::of(&totals, &admissions, sources.lost_log_lines.load(Relaxed)),
            certificates: admissions
                .certificates
                .into_iter()
                .map(|(file, expires)| Certificate { file, expires: expires.secs() })
                .collect(),
            process: Process { cpu_seconds, threads, resident_bytes, open_descriptors, max_descriptors },
        }
    }
}

impl Shard {
    fn read(shard: usize, counters: &Counters, cpu: &BTreeMap<usize, f64>) -> Self {
        let sum = |flows: [&[Flow]; 2], of: fn(&Flow) -> &Counter| {
            flows.into_iter().flatten().map(|flow| of(flow).get()).sum()
        };
        let (inward, outward) =
            ([&counters.client_in[..], &counters.peer_in], [&counters.client_out[..], &counters.peer_out]);
        Self {
            shard,
            allocations: counters.allocations.iter().map(Counter::get).sum(),
            packets_in: sum(inward, |flow| &flow.packets),
            packets_out: sum(outward, |flow| &flow.packets),
            bytes_in: sum(inward, |flow| &flow.bytes),
            bytes_out: sum(outward, |flow| &flow.bytes),
            cpu_seconds: cpu.get(&shard).copied(),
        }
    }
}

impl Counts {
    fn of(totals: &Totals, admissions: &Admissions, lost_log_lines: u64) -> Self {
        let by_code = CODES.iter().enumerate().map(|(at, code)| {
            (code.number().to_string(), totals.errors.iter().map(|by_code| by_code[at]).sum())
        });
        Self {
            from_clients: Moved::sum(&totals.client_in),
            to_clients: Moved::sum(&totals.client_out),
            from_peers: Moved::sum(&totals.peer_in),
            to_peers: Moved::sum(&totals.peer_out),
            hairpin: Moved::sum(&[totals.hairpin]),
            requests: counted(METHODS.iter().map(|method| method.name().to_owned()).zip(totals.requests)),
            errors: counted(by_code),
            drops: counted(DropReason::ALL.iter().map(|reason| reason.name().to_owned()).zip(totals.drops)),
            failed_logins: totals.failed_logins,
            opened: totals.opened.iter().sum(),
            closed: counted(CLOSE_REASONS.iter().map(|reason| reason.name().to_owned()).zip(totals.closed)),
            tls_handshakes: admissions.tls.done,
            tls_handshakes_failed: admissions.tls.failed,
            dtls_handshakes: admissions.dtls.done,
            dtls_handshakes_failed: admissions.dtls.failed,
            lost_log_lines,
        }
    }
}

impl Moved {
    fn sum(flows: &[FlowTotal]) -> Self {
        let FlowTotal { packets, bytes } = FlowTotal::sum(flows);
        Self { packets, bytes }
    }
}

fn counted(rows: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    rows.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::super::harness::Server;
    use super::*;

    const KEY: &str = "Authorization: Bearer run-token\r\n";

    #[tokio::test]
    async fn the_server_is_told_at_a_glance() {
        let server = Server::with(Default::default(), |state| {
            state.counters[1].client_in[0].count(100);
            state.counters[1].allocations[0].add(3);
            state.counters[0].drops[0].add(2);
        });
        let json = server.get("/api/status", KEY).await.json();
        assert_eq!(json["state"], "serving");
        assert_eq!((json["started"].as_u64(), json["uptime"].as_u64()), (Some(1_756_200_000), Some(400)));
        assert_eq!(json["listeners"], json!([{"transport": "udp", "address": "192.0.2.1:3478"}]));
        assert_eq!(json["relays"][0]["ports"], 10);
        assert_eq!(json["allocations"]["udp"], 3);
        assert_eq!(json["shards"][1]["packets_in"], 1);
        assert_eq!(json["counts"]["from_clients"], json!({"packets": 1, "bytes": 100}));
        assert_eq!(json["counts"]["drops"], json!({"not_stun": 2}));
        assert!(json["process"]["resident_bytes"].as_u64() > Some(0));
    }

    #[tokio::test]
    async fn it_can_be_asked_to_drain() {
        let server = Server::start();
        let answer = server.ask("POST", "/api/drain", KEY, "").await;
        assert_eq!((answer.status, answer.json()), (200, json!({"state": "draining"})));
        assert_eq!(server.get("/api/drain", KEY).await.status, 405);
    }
}
