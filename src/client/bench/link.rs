//! What a client's messages run over, as one thing: a UDP socket of
//! [`net::udp`](crate::net::udp), which moves a batch in one system call, a DTLS
//! session over such a one, or a TCP or TLS connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::records::Records;
use super::stream::Stream;
use crate::client::transport::{Endpoint, Tls, Transport};
use crate::net::udp::{Datagram, Options, Outbox, Received, Socket};
use crate::wire::padding;

/// A packet whose parts lie in different places.
pub(super) type Parts<'a> = [&'a [u8]; 3];

/// Bytes of packets that a socket is asked to hold, so that a pause of the
/// generator's costs no packet.
const SOCKET_BUFFER: usize = 4 * 1024 * 1024;

/// One client's way to the server.
#[derive(Debug)]
pub(super) enum Link {
    Udp { socket: Socket, server: SocketAddr },
    Dtls(Box<Records>),
    Stream(Stream),
}

/// What a worker receives into, one after the other.
pub(super) struct Buffers {
    pub(super) batch: Received,
    pub(super) scratch: Vec<u8>,
}

impl Buffers {
    pub(super) fn new() -> Self {
        Self { batch: Received::new(), scratch: vec![0; 64 * 1024] }
    }
}

/// What a worker sends by: each packet as one, or bursts joined.
pub(super) fn outbox(join: bool) -> Outbox {
    if join { Outbox::new() } else { Outbox::joining(1) }
}

impl Link {
    /// The server may take so long for what comes before the first message.
    pub(super) fn open(server: &Endpoint, patience: Duration, join: bool) -> io::Result<Self> {
        let socket = || {
            let any: IpAddr = match server.address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            udp_socket(any, true, join)
        };
        match server.transport {
            Transport::Udp => Ok(Self::Udp { socket: socket()?, server: server.address }),
            Transport::Dtls => {
                let session = server.tls.as_ref().map(Tls::session).ok_or(io::ErrorKind::InvalidInput)??;
                let records = Records::new(socket()?, server.address, session, patience);
                Ok(Self::Dtls(Box::new(records)))
            }
            Transport::Tcp | Transport::Tls => {
                Stream::open(server.address, server.tls.as_ref()).map(Self::Stream)
            }
        }
    }

    /// Whether messages may be sent.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Udp { .. } => true,
            Self::Dtls(records) => records.is_open(),
            Self::Stream(stream) => stream.is_open(),
        }
    }

    /// Goes on with what comes before the first message, where that has a clock of
    /// its own.
    pub(super) fn advance(&mut self) -> io::Result<()> {
        match self {
            Self::Dtls(records) => records.advance(),
            Self::Udp { .. } | Self::Stream(_) => Ok(()),
        }
    }

    /// Whether to be told when there is room.
    pub(super) fn wants_to_write(&self) -> bool {
        match self {
            Self::Udp { .. } | Self::Dtls(_) => false,
            Self::Stream(stream) => stream.wants_to_write(),
        }
    }

    /// Sends one message; one that is not taken is lost.
    pub(super) fn tell(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp { socket, server } => {
                socket.send(&[Datagram { to: *server, from: None, parts: [message, &[], &[]] }]);
                Ok(())
            }
            Self::Dtls(records) => records.tell(message),
            Self::Stream(stream) => {
                stream.push([message, &[], &[]]);
                stream.flush()
            }
        }
    }

    /// Sends packets of the load; how many were taken.
    pub(super) fn send(&mut self, outbox: &mut Outbox, packets: &[Parts<'_>]) -> io::Result<usize> {
        match self {
            Self::Udp { socket, server } => Ok(send_to(outbox, socket, *server, packets)),
            Self::Dtls(records) => records.send(outbox, packets),
            Self::Stream(stream) => {
                let mut taken = 0;
                for &[head, middle, end] in packets {
                    // STUN is padded by who writes it, ChannelData on a stream alone.
                    let pad = padding(head.len() + middle.len() + end.len());
                    let end = if pad == 0 { end } else { &[0; 3][..pad] };
                    taken += usize::from(stream.push([head, middle, end]));
                }
                stream.flush()?;
                Ok(taken)
            }
        }
    }

    /// Goes on with what could not be sent, or with connecting.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Udp { .. } | Self::Dtls(_) => Ok(()),
            Self::Stream(stream) => stream.flush(),
        }
    }

    /// Hands over every message that waits, or as many as are good for one turn.
    pub(super) fn receive(&mut self, buffers: &mut Buffers, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Udp { socket, server } => {
                let count = receive(socket, &mut buffers.batch)?;
                for packet in 0..count {
                    if buffers.batch.meta(packet).from == *server {
                        each(buffers.batch.bytes(packet));
                    }
                }
                Ok(())
            }
            Self::Dtls(records) => records.receive(buffers, each),
            Self::Stream(stream) => {
                stream.receive(&mut buffers.scratch, each)?;
                if stream.wants_to_write() { stream.flush() } else { Ok(()) }
            }
        }
    }

    /// Takes what ICMP says of packets to the server.
    pub(super) fn take_errors(&self) -> io::Result<()> {
        match self {
            Self::Udp { socket, .. } => take_errors(socket),
            Self::Dtls(records) => records.take_errors(),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Packets that this socket had no room for.
    pub(super) fn dropped(&self) -> u32 {
        match self {
            Self::Udp { socket, .. } => socket.dropped().unwrap_or(0),
            Self::Dtls(records) => records.dropped(),
            Self::Stream(_) => 0,
        }
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Udp { socket, .. } => socket.as_fd(),
            Self::Dtls(records) => records.as_fd(),
            Self::Stream(stream) => stream.as_fd(),
        }
    }
}

