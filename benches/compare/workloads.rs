//! What is measured, in which order, and what came of it.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use floe::client::Credentials;
use floe::client::bench::report::Step;
use floe::client::bench::units::Rate;
use floe::client::bench::{self, Bounds, Direction, End, Job, Options, Traffic};
use floe::client::transport::Transport;

use crate::profile::{self, Profile, Recording};
use crate::servers::{PASSWORD, Rival, Running, USER};

/// How much is made of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    pub(crate) rounds: usize,
    warmup: Duration,
    duration: Duration,
    /// What rates and numbers of clients are divided by.
    divided_by: u32,
}

impl Effort {
    /// To see that everything works.
    pub(crate) const TRY: Self = Self {
        rounds: 1,
        warmup: Duration::from_millis(50),
        duration: Duration::from_millis(200),
        divided_by: 100,
    };

    pub(crate) fn measure(rounds: usize, seconds: f64) -> Self {
        let duration = Duration::from_secs_f64(seconds.clamp(0.1, 3_600.0));
        Self { rounds, warmup: Duration::from_secs(1), duration, divided_by: 1 }
    }

    const fn is_try(self) -> bool {
        self.divided_by > 1
    }
}

/// One load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    /// What floe's CPU over coturn's is meant to be at most.
    pub(crate) aim: Option<f64>,
    transport: Transport,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Relay(Packets),
    /// So many a second.
    Binding(u32),
    /// So many a second.
    Allocate(u32),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Packets {
    direction: Direction,
    by_channel: bool,
    clients: u32,
    payload: usize,
    burst: usize,
    join: bool,
    /// A second; no limit otherwise.
    rate: Option<u32>,
}

const UP: Packets = Packets {
    direction: Direction::Up,
    by_channel: true,
    clients: 20,
    payload: 172,
    burst: 1,
    join: false,
    rate: Some(40_000),
};
const DOWN: Packets = Packets { direction: Direction::Down, ..UP };
const LARGE: Packets = Packets { payload: 1_200, burst: 8, rate: Some(100_000), ..UP };
const MANY: Packets = Packets { clients: 1_000, rate: Some(50_000), ..UP };
const FLOOD: Packets = Packets { burst: 16, rate: None, ..UP };

pub(crate) const WORKLOADS: [Workload; 19] = [
    udp("up, 40 k/s", Some(0.58), Kind::Relay(UP)),
    udp("down, 40 k/s", Some(0.58), Kind::Relay(DOWN)),
    udp("up, 8 × 1,200 B, 100 k/s", Some(0.52), Kind::Relay(LARGE)),
    udp(
        "down, 8 × 1,200 B, 100 k/s",
        Some(0.55),
        Kind::Relay(Packets { direction: Direction::Down, ..LARGE }),
    ),
    udp("the same up, joined by GSO", None, Kind::Relay(Packets { join: true, ..LARGE })),
    udp(
        "the same down, joined",
        None,
        Kind::Relay(Packets { direction: Direction::Down, join: true, ..LARGE }),
    ),
    udp("up, 1,000 clients, 50 k/s", Some(0.60), Kind::Relay(MANY)),
    udp("indications up, 40 k/s", Some(0.60), Kind::Relay(Packets { by_channel: false, ..UP })),
    udp("indications down, 40 k/s", Some(0.60), Kind::Relay(Packets { by_channel: false, ..DOWN })),
    udp("up without limit", Some(0.60), Kind::Relay(FLOOD)),
    udp("down without limit", Some(0.60), Kind::Relay(Packets { direction: Direction::Down, ..FLOOD })),
    stream("TCP up, 40 k/s", Some(0.60), Transport::Tcp, UP),
    stream("TCP down, 40 k/s", Some(0.60), Transport::Tcp, DOWN),
    stream("TCP up without limit", Some(0.60), Transport::Tcp, FLOOD),
    stream("TLS up, 40 k/s", None, Transport::Tls, UP),
    stream("TLS down, 40 k/s", None, Transport::Tls, DOWN),
    stream("TLS up without limit", None, Transport::Tls, FLOOD),
    udp("Binding, 40 k/s", Some(0.60), Kind::Binding(40_000)),
    udp("Allocate, 500/s", Some(0.35), Kind::Allocate(500)),
];

/// One of each kind, to see that it works.
const TRIED: [&str; 6] = [
    "down, 40 k/s",
    "indications up, 40 k/s",
    "TCP up, 40 k/s",
    "TLS down, 40 k/s",
    "Binding, 40 k/s",
    "Allocate, 500/s",
];

