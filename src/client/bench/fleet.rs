//! All workers of a run: started, made ready, sent through steps of load, and
//! ended.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::plan::{Plan, Work};
use super::report::Step;
use super::step::{WATCH, attend, conclude};
use super::tally::moment_length;
use super::units::Rate;
use super::worker::{self, Worker};
use super::{BenchError, Progress};

/// Between telling the workers and the first packet.
const LEAD: Duration = Duration::from_millis(20);
/// A worker that says nothing for so long after the end of a step is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// A load, beside what the plan says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Load {
    /// Of one direction.
    pub(super) rate: Rate,
    /// Sent before it counts.
    pub(super) warmup: Duration,
    pub(super) duration: Duration,
}

/// Workers that are ready.
pub(super) struct Fleet {
    plan: Arc<Plan>,
    hands: Vec<Hand>,
    steps: Cell<u32>,
    tag: u32,
    pub(super) software: Option<String>,
}

/// One worker, seen from here.
struct Hand {
    /// Taken away to end it.
    steps: Option<Sender<worker::Step>>,
    reports: Receiver<worker::Report>,
    thread: Option<JoinHandle<()>>,
}

impl Fleet {
    /// Starts the workers and waits until every client has what it needs.
    pub(super) fn start(plan: Plan, watch: &mut dyn FnMut(Progress)) -> Result<Self, BenchError> {
        let plan = Arc::new(plan);
        let mut fleet = Self {
            hands: Vec::new(),
            steps: Cell::new(0),
            tag: rand::random(),
            software: None,
            plan: Arc::clone(&plan),
        };
        for share in shares(plan.clients, plan.threads) {
            fleet.hands.push(Hand::start(Arc::clone(&plan), share)?);
        }
        let mut failure = None;
        for hand in &fleet.hands {
            loop {
                match hand.reports.recv_timeout(WATCH) {
                    Ok(worker::Report::Ready { software }) => {
                        fleet.software = fleet.software.take().or(software);
                        break;
                    }
                    Ok(worker::Report::Failed(error)) => {
                        failure.get_or_insert(BenchError::setup(&plan.server, error));
                        break;
                    }
                    Ok(worker::Report::Done(_)) => {}
                    Err(RecvTimeoutError::Timeout) => {
                        let (ready, ..) = plan.live.read();
                        watch(Progress::Preparing { ready: ready as usize, clients: plan.clients });
                    }
                    Err(RecvTimeoutError::Disconnected) => return Err(BenchError::gone()),
                }
            }
        }
        // Dropping the fleet ends those that got ready.
        failure.map_or(Ok(fleet), Err)
    }

    /// Offers a load, and says what came of it; `server` is the server's process.
    pub(super) fn run(
        &self,
        load: Load,
        server: Option<u32>,
        watch: &mut dyn FnMut(Progress),
    ) -> Result<Step, BenchError> {
        let plan = &self.plan;
        let step = self.steps.replace(self.steps.get().wrapping_add(1));
        let start = plan.epoch.elapsed() + LEAD;
        let measured_from = start + load.warmup;
        let until = measured_from + load.duration;
        let interval = match load.rate {
            Rate::PerSecond(rate) => {
                Some(Duration::from_secs_f64(plan.burst as f64 * plan.flows() as f64 / rate))
            }
            Rate::Unlimited => None,
        };
        let moment = moment_length(load.duration);
        // A step's number and a random one, so that no step of any run is taken for
        // another.
        let tag = self.tag.wrapping_add(step.wrapping_mul(2));
        for (at, hand) in self.hands.iter().enumerate() {
            // Workers don't all begin at once.
            let start = start
                + interval.map_or(Duration::ZERO, |interval| {
                    interval * at as u32 / (plan.flows() * plan.directions()) as u32
                });
            hand.tell(worker::Step { tag, start, measured_from, until, moment, interval });
        }

        let attended = attend(plan, start..until, measured_from, server, load.rate, watch);
        let mut seen = Vec::new();
        for hand in &self.hands {
            match hand.reports.recv_timeout(STUCK) {
                Ok(worker::Report::Done(one)) => seen.push(*one),
                _ => return Err(BenchError::gone()),
            }
        }
        let (offered, payload) = match plan.work {
            Work::Binding => (load.rate, 0),
            Work::Relay { .. } => (load.rate.times(plan.directions()), plan.payload()),
        };
        Ok(conclude(seen, offered, moment, payload, &attended))
    }
}

impl Hand {
    fn start(plan: Arc<Plan>, share: Range<usize>) -> Result<Self, BenchError> {
        let (steps, told) = channel();
        let (says, reports) = channel();
        let work = move || match Worker::new(&plan) {
            Ok(worker) => worker.serve(share, &told, &says),
            Err(error) => _ = says.send(worker::Report::Failed(error.into())),
        };
        let thread = thread::Builder::new().name("bench".to_owned()).spawn(work)?;
        Ok(Self { steps: Some(steps), reports, thread: Some(thread) })
    }

    fn tell(&self, step: worker::Step) {
        if let Some(steps) = &self.steps {
            // One that is gone says so where its report is waited for.
            let _ = steps.send(step);
        }
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        // All at once: each has allocations to give back.
        for hand in &mut self.hands {
            hand.steps = None;
        }
        for thread in self.hands.iter_mut().filter_map(|hand| hand.thread.take()) {
            let _ = thread.join();
        }
    }
}

/// Clients dealt out to threads, as evenly as they go.
fn shares(clients: usize, threads: usize) -> Vec<Range<usize>> {
    let threads = threads.clamp(1, clients.max(1));
    (0..threads).map(|at| clients * at / threads..clients * (at + 1) / threads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_is_in_one_share() {
        assert_eq!(shares(5, 2), [0..2, 2..5]);
        assert_eq!(shares(1, 8).len(), 1);
        assert_eq!(shares(20, 3).iter().map(|share| share.len()).sum::<usize>(), 20);
    }
}
