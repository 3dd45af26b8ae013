//! The doctor: is a STUN or TURN server reachable and right, seen from here? One
//! step after another as a client takes them, on every address and transport of
//! its URL, and of each a [`Finding`]: ok, warning or failed, why, what to do.
//!
//! - What is found: [`report`]. A URL's addresses: `address`.
//! - The steps before an allocation: `greeting` (connection, Binding, challenge),
//!   `certificate`, `login`, `clock`.
//! - The machine and the configuration themselves, without a packet: [`local`].
//! - Those with one: `allocation`, `echo`, `size`, `ports`, `filter`, `opinion`.
//!
//! It speaks through floe's own sans-IO client ([`super::turn`]), which hides no
//! error code; webrtc-rs's own client gives a second opinion. Of peers that
//! nobody should reach it asks for permission alone, and never sends there. It
//! deletes what it has allocated. Called by `cli`.

mod address;
mod allocation;
mod certificate;
mod clock;
mod echo;
mod filter;
mod greeting;
pub mod local;
mod login;
mod opinion;
mod ports;
pub mod report;
mod size;

use std::collections::HashSet;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::time::timeout;

use super::Credentials;
use super::transport::{self, Endpoint, Tls, Transport};
use super::turn::session::Session;
use super::turn::{Client, Scheme, Timing};
use super::url::ServerUrl;
use report::{Cause, Finding, Report, Step};

/// Makes the credentials that end at this time, seconds since 1970.
pub type Mint = Box<dyn Fn(u64) -> Credentials + Send + Sync>;

/// How a client logs in.
pub enum Login {
    /// It can't, and why: what needs an allocation is skipped.
    None(String),
    /// As this user.
    As(Credentials),
    /// With time-limited credentials, made here.
    Minted(Mint),
}

/// A server to be examined.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where.
    pub url: ServerUrl,
    /// It is one of STUN: nobody logs in.
    pub stun: bool,
    /// Whom its certificate must name; `None`: the host of the URL.
    pub name: Option<String>,
}

impl Server {
    fn certified_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.url.host)
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.url.to_string();
        f.write_str(&if self.stun { url.replacen("turn", "stun", 1) } else { url })
    }
}

/// What is to be examined, and how.
pub struct Options {
    /// One after the other.
    pub servers: Vec<Server>,
    /// For all of them.
    pub login: Login,
    /// Certificate authorities, PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// How long the server may take for an answer.
    pub patience: Duration,
}

/// What goes on.
#[derive(Debug)]
pub enum Progress<'a> {
    /// From here on findings are about this.
    At(&'a str),
    /// This is looked at now.
    Step(Step),
    /// This was found.
    Found(&'a Finding),
}

/// How long time-limited credentials hold: what most applications give.
const LASTS: u64 = 3600;

/// Examines everything; `watch` hears of each finding at once.
pub async fn run(options: &Options, watch: &mut (dyn FnMut(Progress<'_>) + Send)) -> Report {
    let start = Instant::now();
    let mut doctor =
        Doctor { options, watch, at: String::new(), findings: Vec::new(), relays_seen: HashSet::new() };
    for server in &options.servers {
        doctor.server(server).await;
    }
    let ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    Report::new(doctor.findings, ms)
}

/// An examination under way.
struct Doctor<'a> {
    options: &'a Options,
    watch: &'a mut (dyn FnMut(Progress<'_>) + Send),
    /// What findings are about now.
    at: String,
    findings: Vec<Finding>,
    /// Relay addresses whose ports and peers have been looked at.
    relays_seen: HashSet<IpAddr>,
}

/// One way to a server.
struct Target<'a> {
    server: &'a Server,
    endpoint: Endpoint,
    /// A way that the URL does not name, but clients would like.
    beside: bool,
}

impl Doctor<'_> {
    async fn server(&mut self, server: &Server) {
        let ServerUrl { host, port, transport } = &server.url;
        self.move_to(server.to_string());
        self.begin(Step::Addresses);
        let (addresses, finding) = address::resolve(host, *port).await;
        self.add(finding);
        // Without one, clients try UDP; where it is blocked, TCP helps.
        let ways = match transport {
            Some(transport) => vec![(*transport, false)],
            None => vec![(Transport::Udp, false), (Transport::Tcp, true)],
        };
        let reachable =
            addresses.iter().filter(|address| address::source_toward(**address).is_some()).count();
        for address in addresses {
            for &(transport, beside) in &ways {
                self.move_to(format!("{transport} {address}"));
                if address::source_toward(address).is_none() {
                    self.add(no_way(address.is_ipv6(), reachable > 0));
                    continue;
                }
                let tls = match tls(transport, server.certified_name(), self.options.ca.as_deref()) {
                    Ok(tls) => tls,
                    Err(why) => {
                        let advice = "install ca-certificates, or give --ca FILE";
                        self.add(Finding::failed(
                            Step::Certificate,
                            Cause::CertificateUntrusted,
                            why,
                            advice,
                        ));
                        continue;
                    }
                };
                let endpoint = Endpoint { transport, address, tls };
                self.target(&Target { server, endpoint, beside }).await;
            }
        }
    }

    /// As far as it goes: each step needs the one before.
    async fn target(&mut self, target: &Target<'_>) {
        if !self.connection(target).await || !self.binding(target).await || target.server.stun {
            return;
        }
        if !self.challenge(target).await {
            return;
        }
        let Some(credentials) = self.login(target).await else { return };
        self.relay(target, &credentials).await;
    }

    fn move_to(&mut self, at: String) {
        (self.watch)(Progress::At(&at));
        self.at = at;
    }

    fn begin(&mut self, step: Step) {
        (self.watch)(Progress::Step(step));
    }

    fn add(&mut self, finding: Finding) {
        let finding = Finding { at: self.at.clone(), ..finding };
        (self.watch)(Progress::Found(&finding));
        self.findings.push(finding);
    }

    /// A connection of its own, and a client on it.
    async fn open(&self, endpoint: &Endpoint, credentials: Option<&Credentials>) -> io::Result<Session> {
        let timing = if endpoint.transport.is_reliable() { Timing::STREAM } else { Timing::DATAGRAM };
        let timing = timing.within(self.options.patience);
        let conn = timeout(self.options.patience, transport::connect(endpoint)).await;
        let conn = conn.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(Session::new(conn, Client::new(timing, credentials.cloned(), Scheme::AsOffered)))
    }
}

fn tls(transport: Transport, host: &str, ca: Option<&Path>) -> Result<Option<Tls>, String> {
    match transport {
        Transport::Tls | Transport::Dtls => Tls::new(host, ca).map(Some),
        Transport::Udp | Transport::Tcp => Ok(None),
    }
}

/// That this machine lacks a family is no fault of the server.
fn no_way(v6: bool, another: bool) -> Finding {
    let family = if v6 { "IPv6" } else { "IPv4" };
    let why = format!("this machine has no way to an {family} address");
    match another {
        true => Finding::skipped(Step::Connection, why),
        false => Finding::failed(
            Step::Connection,
            Cause::Unreachable,
            why,
            format!("run this on a machine with {family}, or give the server an address of the other family"),
        ),
    }
}

/// Seconds since 1970 by this machine's clock.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Seconds as `2 h 05 min`, two units at most.
fn in_words(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{} days", seconds / 86_400),
    }
}
