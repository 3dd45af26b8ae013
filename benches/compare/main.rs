//! floe, coturn and the `turn` crate under the same loads, one after the other,
//! several rounds, medians; the result is a page for `docs/`.
//!
//! `cargo bench --bench compare` measures and writes `docs/performance.md`;
//! `cargo bench --bench compare -- --help` names the options. Without cargo's own
//! `--bench` (`cargo test --bench compare`) it does everything once and gently,
//! and fails when a load gets nowhere: no number of such a run means anything, and
//! nothing is written but to cargo's own directory.
//!
//! What is measured, and how, is `floe bench`'s; see `floe::client::bench`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod forwarder;
mod page;
mod profile;
mod servers;
mod turn_crate;
mod workloads;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser;

use servers::Rival;
use workloads::{Effort, Results};

/// Compare floe with coturn and the turn crate
#[derive(Parser, Debug)]
#[command(name = "compare")]
struct Arguments {
    /// How often everything is measured
    #[arg(long, default_value = "3")]
    rounds: usize,
    /// How long each load is measured, seconds
    #[arg(long, default_value = "4")]
    seconds: f64,
    /// Only loads whose names contain this; nothing is written then
    #[arg(long)]
    only: Option<String>,
    /// Install Debian's coturn first when it is not there
    #[arg(long)]
    install: bool,
    /// coturn's program
    #[arg(long, default_value = "turnserver")]
    coturn: PathBuf,
    /// Where the page and its plots go
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/docs"))]
    output: PathBuf,
    /// Said by `cargo bench`: measure
    #[arg(long, hide = true)]
    bench: bool,
    /// Said by `cargo test`, with values of its own
    #[arg(hide = true)]
    filters: Vec<String>,
}

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(turn_crate::COMMAND) => return turn_crate::serve(),
        Some(forwarder::COMMAND) => return forwarder::serve(),
        _ => {}
    }
    let arguments = Arguments::parse();
    if !arguments.filters.is_empty() {
        // Someone asks cargo for a test by its name; none is here.
        return ExitCode::SUCCESS;
    }
    match compare(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("compare: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(arguments: &Arguments) -> Result<(), String> {
    let rivals = rivals(arguments)?;
    // Servers inherit it.
    let _ = floe::net::discover::raise_descriptor_limit();
    let effort = match arguments.bench {
        true => Effort::measure(arguments.rounds.max(1), arguments.seconds),
        false => Effort::TRY,
    };
    let results = Results::measure(&rivals, effort, arguments.only.as_deref())?;
    print!("{}", page::table(&results));
    if arguments.only.is_some() {
        return Ok(());
    }
    let output = if arguments.bench { &arguments.output } else { Path::new(env!("CARGO_TARGET_TMPDIR")) };
    let file = page::write(&results, output).map_err(|error| format!("cannot write the page: {error}"))?;
    println!("\nwritten: {}", file.display());
    Ok(())
}

/// Who takes part. coturn may be missing, and then the page says so.
fn rivals(arguments: &Arguments) -> Result<Vec<Rival>, String> {
    let find = || Rival::coturn(&arguments.coturn);
    if find().is_none() && arguments.install {
        let install = ["apt-get", "install", "-q", "-y", "--no-install-recommends", "coturn"];
        let done = Command::new(install[0]).args(&install[1..]).status();
        if !done.is_ok_and(|status| status.success()) {
            return Err("cannot install coturn: this needs root and Debian's apt-get".to_owned());
        }
    }
    let mut rivals = vec![Rival::floe()];
    match find() {
        Some(coturn) => rivals.push(coturn),
        None if std::env::var("FLOE_TEST_REQUIRE").as_deref() == Ok("all") => {
            return Err("coturn is required here (Debian: apt-get install coturn)".to_owned());
        }
        None => eprintln!("compare: no coturn here (--install gets Debian's): it is left out"),
    }
    rivals.extend([Rival::turn_crate(), Rival::forwarder()]);
    rivals.extend([Rival::floe().single(), Rival::forwarder().single()]);
    Ok(rivals)
}
