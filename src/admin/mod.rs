//! HTTP for people and programs that look after the server: metrics, health,
//! status and history, live sessions, time-limited credentials, signaling rooms.
//! It moves no packet: it reads the shards' counters and the relay pool, and
//! asks for the rest by messages ([`Steering`]).
//! Everything it needs is handed in as [`State`]; it runs on a tokio runtime
//! that is no shard's, so that a scrape never delays a packet.
//!
//! | path | access |
//! |---|---|
//! | `GET /metrics`, `/livez`, `/healthz`, `/readyz` | open on the admin address |
//! | credentials (`credentials`) | API key or the run's token |
//! | `GET /signal/{room}` (WebSocket), `/signal/{room}/events`, `…/messages` (`events`) | API key, the run's token, or an invitation |
//! | `GET /`, `/page/{file}` (`page`) | open |
//! | `GET /api/page`, `POST /api/page/ice`, `POST /api/page/invitation` (`page`) | each its own |
//! | `/api/sessions`, `/api/users` (`sessions`) | administrator's key, as a header |
//! | `GET /api/status`, `POST /api/drain` (`status`) | likewise |
//! | `POST /api/reload`, `GET`, `PUT /api/log-level` (`reload`) | likewise |
//! | `GET /api/history` (`history`) | likewise |
//! | `GET /api/openapi.json` (`openapi`) | open: all of this, for programs |
//!
//! Where it says "administrator's", a key does that has neither an `id` nor a
//! `secret` of its own, or the run's token; other keys are for credentials and
//! rooms.
//!
//! Every error is `{"error": "…"}`. That a request comes from loopback proves
//! nothing (reverse proxies and DNS rebinding come from there), so nothing but a
//! short login for the Test page is let through for it (`page`).
//!
//! Connections may come by the port that is for everything over TLS too
//! ([`Admin::receive`]): metrics and health are not there, and nothing is open but
//! the page's files.
//!
//! [`runtime_file`] is how other commands find a running server. Called by
//! `cli`.

mod access;
mod credentials;
mod events;
mod health;
mod history;
mod invitation;
mod live;
mod metrics;
mod openapi;
mod page;
mod process;
mod query;
mod reload;
mod reply;
mod rooms;
pub mod runtime_file;
mod server;
mod sessions;
mod signal;
mod sources;
mod status;
mod steering;
mod totals;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};
use tokio::sync::{Semaphore, mpsc, watch};

pub use access::{ApiKey, random_token};
pub use credentials::{DEFAULT_TTL, MAX_TTL, MAX_USERNAME, Mint, Minted, NotRevoked, Revocations, Terms};
pub use health::Readiness;
pub use live::{Grants, Live, Reach, Reading, Reloads};
pub use page::{TEST_ALLOCATIONS, TEST_USER};
pub use signal::check_signal;
pub use steering::{Reloaded, Steering};

use crate::net::{Accept, Visitor, WebCounts};
use crate::relay::UnixTime;
use crate::relay::counters::Counters;
use crate::relay::ports::RelayPool;
use access::Key;
use events::Members;
use history::History;
use invitation::Invitations;
use metrics::Metrics;
use rooms::Rooms;
use server::{Limits, Visitors};
use sources::Sources;

/// What the admin server is given, as plain values.
pub struct State {
    /// REALM of its challenges.
    pub realm: String,
    /// One per shard, in order.
    pub counters: Vec<Arc<Counters>>,
    /// Relay addresses and their ports.
    pub pool: Arc<RelayPool>,
    /// Of TLS and balancers; `None` without them.
    pub admissions: Box<dyn Fn() -> Option<Admissions> + Send + Sync>,
    /// Log lines that the lossy writer could not keep, if there is one.
    pub lost_log_lines: Arc<AtomicU64>,
    /// Whether the public address is another one than was found at the start;
    /// `None` where nobody looks.
    pub public_address_changed: Option<Arc<AtomicBool>>,
    /// When the server was started.
    pub started: UnixTime,
    /// What `/readyz` answers.
    pub readiness: watch::Receiver<Readiness>,
    /// Who may ask for what, and where clients come in.
    pub live: Arc<Live>,
    /// How reloads have gone.
    pub reloads: Arc<Reloads>,
    /// Takes credentials back; `None`: nothing can be.
    pub revocations: Option<Arc<dyn Revocations>>,
    /// Sees and ends live allocations.
    pub steering: Arc<dyn Steering>,
    /// `admin.page`: the web page and its rooms are served.
    pub page: bool,
}

