//! Sending: one `sendmmsg` for up to a batch, each packet gathered from where
//! its parts lie.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use arrayvec::ArrayVec;
use libc::{iovec, mmsghdr};

use super::BATCH;
use super::control::Control;
use super::name::Name;
use super::socket::{Socket, is_pending};

/// One packet to send.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// To whom. A link-local IPv6 address needs its scope id.
    pub to: SocketAddr,
    /// Leave from this local address, of the family of `to` and of this host.
    /// `None`: from the address the socket is bound to, or with a wildcard the
    /// one that the route to `to` prefers. Works without
    /// [`Options::packet_info`](super::Options::packet_info). A link-local one
    /// reaches link-local addresses only.
    pub from: Option<IpAddr>,
    /// Its bytes, one after the other, without being copied together. Any may
    /// be empty, all of them too; 65,507 bytes altogether at most over IPv4,
    /// 65,527 over IPv6.
    pub parts: [&'a [u8]; 3],
}

/// What became of the packets given to [`Socket::send`]; the counts add up to
/// their number.
#[derive(Debug, Default)]
pub struct Sent {
    /// Taken by the kernel.
    pub sent: usize,
    /// Not taken, and gone.
    pub refused: usize,
    /// Why one of these was refused, the last one.
    pub last_error: Option<io::Error>,
}

impl Socket {
    /// Sends packets in order, without waiting. A packet that the kernel
    /// refuses (too large, no route, a firewall's rule) is counted and passed
    /// over; when the kernel has no room, that packet and all behind it are
    /// counted and lost, as UDP allows.
    pub fn send(&self, packets: &[Datagram<'_>]) -> Sent {
        let mut result = Sent::default();
        for chunk in packets.chunks(BATCH) {
            // Filled in place: what `collect` makes is moved, with all its room.
            let mut messages = ArrayVec::<Message, BATCH>::new();
            messages.extend(chunk.iter().map(Message::new));
            let mut headers = ArrayVec::<mmsghdr, BATCH>::new();
            headers.extend(messages.iter_mut().map(Message::header));
            // SAFETY: the headers point into `messages`, which is neither moved
            // nor used until they are gone, and these into `packets`.
            let room = unsafe { transmit(self, &mut headers, &mut result) };
            if !room {
                break;
            }
        }
        result.refused = packets.len() - result.sent;
        result
    }

    /// Sends packets, all of one family, that no router may fragment (DF;
    /// RFC 8656 §14); otherwise like [`Socket::send`]. What is larger than the
    /// interface's MTU is refused, and with [`Options::errors`](super::Options)
    /// that is told like an ICMP error.
    pub fn send_unfragmented(&self, packets: &[Datagram<'_>]) -> Sent {
        let Some(first) = packets.first() else { return Sent::default() };
        if let Err(error) = self.set_dont_fragment(first.to, true) {
            return Sent { sent: 0, refused: packets.len(), last_error: Some(error) };
        }
        let mut result = self.send(packets);
        if let Err(error) = self.set_dont_fragment(first.to, false) {
            result.last_error = Some(error);
        }
        result
    }
}

/// What one header points to.
struct Message {
    name: Name,
    name_length: libc::socklen_t,
    control: Control,
    control_length: usize,
    parts: ArrayVec<iovec, 3>,
}

impl Message {
    fn new(packet: &Datagram<'_>) -> Self {
        let (control, control_length) = packet.from.map_or((Control::EMPTY, 0), Control::leave_from);
        // The kernel is faster with one part than with three, two of them empty.
        let parts = packet.parts.iter().filter(|part| !part.is_empty());
        Self {
            name: packet.to.into(),
            name_length: Name::length(packet.to),
            control,
            control_length,
            // The kernel does not write to what it sends.
            parts: parts
                .map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() })
                .collect(),
        }
    }

    /// Good only while `self` stays where it is.
    fn header(&mut self) -> mmsghdr {
        // SAFETY: numbers, and pointers that may be null. (A struct expression
        // would not do: some C libraries have padding fields of their own.)
        let mut header: mmsghdr = unsafe { std::mem::zeroed() };
        let message = &mut header.msg_hdr;
        message.msg_name = (&raw mut self.name).cast();
        message.msg_namelen = self.name_length;
        message.msg_iov = self.parts.as_mut_ptr();
        message.msg_iovlen = self.parts.len() as _;
        if self.control_length > 0 {
            message.msg_control = (&raw mut self.control).cast();
            message.msg_controllen = self.control_length as _;
        }
        header
    }
}

/// How often a packet is tried again that was refused with what may be the error
/// of another one.
const RETRIES: u8 = 2;

/// Hands all headers to the kernel; false when it has no room for more.
///
/// # Safety
/// Everything the headers point to must be valid.
unsafe fn transmit(socket: &Socket, headers: &mut [mmsghdr], result: &mut Sent) -> bool {
    let mut at = 0;
    let mut tries = 0;
    while at < headers.len() {
        let rest = &mut headers[at..];
        // SAFETY: the slice's own length; what is behind it, the caller answers for.
        let count = unsafe {
            libc::sendmmsg(socket.as_raw_fd(), rest.as_mut_ptr(), rest.len() as _, libc::MSG_DONTWAIT as _)
        };
        // It stops before the first packet that it refuses, and says why only
        // when it is given that packet first.
        if let Ok(count @ 1..) = usize::try_from(count) {
            result.sent += count;
            at += count;
            tries = 0;
            continue;
        }
        let error = io::Error::last_os_error();
        if error.kind() == ErrorKind::Interrupted {
            continue;
        }
        // The error may be that of an earlier packet, answered by ICMP. Then the
        // same packet passes now, unless another one is answered just then.
        if is_pending(&error) && tries < RETRIES {
            tries += 1;
            continue;
        }
        // Not ENOBUFS: a socket that asks for errors is told so of each packet
        // that an interface's queue has dropped.
        let full = matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM));
        result.last_error = Some(error);
        if full {
            return false;
        }
        at += 1;
        tries = 0;
    }
    true
}

#[cfg(test)]
#[path = "send_test.rs"]
mod tests;
