//! Receiving: one `recvmmsg` fills the free slots of a batch. Where the kernel has
//! joined packets of one flow (GRO), a slot holds several; whoever reads the batch
//! sees packets alone.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};
use std::slice;

use arrayvec::ArrayVec;
use libc::{iovec, mmsghdr};

use super::BATCH;
use super::control::Inbound;
use super::name::Name;
use super::socket::{Socket, is_pending};

/// The largest UDP datagram is smaller (65,507 bytes of payload over IPv4,
/// 65,527 over IPv6), so nothing is ever cut.
const BUFFER: usize = 65_535;

/// From one buffer to the next: whole pages.
const STRIDE: usize = 65_536;

/// Packets that fit a batch before its memory has to grow. The kernel joins 64 in
/// a slot at most; those that another program on this host has sent as one, 128.
const PACKETS: usize = 64 * BATCH;

impl Socket {
    /// Takes the packets that wait in place of what the batch held; says how
    /// many, at least 1. [`BATCH`] at most, but where the kernel joins packets
    /// ([`Options::join`](super::Options::join)) many times that. May have left
    /// more behind when it is [`BATCH`] or more.
    ///
    /// `Err` of kind `WouldBlock` when none waits. Another error means that the
    /// descriptor or the kernel's memory is in trouble, never that something
    /// arrived: errors left by ICMP are taken off the socket and passed over.
    pub fn recv(&self, batch: &mut Received) -> io::Result<usize> {
        batch.clear();
        self.recv_more(batch, BATCH)?;
        Ok(batch.len())
    }

    /// Takes the packets that wait and puts them behind those that the batch
    /// holds, in `slots` of its slots at most. True when that was all there was:
    /// no read is needed to know it. Errors as [`Socket::recv`] has them.
    ///
    /// # Panics
    /// When there is no room ([`Received::room`]) or `slots` is 0.
    pub fn recv_more(&self, batch: &mut Received, slots: usize) -> io::Result<bool> {
        let slots = slots.min(batch.room());
        assert!(slots > 0, "no room in the batch");
        // Bounded, because a peer could send ICMP errors as fast as they are
        // taken. Each of them makes the socket readable again.
        for _ in 0..BATCH {
            match batch.fill(self, slots) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted || is_pending(&error) => {}
                result => return result.map(|count| count < slots),
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
/// slots of 65,535 bytes, allocated once (4 MiB of address space; pages that no
/// packet has touched take no memory). One serves any number of sockets.
pub struct Received {
    /// Owned. Not a `Box`, because the headers point into the same memory, and
    /// a `Box` that is moved claims that nothing else does.
    memory: NonNull<Memory>,
    /// By slot, as many as are filled.
    metas: ArrayVec<Meta, BATCH>,
    /// Where each packet lies.
    packets: Vec<Place>,
    /// Packets lost in the sockets.
    lost: u64,
    /// Slots that the kernel has written to.
    touched: usize,
}

/// Where a packet lies.
#[derive(Clone, Copy, Debug)]
struct Place {
    slot: u16,
    start: u16,
    length: u16,
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
    controls: [Inbound; BATCH],
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
        let packets = Vec::with_capacity(PACKETS);
        let mut batch = Self { memory, metas: ArrayVec::new(), packets, lost: 0, touched: BATCH };
        batch.clear();
        batch
    }

    /// How many packets there are.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Slots that are free.
    pub fn room(&self) -> usize {
        self.metas.remaining_capacity()
    }

    /// Packets that the kernel had to drop for want of room in the sockets read
    /// since the batch was empty; each is told once.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// A packet, to be changed in place.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn packet(&mut self, i: usize) -> (Meta, &mut [u8]) {
        let (meta, place) = (self.meta(i), self.place(i));
        // SAFETY: places lie within what the kernel wrote, and no two overlap;
        // borrowed from `self` alone, as the signature says.
        let bytes = unsafe { slice::from_raw_parts_mut(self.start(place), usize::from(place.length)) };
        (meta, bytes)
    }

    /// A packet's bytes.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn bytes(&self, i: usize) -> &[u8] {
        let place = self.place(i);
        // SAFETY: places lie within what the kernel wrote; none is changed while
        // `self` is borrowed.
        unsafe { slice::from_raw_parts(self.start(place), usize::from(place.length)) }
    }

