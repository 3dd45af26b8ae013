//! The page about it: a table of medians and ratios, and plots.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{fs, io};

use floe::client::bench::chart::{Bars, Group, Line, Lines, Scale, standalone};
use floe::client::bench::report::Step;
use floe::client::bench::units::{Rate, count, micros, show_percent};

use crate::servers::Rival;
use crate::workloads::{Results, Row};

/// Writes `performance.md` and what it shows; where.
pub(crate) fn write(results: &Results, directory: &Path) -> io::Result<PathBuf> {
    let plots = directory.join("performance");
    fs::create_dir_all(&plots)?;
    fs::write(plots.join("cpu.svg"), standalone(&cpu_plot(results)))?;
    fs::write(
        plots.join("throughput.svg"),
        standalone(&curve_plot(results, "Delivered, packets a second", Scale::Count, |s| {
            Some(s.delivered_per_second)
        })),
    )?;
    fs::write(
        plots.join("latency.svg"),
        standalone(&curve_plot(results, "Median latency", Scale::Latency, |s| Some(s.transit?.p50))),
    )?;
    let file = directory.join("performance.md");
    fs::write(&file, page(results))?;
    Ok(file)
}

/// Of one rival and one load: the median, the least and the most of all rounds.
#[derive(Clone, Copy)]
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(steps: &[Step], value: impl Fn(&Step) -> Option<f64>) -> Option<Self> {
        let mut values: Vec<f64> = steps.iter().filter_map(value).collect();
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median =
            if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 };
        Some(Self { least, median, most })
    }
}

fn cpu(step: &Step) -> Option<f64> {
    Some(step.server?.cpu_per_delivered)
}

/// For a terminal.
pub(crate) fn table(results: &Results) -> String {
    let mut text = format!("{:<28}", "µs of CPU for each");
    for rival in &results.rivals {
        let threads = if rival.single { " (one thread)" } else { "" };
        let _ = write!(text, "{:>26}", format!("{}{threads}", rival.name));
    }
    text.push('\n');
    for row in &results.rows {
        let _ = write!(text, "{:<28}", row.workload.name);
        for steps in &row.steps {
            let shown = Spread::of(steps, cpu)
                .map(|cpu| format!("{:.2} ({:.2}-{:.2})", cpu.median, cpu.least, cpu.most));
            let _ = write!(text, "{:>26}", shown.as_deref().unwrap_or("-"));
        }
        text.push('\n');
    }
    text
}

