//! Sending: packets of any number of sockets are gathered, each from where its
//! parts lie, then sent with as few calls as may be. Packets of one size that go
//! the same way one after the other are handed over as one that the kernel, or the
//! network interface, cuts up again (UDP GSO).

use std::fmt;
use std::io::{self, ErrorKind};
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::NonNull;

use libc::{iovec, mmsghdr, msghdr};

use super::BATCH;
use super::control::Outbound;
use super::name::Name;
use super::segments;
use super::socket::{Socket, is_pending};

/// Most bytes that are handed over as one: the largest UDP datagram over IPv4.
const LARGEST_JOINED: usize = 65_507;

/// How often a packet is tried again that was refused with what may be the error
/// of another one.
const RETRIES: u8 = 2;

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
    pub parts: [&'a [u8]; PARTS],
}

/// Packets that the kernel did not take, and that are lost, as UDP allows.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'e> {
    /// As it was given to [`Batch::push`].
    pub label: usize,
    /// How many.
    pub packets: usize,
    /// Bytes in them.
    pub bytes: usize,
    /// Why.
    pub error: &'e io::Error,
}

/// Of a packet: [`Datagram::parts`].
const PARTS: usize = 3;

/// The memory of a batch to be sent, to be used again for the next one.
pub struct Outbox {
    messages: Vec<Message>,
    parts: Vec<iovec>,
    headers: Vec<mmsghdr>,
    /// Most packets that are handed over as one.
    segments: usize,
}

/// Packets that are gathered to be sent.
#[derive(Debug)]
pub struct Batch<'o, 'a> {
    outbox: &'o mut Outbox,
    /// What its packets point into.
    borrowed: PhantomData<(&'a Socket, &'a [u8])>,
}

impl Outbox {
    /// With what this kernel can do.
    pub fn new() -> Self {
        Self::joining(segments::limit())
    }

    /// Hands over so many packets as one, at most. More than the kernel's limit
    /// ([`Outbox::new`] knows it) costs a call that is refused.
    pub const fn joining(segments: usize) -> Self {
        Self { messages: Vec::new(), parts: Vec::new(), headers: Vec::new(), segments }
    }

    /// The same with room for so many packets from the start.
    pub fn with_room(packets: usize) -> Self {
        let mut outbox = Self::new();
        outbox.messages.reserve(packets);
        outbox.parts.reserve(packets * PARTS);
        outbox.headers.reserve(packets);
        outbox
    }

    /// Begins a batch.
    pub fn batch<'a>(&mut self) -> Batch<'_, 'a> {
        // Not only when a batch ends: one may have been forgotten.
        self.clear();
        Batch { outbox: self, borrowed: PhantomData }
    }

    fn clear(&mut self) {
        self.messages.clear();
        self.parts.clear();
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("messages", &self.messages.len()).finish_non_exhaustive()
    }
}

impl Default for Outbox {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> Batch<'_, 'a> {
    /// Adds a packet. Those of one socket are sent in the order in which they are
    /// added, and with the fewest calls when they are added together, sorted by
    /// destination. With `dont_fragment` no router may fragment it (DF; RFC 8656
    /// §14); what is larger than the interface's MTU is refused then, and with
    /// [`Options::errors`](super::Options::errors) that is told like an ICMP error.
    pub fn push(&mut self, socket: &'a Socket, label: usize, dont_fragment: bool, packet: &Datagram<'a>) {
        let Outbox { messages, parts, segments, .. } = &mut *self.outbox;
        let length = packet.parts.iter().map(|part| part.len()).sum();
        let joined = messages.last_mut().is_some_and(|message| {
            message.socket == NonNull::from(socket)
                && message.to == packet.to
                && message.from == packet.from
                && message.dont_fragment == dont_fragment
                && message.label == label
                && message.join(length, *segments, socket)
        });
        let first_part = parts.len();
        // The kernel is faster with one part than with three, two of them empty.
        // It does not write to what it sends.
        parts.extend(
            packet
                .parts
                .iter()
                .filter(|part| !part.is_empty())
                .map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
        );
        if joined {
            if let Some(message) = messages.last_mut() {
                message.parts.1 = parts.len();
            }
            return;
        }
        messages.push(Message {
            socket: NonNull::from(socket),
            label,
            to: packet.to,
            from: packet.from,
            dont_fragment,
            name: packet.to.into(),
            control: Outbound::EMPTY,
            parts: (first_part, parts.len()),
            bytes: length,
            segment: length,
            packets: 1,
        });
    }

