//! `floe bench`: the flags, who logs in how, and how the answer is shown.

mod progress;

use std::fs::File;
use std::io::Write as _;
use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use super::login::{Given, LoginArgs, WayArgs, mint};
use super::surroundings::{GIVE, Surroundings};
use super::{Failure, logging, say};
use crate::client::Credentials;
use crate::client::bench::units::{self, Rate};
use crate::client::bench::{self, Bounds, Direction, End, Job, MAX_PAYLOAD, MIN_PAYLOAD, Options, Traffic};
use crate::client::transport::{Endpoint, Transport, resolve};
use crate::client::url::ServerUrl;
use crate::net::discover;
use progress::Bar;

/// Allocations of one user; a server may allow no more (floe's default is 64).
const PER_USER: usize = 32;
/// Users that a running server is asked to make; it is asked once for each.
const MAX_ASKED: usize = 64;
/// Whom credentials are made for, each with a number behind it.
const USER: &str = "floe-bench";
/// Users that are made of a secret here.
const MAX_MADE: usize = 4_096;

/// Measure how much a TURN or STUN server carries
///
/// Clients log in, send by the clock, and what arrives at the far end is counted and compared. Without a mode it is
/// `relay`. Exit status: 0 it was carried, 1 it was not, 2 wrong usage.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    mode: Option<Mode>,
    #[command(flatten)]
    relay: RelayArgs,
}

#[derive(clap::Subcommand, Debug)]
enum Mode {
    /// Packets through allocations, at a rate or at several (what floe bench does without a mode)
    Relay(RelayArgs),
    /// The highest rate that is carried within a bound of loss
    Search(SearchArgs),
    /// Packets for long: refreshes must work, and memory is watched
    Soak(SoakArgs),
    /// Binding requests (STUN)
    Binding(BindingArgs),
    /// New allocations: a challenge and an Allocate each
    Allocate(AllocateArgs),
}

/// With what TURN puts before it, a payload is in one record of 16 KiB.
const LARGEST_OVER_DTLS: usize = 16_000;

#[derive(clap::Args, Debug)]
struct RelayArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Packets a second of all clients, in each direction: 500, 40k, max; several are tried in turn
    #[arg(long, value_name = "RATE", default_value = "10k", value_delimiter = ',')]
    rate: Vec<Rate>,
    #[command(flatten)]
    time: TimeArgs,
}

#[derive(clap::Args, Debug)]
struct SearchArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// The rate to begin with, in each direction
    #[arg(long, value_name = "RATE", default_value = "5k", value_parser = finite)]
    from: f64,
    /// The highest rate to try, in each direction
    #[arg(long, value_name = "RATE", default_value = "10M", value_parser = finite)]
    to: f64,
    /// How long each rate is measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = some_time)]
    duration: Duration,
    /// How long each rate is offered before that
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = units::duration)]
    warmup: Duration,
    /// Loss that is allowed
    #[arg(long, value_name = "PERCENT", default_value = "0.5", value_parser = units::percent)]
    max_loss: f64,
}

#[derive(clap::Args, Debug)]
struct SoakArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    login: LoginArgs,
    #[command(flatten)]
    traffic: TrafficArgs,
    /// Packets a second of all clients, in each direction
    #[arg(long, value_name = "RATE", default_value = "1k")]
    rate: Rate,
    /// How long: 10m, 8h
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = some_time)]
    duration: Duration,
    /// Loss that is allowed
    #[arg(long, value_name = "PERCENT", default_value = "0.1", value_parser = units::percent)]
    max_loss: f64,
}

#[derive(clap::Args, Debug)]
struct BindingArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Clients, each on a socket of its own
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    clients: u32,
    /// Requests that a client sends back to back
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    burst: u32,
    /// Requests a second of all clients: 500, 40k, max; several are tried in turn
    #[arg(long, value_name = "RATE", default_value = "100", value_delimiter = ',')]
    rate: Vec<Rate>,
    #[command(flatten)]
    time: TimeArgs,
}

#[derive(clap::Args, Debug)]
struct AllocateArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(flatten)]
    login: LoginArgs,
    /// Allocations a second: 50, 2k, max; several are tried in turn
    #[arg(long, value_name = "RATE", default_value = "50", value_delimiter = ',')]
    rate: Vec<Rate>,
    /// How long each is held; default: to the end
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    hold: Option<Duration>,
    /// How long
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = some_time)]
    duration: Duration,
    /// Part that may fail; default: none
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    max_loss: Option<f64>,
}

