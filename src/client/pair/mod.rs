//! `floe pair`: two real webrtc-rs peers that find each other through
//! signaling, connect through a TURN server, exchange messages and media, and
//! check what came.
//!
//! In a room the other peer may be anybody who speaks WebRTC, a browser on floe's
//! page first of all; it is then checked as far as one side can.
//!
//! Works against any TURN server; only the last step (the server's own count of
//! bytes) asks floe's admin address. Not a load generator and not a conformance
//! test. Called by `cli::pair`.
//!
//! webrtc-rs hides why it gathered no candidate, so [`run`] asks the server
//! first ([`crate::client::probe`]): one Allocate over the same transport,
//! deleted before the peers begin. It costs a few round trips, and a wrong
//! password shows at once instead of after a timeout. When a peer is refused
//! later all the same (a quota), it is asked again while the other peer's
//! allocation stands.

mod conversation;
mod data;
mod media;
mod metrics;
mod peer;
pub mod report;
pub mod signaling;
pub mod timeline;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use webrtc::ice_transport::ice_candidate_type::RTCIceCandidateType;

use self::conversation::{Outcome, converse};
use self::peer::Peer;
use self::report::{Failure, Findings, Report, Status, Step, checks};
use self::signaling::{Room, Signal, Signaling, in_process};
use self::timeline::{Event, Side, Timeline};
use crate::client::Credentials;
use crate::client::adapter::Adapter;
use crate::client::probe::probe;
use crate::client::transport::{Endpoint, Transport, resolve};
use crate::client::url::ServerUrl;

/// Longest wait for the server's first answers.
const PROBE_PATIENCE: Duration = Duration::from_secs(4);

/// Which candidates ICE may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Relayed ones only: the pair must go through the server.
    Relay,
    /// All: direct ones too, on loopback as well.
    All,
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::All => "all",
        })
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "relay" => Ok(Self::Relay),
            "all" => Ok(Self::All),
            _ => Err(format!("policy {text:?} does not exist; write relay or all")),
        }
    }
}

/// Which part a peer plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Makes the offer, opens the data channel, sends the media.
    Offer,
    /// Answers it.
    Answer,
}

impl From<Role> for Side {
    fn from(role: Role) -> Self {
        match role {
            Role::Offer => Self::Offer,
            Role::Answer => Self::Answer,
        }
    }
}

/// Where the peers meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Both are in this process.
    Here,
    /// One is here, the other enters the same room from elsewhere.
    Room {
        /// The room.
        room: Room,
        /// This peer's part; `None`: the one that is there first offers.
        role: Option<Role>,
    },
}

/// All that a run needs to know; nothing is read from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The TURN server; resolved by [`run`].
    pub server: ServerUrl,
    /// How to speak to it.
    pub transport: Transport,
    /// Certificate authorities of the server, PEM; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Both peers use the same ones.
    pub credentials: Credentials,
    /// Which candidates may be used.
    pub policy: Policy,
    /// Where the peers meet.
    pub meeting: Meeting,
    /// floe's admin address, `HOST:PORT` or `http://HOST:PORT`, whose `/metrics`
    /// must show the bytes; `None` leaves that step unchecked.
    pub admin: Option<String>,
    /// Bound on finding the other peer, and again on all that follows.
    pub timeout: Duration,
}

/// Runs the whole story; `watch` hears of each event as it happens.
///
/// Never fails as a function: what went wrong is in the report. Everything it
/// opened is closed, and every allocation deleted, when it returns.
pub async fn run(options: Options, watch: impl Fn(&Event) + Send + Sync + 'static) -> Report {
    let timeline = Timeline::start(watch);
    let mut run = Run { options, timeline, told: BTreeMap::new(), skipped: BTreeMap::new(), adapter: None };
    match run.prepare().await {
        Ok(ready) => {
            let outcomes = run.peers(&ready).await;
            let carried = match ready.adapter {
                Some(adapter) => Some(adapter.close().await),
                None => None,
            };
            if let (Some(text), Some(carried)) = (&mut run.adapter, carried) {
                text.push_str(&format!(" ({} bytes out, {} in)", carried.to_server, carried.from_server));
            }
            run.count_bytes(ready.bytes_before, &outcomes).await;
            run.report(Some(ready.endpoint), outcomes)
        }
        Err(failure) => {
            run.timeline.add(Side::Pair, "failed", format!("{}: {}", failure.step, failure.cause));
            run.told.insert(failure.step, Err(failure.cause));
            run.report(None, Vec::new())
        }
    }
}

/// Log directives for this command: what webrtc-rs logs is of use only to one
/// who asks for it.
pub fn log_directives(verbose: bool) -> &'static str {
    if verbose { "debug,webrtc_sctp=info,webrtc_dtls=info,webrtc_srtp=info" } else { "off,floe=warn" }
}

