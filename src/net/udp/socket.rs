//! Opening a socket, and what it is told once.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering::Relaxed};

use libc::c_int;
use socket2::{Domain, Protocol, Type};

use super::control::UDP_GRO;

/// Packets that are sent one by one, though they could be joined, before it is
/// tried again on a socket where that was refused: the route may be another one.
const JOIN_AGAIN: u16 = 4096;

/// How a socket is opened.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Share the address with other sockets that say so too (`SO_REUSEPORT`);
    /// the kernel spreads the flows over them.
    pub reuse_port: bool,
    /// Bytes of packets to hold, asked for in both directions; 0 leaves the
    /// kernel's default. The kernel grants `net.core.rmem_max` and `wmem_max`
    /// at most, without an error: see [`Socket::buffers`].
    pub buffer: usize,
    /// Learn the local address of each packet received
    /// ([`Meta::to`](super::Meta::to)). For sockets bound to a wildcard.
    pub packet_info: bool,
    /// Keep the ICMP errors that answer what was sent, for
    /// [`Socket::recv_error`]. They share the receive buffer's memory, so
    /// whoever asks for them must take them.
    pub errors: bool,
    /// Let the kernel join packets of one flow and size (UDP GRO), so that one
    /// slot of a [`Received`](super::Received) brings many. Without effect where
    /// the kernel can't.
    pub join: bool,
}

/// A bound UDP socket: non-blocking, closed on exec; an IPv6 one carries no
/// IPv4. [`Socket::recv`] and [`Socket::send`] take `&self` and may be called
/// while the other one is.
#[derive(Debug)]
pub struct Socket {
    socket: socket2::Socket,
    /// Packets lost that have been told of ([`Received::lost`](super::Received::lost)).
    lost: AtomicU32,
    /// Packets larger than this are not joined to be sent, as that was refused...
    joinable: AtomicU16,
    /// ...until so many have been sent one by one.
    unjoined: AtomicU16,
}

impl Socket {
    /// Opens a socket and binds it; port 0 takes a free one. A link-local IPv6
    /// address needs its scope id.
    ///
    /// `Err` is the kernel's: `AddrInUse`, `AddrNotAvailable` (not an address of
    /// this host), `PermissionDenied` (a port below 1,024), `EAFNOSUPPORT` (a
    /// host without the family), `EMFILE`.
    pub fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        let domain = Domain::for_address(address);
        let socket = socket2::Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
        match address {
            SocketAddr::V4(_) => set_v4(&socket, options)?,
            SocketAddr::V6(_) => set_v6(&socket, options)?,
        }
        set(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL, 1)?;
        if options.join {
            // From Linux 5.0 on.
            let _ = set(&socket, libc::SOL_UDP, UDP_GRO, 1);
        }
        if options.reuse_port {
            socket.set_reuse_port(true)?;
        }
        if options.buffer > 0 {
            // The option is an int that the kernel doubles.
            let bytes = options.buffer.min(c_int::MAX as usize / 2);
            socket.set_recv_buffer_size(bytes)?;
            socket.set_send_buffer_size(bytes)?;
        }
        // Last, so that no packet arrives before its local address is learned.
        socket.bind(&address.into())?;
        let (lost, joinable, unjoined) = (AtomicU32::new(0), AtomicU16::new(u16::MAX), AtomicU16::new(0));
        Ok(Self { socket, lost, joinable, unjoined })
    }

    /// The address it is bound to, with the port that was chosen.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        let unspecified = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Ok(self.socket.local_addr()?.as_socket().unwrap_or(unspecified))
    }

    /// The buffers granted, receive and send, in the unit of
    /// [`Options::buffer`]. The kernel reports twice that, since it counts its
    /// own bookkeeping of each packet too; so small packets fill a buffer with
    /// fewer bytes of payload than these.
    pub fn buffers(&self) -> io::Result<(usize, usize)> {
        Ok((self.socket.recv_buffer_size()? / 2, self.socket.send_buffer_size()? / 2))
    }
}

impl Socket {
    /// How many packets more the socket has lost, by the kernel's count of all.
    pub(super) fn newly_lost(&self, drops: u32) -> u64 {
        let before = self.lost.load(Relaxed);
        self.lost.store(drops, Relaxed);
        drops.wrapping_sub(before).into()
    }

