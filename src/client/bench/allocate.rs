//! Allocations a second: new clients come by the clock, each on a socket (or
//! connection) of its own, are challenged, allocate, and hold what they got.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::link::Buffers;
use super::party::{Party, PartyError};
use super::plan::{FarEnd, Plan, Work};
use super::poller::{Poller, wake_on_time};
use super::report::{Load, Report, Step};
use super::step::{Seen, attend, conclude};
use super::tally::{Tally, moment_length};
use super::units::Rate;
use super::usage::Stopwatch;
use super::{Bench, BenchError, Bounds, judge};

/// How often timers are looked at.
const TICK: Duration = Duration::from_millis(20);
/// Clients begun before sockets are looked at again.
const BEGIN_A_TURN: usize = 32;
/// Between starting the threads and the first client.
const LEAD: Duration = Duration::from_millis(20);
/// How long the server may take to hear that all is given back.
const FAREWELL: Duration = Duration::from_secs(2);
/// Kinds of failures that are told apart.
const MAX_FAILURES: usize = 8;
/// Clients that hold something or ask for it, of one thread; more are not begun.
const MAX_VISITS: usize = 100_000;

impl Bench<'_> {
    pub(super) fn allocate(
        &mut self,
        rates: &[Rate],
        hold: Option<Duration>,
        bounds: Bounds,
    ) -> Result<Report, BenchError> {
        let like = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let work = Work::Relay { far_end: FarEnd::Peer(like), by_channel: true, up: false, down: false };
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        let threads = self.options.threads.unwrap_or(cpus);
        let plan = Plan { threads, ..self.plan(threads, work) };
        let load = Load { clients: 0, ..self.load(&plan) };
        let (mut steps, mut software) = (Vec::new(), None);
        for &rate in rates {
            let (step, told) = self.allocate_step(&plan, rate, hold, bounds)?;
            software = software.or(told);
            steps.push(step);
            if self.is_stopped() {
                self.notes.push("stopped early".to_owned());
                break;
            }
        }
        let is_strict = bounds.max_loss.is_none();
        let (ok, verdict) = judge(&steps, bounds.max_loss, is_strict, "allocations", None);
        Ok(self.report("allocate", software, load, steps, ok, verdict))
    }

    fn allocate_step(
        &mut self,
        plan: &Plan,
        rate: Rate,
        hold: Option<Duration>,
        bounds: Bounds,
    ) -> Result<(Step, Option<String>), BenchError> {
        let start = plan.epoch.elapsed() + LEAD;
        let measured_from = start + bounds.warmup;
        let until = measured_from + bounds.duration;
        let moment = moment_length(bounds.duration);
        let interval = match rate {
            Rate::PerSecond(rate) => Some(Duration::from_secs_f64(plan.threads as f64 / rate)),
            Rate::Unlimited => None,
        };
        let (_, _, held_before) = plan.live.read();
        let pid = self.options.server_pid;
        let (outcomes, attended, held) = thread::scope(|scope| {
            let threads: Vec<_> = (0..plan.threads)
                .map(|at| {
                    // They take turns.
                    let shift = interval.map_or(Duration::ZERO, |all| all * at as u32 / plan.threads as u32);
                    let times = Times { start: start + shift, measured_from, until, moment, interval };
                    scope.spawn(move || Registrar::new(plan, hold, times).map(Registrar::serve))
                })
                .collect();
            let attended = attend(plan, start..until, measured_from, pid, rate, self.watch);
            let (_, _, held) = plan.live.read();
            let outcomes: Vec<_> = threads.into_iter().map(thread::ScopedJoinHandle::join).collect();
            (outcomes, attended, held)
        });
        let (mut seen, mut software) = (Vec::new(), None);
        for outcome in outcomes {
            let (one, told) = outcome.map_err(|_| BenchError::gone())??;
            seen.push(one);
            software = software.or(told);
        }
        let mut step = conclude(seen, rate, moment, 0, &attended);
        if let Some(server) = step.server.as_mut().filter(|_| hold.is_none() && bounds.warmup.is_zero()) {
            let grown = server.memory_after as f64 - server.memory_before as f64;
            let held = held.saturating_sub(held_before);
            server.memory_per_allocation = (held > 0).then(|| grown / held as f64);
        }
        Ok((step, software))
    }
}

