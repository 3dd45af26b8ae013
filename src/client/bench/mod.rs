//! `floe bench`: how much a TURN or STUN server carries, measured from outside.
//!
//! Any server: it speaks RFC 8656 through [`crate::client::turn`], and nothing
//! but that. Packets are sent by the clock (open loop), each says when it was to
//! be sent, and only what comes out at the far end byte for byte counts. What the
//! generator itself could not do is reported and never hidden: late sends, packets
//! it did not send, packets its own sockets dropped, its own CPU.
//!
//! Not a conformance test (a server that answers wrongly is only counted), and
//! not a model of calls: media has no congestion control here. Called by
//! `cli::bench`, and through it by `benches/compare`.
//!
//! - [`Options`] → `plan` → `fleet` (all threads) → `worker` (one thread) →
//!   `party` (one client), over `link` and `stream`;
//! - what was sent and what arrived: `packet`, `flows`, `tally`;
//! - modes that are more than one step of load: `search`, `allocate`;
//! - what is told: [`report`], as a page too: `page`, with the plots of [`chart`].

mod allocate;
pub mod chart;
mod fleet;
mod flows;
mod link;
mod packet;
mod page;
mod party;
mod plan;
mod poller;
mod records;
pub mod report;
mod search;
mod step;
mod stream;
mod tally;
pub mod units;
mod usage;
mod worker;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use self::fleet::{Fleet, Load};
use self::packet::STAMP_LENGTH;
use self::party::PartyError;
use self::plan::{FarEnd, Live, Plan, Work};
use self::report::{Machine, Report, Step};
use self::units::{Rate, count, micros, show_percent};
use crate::client::Credentials;
use crate::client::transport::{Endpoint, explain};

/// The shortest payload: what a packet says of itself.
pub const MIN_PAYLOAD: usize = STAMP_LENGTH;
/// The longest; with every header it fits a UDP datagram.
pub const MAX_PAYLOAD: usize = 65_000;

/// All that a run needs to know; nothing is read from elsewhere.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server, resolved.
    pub server: Endpoint,
    /// Dealt out to the clients in turn; may be empty for Binding requests.
    pub credentials: Vec<Credentials>,
    /// The server's process, when it runs here: what it takes is measured too.
    pub server_pid: Option<u32>,
    /// Threads of the generator; as many as CPUs by default.
    pub threads: Option<usize>,
    /// How long one request may take while the clients get ready.
    pub patience: Duration,
    /// What is measured.
    pub job: Job,
}

/// What is measured.
#[derive(Clone, Debug)]
pub enum Job {
    /// Packets through allocations, at each of these rates in turn.
    Relay(Traffic, Vec<Rate>, Bounds),
    /// The same for long: every refresh must work, and memory is watched.
    Soak(Traffic, Rate, Bounds),
    /// The highest rate between these two that stays within the bound.
    Search(Traffic, std::ops::RangeInclusive<f64>, Bounds),
    /// Binding requests of so many clients, in bursts of so many.
    Binding {
        /// How many ask.
        clients: usize,
        /// How many requests each sends back to back.
        burst: usize,
        /// At each of these rates in turn.
        rates: Vec<Rate>,
        /// How long, and what may be lost.
        bounds: Bounds,
    },
    /// Whole allocations: a new client, a challenge, an Allocate.
    Allocate {
        /// At each of these rates in turn.
        rates: Vec<Rate>,
        /// When they are given back; by default at the end of the step.
        hold: Option<Duration>,
        /// How long, and what may fail.
        bounds: Bounds,
    },
}

