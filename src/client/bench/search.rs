//! The highest rate that a server carries within a bound of loss: doubled until
//! it fails, then halved between.
//!
//! On a shared machine a step may fail for reasons that are nobody's fault, so
//! one that fails is tried once more before it is believed.

use std::ops::RangeInclusive;
use std::sync::atomic::Ordering;

use super::fleet::{Fleet, Load};
use super::report::{Found, Report, Step};
use super::units::{Rate, count, show_percent};
use super::{Bench, BenchError, Bounds, Traffic};

/// The bound on loss where none is given, percent.
const MAX_LOSS: f64 = 0.5;
/// Near enough: the two rates between which the answer lies differ by 5%.
const NEAR: f64 = 1.05;
/// What doubles from 1 to 100 M, and what then halves.
const MAX_STEPS: usize = 40;

/// What is known after some steps.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Next {
    Try(f64),
    Over { limited_by: &'static str },
}

/// The search itself, without what it searches in.
#[derive(Debug)]
struct Search {
    highest: f64,
    /// The highest rate that was carried, and the lowest that was not.
    good: Option<f64>,
    bad: Option<f64>,
    /// Whether the generator could not offer `bad`.
    is_ours: bool,
    rate: f64,
}

impl Search {
    fn new(rates: &RangeInclusive<f64>) -> Self {
        Self { highest: *rates.end(), good: None, bad: None, is_ours: false, rate: *rates.start() }
    }

    /// What to try after this outcome of the current rate.
    fn note(&mut self, carried: bool, is_ours: bool) -> Next {
        if carried {
            self.good = Some(self.rate);
        } else {
            (self.bad, self.is_ours) = (Some(self.rate), is_ours);
        }
        self.rate = match (self.good, self.bad) {
            (Some(good), Some(bad)) if bad / good <= NEAR => {
                return Next::Over { limited_by: if self.is_ours { "generator" } else { "loss" } };
            }
            (Some(good), Some(bad)) => (good * bad).sqrt(),
            (Some(good), None) if good >= self.highest => return Next::Over { limited_by: "bound" },
            (Some(good), None) => (good * 2.0).min(self.highest),
            // Not even the lowest rate: lower still.
            (None, Some(bad)) if bad < 2.0 => return Next::Over { limited_by: "loss" },
            (None, _) => self.rate / 4.0,
        };
        Next::Try(self.rate)
    }
}

impl Bench<'_> {
    pub(super) fn search(
        &mut self,
        traffic: &Traffic,
        rates: &RangeInclusive<f64>,
        bounds: Bounds,
    ) -> Result<Report, BenchError> {
        let most = bounds.max_loss.unwrap_or(MAX_LOSS);
        let (fleet, load) = self.fleet(traffic)?;
        let mut search = Search::new(rates);
        let mut steps: Vec<Step> = Vec::new();
        let mut best: Option<usize> = None;
        let mut limited_by = "loss";
        while steps.len() < MAX_STEPS {
            let carried = |step: &Step| step.loss_percent <= most && step.corrupt == 0 && step.delivered > 0;
            let mut step = self.step(&fleet, search.rate, bounds)?;
            if !self.is_stopped() && (!carried(&step) || step.generator.bottleneck.is_some()) {
                steps.push(step);
                step = self.step(&fleet, search.rate, bounds)?;
            }
            let is_ours = carried(&step) && step.generator.bottleneck.is_some();
            let is_good = carried(&step) && !is_ours;
            let is_best = best.is_none_or(|at| step.delivered_per_second > steps[at].delivered_per_second);
            if carried(&step) && is_best {
                best = Some(steps.len());
            }
            let failed = !step.failures.is_empty();
            steps.push(step);
            if self.is_stopped() || failed {
                self.notes.push(if failed { "clients failed under way" } else { "stopped early" }.to_owned());
                break;
            }
            match search.note(is_good, is_ours) {
                Next::Try(_) => {}
                Next::Over { limited_by: by } => {
                    limited_by = by;
                    break;
                }
            }
        }
        let per_second = best.map_or(0.0, |at| steps[at].delivered_per_second);
        let bound = show_percent(most);
        let verdict = match (best, limited_by) {
            (None, _) => format!("FAILED: no rate was carried with {bound} lost at most"),
            (_, "generator") => format!(
                "at least {} packets/s with {bound} lost at most; the generator was the bottleneck",
                count(per_second)
            ),
            (_, "bound") => format!("{} packets/s or more with {bound} lost at most", count(per_second)),
            _ => format!("{} packets/s with {bound} lost at most", count(per_second)),
        };
        let report = self.report("search", fleet.software.clone(), load, steps, best.is_some(), verdict);
        Ok(Report { found: Some(Found { per_second, max_loss_percent: most, limited_by }), ..report })
    }

    fn step(&mut self, fleet: &Fleet, rate: f64, bounds: Bounds) -> Result<Step, BenchError> {
        let Bounds { warmup, duration, .. } = bounds;
        let load = Load { rate: Rate::PerSecond(rate), warmup, duration };
        fleet.run(load, self.options.server_pid, self.watch)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Searches a server that carries so much, with a generator that offers so
    /// much; the highest rate that was good, why it ended, and the steps.
    fn found(rates: RangeInclusive<f64>, carries: f64, offers: f64) -> (Option<f64>, &'static str, usize) {
        let mut search = Search::new(&rates);
        for step in 1..=MAX_STEPS {
            let rate = search.rate;
            let outcome = search.note(rate <= carries && rate <= offers, rate > offers && rate <= carries);
            if let Next::Over { limited_by } = outcome {
                return (search.good, limited_by, step);
            }
        }
        panic!("no end: {search:?}");
    }

    #[test]
    fn the_limit_is_found_to_within_five_percent() {
        for carries in [1_000.0, 12_345.0, 900_000.0, 3e6] {
            let (rate, limited_by, steps) = found(10_000.0..=1e8, carries, 1e9);
            let rate = rate.unwrap();
            assert!(rate <= carries && rate * NEAR >= carries, "{rate} of {carries}");
            assert_eq!(limited_by, "loss");
            assert!(steps <= 20, "{steps}");
        }
    }

    #[test]
    fn who_was_the_limit_is_said() {
        let (rate, limited_by, _) = found(10_000.0..=1e8, 1e9, 200_000.0);
        assert!((190_000.0..=200_000.0).contains(&rate.unwrap()));
        assert_eq!(limited_by, "generator");
        assert_eq!(found(1_000.0..=50_000.0, 1e9, 1e9), (Some(50_000.0), "bound", 7));
        assert_eq!(found(1_000.0..=50_000.0, 0.0, 1e9).0, None);
    }
}
