//! A client's byte stream as its shard sees it: TCP, bare or under TLS. Nothing
//! here waits: what can't be done now is said, and the connection's task waits
//! for the socket. Handshakes are over by then (`entrance`).

use std::cell::RefCell;
use std::io::{self, IoSlice, Read as _, Write as _};

use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ServerConnection;

use crate::wire::frame;

/// Bytes of TLS records read at once; one buffer serves all connections of a
/// shard.
pub(super) const RECORDS: usize = 24 * 1024;

/// Bytes that are encrypted before they are written; a message above that is
/// still encrypted as a whole.
const BURST: usize = 64 * 1024;

/// Largest plaintext of one record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;

/// Room that [`Stream::read`] needs for what one turn brings out: what the
/// records read now hold, that of one that had begun before, and what came
/// along with the handshake.
pub(super) const READ_ROOM: usize = RECORDS + 2 * RECORD;

/// A connection.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<Secured>),
}

/// A connection under TLS. Each record is encrypted into a buffer of rustls's
/// own, which is all that TLS costs beyond its cryptography.
#[derive(Debug)]
pub(super) struct Secured {
    socket: TcpStream,
    session: RefCell<ServerConnection>,
}

/// What a read leaves in the socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Left {
    /// There may be more.
    More,
    /// Nothing to read now.
    Nothing,
    /// Nothing ever again.
    End,
}

impl Stream {
    /// `session` has its handshake behind it.
    pub(super) fn new(socket: TcpStream, session: Option<ServerConnection>) -> Self {
        match session {
            None => Self::Plain(socket),
            Some(mut session) => {
                // The bound is kept by `write`, at the end of a message.
                session.set_buffer_limit(None);
                Self::Tls(Box::new(Secured { socket, session: RefCell::new(session) }))
            }
        }
    }

    /// Waits until the runtime knows that the socket, new to it, can be written.
    /// Without that, what came along with the handshake could end a connection
    /// before the end could be said. Bare TCP has nothing to say, nor to wait for.
    pub(super) async fn known(&self) {
        if let Self::Tls(tls) = self {
            // An error shows again at the first read.
            let _ = tls.socket.writable().await;
        }
    }

    /// Waits until the socket can be read or written.
    pub(super) async fn ready(&self, interest: Interest) -> io::Result<Ready> {
        match self {
            Self::Plain(socket) => socket.ready(interest).await,
            Self::Tls(tls) => tls.socket.ready(interest).await,
        }
    }

    /// Reads what is there, `share` bytes from the socket at most, and says how
    /// many bytes of `into` it was; at least [`READ_ROOM`] must fit. `records` is
    /// scratch space.
    pub(super) fn read(
        &self,
        into: &mut [u8],
        records: &mut [u8; RECORDS],
        share: usize,
    ) -> io::Result<(usize, Left)> {
        match self {
            Self::Plain(socket) => read_socket(socket, &mut into[..share]),
            Self::Tls(tls) => tls.read(into, &mut records[..share.min(RECORDS)]),
        }
    }

    /// How much the kernel may hold until the client reads it, bytes.
    pub(super) fn set_send_buffer(&self, bytes: usize) -> io::Result<()> {
        self.socket().set_send_buffer_size(bytes)
    }

