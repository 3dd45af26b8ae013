//! Control messages: what travels beside a packet. With one received, the local
//! address (`IP_PKTINFO`, `IPV6_PKTINFO`; RFC 3542 §6), the size of the packets
//! that the kernel has joined (`UDP_GRO`) and how many the socket has lost
//! (`SO_RXQ_OVFL`); with one sent, the local address and the size of the packets to
//! cut it into (`UDP_SEGMENT`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{c_int, cmsghdr, in_pktinfo, in6_pktinfo, sock_extended_err};

/// udp(7); not in every `libc`.
const UDP_SEGMENT: c_int = 103;
pub(super) const UDP_GRO: c_int = 104;

/// Room for the control messages of one packet received, aligned as they must be.
/// All zero is valid.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Inbound([u8; Inbound::CAPACITY]);

/// What control messages say of a packet received.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Beside {
    /// The local address that it was sent to. For a broadcast or multicast over
    /// IPv4 that is the address of this host which answers it.
    pub to: Option<IpAddr>,
    /// Bytes of each of the packets joined in it, the last one excepted.
    pub segment: Option<u16>,
    /// Packets that the socket has lost since it was opened; wraps.
    pub drops: Option<u32>,
}

impl Beside {
    /// Reads a list of control messages. What nobody asked for is passed over.
    pub fn decode(mut messages: &[u8]) -> Self {
        let mut beside = Self::default();
        while let Some((header, data, next)) = read_message(messages) {
            match (header.cmsg_level, header.cmsg_type) {
                (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                    let address = |info: in_pktinfo| Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes());
                    beside.to = read(data).map(|info| address(info).into());
                }
                (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                    let address = |info: in6_pktinfo| Ipv6Addr::from(info.ipi6_addr.s6_addr);
                    beside.to = read(data).map(|info| address(info).into());
                }
                (libc::SOL_UDP, UDP_GRO) => {
                    beside.segment = read(data).and_then(|size: c_int| u16::try_from(size).ok());
                }
                (libc::SOL_SOCKET, libc::SO_RXQ_OVFL) => beside.drops = read(data),
                _ => {}
            }
            messages = next;
        }
        beside
    }
}

impl Inbound {
    /// Everything that is asked for, together.
    pub(super) const CAPACITY: usize =
        space(size_of::<in6_pktinfo>()) + space(size_of::<c_int>()) + space(size_of::<u32>());

    /// What the first `length` bytes say.
    pub(super) fn read(&self, length: usize) -> Beside {
        Beside::decode(&self.0[..length.min(Self::CAPACITY)])
    }
}

/// The control messages of one packet to send.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Outbound {
    bytes: [u8; Outbound::CAPACITY],
    length: usize,
}

impl Outbound {
    const CAPACITY: usize = space(size_of::<in6_pktinfo>()) + space(size_of::<u16>());

    /// No message.
    pub(super) const EMPTY: Self = Self { bytes: [0; Self::CAPACITY], length: 0 };

    /// Where the messages are, and their length in bytes.
    pub(super) const fn messages(&mut self) -> (*mut u8, usize) {
        (self.bytes.as_mut_ptr(), self.length)
    }

    /// The packet is to leave from this address.
    pub(super) fn leave_from(&mut self, from: IpAddr) {
        // Interface 0: the route decides. It must not be named here, or a reply
        // would be tied to the interface its request came in by.
        match from {
            IpAddr::V4(ip) => {
                let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: address,
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                self.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info);
            }
            IpAddr::V6(ip) => {
                let address = libc::in6_addr { s6_addr: ip.octets() };
                let info = in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
                self.push(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info);
            }
        }
    }

    /// The packet is to be cut into packets of so many bytes.
    pub(super) fn cut_into(&mut self, segment: u16) {
        self.push(libc::SOL_UDP, UDP_SEGMENT, segment);
    }

    /// Appends one message; nothing when there is no room.
    fn push<T: Plain>(&mut self, level: c_int, kind: c_int, data: T) {
        let Some(place) = self.bytes[self.length..].get_mut(..space(size_of::<T>())) else { return };
        // SAFETY: integers only, for which zero is valid. (A struct expression
        // would not do: some C libraries have padding fields of their own.)
        let mut header: cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (DATA_AT + size_of::<T>()) as _;
        header.cmsg_level = level;
        header.cmsg_type = kind;
        let start = place.as_mut_ptr();
        // SAFETY: a header and a `T` behind it fit, as `place` is so long. Neither
        // has padding bytes that would make a part of the array uninitialised.
        unsafe {
            start.cast::<cmsghdr>().write_unaligned(header);
            start.add(DATA_AT).cast::<T>().write_unaligned(data);
        }
        self.length += space(size_of::<T>());
    }
}

/// Where a message's data begins.
// SAFETY: plain arithmetic.
const DATA_AT: usize = unsafe { libc::CMSG_LEN(0) } as usize;

/// What a message with so many bytes of data takes, padding included.
const fn space(data: usize) -> usize {
    // SAFETY: plain arithmetic.
    unsafe { libc::CMSG_SPACE(data as libc::c_uint) as usize }
}

/// The message that a list begins with, its data, and the rest of the list. What
/// is not a whole message ends the list.
pub(super) fn read_message(list: &[u8]) -> Option<(cmsghdr, &[u8], &[u8])> {
    let header: cmsghdr = read(list)?;
    #[allow(clippy::unnecessary_cast, reason = "32 bits wide in musl")]
    let data = list.get(DATA_AT..header.cmsg_len as usize)?;
    Some((header, data, list.get(space(data.len())..).unwrap_or_default()))
}