    /// Whether packets of this size are worth joining.
    pub(super) fn may_join(&self, segment: usize) -> bool {
        if segment <= usize::from(self.joinable.load(Relaxed)) {
            return true;
        }
        let unjoined = self.unjoined.load(Relaxed) + 1;
        if unjoined == JOIN_AGAIN {
            self.joinable.store(u16::MAX, Relaxed);
        }
        self.unjoined.store(unjoined % JOIN_AGAIN, Relaxed);
        false
    }

    /// Joined packets of this size were refused; with `any`, those of every size
    /// would be.
    pub(super) fn do_not_join(&self, segment: usize, any: bool) {
        let most = if any { 0 } else { segment.saturating_sub(1) };
        self.joinable.store(u16::try_from(most).unwrap_or(u16::MAX), Relaxed);
        self.unjoined.store(0, Relaxed);
    }

    /// Whether what is sent from now on has DF set (IPv6: is not fragmented
    /// here). "Probe", not "do": what the kernel believes of the path holds
    /// nothing back, only the interface's own MTU does.
    pub(super) fn set_dont_fragment(&self, family: SocketAddr, on: bool) -> io::Result<()> {
        match family {
            SocketAddr::V4(_) => {
                let mode = if on { libc::IP_PMTUDISC_PROBE } else { FRAGMENT_V4 };
                set(&self.socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, mode)
            }
            SocketAddr::V6(_) => {
                let mode = if on { libc::IPV6_PMTUDISC_PROBE } else { FRAGMENT_V6 };
                set(&self.socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, mode)
            }
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Of an IP header's other fields none is copied from packet to packet: what is
/// relayed leaves with DSCP best effort, ECN not-ECT and the system's own TTL or
/// hop limit and flow label, the alternates of RFC 8656 §13 and §14. To copy them
/// would take control messages with each packet received and sent, and split
/// batches by their values.
///
/// Linux sets DF by default and refuses what is larger than the path. A relay
/// must not: DF belongs to packets whose sender asked for it, and a relay that
/// can't see the DF bit of what it receives assumes 0 (RFC 8656 §14). So larger
/// datagrams are fragmented here or on the way.
///
/// Of the two modes without DF this is the one in which the kernel still tells
/// of "fragmentation needed", the answer to an earlier packet that had DF, and
/// in which no forged one makes it cut datagrams smaller.
const FRAGMENT_V4: c_int = libc::IP_PMTUDISC_OMIT;

/// IPv6 routers don't fragment, so here the path's MTU must be learned.
const FRAGMENT_V6: c_int = libc::IPV6_PMTUDISC_DONT;

fn set_v4(socket: &socket2::Socket, options: &Options) -> io::Result<()> {
    set(socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, FRAGMENT_V4)?;
    if options.packet_info {
        set(socket, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)?;
    }
    if options.errors {
        set(socket, libc::IPPROTO_IP, libc::IP_RECVERR, 1)?;
    }
    Ok(())
}

/// As for IPv4; IPv6 has no DF, but the kernel can be told not to fragment.
fn set_v6(socket: &socket2::Socket, options: &Options) -> io::Result<()> {
    socket.set_only_v6(true)?;
    set(socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, FRAGMENT_V6)?;
    if options.packet_info {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)?;
    }
    if options.errors {
        set(socket, libc::IPPROTO_IPV6, libc::IPV6_RECVERR, 1)?;
    }
    Ok(())
}

fn set(socket: &socket2::Socket, level: c_int, option: c_int, value: c_int) -> io::Result<()> {
    let length = size_of::<c_int>() as libc::socklen_t;
    // SAFETY: the kernel reads `length` bytes at `value`, which outlives the call.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const value).cast(), length) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this may be the error of an earlier packet, told to whoever uses the
/// socket next: what the kernel makes of an ICMP message. Telling it once takes
/// it off the socket.
pub(super) fn is_pending(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(
            libc::ECONNREFUSED
                | libc::ECONNRESET
                | libc::EHOSTUNREACH
                | libc::EHOSTDOWN
                | libc::ENETUNREACH
                | libc::ENETDOWN
                | libc::ENONET
                | libc::EMSGSIZE
                | libc::EACCES
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::EOPNOTSUPP
        )
    )
}

#[cfg(test)]
#[path = "socket_test.rs"]
mod tests;