#[derive(clap::Args, Debug)]
struct ServerArgs {
    /// turn:HOST:PORT[?transport=tcp] or turns:HOST:PORT[?transport=udp]; for binding stun: and stuns: too; default: the running
    /// local server
    #[arg(value_name = "URL", value_parser = server_url)]
    url: Option<(ServerUrl, bool)>,
    #[command(flatten)]
    way: WayArgs,
    /// The server's process, when it runs here: its CPU and memory are measured too; default: that of the running
    /// local floe
    #[arg(long, value_name = "PID")]
    server_pid: Option<u32>,
    /// Threads of the generator; default: as many as CPUs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    threads: Option<u32>,
    /// How long the server may take to answer a request of a client that logs in
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    timeout: Duration,
    /// One JSON document instead of text
    #[arg(long)]
    json: bool,
    /// A page with plots, one HTML file, beside that
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(clap::Args, Debug)]
struct TrafficArgs {
    /// Clients, each with an allocation
    #[arg(long, value_name = "N", default_value = "20", value_parser = clap::value_parser!(u32).range(1..=30_000))]
    clients: u32,
    /// Peers of each client
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    peers: u32,
    /// Bytes of each packet's payload
    #[arg(long, value_name = "BYTES", default_value = "172",
          value_parser = clap::value_parser!(u32).range(MIN_PAYLOAD as i64..=MAX_PAYLOAD as i64))]
    payload: u32,
    /// Packets that are sent back to back
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    burst: u32,
    /// Hand bursts to the kernel as one and take what arrives as one (UDP GSO and GRO), as a network interface that can
    /// does; otherwise each packet arrives by itself
    #[arg(long)]
    join: bool,
    /// From the clients up, to them down, or both
    #[arg(long, default_value = "both",
          value_parser = PossibleValuesParser::new(["up", "down", "both"]).map(|name| direction(&name)))]
    direction: Direction,
    /// Send and Data indications rather than channels
    #[arg(long)]
    indications: bool,
    /// Where flows end: at a socket of this process, or behind a second relay of the server, for which no port here
    /// need be open; default: peer where the server is on this machine and lets it, else relay
    #[arg(long, value_parser = PossibleValuesParser::new(["peer", "relay"]).map(|name| end(&name)))]
    far_end: Option<End>,
    /// Address of this machine where peers listen; default: the one from which the server is reached
    #[arg(long, value_name = "IP")]
    peer_address: Option<IpAddr>,
}

#[derive(clap::Args, Debug)]
struct TimeArgs {
    /// How long is measured
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = some_time)]
    duration: Duration,
    /// How long is offered before that
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::duration)]
    warmup: Duration,
    /// More loss than this is a failure; default: only that nothing arrives is
    #[arg(long, value_name = "PERCENT", value_parser = units::percent)]
    max_loss: Option<f64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    logging::plain("off,floe=warn")?;
    let (server, login, job) = match &args.mode {
        None => args.relay.job(),
        Some(Mode::Relay(args)) => args.job(),
        Some(Mode::Search(args)) => args.job()?,
        Some(Mode::Soak(args)) => args.job(),
        Some(Mode::Binding(args)) => args.job(),
        Some(Mode::Allocate(args)) => args.job(),
    };
    // Where it can't be raised, running out says so.
    let _ = discover::raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start threads: {error}")))?;
    let options = runtime.block_on(server.options(login, job))?;
    // Before the run, which may be a long one.
    let page = server.report.as_ref().map(Page::create).transpose()?;
    let stop = Arc::new(AtomicBool::new(false));
    runtime.spawn(stop_on_interrupt(Arc::clone(&stop)));
    let mut bar = Bar::new();
    let report = bench::run(&options, &stop, &mut |progress| bar.show(progress));
    bar.clear();
    let report = report.map_err(|error| Failure::Failed(error.to_string()))?;
    if let Some(page) = page {
        page.write(&report.page())?;
    }
    if server.json {
        let text = serde_json::to_string_pretty(&report)
            .map_err(|error| Failure::Failed(format!("cannot write the report: {error}")))?;
        say(&format!("{text}\n"));
    } else {
        say(&report.render());
    }
    // The report has said what failed.
    if report.ok { Ok(()) } else { Err(Failure::Failed(String::new())) }
}

/// The file of `--report`.
struct Page<'a> {
    file: File,
    path: &'a PathBuf,
}

