//! What goes in and out of `session`: datagrams, and what becomes of them.

use std::io::{self, Read, Write};

use super::hello::renumber;

/// What `session` reads from and writes to in place of a socket.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    /// A datagram, when there is one to be read.
    arrived: Vec<u8>,
    unread: bool,
    /// Datagrams to be sent.
    pub leaving: Flight,
}

/// Datagrams, one behind the other.
#[derive(Debug, Default)]
pub(in crate::net) struct Flight {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Flight {
    /// How many.
    pub(in crate::net) fn len(&self) -> usize {
        self.ends.len()
    }

    /// One of them.
    pub(in crate::net) fn datagram(&self, at: usize) -> &[u8] {
        &self.bytes[self.start(at)..self.ends[at]]
    }

    pub(in crate::net) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
    }

    fn start(&self, at: usize) -> usize {
        at.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// Numbers plaintext records as the client expects them, from this datagram
    /// on.
    pub(super) fn renumber(&mut self, from: usize, offset: u64) {
        for at in from..self.len() {
            let datagram = self.start(at)..self.ends[at];
            renumber(&mut self.bytes[datagram], offset);
        }
    }
}

impl Pipe {
    /// A datagram has arrived, to be read next.
    pub(super) fn put(&mut self, datagram: &[u8]) {
        self.arrived.clear();
        self.arrived.extend_from_slice(datagram);
        self.unread = true;
    }
}

impl Read for Pipe {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if !std::mem::take(&mut self.unread) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let length = self.arrived.len().min(into.len());
        into[..length].copy_from_slice(&self.arrived[..length]);
        Ok(length)
    }
}

impl Write for Pipe {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.leaving.bytes.extend_from_slice(datagram);
        self.leaving.ends.push(self.leaving.bytes.len());
        Ok(datagram.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// How a handshake stands.
#[derive(Debug)]
pub(super) enum Progress {
    /// It waits for the client, and repeats itself when that takes too long.
    Waiting,
    Done,
    Failed(String),
}

/// What a read brings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opened {
    /// So many bytes of a message.
    Message(usize),
    /// No more in this datagram.
    Nothing,
    /// The client has said goodbye, or broken the protocol.
    End,
}