/// Connections under TLS and from balancers, and DTLS sessions, before a shard
/// has them, and what their clients are shown.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Admissions {
    /// Of TLS over TCP.
    pub tls: Handshakes,
    /// Of DTLS.
    pub dtls: Handshakes,
    /// DTLS handshakes that were not begun: too many sessions or handshakes.
    pub dtls_refused: u64,
    /// Connections closed at a limit or deadline, or for what they began with.
    pub refused: u64,
    /// Each certificate's file, and when it expires.
    pub certificates: Vec<(String, UnixTime)>,
    /// Of certificates from an ACME server; `None` when that is off.
    pub orders: Option<Orders>,
    /// Of the port that is for everything over TLS; `None` without it.
    pub web: Option<WebCounts>,
}

/// What came of orders for certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Orders {
    /// Certificates issued.
    pub issued: u64,
    /// Attempts without one.
    pub failed: u64,
}

/// What came of handshakes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Handshakes {
    /// Done.
    pub done: u64,
    /// Failed, or given up.
    pub failed: u64,
}

/// A bound admin address, not yet served.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    visitors: Option<mpsc::Receiver<Visitor>>,
}

impl Admin {
    /// Binds `listen`; port 0 is any free one. Needs no runtime.
    pub fn bind(listen: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address, visitors: None })
    }

    /// Binds `listen`, or another free port of that address when it is taken.
    /// For an address that nobody asked for.
    pub fn bind_or_free(listen: SocketAddr) -> io::Result<Self> {
        match Self::bind(listen) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Self::bind(SocketAddr::new(listen.ip(), 0))
            }
            outcome => outcome,
        }
    }

    /// Serves those too who come by another port.
    pub fn receive(&mut self, visitors: mpsc::Receiver<Visitor>) {
        self.visitors = Some(visitors);
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL for programs on this machine, e.g. `http://127.0.0.1:8080`; an
    /// unspecified address is named as loopback.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// Serves until `stop` is done, then lets requests under way finish (2 s at
    /// most) and closes the rooms. Errors are those of setting up; a failed
    /// connection is nobody else's error.
    pub async fn serve(self, state: State, stop: impl Future<Output = ()>) -> io::Result<()> {
        self.serve_within(Limits::default(), state, stop).await
    }

    async fn serve_within(
        self,
        limits: Limits,
        state: State,
        stop: impl Future<Output = ()>,
    ) -> io::Result<()> {
        let arrivals = Accept::from_std(self.listener, "administrators")?;
        let (stopping, stop_seen) = watch::channel(false);
        let shared = Arc::new(Shared::new(state, limits, stop_seen.clone())?);
        let sockets = shared.sockets.clone();
        let history = tokio::spawn(history::keep(shared.clone(), stop_seen.clone()));
        let (mut told, seen) = (stop_seen.clone(), stop_seen.clone());
        let visitors = self.visitors.map(|visitors| (Visitors(visitors), public(shared.clone())));
        let visits = async move {
            let Some((visitors, routes)) = visitors else { return };
            let stop = async move { drop(told.wait_for(|stop| *stop).await) };
            server::run(visitors, routes, limits, seen, stop).await;
        };
        let here = server::run(arrivals, open(shared), limits, stop_seen, async move {
            stop.await;
            stopping.send_replace(true);
        });
        tokio::join!(here, visits);
        // Rooms say goodbye on their own; each holds one of these.
        let all = sockets.acquire_many(limits.sockets);
        let _ = tokio::time::timeout(limits.grace, all).await;
        // It has seen the end, too.
        let _ = history.await;
        Ok(())
    }
}