impl<'a> Page<'a> {
    fn create(path: &'a PathBuf) -> Result<Self, Failure> {
        let file = File::create(path);
        let unwritable = |error| Failure::Wrong(format!("cannot write {}: {error}", path.display()));
        Ok(Self { file: file.map_err(unwritable)?, path })
    }

    fn write(mut self, page: &str) -> Result<(), Failure> {
        let written = self.file.write_all(page.as_bytes());
        written.map_err(|error| Failure::Failed(format!("cannot write {}: {error}", self.path.display())))
    }
}

/// The first Ctrl-C ends the run with what there is, a second one at once.
async fn stop_on_interrupt(stop: Arc<AtomicBool>) {
    if tokio::signal::ctrl_c().await.is_ok() {
        stop.store(true, Ordering::Relaxed);
        if tokio::signal::ctrl_c().await.is_ok() {
            std::process::exit(1);
        }
    }
}

/// Who logs in: nobody, for STUN.
type Asked<'a> = (&'a ServerArgs, Option<&'a LoginArgs>, Job);

impl RelayArgs {
    fn job(&self) -> Asked<'_> {
        (
            &self.server,
            Some(&self.login),
            Job::Relay(self.traffic.traffic(), self.rate.clone(), self.time.bounds()),
        )
    }
}

impl SearchArgs {
    fn job(&self) -> Result<Asked<'_>, Failure> {
        if self.from > self.to {
            return Err(Failure::Wrong("--from must not be above --to".to_owned()));
        }
        let Self { duration, warmup, max_loss, .. } = *self;
        let bounds = Bounds { warmup, duration, max_loss: Some(max_loss) };
        let job = Job::Search(self.traffic.traffic(), RangeInclusive::new(self.from, self.to), bounds);
        Ok((&self.server, Some(&self.login), job))
    }
}

impl SoakArgs {
    fn job(&self) -> Asked<'_> {
        let bounds =
            Bounds { warmup: Duration::ZERO, duration: self.duration, max_loss: Some(self.max_loss) };
        (&self.server, Some(&self.login), Job::Soak(self.traffic.traffic(), self.rate, bounds))
    }
}

impl BindingArgs {
    fn job(&self) -> Asked<'_> {
        let (clients, burst) = (self.clients as usize, self.burst as usize);
        let (rates, bounds) = (self.rate.clone(), self.time.bounds());
        (&self.server, None, Job::Binding { clients, burst, rates, bounds })
    }
}

impl AllocateArgs {
    fn job(&self) -> Asked<'_> {
        let bounds = Bounds { warmup: Duration::ZERO, duration: self.duration, max_loss: self.max_loss };
        (&self.server, Some(&self.login), Job::Allocate { rates: self.rate.clone(), hold: self.hold, bounds })
    }
}

impl TimeArgs {
    fn bounds(&self) -> Bounds {
        Bounds { warmup: self.warmup, duration: self.duration, max_loss: self.max_loss }
    }
}

impl TrafficArgs {
    fn traffic(&self) -> Traffic {
        Traffic {
            clients: self.clients as usize,
            peers: self.peers as usize,
            payload: self.payload as usize,
            burst: self.burst as usize,
            join: self.join,
            direction: self.direction,
            by_channel: !self.indications,
            far_end: self.far_end,
            peer_address: self.peer_address,
        }
    }
}

impl ServerArgs {
    /// The flags, completed by what runs here. What belongs to a local server
    /// (credentials, process) is used for no other.
    async fn options(&self, login: Option<&LoginArgs>, job: Job) -> Result<Options, Failure> {
        let (surroundings, _) = Surroundings::find(true).await?;
        if let Job::Relay(traffic, ..) | Job::Soak(traffic, ..) | Job::Search(traffic, ..) = &job
            && traffic.far_end == Some(End::Relay)
            && traffic.peer_address.is_some()
        {
            return Err(Failure::Wrong("--peer-address has no meaning with --far-end relay".to_owned()));
        }
        let wrong = |text: &str| Failure::Wrong(text.to_owned());
        let wanted = self.way.wanted(self.url.as_ref().map(|(url, _)| url))?;
        let url = match &self.url {
            Some((_, true)) if login.is_some() => {
                return Err(wrong("a STUN URL has no relay; write turn:HOST:PORT, or measure `binding`"));
            }
            Some((url, _)) => url.clone(),
            None => {
                let speaks = |url: &&ServerUrl| {
                    wanted.is_none_or(|wanted| url.transport.unwrap_or(Transport::Udp) == wanted)
                };
                let found = surroundings.servers.iter().find(speaks);
                found.cloned().ok_or_else(|| {
                    wrong("no running server of this user is found that listens so: give turn:HOST:PORT")
                })?
            }
        };
        let transport = wanted.or(url.transport).unwrap_or(Transport::Udp);
        if let Job::Relay(traffic, ..) | Job::Soak(traffic, ..) | Job::Search(traffic, ..) = &job
            && transport == Transport::Dtls
            && traffic.payload > LARGEST_OVER_DTLS
        {
            return Err(Failure::Wrong(format!(
                "a message over DTLS has to fit a record: --payload {LARGEST_OVER_DTLS} at most"
            )));
        }
        let server = resolve(&url, transport, self.way.ca.as_deref()).await.map_err(Failure::Wrong)?;
        let is_local = is_listener(&surroundings, &server);
        let credentials = match login {
            Some(login) => credentials(login, users(&job), is_local.then_some(&surroundings)).await?,
            None => Vec::new(),
        };
        Ok(Options {
            server,
            credentials,
            server_pid: self.server_pid.or(surroundings.pid.filter(|_| is_local)),
            threads: self.threads.map(|threads| threads as usize),
            patience: self.timeout,
            job,
        })
    }
}

