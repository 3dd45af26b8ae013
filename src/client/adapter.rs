//! Carries TURN over UDP/IPv4, the only kind webrtc-rs speaks, to a server
//! that is reached in another way.
//!
//! A UDP socket on 127.0.0.1 that the ICE agent takes for its TURN server; for
//! each local address that sends to it, one connection of its own to the real
//! server, so that the server sees one 5-tuple per agent, as it would without
//! the adapter. Messages pass unread and unchanged. Not a proxy for others: it
//! lives as long as one run of `pair`.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, JoinSet};

use crate::client::framing::MAX_MESSAGE;
use crate::client::transport::{self, Endpoint, SharedConn};

/// Local addresses served at once; packets of further ones are dropped.
const MAX_CLIENTS: usize = 64;
/// Messages waiting for a slow server per local address; more are dropped, as a
/// full UDP path would.
const MAX_QUEUED: usize = 512;
/// How long `close` lets the last messages (the Refresh that deletes an
/// allocation) reach the server.
const CLOSE_GRACE: Duration = Duration::from_millis(500);
/// A local socket silent for this long has nothing left to deliver.
const CLOSE_QUIET: Duration = Duration::from_millis(10);

/// A running adapter. Dropping it stops it too, without the grace of
/// [`Adapter::close`].
pub struct Adapter {
    address: SocketAddr,
    carried: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

/// What an adapter has carried so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Carried {
    /// Bytes of messages handed to the server's connections, without padding.
    pub to_server: u64,
    /// Bytes of messages that came from the server.
    pub from_server: u64,
    /// Messages lost because a connection failed or its queue was full.
    pub dropped: u64,
}

#[derive(Default)]
struct Counters {
    to_server: AtomicU64,
    from_server: AtomicU64,
    dropped: AtomicU64,
}

impl Adapter {
    /// Opens the local socket; the server is dialled when a first packet comes.
    ///
    /// # Errors
    /// When no socket can be bound on 127.0.0.1.
    pub async fn start(server: Endpoint) -> io::Result<Self> {
        let socket = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
        let address = socket.local_addr()?;
        let carried = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let shelf = Shelf { socket, server, carried: Arc::clone(&carried), queues: HashMap::new() };
        let task = tokio::spawn(shelf.serve(stopped));
        Ok(Self { address, carried, stop: Some(stop), task })
    }

    /// Where the ICE agent finds "its" TURN server.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Counted until now.
    pub fn carried(&self) -> Carried {
        Carried {
            to_server: self.carried.to_server.load(Ordering::Relaxed),
            from_server: self.carried.from_server.load(Ordering::Relaxed),
            dropped: self.carried.dropped.load(Ordering::Relaxed),
        }
    }

    /// Delivers what is still under way to the server, then closes every
    /// connection; at most half a second.
    pub async fn close(mut self) -> Carried {
        drop(self.stop.take());
        let _ = (&mut self.task).await;
        self.carried()
    }
}

impl Drop for Adapter {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The task behind the local socket: sorts what arrives by its sender.
struct Shelf {
    socket: Arc<UdpSocket>,
    server: Endpoint,
    carried: Arc<Counters>,
    queues: HashMap<SocketAddr, mpsc::Sender<Bytes>>,
}

impl Shelf {
    async fn serve(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut lines = JoinSet::new();
        let mut buffer = vec![0; MAX_MESSAGE];
        loop {
            tokio::select! {
                received = self.socket.recv_from(&mut buffer) => match received {
                    Ok((length, client)) => self.dispatch(&mut lines, client, &buffer[..length]),
                    // An ICMP error of an earlier send; the socket itself is well.
                    Err(_) => tokio::task::yield_now().await,
                },
                Some(ended) = lines.join_next() => {
                    if let Ok(client) = ended {
                        self.queues.remove(&client);
                    }
                }
                _ = &mut stopped => break,
            }
        }
        let _ = tokio::time::timeout(CLOSE_GRACE, async {
            // What the agents said last may be in the socket's buffer still.
            while let Ok(Ok((length, client))) =
                tokio::time::timeout(CLOSE_QUIET, self.socket.recv_from(&mut buffer)).await
            {
                self.dispatch(&mut lines, client, &buffer[..length]);
            }
            self.queues.clear();
            while lines.join_next().await.is_some() {}
        })
        .await;
    }

    fn dispatch(&mut self, lines: &mut JoinSet<SocketAddr>, client: SocketAddr, message: &[u8]) {
        if !self.queues.contains_key(&client) && self.queues.len() < MAX_CLIENTS {
            let (queue, queued) = mpsc::channel(MAX_QUEUED);
            let line = Line { socket: Arc::clone(&self.socket), client, carried: Arc::clone(&self.carried) };
            lines.spawn(line.carry(self.server.clone(), queued));
            self.queues.insert(client, queue);
        }
        let queue = self.queues.get(&client);
        if queue.is_none_or(|queue| queue.try_send(Bytes::copy_from_slice(message)).is_err()) {
            self.carried.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// One local address and its own connection to the server.
struct Line {
    socket: Arc<UdpSocket>,
    client: SocketAddr,
    carried: Arc<Counters>,
}

impl Line {
    /// Ends when the queue is closed and empty, or when the connection fails.
    async fn carry(self, server: Endpoint, mut queued: mpsc::Receiver<Bytes>) -> SocketAddr {
        match transport::connect(&server).await {
            Ok(conn) => {
                tokio::select! {
                    () = self.up(&conn, &mut queued) => {}
                    () = self.down(&conn) => {}
                }
                let _ = conn.close().await;
            }
            Err(error) => tracing::debug!(%server, %error, "the adapter cannot reach the server"),
        }
        self.carried.dropped.fetch_add(queued.len() as u64, Ordering::Relaxed);
        self.client
    }

    async fn up(&self, conn: &SharedConn, queued: &mut mpsc::Receiver<Bytes>) {
        while let Some(message) = queued.recv().await {
            if conn.send(&message).await.is_err() {
                self.carried.dropped.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.carried.to_server.fetch_add(message.len() as u64, Ordering::Relaxed);
        }
    }

    async fn down(&self, conn: &SharedConn) {
        let mut buffer = vec![0; MAX_MESSAGE];
        while let Ok(length) = conn.recv(&mut buffer).await {
            self.carried.from_server.fetch_add(length as u64, Ordering::Relaxed);
            if self.socket.send_to(&buffer[..length], self.client).await.is_err() {
                self.carried.dropped.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
#[path = "adapter_test.rs"]
mod tests;
