//! A connection that is passed on to a web server: its bytes go both ways as they
//! are, so that the handshake and all that follows is between those two. What is
//! read from one side is written to the other before more is read: at most
//! [`BUFFER`] waits each way. `splice` does the same for the shards, with the
//! scratch space of one thread; here connections move between threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ppp::v2;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Counts, Pass};
use crate::net::limit::Permit;

/// For the web server to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);

/// For a side to take what was sent to it.
const STALLED: Duration = Duration::from_secs(60);

/// Without a byte in either direction; WebSockets ping more often.
const IDLE: Duration = Duration::from_secs(600);

/// The same when one side has said all it has.
const LINGER: Duration = Duration::from_secs(60);

/// Read at once, bytes.
const BUFFER: usize = 16 * 1024;

/// See the module's head.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(super) socket: TcpStream,
    pub(super) hello: Vec<u8>,
    pub(super) pass: Arc<Pass>,
    pub(super) client: SocketAddr,
    pub(super) server: SocketAddr,
    pub(super) _permit: Permit,
}

impl Tunnel {
    /// Passes the connection on, to its end.
    pub(crate) async fn run(mut self, counts: &Counts) {
        let mut server = match self.reach().await {
            Ok(server) => server,
            Err(error) => {
                counts.unanswered();
                let to = &self.pass.to;
                tracing::debug!(target: "floe::net", client = %self.client, %to, %error, "web server not reached");
                return;
            }
        };
        counts.passed();
        // How it ends is the affair of those two.
        let _ = both_ways(&mut self.socket, &mut server).await;
    }

    /// A connection with the web server, to which all has been said that was heard.
    async fn reach(&self) -> io::Result<TcpStream> {
        let connected = timeout(CONNECT, TcpStream::connect(self.pass.to.as_str())).await;
        let mut server = connected.map_err(|_| io::ErrorKind::TimedOut)??;
        server.set_nodelay(true)?;
        if self.pass.proxy_protocol {
            server.write_all(&header(self.client, self.server)?).await?;
        }
        timeout(STALLED, server.write_all(&self.hello)).await??;
        Ok(server)
    }
}

/// Of the PROXY protocol, version 2.
fn header(client: SocketAddr, server: SocketAddr) -> io::Result<Vec<u8>> {
    let command = v2::Version::Two | v2::Command::Proxy;
    v2::Builder::with_addresses(command, v2::Protocol::Stream, (client, server)).build()
}

async fn both_ways(client: &mut TcpStream, server: &mut TcpStream) -> io::Result<()> {
    let clock = Activity::new();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let up = one_way(from_client, to_server, &clock);
    let down = one_way(from_server, to_client, &clock);
    tokio::try_join!(up, down).map(|_| ())
}

/// When something last went through, for both directions.
struct Activity {
    began: Instant,
    /// Milliseconds after that.
    last: AtomicU64,
    /// Directions that have ended.
    ended: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), ended: AtomicU64::new(0) }
    }

    fn note(&self) {
        let now = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Relaxed);
    }

    /// How long the tunnel may still be silent.
    fn left(&self) -> Duration {
        let allowed = if self.ended.load(Relaxed) > 0 { LINGER } else { IDLE };
        let silent = self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Relaxed)));
        allowed.saturating_sub(silent)
    }
}

async fn one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        // LINGER at most, as the other direction may end meanwhile.
        let left = activity.left();
        let count = match timeout(left.min(LINGER), from.read(&mut buffer)).await {
            Ok(read) => read?,
            Err(_) if activity.left().is_zero() => return Err(io::ErrorKind::TimedOut.into()),
            Err(_) => continue,
        };
        activity.note();
        if count == 0 {
            activity.ended.fetch_add(1, Relaxed);
            return to.shutdown().await;
        }
        timeout(STALLED, to.write_all(&buffer[..count])).await??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::proxy::{Origin, decode};

    #[test]
    fn the_header_is_one_that_floe_would_believe() {
        for (client, server) in
            [("192.0.2.1:1000", "198.51.100.1:443"), ("[2001:db8::1]:1000", "[2001:db8::2]:443")]
        {
            let (client, server) = (client.parse().unwrap(), server.parse().unwrap());
            let header = header(client, server).unwrap();
            assert_eq!(decode(&header).unwrap(), Origin::Client { client, server });
        }
    }
}