/// So many users, or the one that is named.
async fn credentials(
    login: &LoginArgs,
    users: usize,
    local: Option<&Surroundings>,
) -> Result<Vec<Credentials>, Failure> {
    match login.given()? {
        Given::Credentials(credentials) => return Ok(vec![credentials]),
        Given::Secret(secret, user) => {
            let user = user.unwrap_or(USER);
            return (0..users.clamp(1, MAX_MADE)).map(|at| mint(secret, &format!("{user}-{at}"))).collect();
        }
        Given::Nothing => {}
    }
    let local = local.ok_or_else(|| Failure::Wrong(format!("no credentials: {GIVE}")))?;
    let mut minted = Vec::new();
    for at in 0..users.clamp(1, MAX_ASKED) {
        match local.mint(&format!("{USER}-{at}")).await {
            Ok(credentials) => minted.push(credentials),
            Err(none) if minted.is_empty() => return Err(none.into()),
            Err(_) => break,
        }
    }
    Ok(minted)
}

/// Whether that is where the running server listens.
fn is_listener(surroundings: &Surroundings, server: &Endpoint) -> bool {
    let ip = server.address.ip();
    surroundings.servers.iter().any(|url| {
        let transport = url.transport.unwrap_or(Transport::Udp);
        url.port == server.address.port() && transport == server.transport && url.host.parse() == Ok(ip)
    })
}

/// Users among whom the allocations of this job are few each.
fn users(job: &Job) -> usize {
    let allocations = match job {
        Job::Relay(traffic, ..) | Job::Soak(traffic, ..) | Job::Search(traffic, ..) => {
            // Behind a second relay, each peer is a client too.
            traffic.clients * (1 + traffic.peers)
        }
        Job::Binding { .. } => 0,
        Job::Allocate { rates, hold, bounds } => {
            let held = hold.map_or(bounds.duration, |hold| hold.min(bounds.duration)).as_secs_f64() + 1.0;
            let most = |most: f64, rate: &Rate| match rate {
                Rate::PerSecond(rate) => most.max(rate * held),
                Rate::Unlimited => f64::MAX,
            };
            rates.iter().fold(0.0, most) as usize
        }
    };
    allocations.div_ceil(PER_USER)
}

/// A server, and whether it was written as one of STUN.
fn server_url(text: &str) -> Result<(ServerUrl, bool), String> {
    let stun = text.strip_prefix("stun").map(|rest| format!("turn{rest}"));
    let url = stun.as_deref().unwrap_or(text).parse();
    url.map(|url| (url, stun.is_some())).map_err(|error: String| match text.contains(':') {
        true => error,
        false => format!("neither a mode (relay, search, soak, binding, allocate) nor a URL; {error}"),
    })
}

fn finite(text: &str) -> Result<f64, String> {
    match text.parse()? {
        Rate::PerSecond(rate) => Ok(rate),
        Rate::Unlimited => Err("write a number here".to_owned()),
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match units::duration(text)? {
        Duration::ZERO => Err("no time at all is too short".to_owned()),
        time => Ok(time),
    }
}

fn direction(name: &str) -> Direction {
    match name {
        "up" => Direction::Up,
        "down" => Direction::Down,
        _ => Direction::Both,
    }
}

fn end(name: &str) -> End {
    if name == "peer" { End::Peer } else { End::Relay }
}