fn page(results: &Results) -> String {
    let mut md = String::from(
        "# Performance\n\n\
         Written by one command, which measures floe, coturn, a server made of the `turn` crate, and a\n\
         forwarder without any protocol in one run:\n\n\
         ```console\ncargo bench --bench compare -- --install   # --install gets Debian's coturn\n```\n\n\
         Absolute numbers are the machine's; what counts is the ratio within a run. Each load goes to each server\n\
         in turn, freshly started, and that several times; a cell has the median, and the least and the most in\n\
         brackets. Payloads have 172 bytes and 20 clients send unless the load says otherwise. CPU is that of the\n\
         server's own threads (`schedstat`), for each packet that came out at the far end byte for byte. The forwarder\n\
         is the floor: batches as floe's, a socket for each client, and no work of its own (no authentication, timers,\n\
         permissions or metrics): *forwarder ÷ coturn* is about the least that can be reached on the machine.\n\
         `floe bench` is the generator ([how it measures](../README.md#how-much-does-it-carry)); it shares the CPUs with\n\
         the server here.\n\n",
    );
    machine(&mut md, results);
    md.push_str("\n## CPU for each packet, request or allocation\n\n![CPU](performance/cpu.svg)\n\n");
    let floe = results.rivals.iter().position(|rival| rival.name == "floe").unwrap_or(0);
    let base = results.rivals.iter().position(|rival| rival.name == "coturn");
    let bare = results.rivals.iter().position(|rival| rival.name == "bare");
    let (to_coturn, to_bare) = ("floe ÷ coturn (aim)", ["floe ÷ forwarder", "forwarder ÷ coturn"]);
    let ratios = base.map(|_| to_coturn).into_iter().chain(bare.into_iter().flat_map(|_| to_bare));
    heading(&mut md, results.unbound(), ratios);
    for row in &results.rows {
        let _ = write!(md, "| {} |", row.workload.name);
        for steps in &row.steps[..results.unbound().len()] {
            let _ = write!(md, " {} |", show_cpu(steps));
        }
        if let Some(base) = base {
            let _ = write!(md, " {} |", beside_aim(row, floe, base));
        }
        if let Some(bare) = bare {
            let pairs = [Some((floe, bare)), base.map(|base| (bare, base))];
            for found in pairs.map(|pair| pair.and_then(|(ours, theirs)| ratio(row, ours, theirs))) {
                let shown = found.map_or_else(|| "–".to_owned(), |found| format!("{found:.2}"));
                let _ = write!(md, " {shown} |");
            }
        }
        md.push('\n');
    }
    where_it_goes(&mut md, results, base.map(|base| (floe, base)));
    with_one_thread(&mut md, results, base);
    md.push_str("\n## What arrives, and how soon\n\n");
    heading(&mut md, results.unbound(), None);
    for row in &results.rows {
        let _ = write!(md, "| {} |", row.workload.name);
        for steps in &row.steps[..results.unbound().len()] {
            let rate = Spread::of(steps, |step| Some(step.delivered_per_second));
            let loss = Spread::of(steps, |step| Some(step.loss_percent));
            let transit = Spread::of(steps, |step| Some(step.transit?.p50));
            let shown = match (rate, loss, transit) {
                (Some(rate), Some(loss), Some(transit)) => format!(
                    "{}/s, {} lost, {}",
                    count(rate.median),
                    show_percent(loss.median),
                    micros(transit.median)
                ),
                _ => "–".to_owned(),
            };
            let _ = write!(md, " {shown} |");
        }
        md.push('\n');
    }
    md.push_str("\n(The time is the median from sending to arrival.)\n\n## Memory\n\n");
    heading(&mut md, results.unbound(), None);
    for row in &results.rows {
        memory(&mut md, &row.steps[..results.unbound().len()], row.workload.name);
    }
    if !results.curves.is_empty() {
        md.push_str(
            "\n## Over offered load\n\nUp, 20 clients, bursts of 16; the last point of each is offered without limit.\n\n\
             ![throughput](performance/throughput.svg)\n![latency](performance/latency.svg)\n\n",
        );
        curves(&mut md, results);
    }
    md
}

fn show_cpu(steps: &[Step]) -> String {
    Spread::of(steps, cpu)
        .map_or_else(|| "–".to_owned(), |s| format!("{:.2} µs ({:.2}–{:.2})", s.median, s.least, s.most))
}

/// A ratio and what it is meant to be.
fn beside_aim(row: &Row, ours: usize, theirs: usize) -> String {
    let Some(ratio) = ratio(row, ours, theirs) else { return "–".to_owned() };
    let aim = row.workload.aim.map_or_else(String::new, |aim| format!(" ({aim:.2})"));
    format!("**{ratio:.2}**{aim}")
}

/// What threads cost where packets come one by one.
fn with_one_thread(md: &mut String, results: &Results, base: Option<usize>) {
    let first = results.unbound().len();
    let singles = &results.rivals[first..];
    md.push_str(ONE_THREAD);
    let title = |rival: &Rival| format!("{} ÷ coturn (aim)", rival.title);
    let ratios: Vec<String> = singles.iter().filter(|_| base.is_some()).map(title).collect();
    heading(md, singles, ratios.iter().map(String::as_str));
    for row in results.rows.iter().filter(|row| row.steps[first..].iter().any(|steps| !steps.is_empty())) {
        let _ = write!(md, "| {} |", row.workload.name);
        for steps in &row.steps[first..] {
            let _ = write!(md, " {} |", show_cpu(steps));
        }
        if let Some(base) = base {
            for single in first..results.rivals.len() {
                let _ = write!(md, " {} |", beside_aim(row, single, base));
            }
        }
        md.push('\n');
    }
}

