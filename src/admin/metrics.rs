//! `GET /metrics`. Nothing is counted here: a collector reads the shards'
//! counters and the relay pool at each scrape and adds the shards up. Labels
//! are bounded by what the code knows (transport, family, direction, method,
//! code, reason) and by the configuration (relay addresses); a user name is
//! never one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Counter as Count, Gauge, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{Registry, TextEncoder};

use super::health::Readiness;
use super::process::Usage;
use super::sources::Sources;
use super::totals::{FlowTotal, Totals};
use super::{Admissions, Shared, reply};
use crate::relay::counters::{CLOSE_REASONS, CODES, METHODS, SIDES};
use crate::relay::ports::RelayPool;
use crate::relay::{DropReason, Family, Origin, Transport, UnixTime};

/// The text format of Prometheus, version 0.0.4.
const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

pub(super) async fn scrape(State(shared): State<Arc<Shared>>) -> Response {
    match shared.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
        Err(error) => reply::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

pub(super) struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// `Err` when two metrics have one name: a bug that any test meets.
    pub(super) fn new(sources: Arc<Sources>) -> prometheus::Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ServerCollector::new(sources)?))?;
        Ok(Self { registry })
    }

    pub(super) fn text(&self) -> prometheus::Result<String> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

struct ServerCollector {
    sources: Arc<Sources>,
    descriptions: Vec<Desc>,
}

impl ServerCollector {
    fn new(sources: Arc<Sources>) -> prometheus::Result<Self> {
        let descriptions = families(&sources)
            .iter()
            .map(|family| {
                let first = family.get_metric().first();
                let labels = first.map(|m| m.get_label().iter().map(|l| l.name().to_owned()).collect());
                Desc::new(
                    family.name().to_owned(),
                    family.help().to_owned(),
                    labels.unwrap_or_default(),
                    Default::default(),
                )
            })
            .collect::<prometheus::Result<_>>()?;
        Ok(Self { sources, descriptions })
    }
}

impl Collector for ServerCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        families(&self.sources)
    }
}

fn families(sources: &Sources) -> Vec<MetricFamily> {
    let mut page = Page::default();
    server(&mut page, sources);
    let (totals, admissions) = sources.totals();
    if let Some(admissions) = admissions {
        tls(&mut page, admissions);
    }
    totals.describe(&mut page);
    relay_ports(&mut page, &sources.pool);
    process(&mut page, Usage::read());
    page.families
}

impl Totals {
    fn describe(self, page: &mut Page) {
        let Self {
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
        } = self;
        let transports = Transport::ALL.map(Transport::name);
        let families = Family::BOTH.map(Family::name);
        let methods = METHODS.map(|m| m.name());
        let reasons = CLOSE_REASONS.map(|r| r.name());

        page.flows("client", "clients", "transport", &transports, &client_in, &client_out);
        page.flows("peer", "peers", "family", &families, &peer_in, &peer_out);
        page.counter(
            "floe_kernel_dropped_packets_total",
            "Packets that a UDP socket had no room for: the server is too slow, or listen.socket-buffer too small.",
            labelled("from", &SIDES, &kernel_drops),
        );
        page.counter(
            "floe_hairpin_packets_total",
            "Packets relayed between two allocations of this server, without the kernel.",
            [(vec![], hairpin.packets)],
        );
        page.counter(
            "floe_hairpin_bytes_total",
            "Payload bytes relayed between two allocations of this server, without the kernel.",
            [(vec![], hairpin.bytes)],
        );
        page.counter(
            "floe_icmp_errors_total",
            "ICMP errors, in answer to what clients sent to peers, that they were told of.",
            [(vec![], icmp)],
        );
        page.counter(
            "floe_requests_total",
            "STUN requests and indications from clients.",
            labelled("method", &methods, &requests),
        );
        page.counter(
            "floe_success_responses_total",
            "STUN success responses to clients.",
            labelled("method", &methods, &successes),
        );
        let codes = CODES.map(|c| c.number().to_string());
        let errors = methods.iter().zip(&errors).flat_map(|(method, row)| {
            codes
                .iter()
                .zip(row)
                .map(move |(code, &n)| (vec![("method", (*method).to_owned()), ("code", code.clone())], n))
        });
        page.counter("floe_error_responses_total", "STUN error responses to clients.", errors);
        page.counter(
            "floe_failed_logins_total",
            "Requests with wrong credentials, answered or not; no first challenge is among them.",
            [(vec![], failed_logins)],
        );
        page.counter(
            "floe_dropped_packets_total",
            "Packets that went nowhere, and why.",
            DropReason::ALL.iter().zip(drops).map(|(r, n)| (vec![("reason", r.name().to_owned())], n)),
        );
        page.counter(
            "floe_allocations_opened_total",
            "Allocations made.",
            labelled("transport", &transports, &opened),
        );
        page.counter(
            "floe_allocations_closed_total",
            "Allocations that have ended, and why.",
            labelled("reason", &reasons, &closed),
        );
        page.gauge(
            "floe_allocations",
            "Live allocations, by the client's transport.",
            labelled("transport", &transports, &allocations),
        );
        page.counter(
            "floe_allocation_moves_total",
            "Allocations that have gone to another 5-tuple of their client (RFC 8016).",
            [(vec![], moves)],
        );
        page.counter(
            "floe_passed_on_datagrams_total",
            "Datagrams of moved clients that one shard has passed on to another.",
            [(vec![], passed_on)],
        );
        page.gauge("floe_permissions", "Live permissions.", [(vec![], permissions)]);
        page.gauge("floe_channels", "Live channel bindings.", [(vec![], channels)]);
        page.gauge("floe_tcp_connections", "Open TCP connections of clients.", [(vec![], connections)]);
        page.counter(
            "floe_tcp_connections_refused_total",
            "TCP connections refused or closed at a limit or deadline.",
            [(vec![], connections_refused)],
        );
        page.gauge("floe_dtls_sessions", "DTLS sessions of clients.", [(vec![], dtls_sessions)]);
        page.gauge(
            "floe_data_connections",
            "TCP connections to peers (RFC 6062), open or being opened.",
            [(vec![], data_connections)],
        );
        let origins = Origin::ALL.map(Origin::name);
        page.counter(
            "floe_data_connections_opened_total",
            "TCP connections with peers that came about, by who began them.",
            labelled("origin", &origins, &data_connections_opened),
        );
        page.counter(
            "floe_data_connections_refused_total",
            "TCP connections of peers that were closed at once: no permission, or too many.",
            [(vec![], data_connections_refused)],
        );
        page.counter(
            "floe_data_connection_bytes_total",
            "Bytes relayed over TCP connections with peers, to (up) and from (down) peers.",
            labelled("direction", &["up", "down"], &[data_bytes_up, data_bytes_down]),
        );
    }
}

