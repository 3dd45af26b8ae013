//! What the tests of this room share.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Datagram, Options, Received, Socket};

/// Long enough for any machine; no test that passes waits for it.
const PATIENCE: Duration = Duration::from_secs(10);

pub(super) const V4: &str = "127.0.0.1:0";
pub(super) const V6: &str = "[::1]:0";

/// A socket of ours, and its address.
pub(super) fn ours(address: &str, options: &Options) -> (Socket, SocketAddr) {
    let socket = Socket::bind(address.parse().unwrap(), options).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// A socket of the standard library, and its address.
pub(super) fn theirs(address: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind(address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

pub(super) fn datagram(to: SocketAddr, bytes: &[u8]) -> Datagram<'_> {
    Datagram { to, from: None, parts: [bytes, &[], &[]] }
}

/// The next packet that a standard socket has.
pub(super) fn next(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (length, from) = socket.recv_from(&mut buffer).unwrap();
    buffer.truncate(length);
    (buffer, from)
}

/// Waits for packets or for an error that is pending on the socket; which.
pub(super) fn wait(socket: &Socket) -> PollFlags {
    let mut fds = [PollFd::new(socket, PollFlags::IN)];
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    assert_eq!(poll(&mut fds, Some(&timeout)).unwrap(), 1, "nothing came");
    fds[0].revents()
}

/// One packet, as it was received.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Seen {
    pub(super) bytes: Vec<u8>,
    pub(super) from: SocketAddr,
    pub(super) to: Option<IpAddr>,
}

/// Receives so many packets, and then nothing.
pub(super) fn receive(socket: &Socket, batch: &mut Received, count: usize) -> Vec<Seen> {
    let mut seen = Vec::new();
    while seen.len() < count {
        wait(socket);
        let received = match socket.recv(batch) {
            Ok(received) => received,
            Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(received, batch.len());
        for i in 0..received {
            let meta = batch.meta(i);
            assert!(!meta.truncated);
            seen.push(Seen { bytes: batch.bytes(i).to_vec(), from: meta.from, to: meta.to });
        }
    }
    assert_eq!(seen.len(), count);
    assert_eq!(socket.recv(batch).unwrap_err().kind(), ErrorKind::WouldBlock);
    seen
}
