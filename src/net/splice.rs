//! Two connections joined to one (RFC 6062 §5.4, §5.5): bytes go both ways as
//! they are, under TLS on the client's side if that is how it came. A side that
//! is not read from stops the other one from being read: nothing is dropped, and
//! at most one read's worth waits here each way, and its records.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::stream::{Left, RECORDS, Stream};
use super::tcp_relay::is_transient;

/// When one side has ended, the other may go on; it too is taken to have ended
/// when nothing moves for so long.
const LINGER: Duration = Duration::from_secs(30);

/// What bytes are carried from and to. Nothing here waits but [`End::ready`]; what
/// can't be done now is an error of [`io::ErrorKind::WouldBlock`].
pub(super) trait End {
    async fn ready(&self, interest: Interest) -> io::Result<()>;

    /// Some bytes; 0 when no more will come.
    fn read(&self, into: &mut [u8]) -> io::Result<usize>;

    /// Takes some bytes.
    fn write(&self, bytes: &[u8]) -> io::Result<usize>;

    /// Sends what was taken; false when the other side has to read first.
    fn flush(&self) -> io::Result<bool>;

    /// Says that no more will come, as far as the protocol has a word for it.
    fn say_end(&self) {}

    fn socket(&self) -> SockRef<'_>;
}

impl End for TcpStream {
    async fn ready(&self, interest: Interest) -> io::Result<()> {
        self.ready(interest).await.map(drop)
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        self.try_read(into)
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.try_write(bytes)
    }

    fn flush(&self) -> io::Result<bool> {
        Ok(true)
    }

    fn socket(&self) -> SockRef<'_> {
        SockRef::from(self)
    }
}

/// A client's connection.
pub(super) struct Client<'a> {
    stream: &'a Stream,
    /// Shared by all connections of a shard.
    records: &'a RefCell<Box<[u8; RECORDS]>>,
    ended: Cell<bool>,
}

impl<'a> Client<'a> {
    pub(super) fn new(stream: &'a Stream, records: &'a RefCell<Box<[u8; RECORDS]>>) -> Self {
        Self { stream, records, ended: Cell::new(false) }
    }
}

impl End for Client<'_> {
    async fn ready(&self, interest: Interest) -> io::Result<()> {
        if interest.is_readable() && self.ended.get() {
            return Ok(());
        }
        // What TLS has to say of itself can't wait for bytes that may never come.
        let interest = if self.stream.waiting() { interest.add(Interest::WRITABLE) } else { interest };
        self.stream.ready(interest).await?;
        self.stream.flush()
    }

    fn read(&self, into: &mut [u8]) -> io::Result<usize> {
        if self.ended.get() {
            return Ok(0);
        }
        let share = into.len();
        let (count, left) = self.stream.read(into, &mut self.records.borrow_mut(), share)?;
        self.ended.set(left == Left::End);
        match left {
            Left::More | Left::Nothing if count == 0 => Err(io::ErrorKind::WouldBlock.into()),
            _ => Ok(count),
        }
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write_bytes(bytes)
    }

    fn flush(&self) -> io::Result<bool> {
        self.stream.flush()?;
        Ok(!self.stream.waiting())
    }

    fn say_end(&self) {
        self.stream.close();
    }

    fn socket(&self) -> SockRef<'_> {
        self.stream.socket()
    }
}

/// What is on one side of a splice at its beginning.
pub(super) struct Side<'a, E> {
    pub end: &'a E,
    /// To be written to it before anything else, and not counted.
    pub first: Vec<u8>,
    /// What it has sent already.
    pub early: Vec<u8>,
    /// Nothing comes behind that.
    pub ended: bool,
}

/// Whether one of the two directions has ended.
#[derive(Default)]
struct Ending {
    one: Cell<bool>,
    told: Notify,
}

/// Copies both ways until both sides have ended, or one is broken. `scratch` is
/// shared by all connections of a shard; `up` and `down` are told how many bytes
/// went from `client` to `peer` and back.
pub(super) async fn splice(
    client: Side<'_, impl End>,
    peer: Side<'_, impl End>,
    scratch: &RefCell<Box<[u8]>>,
    up: impl Fn(usize),
    down: impl Fn(usize),
) -> io::Result<()> {
    let ending = Ending::default();
    let upward = async {
        ending.write(peer.end, &peer.first, &|_| {}).await?;
        ending.copy(&client, peer.end, scratch, &up).await
    };
    let downward = async {
        ending.write(client.end, &client.first, &|_| {}).await?;
        ending.copy(&peer, client.end, scratch, &down).await
    };
    tokio::try_join!(upward, downward).map(|_| ())
}

impl Ending {
    /// One direction, to its end: then the other side is told so.
    async fn copy(
        &self,
        from: &Side<'_, impl End>,
        to: &impl End,
        scratch: &RefCell<Box<[u8]>>,
        count: &impl Fn(usize),
    ) -> io::Result<()> {
        self.write(to, &from.early, count).await?;
        if !from.ended {
            self.copy_what_comes(from.end, to, scratch, count).await?;
        }
        to.say_end();
        self.flush(to).await?;
        to.socket().shutdown(Shutdown::Write)?;
        self.one.set(true);
        self.told.notify_one();
        Ok(())
    }

    async fn copy_what_comes(
        &self,
        from: &impl End,
        to: &impl End,
        scratch: &RefCell<Box<[u8]>>,
        count: &impl Fn(usize),
    ) -> io::Result<()> {
        // TLS may know of the end already, and have nothing more to wait for.
        let mut first = true;
        loop {
            if !std::mem::take(&mut first) {
                self.bounded(from.ready(Interest::READABLE)).await?;
            }
            // What the other side takes at once never leaves the scratch.
            let rest = {
                let buffer = &mut **scratch.borrow_mut();
                let read = match from.read(buffer) {
                    Ok(0) => return Ok(()),
                    Ok(read) => &buffer[..read],
                    Err(error) if is_transient(&error) => continue,
                    Err(error) => return Err(error),
                };
                let written = match to.write(read) {
                    Ok(written) => written,
                    Err(error) if is_transient(&error) => 0,
                    Err(error) => return Err(error),
                };
                count(written);
                read[written..].to_vec()
            };
            self.write(to, &rest, count).await?;
        }
    }

    async fn write(&self, to: &impl End, mut bytes: &[u8], count: &impl Fn(usize)) -> io::Result<()> {
        while !bytes.is_empty() {
            match to.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    count(written);
                    bytes = &bytes[written..];
                }
                Err(error) if is_transient(&error) => self.bounded(to.ready(Interest::WRITABLE)).await?,
                Err(error) => return Err(error),
            }
        }
        self.flush(to).await
    }

    async fn flush(&self, to: &impl End) -> io::Result<()> {
        while !to.flush()? {
            self.bounded(to.ready(Interest::WRITABLE)).await?;
        }
        Ok(())
    }

    /// Waits for a socket: as long as it takes, or [`LINGER`] once the other
    /// direction has ended.
    async fn bounded(&self, ready: impl Future<Output = io::Result<()>>) -> io::Result<()> {
        let mut ready = pin!(ready);
        if !self.one.get() {
            select! {
                ready = &mut ready => return ready,
                () = self.told.notified() => {}
            }
        }
        timeout(LINGER, ready).await?
    }
}
