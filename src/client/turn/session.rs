//! A [`Client`] on a connection, whatever that runs over: one request at a time,
//! and what peers send meanwhile is kept. For callers who want an answer and not
//! a load; `bench` drives its clients itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::time::timeout_at;

use super::{Client, Event, Failure, Request, RequestId, Response};
use crate::client::framing::MAX_MESSAGE;
use crate::client::transport::{SharedConn, io_error};
use crate::wire::ChannelNumber;

/// Payloads kept for [`Session::receive`]; further ones are dropped.
const MAX_KEPT: usize = 1_024;

/// One client and its connection.
pub struct Session {
    conn: SharedConn,
    client: Client,
    buffer: Vec<u8>,
    kept: VecDeque<Received>,
}

/// What a peer has sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// How it came.
    pub by: By,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// How the server says who the peer is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    /// In a Data indication, by the peer's address.
    Data(SocketAddr),
    /// In a ChannelData message, by the channel.
    Channel(ChannelNumber),
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection failed.
    #[error("{0}")]
    Connection(#[from] io::Error),
    /// The request did.
    #[error(transparent)]
    Request(#[from] Failure),
}

impl Session {
    /// A client on this connection, from
    /// [`transport::connect`](crate::client::transport::connect).
    pub fn new(conn: SharedConn, client: Client) -> Self {
        Self { conn, client, buffer: vec![0; MAX_MESSAGE], kept: VecDeque::new() }
    }

    /// Asks, and waits for what comes of it.
    ///
    /// # Errors
    /// [`SessionError`].
    pub async fn ask(&mut self, request: Request) -> Result<Response, SessionError> {
        let asked = self.client.ask(Instant::now(), request);
        loop {
            while let Some(message) = self.client.transmit() {
                self.send(&message).await?;
            }
            let due = self.client.next_timeout().unwrap_or_else(Instant::now);
            if let Some((id, outcome)) = self.step(due).await?
                && id == asked
            {
                return Ok(outcome?);
            }
        }
    }

    /// Sends a Send indication or a ChannelData message.
    ///
    /// # Errors
    /// The connection's.
    pub async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.conn.send(message).await.map(drop).map_err(io_error)
    }

    /// What a peer has sent, waited for until then.
    ///
    /// # Errors
    /// The connection's; of kind `TimedOut` when nothing comes.
    pub async fn receive(&mut self, until: Instant) -> io::Result<Received> {
        loop {
            if let Some(received) = self.kept.pop_front() {
                return Ok(received);
            }
            if Instant::now() >= until {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.step(until).await?;
        }
    }

    /// Its client.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Its connection.
    pub const fn conn(&self) -> &SharedConn {
        &self.conn
    }

    /// Closes the connection; an allocation lives on unless it was deleted.
    pub async fn close(self) {
        let _ = self.conn.close().await;
    }

    /// Takes one message, or what is due at that time.
    async fn step(&mut self, due: Instant) -> io::Result<Option<(RequestId, Result<Response, Failure>)>> {
        let Ok(received) = timeout_at(due.into(), self.conn.recv(&mut self.buffer)).await else {
            return Ok(self.client.expire(Instant::now()).map(|(id, failure)| (id, Err(failure))));
        };
        let length = received.map_err(io_error)?;
        let (by, payload) = match self.client.receive(Instant::now(), &self.buffer[..length]) {
            Event::Answer(id, outcome) => return Ok(Some((id, outcome))),
            Event::Data { peer, payload } => (By::Data(peer), payload),
            Event::ChannelData { channel, payload } => (By::Channel(channel), payload),
            Event::Indication(_) | Event::Nothing => return Ok(None),
        };
        if self.kept.len() < MAX_KEPT {
            self.kept.push_back(Received { by, payload: payload.to_vec() });
        }
        Ok(None)
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("client", &self.client).finish_non_exhaustive()
    }
}
