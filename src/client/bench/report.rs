//! What a run has found: for programs (serde), and for people.

use std::fmt::Write as _;

use serde::Serialize;

pub use super::tally::Quantiles;
use super::units::{Rate, count, micros, show_percent};

/// The whole run. Rates are a second, times microseconds, sizes bytes unless a
/// name says otherwise.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// Whether what was asked for was reached.
    pub ok: bool,
    /// One line for a person.
    pub verdict: String,
    /// `relay`, `search`, `soak`, `binding` or `allocate`.
    pub mode: &'static str,
    /// The server, resolved: `tcp:[::1]:3478`.
    pub server: String,
    /// Its SOFTWARE, when it tells.
    pub software: Option<String>,
    /// What was offered, beside its rate.
    pub load: Load,
    /// What a reader must know: a far end that was changed, a limit of the
    /// server's.
    pub notes: Vec<String>,
    /// Each rate that was tried, in that order.
    pub steps: Vec<Step>,
    /// The highest rate that was carried; `search` alone.
    pub found: Option<Found>,
    /// The machine that the generator ran on.
    pub machine: Machine,
}

/// What was offered, beside its rate.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Load {
    /// `udp`, `tcp`, `tls` or `dtls`.
    pub transport: String,
    /// `up`, `down` or `both`; relay alone.
    pub direction: Option<&'static str>,
    /// `channels` or `indications`; relay alone.
    pub by: Option<&'static str>,
    /// `peer` or `relay`; relay alone.
    pub far_end: Option<&'static str>,
    /// How many clients.
    pub clients: usize,
    /// Of each of them.
    pub peers: usize,
    /// Of each packet; relay alone.
    pub payload: Option<usize>,
    /// Packets sent back to back.
    pub burst: usize,
    /// Whether bursts went and came joined (UDP GSO and GRO).
    pub joined: bool,
    /// Threads of the generator.
    pub threads: usize,
}

/// One rate, and what came of it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Step {
    /// What was asked for, in all directions; null for no limit.
    pub offered_per_second: Rate,
    /// How long was measured.
    pub seconds: f64,
    /// Packets (requests, allocations) that were sent.
    pub sent: u64,
    /// The same, a second.
    pub sent_per_second: f64,
    /// That arrived at the far end as they were sent (were answered), each once.
    pub delivered: u64,
    /// The same, a second.
    pub delivered_per_second: f64,
    /// Their payload, bits a second.
    pub goodput: f64,
    /// Sent, and not delivered.
    pub lost: u64,
    /// Of what was sent.
    pub loss_percent: f64,
    /// Arrived more than once.
    pub duplicates: u64,
    /// Overtaken by later ones (RFC 4737).
    pub reordered: u64,
    /// Arrived with other bytes, or where they were not sent to.
    pub corrupt: u64,
    /// Arrived too late to be told from duplicates; they count as lost.
    pub stale: u64,
    /// From the time a packet was to be sent to its arrival: what a user feels,
    /// a generator that is late included.
    pub latency: Option<Quantiles>,
    /// From the time it was sent.
    pub transit: Option<Quantiles>,
    /// Of each flow (RFC 3550), over the flows.
    pub jitter: Option<Quantiles>,
    /// The server's process, where it is known.
    pub server: Option<ServerUse>,
    /// What the generator itself did.
    pub generator: Generator,
    /// Clients that failed, and why; the first few.
    pub failures: Vec<String>,
    /// The course of it.
    pub timeline: Vec<Moment>,
}

/// What the server's process took.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServerUse {
    /// Of CPU, for each delivered packet (request, allocation).
    pub cpu_per_delivered: f64,
    /// CPUs that it kept busy: 1.5 is one and a half.
    pub cpus: f64,
    /// Resident when the step began.
    pub memory_before: u64,
    /// Resident when it ended.
    pub memory_after: u64,
    /// What one allocation took; `allocate` alone.
    pub memory_per_allocation: Option<f64>,
}