/// Above the table of those with one thread.
const ONE_THREAD: &str = "
## With one thread

Where packets come one by one, a server with fewer threads finds more of them at each waking. Here are floe with
`listen.shards = 1` and the forwarder with one thread, in the same run; the latter is about the least for any server that
sends each packet as it comes. One shard is not the default, as it leaves the other cores unused; where these are needed,
packets come in company and take less with any number of threads (\"without limit\" above).

";

/// Why what falls short does: what the kernel takes of a packet, and what a server does.
fn where_it_goes(md: &mut String, results: &Results, pair: Option<(usize, usize)>) {
    md.push_str("\n## Where the time goes\n\n");
    let short = |row: &&Row| {
        let (floe, base) = pair?;
        let (aim, found) = (row.workload.aim?, ratio(row, floe, base)?);
        // As it is printed.
        ((found * 100.0).round() > (aim * 100.0).round()).then_some(row.workload.name)
    };
    let short: Vec<&str> = results.rows.iter().filter_map(|row| short(&row)).collect();
    match short.is_empty() {
        true => md.push_str("Every load reaches its aim in this run.\n\n"),
        false => {
            let _ = writeln!(md, "Short of their aim in this run: {}.\n", short.join("; "));
        }
    }
    if results.profiles.is_empty() {
        md.push_str("(`perf` was not there, or not allowed to look into the kernel.)\n");
        return;
    }
    md.push_str(
        "The CPU time of the first table, µs, divided as `perf` sampled it in one more run of each load:\n\n\
         | load | server | sending | of it, delivery on loopback | of that, waking who waits | receiving \
         | waiting (epoll) | switching threads, most of it within waiting | rest of the kernel | own code |\n\
         |---|---|---|---|---|---|---|---|---|---|\n",
    );
    for (rival, profile) in &results.profiles {
        let steps = results.rows.iter().find(|row| row.workload.name == profile.load);
        let Some(whole) = steps.and_then(|row| Spread::of(&row.steps[*rival], cpu)) else { continue };
        let shares = [
            profile.sending,
            profile.delivery,
            profile.waking,
            profile.receiving,
            profile.waiting,
            profile.switching,
            profile.rest(),
            profile.own(),
        ];
        let times = shares.map(|share| format!(" {:.1} |", share / 100.0 * whole.median)).concat();
        let _ = writeln!(md, "| {} | {} |{times}", profile.load, results.rivals[*rival].title);
    }
    md.push_str(WHY);
}

/// What the shares mean, and what was tried against them.
const WHY: &str = "
A packet that shares its way with no other one takes a system call to be sent: the kernel cuts and joins (GSO, GRO) only
what one socket sends to one address, and each allocation has a socket of its own. So where packets come one by one, all
but floe's own code is the kernel's, for calls that every relay makes: wait, receive, send. The forwarder makes these and
no others with as many threads as floe, and its column says what floe's own work costs. Where the kernel's calls, and
waking a thread above all, are dear beside a program's own code, as in many virtual machines, all servers come close to
each other at such loads. A server with one thread, as that of the `turn` crate, is woken less often and so spends less
there, and loses packets where one thread is not enough. Bursts, where packets have company, are cheaper by far.

Weighed or tried for packets alone, and left:

- io_uring, with the sends of many sockets in one call: dearer than `sendmsg` for one socket, and cheaper only for more
  packets than a wake-up brings at these loads; and containers often forbid it.
- `recvmsg` in place of `recvmmsg` where one packet is expected: it saves the kernel's second look into the queue, but not
  knowing whether the socket is empty costs another `epoll_wait`.
- An epoll set of its own for each shard's sockets, in place of the runtime's: the forwarder has one.
- To rest a little after each batch, so that more packets share a wake-up: it saves little CPU beside the time it adds to
  arrival, as packets that share a wake-up still take a call each to be sent.
";

fn machine(md: &mut String, results: &Results) {
    let machine = floe::client::bench::report::Machine::here();
    let versions: Vec<&str> = results.unbound().iter().map(|rival| rival.title.as_str()).collect();
    let _ = writeln!(md, "- Servers: {}", versions.join(", "));
    let processor = machine.processor.as_deref().unwrap_or("unknown");
    let _ = writeln!(
        md,
        "- Machine: {} CPUs ({processor}), Linux {}",
        machine.cpus,
        machine.kernel.as_deref().unwrap_or("?")
    );
    let _ = writeln!(md, "- Rounds: {}", results.effort.rounds);
    if let [Some(before), Some(after)] = results.busy {
        let shared = match before > 0.5 {
            true => {
                "other work shared it: the spread shows how much, and rates near its limits are lower than its own"
            }
            false => "it had nothing else to do",
        };
        let _ = writeln!(md, "- Load average before the run {before:.1}, after it {after:.1}: {shared}.");
    }
    if results.rivals.iter().all(|rival| rival.name != "coturn") {
        md.push_str("- coturn was not there.\n");
    }
}

fn heading<'a>(md: &mut String, rivals: &'a [Rival], more: impl IntoIterator<Item = &'a str>) {
    md.push_str("| load |");
    let columns = rivals.iter().map(|rival| rival.title.as_str()).chain(more);
    let mut count = 0;
    for column in columns {
        let _ = write!(md, " {column} |");
        count += 1;
    }
    md.push_str("\n|---|");
    md.push_str(&"---|".repeat(count));
    md.push('\n');
}

