//! A peer's address as the kernel writes it (`msg_name`), without the 100 bytes
//! that `sockaddr_storage` has for other families.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

/// `sockaddr_in` or `sockaddr_in6`; the family, at the same place in both, says
/// which. All zero is valid.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union Name {
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl Name {
    /// Bytes the kernel may write.
    pub(super) const CAPACITY: libc::socklen_t = size_of::<Self>() as libc::socklen_t;

    /// Bytes that an address of this family takes.
    pub(super) fn length(address: SocketAddr) -> libc::socklen_t {
        let bytes = match address {
            SocketAddr::V4(_) => size_of::<libc::sockaddr_in>(),
            SocketAddr::V6(_) => size_of::<libc::sockaddr_in6>(),
        };
        bytes as libc::socklen_t
    }

    /// The address. A name that the kernel has not written reads as `0.0.0.0:0`.
    pub(super) fn address(&self) -> SocketAddr {
        // SAFETY: both variants begin with the family, and every way to make a
        // `Name` initialises it.
        let family = unsafe { self.v4.sin_family };
        if family == libc::AF_INET6 as libc::sa_family_t {
            // SAFETY: of this family, so `From` or the kernel wrote all of it;
            // any bytes are a valid `sockaddr_in6`.
            let name = unsafe { self.v6 };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            let port = u16::from_be(name.sin6_port);
            SocketAddrV6::new(ip, port, name.sin6_flowinfo, name.sin6_scope_id).into()
        } else {
            // SAFETY: any bytes are a valid `sockaddr_in`, and each way to make
            // a `Name` initialises that many.
            let name = unsafe { self.v4 };
            let ip = Ipv4Addr::from(name.sin_addr.s_addr.to_ne_bytes());
            SocketAddrV4::new(ip, u16::from_be(name.sin_port)).into()
        }
    }
}

impl From<SocketAddr> for Name {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(address) => Self {
                v4: libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: address.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
                    sin_zero: [0; 8],
                },
            },
            SocketAddr::V6(address) => Self {
                v6: libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: address.port().to_be(),
                    sin6_flowinfo: address.flowinfo(),
                    sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
                    sin6_scope_id: address.scope_id(),
                },
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_the_round_trip() {
        for text in ["192.0.2.1:3478", "0.0.0.0:0", "[2001:db8::1]:65535", "[::]:0", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(Name::from(address).address(), address);
        }
    }
}
