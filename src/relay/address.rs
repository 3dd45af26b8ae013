//! The field's kinds of transport address, each a type of its own, so that a
//! client's address can never be used where a peer's is meant (RFC 8656 §2).

use std::fmt;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

/// An address without the IPv4-mapped form: `::ffff:192.0.2.1` becomes
/// `192.0.2.1`. A link-local scope is kept, a flow label is not.
#[inline]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => address,
        SocketAddr::V6(v6) => match v6.ip().to_canonical() {
            IpAddr::V4(ip) => SocketAddr::new(ip.into(), v6.port()),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, v6.port(), 0, v6.scope_id()).into(),
        },
    }
}

macro_rules! transport_address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub struct $name(SocketAddr);

        impl $name {
            /// Wraps an address, with an IPv4-mapped one made IPv4.
            #[inline]
            pub fn new(address: SocketAddr) -> Self {
                Self(canonical(address))
            }

            /// The bare address, for the edges: sockets and the wire.
            pub const fn socket(self) -> SocketAddr {
                self.0
            }

            /// The IP address alone.
            pub const fn ip(self) -> IpAddr {
                self.0.ip()
            }

            /// The port, host order.
            pub const fn port(self) -> u16 {
                self.0.port()
            }

            /// IPv4 or IPv6.
            pub const fn family(self) -> Family {
                Family::of(self.0.ip())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

transport_address!(
    /// The client's address as the server sees it (server-reflexive when a NAT
    /// is between).
    ClientAddr
);
transport_address!(
    /// The server's own address that a client sent to.
    ServerAddr
);
transport_address!(
    /// A peer: whom a client talks to through its relay.
    PeerAddr
);
transport_address!(
    /// A relayed transport address as it is told to clients: behind a 1:1 NAT
    /// this is the external address, not the one the socket is bound to.
    RelayAddr
);

impl PeerAddr {
    /// A peer as a client names it. `None` for an IPv4-mapped IPv6 address: it is
    /// never a legal IPv6 peer, and one that has relays of both families may not
    /// reach IPv4 by it either (H-003).
    pub fn from_wire(address: SocketAddr) -> Option<Self> {
        match address.ip() {
            IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => None,
            _ => Some(Self::new(address)),
        }
    }
}

/// Address family.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// The family of an IP address.
    pub const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// Its number in RFC 8489 §14.1 and RFC 8656 §18.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 0x01,
            Self::V6 => 0x02,
        }
    }

    /// The family of that number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match number {
            0x01 => Some(Self::V4),
            0x02 => Some(Self::V6),
            _ => None,
        }
    }

    /// Both, in order; `families[f.index()] == f`.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The one that this is not.
    pub const fn other(self) -> Self {
        match self {
            Self::V4 => Self::V6,
            Self::V6 => Self::V4,
        }
    }

    /// 0 for IPv4, 1 for IPv6.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `ipv4` or `ipv6`, for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "ipv4",
            Self::V6 => "ipv6",
        }
    }
}

/// How a client reaches the server.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Transport {
    /// Datagrams; replies are rate-limited before authentication.
    Udp,
    /// A stream; ChannelData is padded to 4 bytes.
    Tcp,
    /// TLS over TCP; otherwise as TCP.
    Tls,
    /// DTLS over UDP (RFC 7350); otherwise as UDP, from clients that have shown
    /// where they are.
    Dtls,
}

impl Transport {
    /// Every transport, in order; `ALL[t.index()] == t`.
    pub const ALL: [Self; 4] = [Self::Udp, Self::Tcp, Self::Tls, Self::Dtls];

    /// Whether messages come out of a byte stream.
    pub const fn is_stream(self) -> bool {
        matches!(self, Self::Tcp | Self::Tls)
    }

    /// Whether clients check a certificate.
    pub const fn is_encrypted(self) -> bool {
        !matches!(self, Self::Udp | Self::Tcp)
    }

    /// Whether a client is known to be where its packets say: a connection or a
    /// cookie has shown it. Without that, an answer goes to whom somebody names.
    pub const fn proves_source(self) -> bool {
        !matches!(self, Self::Udp)
    }

    /// Its place in [`Transport::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// `udp`, `tcp`, `tls` or `dtls`, for metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Dtls => "dtls",
        }
    }
}

/// What tells one allocation from another (RFC 8656 §2).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct FiveTuple {
    /// Where the client's packets come from.
    pub client: ClientAddr,
    /// Where they were sent to; replies leave from here.
    pub server: ServerAddr,
    /// Over what.
    pub transport: Transport,
}

impl fmt::Display for FiveTuple {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} -> {}", self.transport.name(), self.client, self.server)
    }
}
