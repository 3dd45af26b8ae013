//! A socket that remembers what was read from it: a hello is read to know whose a
//! connection is, and whoever that is has to see it again.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::net::limit::Permit;

/// Longest hello, bytes; those with post-quantum keys are some 2 KiB.
const LONGEST: usize = 16 * 1024;

/// See the module's head.
#[derive(Debug)]
pub struct Recorded {
    socket: TcpStream,
    /// `None`: nothing is remembered any more.
    heard: Option<Vec<u8>>,
    /// Its place among the open connections of its client's address.
    _permit: Option<Permit>,
}

impl Recorded {
    /// Remembers from now on.
    pub(crate) fn new(socket: TcpStream) -> Self {
        Self { socket, heard: Some(Vec::new()), _permit: None }
    }

    /// Forgets, and remembers nothing more.
    pub(crate) fn forget(&mut self) {
        self.heard = None;
    }

    /// Keeps its place for as long as it is open.
    pub(in crate::net) fn hold(&mut self, permit: Permit) {
        self._permit = Some(permit);
    }

    /// The socket, and what was read from it.
    pub(crate) fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.socket, self.heard.unwrap_or_default())
    }

    /// The socket below.
    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }
}

impl AsyncRead for Recorded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(context, into))?;
        if let Some(heard) = &mut self.heard {
            let new = &into.filled()[before..];
            if heard.len() + new.len() > LONGEST {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the hello is too long")));
            }
            heard.extend_from_slice(new);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
