//! DTLS over UDP to a server (RFC 7350), as a [`Conn`] that carries whole
//! messages; and `Session`, the same without a socket, for who moves datagrams
//! in batches.
//!
//! The protocol is OpenSSL's, as on the server's side. webrtc's `dtls` is here
//! too, for the media of a pair, but it wants a task and a socket of its own for
//! each session, which a load of thousands can't have, and asks again after one
//! fixed second however long a server takes.

#[cfg_attr(not(feature = "dtls"), path = "absent.rs")]
mod session;

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout};
use webrtc_util::Conn;

pub(super) use session::{Context, Session};

type Result<T> = std::result::Result<T, webrtc_util::Error>;

/// Largest message: what a record holds (RFC 6347 §4.1).
pub(super) const MAX_MESSAGE: usize = 16 * 1024;

/// Largest datagram that UDP can bring.
const MAX_DATAGRAM: usize = 65_536;

/// From the first hello to the end of the handshake.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often a handshake looks whether it has to repeat itself.
const TICK: Duration = Duration::from_millis(100);

/// The server is not who it has to be.
#[derive(Debug, thiserror::Error)]
#[error("invalid peer certificate: {0}")]
pub(super) struct Distrusted(String);

/// A session over a socket of its own.
pub(super) struct DtlsConn {
    socket: UdpSocket,
    /// Never held across an await.
    session: Mutex<Session>,
    reader: tokio::sync::Mutex<Reader>,
}

/// What a datagram and a message are received into.
struct Reader {
    datagram: Box<[u8]>,
    message: Box<[u8]>,
}

impl DtlsConn {
    /// Shakes hands over a connected socket.
    pub(super) async fn connect(socket: UdpSocket, context: &Context) -> io::Result<Self> {
        let reader = Reader { datagram: vec![0; MAX_DATAGRAM].into(), message: vec![0; MAX_MESSAGE].into() };
        let session = Mutex::new(Session::new(context)?);
        let mut conn = Self { socket, session, reader: tokio::sync::Mutex::new(reader) };
        let began = Instant::now();
        loop {
            let outcome = conn.session().advance();
            // The alert that tells the server why, among others.
            conn.send_leaving().await?;
            outcome?;
            if conn.session().is_open() {
                return Ok(conn);
            }
            if began.elapsed() >= PATIENCE {
                return Err(io::Error::new(ErrorKind::TimedOut, "no end of the DTLS handshake"));
            }
            let datagram = &mut conn.reader.get_mut().datagram;
            if let Ok(received) = timeout(TICK, conn.socket.recv(datagram)).await {
                let length = received?;
                lock(&conn.session).put(&datagram[..length]);
            }
        }
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        lock(&self.session)
    }

    /// Sends what the session has to say.
    async fn send_leaving(&self) -> io::Result<()> {
        let datagrams: Vec<Vec<u8>> = {
            let mut session = self.session();
            let datagrams = session.leaving().map(<[u8]>::to_vec).collect();
            session.sent();
            datagrams
        };
        for datagram in datagrams {
            self.socket.send(&datagram).await?;
        }
        Ok(())
    }
}

/// No panic leaves a session half done.
fn lock(session: &Mutex<Session>) -> MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Conn for DtlsConn {
    /// The socket is connected already; another address is an error.
    async fn connect(&self, addr: SocketAddr) -> Result<()> {
        if Some(addr) == self.remote_addr() { Ok(()) } else { Err(webrtc_util::Error::ErrNoRemAddr) }
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize> {
        let Reader { datagram, message } = &mut *self.reader.lock().await;
        loop {
            let read = self.session().read(message);
            self.send_leaving().await?;
            if let Some(length) = read? {
                let target = buf.get_mut(..length).ok_or(webrtc_util::Error::ErrBufferShort)?;
                target.copy_from_slice(&message[..length]);
                return Ok(length);
            }
            let length = self.socket.recv(datagram).await?;
            self.session().put(&datagram[..length]);
        }
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr)> {
        let length = self.recv(buf).await?;
        Ok((length, self.socket.peer_addr()?))
    }

    /// `buf` is one whole message.
    async fn send(&self, buf: &[u8]) -> Result<usize> {
        self.session().write(buf)?;
        self.send_leaving().await?;
        Ok(buf.len())
    }

    /// The session has one far end; `target` must be it.
    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize> {
        if Some(target) != self.remote_addr() {
            return Err(webrtc_util::Error::ErrNoRemAddr);
        }
        self.send(buf).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()
    }

    async fn close(&self) -> Result<()> {
        self.session().close();
        Ok(self.send_leaving().await?)
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}
