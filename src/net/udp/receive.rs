//! Receiving: one `recvmmsg` fills a batch.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;

use libc::{iovec, mmsghdr};

use super::BATCH;
use super::control::Control;
use super::name::Name;
use super::socket::{Socket, is_pending};

/// The largest UDP datagram is smaller (65,507 bytes of payload over IPv4,
/// 65,527 over IPv6), so nothing is ever cut.
const BUFFER: usize = 65_535;

/// From one buffer to the next: whole pages.
const STRIDE: usize = 65_536;

impl Socket {
    /// Takes the packets that wait, 1 to [`BATCH`] of them, in place of what
    /// the batch held. A batch that comes back full may have left more behind.
    ///
    /// `Err` of kind `WouldBlock` when none waits. Another error means that the
    /// descriptor or the kernel's memory is in trouble, never that something
    /// arrived: errors left by ICMP are taken off the socket and passed over.
    pub fn recv(&self, batch: &mut Received) -> io::Result<usize> {
        batch.rearm();
        // Bounded, because a peer could send ICMP errors as fast as they are
        // taken. Each of them makes the socket readable again.
        for _ in 0..BATCH {
            match batch.fill(self) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_pending(&error) => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// What is known of a packet beside its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Who sent it. Link-local IPv6 addresses have their scope id.
    pub from: SocketAddr,
    /// The local address it was sent to; `None` on sockets without
    /// [`Options::packet_info`](super::Options::packet_info).
    pub to: Option<IpAddr>,
    /// Whether bytes are missing at its end.
    pub truncated: bool,
}

/// The packets of one batch, and the memory they are received into: [`BATCH`]
/// buffers of 65,535 bytes, allocated once (4 MiB of address space; pages that
/// no packet has touched take no memory). One serves any number of sockets, one
/// after the other.
pub struct Received {
    /// Owned. Not a `Box`, because the headers point into the same memory, and
    /// a `Box` that is moved claims that nothing else does.
    memory: NonNull<Memory>,
    /// How many packets the last call brought, `BATCH` at most.
    len: usize,
}

/// All zero is valid: numbers, and pointers that may be null. The buffers come
/// first: so large an allocation begins near the start of a page, and then a
/// packet of ordinary size touches one page and not two.
#[repr(C)]
struct Memory {
    buffers: [[u8; STRIDE]; BATCH],
    headers: [mmsghdr; BATCH],
    parts: [iovec; BATCH],
    names: [Name; BATCH],
    controls: [Control; BATCH],
}

impl Received {
    /// An empty batch.
    pub fn new() -> Self {
        // SAFETY: all zero is a valid `Memory`.
        let memory = unsafe { Box::<Memory>::new_zeroed().assume_init() };
        let memory = NonNull::from(Box::leak(memory));
        let raw = memory.as_ptr();
        for i in 0..BATCH {
            // SAFETY: `raw` is valid and nobody else has it. It stays where it
            // is, so what points into it is valid as long as `self` lives.
            unsafe {
                (*raw).parts[i].iov_base = (&raw mut (*raw).buffers[i]).cast();
                (*raw).parts[i].iov_len = BUFFER;
                let header = &raw mut (*raw).headers[i].msg_hdr;
                (*header).msg_name = (&raw mut (*raw).names[i]).cast();
                (*header).msg_iov = &raw mut (*raw).parts[i];
                (*header).msg_iovlen = 1;
                (*header).msg_control = (&raw mut (*raw).controls[i]).cast();
            }
        }
        // As if all had been used.
        let mut batch = Self { memory, len: BATCH };
        batch.rearm();
        batch
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// A packet, to be changed in place.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn packet(&mut self, i: usize) -> (Meta, &mut [u8]) {
        let (meta, length) = (self.meta(i), self.length(i));
        // SAFETY: the kernel wrote `length` bytes there, at most `BUFFER`;
        // borrowed from `self` alone, as the signature says.
        let bytes = unsafe { slice::from_raw_parts_mut(self.buffer(i), length) };
        (meta, bytes)
    }

    /// A packet's bytes.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn bytes(&self, i: usize) -> &[u8] {
        // SAFETY: the kernel wrote so many bytes there, at most `BUFFER`; none
        // is changed while `self` is borrowed.
        unsafe { slice::from_raw_parts(self.buffer(i), self.length(i)) }
    }

    /// What is known of a packet beside its bytes.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn meta(&self, i: usize) -> Meta {
        let header = self.header(i);
        let memory = self.memory.as_ptr();
        // SAFETY: owned, valid, and not changed while `self` is borrowed.
        let (name, control) = unsafe { (&(*memory).names[i], &(*memory).controls[i]) };
        #[allow(clippy::unnecessary_cast, reason = "32 bits wide in musl")]
        let control_length = header.msg_hdr.msg_controllen as usize;
        Meta {
            from: name.address(),
            to: control.sent_to(control_length),
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        }
    }

    /// Restores what the kernel changed in the headers it used, and no more: a
    /// batch of one packet should not pay for sixty-four.
    fn rearm(&mut self) {
        let memory = self.memory.as_ptr();
        for i in 0..self.len {
            // SAFETY: owned, valid, and borrowed by nobody else.
            let header = unsafe { &mut (*memory).headers[i].msg_hdr };
            header.msg_namelen = Name::CAPACITY;
            header.msg_controllen = Control::CAPACITY as _;
            header.msg_flags = 0;
        }
        self.len = 0;
    }

    /// Calls the kernel once, with headers that are armed.
    fn fill(&mut self, socket: &Socket) -> io::Result<usize> {
        let memory = self.memory.as_ptr();
        // SAFETY: the headers and all they point to belong to `self`, which is
        // borrowed for this call alone; each length is that of the memory
        // behind it. No timeout.
        let count = unsafe {
            let headers = (&raw mut (*memory).headers).cast();
            libc::recvmmsg(socket.as_raw_fd(), headers, BATCH as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        self.len = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        Ok(self.len)
    }

    fn header(&self, i: usize) -> &mmsghdr {
        assert!(i < self.len, "packet {i} of {}", self.len);
        // SAFETY: owned, valid, and not changed while `self` is borrowed.
        unsafe { &(*self.memory.as_ptr()).headers[i] }
    }

    /// Bytes received, cut to the buffer.
    fn length(&self, i: usize) -> usize {
        (self.header(i).msg_len as usize).min(BUFFER)
    }

    fn buffer(&self, i: usize) -> *mut u8 {
        // SAFETY: only the place is computed, within memory that is owned.
        unsafe { (&raw mut (*self.memory.as_ptr()).buffers[i]).cast() }
    }
}

impl Default for Received {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        // SAFETY: made by `Box::leak` and given back once.
        drop(unsafe { Box::from_raw(self.memory.as_ptr()) });
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Received").field("len", &self.len).finish_non_exhaustive()
    }
}

// SAFETY: it owns its memory as a `Box` does; the pointers lead nowhere else.
unsafe impl Send for Received {}
// SAFETY: `&Received` only reads.
unsafe impl Sync for Received {}

#[cfg(test)]
#[path = "receive_test.rs"]
mod tests;
