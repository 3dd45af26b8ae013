//! One step of load, seen from outside the threads that offer it: attended while
//! it goes on, and summed up when it is over.

use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use super::Progress;
use super::plan::Plan;
use super::report::{Generator, Moment, Quantiles, ServerUse, Step};
use super::tally::{Counts, Tally};
use super::units::Rate;
use super::usage::Usage;

/// How often whoever watches hears of it.
pub(super) const WATCH: Duration = Duration::from_millis(100);
/// Sent less than this part of what was asked for: the generator could not.
const ENOUGH: f64 = 0.99;
/// So busy that it could do no more.
const BUSY: f64 = 0.85;

/// What one thread has seen of a step.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) tally: Tally,
    /// Packets that its own sockets had no room for.
    pub(super) dropped: u64,
    /// Parts of the time that the thread was on a CPU, and waiting for one.
    pub(super) busy: f64,
    pub(super) waiting: f64,
    /// Clients that failed on the way.
    pub(super) failures: Vec<String>,
}

/// What was seen of a step from outside.
#[derive(Debug)]
pub(super) struct Attended {
    /// How long it counted.
    pub(super) measured: Duration,
    /// Of the server, at the beginning and the end of that.
    pub(super) usage: Option<(Usage, Usage)>,
    /// Its memory, bytes, and when, seconds.
    memory: Vec<(f64, u64)>,
}

/// Stays until the end of a step, or until the user wants no more.
pub(super) fn attend(
    plan: &Plan,
    step: Range<Duration>,
    measured_from: Duration,
    server: Option<u32>,
    rate: Rate,
    watch: &mut dyn FnMut(Progress),
) -> Attended {
    let usage = || server.and_then(Usage::of);
    let (mut before, mut last) = (usage(), Instant::now());
    let (_, sent_before, arrived_before) = plan.live.read();
    let mut measuring = measured_from <= step.start;
    let mut memory = Vec::new();
    loop {
        let now = plan.epoch.elapsed();
        if now >= step.end || plan.is_stopped() {
            break;
        }
        let next = if measuring { step.end } else { measured_from };
        thread::sleep(WATCH.min(next.saturating_sub(now)));
        let now = plan.epoch.elapsed();
        if !measuring && now >= measured_from {
            (before, measuring) = (usage(), true);
        }
        if last.elapsed() >= WATCH {
            last = Instant::now();
            if let Some(usage) = usage().filter(|_| measuring) {
                memory.push((now.saturating_sub(measured_from).as_secs_f64(), usage.memory));
            }
            let (_, sent, arrived) = plan.live.read();
            watch(Progress::Running {
                rate,
                done: now.saturating_sub(step.start).min(step.end - step.start),
                of: step.end - step.start,
                sent: sent - sent_before,
                arrived: arrived - arrived_before,
            });
        }
    }
    let measured = plan.epoch.elapsed().min(step.end).saturating_sub(measured_from);
    Attended { measured, usage: before.zip(usage()), memory }
}

impl Attended {
    /// What the server took for so many packets.
    pub(super) fn server_use(&self, delivered: u64) -> Option<ServerUse> {
        let (before, after) = self.usage?;
        let cpu = after.cpu.saturating_sub(before.cpu).as_secs_f64();
        Some(ServerUse {
            cpu_per_delivered: cpu * 1e6 / delivered.max(1) as f64,
            cpus: cpu / self.measured.as_secs_f64().max(1e-9),
            memory_before: before.memory,
            memory_after: after.memory,
            memory_per_allocation: None,
        })
    }

    /// The last that was known by that time.
    fn memory_at(&self, seconds: f64) -> Option<u64> {
        let known = self.memory.partition_point(|(at, _)| *at <= seconds);
        self.memory.get(known.checked_sub(1)?).map(|(_, bytes)| *bytes)
    }
}