    /// For its options; not to be read from or written to.
    pub(super) fn socket(&self) -> SockRef<'_> {
        match self {
            Self::Plain(socket) => socket.into(),
            Self::Tls(tls) => (&tls.socket).into(),
        }
    }

    /// Takes some of `bytes`, which are messages; an error of
    /// [`io::ErrorKind::WouldBlock`] when the client has to read first.
    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            // One record for each: there are clients that take what one read of
            // theirs brings for one message (turnutils_uclient does).
            Self::Tls(tls) => tls.write(bytes, |rest| match frame::next(rest, usize::MAX) {
                frame::Next::Frame { total, .. } => total,
                frame::Next::NeedMore(_) | frame::Next::Invalid => rest.len(),
            }),
        }
    }

    /// The same for bytes that are anything.
    pub(super) fn write_bytes(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.try_write(bytes),
            Self::Tls(tls) => tls.write(bytes, |rest| rest.len().min(BURST)),
        }
    }

    /// Writes what waits below, as far as that goes.
    pub(super) fn flush(&self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(&mut tls.session.borrow_mut()),
        }
    }

    /// Whether records that were taken wait for the client to read.
    pub(super) fn waiting(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(tls) => tls.session.borrow().wants_write(),
        }
    }

    /// What [`Stream::new`] makes one of again, in another runtime.
    pub(super) fn into_parts(self) -> (TcpStream, Option<ServerConnection>) {
        match self {
            Self::Plain(socket) => (socket, None),
            Self::Tls(tls) => (tls.socket, Some(tls.session.into_inner())),
        }
    }

    /// Says goodbye where the protocol has a word for it (RFC 8446 §6.1); the
    /// socket is closed when this is dropped.
    pub(super) fn close(&self) {
        if let Self::Tls(tls) = self {
            let session = &mut *tls.session.borrow_mut();
            session.send_close_notify();
            // A client that is gone, or reads nothing, misses it.
            let _ = tls.flush(session);
        }
    }
}

/// A short read proves that nothing is left: telling the runtime so saves the
/// read that would only say it again.
fn read_socket(socket: &TcpStream, into: &mut [u8]) -> io::Result<(usize, Left)> {
    match socket.try_read(into) {
        Ok(0) => Ok((0, Left::End)),
        Ok(count) if count == into.len() => Ok((count, Left::More)),
        Ok(count) => {
            let _ = socket
                .try_io(Interest::READABLE, || -> io::Result<()> { Err(io::ErrorKind::WouldBlock.into()) });
            Ok((count, Left::Nothing))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok((0, Left::Nothing)),
        Err(error) => Err(error),
    }
}

impl Secured {
    fn read(&self, into: &mut [u8], records: &mut [u8]) -> io::Result<(usize, Left)> {
        let session = &mut *self.session.borrow_mut();
        // The last of the handshake may have brought data along.
        let (mut filled, ended) = decrypted(session, into)?;
        if ended {
            return Ok((filled, Left::End));
        }
        let (count, left) = read_socket(&self.socket, records)?;
        let mut unread = &records[..count];
        // rustls takes 4 KiB at a time, hence a buffer of ours and not of the
        // kernel's on its other side.
        while !unread.is_empty() {
            session.read_tls(&mut unread)?;
            if let Err(error) = session.process_new_packets() {
                // The alert that tells the client why.
                let _ = self.flush(session);
                return Err(io::Error::new(io::ErrorKind::InvalidData, error));
            }
            let (count, ended) = decrypted(session, &mut into[filled..])?;
            filled += count;
            if ended {
                return Ok((filled, Left::End));
            }
        }
        // Answers of TLS's own: a key update's.
        self.flush(session)?;
        Ok((filled, left))
    }

    /// `part` says how much of what is left goes into records of its own.
    fn write(&self, bytes: &[u8], part: impl Fn(&[u8]) -> usize) -> io::Result<usize> {
        let session = &mut *self.session.borrow_mut();
        self.flush(session)?;
        // What waits as records is beyond the queue's bounds: little of it.
        if session.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut taken = 0;
        while taken < bytes.len().min(BURST) {
            let rest = &bytes[taken..];
            taken += session.writer().write(&rest[..part(rest)])?;
        }
        self.flush(session)?;
        Ok(taken)
    }

    fn flush(&self, session: &mut ServerConnection) -> io::Result<()> {
        while session.wants_write() {
            match session.write_tls(&mut Records(&self.socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Moves decrypted bytes to the front of `into`; true when the client has said
/// that no more will come.
fn decrypted(session: &mut ServerConnection, into: &mut [u8]) -> io::Result<(usize, bool)> {
    let mut filled = 0;
    loop {
        let room = &mut into[filled..];
        if room.is_empty() {
            return Err(io::Error::other("more in TLS records than they can hold"));
        }
        match session.reader().read(room) {
            Ok(0) => return Ok((filled, true)),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((filled, false)),
            Err(error) => return Err(error),
        }
    }
}

/// Where rustls writes its records: many in one call.
struct Records<'a>(&'a TcpStream);

impl io::Write for Records<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, records: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(records)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
