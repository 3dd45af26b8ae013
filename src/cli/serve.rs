//! `floe serve`: load, log, start, say how to use it, wait for a signal, drain.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::banner::{Banner, banner};
use super::sources::SourceArgs;
use super::{Failure, logging, say, service_manager};
use crate::config::{Loaded, load};
use crate::server::{self, Process, Running, StartError};

/// Threads for what is off the packet path: HTTP, signals, handshakes of TLS and
/// DTLS, balancers' headers, new certificates, the watchdog.
const SIDE_THREADS: usize = 2;

/// `floe serve …`
#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) sources: SourceArgs,
    /// Print credentials and this run's token though the output is no terminal.
    #[arg(long)]
    show_credentials: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let sources = args.sources.sources();
    let loaded = load(&sources)?;
    let (log, level) = logging::start(&loaded.config.log)?;
    for warning in &loaded.warnings {
        tracing::warn!(origin = %warning.origin, "{}", warning.message);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SIDE_THREADS)
        .thread_name("side")
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    let process = Process { lost_log_lines: log.lost(), log: Some(level), sources: Some(sources) };
    // A journal is read by more people than the runtime file, and for longer.
    let open = args.show_credentials || io::stdout().is_terminal();
    runtime.block_on(serve(loaded, process, open))
}

async fn serve(loaded: Loaded, process: Process, open: bool) -> Result<(), Failure> {
    // Before anything is open, so that no signal finds the default action.
    let mut signals =
        Signals::new().map_err(|error| Failure::Failed(format!("cannot wait for signals: {error}")))?;
    let mut running = server::start(&loaded, process).map_err(|error| match error {
        StartError::Configuration(text) => Failure::Wrong(text),
        StartError::System(text) => Failure::Failed(text),
    })?;
    say(&told(&running, &loaded, open));
    // With the passwords in it: the server works with keys (RFC 8656 §6).
    drop(loaded);
    for warning in running.warnings() {
        tracing::warn!("{warning}");
    }
    tracing::info!(listeners = ?running.listeners(), relays = ?running.relays(), admin = running.admin(), "serving");
    let _watchdog = service_manager::ready();

    let stop = loop {
        tokio::select! {
            wish = signals.next() => match wish {
                Wish::Stop(stop) => break stop,
                Wish::Reload => reload(&running).await,
                // The outcome is in the log.
                Wish::ReloadCertificates => drop(running.reload_certificates().await),
            },
            part = running.failure() => {
                running.stop().await;
                return Err(Failure::Failed(part));
            }
        }
    };
    let timeout = match stop {
        Stop::Interrupt if at_a_terminal() => Duration::ZERO,
        Stop::Interrupt | Stop::Terminate => running.drain_timeout(),
        // As coturn's users expect: however long it takes.
        Stop::WhenIdle => Duration::MAX,
    };
    let allocations = running.allocations();
    tracing::info!(signal = stop.name(), allocations, timeout = timeout.as_secs(), "draining");
    service_manager::stopping();
    running.drain().await;
    let ending = drained(running.idle(), signals.stop(), timeout).await;
    tracing::info!(because = ending.name(), "stopping");
    // Whoever asks yet again does not wait for the shards either.
    tokio::select! {
        () = running.stop() => {}
        _ = signals.stop() => {}
    }
    Ok(())
}

/// The service manager waits for the end of it, however it ends: the server goes on
/// either way, and the log says which.
async fn reload(running: &Running) {
    service_manager::reloading();
    let _ = running.reload().await;
    service_manager::reloaded();
}

fn told(running: &Running, loaded: &Loaded, open: bool) -> String {
    banner(&Banner {
        version: env!("CARGO_PKG_VERSION"),
        realm: &loaded.config.realm,
        listeners: running.listeners(),
        relays: running.relays(),
        found: running.found(),
        ports: loaded.config.relay.ports,
        urls: running.urls(),
        access: running.access(),
        admin: running.admin(),
        page: running.page(),
        open,
        warnings: running.warnings(),
    })
}

fn at_a_terminal() -> bool {
    io::stdin().is_terminal() || io::stderr().is_terminal()
}

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wish {
    Stop(Stop),
    Reload,
    ReloadCertificates,
}

/// A wish to stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stop {
    Interrupt,
    Terminate,
    WhenIdle,
}

impl Stop {
    fn name(self) -> &'static str {
        match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
            Self::WhenIdle => "SIGUSR1",
        }
    }
}

/// The signals of a server.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    user1: Signal,
    hangup: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            user1: signal(SignalKind::user_defined1())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    async fn next(&mut self) -> Wish {
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Stop(Stop::Interrupt),
            _ = self.terminate.recv() => Wish::Stop(Stop::Terminate),
            _ = self.user1.recv() => Wish::Stop(Stop::WhenIdle),
            _ = self.hangup.recv() => Wish::Reload,
            // As coturn's users expect.
            _ = self.user2.recv() => Wish::ReloadCertificates,
        }
    }

    /// Of a server that is stopping: it has nothing to reload any more.
    async fn stop(&mut self) -> Stop {
        loop {
            if let Wish::Stop(stop) = self.next().await {
                return stop;
            }
        }
    }
}

/// Why a drain is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    Idle,
    Signalled,
    TimedOut,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "the last allocation is gone",
            Self::Signalled => "a second signal",
            Self::TimedOut => "drain-timeout is over",
        }
    }
}

/// Waits until the last allocation is gone, a second signal comes, or
/// `timeout` is over.
async fn drained(
    idle: impl Future<Output = ()>,
    again: impl Future<Output = Stop>,
    timeout: Duration,
) -> Ending {
    tokio::select! {
        biased;
        () = idle => Ending::Idle,
        _ = again => Ending::Signalled,
        () = tokio::time::sleep(timeout) => Ending::TimedOut,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn wait(idle: impl Future<Output = ()>, again: impl Future<Output = Stop>, timeout: Duration) -> Ending {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(drained(idle, again, timeout))
    }

    #[test]
    fn a_drain_ends_with_the_last_allocation() {
        assert_eq!(wait(ready(()), pending(), LONG), Ending::Idle);
    }

    #[test]
    fn a_second_signal_ends_a_drain_at_once() {
        assert_eq!(wait(pending(), ready(Stop::Terminate), LONG), Ending::Signalled);
    }

    #[test]
    fn a_drain_ends_with_its_timeout() {
        assert_eq!(wait(pending(), pending(), Duration::ZERO), Ending::TimedOut);
    }
}