    /// Sends everything, without waiting. A packet that the kernel refuses (too
    /// large, no route, a firewall's rule) is told of and passed over; when the
    /// kernel has no room, the socket's packets from there on are.
    pub fn send(self, mut refused: impl FnMut(Refused<'_>)) {
        let Outbox { messages, parts, headers, .. } = &mut *self.outbox;
        for run in messages.chunk_by_mut(|a, b| (a.socket, a.dont_fragment) == (b.socket, b.dont_fragment)) {
            // SAFETY: borrowed for as long as this batch, which is for `'a`.
            let socket = unsafe { run[0].socket.as_ref() };
            let dont_fragment = run[0].dont_fragment.then_some(run[0].to);
            // SAFETY: the parts point to what is borrowed for as long as this batch.
            let mut send =
                |run: &mut [Message]| unsafe { transmit(socket, run, parts, headers, &mut refused) };
            match dont_fragment {
                None => send(run),
                Some(to) => {
                    // Fails in no other case than a wrong descriptor: then so
                    // does each packet.
                    let _ = socket.set_dont_fragment(to, true);
                    send(run);
                    let _ = socket.set_dont_fragment(to, false);
                }
            }
        }
    }
}

impl Drop for Batch<'_, '_> {
    fn drop(&mut self) {
        self.outbox.clear();
    }
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
    /// Sends packets by an [`Outbox`] of its own: for whoever does so seldom.
    pub fn send(&self, packets: &[Datagram<'_>]) -> Sent {
        let mut outbox = Outbox::new();
        let mut batch = outbox.batch();
        for packet in packets {
            batch.push(self, 0, false, packet);
        }
        let mut sent = Sent { sent: packets.len(), ..Sent::default() };
        batch.send(|refused| {
            sent.sent -= refused.packets;
            sent.refused += refused.packets;
            sent.last_error = refused.error.raw_os_error().map(io::Error::from_raw_os_error);
        });
        sent
    }
}

/// One packet, or several that are handed over as one.
struct Message {
    socket: NonNull<Socket>,
    label: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
    dont_fragment: bool,
    name: Name,
    control: Outbound,
    /// From where to where in [`Outbox::parts`].
    parts: (usize, usize),
    bytes: usize,
    /// Bytes of each packet, the last one excepted.
    segment: usize,
    packets: usize,
}

impl Message {
    /// Takes in another packet of so many bytes, if it can.
    fn join(&mut self, length: usize, segments: usize, socket: &Socket) -> bool {
        let whole = self.bytes == self.segment * self.packets;
        let fits = (1..=self.segment).contains(&length)
            && whole
            && self.packets < segments
            && self.bytes + length <= LARGEST_JOINED
            && socket.may_join(self.segment);
        if fits {
            self.bytes += length;
            self.packets += 1;
        }
        fits
    }

    /// What the kernel is handed. Good only while `self` and `parts` stay where
    /// they are.
    fn header(&mut self, parts: &mut [iovec]) -> mmsghdr {
        self.control = Outbound::EMPTY;
        if let Some(from) = self.from {
            self.control.leave_from(from);
        }
        if self.packets > 1 {
            self.control.cut_into(u16::try_from(self.segment).unwrap_or(u16::MAX));
        }
        // SAFETY: numbers, and pointers that may be null. (A struct expression
        // would not do: some C libraries have padding fields of their own.)
        let mut header: mmsghdr = unsafe { std::mem::zeroed() };
        let message = &mut header.msg_hdr;
        message.msg_name = (&raw mut self.name).cast();
        message.msg_namelen = Name::length(self.to);
        message.msg_iov = parts.as_mut_ptr();
        message.msg_iovlen = parts.len() as _;
        let (control, length) = self.control.messages();
        if length > 0 {
            message.msg_control = control.cast();
            message.msg_controllen = length as _;
        }
        header
    }