/// A socket on a free port of this address, that keeps ICMP errors or doesn't, and
/// takes packets joined or doesn't.
pub(super) fn udp_socket(ip: IpAddr, errors: bool, join: bool) -> io::Result<Socket> {
    let options = Options { buffer: SOCKET_BUFFER, errors, join, ..Options::default() };
    Socket::bind(SocketAddr::new(ip, 0), &options)
}

/// Takes what ICMP says of packets that went out by this socket.
pub(super) fn take_errors(socket: &Socket) -> io::Result<()> {
    while let Ok(error) = socket.recv_error() {
        if error.errno == libc::ECONNREFUSED {
            return Err(io::Error::from_raw_os_error(error.errno));
        }
    }
    Ok(())
}

/// Takes a batch; none waiting is a batch of none.
pub(super) fn receive(socket: &Socket, batch: &mut Received) -> io::Result<usize> {
    match socket.recv(batch) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        result => result,
    }
}

/// Sends packets; how many the kernel took.
pub(super) fn send_to(outbox: &mut Outbox, socket: &Socket, to: SocketAddr, packets: &[Parts<'_>]) -> usize {
    let mut batch = outbox.batch();
    for &parts in packets {
        batch.push(socket, 0, false, &Datagram { to, from: None, parts });
    }
    let mut refused = 0;
    batch.send(|told| refused += told.packets);
    packets.len() - refused
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;
    use crate::net::udp::BATCH;

    /// Slots of a batch that a burst of 8 takes at a socket that would take it
    /// joined.
    fn slots(join: bool) -> usize {
        let far = udp_socket(Ipv4Addr::LOCALHOST.into(), false, true).unwrap();
        let near = udp_socket(Ipv4Addr::LOCALHOST.into(), false, join).unwrap();
        let to = far.local_addr().unwrap();
        let packets: [Parts<'_>; 8] = [[b"head", b"and fill", b""]; 8];
        assert_eq!(send_to(&mut outbox(join), &near, to, &packets), 8);
        let mut batch = Received::new();
        let mut packets = 0;
        let mut slots = 0;
        while packets < 8 {
            let timeout = Timespec { tv_sec: 10, tv_nsec: 0 };
            assert_eq!(
                poll(&mut [PollFd::new(&far, PollFlags::IN)], Some(&timeout)).unwrap(),
                1,
                "nothing came"
            );
            packets += receive(&far, &mut batch).unwrap();
            slots += BATCH - batch.room();
        }
        assert_eq!(packets, 8);
        slots
    }

    #[test]
    fn a_burst_is_joined_on_request_alone() {
        assert_eq!(slots(false), 8);
        // Where the kernel can.
        assert!([1, 8].contains(&slots(true)));
    }
}
