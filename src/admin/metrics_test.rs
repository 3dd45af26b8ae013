use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::super::harness::{self, Server};
use super::*;
use crate::relay::counters::{Counter, Counters};
use crate::relay::world::Random;

/// Every sample of an exposition, by name and labels as they are written.
/// Panics at whatever the text format does not allow, and at what our own
/// names must not be.
fn parse(text: &str) -> BTreeMap<String, f64> {
    assert!(text.ends_with('\n'), "the last line has no end");
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    let mut helped = None;
    let mut family: Option<(&str, &str)> = None;
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').expect("a help text");
            assert!(!help.is_empty() && families.insert(name), "{name} comes twice");
            helped = Some(name);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').expect("a type");
            assert_eq!(helped, Some(name), "the type does not follow the help");
            assert!(matches!(kind, "counter" | "gauge"), "{kind}");
            assert_eq!(name.ends_with("_total"), kind == "counter", "{name}");
            assert!(name.starts_with("floe_"), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{name}");
            family = Some((name, kind));
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().unwrap();
            assert_eq!(family.map(|(name, _)| name), Some(name), "{line} is outside its family");
            if let Some(labels) = series.strip_prefix(name).filter(|l| !l.is_empty()) {
                check_labels(labels);
            }
            let value: f64 = value.parse().expect("a number");
            assert!(value.is_finite() && value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
    }
    samples
}

fn check_labels(labels: &str) {
    let mut names = BTreeSet::new();
    let inner = labels.strip_prefix('{').and_then(|l| l.strip_suffix('}')).expect("braces");
    for pair in inner.split(',') {
        let (name, value) = pair.split_once('=').expect("a label");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && names.insert(name), "{name}");
        let value = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')).expect("quotes");
        assert!(!value.is_empty() && !value.contains(['"', '\\', '\n']), "{pair}");
    }
}

fn metrics(change: impl FnOnce(&mut Sources)) -> Metrics {
    let (state, readiness) = harness::state();
    let mut sources = Sources {
        realm: state.realm,
        counters: state.counters,
        admissions: Box::new(|| None),
        pool: state.pool,
        lost_log_lines: Arc::default(),
        public_address_changed: None,
        started: state.started,
        readiness: state.readiness,
        reloads: state.reloads,
    };
    change(&mut sources);
    drop(readiness);
    Metrics::new(Arc::new(sources)).unwrap()
}

fn scraped(metrics: &Metrics) -> BTreeMap<String, f64> {
    parse(&metrics.text().unwrap())
}

/// Every counter of a shard. Taken apart in full: a new one must be added here,
/// and then is looked for in the exposition.
fn every(counters: &Counters) -> Vec<&Counter> {
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
    } = counters;
    let flows = [client_in.as_slice(), client_out, peer_in, peer_out].into_iter().flatten();
    let flows = flows.chain([hairpin]).flat_map(|flow| [&flow.packets, &flow.bytes]);
    let tables = [requests.as_slice(), successes, errors.as_flattened(), drops, opened, closed, allocations];
    flows
        .chain(tables.into_iter().flatten())
        .chain([failed_logins, icmp, permissions, channels, connections, connections_refused, dtls_sessions])
        .chain(kernel_drops)
        .chain(data_connections_opened)
        .chain([moves, passed_on])
        .chain([data_connections, data_connections_refused, data_bytes_up, data_bytes_down])
        .collect()
}

#[test]
fn every_counter_of_every_shard_is_in_exactly_one_series() {
    let metrics = metrics(|_| {});
    let before = scraped(&metrics);
    let shards = [Arc::new(Counters::default()), Arc::new(Counters::default())];
    let metrics = self::metrics(|sources| sources.counters = shards.to_vec());
    let mut expected = BTreeSet::new();
    let halves = every(&shards[0]).into_iter().zip(every(&shards[1]));
    for (number, (one, other)) in (1_000_000u64..).zip(halves) {
        // The sum is what is shown, and no two sums are the same.
        one.add(number);
        other.add(7);
        expected.insert(number + 7);
    }
    let after = scraped(&metrics);
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    let changed: Vec<u64> = after
        .iter()
        .filter(|(series, value)| before[*series] != **value && !series.starts_with("floe_process_"))
        .map(|(_, value)| *value as u64)
        .collect();
    assert_eq!(changed.len(), expected.len());
    assert_eq!(changed.into_iter().collect::<BTreeSet<_>>(), expected);
}