/// What the generator itself did.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Generator {
    /// Why it could not offer what was asked for, or whether it was the limit.
    pub bottleneck: Option<String>,
    /// How late packets were sent.
    pub lateness: Option<Quantiles>,
    /// That it did not send: their time was over, or nobody took them.
    pub unsent: u64,
    /// That its own sockets had no room for when they arrived; part of the lost.
    pub dropped: u64,
    /// Of the time, its busiest thread was on a CPU.
    pub busy_percent: f64,
    /// Of the time, a thread of it waited for a CPU.
    pub waiting_percent: f64,
}

/// A part of a step.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Moment {
    /// When it began, seconds.
    pub at: f64,
    /// Sent, a second.
    pub sent_per_second: f64,
    /// Delivered, a second.
    pub delivered_per_second: f64,
    /// Of what was sent in it.
    pub loss_percent: f64,
    /// Median and 99th percentile of the latency.
    pub p50: Option<f64>,
    /// See `p50`.
    pub p99: Option<f64>,
    /// Resident memory of the server, where it is known.
    pub memory: Option<u64>,
}

/// What a search has found.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// Delivered a second within the bound; 0 when no rate was.
    pub per_second: f64,
    /// Loss that was allowed.
    pub max_loss_percent: f64,
    /// `loss`, `generator` (the server may carry more) or `bound` (more was not
    /// asked for).
    pub limited_by: &'static str,
}

/// The machine that the generator ran on.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Machine {
    /// CPUs that the generator may use.
    pub cpus: usize,
    /// The processor's name.
    pub processor: Option<String>,
    /// Of Linux.
    pub kernel: Option<String>,
    /// Of floe, whose generator this is.
    pub floe: &'static str,
}

impl Machine {
    /// This one.
    pub fn here() -> Self {
        let read = |path| std::fs::read_to_string(path).ok();
        let processor = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        });
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpus, processor, kernel, floe: env!("CARGO_PKG_VERSION") }
    }
}