fn server(page: &mut Page, sources: &Sources) {
    let build = vec![
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("architecture", std::env::consts::ARCH.to_owned()),
    ];
    page.gauge("floe_build_info", "Always 1; the labels say what is running.", [(build, 1)]);
    let started = sources.started.millis() as f64 / 1000.0;
    page.put(
        MetricType::GAUGE,
        "floe_start_time_seconds",
        "When the server was started, seconds since 1970-01-01 UTC.",
        [(vec![], started)],
    );
    let ready = *sources.readiness.borrow() == Readiness::Serving;
    page.gauge(
        "floe_ready",
        "1 while listeners are served and the server does not drain, else 0.",
        [(vec![], u64::from(ready))],
    );
    page.gauge("floe_shards", "Threads that move packets.", [(vec![], sources.counters.len() as u64)]);
    page.counter(
        "floe_log_lines_lost_total",
        "Log lines that were not written because the log was not read fast enough.",
        [(vec![], sources.lost_log_lines.load(Relaxed))],
    );
    if let Some(changed) = &sources.public_address_changed {
        page.gauge(
            "floe_public_address_changed",
            "1 while relay.discover tells another public address than at the start, else 0: restart floe to use it.",
            [(vec![], u64::from(changed.load(Relaxed)))],
        );
    }
    page.counter(
        "floe_reloads_total",
        "Times that the configuration, or the certificates alone, were read again; a failure has changed nothing.",
        sources.reloads.counts().map(|(what, result, n)| {
            (vec![("what", what.name().to_owned()), ("result", result.to_owned())], n)
        }),
    );
    page.gauge(
        "floe_reload_last_success_timestamp_seconds",
        "When the configuration was read that is in force, seconds since 1970-01-01 UTC.",
        [(vec![], sources.reloads.last_success())],
    );
}

fn tls(page: &mut Page, admissions: Admissions) {
    let Admissions { tls, dtls, dtls_refused, refused: _, certificates, orders, web } = admissions;
    let outcomes = [
        ("tls", "done", tls.done),
        ("tls", "failed", tls.failed),
        ("dtls", "done", dtls.done),
        ("dtls", "failed", dtls.failed),
        ("dtls", "refused", dtls_refused),
    ];
    page.counter(
        "floe_tls_handshakes_total",
        "Handshakes of TLS over TCP and of DTLS, and what came of them; refused: too many at once.",
        outcomes.map(|(transport, outcome, n)| {
            (vec![("transport", transport.to_owned()), ("outcome", outcome.to_owned())], n)
        }),
    );
    let expiry = |(file, at): (String, UnixTime)| (vec![("name", file)], at.secs());
    page.gauge(
        "floe_tls_certificate_not_after_seconds",
        "When the certificate in the file of this name expires, seconds since 1970-01-01 UTC.",
        certificates.into_iter().map(expiry),
    );
    if let Some(web) = web {
        page.counter(
            "floe_https_connections_total",
            "Connections at [https] that were not TURN: to the admin room, to a web server, or to one that did not answer.",
            [("admin", web.visitors), ("web", web.passed), ("unanswered", web.unanswered)]
                .map(|(to, n)| (vec![("to", to.to_owned())], n)),
        );
    }
    if let Some(orders) = orders {
        page.counter(
            "floe_acme_orders_total",
            "Certificates issued by the ACME server, and failed attempts to have or to keep one.",
            [("issued", orders.issued), ("failed", orders.failed)]
                .map(|(outcome, n)| (vec![("outcome", outcome.to_owned())], n)),
        );
    }
}

