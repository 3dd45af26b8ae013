//! TURN messages over a byte stream, as a [`Conn`]: STUN by its length field,
//! ChannelData padded to four bytes (RFC 8656 §12.5).
//!
//! Works on any stream, so that a TLS stream fits as a TCP one does. Not a
//! socket, and no reconnecting: when the stream ends, so does the `Conn`.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::Mutex;
use webrtc_util::Conn;

use crate::wire::frame::{self, Next};

type Result<T> = std::result::Result<T, webrtc_util::Error>;

/// The longest message the length fields allow: a STUN header and 65,535 bytes.
pub const MAX_MESSAGE: usize = 20 + 65_535;

/// A stream that carries whole TURN messages.
///
/// `recv` may be cancelled without losing bytes; a cancelled `send` leaves half
/// a message in the stream, after which only closing is left.
pub struct FramedConn<S> {
    reader: Mutex<Reader<S>>,
    writer: Mutex<WriteHalf<S>>,
    local: SocketAddr,
    remote: SocketAddr,
}

struct Reader<S> {
    stream: ReadHalf<S>,
    /// Bytes read and not yet handed out; at most one message and one read.
    buffer: BytesMut,
}

impl<S: AsyncRead + AsyncWrite> FramedConn<S> {
    /// Wraps a connected stream; the addresses are what it was connected with.
    pub fn new(stream: S, local: SocketAddr, remote: SocketAddr) -> Self {
        let (reader, writer) = tokio::io::split(stream);
        Self {
            reader: Mutex::new(Reader { stream: reader, buffer: BytesMut::new() }),
            writer: Mutex::new(writer),
            local,
            remote,
        }
    }
}

impl<S: AsyncRead> Reader<S> {
    async fn next(&mut self, into: &mut [u8]) -> Result<usize> {
        loop {
            match frame::next(&self.buffer, MAX_MESSAGE) {
                Next::Frame { message, total } => {
                    let frame = self.buffer.split_to(total);
                    let target = into.get_mut(..message).ok_or(webrtc_util::Error::ErrBufferShort)?;
                    target.copy_from_slice(&frame[..message]);
                    return Ok(message);
                }
                Next::NeedMore(_) => {
                    if self.stream.read_buf(&mut self.buffer).await? == 0 {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                }
                Next::Invalid => {
                    let error = io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the stream carries neither STUN nor ChannelData",
                    );
                    return Err(error.into());
                }
            }
        }
    }
}

#[async_trait]
impl<S: AsyncRead + AsyncWrite + Send + 'static> Conn for FramedConn<S> {
    /// The stream is connected already; another address is an error.
    async fn connect(&self, addr: SocketAddr) -> Result<()> {
        if addr == self.remote { Ok(()) } else { Err(webrtc_util::Error::ErrNoRemAddr) }
    }

    async fn recv(&self, buf: &mut [u8]) -> Result<usize> {
        self.reader.lock().await.next(buf).await
    }

    async fn recv_from(&self, buf: &mut [u8]) -> Result<(usize, SocketAddr)> {
        Ok((self.recv(buf).await?, self.remote))
    }

    /// `buf` is one whole message, without padding.
    async fn send(&self, buf: &[u8]) -> Result<usize> {
        let is_channel_data = buf.first().is_some_and(|first| first >> 6 == 0b01);
        let padding = if is_channel_data { buf.len().next_multiple_of(4) - buf.len() } else { 0 };
        let mut frame = Vec::with_capacity(buf.len() + padding);
        frame.extend_from_slice(buf);
        frame.resize(buf.len() + padding, 0);
        let mut writer = self.writer.lock().await;
        writer.write_all(&frame).await?;
        writer.flush().await?;
        Ok(buf.len())
    }

    /// The stream has one far end; `target` must be it.
    async fn send_to(&self, buf: &[u8], target: SocketAddr) -> Result<usize> {
        if target != self.remote {
            return Err(webrtc_util::Error::ErrNoRemAddr);
        }
        self.send(buf).await
    }

    fn local_addr(&self) -> Result<SocketAddr> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.remote)
    }

    async fn close(&self) -> Result<()> {
        Ok(self.writer.lock().await.shutdown().await?)
    }

    fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
        self
    }
}

#[cfg(test)]
#[path = "framing_test.rs"]
mod tests;
