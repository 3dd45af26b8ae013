//! The error queue: what ICMP had to say of packets that were sent
//! (`IP_RECVERR`, `IPV6_RECVERR`; ip(7)).

use std::io;
use std::mem::{self, MaybeUninit};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use libc::{cmsghdr, sock_extended_err};

use super::control::read_message;
use super::name::Name;
use super::socket::Socket;

/// Room for a `sock_extended_err` and the address of who complained, as the
/// kernel writes them behind a `cmsghdr`, and some to spare.
#[repr(C, align(8))]
struct Control([u8; 128]);

/// An error that answers a packet this socket has sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NetworkError {
    /// Where the packet was going. Port 0 when that is not known.
    pub destination: SocketAddr,
    /// Who says so.
    pub origin: Origin,
    /// ICMP type; 0 for [`Origin::Local`].
    pub kind: u8,
    /// ICMP code; 0 for [`Origin::Local`].
    pub code: u8,
    /// The next link's MTU in bytes, of a packet that was too large; else
    /// nothing of use.
    pub info: u32,
    /// The system's error number.
    pub errno: i32,
}

impl NetworkError {
    /// Out of the control messages of an error queue, about a packet to
    /// `destination`; `None` for a kind that nobody asked for.
    pub fn decode(mut messages: &[u8], destination: SocketAddr) -> Option<Self> {
        while let Some((header, data, next)) = read_message(messages) {
            if let Some(error) = extended(&header, data) {
                return known(&error, destination);
            }
            messages = next;
        }
        None
    }

    /// The packet was too large for the next link; `info` is its MTU.
    pub const fn is_too_large(&self) -> bool {
        self.errno == libc::EMSGSIZE
    }
}

/// Where a [`NetworkError`] comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// This host would not send it.
    Local,
    /// ICMP for IPv4.
    Icmp,
    /// ICMP for IPv6.
    Icmp6,
}

impl Socket {
    /// Takes the oldest error that waits; none without
    /// [`Options::errors`](super::Options::errors). `Err` of kind `WouldBlock`
    /// when none waits.
    ///
    /// Whoever is told of errors should take a few at a time and read packets
    /// in between: anybody on the way can send them.
    pub fn recv_error(&self) -> io::Result<NetworkError> {
        loop {
            match self.next_error() {
                Ok(Some(error)) => return Ok(error),
                // Of a kind that nobody asked for.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn next_error(&self) -> io::Result<Option<NetworkError>> {
        // SAFETY: numbers, for which zero is valid.
        let mut name: Name = unsafe { mem::zeroed() };
        let mut control = MaybeUninit::<Control>::zeroed();
        // SAFETY: numbers, and pointers that may be null. The packet itself is
        // not asked for: no iovec.
        let mut header: libc::msghdr = unsafe { mem::zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = Name::CAPACITY;
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = size_of::<Control>() as _;
        let flags = libc::MSG_ERRQUEUE | libc::MSG_DONTWAIT;
        // SAFETY: the header and what it points to live until the call is over;
        // each length is that of the memory behind it.
        let result = unsafe { libc::recvmsg(self.as_raw_fd(), &raw mut header, flags) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: bytes, zeroed before the kernel wrote to some of them.
        let control = unsafe { control.assume_init() };
        #[allow(clippy::unnecessary_cast, reason = "32 bits wide in musl")]
        let length = header.msg_controllen as usize;
        let messages = &control.0[..length.min(control.0.len())];
        Ok(NetworkError::decode(messages, name.address()))
    }
}

fn extended(header: &cmsghdr, data: &[u8]) -> Option<sock_extended_err> {
    match (header.cmsg_level, header.cmsg_type) {
        (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
            super::control::read(data)
        }
        _ => None,
    }
}

fn known(error: &sock_extended_err, destination: SocketAddr) -> Option<NetworkError> {
    let origin = match error.ee_origin {
        libc::SO_EE_ORIGIN_LOCAL => Origin::Local,
        libc::SO_EE_ORIGIN_ICMP => Origin::Icmp,
        libc::SO_EE_ORIGIN_ICMP6 => Origin::Icmp6,
        _ => return None,
    };
    Some(NetworkError {
        destination,
        origin,
        kind: error.ee_type,
        code: error.ee_code,
        info: error.ee_info,
        errno: i32::try_from(error.ee_errno).unwrap_or(0),
    })
}

#[cfg(test)]
#[path = "errors_test.rs"]
mod tests;
