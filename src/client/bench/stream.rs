//! A TCP or TLS connection that never waits: messages go into a bounded buffer
//! and out as the kernel takes them, and whole messages come out of what was
//! read.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::{Domain, Protocol, Socket, Type};
use tokio_rustls::rustls::ClientConnection;

use crate::client::framing::MAX_MESSAGE;
use crate::client::transport::Tls;
use crate::wire::frame::{self, Next};

/// Bytes that may wait for a server that reads slowly. What does not fit is not
/// sent, and counted as such.
const MAX_UNSENT: usize = 256 * 1024;
/// Bytes read in one turn, so that sending is not held up.
const READ_A_TURN: usize = 256 * 1024;

/// One connection.
#[derive(Debug)]
pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    connected: bool,
    /// Bytes not yet taken by the kernel (TCP) or by TLS.
    unsent: VecDeque<u8>,
    unread: Vec<u8>,
}

impl Stream {
    /// Begins to connect; ready when [`Stream::is_open`].
    pub(super) fn open(server: SocketAddr, tls: Option<&Tls>) -> io::Result<Self> {
        let socket =
            Socket::new(Domain::for_address(server), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
        socket.set_tcp_nodelay(true)?;
        let connected = match socket.connect(&server.into()) {
            Ok(()) => true,
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => false,
            Err(error) => return Err(error),
        };
        let tls = tls.map(|tls| tls.connection().map(Box::new).map_err(io::Error::other)).transpose()?;
        let socket = TcpStream::from(std::os::fd::OwnedFd::from(socket));
        Ok(Self { socket, tls, connected, unsent: VecDeque::new(), unread: Vec::new() })
    }

    /// Whether messages may be sent.
    pub(super) fn is_open(&self) -> bool {
        self.connected && self.tls.as_ref().is_none_or(|tls| !tls.is_handshaking())
    }

    /// Whether something waits for room in the socket.
    pub(super) fn wants_to_write(&self) -> bool {
        !self.connected || !self.unsent.is_empty() || self.tls.as_ref().is_some_and(|tls| tls.wants_write())
    }

    /// Puts a message into the buffer; false when it has no room for it.
    /// [`Stream::flush`] sends it.
    pub(super) fn push(&mut self, parts: [&[u8]; 3]) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.unsent.len() + length > MAX_UNSENT {
            return false;
        }
        parts.iter().for_each(|part| self.unsent.extend(*part));
        true
    }

    /// Sends what the kernel takes. An error ends the connection.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if !self.connected {
            match self.socket.take_error()? {
                Some(error) => return Err(error),
                None => self.connected = self.socket.peer_addr().is_ok(),
            }
            if !self.connected {
                return Ok(());
            }
        }
        let Some(tls) = &mut self.tls else {
            while !self.unsent.is_empty() {
                let (front, _) = self.unsent.as_slices();
                match self.socket.write(front) {
                    Ok(written) => _ = self.unsent.drain(..written),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
            return Ok(());
        };
        loop {
            if !tls.is_handshaking() && !self.unsent.is_empty() && !tls.wants_write() {
                let (front, _) = self.unsent.as_slices();
                let taken = tls.writer().write(front)?;
                self.unsent.drain(..taken);
            }
            if !tls.wants_write() {
                return Ok(());
            }
            match tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads what there is, and hands over each whole message; `scratch` is memory
    /// to read into. An error, or the server's end of the stream, ends the
    /// connection. What a handshake has to answer waits for [`Stream::flush`].
    pub(super) fn receive(&mut self, scratch: &mut [u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let is_open = self.read(scratch)?;
        let mut at = 0;
        loop {
            match frame::next(&self.unread[at..], MAX_MESSAGE) {
                Next::Frame { message, total } => {
                    each(&self.unread[at..at + message]);
                    at += total;
                }
                Next::NeedMore(_) => break,
                Next::Invalid => {
                    let what = "the stream carries neither STUN nor ChannelData";
                    return Err(io::Error::new(ErrorKind::InvalidData, what));
                }
            }
        }
        self.unread.drain(..at);
        if is_open {
            return Ok(());
        }
        Err(io::Error::new(ErrorKind::UnexpectedEof, "the server has closed the connection"))
    }

    /// Moves bytes into `unread`, as many as are good for one turn; false at the
    /// end of the stream.
    fn read(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let enough = self.unread.len() + READ_A_TURN;
        while self.unread.len() < enough {
            let result = match &mut self.tls {
                None => self.socket.read(scratch),
                Some(tls) => tls.read_tls(&mut self.socket),
            };
            match result {
                Ok(0) => return Ok(false),
                Ok(read) => match &mut self.tls {
                    None => self.unread.extend_from_slice(&scratch[..read]),
                    Some(tls) => {
                        tls.process_new_packets().map_err(io::Error::other)?;
                        while let Ok(read @ 1..) = tls.reader().read(scratch) {
                            self.unread.extend_from_slice(&scratch[..read]);
                        }
                    }
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