/// What goes through the relay.
#[derive(Clone, Debug)]
pub struct Traffic {
    /// How many clients.
    pub clients: usize,
    /// Of each of them; a flow in one direction or both with each peer.
    pub peers: usize,
    /// Bytes, [`MIN_PAYLOAD`] to [`MAX_PAYLOAD`].
    pub payload: usize,
    /// Packets of a flow sent back to back.
    pub burst: usize,
    /// Whether the kernel gets bursts joined and gives what arrives joined (UDP GSO
    /// and GRO): as a network interface that can does, where otherwise each packet
    /// is one for the server to take.
    pub join: bool,
    /// Which way.
    pub direction: Direction,
    /// ChannelData; else Send and Data indications.
    pub by_channel: bool,
    /// Where flows end; `None`: at a peer where the server is on this machine and
    /// lets it, else behind a second relay.
    pub far_end: Option<End>,
    /// Where peers listen; by default the address from which the server is
    /// reached.
    pub peer_address: Option<IpAddr>,
}

/// Which way packets go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)] // from the client to the peer is up
pub enum Direction {
    Up,
    Down,
    /// As many in each direction.
    Both,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

/// Where the flows end that begin at a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// At a UDP socket of this process.
    Peer,
    /// At another client of the same server: every packet passes two relays, and
    /// no port here need be open.
    Relay,
}

/// How long, and what may be lost.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Before it counts.
    pub warmup: Duration,
    /// That counts.
    pub duration: Duration,
    /// Percent; more is a failure. `None`: only that nothing arrives is.
    pub max_loss: Option<f64>,
}

/// What goes on.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// Clients log in.
    Preparing {
        /// So many are ready.
        ready: usize,
        /// Of so many.
        clients: usize,
    },
    /// A load is offered.
    Running {
        /// Which.
        rate: Rate,
        /// For so long.
        done: Duration,
        /// Of so long.
        of: Duration,
        /// Packets so far.
        sent: u64,
        /// Those that are here.
        arrived: u64,
    },
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The clients did not get what they need.
    #[error("no load could be offered to {server}: {cause}")]
    Setup {
        /// The server.
        server: String,
        /// Why.
        cause: String,
        /// ERROR-CODE, when that was it.
        code: Option<u16>,
    },
    /// The system's own limits.
    #[error("{}{}", .0, limit_hint(.0))]
    System(#[from] io::Error),
}

fn limit_hint(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => {
            " (each client takes a descriptor, and each peer: raise ulimit -n)"
        }
        Some(libc::EADDRNOTAVAIL) => " (--peer-address must be an address of this machine)",
        _ => "",
    }
}

impl BenchError {
    fn setup(server: &Endpoint, error: PartyError) -> Self {
        let code = match &error {
            PartyError::Request(failure) => failure.code(),
            _ => None,
        };
        let cause = match &error {
            PartyError::Link(error) => format!("{}{}", explain(error), limit_hint(error)),
            error => error.to_string(),
        };
        Self::Setup { server: server.to_string(), cause, code }
    }

    fn gone() -> Self {
        Self::System(io::Error::other("a thread of the generator has ended too early"))
    }
}

/// Measures; `watch` hears what goes on, and `stop` ends it early with what there
/// is. Every allocation is given back.
///
/// # Errors
/// [`BenchError`], when there is nothing to report.
pub fn run(
    options: &Options,
    stop: &Arc<AtomicBool>,
    watch: &mut dyn FnMut(Progress),
) -> Result<Report, BenchError> {
    let mut bench = Bench { options, stop, watch, notes: Vec::new() };
    match &options.job {
        Job::Relay(traffic, rates, bounds) => bench.relay("relay", traffic, rates, *bounds),
        Job::Soak(traffic, rate, bounds) => bench.relay("soak", traffic, &[*rate], *bounds),
        Job::Search(traffic, rates, bounds) => bench.search(traffic, rates, *bounds),
        Job::Binding { clients, burst, rates, bounds } => bench.binding(*clients, *burst, rates, *bounds),
        Job::Allocate { rates, hold, bounds } => bench.allocate(rates, *hold, *bounds),
    }
}

/// A run under way.
struct Bench<'a> {
    options: &'a Options,
    stop: &'a Arc<AtomicBool>,
    watch: &'a mut dyn FnMut(Progress),
    notes: Vec<String>,
}