/// When a thread does what; all but the interval count from the plan's epoch.
#[derive(Clone, Copy, Debug)]
struct Times {
    start: Duration,
    measured_from: Duration,
    until: Duration,
    moment: Duration,
    /// From one client to the next.
    interval: Option<Duration>,
}

/// One thread's clients.
struct Registrar<'a> {
    plan: &'a Plan,
    hold: Option<Duration>,
    times: Times,
    poller: Poller,
    visits: BTreeMap<u64, Visit>,
    next: u64,
    buffers: Buffers,
    ticked: Instant,
    measured: Range<u64>,
    tally: Tally,
    failures: BTreeMap<String, u64>,
    software: Option<String>,
}

/// One client.
struct Visit {
    party: Party,
    intended: u64,
    began: u64,
    stage: Stage,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Asking,
    /// It has its allocation, and gives it back then.
    Holding(Option<Instant>),
    Leaving,
}

impl<'a> Registrar<'a> {
    fn new(plan: &'a Plan, hold: Option<Duration>, times: Times) -> io::Result<Self> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Ok(Self {
            plan,
            hold,
            times,
            poller: Poller::new()?,
            visits: BTreeMap::new(),
            next: 0,
            buffers: Buffers::new(),
            ticked: Instant::now(),
            measured: nanos(times.measured_from)..nanos(times.until),
            tally: Tally::new(),
            failures: BTreeMap::new(),
            software: None,
        })
    }

    fn serve(mut self) -> (Seen, Option<String>) {
        wake_on_time();
        let plan = self.plan;
        let Times { start, until, interval, .. } = self.times;
        let stopwatch = Stopwatch::start();
        let mut come = 0_u32;
        loop {
            let now = plan.epoch.elapsed();
            if now >= until || plan.is_stopped() {
                break;
            }
            let due = |come: u32, now: Duration| interval.map_or(now, |interval| start + interval * come);
            let mut begun = 0;
            while due(come, now) <= now && now >= start && begun < BEGIN_A_TURN {
                self.welcome(plan.epoch + due(come, now));
                come = come.saturating_add(1);
                begun += 1;
            }
            let next = due(come, plan.epoch.elapsed()).max(start).min(until);
            self.turn(next.saturating_sub(plan.epoch.elapsed()).min(TICK));
        }
        let (busy, waiting) = stopwatch.stop();
        // Who has asked may still be answered, as long as it would have waited.
        let patience = Instant::now() + plan.patience;
        while Instant::now() < patience && !plan.is_stopped() && self.visits.values().any(Visit::is_asking) {
            self.turn(TICK);
        }
        self.end();
        let failures = self.failures.into_iter().map(|(text, count)| format!("{count} × {text}")).collect();
        (Seen { tally: self.tally, dropped: 0, busy, waiting, failures }, self.software)
    }

    /// A client more, that was to come at that time.
    fn welcome(&mut self, intended: Instant) {
        let (plan, now) = (self.plan, Instant::now());
        let (intended, began) = (plan.nanos(intended), plan.nanos(now));
        let id = self.next;
        self.next += 1;
        let opened = if self.visits.len() < MAX_VISITS { self.open(id, now) } else { Ok(None) };
        let is_measured = self.measured.contains(&intended);
        match opened {
            Ok(Some(party)) => {
                plan.live.add(1, 0);
                if is_measured {
                    self.tally.counts.sent += 1;
                    self.tally.lateness.saturating_record(began.saturating_sub(intended).max(1));
                    let at = self.moment_of(intended);
                    self.tally.moment(at).sent += 1;
                }
                self.visits.insert(id, Visit { party, intended, began, stage: Stage::Asking });
            }
            Ok(None) => self.tally.counts.refused += u64::from(is_measured),
            // The generator's own limit, most likely of descriptors.
            Err(error) => {
                self.tally.counts.refused += u64::from(is_measured);
                self.note_failure(format!("not begun: {error}"));
            }
        }
    }

    fn open(&mut self, id: u64, now: Instant) -> Result<Option<Party>, PartyError> {
        let plan = self.plan;
        // Threads take users in turn too.
        let user = usize::try_from(id).unwrap_or(0);
        let mut party = Party::open(&plan.server, plan.credentials_of(user), plan.patience, false)?;
        party.allocate(Ipv4Addr::UNSPECIFIED.into());
        party.watched = party.link.wants_to_write();
        self.poller.add(&party.link, id, party.watched)?;
        party.advance(now)?;
        Ok(Some(party))
    }

    fn turn(&mut self, most: Duration) {
        if self.poller.wait(most).is_err() {
            return;
        }
        for at in 0..self.poller.len() {
            let ready = self.poller.ready(at);
            let now = Instant::now();
            let Some(visit) = self.visits.get_mut(&ready.token) else { continue };
            let Self { buffers, .. } = self;
            let mut outcome = visit.party.take_ready(ready);
            outcome = outcome.and_then(|()| visit.party.receive(now, buffers, |_| ()));
            self.settle(ready.token, now, outcome);
        }
        if self.ticked.elapsed() >= TICK {
            self.ticked = Instant::now();
            let ids: Vec<u64> = self.visits.keys().copied().collect();
            for id in ids {
                let Some(visit) = self.visits.get_mut(&id) else { continue };
                let outcome = visit.party.advance(self.ticked);
                self.settle(id, self.ticked, outcome);
            }
        }
    }

    /// Moves a client on to its next stage, or out.
    fn settle(&mut self, id: u64, now: Instant, outcome: Result<(), PartyError>) {
        let Some(visit) = self.visits.get_mut(&id) else { return };
        if let Err(error) = outcome {
            if visit.stage == Stage::Asking {
                self.note_failure(error.to_string());
            }
            self.visits.remove(&id);
            return;
        }
        match visit.stage {
            Stage::Asking if visit.party.is_idle() && visit.party.relayed.is_some() => {
                visit.stage = Stage::Holding(self.hold.map(|hold| now + hold));
                let (intended, began) = (visit.intended, visit.began);
                if self.software.is_none() {
                    self.software = visit.party.software.clone();
                }
                self.note_allocated(self.plan.nanos(now), intended, began);
            }
            Stage::Holding(Some(until)) if until <= now => {
                visit.party.delete();
                visit.stage = Stage::Leaving;
                let _ = visit.party.advance(now);
            }
            Stage::Leaving if visit.party.is_idle() => {
                self.visits.remove(&id);
                return;
            }
            _ => {}
        }
        if let Some(visit) = self.visits.get_mut(&id) {
            visit.party.watch(&self.poller, id);
        }
    }

    fn note_allocated(&mut self, now: u64, intended: u64, began: u64) {
        self.plan.live.add(0, 1);
        if !self.measured.contains(&intended) {
            return;
        }
        self.tally.counts.delivered += 1;
        let latency = now.saturating_sub(intended).max(1);
        self.tally.latency.saturating_record(latency);
        self.tally.transit.saturating_record(now.saturating_sub(began).max(1));
        let at = self.moment_of(intended);
        let moment = self.tally.moment(at);
        moment.delivered += 1;
        moment.latency.saturating_record(latency);
    }

    fn note_failure(&mut self, text: String) {
        if self.failures.len() < MAX_FAILURES || self.failures.contains_key(&text) {
            *self.failures.entry(text).or_default() += 1;
        }
    }

    fn moment_of(&self, intended: u64) -> usize {
        let length = u64::try_from(self.times.moment.as_nanos()).unwrap_or(u64::MAX).max(1);
        (intended.saturating_sub(self.measured.start) / length) as usize
    }

    /// Gives everything back.
    fn end(&mut self) {
        self.visits.retain(|_, visit| visit.party.relayed.is_some());
        for visit in self.visits.values_mut().filter(|visit| visit.stage != Stage::Leaving) {
            visit.party.delete();
            visit.stage = Stage::Leaving;
        }
        let began = Instant::now();
        while began.elapsed() < FAREWELL && !self.visits.is_empty() {
            self.turn(TICK);
        }
    }
}

impl Visit {
    fn is_asking(&self) -> bool {
        self.stage == Stage::Asking
    }
}
