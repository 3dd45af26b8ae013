//! Two TCP connections joined to one (RFC 6062 §5.4, §5.5): bytes go both ways as
//! they are. A side that is not read from stops the other one from being read:
//! nothing is dropped, and at most one read's worth waits here each way.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::net::Shutdown;
use std::pin::pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::select;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::tcp_relay::is_transient;

/// When one side has ended, the other may go on; it too is taken to have ended
/// when nothing moves for so long.
const LINGER: Duration = Duration::from_secs(30);

/// What is on one side of a splice at its beginning.
pub(super) struct Side<'a> {
    pub stream: &'a TcpStream,
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
    client: Side<'_>,
    peer: Side<'_>,
    scratch: &RefCell<Box<[u8]>>,
    up: impl Fn(usize),
    down: impl Fn(usize),
) -> io::Result<()> {
    let ending = Ending::default();
    let upward = async {
        ending.write(peer.stream, &peer.first, &|_| {}).await?;
        ending.copy(&client, peer.stream, scratch, &up).await
    };
    let downward = async {
        ending.write(client.stream, &client.first, &|_| {}).await?;
        ending.copy(&peer, client.stream, scratch, &down).await
    };
    tokio::try_join!(upward, downward).map(|_| ())
}

impl Ending {
    /// One direction, to its end: then the other side is told so.
    async fn copy(
        &self,
        from: &Side<'_>,
        to: &TcpStream,
        scratch: &RefCell<Box<[u8]>>,
        count: &impl Fn(usize),
    ) -> io::Result<()> {
        self.write(to, &from.early, count).await?;
        if !from.ended {
            self.copy_what_comes(from.stream, to, scratch, count).await?;
        }
        SockRef::from(to).shutdown(Shutdown::Write)?;
        self.one.set(true);
        self.told.notify_one();
        Ok(())
    }

    async fn copy_what_comes(
        &self,
        from: &TcpStream,
        to: &TcpStream,
        scratch: &RefCell<Box<[u8]>>,
        count: &impl Fn(usize),
    ) -> io::Result<()> {
        loop {
            self.bounded(from.readable()).await?;
            // What the other side takes at once never leaves the scratch.
            let rest = {
                let buffer = &mut **scratch.borrow_mut();
                let read = match from.try_read(buffer) {
                    Ok(0) => return Ok(()),
                    Ok(read) => &buffer[..read],
                    Err(error) if is_transient(&error) => continue,
                    Err(error) => return Err(error),
                };
                let written = match to.try_write(read) {
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

    async fn write(&self, to: &TcpStream, mut bytes: &[u8], count: &impl Fn(usize)) -> io::Result<()> {
        while !bytes.is_empty() {
            match to.try_write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    count(written);
                    bytes = &bytes[written..];
                }
                Err(error) if is_transient(&error) => self.bounded(to.writable()).await?,
                Err(error) => return Err(error),
            }
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