impl Bench<'_> {
    fn relay(
        &mut self,
        mode: &'static str,
        traffic: &Traffic,
        rates: &[Rate],
        bounds: Bounds,
    ) -> Result<Report, BenchError> {
        let (fleet, load) = self.fleet(traffic)?;
        let steps = self.steps(&fleet, rates, bounds)?;
        let (ok, verdict) = judge(&steps, bounds.max_loss, true, "packets", load.far_end);
        Ok(self.report(mode, fleet.software.clone(), load, steps, ok, verdict))
    }

    fn binding(
        &mut self,
        clients: usize,
        burst: usize,
        rates: &[Rate],
        bounds: Bounds,
    ) -> Result<Report, BenchError> {
        let plan = Plan { burst, ..self.plan(clients, Work::Binding) };
        let load = report::Load { clients, burst, ..self.load(&plan) };
        let fleet = Fleet::start(plan, self.watch)?;
        let steps = self.steps(&fleet, rates, bounds)?;
        let (ok, verdict) = judge(&steps, bounds.max_loss, true, "requests", None);
        if steps.iter().any(|step| step.loss_percent > 1.0) {
            self.notes.push(
                "servers limit what they answer to strangers (floe: limits.unauthenticated-per-second, of \
                 one address)"
                    .to_owned(),
            );
        }
        Ok(self.report("binding", fleet.software.clone(), load, steps, ok, verdict))
    }

    fn steps(&mut self, fleet: &Fleet, rates: &[Rate], bounds: Bounds) -> Result<Vec<Step>, BenchError> {
        let Bounds { warmup, duration, .. } = bounds;
        let mut steps = Vec::new();
        for &rate in rates {
            steps.push(fleet.run(Load { rate, warmup, duration }, self.options.server_pid, self.watch)?);
            if self.is_stopped() {
                self.notes.push("stopped early".to_owned());
                break;
            }
        }
        Ok(steps)
    }

    /// Clients that are ready to send. Where nobody has said at which end flows
    /// end and the server lets no peer in, they end behind a second relay.
    fn fleet(&mut self, traffic: &Traffic) -> Result<(Fleet, report::Load), BenchError> {
        let far_end = self.far_end(traffic)?;
        let started = self.start(traffic, far_end);
        let is_choice = traffic.far_end.is_none() && matches!(far_end, FarEnd::Peer(_));
        match started {
            Err(BenchError::Setup { code: Some(403), .. }) if is_choice => {
                self.notes.push(
                    "the server lets no peer on this machine in, so flows end behind a second relay \
                     (floe: peers.allow; coturn: --allow-loopback-peers)"
                        .to_owned(),
                );
                self.start(traffic, FarEnd::Relay(Ipv4Addr::UNSPECIFIED.into()))
            }
            started => started,
        }
    }

    fn start(&mut self, traffic: &Traffic, far_end: FarEnd) -> Result<(Fleet, report::Load), BenchError> {
        let Traffic { clients, peers, payload, burst, join, direction, by_channel, .. } = *traffic;
        let work = Work::Relay {
            far_end,
            by_channel,
            up: direction != Direction::Down,
            down: direction != Direction::Up,
        };
        let fill = (0..payload.saturating_sub(STAMP_LENGTH)).map(|_| rand::random()).collect();
        let plan = Plan { peers, burst, join, fill, ..self.plan(clients, work) };
        let load = report::Load {
            direction: Some(direction.name()),
            by: Some(if by_channel { "channels" } else { "indications" }),
            far_end: Some(if matches!(far_end, FarEnd::Peer(_)) { "peer" } else { "relay" }),
            payload: Some(payload),
            ..self.load(&plan)
        };
        Ok((Fleet::start(plan, self.watch)?, load))
    }

    fn far_end(&self, traffic: &Traffic) -> io::Result<FarEnd> {
        let server = self.options.server.address;
        let like = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let is_near = traffic.peer_address.is_some() || server.ip().is_loopback();
        Ok(match traffic.far_end {
            Some(End::Relay) => FarEnd::Relay(like),
            None if !is_near => FarEnd::Relay(like),
            Some(End::Peer) | None => match traffic.peer_address {
                Some(ip) => FarEnd::Peer(ip),
                None => FarEnd::Peer(source_toward(server)?),
            },
        })
    }

    fn plan(&self, clients: usize, work: Work) -> Plan {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Plan {
            server: self.options.server.clone(),
            credentials: self.options.credentials.clone(),
            clients,
            peers: 1,
            burst: 1,
            join: false,
            work,
            patience: self.options.patience,
            threads: self.options.threads.unwrap_or(cpus).clamp(1, clients.max(1)),
            epoch: Instant::now(),
            fill: Vec::new(),
            stop: Arc::clone(self.stop),
            live: Live::default(),
        }
    }

    fn load(&self, plan: &Plan) -> report::Load {
        report::Load {
            transport: plan.server.transport.to_string(),
            direction: None,
            by: None,
            far_end: None,
            clients: plan.clients,
            peers: plan.peers,
            payload: None,
            burst: plan.burst,
            joined: plan.join,
            threads: plan.threads,
        }
    }

    fn report(
        &mut self,
        mode: &'static str,
        software: Option<String>,
        load: report::Load,
        steps: Vec<Step>,
        ok: bool,
        verdict: String,
    ) -> Report {
        let (server, notes) = (self.options.server.to_string(), std::mem::take(&mut self.notes));
        let machine = Machine::here();
        Report { ok, verdict, mode, server, software, load, notes, steps, found: None, machine }
    }
}

