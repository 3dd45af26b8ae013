//! What a process takes, read from `/proc` (proc_pid_schedstat(5), and VmRSS of
//! proc_pid_status(5)): the server's, and the generator's own.

use std::fs;
use std::time::{Duration, Instant};

/// What a process has taken so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Usage {
    /// On a CPU, all threads that live.
    pub(super) cpu: Duration,
    /// Resident, bytes.
    pub(super) memory: u64,
}

impl Usage {
    /// `None` when there is no such process, or its threads are not to be seen.
    pub(super) fn of(pid: u32) -> Option<Self> {
        let mut cpu = Duration::ZERO;
        for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
            // A thread may end meanwhile.
            let schedule = fs::read_to_string(task.ok()?.path().join("schedstat"));
            cpu += schedule.ok().and_then(|text| on_cpu(&text)).map_or(Duration::ZERO, |(cpu, _)| cpu);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        Some(Self { cpu, memory: resident(&status)? })
    }
}

/// How this thread spends its time.
#[derive(Debug)]
pub(super) struct Stopwatch {
    began: Instant,
    before: (Duration, Duration),
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), before: of_this_thread() }
    }

    /// The parts of the time since then that it was on a CPU, and waited for one.
    pub(super) fn stop(self) -> (f64, f64) {
        let (busy, waiting) = of_this_thread();
        let all = self.began.elapsed().as_secs_f64().max(1e-9);
        let share = |now: Duration, before| now.saturating_sub(before).as_secs_f64() / all;
        (share(busy, self.before.0), share(waiting, self.before.1))
    }
}

/// What this thread has had so far: on a CPU, and waiting for one.
fn of_this_thread() -> (Duration, Duration) {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    on_cpu(&text).unwrap_or_default()
}

fn on_cpu(schedstat: &str) -> Option<(Duration, Duration)> {
    let mut numbers = schedstat.split_whitespace().map(|word| word.parse().ok().map(Duration::from_nanos));
    Some((numbers.next()??, numbers.next()??))
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_takes_something() {
        let before = Usage::of(std::process::id()).unwrap();
        // Other threads count for the process, and not for this one.
        while Usage::of(std::process::id()).unwrap().cpu == before.cpu || of_this_thread().0.is_zero() {
            std::hint::spin_loop();
        }
        assert!(before.memory > 100_000);
        assert_eq!(Usage::of(u32::MAX), None);
    }

    #[test]
    fn the_files_are_read_as_the_manual_has_them() {
        assert_eq!(on_cpu("2500 700 3\n"), Some((Duration::from_nanos(2_500), Duration::from_nanos(700))));
        assert_eq!(on_cpu(""), None);
        assert_eq!(resident("Name:\tx\nVmRSS:\t    5432 kB\n"), Some(5_432 * 1_024));
        assert_eq!(resident("Name:\tx\n"), None);
    }
}