#[test]
fn labels_name_what_was_counted() {
    use crate::wire::{ErrorCode, Method};
    let shard = Arc::new(Counters::default());
    let metrics = metrics(|sources| sources.counters = vec![shard.clone()]);
    shard.client_in[Transport::Tcp.index()].count(100);
    shard.peer_out[Family::V6.index()].count(80);
    shard.error(Method::ALLOCATE, ErrorCode::UNAUTHENTICATED);
    shard.dropped(DropReason::NoPermission);
    shard.closed[1].add(3);
    let samples = scraped(&metrics);
    for (series, value) in [
        ("floe_client_packets_total{direction=\"in\",transport=\"tcp\"}", 1.0),
        ("floe_client_bytes_total{direction=\"in\",transport=\"tcp\"}", 100.0),
        ("floe_client_bytes_total{direction=\"in\",transport=\"udp\"}", 0.0),
        ("floe_peer_bytes_total{direction=\"out\",family=\"ipv6\"}", 80.0),
        ("floe_error_responses_total{method=\"allocate\",code=\"401\"}", 1.0),
        ("floe_dropped_packets_total{reason=\"no_permission\"}", 1.0),
        ("floe_allocations_closed_total{reason=\"expired\"}", 3.0),
        ("floe_start_time_seconds", 1_756_200_000.5),
        ("floe_ready", 1.0),
    ] {
        assert_eq!(samples.get(series), Some(&value), "{series} in {samples:#?}");
    }
    assert!(samples.keys().any(|s| s.starts_with("floe_build_info{") && s.contains("version=\"")));
}

struct Zero;

impl Random for Zero {
    fn fill(&mut self, bytes: &mut [u8]) {
        bytes.fill(0);
    }
}

#[test]
fn relay_ports_are_counted_by_address() {
    let (mut pool, mut shards) = (None, None);
    let metrics = metrics(|sources| {
        pool = Some(sources.pool.clone());
        shards = Some(sources.counters.len());
    });
    let claim = pool.unwrap().claim(Family::V4, crate::relay::ShardId(0), &mut Zero);
    assert!(claim.is_some());
    let samples = scraped(&metrics);
    let labels = "{address=\"127.0.0.1\",external_address=\"192.0.2.1\"}";
    assert_eq!(samples[&format!("floe_relay_ports_used{labels}")], 1.0);
    assert_eq!(samples[&format!("floe_relay_ports_free{labels}")], 9.0);
    assert_eq!(samples["floe_shards"] as usize, shards.unwrap());
}

#[test]
fn without_relay_addresses_the_exposition_is_still_good() {
    let metrics = metrics(|sources| sources.pool = Arc::new(RelayPool::new(&[], 49152..=49161)));
    assert!(!scraped(&metrics).keys().any(|series| series.starts_with("floe_relay_ports")));
}

#[test]
fn lost_log_lines_are_counted() {
    let lost = Arc::new(AtomicU64::new(0));
    let metrics = metrics(|sources| sources.lost_log_lines = lost.clone());
    lost.store(5, Relaxed);
    assert_eq!(scraped(&metrics)["floe_log_lines_lost_total"], 5.0);
}

#[test]
fn a_public_address_that_has_changed_is_a_one() {
    let changed = Arc::new(AtomicBool::new(false));
    let metrics_of = metrics(|sources| sources.public_address_changed = Some(changed.clone()));
    assert_eq!(scraped(&metrics_of)["floe_public_address_changed"], 0.0);
    changed.store(true, Relaxed);
    assert_eq!(scraped(&metrics_of)["floe_public_address_changed"], 1.0);
    assert!(!scraped(&metrics(|_| {})).contains_key("floe_public_address_changed"));
}

#[tokio::test]
async fn a_scrape_is_open_and_typed() {
    let server = Server::start();
    let answer = server.get("/metrics", "").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some(CONTENT_TYPE));
    let samples = parse(&answer.body);
    assert!(samples["floe_process_resident_memory_bytes"] > 0.0);
    assert!(samples["floe_process_open_fds"] > 0.0);
    for secret in ["run-token", "janus-key"] {
        assert!(!answer.body.contains(secret));
    }
}