/// The address from which packets to the server leave.
fn source_toward(server: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

/// Whether that is what was asked for, and a line about it; `strict` where no
/// client may fail, whatever the loss.
fn judge(
    steps: &[Step],
    max_loss: Option<f64>,
    strict: bool,
    unit: &str,
    far_end: Option<&str>,
) -> (bool, String) {
    let is_bad = |step: &&Step| {
        step.delivered == 0
            || step.corrupt > 0
            || (strict && !step.failures.is_empty())
            || max_loss.is_some_and(|most| step.loss_percent > most)
    };
    let bad = steps.iter().find(is_bad);
    let Some(told) = bad.or_else(|| steps.last()) else {
        return (false, "FAILED: nothing was offered".to_owned());
    };
    let offered = match told.offered_per_second {
        Rate::PerSecond(rate) => format!("{} offered", count(rate)),
        Rate::Unlimited => "an offer without limit".to_owned(),
    };
    let carried = format!(
        "{} {unit}/s carried of {offered}, {} lost",
        count(told.delivered_per_second),
        show_percent(told.loss_percent)
    );
    let verdict = if let Some(failure) = told.failures.first().filter(|_| strict) {
        format!("FAILED: a client failed under way: {failure}")
    } else if told.sent == 0 {
        format!("FAILED: nothing was sent of {offered}")
    } else if told.delivered == 0 {
        let hint = match far_end {
            Some("peer") => ": can the server reach this machine? --far-end relay needs no open port here",
            Some(_) => ": does the server relay between its own allocations?",
            None => ": the server does not answer",
        };
        format!("FAILED: nothing of {} {unit} arrived{hint}", told.sent)
    } else if told.corrupt > 0 {
        format!("FAILED: {} {unit} arrived changed or at the wrong place; {carried}", told.corrupt)
    } else if let (Some(_), Some(most)) = (bad, max_loss) {
        format!("FAILED: {carried}, more than {}", show_percent(most))
    } else {
        let latency = told.latency.map(|q| format!(", p50 {}, p99 {}", micros(q.p50), micros(q.p99)));
        format!("{carried}{}", latency.unwrap_or_default())
    };
    let limit = match &told.generator.bottleneck {
        Some(why) => format!("; the generator was the bottleneck: {why}"),
        None => String::new(),
    };
    (bad.is_none(), verdict + &limit)
}
