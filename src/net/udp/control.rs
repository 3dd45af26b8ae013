//! Control messages: what travels beside a packet. With one received or sent, the
//! local address alone (`IP_PKTINFO`, `IPV6_PKTINFO`; RFC 3542 §6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use libc::{c_int, cmsghdr, in_pktinfo, in6_pktinfo, sock_extended_err};

/// Room for the control messages of one packet, aligned as they must be. All
/// zero is valid.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(super) struct Control([u8; Control::CAPACITY]);

impl Control {
    /// The largest thing that is asked for.
    pub(super) const CAPACITY: usize = space(size_of::<in6_pktinfo>());

    /// No message.
    pub(super) const EMPTY: Self = Self([0; Self::CAPACITY]);

    /// The messages that make a packet leave from this address, and their
    /// length in bytes.
    pub(super) fn leave_from(from: IpAddr) -> (Self, usize) {
        let mut control = Self::EMPTY;
        // Interface 0: the route decides. It must not be named here, or a reply
        // would be tied to the interface its request came in by.
        let length = match from {
            IpAddr::V4(ip) => {
                let address = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: address,
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                control.write(libc::IPPROTO_IP, libc::IP_PKTINFO, info)
            }
            IpAddr::V6(ip) => {
                let address = libc::in6_addr { s6_addr: ip.octets() };
                let info = in6_pktinfo { ipi6_addr: address, ipi6_ifindex: 0 };
                control.write(libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, info)
            }
        };
        (control, length)
    }

    /// [`sent_to`], by the first `length` bytes.
    pub(super) fn sent_to(&self, length: usize) -> Option<IpAddr> {
        sent_to(&self.0[..length.min(Self::CAPACITY)])
    }

    /// Writes one message at the start; gives its length, padding included.
    fn write<T: Plain>(&mut self, level: c_int, kind: c_int, data: T) -> usize {
        const { assert!(space(size_of::<T>()) <= Self::CAPACITY) };
        // SAFETY: integers only, for which zero is valid. (A struct expression
        // would not do: some C libraries have padding fields of their own.)
        let mut header: cmsghdr = unsafe { std::mem::zeroed() };
        header.cmsg_len = (DATA_AT + size_of::<T>()) as _;
        header.cmsg_level = level;
        header.cmsg_type = kind;
        let start = self.0.as_mut_ptr();
        // SAFETY: a header and a `T` behind it fit, as asserted above. Neither
        // has padding bytes that would make a part of the array uninitialised.
        unsafe {
            start.cast::<cmsghdr>().write_unaligned(header);
            start.add(DATA_AT).cast::<T>().write_unaligned(data);
        }
        space(size_of::<T>())
    }
}

/// The local address that a packet was sent to, if the control messages beside it
/// say so. For a broadcast or multicast over IPv4 that is the address of this host
/// which answers it.
pub fn sent_to(mut messages: &[u8]) -> Option<IpAddr> {
    loop {
        let (header, data, next) = read_message(messages)?;
        match (header.cmsg_level, header.cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info: in_pktinfo = read(data)?;
                return Some(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()).into());
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info: in6_pktinfo = read(data)?;
                return Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
            }
            _ => messages = next,
        }
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

    #[test]
    fn what_is_written_is_read() {
        for text in ["127.0.0.2", "::1", "fe80::1", "255.255.255.255"] {
            let address: IpAddr = text.parse().unwrap();
            let (control, length) = Control::leave_from(address);
            assert_eq!(control.sent_to(length), Some(address));
        }
    }

    #[test]
    fn a_broadcast_is_answered_from_the_local_address() {
        let mut control = Control::EMPTY;
        let length = control.write(libc::IPPROTO_IP, libc::IP_PKTINFO, info_v4([192, 0, 2, 1]));
        assert_eq!(control.sent_to(length), Some("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn every_length_and_every_declared_length_is_safe() {
        let (whole, full) = Control::leave_from("::1".parse().unwrap());
        for length in 0..DATA_AT + size_of::<in6_pktinfo>() {
            assert_eq!(whole.sent_to(length), None, "cut to {length}");
        }
        for declared in 0..=255u8 {
            let mut control = whole;
            // The length is the first field; its low byte is first or last.
            let low = if cfg!(target_endian = "little") { 0 } else { size_of::<usize>() - 1 };
            control.0[low] = declared;
            let enough = DATA_AT + size_of::<in6_pktinfo>()..=Control::CAPACITY;
            assert_eq!(
                control.sent_to(full).is_some(),
                enough.contains(&usize::from(declared)),
                "{declared}"
            );
        }
        assert_eq!(Control([0xff; Control::CAPACITY]).sent_to(usize::MAX), None);
        assert_eq!(Control::EMPTY.sent_to(Control::CAPACITY), None);
    }

    #[test]
    fn other_messages_are_passed_over() {
        let (mut control, length) = Control::leave_from("::1".parse().unwrap());
        control.write(libc::SOL_SOCKET, libc::SO_TIMESTAMP, info_v4([192, 0, 2, 1]));
        assert_eq!(control.sent_to(length), None);
    }
}
