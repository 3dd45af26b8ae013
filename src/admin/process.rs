//! What Linux says about a process, from a few small files under `/proc`. The
//! `process` feature of the prometheus crate would do the same through the
//! procfs crate, but lists every descriptor at each scrape, which costs
//! milliseconds with ten thousands of relay sockets.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

/// Clock ticks a second in `/proc/*/stat`: USER_HZ, fixed by the kernel's ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process, now. `None`: not told.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Usage {
    /// User and system time of all threads.
    pub(super) cpu_seconds: Option<f64>,
    pub(super) threads: Option<u64>,
    pub(super) resident_bytes: Option<u64>,
    pub(super) open_descriptors: Option<u64>,
    pub(super) max_descriptors: Option<u64>,
}

impl Usage {
    pub(super) fn read() -> Self {
        let stat = Stat::read("self");
        Self {
            cpu_seconds: stat.map(|s| s.cpu_ticks as f64 / TICKS_PER_SECOND),
            threads: stat.map(|s| s.threads),
            resident_bytes: fs::read_to_string("/proc/self/status").ok().and_then(|s| resident(&s)),
            open_descriptors: open_descriptors(),
            max_descriptors: rustix::process::getrlimit(rustix::process::Resource::Nofile).current,
        }
    }
}

/// When process `pid` was started, in clock ticks since the machine was: a
/// later process of the same number has another one. `None`: there is no such
/// process, or it is hidden from us.
pub(super) fn start_ticks(pid: u32) -> Option<u64> {
    Stat::read(&pid.to_string()).map(|s| s.start_ticks)
}

/// CPU time of the threads that move packets, by shard; without those that the
/// system does not tell of.
pub(super) fn shard_cpu_seconds() -> BTreeMap<usize, f64> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else { return BTreeMap::new() };
    let of_task = |folder: PathBuf| {
        let name = fs::read_to_string(folder.join("comm")).ok()?;
        let shard = name.trim_end().strip_prefix("shard-")?.parse().ok()?;
        Some((shard, nanoseconds(&fs::read_to_string(folder.join("schedstat")).ok()?)? as f64 / 1e9))
    };
    tasks.flatten().filter_map(|task| of_task(task.path())).collect()
}

/// Time on the CPU, the first field of `/proc/PID/task/TID/schedstat`.
fn nanoseconds(schedstat: &str) -> Option<u64> {
    schedstat.split_ascii_whitespace().next()?.parse().ok()
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stat {
    cpu_ticks: u64,
    threads: u64,
    start_ticks: u64,
}

impl Stat {
    fn read(process: &str) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{process}/stat")).ok()?)
    }

    /// proc_pid_stat(5). Field 2, the name, may hold spaces and brackets, so
    /// fields are counted from its last bracket: the first there is number 3.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            cpu_ticks: field(14)?.saturating_add(field(15)?),
            threads: field(20)?,
            start_ticks: field(22)?,
        })
    }
}

/// VmRSS of proc_pid_status(5), in bytes.
fn resident(status: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Since Linux 6.2 the size of `/proc/self/fd` is the number of descriptors;
/// before, it is 0 and they must be counted.
fn open_descriptors() -> Option<u64> {
    match fs::metadata("/proc/self/fd").ok()?.len() {
        0 => Some(fs::read_dir("/proc/self/fd").ok()?.count() as u64),
        count => Some(count),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_brackets_does_not_shift_the_fields() {
        let line = "42 (a) b (c) S 1 42 42 0 -1 4194560 9 0 0 0 150 50 0 0 20 0 7 0 9876 1 2";
        assert_eq!(Stat::parse(line), Some(Stat { cpu_ticks: 200, threads: 7, start_ticks: 9876 }));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn this_process_is_known() {
        let usage = Usage::read();
        assert!(usage.cpu_seconds.is_some());
        assert!(usage.threads >= Some(1));
        assert!(usage.resident_bytes > Some(100_000));
        assert!(usage.open_descriptors >= Some(3));
        assert!(start_ticks(std::process::id()) > Some(0));
        assert_eq!(start_ticks(u32::MAX), None);
    }

    #[test]
    fn a_shards_cpu_time_is_found_by_its_threads_name() {
        let thread = std::thread::Builder::new().name("shard-77".into());
        // It has its name before it runs.
        let seen = thread.spawn(shard_cpu_seconds).unwrap().join().unwrap();
        assert!(seen.contains_key(&77), "{seen:?}");
        assert_eq!(nanoseconds("1234 5 6\n"), Some(1234));
        assert_eq!(nanoseconds(""), None);
    }

    #[test]
    fn resident_memory_is_in_bytes() {
        assert_eq!(resident("Name:\tfloe\nVmRSS:\t    2048 kB\nRssAnon: 1 kB\n"), Some(2_097_152));
        assert_eq!(resident("Name:\tfloe\n"), None);
    }
}