/// What the handlers share.
struct Shared {
    sources: Arc<Sources>,
    metrics: Metrics,
    history: History,
    steering: Arc<dyn Steering>,
    live: Arc<Live>,
    revocations: Option<Arc<dyn Revocations>>,
    rooms: Arc<Rooms>,
    members: Members,
    invitations: Invitations,
    page: bool,
    /// One permit per peer in a room.
    sockets: Arc<Semaphore>,
    limits: Limits,
    stopping: watch::Receiver<bool>,
}

impl Shared {
    /// Whose invitation to `room` this is, and for how much longer it holds.
    fn invited(&self, shown: &str, room: &str, now: UnixTime) -> Option<(Arc<Key>, Duration)> {
        self.invitations.check(&self.live.access().keys(), shown, room, now)
    }

    fn new(state: State, limits: Limits, stopping: watch::Receiver<bool>) -> io::Result<Self> {
        let sources = Arc::new(Sources {
            realm: state.realm,
            counters: state.counters,
            pool: state.pool,
            admissions: state.admissions,
            lost_log_lines: state.lost_log_lines,
            public_address_changed: state.public_address_changed,
            started: state.started,
            readiness: state.readiness,
            reloads: state.reloads,
        });
        Ok(Self {
            metrics: Metrics::new(sources.clone()).map_err(io::Error::other)?,
            sources,
            history: History::default(),
            steering: state.steering,
            live: state.live,
            revocations: state.revocations,
            rooms: Arc::new(Rooms::new(limits.rooms)),
            members: Members::default(),
            invitations: Invitations::new(),
            page: state.page,
            sockets: Arc::new(Semaphore::new(limits.sockets as usize)),
            limits,
            stopping,
        })
    }
}

/// What is served at the admin address.
fn open(shared: Arc<Shared>) -> Router {
    let watched = Router::new()
        .route("/metrics", get(metrics::scrape))
        .route("/livez", get(health::live))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready));
    router(watched, shared)
}

/// What is served at a port that anybody may reach.
fn public(shared: Arc<Shared>) -> Router {
    router(Router::new(), shared)
}

fn router(more: Router<Arc<Shared>>, shared: Arc<Shared>) -> Router {
    let limits = shared.limits;
    let page = if shared.page { page::files().merge(rooms()) } else { Router::new() };
    more.merge(credentials::routes(&shared.live))
        .merge(page)
        .route("/api/openapi.json", get(openapi::document))
        .nest("/api", api(&shared))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(middleware::from_fn_with_state(limits.request, server::in_time))
        .layer(middleware::map_response(reply::harden))
        .with_state(shared)
}

fn rooms() -> Router<Arc<Shared>> {
    Router::new()
        .route("/signal/{room}", get(signal::join))
        .route("/signal/{room}/events", get(events::join))
        .route("/signal/{room}/messages", post(events::say))
}

/// What only those with an administrator's key may see and do, and what the page
/// asks for.
fn api(shared: &Arc<Shared>) -> Router<Arc<Shared>> {
    let page = if shared.page { page::api() } else { Router::new() };
    Router::new()
        .route("/status", get(status::status))
        .route("/drain", post(status::drain))
        .route("/reload", post(reload::reload))
        .route("/log-level", get(reload::log_level).put(reload::set_log_level))
        .route("/history", get(history::history))
        .route("/sessions", get(sessions::list))
        .route("/sessions/{id}", get(sessions::show).delete(sessions::kick))
        .route("/users", get(sessions::users))
        .route("/users/{user}/sessions", delete(sessions::kick_user))
        .fallback(reply::not_found)
        .method_not_allowed_fallback(reply::method_not_allowed)
        .layer(middleware::from_fn_with_state(shared.clone(), access::keyed))
        .merge(page)
}

#[cfg(test)]
#[path = "harness_test.rs"]
mod harness;

#[cfg(test)]
#[path = "mod_test.rs"]
mod tests;
