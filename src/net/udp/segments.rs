//! How many packets the kernel takes as one (UDP GSO, udp(7)): 64, from Linux 6.9
//! on 128, or 1 where it can't. No option tells it, so it is tried.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::sync::OnceLock;

use libc::iovec;

use super::control::Outbound;
use super::name::Name;
use super::socket::{Options, Socket};

/// Limits there have been, the best first.
const KNOWN: [usize; 2] = [128, 64];

/// The limit of this kernel. Found once.
pub fn limit() -> usize {
    static LIMIT: OnceLock<usize> = OnceLock::new();
    *LIMIT.get_or_init(|| {
        let accepted = |ip: IpAddr| KNOWN.into_iter().find(|segments| is_accepted(ip, *segments));
        accepted(Ipv4Addr::LOCALHOST.into()).or_else(|| accepted(Ipv6Addr::LOCALHOST.into())).unwrap_or(1)
    })
}

/// Sends so many packets of one byte as one, to the socket itself.
fn is_accepted(ip: IpAddr, segments: usize) -> bool {
    let attempt = || -> io::Result<isize> {
        let socket = Socket::bind((ip, 0).into(), &Options::default())?;
        let to = socket.local_addr()?;
        let mut name = Name::from(to);
        let mut control = Outbound::EMPTY;
        control.cut_into(1);
        let mut bytes = vec![0_u8; segments];
        let mut part = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: segments };
        // SAFETY: numbers, and pointers that may be null.
        let mut header: libc::msghdr = unsafe { std::mem::zeroed() };
        header.msg_name = (&raw mut name).cast();
        header.msg_namelen = Name::length(to);
        header.msg_iov = &raw mut part;
        header.msg_iovlen = 1;
        let (messages, length) = control.messages();
        header.msg_control = messages.cast();
        header.msg_controllen = length as _;
        // SAFETY: the header and what it points to live until the call is over;
        // each length is that of the memory behind it.
        Ok(unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_DONTWAIT) })
    };
    attempt().is_ok_and(|sent| usize::try_from(sent) == Ok(segments))
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn this_kernel_takes_what_is_found_and_no_more() {
        let limit = limit();
        assert!(limit == 1 || KNOWN.contains(&limit), "{limit}");
        for address in [V4, V6] {
            let ip = ours(address, &Options::default()).1.ip();
            assert_eq!(is_accepted(ip, limit.max(2)), limit > 1, "{address}");
            assert!(!is_accepted(ip, limit.max(2) + 1), "{address}");
        }
    }
}
