//! What the engine may take for one packet or request, and for one allocation: the
//! limits below. `cargo bench --bench limits` (`tests/run` does so with a lighter
//! build) fails when one is exceeded.
//!
//! Instructions are counted by valgrind's callgrind, in user space alone; they are the
//! same on a busy machine and on an idle one. This program runs itself under it, doing
//! nothing and doing something: the difference counts, so no symbol need be found.
//! `iai-callgrind` does much the same with more around it, but asks for a runner of the
//! very same version to be installed beside it. Bytes are counted by the allocator, of
//! a whole engine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

#[path = "../../tests/engine/client.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod client;
#[path = "../engine/stage.rs"]
mod stage;
#[path = "../../tests/engine/world.rs"]
#[allow(dead_code, reason = "the engine's tests use the rest")]
mod world;

use std::alloc::System;
use std::path::Path;
use std::process::{Command, ExitCode};

use floe::relay::Engine;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

use stage::{Stage, Work};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Instructions for each, counted with few allocations and with many. Set to what was
/// counted when the limit was last changed, rounded; [`TOLERANCE`] comes on top. As
/// `tests/run` builds it: with hash functions that are not optimised, which is most of
/// what Allocate takes there.
const INSTRUCTIONS: [(Work, u64); 5] = [
    (Work::ChannelDataUp, 525),
    (Work::ChannelDataDown, 590),
    (Work::Send, 1_255),
    (Work::Data, 930),
    (Work::Allocate, 727_000),
];

/// Compilers and C libraries differ: percent.
const TOLERANCE: u64 = 10;

/// Few and many, as many as are made under callgrind in reasonable time.
const ALLOCATIONS: [usize; 2] = [50, 1_000];

/// Bytes of the engine for an allocation, bare, and with a channel and another
/// permission, for which each has room, when there are [`HELD`].
const STATE: [usize; 2] = [850, 850];
const HELD: usize = 100_000;

/// How often each is done while it is counted.
const TIMES: usize = 2_000;

/// The first argument when this program is to be counted.
const COUNTED: &str = "counted";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, work, allocations, times] = &arguments[..]
        && first == COUNTED
    {
        let [work, allocations, times] =
            [work, allocations, times].map(|text| text.parse::<usize>().expect("a number"));
        Stage::new(allocations).run(Work::ALL[work], times);
        return ExitCode::SUCCESS;
    }
    let mut good = state();
    match Command::new("valgrind").arg("--version").output() {
        Ok(_) => good &= instructions(),
        Err(_) => {
            println!("SKIPPED instructions: no valgrind here (Debian: valgrind)");
            good &= std::env::var("FLOE_TEST_REQUIRE").as_deref() != Ok("all");
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn state() -> bool {
    let of = |make: fn(usize) -> Engine| {
        let region = Region::new(ALLOCATOR);
        let engine = make(HELD);
        let change = region.change();
        assert_eq!(engine.len(), HELD);
        change.bytes_allocated.saturating_sub(change.bytes_deallocated) / HELD
    };
    let found = [of(stage::bare), of(|count| Stage::new(count).into_engine())];
    let [bare, dressed] = found;
    println!(
        "{bare} B of state for each of {HELD} allocations ({} at most), {dressed} B with a channel and two \
         permissions ({} at most)",
        STATE[0], STATE[1]
    );
    found.iter().zip(&STATE).all(|(found, limit)| found <= limit)
}

fn instructions() -> bool {
    println!("{:<28}{:>12}{:>12}{:>12}", "instructions for each", "at most", ALLOCATIONS[0], ALLOCATIONS[1]);
    // Both at once: nothing here depends on how long it takes.
    let found = std::thread::scope(|scope| {
        let counts = ALLOCATIONS.map(|allocations| scope.spawn(move || counts(allocations)));
        counts.map(|thread| thread.join().expect("counted"))
    });
    let mut good = true;
    for (at, (work, limit)) in INSTRUCTIONS.into_iter().enumerate() {
        let (most, least) = (limit + limit * TOLERANCE / 100, limit - limit * TOLERANCE / 100);
        let [few, many] = [found[0][at], found[1][at]];
        let verdict = match few.max(many) {
            found if found > most => {
                good = false;
                "  TOO MANY"
            }
            found if found < least => "  (the limit could be lower)",
            _ => "",
        };
        println!("{:<28}{most:>12}{few:>12}{many:>12}{verdict}", work.name());
    }
    good
}

/// Instructions for each work, with so many allocations.
fn counts(allocations: usize) -> [u64; Work::ALL.len()] {
    let nothing = count(0, allocations, 0);
    std::array::from_fn(|work| {
        let something = count(work, allocations, TIMES);
        something.checked_sub(nothing).expect("more than nothing") / TIMES as u64
    })
}

/// Instructions of a whole run, by callgrind's count.
fn count(work: usize, allocations: usize, times: usize) -> u64 {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("callgrind.{work}.{allocations}.{times}"));
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", &format!("--callgrind-out-file={}", file.display())])
        .arg(std::env::current_exe().expect("this program"))
        .args([COUNTED, &work.to_string(), &allocations.to_string(), &times.to_string()])
        .output()
        .expect("valgrind runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let counts = std::fs::read_to_string(&file).expect("callgrind's counts");
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    let _ = std::fs::remove_file(&file);
    total.expect("a total")
}
