//! Where a server's CPU time goes under some of the loads, as Linux's `perf` samples
//! it: in the kernel's calls, or in its own code. Where `perf` is missing, or may not
//! look into the kernel, there is none.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Loads that are looked at, by their names.
pub(crate) const LOADS: [&str; 8] = [
    "up, 40 k/s",
    "down, 40 k/s",
    "up, 8 × 1,200 B, 100 k/s",
    "up, 1,000 clients, 50 k/s",
    "indications up, 40 k/s",
    "TCP up, 40 k/s",
    "TCP down, 40 k/s",
    "Binding, 40 k/s",
];

/// Servers that are looked at, by theirs.
pub(crate) const RIVALS: [&str; 3] = ["floe", "coturn", "bare"];

/// The kernel's functions for each kind of call; they are the same on every
/// architecture. None is within another one.
const SENDING: [&str; 5] = ["__sys_sendmsg", "__sys_sendmmsg", "__sys_sendto", "do_writev", "ksys_write"];
const RECEIVING: [&str; 5] = ["do_recvmmsg", "__sys_recvmsg", "__sys_recvfrom", "ksys_read", "do_readv"];
const WAITING: [&str; 1] = ["do_epoll_wait"];
/// On loopback the sender's call delivers the packet too, and wakes who waits for it.
const DELIVERY: [&str; 1] = ["net_rx_action"];
const WAKING: [&str; 1] = ["sock_def_readable"];
/// From one thread to another, or to none.
const SWITCHING: [&str; 1] = ["__schedule"];

/// Shares of the time, percent.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) load: &'static str,
    pub(crate) sending: f64,
    /// Most of it within `sending`.
    pub(crate) delivery: f64,
    /// Within `delivery`.
    pub(crate) waking: f64,
    pub(crate) receiving: f64,
    pub(crate) waiting: f64,
    /// Most of it within `waiting`.
    pub(crate) switching: f64,
    pub(crate) kernel: f64,
}

impl Profile {
    /// Of the program's own code, with its libraries.
    pub(crate) fn own(&self) -> f64 {
        (100.0 - self.kernel).max(0.0)
    }

    /// What the kernel does besides.
    pub(crate) fn rest(&self) -> f64 {
        (self.kernel - self.sending - self.receiving - self.waiting).max(0.0)
    }
}

/// `perf` at work on a process.
pub(crate) struct Recording {
    perf: Child,
    file: std::path::PathBuf,
}

impl Recording {
    /// Begins; `None` without `perf`.
    pub(crate) fn begin(process: u32, length: Duration) -> Option<Self> {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("perf.{process}"));
        let perf = Command::new("perf")
            .args([
                "record",
                "--quiet",
                "-e",
                "cpu-clock",
                "-F",
                "3000",
                "-g",
                "-p",
                &process.to_string(),
                "-o",
            ])
            .arg(&file)
            .args(["--", "sleep", &length.as_secs_f64().to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { perf, file })
    }

    /// What was seen; `None` when `perf` could not look into the kernel.
    pub(crate) fn end(mut self, load: &'static str) -> Option<Profile> {
        let recorded = self.perf.wait().ok()?.success();
        let report = |arguments: &[&str]| -> Option<String> {
            let output = Command::new("perf")
                .args(["report", "--stdio", "-g", "none", "-i"])
                .arg(&self.file)
                .args(arguments)
                .stdin(Stdio::null())
                .output()
                .ok()?;
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        };
        let profile = recorded.then(|| {
            let symbols = report(&["--children", "--sort", "symbol"])?;
            let objects = report(&["--no-children", "--sort", "dso"])?;
            let of = |names: &[&str]| names.iter().map(|name| share(&symbols, name)).sum();
            Some(Profile {
                load,
                sending: of(&SENDING),
                delivery: of(&DELIVERY),
                waking: of(&WAKING),
                receiving: of(&RECEIVING),
                waiting: of(&WAITING),
                switching: of(&SWITCHING),
                kernel: share(&objects, "[kernel.kallsyms]") + share(&objects, "[kernel]"),
            })
        });
        let _ = std::fs::remove_file(&self.file);
        profile.flatten().filter(|profile| profile.sending > 0.0 && profile.kernel > 0.0)
    }
}

/// The first percentage of the line that has this word.
fn share(report: &str, word: &str) -> f64 {
    let line = report.lines().find(|line| line.split_whitespace().any(|part| part == word));
    line.and_then(|line| line.split_whitespace().next()?.strip_suffix('%')?.parse().ok()).unwrap_or(0.0)
}