const fn udp(name: &'static str, aim: Option<f64>, kind: Kind) -> Workload {
    Workload { name, aim, transport: Transport::Udp, kind }
}

const fn stream(name: &'static str, aim: Option<f64>, transport: Transport, packets: Packets) -> Workload {
    Workload { name, aim, transport, kind: Kind::Relay(packets) }
}

/// Rates of the curve over offered load, a second; 0 is no limit.
const CURVE: [u32; 7] = [25_000, 50_000, 100_000, 200_000, 300_000, 450_000, 0];

/// What was measured of one load: for each rival, a step of each round.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) workload: Workload,
    pub(crate) steps: Vec<Vec<Step>>,
}

/// Everything.
#[derive(Debug)]
pub(crate) struct Results {
    /// Those with one thread come last.
    pub(crate) rivals: Vec<Rival>,
    pub(crate) effort: Effort,
    pub(crate) rows: Vec<Row>,
    /// Of each rival with all its threads, what came of each rate of [`CURVE`].
    pub(crate) curves: Vec<Vec<Step>>,
    /// Where the time goes, and whose, by its number among the rivals.
    pub(crate) profiles: Vec<(usize, Profile)>,
    /// Load averages of the machine, before and after.
    pub(crate) busy: [Option<f64>; 2],
}

impl Results {
    /// Those with as many threads as they like.
    pub(crate) fn unbound(&self) -> &[Rival] {
        let count = self.rivals.iter().take_while(|rival| !rival.single).count();
        &self.rivals[..count]
    }

    /// Each round goes through all loads, and each load through all rivals, so that
    /// a machine that grows slow does so for all of them.
    pub(crate) fn measure(rivals: &[Rival], effort: Effort, only: Option<&str>) -> Result<Self, String> {
        let before = load_average();
        let chosen = WORKLOADS.iter().filter(|one| only.is_none_or(|only| one.name.contains(only)));
        let chosen = chosen.filter(|one| !effort.is_try() || TRIED.contains(&one.name));
        let mut rows: Vec<Row> =
            chosen.map(|one| Row { workload: *one, steps: vec![Vec::new(); rivals.len()] }).collect();
        for round in 1..=effort.rounds {
            for row in &mut rows {
                for (rival, steps) in rivals.iter().zip(&mut row.steps) {
                    if !row.workload.is_for(rival) {
                        continue;
                    }
                    let job = row.workload.job(effort);
                    match run(rival, row.workload, job) {
                        Ok(step) => steps.extend(step),
                        // Under some loads some rivals get nothing through in time.
                        Err(error) if !effort.is_try() && rival.name != "floe" => {
                            eprintln!("{}, {}: {error}", row.workload.name, rival.title);
                        }
                        Err(error) => {
                            return Err(format!("{}, {}: {error}", row.workload.name, rival.title));
                        }
                    }
                }
                eprintln!("round {round} of {}: {}", effort.rounds, row.workload.name);
            }
        }
        let mut curves = Vec::new();
        for rival in rivals.iter().filter(|rival| only.is_none() && !rival.single) {
            // Beyond what a rival can do, nothing may arrive: that is what is asked.
            let curve = match effort.is_try() {
                true => run(rival, WORKLOADS[0], curve(effort)),
                false => rival.start().and_then(|server| Ok(load(&server, WORKLOADS[0], curve(effort))?.0)),
            };
            curves.push(curve.map_err(|error| format!("{}: {error}", rival.title))?);
            eprintln!("over offered load: {}", rival.title);
        }
        let mut profiles = Vec::new();
        for row in rows.iter().filter(|_| only.is_none() && !effort.is_try()) {
            let is_looked_at = |rival: &Rival| {
                profile::LOADS.contains(&row.workload.name)
                    && profile::RIVALS.contains(&rival.name)
                    && !rival.single
                    && row.workload.is_for(rival)
            };
            for (at, rival) in rivals.iter().enumerate().filter(|(_, rival)| is_looked_at(rival)) {
                match profiled(rival, row.workload, effort) {
                    Ok(profile) => profiles.extend(profile.map(|profile| (at, profile))),
                    // All else has been measured.
                    Err(error) => eprintln!("{}, {}: no profile: {error}", row.workload.name, rival.title),
                }
            }
        }
        let busy = [before, load_average()];
        Ok(Self { rivals: rivals.to_vec(), effort, rows, curves, profiles, busy })
    }
}

