//! The machine that a server is to run on, and its configuration: what can be
//! seen without sending a packet. Nothing is changed. What stands in the kernel is
//! looked at by `kernel`, what in the configuration by `settings`, its files by
//! `files`.

mod files;
mod kernel;
mod settings;

use std::net::IpAddr;
use std::path::Path;
use std::time::Instant;

use super::Progress;
use super::report::{Finding, Report};
use crate::config::Loaded;
use crate::net::discover;
use crate::relay::Family;

/// What the machine is looked at for.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The server's configuration.
    pub loaded: &'a Loaded,
    /// The file that it is in, if it is in one.
    pub file: Option<&'a Path>,
    /// The running server, whose limits count rather than those of this process.
    pub pid: Option<u32>,
}

/// Looks at the machine, then at the configuration.
pub fn run(plan: &Plan<'_>, watch: &mut dyn FnMut(Progress<'_>)) -> Report {
    let start = Instant::now();
    let mut findings = Vec::new();
    let mut add = |at: &str, found: Vec<Finding>| {
        watch(Progress::At(at));
        for finding in found {
            let finding = Finding { at: at.to_owned(), ..finding };
            watch(Progress::Found(&finding));
            findings.push(finding);
        }
    };
    let relays = relays(plan.loaded);
    add("this machine", kernel::findings(plan, relays.len()));
    let configuration = plan.file.map_or_else(
        || "the configuration (defaults and environment)".to_owned(),
        |file| file.display().to_string(),
    );
    let mut found = settings::findings(plan.loaded, &relays);
    found.extend(files::findings(plan));
    add(&configuration, found);
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Report::new(findings, ms)
}

/// Relay addresses as the server would have them: local, advertised.
fn relays(loaded: &Loaded) -> Vec<(IpAddr, IpAddr)> {
    let found: Vec<IpAddr> = Family::BOTH.into_iter().filter_map(discover::source_toward_world).collect();
    loaded.config.relay.advertised(&found)
}