    fn refused(&self, error: &io::Error, refused: &mut impl FnMut(Refused<'_>)) {
        refused(Refused { label: self.label, packets: self.packets, bytes: self.bytes, error });
    }
}

/// Hands the messages of one socket to the kernel.
///
/// # Safety
/// The parts must point to what can be read.
unsafe fn transmit(
    socket: &Socket,
    messages: &mut [Message],
    parts: &mut [iovec],
    headers: &mut Vec<mmsghdr>,
    refused: &mut impl FnMut(Refused<'_>),
) {
    headers.clear();
    for message in &mut *messages {
        headers.push(message.header(&mut parts[message.parts.0..message.parts.1]));
    }
    let mut at = 0;
    let mut tries = 0;
    while at < headers.len() {
        let end = headers.len().min(at + BATCH);
        // SAFETY: the headers point into `messages` and `parts`, which stay where
        // they are until the headers are gone; for what these point to, the caller
        // answers.
        let error = match unsafe { hand_over(socket.as_raw_fd(), &mut headers[at..end]) } {
            // It stops before the first message that it refuses, and says why only
            // when it is given that message first.
            Ok(count) => {
                at += count;
                tries = 0;
                continue;
            }
            Err(error) => error,
        };
        if error.kind() == ErrorKind::Interrupted {
            continue;
        }
        // The error may be that of an earlier packet, answered by ICMP. Then the
        // same packet passes now, unless another one is answered just then.
        if is_pending(&error) && tries < RETRIES {
            tries += 1;
            continue;
        }
        tries = 0;
        // Not ENOBUFS: a socket that asks for errors is told so of each packet
        // that an interface's queue has dropped.
        if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::ENOMEM)) {
            messages[at..].iter().for_each(|message| message.refused(&error, refused));
            return;
        }
        let message = &mut messages[at];
        if message.packets > 1 && is_of_joining(&error) {
            socket.do_not_join(message.segment, error.raw_os_error() == Some(libc::EIO));
            // SAFETY: as the caller says.
            unsafe { transmit_singly(socket, message, parts, refused) };
        } else {
            message.refused(&error, refused);
        }
        at += 1;
    }
}

/// Sends packets one by one that can't be handed over as one.
///
/// # Safety
/// As for [`transmit`].
unsafe fn transmit_singly(
    socket: &Socket,
    message: &Message,
    parts: &mut [iovec],
    refused: &mut impl FnMut(Refused<'_>),
) {
    let mut first = message.parts.0;
    let mut left = message.bytes;
    // A packet is whole parts.
    while left > 0 {
        let bytes = left.min(message.segment);
        let mut end = first;
        let mut length = 0;
        while length < bytes {
            length += parts[end].iov_len;
            end += 1;
        }
        let mut single = Message { packets: 1, bytes, parts: (first, end), ..*message };
        // SAFETY: as the caller says. One packet alone is not sent singly again.
        unsafe {
            transmit(socket, std::slice::from_mut(&mut single), parts, &mut Vec::with_capacity(1), refused)
        };
        first = end;
        left -= bytes;
    }
}

/// Calls the kernel once; how many messages it has taken, at least one.
///
/// # Safety
/// Everything the headers point to must be valid.
unsafe fn hand_over(socket: RawFd, headers: &mut [mmsghdr]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT;
    // SAFETY: as the caller says; the slice's own length.
    let count = unsafe {
        match headers {
            // For one, these are the shorter ways.
            [one] if one.msg_hdr.msg_iovlen == 1 && one.msg_hdr.msg_controllen == 0 => {
                let msghdr { msg_name: name, msg_namelen: length, msg_iov: part, .. } = one.msg_hdr;
                let iovec { iov_base: bytes, iov_len: count } = *part;
                libc::sendto(socket, bytes, count, flags, name.cast(), length).min(0) + 1
            }
            [one] => libc::sendmsg(socket, &raw const one.msg_hdr, flags).min(0) + 1,
            many => libc::sendmmsg(socket, many.as_mut_ptr(), many.len() as _, flags as _) as isize,
        }
    };
    if count > 0 { Ok(count.unsigned_abs()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this may be the answer to what was joined and not to its packets: a
/// segment larger than the path's MTU, an interface that can't do checksums.
fn is_of_joining(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP))
}

#[cfg(test)]
#[path = "send_test.rs"]
mod tests;