    /// What is known of a packet beside its bytes.
    ///
    /// # Panics
    /// When `i` is not below [`Received::len`].
    pub fn meta(&self, i: usize) -> Meta {
        self.metas[usize::from(self.place(i).slot)]
    }

    /// Makes it empty, and restores what the kernel changed in the headers it
    /// used, and no more: a batch of one packet should not pay for sixty-four.
    pub fn clear(&mut self) {
        let memory = self.memory.as_ptr();
        for i in 0..self.touched {
            // SAFETY: owned, valid, and borrowed by nobody else.
            let header = unsafe { &mut (*memory).headers[i].msg_hdr };
            header.msg_namelen = Name::CAPACITY;
            header.msg_controllen = Inbound::CAPACITY as _;
            header.msg_flags = 0;
        }
        self.touched = 0;
        self.metas.clear();
        self.packets.clear();
        self.lost = 0;
    }

    /// Calls the kernel once, with headers that are armed; how many slots it has
    /// filled, of the next `slots` that are free.
    fn fill(&mut self, socket: &Socket, slots: usize) -> io::Result<usize> {
        let memory = self.memory.as_ptr();
        let first = self.metas.len();
        // SAFETY: the headers and all they point to belong to `self`, which is
        // borrowed for this call alone; each length is that of the memory
        // behind it, and `slots` are free behind the first. No timeout.
        let count = unsafe {
            let headers = (&raw mut (*memory).headers).cast::<mmsghdr>().add(first);
            libc::recvmmsg(socket.as_raw_fd(), headers, slots as _, libc::MSG_DONTWAIT as _, ptr::null_mut())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.touched = first + count;
        for slot in first..first + count {
            self.take_in(socket, slot);
        }
        Ok(count)
    }

    /// Notes what the kernel has put into a slot.
    fn take_in(&mut self, socket: &Socket, slot: usize) {
        let memory = self.memory.as_ptr();
        // SAFETY: owned, valid, and not changed while `self` is borrowed.
        let (header, name, control) =
            unsafe { (&(*memory).headers[slot], &(*memory).names[slot], &(*memory).controls[slot]) };
        #[allow(clippy::unnecessary_cast, reason = "32 bits wide in musl")]
        let seen = control.read(header.msg_hdr.msg_controllen as usize);
        self.lost += seen.drops.map_or(0, |drops| socket.newly_lost(drops));
        self.metas.push(Meta {
            from: name.address(),
            to: seen.to,
            truncated: header.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
        });
        let length = (header.msg_len as usize).min(BUFFER);
        let segment = seen.segment.map_or(length, usize::from).max(1);
        let mut start = 0;
        loop {
            let end = length.min(start + segment);
            self.packets.push(Place { slot: slot as u16, start: start as u16, length: (end - start) as u16 });
            start = end;
            if start == length {
                break;
            }
        }
    }

    fn place(&self, i: usize) -> Place {
        assert!(i < self.len(), "packet {i} of {}", self.len());
        self.packets[i]
    }

    fn start(&self, place: Place) -> *mut u8 {
        // SAFETY: only the place is computed, within memory that is owned.
        unsafe {
            (&raw mut (*self.memory.as_ptr()).buffers[usize::from(place.slot)])
                .cast::<u8>()
                .add(usize::from(place.start))
        }
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
        f.debug_struct("Received").field("len", &self.len()).finish_non_exhaustive()
    }
}

// SAFETY: it owns its memory as a `Box` does; the pointers lead nowhere else.
unsafe impl Send for Received {}
// SAFETY: `&Received` only reads.
unsafe impl Sync for Received {}

#[cfg(test)]
#[path = "receive_test.rs"]
mod tests;
