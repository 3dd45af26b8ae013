//! Connections: how many, how long, how large. axum routes the requests; the
//! loop around it is ours, on hyper, because `axum::serve` has no deadline for
//! a client that sends its headers byte by byte and no bound on connections
//! (axum-server has the deadline, but brings its own handles and TLS).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::server::TlsStream;

use super::reply;
use crate::net::{Accept, Recorded, Visitor};
use crate::policy::Network;

/// Request line and headers, bytes.
const MAX_HEAD: usize = 16 * 1024;

/// For sent bytes to be acknowledged by the other machine.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Bounds of the admin server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// HTTP connections at once; for one more, the oldest of whoever has most is
    /// closed, so that nobody can keep others out by holding all.
    pub(super) connections: usize,
    /// For the headers of a request, the wait for it included.
    pub(super) head: Duration,
    /// For the rest of a request, until its answer is there.
    pub(super) request: Duration,
    /// For a connection and all its requests; then it is closed after the
    /// request under way.
    pub(super) connection: Duration,
    /// For what is under way when the server stops.
    pub(super) grace: Duration,
    /// Request body, bytes.
    pub(super) body: usize,
    /// Peers in rooms at once.
    pub(super) sockets: u32,
    /// Signaling rooms at once.
    pub(super) rooms: usize,
    /// Between two pings to a peer in a room.
    pub(super) ping: Duration,
    /// For one message to be taken by a peer in a room.
    pub(super) write: Duration,
    /// For a peer in a room that neither says nor is told anything.
    pub(super) idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 512,
            head: Duration::from_secs(10),
            request: Duration::from_secs(10),
            connection: Duration::from_secs(120),
            grace: Duration::from_secs(2),
            body: 8 * 1024,
            sockets: 2 * 1024 + 64,
            rooms: 1024,
            ping: Duration::from_secs(20),
            write: Duration::from_secs(10),
            idle: Duration::from_secs(3600),
        }
    }
}

/// Where a request came from, for handlers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Source(pub(super) IpAddr);

/// Set by a handler whose answer goes on for long: as long as it is, its connection
/// is not among those that are closed for their age or to make room. The handler
/// sees to an end and a bound of its own.
#[derive(Clone, Default, Debug)]
pub(super) struct Stays(Arc<AtomicBool>);

impl Stays {
    pub(super) fn set(&self, stays: bool) {
        self.0.store(stays, Relaxed);
    }

    fn is_set(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Where connections come from.
pub(super) trait Arrivals: 'static {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// The next one, and who makes it.
    fn next(&mut self) -> impl Future<Output = (Self::Stream, IpAddr)> + Send;

    /// What is done to each request.
    fn mark(_: &mut hyper::Request<Incoming>) {}
}

impl Arrivals for Accept {
    type Stream = TcpStream;

    async fn next(&mut self) -> (TcpStream, IpAddr) {
        let (stream, peer) = self.accept().await;
        notice_absence(&stream);
        (stream, peer.ip())
    }
}

/// Those who come by the port that is for everything over TLS.
pub(super) struct Visitors(pub(super) mpsc::Receiver<Visitor>);

impl Arrivals for Visitors {
    type Stream = TlsStream<Recorded>;

    async fn next(&mut self) -> (Self::Stream, IpAddr) {
        match self.0.recv().await {
            Some(Visitor { stream, client }) => {
                notice_absence(stream.get_ref().0.socket());
                (stream, client.ip())
            }
            // The server is ending.
            None => std::future::pending().await,
        }
    }

    /// As any proxy in front of this room does: what is for those at this machine
    /// alone, as minting without a key is, is not for who comes by the public port.
    fn mark(request: &mut hyper::Request<Incoming>) {
        request.headers_mut().insert("x-forwarded-proto", HeaderValue::from_static("https"));
    }
}

/// Without it, a peer whose machine is gone stays in its room for a quarter of
/// an hour. Where it can't be set, it does.
fn notice_absence(stream: &TcpStream) {
    let _ = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

/// A connection being served.
struct Open {
    source: IpAddr,
    stays: Stays,
    task: AbortHandle,
}

/// Serves until `stop` is done; `stopping` turns true with it.
pub(super) async fn run<A: Arrivals>(
    mut arrivals: A,
    router: Router,
    limits: Limits,
    stopping: watch::Receiver<bool>,
    stop: impl Future<Output = ()>,
) {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    let mut stop = pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {
                open.retain(|one| !one.task.is_finished());
            }
            (stream, source) = arrivals.next() => {
                if open.iter().filter(|one| !one.stays.is_set()).count() >= limits.connections {
                    make_room(&mut open);
                }
                let stays = Stays::default();
                let one = connection::<A>(stream, source, stays.clone(), router.clone(), limits, stopping.clone());
                open.push_back(Open { source, stays, task: connections.spawn(one) });
            }
        }
    }
    drop(arrivals);
    let finish = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(limits.grace, finish).await;
}

/// Closes the oldest connection of the source that has most of them.
fn make_room(open: &mut VecDeque<Open>) {
    let mut counts: HashMap<Network, usize> = HashMap::new();
    let passing = |one: &&Open| !one.stays.is_set();
    open.iter().filter(passing).for_each(|one| *counts.entry(Network::of(one.source)).or_default() += 1);
    let heaviest = counts.into_iter().max_by_key(|(_, count)| *count).map(|(source, _)| source);
    if let Some(at) = open.iter().position(|one| passing(&one) && Some(Network::of(one.source)) == heaviest)
        && let Some(one) = open.remove(at)
    {
        one.task.abort();
    }
}

async fn connection<A: Arrivals>(
    stream: A::Stream,
    source: IpAddr,
    stays: Stays,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let router = TowerToHyperService::new(router);
    let long = stays.clone();
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        A::mark(&mut request);
        request.extensions_mut().insert(Source(source));
        request.extensions_mut().insert(stays.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let mut connection = pin!(connection);
    // A connection that fails is the client's affair; there is nothing to do.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = old(&long, limits.connection) => {}
        _ = stopping.wait_for(|stopping| *stopping) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = tokio::time::timeout(limits.request, connection).await;
}

/// Waits until a connection has had its time.
async fn old(stays: &Stays, limit: Duration) {
    loop {
        tokio::time::sleep(limit).await;
        if !stays.is_set() {
            return;
        }
    }
}

/// Ends a request whose body or answer takes too long.
pub(super) async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => reply::error(StatusCode::REQUEST_TIMEOUT, "the request took too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(sources: &[&str]) -> VecDeque<Open> {
        let one = |source: &&str| Open {
            source: source.parse().unwrap(),
            stays: Stays::default(),
            task: tokio::spawn(std::future::pending::<()>()).abort_handle(),
        };
        sources.iter().map(one).collect()
    }

    #[tokio::test]
    async fn who_has_a_whole_network_of_addresses_makes_room_for_others() {
        let mut open = open(&["192.0.2.1", "2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
        make_room(&mut open);
        let left: Vec<_> = open.iter().map(|one| one.source.to_string()).collect();
        assert_eq!(left, ["192.0.2.1", "192.0.2.1", "2001:db8::2", "2001:db8::3"]);
    }
}
