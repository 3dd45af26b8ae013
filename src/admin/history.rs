//! The last hour, a sample every 5 seconds, kept in memory: what the dashboard
//! plots. It takes a key.
//!
//! `GET /api/history` answers `{"interval": 5, "series": {…}}`, each series a
//! list of whole numbers, oldest first, all of one length; `?since=` leaves out
//! what is not later than that `at`. `at` is when a sample was taken, seconds
//! since 1970-01-01 UTC. [`GAUGES`] are as they were then, [`COUNTS`] are what
//! came about between the sample before and this one.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::{Map, Value, json};
use tokio::sync::watch;

use super::Shared;
use super::process::Usage;
use super::query::Query;
use super::reply::Refused;
use super::sources::Sources;
use super::totals::FlowTotal;
use crate::relay::UnixTime;

/// From one sample to the next.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// An hour of them, and one for both ends of it.
const SAMPLES: usize = 721;

/// Series that are states: live allocations, permissions and channels, relay
/// ports in use, open TCP connections of clients, resident memory in bytes.
const GAUGES: [&str; 6] =
    ["allocations", "permissions", "channels", "relay_ports", "tcp_connections", "resident_bytes"];

/// Series that are counts per interval: bytes and packets by direction,
/// allocations opened, requests, error responses (401 and 438 aside, which every
/// login begins with), failed logins, dropped packets, and milliseconds of CPU.
const COUNTS: [&str; 14] = [
    "bytes_from_clients",
    "bytes_to_clients",
    "bytes_from_peers",
    "bytes_to_peers",
    "packets_from_clients",
    "packets_to_clients",
    "packets_from_peers",
    "packets_to_peers",
    "opened",
    "requests",
    "errors",
    "failed_logins",
    "drops",
    "cpu_millis",
];

/// What is read at one moment: gauges, and counters since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Reading {
    gauges: [u64; GAUGES.len()],
    counters: [u64; COUNTS.len()],
}

/// One column of the answer, in the order of [`GAUGES`] and [`COUNTS`].
struct Sample {
    at: u64,
    gauges: [u64; GAUGES.len()],
    counts: [u64; COUNTS.len()],
}

/// The ring.
#[derive(Default)]
pub(super) struct History {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    samples: VecDeque<Sample>,
    last: Option<Reading>,
}

impl History {
    /// Adds a sample. The first reading is only what the next is compared with.
    fn add(&self, now: UnixTime, reading: Reading) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = kept.last.replace(reading) {
            let mut counts = reading.counters;
            counts
                .iter_mut()
                .zip(last.counters)
                .for_each(|(count, last)| *count = count.saturating_sub(last));
            if kept.samples.len() == SAMPLES {
                kept.samples.pop_front();
            }
            kept.samples.push_back(Sample { at: now.secs(), gauges: reading.gauges, counts });
        }
    }

    fn since(&self, since: u64) -> Map<String, Value> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let later = || kept.samples.iter().filter(|sample| sample.at > since);
        let series = |name: &str, of: &dyn Fn(&Sample) -> u64| (name.to_owned(), later().map(of).collect());
        let gauges = GAUGES.iter().enumerate().map(|(at, name)| series(name, &|sample| sample.gauges[at]));
        let counts = COUNTS.iter().enumerate().map(|(at, name)| series(name, &|sample| sample.counts[at]));
        std::iter::once(series("at", &|sample| sample.at)).chain(gauges).chain(counts).collect()
    }
}

impl Reading {
    fn take(sources: &Sources) -> Self {
        let (totals, _) = sources.totals();
        let usage = Usage::read();
        let relay_ports = sources.pool.usage().map(|(_, _, used, _)| u64::from(used)).sum();
        let [client_in, client_out] =
            [&totals.client_in, &totals.client_out].map(|flows| FlowTotal::sum(flows));
        let [peer_in, peer_out] = [&totals.peer_in, &totals.peer_out].map(|flows| FlowTotal::sum(flows));
        let cpu = Duration::try_from_secs_f64(usage.cpu_seconds.unwrap_or_default()).unwrap_or_default();
        Self {
            gauges: [
                totals.allocations.iter().sum(),
                totals.permissions,
                totals.channels,
                relay_ports,
                totals.connections,
                usage.resident_bytes.unwrap_or_default(),
            ],
            counters: [
                client_in.bytes.wrapping_add(totals.data_bytes_up),
                client_out.bytes.wrapping_add(totals.data_bytes_down),
                peer_in.bytes.wrapping_add(totals.data_bytes_down),
                peer_out.bytes.wrapping_add(totals.data_bytes_up),
                client_in.packets,
                client_out.packets,
                peer_in.packets,
                peer_out.packets,
                totals.opened.iter().sum(),
                totals.requests.iter().sum(),
                totals.plain_errors(),
                totals.failed_logins,
                totals.drops.iter().sum(),
                u64::try_from(cpu.as_millis()).unwrap_or(u64::MAX),
            ],
        }
    }
}

/// Takes samples until the server stops.
pub(super) async fn keep(shared: Arc<Shared>, mut stopping: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stopping.wait_for(|stopping| *stopping) => return,
        }
        shared.history.add(shared.steering.now().unix, Reading::take(&shared.sources));
    }
}

pub(super) async fn history(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, Refused> {
    let since = Query::parse(query.as_deref()).number("since", 0, u64::MAX)?;
    let series = shared.history.since(since);
    Ok(Json(json!({ "interval": INTERVAL.as_secs(), "series": series })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(allocations: u64, bytes: u64) -> Reading {
        let mut reading = Reading { gauges: [0; GAUGES.len()], counters: [0; COUNTS.len()] };
        reading.gauges[0] = allocations;
        reading.counters[0] = bytes;
        reading
    }

    #[test]
    fn gauges_are_kept_and_counters_compared() {
        let history = History::default();
        for (at, allocations, bytes) in [(100, 1, 1_000), (105, 2, 1_500), (110, 1, 1_500)] {
            history.add(UnixTime::from_secs(at), reading(allocations, bytes));
        }
        let all = history.since(0);
        assert_eq!(all["at"], json!([105, 110]));
        assert_eq!(all["allocations"], json!([2, 1]));
        assert_eq!(all["bytes_from_clients"], json!([500, 0]));
        assert_eq!(all.len(), 1 + GAUGES.len() + COUNTS.len());
        assert_eq!(history.since(105)["at"], json!([110]));
        assert_eq!(history.since(110)["bytes_from_clients"], json!([]));
    }

    #[test]
    fn an_hour_is_kept_and_no_more() {
        let history = History::default();
        for at in 0..2_000 {
            history.add(UnixTime::from_secs(at * 5), reading(at, 0));
        }
        let all = history.since(0);
        let at = all["at"].as_array().unwrap();
        assert_eq!(at.len(), SAMPLES);
        assert_eq!(at[SAMPLES - 1], 9_995);
        assert_eq!(at[0], 9_995 - 3_600);
    }
}