/// Of the medians.
fn ratio(row: &Row, ours: usize, theirs: usize) -> Option<f64> {
    let of = |at: usize| Spread::of(&row.steps[at], cpu).map(|spread| spread.median);
    of(theirs).filter(|theirs| *theirs > 0.0).and_then(|theirs| Some(of(ours)? / theirs))
}

/// Of the load that has any.
fn memory(md: &mut String, rivals: &[Vec<Step>], load: &str) {
    let each = |step: &Step| step.server?.memory_per_allocation;
    if rivals.iter().flatten().all(|step| each(step).is_none()) {
        return;
    }
    let _ = write!(md, "| one allocation, {load} |");
    for steps in rivals {
        let shown = Spread::of(steps, each).map(|s| format!("{:.1} KB", s.median / 1e3));
        let _ = write!(md, " {} |", shown.as_deref().unwrap_or("–"));
    }
    md.push('\n');
}

fn curves(md: &mut String, results: &Results) {
    heading(md, results.unbound(), None);
    for at in 0..results.curves.iter().map(Vec::len).min().unwrap_or(0) {
        let offered = match results.curves[0][at].offered_per_second {
            Rate::PerSecond(rate) => format!("{}/s", count(rate)),
            Rate::Unlimited => "without limit".to_owned(),
        };
        let _ = write!(md, "| {offered} |");
        for curve in &results.curves {
            let step = &curve[at];
            let _ = write!(
                md,
                " {}/s sent, {}/s delivered |",
                count(step.sent_per_second),
                count(step.delivered_per_second)
            );
        }
        md.push('\n');
    }
}

fn cpu_plot(results: &Results) -> String {
    let unbound = results.unbound();
    let groups = results.rows.iter().filter(|row| !row.workload.name.starts_with("Allocate"));
    let groups = groups.map(|row| Group {
        name: row.workload.name,
        values: row.steps[..unbound.len()].iter().map(|steps| Some(Spread::of(steps, cpu)?.median)).collect(),
    });
    Bars {
        title: "Server CPU for each delivered packet: less is better",
        scale: Scale::Micros,
        names: unbound.iter().map(|rival| rival.title.as_str()).collect(),
        groups: groups.collect(),
    }
    .svg()
}

fn curve_plot(results: &Results, title: &str, scale: Scale, value: fn(&Step) -> Option<f64>) -> String {
    let lines = results.rivals.iter().zip(&results.curves).map(|(rival, curve)| Line {
        name: &rival.title,
        points: curve.iter().filter_map(|step| Some((step.sent_per_second, value(step)?))).collect(),
        dashed: false,
    });
    Lines { title, x: (Scale::Count, "sent a second"), y: scale, lines: lines.collect() }.svg()
}