impl Report {
    /// What things are called that are counted.
    pub(super) fn unit(&self) -> &'static str {
        match self.mode {
            "binding" => "requests",
            "allocate" => "allocations",
            _ => "packets",
        }
    }

    /// What was offered, in a line.
    pub(super) fn describe_load(&self) -> String {
        let Load { transport, direction, by, far_end, clients, peers, payload, burst, joined, threads } =
            &self.load;
        let mut text = match clients {
            0 => transport.clone(),
            clients => format!("{}, {transport}", plural(*clients, "client")),
        };
        if let Some(by) = by {
            let _ = write!(text, ", {by}");
        }
        if *peers > 1 {
            let _ = write!(text, ", {peers} peers each");
        }
        if let Some(direction) = direction {
            let _ = write!(text, ", {direction}");
        }
        if let Some(payload) = payload {
            let _ = write!(text, ", {payload} B");
        }
        if *burst > 1 {
            let _ = write!(text, ", bursts of {burst}{}", if *joined { ", joined" } else { "" });
        }
        match far_end {
            Some("relay") => text.push_str(", far end behind a second relay"),
            Some(_) => text.push_str(", far end at a peer"),
            None => {}
        }
        let _ = write!(text, "; {} of the generator", plural(*threads, "thread"));
        text
    }

    /// For a terminal.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let software = self.software.as_deref().map(|software| format!(" ({software})")).unwrap_or_default();
        let _ = writeln!(text, "{} {}{software}", self.mode, self.server);
        let _ = writeln!(text, "{}", self.describe_load());
        match &self.steps[..] {
            [only] => self.render_step(&mut text, only),
            steps => self.render_table(&mut text, steps),
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        let _ = writeln!(text, "\n{}", self.verdict);
        text
    }

    fn render_step(&self, text: &mut String, step: &Step) {
        let unit = self.unit();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "  {name:<11} {value}");
        };
        let offered = match step.offered_per_second {
            Rate::PerSecond(rate) => format!("{} {unit}/s", count(rate)),
            Rate::Unlimited => "without limit".to_owned(),
        };
        line("offered", format!("{offered} for {:.1} s", step.seconds));
        line("sent", format!("{} ({}/s)", step.sent, count(step.sent_per_second)));
        let mut delivered = format!("{} ({}/s", step.delivered, count(step.delivered_per_second));
        if step.goodput > 0.0 {
            let _ = write!(delivered, ", {}bit/s of payload", count(step.goodput));
        }
        line("delivered", delivered + ")");
        line("lost", format!("{} ({})", step.lost, show_percent(step.loss_percent)));
        let odd = [
            (step.duplicates, "duplicates"),
            (step.reordered, "reordered"),
            (step.corrupt, "corrupt"),
            (step.stale, "too late"),
        ];
        let odd: Vec<String> = odd
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, name)| format!("{count} {name}"))
            .collect();
        line(
            "integrity",
            if odd.is_empty() { "none reordered, doubled or changed".to_owned() } else { odd.join(", ") },
        );
        for (name, quantiles) in
            [("latency", step.latency), ("transit", step.transit), ("jitter", step.jitter)]
        {
            if let Some(quantiles) = quantiles.filter(|_| name != "jitter" || step.goodput > 0.0) {
                line(name, render_quantiles(&quantiles));
            }
        }
        if let Some(server) = &step.server {
            line(
                "server CPU",
                format!("{:.2} µs each, {:.2} CPUs busy", server.cpu_per_delivered, server.cpus),
            );
            let mut memory = format!(
                "{}B, was {}B",
                count(server.memory_after as f64),
                count(server.memory_before as f64)
            );
            if let Some(each) = server.memory_per_allocation {
                let _ = write!(memory, "; {each:.0} B an allocation");
            }
            line("its memory", memory);
        }
        line("generator", render_generator(&step.generator));
        for failure in &step.failures {
            line("FAILED", failure.clone());
        }
    }

    fn render_table(&self, text: &mut String, steps: &[Step]) {
        let _ = writeln!(
            text,
            "  {:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {:>7}",
            "offered", "sent", "delivered", "lost", "p50", "p99", "CPU µs"
        );
        for step in steps {
            let offered = match step.offered_per_second {
                Rate::PerSecond(rate) => count(rate),
                Rate::Unlimited => "max".to_owned(),
            };
            let at = |quantile: fn(&Quantiles) -> f64| {
                step.latency.as_ref().map_or_else(|| "-".to_owned(), |latency| micros(quantile(latency)))
            };
            let cpu = step
                .server
                .map_or_else(|| "-".to_owned(), |server| format!("{:.2}", server.cpu_per_delivered));
            let mark =
                if step.generator.bottleneck.is_some() { "  (the generator was the limit)" } else { "" };
            let _ = writeln!(
                text,
                "  {offered:>9}  {:>9}  {:>9}  {:>8}  {:>9}  {:>9}  {cpu:>7}{mark}",
                count(step.sent_per_second),
                count(step.delivered_per_second),
                show_percent(step.loss_percent),
                at(|q| q.p50),
                at(|q| q.p99),
            );
        }
        for failure in steps.iter().flat_map(|step| &step.failures) {
            let _ = writeln!(text, "  FAILED {failure}");
        }
    }
}

fn render_quantiles(q: &Quantiles) -> String {
    format!(
        "p50 {}, p90 {}, p99 {}, p99.9 {}, max {}",
        micros(q.p50),
        micros(q.p90),
        micros(q.p99),
        micros(q.p999),
        micros(q.max)
    )
}

fn render_generator(generator: &Generator) -> String {
    let mut text = match &generator.bottleneck {
        Some(why) => format!("WAS THE BOTTLENECK: {why}; "),
        None => String::new(),
    };
    let _ = write!(text, "{:.0}% busy", generator.busy_percent);
    if generator.waiting_percent >= 1.0 {
        let _ = write!(text, ", {:.0}% waiting for a CPU", generator.waiting_percent);
    }
    if let Some(lateness) = &generator.lateness {
        let _ =
            write!(text, ", sends late by {} (p50), {} (p99)", micros(lateness.p50), micros(lateness.p99));
    }
    if generator.unsent > 0 {
        let _ = write!(text, ", {} not sent", generator.unsent);
    }
    if generator.dropped > 0 {
        let _ = write!(text, ", {} of the lost dropped by its own sockets", generator.dropped);
    }
    text
}

/// `1 client`, `2 clients`.
pub(super) fn plural(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}
