//! The way in for connections that have something to say before their first
//! frame: a balancer's PROXY header, a TLS handshake, or, where TCP and TLS
//! share a port, a first byte that tells them apart. All that is done on the
//! runtime that the server was started from, so that no handshake delays a
//! packet; then the connection goes to a shard, to each in turn.
//!
//! Where a port is for everything over TLS, some connections are no shard's: they
//! go to the admin room, or on to a web server (`web`).
//!
//! Listeners for bare TCP alone do not come by here: `tcp` accepts on the shard.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::rustls::ServerConnection;
use tokio_rustls::rustls::server::Acceptor;
use tokio_rustls::server::TlsStream;

use super::accept::Accept;
use super::bind::Door;
use super::limit::{ConnectionLimit, Permit};
use super::proxy::{self, Origin};
use super::tls::{self, Tls, Wanted};
use super::web::{self, Pass, Recorded, Routes, Tunnel, Visitor};

/// From accept to the end of the handshake, PROXY header and all.
const PATIENCE: Duration = Duration::from_secs(10);

/// Connections on their way in at once: some 20 KiB each.
const ON_THE_WAY: usize = 4096;

/// Of those, from one address or IPv6 /64; nobody alone keeps the others out.
const ON_THE_WAY_PER_SOURCE: u32 = 256;

/// Connections that wait for one shard to take them.
pub(super) const WAITING: usize = 64;

/// A TLS record with a handshake begins with it (RFC 8446 §5.1), and neither
/// STUN nor ChannelData does.
const HANDSHAKE: u8 = 0x16;

/// A connection that is ready for its first frame.
#[derive(Debug)]
pub(super) struct Entered {
    pub socket: std::net::TcpStream,
    /// Under TLS.
    pub session: Option<ServerConnection>,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub permit: Permit,
}

/// What came of those that wanted in; written and read from any thread.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub handshakes: AtomicU64,
    pub handshakes_failed: AtomicU64,
    /// At a limit or deadline, or for what they began with.
    pub refused: AtomicU64,
}

impl Tally {
    pub(super) fn handshake_done(&self) {
        self.handshakes.fetch_add(1, Relaxed);
    }

    pub(super) fn handshake_failed(&self) {
        self.handshakes_failed.fetch_add(1, Relaxed);
    }

    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
}

/// All doors of a server, and what they share.
pub(super) struct Entrance {
    tls: Tls,
    /// `listen.proxy-protocol-from`: their header is believed, and required.
    balancers: Vec<IpNet>,
    /// Open connections of one client, over all shards.
    limit: Arc<ConnectionLimit>,
    /// `[https]`
    routes: Arc<Routes>,
    on_the_way: Arc<Semaphore>,
    on_the_way_per_source: Arc<ConnectionLimit>,
    tally: Arc<Tally>,
    shards: Vec<mpsc::Sender<Entered>>,
    /// Whose turn it is.
    turn: AtomicUsize,
}

/// What may come in at a door.
#[derive(Clone, Copy, Debug)]
struct Takes {
    plain: bool,
    tls: bool,
    web: bool,
}

/// A connection whose purpose is known.
#[derive(Debug)]
enum Prepared {
    Turn(Entered),
    Http(Visitor),
    Pass(Tunnel),
}

/// What a hello has led to.
#[derive(Debug)]
enum Shaken {
    Turn(TcpStream, ServerConnection),
    Http(TlsStream<Recorded>),
    /// With the hello, not answered.
    Pass((TcpStream, Vec<u8>), Arc<Pass>),
}

/// Why a connection did not come in.
#[derive(Debug)]
enum Refusal {
    /// It is gone, or nobody is left to take it.
    Gone,
    /// At a limit, or for what it began with.
    Refused,
    /// Its handshake failed.
    Handshake(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::InvalidData { Self::Refused } else { Self::Gone }
    }
}

impl Entrance {
    pub(super) fn new(
        tls: Tls,
        routes: Arc<Routes>,
        balancers: Vec<IpNet>,
        limit: Arc<ConnectionLimit>,
        tally: Arc<Tally>,
        shards: Vec<mpsc::Sender<Entered>>,
    ) -> Arc<Self> {
        Arc::new(Self {
            tls,
            routes,
            balancers,
            limit,
            on_the_way: Arc::new(Semaphore::new(ON_THE_WAY)),
            on_the_way_per_source: Arc::new(ConnectionLimit::new(ON_THE_WAY_PER_SOURCE, u32::MAX)),
            tally,
            shards,
            turn: AtomicUsize::new(0),
        })
    }

    /// Serves the doors that come, for as long as it is polled.
    pub(super) async fn serve(self: Arc<Self>, mut doors: mpsc::UnboundedReceiver<Door>) {
        let mut served = JoinSet::new();
        while let Some(door) = doors.recv().await {
            served.spawn(Arc::clone(&self).accept(door));
        }
        // No more will come.
        served.join_all().await;
    }

    /// Accepts at one door, for as long as it is polled.
    async fn accept(self: Arc<Self>, door: Door) {
        let Door { listener, plain, tls, web } = door;
        let mut arrivals = match Accept::from_std(listener, "clients") {
            Ok(arrivals) => arrivals,
            Err(error) => {
                tracing::error!(target: "floe::net", %error, "a listener can't be served");
                return;
            }
        };
        loop {
            let (stream, from) = arrivals.accept().await;
            let Ok(place) = Arc::clone(&self.on_the_way).try_acquire_owned() else {
                self.tally.refused();
                continue;
            };
            let entrance = Arc::clone(&self);
            tokio::spawn(async move {
                let tunnel = entrance.admit(stream, from, Takes { plain, tls, web }).await;
                drop(place);
                if let Some(tunnel) = tunnel {
                    tunnel.run(&entrance.routes.counts).await;
                }
            });
        }
    }