/// Types without padding for which any bytes are a valid value.
///
/// # Safety
/// Both must be true.
pub(super) unsafe trait Plain: Copy {}
// SAFETY: integers, and (padding, in some C libraries) an integer field.
unsafe impl Plain for cmsghdr {}
// SAFETY: three 32-bit integers.
unsafe impl Plain for in_pktinfo {}
// SAFETY: 16 bytes and a 32-bit integer.
unsafe impl Plain for in6_pktinfo {}
// SAFETY: a 32-bit integer, four bytes, two 32-bit integers.
unsafe impl Plain for sock_extended_err {}
// SAFETY: integers.
unsafe impl Plain for c_int {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u16 {}

/// The value that `bytes` begin with, if they are enough.
pub(super) fn read<T: Plain>(bytes: &[u8]) -> Option<T> {
    // SAFETY: as many bytes are there, of a type that takes any.
    bytes.get(..size_of::<T>()).map(|bytes| unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info_v4(address: [u8; 4]) -> in_pktinfo {
        let local = libc::in_addr { s_addr: u32::from_ne_bytes(address) };
        in_pktinfo { ipi_ifindex: 1, ipi_spec_dst: local, ipi_addr: libc::in_addr { s_addr: u32::MAX } }
    }

    /// What was written, as if it had been received.
    fn received(outbound: &Outbound) -> (Inbound, usize) {
        let mut inbound = Inbound([0; Inbound::CAPACITY]);
        inbound.0[..outbound.length].copy_from_slice(&outbound.bytes[..outbound.length]);
        (inbound, outbound.length)
    }

    fn to(address: IpAddr) -> Beside {
        Beside { to: Some(address), ..Beside::default() }
    }

    fn leaving_from(address: IpAddr) -> Outbound {
        let mut outbound = Outbound::EMPTY;
        outbound.leave_from(address);
        outbound
    }

    #[test]
    fn what_is_written_is_read() {
        for text in ["127.0.0.2", "::1", "fe80::1", "255.255.255.255"] {
            let address: IpAddr = text.parse().unwrap();
            let mut outbound = leaving_from(address);
            let (inbound, length) = received(&outbound);
            assert_eq!(inbound.read(length), to(address));
            // The size to cut into is another message than the size received.
            outbound.cut_into(1200);
            let (inbound, length) = received(&outbound);
            assert_eq!(inbound.read(length), to(address));
        }
    }

    #[test]
    fn all_that_is_asked_for_is_read_together() {
        let mut all = leaving_from("2001:db8::1".parse().unwrap());
        let mut rest = Outbound::EMPTY;
        rest.push(libc::SOL_UDP, UDP_GRO, 1200 as c_int);
        rest.push(libc::SOL_SOCKET, libc::SO_RXQ_OVFL, u32::MAX);
        let mut inbound = received(&all).0;
        inbound.0[all.length..][..rest.length].copy_from_slice(&rest.bytes[..rest.length]);
        all.length += rest.length;
        assert_eq!(all.length, Inbound::CAPACITY);
        let to = Some("2001:db8::1".parse().unwrap());
        assert_eq!(inbound.read(all.length), Beside { to, segment: Some(1200), drops: Some(u32::MAX) });
    }

    #[test]
    fn a_size_out_of_range_is_none() {
        for size in [-1, 65_536] {
            let mut outbound = Outbound::EMPTY;
            outbound.push(libc::SOL_UDP, UDP_GRO, size as c_int);
            let (inbound, length) = received(&outbound);
            assert_eq!(inbound.read(length), Beside::default());
        }
    }

    #[test]
    fn a_broadcast_is_answered_from_the_local_address() {
        let mut outbound = Outbound::EMPTY;
        outbound.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info_v4([192, 0, 2, 1]));
        let (inbound, length) = received(&outbound);
        assert_eq!(inbound.read(length), to("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn every_length_and_every_declared_length_is_safe() {
        let whole = leaving_from("::1".parse().unwrap());
        let (inbound, full) = received(&whole);
        for length in 0..DATA_AT + size_of::<in6_pktinfo>() {
            assert_eq!(inbound.read(length), Beside::default(), "cut to {length}");
        }
        for declared in 0..=255u8 {
            let mut inbound = inbound;
            // The length is the first field; its low byte is first or last.
            let low = if cfg!(target_endian = "little") { 0 } else { size_of::<usize>() - 1 };
            inbound.0[low] = declared;
            let enough = DATA_AT + size_of::<in6_pktinfo>()..=full;
            assert_eq!(
                inbound.read(full).to.is_some(),
                enough.contains(&usize::from(declared)),
                "{declared}"
            );
        }
        assert_eq!(Inbound([0xff; Inbound::CAPACITY]).read(usize::MAX), Beside::default());
        assert_eq!(Inbound([0; Inbound::CAPACITY]).read(Inbound::CAPACITY), Beside::default());
    }

    #[test]
    fn other_messages_are_passed_over() {
        let mut outbound = Outbound::EMPTY;
        outbound.push(libc::SOL_SOCKET, libc::SO_TIMESTAMP, 7_u32);
        outbound.push(libc::IPPROTO_IP, libc::IP_PKTINFO, info_v4([192, 0, 2, 1]));
        let (inbound, length) = received(&outbound);
        assert_eq!(inbound.read(length), to("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut outbound = leaving_from("::1".parse().unwrap());
        outbound.leave_from("::2".parse().unwrap());
        let (inbound, length) = received(&outbound);
        assert_eq!(inbound.read(length), to("::1".parse().unwrap()));
    }
}