/// One run under way.
struct Run {
    options: Options,
    timeline: Timeline,
    /// Steps of the run as a whole.
    told: BTreeMap<Step, Result<String, String>>,
    skipped: BTreeMap<Step, String>,
    adapter: Option<String>,
}

/// What the peers begin with.
struct Ready {
    endpoint: Endpoint,
    /// What webrtc-rs takes for its server.
    turn_url: String,
    adapter: Option<Adapter>,
    bytes_before: Option<Result<u64, String>>,
}

/// The TURN server as a peer's side of the story needs it.
#[derive(Clone)]
struct Server {
    endpoint: Endpoint,
    turn_url: String,
    credentials: Credentials,
}

impl Run {
    /// Finds the server, asks it, and puts the adapter between where needed.
    async fn prepare(&mut self) -> Result<Ready, Failure> {
        let fail = |cause: String| Failure::new(Step::Server, cause);
        let Options { server, transport, ca, credentials, policy, meeting, admin, timeout } = &self.options;
        let endpoint = resolve(server, *transport, ca.as_deref()).await.map_err(fail)?;
        let say = |topic, text: String| self.timeline.add(Side::Pair, topic, text);
        say("server", format!("{server} is {endpoint}, policy {policy}"));

        let bytes_before = match admin {
            Some(admin) => Some(metrics::relayed_bytes(admin).await),
            None => None,
        };
        let patience = PROBE_PATIENCE.min(*timeout);
        let found =
            probe(endpoint.clone(), credentials, patience).await.map_err(|error| fail(error.to_string()))?;
        let software = found.software.as_deref().unwrap_or("a TURN server");
        let allocates = format!("{software}, realm {:?}, relays from {}", found.realm, found.relayed.ip());
        say("server", format!("asked once, before the peers: {allocates}; it sees {}", found.mapped));
        if let Err(refusal) = &found.own_relay_permitted {
            say("server", refusal.to_string());
            if *policy == Policy::Relay && *meeting == Meeting::Here {
                return Err(fail(format!(
                    "it allocates, but denies peers at its own relay address: {refusal}"
                )));
            }
        }

        let direct = endpoint.transport == Transport::Udp && endpoint.address.is_ipv4();
        let mut nearest = endpoint.address;
        let mut adapter = None;
        if !direct {
            let started = Adapter::start(endpoint.clone()).await;
            let started = started.map_err(|error| fail(format!("the local adapter: {error}")))?;
            let text = format!(
                "webrtc-rs speaks TURN over UDP/IPv4 only; a local adapter carries every byte to {endpoint}"
            );
            say("adapter", text.clone());
            nearest = started.local_addr();
            adapter = Some(started);
            self.adapter = Some(text);
        }
        self.told.insert(Step::Server, Ok(format!("{endpoint} answers and allocates: {allocates}")));
        Ok(Ready { endpoint, turn_url: format!("turn:{nearest}?transport=udp"), adapter, bytes_before })
    }

    /// Both sides when both are here, else this one.
    async fn peers(&self, ready: &Ready) -> Vec<Outcome> {
        match &self.options.meeting {
            Meeting::Here => {
                let (left, right) = in_process();
                let (offer, answer) =
                    tokio::join!(self.peer(Side::Offer, left, ready), self.peer(Side::Answer, right, ready));
                vec![offer, answer]
            }
            Meeting::Room { room, role } => {
                vec![self.visitor(room, *role, ready).await]
            }
        }
    }

    async fn visitor(&self, room: &Room, role: Option<Role>, ready: &Ready) -> Outcome {
        let patience = self.options.timeout;
        let say = |text: String| self.timeline.add(Side::Pair, "signaling", text);
        let entered = async {
            let mut signaling = Signaling::enter(room, patience).await?;
            say(format!("entered {}", room.url()));
            if let Some(role) = role {
                return Ok((signaling, role));
            }
            let first = tokio::time::timeout(patience, signaling.receive()).await;
            match first.map_err(|_| "the room does not say how many are in it".to_owned())?? {
                Signal::Peers(count) if count >= 2 => Ok((signaling, Role::Answer)),
                Signal::Peers(_) => Ok((signaling, Role::Offer)),
                Signal::Error(error) => Err(format!("the signaling server says: {error}")),
                _ => Err("the room's first message is not {\"peers\": n}".to_owned()),
            }
        };
        match entered.await {
            Ok((signaling, role)) => {
                if role == Role::Offer {
                    say("waiting for the other peer: another floe pair in this room, or a browser".to_owned());
                }
                self.peer(role.into(), signaling, ready).await
            }
            Err(cause) => {
                let side = role.map_or(Side::Pair, Side::from);
                Outcome::failed(side, Failure::new(Step::Signaling, cause))
            }
        }
    }