    /// Sees a connection in; what comes back has to be run, and may take long.
    async fn admit(&self, stream: TcpStream, from: SocketAddr, takes: Takes) -> Option<Tunnel> {
        let entered = timeout(PATIENCE, async {
            match self.prepare(stream, from, takes).await? {
                Prepared::Turn(entered) => {
                    let turn = self.turn.fetch_add(1, Relaxed);
                    let shard = self.shards.get(turn % self.shards.len().max(1)).ok_or(Refusal::Gone)?;
                    shard.send(entered).await.map_err(|_| Refusal::Gone)?;
                }
                Prepared::Http(visitor) => {
                    let room = self.routes.visitors.as_ref().ok_or(Refusal::Gone)?;
                    room.send(visitor).await.map_err(|_| Refusal::Gone)?;
                    self.routes.counts.visitor();
                }
                Prepared::Pass(tunnel) => return Ok(Some(tunnel)),
            }
            Ok(None)
        });
        match entered.await {
            Ok(Ok(tunnel)) => return tunnel,
            Ok(Err(Refusal::Gone)) => {}
            Ok(Err(Refusal::Handshake(error))) => {
                tracing::debug!(target: "floe::net", %from, %error, "TLS handshake failed");
                self.tally.handshake_failed();
            }
            Ok(Err(Refusal::Refused)) | Err(_) => self.tally.refused(),
        }
        None
    }

    /// Everything before the first frame.
    async fn prepare(
        &self,
        mut stream: TcpStream,
        from: SocketAddr,
        takes: Takes,
    ) -> Result<Prepared, Refusal> {
        let (mut client, mut server) = (from, stream.local_addr()?);
        stream.set_nodelay(true)?;
        if self.balancers.iter().any(|balancer| balancer.contains(&from.ip()))
            && let Origin::Client { client: told, server: asked } = proxy::read(&mut stream).await?
        {
            (client, server) = (told, asked);
        }
        let permit = self.limit.enter(client.ip()).ok_or(Refusal::Refused)?;
        let _place = self.on_the_way_per_source.enter(client.ip()).ok_or(Refusal::Refused)?;
        let session = match takes.tls {
            true => match (first_byte(&stream).await?, takes.plain) {
                (HANDSHAKE, _) => match self.shake(stream, takes.web).await? {
                    Shaken::Turn(socket, session) => {
                        stream = socket;
                        Some(session)
                    }
                    Shaken::Http(mut stream) => {
                        stream.get_mut().0.hold(permit);
                        return Ok(Prepared::Http(Visitor { stream, client }));
                    }
                    Shaken::Pass(heard, pass) => {
                        return Ok(Prepared::Pass(web::tunnel(heard, pass, (client, server), permit)));
                    }
                },
                (_, true) => None,
                // Not even an alert: it would be noise to whoever this is.
                (_, false) => return Err(Refusal::Refused),
            },
            false => None,
        };
        Ok(Prepared::Turn(Entered { socket: stream.into_std()?, session, client, server, permit }))
    }

    /// A handshake, done with what its hello asks for.
    async fn shake(&self, stream: TcpStream, web: bool) -> Result<Shaken, Refusal> {
        let begun = LazyConfigAcceptor::new(Acceptor::default(), Recorded::new(stream)).await;
        let mut begun = begun.map_err(Refusal::Handshake)?;
        let wanted = self.tls.wanted(&begun.client_hello(), web.then_some(&*self.routes));
        if !matches!(wanted, Wanted::Pass(_)) {
            begun.io.forget();
        }
        match wanted {
            Wanted::Pass(pass) => Ok(Shaken::Pass(begun.io.into_parts(), pass)),
            Wanted::Turn(config) => {
                let shaken = begun.into_stream(config).await.map_err(Refusal::Handshake)?;
                self.tally.handshake_done();
                Ok(Shaken::turn(shaken))
            }
            Wanted::Either(config) => {
                let mut shaken = begun.into_stream(config).await.map_err(Refusal::Handshake)?;
                self.tally.handshake_done();
                match tls::is_http(&mut shaken).await? {
                    true => Ok(Shaken::Http(shaken)),
                    false => Ok(Shaken::turn(shaken)),
                }
            }
            Wanted::Challenge(config) => {
                let mut shaken = begun.into_stream(config).await.map_err(Refusal::Handshake)?;
                // The handshake was all (RFC 8737 §3). One that is gone misses the end.
                let _ = shaken.shutdown().await;
                Err(Refusal::Gone)
            }
        }
    }
}

impl Shaken {
    fn turn(stream: TlsStream<Recorded>) -> Self {
        let (socket, session) = stream.into_inner();
        Self::Turn(socket.into_parts().0, session)
    }
}

/// The first byte of a stream, which stays there to be read.
async fn first_byte(stream: &TcpStream) -> Result<u8, Refusal> {
    let mut first = [0; 1];
    match stream.peek(&mut first).await? {
        0 => Err(Refusal::Gone),
        _ => Ok(first[0]),
    }
}
