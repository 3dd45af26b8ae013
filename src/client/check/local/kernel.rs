//! What the kernel grants: descriptors, buffers, ports, offloads, time.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

use super::Plan;
use crate::client::check::report::{Cause, Finding, Step};
use crate::net::udp::{Options, Socket, segment_limit};

/// Descriptors that are not relay sockets.
const OTHER_DESCRIPTORS: u64 = 256;
/// How long `timedatectl` may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bits of `CapEff` (capabilities(7)).
const CAP_NET_ADMIN: u64 = 1 << 12;
const CAP_SYS_ADMIN: u64 = 1 << 21;
const CAP_BPF: u64 = 1 << 39;
/// From here on XDP programs have all that is needed (bpf_redirect over several
/// devices, ring buffers, CAP_BPF).
const XDP_KERNEL: (u32, u32) = (5, 10);

pub(super) fn findings(plan: &Plan<'_>, relays: usize) -> Vec<Finding> {
    let config = &plan.loaded.config;
    let ports = config.relay.ports;
    let ports = relays.max(1) as u64 * (u64::from(ports.last - ports.first) + 1);
    vec![
        descriptors(ports, plan.pid),
        buffers(config.listen.socket_buffer.into()),
        tracking(ports),
        reuse_port(),
        offloads(),
        clock(),
        fast_path(),
    ]
}

fn descriptors(ports: u64, pid: Option<u32>) -> Finding {
    let running = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/limits")).ok());
    let of_running = running.as_deref().and_then(hard_limit);
    let (limit, whose) = match of_running {
        Some(limit) => (limit, "the running server may have"),
        None => (getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX), "a process started here may have"),
    };
    enough_descriptors(limit, whose, ports)
}

fn enough_descriptors(limit: u64, whose: &str, ports: u64) -> Finding {
    let needed = ports + OTHER_DESCRIPTORS;
    let found = format!("{whose} {limit} open files; {ports} relay ports take one each");
    match limit >= needed {
        true => Finding::ok(Step::Descriptors, found),
        false => Finding::warning(
            Step::Descriptors,
            Cause::FewDescriptors,
            found,
            format!(
                "raise the limit to {needed} (LimitNOFILE= in the unit, ulimit -Hn), or make relay.ports smaller"
            ),
        ),
    }
}

/// `Max open files  soft  hard  files`, as `/proc/PID/limits` has it.
fn hard_limit(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    match line.split_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

/// A number of `/proc/sys`.
fn sysctl(name: &str) -> Option<u64> {
    fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?.trim().parse().ok()
}

fn buffers(wanted: u64) -> Finding {
    let granted: Vec<_> = ["net.core.rmem_max", "net.core.wmem_max"]
        .into_iter()
        .filter_map(|name| Some((name, sysctl(name)?)))
        .collect();
    if granted.is_empty() {
        return Finding::skipped(
            Step::SocketBuffers,
            "net.core.rmem_max is not shown in this network namespace",
        );
    }
    let told: Vec<_> = granted.iter().map(|(name, bytes)| format!("{name} is {bytes}")).collect();
    let found = format!("{}; listen.socket-buffer asks for {wanted}", told.join(", "));
    match granted.iter().all(|(_, bytes)| *bytes >= wanted) {
        true => Finding::ok(Step::SocketBuffers, found),
        false => Finding::warning(
            Step::SocketBuffers,
            Cause::SmallBuffers,
            found,
            format!(
                "bursts will be lost: sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}, and the same in \
                 /etc/sysctl.d (docs/tuning.md)"
            ),
        ),
    }
}

/// A firewall that keeps every flow in a table has one more that can be full.
fn tracking(ports: u64) -> Finding {
    let Some(max) = sysctl("net.netfilter.nf_conntrack_max") else {
        return Finding::ok(Step::ConnectionTracking, "the kernel tracks no connections");
    };
    let count = sysctl("net.netfilter.nf_conntrack_count").unwrap_or(0);
    let found = format!(
        "the kernel tracks connections: {count} of {max} now; {ports} relay ports, each with its peers"
    );
    const ADVICE: &str = "leave relay ports untracked (nft: `udp dport 49152-65535 notrack` and `udp sport …`), or \
                          raise net.netfilter.nf_conntrack_max";
    match max < ports.saturating_mul(2) || count > max / 5 * 4 {
        false => Finding::ok(Step::ConnectionTracking, found),
        true => Finding::warning(Step::ConnectionTracking, Cause::SmallTrackingTable, found, ADVICE),
    }
}

fn reuse_port() -> Finding {
    let options = Options { reuse_port: true, ..Options::default() };
    let bind = |port| Socket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)), &options);
    let both = bind(0).and_then(|one| Ok((bind(one.local_addr()?.port())?, one)));
    match both {
        Ok(_) => Finding::ok(Step::ReusePort, "several sockets can share a port (SO_REUSEPORT)"),
        Err(error) => Finding::failed(
            Step::ReusePort,
            Cause::NotSupported,
            format!("several sockets can't share a port (SO_REUSEPORT): {error}"),
            "floe's shards need it: use a kernel (or sandbox) that has it, or set listen.shards = 1",
        ),
    }
}