    async fn peer(&self, side: Side, signaling: Signaling, ready: &Ready) -> Outcome {
        let server = Server {
            endpoint: ready.endpoint.clone(),
            turn_url: ready.turn_url.clone(),
            credentials: self.options.credentials.clone(),
        };
        let Options { policy, timeout, .. } = self.options;
        match Peer::new(server.turn_url.clone(), server.credentials.clone(), policy).await {
            Ok(peer) => converse(side, policy, server, peer, signaling, self.timeline.clone(), timeout).await,
            Err(error) => {
                let cause = format!("webrtc-rs makes no peer connection: {error}");
                Outcome::failed(side, Failure::new(Step::Signaling, cause))
            }
        }
    }

    /// Whether the server counted at least what was sent.
    async fn count_bytes(&mut self, before: Option<Result<u64, String>>, outcomes: &[Outcome]) {
        let relayed =
            outcomes.iter().all(|o| o.pair.is_some_and(|(local, _)| local == RTCIceCandidateType::Relay));
        let skip = match (&self.options.admin, before) {
            _ if outcomes.iter().any(|outcome| outcome.failure.is_some()) => return,
            _ if !relayed => "the selected pair does not go through the relay".to_owned(),
            (None, _) | (_, None) => "no admin address known; give --admin".to_owned(),
            (_, Some(Err(why))) => why,
            (Some(admin), Some(Ok(before))) => match metrics::relayed_bytes(admin).await {
                Err(why) => why,
                Ok(after) => {
                    let sent: u64 = outcomes.iter().map(|outcome| outcome.sent).sum();
                    let grown = after.saturating_sub(before);
                    let text = format!("relayed {grown} bytes more; {sent} bytes of payload were sent");
                    self.told.insert(Step::ServerBytes, if grown >= sent { Ok(text) } else { Err(text) });
                    return;
                }
            },
        };
        self.skipped.insert(Step::ServerBytes, skip);
    }

    fn report(self, endpoint: Option<Endpoint>, outcomes: Vec<Outcome>) -> Report {
        let pair = outcomes.iter().find_map(|outcome| outcome.pair);
        let skips = outcomes.iter().flat_map(|outcome| outcome.skipped.clone());
        let skipped = self.skipped.clone().into_iter().chain(skips).collect();
        let sides: Vec<(Side, Findings, Option<Failure>)> =
            own_failures(outcomes).into_iter().map(|o| (o.side, o.findings, o.failure)).collect();
        let checks = checks(&self.told, &skipped, &sides);
        let ok = checks.iter().all(|check| matches!(check.status, Status::Ok | Status::NotChecked));
        let server = endpoint
            .as_ref()
            .map_or_else(|| self.options.server.to_string(), |endpoint| endpoint.to_string());

        let connected = match (pair, endpoint) {
            (Some((local, remote)), Some(Endpoint { transport, address, .. })) => {
                let relayed = [local, remote].contains(&RTCIceCandidateType::Relay);
                Some(if relayed {
                    format!("connected through relay ({local}/{remote}, {transport} to {address})")
                } else {
                    format!("connected directly ({local}/{remote}), not through {transport}:{address}")
                })
            }
            _ => None,
        };
        let broken = checks.iter().find(|check| check.status == Status::Failed);
        let broken = broken.or_else(|| checks.iter().find(|check| check.status == Status::NotReached));
        let verdict = match (connected, broken) {
            (Some(connected), None) => connected,
            (Some(connected), Some(check)) => {
                format!("{connected}, but FAILED at {}: {}", check.step, check.detail)
            }
            (None, Some(check)) => format!("FAILED at {}: {}", check.step, check.detail),
            (None, None) => "FAILED: no candidate pair was read back".to_owned(),
        };
        let ms = u64::try_from(self.timeline.elapsed().as_millis()).unwrap_or(u64::MAX);
        Report {
            ok,
            verdict,
            server,
            policy: self.options.policy.to_string(),
            adapter: self.adapter,
            ms,
            checks,
            timeline: self.timeline.events(),
        }
    }
}

/// Where one side failed, the other's complaint that it has gone says nothing
/// new.
fn own_failures(mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
    let is_own = |outcome: &Outcome| outcome.failure.as_ref().is_some_and(|failure| !failure.others_end);
    if outcomes.iter().any(is_own) {
        for outcome in &mut outcomes {
            outcome.failure.take_if(|failure| failure.others_end);
        }
    }
    outcomes
}

#[cfg(test)]
#[path = "pair_test.rs"]
mod tests;

#[cfg(test)]
#[path = "story_test.rs"]
mod story_tests;
