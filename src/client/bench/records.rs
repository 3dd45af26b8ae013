//! A DTLS session that never waits, over a UDP socket that moves a batch in one
//! system call.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use arrayvec::ArrayVec;

use super::link::{Buffers, Parts, receive, send_to, take_errors};
use crate::client::dtls::Session;
use crate::net::udp::{BATCH, Datagram, Outbox, Socket};

/// One session, or the handshake that comes before it.
#[derive(Debug)]
pub(super) struct Records {
    socket: Socket,
    server: SocketAddr,
    session: Session,
    /// A message that is made of parts, put together.
    plain: Vec<u8>,
    began: Instant,
    patience: Duration,
}

impl Records {
    /// The handshake may take so long, from now on.
    pub(super) fn new(socket: Socket, server: SocketAddr, session: Session, patience: Duration) -> Self {
        Self { socket, server, session, plain: Vec::new(), began: Instant::now(), patience }
    }

    /// Whether messages may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.session.is_open()
    }

    /// Goes on with the handshake, and repeats what was not answered in time.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        if self.session.is_open() {
            return Ok(());
        }
        let outcome = self.session.advance();
        self.send_leaving();
        if outcome.is_ok() && !self.session.is_open() && self.began.elapsed() > self.patience {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no end of the DTLS handshake"));
        }
        outcome
    }

    /// Sends one message; one that is not taken is lost.
    pub(super) fn tell(&mut self, message: &[u8]) -> io::Result<()> {
        self.session.write(message)?;
        self.send_leaving();
        Ok(())
    }

    /// Sends packets of the load; how many were taken.
    pub(super) fn send(&mut self, outbox: &mut Outbox, packets: &[Parts<'_>]) -> io::Result<usize> {
        for parts in packets {
            self.plain.clear();
            parts.iter().for_each(|part| self.plain.extend_from_slice(part));
            self.session.write(&self.plain)?;
        }
        let records: ArrayVec<Parts<'_>, BATCH> =
            self.session.leaving().map(|record| [record, &[], &[]]).take(BATCH).collect();
        let sent = send_to(outbox, &self.socket, self.server, &records);
        drop(records);
        self.session.sent();
        Ok(sent)
    }

    /// Hands over every message of a batch.
    pub(super) fn receive(&mut self, buffers: &mut Buffers, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let Buffers { batch, scratch } = buffers;
        let count = receive(&self.socket, batch)?;
        let of_server = (0..count).filter(|&packet| batch.meta(packet).from == self.server);
        let outcome = of_server.into_iter().try_for_each(|packet| {
            self.session.put(batch.bytes(packet));
            while let Some(length) = self.session.read(scratch)? {
                each(&scratch[..length]);
            }
            Ok(())
        });
        // The handshake's next words, an alert: what the session says by itself.
        self.send_leaving();
        outcome
    }

    /// Sends what the session has to say; what is not taken is said again in time.
    fn send_leaving(&mut self) {
        for record in self.session.leaving() {
            self.socket.send(&[Datagram { to: self.server, from: None, parts: [record, &[], &[]] }]);
        }
        self.session.sent();
    }

    /// Takes what ICMP says of packets to the server.
    pub(super) fn take_errors(&self) -> io::Result<()> {
        take_errors(&self.socket)
    }

    /// Packets that the socket had no room for.
    pub(super) fn dropped(&self) -> u32 {
        self.socket.dropped().unwrap_or(0)
    }
}

/// The server need not wait for the session's end.
impl Drop for Records {
    fn drop(&mut self) {
        self.session.close();
        self.send_leaving();
    }
}

impl AsFd for Records {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