fn offloads() -> Finding {
    let kernel =
        kernel().map_or_else(|| "this kernel".to_owned(), |(major, minor)| format!("kernel {major}.{minor}"));
    match segment_limit() {
        1 => Finding::warning(
            Step::Offloads,
            Cause::NotSupported,
            format!("{kernel} does not join UDP packets (GSO): each costs a trip through the kernel"),
            "a kernel from 4.18 on joins them on sending, from 5.0 on on receiving; some sandboxes don't",
        ),
        limit => {
            Finding::ok(Step::Offloads, format!("{kernel} sends up to {limit} UDP packets as one (GSO)"))
        }
    }
}

fn clock() -> Finding {
    const ADVICE: &str = "time-limited credentials and certificates need the right time: timedatectl set-ntp true, or \
                          run chrony";
    match synchronised() {
        Some(true) => Finding::ok(Step::Clock, "synchronised by NTP, says timedatectl"),
        Some(false) => Finding::warning(
            Step::Clock,
            Cause::ClockNotSynchronised,
            "not synchronised by NTP, says timedatectl",
            ADVICE,
        ),
        None => Finding::skipped(
            Step::Clock,
            "nobody here knows whether it is synchronised (no timedatectl, or no systemd); in a container the host's \
             counts",
        ),
    }
}

fn synchronised() -> Option<bool> {
    let mut child = Command::new("timedatectl")
        .args(["show", "--property=NTPSynchronized", "--value"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let start = Instant::now();
    while child.try_wait().ok()?.is_none() {
        if start.elapsed() > PATIENCE {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().ok()?;
    match String::from_utf8_lossy(&output.stdout).trim() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    }
}

/// floe carries everything in user space; this says what the machine could.
fn fast_path() -> Finding {
    let capable = fs::read_to_string("/proc/self/status").ok().and_then(|status| capabilities(&status));
    let may = capable.is_some_and(|bits| {
        bits & CAP_SYS_ADMIN != 0 || bits & (CAP_BPF | CAP_NET_ADMIN) == CAP_BPF | CAP_NET_ADMIN
    });
    let new_enough = kernel().is_some_and(|kernel| kernel >= XDP_KERNEL);
    let mut missing = Vec::new();
    if !new_enough {
        missing.push(format!("the kernel is older than {}.{}", XDP_KERNEL.0, XDP_KERNEL.1));
    }
    if !may {
        missing.push("this process has neither CAP_BPF with CAP_NET_ADMIN nor CAP_SYS_ADMIN".to_owned());
    }
    let able = match missing.is_empty() {
        true => format!("the machine could load XDP programs ({})", drivers()),
        false => format!("the machine could load no XDP program: {}", missing.join(", ")),
    };
    Finding::ok(Step::FastPath, format!("floe relays in user space; {able}"))
}

fn capabilities(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(line.trim(), 16).ok()
}

/// Each interface with the driver behind it.
fn drivers() -> String {
    let Ok(interfaces) = fs::read_dir("/sys/class/net") else { return "interfaces unknown".to_owned() };
    let driver = |name: &str| {
        let link = fs::read_link(format!("/sys/class/net/{name}/device/driver")).ok()?;
        Some(link.file_name()?.to_string_lossy().into_owned())
    };
    let mut told: Vec<String> = interfaces
        .flatten()
        .map(|interface| interface.file_name().to_string_lossy().into_owned())
        .filter(|name| name != "lo")
        .map(|name| format!("{name}: {}", driver(&name).unwrap_or_else(|| "generic mode".to_owned())))
        .collect();
    told.sort();
    told.truncate(8);
    if told.is_empty() { "no interface but loopback".to_owned() } else { told.join(", ") }
}

/// Its two leading numbers.
fn kernel() -> Option<(u32, u32)> {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::check::report::Status;

    #[test]
    fn the_running_servers_limit_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(hard_limit(limits), Some(524_288));
        assert_eq!(hard_limit("Max open files 1024 unlimited files"), Some(u64::MAX));
        assert_eq!(hard_limit(""), None);
    }

    #[test]
    fn capabilities_are_read() {
        assert_eq!(
            capabilities("Name:\tfloe\nCapEff:\t0000000000201000\n"),
            Some(CAP_SYS_ADMIN | CAP_NET_ADMIN)
        );
    }

    #[test]
    fn what_this_machine_has_not_is_told() {
        assert_eq!(descriptors(0, Some(std::process::id())).status, Status::Ok);
        let few = enough_descriptors(1024, "a process may have", 16_384);
        assert_eq!((few.status, few.cause), (Status::Warning, Some(Cause::FewDescriptors)));
        assert_ne!(buffers(0).status, Status::Warning);
        assert_eq!(reuse_port().status, Status::Ok);
        assert!(kernel().is_some());
    }
}