fn relay_ports(page: &mut Page, pool: &RelayPool) {
    let labels = |local: IpAddr, external: IpAddr| {
        vec![("address", local.to_string()), ("external_address", external.to_string())]
    };
    let rows = |count: fn(u32, u32) -> u32| {
        pool.usage()
            .map(move |(local, external, used, all)| (labels(local, external), u64::from(count(used, all))))
    };
    page.gauge("floe_relay_ports_used", "Relay ports taken by allocations.", rows(|used, _| used));
    page.gauge(
        "floe_relay_ports_free",
        "Relay ports of the configured range that no allocation holds.",
        rows(|used, all| all.saturating_sub(used)),
    );
}

fn process(page: &mut Page, usage: Usage) {
    let Usage { cpu_seconds, threads, resident_bytes, open_descriptors, max_descriptors } = usage;
    page.put(
        MetricType::COUNTER,
        "floe_process_cpu_seconds_total",
        "User and system time of this process.",
        cpu_seconds.map(|s| (vec![], s)),
    );
    page.gauge("floe_process_threads", "Threads of this process.", threads.map(|n| (vec![], n)));
    page.gauge(
        "floe_process_resident_memory_bytes",
        "Resident memory of this process.",
        resident_bytes.map(|n| (vec![], n)),
    );
    page.gauge(
        "floe_process_open_fds",
        "Open file descriptors of this process.",
        open_descriptors.map(|n| (vec![], n)),
    );
    page.gauge(
        "floe_process_max_fds",
        "Most file descriptors that this process may open.",
        max_descriptors.map(|n| (vec![], n)),
    );
}

type Labels = Vec<(&'static str, String)>;

/// Rows of one label.
fn labelled<'a>(
    label: &'static str,
    names: &'a [&'static str],
    values: &'a [u64],
) -> impl Iterator<Item = (Labels, u64)> + 'a {
    names.iter().zip(values).map(move |(name, &value)| (vec![(label, (*name).to_owned())], value))
}

/// The metrics of one scrape.
#[derive(Default)]
struct Page {
    families: Vec<MetricFamily>,
}

impl Page {
    fn counter(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
        self.put(MetricType::COUNTER, name, help, rows.into_iter().map(|(l, n)| (l, n as f64)));
    }

    fn gauge(&mut self, name: &str, help: &str, rows: impl IntoIterator<Item = (Labels, u64)>) {
        self.put(MetricType::GAUGE, name, help, rows.into_iter().map(|(l, n)| (l, n as f64)));
    }

    /// Packets and bytes of one side, both directions, by one label more.
    fn flows(
        &mut self,
        side: &str,
        people: &str,
        label: &'static str,
        names: &[&'static str],
        inward: &[FlowTotal],
        outward: &[FlowTotal],
    ) {
        let rows = |count: fn(&FlowTotal) -> u64| {
            [("in", inward), ("out", outward)].into_iter().flat_map(move |(direction, flows)| {
                names.iter().zip(flows).map(move |(name, flow)| {
                    (vec![("direction", direction.to_owned()), (label, (*name).to_owned())], count(flow))
                })
            })
        };
        self.counter(
            &format!("floe_{side}_packets_total"),
            &format!("Datagrams, or frames of a stream, from (in) and to (out) {people}."),
            rows(|flow| flow.packets),
        );
        self.counter(
            &format!("floe_{side}_bytes_total"),
            &format!("Bytes of those from (in) and to (out) {people}, without transport headers."),
            rows(|flow| flow.bytes),
        );
    }

    /// A family; none at all when it has no rows, which the format forbids.
    fn put(
        &mut self,
        kind: MetricType,
        name: &str,
        help: &str,
        rows: impl IntoIterator<Item = (Labels, f64)>,
    ) {
        let metrics: Vec<Metric> = rows
            .into_iter()
            .map(|(labels, value)| {
                let mut metric = Metric::from_label(labels.into_iter().map(pair).collect());
                if kind == MetricType::COUNTER {
                    let mut count = Count::default();
                    count.set_value(value);
                    metric.set_counter(count);
                } else {
                    let mut gauge = Gauge::default();
                    gauge.set_value(value);
                    metric.set_gauge(gauge);
                }
                metric
            })
            .collect();
        if metrics.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(name.to_owned());
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        family.set_metric(metrics);
        self.families.push(family);
    }
}

fn pair((name, value): (&'static str, String)) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value);
    pair
}

#[cfg(test)]
#[path = "metrics_test.rs"]
mod tests;