/// Adds up what all threads have seen of a step in which so much was offered
/// altogether, in payloads of so many bytes.
pub(super) fn conclude(
    seen: Vec<Seen>,
    offered: Rate,
    moment: Duration,
    payload: usize,
    attended: &Attended,
) -> Step {
    let mut sum = Tally::new();
    let (mut dropped, mut busy, mut waiting) = (0, 0.0_f64, 0.0_f64);
    let mut failures = Vec::new();
    for one in seen {
        sum.merge(&one.tally);
        dropped += one.dropped;
        busy = busy.max(one.busy);
        waiting = waiting.max(one.waiting);
        failures.extend(one.failures);
    }
    let Counts { sent, refused, delivered, duplicates, reordered, corrupt, stale } = sum.counts;
    let seconds = attended.measured.as_secs_f64().max(1e-9);
    let target = match offered {
        Rate::PerSecond(rate) => (rate * seconds).round() as u64,
        Rate::Unlimited => sent + refused,
    };
    let lost = sent.saturating_sub(delivered);
    let loss_percent = percent(lost, sent);
    let is_short = (sent as f64) < target as f64 * ENOUGH;
    let bottleneck = match offered {
        Rate::PerSecond(_) if is_short && refused > target / 200 => {
            Some("its sockets and connections took no more: the server reads more slowly than that")
        }
        Rate::PerSecond(_) if is_short && busy + waiting > BUSY => Some("its threads had no more CPU"),
        Rate::PerSecond(_) if is_short => Some("it sent too late"),
        Rate::Unlimited if loss_percent < 0.1 && refused == 0 => Some("the server took all that it sent"),
        _ => None,
    };
    Step {
        offered_per_second: offered,
        seconds,
        sent,
        sent_per_second: sent as f64 / seconds,
        delivered,
        delivered_per_second: delivered as f64 / seconds,
        goodput: (delivered * payload as u64 * 8) as f64 / seconds,
        lost,
        loss_percent,
        duplicates,
        reordered,
        corrupt,
        stale,
        latency: Quantiles::of(&sum.latency),
        transit: Quantiles::of(&sum.transit),
        jitter: Quantiles::of(&sum.jitter),
        server: attended.server_use(delivered),
        generator: Generator {
            bottleneck: bottleneck.filter(|_| failures.is_empty()).map(str::to_owned),
            lateness: Quantiles::of(&sum.lateness).filter(|_| offered != Rate::Unlimited),
            unsent: target.saturating_sub(sent),
            dropped,
            busy_percent: busy * 100.0,
            waiting_percent: waiting * 100.0,
        },
        failures,
        timeline: timeline(&sum, moment, attended),
    }
}

fn timeline(tally: &Tally, moment: Duration, attended: &Attended) -> Vec<Moment> {
    let (length, seconds) = (moment.as_secs_f64(), attended.measured.as_secs_f64());
    let at = |at: usize| at as f64 * length;
    // The last one may be a short one; a very short one says nothing.
    let whole = tally.moments.iter().enumerate().filter(|(i, _)| seconds - at(*i) > length * 0.5);
    whole
        .map(|(i, moment)| {
            let length = length.min(seconds - at(i));
            let quantile = |quantile| {
                let value = moment.latency.value_at_quantile(quantile) as f64 / 1e3;
                (!moment.latency.is_empty()).then_some(value)
            };
            Moment {
                at: at(i),
                sent_per_second: moment.sent as f64 / length,
                delivered_per_second: moment.delivered as f64 / length,
                loss_percent: percent(moment.sent.saturating_sub(moment.delivered), moment.sent),
                p50: quantile(0.5),
                p99: quantile(0.99),
                memory: attended.memory_at(at(i) + length),
            }
        })
        .collect()
}

/// 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeline_has_rates_and_no_splinters() {
        let mut tally = Tally::new();
        for at in 0..3 {
            tally.moment(at).sent = 50;
            tally.moment(at).delivered = 25;
        }
        let memory = vec![(0.2, 10), (0.6, 20), (1.4, 30)];
        let attended = Attended { measured: Duration::from_millis(1_100), usage: None, memory };
        let moments = timeline(&tally, Duration::from_millis(500), &attended);
        assert_eq!(moments.len(), 2);
        assert_eq!((moments[0].memory, moments[1].memory), (Some(10), Some(20)));
        assert_eq!((moments[1].at, moments[1].sent_per_second, moments[1].loss_percent), (0.5, 100.0, 50.0));
        assert_eq!(moments[0].p50, None);
    }
}