/// Of the last minute.
fn load_average() -> Option<f64> {
    std::fs::read_to_string("/proc/loadavg").ok()?.split(' ').next()?.parse().ok()
}

/// One load once more, looked at by `perf`.
fn profiled(rival: &Rival, workload: Workload, effort: Effort) -> Result<Option<Profile>, String> {
    let server = rival.start()?;
    let Some(recording) = Recording::begin(server.pid(), effort.warmup + effort.duration) else {
        return Ok(None);
    };
    load(&server, workload, workload.job(effort))?;
    Ok(recording.end(workload.name))
}

/// One rival, started for it, under one load, where something has to arrive.
fn run(rival: &Rival, workload: Workload, job: Job) -> Result<Vec<Step>, String> {
    let (steps, verdict) = load(&rival.start()?, workload, job)?;
    if steps.iter().any(|step| step.delivered == 0) { Err(verdict) } else { Ok(steps) }
}

/// What came of it, and in words.
fn load(server: &Running, workload: Workload, job: Job) -> Result<(Vec<Step>, String), String> {
    let options = Options {
        server: server.endpoint(workload.transport)?,
        credentials: vec![Credentials { username: USER.to_owned(), password: PASSWORD.to_owned() }],
        server_pid: Some(server.pid()),
        threads: None,
        patience: Duration::from_secs(20),
        job,
    };
    let report =
        bench::run(&options, &Arc::new(AtomicBool::new(false)), &mut |_| ()).map_err(|e| e.to_string())?;
    if report.steps.iter().any(|step| step.server.is_none()) {
        return Err(report.verdict);
    }
    Ok((report.steps, report.verdict))
}

impl Workload {
    /// Whether it can take it at all.
    fn is_for(&self, rival: &Rival) -> bool {
        let by_udp = self.transport == Transport::Udp;
        if rival.single && !(by_udp && self.is_of_lone_packets()) {
            return false;
        }
        match (rival.name, self.kind) {
            ("bare", Kind::Relay(packets)) => by_udp && packets.by_channel,
            ("bare", kind) => matches!(kind, Kind::Binding(_)),
            ("turn", _) => by_udp,
            _ => true,
        }
    }

    /// Packets come one by one, and no more than one thread can serve.
    fn is_of_lone_packets(&self) -> bool {
        match self.kind {
            Kind::Relay(packets) => packets.burst == 1 && packets.rate.is_some(),
            Kind::Binding(_) => true,
            Kind::Allocate(_) => false,
        }
    }

    fn job(&self, effort: Effort) -> Job {
        let Effort { warmup, duration, divided_by, .. } = effort;
        let bounds = Bounds { warmup, duration, max_loss: None };
        let slower = |rate: u32| Rate::PerSecond(f64::from(rate / divided_by).max(50.0));
        match self.kind {
            Kind::Binding(rate) => Job::Binding { clients: 20, burst: 1, rates: vec![slower(rate)], bounds },
            Kind::Allocate(rate) => Job::Allocate {
                rates: vec![slower(rate)],
                hold: None,
                bounds: Bounds { warmup: Duration::ZERO, ..bounds },
            },
            Kind::Relay(Packets { direction, by_channel, clients, payload, burst, join, rate }) => {
                let clients = (clients / divided_by).max(2) as usize;
                let traffic = Traffic { direction, by_channel, payload, burst, join, ..traffic(clients) };
                // To see that it works, any rate will do.
                let rate = if effort.is_try() { rate.or(Some(40_000)) } else { rate };
                let rate = rate.map_or(Rate::Unlimited, slower);
                Job::Relay(traffic, vec![rate], bounds)
            }
        }
    }
}

fn curve(effort: Effort) -> Job {
    let bounds = Bounds { warmup: effort.warmup, duration: effort.duration / 2, max_loss: None };
    let rate = |rate: &u32| match (rate, effort.is_try()) {
        (0, false) => Rate::Unlimited,
        (rate, _) => Rate::PerSecond(f64::from(rate / effort.divided_by).max(50.0)),
    };
    let rates = if effort.is_try() { &CURVE[..2] } else { &CURVE };
    let traffic = Traffic { burst: if effort.is_try() { 1 } else { 16 }, ..traffic(20) };
    Job::Relay(traffic, rates.iter().map(rate).collect(), bounds)
}

fn traffic(clients: usize) -> Traffic {
    Traffic {
        clients,
        peers: 1,
        payload: 172,
        burst: 1,
        join: false,
        direction: Direction::Up,
        by_channel: true,
        far_end: Some(End::Peer),
        peer_address: None,
    }
}
